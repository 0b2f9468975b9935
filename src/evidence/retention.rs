//! Which file goes next, and why. Pure: what is there, how long the unit has run and how
//! much room the disk has come in.
//!
//! In this order: clips, then full-size stills, then small ones; within each what is here
//! the longest first, by the unit's running time. No wall clock has a word in it: what is
//! deleted stays deleted when a time server turns out to have lied. Events are the journal's and go after all of these: the room that
//! the disk is left with (`evidence.min_free`) is theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shelf::{Item, Kind, Shelf};
use crate::clock::RunningMs;
use crate::domain::UtcMillis;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What is older goes, by the unit's running time.
    pub keep: Duration,
    /// Bytes of all files.
    pub max_bytes: u64,
    /// Bytes that the disk keeps free for others.
    pub min_free: u64,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// How long the unit has run.
    pub running: RunningMs,
}

impl Limits {
    /// What goes next; `None` if all that is there may stay.
    pub fn next(&self, shelf: &Shelf, now: &Now) -> Option<(Item, Why)> {
        let old = now.running.minus(self.keep).and_then(|before| oldest_before(shelf, before));
        old.map(|item| (item, Why::Age)).or_else(|| {
            let too_much = shelf.bytes().saturating_add(now.incoming) > self.max_bytes;
            let why = if too_much {
                Why::Size
            } else if self.is_disk_full(now) {
                Why::Disk
            } else {
                return None;
            };
            Kind::ALL.into_iter().find_map(|kind| shelf.oldest(kind)).map(|(item, _)| (item, why))
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
}

fn oldest_before(shelf: &Shelf, before: RunningMs) -> Option<Item> {
    Kind::ALL.into_iter().find_map(|kind| shelf.oldest(kind).filter(|(_, since)| *since < before)).map(|(item, _)| item)
}

/// Files that went, until somebody is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
            Some(Why::Age) => "older than evidence.keep",
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

    const LIMITS: Limits = Limits { keep: Duration::from_secs(1000), max_bytes: 1000, min_free: 500 };

    fn now(incoming: u64, free: u64, running_s: u64) -> Now {
        Now { incoming, free: Some(free), running: RunningMs(running_s * 1000) }
    }

    /// A file of that kind and size, made when the unit had run so many seconds and its
    /// clock said so many.
    type File = (Kind, u64, u64, usize);

    fn shelf(dir: &std::path::Path, files: &[File]) -> Shelf {
        let mut shelf = Shelf::open(dir).unwrap();
        shelf.know_ages(RunningMs(0)).unwrap();
        for (salt, (kind, running, wall, bytes)) in files.iter().enumerate() {
            let item = Item::new(*kind, id(*wall, salt as u8));
            shelf.write(item, &vec![0; *bytes], RunningMs(running * 1000)).unwrap();
        }
        shelf
    }

    /// Kind and salt of everything that goes, in its order.
    fn order(shelf: &mut Shelf, circumstances: Now) -> Vec<(Kind, u8, Why)> {
        let mut order = Vec::new();
        while let Some((item, why)) = LIMITS.next(shelf, &circumstances) {
            order.push((item.kind, item.id.as_bytes()[15], why));
            shelf.remove(&item).unwrap();
            assert!(order.len() < 1000, "it never ends");
        }
        order
    }

    #[test]
    fn full_size_goes_before_small_and_old_before_new_whatever_the_clock_said() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            (Kind::Small, 1, 5, 10),
            (Kind::Full, 3, 100, 400),
            (Kind::Full, 2, 9_000_000, 400),
            (Kind::Small, 4, 4, 10),
        ];
        let mut shelf = shelf(dir.path(), &files);
        let gone = order(&mut shelf, now(0, 0, 5));
        let expected = [(Kind::Full, 2), (Kind::Full, 1), (Kind::Small, 0), (Kind::Small, 3)];
        assert_eq!(gone, expected.map(|(kind, salt)| (kind, salt, Why::Disk)));
        assert!(!LIMITS.allows(&shelf, &now(10, 0, 5)), "others have filled the disk");
    }

    #[test]
    fn age_counts_in_running_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut shelf =
            shelf(dir.path(), &[(Kind::Small, 5, 0, 10), (Kind::Full, 400, 0, 10), (Kind::Full, 900, 0, 10)]);
        assert_eq!(LIMITS.next(&shelf, &now(0, 9999, 999)), None, "nothing can be so old");
        assert_eq!(LIMITS.next(&shelf, &now(0, 9999, 1005)), None);
        assert_eq!(order(&mut shelf, now(0, 9999, 1006)), [(Kind::Small, 0, Why::Age)]);
        assert_eq!(order(&mut shelf, now(0, 9999, 1401)), [(Kind::Full, 1, Why::Age)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn removing_ends_with_room_or_nothing_left_and_no_clock_has_a_word_in_it(
            files in prop::collection::vec((any::<bool>(), 0u64..5000, 0usize..300), 0..12),
            walls in prop::collection::vec(0u64..5_000_000_000, 12),
            incoming in 0u64..1200, free in 0u64..2000, at in 0u64..9000,
        ) {
            let gone = |walls: &[u64]| {
                let dir = tempfile::tempdir().unwrap();
                let files: Vec<File> = files.iter().zip(walls).zip(0..)
                    // No two at once: of those nobody knows which was first.
                    .map(|(((full, s, n), wall), nth)| (if *full { Kind::Full } else { Kind::Small }, s * 20 + nth, *wall, *n))
                    .collect();
                let mut shelf = shelf(dir.path(), &files);
                let mut circumstances = now(incoming, free, at * 20);
                let mut gone = Vec::new();
                while let Some((item, why)) = LIMITS.next(&shelf, &circumstances) {
                    let before = shelf.bytes();
                    shelf.remove(&item).unwrap();
                    circumstances.free = circumstances.free.map(|free| free + before - shelf.bytes());
                    gone.push((item.kind, item.id.as_bytes()[15], why));
                    assert!(gone.len() <= files.len());
                }
                assert!(LIMITS.allows(&shelf, &circumstances) || shelf.items().count() == 0);
                gone
            };
            prop_assert_eq!(gone(&walls), gone(&[7; 12]));
        }
    }
}
