//! What other threads may know about the journal without asking the writer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::event::LogId;

/// Shared by the writer (which alone changes it) and everybody else.
#[derive(Debug)]
pub struct JournalStatus {
    log: Mutex<LogId>,
    generation: AtomicU64,
    last_seq: AtomicU64,
    low: AtomicU64,
    queued: AtomicU64,
    commits: AtomicU64,
    failed_commits: AtomicU64,
    marks_written: AtomicU64,
    lost: AtomicU64,
    aged: AtomicU64,
    damaged: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// The run is over, and all of it committed.
    secured: AtomicBool,
    pub(super) committed: Notify,
}

/// [`JournalStatus`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFigures {
    /// The journal's id.
    pub log: LogId,
    /// The last number given; 0 in an empty journal.
    pub seq: u64,
    /// All up to it are delivered or declared lost.
    pub low: u64,
    /// Events that wait for their delivery.
    pub queued: u64,
    /// Transactions committed since the start.
    pub commits: u64,
    /// Transactions that failed since the start (and were repeated).
    pub failed_commits: u64,
    /// Undelivered events given up since the start, to make room.
    pub lost: u64,
    /// Events deleted since the start for being older than `journal.keep`.
    pub aged: u64,
    /// Damaged journals set aside since the start.
    pub damaged: u64,
    /// What keeps the writer from writing at present.
    pub error: Option<String>,
}

impl JournalStatus {
    pub(super) fn new(log: LogId) -> JournalStatus {
        JournalStatus {
            log: Mutex::new(log),
            generation: AtomicU64::new(0),
            last_seq: AtomicU64::new(0),
            low: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            failed_commits: AtomicU64::new(0),
            marks_written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            aged: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            last_error: Mutex::new(None),
            secured: AtomicBool::new(false),
            committed: Notify::new(),
        }
    }

    /// The run is over and all of it committed.
    pub(super) fn secured(&self) {
        self.secured.store(true, Ordering::Release);
    }

    pub(super) fn is_secured(&self) -> bool {
        self.secured.load(Ordering::Acquire)
    }

    /// The journal's id.
    pub fn log(&self) -> LogId {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Grows when a damaged journal was replaced while running: whoever reads
    /// the file has to open it anew.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The last committed number.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// All up to it are delivered or declared lost.
    pub fn low(&self) -> u64 {
        self.low.load(Ordering::Acquire)
    }

    /// Marks written since the start, in the order in which they were handed
    /// over; what is not written yet is still read as undelivered.
    pub fn marks_written(&self) -> u64 {
        self.marks_written.load(Ordering::Acquire)
    }

    /// All of it.
    pub fn figures(&self) -> JournalFigures {
        JournalFigures {
            log: self.log(),
            seq: self.last_seq(),
            low: self.low(),
            queued: self.queued.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            failed_commits: self.failed_commits.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            aged: self.aged.load(Ordering::Relaxed),
            damaged: self.damaged.load(Ordering::Relaxed),
            error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn replaced(&self, log: LogId) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// After a transaction with so many marks in it.
    pub(super) fn committed(&self, last_seq: u64, marks: u64) {
        self.last_seq.store(last_seq, Ordering::Release);
        self.marks_written.fetch_add(marks, Ordering::Release);
        self.commits.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.committed.notify_one();
    }

    /// What is delivered, written down or not.
    pub(super) fn delivered(&self, low: u64, queued: u64) {
        self.low.store(low, Ordering::Release);
        self.queued.store(queued, Ordering::Relaxed);
    }

    pub(super) fn set_aside(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn aged(&self, events: u64) {
        self.aged.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, why: String) {
        self.failed_commits.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}
