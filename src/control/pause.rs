//! A pause: for a while nothing is watched. It always has an end, and outlives a
//! restart of the program and of the machine.
//!
//! While the machine runs, CLOCK_BOOTTIME says when it is over, whatever happens to
//! the clock. After a reboot what is left is computed from UTC as the unit knows
//! it, which may then be too early (never before the last time it was known to be
//! alive); so a pause that was carried over ends as soon as a time that something
//! vouches for is past its end, and lasts no longer than it may in any case.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Reading;
use crate::domain::{Mono, UtcMillis};

/// No pause is shorter.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A pause that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The boot in which `end_us` counts.
    boot: u32,
    /// Its end, CLOCK_BOOTTIME in microseconds.
    end_us: u64,
    /// The same in UTC, as it was known at the beginning.
    until: UtcMillis,
    /// Who ordered it.
    pub by: String,
    /// Began in an earlier boot.
    #[serde(default)]
    carried: bool,
}

impl Pause {
    /// Begins at `now`; `duration` is cut to what a pause may last.
    pub fn begin(now: &Reading, duration: Duration, by: &str) -> Pause {
        let duration = duration.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        Pause {
            boot: now.boot,
            end_us: now.mono.plus(duration).as_micros(),
            until: now.utc.plus(duration),
            by: by.to_owned(),
            carried: false,
        }
    }

    /// When it ends, in this boot.
    pub fn end(&self) -> Mono {
        Mono::from_micros(self.end_us)
    }

    /// When it ends, as it was announced.
    pub fn until(&self) -> UtcMillis {
        self.until
    }

    /// After a restart of the program: what is left of it.
    pub fn resumed(self, now: &Reading) -> Pause {
        if self.boot == now.boot {
            return Pause { end_us: self.end_us.min(now.mono.plus(LONGEST_PAUSE).as_micros()), ..self };
        }
        let left = u64::try_from(self.until.0.saturating_sub(now.utc.0)).unwrap_or(0);
        let left = Duration::from_millis(left).min(LONGEST_PAUSE);
        Pause { boot: now.boot, end_us: now.mono.plus(left).as_micros(), carried: true, ..self }
    }

    /// Whether it is over at `now`.
    pub fn is_over(&self, now: &Reading) -> bool {
        let vouched = now.source.is_vouched();
        now.mono >= self.end() || (self.carried && vouched && now.utc >= self.until)
    }
}

/// Whether nothing is watched at present; for every thread that has to know.
#[derive(Debug, Default)]
pub struct PauseSwitch {
    /// CLOCK_BOOTTIME in microseconds; 0 for none.
    end_us: AtomicU64,
}

impl PauseSwitch {
    /// On until then, or off.
    pub fn set(&self, end: Option<Mono>) {
        self.end_us.store(end.map_or(0, Mono::as_micros), Ordering::Release);
    }

    /// What is left at `now`; `None` while things are watched.
    pub fn left(&self, now: Mono) -> Option<Duration> {
        let end = Mono::from_micros(self.end_us.load(Ordering::Acquire));
        (now < end).then(|| end.since(now))
    }

    /// Whether nothing is watched at `now`.
    pub fn is_on(&self, now: Mono) -> bool {
        self.left(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TimeSource;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn reading(boot: u32, mono_s: u64, utc_s: i64, source: TimeSource) -> Reading {
        Reading {
            mono: Mono::from_micros(mono_s * 1_000_000),
            utc: UtcMillis(utc_s * 1_000),
            source,
            uncertainty_ms: None,
            boot,
        }
    }

    #[test]
    fn while_the_machine_runs_no_clock_can_shorten_or_stretch_it() {
        let pause = Pause::begin(&reading(1, 100, 1_000, TimeSource::None), HOUR, "alice");
        assert_eq!(pause.until(), UtcMillis(4_600_000));
        for (mono_s, utc_s, over) in [(101, 99_999, false), (3_699, 0, false), (3_700, 0, true)] {
            assert_eq!(pause.is_over(&reading(1, mono_s, utc_s, TimeSource::Ntp)), over, "{mono_s}");
        }
        let again = pause.clone().resumed(&reading(1, 200, 0, TimeSource::Ntp));
        assert_eq!(again, pause);
    }

    #[test]
    fn a_reboot_takes_what_is_left_by_the_time_that_is_known() {
        let pause = Pause::begin(&reading(1, 100, 1_000, TimeSource::Ntp), HOUR, "alice");
        // Ten minutes of it were left at the last time known.
        let carried = pause.clone().resumed(&reading(2, 5, 4_000, TimeSource::None));
        assert_eq!(carried.end(), Mono::from_micros(605_000_000));
        assert!(!carried.is_over(&reading(2, 600, 9_999, TimeSource::None)), "a guess ends nothing");
        assert!(carried.is_over(&reading(2, 6, 4_600, TimeSource::Ntp)), "a known time does");
        assert!(carried.is_over(&reading(2, 605, 0, TimeSource::None)));
        assert!(pause.resumed(&reading(2, 5, 4_600, TimeSource::None)).is_over(&reading(
            2,
            5,
            4_600,
            TimeSource::None
        )));
    }

    #[test]
    fn the_switch_turns_itself_off() {
        let at = |seconds: u64| Mono::from_micros(seconds * 1_000_000);
        let switch = PauseSwitch::default();
        assert!(!switch.is_on(at(0)));
        switch.set(Some(at(10)));
        assert_eq!((switch.left(at(4)), switch.is_on(at(10))), (Some(Duration::from_secs(6)), false));
        switch.set(None);
        assert!(!switch.is_on(at(4)));
    }

    proptest! {
        #[test]
        fn it_always_has_an_end(
            seconds in 0..u64::MAX / 2_000_000,
            steps in prop::collection::vec((any::<bool>(), 0..100_000u64, -4_000_000_000i64..4_000_000_000), 1..6),
        ) {
            let mut now = reading(1, 50, 1_000, TimeSource::None);
            let mut pause = Pause::begin(&now, Duration::from_secs(seconds), "alice");
            for (reboot, passed, utc_s) in steps {
                let mono_s = if reboot { passed } else { now.mono.as_secs_f64() as u64 + passed };
                now = reading(now.boot + u32::from(reboot), mono_s, utc_s, TimeSource::None);
                pause = pause.resumed(&now);
                prop_assert!(pause.end() <= now.mono.plus(LONGEST_PAUSE));
            }
            let later = Reading { mono: now.mono.plus(LONGEST_PAUSE), ..now };
            prop_assert!(pause.is_over(&later));
        }
    }
}
