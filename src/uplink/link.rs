//! The link itself: one task that fills the window and polls the client
//! library.
//!
//! Life of an event here: read from the journal in order of numbers (each once;
//! `cursor` never goes back), `queue`, [`Window`], PUBACK, mark. When the broker
//! has lost the session, what was in the window returns to the front of the
//! queue; when it kept it, the library repeats the packets by itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, LastWill, PubAck, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::handle::{HealthFeed, UplinkSetup};
use super::messages::{Presence, Status, publish_packet_size};
use super::settings::LinkSettings;
use super::status::UplinkStatus;
use super::window::{Announced, Window};
use super::words;
use crate::clock::{Beat, boot_id, utc_now};
use crate::domain::{Backoff, jitter};
use crate::event::LogId;
use crate::journal::{Delivery, JournalHandle, JournalReader, Mark, Undelivered};

/// Rows read from the journal at once.
const BATCH: usize = 128;

/// Acknowledgements noted together, at most.
const MARKS_TOGETHER: usize = 64;

/// With so many acknowledgements that the journal does not take, no more is sent.
const MARKS_LIMIT: usize = 4096;

/// Places in the library's channel besides the window: status, health, goodbye.
const SPARE_PLACES: usize = 16;

/// Between two attempts to read the journal or to note acknowledgements.
const JOURNAL_RETRY: Duration = Duration::from_millis(500);

/// What is left for the goodbye when the time to deliver is over.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// First and longest pause before the broker is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Reading a batch or handling a packet that takes longer is stuck.
const WORK_DEADLINE: Duration = Duration::from_secs(30);

/// What was handed to the library.
enum Sent {
    Event(Undelivered),
    Birth,
    Goodbye,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Delivers what is left, until then.
    Draining(Instant),
    /// Has said goodbye, waits for its acknowledgement until then.
    Goodbye(Instant),
    /// Has sent DISCONNECT, waits for it to be written until then.
    Leaving(Instant),
}

/// What the present broker allows.
struct Limits {
    /// Events in flight.
    window: usize,
    /// Bytes of a packet.
    packet: u64,
    /// Whether the library's packet ids leave room to resume a session.
    resumable: bool,
}

enum Polled {
    Packet(Box<Event>),
    Failed(ConnectionError),
    /// A new client is needed.
    Renew,
    /// All is done.
    End,
}

pub(super) struct Link {
    settings: LinkSettings,
    journal: JournalHandle,
    status: Arc<UplinkStatus>,
    announce: bool,
    health: Option<HealthFeed>,
    beat: Beat,
    stop: watch::Receiver<Option<Instant>>,
    reader: Option<JournalReader>,
    log: LogId,
    generation: u64,
    /// All up to this number has been read from the journal.
    cursor: u64,
    queue: VecDeque<Undelivered>,
    window: Window<Sent>,
    limits: Limits,
    marks: Vec<Mark>,
    up: bool,
    phase: Phase,
    /// No event is sent before it: the broker refused one.
    held_until: Option<Instant>,
    refusals: Backoff,
    /// The journal is not asked before it: it did not answer.
    read_again: Option<Instant>,
    mark_again: Option<Instant>,
    health_due: Option<Instant>,
}

