//! What was received, what is missing, and when to ask for it: a pure state
//! machine. Time is passed in.
//!
//! A number that is missing at or below a unit's `low` is a gap: the unit is done
//! with it. One above is merely late. Gaps are asked for after a moment
//! ([`GRACE`]), then again with growing pauses, and given up after
//! [`TRIES`] requests that brought nothing. An answer, or the unit's connecting
//! anew, begins that from the beginning.
//!
//! A unit's word that it has lost some is not enough: a number is excused only when the
//! unit was asked for it in its present connection, and has answered that it does not
//! hold it. Then, or when it was given up, it is not asked for any more; should it come
//! after all, it is as new as any other. Only what came can come twice.
//!
//! Units may say anything, and there may be any number of them: journals, ranges
//! of numbers and requests are bounded. What does not fit is taken as new, is not
//! remembered, and is counted ([`Ledger::beyond`]): nothing is dropped for it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

/// From the first sight of a gap to the first request: what is on its way may
/// still come.
pub const GRACE: Duration = Duration::from_secs(3);

/// Pause after the first request, doubled after each that brings nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// Requests that bring nothing before the missing numbers are given up.
const TRIES: u32 = 8;

/// Numbers asked for at once.
const SPAN: u64 = 5_000;

/// Numbers are from 1 to this: the largest that every program reads exactly from
/// JSON. A unit with a thousand events a second needs 285,000 years.
pub const HIGHEST: u64 = (1 << 53) - 1;

/// Units whose numbers are checked. Events of further ones are not told apart from
/// repeated ones, so all are taken as new.
const UNITS: usize = 10_000;

/// Journals remembered of each unit; a further one takes the place of the oldest. A
/// unit has a new journal only when its old one is gone or broken.
const LOGS: usize = 16;

/// Ranges remembered of each journal. One of an honest unit has a range for each gap
/// that is not mended yet.
const RANGES: usize = 10_000;

/// Ranges remembered of all together: some 30 MB.
const ALL_RANGES: usize = 1_000_000;

/// With [`ALL_RANGES`] in use, each journal may still have so many.
const FEW_RANGES: usize = 16;

/// Spans given up one after the other before all that is missing is: who answers
/// nothing to that many requests has not got it.
const VAIN_SPANS: u32 = 8;

/// Answers in one connection that the unit does not hold what it was asked for: for all
/// numbers of the largest journal. Who has more to deny is not asked for the rest.
const DENIALS: u32 = 1000;

/// Requests at once; the other units' turn comes next.
const REQUESTS: usize = 100;

/// Disjoint, not adjacent ranges of numbers, by their first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn contains(&self, n: u64) -> bool {
        self.0.range(..=n).next_back().is_some_and(|(_, &last)| last >= n)
    }

    /// Adds them if it then has no more than `most` ranges; whether it did.
    fn add_within(&mut self, most: usize, first: u64, last: u64) -> bool {
        let touches = |from: u64, to: u64| self.0.range(..=to).next_back().is_some_and(|(_, &l)| l >= from);
        if self.0.len() >= most && !touches(first.saturating_sub(1), last.saturating_add(1)) {
            return false;
        }
        self.add(first, last);
        true
    }

    /// Its pieces in `from..=to`.
    fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        if from > to {
            return Vec::new();
        }
        let before = self.0.range(..from).next_back().map(|(_, &last)| (from, last)).filter(|(_, last)| *last >= from);
        let after = self.0.range(from..=to).map(|(&first, &last)| (first, last));
        before.into_iter().chain(after).map(|(first, last)| (first, last.min(to))).collect()
    }

    fn add(&mut self, mut first: u64, mut last: u64) {
        // One that begins before and reaches into it or touches it, and all
        // that begin within.
        if let Some((&f, &l)) = self.0.range(..first).next_back()
            && l.saturating_add(1) >= first
        {
            first = f;
            last = last.max(l);
        }
        let within: Vec<u64> = self.0.range(first..=last.saturating_add(1)).map(|(&f, _)| f).collect();
        for f in within {
            last = last.max(self.0.remove(&f).unwrap_or(last));
        }
        self.0.insert(first, last);
    }

    /// The ranges of `from..=to` that are not in it.
    fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = from;
        // Beyond the largest number there is none.
        if let Some((_, &last)) = self.0.range(..=from).next_back()
            && last >= from
        {
            let Some(after) = last.checked_add(1) else { return gaps };
            next = after;
        }
        for (&first, &last) in self.0.range(from.saturating_add(1)..) {
            if next > to || first > to {
                break;
            }
            if first > next {
                gaps.push((next, first - 1));
            }
            let Some(after) = last.checked_add(1) else { return gaps };
            next = next.max(after);
        }
        if next <= to {
            gaps.push((next, to));
        }
        gaps
    }
}

