//! Which correction holds for an event: the latest that names its number. Pure.

use std::collections::BTreeMap;

use super::retime::Correction;

/// All corrections of a journal; later ones replace earlier ones where they
/// overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corrections {
    /// By first number; disjoint.
    ranges: BTreeMap<u64, Correction>,
}

impl Corrections {
    /// A later correction.
    pub fn add(&mut self, new: Correction) {
        if new.first > new.last {
            return;
        }
        let overlapping: Vec<u64> =
            self.ranges.range(..=new.last).rev().take_while(|(_, r)| r.last >= new.first).map(|(&k, _)| k).collect();
        for key in overlapping {
            let Some(old) = self.ranges.remove(&key) else { continue };
            if old.first < new.first {
                self.ranges.insert(old.first, Correction { last: new.first - 1, ..old });
            }
            if old.last > new.last {
                self.ranges.insert(new.last + 1, Correction { first: new.last + 1, ..old });
            }
        }
        self.ranges.insert(new.first, new);
    }

    /// What holds for event `seq`.
    pub fn of(&self, seq: u64) -> Option<&Correction> {
        self.ranges.range(..=seq).next_back().map(|(_, range)| range).filter(|range| range.last >= seq)
    }

    /// Whether nothing was ever corrected.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<Correction> for Corrections {
    /// Oldest first.
    fn from_iter<I: IntoIterator<Item = Correction>>(all: I) -> Corrections {
        let mut corrections = Corrections::default();
        all.into_iter().for_each(|correction| corrections.add(correction));
        corrections
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_latest_that_covers_a_number_holds(ranges in prop::collection::vec((0..60u64, 0..20u64), 0..20)) {
            let all: Vec<Correction> = ranges
                .iter()
                .zip(0..)
                .map(|(&(first, n), i)| Correction { first, last: first + n, offset_ms: i, uncertainty_ms: 1 })
                .collect();
            let corrections: Corrections = all.iter().copied().collect();
            for seq in 0..90 {
                let expected = all.iter().rev().find(|r| (r.first..=r.last).contains(&seq)).map(|r| r.offset_ms);
                prop_assert_eq!(corrections.of(seq).map(|r| r.offset_ms), expected);
            }
        }
    }
}
