//! Errors that a disk returns: what was confirmed survives them, and a power cut
//! after them.

use std::time::Duration;

use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ, SQLITE_IOERR_WRITE};

use super::common::broker::wait_for;
use super::common::drafts::{crossing, crossings};
use super::common::random::{Random, setting};
use super::disk::{Disk, Fault, Operation};
use super::rows::{PATIENCE, Truth, events, open, rows, set_aside};
use tawny::domain::UtcMillis;
use tawny::journal::{Delivery, JournalHandle, Mark};

fn fault(operation: Operation, file: &'static str, code: i32, times: u32) -> Fault {
    Fault { file, operation, code, times }
}

fn wait_failed(journal: &JournalHandle, times: u64) {
    wait_for("commits fail", || journal.figures().failed_commits >= times);
}

#[test]
fn events_wait_in_memory_while_the_disk_fails_and_survive_the_power_cut_after_it() {
    let seed = setting("TAWNY_FAULT_SEED", 1);
    println!("TAWNY_FAULT_SEED={seed}");
    let mut random = Random::new(seed);
    for (operation, file, code) in [
        (Operation::Write, "-wal", SQLITE_IOERR_WRITE),
        (Operation::Sync, "-wal", SQLITE_IOERR_FSYNC),
        (Operation::Grow, "", SQLITE_FULL),
        (Operation::Write, ".db", SQLITE_IOERR_WRITE),
        (Operation::Sync, ".db", SQLITE_IOERR_FSYNC),
        (Operation::Read, "-wal", SQLITE_IOERR_READ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path(), &[], 0, random.fork());
        let (journal, thread) = open(folder.path());
        disk.ask(&journal);
        for round in 0..6u64 {
            journal.append_and_wait(crossings(round * 10_000, 3)).unwrap();
            disk.fail(fault(operation, file, code, 2));
            // Enough for the write-ahead log to be moved into the database.
            journal.append_and_wait(crossings(round * 10_000 + 10, 700)).unwrap();
            disk.heal();
        }
        assert_eq!(journal.figures().error, None);
        let mut truth = Truth::default();
        truth.learn(folder.path(), &journal);
        let crossings = truth.events.values().filter(|json| json.contains("\"crossing\"")).count();
        assert_eq!(crossings, 6 * 703, "{operation:?} of {file}");
        let remains: Vec<_> = (0..4).map(|_| disk.cut()).collect();
        thread.stop(PATIENCE).unwrap();
        drop(disk.take_remains());
        for remains in remains {
            let folder = tempfile::tempdir().unwrap();
            remains.lay(folder.path());
            let (journal, thread) = open(folder.path());
            truth.judge(folder.path(), &journal, remains.confirmed);
            thread.stop(PATIENCE).unwrap();
        }
    }
}

/// After a failed fsync the system takes for written what is not. A program that
/// starts again reads it, and must not build on it.
#[test]
fn a_start_after_a_failed_fsync_does_not_believe_what_it_can_read() {
    for round in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path(), &[], 0, Random::new(round));
        let (journal, thread) = open(folder.path());
        disk.ask(&journal);
        journal.append_and_wait(crossings(0, 10)).unwrap();
        disk.fail(fault(Operation::Sync, "-wal", SQLITE_IOERR_FSYNC, u32::MAX));
        journal.append(crossings(100, 3)).unwrap();
        wait_failed(&journal, 2);
        assert_eq!(journal.figures().seq, 11, "nothing is confirmed");
        // As a watchdog would end it.
        thread.stop(Duration::ZERO).unwrap_err();
        disk.heal();

        let (journal, thread) = open(folder.path());
        disk.ask(&journal);
        let mut truth = Truth::default();
        let last = journal.append_and_wait(crossings(200, 5)).unwrap();
        truth.learn(folder.path(), &journal);
        let remains = disk.cut();
        assert_eq!(remains.confirmed, last);
        thread.stop(PATIENCE).unwrap();
        drop(disk.take_remains());

        let after = tempfile::tempdir().unwrap();
        remains.lay(after.path());
        let (journal, thread) = open(after.path());
        truth.judge(after.path(), &journal, last);
        thread.stop(PATIENCE).unwrap();
        assert!(rows(after.path()).len() as u64 > last);
    }
}

#[test]
fn a_journal_that_the_disk_does_not_give_back_is_set_aside() {
    for (times, given_up) in [(2, false), (3, true)] {
        let folder = tempfile::tempdir().unwrap();
        let (journal, thread) = open(folder.path());
        journal.append_and_wait(crossings(0, 10)).unwrap();
        let log = journal.status().log();
        thread.stop(PATIENCE).unwrap();

        let disk = Disk::watch(folder.path(), &[], 0, Random::new(1));
        disk.fail(fault(Operation::Read, "journal.db", SQLITE_IOERR_READ, times));
        let (journal, thread) = open(folder.path());
        thread.stop(PATIENCE).unwrap();
        drop(disk.take_remains());
        assert_eq!(journal.status().log() != log, given_up, "{times} times");
        assert_eq!(set_aside(folder.path()).len(), usize::from(given_up));
        let crossings = events(folder.path()).iter().filter(|event| event.body.kind() == "crossing").count();
        assert_eq!(crossings, 10, "what can be read after all goes on");
    }
}

/// A page that was fine at the start, and is needed for an acknowledgement: without
/// that being written nothing else is either.
#[test]
fn a_running_journal_that_the_disk_does_not_give_back_is_set_aside() {
    const N: u64 = 12_000;
    let folder = tempfile::tempdir().unwrap();
    let (journal, thread) = open(folder.path());
    for i in 0..N / 1000 {
        journal.append(crossings(i * 1000, 1000)).unwrap();
    }
    journal.flush().unwrap();
    thread.stop(PATIENCE).unwrap();
    let disk = Disk::watch(folder.path(), &[], 0, Random::new(1));
    let (journal, thread) = open(folder.path());
    let log = journal.status().log();
    disk.fail(fault(Operation::Read, "journal.db", SQLITE_IOERR_READ, u32::MAX));
    let mark = |seq| Mark { seq, delivery: Delivery::Delivered, at: UtcMillis(7) };
    journal.try_mark(&log, vec![mark(2), mark(3)]).unwrap();
    journal.append(vec![crossing(1 << 80, N, None)]).unwrap();
    wait_for("it is set aside", || set_aside(folder.path()).len() == 1);
    disk.heal();
    journal.flush().unwrap();
    assert_ne!(journal.status().log(), log);
    assert_eq!((journal.figures().error, journal.figures().damaged), (None, 1));
    thread.stop(PATIENCE).unwrap();
    drop(disk.take_remains());
    // All that was there and not delivered, and what came meanwhile.
    let crossings = events(folder.path()).iter().filter(|event| event.body.kind() == "crossing").count() as u64;
    assert_eq!(crossings, N - 2 + 1);
}
