//! Whether the broker is still there: a pure rule; the time is passed in.
//!
//! The client library pings in each pause of `keep_alive` and gives up when a ping is
//! not answered by the next one. It does not while it waits for room in a socket
//! whose other end has gone without a word, which takes the kernel a quarter of an
//! hour to find out. And a broker that answers pings but acknowledges nothing is
//! of no use either. In both cases only a new connection helps.

use std::time::Duration;

use tokio::time::Instant;

/// Silence, in intervals of `keep_alive`; more than the library needs.
const SILENT_FOR: f64 = 2.5;

/// No acknowledgement although something is under way, in the same unit.
const UNANSWERED_FOR: f64 = 4.0;

/// When a connection was heard of last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Liveness {
    keep_alive: Duration,
    heard: Instant,
    answered: Instant,
}

impl Liveness {
    /// Connected at `now`.
    pub fn new(keep_alive: Duration, now: Instant) -> Liveness {
        Liveness { keep_alive, heard: now, answered: now }
    }

    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// An acknowledgement came, or there is nothing to acknowledge.
    pub fn answered(&mut self, now: Instant) {
        self.answered = now;
    }

    /// What is wrong, if the connection is of no use any more.
    pub fn complaint(&self, under_way: bool, now: Instant) -> Option<&'static str> {
        if now >= self.silent_at() {
            return Some("does not answer any more");
        }
        (under_way && now >= self.unanswered_at()).then_some("does not acknowledge what it gets")
    }

    /// When to ask again.
    pub fn due(&self, under_way: bool) -> Instant {
        if under_way { self.silent_at().min(self.unanswered_at()) } else { self.silent_at() }
    }

    fn silent_at(&self) -> Instant {
        self.heard + self.keep_alive.mul_f64(SILENT_FOR)
    }

    fn unanswered_at(&self) -> Instant {
        self.answered + self.keep_alive.mul_f64(UNANSWERED_FOR)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(60);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_broker_that_says_nothing_is_given_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(KEEP_ALIVE, start);
        assert_eq!(liveness.complaint(false, after(start, 149)), None);
        assert_eq!((liveness.due(false), liveness.due(true)), (after(start, 150), after(start, 150)));
        liveness.heard(after(start, 100));
        assert_eq!(liveness.complaint(false, after(start, 200)), None);
        assert!(liveness.complaint(false, after(start, 250)).unwrap().contains("does not answer"));
    }

    #[test]
    fn a_broker_that_pings_and_acknowledges_nothing_is_given_up_too() {
        let start = Instant::now();
        let mut liveness = Liveness::new(KEEP_ALIVE, start);
        liveness.heard(after(start, 239));
        assert_eq!(liveness.complaint(true, after(start, 239)), None);
        assert_eq!(liveness.due(true), after(start, 240));
        assert!(liveness.complaint(true, after(start, 240)).unwrap().contains("acknowledge"));
        assert_eq!(liveness.complaint(false, after(start, 240)), None, "nothing is under way");
        liveness.answered(after(start, 240));
        assert_eq!(liveness.complaint(true, after(start, 241)), None);
    }
}
