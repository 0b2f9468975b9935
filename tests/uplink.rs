//! The way from the journal to a real broker, with everything that happens to
//! brokers and wires.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::broker::{Broker, Message, Subscriber, Wire, free_port, refusing_port, wait_for};
use common::drafts::{crossing, crossings, draft, sighting};
use common::fake_broker::{FakeBroker, Script};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tawny::clock::{Beat, ClockSource, KernelTime, RtcTime, SystemClock, boot_time_now, utc_now};
use tawny::config::{
    Anchor, ByteSize, CameraConfig, Connect, EventFormat, HumanDuration, TripwireConfig, UnitConfig, UplinkConfig,
};
use tawny::domain::{Group, Point};
use tawny::event::{Body, Draft, Phase, from_cbor};
use tawny::evidence::{Item, Kind, Shelf, StillQueue};
use tawny::journal::{EventFilter, Journal, JournalHandle, JournalOptions, JournalReader, JournalThread};
use tawny::uplink::{HealthFeed, LinkSettings, StillFeed, Uplink, UplinkHandle, UplinkSetup, probe, reach};
use uuid::Uuid;

struct Unit {
    dir: tempfile::TempDir,
    journal: JournalHandle,
    thread: JournalThread,
    uplink: UplinkHandle,
}

fn config(url: String) -> UplinkConfig {
    UplinkConfig { broker: Some(url), ..UplinkConfig::default() }
}

fn settings(config: &UplinkConfig) -> LinkSettings {
    LinkSettings::load(&UnitConfig::default(), config).unwrap_or_else(|e| panic!("{e}"))
}

/// A camera with an alert line, as the crossings of these tests have it.
fn road() -> CameraConfig {
    let wire = |name: &str, alert| TripwireConfig {
        name: name.into(),
        from: Point { x: 0.0, y: 0.5 },
        to: Point { x: 1.0, y: 0.5 },
        forward: "in".into(),
        backward: "out".into(),
        anchor: Anchor::Bottom,
        groups: Group::ALL.to_vec(),
        alert,
    };
    CameraConfig { name: "road".into(), tripwire: vec![wire("line", true), wire("path", false)], ..Default::default() }
}

impl Unit {
    fn start(config: &UplinkConfig) -> Unit {
        Unit::start_with(config, |_| {})
    }

    fn start_with(config: &UplinkConfig, before: impl FnOnce(&JournalHandle)) -> Unit {
        Unit::start_sending(config, before, None)
    }

    fn start_sending(config: &UplinkConfig, before: impl FnOnce(&JournalHandle), stills: Option<StillFeed>) -> Unit {
        let dir = tempfile::tempdir().unwrap();
        let mut options = JournalOptions::new(dir.path().join("journal.db"), "unit");
        options.boot_event = false;
        let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
        before(&journal);
        let setup = UplinkSetup {
            settings: settings(config)
                .with_alerts_of(&[road()])
                .with_journal_of_before(journal.status().last_seq() > 0),
            journal: journal.clone(),
            announce: true,
            health: Some(HealthFeed {
                interval: Duration::from_secs(3600),
                render: Box::new(|| "{\"v\":1}".to_owned()),
            }),
            stills,
            beat: Beat::unwatched(),
        };
        Unit { dir, journal, thread, uplink: Uplink::start(setup).unwrap() }
    }

    fn wait_connected(&self) {
        wait_for("the unit is connected", || self.uplink.figures().connected);
    }

    fn wait_delivered(&self) {
        let what = "all is delivered";
        wait_for(what, || {
            let figures = self.journal.figures();
            figures.queued == 0 && figures.low == figures.seq
        });
    }

    fn stop(self) -> tempfile::TempDir {
        self.uplink.stop(Duration::from_secs(3));
        self.thread.stop(Duration::from_secs(3)).unwrap();
        self.dir
    }
}

fn states(path: &Path) -> Vec<&'static str> {
    let mut states = Vec::new();
    JournalReader::open(path)
        .unwrap()
        .for_each(&EventFilter::default(), |row| {
            states.push(row.delivery.as_str());
            true
        })
        .unwrap();
    states
}

fn seq_of(payload: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(payload).ok()?.get("kind")?;
    serde_json::from_str::<serde_json::Value>(payload).ok()?["seq"].as_u64()
}

fn all(n: u64) -> Vec<u64> {
    (1..=n).collect()
}

