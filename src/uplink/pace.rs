//! How fast the backlog may go, so that it never delays what is live: at most so
//! many events a second, never the whole window, and fewer under way when
//! acknowledgements take long. Pure: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// What may go at once after a pause, in seconds of the rate.
const BURST_S: f64 = 0.05;

/// With slower acknowledgements, what is under way is what delays others.
const SLOW: Duration = Duration::from_millis(500);

/// The state of the backlog's pace.
#[derive(Debug)]
pub(super) struct Pace {
    /// Events a second.
    rate: f64,
    /// What may go now, refilled by `rate`.
    tokens: f64,
    refilled: Instant,
    under_way: usize,
    /// What may be under way: one more for each window of quick
    /// acknowledgements, half after a slow one (Chiu and Jain 1989).
    allowance: f64,
    /// Only what was sent after it may halve the allowance again.
    halved: Instant,
}

impl Pace {
    /// At most `rate` events a second.
    pub fn new(rate: u32, now: Instant) -> Pace {
        let rate = f64::from(rate.max(1));
        let tokens = (rate * BURST_S).max(1.0);
        Pace { rate, tokens, refilled: now, under_way: 0, allowance: f64::INFINITY, halved: now }
    }

    /// A new connection that takes `window` messages at a time.
    pub fn connected(&mut self, window: usize, now: Instant) {
        (self.under_way, self.allowance, self.halved) = (0, window.max(1) as f64, now);
    }

    /// Whether one more may go, with room for `window` in all.
    pub fn allows(&mut self, window: usize, now: Instant) -> bool {
        let full = (self.rate * BURST_S).max(1.0);
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(full);
        self.refilled = now;
        self.tokens >= 1.0 && self.under_way < self.limit(window)
    }

    /// One place is left for what is live.
    fn limit(&self, window: usize) -> usize {
        (self.allowance as usize).clamp(1, window.saturating_sub(1).max(1))
    }

    /// If only the rate forbids one more: when it does not any longer.
    pub fn next(&self, window: usize) -> Option<Instant> {
        (self.tokens < 1.0 && self.under_way < self.limit(window))
            .then(|| self.refilled + Duration::from_secs_f64(((1.0 - self.tokens) / self.rate).max(0.001)))
    }

    /// One has gone.
    pub fn sent(&mut self) {
        self.tokens -= 1.0;
        self.under_way += 1;
    }

    /// One that went at `sent` is answered, or was taken back.
    pub fn answered(&mut self, sent: Instant, window: usize, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        if now.saturating_duration_since(sent) > SLOW {
            if sent >= self.halved {
                self.allowance = (self.allowance / 2.0).max(1.0);
                self.halved = now;
            }
        } else {
            self.allowance = (self.allowance + 1.0 / self.allowance).min(window.max(1) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_second() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, start);
        pace.connected(10_000, start);
        let mut sent = 0;
        for ms in 0..2000 {
            let now = start + Duration::from_millis(ms);
            while pace.allows(10_000, now) {
                pace.sent();
                sent += 1;
            }
            assert!(pace.next(10_000).is_some_and(|at| at > now && at < now + Duration::from_millis(3)));
        }
        assert!((1990..=2060).contains(&sent), "{sent}");
    }

    #[test]
    fn one_place_is_left_for_what_is_live() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        pace.connected(6, now);
        let sent = std::iter::from_fn(|| pace.allows(6, now).then(|| pace.sent())).count();
        assert_eq!(sent, 5);
        assert_eq!(pace.next(6), None, "an answer has to come, not a time");
    }

    #[test]
    fn slow_answers_leave_less_under_way_and_quick_ones_more() {
        let start = Instant::now();
        let mut pace = Pace::new(100_000, start);
        pace.connected(64, start);
        let later = start + Duration::from_secs(5);
        for _ in 0..63 {
            pace.sent();
        }
        for _ in 0..63 {
            pace.answered(start, 64, later);
        }
        assert_eq!(pace.limit(64), 32, "one window of slow answers halves once");
        for _ in 0..5000 {
            pace.sent();
            pace.answered(later, 64, later);
        }
        assert_eq!(pace.limit(64), 63);
    }
}
