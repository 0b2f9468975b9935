//! What was being written when the program ended without a word: by a crash, a kill or
//! a power cut.
//!
//! Of each clip, and of each full-size still, a note in the journal says what it will
//! show, from before there is a file until the `kept` event about it is committed. A
//! start that finds such a note says what the last run could not: of a clip, as far as
//! its fragments are whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use ffmpeg_next as ffmpeg;

use ffmpeg::format::context::StreamIo;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::checksum_of;
use super::shelf::{Item, Kind};
use crate::capture::TimeBase;
use crate::domain::UtcMillis;
use crate::event::{Body, Draft, Keepsake, Stamp};
use crate::journal::{JournalError, JournalHandle, JournalReader, Note};

/// No second of video is larger, with the file's header.
const LARGEST_FRAGMENT: u64 = 32 << 20;

/// What is known of a file before it is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The camera's name.
    pub cam: String,
    /// When the picture was taken, or a clip's first one.
    pub from: Stamp,
    /// Sightings that a clip shows so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Uuid>,
}

/// What there is of it in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
    /// When a clip's last picture was taken.
    pub to: Option<UtcMillis>,
}

impl Begun {
    /// The event about what has become of it.
    pub fn kept(self, item: &Item, whole: Whole) -> Draft {
        let what = if item.kind == Kind::Clip { Keepsake::Clip } else { Keepsake::Still };
        let body = Body::Kept {
            id: item.id,
            cam: self.cam,
            what,
            file: item.name(),
            bytes: whole.bytes,
            sha256: whole.sha256,
            to: whole.to,
            of: self.of,
        };
        Draft { stamp: self.from, body, replay: false }
    }
}

fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Clip => "clip/",
        Kind::Full => "full/",
        Kind::Small => "small/",
    }
}

/// The note about `item`; without anything in it, it is forgotten.
pub fn note(item: &Item, begun: Option<&Begun>) -> Note {
    // A struct of numbers and strings always serialises.
    let value = begun.and_then(|begun| serde_json::to_string(begun).ok());
    Note { key: format!("{}{}", prefix(item.kind), item.id), value }
}

/// What the last run has begun and not reported; `None` where the note is not
/// readable.
///
/// # Errors
/// When the journal cannot be read.
pub fn left(journal: &JournalHandle) -> Result<Vec<(Item, Option<Begun>)>, JournalError> {
    let reader = JournalReader::open(journal.path())?;
    let mut found = Vec::new();
    for kind in [Kind::Clip, Kind::Full] {
        for (key, value) in reader.notes(prefix(kind))? {
            let id = key.strip_prefix(prefix(kind)).and_then(|id| Uuid::try_parse(id).ok());
            found.extend(id.map(|id| (Item::new(kind, id), serde_json::from_str(&value).ok())));
        }
    }
    Ok(found)
}

/// The file at `path` as far as it is whole, a clip cut to that; `None` if nothing of
/// it is. `from` is when it begins; `alive` is called every now and then.
///
/// # Errors
/// When the disk does not give it back, or cannot be written.
pub fn whole(path: &Path, kind: Kind, from: UtcMillis, alive: &mut dyn FnMut()) -> io::Result<Option<Whole>> {
    let mut to = None;
    let mut file = if kind == Kind::Clip {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let fragments = fragments(&mut file)?;
        let Some((_, end)) = fragments.last else { return Ok(None) };
        if end < file.metadata()?.len() {
            file.set_len(end)?;
            file.sync_all()?;
        }
        to = last_packet_ms(&mut file, &fragments)?.map(|ms| UtcMillis(from.0.saturating_add(ms)));
        file
    } else {
        // It was renamed when it was complete.
        File::open(path)?
    };
    file.rewind()?;
    let bytes = file.metadata()?.len();
    Ok(Some(Whole { bytes, sha256: checksum_of(&mut file, alive)?, to }))
}

/// Places in a fragmented MP4 file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fragments {
    /// Where its header ends.
    header: u64,
    /// Beginning and end of the last fragment that is there whole.
    last: Option<(u64, u64)>,
}

/// ISO/IEC 14496-12: boxes of a size and a name; a fragment is a `moof` and the `mdat`
/// behind it.
fn fragments(file: &mut File) -> io::Result<Fragments> {
    let length = file.metadata()?.len();
    let (mut at, mut found, mut moof) = (0, Fragments::default(), None);
    while let Some((name, end)) = box_at(file, at, length)? {
        match &name {
            b"moov" if found.last.is_none() => found.header = end,
            b"moof" => moof = Some(at),
            b"mdat" => found.last = moof.take().map(|begin| (begin, end)).or(found.last),
            _ => {}
        }
        at = end;
    }
    Ok(found)
}

