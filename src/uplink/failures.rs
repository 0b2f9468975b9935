//! What follows a failure: what is told of it, how long until the next attempt, and
//! whether the client library can be used for it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use rumqttc::v5::{ConnectionError, EventLoop, StateError, mqttbytes};
use tracing::warn;

use super::dialect;
use super::link::{Link, Phase};
use super::unwanted::Refusal;
use super::wire::Unfit;
use super::words;
use crate::domain::{Backoff, jitter};

impl Link {
    pub(super) fn disconnected(&mut self) {
        self.up = false;
        self.commands.streams.give_up();
        self.status.connected.store(false, Relaxed);
    }

    pub(super) fn failed(&mut self, why: String) {
        self.disconnected();
        if matches!(self.phase, Phase::Leaving(_)) {
            return;
        }
        self.lost(why);
    }

    /// What is wrong, in plain words. A broker that hangs up on the login is asked once
    /// whether it speaks another MQTT.
    pub(super) async fn reason(&mut self, e: &ConnectionError) -> String {
        if self.up {
            return words::connection(e);
        }
        let unknown = self.phase == Phase::Running && dialect::may_be_the_reason(e);
        if !unknown || std::mem::replace(&mut self.dialect_asked, true) {
            return match self.status.error() {
                // It was found out before.
                Some(why) if unknown && why == words::OLD_MQTT => why,
                _ => words::login(e),
            };
        }
        self.beat.waiting();
        let old = tokio::select! {
            old = dialect::is_old(&self.settings) => old,
            _ = self.stop.wait_for(Option::is_some) => false,
        };
        if old { words::OLD_MQTT.to_owned() } else { words::login(e) }
    }

    /// The connection is gone, or did not come about.
    pub(super) fn lost(&mut self, why: String) {
        self.disconnected();
        self.status.failures.fetch_add(1, Relaxed);
        self.trouble(why);
    }

    /// How long to wait before the next attempt. Only a connection that has delivered
    /// something, or has lasted, makes up for earlier failures, and
    /// only if it `broke`, not if the broker put an end to it.
    pub(super) fn pause(&mut self, backoff: &mut Backoff, broke: bool) -> Duration {
        if std::mem::take(&mut self.good) && broke {
            backoff.reset();
        }
        backoff.next(jitter())
    }

    /// Logs `why` when it is news.
    pub(super) fn trouble(&self, why: String) {
        let text = format!("broker {} {why}", self.settings.address);
        if self.status.trouble(Some(why)) {
            warn!("{text}; events wait in the journal, trying again");
        }
    }

    /// Waits before the next attempt; `false` when stopped meanwhile.
    pub(super) async fn rest(&mut self, pause: Duration) -> bool {
        self.beat.waiting();
        self.note_marks(false);
        if self.is_stopped() {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            _ = self.stop.changed() => false,
        }
    }
}

/// The broker sent the unit away: coming back at once would only annoy it, or the
/// other unit of this name.
pub(super) fn is_dismissal(e: &ConnectionError) -> bool {
    matches!(e, ConnectionError::MqttState(StateError::ServerDisconnect { .. })) || Unfit::of(e).is_some()
}

/// Errors after which the library's own state cannot be resumed: a publish that
/// it holds back (it would forget it), a packet id out of range or answered
/// twice, a packet that can never be sent, whatever a broker that is unfit has made of it.
pub(super) fn library_is_confused(e: &ConnectionError, events: &EventLoop) -> bool {
    events.state.collision.is_some()
        || Unfit::of(e).is_some()
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

/// What the end of the connection says of a message that was on the wire, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// It was answered, for a reason that the library does not know: brokers answer in the
    /// order of arrival, so that was the first on the wire.
    First(Refusal),
    /// One was too large.
    Largest,
    /// Nothing: the broker hung up or talks nonsense, or the network broke.
    Nothing,
}

/// Whose fault it was.
pub(super) fn blame(e: &ConnectionError) -> Option<Blame> {
    use mqttbytes::Error::{InvalidConnectReturnCode, InvalidReason};
    // What such a broker does says nothing of messages.
    if Unfit::of(e).is_some() {
        return None;
    }
    let ConnectionError::MqttState(e) = e else { return None };
    match e {
        // The library names every unknown reason of a PUBACK like one of a CONNACK.
        StateError::Deserialization(InvalidConnectReturnCode(words::PACKET_TOO_LARGE)) => {
            Some(Blame::First(Refusal::CutForSize))
        }
        StateError::Deserialization(InvalidConnectReturnCode(_) | InvalidReason(_)) => Some(Blame::First(Refusal::Cut)),
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::PacketTooLarge, .. } => Some(Blame::Largest),
        StateError::ServerDisconnect { reason_code, .. } => is_about_messages(*reason_code).then_some(Blame::Nothing),
        StateError::Io(_) | StateError::ConnectionAborted => Some(Blame::Nothing),
        // It hangs up, or answers with something that is no answer.
        StateError::Deserialization(_) | StateError::Unsolicited(_) => Some(Blame::Nothing),
        _ => None,
    }
}

/// Whether a broker that gives this reason may mean a message that it got.
fn is_about_messages(reason: DisconnectReasonCode) -> bool {
    use DisconnectReasonCode as R;
    !matches!(
        reason,
        R::NormalDisconnection
            | R::ServerBusy
            | R::ServerShuttingDown
            | R::KeepAliveTimeout
            | R::SessionTakenOver
            | R::UseAnotherServer
            | R::ServerMoved
            | R::ConnectionRateExceeded
            | R::MaximumConnectTime
    )
}
