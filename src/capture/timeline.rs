//! From a stream's own time stamps to the pipeline's time line. Pure: arrival
//! times are passed in.
//!
//! A recording's time is its own: [`FileTimeline`]. A live camera's stamps run
//! on a clock of unknown origin that drifts; packets arrive after them with a
//! delay that varies. The smallest delay seen is the best estimate of the
//! offset between both clocks: [`LiveTimeline`].

use std::time::Duration;

use crate::domain::Mono;

/// A jump of a recording's time stamps beyond this is damage, not a pause.
const MAX_FILE_GAP: Duration = Duration::from_secs(3600);
/// Two clocks drift apart by less than this (crystals: some 50 ppm).
const MAX_DRIFT_PPM: i64 = 200;
/// Delays above the smallest one beyond this mean that the camera's clock
/// was set, not that the network was slow.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// A stream's time unit.
#[derive(Debug, Clone, Copy)]
pub struct TimeBase {
    /// Seconds are `stamp * numerator / denominator`.
    pub numerator: i32,
    /// Not zero.
    pub denominator: i32,
}

impl TimeBase {
    /// Microseconds for `stamp`, saturating.
    pub fn micros(self, stamp: i64) -> i64 {
        let us = i128::from(stamp) * 1_000_000 * i128::from(self.numerator) / i128::from(self.denominator.max(1));
        us.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
    }

    /// The stamp for so many microseconds, saturating.
    pub fn stamp(self, micros: u64) -> i64 {
        let units = i128::from(micros) * i128::from(self.denominator) / (1_000_000 * i128::from(self.numerator.max(1)));
        i64::try_from(units).unwrap_or(i64::MAX / 4)
    }
}

/// Media time of a recording's frames: never runs backwards, and survives
/// missing, repeated and absurd time stamps by counting frames.
#[derive(Debug, Clone)]
pub struct FileTimeline {
    start: Mono,
    interval: Duration,
    /// Stamp and media time of the last frame.
    last: Option<(Option<i64>, Mono)>,
}

impl FileTimeline {
    /// The first frame is at `start`; `interval` serves where stamps do not.
    pub fn new(start: Mono, interval: Option<Duration>) -> FileTimeline {
        let plausible = |d: &Duration| *d >= Duration::from_millis(1) && *d <= Duration::from_secs(60);
        FileTimeline { start, interval: interval.filter(plausible).unwrap_or(Duration::from_millis(40)), last: None }
    }

    /// The media time of the next frame, whose stamp is `pts_us`.
    pub fn at(&mut self, pts_us: Option<i64>) -> Mono {
        let at = match self.last {
            None => self.start,
            Some((Some(previous), at)) => match pts_us.map(|pts| pts.saturating_sub(previous)) {
                Some(step) if step > 0 && step as u128 <= MAX_FILE_GAP.as_micros() => {
                    at.plus(Duration::from_micros(step as u64))
                }
                _ => at.plus(self.interval),
            },
            Some((None, at)) => at.plus(self.interval),
        };
        self.last = Some((pts_us, at));
        at
    }

    /// There is a frame stamped `pts_us`, whether or not it is ever decoded.
    pub fn pass(&mut self, pts_us: Option<i64>) {
        if let (Some(pts), Some((Some(last), _))) = (pts_us, self.last)
            && pts > last
        {
            self.at(pts_us);
        }
    }

    /// Where a recording that follows this one starts.
    pub fn end(&self) -> Mono {
        self.last.map_or(self.start, |(_, at)| at.plus(self.interval))
    }
}

/// CLOCK_BOOTTIME of a live camera's frames.
#[derive(Debug, Clone, Default)]
pub struct LiveTimeline {
    /// Smallest `arrival - stamp` seen, and when it was last looked at.
    offset: Option<(i64, Mono)>,
    last: Mono,
}

