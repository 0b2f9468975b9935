//! What an operator has: the health messages, the log, the journal; and a unit for
//! tests of the uplink, whose camera never says a word.

use std::path::Path;

use serde_json::Value;
use tawny::clock::Beat;
use tawny::event::Draft;
use tawny::journal::{Journal, JournalOptions};

use crate::common::broker::{Subscriber, wait_for};
use crate::common::daemon::{Daemon, Unit};
use crate::common::drafts::crossings;

/// A camera that costs nothing: a program that never writes anything.
const SILENT_CAMERA: &str = "[[camera]]\nname = \"mute\"\n\
                             source = { command = [\"sleep\", \"1000\"], format = \"h264\" }\n";

/// A unit that sends these events once it is started; `uplink` are lines of its
/// section besides the broker.
pub fn unit_with(events: Vec<Draft>, broker: &str, uplink: &str) -> Unit {
    let unit = Unit::new(&format!(
        "{SILENT_CAMERA}[health]\ninterval = \"1s\"\n[uplink]\nbroker = \"{broker}\"\nkeep_alive = \"5s\"\n{uplink}\n"
    ));
    fill(&unit.journal(), events);
    unit
}

/// The same with so many crossings.
pub fn unit_with_crossings(n: u64, broker: &str, uplink: &str) -> Unit {
    unit_with(crossings(0, n), broker, uplink)
}

fn fill(journal: &Path, events: Vec<Draft>) {
    let mut options = JournalOptions::new(journal, "unit");
    options.boot_event = false;
    let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    for some in events.chunks(100) {
        journal.append(some.to_vec()).unwrap();
    }
    journal.flush().unwrap();
    thread.stop(std::time::Duration::from_secs(10)).unwrap();
}

/// The health messages so far.
pub fn health(subscriber: &Subscriber) -> Vec<Value> {
    let messages = subscriber.messages().into_iter().filter(|m| m.topic.ends_with("/health"));
    messages.map(|m| serde_json::from_str(&m.payload).unwrap()).collect()
}

/// Waits until `is` is true of the latest health message.
pub fn wait_health(subscriber: &Subscriber, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_for(what, || {
        found = health(subscriber).pop().filter(&is);
        found.is_some()
    });
    found.unwrap()
}

/// The states that the unit announced, in order, or the broker for it.
pub fn states(subscriber: &Subscriber) -> Vec<String> {
    let state = |text: &str| serde_json::from_str::<Value>(text).unwrap()["state"].as_str().unwrap().to_owned();
    subscriber.messages().iter().filter(|m| m.topic.ends_with("/status")).map(|m| state(&m.payload)).collect()
}

/// Waits until everything in the journal has been heard, ends the daemon, and looks
/// whether the journal agrees.
pub fn assert_all_arrives(unit: &Unit, daemon: Daemon, subscriber: &Subscriber) {
    wait_health(subscriber, "everything is acknowledged", |h| {
        h["journal"]["queued"] == 0 && h["low"] == h["seq"] && h["uplink"]["in_flight"].as_u64() <= Some(1)
    });
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < std::time::Duration::from_secs(5), "{:?}", end.took);
    let rows = unit.rows();
    wait_for("the last ones arrive", || subscriber.seqs().len() >= rows.len());
    assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64), "gaps");
    let heard = subscriber.messages();
    let unheard = rows.iter().filter(|row| !heard.iter().any(|m| m.payload == row.json)).count();
    assert_eq!(unheard, 0);
    let queued: Vec<u64> = rows.iter().filter(|row| row.state == "queued").map(|row| row.seq).collect();
    assert!(queued.is_empty(), "arrived, but not acknowledged: {queued:?}");
}