#[test]
fn every_event_arrives_with_birth_health_and_goodbye() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start(&config(broker.url()));
    for i in 0..50 {
        unit.journal.append(crossings(i * 10, 10)).unwrap();
    }
    unit.journal.flush().unwrap();
    unit.wait_delivered();
    assert_eq!(unit.uplink.figures().delivered, 500);
    let log = unit.journal.status().log();
    unit.stop();
    wait_for("the goodbye", || subscriber.messages().iter().any(|m| m.payload.contains("offline")));
    assert_eq!(subscriber.seqs(), all(500));
    let messages = subscriber.messages();
    let events: Vec<_> = messages.iter().filter(|m| m.topic.contains("/event/")).collect();
    assert_eq!(events.len(), 500, "each once, nothing went wrong");
    assert!(events.iter().all(|m| m.topic == "tawny/unit/event/crossing" && !m.retained));
    let status: Vec<_> = messages.iter().filter(|m| m.topic == "tawny/unit/status").collect();
    assert_eq!(status.len(), 2);
    for key in
        ["\"v\":1", "\"state\":\"online\"", "\"t\":\"", &format!("\"log\":\"{log}\""), "\"boot\":", "\"version\":"]
    {
        assert!(status[0].payload.contains(key), "{key} in {}", status[0].payload);
    }
    assert!(status[1].payload.contains("\"seq\":500,\"low\":500"), "{}", status[1].payload);
    assert!(messages.iter().any(|m| m.topic == "tawny/unit/health"));
    // Retained: who comes later sees them too.
    let later = Subscriber::start(broker.port);
    wait_for("retained messages", || later.messages().len() == 2);
    assert!(later.messages().iter().all(|m| m.retained));
}

