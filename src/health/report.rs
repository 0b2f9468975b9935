//! The health message. `docs/reference/health.md` documents every key; a test
//! holds the two together.

use std::time::Duration;

use serde::Serialize;

use super::camera::CameraFigures;
use super::machine::Machine;
use crate::clock::ClockFigures;
use crate::domain::{Percentiles, UtcMillis};
use crate::event::{TimeSource, WIRE_VERSION};
use crate::evidence::EvidenceFigures;
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
    /// Seconds for which nothing is watched yet; absent while things are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_s: Option<u64>,
    /// The machine and the process.
    #[serde(flatten)]
    pub machine: Machine,
    /// The clock.
    pub clock: ClockHealth,
    /// The journal.
    pub journal: JournalHealth,
    /// Stills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceHealth>,
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
    /// Milliseconds by which the system's clock is ahead of the unit's own
    /// estimate; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead_ms: Option<i64>,
    /// Seconds since something last vouched for the time; absent if nothing has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Times that a vouched time turned out to be wrong.
    pub steps: u64,
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
    /// Undelivered events given up to make room.
    pub lost: u64,
    /// Events deleted for being older than `journal.keep`.
    pub aged: u64,
    /// Damaged journals set aside since the start.
    pub damaged: u64,
    /// What keeps it from writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `evidence`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceHealth {
    /// Files kept.
    pub files: u64,
    /// Their bytes, in kB.
    pub kb: u64,
    /// Files written.
    pub written: u64,
    /// Stills and packets that found the queue to the writer full.
    pub dropped: u64,
    /// Files that the disk did not take, and stills that could not be encoded.
    pub failed: u64,
    /// Files removed to make room.
    pub removed: u64,
    /// Files removed for being older than `evidence.keep`.
    pub aged: u64,
    /// Small stills that wait to be sent.
    pub waiting: u64,
    /// Small stills not sent because too many waited.
    pub left_out: u64,
    /// Views that found no room in memory.
    pub no_room: u64,
    /// Sightings of which no clip shows the beginning, or anything.
    pub unfilmed: u64,
}

/// `uplink`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UplinkHealth {
    /// Events acknowledged.
    pub delivered: u64,
    /// Events acknowledged that nobody listened to.
    pub unheard: u64,
    /// Events larger than `uplink.max_packet`, or damaged.
    pub set_aside: u64,
    /// Events that the broker does not take; the others go on.
    pub waiting: u64,
    /// The first of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_seq: Option<u64>,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_why: Option<String>,
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
    /// Bytes of the messages sent.
    pub sent_bytes: u64,
    /// Those of today.
    pub today_bytes: u64,
    /// Commands that came.
    pub commands: u64,
    /// Commands that were refused.
    pub commands_refused: u64,
    /// Replies that were not sent: more than a unit gives, or than the day's bytes.
    pub replies_withheld: u64,
    /// Events published again because somebody asked for them.
    pub copies: u64,
    /// Stills acknowledged.
    pub stills: u64,
    /// Stills larger than `uplink.max_packet`.
    pub stills_set_aside: u64,
    /// From an event's commit to the broker's answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<Percentiles>,
    /// What keeps events from being taken at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The clock.
    pub clock: ClockFigures,
    /// What is left of a pause.
    pub paused: Option<Duration>,
    /// The machine.
    pub machine: Machine,
    /// The journal.
    pub journal: JournalFigures,
    /// Stills; `None` if none are wanted.
    pub evidence: Option<EvidenceFigures>,
    /// The uplink; `None` without a broker.
    pub uplink: Option<UplinkFigures>,
    /// How long the broker took to answer for events since the last report.
    pub acknowledged: Option<Percentiles>,
    /// Each camera.
    pub cameras: Vec<CameraFigures>,
}

