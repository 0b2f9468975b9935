//! Whether a broker can be used for events at all, by what it says when it lets the
//! unit in. Pure.
//!
//! Limits below what an event needs are those of a broken broker, or of somebody who
//! poses as one: whatever was sent to it would be refused, and events must not pay
//! for that.

use rumqttc::v5::mqttbytes::v5::ConnAck;

/// Bytes of an MQTT packet that every broker has to take: a crossing with the longest
/// names fits.
pub(super) const LEAST_PACKET: u32 = 1024;

/// Why events cannot be sent over this connection; `None` if they can.
pub(super) fn unfit(ack: &ConnAck) -> Option<String> {
    let limits = ack.properties.as_ref()?;
    if let Some(packet) = limits.max_packet_size.filter(|packet| *packet < LEAST_PACKET) {
        return Some(format!("takes no packets above {packet} bytes; an event may need {LEAST_PACKET}"));
    }
    if limits.receive_max == Some(0) {
        return Some("allows no message to be under way (Receive Maximum 0)".to_owned());
    }
    if limits.max_qos == Some(0) {
        return Some("acknowledges nothing (QoS 0); events need QoS 1".to_owned());
    }
    (limits.retain_available == Some(0)).then(|| "keeps no messages (retain), which 'status' needs".to_owned())
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectReturnCode};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BBox, Group, UtcMillis};
    use crate::event::{Body, Class, Conf, Draft, Event, LogId, Stamp, TimeSource};
    use crate::uplink::messages::{Topics, publish_packet_size};

    fn ack(set: impl Fn(&mut ConnAckProperties)) -> ConnAck {
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
        set(&mut properties);
        ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: Some(properties) }
    }

    #[test]
    fn limits_below_what_an_event_needs_are_told_by_name() {
        let why = |set: fn(&mut ConnAckProperties)| unfit(&ack(set)).unwrap_or_default();
        assert!(why(|p| p.max_packet_size = Some(20)).contains("above 20 bytes"));
        assert!(why(|p| p.max_packet_size = Some(LEAST_PACKET - 1)).contains("1023 bytes"));
        assert!(why(|p| p.receive_max = Some(0)).contains("Receive Maximum 0"));
        assert!(why(|p| p.max_qos = Some(0)).contains("QoS 0"));
        assert!(why(|p| p.retain_available = Some(0)).contains("retain"));
        let modest = ack(|p| {
            (p.max_packet_size, p.receive_max) = (Some(LEAST_PACKET), Some(1));
            (p.max_qos, p.retain_available) = (Some(1), Some(1));
        });
        assert_eq!(unfit(&modest), None);
        assert_eq!(unfit(&ConnAck { properties: None, ..modest }), None);
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
