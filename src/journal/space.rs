//! A full disk: a reserve file beside the journal is given up, so that the unit
//! can still say that the disk is full, and record what happens next; when there
//! is room again, it is made anew.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use tracing::{info, warn};

use super::error::JournalError;
use super::files::{beside, folder};
use crate::event::{Body, Draft, Phase, Stamp};

/// The reserve is made only where so many times its size are free.
const ROOM: u64 = 3;

/// Less than this is none: what file systems keep for themselves.
const NEXT_TO_NOTHING: u64 = 64 << 10;

/// The disk under the journal.
#[derive(Debug)]
pub(super) struct Space {
    reserve: PathBuf,
    bytes: u64,
    full: bool,
}

impl Space {
    /// Makes the reserve of so many bytes (0: none) if it is not there.
    pub fn new(journal: &Path, bytes: u64) -> Space {
        let mut space = Space { reserve: beside(journal, ".reserve"), bytes, full: false };
        if let Err(e) = space.make_reserve() {
            warn!("no reserve for a full disk: {} cannot be made: {e}", space.reserve.display());
        }
        space
    }

    /// Whether it was full when it was last written to.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether `error` means that there is no room left.
    pub fn is_cause_of(&self, error: &JournalError) -> bool {
        let JournalError::Sqlite { source, .. } = error else { return false };
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => true,
            // A quota that is used up, or a shared-memory file that cannot grow.
            Some(rusqlite::ErrorCode::SystemIoFailure) => self.free().is_some_and(|free| free < NEXT_TO_NOTHING),
            _ => false,
        }
    }

    /// The disk is full. The first time, the reserve is given up and there is
    /// something to say.
    pub fn filled(&mut self, now: Stamp) -> Option<Draft> {
        if self.full {
            return None;
        }
        self.full = true;
        match std::fs::remove_file(&self.reserve) {
            Ok(()) => warn!("the disk is full; the journal lives on its reserve of {} kB", self.bytes >> 10),
            Err(e) => warn!("the disk is full, and there is no reserve to give up ({e})"),
        }
        Some(storage(Phase::Start, "the disk is full", now))
    }

    /// Looks for room; when there is enough again, the reserve is made anew and
    /// there is something to say.
    pub fn recovered(&mut self, now: Stamp) -> Option<Draft> {
        if !self.full || self.free().is_some_and(|free| free < self.bytes.max(NEXT_TO_NOTHING) * ROOM) {
            return None;
        }
        self.make_reserve().ok()?;
        info!("there is room on the disk again");
        self.full = false;
        Some(storage(Phase::End, "there is room on the disk again", now))
    }

    fn free(&self) -> Option<u64> {
        statvfs(folder(&self.reserve)).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn make_reserve(&mut self) -> io::Result<()> {
        if std::fs::metadata(&self.reserve).is_ok_and(|meta| meta.len() == self.bytes) {
            return Ok(());
        }
        if self.bytes == 0 {
            return Ok(());
        }
        if self.free().is_some_and(|free| free < self.bytes * ROOM) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "too little room"));
        }
        let made = self.write_reserve();
        if made.is_err() {
            // Half a reserve is in the way of others.
            let _ = std::fs::remove_file(&self.reserve);
        }
        made
    }

    /// Real bytes, not a hole, and not what a file system would compress away.
    fn write_reserve(&self) -> io::Result<()> {
        let mut file: File =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.reserve)?;
        let mut block = [0; 4096];
        let mut left = self.bytes;
        while left > 0 {
            getrandom::fill(&mut block).map_err(|e| io::Error::other(e.to_string()))?;
            let n = usize::try_from(left).unwrap_or(block.len()).min(block.len());
            file.write_all(block.get(..n).unwrap_or(&block))?;
            left -= n as u64;
        }
        file.sync_all()
    }
}

fn storage(phase: Phase, why: &str, now: Stamp) -> Draft {
    let body = Body::Storage { phase, value: Some("disk".to_owned()), why: why.to_owned() };
    Draft { stamp: now, body, replay: false }
}