impl Link {
    pub fn new(setup: UplinkSetup, status: Arc<UplinkStatus>, stop: watch::Receiver<Option<Instant>>) -> Link {
        Link {
            limits: Limits { window: 1, packet: u64::from(setup.settings.max_packet), resumable: false },
            log: setup.journal.status().log(),
            generation: setup.journal.status().generation(),
            settings: setup.settings,
            journal: setup.journal,
            status,
            announce: setup.announce,
            health: setup.health,
            beat: setup.beat,
            stop,
            reader: None,
            cursor: 0,
            queue: VecDeque::new(),
            window: Window::default(),
            marks: Vec::new(),
            up: false,
            phase: Phase::Running,
            held_until: None,
            refusals: Backoff::new(RETRY_FIRST, RETRY_LAST),
            read_again: None,
            mark_again: None,
            health_due: None,
        }
    }

    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        loop {
            let places = usize::from(self.settings.window) + SPARE_PLACES;
            let (client, mut events) = AsyncClient::new(self.options(), places);
            loop {
                match self.poll(&client, &mut events).await {
                    Polled::Packet(event) => {
                        if let Event::Incoming(Incoming::ConnAck(ack)) = &*event {
                            backoff.reset();
                            self.connected(ack, &client);
                        } else if !self.packet(*event, &client) {
                            self.disconnected();
                            self.requeue_window();
                            break;
                        }
                    }
                    Polled::Renew => {
                        self.disconnected();
                        break;
                    }
                    Polled::Failed(e) => {
                        self.failed(&e);
                        let renew = !self.limits.resumable || library_is_confused(&e, &events);
                        if self.phase != Phase::Running || !self.rest(backoff.next(jitter())).await {
                            return self.note_marks(true);
                        }
                        if renew {
                            self.requeue_window();
                            break;
                        }
                        if let Some(will) = self.will() {
                            events.options.set_last_will(will);
                        }
                    }
                    Polled::End => return self.note_marks(true),
                }
                if events.state.events.is_empty() || self.marks.len() >= MARKS_TOGETHER {
                    self.note_marks(false);
                }
            }
        }
    }

    fn options(&self) -> MqttOptions {
        let mut options = self.settings.options(false);
        if let Some(will) = self.will() {
            options.set_last_will(will);
        }
        options
    }

    fn will(&self) -> Option<LastWill> {
        let topic = self.settings.topics.status();
        self.announce.then(|| LastWill::new(topic, self.presence(Presence::Offline), QoS::AtLeastOnce, true, None))
    }

    fn presence(&self, presence: Presence) -> String {
        let journal = self.journal.status();
        // `low` first: it must not be newer than `seq`.
        let low = journal.low();
        Status::json(presence, utc_now(), (&self.log, journal.last_seq(), low), boot_id())
    }

    /// Polls the library until it has something to say, meanwhile doing what
    /// is due. The poll is never cancelled: the library would lose packets.
    async fn poll(&mut self, client: &AsyncClient, events: &mut EventLoop) -> Polled {
        let poll = events.poll();
        tokio::pin!(poll);
        loop {
            if let Some(outcome) = self.advance(client) {
                return outcome;
            }
            let wake = self.next_wake();
            self.beat.waiting();
            let polled = tokio::select! {
                biased;
                polled = &mut poll => Some(polled),
                () = self.journal.committed() => None,
                // A sender that is gone means the same as a stop at once.
                _ = self.stop.changed(), if self.phase == Phase::Running => {
                    let deadline = self.stop.borrow().unwrap_or_else(Instant::now);
                    self.phase = Phase::Draining(deadline);
                    None
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => None,
            };
            self.beat.working(WORK_DEADLINE);
            match polled {
                Some(Ok(event)) => return Polled::Packet(Box::new(event)),
                Some(Err(e)) => return Polled::Failed(e),
                None => {}
            }
        }
    }

    /// Does everything that is due now; says so if that ends the polling.
    fn advance(&mut self, client: &AsyncClient) -> Option<Polled> {
        let now = Instant::now();
        if self.journal.status().generation() != self.generation {
            self.journal_replaced();
            return Some(Polled::Renew);
        }
        match self.phase {
            Phase::Goodbye(until) | Phase::Leaving(until) if now >= until => return Some(Polled::End),
            Phase::Draining(_) if !self.up => return Some(Polled::End),
            _ => {}
        }
        if self.mark_again.is_some_and(|at| now >= at) {
            self.note_marks(false);
        }
        if !self.up {
            return None;
        }
        if matches!(self.phase, Phase::Running | Phase::Draining(_)) {
            self.fill(client, now);
        }
        match self.phase {
            Phase::Running => self.publish_health(client, now),
            Phase::Draining(until) if now >= until || self.is_drained() => self.say_goodbye(client, now),
            _ => {}
        }
        None
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = match self.phase {
            Phase::Running => None,
            Phase::Draining(at) | Phase::Goodbye(at) | Phase::Leaving(at) => Some(at),
        };
        let while_up = [self.held_until, self.read_again, self.health_due].into_iter().flatten().filter(|_| self.up);
        while_up.chain(self.mark_again).chain(deadline).min()
    }

    /// Hands over events while there are some and the window has room.
    fn fill(&mut self, client: &AsyncClient, now: Instant) {
        if self.held_until.is_some_and(|at| now < at) || self.marks.len() >= MARKS_LIMIT {
            return;
        }
        self.held_until = None;
        while self.window.len() < self.limits.window {
            if self.queue.is_empty() {
                self.read_more(now);
            }
            let Some(row) = self.queue.pop_front() else { break };
            let topic = self.settings.topics.event(&row.kind);
            let size = publish_packet_size(&topic, &row.json);
            if size > self.limits.packet {
                self.set_aside(&row, size);
                continue;
            }
            if client.try_publish(topic, QoS::AtLeastOnce, false, row.json.clone()).is_err() {
                // The channel is larger than the window, so this cannot be.
                self.queue.push_front(row);
                break;
            }
            self.window.handed_over(Sent::Event(row));
        }
        self.status.in_flight.store(self.window.len() as u64, Relaxed);
    }

    fn read_more(&mut self, now: Instant) {
        // Asked before the rows: what is committed meanwhile is read next time.
        let last = self.journal.status().last_seq();
        if self.cursor >= last || self.read_again.is_some_and(|at| now < at) {
            return;
        }
        self.read_again = None;
        let rows = match &self.reader {
            Some(reader) => reader.undelivered(self.cursor, BATCH),
            None => JournalReader::open(self.journal.path()).and_then(|reader| {
                let rows = reader.undelivered(self.cursor, BATCH);
                self.reader = Some(reader);
                rows
            }),
        };
        match rows {
            Ok(rows) => {
                let read = rows.last().map_or(self.cursor, |row| row.seq);
                self.cursor = if rows.len() < BATCH { read.max(last) } else { read };
                self.queue.extend(rows);
            }
            Err(e) => {
                self.reader = None;
                self.read_again = Some(now + JOURNAL_RETRY);
                self.trouble(format!("cannot read what to send: {e}"));
            }
        }
    }

    fn set_aside(&mut self, row: &Undelivered, size: u64) {
        let (seq, limit) = (row.seq, self.limits.packet);
        warn!("event {seq} ({size} bytes) is too large for the broker ({limit}); it stays in the journal, unsent");
        self.status.set_aside.fetch_add(1, Relaxed);
        self.mark(seq, Delivery::SetAside);
        self.mark_again.get_or_insert_with(Instant::now);
    }

    fn mark(&mut self, seq: u64, delivery: Delivery) {
        self.marks.push(Mark { seq, delivery, at: utc_now() });
    }

    /// Tells the journal what was acknowledged; if `wait`, waits for the commit
    /// of this and of all that it was told before.
    fn note_marks(&mut self, wait: bool) {
        self.mark_again = None;
        if self.marks.is_empty() && !wait {
            return;
        }
        let marks = std::mem::take(&mut self.marks);
        if wait {
            if !self.journal.mark_and_wait(&self.log, marks, GOODBYE_TIME) {
                warn!("the journal does not take the last acknowledgements; those events will be sent again");
            }
        } else if let Err(marks) = self.journal.try_mark(&self.log, marks) {
            self.marks = marks;
            self.mark_again = Some(Instant::now() + JOURNAL_RETRY);
        }
    }

    fn connected(&mut self, ack: &ConnAck, client: &AsyncClient) {
        let properties = ack.properties.as_ref();
        let broker_packet = properties.and_then(|p| p.max_packet_size).unwrap_or(u32::MAX);
        let ids = properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX).min(self.settings.inflight_limit());
        // Packet ids go round at `ids`: at half of it, minus a few for status
        // messages, an id is never needed again before it was acknowledged.
        let window = usize::from(ids / 2).saturating_sub(4).max(1).min(usize::from(self.settings.window));
        self.limits = Limits {
            window,
            packet: u64::from(broker_packet.min(self.settings.max_packet)),
            resumable: usize::from(ids) >= 2 * (window + 4),
        };
        if !ack.session_present {
            self.requeue_window();
        }
        self.up = true;
        self.held_until = None;
        self.status.connected.store(true, Relaxed);
        self.status.connections.fetch_add(1, Relaxed);
        self.status.trouble(None);
        info!("connected to {}", self.settings.address);
        if self.announce {
            self.publish_presence(client, Presence::Online, Sent::Birth);
        }
        self.health_due = self.health.as_ref().map(|_| Instant::now());
    }

    fn publish_presence(&mut self, client: &AsyncClient, presence: Presence, sent: Sent) {
        let topic = self.settings.topics.status();
        if client.try_publish(topic, QoS::AtLeastOnce, true, self.presence(presence)).is_ok() {
            self.window.handed_over(sent);
        }
    }

    fn publish_health(&mut self, client: &AsyncClient, now: Instant) {
        let (Some(feed), Some(due)) = (&self.health, self.health_due) else { return };
        if now < due {
            return;
        }
        let (topic, text) = (self.settings.topics.health(), (feed.render)());
        self.health_due = Some(now + feed.interval);
        if publish_packet_size(&topic, &text) <= self.limits.packet {
            // QoS 0: a full channel only means that this one is left out.
            let _ = client.try_publish(topic, QoS::AtMostOnce, true, text);
        }
    }

    /// Takes in one packet; `false` if the join of events and packet ids is
    /// broken and a new client has to be made.
    fn packet(&mut self, event: Event, client: &AsyncClient) -> bool {
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
            Event::Outgoing(Outgoing::Disconnect) => {
                if let Phase::Leaving(until) = &mut self.phase {
                    *until = Instant::now();
                }
            }
            _ => {}
        }
        true
    }

    fn acknowledged(&mut self, ack: &PubAck, client: &AsyncClient) {
        let sent = self.window.answered(ack.pkid);
        self.status.in_flight.store(self.window.len() as u64, Relaxed);
        match (sent, ack.reason) {
            (Some(Sent::Event(row)), PubAckReason::Success) => {
                self.status.delivered.fetch_add(1, Relaxed);
                self.refusals.reset();
                self.mark(row.seq, Delivery::Delivered);
            }
            (Some(Sent::Event(row)), PubAckReason::NoMatchingSubscribers) => {
                self.status.unheard.fetch_add(1, Relaxed);
                self.refusals.reset();
                self.mark(row.seq, Delivery::Unheard);
            }
            (Some(Sent::Event(row)), reason) => {
                self.status.refused.fetch_add(1, Relaxed);
                self.trouble(words::event_refusal(reason));
                self.queue.push_back(row);
                if self.held_until.is_none() {
                    self.held_until = Some(Instant::now() + self.refusals.next(jitter()));
                }
            }
            (Some(Sent::Birth), PubAckReason::Success | PubAckReason::NoMatchingSubscribers) => {}
            (Some(Sent::Birth), reason) => self.trouble(format!("refuses the status message ({reason:?})")),
            (Some(Sent::Goodbye), _) => self.leave(client),
            (None, _) => debug!("acknowledgement of an unknown packet {}", ack.pkid),
        }
    }

    fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.window.len() == 0 && self.cursor >= self.journal.status().last_seq()
    }

    fn say_goodbye(&mut self, client: &AsyncClient, now: Instant) {
        // So that `low` is the last word.
        self.note_marks(true);
        if self.announce {
            self.phase = Phase::Goodbye(now + GOODBYE_TIME);
            self.publish_presence(client, Presence::Offline, Sent::Goodbye);
        } else {
            self.leave(client);
        }
    }

    fn leave(&mut self, client: &AsyncClient) {
        self.phase = Phase::Leaving(Instant::now() + GOODBYE_TIME);
        let _ = client.try_disconnect();
    }

    fn disconnected(&mut self) {
        self.up = false;
        self.status.connected.store(false, Relaxed);
    }

    fn failed(&mut self, e: &ConnectionError) {
        self.disconnected();
        if matches!(self.phase, Phase::Leaving(_)) {
            return;
        }
        self.status.failures.fetch_add(1, Relaxed);
        self.trouble(words::connection(e));
    }

    /// Logs `why` when it is news.
    fn trouble(&self, why: String) {
        let text = format!("broker {} {why}", self.settings.address);
        if self.status.trouble(Some(why)) {
            warn!("{text}; events wait in the journal, trying again");
        }
    }

    /// Waits before the next attempt; `false` when stopped meanwhile.
    async fn rest(&mut self, pause: Duration) -> bool {
        self.beat.waiting();
        self.note_marks(false);
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            _ = self.stop.changed() => false,
        }
    }

    /// What was in flight goes back to the front of the queue, in order.
    fn requeue_window(&mut self) {
        let mut rows: Vec<Undelivered> = self
            .window
            .take_all()
            .filter_map(|sent| if let Sent::Event(row) = sent { Some(row) } else { None })
            .collect();
        self.status.resent.fetch_add(rows.len() as u64, Relaxed);
        rows.sort_by_key(|row| std::cmp::Reverse(row.seq));
        rows.into_iter().for_each(|row| self.queue.push_front(row));
        self.status.in_flight.store(0, Relaxed);
    }

    /// A damaged journal was replaced while running: its numbers mean nothing
    /// any more.
    fn journal_replaced(&mut self) {
        self.generation = self.journal.status().generation();
        self.log = self.journal.status().log();
        self.reader = None;
        self.cursor = 0;
        self.queue.clear();
        self.marks.clear();
        self.window.take_all().for_each(drop);
    }
}

/// Errors after which the library's own state cannot be resumed: a publish that
/// it holds back (it would forget it), a packet id out of range or answered
/// twice, a packet that can never be sent.
fn library_is_confused(e: &ConnectionError, events: &EventLoop) -> bool {
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
