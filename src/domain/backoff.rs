//! Waiting between attempts: doubling, with jitter, up to a ceiling. Pure:
//! randomness is passed in.

use std::time::Duration;

/// The state of one series of attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits `first` after the first failure, at most `ceiling` after later ones.
    pub const fn new(first: Duration, ceiling: Duration) -> Backoff {
        Backoff { first, ceiling, failures: 0 }
    }

    /// How long to wait after one more failure. `random` in 0..1 spreads the
    /// pause over the upper half, so that many units do not come back at once.
    pub fn next(&mut self, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1).min(31);
        doubled.min(self.ceiling).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number in 0..1 for [`Backoff::next`]; a half if the system has none.
pub fn jitter() -> f64 {
    let mut bytes = [0u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let pauses: Vec<f64> = (0..40).map(|_| backoff.next(1.0).as_secs_f64()).collect();
        assert_eq!(pauses[..6], [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]);
        assert!(pauses[6..].iter().all(|p| *p == 30.0));
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(500));
    }
}
