//! What a broker says of itself when it lets somebody in (CONNACK, MQTT 5.0, section
//! 3.2.2.3), and whether a unit can live with it. Pure.
//!
//! `run` and `check` ask the same rule, so that `check` says ok to no broker that
//! `run` cannot use.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::ConnAck;

/// No broker is pinged more often, whatever it demands; the least that
/// `uplink.keep_alive` may be.
pub(super) const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Bytes of a packet that an ordinary event needs: a crossing with the longest names fits.
/// Less is not a limit but a fault.
pub(super) const LEAST_PACKET: u32 = 1024;

/// How often the broker is pinged: as often as it asks for, and as one's own setting
/// says if that is more often. 0 means that it does not look; whether it is there
/// still has to be found out.
pub(super) fn keep_alive(own: Duration, server: Option<u16>) -> Duration {
    match server {
        None | Some(0) => own,
        Some(seconds) => own.min(Duration::from_secs(seconds.into())).max(LEAST_KEEP_ALIVE),
    }
}

/// Why nobody can use this broker, whatever for.
pub(super) fn broken(ack: &ConnAck) -> Option<String> {
    let properties = ack.properties.as_ref()?;
    if properties.receive_max == Some(0) {
        return Some("is broken: it allows no message under way (Receive Maximum 0)".to_owned());
    }
    match properties.max_packet_size {
        Some(bytes) if bytes < LEAST_PACKET => Some(format!(
            "cannot be used: it takes messages of {bytes} bytes at most (Maximum Packet Size), and an event needs up to \
             {LEAST_PACKET}"
        )),
        _ => None,
    }
}

/// Why a unit cannot use it.
pub(super) fn unusable(ack: &ConnAck) -> Option<String> {
    let properties = ack.properties.as_ref();
    let says_no = |value: Option<u8>| value == Some(0);
    if properties.is_some_and(|p| says_no(p.max_qos)) {
        return Some(NO_QOS_1.to_owned());
    }
    if properties.is_some_and(|p| says_no(p.retain_available)) {
        return Some(NO_RETAIN.to_owned());
    }
    broken(ack)
}

/// Said of a broker that knows QoS 0 alone.
pub(super) const NO_QOS_1: &str = "cannot be used: it acknowledges no messages (Maximum QoS 0), so nobody would know \
                                   what has arrived; allow QoS 1 there";

/// Said of a broker that keeps no messages.
pub(super) const NO_RETAIN: &str = "cannot be used: it keeps no messages (Retain Available 0), so nobody would see \
                                    whether this unit is there; allow retained messages there (mosquitto: \
                                    retain_available true)";

/// What a unit can live with and its owner should know: how many seconds the broker
/// remembers a unit that is away, if that is less than `asked`.
pub(super) fn forgets_after(ack: &ConnAck, asked: u32) -> Option<u32> {
    ack.properties.as_ref()?.session_expiry_interval.filter(|seconds| *seconds < asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BBox, Group, UtcMillis};
    use crate::event::{Body, Class, Conf, Draft, Event, LogId, Stamp, TimeSource};
    use crate::uplink::messages::{Topics, publish_packet_size};
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectReturnCode};
    use uuid::Uuid;

    fn ack(change: impl FnOnce(&mut ConnAckProperties)) -> ConnAck {
        let mut properties = ConnAckProperties {
            session_expiry_interval: None,
            receive_max: None,
            max_qos: None,
            retain_available: None,
            max_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        };
        change(&mut properties);
        ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: Some(properties) }
    }

    #[test]
    fn a_unit_is_not_made_to_ping_without_a_pause_nor_to_forget_to() {
        let own = Duration::from_secs(60);
        let seconds = |server| keep_alive(own, server).as_secs();
        assert_eq!([None, Some(0), Some(1), Some(5), Some(20), Some(65_535)].map(seconds), [60, 60, 5, 5, 20, 60]);
        assert_eq!(keep_alive(LEAST_KEEP_ALIVE, Some(1)), LEAST_KEEP_ALIVE);
    }

    #[test]
    fn what_a_unit_needs_has_to_be_there() {
        let fine = |ack: ConnAck| unusable(&ack).is_none();
        assert!(fine(ack(|_| {})) && fine(ConnAck { properties: None, ..ack(|_| {}) }));
        assert!(fine(ack(|p| (p.max_qos, p.retain_available, p.receive_max) = (Some(1), Some(1), Some(1)))));
        assert!(fine(ack(|p| p.max_packet_size = Some(LEAST_PACKET))));
        let said = |change: fn(&mut ConnAckProperties)| unusable(&ack(change)).unwrap_or_default();
        assert!(said(|p| p.max_qos = Some(0)).contains("QoS 0"));
        assert!(said(|p| p.retain_available = Some(0)).contains("Retain Available 0"));
        assert!(said(|p| p.receive_max = Some(0)).contains("Receive Maximum 0"));
        assert!(said(|p| p.max_packet_size = Some(20)).contains("20 bytes"));
        assert_eq!(forgets_after(&ack(|p| p.session_expiry_interval = Some(0)), 60), Some(0));
        assert_eq!(forgets_after(&ack(|p| p.session_expiry_interval = Some(u32::MAX)), 60), None);
    }

    /// What a configuration allows names to be: 32 characters, and 64 of the prefix.
    #[test]
    fn a_crossing_and_a_lost_event_with_the_longest_names_fit() {
        let long = || "n".repeat(32);
        let stamp = Stamp {
            t: UtcMillis(1_747_000_000_000),
            uncertainty_ms: Some(u32::MAX),
            source: TimeSource::None,
            boot: u32::MAX,
            mono_ms: u64::MAX,
        };
        let crossing = Body::Crossing {
            id: Uuid::max(),
            cam: long(),
            grp: Group::Vehicle,
            cls: long(),
            conf: Conf(0.55),
            bbox: BBox::new(0.111, 0.222, 0.333, 0.444).into(),
            wire: long(),
            dir: long(),
            gid: Some(Uuid::max()),
        };
        let lost =
            Body::Lost { from: u64::MAX, to: u64::MAX, n: u64::MAX, class: Class::Telemetry, why: "x".repeat(200) };
        for body in [crossing, lost] {
            let topic = Topics::new(&"p".repeat(64), &long()).event(body.kind());
            let event = Event::new(&long(), &LogId(long()), u64::MAX, Draft { stamp, body, replay: true });
            let size = publish_packet_size(&topic, event.to_json().len());
            assert!(size <= u64::from(LEAST_PACKET), "{size}");
        }
    }
}
