//! `tawny run` while its disk fails: it goes on seeing, says over MQTT what is
//! wrong, and writes everything down when the disk works again.
//!
//! The disk is a library between the daemon and the system's calls
//! (`failing_disk.c`), so that nothing has to be mounted and nobody has to be root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::common::broker::{Broker, Subscriber, wait_for};
use super::common::daemon::{Daemon, Unit};

const LINE: &str = "[[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]\nforward = \"right\"\n\
                    backward = \"left\"\nanchor = \"center\"\n";

/// A unit whose journal lies on a disk that can be told to fail.
struct Failing {
    unit: Unit,
    library: PathBuf,
}

impl Failing {
    fn new(broker: Option<u16>) -> Failing {
        let mut text =
            format!("[[camera]]\nname = \"road\"\nsource = \"STREET\"\nrealtime = false\nloop = true\n{LINE}");
        text += "[evidence]\nstills = false\n[detector]\nactive_rate = 3.0\n[health]\ninterval = \"1s\"\n";
        if let Some(port) = broker {
            text += &format!("[uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\n");
        }
        let unit = Unit::new(&text);
        let path = unit.config();
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, config.replace("\"journal.db\"", "\"disk/journal.db\"")).unwrap();
        let library = build(unit.dir.path());
        std::fs::create_dir(unit.dir.path().join("disk")).unwrap();
        Failing { unit, library }
    }

    fn disk(&self) -> PathBuf {
        self.unit.dir.path().join("disk")
    }

    /// One of the letters that `failing_disk.c` knows; `-` for none.
    fn turn(&self, mode: &str) {
        std::fs::write(self.unit.dir.path().join("disk.mode"), mode).unwrap();
    }

    fn start(&self) -> Daemon {
        let mut command = self.unit.command();
        command.env("LD_PRELOAD", &self.library).env("TAWNY_TEST_DISK", self.disk());
        Daemon::start(&mut command)
    }
}

/// Compiles the library; whoever can build SQLite has a C compiler.
fn build(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults_disk/failing_disk.c");
    let library = folder.join("failing_disk.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output =
        Command::new(&compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").output();
    let output = output.unwrap_or_else(|e| panic!("{compiler}: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

fn healths(subscriber: &Subscriber) -> Vec<Value> {
    let of = |topic: &str| topic.ends_with("/health");
    let all = subscriber.messages().into_iter().filter(|m| of(&m.topic));
    all.map(|m| serde_json::from_str(&m.payload).unwrap()).collect()
}

fn error(health: &Value) -> Option<String> {
    health["journal"]["error"].as_str().map(str::to_owned)
}

#[test]
fn of_a_still_that_waits_its_mark_and_their_folders_are_on_the_disk_too() {
    let failing = Failing::new(None);
    let path = failing.unit.config();
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("stills = false\n", "")).unwrap();
    let list = failing.unit.dir.path().join("disk.syncs");
    std::fs::write(&list, "").unwrap();
    let daemon = failing.start();
    let outbox = failing.disk().join("evidence/outbox");
    let mark = || std::fs::read_dir(&outbox).ok()?.flatten().next().map(|mark| mark.path());
    wait_for("a still waits", || mark().is_some());
    let mark = mark().unwrap();
    let synced = |path: &Path| {
        let list = std::fs::read_to_string(&list).unwrap();
        list.lines().any(|line| Path::new(line) == path)
    };
    wait_for("its mark is on the disk", || synced(&mark));
    wait_for("by its name", || synced(&outbox));
    // The folder of the day has a name in that of all days.
    assert!(synced(&failing.disk().join("evidence/stills")) && synced(&failing.disk().join("evidence")));
    drop(daemon);
}

#[test]
fn while_the_disk_fails_the_unit_says_so_and_afterwards_nothing_is_missing() {
    let broker = Broker::with("allow_anonymous true\nmax_queued_messages 0\n");
    let subscriber = Subscriber::persistent(broker.port);
    let failing = Failing::new(Some(broker.port));
    let daemon = failing.start();
    let last = || healths(&subscriber).last().cloned().unwrap_or_default();
    wait_for("events are recorded", || last()["seq"].as_u64() > Some(3));
    for (mode, words) in [("s", "disk I/O error"), ("w", "disk I/O error"), ("r", "disk I/O error")] {
        let inferences = |health: &Value| health["cameras"][0]["inferences"].as_u64().unwrap_or(0);
        failing.turn(mode);
        wait_for("the unit says over MQTT that it cannot write", || error(&last()).is_some_and(|e| e.contains(words)));
        let (seq, seen) = (last()["seq"].as_u64(), inferences(&last()));
        wait_for("it goes on seeing", || inferences(&last()) > seen + 2);
        assert_eq!(last()["seq"].as_u64(), seq, "nothing is confirmed that is not on the disk");
        failing.turn("-");
        wait_for("it writes again, by itself", || last()["seq"].as_u64() > seq && error(&last()).is_none());
    }
    daemon.wait_log("writable again, nothing was lost");

    // Full: the reserve makes room for a word about it.
    let storage = |phase: &str| {
        let text = format!("\"phase\":\"{phase}\",\"value\":\"disk\"");
        subscriber.messages().iter().any(|m| m.topic.ends_with("/event/storage") && m.payload.contains(&text))
    };
    assert!(failing.disk().join("journal.db.reserve").exists());
    failing.turn("f");
    wait_for("the unit says that its disk is full", || storage("start"));
    daemon.wait_log("the disk is full; the journal lives on its reserve");
    assert!(!failing.disk().join("journal.db.reserve").exists());
    let seq = last()["seq"].as_u64();
    wait_for("it goes on recording", || last()["seq"].as_u64() > seq.map(|seq| seq + 3));
    failing.turn("-");
    wait_for("the unit says that there is room again", || storage("end"));
    wait_for("the reserve is back", || failing.disk().join("journal.db.reserve").exists());

    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
    // What was delivered made room on the full disk.
    let last = super::rows::rows(&failing.disk()).keys().last().copied().unwrap();
    wait_for("each event was heard", || subscriber.seqs() == (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_stop_while_disk_and_broker_fail_ends_in_time_and_says_what_it_costs() {
    let broker = Broker::start();
    let failing = Failing::new(Some(broker.port));
    let daemon = failing.start();
    daemon.wait_log("connected to");
    // It takes what it is sent, and answers no more: each step of the stop waits in vain.
    kill_process(Pid::from_raw(broker.pid().unwrap() as i32).unwrap(), Signal::STOP).unwrap();
    let journal = failing.disk();
    let recorded = || if journal.join("journal.db").exists() { super::rows::rows(&journal).len() } else { 0 };
    let before = recorded();
    wait_for("events are recorded", || recorded() > before + 3);
    failing.turn("s");
    daemon.wait_log("keeping");
    let end = daemon.terminate();
    assert_eq!(end.code, Some(1), "{}", end.log);
    assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
    assert!(end.log.contains("could not be written before the stop"), "{}", end.log);
}

#[test]
fn without_permission_or_on_a_read_only_disk_a_start_says_what_to_do() {
    let failing = Failing::new(None);
    for (mode, words) in [("p", "Permission denied"), ("r", "Read-only file system")] {
        failing.turn(mode);
        let end = failing.start().wait();
        assert_eq!(end.code, Some(1), "{}", end.log);
        assert!(end.log.contains("disk/journal.db") && end.log.contains(words), "{}", end.log);
        assert!(!end.log.contains("panicked"), "{}", end.log);
    }
    failing.turn("-");
    let daemon = failing.start();
    daemon.wait_log("watching 1 camera(s)");
    daemon.kill();
}
