//! Brokers that are away, frozen, full, forgetful of what they owe, or at odds with
//! the protocol. Everything that is in the journal arrives in the end, and
//! meanwhile the operator is told what is wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tawny::event::{Body, Phase};

use crate::audit::Receiver;
use crate::common::broker::{Broker, Subscriber, free_port, wait_for};
use crate::common::daemon::{Daemon, Unit};
use crate::common::drafts::{crossings, draft};
use crate::proxy::{Answers, Proxy};
use crate::watcher::{assert_all_arrives, states, unit_with, unit_with_crossings, wait_health};

/// MQTT 5.0, section 3.4.2.1.
const QUOTA_EXCEEDED: u8 = 0x97;
const IMPLEMENTATION_SPECIFIC: u8 = 0x83;
const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
const TOPIC_NAME_INVALID: u8 = 0x90;
/// Not allowed in a PUBACK; mosquitto 2.0 has it there.
const PACKET_TOO_LARGE: u8 = 0x95;

/// MQTT 5.0, section 3.2.2.3.
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const MAXIMUM_QOS: u8 = 0x24;

fn generous() -> Broker {
    Broker::with("allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n")
}

fn warnings(log: &str) -> usize {
    log.lines().filter(|line| line.contains("WARN") && line.contains("broker")).count()
}

#[test]
fn a_broker_that_comes_late_is_complained_of_once_and_gets_everything() {
    let port = free_port();
    let unit = unit_with_crossings(500, &format!("mqtt://127.0.0.1:{port}"), "");
    let daemon = unit.start();
    daemon.wait_log("nobody listens there");
    // Long enough for further attempts.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(warnings(&daemon.log()), 1, "{}", daemon.log());
    let broker = Broker::on(port, "allow_anonymous true\n");
    let subscriber = Subscriber::start(broker.port);
    daemon.wait_log("connected to");
    let health = wait_health(&subscriber, "failures are counted", |h| h["uplink"]["failures"].as_u64() > Some(1));
    assert!(health["uplink"].get("error").is_none(), "{health}");
    // The unit may have come before the subscriber: the broker has everything then,
    // and some of it nobody heard.
    wait_health(&subscriber, "everything is acknowledged", |h| {
        h["journal"]["queued"] == 0 && h["low"].as_u64() > Some(500)
    });
    assert_eq!(daemon.terminate().code, Some(0));
    assert!(unit.rows().iter().all(|row| ["delivered", "unheard"].contains(&row.state)));
}

#[test]
fn a_broker_at_its_quota_is_named_and_gets_everything_later() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.answer(Answers::Reason(QUOTA_EXCEEDED));
    let unit = unit_with_crossings(100, &proxy.url(), "");
    let daemon = unit.start();
    daemon.wait_log("refuses events: its quota is used up");
    let health = wait_health(&subscriber, "refusals are counted", |h| h["uplink"]["refused"].as_u64() > Some(0));
    assert!(health["uplink"]["error"].as_str().unwrap().contains("quota"), "{health}");
    assert!(health["journal"]["queued"].as_u64() >= Some(100) && health["low"] == 0, "{health}");
    proxy.answer(Answers::Plain);
    daemon.wait_log("takes events again");
    wait_health(&subscriber, "the trouble is over", |h| h["uplink"].get("error").is_none());
    assert_all_arrives(&unit, daemon, &subscriber);
}

/// Whatever is wrong with it, it is not the events.
#[test]
fn a_broker_that_takes_nothing_for_a_while_gets_everything_later() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.answer(Answers::Reason(IMPLEMENTATION_SPECIFIC));
    let unit = unit_with_crossings(5, &proxy.url(), "");
    let daemon = unit.start();
    wait_health(&subscriber, "each is refused again and again", |h| h["uplink"]["refused"].as_u64() > Some(7));
    proxy.answer(Answers::Plain);
    let health = wait_health(&subscriber, "the trouble is over", |h| h["uplink"].get("error").is_none());
    assert_eq!(health["uplink"]["set_aside"], 0, "{health}");
    assert_all_arrives(&unit, daemon, &subscriber);
}

/// For eight seconds somebody else is the broker, or the broker is not itself: it
/// announces limits into which no event fits. Nothing of that reaches the journal.
#[test]
fn limits_below_what_an_event_needs_are_a_broken_broker_and_lose_nothing() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.announce(Some(&[MAXIMUM_PACKET_SIZE, 0, 0, 0, 20]));
    let unit = unit_with_crossings(300, &proxy.url(), "");
    let daemon = unit.start();
    daemon.wait_log("takes messages of 20 bytes at most");
    wait_for("it is tried again", || proxy.connacks() > 2);
    // Into this one some would fit.
    proxy.announce(Some(&[MAXIMUM_PACKET_SIZE, 0, 0, 1, 44]));
    daemon.wait_log("takes messages of 300 bytes at most");
    proxy.announce(Some(&[MAXIMUM_QOS, 0]));
    daemon.wait_log("acknowledges no messages (Maximum QoS 0)");
    assert!(unit.rows().iter().all(|row| row.state == "queued"));
    proxy.announce(None);
    assert_all_arrives_once(&unit, daemon, &subscriber, &broker, 300);
}

