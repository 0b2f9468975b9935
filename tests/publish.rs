//! `tawny replay --publish` against a real broker.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::broker::{Broker, Subscriber, refusing_port, wait_for};
use common::program::{STREET, STREET_LINE, Said, Studio};
use tawny::event::Event;
use tawny::journal::{EventFilter, JournalReader};

fn studio(broker: &str) -> Studio {
    Studio::new(&format!("[journal]\npath = \"unit.db\"\n[uplink]\nbroker = \"{broker}\"\n{STREET_LINE}"))
}

fn publish(studio: &Studio) -> Said {
    studio.replay_with(&["--publish"], &[STREET])
}

fn states(studio: &Studio) -> Vec<&'static str> {
    let mut states = Vec::new();
    let reader = JournalReader::open(&studio.path("unit-replay.db")).unwrap();
    let each = |row: tawny::journal::EventRow| {
        states.push(row.delivery.as_str());
        true
    };
    reader.for_each(&EventFilter::default(), each).unwrap();
    states
}

#[test]
fn what_is_printed_is_what_arrives_marked_and_numbered_in_a_journal_of_its_own() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let studio = studio(&broker.url());
    let first = publish(&studio);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let second = publish(&studio);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let printed: Vec<String> = first.stdout.lines().chain(second.stdout.lines()).map(str::to_owned).collect();
    wait_for("all events", || subscriber.messages().len() >= printed.len());
    let messages = subscriber.messages();
    assert!(messages.iter().all(|m| m.topic.starts_with("tawny/unit/event/")), "no birth, no health, no goodbye");
    let mut heard: Vec<Event> = messages.iter().map(|m| Event::from_json(&m.payload).unwrap()).collect();
    heard.sort_by_key(|event| event.seq);
    let heard: Vec<String> = heard.iter().map(Event::to_json).collect();
    assert_eq!(heard, printed);

    let events: Vec<Event> = first.events().into_iter().chain(second.events()).collect();
    assert!(events.iter().map(|e| e.seq).eq(1..=events.len() as u64));
    assert!(events.iter().all(|e| e.replay && e.log.0.starts_with("replay-") && e.log == events[0].log));
    assert_eq!(first.crossings().len(), 2);
    let ids: std::collections::HashSet<_> = events.iter().filter_map(sighting_id).collect();
    assert_eq!(ids.len(), 4, "the second replay's objects are others");

    assert_eq!(states(&studio), vec!["delivered"; printed.len()]);
    assert!(!studio.path("unit.db").exists(), "the unit's own journal is left alone");
}

fn sighting_id(event: &Event) -> Option<uuid::Uuid> {
    match &event.body {
        tawny::event::Body::Sighting { id, .. } => Some(*id),
        _ => None,
    }
}

#[test]
fn what_an_absent_broker_does_not_take_is_kept_and_sent_next_time() {
    let port = refusing_port();
    let away = studio(&format!("mqtt://127.0.0.1:{port}"));
    let said = publish(&away);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let told = said.events().len();
    let last = said.summary();
    assert!(last.contains(&format!("{told} events were not delivered to mqtt://127.0.0.1:{port}")), "{last}");
    assert!(last.contains("unit-replay.db"), "{last}");
    assert_eq!(states(&away), vec!["queued"; told]);

    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let config = std::fs::read_to_string(away.path("tawny.toml")).unwrap();
    away.file("tawny.toml", config.replace(&port.to_string(), &broker.port.to_string()));
    assert_eq!(publish(&away).code, Some(0));
    wait_for("all events", || subscriber.seqs().len() == 2 * told);
}

#[test]
fn without_a_broker_it_does_not_begin() {
    let said = Studio::new(STREET_LINE).replay_with(&["--publish"], &[STREET]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("[uplink] broker") && said.stdout.is_empty(), "{}", said.stderr);
}
