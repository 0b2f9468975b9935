//! The journal on a real file system: nothing acknowledged is ever missing.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::drafts::{crossing, crossings, group, sighting};
use tawny::clock::Beat;
use tawny::event::{Body, Event, Phase};
use tawny::journal::{
    Delivery, EventFilter, EventRow, Journal, JournalError, JournalHandle, JournalOptions, JournalReader,
    JournalThread, Mark,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn open(path: &Path) -> (JournalHandle, JournalThread) {
    Journal::open(JournalOptions::new(path, "unit"), Beat::unwatched()).unwrap()
}

fn refused(path: &Path) -> JournalError {
    Journal::open(JournalOptions::new(path, "unit"), Beat::unwatched()).map(drop).unwrap_err()
}

fn rows(path: &Path) -> Vec<EventRow> {
    let mut rows = Vec::new();
    JournalReader::open(path)
        .unwrap()
        .for_each(&EventFilter::default(), |row| {
            rows.push(row);
            true
        })
        .unwrap();
    rows
}

fn events(path: &Path) -> Vec<Event> {
    rows(path).iter().map(|row| Event::from_json(&row.json).unwrap()).collect()
}

fn boot_reason(event: &Event) -> &str {
    match &event.body {
        Body::Boot { why, .. } => why,
        other => panic!("not a boot event: {other:?}"),
    }
}

fn assert_gap_free(path: &Path) {
    for (i, row) in rows(path).iter().enumerate() {
        let event = Event::from_json(&row.json).unwrap();
        assert_eq!((row.seq, event.seq), (i as u64 + 1, i as u64 + 1));
    }
}

#[test]
fn a_journal_that_is_just_made_is_there_or_missing_and_nothing_else() {
    for _ in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let reading = {
            let path = path.clone();
            std::thread::spawn(move || {
                loop {
                    match JournalReader::open(&path) {
                        Ok(_) => return,
                        Err(JournalError::Missing { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            })
        };
        let (_, thread) = open(&path);
        reading.join().unwrap();
        thread.stop(PATIENCE).unwrap();
    }
}

#[test]
fn numbers_are_gap_free_when_many_threads_append_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    std::thread::scope(|scope| {
        for t in 0..8u64 {
            let handle = handle.clone();
            scope.spawn(move || {
                for i in 0..40 {
                    let batch = crossings(t * 1000 + i * 10, 1 + i % 4);
                    match i % 3 {
                        0 => drop(handle.append_and_wait(batch).unwrap()),
                        _ => handle.append(batch).unwrap(),
                    }
                }
            });
        }
    });
    let last = handle.flush().unwrap();
    assert_eq!(last, 1 + 8 * 100, "one boot event and the crossings");
    let figures = handle.figures();
    assert_eq!((figures.seq, figures.queued, figures.low), (last, last, 0));
    assert!(figures.commits < last, "events that arrive during a commit share the next one");
    thread.stop(PATIENCE).unwrap();
    assert_gap_free(&path);
    assert_eq!(rows(&path).len() as u64, last);
}

#[test]
fn files_are_for_the_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/for/it/journal.db");
    let (handle, thread) = open(&path);
    handle.append_and_wait(crossings(0, 3)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 6, "database, -wal, -shm, .lock, .numbers, .reserve");
    thread.stop(PATIENCE).unwrap();
}

#[test]
fn delivery_moves_low_and_deleted_events_never_give_their_numbers_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    handle.append_and_wait(crossings(0, 9)).unwrap();
    let log = handle.status().log();
    let mark = |seq, delivery| Mark { seq, delivery, at: tawny::domain::UtcMillis(7) };
    let marks = vec![mark(1, Delivery::Delivered), mark(3, Delivery::Delivered), mark(2, Delivery::Unheard)];
    assert!(handle.mark_and_wait(&log, marks, PATIENCE));
    assert_eq!((handle.figures().low, handle.figures().queued), (3, 7));
    let other = tawny::event::LogId("another".into());
    assert!(handle.mark_and_wait(&other, vec![mark(4, Delivery::Delivered)], PATIENCE));
    assert_eq!(handle.figures().low, 3, "marks of another journal change nothing");
    assert!(handle.mark_and_wait(&log, (4..=10).map(|s| mark(s, Delivery::SetAside)).collect(), PATIENCE));
    // What was set aside is reported as lost, by one event for all of it.
    assert_eq!((handle.figures().low, handle.figures().queued), (10, 1));
    let Body::Lost { from, to, n, .. } = events(&path)[10].body else { panic!() };
    assert_eq!((from, to, n), (4, 10, 7));
    thread.stop(PATIENCE).unwrap();

    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM event", []).unwrap();
    let (handle, thread) = open(&path);
    assert_eq!(handle.flush().unwrap(), 12, "the boot event goes on counting");
    assert_eq!(handle.status().log(), log);
    thread.stop(PATIENCE).unwrap();
}

#[test]
fn a_start_says_how_the_last_run_ended_and_ends_what_was_left_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    handle
        .append_and_wait(vec![
            sighting(1, 1_000, Phase::Start),
            sighting(2, 2_000, Phase::Start),
            crossing(1, 3_500, None),
            sighting(2, 4_000, Phase::End),
            crossing(3, 5_000, None),
            group(9, 5_000, Phase::Start, 2),
            crossing(4, 6_000, Some(9)),
        ])
        .unwrap();
    // As after kill -9: no goodbye, and the files as they are.
    let crashed = dir.path().join("crashed.db");
    for suffix in ["", "-wal"] {
        let name = |base: &Path| format!("{}{suffix}", base.display());
        std::fs::copy(name(&path), name(&crashed)).unwrap();
    }
    thread.stop(PATIENCE).unwrap();
    drop(handle);

    let (handle, thread) = open(&crashed);
    assert_eq!(handle.flush().unwrap(), 11);
    thread.stop(PATIENCE).unwrap();
    let events = events(&crashed);
    assert_eq!(boot_reason(&events[8]), "crash");
    let Body::Boot { prev: Some(prev), .. } = &events[8].body else { panic!() };
    assert!(prev.0 > 0);
    let json: Vec<String> = events.iter().map(Event::to_json).collect();
    for key in [r#""phase":"end""#, r#""why":"interrupted""#, r#""dur":2.5"#, r#""cls":"truck""#, r#""m":3500"#] {
        assert!(json[9].contains(key), "{key} in {}", json[9]);
    }
    for key in [r#""phase":"end""#, r#""n":3"#, r#""m":6000"#, r#""t0":"2025-05-11T21:46:43.500Z""#] {
        assert!(json[10].contains(key), "{key} in {}", json[10]);
    }
    // Once is enough, and this time there was a goodbye.
    let (handle, thread) = open(&crashed);
    assert_eq!(handle.flush().unwrap(), 12);
    thread.stop(PATIENCE).unwrap();
    assert_eq!(boot_reason(self::events(&crashed).last().unwrap()), "restart");
    let mut newer = JournalOptions::new(&crashed, "unit");
    newer.version = "99".into();
    Journal::open(newer, Beat::unwatched()).unwrap().1.stop(PATIENCE).unwrap();
    assert_eq!(boot_reason(self::events(&crashed).last().unwrap()), "update");
}

