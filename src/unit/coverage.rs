//! What a camera really watched, so that "no events" can be believed. Pure.

use std::time::Duration;

use crate::domain::Mono;

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(3600);
/// A pause between frames beyond this is blindness, not a slow camera.
const BLIND_AFTER: Duration = Duration::from_secs(5);

/// One interval, as reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    /// Start of the interval.
    pub from: Mono,
    /// Its end.
    pub to: Mono,
    /// Frames in it.
    pub frames: u64,
    /// Time in it without frames.
    pub blind: Duration,
}

/// Counts frames and gaps.
#[derive(Debug)]
pub struct Coverage {
    from: Mono,
    last: Mono,
    frames: u64,
    blind: Duration,
}

impl Coverage {
    /// Watching begins at `now`.
    pub fn new(now: Mono) -> Coverage {
        Coverage { from: now, last: now, frames: 0, blind: Duration::ZERO }
    }

    /// A frame came at `at`.
    pub fn frame(&mut self, at: Mono) {
        self.account(at);
        self.frames += 1;
    }

    /// The finished interval, when it is time for one.
    pub fn tick(&mut self, now: Mono) -> Option<Watched> {
        (now.since(self.from) >= INTERVAL).then(|| self.close(now))
    }

    /// The interval up to `now`; the next one begins.
    pub fn close(&mut self, now: Mono) -> Watched {
        if now.since(self.last) > BLIND_AFTER {
            self.account(now);
        }
        let watched = Watched { from: self.from, to: now, frames: self.frames, blind: self.blind };
        (self.from, self.frames, self.blind) = (now, 0, Duration::ZERO);
        watched
    }

    fn account(&mut self, at: Mono) {
        let gap = at.since(self.last);
        if gap > BLIND_AFTER {
            self.blind += gap;
        }
        self.last = self.last.max(at);
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
        for second in 1..=100 {
            coverage.frame(at(f64::from(second)));
        }
        coverage.frame(at(160.0));
        assert_eq!(coverage.tick(at(200.0)), None);
        let watched = coverage.close(at(200.0));
        assert_eq!((watched.frames, watched.blind), (101, Duration::from_secs(100)));
        assert_eq!((watched.from, watched.to), (at(0.0), at(200.0)));
        // A camera that never gives anything is blind all the time, across intervals.
        let hour = coverage.tick(at(3800.0)).unwrap();
        assert_eq!((hour.frames, hour.blind), (0, Duration::from_secs(3600)));
    }
}
