//! Which file goes next, and why. Pure: what is there, what time it is and how
//! much room the disk has come in.
//!
//! In this order: clips, then full-size stills, then small ones; within each the
//! oldest first. Events are the journal's and go after all of these: the room that
//! the disk is left with (`evidence.min_free`) is theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::shelf::{Item, Kind, Shelf};
use crate::domain::UtcMillis;

/// 2025-01-01: what says it is older was taken without a clock, and its age is
/// unknown.
const PLAUSIBLE: UtcMillis = UtcMillis(1_735_689_600_000);

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What is older goes.
    pub keep: Duration,
    /// Bytes of all files.
    pub max_bytes: u64,
    /// Bytes that the disk keeps free for others.
    pub min_free: u64,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is old.
    Age,
    /// There are too many bytes of evidence.
    Size,
    /// The disk is nearly full.
    Disk,
}

/// The circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Bytes that are about to be written.
    pub incoming: u64,
    /// Bytes that the disk has left, if it says so.
    pub free: Option<u64>,
    /// The time, if something vouches for it: age does not count otherwise.
    pub utc: Option<UtcMillis>,
}

impl Limits {
    /// What goes next; `None` if all that is there may stay.
    pub fn next(&self, shelf: &Shelf, now: &Now) -> Option<(Item, Why)> {
        let old = now.utc.and_then(|utc| self.oldest_of_age(shelf, utc));
        old.map(|item| (item, Why::Age)).or_else(|| {
            let too_much = shelf.bytes().saturating_add(now.incoming) > self.max_bytes;
            let why = if too_much {
                Why::Size
            } else if self.is_disk_full(now) {
                Why::Disk
            } else {
                return None;
            };
            Kind::ALL.into_iter().find_map(|kind| shelf.oldest(kind)).map(|item| (item, why))
        })
    }

    /// Whether `now.incoming` bytes may be written, after all that has to go has
    /// gone.
    pub fn allows(&self, shelf: &Shelf, now: &Now) -> bool {
        shelf.bytes().saturating_add(now.incoming) <= self.max_bytes && !self.is_disk_full(now)
    }

    fn is_disk_full(&self, now: &Now) -> bool {
        now.free.is_some_and(|free| free < self.min_free.saturating_add(now.incoming))
    }

    fn oldest_of_age(&self, shelf: &Shelf, utc: UtcMillis) -> Option<Item> {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let before = UtcMillis(utc.0.saturating_sub(keep));
        let oldest = |kind| shelf.oldest_since(kind, PLAUSIBLE).filter(|item| item.taken < before);
        Kind::ALL.into_iter().find_map(oldest)
    }
}

/// Files that went before their time, until somebody is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Kind, u64>,
    span: Option<(UtcMillis, UtcMillis)>,
    why: Option<Why>,
}

impl Tally {
    /// `item` went.
    pub fn add(&mut self, item: &Item, why: Why) {
        *self.counts.entry(item.kind).or_default() += 1;
        let (first, last) = self.span.unwrap_or((item.taken, item.taken));
        self.span = Some((first.min(item.taken), last.max(item.taken)));
        self.why = self.why.max(Some(why));
    }

    /// How many went, and what is to be said about them; begins anew.
    pub fn take(&mut self) -> Option<(u64, String)> {
        let Tally { counts, span, why } = std::mem::take(self);
        let (first, last) = span?;
        let why = match why {
            Some(Why::Disk) => "the disk is nearly full",
            _ => "evidence.max_size is used up",
        };
        let what: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {}", kind.plural())).collect();
        Some((counts.values().sum(), format!("{why}: {} from {first} to {last} deleted", what.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::shelf::tests::id;
    use super::*;
    use proptest::prelude::*;

    const NOON: u64 = 1_780_000_000;
    const LIMITS: Limits = Limits { keep: Duration::from_secs(1000), max_bytes: 1000, min_free: 500 };

    fn now(incoming: u64, free: u64, seconds: Option<u64>) -> Now {
        Now { incoming, free: Some(free), utc: seconds.map(|s| UtcMillis(s as i64 * 1000)) }
    }

    fn shelf(dir: &std::path::Path, files: &[(Kind, u64, usize)]) -> Shelf {
        let mut shelf = Shelf::open(dir).unwrap();
        for (salt, (kind, seconds, bytes)) in files.iter().enumerate() {
            shelf.write(Item::new(*kind, id(*seconds, salt as u8)), &vec![0; *bytes]).unwrap();
        }
        shelf
    }

    #[test]
    fn full_size_goes_before_small_and_old_before_new() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            (Kind::Small, NOON, 10),
            (Kind::Full, NOON + 2, 400),
            (Kind::Full, NOON + 1, 400),
            (Kind::Small, NOON + 3, 10),
        ];
        let mut shelf = shelf(dir.path(), &files);
        let mut order = Vec::new();
        while let Some((item, why)) = LIMITS.next(&shelf, &now(0, 0, None)) {
            assert_eq!(why, Why::Disk);
            order.push((item.kind, item.taken.0 / 1000 - NOON as i64));
            shelf.remove(&item).unwrap();
        }
        assert_eq!(order, [(Kind::Full, 1), (Kind::Full, 2), (Kind::Small, 0), (Kind::Small, 3)]);
        assert!(!LIMITS.allows(&shelf, &now(10, 0, None)), "others have filled the disk");
    }

    #[test]
    fn age_counts_only_by_a_clock_that_is_right_and_for_what_had_one() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path(), &[(Kind::Small, NOON, 10), (Kind::Full, 5, 10), (Kind::Full, NOON + 900, 10)]);
        assert_eq!(LIMITS.next(&shelf, &now(0, 9999, None)), None);
        assert_eq!(LIMITS.next(&shelf, &now(0, 9999, Some(NOON + 900))), None);
        let (item, why) = LIMITS.next(&shelf, &now(0, 9999, Some(NOON + 1001))).unwrap();
        assert_eq!((item.kind, why), (Kind::Small, Why::Age));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn removing_ends_with_room_or_nothing_left(
            files in prop::collection::vec((any::<bool>(), 0u64..5000, 0usize..300), 0..12),
            incoming in 0u64..1200, free in 0u64..2000, at in 0u64..9000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let files: Vec<_> =
                files.into_iter().map(|(full, s, n)| (if full { Kind::Full } else { Kind::Small }, NOON + s, n)).collect();
            let mut shelf = shelf(dir.path(), &files);
            let mut circumstances = now(incoming, free, Some(NOON + at));
            let mut steps = 0;
            while let Some((item, _)) = LIMITS.next(&shelf, &circumstances) {
                let before = shelf.bytes();
                shelf.remove(&item).unwrap();
                circumstances.free = circumstances.free.map(|free| free + before - shelf.bytes());
                steps += 1;
                prop_assert!(steps <= files.len());
            }
            prop_assert!(LIMITS.allows(&shelf, &circumstances) || shelf.items().count() == 0);
        }
    }
}
