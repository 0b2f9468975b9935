//! `tawny receive`: a real broker between a unit and the real program.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::broker::{Broker, Subscriber, wait_for};
use common::drafts::{crossings, draft};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::Value;
use tawny::clock::Beat;
use tawny::config::{EventFormat, UnitConfig, UplinkConfig};
use tawny::event::{Body, Class};
use tawny::journal::{EventFilter, Journal, JournalHandle, JournalOptions, JournalReader, JournalThread};
use tawny::uplink::{HealthFeed, LinkSettings, Uplink, UplinkHandle, UplinkSetup};

struct Unit {
    _dir: tempfile::TempDir,
    journal: JournalHandle,
    _thread: JournalThread,
    uplink: UplinkHandle,
}

/// A unit named "unit" that says each second how far it is.
fn unit(broker: &Broker) -> Unit {
    unit_with(broker, Duration::from_secs(1), EventFormat::Json)
}

/// One that says so at each `interval`, and sends events in this `format`.
fn unit_with(broker: &Broker, interval: Duration, format: EventFormat) -> Unit {
    let dir = tempfile::tempdir().unwrap();
    let mut options = JournalOptions::new(dir.path().join("journal.db"), "unit");
    options.boot_event = false;
    let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    let uplink = UplinkConfig { broker: Some(broker.url()), format, ..UplinkConfig::default() };
    let status = journal.clone();
    let render = move || {
        let figures = status.figures();
        format!("{{\"v\":1,\"log\":\"{}\",\"low\":{}}}", figures.log, figures.low)
    };
    let setup = UplinkSetup {
        settings: LinkSettings::load(&UnitConfig::default(), &uplink).unwrap_or_else(|e| panic!("{e}")),
        journal: journal.clone(),
        announce: true,
        health: Some(HealthFeed { interval, render: Box::new(render) }),
        stills: None,
        beat: Beat::unwatched(),
    };
    Unit { _dir: dir, journal, _thread: thread, uplink: Uplink::start(setup).unwrap() }
}

impl Unit {
    fn delivers(&self, from: u64, n: u64) {
        self.journal.append_and_wait(crossings(from, n)).unwrap();
        wait_for("all is delivered", || self.journal.figures().queued == 0);
    }
}

struct Receiver(Child);

