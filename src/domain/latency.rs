//! How long things take: a histogram that threads fill without locks, and
//! percentiles of what came since it was last read.
//!
//! Buckets are linear within each power of two (Gil Tene's HdrHistogram), a
//! sixteenth of it wide, so a percentile is off by 6 % at most.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

/// Microseconds in one unit of the buckets.
const UNIT_US: u64 = 250;
/// Buckets in each power of two.
const STEPS: u64 = 16;
/// Powers of two above the first, linear sixteen: up to 262 s.
const OCTAVES: u64 = 16;
const BUCKETS: usize = (STEPS * (OCTAVES + 1)) as usize;

/// A histogram of durations; whatever is longer than four minutes counts as
/// four minutes.
#[derive(Debug)]
pub struct Latencies {
    buckets: [AtomicU32; BUCKETS],
}

/// What the durations since the last reading were, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many.
    pub n: u64,
    /// The median.
    pub p50_ms: f64,
    /// Nineteen of twenty were shorter.
    pub p95_ms: f64,
    /// 99 of a hundred were shorter.
    pub p99_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { buckets: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Latencies {
    /// Something took so long.
    pub fn record(&self, duration: Duration) {
        if let Some(bucket) = self.buckets.get(bucket_of(duration)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// The percentiles of everything since the last call; `None` for nothing.
    pub fn take(&self) -> Option<Percentiles> {
        let counts = self.buckets.each_ref().map(|bucket| u64::from(bucket.swap(0, Relaxed)));
        let n: u64 = counts.iter().sum();
        let at = |share: f64| {
            let wanted = ((n as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below >= wanted
            });
            middle_ms(found.unwrap_or(BUCKETS - 1))
        };
        (n > 0).then(|| Percentiles { n, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) })
    }
}

fn bucket_of(duration: Duration) -> usize {
    let units = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX) / UNIT_US;
    if units < STEPS {
        return units as usize;
    }
    let octave = u64::from(units.ilog2() - STEPS.ilog2());
    let step = (units >> octave) - STEPS;
    ((octave + 1) * STEPS + step).min(BUCKETS as u64 - 1) as usize
}

/// The middle of what falls into a bucket, with one decimal.
fn middle_ms(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    let (octave, step) = (bucket / STEPS, bucket % STEPS);
    let (from, width) = match octave {
        0 => (step, 1),
        _ => ((STEPS + step) << (octave - 1), 1 << (octave - 1)),
    };
    let ms = (from as f64 + width as f64 / 2.0) * UNIT_US as f64 / 1e3;
    (ms * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_those_of_what_came_since_the_last_reading() {
        let latencies = Latencies::default();
        assert_eq!(latencies.take(), None);
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let seen = latencies.take().unwrap();
        assert_eq!(seen.n, 100);
        for (percentile, expected) in [(seen.p50_ms, 50.0), (seen.p95_ms, 95.0), (seen.p99_ms, 99.0)] {
            assert!((percentile - expected).abs() <= 0.06 * expected, "{percentile} for {expected}");
        }
        assert_eq!(latencies.take(), None);
    }

    #[test]
    fn what_never_ends_counts_as_the_longest() {
        let latencies = Latencies::default();
        latencies.record(Duration::MAX);
        assert!(latencies.take().unwrap().p50_ms > 200_000.0);
    }

    proptest! {
        #[test]
        fn a_single_duration_is_found_again(us in 500u64..240_000_000) {
            let latencies = Latencies::default();
            latencies.record(Duration::from_micros(us));
            let found = latencies.take().unwrap().p95_ms * 1e3;
            prop_assert!((found - us as f64).abs() <= (us as f64 * 0.04).max(200.0), "{found} for {us}");
        }
    }
}
