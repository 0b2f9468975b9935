//! Why a file is no recording, where its first bytes say it better than libav.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::appetite::MOST_UNITS;
use super::units::StartCodes;

/// Boxes of a file that are looked at: an honest one has some ten, one that
/// was being written in fragments has one or two for each second.
const MOST_BOXES: usize = 100_000;

/// What is wrong with the file, if that can be told.
pub(super) fn of_file(path: &Path) -> Option<&'static str> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok().filter(|metadata| metadata.is_file())?.len();
    if length == 0 {
        return Some(
            "the file is empty: the recorder was cut off before it wrote anything; nothing can be had from it",
        );
    }
    (has_index(&mut file, length)? == Index::Missing).then_some(
        "the recording was cut off: it has no index (moov), which the recorder writes last. Its pictures are there, but \
         only a repair tool that is given a whole recording of the same camera can reach them",
    )
}

/// Bytes at the beginning of a file in which NAL units are counted: what is read to
/// learn what it is, and as much again.
const BEGINNING: u64 = 4 << 20;

/// Whether the file begins with more NAL units than any pictures have. What cannot be
/// read has none.
pub(super) fn has_units_without_end(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let (mut beginning, mut codes, mut buffer) = (file.take(BEGINNING), StartCodes::default(), vec![0; 64 << 10]);
    let mut count = 0;
    while let Ok(length @ 1..) = beginning.read(&mut buffer) {
        count += codes.count(buffer.get(..length).unwrap_or_default());
    }
    count > MOST_UNITS
}

#[derive(PartialEq, Eq)]
enum Index {
    There,
    Missing,
}

/// Whether an MP4 or MOV file (ISO 14496-12) holds its index; `None` for others.
fn has_index(file: &mut File, length: u64) -> Option<Index> {
    const OWN: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"];
    let mut at = 0_u64;
    for number in 0..MOST_BOXES {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at)).ok()?;
        let count = file.read(&mut head).ok()?;
        if count < 8 {
            return (number > 0).then_some(Index::Missing);
        }
        let [s3, s2, s1, s0, k3, k2, k1, k0, large @ ..] = head;
        let kind = [k3, k2, k1, k0];
        if number == 0 && !OWN.contains(&&kind) {
            return None;
        }
        if &kind == b"moov" {
            return Some(Index::There);
        }
        let size = match u32::from_be_bytes([s3, s2, s1, s0]) {
            // To the end of the file.
            0 => return Some(Index::Missing),
            1 => u64::from_be_bytes(large),
            size => u64::from(size),
        };
        at = at.checked_add(size.max(8))?;
        if at >= length {
            return Some(Index::Missing);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(bytes: &[u8]) -> Option<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, bytes).unwrap();
        of_file(&path)
    }

    fn a_box(kind: &[u8; 4], body: usize) -> Vec<u8> {
        [&u32::try_from(body + 8).unwrap().to_be_bytes()[..], kind, &vec![0; body]].concat()
    }

    #[test]
    fn empty_and_headless_files_are_named_and_others_are_not() {
        assert!(told(b"").unwrap().contains("empty"));
        let start = [a_box(b"ftyp", 16), a_box(b"free", 0)].concat();
        // Cut off within the pictures, right behind them, or of unknown length.
        let cut = [&start[..], &a_box(b"mdat", 1000)[..500]].concat();
        for headless in [cut, [&start[..], &a_box(b"mdat", 1000)].concat(), [&start[..], b"\0\0\0\0mdat123"].concat()] {
            assert!(told(&headless).unwrap().contains("moov"));
        }
        assert_eq!(told(&[&start[..], &a_box(b"mdat", 100), &a_box(b"moov", 9)].concat()), None);
        for other in [&b"\x1aE\xdf\xa3matroska"[..], b"words and words", b"\0\0\0\x08ft"] {
            assert_eq!(told(other), None);
        }
    }
}
