//! The pictures and clips of a report: found in an evidence folder, checked against the
//! checksums that the events name. Only what agrees is shown. What is not there is
//! not missed: stills go when room is needed, and a folder may not be at hand.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use uuid::Uuid;

use super::facts::Report;
use crate::evidence::{Item, Kind, checksum, checksum_of};

/// No still is larger.
const LARGEST: u64 = 16 << 20;

/// With more pictures a page becomes too heavy for a phone; the others are named.
pub const MOST_PICTURES: usize = 500;

/// Bytes of all pictures together: a third more in the page.
const MOST_PICTURE_BYTES: usize = 64 << 20;

/// What became of a file that an event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It is there and its checksum is the one that was recorded.
    Agrees,
    /// It is there and is another file.
    Differs,
    /// It was not looked for, is not there, or cannot be read.
    NotAtHand,
}

/// Pictures by sighting.
#[derive(Debug, Default)]
pub struct Gallery {
    /// Whether full-size stills are shown.
    pub clear: bool,
    pictures: BTreeMap<Uuid, Vec<u8>>,
    bytes: usize,
    checked: BTreeMap<(Uuid, String), Checked>,
    /// Pictures that would have been shown if there were not so many.
    pub left_out: u64,
}

impl Gallery {
    /// Looks for every still and clip that the crossings name. `clear` shows those at full
    /// size, where there are some, instead of the small ones.
    pub fn find(folder: &Path, report: &Report, clear: bool) -> Gallery {
        let mut gallery = Gallery { clear, ..Gallery::default() };
        for crossing in &report.crossings {
            if let Some(sha256) = &crossing.still {
                gallery.take(folder, Item::new(Kind::Small, crossing.id), sha256, true);
            }
            for kept in &crossing.kept {
                match kept.what.as_str() {
                    "still" => gallery.take(folder, Item::new(Kind::Full, kept.id), &kept.sha256, clear),
                    "clip" => gallery.check(folder, Item::new(Kind::Clip, kept.id), &kept.sha256),
                    _ => {}
                }
            }
        }
        gallery
    }

    /// A file of any size, which is not shown.
    fn check(&mut self, folder: &Path, item: Item, sha256: &str) {
        let key = (item.id, sha256.to_owned());
        if self.checked.contains_key(&key) {
            return;
        }
        let path = folder.join(item.name());
        let readable = fs::metadata(&path).is_ok_and(|meta| meta.is_file());
        let found = readable.then(|| checksum_of(&mut File::open(&path).ok()?, &mut || {}).ok()).flatten();
        let checked = match found {
            None => Checked::NotAtHand,
            Some(found) if found.eq_ignore_ascii_case(sha256) => Checked::Agrees,
            Some(_) => Checked::Differs,
        };
        self.checked.insert(key, checked);
    }

    /// The file's name is made from its id alone: what an event says about names is
    /// not followed.
    fn take(&mut self, folder: &Path, item: Item, sha256: &str, show: bool) {
        let key = (item.id, sha256.to_owned());
        if self.checked.contains_key(&key) {
            return;
        }
        let path = folder.join(item.name());
        let readable = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
        let bytes = readable.then(|| fs::read(&path).ok()).flatten();
        let checked = match &bytes {
            None => Checked::NotAtHand,
            Some(bytes) if checksum(bytes).eq_ignore_ascii_case(sha256) => Checked::Agrees,
            Some(_) => Checked::Differs,
        };
        self.checked.insert(key, checked);
        let Some(bytes) = bytes.filter(|bytes| show && checked == Checked::Agrees && is_jpeg(bytes)) else { return };
        let old = self.pictures.get(&item.id).map_or(0, Vec::len);
        let is_room = self.pictures.len() < MOST_PICTURES || old > 0;
        let sum = self.bytes.saturating_sub(old).saturating_add(bytes.len());
        if is_room && sum <= MOST_PICTURE_BYTES {
            self.bytes = sum;
            self.pictures.insert(item.id, bytes);
        } else {
            self.left_out += 1;
        }
    }

    /// The JPEG to show for a sighting.
    pub fn picture(&self, id: Uuid) -> Option<&[u8]> {
        self.pictures.get(&id).map(Vec::as_slice)
    }

    /// What became of the file of this id with this checksum.
    pub fn checked(&self, id: Uuid, sha256: &str) -> Checked {
        self.checked.get(&(id, sha256.to_owned())).copied().unwrap_or(Checked::NotAtHand)
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }
}

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}
