//! All that was handed in, each event once, with its time as known now. Pure.
//!
//! An event's `t` stays as reported; `clock` events say what to add to it. A
//! journal has worked that out already, lines as they came have not: here it is
//! done by the same rule ([`Corrections`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::{Correction, Corrections};
use crate::domain::UtcMillis;
use crate::event::{Body, Event};

/// An event and when it happened, as known now.
#[derive(Debug, Clone)]
pub struct Told {
    /// As reported.
    pub event: Event,
    /// UTC.
    pub t: UtcMillis,
    /// ± ms; `None` if unknown.
    pub uncertainty_ms: Option<u32>,
    /// What was added to the reported time, if it was corrected.
    pub offset_ms: Option<i64>,
}

impl Told {
    /// Another time of the same event, moved with it.
    pub fn moved(&self, t: UtcMillis) -> UtcMillis {
        UtcMillis(t.0.saturating_add(self.offset_ms.unwrap_or(0)))
    }
}

/// Room for events, as [`Collection::cost`] reckons it: 500,000 or so.
const ROOM: usize = 768 << 20;

/// Unknown kinds that are told apart.
const MOST_KINDS: usize = 100;

/// The name of the others.
const OTHER_KINDS: &str = "others";

/// A correction that came with an event: what to add, and ± ms.
type Given = Option<(i64, u32)>;

#[derive(Debug)]
struct Entry {
    event: Option<Event>,
    given: Given,
    print: [u8; 32],
}

/// What could not be taken as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Lines that are no event at all.
    pub unreadable: u64,
    /// Events that came more than once.
    pub repeated: u64,
    /// Of those, the ones that were not the same the second time.
    pub contradicting: u64,
    /// Events of kinds that this program does not know; with very many kinds the
    /// later ones are counted under one name.
    pub unknown: BTreeMap<String, u64>,
    /// Events that did not fit into memory: nothing else counts them.
    pub beyond: u64,
}

/// One journal's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFacts {
    /// The unit.
    pub unit: String,
    /// The journal's id.
    pub log: String,
    /// The lowest number that is there.
    pub first: u64,
    /// The highest.
    pub last: u64,
    /// How many are there.
    pub events: u64,
    /// Numbers between the two that are not there.
    pub missing: u64,
}

/// Events by unit, journal and number.
#[derive(Debug, Default)]
pub struct Collection {
    logs: BTreeMap<(String, String), BTreeMap<u64, Entry>>,
    tally: Tally,
    /// Bytes in use.
    used: usize,
}

/// What every event has, whatever its kind.
#[derive(Deserialize)]
struct Envelope {
    unit: String,
    log: String,
    seq: u64,
    kind: String,
    t: Option<UtcMillis>,
    t_corrected: Option<UtcMillis>,
    tu_corrected: Option<u32>,
    state: Option<String>,
}

impl Collection {
    /// Takes one event as JSON, as it is on the wire or as `tawny events` prints
    /// it. `given` is a correction that is known besides.
    pub fn add(&mut self, json: &str, given: Given) {
        let Ok(envelope) = serde_json::from_str::<Envelope>(json) else {
            self.tally.unreadable += 1;
            return;
        };
        let printed = match (envelope.t, envelope.t_corrected, envelope.tu_corrected) {
            (Some(t), Some(corrected), Some(tu)) => Some((corrected.0.saturating_sub(t.0), tu)),
            _ => None,
        };
        let event = Event::from_json(json).ok();
        // What `tawny events` adds is not part of what was reported.
        let plain = match (&event, &envelope.state) {
            (Some(event), Some(_)) => event.to_json(),
            _ => json.to_owned(),
        };
        let entry =
            Entry { event, given: given.or(printed), print: Sha256::digest(plain.trim_end().as_bytes()).into() };
        let cost = Collection::cost(json);
        let key = (envelope.unit, envelope.log);
        let is_there = self.logs.get(&key).is_some_and(|log| log.contains_key(&envelope.seq));
        if !is_there && self.used.saturating_add(cost) > ROOM {
            self.tally.beyond += 1;
            return;
        }
        let log = self.logs.entry(key).or_default();
        if let Some(old) = log.get_mut(&envelope.seq) {
            self.tally.repeated += 1;
            if old.print == entry.print {
                old.given = old.given.or(entry.given);
            } else {
                self.tally.contradicting += 1;
            }
            return;
        }
        if entry.event.is_none() {
            let unknown = &mut self.tally.unknown;
            let is_told = unknown.len() < MOST_KINDS || unknown.contains_key(&envelope.kind);
            let kind = if is_told { envelope.kind } else { OTHER_KINDS.to_owned() };
            *unknown.entry(kind).or_default() += 1;
        }
        self.used += cost;
        log.insert(envelope.seq, entry);
    }

    /// Bytes that an event takes here and in a report: what every event takes, and
    /// its texts twice.
    fn cost(json: &str) -> usize {
        800 + json.len().saturating_mul(2)
    }