impl LiveTimeline {
    /// A packet stamped `pts_us` arrived.
    pub fn observe(&mut self, pts_us: Option<i64>, arrival: Mono) {
        let Some(pts) = pts_us else { return };
        let delay = i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX).saturating_sub(pts);
        self.offset = Some(match self.offset {
            None => (delay, arrival),
            Some((smallest, since)) => {
                // The smallest delay is allowed to grow as fast as clocks
                // drift, so that it does not stay too small for ever.
                let elapsed_us = i64::try_from(arrival.since(since).as_micros()).unwrap_or(i64::MAX);
                let relaxed = smallest.saturating_add(elapsed_us / 1_000_000 * MAX_DRIFT_PPM);
                let jumped = delay.saturating_sub(relaxed).unsigned_abs() > MAX_DELAY.as_micros() as u64;
                if jumped || delay <= relaxed {
                    (delay, arrival)
                } else if elapsed_us >= 1_000_000 {
                    (relaxed, arrival)
                } else {
                    (smallest, since)
                }
            }
        });
    }

    /// When the frame stamped `pts_us` was taken; never after `now`, never
    /// before the frame before it.
    pub fn at(&mut self, pts_us: Option<i64>, now: Mono) -> Mono {
        let mapped = match (pts_us, self.offset) {
            (Some(pts), Some((offset, _))) => Mono::from_micros(u64::try_from(pts.saturating_add(offset)).unwrap_or(0)),
            _ => now,
        };
        let far_off = now.since(mapped) > MAX_DELAY * 6;
        let at = if far_off { now } else { mapped.min(now) };
        self.last = self.last.max(at).min(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_recording_starts_at_its_start_whatever_its_stamps() {
        let mut line = FileTimeline::new(Mono::from_secs_f64(100.0), Some(Duration::from_millis(100)));
        assert_eq!(line.at(Some(5_000_000)), Mono::from_secs_f64(100.0));
        assert_eq!(line.at(Some(5_040_000)), Mono::from_secs_f64(100.04));
        assert_eq!(line.at(None), Mono::from_secs_f64(100.14));
        assert_eq!(line.at(Some(i64::MAX / 4)), Mono::from_secs_f64(100.24), "absurd stamps count as one frame");
        assert_eq!(line.at(Some(0)), Mono::from_secs_f64(100.34));
        assert_eq!(line.at(Some(40_000)), Mono::from_secs_f64(100.38), "and good ones are followed again");
    }

    #[test]
    fn a_late_packet_does_not_move_the_time_of_its_frame() {
        let mut line = LiveTimeline::default();
        let arrival = |pts: i64, delay: i64| Mono::from_micros((pts + 50_000_000 + delay) as u64);
        for (i, delay) in [30_000, 10_000, 12_000, 400_000, 11_000].into_iter().enumerate() {
            let pts = i as i64 * 1_000_000;
            line.observe(Some(pts), arrival(pts, delay));
            let at = line.at(Some(pts), arrival(pts, delay));
            if i > 0 {
                let error = at.as_micros() as i64 - (pts + 50_010_000);
                assert!(error.abs() < 2_000, "frame {i} is off by {error} us");
            }
        }
    }

    #[test]
    fn a_camera_whose_clock_is_set_is_followed() {
        let mut line = LiveTimeline::default();
        line.observe(Some(0), Mono::from_secs_f64(100.0));
        assert_eq!(line.at(Some(0), Mono::from_secs_f64(100.0)), Mono::from_secs_f64(100.0));
        for step in [1_000_000_000_000i64, -7_000_000_000] {
            line.observe(Some(step), Mono::from_secs_f64(101.0));
            assert_eq!(line.at(Some(step), Mono::from_secs_f64(101.0)), Mono::from_secs_f64(101.0));
        }
    }

    proptest! {
        #[test]
        fn time_never_runs_backwards(stamps in prop::collection::vec(prop::option::of(any::<i64>()), 1..50)) {
            let base = TimeBase { numerator: 1, denominator: 90_000 };
            let mut file = FileTimeline::new(Mono::ZERO, None);
            let mut live = LiveTimeline::default();
            let (mut last_file, mut last_live) = (Mono::ZERO, Mono::ZERO);
            for (i, stamp) in stamps.into_iter().enumerate() {
                let now = Mono::from_micros(1_000_000 + i as u64 * 40_000);
                let us = stamp.map(|s| base.micros(s));
                let at = file.at(us);
                prop_assert!(i == 0 || at > last_file);
                last_file = at;
                live.observe(us, now);
                let at = live.at(us, now);
                prop_assert!(at >= last_live && at <= now);
                last_live = at;
            }
        }
    }
}
