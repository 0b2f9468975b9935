//! Tests of the writer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::clock::{Beat, Heartbeats, SystemClock, boot_time_now};
use crate::evidence::shelf::tests::id;
use crate::evidence::{EvidenceHandle, EvidenceThread, Limits};
use crate::journal::{EventFilter, Journal, JournalHandle, JournalOptions, JournalReader, JournalThread};

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
        Bench::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(dir: tempfile::TempDir) -> Bench {
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
    assert_eq!(bench.beats.stuck(hours), crate::clock::Stuck::default());
    drop(blocked);
    let dir = bench.stop();
    assert_eq!(std::fs::read_dir(dir.path().join("evidence/outbox")).unwrap().count(), 1);
}

/// What a run that was killed leaves behind: files, and notes about them.
fn leave(dir: &Path, files: &[(Item, &[u8])], notes: Vec<Note>) {
    let mut shelf = Shelf::open(&dir.join("evidence")).unwrap();
    for (item, content) in files {
        shelf.write(*item, content).unwrap();
    }
    let options = JournalOptions::new(dir.join("journal.db"), "unit");
    let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    journal.append_with_notes(Vec::new(), notes).unwrap();
    thread.stop(Duration::from_secs(30)).unwrap();
}

fn kept(dir: &Path) -> Vec<serde_json::Value> {
    let reader = JournalReader::open(&dir.join("journal.db")).unwrap();
    assert_eq!(reader.notes("").unwrap(), [], "nothing is told twice");
    let (mut rows, filter) = (Vec::new(), EventFilter { kinds: vec!["kept".into()], ..EventFilter::default() });
    reader
        .for_each(&filter, |row| {
            rows.push(serde_json::from_str(&row.json).unwrap());
            true
        })
        .unwrap();
    rows
}

#[test]
fn what_a_run_that_was_killed_had_begun_is_told_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &[u8; 4]| [&[0, 0, 0, 12], &name[..], &[7; 4]].concat();
    let whole = [of(b"ftyp"), of(b"moov"), of(b"moof"), of(b"mdat")].concat();
    let (cut, empty) = ([&whole[..], b"\0\0\x01\0moof"].concat(), of(b"ftyp"));
    let [clip, hollow, gone] = [100, 200, 300].map(|seconds| Item::new(Kind::Clip, id(seconds, 0)));
    let (still, strange) = (Item::new(Kind::Full, id(400, 0)), Item::new(Kind::Clip, id(500, 0)));
    let begun = Begun { cam: "road".into(), from: SystemClock::new().now(), of: vec![id(90, 1), id(95, 1)] };
    let mut notes: Vec<Note> = [clip, hollow, gone, still].iter().map(|i| unfinished::note(i, Some(&begun))).collect();
    notes.push(Note { value: Some("{".into()), ..unfinished::note(&strange, None) });
    let files: [(Item, &[u8]); 4] = [(clip, &cut), (hollow, &empty), (still, b"jpeg"), (strange, &cut)];
    leave(dir.path(), &files, notes);
    let dir = Bench::in_folder(dir).stop();
    let dir = Bench::in_folder(dir).stop();
    let told: Vec<_> =
        kept(dir.path()).iter().map(|e| (e["id"].clone(), e["sha256"].clone(), e["bytes"].clone())).collect();
    let expected = [(clip, &whole[..]), (still, b"jpeg")]
        .map(|(item, content)| (item.id.to_string().into(), checksum(content).into(), content.len().into()));
    assert_eq!(told, expected);
    assert_eq!(kept(dir.path())[0]["of"].as_array().unwrap().len(), 2);
    let shelf = Shelf::open(&dir.path().join("evidence")).unwrap();
    assert_eq!(std::fs::read(shelf.path(&clip)).unwrap(), whole);
    // Without a picture there is nothing to keep; of what nobody noted nothing is known.
    assert!(!shelf.holds(&hollow) && shelf.holds(&strange));
}
