//! A file that arrives in pieces: some may come twice, the connection may break, and
//! the rest comes with another answer. Pure.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::domain::from_hex;

/// What a reply says of the file that follows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Announced {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where the pieces begin.
    #[serde(default)]
    pub from: u64,
}

/// How a file goes on after it was announced (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Where it was.
    GoesOn,
    /// It is another file now: what is there is of no use. Its beginning comes.
    Anew,
    /// The same, or something is missing between what is there and what comes: it
    /// has to be asked for again.
    AskAgain,
    /// The announcement makes no sense.
    Nonsense,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'p> {
    /// These bytes follow what is there.
    New(&'p [u8]),
    /// It was there before.
    Old,
    /// Something between is missing, or it reaches beyond the end.
    Gap,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Size and SHA-256.
    file: Option<(u64, [u8; 32])>,
    have: u64,
    sum: Sha256,
}

impl Assembly {
    /// Bytes that are there.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Bytes in all, once that is known.
    pub fn bytes(&self) -> Option<u64> {
        self.file.map(|(bytes, _)| bytes)
    }

    /// A reply announces the file.
    pub fn announced(&mut self, announced: &Announced) -> Begin {
        let Some(sha256) = from_hex(&announced.sha256) else { return Begin::Nonsense };
        if announced.from > announced.bytes {
            return Begin::Nonsense;
        }
        let file = (announced.bytes, sha256);
        let another = self.have > 0 && self.file != Some(file);
        self.file = Some(file);
        if another {
            (self.have, self.sum) = (0, Sha256::new());
        }
        match (announced.from > self.have, another) {
            (true, _) => Begin::AskAgain,
            (false, true) => Begin::Anew,
            (false, false) => Begin::GoesOn,
        }
    }

    /// A piece came.
    pub fn piece<'p>(&mut self, offset: u64, bytes: &'p [u8]) -> Piece<'p> {
        let (Some((size, _)), Some(end)) = (self.file, offset.checked_add(bytes.len() as u64)) else {
            return Piece::Gap;
        };
        if end <= self.have {
            return Piece::Old;
        }
        let known = self.have.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
        let Some(new) = known.and_then(|known| bytes.get(known..)).filter(|_| end <= size) else { return Piece::Gap };
        self.sum.update(new);
        self.have = end;
        Piece::New(new)
    }

    /// Once everything is there: whether it is what was announced.
    pub fn verdict(&self) -> Option<bool> {
        let (bytes, sha256) = self.file?;
        (self.have == bytes).then(|| self.sum.clone().finalize()[..] == sha256)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::to_hex;
    use proptest::prelude::*;

    fn announced(content: &[u8], from: u64) -> Announced {
        Announced { bytes: content.len() as u64, sha256: to_hex(&Sha256::digest(content)), from }
    }

    #[test]
    fn another_file_in_the_middle_begins_anew() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.piece(0, b"early"), Piece::Gap, "nothing was announced");
        assert_eq!(assembly.announced(&announced(b"one file", 0)), Begin::GoesOn);
        assert_eq!(assembly.piece(0, b"one"), Piece::New(b"one"));
        assert_eq!(assembly.announced(&announced(b"another", 3)), Begin::AskAgain);
        assert_eq!(assembly.have(), 0);
        assert_eq!(assembly.announced(&announced(b"another", 0)), Begin::GoesOn);
        assert_eq!(assembly.piece(0, b"anotheX"), Piece::New(b"anotheX"));
        assert_eq!(assembly.verdict(), Some(false));
        assert_eq!(assembly.announced(&announced(b"one", 0)), Begin::Anew);
        assert_eq!(assembly.piece(0, b"one and more"), Piece::Gap);
        assert_eq!(assembly.announced(&Announced { from: 4, ..announced(b"one", 0) }), Begin::Nonsense);
        assert_eq!(assembly.announced(&Announced { sha256: "zz".into(), ..announced(b"one", 0) }), Begin::Nonsense);
    }

    #[test]
    fn an_empty_file_is_complete_at_once() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.verdict(), None);
        assembly.announced(&announced(b"", 0));
        assert_eq!(assembly.verdict(), Some(true));
    }

    proptest! {
        /// Pieces of any size come, twice, lost, with breaks after which the rest is
        /// asked for: the file is what it was.
        #[test]
        fn whatever_happens_on_the_way_the_file_is_whole_in_the_end(
            content in prop::collection::vec(any::<u8>(), 0..600),
            steps in prop::collection::vec((1..50usize, 0..8u8), 0..200),
        ) {
            let (mut assembly, mut got) = (Assembly::default(), Vec::new());
            let mut at = 0;
            assembly.announced(&announced(&content, 0));
            for (size, what) in steps.into_iter().chain(std::iter::repeat_n((600, 7), 3)) {
                let end = (at + size).min(content.len());
                let piece = &content[at.min(end)..end];
                match what {
                    // It is lost.
                    0 => at = end,
                    // It comes and comes again.
                    1..=5 => {
                        for _ in 0..usize::from(what % 2) + 1 {
                            if let Piece::New(new) = assembly.piece(at as u64, piece) {
                                got.extend_from_slice(new);
                            }
                        }
                        at = end;
                    }
                    // The connection breaks, and what is missing is asked for.
                    _ => {
                        at = got.len().saturating_sub(usize::from(what - 6));
                        prop_assert_eq!(assembly.announced(&announced(&content, at as u64)), Begin::GoesOn);
                        if what == 7 {
                            if let Piece::New(new) = assembly.piece(at as u64, &content[at..(at + size).min(content.len())]) {
                                got.extend_from_slice(new);
                            }
                            at = (at + size).min(content.len());
                        }
                    }
                }
                prop_assert_eq!(assembly.have(), got.len() as u64);
            }
            prop_assert_eq!(assembly.verdict(), Some(true));
            prop_assert_eq!(got, content);
        }

        #[test]
        fn nothing_a_unit_may_send_can_hurt(
            sizes in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), 0..9usize), 0..30),
        ) {
            let mut assembly = Assembly::default();
            for (bytes, from, offset, size) in sizes {
                let bytes = bytes >> (bytes % 64);
                assembly.announced(&Announced { bytes, sha256: "0a".repeat(32), from: from >> (from % 64) });
                let before = assembly.have();
                if let Piece::New(new) = assembly.piece(offset >> (offset % 64), &[7; 9][..size]) {
                    prop_assert_eq!(assembly.have(), before + new.len() as u64);
                }
                prop_assert!(assembly.have() <= assembly.bytes().unwrap_or(0));
                assembly.verdict();
            }
        }
    }
}