/// One journal of one unit.
#[derive(Debug, Default)]
struct Log {
    /// What came.
    have: Ranges,
    /// The unit says that some of it will not come.
    reported: Ranges,
    /// It was asked for these since it has connected,
    asked: Ranges,
    /// and has answered that it does not hold these.
    denied: Ranges,
    /// Both reported and denied: not missed, but welcome.
    excused: Ranges,
    /// Asked for in vain: missed, and not asked for again until the unit comes back.
    given_up: Ranges,
    /// What is below is of no interest: it was before this receiver's time.
    begin: u64,
    low: u64,
    /// When to ask next; `None` while nothing is missing.
    due: Option<Duration>,
    /// Requests since something missing came.
    tries: u32,
    /// Spans given up since something missing came, or the unit did.
    vain_spans: u32,
    /// Answers since the unit has connected that excused something.
    denials: u32,
    /// Whether the next span is the highest, not the lowest: what was deleted to make
    /// room is at the lower end, what was never there at the upper.
    from_above: bool,
}

impl Log {
    /// What the unit is done with and neither sent nor excused.
    fn missing(&self) -> Vec<(u64, u64)> {
        let absent = self.have.missing(self.begin, self.low).into_iter();
        absent.flat_map(|(from, to)| self.excused.missing(from, to)).collect()
    }

    /// Ranges of numbers remembered.
    fn ranges(&self) -> usize {
        [&self.have, &self.reported, &self.asked, &self.denied, &self.excused].map(|all| all.0.len()).iter().sum()
    }

    /// `pieces` are reported and denied; whether there was room for them.
    fn excuse(&mut self, most: usize, pieces: Vec<(u64, u64)>) -> bool {
        pieces.into_iter().fold(true, |room, (from, to)| self.excused.add_within(most, from, to) && room)
    }

    /// Of these, what there is hope for.
    fn wanted(&self) -> Vec<(u64, u64)> {
        if self.vain_spans >= VAIN_SPANS {
            return Vec::new();
        }
        self.missing().into_iter().flat_map(|(from, to)| self.given_up.missing(from, to)).collect()
    }

    /// What to ask for at `now`, or (`true`) to give up.
    fn advise(&mut self, now: Duration) -> Option<(bool, (u64, u64))> {
        let missing = self.wanted();
        let Some(&(lowest, end)) = missing.first() else {
            (self.due, self.tries) = (None, 0);
            return None;
        };
        if now < *self.due.get_or_insert(now.saturating_add(GRACE)) {
            return None;
        }
        let highest = missing.last().map_or(end, |gap| gap.1);
        let span = if self.from_above { span_below(&missing, highest) } else { span_above(&missing, lowest, end) };
        if self.tries < TRIES {
            self.due = Some(now.saturating_add(PAUSE * 2u32.pow(self.tries)));
            self.tries += 1;
            // No more ranges than spans were asked for.
            self.asked.add(span.0, span.1);
            return Some((false, span));
        }
        (self.due, self.tries) = (None, 0);
        self.from_above = !self.from_above;
        self.vain_spans += 1;
        if self.vain_spans >= VAIN_SPANS {
            return Some((true, (lowest, highest)));
        }
        // No more ranges than spans were given up.
        self.given_up.add(span.0, span.1);
        Some((true, span))
    }
}

