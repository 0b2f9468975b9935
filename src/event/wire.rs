//! The envelope around every event and its JSON form.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::Body;
use crate::domain::UtcMillis;

/// The version of the wire format, key `v`.
pub const WIRE_VERSION: u8 = 1;

/// Where a time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// A satellite receiver.
    Gps,
    /// Kernel clock synchronised by NTP.
    Ntp,
    /// A battery-backed clock.
    Rtc,
    /// Nothing vouches for it.
    None,
    /// A recording's own time line.
    File,
}

impl TimeSource {
    /// Whether anything vouches for the time, if only a battery.
    pub fn is_vouched(self) -> bool {
        !matches!(self, TimeSource::None | TimeSource::File)
    }
}

/// When something happened, as well as the unit knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// UTC.
    pub t: UtcMillis,
    /// Uncertainty of `t`, ± milliseconds; absent if unknown.
    #[serde(rename = "tu", default, skip_serializing_if = "Option::is_none")]
    pub uncertainty_ms: Option<u32>,
    /// What vouches for `t`.
    #[serde(rename = "ts")]
    pub source: TimeSource,
    /// The first 32 bits of the kernel's boot id.
    #[serde(with = "boot_hex")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{8}$"))]
    pub boot: u32,
    /// CLOCK_BOOTTIME in milliseconds; media time for a recording.
    #[serde(rename = "m")]
    pub mono_ms: u64,
}

mod boot_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(boot: &u32, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{boot:08x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
        u32::from_str_radix(&String::deserialize(d)?, 16).map_err(D::Error::custom)
    }
}

/// A short random id made together with a journal file: numbers of different
/// journals of one unit can never be mistaken for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LogId(pub String);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event that has happened but has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub body: Body,
    /// Marked `"replay":true` on the wire: not live, but from a recording.
    pub replay: bool,
}

/// A numbered event as it goes over the wire and as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The version of the wire format, 1.
    pub v: u8,
    /// The unit's id.
    pub unit: String,
    /// The journal's id.
    pub log: LogId,
    /// Gap-free number within the journal, from 1, in commit order.
    pub seq: u64,
    /// Kind and the kind's own keys.
    #[serde(flatten)]
    pub body: Body,
    /// When.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Present and true when the event comes from a published replay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
}

impl Event {
    /// Gives `draft` its number.
    pub fn new(unit: &str, log: &LogId, seq: u64, draft: Draft) -> Event {
        Event {
            v: WIRE_VERSION,
            unit: unit.to_owned(),
            log: log.clone(),
            seq,
            body: draft.body,
            stamp: draft.stamp,
            replay: draft.replay,
        }
    }

    /// Compact JSON, one line, no trailing newline.
    pub fn to_json(&self) -> String {
        // Only a map with non-string keys or a failing Serialize can err here,
        // and neither exists in these types.
        serde_json::to_string(self).unwrap_or_else(|e| format!("{{\"v\":{WIRE_VERSION},\"error\":\"{e}\"}}"))
    }

    /// Reads what [`Event::to_json`] wrote; ignores unknown keys.
    ///
    /// # Errors
    /// When the text is not JSON, or a key is missing or has another type.
    pub fn from_json(text: &str) -> Result<Event, serde_json::Error> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::{BBox, Group};
    use crate::event::{Conf, Phase, Seconds};

    fn crossing() -> Draft {
        Draft {
            stamp: Stamp {
                t: UtcMillis(1_747_000_000_123),
                uncertainty_ms: Some(40),
                source: TimeSource::Ntp,
                boot: 0xbeef,
                mono_ms: 123_456_789,
            },
            body: Body::Crossing {
                id: uuid::Uuid::from_u128(7),
                cam: "sixteen-letters!".into(),
                grp: Group::Vehicle,
                cls: "motorcycle".into(),
                conf: Conf(0.876),
                bbox: BBox::new(0.12345, -0.2, 0.5, 0.9).into(),
                wire: "sixteen-letters!".into(),
                dir: "sixteen-letters!".into(),
                gid: Some(uuid::Uuid::from_u128(8)),
            },
            replay: false,
        }
    }

    #[test]
    fn json_has_the_documented_keys_and_reads_back() {
        let event = Event::new("unit", &LogId("a1b2c3".into()), 42, crossing());
        let json = event.to_json();
        assert_eq!(
            json,
            "{\"v\":1,\"unit\":\"unit\",\"log\":\"a1b2c3\",\"seq\":42,\"kind\":\"crossing\",\
             \"id\":\"00000000-0000-0000-0000-000000000007\",\"cam\":\"sixteen-letters!\",\"grp\":\"vehicle\",\
             \"cls\":\"motorcycle\",\"conf\":0.88,\"box\":[0.123,0.0,0.5,0.7],\"wire\":\"sixteen-letters!\",\
             \"dir\":\"sixteen-letters!\",\"gid\":\"00000000-0000-0000-0000-000000000008\",\
             \"t\":\"2025-05-11T21:46:40.123Z\",\"tu\":40,\"ts\":\"ntp\",\"boot\":\"0000beef\",\"m\":123456789}"
        );
        let back = Event::from_json(&json.replace("\"v\":1", "\"v\":1,\"later\":{}")).unwrap();
        assert_eq!(back.to_json(), json);
    }

    #[test]
    fn a_crossing_with_long_names_stays_under_400_bytes() {
        let json = Event::new("sixteen-letters!", &LogId("a1b2c3d4".into()), 9_999_999, crossing()).to_json();
        assert!(json.len() < 460, "{} bytes", json.len());
        let mut plain = crossing();
        if let Body::Crossing { gid, .. } = &mut plain.body {
            *gid = None;
        }
        let json = Event::new("sixteen-letters!", &LogId("a1b2c3d4".into()), 9_999_999, plain).to_json();
        assert!(json.len() < 400, "{} bytes", json.len());
    }

    #[test]
    fn absent_keys_are_left_out() {
        let mut draft = crossing();
        draft.stamp.uncertainty_ms = None;
        draft.body = Body::Sighting {
            phase: Phase::End,
            id: uuid::Uuid::nil(),
            cam: "c".into(),
            grp: Group::Person,
            cls: "person".into(),
            conf: Conf(0.5),
            bbox: BBox::new(0.0, 0.0, 1.0, 1.0).into(),
            dur: Some(Seconds(12.34)),
            why: None,
            still: None,
        };
        let json = Event::new("u", &LogId("l".into()), 1, draft).to_json();
        assert!(json.contains("\"dur\":12.3,"), "{json}");
        assert!(!json.contains("why") && !json.contains("tu") && !json.contains("replay"), "{json}");
    }
}
