//! The health message. `docs/reference/health.md` documents every key; a test
//! holds the two together.

use serde::Serialize;

use super::camera::CameraFigures;
use super::machine::Machine;
use crate::clock::Reading;
use crate::domain::UtcMillis;
use crate::event::{TimeSource, WIRE_VERSION};
use crate::journal::JournalFigures;
use crate::uplink::UplinkFigures;

/// The whole message, in the order of its keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthReport {
    /// Version of the wire format.
    pub v: u8,
    /// When it was made.
    pub t: UtcMillis,
    /// The program's version.
    pub version: &'static str,
    /// First 32 bits of the boot id, 8 hex digits.
    pub boot: String,
    /// The journal's id.
    pub log: String,
    /// The last committed number.
    pub seq: u64,
    /// All up to it are delivered or declared lost.
    pub low: u64,
    /// The machine and the process.
    #[serde(flatten)]
    pub machine: Machine,
    /// The clock.
    pub clock: ClockHealth,
    /// The journal.
    pub journal: JournalHealth,
    /// The uplink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<UplinkHealth>,
    /// Each camera.
    pub cameras: Vec<CameraFigures>,
}

/// `clock`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockHealth {
    /// What vouches for the time.
    pub ts: TimeSource,
    /// ± milliseconds; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tu: Option<u32>,
}

/// `journal`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JournalHealth {
    /// Events that wait for their delivery.
    pub queued: u64,
    /// Transactions since the start.
    pub commits: u64,
    /// Transactions that failed and were repeated.
    pub failed: u64,
    /// What keeps it from writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `uplink`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UplinkHealth {
    /// Events acknowledged.
    pub delivered: u64,
    /// Events acknowledged that nobody listened to.
    pub unheard: u64,
    /// Events too large for the broker.
    pub set_aside: u64,
    /// Times the broker refused an event.
    pub refused: u64,
    /// Messages sent and not yet acknowledged.
    pub in_flight: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Connections made.
    pub connections: u64,
    /// Connections lost or not made.
    pub failures: u64,
}

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Both clocks.
    pub clock: Reading,
    /// The machine.
    pub machine: Machine,
    /// The journal.
    pub journal: JournalFigures,
    /// The uplink; `None` without a broker.
    pub uplink: Option<UplinkFigures>,
    /// Each camera.
    pub cameras: Vec<CameraFigures>,
}

impl HealthReport {
    /// Puts the message together.
    pub fn new(inputs: Inputs) -> HealthReport {
        let Inputs { clock, machine, journal, uplink, cameras } = inputs;
        HealthReport {
            v: WIRE_VERSION,
            t: clock.utc,
            version: env!("CARGO_PKG_VERSION"),
            boot: format!("{:08x}", clock.boot),
            log: journal.log.0,
            seq: journal.seq,
            low: journal.low,
            machine,
            clock: ClockHealth { ts: clock.source, tu: clock.uncertainty_ms },
            journal: JournalHealth {
                queued: journal.queued,
                commits: journal.commits,
                failed: journal.failed_commits,
                error: journal.error,
            },
            uplink: uplink.map(|u| UplinkHealth {
                delivered: u.delivered,
                unheard: u.unheard,
                set_aside: u.set_aside,
                refused: u.refused,
                in_flight: u.in_flight,
                resent: u.resent,
                connections: u.connections,
                failures: u.failures,
            }),
            cameras,
        }
    }

    /// Compact JSON.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::Mono;
    use crate::event::LogId;
    use crate::health::CameraStats;
    use serde_json::Value;

    fn full() -> HealthReport {
        let stats = CameraStats::default();
        stats.frame_arrived(Mono::from_micros(1_000_000));
        HealthReport::new(Inputs {
            clock: Reading {
                mono: Mono::from_micros(3_500_000),
                utc: UtcMillis(0),
                source: TimeSource::Ntp,
                uncertainty_ms: Some(3),
                boot: 0xbeef,
            },
            machine: Machine {
                rss_kb: Some(1),
                load: Some(0.5),
                temp_c: Some(48.0),
                disk_free_mb: Some(2),
                ..Machine::default()
            },
            journal: JournalFigures {
                log: LogId("abc".into()),
                seq: 7,
                low: 5,
                queued: 2,
                commits: 3,
                failed_commits: 1,
                error: Some("disk full".into()),
            },
            uplink: Some(UplinkFigures::default()),
            cameras: vec![stats.figures("road", Mono::from_micros(3_500_000))],
        })
    }

    fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    match value {
                        Value::Object(_) | Value::Array(_) => keys(value, &path, found),
                        _ => found.push(path),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{prefix}[]"), found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_is_documented_and_every_documented_key_exists() {
        let mut found = Vec::new();
        keys(&serde_json::from_str(&full().to_json()).unwrap(), "", &mut found);
        let text = include_str!("../../docs/reference/health.md");
        let documented: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(key, _)| key)).collect();
        assert_eq!(found, documented);
    }

    #[test]
    fn it_is_compact_and_leaves_out_what_is_unknown() {
        let mut report = full();
        assert!(report.to_json().len() < 800, "{}", report.to_json());
        assert!(report.to_json().contains("\"age_s\":2.5"));
        report.machine = Machine::default();
        report.uplink = None;
        report.journal.error = None;
        for absent in ["null", "temp_c", "uplink", "error"] {
            assert!(!report.to_json().contains(absent), "{absent}");
        }
    }
}
