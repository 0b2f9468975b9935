//! The clock from outside: what becomes of events that were stored before the
//! time was known. Simulated clocks on the real journal, and the real program
//! with a gpsd of the test's own; the machine's clock is never touched.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::broker::{free_port, wait_for};
use common::daemon::Unit;
use common::program::tawny;
use serde_json::Value;
use tawny::clock::{Beat, ClockSource, KernelTime, RtcTime, SystemClock, utc_now};
use tawny::domain::{Mono, UtcMillis};
use tawny::event::{Body, Draft, Event, Phase};
use tawny::journal::{
    Delivery, EventFilter, EventRow, Journal, JournalHandle, JournalOptions, JournalReader, JournalThread, Mark,
};

const S: i64 = 1_000_000;
const HOUR: i64 = 3600 * S;
const DAY: i64 = 24 * HOUR;

/// A machine whose clocks are what the test says. The truth is `start` plus the
/// time since boot.
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

/// One boot of a unit, its journal open.
struct Boot {
    sim: Sim,
    clock: SystemClock,
    /// True UTC − CLOCK_BOOTTIME, µs.
    start: i64,
    journal: JournalHandle,
    thread: JournalThread,
}

impl Boot {
    /// Starts the program `mono` µs after the machine, whose kernel thinks that
    /// it is 1970.
    fn open(path: &Path, boot: u32, start: i64, mono: i64) -> Boot {
        let sim = Sim(Arc::new(Mutex::new(KernelTime {
            mono: Mono::from_micros(mono as u64),
            utc_us: mono,
            max_error_us: None,
            leap: false,
        })));
        let clock = SystemClock::with(Arc::new(sim.clone()), boot);
        let mut options = JournalOptions::new(path, "unit");
        options.clock = clock.clone();
        let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
        Boot { sim, clock, start, journal, thread }
    }

    fn pass(&self, us: i64) {
        let mut kernel = self.sim.0.lock().unwrap();
        kernel.mono = kernel.mono.plus(Duration::from_micros(us as u64));
        kernel.utc_us += us;
    }

    /// NTP sets the kernel's clock.
    fn synchronise(&self) {
        let mut kernel = self.sim.0.lock().unwrap();
        kernel.utc_us = self.start + kernel.mono.as_micros() as i64;
        kernel.max_error_us = Some(20_000);
    }

    /// Something happens; returns when it did, in truth.
    fn event(&self) -> (u64, i64) {
        let stamp = self.clock.now();
        let body = Body::Camera { cam: "road".into(), phase: Phase::Lost, why: None };
        let seq = self.journal.append_and_wait(vec![Draft { stamp, body, replay: false }]).unwrap();
        (seq, self.start / 1_000 + stamp.mono_ms as i64)
    }

    /// The kernel's clock is off by so much, and calls itself synchronised.
    fn lie(&self, by: i64) {
        self.synchronise();
        self.sim.0.lock().unwrap().utc_us += by;
    }

    /// An event that was delivered.
    fn delivered(&self) -> u64 {
        let (seq, _) = self.event();
        let mark = Mark { seq, delivery: Delivery::Delivered, at: self.clock.read().utc };
        assert!(self.journal.mark_and_wait(&self.journal.status().log(), vec![mark], Duration::from_secs(20)));
        seq
    }

    /// Commits, and what follows a commit.
    fn commit(&self) {
        self.journal.wake();
        self.journal.flush().unwrap();
    }

    fn stop(self) {
        self.thread.stop(Duration::from_secs(5)).unwrap();
    }
}

fn rows(path: &Path) -> Vec<EventRow> {
    let mut rows = Vec::new();
    let each = |row| {
        rows.push(row);
        true
    };
    JournalReader::open(path).unwrap().for_each(&EventFilter::default(), each).unwrap();
    rows
}

/// The time of event `seq` as known now, and its bounds.
fn known(rows: &[EventRow], seq: u64) -> (i64, Option<u32>) {
    let row = rows.iter().find(|row| row.seq == seq).unwrap();
    let event = Event::from_json(&row.json).unwrap();
    row.corrected.map_or((event.stamp.t.0, event.stamp.uncertainty_ms), |c| (c.t.0, Some(c.uncertainty_ms)))
}

fn clock_events(rows: &[EventRow]) -> usize {
    rows.iter().filter(|row| row.json.contains("\"kind\":\"clock\"")).count()
}

/// 2030, so that it is after this program's making for a while.
const START: i64 = 1_893_456_000 * S;