fn broker_is_killed_and_comes_back(lines: &str) -> u64 {
    const N: u64 = 3000;
    let mut broker = Broker::with(lines);
    let subscriber = Subscriber::start(broker.port);
    let wire = Wire::to(broker.port);
    let unit = Unit::start(&config(format!("mqtt://127.0.0.1:{}", wire.port)));
    let journal = unit.journal.clone();
    let feeder = std::thread::spawn(move || {
        for i in 0..N / 10 {
            journal.append(crossings(i * 10, 10)).unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    for (connections, part) in [(1, 3), (2, 2)] {
        wait_for("some are delivered", || unit.uplink.figures().delivered > N / 10 / part);
        // The unit is not to be back before somebody listens.
        wire.refuse(true);
        broker.kill();
        wait_for("the subscriber misses it", || !subscriber.is_subscribed());
        broker.run();
        wait_for("the subscriber is back", || subscriber.is_subscribed());
        wire.refuse(false);
        wait_for("the unit is back", || unit.uplink.figures().connections > connections);
    }
    feeder.join().unwrap();
    unit.journal.flush().unwrap();
    unit.wait_delivered();
    assert_eq!(unit.uplink.figures().connections, 3);
    let figures = unit.uplink.figures();
    assert_eq!(figures.delivered + figures.unheard, N, "each acknowledged once");
    assert_eq!(figures.unheard, 0);
    wait_for("the subscriber has all", || subscriber.seqs().len() as u64 == N);
    assert_eq!(subscriber.seqs(), all(N));
    unit.stop();
    figures.resent
}

#[test]
fn a_broker_that_is_killed_and_forgets_loses_nothing() {
    broker_is_killed_and_comes_back("allow_anonymous true\nmax_inflight_messages 0\n");
}

#[test]
fn a_broker_that_is_killed_and_remembers_loses_nothing() {
    broker_is_killed_and_comes_back(
        "allow_anonymous true\npersistence true\npersistence_location {dir}/\n\
         autosave_on_changes true\nautosave_interval 1\n",
    );
}

#[test]
fn a_wire_that_is_cut_again_and_again_loses_nothing() {
    // The broker lives on and keeps the session: what was in flight is repeated
    // under its old packet ids.
    const N: u64 = 4000;
    let broker = Broker::with("allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n");
    let wire = Wire::to(broker.port);
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start_with(&config(format!("mqtt://127.0.0.1:{}", wire.port)), |journal| {
        for i in 0..N / 100 {
            journal.append_and_wait(crossings(i * 100, 100)).unwrap();
        }
    });
    for _ in 0..6 {
        unit.wait_connected();
        let before = unit.uplink.figures().delivered;
        wait_for("something is delivered", || {
            let figures = unit.uplink.figures();
            figures.delivered > before || figures.delivered == N
        });
        wire.cut();
        wait_for("the cut is noticed", || !unit.uplink.figures().connected);
    }
    unit.wait_delivered();
    assert_eq!(unit.uplink.figures().delivered, N);
    assert!(unit.uplink.figures().resent > 0, "some were in flight at one of the cuts");
    wait_for("the subscriber has all", || subscriber.seqs().len() as u64 == N);
    assert_eq!(subscriber.seqs(), all(N));
    let dir = unit.stop();
    assert!(states(&dir.path().join("journal.db")).iter().all(|s| *s == "delivered"));
}

#[test]
fn the_next_run_sends_what_the_last_one_could_not() {
    let mut broker = Broker::start();
    broker.kill();
    let config = config(broker.url());
    let unit = Unit::start(&config);
    unit.journal.append_and_wait(crossings(0, 700)).unwrap();
    wait_for("the broker is missed", || unit.uplink.figures().failures > 0);
    assert!(unit.uplink.figures().error.unwrap().contains("nobody listens"));
    let start = Instant::now();
    let dir = unit.stop();
    assert!(start.elapsed() < Duration::from_secs(5));
    let path = dir.path().join("journal.db");
    assert_eq!(states(&path), vec!["queued"; 700]);

    broker.run();
    let subscriber = Subscriber::start(broker.port);
    let (journal, thread) = Journal::open(JournalOptions::new(&path, "unit"), Beat::unwatched()).unwrap();
    let setup = UplinkSetup {
        settings: settings(&config),
        journal: journal.clone(),
        announce: false,
        health: None,
        stills: None,
        beat: Beat::unwatched(),
    };
    let uplink = Uplink::start(setup).unwrap();
    wait_for("all arrive", || subscriber.seqs() == all(701));
    uplink.stop(Duration::from_secs(3));
    thread.stop(Duration::from_secs(3)).unwrap();
    assert!(states(&path).iter().all(|s| *s == "delivered"));
    assert!(!subscriber.messages().iter().any(|m| m.topic.ends_with("/status")), "not announced");
}

#[test]
fn a_stop_under_load_delivers_what_is_committed() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start(&config(broker.url()));
    unit.wait_connected();
    for i in 0..100 {
        unit.journal.append(crossings(i * 10, 10)).unwrap();
    }
    let last = unit.journal.flush().unwrap();
    // As long as it takes; that a stop ends in time is shown with the daemon.
    unit.uplink.stop(Duration::from_secs(60));
    unit.thread.stop(Duration::from_secs(60)).unwrap();
    wait_for("the goodbye", || subscriber.messages().iter().any(|m| m.payload.contains("offline")));
    assert_eq!(subscriber.seqs(), all(last));
}

#[test]
fn the_last_will_speaks_for_a_unit_that_cannot() {
    let broker = Broker::start();
    let wire = Wire::to(broker.port);
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start(&config(format!("mqtt://127.0.0.1:{}", wire.port)));
    wait_for("birth", || subscriber.messages().iter().any(|m| m.payload.contains("online")));
    wire.cut();
    let offline = || subscriber.messages().iter().filter(|m| m.payload.contains("offline")).count();
    wait_for("last will", || offline() == 1);
    let births = || subscriber.messages().iter().filter(|m| m.payload.contains("online")).count();
    wait_for("it is back", || births() == 2);
    unit.stop();
}

#[test]
fn events_that_nobody_listens_to_are_unheard() {
    let broker = Broker::start();
    let unit = Unit::start(&config(broker.url()));
    unit.journal.append_and_wait(crossings(0, 30)).unwrap();
    unit.wait_delivered();
    assert_eq!((unit.uplink.figures().unheard, unit.uplink.figures().delivered), (30, 0));
    let dir = unit.stop();
    assert_eq!(states(&dir.path().join("journal.db")), vec!["unheard"; 30]);
}

#[test]
fn an_event_larger_than_the_unit_may_send_is_set_aside_and_the_others_go_on() {
    let large = draft(5, Body::Storage { phase: Phase::Start, value: None, why: "x".repeat(3000) });
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let config = UplinkConfig { max_packet: ByteSize(2000), ..config(broker.url()) };
    let unit = Unit::start(&config);
    unit.journal.append_and_wait(vec![crossing(1, 1, None), large, crossing(2, 2, None)]).unwrap();
    wait_for("the others and the report", || unit.uplink.figures().delivered == 3);
    let figures = unit.uplink.figures();
    assert_eq!((figures.set_aside, figures.failures, figures.waiting), (1, 0, 0));
    let dir = unit.stop();
    assert_eq!(states(&dir.path().join("journal.db")), ["delivered", "set_aside", "delivered", "delivered"]);
    wait_for("the others", || subscriber.seqs() == [1, 3, 4]);
    // The receiver need not wonder about number 2.
    let lost = subscriber.messages().into_iter().find(|m| m.topic.ends_with("/event/lost")).unwrap();
    let lost: serde_json::Value = serde_json::from_str(&lost.payload).unwrap();
    let said = [&lost["from"], &lost["to"], &lost["n"], &lost["class"]].map(ToString::to_string);
    assert_eq!(said, ["2", "2", "1", "\"telemetry\""]);
    assert!(lost["why"].as_str().unwrap().contains("larger than uplink.max_packet"), "{lost}");
}

/// The connection ends over the one that is too large; over none that is larger still, and
/// it is not repeated in the next connection.
#[test]
fn what_a_broker_ends_the_connection_for_waits_and_is_delivered_once_it_takes_that_much() {
    let large = |n| draft(5, Body::Storage { phase: Phase::Start, value: None, why: "x".repeat(n) });
    let lines = "allow_anonymous true\n";
    let port = free_port();
    let mut broker = Broker::on(port, &format!("{lines}message_size_limit 2000\n"));
    let unit = Unit::start(&config(broker.url()));
    unit.journal.append_and_wait(vec![crossing(1, 1, None), large(3000), large(4000), crossing(2, 2, None)]).unwrap();
    wait_for("the small ones", || {
        let figures = unit.uplink.figures();
        (figures.unheard, figures.waiting, figures.connections) == (2, 2, 2)
    });
    let figures = unit.uplink.figures();
    assert_eq!((figures.waiting, figures.waiting_seq, figures.failures), (2, Some(2), 1), "{figures:?}");
    assert_eq!((figures.set_aside, unit.journal.figures().low), (0, 1));
    broker.kill();
    drop(broker);
    let broker = Broker::on(port, lines);
    wait_for("the next connection", || unit.uplink.figures().connections == 3);
    unit.journal.append_and_wait(vec![large(3500)]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let figures = unit.uplink.figures();
    assert_eq!((figures.waiting, figures.failures), (3, 2), "not before an hour has passed: {figures:?}");
    let dir = unit.stop();
    drop(broker);
    assert_eq!(states(&dir.path().join("journal.db")), ["unheard", "queued", "queued", "unheard", "queued"]);
}

/// A still that the broker does not take is in the way of no other, nor of events, and stays
/// in the outbox.
#[test]
fn a_still_too_large_for_the_broker_waits() {
    let broker = Broker::with("allow_anonymous true\nmessage_size_limit 5000\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("outbox")).unwrap();
    // The newest goes first.
    for (second, bytes) in [(10, 900), (20, 6000), (30, 7000)] {
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second, 0));
        let file = folder.path().join(Item::new(Kind::Small, id).name());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, vec![b'x'; bytes]).unwrap();
        std::fs::write(folder.path().join("outbox").join(id.to_string()), "").unwrap();
    }
    let shelf = Shelf::open(folder.path()).unwrap();
    let queue = StillQueue::open(folder.path().to_owned(), &shelf).unwrap();
    let feed = StillFeed { queue: queue.clone(), expiry: Duration::from_secs(600) };
    let unit = Unit::start_sending(&config(broker.url()), |_| {}, Some(feed));
    wait_for("the small one", || unit.uplink.figures().stills == 1);
    unit.journal.append_and_wait(crossings(0, 20)).unwrap();
    unit.wait_delivered();
    let figures = unit.uplink.figures();
    // Each of the two ended a connection, once.
    assert_eq!((figures.failures, figures.connections, figures.stills_set_aside), (2, 3, 0), "{figures:?}");
    assert_eq!(queue.len(), 2);
    unit.stop();
}

#[test]
fn a_new_alert_overtakes_what_has_waited() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let config = UplinkConfig { backlog_rate: 200, ..config(broker.url()) };
    let unit = Unit::start_with(&config, |journal| {
        let waiting = (0..150).flat_map(|i| [sighting(i, i as u64, Phase::Start), crossing(i, i as u64, None)]);
        journal.append_and_wait(waiting.collect()).unwrap();
    });
    wait_for("the backlog begins to move", || unit.uplink.figures().delivered > 10);
    unit.journal.append(vec![sighting(900, 900, Phase::Start), crossing(900, 901, None)]).unwrap();
    unit.wait_delivered();
    wait_for("the subscriber has all", || subscriber.seqs() == all(302));
    let order: Vec<u64> = subscriber.messages().iter().filter_map(|m| seq_of(&m.payload)).collect();
    let place = |seq: u64| order.iter().position(|s| *s == seq).unwrap();
    assert!(place(301) < 250 && place(302) < 250, "live events at {} and {}", place(301), place(302));
    // The even ones were the crossings.
    let rest: Vec<u64> = order.iter().copied().filter(|seq| *seq <= 300).collect();
    assert!(rest[..150].iter().all(|seq| seq % 2 == 0) && rest[150..].iter().all(|seq| seq % 2 == 1));
    unit.stop();
}

