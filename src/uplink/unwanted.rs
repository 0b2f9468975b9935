//! Events that the broker refuses. Whatever it says, they stay in the journal, queued:
//! what a broker refuses is temporary. Here is decided when each is tried again, so that
//! it is in the way of no other. Pure: the time is passed in.
//!
//! Three cases are told apart.
//!
//! * **The broker fails.** As long as it takes nothing, nobody knows whose fault a
//!   refusal is: what was refused is a *suspect*, and one event at a time is tried, each
//!   time another one, after growing pauses (`held_until` of the link). When it takes one
//!   again and three different ones had been refused in a row, that was the broker: they
//!   are sent as if nothing had been. But a broker may refuse all events of one class (a login
//!   that may not write some topics): so one of another class is tried next, and if that is
//!   taken it is not the broker.
//! * **One event is not wanted.** Refused three times while others were taken, it *waits*:
//!   it is tried behind all others, alone, in each new session and once an hour; of many
//!   that wait, one in each part of the hour. When one of them is taken, all are due.
//! * **It is too large.** A broker that ends the connection over the size of a message
//!   will do so again: what is at least as large (the *ceiling*) is not sent for an hour,
//!   whatever is connected meanwhile. Then the smallest of these is tried. A broker that
//!   takes something as large has no such limit any more. The broker's own word in the
//!   CONNACK holds for its connection.
//!
//! A connection may also end without a word, which networks do all day. The largest message
//! that was under way, if it is one that not every broker has to take, is *doubtful*: it is
//! tried behind all others and alone, and only when the connection ends over it again was
//! that its size.
//!
//! An event that ends the connection although every broker has to take its size
//! ([`LEAST_PACKET`]) says nothing of others: it is a suspect as above. Where the broker names
//! the size as its reason it waits as soon as another one is taken; else (`doubt.rs` finds it)
//! it is doubtful as soon as another one is taken, and waits after three times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::PubAckReason;
use tokio::time::Instant;

use super::terms::LEAST_PACKET;
use crate::event::Class;

/// Refusals while others were taken, after which an event waits.
const REFUSALS: u32 = 3;

/// So many different events refused in a row, none taken between them: the broker fails.
const ROW: usize = 3;

/// Until what waits is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(3600);

/// Between two trials, however many wait.
const TRIAL_PAUSE: Duration = Duration::from_secs(30);

/// Doubtful events; beyond it the first one is sent like any other.
const DOUBTFUL: usize = 64;

/// Events that are known here, some 10 MB; beyond it the first one is sent like any other.
const PLACES: usize = 100_000;

/// Whether a broker may be right not to take so many bytes.
pub(super) fn is_doubtful(bytes: u64) -> bool {
    bytes >= u64::from(LEAST_PACKET)
}

/// What the broker did when it got a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It said so.
    Answer(PubAckReason),
    /// It ended the connection, or the library did, for a reason that it does not know.
    Cut,
    /// The same, over the message's size.
    CutForSize,
}

impl Refusal {
    fn is_cut(self) -> bool {
        !matches!(self, Refusal::Answer(_))
    }

    /// As what it counts.
    fn weight(self) -> u32 {
        if self == Refusal::CutForSize { REFUSALS } else { 1 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    bytes: u64,
    /// Refusals that count, before the last one.
    against: u32,
    last: Refusal,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    case: Case,
    /// A new session has begun: it need not wait for the hour.
    due: bool,
}

/// What was learnt of the size that the broker takes.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    /// It refused a message of so many bytes.
    bytes: u64,
    until: Instant,
}

/// For people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// Events that wait because the broker does not take them.
    pub n: u64,
    /// The first of them.
    pub seq: u64,
    /// Why it waits.
    pub why: String,
}

