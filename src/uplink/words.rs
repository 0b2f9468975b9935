//! The client library's errors in plain words.

use std::io;

use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{ConnectionError, StateError, TlsError};
use rustls::CertificateError;

use super::wire::Unfit;
use super::{dialect, terms};

/// The reason of mosquitto 2.0's `message_size_limit`.
pub(super) const PACKET_TOO_LARGE: u8 = 0x95;

/// What keeps the connection from working.
pub(super) fn connection(e: &ConnectionError) -> String {
    match e {
        ConnectionError::Timeout(_) => "does not answer in time".to_owned(),
        ConnectionError::Io(e) => io_error(e),
        ConnectionError::Tls(TlsError::Io(e)) => io_error(e),
        ConnectionError::Tls(e) => format!("TLS: {e}"),
        ConnectionError::ConnectionRefused(code) => refusal(*code),
        ConnectionError::NotConnAck(_) => "answers, but not as an MQTT broker does".to_owned(),
        ConnectionError::MqttState(e) => state(e),
        other => other.to_string(),
    }
}

/// Said of a broker of another dialect.
pub(super) const OLD_MQTT: &str = "speaks MQTT 3.1.1 and hangs up on MQTT 5, which Tawny needs (mosquitto has it since \
                                   1.6, RabbitMQ since 3.13, EMQX since 4.0)";

/// The same before the broker has let anybody in.
pub(super) fn login(e: &ConnectionError) -> String {
    match e {
        ConnectionError::MqttState(StateError::ConnectionAborted) => HANGS_UP.to_owned(),
        ConnectionError::Io(e) | ConnectionError::MqttState(StateError::Io(e)) if dialect::hung_up(e) => {
            HANGS_UP.to_owned()
        }
        // It has read the login.
        ConnectionError::MqttState(StateError::Deserialization(e @ mqttbytes::Error::Io(io)))
            if io.kind() != io::ErrorKind::BrokenPipe =>
        {
            not_as_mqtt_5(e)
        }
        other => connection(other),
    }
}

const HANGS_UP: &str = "closed the connection at the login, without a word: is this its MQTT port, does it expect TLS \
                        (mqtts://), and does it speak MQTT 5, as mosquitto does since 1.6 and RabbitMQ since 3.13?";

fn not_as_mqtt_5(e: &mqttbytes::Error) -> String {
    format!("answers, but not as an MQTT 5 broker does ({e})")
}

/// Longest text of a broker's that is shown, in characters.
const LONGEST_REASON: usize = 200;

/// What a broker says for itself, fit for a log.
fn foreign(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}

/// Why nobody can command the unit, if the broker does not let it listen.
pub(super) fn subscription_refusal(codes: &[SubscribeReasonCode]) -> Option<String> {
    let refusal = codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)))?;
    Some(match refusal {
        SubscribeReasonCode::NotAuthorized => {
            "does not let this unit read its own topics: nobody can command it, and receivers cannot ask it for what is \
             missing; allow its login to read <prefix>/<unit>/cmd"
                .to_owned()
        }
        other => format!("refuses the subscription to this unit's commands ({other:?}): nobody can command it"),
    })
}

fn state(e: &StateError) -> String {
    match e {
        StateError::Io(e) => io_error(e),
        StateError::ConnectionAborted => "closed the connection".to_owned(),
        StateError::AwaitPingResp => "does not answer pings any more".to_owned(),
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::SessionTakenOver, .. } => {
            "ended the connection: somebody else logged in with this unit's name (unit.id) or login".to_owned()
        }
        StateError::ServerDisconnect { reason_code, reason_string } => {
            let more = reason_string.as_ref().map(|text| format!(": {}", foreign(text))).unwrap_or_default();
            format!("ended the connection ({reason_code:?}{more})")
        }
        StateError::Unsolicited(_) => "acknowledges what it was not sent".to_owned(),
        // What the codec could not read or write.
        StateError::Deserialization(mqttbytes::Error::Io(e)) => io_error(e),
        // So the library calls what it does not know in a PUBACK.
        StateError::Deserialization(mqttbytes::Error::InvalidConnectReturnCode(PACKET_TOO_LARGE)) => {
            "refuses a message: it is too large".to_owned()
        }
        StateError::Deserialization(mqttbytes::Error::InvalidConnectReturnCode(reason)) => {
            format!("refuses something for a reason unknown to MQTT 5 ({reason:#04x})")
        }
        StateError::Deserialization(e) => not_as_mqtt_5(e),
        other => other.to_string(),
    }
}

/// Why a broker does not let us in.
fn refusal(code: ConnectReturnCode) -> String {
    use ConnectReturnCode as C;
    match code {
        C::BadUserNamePassword | C::NotAuthorized => {
            "refuses the login: check uplink.username and uplink.password_file, and that this unit may log in".into()
        }
        C::BadClientId | C::ClientIdentifierNotValid => "refuses this unit's name".into(),
        C::RefusedProtocolVersion | C::UnsupportedProtocolVersion => {
            "does not speak MQTT 5, which Tawny needs (mosquitto has it since 1.6, RabbitMQ since 3.13, EMQX since 4.0)"
                .into()
        }
        C::RetainNotSupported => terms::NO_RETAIN.into(),
        C::QoSNotSupported => terms::NO_QOS_1.into(),
        C::Banned => "has banned this unit".into(),
        C::ServerUnavailable | C::ServiceUnavailable | C::ServerBusy => "is too busy at present".into(),
        C::QuotaExceeded => "refuses the connection: its quota is used up".into(),
        other => format!("refuses the connection ({other:?})"),
    }
}

pub(super) fn io_error(e: &io::Error) -> String {
    if let Some(Unfit(why)) = e.get_ref().and_then(|inner| inner.downcast_ref()) {
        return why.clone();
    }
    if let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_error(tls);
    }
    match e.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "closed the connection".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed the connection unexpectedly (does it expect TLS?)".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "cannot be reached".to_owned(),
        _ => {
            let text = e.to_string();
            if text.contains("lookup") || text.contains("resolve") {
                format!("its name cannot be resolved ({text})")
            } else {
                text
            }
        }
    }
}

fn tls_error(e: &rustls::Error) -> String {
    use CertificateError as C;
    match e {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            "its certificate comes from an authority that is not trusted here (uplink.ca_file)".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another name".into()
        }
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "its certificate has expired (or this unit's clock is wrong)".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "its certificate is not valid yet (or this unit's clock is wrong)".into()
        }
        rustls::Error::InvalidCertificate(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority (CA:TRUE), and a server must not show such a one as its own; make \
             the broker one with CA:FALSE, signed by that authority, and keep the authority's as uplink.ca_file"
                .into()
        }
        rustls::Error::InvalidMessage(_) => "does not speak TLS there (mqtts:// needs its TLS port)".into(),
        other => format!("TLS: {other}"),
    }
}

/// Why the broker does not take an event.
pub(super) fn event_refusal(reason: PubAckReason) -> String {
    match reason {
        PubAckReason::NotAuthorized => {
            "refuses events: this unit's login may not write below its own topics".to_owned()
        }
        PubAckReason::QuotaExceeded => "refuses events: its quota is used up".to_owned(),
        other => format!("refuses events ({other:?})"),
    }
}
