//! What an error of the client library means for the next attempt.

use rumqttc::v5::{ConnectionError, EventLoop, StateError, mqttbytes};

/// The broker sent the unit away: coming back at once would only annoy it, or the
/// other unit of this name.
pub(super) fn is_dismissal(e: &ConnectionError) -> bool {
    matches!(e, ConnectionError::MqttState(StateError::ServerDisconnect { .. }))
}

/// Errors after which the library's own state cannot be resumed: a publish that
/// it holds back (it would forget it), a packet id out of range or answered
/// twice, a packet that can never be sent.
pub(super) fn library_is_confused(e: &ConnectionError, events: &EventLoop) -> bool {
    events.state.collision.is_some()
        || matches!(
            e,
            ConnectionError::MqttState(
                StateError::Unsolicited(_)
                    | StateError::CollisionTimeout
                    | StateError::OutgoingPacketTooLarge { .. }
                    | StateError::Deserialization(_)
            ) | ConnectionError::RequestsDone
        )
}

/// Whether the broker gave a reason that the library does not know.
pub(super) fn is_unknown_reason(e: &ConnectionError) -> bool {
    use mqttbytes::Error::{InvalidConnectReturnCode, InvalidReason};
    // The library names every unknown reason of a PUBACK like one of a CONNACK.
    matches!(e, ConnectionError::MqttState(StateError::Deserialization(InvalidConnectReturnCode(_) | InvalidReason(_))))
}
