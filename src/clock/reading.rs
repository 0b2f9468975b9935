//! The pure part: from a point on the monotonic time line to UTC.

use crate::domain::{Mono, UtcMillis};
use crate::event::{Stamp, TimeSource};

/// Both clocks read at one moment, and what vouches for UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_BOOTTIME.
    pub mono: Mono,
    /// UTC at that moment, as estimated.
    pub utc: UtcMillis,
    /// What vouches for `utc`.
    pub source: TimeSource,
    /// ± milliseconds; `None` if nobody knows.
    pub uncertainty_ms: Option<u32>,
    /// The first 32 bits of the boot id.
    pub boot: u32,
}

impl Reading {
    /// When `at` was (or will be): `utc − (mono − at)`. The clocks' drift
    /// between `at` and the reading is neglected: seconds lie between them,
    /// not days.
    pub fn stamp(&self, at: Mono) -> Stamp {
        let ahead_us = i128::from(at.as_micros()) - i128::from(self.mono.as_micros());
        let ahead_ms = i64::try_from(ahead_us.div_euclid(1000)).unwrap_or(i64::MAX);
        Stamp {
            t: UtcMillis(self.utc.0.saturating_add(ahead_ms)),
            uncertainty_ms: self.uncertainty_ms,
            source: self.source,
            boot: self.boot,
            mono_ms: at.as_millis(),
        }
    }
}

/// A recording's time line: media time, counted from `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingClock {
    /// UTC of media time zero.
    pub start: UtcMillis,
}

impl RecordingClock {
    /// `start` plus media time; nothing vouches for it but the file.
    pub fn stamp(&self, at: Mono) -> Stamp {
        Stamp {
            t: UtcMillis(self.start.0.saturating_add(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))),
            uncertainty_ms: None,
            source: TimeSource::File,
            boot: 0,
            mono_ms: at.as_millis(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(mono_us: u64, utc: i64) -> Reading {
        Reading {
            mono: Mono::from_micros(mono_us),
            utc: UtcMillis(utc),
            source: TimeSource::Ntp,
            uncertainty_ms: Some(12),
            boot: 7,
        }
    }

    #[test]
    fn an_event_of_two_seconds_ago_is_two_seconds_before_now() {
        let stamp = reading(10_000_000, 1_700_000_000_000).stamp(Mono::from_micros(8_000_000));
        assert_eq!(stamp.t, UtcMillis(1_699_999_998_000));
        assert_eq!((stamp.mono_ms, stamp.boot, stamp.uncertainty_ms), (8_000, 7, Some(12)));
    }

    #[test]
    fn a_recording_counts_from_its_start() {
        let stamp = RecordingClock { start: UtcMillis(1_000) }.stamp(Mono::from_micros(2_500_999));
        assert_eq!((stamp.t, stamp.source, stamp.uncertainty_ms), (UtcMillis(3_500), TimeSource::File, None));
    }

    proptest! {
        #[test]
        fn later_is_never_earlier(now in any::<u64>(), utc in any::<i64>(), a in any::<u64>(), b in any::<u64>()) {
            let r = reading(now, utc);
            let (first, second) = (a.min(b), a.max(b));
            prop_assert!(r.stamp(Mono::from_micros(first)).t <= r.stamp(Mono::from_micros(second)).t);
        }
    }
}