fn crossing_of(wire_name: &str, id: u128) -> Draft {
    let mut draft = crossing(id, id as u64, None);
    let Body::Crossing { wire, .. } = &mut draft.body else { panic!() };
    *wire = wire_name.into();
    draft
}

fn statuses(subscriber: &Subscriber) -> Vec<String> {
    let state = |m: &Arc<Message>| {
        let status: serde_json::Value = serde_json::from_str(&m.payload).unwrap();
        status["state"].as_str().unwrap().to_owned()
    };
    subscriber.messages().iter().filter(|m| m.topic.ends_with("/status")).map(state).collect()
}

#[test]
fn an_alert_wakes_the_link_and_nothing_else_does() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes");
    let hook =
        |word: &str| Some(["sh", "-c", &format!("echo {word} >> {}", notes.display())].map(str::to_owned).into());
    let config = UplinkConfig {
        connect: Connect::OnEvent,
        stay: HumanDuration::millis(500),
        link_up: hook("up"),
        link_down: hook("down"),
        ..config(broker.url())
    };
    let unit = Unit::start(&config);
    unit.journal.append_and_wait(vec![crossing_of("path", 1), sighting(2, 2, Phase::Start)]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(unit.uplink.figures().connections, 0);
    unit.journal.append_and_wait(vec![crossing_of("line", 3)]).unwrap();
    wait_for("the unit sleeps again", || statuses(&subscriber) == ["online", "asleep"]);
    assert_eq!(subscriber.seqs(), [1, 2, 3]);
    wait_for("the network is down", || std::fs::read_to_string(&notes).unwrap_or_default() == "up\ndown\n");
    wait_for("it is noticed", || !unit.uplink.figures().connected);
    unit.journal.append_and_wait(vec![crossing_of("path", 4)]).unwrap();
    unit.journal.append_and_wait(vec![crossing_of("line", 5)]).unwrap();
    wait_for("it wakes once more", || statuses(&subscriber) == ["online", "asleep", "online", "asleep"]);
    assert_eq!(subscriber.seqs(), all(5));
    let figures = unit.uplink.figures();
    assert_eq!((figures.connections, figures.failures, figures.resent), (2, 0, 0));
    unit.stop();
}

