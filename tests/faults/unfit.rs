//! Brokers that do not keep to the protocol, or lack what a unit needs: they neither
//! fill its memory nor make it storm them, and are called by their name.

use std::time::{Duration, Instant};

use tawny::event::{Body, Phase};

use crate::common::broker::wait_for;
use crate::common::drafts::{crossings, draft};
use crate::common::fake_broker::{FakeBroker, Script};
use crate::watcher::{unit_with, unit_with_crossings};

fn says(properties: &[u8]) -> Script {
    Script { properties: properties.to_vec(), ..Script::default() }
}

/// Server Keep Alive: 0 once made the unit ping without a pause, 1 gave it up after
/// two and a half seconds.
#[test]
fn a_broker_that_sets_the_pace_of_pings_does_not_set_it_to_nothing() {
    let running: Vec<_> = [0, 1].map(|seconds| FakeBroker::start(says(&[0x13, 0, seconds]))).into_iter().collect();
    let units = running.iter().map(|broker| unit_with_crossings(3, &broker.url(), "")).collect::<Vec<_>>();
    let daemons = units.iter().map(|unit| unit.start()).collect::<Vec<_>>();
    for broker in &running {
        // The first may come at once, the others after five seconds each.
        wait_for("three pings", || broker.pings() >= 3);
        // One more asked for what waits under the unit's former name.
        let own = broker.client_ids().iter().filter(|id| *id != "tawny-unit").count();
        assert_eq!(own, 1, "{:?}", broker.client_ids());
    }
    for (daemon, unit) in daemons.into_iter().zip(&units) {
        assert_eq!(daemon.terminate().code, Some(0));
        assert!(unit.rows().iter().all(|row| row.state == "delivered"));
    }
}

/// A PUBLISH (QoS 0) with so long a topic, to be known as `alias` from now on.
fn aliased(alias: u16, topic_bytes: usize) -> Vec<u8> {
    let remaining = 2 + topic_bytes + 4;
    let mut packet = vec![0x30];
    for shift in [0, 7, 14] {
        packet.push((remaining >> shift & 0x7f) as u8 | if shift < 14 { 0x80 } else { 0 });
    }
    packet.extend((topic_bytes as u16).to_be_bytes());
    packet.extend(vec![b'a'; topic_bytes]);
    packet.extend([3, 0x23]);
    packet.extend(alias.to_be_bytes());
    packet
}

#[test]
fn a_broker_that_does_what_it_may_not_is_left() {
    let aliases: Vec<u8> = (1..=200).flat_map(|alias| aliased(alias, 60_000)).collect();
    let connack = vec![0x20, 3, 0, 0, 0];
    for (then, why) in [
        (aliases, "uses topic aliases, which it was not allowed"),
        (connack, "answers the login twice"),
        (vec![0x90, 4, 0, 1, 0, 0], "answers what it was not asked"),
        (vec![0xd0, 0], "answers what it was not asked"),
        (vec![0x34, 6, 0, 1, b'a', 0, 1, 0], "sends with QoS 2"),
        (vec![0xc0, 0], "may not send here"),
        // Of an id that no message under way has, however far sending has come.
        (vec![0x50, 2, 0xff, 0xff], "acknowledges what it was not sent"),
    ] {
        let began = Instant::now();
        let broker = FakeBroker::start(Script { then, ..Script::default() });
        let unit = unit_with_crossings(3, &broker.url(), "");
        let mut daemon = unit.start();
        daemon.wait_log(why);
        wait_for("it has hung up", || broker.ended() > 0);
        assert!(daemon.is_running());
        assert_eq!(daemon.terminate().code, Some(0));
        // It comes back, but more and more rarely: after at least 0.5, 1, 2... seconds.
        let logins = broker.client_ids().iter().filter(|id| *id != "tawny-unit").count() as u32;
        let at_least = Duration::from_millis(500) * (2u32.pow(logins.saturating_sub(1).min(6)) - 1);
        assert!(began.elapsed() >= at_least, "{logins} logins in {:?}", began.elapsed());
    }
}

#[test]
fn a_broker_that_lacks_what_a_unit_needs_is_named_and_gets_nothing() {
    for (properties, why) in [
        (&[0x25, 0][..], "keeps no messages (Retain Available 0)"),
        (&[0x24, 0], "acknowledges no messages (Maximum QoS 0)"),
        (&[0x21, 0, 0], "allows no message under way (Receive Maximum 0)"),
        (&[0x27, 0, 0, 0, 20], "takes messages of 20 bytes at most"),
    ] {
        let broker = FakeBroker::start(says(properties));
        let unit = unit_with_crossings(3, &broker.url(), "");
        let daemon = unit.start();
        daemon.wait_log(why);
        assert_eq!(daemon.terminate().code, Some(0));
        assert!(unit.rows().iter().all(|row| row.state == "queued"));
    }
}

/// One answers as only 3.1.1 does, one (RabbitMQ 3.12) just hangs up.
#[test]
fn a_broker_of_mqtt_3_is_named() {
    for (instead, why) in [
        (vec![0x20, 2, 0, 1], "speaks MQTT 3.1.1 and hangs up on MQTT 5"),
        (vec![], "does it speak MQTT 5"),
        (vec![0x20, 3, 0, 0x84, 0], "does not speak MQTT 5"),
    ] {
        let broker = FakeBroker::start(Script { instead: Some(instead), ..Script::default() });
        let unit = unit_with_crossings(3, &broker.url(), "");
        let daemon = unit.start();
        daemon.wait_log(why);
        assert_eq!(daemon.terminate().code, Some(0));
    }
}