/// What the broker does not take.
#[derive(Debug)]
pub(super) struct Unwanted {
    /// Refused since an event was last taken; not sent meanwhile.
    suspects: BTreeMap<u64, Case>,
    /// Refused before, and sent like any other: what counts against them.
    known: BTreeMap<u64, u32>,
    waiting: BTreeMap<u64, Waiting>,
    /// None of those that wait has ended a connection over its size with less.
    least_cut: u64,
    /// Larger than the broker takes, and their bytes.
    large: BTreeMap<u64, u64>,
    ceiling: Option<Ceiling>,
    /// The same where every broker has to take that: it holds for what is no event.
    low_ceiling: Option<Ceiling>,
    /// Under way when a connection ended without a word, with their bytes and since when.
    doubtful: BTreeMap<u64, (u64, Instant)>,
    /// Nothing of so many bytes was taken since then.
    doubt: Option<u64>,
    /// What the present connection allows.
    limit: u64,
    /// The broker refused an event and has taken none since.
    failing: bool,
    /// The first few that were refused since then.
    row: BTreeSet<u64>,
    /// Of what was refused since then.
    classes: BTreeSet<Class>,
    /// The last trial.
    tried: Option<Instant>,
}

impl Default for Unwanted {
    fn default() -> Unwanted {
        Unwanted {
            suspects: BTreeMap::new(),
            known: BTreeMap::new(),
            waiting: BTreeMap::new(),
            least_cut: u64::MAX,
            large: BTreeMap::new(),
            ceiling: None,
            low_ceiling: None,
            doubtful: BTreeMap::new(),
            doubt: None,
            limit: u64::MAX,
            failing: false,
            row: BTreeSet::new(),
            classes: BTreeSet::new(),
            tried: None,
        }
    }
}

impl Unwanted {
    /// A session began with a broker that takes packets of `limit` bytes; returns what is
    /// to be sent like any other.
    pub fn connected(&mut self, limit: u64) -> Vec<u64> {
        self.limit = limit;
        self.give_way();
        self.waiting.values_mut().for_each(|one| one.due |= !one.case.last.is_cut());
        let mut released = self.small_enough();
        released.extend(self.absolve(|case| !case.last.is_cut()));
        released
    }

    /// The bytes that a message which is no event may have now.
    pub fn room(&self, now: Instant) -> u64 {
        let ceilings = [self.ceiling, self.low_ceiling].into_iter().flatten().filter(|ceiling| now < ceiling.until);
        self.limit.min(ceilings.map(|ceiling| ceiling.bytes.saturating_sub(1)).min().unwrap_or(u64::MAX))
    }

