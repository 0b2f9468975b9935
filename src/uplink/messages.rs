//! Topics, and the `status` message.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde::Serialize;

use crate::domain::UtcMillis;
use crate::event::{LogId, WIRE_VERSION};

/// The topics of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topics {
    prefix: String,
    base: String,
}

impl Topics {
    pub fn new(prefix: &str, unit: &str) -> Topics {
        Topics { prefix: prefix.to_owned(), base: format!("{prefix}/{unit}") }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `<prefix>/<unit>`.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn commands(&self) -> String {
        format!("{}/cmd", self.base)
    }

    pub fn reply(&self, id: &str) -> String {
        format!("{}/reply/{id}", self.base)
    }

    /// Of the file that answers command `id`, what begins at `offset`.
    pub fn part(&self, id: &str, offset: u64) -> String {
        format!("{}/part/{id}/{offset}", self.base)
    }

    /// All parts of the answer to command `id`.
    pub fn parts(&self, id: &str) -> String {
        format!("{}/part/{id}/+", self.base)
    }

    pub fn status(&self) -> String {
        format!("{}/status", self.base)
    }

    pub fn health(&self) -> String {
        format!("{}/health", self.base)
    }

    pub fn still(&self, id: &str) -> String {
        format!("{}/still/{id}", self.base)
    }

    pub fn event(&self, kind: &str) -> String {
        format!("{}/event/{kind}", self.base)
    }
}

/// `state` of the status message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Presence {
    Online,
    Offline,
    Asleep,
}

/// The retained birth, goodbye and last will.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Status<'a> {
    pub v: u8,
    pub state: Presence,
    pub t: UtcMillis,
    pub log: &'a LogId,
    pub seq: u64,
    pub low: u64,
    pub boot: String,
    pub version: &'a str,
}

impl Status<'_> {
    pub fn json(state: Presence, t: UtcMillis, (log, seq, low): (&LogId, u64, u64), boot: u32) -> String {
        let status = Status {
            v: WIRE_VERSION,
            state,
            t,
            log,
            seq,
            low,
            boot: format!("{boot:08x}"),
            version: env!("CARGO_PKG_VERSION"),
        };
        // A struct of numbers and strings always serialises.
        serde_json::to_string(&status).unwrap_or_default()
    }
}

/// Bytes of an MQTT 5 PUBLISH packet at QoS 1 without properties (MQTT 5.0,
/// section 3.3): fixed header with up to four bytes of length, topic with its
/// two bytes of length, packet id, an empty property length, payload.
pub(super) fn publish_packet_size(topic: &str, payload_bytes: usize) -> u64 {
    (1 + 4 + 2 + topic.len() + 2 + 1 + payload_bytes) as u64
}

/// A broker throws the message away when it has kept it for so long.
pub(super) fn expiring(after: Duration) -> PublishProperties {
    let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX).max(1);
    PublishProperties { message_expiry_interval: Some(seconds), ..PublishProperties::default() }
}

/// Bytes of the property "message expiry interval" (MQTT 5.0, section 3.3.2.3.3).
pub(super) const MESSAGE_EXPIRY_BYTES: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_documented_keys() {
        let json = Status::json(Presence::Online, UtcMillis(0), (&LogId("abc".into()), 7, 5), 0xbeef);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            json,
            format!(
                "{{\"v\":1,\"state\":\"online\",\"t\":\"1970-01-01T00:00:00.000Z\",\"log\":\"abc\",\
                 \"seq\":7,\"low\":5,\"boot\":\"0000beef\",\"version\":\"{version}\"}}"
            )
        );
        assert_eq!(Topics::new("tawny", "gate-1").event("crossing"), "tawny/gate-1/event/crossing");
    }
}
