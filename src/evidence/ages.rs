//! Since when each file is here, by the unit's running time: `ages`, a text beside the
//! files with one line for each sighting or clip, the running time in milliseconds and
//! its id. Neither the time stamps of files nor the times in their names say that: a
//! clock that was wrong made them.
//!
//! Lines are added without waiting for the disk. What a power cut takes, or damage makes
//! unreadable, counts from the start that finds it so: it is kept longer, never shorter.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::shelf::write_whole;
use crate::clock::RunningMs;

/// So many lines more than twice what is needed, and the text is written anew.
const SUPERFLUOUS: usize = 1024;

/// No text of so many bytes is one of ours: some 500,000 lines.
const LARGEST: u64 = 32 << 20;

/// The text, and what it says.
#[derive(Debug)]
pub(super) struct Ages {
    path: PathBuf,
    since: BTreeMap<Uuid, RunningMs>,
    lines: usize,
}

impl Ages {
    /// What is known in `folder` about `ids`, which are what is there; the others begin to
    /// age at `now`.
    ///
    /// # Errors
    /// When the disk does not take the text, where it has to be written anew.
    pub fn open(folder: &Path, ids: impl Iterator<Item = Uuid>, now: RunningMs) -> (Ages, io::Result<()>) {
        let path = folder.join("ages");
        let fits = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST);
        let text = if fits { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let told = read(&String::from_utf8_lossy(&text), now);
        let since: BTreeMap<Uuid, RunningMs> = ids.map(|id| (id, told.get(&id).copied().unwrap_or(now))).collect();
        let ages = Ages { path, lines: since.len(), since };
        let wanted = ages.text();
        let written = if wanted.as_bytes() == text { Ok(()) } else { write_whole(&ages.path, wanted.as_bytes()) };
        (ages, written)
    }

    /// Since when the files of `id` are here; new ones since `now`.
    pub fn begin(&mut self, id: Uuid, now: RunningMs) -> RunningMs {
        if let Some(since) = self.since.get(&id) {
            return *since;
        }
        self.since.insert(id, now);
        self.lines += 1;
        let written = if self.lines > 2 * self.since.len() + SUPERFLUOUS {
            self.lines = self.since.len();
            write_whole(&self.path, self.text().as_bytes())
        } else {
            self.append(&line(id, now))
        };
        if let Err(e) = written {
            tracing::debug!("{} is not noted: {e}", self.path.display());
        }
        now
    }

    /// No file of `id` is left.
    pub fn end(&mut self, id: Uuid) {
        self.since.remove(&id);
    }

    fn append(&self, line: &str) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?.write_all(line.as_bytes())
    }

    /// In the order of age.
    fn text(&self) -> String {
        let mut all: Vec<_> = self.since.iter().map(|(id, since)| (*since, *id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(since, id)| line(id, since)).collect()
    }
}

fn line(id: Uuid, since: RunningMs) -> String {
    format!("{} {id}\n", since.0)
}

/// What whole lines say. They were written one after the other: one that is older than
/// one before it is damaged, and so is one that is from later than `now`.
fn read(text: &str, now: RunningMs) -> BTreeMap<Uuid, RunningMs> {
    let mut latest = RunningMs(0);
    let mut found = BTreeMap::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let Some((since, id)) = line.split_once(' ') else { continue };
        let (Ok(since), Ok(id)) = (since.parse(), Uuid::try_parse(id)) else { continue };
        latest = RunningMs(since).max(latest).min(now);
        found.insert(id, latest);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::shelf::tests::id;
    use super::*;
    use proptest::prelude::*;

    fn open(folder: &Path, ids: &[Uuid], now: u64) -> Ages {
        let (ages, written) = Ages::open(folder, ids.iter().copied(), RunningMs(now));
        written.unwrap();
        ages
    }

    #[test]
    fn what_was_noted_is_known_again_and_what_was_not_begins_now() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c, d] = [1, 2, 3, 4].map(|salt| id(100 - u64::from(salt), salt));
        let mut ages = open(dir.path(), &[a], 50);
        assert_eq!((ages.begin(a, RunningMs(60)), ages.begin(b, RunningMs(70))), (RunningMs(50), RunningMs(70)));
        ages.begin(c, RunningMs(80));
        ages.end(c);
        // Half a line, as a power cut leaves it.
        ages.append("90 0196").unwrap();
        let again = open(dir.path(), &[a, b, d], 100);
        let since: Vec<_> = [a, b, d].iter().map(|id| again.since[id].0).collect();
        assert_eq!((since, again.lines), (vec![50, 70, 100], 3));
        // A journal that was lost begins anew; nothing is from later than now.
        let again = open(dir.path(), &[a, b, d], 10);
        assert!(again.since.values().all(|since| *since == RunningMs(10)));
    }

    #[test]
    fn the_text_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut ages = open(dir.path(), &[], 0);
        for n in 0..5000 {
            ages.begin(id(n, 0), RunningMs(n));
            ages.end(id(n, 0));
        }
        let lines = fs::read_to_string(dir.path().join("ages")).unwrap().lines().count();
        assert!(lines <= SUPERFLUOUS + 3, "{lines}");
    }

    proptest! {
        /// Damage makes nothing older than it is, but for what is behind it at most.
        #[test]
        fn no_damage_makes_anything_older_than_what_is_before_it(at in 0usize..400, flip in 1u8..) {
            let ids: Vec<Uuid> = (0..9).map(|n| id(n, 7)).collect();
            let text: String = ids.iter().zip(1..).map(|(id, n)| line(*id, RunningMs(n * 1000))).collect();
            let mut bytes = text.into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let found = read(&String::from_utf8_lossy(&bytes), RunningMs(9_500));
            for (id, n) in ids.iter().zip(1u64..) {
                prop_assert!(found.get(id).is_none_or(|since| since.0 + 1000 >= n * 1000), "{found:?}");
            }
        }
    }
}