#[test]
fn a_network_that_does_not_come_up_is_powered_up_again_before_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes").display().to_string();
    // It works the second time.
    let up = format!("echo up >> {notes}; test $(wc -l < {notes}) -gt 1");
    let hook = |script: &str| Some(["sh", "-c", script].map(str::to_owned).into());
    let config = UplinkConfig {
        link_up: hook(&up),
        link_down: hook(&format!("echo down >> {notes}")),
        ..config(format!("mqtt://127.0.0.1:{}", refusing_port()))
    };
    let unit = Unit::start(&config);
    wait_for("three attempts", || unit.uplink.figures().failures >= 3);
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "up\nup\n", "once it is up it is left alone");
    unit.stop();
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "up\nup\ndown\n");
}

#[test]
fn a_unit_with_a_schedule_comes_delivers_and_goes() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let config = UplinkConfig {
        connect: Connect::Schedule,
        connect_every: Some(HumanDuration::secs(3600)),
        ..config(broker.url())
    };
    let unit = Unit::start_with(&config, |journal| {
        journal.append_and_wait(crossings(0, 50)).unwrap();
    });
    wait_for("it has come and gone", || statuses(&subscriber) == ["online", "asleep"]);
    assert_eq!(subscriber.seqs(), all(50));
    wait_for("it is gone", || !unit.uplink.figures().connected);
    let start = Instant::now();
    unit.stop();
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn events_may_go_as_cbor() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start(&UplinkConfig { format: EventFormat::Cbor, ..config(broker.url()) });
    unit.journal.append_and_wait(crossings(0, 3)).unwrap();
    unit.wait_delivered();
    let is_event = |m: &Arc<Message>| m.topic.contains("/event/");
    wait_for("three events", || subscriber.messages().iter().filter(|m| is_event(m)).count() == 3);
    let got: Vec<String> =
        subscriber.messages().iter().filter(|m| is_event(m)).map(|m| from_cbor(&m.bytes).unwrap()).collect();
    let dir = unit.stop();
    let mut stored = Vec::new();
    JournalReader::open(&dir.path().join("journal.db"))
        .unwrap()
        .for_each(&EventFilter::default(), |row| {
            stored.push(row.json);
            true
        })
        .unwrap();
    assert_eq!(got, stored);
}