impl HealthReport {
    /// Puts the message together.
    pub fn new(inputs: Inputs) -> HealthReport {
        let Inputs { clock, paused, machine, journal, evidence, uplink, acknowledged, cameras } = inputs;
        HealthReport {
            v: WIRE_VERSION,
            t: clock.reading.utc,
            version: env!("CARGO_PKG_VERSION"),
            boot: format!("{:08x}", clock.reading.boot),
            log: journal.log.0,
            seq: journal.seq,
            low: journal.low,
            // Rounded up: not over before it is.
            paused_s: paused.map(|left| left.as_millis().div_ceil(1000) as u64),
            machine,
            clock: ClockHealth {
                ts: clock.reading.source,
                tu: clock.reading.uncertainty_ms,
                ahead_ms: clock.kernel_ahead_ms,
                age_s: clock.vouched_s,
                steps: clock.steps,
            },
            journal: JournalHealth {
                queued: journal.queued,
                commits: journal.commits,
                failed: journal.failed_commits,
                lost: journal.lost,
                aged: journal.aged,
                damaged: journal.damaged,
                error: journal.error,
            },
            evidence: evidence.map(|e| EvidenceHealth {
                files: e.files,
                kb: e.bytes / 1000,
                written: e.written,
                dropped: e.dropped,
                failed: e.failed,
                removed: e.removed,
                aged: e.aged,
                waiting: e.waiting,
                left_out: e.left_out,
                no_room: e.no_room,
                unfilmed: e.unfilmed,
            }),
            uplink: uplink.map(|u| UplinkHealth {
                delivered: u.delivered,
                unheard: u.unheard,
                set_aside: u.set_aside,
                waiting: u.waiting,
                waiting_seq: u.waiting_seq,
                waiting_why: u.waiting_why,
                refused: u.refused,
                in_flight: u.in_flight,
                resent: u.resent,
                connections: u.connections,
                failures: u.failures,
                sent_bytes: u.sent_bytes,
                today_bytes: u.today_bytes,
                commands: u.commands,
                commands_refused: u.commands_refused,
                replies_withheld: u.replies_withheld,
                copies: u.copies,
                stills: u.stills,
                stills_set_aside: u.stills_set_aside,
                ack: acknowledged,
                error: u.error,
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
    use crate::clock::Reading;
    use crate::domain::Mono;
    use crate::event::LogId;
    use crate::health::CameraStats;
    use serde_json::Value;

    fn full() -> HealthReport {
        let stats = CameraStats::default();
        stats.frame_arrived(Mono::from_micros(1_000_000));
        stats.light(crate::domain::Light::Infrared);
        stats.timed_by(crate::capture::TimedBy::OffPace { pace: 0.84, over: std::time::Duration::from_secs(3) });
        stats.failed_looks.store(2, std::sync::atomic::Ordering::Relaxed);
        stats.looked.record(Duration::from_millis(30));
        stats.committed.record(Duration::from_millis(40));
        HealthReport::new(Inputs {
            clock: ClockFigures {
                reading: Reading {
                    mono: Mono::from_micros(3_500_000),
                    utc: UtcMillis(0),
                    source: TimeSource::Ntp,
                    uncertainty_ms: Some(3),
                    boot: 0xbeef,
                },
                kernel_ahead_ms: Some(-20),
                vouched_s: Some(5),
                steps: 0,
            },
            paused: Some(Duration::from_millis(1_200)),
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
                lost: 0,
                aged: 0,
                damaged: 0,
                error: Some("disk full".into()),
            },
            evidence: Some(EvidenceFigures::default()),
            uplink: Some(UplinkFigures {
                waiting: 1,
                waiting_seq: Some(4),
                waiting_why: Some("too large".into()),
                error: Some("quota".into()),
                ..UplinkFigures::default()
            }),
            acknowledged: Some(Percentiles { n: 1, p50_ms: 1.0, p95_ms: 1.0, p99_ms: 1.0 }),
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
        assert!(report.to_json().len() < 1400, "{}", report.to_json());
        assert!(report.to_json().contains("\"age_s\":2.5"));
        report.machine = Machine::default();
        report.uplink = None;
        report.evidence = None;
        assert!(report.to_json().contains("\"paused_s\":2,"));
        report.paused_s = None;
        report.journal.error = None;
        for absent in ["null", "temp_c", "uplink", "error", "paused_s"] {
            assert!(!report.to_json().contains(absent), "{absent}");
        }
    }
}