    /// Whether an event of so many bytes may be sent, not counting trials.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes <= self.limit && self.ceiling.is_none_or(|ceiling| bytes < ceiling.bytes)
    }

    /// Event `seq` does not fit: it waits.
    pub fn too_large(&mut self, seq: u64, bytes: u64) {
        self.large.insert(seq, bytes);
    }

    /// The broker ended the connection over a message of that size.
    pub fn cut_for_size(&mut self, bytes: u64, now: Instant) {
        if is_doubtful(bytes) {
            let bytes = self.ceiling.map_or(bytes, |ceiling| ceiling.bytes.min(bytes));
            self.ceiling = Some(Ceiling { bytes, until: now + AGAIN });
            self.give_way();
        } else {
            self.low_ceiling = Some(Ceiling { bytes, until: now + AGAIN });
        }
    }

    /// The connection ended without a word; the largest message under way was of so many
    /// bytes, event `seq` if it was one, and perhaps `alone`: no other one may have been too
    /// large. Returns what is to be sent like any other for want of room here.
    pub fn ended(&mut self, seq: Option<u64>, bytes: u64, alone: bool, now: Instant) -> Option<u64> {
        if !is_doubtful(bytes) {
            return None;
        }
        let again = self.doubt.is_some_and(|doubt| bytes >= doubt);
        self.doubt = Some(self.doubt.map_or(bytes, |doubt| doubt.min(bytes)));
        match seq {
            Some(seq) if again && (alone || self.doubtful.len() >= DOUBTFUL) => {
                self.refused(seq, bytes, Refusal::CutForSize, now)
            }
            // One that waits goes on waiting.
            Some(seq) if self.waits(seq) => None,
            Some(seq) => {
                self.doubtful.insert(seq, (bytes, now));
                let room = if self.doubtful.len() > DOUBTFUL { self.doubtful.pop_first() } else { None };
                room.map(|(seq, _)| seq)
            }
            None => {
                // Copies and stills can wait.
                if again {
                    self.cut_for_size(bytes, now);
                }
                None
            }
        }
    }

    /// What is doubtful and does not fit any more is too large.
    fn give_way(&mut self) {
        let doubtful = std::mem::take(&mut self.doubtful);
        let (fits, too_large): (BTreeMap<_, _>, BTreeMap<_, _>) =
            doubtful.into_iter().partition(|(_, (bytes, _))| self.fits(*bytes));
        self.doubtful = fits;
        self.large.extend(too_large.into_iter().map(|(seq, (bytes, _))| (seq, bytes)));
    }

    /// It refused event `seq`; returns what is to be sent like any other for want of room here.
    pub fn refused(&mut self, seq: u64, bytes: u64, refusal: Refusal, now: Instant) -> Option<u64> {
        self.doubtful.remove(&seq);
        if refusal == Refusal::CutForSize && is_doubtful(bytes) {
            self.cut_for_size(bytes, now);
            self.waiting.remove(&seq);
            self.known.remove(&seq);
            self.large.insert(seq, bytes);
            return self.evict();
        }
        if let Some(one) = self.waiting.get_mut(&seq) {
            *one = Waiting { case: Case { bytes, last: refusal, at: now, ..one.case }, due: false };
            if refusal == Refusal::CutForSize {
                self.least_cut = self.least_cut.min(bytes);
            }
            return None;
        }
        self.failing = true;
        if self.row.len() < ROW {
            self.row.insert(seq);
        }
        let against = self.known.remove(&seq).unwrap_or(0);
        self.large.remove(&seq);
        self.suspects.insert(seq, Case { bytes, against, last: refusal, at: now });
        self.evict()
    }

    /// It took a message, event `seq` if that is one; returns what is to be sent like any
    /// other.
    pub fn taken(&mut self, seq: Option<u64>, bytes: u64) -> Vec<u64> {
        let mut released = Vec::new();
        let mut changed_its_mind = false;
        if let Some(seq) = seq {
            self.suspects.remove(&seq);
            self.known.remove(&seq);
            changed_its_mind = self.waiting.remove(&seq).is_some();
            self.doubtful.remove(&seq);
            self.large.remove(&seq);
            self.failing = false;
            if self.row.len() >= ROW {
                // It was the broker.
                changed_its_mind = true;
                self.known.clear();
                self.suspects.values_mut().for_each(|case| case.against = 0);
                released.extend(self.absolve(|_| true));
            } else {
                released.extend(self.judge());
            }
            self.row.clear();
        }
        if changed_its_mind {
            // No pause either, while it goes on so.
            self.tried = None;
            self.waiting.values_mut().for_each(|one| one.due |= !one.case.last.is_cut());
        }
        self.doubt = self.doubt.filter(|doubt| bytes < *doubt);
        self.low_ceiling = self.low_ceiling.filter(|ceiling| bytes < ceiling.bytes);
        if self.ceiling.is_some_and(|ceiling| bytes >= ceiling.bytes) {
            self.ceiling = None;
            released.extend(self.small_enough());
        }
        // What ended a connection with no more than that was not too large either.
        if bytes >= self.least_cut {
            let cut = |one: &Waiting| (one.case.last == Refusal::CutForSize).then_some(one.case.bytes);
            let fits = |one: &Waiting| cut(one).is_some_and(|least| least <= bytes);
            released.extend(self.waiting.iter().filter(|(_, one)| fits(one)).map(|(seq, _)| *seq));
            self.waiting.retain(|_, one| !fits(one));
            self.least_cut = self.waiting.values().filter_map(cut).min().unwrap_or(u64::MAX);
        }
        released
    }

    /// What is refused is of that class, if that is known.
    pub fn refused_class(&mut self, class: Option<Class>) {
        self.classes.extend(class);
    }

    /// Whether events of that class are refused, as far as is known since one was taken.
    pub fn is_refused(&self, class: Class) -> bool {
        self.failing && self.classes.contains(&class)
    }

    /// What is taken is of that class, if that is known. Where all that was refused is of
    /// others, it is not the broker that fails.
    pub fn took_class(&mut self, class: Option<Class>) {
        if class.is_some_and(|class| !self.classes.is_empty() && !self.classes.contains(&class)) {
            self.row.clear();
        }
        self.classes.clear();
    }

    /// The broker takes events, but has not taken the suspects.
    fn judge(&mut self) -> Vec<u64> {
        let mut released = Vec::new();
        for (seq, case) in std::mem::take(&mut self.suspects) {
            let against = case.against.saturating_add(case.last.weight());
            if against >= REFUSALS {
                if case.last == Refusal::CutForSize {
                    self.least_cut = self.least_cut.min(case.bytes);
                }
                self.waiting.insert(seq, Waiting { case: Case { against, ..case }, due: false });
            } else {
                self.known.insert(seq, against);
                // What has ended a connection is not to end the others' as well.
                if case.last.is_cut() && self.doubtful.len() < DOUBTFUL {
                    self.doubtful.insert(seq, (case.bytes, case.at));
                } else {
                    released.push(seq);
                }
            }
        }
        released
    }

    /// Those suspects are sent like any other.
    fn absolve(&mut self, which: impl Fn(&Case) -> bool) -> Vec<u64> {
        let (free, held): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.suspects).into_iter().partition(|(_, case)| which(case));
        self.suspects = held;
        for (seq, case) in &free {
            if case.against > 0 {
                self.known.insert(*seq, case.against);
            }
        }
        free.into_keys().collect()
    }

    /// Nothing else is left to be tried: suspects, then, but for those that have ended a
    /// connection over their size and may have been the only ones.
    pub fn nothing_else(&mut self, now: Instant) -> Vec<u64> {
        let broker = self.row.len() >= ROW;
        self.absolve(|case| broker || case.last != Refusal::CutForSize || now >= case.at + AGAIN)
    }

    /// What was too large and is not any more.
    fn small_enough(&mut self) -> Vec<u64> {
        let fits: Vec<u64> = self.large.iter().filter(|(_, bytes)| self.fits(**bytes)).map(|(seq, _)| *seq).collect();
        for seq in &fits {
            self.large.remove(seq);
        }
        fits
    }

    fn evict(&mut self) -> Option<u64> {
        if self.suspects.len() + self.waiting.len() + self.known.len() <= PLACES {
            return None;
        }
        if self.known.pop_first().is_some() {
            return None;
        }
        self.waiting.pop_first().map(|(seq, _)| seq).or_else(|| self.suspects.pop_first().map(|(seq, _)| seq))
    }

    /// Whether one event at a time is enough.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// The event to try at `now`, alone: nothing else waits and nothing is under way.
    pub fn trial(&mut self, now: Instant) -> Option<u64> {
        let (at, seq) = self.next_trial()?;
        if now < at {
            return None;
        }
        self.tried = Some(now);
        Some(seq)
    }

    /// When there is something to try, if nothing else waits.
    pub fn due(&self) -> Option<Instant> {
        let suspects = self.suspects.values().map(|case| case.at + AGAIN).min();
        [self.next_trial().map(|(at, _)| at), suspects].into_iter().flatten().min()
    }

    fn next_trial(&self) -> Option<(Instant, u64)> {
        let share = AGAIN / u32::try_from(self.waiting.len()).unwrap_or(u32::MAX).max(1);
        let due = |one: &Waiting| match (one.due, one.case.last.is_cut()) {
            (true, _) => one.case.at,
            (false, true) => one.case.at + AGAIN,
            (false, false) => one.case.at.max(self.tried.unwrap_or(one.case.at)) + share,
        };
        // Of those that are due together, the one tried longest ago.
        let waiting = self.waiting.iter().map(|(seq, one)| (due(one), one.case.at, *seq)).min();
        let waiting = waiting.map(|(due, _, seq)| (due, seq));
        let large = self.ceiling.and_then(|ceiling| {
            let candidates = self.large.iter().filter(|(_, bytes)| **bytes <= self.limit);
            candidates.min_by_key(|(_, bytes)| **bytes).map(|(seq, _)| (ceiling.until, *seq))
        });
        // It has been sent once: no need to pause.
        if let Some((seq, (_, at))) = self.doubtful.iter().min_by_key(|(_, (bytes, _))| *bytes) {
            return Some((*at, *seq));
        }
        let (at, seq) = [waiting, large].into_iter().flatten().min()?;
        Some((self.tried.map_or(at, |tried| at.max(tried + TRIAL_PAUSE)), seq))
    }

    /// Event `seq` is not in the journal any more.
    pub fn forget(&mut self, seq: u64) {
        self.suspects.remove(&seq);
        self.known.remove(&seq);
        self.waiting.remove(&seq);
        self.large.remove(&seq);
        self.doubtful.remove(&seq);
    }

    /// Whether event `seq` waits for the others.
    pub fn waits(&self, seq: u64) -> bool {
        self.waiting.contains_key(&seq) || self.large.contains_key(&seq) || self.doubtful.contains_key(&seq)
    }

    /// Whether event `seq` is not sent like any other.
    #[cfg(test)]
    pub fn is_held(&self, seq: u64) -> bool {
        self.suspects.contains_key(&seq) || self.waits(seq)
    }

    /// What waits, if anything does.
    pub fn summary(&self) -> Option<Summary> {
        let n = (self.waiting.len() + self.large.len()) as u64;
        let refused = self.waiting.first_key_value().map(|(seq, one)| (*seq, said(one.case)));
        let large = self.large.first_key_value().map(|(seq, bytes)| (*seq, self.size(*bytes)));
        let (seq, why) = [refused, large].into_iter().flatten().min()?;
        Some(Summary { n, seq, why })
    }

    fn size(&self, bytes: u64) -> String {
        match self.ceiling {
            Some(ceiling) if bytes <= self.limit => {
                format!("too large ({bytes} bytes): the broker refused one of {}", ceiling.bytes)
            }
            _ => format!("too large ({bytes} bytes): the broker takes {}", self.limit),
        }
    }
}

