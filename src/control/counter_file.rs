//! The counters once more, in a small file beside the journal: what was spent stays
//! spent where an old copy of the journal takes its place.
//!
//! The journal is first, always: it stores a counter together with what follows from
//! the command. The file comes after it, and before the command takes effect and is
//! answered. A cut between the two leaves a file that is one command behind a
//! journal that is not, which harms nothing; the other order could leave a command
//! that is spent and was never done. It is replaced as a whole, so it is the old one
//! or the new one. What is damaged counts as absent: the journal alone decides then,
//! as it did before there was a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::command::LARGEST_COUNTER;
use super::counters::Counters;
use crate::domain::{from_hex, to_hex};

/// What stands above the counters.
const HEAD: &str = "\
# The last counter of each operator's key. It keeps commands from being done again
# where an old copy of the journal takes its place. Leave it where it is.
";

/// Before the checksum of all that is above it.
const SUM: &str = "sha256 ";

/// Keys that are kept, those that commanded last: several times those that a unit
/// may trust at once.
const MOST_KEYS: usize = 64;

/// A larger file is none of these.
const LARGEST_FILE: u64 = 16 << 10;

/// The file.
#[derive(Debug)]
pub struct CounterFile {
    path: PathBuf,
}

impl CounterFile {
    /// The one that belongs to the journal at `journal`.
    pub fn beside(journal: &Path) -> CounterFile {
        CounterFile { path: named(journal, ".counters") }
    }

    /// What it holds; nothing if it is absent, cannot be read or is damaged, which is
    /// told to the log.
    pub fn read(&self) -> Vec<([u8; 32], u64)> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
        match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                tracing::warn!("{}: {e}; the journal alone tells which commands were done", self.path.display());
                Vec::new()
            }
            Ok(_) => parse(&bytes).unwrap_or_else(|| {
                tracing::warn!("{} is damaged; the journal alone tells which commands were done", self.path.display());
                Vec::new()
            }),
        }
    }

    /// Puts `counters` in its place; they are on the disk afterwards.
    ///
    /// # Errors
    /// When it cannot be written; then it is as it was.
    pub fn write(&self, counters: &Counters) -> io::Result<()> {
        let beside = named(&self.path, ".new");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(format(counters).as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&beside)))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn format(counters: &Counters) -> String {
    let mut all: Vec<([u8; 32], u64)> = counters.all().collect();
    // Counters follow the time of signing.
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    all.truncate(MOST_KEYS);
    let lines = all.iter().map(|(key, n)| format!("{} {n}\n", to_hex(key)));
    let text: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
    let sum = to_hex(&Sha256::digest(&text));
    format!("{text}{SUM}{sum}\n")
}

fn parse(bytes: &[u8]) -> Option<Vec<([u8; 32], u64)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (above, sum) = text.strip_suffix('\n')?.rsplit_once(SUM)?;
    if to_hex(&Sha256::digest(above)) != sum {
        return None;
    }
    let one = |line: &str| {
        let (key, n) = line.split_once(' ')?;
        let n = n.parse().ok().filter(|n| *n <= LARGEST_COUNTER)?;
        Some((from_hex(key)?, n))
    };
    above.lines().filter(|line| !line.starts_with('#')).map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counters(all: &[([u8; 32], u64)]) -> Counters {
        let mut counters = Counters::default();
        counters.raise(all.iter().copied());
        counters
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = CounterFile::beside(&dir.path().join("journal.db"));
        assert_eq!(file.read(), []);
        file.write(&counters(&[([1; 32], 7), ([2; 32], 9)])).unwrap();
        assert_eq!(file.read(), [([2; 32], 9), ([1; 32], 7)]);
        file.write(&counters(&[([1; 32], 8)])).unwrap();
        let path = dir.path().join("journal.db.counters");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(file.read(), [], "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(file.read(), [], "cut at {at}");
        }
        fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
        assert_eq!(file.read(), []);
        // What a cut left behind is in nobody's way.
        fs::write(dir.path().join("journal.db.counters.new"), "# half").unwrap();
        file.write(&counters(&[([1; 32], 9)])).unwrap();
        assert_eq!((file.read(), fs::read_dir(dir.path()).unwrap().count()), (vec![([1; 32], 9)], 1));
    }

    #[test]
    fn it_has_room_for_more_keys_than_a_unit_trusts_and_no_more() {
        let many: Vec<_> = (0..100u8).map(|i| ([i; 32], u64::from(i) + (1 << 52))).collect();
        let text = format(&counters(&many));
        assert!(text.len() as u64 <= LARGEST_FILE / 2, "{}", text.len());
        let kept = parse(text.as_bytes()).unwrap();
        assert_eq!((kept.len(), kept[0].1, kept[63].1), (64, (1 << 52) + 99, (1 << 52) + 36), "the latest");
    }

    proptest! {
        #[test]
        fn nothing_in_the_file_can_hurt(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[#a-f0-9 \n]{0,90}") {
            prop_assert_eq!(parse(&bytes), None);
            let sum = to_hex(&Sha256::digest(&text));
            if let Some(read) = parse(format!("{text}{SUM}{sum}\n").as_bytes()) {
                prop_assert!(read.iter().all(|(_, n)| *n <= LARGEST_COUNTER));
            }
        }
    }
}
