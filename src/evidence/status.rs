//! What others may know about the evidence.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the start, and what is there now; the writer and those who
/// hand over change them.
#[derive(Debug, Default)]
pub struct EvidenceStatus {
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) aged: AtomicU64,
    no_room: AtomicU64,
    pub(super) unfilmed: AtomicU64,
}

/// [`EvidenceStatus`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvidenceFigures {
    /// Files kept.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files written.
    pub written: u64,
    /// Stills and packets that found the queue to the writer full.
    pub dropped: u64,
    /// Files that the disk did not take, and stills that could not be encoded.
    pub failed: u64,
    /// Files removed to make room, before their time.
    pub removed: u64,
    /// Files removed for being older than `evidence.keep`.
    pub aged: u64,
    /// Small stills that wait to be sent.
    pub waiting: u64,
    /// Small stills that were not sent because too many waited.
    pub left_out: u64,
    /// Views that found no room in memory.
    pub no_room: u64,
    /// Sightings of which no clip shows the beginning, or anything.
    pub unfilmed: u64,
}

impl EvidenceStatus {
    /// All of it; what waits is the outbox's to say.
    pub(super) fn figures(&self, (waiting, left_out): (u64, u64)) -> EvidenceFigures {
        EvidenceFigures {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            written: self.written.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            failed: self.failed.load(Relaxed),
            removed: self.removed.load(Relaxed),
            aged: self.aged.load(Relaxed),
            waiting,
            left_out,
            no_room: self.no_room.load(Relaxed),
            unfilmed: self.unfilmed.load(Relaxed),
        }
    }

    /// So many views found no room in memory.
    pub fn found_no_room(&self, views: u64) {
        self.no_room.fetch_add(views, Relaxed);
    }

    /// A still could not be encoded.
    pub fn not_encoded(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}