    /// A line that is not even text, or endless.
    pub fn add_unreadable(&mut self) {
        self.tally.unreadable += 1;
    }

    /// What could not be taken as it came.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Each journal's numbers.
    pub fn logs(&self) -> Vec<LogFacts> {
        let facts = self.logs.iter().filter_map(|((unit, log), entries)| {
            let (&first, _) = entries.first_key_value()?;
            let (&last, _) = entries.last_key_value()?;
            let events = entries.len() as u64;
            let missing = last.saturating_sub(first).saturating_add(1).saturating_sub(events);
            Some(LogFacts { unit: unit.clone(), log: log.clone(), first, last, events, missing })
        });
        facts.collect()
    }

    /// Every event, by unit, journal and number, at the time that is known now.
    pub fn told(self) -> Vec<Told> {
        let mut all = Vec::new();
        for entries in self.logs.into_values() {
            let corrections = corrections(&entries);
            for (seq, entry) in entries {
                let Some(event) = entry.event else { continue };
                let computed = || corrections.of(seq).map(|c| (c.offset_ms, c.uncertainty_ms));
                let reported = event.stamp.t;
                all.push(match entry.given.or_else(computed) {
                    Some((offset_ms, tu)) => Told {
                        event,
                        t: UtcMillis(reported.0.saturating_add(offset_ms)),
                        uncertainty_ms: Some(tu),
                        offset_ms: Some(offset_ms),
                    },
                    None => Told { uncertainty_ms: event.stamp.uncertainty_ms, event, t: reported, offset_ms: None },
                });
            }
        }
        all
    }
}

fn corrections(entries: &BTreeMap<u64, Entry>) -> Corrections {
    let clocks = entries.values().filter_map(|entry| match entry.event.as_ref().map(|event| &event.body) {
        Some(Body::Clock { ranges, .. }) => Some(ranges),
        _ => None,
    });
    let all = clocks.flatten().map(|&(first, last, offset_ms, uncertainty_ms)| Correction {
        first,
        last,
        offset_ms,
        uncertainty_ms,
    });
    all.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(seq: u64, rest: &str) -> String {
        format!(
            "{{\"v\":1,\"unit\":\"u\",\"log\":\"a\",\"seq\":{seq},{rest},\"t\":\"1970-01-01T00:00:01.000Z\",\
             \"ts\":\"none\",\"boot\":\"00000001\",\"m\":5}}"
        )
    }

    fn camera(seq: u64, why: &str) -> String {
        line(seq, &format!("\"kind\":\"camera\",\"cam\":\"road\",\"phase\":\"lost\",\"why\":\"{why}\""))
    }

    #[test]
    fn each_event_is_there_once_and_what_is_odd_is_counted() {
        let mut all = Collection::default();
        for text in [&camera(2, "x"), &camera(2, "x"), &camera(2, "forged"), "nonsense", &line(5, "\"kind\":\"tide\"")]
        {
            all.add(text, None);
        }
        let log = LogFacts { unit: "u".into(), log: "a".into(), first: 2, last: 5, events: 2, missing: 2 };
        assert_eq!(all.logs(), [log]);
        let Tally { unreadable, repeated, contradicting, unknown, .. } = all.tally().clone();
        assert_eq!((unreadable, repeated, contradicting, unknown["tide"]), (1, 2, 1, 1));
        assert_eq!(all.told().len(), 1);
    }

    #[test]
    fn times_are_corrected_by_the_latest_clock_event_whatever_the_order_of_the_lines() {
        let mut all = Collection::default();
        all.add(&line(4, "\"kind\":\"clock\",\"ranges\":[[1,3,7000,20]],\"why\":\"w\""), None);
        all.add(&line(3, "\"kind\":\"clock\",\"ranges\":[[1,2,5000,900]],\"why\":\"w\""), None);
        all.add(&camera(1, "x"), None);
        let told = all.told();
        let first = &told[0];
        assert_eq!((first.t, first.uncertainty_ms, first.offset_ms), (UtcMillis(8_000), Some(20), Some(7_000)));
        assert_eq!(first.moved(UtcMillis(0)), UtcMillis(7_000));
        assert_eq!(told.iter().find(|t| t.event.seq == 4).unwrap().offset_ms, None);
    }

    #[test]
    fn what_tawny_events_prints_is_the_same_event_with_its_corrected_time() {
        let mut all = Collection::default();
        let plain = camera(1, "x");
        all.add(&plain, None);
        let printed = plain.replace(
            "\"m\":5}",
            "\"m\":5,\"t_corrected\":\"1970-01-01T00:00:03.000Z\",\"tu_corrected\":60,\"state\":\"queued\"}",
        );
        all.add(&printed, None);
        assert_eq!((all.tally().repeated, all.tally().contradicting), (1, 0));
        assert_eq!(all.told()[0].t, UtcMillis(3_000));
    }
}