/// Each of these reasons sounds as if it were about the message.
#[test]
fn a_broker_that_refuses_everything_for_a_while_loses_nothing() {
    std::thread::scope(|scope| {
        for reason in [PAYLOAD_FORMAT_INVALID, TOPIC_NAME_INVALID, PACKET_TOO_LARGE] {
            scope.spawn(move || {
                let (broker, subscriber) = with_subscriber(generous());
                let proxy = Proxy::to(broker.port);
                proxy.answer(Answers::Reason(reason));
                let unit = unit_with_crossings(200, &proxy.url(), "");
                let daemon = unit.start();
                std::thread::sleep(Duration::from_secs(8));
                assert!(proxy.acks() > 3);
                assert!(unit.rows().iter().all(|row| row.state == "queued"), "{reason:#x}");
                proxy.answer(Answers::Plain);
                assert_all_arrives_once(&unit, daemon, &subscriber, &broker, 200);
            });
        }
    });
}

/// With these rules of the broker one event is refused whatever happens: it waits, and
/// is in the way of no other.
#[test]
fn an_event_that_the_broker_refuses_waits_and_the_others_go_on() {
    std::thread::scope(|scope| {
        for (rule, cuts) in [
            ("max_packet_size 2000", 0..=0),
            ("message_size_limit 2000", 1..=1),
            // Into this one the health message does not fit either.
            ("message_size_limit 600", 1..=2),
            // It hangs up, and its word may be lost with that.
            ("max_queued_messages 0\nmessage_size_limit 2000", 1..=2),
        ] {
            scope.spawn(move || one_event_too_large(rule, cuts));
        }
    });
}

fn one_event_too_large(rule: &str, cuts: RangeInclusive<u64>) {
    let (broker, subscriber) = with_subscriber(Broker::with(&format!("allow_anonymous true\n{rule}\n")));
    let small = rule.ends_with("600");
    let mut events = crossings(0, 40);
    let large = Body::Storage { phase: Phase::Start, value: None, why: "x".repeat(if small { 700 } else { 3000 }) };
    events.insert(7, draft(7, large));
    let unit = unit_with(events, &broker.url(), "");
    let queued = || unit.rows().iter().filter(|row| row.state == "queued").map(|row| row.seq).collect::<Vec<_>>();
    // More connections change nothing, nor do more events.
    for run in 0..2 {
        let daemon = unit.start();
        let starts = || subscriber.messages().iter().filter(|m| m.topic.ends_with("/event/boot")).count();
        wait_for("the start is told", || starts() > run);
        daemon.wait_log("does not take event 8");
        let said = daemon.log();
        assert!(said.contains("too large"), "{said}");
        if !small {
            // Into the smallest limit the health message does not fit.
            let health = wait_health(&subscriber, "it waits", |h| {
                h["journal"]["queued"] == 1 && h["low"] == 7 && h["up_s"].as_u64() > Some(3)
            });
            let uplink = &health["uplink"];
            assert_eq!((&uplink["waiting"], &uplink["waiting_seq"]), (&1.into(), &8.into()), "{rule}: {health}");
            assert!(uplink["waiting_why"].as_str().unwrap().contains("too large"), "{health}");
            assert_eq!(uplink["set_aside"], 0, "{health}");
            assert!(uplink["failures"].as_u64().is_some_and(|n| cuts.contains(&n)), "{rule}: {health}");
        }
        let end = daemon.terminate();
        let connections = end.log.matches("connected to").count() as u64;
        assert!(end.code == Some(0) && cuts.contains(&(connections - 1)), "{rule}: {}", end.log);
        assert_eq!(queued(), [8], "{rule}");
    }
    assert!(unit.rows().iter().all(|row| row.event["kind"] != "lost"));
}

/// The receiver too has everything, and says so.
fn assert_all_arrives_once(unit: &Unit, daemon: Daemon, subscriber: &Subscriber, broker: &Broker, at_least: usize) {
    let file = unit.dir.path().join("received.jsonl");
    let receiver = Receiver::start(&broker.url(), &file);
    wait_for("the receiver has them all", || receiver.count() > at_least);
    assert_all_arrives(unit, daemon, subscriber);
    let rows = unit.rows();
    assert!(rows.iter().all(|row| row.event["kind"] != "lost"));
    wait_for("the receiver has the last ones", || receiver.received().len() == rows.len());
    let said = receiver.stop();
    assert!(said.ends_with(" 0 missing"), "{said}");
}