/// Name and end of the box at `at`, if all of it is there.
fn box_at(file: &mut File, at: u64, length: u64) -> io::Result<Option<([u8; 4], u64)>> {
    let (mut size, mut name, mut large) = ([0; 4], [0; 4], [0; 8]);
    if at.saturating_add(8) > length {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut size)?;
    file.read_exact(&mut name)?;
    let (size, least) = match u32::from_be_bytes(size) {
        1 if at.saturating_add(16) <= length => {
            file.read_exact(&mut large)?;
            (u64::from_be_bytes(large), 16)
        }
        size => (u64::from(size), 8),
    };
    // Zero would mean "up to the end", wherever that was to be.
    let end = at.saturating_add(size);
    Ok((size >= least && end <= length).then_some((name, end)))
}

/// How long after the clip's beginning its last packet comes, in milliseconds: by its
/// header and its last fragment alone. `None` if they cannot be read as that.
fn last_packet_ms(file: &mut File, fragments: &Fragments) -> io::Result<Option<i64>> {
    let Some((begin, end)) = fragments.last else { return Ok(None) };
    let size = end.saturating_sub(begin);
    if fragments.header.saturating_add(size) > LARGEST_FRAGMENT {
        return Ok(None);
    }
    let mut part = Vec::new();
    file.rewind()?;
    file.by_ref().take(fragments.header).read_to_end(&mut part)?;
    file.seek(SeekFrom::Start(begin))?;
    file.by_ref().take(size).read_to_end(&mut part)?;
    Ok(last_stamp_us(part).ok().flatten().map(|us| us / 1000))
}

fn last_stamp_us(part: Vec<u8>) -> Result<Option<i64>, ffmpeg::Error> {
    let stream = StreamIo::from_read_seek(Cursor::new(part))?;
    let mut input = ffmpeg::format::input_from_stream(stream, None, None)?;
    let Some(time_base) = input.stream(0).map(|track| track.time_base()) else { return Ok(None) };
    let time_base = TimeBase { numerator: time_base.numerator(), denominator: time_base.denominator() };
    let (mut packet, mut last) = (ffmpeg::Packet::empty(), None);
    while packet.read(&mut input).is_ok() {
        last = last.max(packet.dts().or(packet.pts()).map(|stamp| time_base.micros(stamp)));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::checksum::checksum;
    use super::*;

    fn of(name: &[u8; 4], content: usize) -> Vec<u8> {
        let size = u32::try_from(content + 8).unwrap();
        [&size.to_be_bytes()[..], name, &vec![7; content]].concat()
    }

    #[test]
    fn a_clip_is_cut_to_its_last_whole_fragment_wherever_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        let header = [of(b"ftyp", 20), of(b"moov", 90)].concat();
        let fragment = [of(b"moof", 60), of(b"mdat", 500)].concat();
        // The second with a size of 64 bits.
        let large = [of(b"moof", 60), vec![0, 0, 0, 1], b"mdat".to_vec(), 316_u64.to_be_bytes().to_vec(), vec![8; 300]];
        let all = [&header[..], &fragment, &large.concat(), &of(b"mfra", 30)].concat();
        let ends = [header.len() + fragment.len(), all.len() - 38];
        for length in 0..=all.len() {
            std::fs::write(&path, &all[..length]).unwrap();
            let found = whole(&path, Kind::Clip, UtcMillis(0), &mut || {}).unwrap();
            let expected = ends.iter().rev().find(|end| **end <= length);
            assert_eq!(found.as_ref().map(|found| found.bytes), expected.map(|end| *end as u64), "{length}");
            if let (Some(found), Some(end)) = (found, expected) {
                assert_eq!(found.sha256, checksum(&all[..*end]));
                assert_eq!(std::fs::read(&path).unwrap(), all[..*end]);
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_true_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        let whole_one = [of(b"moov", 9), of(b"moof", 9), of(b"mdat", 9)].concat();
        for size in [0, 1, 7, u32::MAX] {
            let odd = [&whole_one[..], &size.to_be_bytes(), b"moof", &[255; 40]].concat();
            std::fs::write(&path, &odd).unwrap();
            let found = whole(&path, Kind::Clip, UtcMillis(0), &mut || {}).unwrap().unwrap();
            assert_eq!(found.bytes, whole_one.len() as u64, "{size}");
        }
    }
}