#[test]
fn when_the_days_bytes_are_spent_only_alerts_are_sent() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let config = UplinkConfig { daily_bytes: Some(ByteSize(8000)), ..config(broker.url()) };
    let unit = Unit::start(&config);
    for i in 0..60 {
        unit.journal.append_and_wait(vec![sighting(i, i as u64, Phase::Start)]).unwrap();
    }
    wait_for("the budget is spent", || unit.uplink.figures().today_bytes >= 8000);
    let alert = unit.journal.append_and_wait(crossings(900, 1)).unwrap();
    wait_for("the alert", || subscriber.seqs().contains(&alert));
    wait_for("all answers are in", || unit.journal.figures().queued == 61 - unit.uplink.figures().delivered);
    let figures = unit.uplink.figures();
    assert!(figures.delivered < 40, "{}", figures.delivered);
    assert!(figures.today_bytes < 9500 && figures.sent_bytes == figures.today_bytes, "{}", figures.today_bytes);
    unit.uplink.stop(Duration::from_millis(200));
    unit.thread.stop(Duration::from_secs(3)).unwrap();
}

#[test]
fn a_name_that_cannot_be_resolved_is_tried_again() {
    let unit = Unit::start(&config("mqtt://no-such-host.invalid".into()));
    wait_for("two attempts", || unit.uplink.figures().failures >= 2);
    assert!(unit.uplink.figures().error.unwrap().contains("cannot be resolved"));
    assert!(!unit.uplink.is_finished());
    unit.stop();
}

#[test]
fn a_refused_login_is_told_in_plain_words_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (users, secret) = (dir.path().join("users"), dir.path().join("password"));
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["unit", "right"]).status();
    assert!(made.unwrap().success());
    let broker = Broker::with(&format!("allow_anonymous false\npassword_file {}\n", users.display()));
    std::fs::write(&secret, "wrong\n").unwrap();
    let with_login = |user: &str| UplinkConfig {
        username: Some(user.to_owned()),
        password_file: Some(secret.clone()),
        ..config(broker.url())
    };
    let message = probe(&settings(&with_login("unit"))).unwrap_err().to_string();
    assert!(message.contains("refuses the login") && message.contains(&broker.url()), "{message}");
    assert!(!message.contains("wrong"), "{message}");
    let unit = Unit::start(&with_login("unit"));
    unit.journal.append_and_wait(crossings(0, 3)).unwrap();
    wait_for("two attempts", || unit.uplink.figures().failures >= 2);
    assert!(unit.uplink.figures().error.unwrap().contains("refuses the login"));
    assert!(!unit.uplink.is_finished());
    let dir = unit.stop();
    assert_eq!(states(&dir.path().join("journal.db")), vec!["queued"; 3]);

    std::fs::write(&secret, "right\n").unwrap();
    let report = probe(&settings(&with_login("unit"))).unwrap();
    assert!(!report.tls);
}

#[test]
fn a_broker_that_forbids_writing_gets_its_events_once_it_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic read tawny/#\ntopic write tawny/unit/status\n").unwrap();
    let mut broker = Broker::with(&format!("allow_anonymous true\nacl_file {}\n", acl.display()));
    let unit = Unit::start(&config(broker.url()));
    unit.journal.append_and_wait(crossings(0, 20)).unwrap();
    wait_for("a refusal", || unit.uplink.figures().refused > 0);
    assert!(unit.uplink.figures().error.unwrap().contains("may not write"));
    assert_eq!(unit.journal.figures().queued, 20);
    broker.kill();
    std::fs::write(&acl, "topic readwrite tawny/#\n").unwrap();
    broker.run();
    let subscriber = Subscriber::start(broker.port);
    wait_for("all arrive", || subscriber.seqs() == all(20));
    unit.wait_delivered();
    unit.stop();
}

/// A certificate authority and a broker certificate for `localhost`, by openssl.
fn certificates(dir: &Path) {
    let script = r#"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        for name in broker:localhost other:elsewhere.example client:unit; do
            file=${name%%:*}; host=${name#*:}
            openssl req -newkey rsa:2048 -nodes -keyout $file.key -out $file.csr -subj /CN=$host
            printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\n' $host > $file.ext
            openssl x509 -req -in $file.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $file.pem \
                -days 2 -extfile $file.ext
        done
        openssl req -x509 -newkey rsa:2048 -nodes -keyout wrong.key -out wrong.pem -days 2 -subj /CN=wrong
    "#;
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tls_is_verified_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name);
    let tls = |name: &str, more: &str| {
        let at = |suffix: &str| file(&format!("{name}.{suffix}")).display().to_string();
        let (ca, cert, key) = (file("ca.pem").display().to_string(), at("pem"), at("key"));
        format!("allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n{more}")
    };
    let broker = Broker::with(&tls("broker", "require_certificate true\n"));
    let url = format!("mqtts://localhost:{}", broker.port);
    let right = UplinkConfig {
        ca_file: Some(file("ca.pem")),
        client_cert_file: Some(file("client.pem")),
        client_key_file: Some(file("client.key")),
        ..config(url.clone())
    };
    let unit = Unit::start(&right);
    unit.journal.append_and_wait(crossings(0, 5)).unwrap();
    unit.wait_delivered();
    unit.stop();
    assert!(probe(&settings(&right)).unwrap().tls);

    let told = |config: &UplinkConfig| probe(&settings(config)).unwrap_err().to_string();
    let wrong_ca = UplinkConfig { ca_file: Some(file("wrong.pem")), ..right.clone() };
    assert!(told(&wrong_ca).contains("not trusted"), "{}", told(&wrong_ca));
    let anonymous = UplinkConfig { client_cert_file: None, client_key_file: None, ..right.clone() };
    assert!(!told(&anonymous).is_empty());
    let plain = Broker::start();
    let no_tls = UplinkConfig { broker: Some(format!("mqtts://localhost:{}", plain.port)), ..right.clone() };
    assert!(!told(&no_tls).is_empty());
    let other = Broker::with(&tls("other", ""));
    let other_name = UplinkConfig { broker: Some(format!("mqtts://localhost:{}", other.port)), ..right };
    assert!(told(&other_name).contains("another name"), "{}", told(&other_name));
}

