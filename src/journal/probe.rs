//! Whether the journal can be written, for `tawny check`: without making or
//! changing anything that stays, and beside a daemon that uses it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, access, flock, statvfs};

use super::error::JournalError;
use super::files::{beside, folder};
use super::reader::JournalReader;

/// As much as a commit writes at least; finds a full disk.
const TRIAL_BYTES: [u8; 8192] = [0; 8192];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalProbe {
    /// Whether there is a journal already.
    pub exists: bool,
    /// Whether a running daemon uses it, and its process id as far as known.
    pub in_use: Option<Option<i32>>,
    /// Bytes free on the disk for an ordinary user.
    pub free_bytes: Option<u64>,
}

/// Whether this user could write the journal at `path`. Writes a small file
/// beside it and removes it again.
///
/// # Errors
/// When its folder cannot be made or written, or what is there is no journal
/// of ours or damaged.
pub fn probe(path: &Path) -> Result<JournalProbe, JournalError> {
    let folder = folder(path);
    if !folder.is_dir() {
        return folder_to_make(path, folder);
    }
    try_writing(path)?;
    let exists = match JournalReader::open(path) {
        Ok(_) => true,
        Err(JournalError::Missing { .. }) => false,
        Err(error) => return Err(error),
    };
    if exists {
        let writable = OpenOptions::new().append(true).open(path);
        writable.map_err(|error| JournalError::from_io(path, "cannot be opened for writing", &error))?;
    }
    Ok(JournalProbe { exists, in_use: user(path), free_bytes: free_bytes(folder) })
}

/// The folder does not exist: could it be made?
fn folder_to_make(path: &Path, folder: &Path) -> Result<JournalProbe, JournalError> {
    let refused = |error: io::Error| {
        JournalError::from_io(path, &format!("its folder {} cannot be made", folder.display()), &error)
    };
    let absolute = std::path::absolute(folder).map_err(refused)?;
    // Something that is no folder, or a dangling link, is in the way too.
    let is_there = |above: &&Path| above.symlink_metadata().is_ok();
    let nearest = absolute.ancestors().find(is_there).unwrap_or(Path::new("/"));
    if !nearest.is_dir() {
        let why = format!("{} is not a folder", nearest.display());
        return Err(refused(io::Error::new(io::ErrorKind::NotADirectory, why)));
    }
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(error.into()))?;
    Ok(JournalProbe { exists: false, in_use: None, free_bytes: free_bytes(nearest) })
}

fn try_writing(path: &Path) -> Result<(), JournalError> {
    let trial = Trial(beside(path, &format!(".check-{}", std::process::id())));
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(&trial.0).and_then(|mut file| {
        file.write_all(&TRIAL_BYTES)?;
        file.sync_all()
    });
    written.map_err(|error| JournalError::from_io(path, "nothing can be written into its folder", &error))
}

/// A file that goes when the value goes.
struct Trial(PathBuf);

impl Drop for Trial {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether a service may be writing to the journal at `path`: it is, or nobody here may
/// know; the process, if that is known.
pub fn in_use(path: &Path) -> Option<Option<i32>> {
    match File::open(beside(path, ".lock")) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Some(None),
        _ => user(path),
    }
}

/// Who holds the writer's lock. Takes it for an instant, shared, if nobody
/// does; never makes the lock file, which a daemon of another user could then
/// not open.
fn user(path: &Path) -> Option<Option<i32>> {
    let mut file = File::open(beside(path, ".lock")).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let read = Read::by_ref(&mut file).take(32).read_to_string(&mut text);
            Some(read.ok().and_then(|_| text.trim().parse().ok()))
        }
        _ => None,
    }
}

fn free_bytes(folder: &Path) -> Option<u64> {
    statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let found = probe(&dir.path().join("journal.db")).unwrap();
        assert_eq!((found.exists, found.in_use), (false, None));
        assert!(found.free_bytes.unwrap() > 0);
        assert!(probe(&dir.path().join("deep/below/journal.db")).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_and_a_file_of_others_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "just words, and enough of them to be no empty database").unwrap();
        let below = probe(&file.join("journal.db")).unwrap_err().to_string();
        assert!(below.contains("cannot be made") && below.contains("not a folder"), "{below}");
        assert!(probe(&file).is_err());
    }

    #[test]
    fn a_journal_in_use_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let options = super::super::JournalOptions::new(&path, "unit");
        let (_journal, thread) = super::super::Journal::open(options, crate::clock::Beat::unwatched()).unwrap();
        let found = probe(&path).unwrap();
        assert_eq!(found.in_use, Some(Some(std::process::id() as i32)));
        assert!(found.exists);
        thread.stop(std::time::Duration::from_secs(3)).unwrap();
        assert_eq!(probe(&path).unwrap().in_use, None);
    }
}
