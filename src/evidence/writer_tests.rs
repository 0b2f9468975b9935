//! Tests of the writer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use std::sync::{Arc, Mutex};

use crate::clock::{Beat, ClockSource, Heartbeats, KernelTime, RtcTime, RunningMs, SystemClock, boot_time_now};
use crate::domain::Mono;
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
        Bench::with_clock(dir, SystemClock::new())
    }

    fn with_clock(dir: tempfile::TempDir, clock: SystemClock) -> Bench {
        let mut options = JournalOptions::new(dir.path().join("journal.db"), "unit");
        options.clock = clock.clone();
        let (journal, journal_thread) = Journal::open(options, Beat::unwatched()).unwrap();
        let beats = Heartbeats::new();
        let setup = EvidenceSetup {
            folder: dir.path().join("evidence"),
            limits: Limits { keep: Duration::from_secs(86_400), max_bytes: 1 << 30, min_free: 0 },
            journal: journal.clone(),
            clock,
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
        shelf.write(*item, content, RunningMs(0)).unwrap();
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

/// A machine whose clocks are what the test says.
#[derive(Clone)]
struct Sim(Arc<Mutex<KernelTime>>);

impl ClockSource for Sim {
    fn kernel(&self) -> KernelTime {
        *self.0.lock().unwrap()
    }

    fn rtc(&self) -> Option<RtcTime> {
        None
    }
}

const HONEST_S: i64 = 1_900_000_000;

impl Sim {
    /// Synchronised, by somebody who is `off_s` from the truth.
    fn new(off_s: i64) -> (Sim, SystemClock) {
        let utc_us = (HONEST_S + off_s) * 1_000_000;
        let now = KernelTime { mono: Mono::from_micros(1_000_000), utc_us, max_error_us: Some(20_000), leap: false };
        let sim = Sim(Arc::new(Mutex::new(now)));
        (sim.clone(), SystemClock::with(Arc::new(sim), 1))
    }

    fn pass(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        now.mono = now.mono.plus(Duration::from_secs(seconds));
        now.utc_us += seconds as i64 * 1_000_000;
    }

    fn say(&self, off_s: i64) {
        self.0.lock().unwrap().utc_us += off_s * 1_000_000;
    }
}

fn small_stills(dir: &Path) -> usize {
    let shelf = Shelf::open(&dir.join("evidence")).unwrap();
    shelf.items().filter(|(item, _)| item.kind == Kind::Small).count()
}

#[test]
fn a_time_server_that_lies_for_a_week_takes_no_picture_with_it() {
    let (sim, clock) = Sim::new(0);
    let bench = Bench::with_clock(tempfile::tempdir().unwrap(), clock.clone());
    let keep = 86_400;
    for n in 0..10 {
        bench.handle.keep(still(HONEST_S as u64 + n));
        bench.taken();
    }
    sim.say(100 * keep);
    for n in 10..20 {
        clock.poll();
        sim.pass(3600);
        bench.handle.keep(still((HONEST_S + 100 * keep) as u64 + n));
        bench.taken();
    }
    sim.say(-100 * keep);
    clock.poll();
    let dir = bench.stop();
    assert_eq!(small_stills(dir.path()), 20);
    // A start in the midst of a lie; then so much time passes that the first are old.
    let (sim, clock) = Sim::new(1000 * keep);
    let bench = Bench::with_clock(dir, clock);
    bench.handle.keep(still(HONEST_S as u64 + 50_000));
    bench.taken();
    sim.pass(55_000);
    bench.handle.keep(still(HONEST_S as u64 + 60_000));
    let dir = bench.stop();
    let left = small_stills(dir.path());
    assert!((5..21).contains(&left), "{left}");
    // Which is said once, with how many they were.
    let reader = JournalReader::open(&dir.path().join("journal.db")).unwrap();
    let (mut lost, filter) = (Vec::new(), EventFilter { kinds: vec!["lost".into()], ..EventFilter::default() });
    reader
        .for_each(&filter, |row| {
            lost.push(serde_json::from_str::<serde_json::Value>(&row.json).unwrap());
            true
        })
        .unwrap();
    let [one] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!((one["from"].as_u64(), one["n"].as_u64()), (Some(0), Some(22 - left as u64)), "{one}");
    assert!(one["why"].as_str().unwrap().starts_with("older than evidence.keep"), "{one}");
}

/// A unit whose power is cut every night says in the morning what went in the evening.
#[test]
fn what_went_and_was_not_said_is_said_by_the_start_after_a_kill() {
    let (sim, clock) = Sim::new(0);
    let bench = Bench::with_clock(tempfile::tempdir().unwrap(), clock);
    let within = |what: &str, is_so: &dyn Fn() -> bool| {
        let patience = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < patience, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // Each is old when the next one comes: the first is told of at once, two are not yet.
    for n in 0..4 {
        let one = still(HONEST_S as u64 + n);
        let item = Item::new(Kind::Small, one.id);
        bench.handle.keep(one);
        within("it is written", &|| bench.dir.path().join("evidence").join(item.name()).exists());
        sim.pass(86_410);
    }
    let path = bench.dir.path().join("journal.db");
    let noted = || JournalReader::open(&path).unwrap().notes("untold/").unwrap();
    within("two are noted", &|| noted().iter().any(|(key, value)| key == AGED && value.contains("\"Small\":2")));
    let after = tempfile::tempdir().unwrap();
    let copy = after.path().join("journal.db");
    rusqlite::Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    bench.stop();
    let after = Bench::in_folder(Bench::in_folder(after).stop()).stop();
    let reader = JournalReader::open(&after.path().join("journal.db")).unwrap();
    assert_eq!(reader.notes("untold/").unwrap(), []);
    let (mut told, filter) = (Vec::new(), EventFilter { kinds: vec!["lost".into()], ..EventFilter::default() });
    reader
        .for_each(&filter, |row| {
            told.push(serde_json::from_str::<serde_json::Value>(&row.json).unwrap()["n"].as_u64());
            true
        })
        .unwrap();
    assert_eq!(told, [Some(1), Some(2)]);
}

#[test]
fn what_is_not_reported_yet_is_read_again_as_it_was_noted() {
    use crate::evidence::missed::{Missed, MissedWhy};
    let mut removed = Tally::default();
    assert_eq!(untold(&removed), None);
    removed.add(&Item::new(Kind::Clip, id(100, 0)), Why::Disk);
    removed.add(&Item::new(Kind::Small, id(200, 0)), Why::Size);
    let mut missed = MissedTally::default();
    missed.add(Missed { camera: "road, \"east\"".into(), sightings: 3, why: MissedWhy::NoKeyframe });
    assert_eq!(serde_json::from_str::<Tally>(&untold(&removed).unwrap()).unwrap(), removed);
    assert_eq!(serde_json::from_str::<MissedTally>(&untold(&missed).unwrap()).unwrap(), missed);
}