/// Small gaps close together are asked for together; what is there already comes
/// twice and is dropped.
fn span_above(missing: &[(u64, u64)], from: u64, end: u64) -> (u64, u64) {
    let to = missing.iter().map(|gap| gap.1).take_while(|to| *to < from.saturating_add(SPAN)).last();
    (from, to.unwrap_or(end.min(from.saturating_add(SPAN - 1))))
}

/// The same from the upper end.
fn span_below(missing: &[(u64, u64)], to: u64) -> (u64, u64) {
    let least = to.saturating_sub(SPAN - 1);
    let within = missing.iter().rev().take_while(|gap| gap.1 >= least).map(|gap| gap.0.max(least));
    (within.last().unwrap_or(least), to)
}

/// A range of missing numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The unit's id.
    pub unit: String,
    /// The journal's id.
    pub log: String,
    /// The first missing number.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// What to do about a gap. The ranges of an advice may hold numbers that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Ask the unit to send it again.
    Ask(Gap),
    /// It did not come, and is not asked for any more while the unit stays connected.
    GiveUp(Gap),
}

/// Everything that was received.
#[derive(Debug, Default)]
pub struct Ledger {
    logs: BTreeMap<(String, String), Log>,
    /// The journal that each unit writes at present.
    current: BTreeMap<String, String>,
    /// Whether what was before this receiver's time is wanted too.
    history: bool,
    /// The journals of each unit that are remembered, the oldest first.
    known: BTreeMap<String, VecDeque<String>>,
    /// Whether there are [`ALL_RANGES`].
    full: bool,
    /// Whose turn was last.
    last_asked: String,
    beyond: Beyond,
}

/// What did not fit into the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Events taken as new without a look whether they were there already.
    pub events: u64,
    /// Journals forgotten because their unit had too many.
    pub logs: u64,
    /// `lost` events that excuse nothing because there were too many.
    pub excuses: u64,
}

impl Ledger {
    /// Empty; with `history`, everything from number 1 is wanted.
    pub fn new(history: bool) -> Ledger {
        Ledger { history, ..Ledger::default() }
    }

    /// What did not fit.
    pub fn beyond(&self) -> Beyond {
        self.beyond
    }

    /// Makes room for a journal that is not known yet; whether there is some.
    fn admit(&mut self, unit: &str, log: &str) -> bool {
        if !self.known.contains_key(unit) && self.known.len() >= UNITS {
            return false;
        }
        let known = self.known.entry(unit.to_owned()).or_default();
        known.push_back(log.to_owned());
        if known.len() > LOGS
            && let Some(oldest) = known.pop_front()
        {
            self.logs.remove(&(unit.to_owned(), oldest));
            self.beyond.logs = self.beyond.logs.saturating_add(1);
        }
        true
    }

    fn log(&mut self, unit: &str, log: &str, begin: u64) -> Option<&mut Log> {
        let key = (unit.to_owned(), log.to_owned());
        if !self.logs.contains_key(&key) && !self.admit(unit, log) {
            return None;
        }
        let begin = if self.history { 1 } else { begin };
        Some(self.logs.entry(key).or_insert_with(|| Log { begin, ..Log::default() }))
    }

    /// Ranges that a journal may have now.
    fn most_ranges(&self) -> usize {
        if self.full { FEW_RANGES } else { RANGES }
    }

    /// An event came; whether it is new.
    pub fn event(&mut self, unit: &str, log: &str, seq: u64) -> bool {
        let most = self.most_ranges();
        let Some(log) = self.log(unit, log, seq) else {
            self.beyond.events = self.beyond.events.saturating_add(1);
            return true;
        };
        if log.have.contains(seq) {
            return false;
        }
        if !log.have.add_within(most, seq, seq) {
            self.beyond.events = self.beyond.events.saturating_add(1);
            return true;
        }
        log.begin = log.begin.min(seq);
        if seq <= log.low {
            // What was asked for comes; the rest is asked for when it ceases.
            (log.due, log.tries, log.vain_spans) = (None, 0, 0);
        }
        true
    }