/// A kernel whose clock shows this time for ever.
struct StoppedClock(i64);

impl ClockSource for StoppedClock {
    fn kernel(&self) -> KernelTime {
        KernelTime { mono: boot_time_now(), utc_us: self.0, max_error_us: None, leap: false }
    }

    fn rtc(&self) -> Option<RtcTime> {
        None
    }
}

#[test]
fn a_unit_that_wakes_in_1970_connects_by_the_last_time_it_knew() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("broker.pem"), file("broker.key"));
    let broker = Broker::with(&format!("allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n"));
    let url = format!("mqtts://localhost:{}", broker.port);
    let uplink = UplinkConfig { ca_file: Some(dir.path().join("ca.pem")), ..config(url) };
    let probe_with = |clock: &SystemClock| {
        probe(&LinkSettings::load_with(&UnitConfig::default(), &uplink, clock).unwrap_or_else(|e| panic!("{e}")))
    };
    let in_1970 = || SystemClock::with(Arc::new(StoppedClock(5_000_000)), 2);
    // Certificates of today are not valid yet on the day before the program was made.
    let error = probe_with(&in_1970()).unwrap_err().to_string();
    assert!(error.contains("not valid yet"), "{error}");
    let today = SystemClock::with(Arc::new(StoppedClock(utc_now().0 * 1_000)), 1);
    let knows = in_1970();
    knows.resume(&today.saved());
    assert!(probe_with(&knows).unwrap().tls);
    let in_2090 = SystemClock::with(Arc::new(StoppedClock(3_800_000_000_000_000)), 2);
    let error = probe_with(&in_2090).unwrap_err().to_string();
    assert!(error.contains("has expired"), "{error}");
}

#[test]
fn a_probe_says_what_is_wrong() {
    let told = |url: String| probe(&settings(&config(url))).unwrap_err().to_string();
    let message = told(format!("mqtt://127.0.0.1:{}", refusing_port()));
    assert!(message.contains("nobody listens"), "{message}");
    let message = told("mqtt://no-such-host.invalid".into());
    assert!(message.contains("cannot be resolved"), "{message}");
    // Something else listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let message = told(format!("mqtt://127.0.0.1:{port}"));
    assert!(message.contains("not as an MQTT"), "{message}");
}

