//! Which numbers have been given, once more, in a small file beside the journal: numbers
//! that were given are not given again where an old copy of the journal takes its place.
//! Receivers know events by their numbers, and would take the new ones for repetitions.
//!
//! The file follows the journal: it is written after a start, after every [`STEP`] events
//! and at a stop. What was given since it was written is less than a batch and a step, so
//! a journal that is behind the file goes on that far above it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::files::{beside, folder};
use crate::event::LogId;

/// Numbers that may be given before the file is written again.
const STEP: u64 = 1_000;

/// A larger file is none of these.
const LARGEST: u64 = 256;

/// SQLite and receivers know none above.
const LAST: u64 = (1 << 53) - 1;

/// The file beside a journal.
#[derive(Debug)]
pub(super) struct Given {
    path: PathBuf,
    /// What it says, as far as is known.
    noted: Option<(LogId, u64)>,
}

impl Given {
    /// The one that belongs to the journal at `journal`; damaged or not there, it says
    /// nothing.
    pub fn beside(journal: &Path) -> Given {
        let path = beside(journal, ".numbers");
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
        let noted = read.ok().and_then(|_| parse(&text));
        Given { path, noted }
    }

    /// The number after which `log` has to go on, if its last one, `last`, says that it is
    /// an old copy.
    pub fn goes_on_after(&self, log: &LogId, last: u64) -> Option<u64> {
        let (_, noted) = self.noted.as_ref().filter(|(of, noted)| of == log && *noted > last)?;
        Some(noted.saturating_add(2 * STEP).min(LAST))
    }

    /// `last` was given in `log`: written down if much was given since, or if that is
    /// `due` whatever was. A disk that does not take it is asked again the next time.
    ///
    /// # Errors
    /// When it cannot be written; then it says what it said.
    pub fn note(&mut self, log: &LogId, last: u64, due: bool) -> io::Result<()> {
        let known = self.noted.as_ref().filter(|(of, _)| of == log).map(|(_, noted)| *noted);
        let is_needed = known.is_none_or(|noted| if due { noted != last } else { last >= noted.saturating_add(STEP) });
        if !is_needed {
            return Ok(());
        }
        let new = beside(&self.path, ".new");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "{} {last}", log.0)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(folder(&self.path))?.sync_all()
        };
        write().inspect_err(|_| drop(fs::remove_file(&new)))?;
        self.noted = Some((log.clone(), last));
        Ok(())
    }
}

/// A whole line.
fn parse(text: &str) -> Option<(LogId, u64)> {
    let (log, last) = text.strip_suffix('\n')?.split_once(' ')?;
    let last = last.parse().ok().filter(|last| *last <= LAST)?;
    Some((LogId(log.to_owned()), last))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_known_and_an_old_copy_goes_on_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        let [log, other] = ["abc", "xyz"].map(|log| LogId(log.into()));
        let mut given = Given::beside(&journal);
        assert_eq!(given.goes_on_after(&log, 0), None);
        given.note(&log, 5, true).unwrap();
        given.note(&log, 5 + STEP - 1, false).unwrap();
        let again = Given::beside(&journal);
        let after = [4, 5, 6].map(|last| again.goes_on_after(&log, last));
        assert_eq!(after, [Some(5 + 2 * STEP), None, None]);
        assert_eq!(again.goes_on_after(&other, 0), None, "another journal");
        given.note(&log, 5 + STEP, false).unwrap();
        assert_eq!(Given::beside(&journal).noted, Some((log.clone(), 5 + STEP)));
        // What is damaged, or of another form, says nothing.
        for text in ["", "abc", "abc 7", "abc -7\n", "abc 7 8\n", "abc 18446744073709551615\n"] {
            fs::write(dir.path().join("journal.db.numbers"), text).unwrap();
            assert_eq!(Given::beside(&journal).goes_on_after(&log, 0), None, "{text:?}");
        }
        // A new journal in its place takes the file over.
        given.note(&other, 1, false).unwrap();
        assert_eq!(Given::beside(&journal).noted, Some((other, 1)));
    }
}
