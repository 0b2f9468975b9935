//! Other bytes than were written: the journal opens in any case, keeps what it set
//! aside, and carries on with all that can be read.

use std::path::Path;

use super::common::broker::wait_for;
use super::common::drafts::{crossing, crossings, sighting};
use super::common::random::{Random, setting};
use super::rows::{PATIENCE, Truth, events, journal_in, open, options, rows, set_aside};
use tawny::clock::Beat;
use tawny::domain::UtcMillis;
use tawny::event::{Body, Class, Event, Phase};
use tawny::journal::{Delivery, Journal, JournalError, JournalReader, Mark};

/// Events with an id each, of which every third is delivered, and a sighting that
/// has not ended. Returns what was written, and the journal's id.
fn fill(folder: &Path, events: u64) -> (Truth, String) {
    let (journal, thread) = open(folder);
    for i in 0..events / 10 {
        journal.append_and_wait(crossings(i * 10, 10)).unwrap();
    }
    journal.append_and_wait(vec![sighting(1 << 90, events * 20, Phase::Start)]).unwrap();
    let log = journal.status().log();
    let third = (2..events).step_by(3).map(|seq| Mark { seq, delivery: Delivery::Delivered, at: UtcMillis(7) });
    assert!(journal.mark_and_wait(&log, third.collect(), PATIENCE));
    let mut truth = Truth::default();
    truth.learn(folder, &journal);
    thread.stop(PATIENCE).unwrap();
    (truth, log.0)
}

/// Ids of the objects that crossed, of events that wait for their delivery.
fn waiting(folder: &Path) -> Vec<String> {
    let reader = JournalReader::open(&journal_in(folder)).unwrap();
    let all = Class::ALL.into_iter().flat_map(|class| reader.undelivered(class, 0, u64::MAX, 100_000).unwrap());
    let id = |event: Event| if let Body::Crossing { id, .. } = event.body { Some(id.to_string()) } else { None };
    all.filter_map(|row| Event::from_json(&row.json).ok().and_then(id)).collect()
}

#[test]
fn a_write_ahead_log_cut_anywhere_gives_back_what_is_before_the_cut() {
    let mut random = Random::new(setting("TAWNY_FAULT_SEED", 1));
    let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, thread) = open(folder.path());
    // All before is in the database, and all that comes in the log.
    for i in 0..60 {
        journal.append_and_wait(crossings(i * 10, 1 + i % 4)).unwrap();
    }
    let mut truth = Truth::default();
    truth.learn(folder.path(), &journal);
    for suffix in ["", "-wal"] {
        let name = format!("journal.db{suffix}");
        std::fs::copy(folder.path().join(&name), source.path().join(&name)).unwrap();
    }
    thread.stop(PATIENCE).unwrap();
    let log = std::fs::read(source.path().join("journal.db-wal")).unwrap();
    assert!(log.len() > 100_000);
    let mut counts = Vec::new();
    let last = (log.len() as u64).div_ceil(512);
    let mut cuts: Vec<u64> = (0..40).map(|_| random.below(last + 1)).chain([0, last]).collect();
    cuts.sort_unstable();
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(source.path().join("journal.db"), journal_in(folder.path())).unwrap();
        std::fs::write(folder.path().join("journal.db-wal"), &log[..log.len().min(cut as usize * 512)]).unwrap();
        let (journal, thread) = open(folder.path());
        // Which events there are grows with the log, and no other is among them.
        counts.push(truth.judge(folder.path(), &journal, 0).events.len());
        thread.stop(PATIENCE).unwrap();
    }
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(counts.last(), Some(&(truth.events.len() + 1)), "and the start");
}