#[test]
fn a_probe_says_ok_to_no_broker_that_a_unit_cannot_use() {
    let told = |url: String| match probe(&settings(&config(url))) {
        Ok(report) => format!("ok: {report:?}"),
        Err(e) => e.to_string(),
    };
    let properties = |properties: &[u8]| Script { properties: properties.to_vec(), ..Script::default() };
    let instead = |bytes: &[u8]| Script { instead: Some(bytes.to_vec()), ..Script::default() };
    for (script, why) in [
        (properties(&[0x25, 0]), "Retain Available 0"),
        (properties(&[0x24, 0]), "Maximum QoS 0"),
        (properties(&[0x21, 0, 0]), "Receive Maximum 0"),
        (properties(&[0x27, 0, 0, 0, 20]), "20 bytes at most"),
        (properties(&[0x11, 0, 0, 0, 9]), "forgets_after: Some(9)"),
        (Script { suback: 0x87, ..Script::default() }, "nobody can command it"),
        (Script { then: vec![0xd0, 0], ..Script::default() }, "answers what it was not asked"),
        (instead(&[0x20, 2, 0, 1]), "speaks MQTT 3.1.1"),
        (instead(&[]), "does it speak MQTT 5"),
        (instead(&[0x20, 3, 0, 0x84, 0]), "does not speak MQTT 5"),
        (instead(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "not as an MQTT"),
        (Script::default(), "ok: "),
    ] {
        let said = told(FakeBroker::start(script).url());
        assert!(said.contains(why), "{why}: {said}");
    }
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "topic read $SYS/#\n").unwrap();
    let forbids = format!("acl_file {}\n", rules.path().display());
    for (lines, why) in [
        ("retain_available false\n", "keeps no messages"),
        ("max_qos 0\n", "acknowledges no messages"),
        (&forbids, "may not write below its own topics"),
    ] {
        let broker = Broker::with(&format!("allow_anonymous true\n{lines}"));
        let said = told(broker.url());
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn an_authoritys_certificate_used_as_a_servers_is_called_that() {
    let dir = tempfile::tempdir().unwrap();
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
                  -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:TRUE";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| dir.path().join(name);
    let lines = format!("certfile {}\nkeyfile {}\n", file("cert.pem").display(), file("key.pem").display());
    let broker = Broker::with(&format!("allow_anonymous true\n{lines}"));
    let url = format!("mqtts://localhost:{}", broker.port);
    let config = UplinkConfig { ca_file: Some(file("cert.pem")), ..config(url) };
    let words = "its certificate is that of an authority (CA:TRUE)";
    let said = probe(&settings(&config)).unwrap_err().to_string();
    assert!(said.contains(words) && said.contains("CA:FALSE"), "{said}");
    let said = reach(&settings(&config)).unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
    let unit = Unit::start(&config);
    wait_for("the unit says so too", || unit.uplink.figures().error.is_some_and(|e| e.contains(words)));
    unit.stop();
}

/// `n` questions to "unit", each another, as anybody with the right to write could ask
/// them; gives back the connection's options with another name.
fn ask_everything(port: u16, n: usize) {
    let mut options = MqttOptions::new("asks", "127.0.0.1", port);
    options.set_outgoing_inflight_upper_limit(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options, n);
        for i in 0..n {
            let text = format!("{{\"id\":\"q{i}\",\"do\":\"ping\"}}");
            client.try_publish("tawny/unit/cmd", QoS::AtLeastOnce, false, text).unwrap();
        }
        let mut taken = 0;
        while taken < n {
            taken += usize::from(matches!(events.poll().await.unwrap(), Event::Incoming(Incoming::PubAck(_))));
        }
    });
}

#[test]
fn a_flood_of_questions_takes_no_bytes_from_events() {
    const ASKED: u64 = 3000;
    let broker = Broker::with("allow_anonymous true\nmax_queued_messages 0\n");
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start(&UplinkConfig { daily_bytes: Some(ByteSize(300_000)), ..config(broker.url()) });
    unit.wait_connected();
    wait_for("it listens", || subscriber.messages().iter().any(|m| m.topic.ends_with("/health")));
    ask_everything(broker.port, ASKED as usize);
    wait_for("all were asked", || unit.uplink.figures().commands >= ASKED);
    let figures = unit.uplink.figures();
    assert!(figures.today_bytes < 40_000, "{} bytes", figures.today_bytes);
    assert!(figures.replies_withheld > ASKED - 100, "{} withheld", figures.replies_withheld);
    let replies = subscriber.messages().iter().filter(|m| m.topic.contains("/reply/")).count();
    assert!(replies > 0, "some are answered");
    unit.journal.append_and_wait(vec![sighting(1, 1, Phase::Start)]).unwrap();
    unit.wait_delivered();
    unit.stop();
}

#[test]
fn what_waits_under_a_units_former_name_is_not_lost() {
    let broker = Broker::start();
    // As the version before was connected.
    let mut options = MqttOptions::new("tawny-unit", "127.0.0.1", broker.port);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(3600);
    options.set_clean_start(false).set_connect_properties(properties);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options, 10);
        client.try_subscribe("tawny/unit/cmd", QoS::AtLeastOnce).unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Incoming::SubAck(_))) {}
    });
    ask_everything(broker.port, 3);
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::start_with(&config(broker.url()), |journal| {
        journal.append_and_wait(crossings(0, 5)).unwrap();
    });
    wait_for("all three are answered", || {
        subscriber.messages().iter().filter(|m| m.topic.contains("/reply/q")).count() == 3
    });
    unit.stop();
}

#[test]
fn ipv6_brokers_are_reached() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // no IPv6 on this machine
    }
    let port = free_port();
    let broker = Broker::with(&format!("allow_anonymous true\nlistener {port} ::1\nallow_anonymous true\n"));
    wait_for("IPv6", || std::net::TcpStream::connect(("::1", port)).is_ok());
    assert!(probe(&settings(&config(format!("mqtt://[::1]:{port}")))).is_ok());
    drop(broker);
}
