//! What follows a failure: what is told of it, how long until the next attempt, and
//! whether the client library can be used for it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::v5::{ConnectionError, EventLoop, StateError, mqttbytes};
use tracing::warn;

use super::dialect;
use super::link::{Link, Phase};
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

    /// How long to wait before the next attempt. Only a connection over which
    /// something was acknowledged makes up for earlier failures, and
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

/// Whether the broker gave a reason that the library does not know.
pub(super) fn is_unknown_reason(e: &ConnectionError) -> bool {
    use mqttbytes::Error::{InvalidConnectReturnCode, InvalidReason};
    // The library names every unknown reason of a PUBACK like one of a CONNACK.
    matches!(e, ConnectionError::MqttState(StateError::Deserialization(InvalidConnectReturnCode(_) | InvalidReason(_))))
}
