//! What comes from the broker: connections, packet ids, acknowledgements, and
//! what the journal is told of them.

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{ConnAck, PubAck, PubAckReason, SubAck};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::doubt::Kind;
use super::lanes::Age;
use super::link::{Flying, JOURNAL_RETRY, Limits, Link, Phase, RETRY_LAST, SPARE_IDS, Sent};
use super::liveness::Liveness;
use super::messages::Presence;
use super::terms;
use super::window::Announced;
use super::words;
use crate::event::Class;
use crate::journal::{Delivery, Mark};

impl Link {
    pub(super) fn connected(&mut self, ack: &ConnAck, client: &AsyncClient) {
        let properties = ack.properties.as_ref();
        let broker_packet = properties.and_then(|p| p.max_packet_size).unwrap_or(u32::MAX);
        let ids = properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX).min(self.settings.inflight_limit());
        // Packet ids go round at `ids`: at half of it, minus the spare ones, an id is
        // never needed again before it was acknowledged.
        let window = usize::from(ids / 2).saturating_sub(SPARE_IDS).max(1).min(usize::from(self.settings.window));
        self.limits = Limits {
            window,
            packet: u64::from(broker_packet.min(self.settings.max_packet)),
            resumable: usize::from(ids) >= 2 * (window + SPARE_IDS),
        };
        if !ack.session_present {
            self.take_back_window();
        }
        let now = Instant::now();
        let keep_alive = terms::keep_alive(self.settings.keep_alive, properties.and_then(|p| p.server_keep_alive));
        // The library's first ping of a connection comes when the broker says.
        let said = properties.and_then(|p| p.server_keep_alive).map_or(0, u64::from);
        self.liveness = Liveness::new(keep_alive.max(Duration::from_secs(said)), now);
        self.dialect_asked = false;
        self.good = false;
        let released = self.unwanted.connected(self.limits.packet);
        self.release(released, now);
        self.tell_waiting();
        self.stills_connected();
        self.lanes.restart(self.recent.boundary());
        self.pace.connected(window, now);
        self.up = true;
        self.up_since = now;
        self.held_until = None;
        self.status.connected.store(true, Relaxed);
        self.status.connections.fetch_add(1, Relaxed);
        self.status.trouble(None);
        info!("connected to {}", self.settings.address);
        self.doubt.connected();
        self.asked.clear();
        self.new_session = !ack.session_present;
        self.introduction.clear();
        if self.announce {
            self.introduction.extend([Kind::Status, Kind::Commands, Kind::HomeAssistant]);
        }
        self.introduce(client, false, now);
        self.health_due = self.health.as_ref().map(|_| now);
    }

    /// Says and asks for what belongs to each connection, as far as it may go now; nothing
    /// else could be sent if it is `idle`.
    pub(super) fn introduce(&mut self, client: &AsyncClient, idle: bool, now: Instant) {
        if self.introduction.is_empty() || self.phase != Phase::Running {
            return;
        }
        let mut due: Vec<Kind> = self.introduction.iter().copied().collect();
        // Of those that go alone, another one each time.
        due.sort_by_key(|kind| self.doubt.tries(*kind));
        for kind in due {
            if !self.doubt.may_send(kind, self.is_quiet(), idle, now) {
                continue;
            }
            self.introduction.remove(&kind);
            match kind {
                Kind::Status => self.publish_presence(client, Presence::Online, Sent::Birth),
                Kind::Commands => self.subscribe_commands(client),
                _ => self.connect_home_assistant(self.new_session, client),
            }
        }
    }

    /// The broker was asked for something that is no message.
    pub(super) fn asked_for(&mut self, kind: Kind) {
        self.asked.push_back(kind);
        self.doubt.sent(kind);
    }

    /// It has answered to that, as it does in the order of asking.
    pub(super) fn answered_asked(&mut self) {
        let asked = self.asked.pop_front();
        self.doubt.answered(asked);
    }

    /// Takes in one packet; `false` if the join of events and packet ids is
    /// broken and a new client has to be made.
    pub(super) fn packet(&mut self, event: Event, client: &AsyncClient) -> bool {
        if matches!(event, Event::Incoming(_)) {
            let now = Instant::now();
            self.liveness.heard(now);
            self.good |= now.saturating_duration_since(self.up_since) >= RETRY_LAST;
        }
        match event {
            // QoS 0 has no packet id.
            Event::Outgoing(Outgoing::Publish(0)) => {}
            Event::Outgoing(Outgoing::Publish(id)) => match self.window.announced(id) {
                Announced::First => {}
                Announced::Repeated => {
                    self.status.resent.fetch_add(1, Relaxed);
                }
                Announced::Unknown => {
                    debug!("packet id {id} was announced for nothing that was handed over");
                    return false;
                }
            },
            Event::Incoming(Incoming::PubAck(ack)) => self.acknowledged(&ack, client),
            Event::Incoming(Incoming::Publish(publish)) if !self.is_home_assistant(&publish) => {
                self.command(&publish, client);
            }
            Event::Incoming(Incoming::SubAck(ack)) => {
                self.answered_asked();
                self.subscribed(&ack);
            }
            Event::Incoming(Incoming::UnsubAck(_)) => self.answered_asked(),
            Event::Incoming(Incoming::PingResp(_)) => self.doubt.answered(None),
            Event::Outgoing(Outgoing::Disconnect) => {
                if let Phase::Leaving(until) = &mut self.phase {
                    *until = Instant::now();
                }
            }
            _ => {}
        }
        true
    }

    /// A unit that nobody can command says so, and goes on.
    fn subscribed(&mut self, ack: &SubAck) {
        self.former.fetch(&self.settings);
        if let Some(why) = words::subscription_refusal(&ack.return_codes)
            && !std::mem::replace(&mut self.deaf, true)
        {
            warn!("broker {} {why}", self.settings.address);
        }
    }

    fn acknowledged(&mut self, ack: &PubAck, client: &AsyncClient) {
        let Some(Flying { sent, bytes }) = self.window.answered(ack.pkid) else {
            return debug!("acknowledgement of an unknown packet {}", ack.pkid);
        };
        self.liveness.answered(Instant::now());
        // A status is taken by every broker that hangs up right afterwards.
        self.good |= matches!(sent, Sent::Event { .. } | Sent::Copy(_) | Sent::Still(_) | Sent::Part);
        self.doubt.answered(sent.kind());
        self.status.in_flight.store(self.window.len() as u64, Relaxed);
        match (sent, ack.reason) {
            (Sent::Event { seq, age, class, at }, reason) => {
                self.event_answered((seq, bytes), (age, class), at, reason)
            }
            (Sent::Birth, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) => {}
            (Sent::Birth, reason) => self.trouble(format!("refuses the status message ({reason:?})")),
            (Sent::Health, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) => {}
            // That it refuses events is worse, and is to be read there.
            (Sent::Health, reason) if self.status.error().is_none() => {
                self.trouble(format!("refuses the health message ({reason:?})"));
            }
            (Sent::Health, _) => {}
            (Sent::Goodbye, _) => self.leave(client),
            (Sent::Copy(_), _) => self.commands.resent(),
            (Sent::Part, reason) => self.commands.streams.answered(reason == PubAckReason::Success),
            (Sent::Reply, _) => {}
            (Sent::HomeAssistant(word), reason) => self.home_assistant_answered(word, reason),
            (Sent::Still(still), reason) => self.still_answered(still, bytes, reason),
        }
    }

    fn event_answered(
        &mut self,
        (seq, bytes): (u64, u64),
        (age, class): (Age, Option<Class>),
        at: Instant,
        reason: PubAckReason,
    ) {
        let now = Instant::now();
        self.doubt.event_answered();
        if age == Age::Backlog {
            self.pace.answered(at, self.limits.window, now);
        }
        if let Some(took) = self.commits.age(seq, now) {
            self.status.acknowledged.record(took);
        }
        match reason {
            PubAckReason::Success => {
                self.status.delivered.fetch_add(1, Relaxed);
                self.accepted(Some((seq, class)), bytes);
                self.mark(seq, Delivery::Delivered);
            }
            PubAckReason::NoMatchingSubscribers => {
                self.status.unheard.fetch_add(1, Relaxed);
                self.accepted(Some((seq, class)), bytes);
                self.mark(seq, Delivery::Unheard);
            }
            refusal => self.event_answered_no((seq, class), bytes, refusal, now),
        }
    }

    pub(super) fn mark(&mut self, seq: u64, delivery: Delivery) {
        self.alerts.settled(seq);
        self.marks.push(Mark { seq, delivery, at: self.settings.clock.read().utc });
    }

    /// Tells the journal what was acknowledged; if `wait`, waits for the commit
    /// of this and of all that it was told before.
    pub(super) fn note_marks(&mut self, wait: bool) {
        self.mark_again = None;
        if self.marks.is_empty() && !wait {
            return;
        }
        let marks = std::mem::take(&mut self.marks);
        self.told.extend(marks.iter().map(|mark| mark.seq));
        if wait {
            if !self.journal.mark_and_wait(&self.log, marks, self.goodbye_time()) {
                warn!("the journal does not take the last acknowledgements; those events will be sent again");
            }
        } else if let Err(marks) = self.journal.try_mark(&self.log, marks) {
            self.told.truncate(self.told.len() - marks.len());
            self.marks = marks;
            self.mark_again = Some(Instant::now() + JOURNAL_RETRY);
        }
    }

    /// What the journal has written down need not be remembered here.
    pub(super) fn forget_written(&mut self) {
        let written = self.journal.status().marks_written();
        for _ in self.written..written {
            let Some(seq) = self.told.pop_front() else { break };
            self.lanes.settled(seq);
        }
        self.written = written;
    }

    /// What was in flight is forgotten here, and read again from the journal.
    pub(super) fn take_back_window(&mut self) {
        let mut resent = 0;
        for Flying { sent, .. } in self.window.take_all() {
            match sent {
                Sent::Event { seq, .. } => {
                    // One that waits goes on waiting.
                    if !self.unwanted.waits(seq) {
                        self.lanes.came_back(seq);
                    }
                    resent += 1;
                }
                Sent::Copy(seq) => self.commands.interrupted(seq),
                Sent::Still(still) => self.stills.came_back(still),
                Sent::HomeAssistant(_) => self.home_assistant.came_back(),
                Sent::Health | Sent::Birth | Sent::Goodbye | Sent::Reply | Sent::Part => {}
            }
        }
        self.commands.streams.interrupted();
        self.status.resent.fetch_add(resent, Relaxed);
        self.status.in_flight.store(0, Relaxed);
    }
}
