//! What a camera really watched, so that "no events" can be believed. Pure.

use std::time::Duration;

use crate::domain::Mono;

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(3600);
/// A pause between pictures beyond this is blindness, and so is one that is so many
/// times the usual one, but for the shortest.
const BLIND_AFTER: Duration = Duration::from_secs(5);
const UNUSUAL: u32 = 3;
const USUAL_AT_LEAST: Duration = Duration::from_secs(1);
/// How slowly the usual pause follows those that are not.
const FOLLOWS: u32 = 8;

/// One interval, as reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    /// Start of the interval.
    pub from: Mono,
    /// Its end.
    pub to: Mono,
    /// Frames that came in it.
    pub frames: u64,
    /// Time in it in which nothing was watched, pauses apart.
    pub blind: Duration,
    /// Time in it in which nothing was to be watched.
    pub paused: Duration,
}

/// Counts frames and gaps.
#[derive(Debug)]
pub struct Coverage {
    from: Mono,
    last: Mono,
    /// Since then there has been nothing to watch: no stream is open yet, or any more.
    out_of_sight: bool,
    /// The usual pause between pictures.
    usual: Duration,
    frames: u64,
    blind: Duration,
    paused: Duration,
    /// Since when nothing is to be watched.
    paused_since: Option<Mono>,
}

impl Coverage {
    /// Watching is to begin at `now`.
    pub fn new(now: Mono) -> Coverage {
        Coverage {
            from: now,
            last: now,
            out_of_sight: true,
            usual: Duration::ZERO,
            frames: 0,
            blind: Duration::ZERO,
            paused: Duration::ZERO,
            paused_since: None,
        }
    }

    /// A frame came. Whether it shows anything, [`Coverage::watched`] says.
    pub fn received(&mut self) {
        self.frames += 1;
    }

    /// The camera was watched at `at`: by a picture, or by packets that say that
    /// nothing moves.
    pub fn watched(&mut self, at: Mono) {
        let gap = at.since(self.last);
        if std::mem::take(&mut self.out_of_sight) || gap > self.longest_pause() {
            self.blind += gap;
        }
        if gap <= BLIND_AFTER {
            self.usual = self.usual + gap / FOLLOWS - self.usual / FOLLOWS;
        }
        self.last = self.last.max(at);
    }

    /// There is nothing to watch any more, since the last picture.
    pub fn lost(&mut self) {
        self.out_of_sight = true;
    }

    /// A pause between pictures that is no blindness yet.
    fn longest_pause(&self) -> Duration {
        (self.usual * UNUSUAL).clamp(USUAL_AT_LEAST, BLIND_AFTER)
    }

    /// Nothing is to be watched from `at` on.
    pub fn pause(&mut self, at: Mono) {
        if self.paused_since.is_none() {
            let out_of_sight = self.out_of_sight;
            self.watched(at);
            self.out_of_sight = out_of_sight;
            self.paused_since = Some(at);
        }
    }

    /// Watching goes on at `at`.
    pub fn resume(&mut self, at: Mono) {
        if let Some(since) = self.paused_since.take() {
            self.paused += at.since(since);
            self.last = self.last.max(at);
        }
    }

    /// The finished interval, when it is time for one.
    pub fn tick(&mut self, now: Mono) -> Option<Watched> {
        (now.since(self.from) >= INTERVAL).then(|| self.close(now))
    }

    /// The interval up to `now`; the next one begins.
    pub fn close(&mut self, now: Mono) -> Watched {
        let paused = self.paused_since.is_some();
        if paused {
            self.resume(now);
            self.paused_since = Some(now);
        } else if self.out_of_sight || now.since(self.last) > self.longest_pause() {
            let out_of_sight = self.out_of_sight;
            self.watched(now);
            self.out_of_sight = out_of_sight;
        }
        let watched = Watched { from: self.from, to: now, frames: self.frames, blind: self.blind, paused: self.paused };
        (self.from, self.frames, self.blind, self.paused) = (now, 0, Duration::ZERO, Duration::ZERO);
        watched
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_are_counted_and_gaps_are_blindness() {
        let at = Mono::from_secs_f64;
        let mut coverage = Coverage::new(at(0.0));
        for second in 0..=100 {
            coverage.received();
            coverage.watched(at(f64::from(second)));
        }
        coverage.received();
        coverage.watched(at(160.0));
        assert_eq!(coverage.tick(at(200.0)), None);
        let watched = coverage.close(at(200.0));
        assert_eq!((watched.frames, watched.blind), (102, Duration::from_secs(100)));
        assert_eq!((watched.from, watched.to), (at(0.0), at(200.0)));
        // A pause is neither watched nor blind, whatever the camera does.
        coverage.pause(at(210.0));
        let watched = coverage.close(at(240.0));
        assert_eq!((watched.blind, watched.paused), (Duration::from_secs(10), Duration::from_secs(30)));
        coverage.resume(at(300.0));
        let watched = coverage.close(at(304.0));
        assert_eq!((watched.blind, watched.paused), (Duration::from_secs(4), Duration::from_secs(60)));
        let mut coverage = Coverage::new(at(200.0));
        // A camera that never gives anything is blind all the time, across intervals.
        let hour = coverage.tick(at(3800.0)).unwrap();
        assert_eq!((hour.frames, hour.blind), (0, Duration::from_secs(3600)));
    }

    #[test]
    fn what_was_not_looked_at_is_blind_from_the_first_second() {
        let at = Mono::from_secs_f64;
        let blind = |coverage: &mut Coverage, now: f64| coverage.close(at(now)).blind.as_secs_f64();
        // Nothing came at all.
        assert_eq!(blind(&mut Coverage::new(at(0.0)), 2.0), 2.0);
        // A camera that is opened for two seconds, lost after two more, and back after one.
        let mut coverage = Coverage::new(at(0.0));
        for frame in 0..50 {
            coverage.watched(at(2.0 + f64::from(frame) * 0.04));
        }
        coverage.lost();
        coverage.watched(at(5.0));
        assert!((blind(&mut coverage, 5.0) - 3.04).abs() < 0.001);
        // It stalls for two seconds.
        for frame in 1..50 {
            coverage.watched(at(5.0 + f64::from(frame) * 0.04));
        }
        coverage.watched(at(9.0));
        assert!((blind(&mut coverage, 9.04) - 2.04).abs() < 0.001);
        // It is lost, and the interval ends twice before it is back.
        coverage.lost();
        assert!((blind(&mut coverage, 9.5) - 0.5).abs() < 0.001);
        assert!((blind(&mut coverage, 10.0) - 0.5).abs() < 0.001);
    }

    #[test]
    fn a_slow_camera_is_not_blind() {
        let at = Mono::from_secs_f64;
        for pause in [0.5, 0.9, 1.5, 2.0, 4.0] {
            let mut coverage = Coverage::new(at(0.0));
            for frame in 0..200 {
                coverage.watched(at(pause * f64::from(frame)));
            }
            coverage.close(at(pause * 199.0));
            for frame in 200..400 {
                coverage.watched(at(pause * f64::from(frame)));
            }
            assert_eq!(coverage.close(at(pause * 399.5)).blind, Duration::ZERO, "{pause}");
        }
    }
}
