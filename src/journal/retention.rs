//! What is removed, and when: delivered events when they are old or the journal
//! is full; undelivered ones only when it is full and nothing else is left, the
//! oldest of the lowest class first, and never without a `lost` event that says
//! so. Pure: sizes, numbers and times come in, the next step goes out.
//!
//! Old means by the unit's own running time, which nobody outside can move: what is
//! deleted stays deleted when a time server turns out to have lied.
//!
//! Looking for what is settled among 100,000 events that are not costs reading;
//! so a step looks at a bounded number of rows and the next one goes on from
//! there. What is settled meanwhile further back moves the place back.

use std::time::{Duration, Instant};

use crate::clock::RunningMs;

/// How often old events are looked for.
pub(super) const AGE_INTERVAL: Duration = Duration::from_secs(3600);

/// How much the journal may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Delivered events that are older go, by the unit's running time.
    pub keep: Duration,
    /// Bytes that events may take.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { keep: Duration::from_secs(90 * 86_400), max_bytes: 256 << 20 }
    }
}

impl Limits {
    /// Bytes by which undelivered events are given up at once: enough that the
    /// `lost` events do not fill what they make room for.
    fn chunk(&self) -> u64 {
        (self.max_bytes / 256).max(2048).min(self.max_bytes / 4)
    }
}

/// What to remove next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Settled events with numbers above `after` that were settled before that moment.
    Aged { after: u64, before: RunningMs },
    /// Settled events with numbers above `after`, so many bytes of them.
    Settled { after: u64, bytes: u64 },
    /// Undelivered events, so many bytes of them.
    GiveUp { bytes: u64 },
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removed {
    /// How many events went.
    pub events: u64,
    /// Everything up to this number was looked at.
    pub seen: u64,
    /// Nothing further on is worth a look at present.
    pub end: bool,
}

/// The state between steps.
#[derive(Debug)]
pub(super) struct Retention {
    limits: Limits,
    /// Up to here nothing settled is left.
    searched: u64,
    /// No settled event is left at all.
    exhausted: bool,
    /// Being reduced to this size.
    target: Option<u64>,
    /// Where the search for old events stands.
    aging: Option<u64>,
    aged_at: Option<Instant>,
}

impl Retention {
    /// Nothing is known about the journal yet.
    pub fn new(limits: Limits) -> Retention {
        Retention { limits, searched: 0, exhausted: false, target: None, aging: None, aged_at: None }
    }

    /// What to do now that the events take `bytes` and the unit has run so long.
    pub fn next(&mut self, bytes: u64, running: RunningMs, now: Instant) -> Option<Step> {
        if bytes > self.limits.max_bytes {
            // Some more at once, so that not every event has to remove one.
            self.target.get_or_insert(self.limits.max_bytes - self.limits.max_bytes / 32);
        }
        if let Some(target) = self.target {
            if bytes > target && !self.exhausted {
                return Some(Step::Settled { after: self.searched, bytes: bytes - target });
            }
            self.target = None;
        }
        if bytes > self.limits.max_bytes {
            // Less at a time of what nobody has yet.
            return Some(Step::GiveUp { bytes: bytes - (self.limits.max_bytes - self.limits.chunk()) });
        }
        self.next_aged(running, now)
    }

    fn next_aged(&mut self, running: RunningMs, now: Instant) -> Option<Step> {
        let due = self.aged_at.is_none_or(|at| now.saturating_duration_since(at) >= AGE_INTERVAL);
        let before = running.minus(self.limits.keep)?;
        if self.aging.is_none() && due {
            (self.aging, self.aged_at) = (Some(0), Some(now));
        }
        self.aging.map(|after| Step::Aged { after, before })
    }

    /// Whether the search for old events is under way.
    pub fn is_aging(&self) -> bool {
        self.aging.is_some()
    }

    /// Room is needed for `bytes` more, whatever the limits say; only what is
    /// settled goes for that.
    pub fn make_room(&self, bytes: u64) -> Option<Step> {
        (!self.exhausted).then_some(Step::Settled { after: self.searched, bytes })
    }

    /// `step` has been taken.
    pub fn done(&mut self, step: Step, removed: Removed) {
        match step {
            Step::Aged { .. } => self.aging = (!removed.end).then_some(removed.seen),
            Step::Settled { .. } => {
                self.searched = removed.seen;
                self.exhausted = removed.end;
            }
            Step::GiveUp { .. } => {}
        }
    }

    /// Event `seq` is settled now, and may go.
    pub fn settled(&mut self, seq: u64) {
        self.searched = self.searched.min(seq.saturating_sub(1));
        self.exhausted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { keep: Duration::from_secs(1000), max_bytes: 32_000 };
    const YOUNG: RunningMs = RunningMs(999_999);

    #[test]
    fn a_full_journal_removes_what_is_settled_and_then_what_is_not() {
        let now = Instant::now();
        let mut retention = Retention::new(LIMITS);
        assert_eq!(retention.next(32_000, YOUNG, now), None);
        let step = retention.next(32_100, YOUNG, now);
        assert_eq!(step, Some(Step::Settled { after: 0, bytes: 1_100 }));
        retention.done(Step::Settled { after: 0, bytes: 1_100 }, Removed { events: 1, seen: 7, end: false });
        assert_eq!(retention.next(31_500, YOUNG, now), Some(Step::Settled { after: 7, bytes: 500 }));
        retention.done(Step::Settled { after: 7, bytes: 500 }, Removed { events: 0, seen: 9, end: true });
        assert_eq!(retention.next(31_500, YOUNG, now), None, "what is undelivered stays while there is room");
        assert_eq!(retention.next(32_100, YOUNG, now), Some(Step::GiveUp { bytes: 2148 }));
        retention.settled(4);
        assert_eq!(retention.next(32_100, YOUNG, now), Some(Step::Settled { after: 3, bytes: 1_100 }));
    }

    #[test]
    fn nothing_is_old_before_the_unit_has_run_for_so_long_and_then_it_is_looked_for_hourly() {
        let now = Instant::now();
        let mut retention = Retention::new(LIMITS);
        assert_eq!(retention.next(10, YOUNG, now), None);
        let step = Step::Aged { after: 0, before: RunningMs(500) };
        assert_eq!(retention.next(10, RunningMs(1_000_500), now), Some(step));
        retention.done(step, Removed { events: 5, seen: 100, end: false });
        let on = Step::Aged { after: 100, before: RunningMs(501) };
        assert_eq!(retention.next(10, RunningMs(1_000_501), now), Some(on));
        retention.done(step, Removed { events: 0, seen: 150, end: true });
        assert_eq!(retention.next(10, RunningMs(1_000_502), now), None);
        let later = now + AGE_INTERVAL;
        assert!(matches!(retention.next(10, RunningMs(4_600_500), later), Some(Step::Aged { after: 0, .. })));
    }
}
