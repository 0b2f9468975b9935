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
    frames: u64,
    blind: Duration,
    paused: Duration,
    /// Since when nothing is to be watched.
    paused_since: Option<Mono>,
}

impl Coverage {
    /// Watching begins at `now`.
    pub fn new(now: Mono) -> Coverage {
        Coverage { from: now, last: now, frames: 0, blind: Duration::ZERO, paused: Duration::ZERO, paused_since: None }
    }

    /// A frame came. Whether it shows anything, [`Coverage::watched`] says.
    pub fn received(&mut self) {
        self.frames += 1;
    }

    /// The camera was watched at `at`: by a picture, or by packets that say that
    /// nothing moves.
    pub fn watched(&mut self, at: Mono) {
        let gap = at.since(self.last);
        if gap > BLIND_AFTER {
            self.blind += gap;
        }
        self.last = self.last.max(at);
    }

    /// Nothing is to be watched from `at` on.
    pub fn pause(&mut self, at: Mono) {
        if self.paused_since.is_none() {
            self.watched(at);
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
        } else if now.since(self.last) > BLIND_AFTER {
            self.watched(now);
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
        for second in 1..=100 {
            coverage.received();
            coverage.watched(at(f64::from(second)));
        }
        coverage.received();
        coverage.watched(at(160.0));
        assert_eq!(coverage.tick(at(200.0)), None);
        let watched = coverage.close(at(200.0));
        assert_eq!((watched.frames, watched.blind), (101, Duration::from_secs(100)));
        assert_eq!((watched.from, watched.to), (at(0.0), at(200.0)));
        // A pause is neither watched nor blind, whatever the camera does.
        coverage.pause(at(210.0));
        let watched = coverage.close(at(240.0));
        assert_eq!((watched.blind, watched.paused), (Duration::from_secs(10), Duration::from_secs(30)));
        coverage.resume(at(300.0));
        let watched = coverage.close(at(304.0));
        assert_eq!((watched.blind, watched.paused), (Duration::ZERO, Duration::from_secs(60)));
        let mut coverage = Coverage::new(at(200.0));
        // A camera that never gives anything is blind all the time, across intervals.
        let hour = coverage.tick(at(3800.0)).unwrap();
        assert_eq!((hour.frames, hour.blind), (0, Duration::from_secs(3600)));
    }
}
