//! How long the unit has run: the only clock by which anything is deleted for being old.
//! Pure.
//!
//! CLOCK_BOOTTIME, summed over the starts of the program, begins with the first start
//! that knows a journal and never ends. Nobody outside can move it: neither who answers
//! for a time server, nor a battery that runs empty, nor `date`. It may be too small
//! (what a power cut kept from being noted, what passed while the unit was off or between
//! the machine's start and the program's), which only means that something is kept
//! longer; it is never too large.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keeper::DRIFT_PPM;
use crate::domain::{Mono, UtcMillis};

/// A moment in the unit's own running time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunningMs(pub u64);

impl RunningMs {
    /// Time since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: RunningMs) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// What is from before this moment is older than `keep`; `None` while nothing can be.
    pub fn minus(self, keep: Duration) -> Option<RunningMs> {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.0.checked_sub(keep).map(RunningMs)
    }
}

/// Where the running time stands, by CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunningTime {
    /// CLOCK_BOOTTIME then.
    at: Mono,
    /// The running time then.
    was: RunningMs,
}

impl RunningTime {
    /// Begins at `now`.
    pub fn begin(now: Mono) -> RunningTime {
        RunningTime { at: now, was: RunningMs(0) }
    }

    /// Goes on at `now` from what was noted at `noted`, in the same boot or another.
    ///
    /// In the same boot what passed since is known. In another it counts from now on:
    /// that CLOCK_BOOTTIME began with the boot is not true in every container.
    pub fn resume(was: RunningMs, noted: Option<Mono>, now: Mono) -> RunningTime {
        RunningTime { at: noted.unwrap_or(now).min(now), was }
    }

    /// The running time at `now`.
    pub fn at(&self, now: Mono) -> RunningMs {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        RunningMs(self.was.0.saturating_add(passed))
    }
}

/// A time that is proven to be over, whatever the unit's clocks say: that of the
/// program's making, or of the making of a certificate that an authority has signed, and
/// the running time since. No time server, system clock or battery clock has a word in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenTime {
    /// UTC, milliseconds since 1970.
    t_ms: i64,
    /// When that was known to be over.
    since: RunningMs,
}

impl ProvenTime {
    /// `t` is over at `now`.
    pub fn new(t: UtcMillis, now: RunningMs) -> ProvenTime {
        ProvenTime { t_ms: t.0, since: now }
    }

    /// It is at least this at `now`: a quartz may be too fast.
    pub fn at(&self, now: RunningMs) -> UtcMillis {
        let passed = i64::try_from(now.since(self.since).as_millis()).unwrap_or(i64::MAX);
        let sure = passed.saturating_sub(passed / (1_000_000 / DRIFT_PPM));
        UtcMillis(self.t_ms.saturating_add(sure))
    }

    /// The one that says more at `now`.
    pub fn later(self, other: ProvenTime, now: RunningMs) -> ProvenTime {
        if other.at(now) > self.at(now) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn it_goes_on_in_the_same_boot_and_never_counts_what_nobody_knows() {
        let first = RunningTime::begin(at(1_000));
        assert_eq!((first.at(at(1_000)), first.at(at(1_060))), (RunningMs(0), RunningMs(60_000)));
        let noted = first.at(at(1_060));
        let same = RunningTime::resume(noted, Some(at(1_060)), at(5_000));
        assert_eq!(same.at(at(5_000)), RunningMs(4_000_000));
        let other = RunningTime::resume(noted, None, at(5_000));
        assert_eq!((other.at(at(5_000)), other.at(at(5_001))), (RunningMs(60_000), RunningMs(61_000)));
        // A clock that went back, in what calls itself the same boot.
        let back = RunningTime::resume(noted, Some(at(9_000)), at(10));
        assert_eq!(back.at(at(10)), RunningMs(60_000));
    }

    #[test]
    fn nothing_is_old_before_the_unit_has_run_so_long() {
        assert_eq!(RunningMs(999).minus(Duration::from_secs(1)), None);
        assert_eq!(RunningMs(1_500).minus(Duration::from_secs(1)), Some(RunningMs(500)));
        assert_eq!(RunningMs(u64::MAX).minus(Duration::MAX), Some(RunningMs(0)));
    }

    #[test]
    fn what_is_proven_grows_a_little_slower_than_a_quartz_and_the_later_one_holds() {
        let day = 86_400_000;
        let proven = ProvenTime::new(UtcMillis(1_000), RunningMs(5));
        assert_eq!(proven.at(RunningMs(0)), UtcMillis(1_000));
        assert_eq!(proven.at(RunningMs(5 + day)), UtcMillis(1_000 + day as i64 - 8_640));
        let earlier = ProvenTime::new(UtcMillis(2_000), RunningMs(5 + day));
        assert_eq!(proven.later(earlier, RunningMs(5 + day)), proven);
        let later = ProvenTime::new(UtcMillis(day as i64), RunningMs(5 + day));
        assert_eq!(proven.later(later, RunningMs(5 + day)), later);
        let _ = ProvenTime::new(UtcMillis(i64::MAX), RunningMs(0)).at(RunningMs(u64::MAX));
    }
}
