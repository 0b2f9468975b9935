//! What is kept, where, and how much it is: the folder's content as an index.
//!
//! ```text
//! evidence/
//!   stills/2026-05-01/<id>.jpg        full size, only for the unit
//!   stills/2026-05-01/<id>-small.jpg  what is sent on still/<id>
//!   clips/2026-05-01/<id>.mp4         video
//!   outbox/<id>                       a small still that waits to be sent
//!   policy.json                       what pictures might show in the last run
//!   ages                              since when each of them is here (`ages.rs`)
//! ```
//!
//! Folders are 0700, files 0600. `<id>` is the sighting's, a clip's its own; the
//! day is the one in it (UUIDv7, RFC 9562). Nothing else in the folder is touched or
//! counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ages::Ages;
use crate::clock::RunningMs;
use crate::domain::UtcMillis;

/// What a file is, in the order in which files go when there is no room: what is
/// large first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Video.
    Clip,
    /// A still at full size.
    Full,
    /// A small still, as it is sent.
    Small,
}

impl Kind {
    /// Every kind, the first to go first.
    pub const ALL: [Kind; 3] = [Kind::Clip, Kind::Full, Kind::Small];

    /// Several of them, for people.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Clip => "clips",
            Kind::Full => "full-size stills",
            Kind::Small => "small stills",
        }
    }
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// When its sighting began, or a clip.
    pub taken: UtcMillis,
    /// The sighting's id, or the clip's.
    pub id: Uuid,
}

impl Item {
    /// The file of `kind` about sighting `id`.
    pub fn new(kind: Kind, id: Uuid) -> Item {
        Item { kind, taken: time_of(id), id }
    }

    /// Relative to the folder, with `/` between its parts.
    pub fn name(&self) -> String {
        let day: String = self.taken.to_string().chars().take(10).collect();
        match self.kind {
            Kind::Clip => format!("clips/{day}/{}.mp4", self.id),
            Kind::Full => format!("stills/{day}/{}.jpg", self.id),
            Kind::Small => format!("stills/{day}/{}-small.jpg", self.id),
        }
    }

    /// From the name of a file in the folder of a day; `None` if it is none of ours.
    fn read(name: &str) -> Option<Item> {
        let (id, kind) = match (name.strip_suffix(".mp4"), name.strip_suffix(".jpg")) {
            (Some(id), _) => (id, Kind::Clip),
            (None, Some(stem)) => stem.strip_suffix("-small").map_or((stem, Kind::Full), |id| (id, Kind::Small)),
            (None, None) => return None,
        };
        // Only as it is written here: lower case, with hyphens.
        let parsed = Uuid::try_parse(id).ok().filter(|parsed| parsed.to_string() == id)?;
        Some(Item::new(kind, parsed))
    }
}

/// The time in a UUIDv7.
fn time_of(id: Uuid) -> UtcMillis {
    let [a, b, c, d, e, f, ..] = *id.as_bytes();
    UtcMillis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// The folder and what is in it.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    items: BTreeMap<Item, Held>,
    /// The same in the order of age.
    by_age: BTreeSet<(Kind, RunningMs, Item)>,
    /// `None` where nobody asks.
    ages: Option<Ages>,
    bytes: u64,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    /// Since when it is here, by the unit's running time.
    since: RunningMs,
}

