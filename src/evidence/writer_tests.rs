//! Tests of the writer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::clock::{Beat, Heartbeats, SystemClock, boot_time_now};
use crate::evidence::shelf::tests::id;
use crate::evidence::{EvidenceHandle, EvidenceThread, Limits};
use crate::journal::{Journal, JournalHandle, JournalOptions, JournalThread};

/// A writer with a journal of its own, in a folder that goes with it.
struct Bench {
    dir: tempfile::TempDir,
    beats: Heartbeats,
    journal: JournalHandle,
    journal_thread: JournalThread,
    handle: EvidenceHandle,
    thread: EvidenceThread,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::new(dir.path().join("journal.db"), "unit");
        let (journal, journal_thread) = Journal::open(options, Beat::unwatched()).unwrap();
        let beats = Heartbeats::new();
        let setup = EvidenceSetup {
            folder: dir.path().join("evidence"),
            limits: Limits { keep: Duration::from_secs(86_400), max_bytes: 1 << 30, min_free: 0 },
            journal: journal.clone(),
            clock: SystemClock::new(),
            beat: beats.register("evidence"),
        };
        let (handle, _, thread) = EvidenceThread::start(setup).unwrap();
        Bench { dir, beats, journal, journal_thread, handle, thread }
    }

    /// Keeps the journal from committing until it is dropped.
    fn block(&self) -> rusqlite::Connection {
        let other = rusqlite::Connection::open(self.dir.path().join("journal.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// Until the writer has taken everything that was handed over.
    fn taken(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.handle.waiting.load(Relaxed) > 0 && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) -> tempfile::TempDir {
        assert!(self.thread.stop_by(Instant::now() + Duration::from_secs(30)));
        self.journal_thread.stop(Duration::from_secs(30)).unwrap();
        self.dir
    }
}

fn still(seconds: u64) -> Still {
    let stamp = SystemClock::new().now();
    Still { id: id(seconds, 0), camera: "road".into(), stamp, small: Some(vec![1; 100]), full: None }
}

#[test]
fn a_disk_that_takes_nothing_is_waited_for_and_not_a_writer_that_is_stuck() {
    let bench = Bench::new();
    let blocked = bench.block();
    // An event that is not committed yet.
    bench
        .journal
        .append(vec![Draft {
            stamp: SystemClock::new().now(),
            body: Body::Boot { prev: None, why: "test".into() },
            replay: false,
        }])
        .unwrap();
    bench.handle.keep(still(1_777_666_555));
    bench.taken();
    std::thread::sleep(Duration::from_millis(100));
    let written = || std::fs::read_dir(bench.dir.path().join("evidence/outbox")).unwrap().count();
    assert_eq!(written(), 0, "the event comes first");
    let hours = boot_time_now().plus(Duration::from_secs(36_000));
    assert_eq!(bench.beats.stuck(hours), Vec::<String>::new());
    drop(blocked);
    let dir = bench.stop();
    assert_eq!(std::fs::read_dir(dir.path().join("evidence/outbox")).unwrap().count(), 1);
}