#[test]
fn a_units_name_at_the_broker_cannot_be_guessed_and_is_kept() {
    let broker = FakeBroker::start(Script::default());
    let unit = unit_with_crossings(3, &broker.url(), "");
    for n in 1..=2 {
        let daemon = unit.start();
        daemon.wait_log("connected to");
        assert_eq!(daemon.terminate().code, Some(0));
        wait_for("it was there", || broker.client_ids().iter().filter(|id| *id != "tawny-unit").count() >= n);
    }
    // Once it has asked for what waits under its former name.
    let ids = broker.client_ids();
    let (former, own): (Vec<_>, Vec<_>) = ids.iter().partition(|id| *id == "tawny-unit");
    assert!(former.len() <= 1 && own.iter().all(|id| *id == own[0]), "{ids:?}");
    let random = own[0].strip_prefix("tawny-unit-").unwrap();
    assert!(random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit()), "{ids:?}");
}

#[test]
fn a_broker_that_does_not_let_a_unit_listen_is_complained_of() {
    let broker = FakeBroker::start(Script { suback: 0x87, ..Script::default() });
    let unit = unit_with_crossings(3, &broker.url(), "");
    let daemon = unit.start();
    daemon.wait_log("nobody can command it");
    assert_eq!(daemon.terminate().code, Some(0));
    assert!(unit.rows().iter().all(|row| row.state == "delivered"));
}

/// A broker may hang up instead of refusing (some do where a login may not write or read a
/// topic), and what came before is then not answered either. It once kept every event from
/// arriving, for ever.
#[test]
fn a_broker_that_hangs_up_on_one_kind_of_message_gets_all_others() {
    let cases = [("/status", "its status"), ("", "the subscription to its commands"), ("/health", "its health")];
    let running = cases.map(|(what, why)| {
        let broker = FakeBroker::start(Script { hangs_up_on: Some(what), ..Script::default() });
        let unit = unit_with_crossings(200, &broker.url(), "");
        let daemon = unit.start();
        (broker, unit, daemon, why)
    });
    for (_broker, unit, daemon, why) in running {
        daemon.wait_log(&format!("hangs up on {why}"));
        wait_for("all arrive", || unit.rows().iter().filter(|row| row.state == "delivered").count() >= 200);
        assert_eq!(daemon.terminate().code, Some(0));
    }
}

#[test]
fn an_event_that_a_broker_hangs_up_on_does_not_keep_the_others() {
    let broker = FakeBroker::start(Script { hangs_up_on: Some("\"seq\":3,"), ..Script::default() });
    let unit = unit_with_crossings(100, &broker.url(), "");
    let daemon = unit.start();
    wait_for("the others arrive", || unit.rows().iter().filter(|row| row.state == "delivered").count() >= 100);
    assert_eq!(daemon.terminate().code, Some(0));
    let crossings = unit.rows().into_iter().filter(|row| row.seq <= 100);
    assert!(crossings.into_iter().all(|row| (row.state == "queued") == (row.seq == 3)), "it stays in the journal");
}

/// What was left of the first connection was once held against the second one.
#[test]
fn what_a_broker_may_not_send_ends_one_connection() {
    // A PINGREQ, which only clients send, and an answer to nothing.
    for then in [vec![0xc0, 0], vec![0xd0, 0]] {
        let broker = FakeBroker::start(Script { then, once: true, ..Script::default() });
        let unit = unit_with_crossings(3, &broker.url(), "");
        let daemon = unit.start();
        wait_for("it comes back", || daemon.log().matches("connected to").count() >= 2);
        assert_eq!(daemon.terminate().code, Some(0));
        assert!(unit.rows().iter().all(|row| row.state == "delivered"));
        let logins = broker.client_ids().iter().filter(|id| *id != "tawny-unit").count();
        assert_eq!(logins, 2, "{:?}", broker.client_ids());
    }
}

/// A login that may not write one topic: crossings go first, and there are many.
#[test]
fn a_broker_that_refuses_one_kind_of_event_gets_the_others() {
    let broker = FakeBroker::start(Script { refuses: Some(("/event/crossing", 0x87)), ..Script::default() });
    let mut events = crossings(0, 100);
    events.extend((100..140).map(|n| draft(n, Body::Storage { phase: Phase::Start, value: None, why: n.to_string() })));
    let unit = unit_with(events, &broker.url(), "");
    let daemon = unit.start();
    wait_for("the others arrive", || unit.rows().iter().filter(|row| row.state == "delivered").count() >= 40);
    daemon.wait_log("does not take event");
    assert_eq!(daemon.terminate().code, Some(0));
    let crossings = unit.rows().into_iter().filter(|row| row.seq <= 100);
    assert!(crossings.into_iter().all(|row| row.state == "queued"));
}

/// It has taken all there is, and hangs up each time it has taken the health message.
#[test]
fn a_broker_that_takes_what_it_gets_and_hangs_up_is_not_stormed() {
    let began = Instant::now();
    let broker = FakeBroker::start(Script { hangs_up_after: Some("/health"), ..Script::default() });
    let unit = unit_with_crossings(3, &broker.url(), "");
    let daemon = unit.start();
    wait_for("some attempts", || broker.ended() >= 5);
    let attempts = broker.client_ids().iter().filter(|id| *id != "tawny-unit").count() as u32;
    // The first connections deliver events; then the pauses double.
    let at_least = Duration::from_millis(500) * (2u32.pow(attempts.saturating_sub(3).min(6)) - 1);
    assert!(began.elapsed() >= at_least, "{attempts} attempts in {:?}", began.elapsed());
    assert_eq!(daemon.terminate().code, Some(0));
}