#[test]
fn events_from_before_the_time_was_known_get_it_later_and_nothing_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    let mut events = Vec::new();
    for _ in 0..5 {
        events.push(boot.event());
        boot.pass(7 * S);
    }
    let before = rows(&path);
    assert!(before.iter().all(|row| row.corrected.is_none() && row.json.contains("\"ts\":\"none\"")));
    boot.synchronise();
    events.push(boot.event());
    boot.journal.flush().unwrap();
    let after = rows(&path);
    assert_eq!(clock_events(&after), 1);
    for row in &before {
        assert_eq!(after.iter().find(|other| other.seq == row.seq).unwrap().json, row.json);
    }
    for (seq, truth) in &events {
        let (t, tu) = known(&after, *seq);
        assert!((t - truth).abs() <= i64::from(tu.unwrap()) && tu.unwrap() < 100, "{seq}: {t} ± {tu:?}, truth {truth}");
    }
    // The start itself too; and the order of numbers is what it was.
    assert_eq!(known(&after, 1).0, (START + 10 * S) / 1_000);
    assert!(after.iter().map(|row| row.seq).eq(1..=after.len() as u64));
    assert_eq!(boot.journal.figures().seq, after.len() as u64);
    // The event says what the table says.
    let Body::Clock { ranges, .. } = Event::from_json(&after.last().unwrap().json).unwrap().body else { panic!() };
    assert_eq!((ranges.len(), ranges[0].0, ranges[0].1), (1, 1, 6));
    // Nothing is said twice.
    boot.event();
    boot.stop();
    let boot = Boot::open(&path, 1, START, 3600 * S);
    boot.synchronise();
    boot.event();
    boot.journal.flush().unwrap();
    assert_eq!(clock_events(&rows(&path)), 1);
}

#[test]
fn filters_go_by_the_corrected_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    boot.event();
    boot.synchronise();
    boot.event();
    boot.journal.flush().unwrap();
    let since = EventFilter { since: Some(UtcMillis(START / 1_000)), ..EventFilter::default() };
    let mut found = 0;
    JournalReader::open(&path)
        .unwrap()
        .for_each(&since, |_| {
            found += 1;
            true
        })
        .unwrap();
    assert_eq!(found, rows(&path).len());
}

#[test]
fn a_correction_that_a_crash_prevented_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    let (seq, truth) = boot.event();
    // Killed; in the same boot, started again when the clock is right already.
    boot.stop();
    let boot = Boot::open(&path, 1, START, 100 * S);
    boot.synchronise();
    boot.journal.wake();
    wait_for("the correction", || clock_events(&rows(&path)) == 1);
    assert_eq!(known(&rows(&path), seq).0, truth);
    boot.stop();
    // Later boots, which know the time soon after their start.
    let boot = Boot::open(&path, 2, START + DAY, 10 * S);
    boot.synchronise();
    boot.event();
    boot.stop();
    let boot = Boot::open(&path, 3, START + 2 * DAY, 10 * S);
    boot.synchronise();
    boot.event();
    boot.journal.flush().unwrap();
    assert_eq!(clock_events(&rows(&path)), 3, "one for each boot");
}

#[test]
fn boots_that_never_knew_the_time_lie_between_those_that_did() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let first = Boot::open(&path, 1, START, 10 * S);
    first.synchronise();
    first.event();
    first.stop();
    let mut events = Vec::new();
    for (boot, start) in [(2, START + HOUR), (3, START + 3 * HOUR), (4, START + 4 * HOUR)] {
        let unsure = Boot::open(&path, boot, start, 10 * S);
        events.push(unsure.event());
        unsure.pass(600 * S);
        events.push(unsure.event());
        unsure.stop();
    }
    let last = Boot::open(&path, 5, START + 6 * HOUR, 10 * S);
    last.synchronise();
    last.event();
    last.journal.flush().unwrap();
    let rows = rows(&path);
    for (seq, truth) in &events {
        let (t, tu) = known(&rows, *seq);
        let tu = i64::from(tu.unwrap_or_else(|| panic!("{seq} has no bounds")));
        assert!((t - truth).abs() <= tu && tu <= 3 * HOUR / 1_000, "{seq}: {t} ± {tu}, truth {truth}");
    }
    let order: Vec<i64> = events.iter().map(|(seq, _)| known(&rows, *seq).0).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_kernel_that_is_stepped_about_disturbs_neither_order_nor_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    boot.synchronise();
    boot.event();
    let mut events = Vec::new();
    for step in [S, -S, DAY, -DAY, 3650 * DAY, -3650 * DAY, -7300 * DAY] {
        let mut kernel = boot.sim.0.lock().unwrap();
        (kernel.utc_us, kernel.max_error_us) = (kernel.utc_us + step, None);
        drop(kernel);
        events.push(boot.event());
        boot.pass(S);
    }
    let rows = rows(&path);
    for (seq, truth) in &events {
        assert_eq!(known(&rows, *seq).0, *truth);
    }
    assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64));
}

