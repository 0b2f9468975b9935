//! What other threads may know about the journal without asking the writer.

use std::sync::atomic::{AtomicU64, Ordering};
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
    last_error: Mutex<Option<String>>,
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
            last_error: Mutex::new(None),
            committed: Notify::new(),
        }
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

    /// All of it.
    pub fn figures(&self) -> JournalFigures {
        JournalFigures {
            log: self.log(),
            seq: self.last_seq(),
            low: self.low(),
            queued: self.queued.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            failed_commits: self.failed_commits.load(Ordering::Relaxed),
            error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn replaced(&self, log: LogId) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(super) fn committed(&self, last_seq: u64, low: u64, queued: u64) {
        self.low.store(low, Ordering::Release);
        self.queued.store(queued, Ordering::Relaxed);
        self.last_seq.store(last_seq, Ordering::Release);
        self.commits.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.committed.notify_one();
    }

    pub(super) fn failed(&self, why: String) {
        self.failed_commits.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}