impl Shelf {
    /// Makes the folder if it is missing and looks what is there.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Shelf> {
        let mut shelf =
            Shelf { folder: folder.to_owned(), items: BTreeMap::new(), by_age: BTreeSet::new(), ages: None, bytes: 0 };
        for part in ["stills", "clips", "outbox"] {
            make_folder(&folder.join(part))?;
        }
        for part in ["stills", "clips"] {
            for day in fs::read_dir(folder.join(part))?.flatten() {
                // Something that is no folder is none of ours.
                fs::read_dir(day.path()).into_iter().flatten().flatten().for_each(|file| shelf.find(&file));
            }
        }
        Ok(shelf)
    }

    /// A file that was there at the start.
    fn find(&mut self, file: &DirEntry) {
        let name = file.file_name();
        let Some(name) = name.to_str() else { return };
        if name.ends_with(UNFINISHED) {
            // The power went while it was written.
            let _ = fs::remove_file(file.path());
        } else if let (Some(item), Ok(meta)) = (Item::read(name), file.metadata())
            && meta.is_file()
            && self.path(&item) == file.path()
        {
            self.hold(item, meta.len(), RunningMs(0));
        }
    }

    /// Finds out since when everything is here; what nobody has noted begins to age at
    /// `now`.
    ///
    /// # Errors
    /// When the disk does not take what is to be noted; it holds as long as the program
    /// goes on.
    pub fn know_ages(&mut self, now: RunningMs) -> io::Result<()> {
        let (mut ages, written) = Ages::open(&self.folder, self.items.keys().map(|item| item.id), now);
        for (item, held) in std::mem::take(&mut self.items) {
            self.by_age.remove(&(item.kind, held.since, item));
            self.bytes -= held.bytes;
            self.hold(item, held.bytes, ages.begin(item.id, now));
        }
        self.ages = Some(ages);
        written
    }

    /// Where a file is or would be.
    pub fn path(&self, item: &Item) -> PathBuf {
        self.folder.join(item.name())
    }

    /// Whether there is such a file.
    pub fn holds(&self, item: &Item) -> bool {
        self.items.contains_key(item)
    }

    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Everything.
    pub fn items(&self) -> impl Iterator<Item = (&Item, u64)> {
        self.items.iter().map(|(item, held)| (item, held.bytes))
    }

    /// What is here the longest of a kind, and since when.
    pub fn oldest(&self, kind: Kind) -> Option<(Item, RunningMs)> {
        let first = (kind, RunningMs(0), Item { kind, taken: UtcMillis(i64::MIN), id: Uuid::nil() });
        self.by_age.range(first..).next().filter(|(of, ..)| *of == kind).map(|(_, since, item)| (*item, *since))
    }

    /// Since when a file is here; zero if it is not.
    pub fn since(&self, item: &Item) -> RunningMs {
        self.items.get(item).map_or(RunningMs(0), |held| held.since)
    }

    /// Writes a file that is there whole or not at all, whenever the power goes.
    ///
    /// # Errors
    /// When the disk does not take it; nothing is left then.
    pub fn write(&mut self, item: Item, content: &[u8], now: RunningMs) -> io::Result<()> {
        let path = self.path(&item);
        write_whole(&path, content)?;
        self.add(item, content.len() as u64, now);
        Ok(())
    }

    /// There is a new file of so many bytes, or a new one in place of another.
    pub fn add(&mut self, item: Item, bytes: u64, now: RunningMs) {
        let since = self.ages.as_mut().map_or(now, |ages| ages.begin(item.id, now));
        self.hold(item, bytes, since);
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&mut self, item: &Item) -> io::Result<()> {
        match fs::remove_file(self.path(item)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if let Some(held) = self.items.remove(item) {
            self.bytes -= held.bytes;
            self.by_age.remove(&(item.kind, held.since, *item));
        }
        let others = Kind::ALL.iter().any(|kind| self.holds(&Item { kind: *kind, ..*item }));
        if let Some(ages) = self.ages.as_mut().filter(|_| !others) {
            ages.end(item.id);
        }
        if let Some(day) = self.path(item).parent() {
            // Only when it is empty.
            let _ = fs::remove_dir(day);
        }
        Ok(())
    }

    /// A file that is here is now so large.
    pub fn count(&mut self, item: Item, bytes: u64) {
        if let Some(held) = self.items.get_mut(&item) {
            self.bytes = self.bytes - held.bytes + bytes;
            held.bytes = bytes;
        }
    }

    fn hold(&mut self, item: Item, bytes: u64, since: RunningMs) {
        if let Some(before) = self.items.insert(item, Held { bytes, since }) {
            self.bytes -= before.bytes;
            self.by_age.remove(&(item.kind, before.since, item));
        }
        self.bytes += bytes;
        self.by_age.insert((item.kind, since, item));
    }
}

/// What the name of an unfinished file ends with.
const UNFINISHED: &str = ".part";

/// Makes a folder (0700) and those above it; they are on the disk afterwards.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = above(folder);
    make_folder(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    match sync_folder(above) {
        // One in which others have made room for it: theirs to look after.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// The folder that `path` is in.
pub fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The names in a folder as they are now, to the disk: a file that is synced may still
/// have none there.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes beside, then renames; all of it is on the disk afterwards.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = above(path);
    make_folder(folder)?;
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let unfinished = PathBuf::from(name);
    let write = || {
        let mut file = new_file(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    sync_folder(folder)
}

/// A new file that only its owner can read.
pub fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A UUIDv7 of that second.
    pub fn id(seconds: u64, salt: u8) -> Uuid {
        uuid::Builder::from_unix_timestamp_millis(seconds * 1000, &[salt; 10]).into_uuid()
    }

    #[test]
    fn what_was_written_is_found_again_and_strangers_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("evidence");
        let mut shelf = Shelf::open(&folder).unwrap();
        shelf.know_ages(RunningMs(5)).unwrap();
        let (full, small) = (Item::new(Kind::Full, id(1_777_666_555, 1)), Item::new(Kind::Small, id(1_777_666_555, 1)));
        shelf.write(full, &[1; 500], RunningMs(6)).unwrap();
        shelf.write(small, &[2; 20], RunningMs(7)).unwrap();
        shelf.write(small, &[3; 30], RunningMs(8)).unwrap();
        assert_eq!(shelf.bytes(), 530);
        assert!(small.name().starts_with("stills/2026-05-01/") && small.name().ends_with("-small.jpg"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&shelf.path(&full)), mode(&folder)), (0o600, 0o700));
        let day = shelf.path(&full).parent().unwrap().to_owned();
        fs::write(day.join("holiday.jpg"), b"not ours").unwrap();
        fs::write(day.join("00000000-0000-7000-8000-000000000000.jpg.part"), b"half").unwrap();
        let mut again = Shelf::open(&folder).unwrap();
        assert_eq!(again.bytes(), 530);
        assert_eq!(fs::read_dir(&day).unwrap().count(), 3, "what was left half is gone");
        again.know_ages(RunningMs(99)).unwrap();
        assert_eq!(again.bytes(), 530);
        assert_eq!(again.oldest(Kind::Small), Some((small, RunningMs(6))));
        again.remove(&small).unwrap();
        again.remove(&full).unwrap();
        again.remove(&full).unwrap();
        assert_eq!((again.bytes(), again.oldest(Kind::Full)), (0, None));
        assert!(day.join("holiday.jpg").exists());
    }
}