fn numbers(path: &Path) -> Vec<u64> {
    rows(path).iter().map(|row| row.seq).collect()
}

#[test]
fn a_time_server_that_lies_for_a_week_makes_nothing_old() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    boot.synchronise();
    let delivered: Vec<u64> = (0..20).map(|_| boot.delivered()).collect();
    boot.lie(100 * DAY);
    for _ in 0..7 * 8 {
        boot.clock.poll();
        boot.pass(3 * HOUR);
        boot.commit();
    }
    boot.synchronise();
    boot.pass(60 * S);
    boot.commit();
    boot.stop();
    // Nor with a start in the midst of the lie, nor one of a year later without any time.
    for (nth, lie) in [(2, 200 * DAY), (3, -3650 * DAY), (4, 3650 * DAY)] {
        let boot = Boot::open(&path, nth, START + 8 * DAY, 10 * S);
        boot.lie(lie);
        boot.commit();
        boot.pass(120 * S);
        boot.commit();
        boot.stop();
    }
    let there = numbers(&path);
    assert!(delivered.iter().all(|seq| there.contains(seq)), "{there:?}");
}

#[test]
fn what_the_unit_has_run_adds_up_over_its_starts_and_then_what_is_old_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    let first = boot.delivered();
    boot.pass(30 * DAY);
    let second = boot.delivered();
    boot.stop();
    // While it was off nothing aged; what nobody noted before a power cut does not count.
    for nth in 2..=3 {
        let boot = Boot::open(&path, nth, START + i64::from(nth) * 365 * DAY, 10 * S);
        boot.commit();
        assert!(numbers(&path).contains(&first));
        boot.pass(29 * DAY);
        boot.commit();
        boot.stop();
    }
    let boot = Boot::open(&path, 4, START + 2000 * DAY, 10 * S);
    boot.pass(3 * DAY);
    boot.commit();
    // What is old goes after the answer.
    wait_for("the first is gone", || !numbers(&path).contains(&first));
    assert!(numbers(&path).contains(&second));
    wait_for("it is counted", || boot.journal.figures().aged > 0);
    boot.stop();
}

#[test]
fn a_journal_of_an_earlier_version_begins_to_age_when_it_is_first_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    let seq = boot.delivered();
    boot.stop();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "ALTER TABLE event DROP COLUMN run; PRAGMA user_version = 3;
         UPDATE state SET value = 3 WHERE key = 'format';
         UPDATE state SET value = json_remove(value, '$.running_ms') WHERE key = 'clock';
         UPDATE event SET t = 1600000000000, settled = 1600000000000",
    )
    .unwrap();
    drop(db);
    // The machine has run for long already.
    let boot = Boot::open(&path, 1, START, 300 * DAY);
    boot.synchronise();
    boot.commit();
    boot.pass(89 * DAY);
    boot.commit();
    assert!(numbers(&path).contains(&seq));
    boot.pass(2 * DAY);
    boot.commit();
    wait_for("it is gone", || !numbers(&path).contains(&seq));
    boot.stop();
}

/// All that is on the disk of the journal, the write-ahead log included.
fn raw(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| !path.to_string_lossy().contains(".reserve"))
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn contains(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn what_has_grown_old_is_not_in_the_file_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    let secrets: Vec<String> = (0..200).map(|n| format!("planted-{n:03}-{}", "x".repeat(300))).collect();
    for secret in &secrets {
        let body = Body::Camera { cam: "road".into(), phase: Phase::Lost, why: Some(secret.clone()) };
        let draft = Draft { stamp: boot.clock.now(), body, replay: false };
        let seq = boot.journal.append_and_wait(vec![draft]).unwrap();
        let mark = Mark { seq, delivery: Delivery::Delivered, at: boot.clock.read().utc };
        assert!(boot.journal.mark_and_wait(&boot.journal.status().log(), vec![mark], Duration::from_secs(20)));
    }
    assert!(secrets.iter().all(|secret| contains(&raw(dir.path()), secret)));
    boot.pass(91 * DAY);
    boot.commit();
    // The last step follows the answer.
    wait_for("it is erased", || {
        let raw = raw(dir.path());
        !secrets.iter().any(|secret| contains(&raw, &secret[..12]))
    });
    boot.stop();
}

