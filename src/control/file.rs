//! A file on its way out, piece by piece. It is summed up before, so that the reply
//! can say what will come; the pieces are read when there is room for them on the
//! wire, and it is never held in memory whole.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::reply::{FileHead, Reason, Refusal};
use crate::domain::to_hex;

/// No piece is larger.
pub const LARGEST_PIECE: usize = 4096;

/// Bytes read at a time for the sum.
const STEP: usize = 1 << 16;

/// Where the bytes are.
#[derive(Debug)]
enum Content {
    Disk(File),
    Memory(Cursor<Vec<u8>>),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Disk(file) => file.read(buffer),
            Content::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Content::Disk(file) => file.seek(to),
            Content::Memory(bytes) => bytes.seek(to),
        }
    }
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the file before it.
    pub offset: u64,
    /// At most [`LARGEST_PIECE`] bytes.
    pub bytes: Vec<u8>,
}

/// See the module's description.
#[derive(Debug)]
pub struct OutgoingFile {
    head: FileHead,
    content: Content,
    /// Bytes before the next piece.
    at: u64,
}

impl OutgoingFile {
    /// A file on the disk as it is now: what is added to it meanwhile is left out.
    /// Reads all of it.
    ///
    /// # Errors
    /// [`Reason::Failed`] when it cannot be read, [`Reason::Range`] when it ends
    /// before `from`.
    pub fn on_disk(file: File, media: &'static str, from: u64) -> Result<OutgoingFile, Refusal> {
        OutgoingFile::new(Content::Disk(file), media, from)
    }

    /// What was just made.
    ///
    /// # Errors
    /// As above.
    pub fn in_memory(bytes: Vec<u8>, media: &'static str) -> Result<OutgoingFile, Refusal> {
        OutgoingFile::new(Content::Memory(Cursor::new(bytes)), media, 0)
    }

    fn new(mut content: Content, media: &'static str, from: u64) -> Result<OutgoingFile, Refusal> {
        let unreadable = |e: io::Error| Refusal::new(Reason::Failed, format!("it cannot be read: {e}"));
        let (bytes, sha256) = sum(&mut content).map_err(unreadable)?;
        if from > bytes {
            return Err(Refusal::new(Reason::Range, format!("the file has {bytes} bytes, fewer than 'from'")));
        }
        content.seek(SeekFrom::Start(from)).map_err(unreadable)?;
        Ok(OutgoingFile { head: FileHead { media, bytes, sha256, from }, content, at: from })
    }

    /// What the reply says of it.
    pub fn head(&self) -> &FileHead {
        &self.head
    }

    /// The next piece, of at most `largest` bytes; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read, or has become shorter; nothing more is sent then.
    pub fn next(&mut self, largest: usize) -> io::Result<Option<Piece>> {
        let left = self.head.bytes - self.at;
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(largest.clamp(1, LARGEST_PIECE));
        if size == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; size];
        self.content.read_exact(&mut bytes)?;
        let piece = Piece { offset: self.at, bytes };
        self.at += size as u64;
        Ok(Some(piece))
    }
}

/// Size and SHA-256 of what is there.
fn sum(content: &mut Content) -> io::Result<(u64, String)> {
    let (mut buffer, mut bytes, mut sum) = (vec![0; STEP], 0, Sha256::new());
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => return Ok((bytes, to_hex(&sum.finalize()))),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        sum.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn pieces(file: &mut OutgoingFile, largest: usize) -> Vec<Piece> {
        std::iter::from_fn(|| file.next(largest).unwrap()).collect()
    }

    #[test]
    fn what_is_added_meanwhile_is_left_out_and_what_is_taken_away_ends_it() {
        let mut on_disk = tempfile::tempfile().unwrap();
        on_disk.write_all(&[7; 10_000]).unwrap();
        let open = |from| {
            let mut again = on_disk.try_clone().unwrap();
            again.rewind().unwrap();
            OutgoingFile::on_disk(again, "video/mp4", from)
        };
        assert_eq!(open(10_001).unwrap_err().reason, Reason::Range);
        assert_eq!(open(10_000).unwrap().next(100).unwrap(), None);
        let mut file = open(0).unwrap();
        (&on_disk).seek(SeekFrom::End(0)).unwrap();
        (&on_disk).write_all(&[8; 500]).unwrap();
        (&on_disk).rewind().unwrap();
        let sizes: Vec<usize> = pieces(&mut file, 1 << 20).iter().map(|piece| piece.bytes.len()).collect();
        assert_eq!((file.head().bytes, sizes), (10_000, vec![4096, 4096, 1808]));
        let mut file = open(0).unwrap();
        on_disk.set_len(10).unwrap();
        assert!(file.next(4096).is_err());
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_file(
            content in prop::collection::vec(any::<u8>(), 0..20_000), from in 0..20_000u64, largest in 1..6000usize,
        ) {
            let from = from.min(content.len() as u64);
            let mut file = OutgoingFile::new(Content::Memory(Cursor::new(content.clone())), "image/jpeg", from).unwrap();
            prop_assert_eq!(file.head().bytes, content.len() as u64);
            prop_assert_eq!(&file.head().sha256, &to_hex(&Sha256::digest(&content)));
            let (mut at, mut rest) = (from, Vec::new());
            for piece in pieces(&mut file, largest) {
                prop_assert_eq!(piece.offset, at);
                prop_assert!(piece.bytes.len() <= largest.min(LARGEST_PIECE));
                at += piece.bytes.len() as u64;
                rest.extend(piece.bytes);
            }
            prop_assert_eq!(&rest[..], &content[from as usize..]);
        }
    }
}