/// What may happen to a file.
fn hurt(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let length = bytes.len() as u64;
    let page = random.below(length / 2048) as usize * 2048;
    match random.below(7) {
        0 => {
            let (at, bit) = (random.below(length) as usize, random.below(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
        1 => {
            for _ in 0..200 {
                let (at, bit) = (random.below(length) as usize, random.below(8));
                bytes[at] ^= 1 << bit;
            }
            "200 bits".into()
        }
        2 => {
            bytes[page..page + 2048].fill(0);
            format!("page at {page} zeroed")
        }
        3 => {
            bytes[page..page + 2048].fill_with(|| random.next() as u8);
            format!("page at {page} overwritten")
        }
        4 => {
            bytes.truncate(random.below(length) as usize);
            format!("cut to {}", bytes.len())
        }
        5 => {
            let at = random.below(100) as usize;
            bytes[at] ^= 1 << random.below(8);
            format!("byte {at} of the header")
        }
        _ => {
            bytes.truncate(random.below(100) as usize);
            format!("cut to {} bytes", bytes.len())
        }
    }
}

#[test]
fn a_damaged_journal_never_keeps_a_unit_from_running_nor_loses_what_can_be_read() {
    let seed = setting("TAWNY_FAULT_SEED", 1);
    let mut random = Random::new(seed);
    let source = tempfile::tempdir().unwrap();
    let (truth, log) = fill(source.path(), 300);
    let sound = std::fs::read(journal_in(source.path())).unwrap();
    let undelivered = waiting(source.path());
    let (mut aside, mut saved) = (0, 0);
    for round in 0..setting("TAWNY_FAULT_DAMAGES", 70) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = sound.clone();
        let what = hurt(&mut bytes, &mut random);
        println!("TAWNY_FAULT_SEED={seed}, {round}: {what}");
        std::fs::write(journal_in(folder.path()), &bytes).unwrap();
        let (journal, thread) = open(folder.path());
        let last = journal.append_and_wait(vec![crossing(u128::MAX, 0, None)]).unwrap();
        thread.stop(PATIENCE).unwrap();
        let left = waiting(folder.path());
        if let [name] = set_aside(folder.path()).as_slice() {
            aside += 1;
            assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes, "it is kept as it was");
            assert_ne!(journal.status().log().0, log, "numbers begin anew");
            let said = |event: &Event| matches!(&event.body, Body::Storage { value: Some(v), .. } if v == name);
            assert!(events(folder.path()).iter().any(said), "the unit says so");
            saved += left.len() - 1;
        } else if !bytes.is_empty() {
            assert_eq!(journal.status().log().0, log);
            assert!(last >= truth.events.len() as u64, "a number is given twice");
            // A damaged text is one event; all others are there.
            assert!(left.len() + 200 > undelivered.len(), "{} of {}", left.len(), undelivered.len());
        }
        let (_, thread) = open(folder.path());
        thread.stop(PATIENCE).unwrap();
    }
    println!("{aside} set aside, {saved} undelivered events taken over");
    assert!(aside > 10 && saved > 500, "{aside} {saved}");
}

/// A leaf of the table, in the middle, of a journal with 300 events.
fn hurt_a_leaf(folder: &Path) {
    let path = journal_in(folder);
    let mut bytes = std::fs::read(&path).unwrap();
    let leaf = (0..bytes.len() / 2048).filter(|page| bytes[page * 2048] == 13).nth(20).unwrap() * 2048;
    bytes[leaf..leaf + 2048].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
}

#[test]
fn what_is_undelivered_in_a_damaged_journal_is_sent_from_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 300);
    let before = waiting(folder.path());
    hurt_a_leaf(folder.path());
    let (journal, thread) = open(folder.path());
    thread.stop(PATIENCE).unwrap();
    drop(journal);
    let after = waiting(folder.path());
    assert!(after.iter().all(|id| before.contains(id)) && after.is_sorted());
    assert!(after.len() < before.len() && after.len() + 20 > before.len(), "{} of {}", after.len(), before.len());
    let Body::Storage { why, .. } = &events(folder.path())[0].body else { panic!() };
    assert!(why.contains(&format!("with {} undelivered events", after.len() + 2)), "{why}: boot and sighting too");
    // The sighting was open, and has its end at the next start.
    let (_, thread) = open(folder.path());
    thread.stop(PATIENCE).unwrap();
    let ends = |e: &Event| matches!(&e.body, Body::Sighting { why: Some(why), .. } if why == "interrupted");
    assert_eq!(events(folder.path()).iter().filter(|e| ends(e)).count(), 1);
}

