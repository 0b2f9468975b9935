//! Entrances for fuzzing: each takes any bytes as what comes from outside, and
//! must neither panic nor break the promises that it asserts.
//!
//! `fuzz/` runs them under libFuzzer, `tests/fuzz_corpus.rs` runs what that has
//! found, and variations of it, with any compiler. They are no interface.

pub use crate::capture::fuzz::{camera, packets, video};
pub use crate::detect::fuzz::{names, outputs};

use std::path::Path;

use crate::control::{Command, What, parse};
use crate::event::{Event, from_cbor, to_cbor};
use crate::receive::{EventKey, Ledger, Message, note_event};

/// Takes any bytes.
pub type Entrance = fn(&[u8]);

/// By name, in the order of the data's way.
pub const ENTRANCES: [(&str, Entrance); 9] = [
    ("config", config),
    ("camera", camera),
    ("video", video),
    ("packets", packets),
    ("outputs", outputs),
    ("names", names),
    ("event", event),
    ("message", message),
    ("command", command),
];

/// A configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = crate::config::parse(text, Path::new("fuzz.toml")) {
        assert!(!error.to_string().is_empty());
    }
}

/// An event as JSON and as CBOR: what can be read is written as it was.
pub fn event(data: &[u8]) {
    if let Ok(text) = from_cbor(data) {
        // What CBOR can say and Tawny does not write may become something else once.
        if let Some(again) = to_cbor(&text).ok().and_then(|bytes| from_cbor(&bytes).ok()) {
            assert_eq!(to_cbor(&again).ok().and_then(|bytes| from_cbor(&bytes).ok()), Some(again));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = to_cbor(text);
    if let Ok(event) = Event::from_json(text) {
        let written = event.to_json();
        let read = Event::from_json(&written).map(|event| event.to_json());
        assert_eq!(read.ok(), Some(written));
    }
}

/// A command, signed by whoever.
pub fn command(data: &[u8]) {
    if let Ok(Command::Signed(signed)) = parse(data) {
        assert!(signed.check("unit", &[]).is_err());
        // What is read has the lines of its version, and is written as it was.
        let lines = signed.wording().lines("unit").map(|text| text.split(|byte| *byte == b'\n').count());
        assert_eq!(lines, Ok(if signed.holds.is_some() { 7 } else { 6 }));
        let _ = What::read(&signed.text);
        assert_eq!(parse(signed.to_json().as_bytes()), Ok(Command::Signed(signed)));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = What::read(text);
    }
}

/// What a receiver hears: a topic, a zero byte, a payload.
pub fn message(data: &[u8]) {
    let mut ledger = Ledger::new(data.len().is_multiple_of(2));
    for piece in data.split(|byte| *byte == 0xff) {
        let (topic, payload) = match piece.iter().position(|byte| *byte == 0) {
            Some(at) => piece.split_at(at),
            None => (&b"unit/event/crossing"[..], piece),
        };
        let payload = payload.strip_prefix(&[0]).unwrap_or(payload);
        match Message::read(&String::from_utf8_lossy(topic), payload) {
            Message::Event { key, line } => {
                assert!(!line.contains('\n'));
                note_event(&mut ledger, &key);
            }
            Message::Progress { unit, progress } => {
                ledger.status(&unit, &progress.log, progress.low);
                if progress.is_online() {
                    ledger.online(&unit);
                }
            }
            Message::Reply { unit, answer: Some((log, without)), .. } => ledger.denied(&unit, &log, &without),
            Message::Reply { .. } | Message::Other => {}
        }
        if let Some(key) = EventKey::read(payload) {
            note_event(&mut ledger, &key);
        }
    }
    let sum = ledger.gaps().iter().fold(0u64, |sum, gap| sum.saturating_add((gap.to - gap.from).saturating_add(1)));
    assert_eq!(ledger.missing(), sum);
    ledger.advise(std::time::Duration::from_secs(1));
    ledger.advise(std::time::Duration::from_secs(1000));
    ledger.advise(std::time::Duration::MAX);
}