/// Earlier versions set aside what a broker refused.
#[test]
fn what_was_set_aside_and_can_be_sent_waits_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, thread) = open(&path);
    journal.append_and_wait(crossings(0, 5)).unwrap();
    let mark = |seq, delivery| Mark { seq, delivery, at: tawny::domain::UtcMillis(7) };
    let marks = vec![mark(1, Delivery::Delivered), mark(2, Delivery::SetAside), mark(4, Delivery::SetAside)];
    assert!(journal.mark_and_wait(&journal.status().log(), marks, PATIENCE));
    assert_eq!(journal.figures().low, 2);
    thread.stop(PATIENCE).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE event SET body = 'worn' WHERE seq = 4", []).unwrap();
    drop(db);
    let start = |largest| {
        let mut options = JournalOptions::new(&path, "unit");
        (options.sendable_bytes, options.boot_event) = (Some(largest), false);
        let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
        let low = journal.figures().low;
        thread.stop(PATIENCE).unwrap();
        let state = |seq: u64| rows(&path).iter().find(|row| row.seq == seq).unwrap().delivery;
        (low, state(2), state(4))
    };
    // Too large for what may be sent; then not any more; what is damaged stays where it is.
    assert_eq!(start(200), (2, Delivery::SetAside, Delivery::SetAside));
    assert_eq!(start(4000), (1, Delivery::Queued, Delivery::SetAside));
}