    /// The unit says that it will not send some of `from..=to`; the others may still
    /// come.
    pub fn lost(&mut self, unit: &str, log: &str, from: u64, to: u64) {
        if from > to {
            return;
        }
        let most = self.most_ranges();
        let Some(log) = self.log(unit, log, from) else { return };
        let told = log.reported.add_within(most, from, to);
        let pieces = log.denied.within(from, to);
        if !log.excuse(most, pieces) || !told {
            self.beyond.excuses = self.beyond.excuses.saturating_add(1);
        }
    }

    /// The unit answers that it does not hold these numbers, or can never send them. What
    /// it was not asked for does not count.
    pub fn denied(&mut self, unit: &str, log: &str, without: &[(u64, u64)]) {
        let most = self.most_ranges();
        let Some(log) = self.logs.get_mut(&(unit.to_owned(), log.to_owned())) else { return };
        let before = log.excused.clone();
        let asked = without.iter().flat_map(|(from, to)| log.asked.within(*from, *to)).collect::<Vec<_>>();
        let mut room = true;
        for (from, to) in asked {
            room &= log.denied.add_within(most, from, to);
            let pieces = log.reported.within(from, to);
            room &= log.excuse(most, pieces);
        }
        if log.excused != before && log.denials < DENIALS {
            // That is an answer; the rest is asked for as if it were the first.
            log.denials += 1;
            (log.due, log.tries, log.vain_spans) = (None, 0, 0);
        }
        if !room {
            self.beyond.excuses = self.beyond.excuses.saturating_add(1);
        }
    }

    /// The unit says that it is done with everything up to `low` of its present
    /// journal.
    pub fn status(&mut self, unit: &str, log: &str, low: u64) {
        let name = log.to_owned();
        if let Some(log) = self.log(unit, log, low.saturating_add(1)) {
            log.low = log.low.max(low);
            self.current.insert(unit.to_owned(), name);
        }
    }

    /// The unit has connected: what it was asked before may have been lost on the
    /// way, so it is soon asked again, also for what was given up or excused.
    pub fn online(&mut self, unit: &str) {
        let Some(name) = self.current.get(unit) else { return };
        if let Some(log) = self.logs.get_mut(&(unit.to_owned(), name.clone())) {
            (log.due, log.tries, log.vain_spans, log.denials) = (None, 0, 0, 0);
            log.given_up = Ranges::default();
            (log.asked, log.denied, log.excused) = Default::default();
        }
    }

    /// All gaps, those given up among them.
    pub fn gaps(&self) -> Vec<Gap> {
        let all = self.logs.iter().flat_map(|((unit, name), log)| {
            log.missing().into_iter().map(move |(from, to)| Gap { unit: unit.clone(), log: name.clone(), from, to })
        });
        all.collect()
    }

    /// Numbers that are not missed: the unit has said that it lost them, and when asked
    /// that it does not hold them.
    pub fn excused(&self) -> Vec<Gap> {
        let all = self.logs.iter().flat_map(|((unit, name), log)| {
            let absent = log.have.missing(log.begin, log.low).into_iter();
            let pieces = absent.flat_map(|(from, to)| log.excused.within(from, to));
            pieces.map(move |(from, to)| Gap { unit: unit.clone(), log: name.clone(), from, to })
        });
        all.collect()
    }

    /// Whether the unit has said of some number of `gap` that it will not come.
    pub fn is_reported(&self, gap: &Gap) -> bool {
        let log = self.logs.get(&(gap.unit.clone(), gap.log.clone()));
        log.is_some_and(|log| !log.reported.within(gap.from, gap.to).is_empty())
    }

    /// How many numbers are missing.
    pub fn missing(&self) -> u64 {
        let lengths = self.logs.values().flat_map(Log::missing).map(|(from, to)| (to - from).saturating_add(1));
        lengths.fold(0, u64::saturating_add)
    }

