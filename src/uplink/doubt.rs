//! Which message it is that the broker hangs up on, where it does not say so. Networks
//! break all day, so one end of a connection says nothing; but what is never answered and
//! under way at each end is *doubtful*. Pure: the time is passed in.
//!
//! * A kind of message that is no event (the status, the subscription, health …) is doubtful
//!   when two connections in a row have ended without an answer to it. Then it goes *alone*:
//!   when nothing else is under way, and nothing else goes until it is answered. When
//!   connections that had answered something else end over it even so, twice, it is *held*
//!   for ten minutes, and everything else goes on without it. Then it is tried alone again.
//! * Events are many. When two connections in a row have ended without an answer to any, one
//!   message at a time is sent until one is taken; then one more with each that is. So the one
//!   that a broker hangs up on ends up alone, and `unwanted.rs` decides on it.
//!
//! A broker that answers nothing at all is not understood any better by leaving something out:
//! then everything is tried in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::unwanted::AGAIN;

/// Ends without an answer in a row after which something is doubtful.
const ENDS: u32 = 2;

/// Ends over what was alone, after which it is held.
const STRIKES: u32 = 2;

/// For so long: who reads these misses them soon, and a trial costs a connection at most.
const HELD_FOR: Duration = Duration::from_secs(600);

/// What is sent besides events, stills and files, of which the next one is as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Status,
    Commands,
    Health,
    HomeAssistant,
    Reply,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Status => "its status",
            Kind::Commands => "the subscription to its commands",
            Kind::Health => "its health",
            Kind::HomeAssistant => "what it tells Home Assistant",
            Kind::Reply => "replies to commands",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Case {
    /// Ends in a row without an answer.
    ends: u32,
    /// Those of connections that worked, over it alone.
    strikes: u32,
    /// How often it went alone.
    tries: u32,
    held_until: Option<Instant>,
}

impl Case {
    /// A connection that worked ended over it; whether it is held now, for the first time.
    fn strike(&mut self, now: Instant) -> bool {
        self.strikes += 1;
        let first = self.held_until.is_none();
        let held = self.strikes >= STRIKES;
        if held {
            // After that time, one is enough.
            (self.held_until, self.strikes) = (Some(now + HELD_FOR), STRIKES - 1);
        }
        held && first
    }
}

/// What is known of unanswered messages.
#[derive(Debug)]
pub(super) struct Doubt {
    cases: BTreeMap<Kind, Case>,
    /// Ends in a row with events under way and none answered.
    fruitless: u32,
    /// Messages that may be under way with events.
    reach: usize,
    /// This connection has answered something.
    works: bool,
    /// That one goes alone.
    alone: Option<Kind>,
}

/// What the end of a connection has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Something is doubtful: nothing that was under way may be repeated as it was.
    pub doubtful: bool,
    /// That one is held, for the first time.
    pub held: Option<Kind>,
}

impl Default for Doubt {
    fn default() -> Doubt {
        Doubt { cases: BTreeMap::new(), fruitless: 0, reach: usize::MAX, works: false, alone: None }
    }
}

impl Doubt {
    pub fn connected(&mut self) {
        (self.works, self.alone) = (false, None);
    }

    /// Something was answered, and of which kind it is if it is one of these.
    pub fn answered(&mut self, kind: Option<Kind>) {
        self.works = true;
        if let Some(kind) = kind {
            self.cases.remove(&kind);
            self.alone = self.alone.filter(|alone| *alone != kind);
        }
    }

    /// An event was answered.
    pub fn event_answered(&mut self) {
        self.answered(None);
        self.fruitless = 0;
        self.reach = self.reach.saturating_add(1);
    }

    /// Messages that may be under way, of `window`.
    pub fn reach(&self, window: usize) -> usize {
        self.reach.min(window)
    }

    /// Whether one message at a time is sent.
    pub fn is_careful(&self) -> bool {
        self.reach == 1
    }

    /// Whether nothing may be sent until something is answered.
    pub fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    fn must_be_alone(&self, kind: Kind) -> bool {
        self.is_careful() || self.cases.get(&kind).is_some_and(|case| case.ends >= ENDS)
    }

    /// Whether one of that kind may be sent; nothing else is under way if it is `quiet`, and
    /// nothing else could be sent now if it is `idle`.
    pub fn may_send(&self, kind: Kind, quiet: bool, idle: bool, now: Instant) -> bool {
        if self.alone.is_some() || self.held_until(kind).is_some_and(|until| now < until) {
            return false;
        }
        !self.must_be_alone(kind) || (quiet && (self.works || idle))
    }

    /// Until when it is held, if it is.
    pub fn held_until(&self, kind: Kind) -> Option<Instant> {
        self.cases.get(&kind)?.held_until
    }

    /// How often it went alone and was not answered.
    pub fn tries(&self, kind: Kind) -> u32 {
        self.cases.get(&kind).map_or(0, |case| case.tries)
    }

    /// One of that kind is sent.
    pub fn sent(&mut self, kind: Kind) {
        if self.must_be_alone(kind) {
            self.alone = Some(kind);
            let case = self.cases.entry(kind).or_default();
            case.tries = case.tries.saturating_add(1);
        }
    }