/// Receivers know events by their numbers: what gets one that was given is not heard.
#[test]
fn an_old_copy_of_the_journal_gives_no_number_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let run = |n| {
        let (journal, thread) = open(&path);
        let last = journal.append_and_wait(crossings(0, n)).unwrap();
        thread.stop(PATIENCE).unwrap();
        last
    };
    assert_eq!(run(10), 11);
    let old = std::fs::read(&path).unwrap();
    let given = run(30);
    assert_eq!((given, run(0)), (42, 43));
    let mode = std::fs::metadata(dir.path().join("journal.db.numbers")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    for more in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.path().join(format!("journal.db{more}")));
    }
    std::fs::write(&path, &old).unwrap();
    run(5);
    run(5);
    let seqs: Vec<u64> = rows(&path).iter().map(|row| row.seq).collect();
    assert_eq!(seqs[..11], (1..=11).collect::<Vec<_>>());
    assert!(seqs.len() == 11 + 1 + 6 + 6 && seqs[11] > 43, "{seqs:?}");
    let losses: Vec<Event> = events(&path).into_iter().filter(|event| event.body.kind() == "lost").collect();
    let [loss] = &losses[..] else { panic!("{losses:?}") };
    let Body::Lost { from, to, ref why, .. } = loss.body else { panic!("{loss:?}") };
    assert_eq!((from, to), (12, seqs[11] - 1), "all that lies between");
    assert!(why.contains("old copy"), "{why}");
}

#[test]
fn a_damaged_journal_is_set_aside_whole_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::fs::write(&path, "this was never a database, but it is all that is left of one".repeat(100)).unwrap();
    let (first, thread) = open(&path);
    first.append_and_wait(crossings(0, 200)).unwrap();
    let log = first.status().log();
    thread.stop(PATIENCE).unwrap();
    let Body::Storage { value: Some(name), why, .. } = &events(&path)[0].body else { panic!() };
    assert!(name.starts_with("journal.db.damaged-2"), "{name}");
    assert!(why.contains("set aside"), "{why}");
    assert!(std::fs::read_to_string(dir.path().join(name)).unwrap().starts_with("this was never"));

    // A page in the middle overwritten: the header is fine, the tree is not.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2 / 4096 * 4096;
    bytes[at..at + 4096].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let (second, thread) = open(&path);
    assert_ne!(second.status().log(), log, "numbers begin again, so the journal has another id");
    thread.stop(PATIENCE).unwrap();
    let Body::Storage { value: Some(name), .. } = &events(&path)[0].body else { panic!() };
    assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), bytes);

    // A write-ahead log whose database was moved away before it.
    std::fs::write(dir.path().join("other.db-wal"), "left behind").unwrap();
    let (_, thread) = open(&dir.path().join("other.db"));
    thread.stop(PATIENCE).unwrap();
    let Body::Storage { value: Some(name), .. } = &events(&dir.path().join("other.db"))[0].body else { panic!() };
    assert_eq!(std::fs::read_to_string(dir.path().join(format!("{name}-wal"))).unwrap(), "left behind");
}