#[test]
fn a_damaged_journal_that_was_set_aside_goes_when_it_is_old_and_not_before_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let boot = Boot::open(&path, 1, START, 10 * S);
    boot.delivered();
    boot.pass(50 * DAY);
    boot.delivered();
    boot.stop();
    // Its last pages are not what they were.
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2 / 2048 * 2048;
    bytes[half..].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let aside = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".damaged-")).collect::<Vec<_>>()
    };
    // One of an earlier version's, whose marker says nothing.
    std::fs::write(dir.path().join("journal.db.damaged-20200101T000000Z"), "old").unwrap();
    std::fs::write(dir.path().join("journal.db.damaged-20200101T000000Z.taken"), "").unwrap();
    let boot = Boot::open(&path, 2, START + DAY, 10 * S);
    let all = aside();
    assert_eq!(all.iter().filter(|name| name.ends_with(".taken")).count(), 2, "{all:?}");
    boot.lie(1000 * DAY);
    boot.commit();
    boot.pass(80 * S);
    boot.commit();
    boot.stop();
    assert_eq!(aside(), all);
    let boot = Boot::open(&path, 3, START + DAY, 10 * S);
    boot.pass(91 * DAY);
    boot.commit();
    boot.stop();
    // Looked for at the start, and hourly.
    let boot = Boot::open(&path, 3, START + DAY, 91 * DAY + 20 * S);
    boot.commit();
    wait_for("it is gone", || aside().is_empty());
    let told = rows(&path).iter().filter(|row| row.json.contains("that was set aside is deleted")).count();
    assert_eq!(told, 2);
    boot.stop();
}

/// A gpsd whose receiver is `ahead` of the machine's clock.
fn gpsd(port: u16, ahead_ms: i64) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut asked = String::new();
            let mut stream = stream;
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
            assert!(asked.starts_with("?WATCH="));
            loop {
                let t = UtcMillis(utc_now().0 + ahead_ms);
                let line = format!("{{\"class\":\"TPV\",\"mode\":3,\"time\":\"{t}\",\"ept\":0.005}}\n");
                if stream.write_all(line.as_bytes()).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    });
}

#[test]
fn the_program_learns_the_time_from_satellites_and_shows_it() {
    const AHEAD: i64 = 400 * 86_400_000;
    let port = free_port();
    let camera = "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nloop = true\n";
    let unit = Unit::new(&format!("[clock]\ngpsd = \"127.0.0.1:{port}\"\n{camera}"));
    let daemon = unit.start();
    unit.wait_event("the first start", |event| event["kind"] == "boot");
    daemon.wait_log("gpsd at 127.0.0.1");
    daemon.kill();
    gpsd(port, AHEAD);
    let daemon = unit.start();
    let clock = unit.wait_event("the correction", |event| event["kind"] == "clock");
    assert_eq!(clock["ts"], "gps");
    assert!(clock["ranges"].as_array().is_some_and(|ranges| !ranges.is_empty()), "{clock}");
    assert_eq!(daemon.terminate().code, Some(0));
    let config = unit.config().display().to_string();
    let said = tawny(["events", "--config", config.as_str(), "--kind", "boot", "--format", "jsonl"]);
    let boots: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(boots.len() == 2, "{}", said.stdout);
    for boot in boots {
        let time = |key: &str| UtcMillis::parse(boot[key].as_str().unwrap_or_default()).map(|t| t.0);
        let (told, corrected) = (time("t").unwrap(), time("t_corrected").unwrap());
        assert!((corrected - told - AHEAD).abs() < 3_000, "{boot}");
        assert!(boot["tu_corrected"].as_i64().is_some_and(|tu| tu < 2_000), "{boot}");
    }
    let table = tawny(["events", "--config", config.as_str()]).stdout;
    assert!(table.contains('≈') && table.contains("the clock was"), "{table}");
    let csv = tawny(["events", "--config", config.as_str(), "--format", "csv"]).stdout;
    assert!(csv.starts_with("seq,t,tu,ts,t_corrected,tu_corrected,kind,"), "{csv}");
}