    /// What to do at `now`. A unit can only be asked about its present journal.
    pub fn advise(&mut self, now: Duration) -> Vec<Advice> {
        let ranges = self.logs.values().map(Log::ranges);
        self.full = ranges.fold(0, usize::saturating_add) >= ALL_RANGES;
        let mut advice = Vec::new();
        // Those after the last one, then the others: each has its turn.
        let after = (Bound::Excluded(self.last_asked.clone()), Bound::Unbounded);
        let until = ..=self.last_asked.clone();
        for (unit, name) in self.current.range(after).chain(self.current.range(until)) {
            if advice.len() >= REQUESTS {
                break;
            }
            let Some(log) = self.logs.get_mut(&(unit.clone(), name.clone())) else { continue };
            if let Some((given_up, (from, to))) = log.advise(now) {
                let gap = Gap { unit: unit.clone(), log: name.clone(), from, to };
                advice.push(if given_up { Advice::GiveUp(gap) } else { Advice::Ask(gap) });
                self.last_asked.clone_from(unit);
            }
        }
        advice
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asked(ledger: &mut Ledger, seconds: u64) -> Vec<(u64, u64)> {
        let range = |advice| match advice {
            Advice::Ask(gap) => Some((gap.from, gap.to)),
            Advice::GiveUp(_) => None,
        };
        ledger.advise(at(seconds)).into_iter().filter_map(range).collect()
    }

    /// Numbers near those where arithmetic ends.
    fn edge() -> impl Strategy<Value = u64> {
        let of = |edge: u64| {
            (0..4u64, any::<bool>())
                .prop_map(move |(n, up)| if up { edge.saturating_add(n) } else { edge.saturating_sub(n) })
        };
        prop_oneof![of(1), of(5_000), of(1 << 53), of(1 << 63), of(u64::MAX), any::<u64>()]
    }

    #[test]
    fn a_gap_is_asked_for_and_lateness_is_not() {
        let mut ledger = Ledger::new(false);
        ledger.status("u", "a", 0);
        for seq in [1, 2, 5, 9] {
            assert!(ledger.event("u", "a", seq));
            assert!(!ledger.event("u", "a", seq));
        }
        assert_eq!(ledger.gaps(), []);
        ledger.status("u", "a", 5);
        assert_eq!(ledger.gaps(), [Gap { unit: "u".into(), log: "a".into(), from: 3, to: 4 }]);
        assert_eq!(asked(&mut ledger, 0), []);
        assert_eq!(asked(&mut ledger, 3), [(3, 4)]);
        assert_eq!(asked(&mut ledger, 4), []);
        ledger.event("u", "a", 3);
        assert_eq!(asked(&mut ledger, 5), [], "it comes");
        assert_eq!(asked(&mut ledger, 8), [(4, 4)]);
        ledger.lost("u", "a", 4, 4);
        ledger.denied("u", "a", &[(4, 4)]);
        assert_eq!((ledger.gaps(), asked(&mut ledger, 60)), (vec![], vec![]));
    }

    #[test]
    fn what_the_unit_says_it_lost_is_missing_until_it_was_asked_in_this_connection() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 9);
        ledger.lost("u", "a", 3, 6);
        ledger.status("u", "a", 9);
        let gap = |from, to| Gap { unit: "u".into(), log: "a".into(), from, to };
        assert_eq!(ledger.gaps(), [gap(1, 8)]);
        assert!(ledger.is_reported(&gap(1, 3)) && !ledger.is_reported(&gap(1, 2)) && !ledger.is_reported(&gap(7, 8)));
        ledger.denied("u", "a", &[(1, 8)]);
        assert_eq!(ledger.gaps(), [gap(1, 8)], "nobody asked");
        asked(&mut ledger, 0);
        assert_eq!(asked(&mut ledger, 3), [(1, 8)]);
        // It holds 4, and has more to say about 7 and 8 than that it lost them: nothing.
        ledger.denied("u", "a", &[(1, 3), (5, u64::MAX)]);
        assert_eq!(ledger.gaps(), [gap(1, 2), gap(4, 4), gap(7, 8)]);
        assert_eq!(ledger.excused(), [gap(3, 3), gap(5, 6)]);
        ledger.lost("u", "a", 1, 2);
        assert!(ledger.event("u", "a", 4) && ledger.event("u", "a", 5), "it has 5 after all");
        assert_eq!((ledger.gaps(), ledger.excused()), (vec![gap(7, 8)], vec![gap(1, 3), gap(6, 6)]));
        // In the next connection it has to say so again.
        ledger.online("u");
        assert_eq!(ledger.gaps(), [gap(1, 3), gap(6, 8)]);
        asked(&mut ledger, 20);
        assert_eq!(asked(&mut ledger, 23), [(1, 8)]);
        ledger.denied("u", "a", &[(1, 3), (6, 6)]);
        assert_eq!(ledger.gaps(), [gap(7, 8)]);
    }

    #[test]
    fn what_never_comes_is_given_up_in_the_end_and_said_once() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 3);
        ledger.status("u", "a", 3);
        let mut given_up = Vec::new();
        let mut requests = 0;
        for minute in 0..120 {
            for advice in ledger.advise(at(60 * minute)) {
                match advice {
                    Advice::Ask(_) => requests += 1,
                    Advice::GiveUp(gap) => given_up.push((gap.from, gap.to)),
                }
            }
        }
        assert_eq!((requests, given_up), (TRIES, vec![(1, 2)]));
        let gap = |from, to| Gap { unit: "u".into(), log: "a".into(), from, to };
        assert_eq!(ledger.gaps(), [gap(1, 2)], "it is still missing");
        assert!(ledger.event("u", "a", 2), "it came after all, and for the first time");
        assert_eq!((ledger.gaps(), asked(&mut ledger, 9000)), (vec![gap(1, 1)], vec![]));
        ledger.online("u");
        assert_eq!(asked(&mut ledger, 9001), []);
        assert_eq!(asked(&mut ledger, 9004), [(1, 1)], "a unit that was mended may have it");
    }

    #[test]
    fn what_a_lost_event_spans_may_still_come() {
        let mut ledger = Ledger::new(false);
        ledger.event("u", "a", 1);
        // The lowest class between 2 and 9 had to go; alerts between them wait.
        ledger.lost("u", "a", 2, 9);
        assert!(ledger.event("u", "a", 5));
        assert!(!ledger.event("u", "a", 5));
        ledger.status("u", "a", 9);
        asked(&mut ledger, 60);
        assert_eq!(asked(&mut ledger, 63), [(2, 9)]);
        ledger.denied("u", "a", &[(2, 4), (6, 9)]);
        assert_eq!((ledger.gaps(), asked(&mut ledger, 99)), (vec![], vec![]));
    }

    #[test]
    fn a_unit_that_comes_back_is_asked_again_at_once() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 3);
        ledger.status("u", "a", 3);
        // Killed again and again before it could answer.
        let requests = (0..300).filter(|second| !asked(&mut ledger, *second).is_empty()).count();
        assert!((3..8).contains(&requests), "{requests}");
        ledger.online("u");
        ledger.online("nobody");
        assert_eq!(asked(&mut ledger, 300), []);
        assert_eq!(asked(&mut ledger, 303), [(1, 2)]);
    }

    #[test]
    fn what_was_before_ones_time_is_not_missed_and_other_journals_are_their_own() {
        let mut ledger = Ledger::new(false);
        ledger.status("u", "a", 5_000);
        assert_eq!(ledger.gaps(), []);
        assert!(ledger.event("u", "b", 7));
        assert!(ledger.event("other", "b", 7));
        assert!(ledger.event("u", "a", 7));
    }

    #[test]
    fn the_largest_numbers_hurt_nobody() {
        let mut ledger = Ledger::new(true);
        for unit in ["u", "v"] {
            assert!(ledger.event(unit, "a", u64::MAX));
            assert!(!ledger.event(unit, "a", u64::MAX));
            ledger.status(unit, "a", u64::MAX);
            ledger.lost(unit, "b", 1, u64::MAX);
            ledger.status(unit, "b", u64::MAX);
        }
        assert_eq!(ledger.missing(), u64::MAX, "as many as can be counted");
        assert!(ledger.gaps().iter().all(|gap| gap.from == 1 && gap.to >= u64::MAX - 1), "{:?}", ledger.gaps());
    }

    #[test]
    fn a_unit_that_claims_too_much_is_not_asked_for_ever() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 7);
        ledger.status("u", "a", HIGHEST);
        let mut asked = Vec::new();
        for minute in 0..60 * 24 * 30 {
            for advice in ledger.advise(at(60 * minute)) {
                match advice {
                    Advice::Ask(gap) => {
                        assert!(gap.to - gap.from < SPAN);
                        asked.push(gap.from);
                    }
                    Advice::GiveUp(_) => {}
                }
            }
        }
        assert_eq!(asked.len(), (TRIES * VAIN_SPANS) as usize);
        assert!(asked.contains(&1) && asked.iter().any(|from| *from > HIGHEST - SPAN), "from both ends: {asked:?}");
        assert_eq!(ledger.missing(), HIGHEST - 1, "it is still missing");
        ledger.online("u");
        assert!(ledger.advise(at(1 << 40)).is_empty());
        assert_eq!(ledger.advise(at((1 << 40) + 3)).len(), 1, "a unit that was mended may have it");
    }

    #[test]
    fn all_that_a_unit_has_lost_is_asked_for_once_but_not_without_end() {
        for (lost, asks) in [(100_000, 100_000 / SPAN), (HIGHEST, u64::from(DENIALS + TRIES * VAIN_SPANS))] {
            let mut ledger = Ledger::new(true);
            ledger.lost("u", "a", 1, lost);
            ledger.status("u", "a", lost);
            let mut asked = 0;
            for second in 0..100_000 {
                for advice in ledger.advise(at(3 * second)) {
                    if let Advice::Ask(gap) = advice {
                        asked += 1;
                        ledger.denied("u", "a", &[(gap.from, gap.to)]);
                    }
                }
            }
            assert!(asked <= asks, "{asked} of {asks}");
            assert_eq!(ledger.gaps().is_empty(), lost == 100_000);
        }
    }

    #[test]
    fn what_a_unit_still_holds_is_reached_from_above_though_the_rest_is_gone() {
        let mut ledger = Ledger::new(true);
        ledger.status("u", "a", 1_000_000);
        // What it holds comes when it is asked for; the rest has made room.
        for second in (0..60 * 60 * 24 * 7).step_by(3) {
            for advice in ledger.advise(at(second)) {
                if let Advice::Ask(gap) = advice {
                    (gap.from.max(950_001)..=gap.to).for_each(|seq| assert!(ledger.event("u", "a", seq)));
                }
            }
        }
        let gap = Gap { unit: "u".into(), log: "a".into(), from: 1, to: 950_000 };
        assert_eq!(ledger.gaps(), [gap]);
    }

    #[test]
    fn journals_and_gaps_without_end_take_no_memory_and_lose_nothing() {
        let mut ledger = Ledger::new(false);
        for name in 0..10_000 {
            assert!(ledger.event("u", &name.to_string(), 1));
        }
        assert_eq!((ledger.logs.len(), ledger.beyond().logs), (LOGS, 10_000 - LOGS as u64));
        for n in 0..3 * RANGES as u64 {
            assert!(ledger.event("v", "a", 1 + 2 * n), "each is taken");
            ledger.lost("w", "a", 1 + 2 * n, 1 + 2 * n);
        }
        let kept = |unit: &str| ledger.logs.get(&(unit.into(), "a".into())).map(Log::ranges);
        assert_eq!((kept("v"), kept("w")), (Some(RANGES), Some(RANGES)));
        let beyond = 2 * RANGES as u64;
        assert_eq!((ledger.beyond().events, ledger.beyond().excuses), (beyond, beyond));
        assert!(!ledger.event("v", "a", 1), "what is remembered does not come twice");
        assert!(ledger.event("v", "a", 2) && !ledger.event("v", "a", 2), "and what closes a gap is remembered");
    }

    #[test]
    fn units_without_end_take_no_memory_and_each_has_its_turn() {
        let mut ledger = Ledger::new(true);
        for unit in 0..UNITS + 500 {
            assert!(ledger.event(&format!("{unit:06}"), "a", 5));
            ledger.status(&format!("{unit:06}"), "a", 5);
        }
        assert_eq!((ledger.logs.len(), ledger.current.len(), ledger.beyond().events), (UNITS, UNITS, 500));
        let mut asked = BTreeSet::new();
        for step in 0..2 * (UNITS / REQUESTS) as u64 {
            let advice = ledger.advise(at(10 + step / 20));
            assert!(advice.len() <= REQUESTS);
            asked.extend(advice.into_iter().filter_map(|advice| match advice {
                Advice::Ask(gap) => Some(gap.unit),
                Advice::GiveUp(_) => None,
            }));
        }
        assert_eq!(asked.len(), UNITS);
    }

    proptest! {
        #[test]
        fn whatever_units_say_is_taken_in(
            said in prop::collection::vec((0..3u8, 0..4u8, 0..6u8, edge(), edge()), 0..60), history: bool,
        ) {
            let mut ledger = Ledger::new(history);
            for (unit, log, what, a, b) in said {
                let (unit, log) = (unit.to_string(), log.to_string());
                match what {
                    0 => drop(ledger.event(&unit, &log, a)),
                    1 => ledger.lost(&unit, &log, a, b),
                    2 => ledger.status(&unit, &log, a),
                    3 => ledger.online(&unit),
                    4 => ledger.denied(&unit, &log, &[(a, b), (b, a)]),
                    _ => drop(ledger.advise(Duration::from_nanos(a))),
                }
            }
            let sum = ledger.gaps().iter().fold(0u64, |sum, gap| sum.saturating_add((gap.to - gap.from).saturating_add(1)));
            prop_assert_eq!(ledger.missing(), sum);
        }

        #[test]
        fn all_that_comes_is_new_once_and_all_that_is_missing_is_known(
            seqs in prop::collection::vec(1..80u64, 0..120), late in prop::collection::vec(1..80u64, 0..40),
            lost in prop::collection::vec((1..80u64, 0..5u64), 0..4), low in 0..90u64, answers in any::<bool>(),
        ) {
            let mut ledger = Ledger::new(true);
            let (mut seen, mut excused) = (BTreeSet::new(), BTreeSet::new());
            for (from, n) in lost {
                ledger.lost("u", "a", from, from + n);
                excused.extend(from..=from + n);
            }
            for seq in seqs {
                prop_assert_eq!(ledger.event("u", "a", seq), seen.insert(seq));
            }
            ledger.status("u", "a", low);
            let missing = |seen: &BTreeSet<u64>, excused: &BTreeSet<u64>| {
                (1..=low).filter(|n| !seen.contains(n) && !excused.contains(n)).collect::<Vec<_>>()
            };
            let gaps = |ledger: &Ledger| ledger.gaps().iter().flat_map(|gap| gap.from..=gap.to).collect::<Vec<_>>();
            // Before it is asked, the unit's word excuses nothing.
            ledger.denied("u", "a", &[(1, 90)]);
            prop_assert_eq!(gaps(&ledger), missing(&seen, &BTreeSet::new()));
            let mut requests = 0;
            for second in (0..4_000).step_by(3) {
                for range in asked(&mut ledger, second) {
                    requests += 1;
                    if answers {
                        ledger.denied("u", "a", &[range]);
                    }
                }
            }
            // One more where an answer excused some.
            prop_assert!(requests <= TRIES as usize + 1);
            if !answers {
                excused.clear();
            }
            // Nobody hopes for them any more, and they come.
            for seq in late {
                prop_assert_eq!(ledger.event("u", "a", seq), seen.insert(seq));
            }
            prop_assert_eq!(gaps(&ledger), missing(&seen, &excused));
        }
    }
}