#[test]
fn damage_found_while_running_loses_nothing_that_was_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    handle.append_and_wait(crossings(0, 100)).unwrap();
    let log = handle.status().log();
    // Another program damages the table under the writer's feet.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "writable_schema", "ON").unwrap();
    db.execute("UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'event'", []).unwrap();
    db.execute_batch("CREATE TABLE bump (x); DROP TABLE bump;").ok();
    drop(db);
    handle.append_and_wait(crossings(1000, 5)).unwrap();
    assert_ne!(handle.status().log(), log);
    assert_eq!(handle.status().generation(), 1);
    thread.stop(PATIENCE).unwrap();
    let kinds: Vec<&str> = events(&path).iter().map(|e| e.body.kind()).collect();
    assert_eq!(kinds, ["storage", "crossing", "crossing", "crossing", "crossing", "crossing"]);
}

#[test]
fn what_cannot_work_says_so_in_one_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");

    std::fs::write(dir.path().join("file"), "").unwrap();
    let message = refused(&dir.path().join("file/journal.db")).to_string();
    assert!(message.contains("file/journal.db") && message.contains("cannot be made"), "{message}");
    let message = refused(Path::new("/proc/journal.db")).to_string();
    assert!(message.contains("/proc/journal.db") && message.contains("cannot be written"), "{message}");
    let message = refused(dir.path()).to_string();
    assert!(message.contains("cannot be opened for writing"), "{message}");

    let (_handle, thread) = open(&path);
    let message = refused(&path).to_string();
    assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    thread.stop(PATIENCE).unwrap();

    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    db.execute("UPDATE state SET value = 99 WHERE key = 'format'", []).unwrap();
    drop(db);
    assert!(matches!(refused(&path), JournalError::Newer { found: 99, .. }));
    assert!(matches!(JournalReader::open(&path), Err(JournalError::Newer { found: 99, .. })));

    let foreign = dir.path().join("recipes.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    assert!(matches!(refused(&foreign), JournalError::Foreign { .. }));
    assert!(matches!(JournalReader::open(&dir.path().join("none.db")), Err(JournalError::Missing { .. })));
    assert!(!dir.path().join("none.db").exists());
}

#[test]
fn a_full_disk_delays_events_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    // A second writer that holds the database stands for a disk that fails.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'disk full'); END").unwrap();
    handle.append(crossings(0, 3)).unwrap();
    while handle.figures().failed_commits < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(handle.figures().error.unwrap().contains("disk full"));
    assert_eq!(handle.figures().seq, 1);
    db.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(handle.append_and_wait(crossings(10, 2)).unwrap(), 6);
    assert_eq!(handle.figures().error, None);
    thread.stop(PATIENCE).unwrap();
    assert_gap_free(&path);
}

/// A file system of its own, so small that it can be filled.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn new(size: &str) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| SmallDisk(dir))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_unit_with_a_full_disk_says_so_and_goes_on_from_its_reserve() {
    let Some(disk) = SmallDisk::new("6m") else {
        eprintln!("mounting is not permitted: not tested");
        return;
    };
    let path = disk.0.path().join("journal.db");
    let reserve = disk.0.path().join("journal.db.reserve");
    let (handle, thread) = open(&path);
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 1 << 20);
    disk.fill();
    let storage = |path: &Path| -> Vec<Phase> {
        let phase = |event: Event| if let Body::Storage { phase, .. } = event.body { Some(phase) } else { None };
        events(path).into_iter().filter_map(phase).collect()
    };
    // Until the write-ahead log has to grow, there is room in it.
    let mut n = 0;
    while handle.figures().failed_commits == 0 {
        handle.append_and_wait(crossings(n, 5)).unwrap();
        n += 5;
    }
    assert_eq!(storage(&path), [Phase::Start]);
    assert!(!reserve.exists());
    for _ in 0..100 {
        handle.append_and_wait(crossings(n, 5)).unwrap();
        n += 5;
    }
    std::fs::remove_file(disk.0.path().join("filler")).unwrap();
    handle.append_and_wait(crossings(n, 1)).unwrap();
    assert_eq!(storage(&path), [Phase::Start, Phase::End]);
    assert!(reserve.exists());
    thread.stop(PATIENCE).unwrap();
    assert_gap_free(&path);
    assert_eq!(rows(&path).len() as u64, 1 + n + 1 + 2, "boot, crossings, two storage events");
}

