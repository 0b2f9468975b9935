//! What is kept, where, and how much it is: the folder's content as an index.
//!
//! ```text
//! evidence/
//!   stills/2026-05-01/<id>.jpg        full size, only for the unit
//!   stills/2026-05-01/<id>-small.jpg  what is sent on still/<id>
//!   clips/2026-05-01/<id>.mp4         video
//!   outbox/<id>                       a small still that waits to be sent
//!   policy.json                       what pictures might show in the last run
//! ```
//!
//! Folders are 0700, files 0600. `<id>` is the sighting's, a clip's its own; the
//! day is the one in it (UUIDv7, RFC 9562). Nothing else in the folder is touched or
//! counted.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::UtcMillis;

/// What a file is, in the order in which files go when there is no room: what is
/// large first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Which file, and its place in the order: by kind, then by age.
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
    items: BTreeMap<Item, u64>,
    bytes: u64,
}

impl Shelf {
    /// Makes the folder if it is missing and looks what is there.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Shelf> {
        let mut shelf = Shelf { folder: folder.to_owned(), items: BTreeMap::new(), bytes: 0 };
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
            self.count(item, meta.len());
        }
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

    /// Everything, the first to go first.
    pub fn items(&self) -> impl Iterator<Item = (&Item, u64)> {
        self.items.iter().map(|(item, bytes)| (item, *bytes))
    }

    /// The oldest of a kind.
    pub fn oldest(&self, kind: Kind) -> Option<Item> {
        self.oldest_since(kind, UtcMillis(i64::MIN))
    }

    /// The oldest of a kind that is not from before `since`.
    pub fn oldest_since(&self, kind: Kind, since: UtcMillis) -> Option<Item> {
        let first = Item { kind, taken: since, id: Uuid::nil() };
        self.items.range(first..).next().map(|(item, _)| *item).filter(|item| item.kind == kind)
    }

    /// Writes a file that is there whole or not at all, whenever the power goes.
    ///
    /// # Errors
    /// When the disk does not take it; nothing is left then.
    pub fn write(&mut self, item: Item, content: &[u8]) -> io::Result<()> {
        let path = self.path(&item);
        write_whole(&path, content)?;
        self.count(item, content.len() as u64);
        Ok(())
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
        self.bytes -= self.items.remove(item).unwrap_or(0);
        if let Some(day) = self.path(item).parent() {
            // Only when it is empty.
            let _ = fs::remove_dir(day);
        }
        Ok(())
    }

    /// A file is now so large.
    pub fn count(&mut self, item: Item, bytes: u64) {
        let before = self.items.insert(item, bytes).unwrap_or(0);
        self.bytes = self.bytes - before + bytes;
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
        let (full, small) = (Item::new(Kind::Full, id(1_777_666_555, 1)), Item::new(Kind::Small, id(1_777_666_555, 1)));
        shelf.write(full, &[1; 500]).unwrap();
        shelf.write(small, &[2; 20]).unwrap();
        shelf.write(small, &[3; 30]).unwrap();
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
        assert_eq!(again.oldest(Kind::Small), Some(small));
        again.remove(&small).unwrap();
        again.remove(&full).unwrap();
        again.remove(&full).unwrap();
        assert_eq!((again.bytes(), again.oldest(Kind::Full)), (0, None));
        assert!(day.join("holiday.jpg").exists());
    }
}
