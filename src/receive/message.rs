//! Reading what units publish. Everything here comes from outside and may be
//! anything.

use std::borrow::Cow;

use serde::Deserialize;

use super::ledger::{HIGHEST, Ledger};
use crate::event::from_cbor;

/// Longer names of units and journals are none of ours.
const LONGEST_NAME: usize = 128;

/// What names an event, and what a `lost` event says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EventKey {
    /// The unit's id.
    pub unit: String,
    /// The journal's id.
    pub log: String,
    /// Its number.
    pub seq: u64,
    /// Its kind.
    pub kind: String,
    from: Option<serde_json::Value>,
    to: Option<serde_json::Value>,
}

impl EventKey {
    /// From an event's JSON; `None` if it is none.
    pub fn read(json: &[u8]) -> Option<EventKey> {
        let key: EventKey = serde_json::from_slice(json).ok()?;
        let is_ours = (1..=HIGHEST).contains(&key.seq) && is_name(&key.unit) && is_name(&key.log);
        is_ours.then_some(key)
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
}

/// Tells `ledger` of an event; whether it is new.
pub fn note_event(ledger: &mut Ledger, key: &EventKey) -> bool {
    let new = ledger.event(&key.unit, &key.log, key.seq);
    let number = |value: &Option<serde_json::Value>| value.as_ref().and_then(serde_json::Value::as_u64);
    if let ("lost", Some(from), Some(to)) = (key.kind.as_str(), number(&key.from), number(&key.to)) {
        ledger.lost(&key.unit, &key.log, from.max(1), to.min(HIGHEST));
    }
    new
}

/// What `status` and `health` say about a journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Progress {
    /// The journal's id.
    pub log: String,
    /// The unit is done with all up to it.
    pub low: u64,
    /// Only in `status`.
    #[serde(default)]
    state: Option<String>,
}

impl Progress {
    /// The unit has connected, or had when this was retained.
    pub fn is_online(&self) -> bool {
        self.state.as_deref() == Some("online")
    }
}

/// Ranges of a reply that are read; a unit sends no more.
const MOST_RANGES: usize = 64;

/// The reply to a `resend`.
#[derive(Debug, Deserialize)]
struct Answer {
    ok: bool,
    log: String,
    without: Option<Vec<(u64, u64)>>,
}

impl Answer {
    fn without(self) -> Option<(String, Vec<(u64, u64)>)> {
        let mut without = self.without.filter(|_| self.ok)?;
        without.truncate(MOST_RANGES);
        Some((self.log, without))
    }
}

/// A published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'p> {
    /// An event of the unit that the topic names.
    Event {
        /// What names it.
        key: EventKey,
        /// All of it: one line of JSON, whichever format it came in.
        line: Cow<'p, str>,
    },
    /// The state of a unit's journal.
    Progress {
        /// The unit's id.
        unit: String,
        /// Its journal.
        progress: Progress,
    },
    /// An answer to a command of anybody's.
    Reply {
        /// The unit's id.
        unit: String,
        /// The command's.
        id: String,
        /// Of a `resend`: the journal, and which numbers it does not hold.
        answer: Option<(String, Vec<(u64, u64)>)>,
    },
    /// Nothing of ours, or damaged.
    Other,
}

/// An event as one line of JSON; `None` for what cannot be one. The first byte tells
/// the formats apart: CBOR begins with a map.
fn line(payload: &[u8]) -> Option<Cow<'_, str>> {
    let line = match payload.first() {
        Some(0xa0..=0xbf) => Cow::Owned(from_cbor(payload).ok()?),
        _ => Cow::Borrowed(std::str::from_utf8(payload).ok()?),
    };
    (!line.contains(['\n', '\r'])).then_some(line)
}