impl Receiver {
    fn start(broker: &Broker, out: &Path, more: &[&str]) -> Receiver {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tawny"));
        command.args(["receive", "--broker", &broker.url(), "--out"]).arg(out).args(more);
        Receiver(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seqs(file: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    whole.map(|event| event["seq"].as_u64().unwrap()).collect()
}

fn sorted(mut seqs: Vec<u64>) -> Vec<u64> {
    seqs.sort_unstable();
    seqs
}

#[test]
fn what_nobody_heard_is_asked_for_and_a_file_is_continued() {
    let (broker, dir) = (Broker::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("events.jsonl");
    let unit = unit(&broker);
    unit.delivers(0, 50);
    assert_eq!(unit.uplink.figures().unheard, 50, "nobody listened");
    let receiver = Receiver::start(&broker, &file, &["--history"]);
    wait_for("what was unheard", || seqs(&file).len() == 50);
    unit.delivers(50, 20);
    wait_for("what is new", || seqs(&file).len() == 70);
    drop(receiver);
    // Killed in the middle of a line; a line lost, by whatever.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(30);
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"unit\":\"uni").unwrap();
    unit.delivers(70, 30);
    let _receiver = Receiver::start(&broker, &file, &[]);
    wait_for("every number", || sorted(seqs(&file)) == (1..=100).collect::<Vec<_>>());
}

/// The broker has a place for twenty of a hundred events; the unit's are acknowledged
/// nevertheless.
#[test]
fn what_the_broker_had_no_room_to_keep_is_asked_for() {
    for limits in ["max_queued_messages 20\n", "max_queued_bytes 9000\nmax_queued_messages 100000\n"] {
        let broker = Broker::with(&format!("allow_anonymous true\nmax_inflight_messages 5\n{limits}"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events.jsonl");
        let unit = unit(&broker);
        let receiver = Receiver::start(&broker, &file, &[]);
        unit.delivers(0, 1);
        wait_for("the first", || seqs(&file) == [1]);
        drop(receiver);
        let before = unit.uplink.figures();
        unit.delivers(1, 100);
        let unheard = unit.uplink.figures().unheard - before.unheard;
        assert_eq!(unheard, 0, "kept for it, as far as the unit can know");
        let _receiver = Receiver::start(&broker, &file, &[]);
        wait_for("every number", || sorted(seqs(&file)) == (1..=101).collect::<Vec<_>>());
        assert!(unit.uplink.figures().copies > before.copies, "some were asked for");
    }
}

#[test]
fn events_that_come_as_cbor_are_written_as_json() {
    let (broker, dir) = (Broker::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("events.jsonl");
    let unit = unit_with(&broker, Duration::from_secs(1), EventFormat::Cbor);
    unit.delivers(0, 20);
    let _receiver = Receiver::start(&broker, &file, &["--history"]);
    wait_for("all of them", || sorted(seqs(&file)) == (1..=20).collect::<Vec<_>>());
    // Word for word as the unit has them.
    let mut stored = Vec::new();
    let reader = JournalReader::open(unit.journal.path()).unwrap();
    reader
        .for_each(&EventFilter::default(), |row| {
            stored.push(row.json.clone());
            true
        })
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().collect::<BTreeSet<_>>(), stored.iter().map(String::as_str).collect());
}

#[test]
fn what_is_missing_is_asked_for_while_the_units_talk_all_the_time() {
    let (broker, dir) = (Broker::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("events.jsonl");
    let unit = unit_with(&broker, Duration::from_millis(20), EventFormat::Json);
    unit.delivers(0, 20);
    let _receiver = Receiver::start(&broker, &file, &["--history"]);
    wait_for("what was unheard", || seqs(&file).len() == 20);
}

/// A unit that was deceived by a broker may say that it has lost what it still holds.
#[test]
fn what_a_unit_says_it_lost_is_asked_for() {
    let broker = Broker::start();
    let unit = unit(&broker);
    unit.delivers(0, 20);
    let lost = Body::Lost { from: 3, to: 9, n: 7, class: Class::Alert, why: "a test".into() };
    unit.journal.append_and_wait(vec![draft(30, lost)]).unwrap();
    wait_for("all is delivered", || unit.journal.figures().queued == 0);
    // These two it has lost indeed.
    let db = rusqlite::Connection::open(unit.journal.path()).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(db.execute("DELETE FROM event WHERE seq IN (5, 6)", []).unwrap(), 2);
    let receive = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tawny"));
        command.args(["receive", "--history", "--idle", "12s", "--broker", &broker.url()]).args(more);
        std::thread::spawn(move || command.output().unwrap())
    };
    // Without a file it prints; the first hears what the second asks for.
    let (silent, asking) = (receive(&["--silent"]), receive(&[]));
    let [silent, asking] = [silent, asking].map(|thread| thread.join().unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text(&asking.stdout).lines().count(), 19);
    let said = text(&asking.stderr);
    assert!(said.contains("19 events") && said.contains(" 0 missing\n"), "{said}");
    assert!(said.contains("lost: unit, journal") && said.contains(", 5 to 6; the unit says so"), "{said}");
    let said = text(&silent.stderr);
    assert!(said.contains(" 2 missing\n") && said.contains(", 5 to 6; of some the unit says"), "{said}");
}

/// Publishes commands as anybody with the right to could.
fn publish(broker: &Broker, payloads: &[Vec<u8>]) {
    let commands: Vec<_> = payloads.iter().map(|payload| ("tawny/unit/cmd".to_owned(), payload.clone())).collect();
    publish_to(broker, &commands);
}

fn publish_to(broker: &Broker, messages: &[(String, Vec<u8>)]) {
    let mut options = MqttOptions::new("somebody", "127.0.0.1", broker.port);
    options.set_max_packet_size(Some(1 << 20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options, 100);
        for (topic, payload) in messages {
            client.try_publish(topic, QoS::AtLeastOnce, false, payload.clone()).unwrap();
        }
        let mut acknowledged = 0;
        while acknowledged < messages.len() {
            if let Ok(rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::PubAck(_))) = events.poll().await {
                acknowledged += 1;
            }
        }
    });
}

#[test]
fn units_that_name_the_largest_numbers_neither_end_it_nor_hide_what_others_miss() {
    let (broker, dir) = (Broker::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("events.jsonl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tawny"));
    command.args(["receive", "--history", "--broker", &broker.url(), "--out"]).arg(&file);
    let mut receiver = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = |unit: &str, low: u64| {
        (format!("tawny/{unit}/status"), format!("{{\"log\":\"a\",\"low\":{low},\"state\":\"online\"}}").into_bytes())
    };
    let event = |unit: &str, seq: u64, rest: &str| {
        let json = format!("{{\"unit\":\"{unit}\",\"log\":\"a\",\"seq\":{seq},\"kind\":\"lost\"{rest}}}");
        (format!("tawny/{unit}/event/lost"), json.into_bytes())
    };
    let whole = "\"from\":1,\"to\":18446744073709551615";
    let said = [
        status("hostile", u64::MAX),
        status("worse", u64::MAX),
        status("large", (1 << 53) - 1),
        event("hostile", u64::MAX, ""),
        event("excused", 3, &format!(",{whole}")),
        status("excused", 9),
        event("honest", 3, ""),
        status("honest", 3),
    ];
    // Until it has subscribed nobody hears it.
    wait_for("the events", || {
        publish_to(&broker, &said);
        seqs(&file).len() == 2
    });
    assert_eq!(
        rustix::process::kill_process(rustix::process::Pid::from_child(&receiver), rustix::process::Signal::TERM),
        Ok(())
    );
    let mut words = String::new();
    receiver.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(receiver.wait().unwrap().code(), Some(0), "{words}");
    // 2^53 - 1 of one unit, 2 of another, and 8 that nobody has asked the third for yet.
    assert!(words.contains("2 events, ") && words.contains(", 9007199254741001 missing"), "{words}");
    assert!(words.contains("missing: honest, journal a, 1 to 2"), "{words}");
    assert!(!words.contains("hostile") && words.contains("messages were no events or states"), "{words}");
}

#[test]
fn a_unit_answers_commands_and_survives_what_is_none() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = unit(&broker);
    wait_for("the unit is there", || subscriber.messages().iter().any(|m| m.topic.ends_with("/status")));
    unit.delivers(0, 5);
    let texts = [
        "",
        "{",
        "null",
        "{\"id\":7}",
        "{\"id\":\"../../x\",\"do\":\"ping\"}",
        "{\"id\":\"p\",\"do\":\"ping\"}",
        "{\"id\":\"p\",\"do\":\"ping\"}",
        "{\"id\":\"b\",\"do\":\"burn\"}",
        "{\"id\":\"r\",\"do\":\"resend\",\"from\":2,\"to\":18446744073709551615}",
        "{\"id\":\"z\",\"do\":\"resend\",\"from\":0,\"to\":1}",
        "{\"id\":\"o\",\"do\":\"resend\",\"log\":\"other\",\"from\":1,\"to\":1}",
    ];
    let mut payloads: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    payloads.push(vec![b'['; 100_000]);
    payloads.push(vec![0xff; 300]);
    publish(&broker, &payloads);
    let replies = || subscriber.messages().into_iter().filter(|m| m.topic.contains("/reply/")).collect::<Vec<_>>();
    wait_for("six replies", || replies().len() >= 6);
    let reply = |id: &str| {
        let topic = format!("tawny/unit/reply/{id}");
        let found: Vec<_> = replies().into_iter().filter(|m| m.topic == topic).collect();
        // What came twice is answered twice, in the same words.
        assert_eq!(found.len(), if id == "p" { 2 } else { 1 }, "{id}");
        assert!(found.iter().all(|m| m.payload == found[0].payload));
        serde_json::from_str::<Value>(&found[0].payload).unwrap()
    };
    assert_eq!((&reply("p")["ok"], &reply("p")["seq"]), (&Value::Bool(true), &5.into()));
    assert_eq!((&reply("r")["from"], &reply("r")["to"]), (&2.into(), &5.into()));
    for id in ["b", "z", "o"] {
        assert!(reply(id)["ok"] == false && reply(id)["why"].is_string(), "{id}");
    }
    let events = || subscriber.messages().iter().filter(|m| m.topic.contains("/event/")).count();
    wait_for("five events and four again", || events() == 9);
    unit.delivers(5, 1);
    wait_for("the next event", || events() == 10);
    assert_eq!(unit.uplink.figures().copies, 4);
}
