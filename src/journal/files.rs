//! The files around the database: folder, lock, modes, and putting a damaged
//! journal out of the way.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::JournalError;
use crate::clock::RunningMs;
use crate::domain::UtcMillis;

/// Held for as long as this process may write; released by the kernel when the
/// process ends, however it ends.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

/// `path` with `suffix` appended to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where `path` lies.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the folder (0700) if it is missing.
pub(super) fn make_folder(path: &Path) -> Result<(), JournalError> {
    let folder = folder(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| JournalError::from_io(path, &format!("its folder {} cannot be made", folder.display()), &e))
}

/// Takes the lock beside `path`, or says who has it.
pub(super) fn lock(path: &Path) -> Result<WriterLock, JournalError> {
    let lock_path = beside(path, ".lock");
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(
            |e| {
                let why = format!("cannot be written: {} cannot be opened", lock_path.display());
                JournalError::from_io(path, &why, &e)
            },
        )?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let pid =
                Read::by_ref(&mut file).take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(JournalError::InUse { path: path.to_owned(), pid });
        }
        Err(e) => return Err(JournalError::from_io(path, "cannot be locked", &e.into())),
    }
    // The number only serves the message above; the lock itself is what counts.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(WriterLock { _file: file })
}

/// Makes an empty database file with mode 0600 (which SQLite gives to `-wal`
/// and `-shm` too), or checks that the one there can be written.
pub(super) fn make_file(path: &Path) -> Result<(), JournalError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| JournalError::from_io(path, "cannot be opened for writing", &e))
}

/// Whether nothing has been written to the database.
pub(super) fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0)
}

/// Whether a write-ahead log lies there without its database: what remains
/// when the power went while a damaged journal was being set aside.
pub(super) fn has_orphan_wal(path: &Path) -> bool {
    !path.exists() && beside(path, "-wal").exists()
}

/// Behind the name of a database that was set aside: a file of this name says that a later
/// journal has all that could be read of it, and since when (running time, ms).
const TAKEN: &str = ".taken";

/// What a database consists of: behind its name, its own file first.
const BELONGS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The names of the databases that were set aside, the oldest first.
fn aside(path: &Path) -> Vec<String> {
    let begin = path.file_name().map(|name| beside(Path::new(name), ".damaged-").to_string_lossy().into_owned());
    let (Some(begin), Ok(entries)) = (begin, std::fs::read_dir(folder(path))) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Not the files that belong to it; the names begin with the time.
    let belongs = |name: &String| BELONGS.iter().skip(1).chain([&TAKEN]).any(|end| name.ends_with(end));
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&begin) && !belongs(name)).collect();
    names.sort_unstable();
    names
}

fn marker(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(format!("{name}{TAKEN}"))
}

/// Those of which no journal has taken anything over yet.
pub(super) fn untaken(path: &Path) -> Vec<String> {
    let mut names = aside(path);
    names.retain(|name| !marker(path, name).exists());
    names
}

/// Notes that at `running` nothing of what was set aside needs to be taken over any more.
pub(super) fn mark_taken(path: &Path, running: RunningMs) -> io::Result<()> {
    for name in untaken(path) {
        write_marker(&marker(path, &name), running)?;
    }
    File::open(folder(path)).and_then(|folder| folder.sync_all())
}

fn write_marker(marker: &Path, running: RunningMs) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(marker)?;
    writeln!(file, "{}", running.0)?;
    file.sync_all()
}

/// When that was; `None` where it does not say so (an earlier version's, or half of one),
/// or names a time that is still to come.
fn taken_at(marker: &Path, running: RunningMs) -> Option<RunningMs> {
    let text = std::fs::read_to_string(marker).ok()?;
    text.strip_suffix('\n')?.parse().ok().map(RunningMs).filter(|at| *at <= running)
}

/// Those of which everything was taken over before `before`. One that does not say when
/// counts from now (`running`) on.
pub(super) fn taken_before(path: &Path, before: RunningMs, running: RunningMs) -> Vec<String> {
    let mut names = aside(path);
    names.retain(|name| {
        let marker = marker(path, name);
        if !marker.exists() {
            return false;
        }
        let at = taken_at(&marker, running);
        if at.is_none() {
            // Another time, if the disk does not take it.
            let _ = write_marker(&marker, running);
        }
        at.is_some_and(|at| at < before)
    });
    names
}

/// Deletes one that was set aside, with all that belongs to it. Its marker goes last: what
/// is left of it is not taken over again.
pub(super) fn remove_aside(path: &Path, name: &str) -> io::Result<()> {
    let file = path.with_file_name(name);
    for suffix in BELONGS.into_iter().rev() {
        match std::fs::remove_file(beside(&file, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    File::open(folder(path)).and_then(|folder| folder.sync_all())?;
    match std::fs::remove_file(marker(path, name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Where the files were going when the power went between two of the renames: the
/// database set aside last, if a write-ahead log is still under the old name.
fn interrupted(path: &Path) -> Option<PathBuf> {
    let target = path.with_file_name(has_orphan_wal(path).then(|| untaken(path).pop())??);
    (!beside(&target, "-wal").exists()).then_some(target)
}

fn free_name(path: &Path, now: UtcMillis) -> PathBuf {
    let stamp: String = now.to_string().chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut target = beside(path, &format!(".damaged-{stamp}Z"));
    let mut number = 1;
    while target.exists() || beside(&target, "-wal").exists() {
        number += 1;
        target = beside(path, &format!(".damaged-{stamp}Z-{number}"));
    }
    target
}

/// Renames the database, its `-wal`, `-shm` and `-journal` to a free name next to
/// it and returns the new file name. The database goes first: a write-ahead log
/// left alone is recognised ([`has_orphan_wal`]) and follows it the next time,
/// while a database without its log would silently lack its last events.
pub(super) fn set_aside(path: &Path, now: UtcMillis) -> Result<String, JournalError> {
    let target = interrupted(path).unwrap_or_else(|| free_name(path, now));
    let failed = |e: io::Error| JournalError::from_io(path, "is damaged and cannot be set aside", &e);
    for suffix in BELONGS {
        match std::fs::rename(beside(path, suffix), beside(&target, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(target.file_name().unwrap_or(target.as_os_str()).to_string_lossy().into_owned())
}