impl<'p> Message<'p> {
    /// From a topic below `<prefix>/` (`<unit>/event/<kind>` and so on).
    pub fn read(topic: &str, payload: &'p [u8]) -> Message<'p> {
        let Some((unit, rest)) = topic.split_once('/') else { return Message::Other };
        match rest.split_once('/').map_or(rest, |(first, _)| first) {
            "event" => match line(payload).and_then(|line| Some((EventKey::read(line.as_bytes())?, line))) {
                // A unit's login may only write below its own name: what says
                // otherwise is forged.
                Some((key, line)) if key.unit == unit => Message::Event { key, line },
                _ => Message::Other,
            },
            "status" | "health" => match serde_json::from_slice(payload) {
                Ok(Progress { low, ref log, .. }) if low > HIGHEST || !is_name(log) || !is_name(unit) => Message::Other,
                Ok(progress) => Message::Progress { unit: unit.to_owned(), progress },
                Err(_) => Message::Other,
            },
            "reply" => {
                let id = rest.split_once('/').map_or("", |(_, id)| id).to_owned();
                let answer = serde_json::from_slice(payload).ok().and_then(Answer::without);
                Message::Reply { unit: unit.to_owned(), id, answer }
            }
            _ => Message::Other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::to_cbor;
    use proptest::prelude::*;

    #[test]
    fn an_event_belongs_to_the_unit_of_its_topic() {
        let json = br#"{"v":1,"unit":"gate","log":"abc","seq":7,"kind":"watch","from":"2026-05-01T00:00:00.000Z"}"#;
        assert!(matches!(Message::read("gate/event/watch", json), Message::Event { key, .. } if key.seq == 7));
        assert_eq!(Message::read("road/event/watch", json), Message::Other);
        assert!(matches!(Message::read("gate/status", br#"{"log":"abc","low":5}"#), Message::Progress { .. }));
    }

    #[test]
    fn a_number_that_json_does_not_carry_exactly_is_none() {
        let status = |low: u64| format!("{{\"log\":\"abc\",\"low\":{low}}}");
        let event = |seq: u64| format!("{{\"unit\":\"gate\",\"log\":\"abc\",\"seq\":{seq},\"kind\":\"boot\"}}");
        for (number, is_ours) in [(HIGHEST, true), (HIGHEST + 1, false), (u64::MAX, false)] {
            let status = status(number);
            assert_eq!(Message::read("gate/status", status.as_bytes()) != Message::Other, is_ours, "{status}");
            let event = event(number);
            assert_eq!(Message::read("gate/event/boot", event.as_bytes()) != Message::Other, is_ours, "{event}");
        }
        let long = format!("{{\"log\":\"{}\",\"low\":1}}", "x".repeat(129));
        assert_eq!(Message::read("gate/status", long.as_bytes()), Message::Other);
    }

    #[test]
    fn an_event_is_one_line_of_json_whichever_format_it_came_in() {
        let json = r#"{"v":1,"unit":"gate","log":"abc","seq":7,"kind":"boot","t":"2026-05-01T00:00:00.000Z","boot":"1f0c6a2e"}"#;
        let cbor = to_cbor(json).unwrap();
        for payload in [json.as_bytes(), &cbor] {
            let Message::Event { key, line } = Message::read("gate/event/boot", payload) else { panic!("{payload:?}") };
            assert_eq!((key.seq, &*line), (7, json));
        }
        assert_eq!(Message::read("gate/event/boot", &cbor[..40]), Message::Other);
        assert_eq!(Message::read("gate/event/boot", json.replace(',', ",\n").as_bytes()), Message::Other);
    }

    #[test]
    fn an_answer_says_what_the_unit_does_not_hold() {
        let read = |text: &str| match Message::read("gate/reply/receive-1", text.as_bytes()) {
            Message::Reply { unit, id, answer } if unit == "gate" && id == "receive-1" => answer,
            other => panic!("{other:?}"),
        };
        let all = r#"{"id":"receive-1","ok":true,"log":"abc","seq":9,"low":9,"from":1,"to":5,"without":[[1,2],[5,5]]}"#;
        assert_eq!(read(all), Some(("abc".into(), vec![(1, 2), (5, 5)])));
        assert_eq!(read(&all.replace("true", "false")), None);
        assert_eq!(read(r#"{"id":"receive-1","ok":true,"log":"abc","from":1,"to":5}"#), None, "an older unit");
        assert_eq!(read("{"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_published_can_hurt(topic in "\\PC{0,40}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::read(&topic, &payload);
            let _ = Message::read("u/event/x", &payload);
        }
    }
}