#[test]
fn a_full_journal_gives_up_the_least_important_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut options = JournalOptions::new(&path, "unit");
    options.limits.max_bytes = 100_000;
    let (handle, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    for i in 0..400 {
        let one = if i % 2 == 0 { sighting(i, i as u64, Phase::Start) } else { crossing(i, i as u64, None) };
        handle.append_and_wait(vec![one]).unwrap();
    }
    let lost = handle.figures().lost;
    assert!(lost > 100, "{lost}");
    let log = handle.status().log();
    let marks = rows(&path).iter().map(|row| row.seq).collect::<Vec<_>>();
    let at = tawny::domain::UtcMillis(7);
    let marks = marks.into_iter().map(|seq| Mark { seq, delivery: Delivery::Delivered, at }).collect();
    assert!(handle.mark_and_wait(&log, marks, PATIENCE));
    assert_eq!(handle.figures().low, handle.figures().seq, "what is lost does not keep a receiver waiting");
    thread.stop(PATIENCE).unwrap();
    let left = events(&path);
    let sum: u64 = left.iter().filter_map(|e| if let Body::Lost { n, .. } = e.body { Some(n) } else { None }).sum();
    assert!(sum >= lost - 1, "{sum} reported, {lost} given up");
    let size: usize = rows(&path).iter().map(|row| row.json.len() + 64).sum();
    assert!(size <= 100_000, "{size}");
    let sightings = left.iter().filter(|e| matches!(e.body, Body::Sighting { .. })).count();
    let crossings = left.iter().filter(|e| matches!(e.body, Body::Crossing { .. })).count();
    assert_eq!(crossings, 200, "not one");
    assert!(sightings < 100, "{sightings} sightings");
}

#[test]
fn a_stop_on_a_dead_disk_ends_and_says_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (handle, thread) = open(&path);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'disk full'); END").unwrap();
    handle.append(crossings(0, 3)).unwrap();
    let error = thread.stop(Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, JournalError::Lost { events: 3, .. }), "{error}");
    assert!(matches!(handle.append(crossings(0, 1)), Err(JournalError::Closed)));
}

/// Run by `kill_9_…` in a process of its own: appends until killed, and prints
/// each number that was acknowledged.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var("TAWNY_TEST_KILLED_JOURNAL") else { return };
    let (handle, _thread) = open(Path::new(&path));
    for i in 0.. {
        handle.append(crossings(i * 10, i % 5)).unwrap();
        let last = handle.append_and_wait(crossings(i * 10 + 5, 1 + i % 3)).unwrap();
        println!("acknowledged {last}");
    }
}

#[test]
fn kill_9_at_any_instant_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    for round in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture"])
            .env("TAWNY_TEST_KILLED_JOURNAL", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        let number = |line: &str| line.split_once("acknowledged ").and_then(|(_, n)| n.parse::<u64>().ok());
        for line in lines.by_ref().map_while(Result::ok).filter(|l| l.contains("acknowledged")).take(3) {
            acknowledged = number(&line).unwrap();
        }
        std::thread::sleep(Duration::from_micros(round * 617));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe was acknowledged too.
        for line in lines.map_while(Result::ok) {
            acknowledged = number(&line).unwrap_or(acknowledged);
        }
        let stored = rows(&path).len() as u64;
        assert!(acknowledged > 0 && stored >= acknowledged, "{stored} stored, {acknowledged} acknowledged");
        assert_gap_free(&path);
    }
    let crashes = events(&path).iter().filter(|e| matches!(&e.body, Body::Boot { why, .. } if why == "crash")).count();
    assert_eq!(crashes, 19);
}