#[test]
fn late_and_repeated_acknowledgements_settle_each_event_once() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.answer(Answers::Late(Duration::from_millis(700)));
    let unit = unit_with_crossings(600, &proxy.url(), "window = 16\nbacklog_rate = 400");
    let daemon = unit.start();
    wait_for("some late answers", || proxy.acks() > 50);
    let health = wait_health(&subscriber, "some are under way", |h| h["uplink"]["in_flight"].as_u64() > Some(0));
    assert_eq!(health["uplink"]["failures"], 0, "{health}");
    proxy.answer(Answers::Twice(60));
    daemon.wait_log("acknowledges what it was not sent");
    proxy.answer(Answers::Plain);
    assert_all_arrives(&unit, daemon, &subscriber);
}

fn with_subscriber(broker: Broker) -> (Broker, Subscriber) {
    let subscriber = Subscriber::start(broker.port);
    (broker, subscriber)
}

/// Each waits for a few keep-alive intervals, so they do it together.
#[test]
fn brokers_that_fall_silent_are_left_and_found_again() {
    std::thread::scope(|scope| {
        scope.spawn(a_frozen_broker);
        scope.spawn(a_broker_that_acknowledges_nothing);
        scope.spawn(a_link_that_is_dead_with_its_buffers_full);
    });
}

/// SIGSTOP: its kernel still takes what it is sent.
fn a_frozen_broker() {
    let (broker, subscriber) = with_subscriber(generous());
    let unit = unit_with_crossings(400, &broker.url(), "backlog_rate = 100");
    let daemon = unit.start();
    wait_for("some arrive", || subscriber.seqs().len() > 20);
    let pid = Pid::from_raw(broker.pid().unwrap() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    daemon.wait_log("does not answer pings any more");
    kill_process(pid, Signal::CONT).unwrap();
    wait_health(&subscriber, "a second connection", |h| h["uplink"]["connections"].as_u64() > Some(1));
    assert_all_arrives(&unit, daemon, &subscriber);
}

fn a_broker_that_acknowledges_nothing() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.answer(Answers::Swallowed);
    let unit = unit_with_crossings(100, &proxy.url(), "");
    let daemon = unit.start();
    daemon.wait_log("does not acknowledge what it gets");
    proxy.answer(Answers::Plain);
    wait_health(&subscriber, "what it owed is sent again", |h| h["uplink"]["resent"].as_u64() > Some(0));
    assert_all_arrives(&unit, daemon, &subscriber);
}

/// A NAT that has forgotten the connection, while more is being written than the
/// socket takes: the client library waits inside its write and pings no more.
fn a_link_that_is_dead_with_its_buffers_full() {
    let (broker, subscriber) = with_subscriber(generous());
    let proxy = Proxy::to(broker.port);
    proxy.slow(Duration::ZERO, 2_000_000);
    let large = |i| draft(i, Body::Storage { phase: Phase::Start, value: None, why: "x".repeat(240_000) });
    let unit = unit_with((0..120).map(large).collect(), &proxy.url(), "window = 64");
    let daemon = unit.start();
    wait_for("some arrive", || subscriber.seqs().len() > 2);
    proxy.go_silent();
    proxy.slow(Duration::ZERO, 0);
    daemon.wait_log("does not answer any more");
    wait_for("the broker says so too", || states(&subscriber).ends_with(&["offline".into(), "online".into()]));
    assert_all_arrives(&unit, daemon, &subscriber);
}

/// Lets everybody in and hangs up: the unit comes back more and more rarely. The
/// pauses may be longer on a busy machine, never shorter.
#[test]
fn a_broker_that_hangs_up_at_once_is_not_stormed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unit = unit_with_crossings(10, &format!("mqtt://{}", listener.local_addr().unwrap()), "");
    let mut daemon = unit.start();
    let mut visits = Vec::new();
    for _ in 0..4 {
        let (mut stream, _) = listener.accept().unwrap();
        visits.push(Instant::now());
        let _ = stream.read(&mut [0; 1024]).unwrap();
        // CONNACK: no session, success, no properties.
        stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    }
    // Half of 1, 2 and 4 s at the least.
    assert!(visits[3] - visits[0] >= Duration::from_millis(3400), "{visits:?}");
    assert!(daemon.is_running());
    daemon.wait_log("closed the connection");
    assert_eq!(daemon.terminate().code, Some(0));
    assert!(unit.rows().iter().all(|row| row.state == "queued"));
}

/// Two units of one name: the broker sends the first away (MQTT 5.0, section 3.1.4).
/// mosquitto 2.0 hangs up without saying so.
#[test]
fn another_unit_of_the_same_name_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unit = unit_with_crossings(10, &format!("mqtt://{}", listener.local_addr().unwrap()), "");
    let daemon = unit.start();
    let (mut stream, _) = listener.accept().unwrap();
    let _ = stream.read(&mut [0; 1024]).unwrap();
    // CONNACK as above; DISCONNECT: session taken over, no properties.
    stream.write_all(&[0x20, 3, 0, 0, 0, 0xe0, 2, 0x8e, 0]).unwrap();
    daemon.wait_log("somebody else logged in with this unit's name");
    assert_eq!(daemon.terminate().code, Some(0));
    assert!(unit.rows().iter().all(|row| row.state == "queued"));
}
