//! The usual pause between packets. Some encoders skip pictures of a still scene
//! altogether and come back to their full rate when something moves: then the rate
//! says what the sizes do not. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Pauses that are remembered.
const PAUSES: usize = 32;
/// Fewer say nothing.
const LEAST_PAUSES: usize = 16;
/// A pause is short by this factor or more, ...
const SHORT: u32 = 2;
/// ... and remarkable when so many follow each other: one may be a hiccup.
const IN_A_ROW: u32 = 2;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Pace {
    pauses: VecDeque<Duration>,
    short: u32,
    sorted: Vec<Duration>,
}

impl Pace {
    /// A packet comes so long after the one before it, by the stream's own stamps;
    /// whether they come remarkably fast.
    pub fn hurries(&mut self, pause: Duration) -> bool {
        let usual = self.usual();
        self.short = if usual.is_some_and(|usual| pause * SHORT <= usual) { self.short + 1 } else { 0 };
        if self.pauses.len() == PAUSES {
            self.pauses.pop_front();
        }
        self.pauses.push_back(pause);
        self.short >= IN_A_ROW
    }

    /// The median.
    fn usual(&mut self) -> Option<Duration> {
        if self.pauses.len() < LEAST_PAUSES {
            return None;
        }
        self.sorted.clear();
        self.sorted.extend(&self.pauses);
        let middle = self.sorted.len() / 2;
        Some(*self.sorted.select_nth_unstable(middle).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_that_skips_still_pictures_is_found_out_when_it_stops_doing_so() {
        let mut pace = Pace::default();
        let (slow, fast) = (Duration::from_millis(1000), Duration::from_millis(40));
        // The change into skipping is none of our business.
        assert!((0..50).all(|_| !pace.hurries(fast)));
        assert!((0..50).all(|_| !pace.hurries(slow)));
        assert!(!pace.hurries(fast), "one is a hiccup");
        assert!(pace.hurries(fast));
        assert!((0..50).map(|_| pace.hurries(fast)).last() == Some(false), "it is the usual pace by now");
    }

    #[test]
    fn uneven_stamps_are_no_hurry() {
        let mut pace = Pace::default();
        assert!((0..500u64).all(|i| !pace.hurries(Duration::from_millis(30 + i * 7 % 20))));
    }
}
