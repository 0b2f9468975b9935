//! How long to wait before trying again: 1 s doubling to 30 s, with jitter so
//! that many units do not come back in step after their broker was away.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// Pure: the randomness is passed in.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause; `random` is uniform in 0..=1. Half of the pause is
    /// fixed, half is random ("equal jitter").
    pub fn next(&mut self, random: f64) -> Duration {
        let full = FIRST.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LAST);
        self.failures = self.failures.saturating_add(1).min(16);
        full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number in 0..=1 for [`Backoff::next`]; 1 where there is no randomness.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_limit_and_begins_again_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..7).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        for _ in 0..100 {
            assert_eq!(backoff.next(0.0), LAST / 2);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.0), FIRST / 2);
    }
}