    /// The connection has ended, perhaps over one of these, or of so many events.
    pub fn ended(&mut self, kinds: &BTreeSet<Kind>, events: usize, now: Instant) -> Changed {
        let mut changed = Changed::default();
        let alone = self.alone.take();
        for kind in kinds {
            let case = self.cases.entry(*kind).or_default();
            case.ends = case.ends.saturating_add(1);
            changed.doubtful |= case.ends >= ENDS;
            if alone == Some(*kind) && self.works && case.strike(now) {
                changed.held = Some(*kind);
            }
        }
        if events > 0 {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        if self.fruitless >= ENDS {
            (self.reach, changed.doubtful) = (1, true);
        }
        changed
    }

    /// The broker has said that it ended the connection over one of these, and perhaps `for_size`;
    /// returns it if it is held, for the first time.
    pub fn blamed(&mut self, kind: Kind, for_size: bool, now: Instant) -> Option<Kind> {
        let works = self.works;
        self.alone = None;
        let case = self.cases.entry(kind).or_default();
        case.ends = case.ends.max(ENDS);
        if works && for_size && kind != Kind::Status {
            // It will not be smaller soon.
            let first = case.held_until.is_none();
            (case.held_until, case.strikes) = (Some(now + AGAIN), STRIKES - 1);
            return first.then_some(kind);
        }
        (works && case.strike(now)).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds<const N: usize>(kinds: [Kind; N]) -> BTreeSet<Kind> {
        BTreeSet::from(kinds)
    }

    #[test]
    fn what_two_connections_in_a_row_end_without_goes_alone_and_is_then_held() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        let all = kinds([Kind::Status, Kind::Health]);
        assert_eq!(doubt.ended(&all, 0, now), Changed::default(), "a network that breaks");
        doubt.connected();
        assert!(doubt.may_send(Kind::Health, false, false, now));
        doubt.sent(Kind::Health);
        assert!(!doubt.is_alone());
        doubt.answered(Some(Kind::Status));
        assert_eq!(doubt.ended(&kinds([Kind::Health]), 0, now), Changed { doubtful: true, held: None });
        for strike in 1..=STRIKES {
            doubt.connected();
            assert!(doubt.may_send(Kind::Status, false, false, now), "it was answered");
            assert!(!doubt.may_send(Kind::Health, true, false, now), "nothing was answered yet");
            doubt.answered(Some(Kind::Status));
            assert!(!doubt.may_send(Kind::Health, false, true, now), "something is under way");
            assert!(doubt.may_send(Kind::Health, true, false, now));
            doubt.sent(Kind::Health);
            assert!(doubt.is_alone() && !doubt.may_send(Kind::Status, true, true, now));
            let held = (strike == STRIKES).then_some(Kind::Health);
            assert_eq!(doubt.ended(&kinds([Kind::Health]), 0, now), Changed { doubtful: true, held });
        }
        doubt.connected();
        doubt.answered(Some(Kind::Status));
        assert!(!doubt.may_send(Kind::Health, true, true, now));
        let later = now + HELD_FOR;
        assert!(doubt.may_send(Kind::Health, true, true, later));
        doubt.sent(Kind::Health);
        assert_eq!(doubt.ended(&kinds([Kind::Health]), 0, later).held, None, "that was said");
        doubt.connected();
        doubt.answered(Some(Kind::Status));
        assert!(!doubt.may_send(Kind::Health, true, true, later), "once is enough");
        doubt.answered(Some(Kind::Health));
        assert!(doubt.may_send(Kind::Health, false, false, later));
    }

    #[test]
    fn what_the_broker_calls_too_large_is_held_for_an_hour_at_once() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        doubt.connected();
        assert_eq!(doubt.blamed(Kind::Health, true, now), None, "it calls everything so");
        doubt.answered(Some(Kind::Status));
        assert_eq!(doubt.blamed(Kind::Status, true, now), None, "the smallest there is");
        assert_eq!(doubt.blamed(Kind::Health, true, now), Some(Kind::Health));
        assert_eq!(doubt.held_until(Kind::Health), Some(now + AGAIN));
        assert_eq!(doubt.blamed(Kind::Health, true, now + AGAIN), None, "that was said");
    }

    #[test]
    fn a_broker_that_answers_nothing_says_nothing_of_any_message() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        for end in 0..50 {
            doubt.connected();
            assert!(end < 2 || !doubt.may_send(Kind::Status, true, false, now), "others first");
            assert!(doubt.may_send(Kind::Status, true, true, now), "if there are any");
            doubt.sent(Kind::Status);
            assert_eq!(doubt.ended(&kinds([Kind::Status]), 0, now).held, None);
        }
        assert_eq!(doubt.tries(Kind::Status), 48);
    }

    #[test]
    fn events_go_one_at_a_time_when_none_is_answered_and_then_ever_more() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        assert_eq!((doubt.ended(&kinds([]), 5, now), doubt.reach(60)), (Changed::default(), 60));
        doubt.event_answered();
        assert_eq!((doubt.ended(&kinds([]), 5, now), doubt.reach(60)), (Changed::default(), 60), "some come through");
        assert!(doubt.ended(&kinds([]), 5, now).doubtful);
        assert_eq!(doubt.reach(60), 1);
        assert!(!doubt.may_send(Kind::Health, false, true, now), "nor anything else beside it");
        for taken in 2..=80 {
            doubt.event_answered();
            assert_eq!(doubt.reach(60), taken.min(60));
        }
    }
}