fn said(case: Case) -> String {
    match case.last {
        Refusal::Answer(reason) => format!("refused ({reason:?})"),
        Refusal::CutForSize => format!("refused: too large ({} bytes)", case.bytes),
        Refusal::Cut => "refused for a reason that is unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO: Refusal = Refusal::Answer(PubAckReason::PayloadFormatInvalid);
    const BYTES: u64 = 450;
    const LARGE: u64 = 3000;
    const NONE: [u64; 0] = [];

    fn connected(limit: u64) -> (Unwanted, Instant) {
        let mut unwanted = Unwanted::default();
        assert_eq!(unwanted.connected(limit), NONE);
        (unwanted, Instant::now())
    }

    fn sorted(mut seqs: Vec<u64>) -> Vec<u64> {
        seqs.sort_unstable();
        seqs
    }

    /// Event 7 is refused whenever it is sent, others are taken.
    fn convicted(unwanted: &mut Unwanted, now: Instant) {
        for i in 0..REFUSALS {
            assert!(!unwanted.waits(7));
            assert_eq!(unwanted.refused(7, BYTES, NO, now), None);
            assert!(unwanted.is_failing());
            let released = unwanted.taken(Some(100 + u64::from(i)), BYTES);
            assert_eq!(released, if i + 1 < REFUSALS { vec![7] } else { vec![] });
        }
        assert!(unwanted.waits(7) && !unwanted.is_failing());
    }

    #[test]
    fn one_that_is_refused_while_others_are_taken_waits_and_is_tried_once_a_session_and_hourly() {
        let (mut unwanted, start) = connected(u64::MAX);
        convicted(&mut unwanted, start);
        let summary = Summary { n: 1, seq: 7, why: "refused (PayloadFormatInvalid)".into() };
        assert_eq!(unwanted.summary(), Some(summary));
        let hour = |n: u32| start + AGAIN * n;
        assert_eq!((unwanted.trial(hour(1) - TRIAL_PAUSE), unwanted.due()), (None, Some(hour(1))));
        assert_eq!(unwanted.trial(hour(1)), Some(7));
        assert_eq!(unwanted.refused(7, BYTES, NO, hour(1)), None);
        assert!(unwanted.waits(7) && !unwanted.is_failing(), "it is in nobody's way");
        assert_eq!(unwanted.due(), Some(hour(2)));
        // In a new session at once, but not twice.
        assert_eq!(unwanted.connected(u64::MAX), NONE);
        let soon = hour(1) + TRIAL_PAUSE;
        assert_eq!(unwanted.trial(soon), Some(7));
        assert_eq!(unwanted.refused(7, BYTES, NO, soon), None);
        assert_eq!(unwanted.due(), Some(soon + AGAIN));
        assert_eq!(unwanted.taken(Some(7), BYTES), NONE);
        assert_eq!((unwanted.summary(), unwanted.due()), (None, None));
    }

    #[test]
    fn when_everything_is_refused_it_is_the_broker() {
        for refusal in [NO, Refusal::Cut, Refusal::CutForSize] {
            let (mut unwanted, now) = connected(u64::MAX);
            for round in 0..10 {
                for seq in 1..=5 {
                    assert_eq!(unwanted.refused(seq, BYTES, refusal, now), None);
                    assert!(unwanted.is_failing() && !unwanted.waits(seq), "{refusal:?}");
                }
                // All were tried: from the beginning.
                assert_eq!(unwanted.nothing_else(now), [1, 2, 3, 4, 5], "{round}");
            }
            unwanted.refused(2, BYTES, refusal, now);
            unwanted.refused(3, BYTES, refusal, now);
            assert_eq!(sorted(unwanted.taken(Some(9), 1)), [2, 3], "they go at once");
            assert_eq!((unwanted.summary(), unwanted.is_failing()), (None, false));
        }
    }

    #[test]
    fn a_broker_that_refuses_one_class_alone_does_not_fail() {
        let (mut unwanted, now) = connected(u64::MAX);
        for round in 1..=REFUSALS {
            for seq in 1..=5 {
                unwanted.refused_class(Some(Class::Alert));
                unwanted.refused(seq, BYTES, NO, now);
            }
            assert!(unwanted.is_refused(Class::Alert) && !unwanted.is_refused(Class::Sighting), "that is tried next");
            unwanted.took_class(Some(Class::Sighting));
            let released = unwanted.taken(Some(9), BYTES);
            assert_eq!(sorted(released), if round < REFUSALS { vec![1, 2, 3, 4, 5] } else { vec![] });
            assert!(!unwanted.is_refused(Class::Alert));
        }
        assert_eq!(unwanted.summary().map(|summary| summary.n), Some(5));
    }

    #[test]
    fn many_that_wait_share_the_hour_and_one_that_is_taken_calls_all() {
        let (mut unwanted, start) = connected(u64::MAX);
        for seq in 1..=10u64 {
            for _ in 0..REFUSALS {
                unwanted.refused(seq, BYTES, NO, start);
                unwanted.taken(Some(1000), BYTES);
            }
        }
        assert_eq!(unwanted.summary().map(|summary| summary.n), Some(10));
        let (mut tried, mut now) = (Vec::new(), start);
        while now < start + AGAIN {
            now += TRIAL_PAUSE;
            if let Some(seq) = unwanted.trial(now) {
                unwanted.refused(seq, BYTES, NO, now);
                tried.push(seq);
            }
        }
        assert_eq!(tried, (1..=10).collect::<Vec<_>>());
        now += AGAIN / 10;
        assert_eq!(unwanted.trial(now), Some(1));
        unwanted.taken(Some(1), BYTES);
        for seq in 2..=10 {
            now += TRIAL_PAUSE;
            assert_eq!(unwanted.trial(now), Some(seq));
            unwanted.taken(Some(seq), BYTES);
        }
        assert_eq!(unwanted.due(), None);
    }

    #[test]
    fn what_is_too_large_ends_one_connection_an_hour_and_nothing_as_large_is_sent_meanwhile() {
        let (mut unwanted, start) = connected(1 << 20);
        unwanted.refused(7, LARGE, Refusal::CutForSize, start);
        assert!(!unwanted.is_failing() && unwanted.waits(7));
        assert!(unwanted.fits(LARGE - 1) && !unwanted.fits(LARGE));
        unwanted.too_large(8, LARGE + 5);
        let mut now = start;
        for _ in 0..50 {
            now += Duration::from_secs(60);
            assert_eq!((unwanted.connected(1 << 20), unwanted.trial(now)), (vec![], None));
            assert_eq!(unwanted.taken(Some(100), LARGE - 1), NONE);
        }
        assert_eq!(unwanted.room(now), LARGE - 1);
        assert_eq!(unwanted.trial(start + AGAIN), Some(7), "the smallest");
        unwanted.refused(7, LARGE, Refusal::CutForSize, start + AGAIN);
        assert_eq!(unwanted.due(), Some(start + AGAIN * 2));
        assert_eq!(unwanted.trial(start + AGAIN * 2), Some(7));
        // A still that large, or the event itself.
        assert_eq!(unwanted.taken(None, LARGE), [7, 8]);
        assert!(unwanted.fits(1 << 20));
        assert_eq!((unwanted.summary(), unwanted.due()), (None, None));
    }

    #[test]
    fn what_was_under_way_when_the_connection_ended_is_tried_alone_before_it_is_blamed() {
        let (mut unwanted, start) = connected(1 << 20);
        assert_eq!(unwanted.ended(Some(5), BYTES, true, start), None, "every broker takes that");
        // A network that breaks.
        assert_eq!(unwanted.ended(Some(7), LARGE, true, start), None);
        assert!(unwanted.waits(7) && unwanted.fits(LARGE) && unwanted.summary().is_none());
        assert_eq!((unwanted.connected(1 << 20), unwanted.trial(start)), (vec![], Some(7)));
        assert_eq!(unwanted.taken(Some(7), LARGE), NONE);
        assert_eq!(unwanted.ended(None, LARGE, true, start), None);
        assert!(unwanted.fits(LARGE), "a still, once");
        assert_eq!(unwanted.taken(None, LARGE), NONE);
        // A broker that hangs up, with two of them: among others, among others, alone.
        assert_eq!(unwanted.ended(Some(8), LARGE + 9, false, start), None);
        assert_eq!(unwanted.ended(Some(9), LARGE, false, start), None);
        assert_eq!(unwanted.trial(start), Some(9), "the smaller one");
        assert_eq!(unwanted.ended(Some(9), LARGE, true, start), None);
        assert!(!unwanted.fits(LARGE) && unwanted.waits(8) && unwanted.waits(9));
        assert_eq!((unwanted.summary().map(|s| s.n), unwanted.due()), (Some(2), Some(start + AGAIN)));
        // The next one that is alone is not given another chance.
        assert_eq!(unwanted.trial(start + AGAIN), Some(9));
        assert_eq!(unwanted.ended(Some(9), LARGE, true, start + AGAIN), None);
        assert_eq!(unwanted.due(), Some(start + AGAIN * 2));
        assert_eq!(unwanted.taken(None, LARGE + 9), [8, 9]);
        for seq in 1..=DOUBTFUL as u64 {
            assert_eq!(unwanted.ended(Some(seq), LARGE, false, start), None);
            assert!(unwanted.fits(LARGE));
        }
        // After so many it is not the network.
        assert_eq!(unwanted.ended(Some(DOUBTFUL as u64 + 1), LARGE, false, start), None);
        assert!(!unwanted.fits(LARGE) && (1..=DOUBTFUL as u64 + 1).all(|seq| unwanted.waits(seq)));
    }

    #[test]
    fn the_brokers_own_limit_holds_for_its_connection() {
        let (mut unwanted, now) = connected(2000);
        assert!(!unwanted.fits(LARGE));
        unwanted.too_large(7, LARGE);
        assert_eq!((unwanted.due(), unwanted.trial(now + AGAIN * 9)), (None, None));
        assert_eq!(unwanted.summary().map(|s| s.why), Some("too large (3000 bytes): the broker takes 2000".into()));
        assert_eq!(unwanted.connected(2500), NONE);
        assert_eq!(unwanted.connected(LARGE), [7]);
        assert_eq!(unwanted.summary(), None);
    }

    #[test]
    fn a_small_one_that_ends_the_connection_waits_until_the_broker_takes_one_as_large() {
        let (mut unwanted, now) = connected(u64::MAX);
        unwanted.refused(7, BYTES, Refusal::CutForSize, now);
        assert!(unwanted.fits(LARGE), "every broker takes that size, so nothing is known of others");
        unwanted.cut_for_size(BYTES, now);
        assert_eq!(unwanted.room(now), BYTES - 1, "but what is no event need not find out");
        assert_eq!(unwanted.nothing_else(now), NONE, "it would end the next connection too");
        assert_eq!(unwanted.connected(u64::MAX), NONE);
        assert_eq!(unwanted.taken(Some(8), BYTES - 1), NONE);
        assert!(unwanted.waits(7));
        assert_eq!((unwanted.trial(now + AGAIN - TRIAL_PAUSE), unwanted.due()), (None, Some(now + AGAIN)));
        assert_eq!(unwanted.taken(Some(9), BYTES), [7]);
        assert_eq!((unwanted.summary(), unwanted.room(now)), (None, u64::MAX));
    }

    #[test]
    fn no_more_is_remembered_than_has_room() {
        let (mut unwanted, now) = connected(u64::MAX);
        let mut released = Vec::new();
        for seq in 1..=PLACES as u64 + 3 {
            released.extend(unwanted.refused(seq, BYTES, NO, now));
        }
        assert_eq!(released, [1, 2, 3]);
    }

    /// A broker with a limit, moods and a dislike of some events.
    #[derive(Debug, Clone)]
    enum Step {
        Send,
        Trial,
        Pass(u64),
        Limit(u64),
        Connect(u64),
        Mood(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => Just(Step::Send),
            4 => Just(Step::Trial),
            2 => prop::sample::select(vec![1, 40, 600, 4000]).prop_map(Step::Pass),
            1 => prop::sample::select(vec![300, 1100, 5000]).prop_map(Step::Limit),
            1 => prop::sample::select(vec![1024, 2000, 1 << 20]).prop_map(Step::Connect),
            1 => any::<bool>().prop_map(Step::Mood),
        ]
    }

    proptest! {
        /// Each event is free to be sent, refused and known here, or taken; and with a broker
        /// that takes everything all are taken soon.
        #[test]
        fn no_event_is_forgotten_and_a_limit_ends_few_connections(
            sizes in prop::collection::vec(prop::sample::select(vec![200u64, 450, 900, 1500, 4000]), 1..30),
            disliked in prop::collection::btree_set(1..30u64, 0..4),
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let (mut unwanted, mut now) = connected(u64::MAX);
            let bytes = |seq: u64| sizes[seq as usize - 1];
            let mut free: BTreeSet<u64> = (1..=sizes.len() as u64).collect();
            let mut taken = BTreeSet::new();
            let (mut limit, mut moody) = (u64::MAX, false);
            let mut cuts: BTreeMap<u64, Vec<Instant>> = BTreeMap::new();
            let mut answer = |unwanted: &mut Unwanted, free: &mut BTreeSet<u64>, seq: u64, honest: Option<u64>, moody: bool, now: Instant| {
                free.remove(&seq);
                let limit = honest.unwrap_or(u64::MAX);
                if bytes(seq) > limit {
                    cuts.entry(seq).or_default().push(now);
                    free.extend(unwanted.refused(seq, bytes(seq), Refusal::CutForSize, now));
                    free.extend(unwanted.connected(u64::MAX));
                } else if moody || (honest.is_some() && disliked.contains(&seq)) {
                    free.extend(unwanted.refused(seq, bytes(seq), NO, now));
                } else {
                    taken.insert(seq);
                    free.extend(unwanted.taken(Some(seq), bytes(seq)));
                }
                taken.len()
            };
            for step in steps {
                match step {
                    Step::Send => {
                        match free.first().copied() {
                            Some(seq) if !unwanted.fits(bytes(seq)) => {
                                free.remove(&seq);
                                unwanted.too_large(seq, bytes(seq));
                            }
                            Some(seq) => { answer(&mut unwanted, &mut free, seq, Some(limit), moody, now); }
                            None => free.extend(unwanted.nothing_else(now)),
                        }
                    }
                    Step::Trial => if free.is_empty() && let Some(seq) = unwanted.trial(now) {
                        answer(&mut unwanted, &mut free, seq, Some(limit), moody, now);
                    },
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                    Step::Limit(to) => limit = to,
                    Step::Connect(announced) => free.extend(unwanted.connected(announced)),
                    Step::Mood(is) => moody = is,
                }
            }
            // A broker that takes everything is there now.
            free.extend(unwanted.connected(u64::MAX));
            let end = now + AGAIN + TRIAL_PAUSE * 40;
            loop {
                if let Some(seq) = free.first().copied() {
                    if unwanted.fits(bytes(seq)) {
                        answer(&mut unwanted, &mut free, seq, None, false, now);
                    } else {
                        free.remove(&seq);
                        unwanted.too_large(seq, bytes(seq));
                    }
                    continue;
                }
                free.extend(unwanted.nothing_else(now));
                if !free.is_empty() {
                    continue;
                }
                let Some(due) = unwanted.due() else { break };
                prop_assert!(due <= end, "it takes more than an hour");
                now = now.max(due);
                if let Some(seq) = unwanted.trial(now) {
                    answer(&mut unwanted, &mut free, seq, None, false, now);
                }
            }
            let all: BTreeSet<u64> = (1..=sizes.len() as u64).collect();
            prop_assert_eq!(taken, all);
            prop_assert_eq!(unwanted.summary(), None);
        }
    }
}