#[test]
fn what_was_taken_over_is_not_taken_again_by_a_later_journal() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 300);
    let before = waiting(folder.path());
    hurt_a_leaf(folder.path());
    let (_, thread) = open(folder.path());
    thread.stop(PATIENCE).unwrap();
    assert_eq!(set_aside(folder.path()).len(), 1);
    let taken = waiting(folder.path());
    assert!(!taken.is_empty() && taken.iter().all(|id| before.contains(id)));
    // Months later somebody begins a new one.
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("journal.db{suffix}")));
    }
    let (journal, thread) = open(folder.path());
    thread.stop(PATIENCE).unwrap();
    assert_eq!((journal.figures().damaged, waiting(folder.path())), (0, Vec::new()));
    assert_eq!(set_aside(folder.path()).len(), 1, "it is still there for whoever wants to look");
}

#[test]
fn a_power_cut_between_setting_aside_and_beginning_anew_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 30);
    let before = waiting(folder.path());
    let name = "journal.db.damaged-20260101T000000Z";
    // The database is renamed first; its log has not followed yet.
    std::fs::rename(journal_in(folder.path()), folder.path().join(name)).unwrap();
    assert!(folder.path().join("journal.db-wal").exists());
    for start in 0..2 {
        let (journal, thread) = open(folder.path());
        assert_eq!(journal.figures().damaged, u64::from(start == 0));
        thread.stop(PATIENCE).unwrap();
        assert_eq!(waiting(folder.path()), before);
        let said = |e: &Event| matches!(&e.body, Body::Storage { value: Some(value), .. } if value == name);
        assert_eq!(events(folder.path()).iter().filter(|e| said(e)).count(), 1, "once is enough");
    }
}

#[test]
fn damage_that_only_a_reader_meets_is_found_by_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, thread) = open(folder.path());
    journal.append_and_wait(crossings(0, 200)).unwrap();
    let log = journal.status().log();
    // The index speaks of an event that is not in the table: the writer, which reads
    // the index alone, sees nothing of it.
    let db = rusqlite::Connection::open(journal_in(folder.path())).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema = ON;
         CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'event_queued';
         DELETE FROM sqlite_schema WHERE name = 'event_queued';
         PRAGMA writable_schema = RESET;
         DELETE FROM event WHERE seq = 7;
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema SELECT * FROM kept;",
    )
    .unwrap();
    drop(db);
    let error = JournalError::Damaged { path: journal_in(folder.path()), why: "as a reader says".into() };
    journal.suspect(&error);
    wait_for("it is looked at", || journal.status().generation() == 1);
    assert_ne!(journal.status().log(), log);
    journal.append_and_wait(crossings(1000, 5)).unwrap();
    assert_eq!(journal.figures().error, None);
    thread.stop(PATIENCE).unwrap();
    assert_eq!(waiting(folder.path()).len(), 199 + 5);
}

#[test]
fn a_text_that_is_damaged_is_in_the_way_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 30);
    let db = rusqlite::Connection::open(journal_in(folder.path())).unwrap();
    db.execute("UPDATE event SET body = CAST(x'7bff00fe7b' AS TEXT), kind = CAST(x'ff' AS TEXT) WHERE seq = 4", [])
        .unwrap();
    db.execute("UPDATE state SET value = CAST(x'ff7b' AS TEXT) WHERE key GLOB 'clock*' OR key GLOB 'open/*'", [])
        .unwrap();
    drop(db);
    let options = options(folder.path());
    let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    assert_eq!(set_aside(folder.path()), Vec::<String>::new());
    assert_eq!(waiting(folder.path()).len(), 30 - 10 - 1);
    assert_eq!(rows(folder.path()).len(), 1 + 30 + 1 + 1);
    // As the uplink does with what it cannot send.
    let log = journal.status().log();
    assert!(journal.mark_and_wait(
        &log,
        vec![Mark { seq: 4, delivery: Delivery::SetAside, at: UtcMillis(7) }],
        PATIENCE
    ));
    thread.stop(PATIENCE).unwrap();
    let last = events(folder.path()).pop().unwrap();
    let Body::Lost { from: 4, to: 4, n: 1, why, .. } = last.body else { panic!("{last:?}") };
    assert!(why.contains("cannot be read"), "{why}");
}
