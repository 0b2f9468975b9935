//! What goes to the broker: events, as many as the window takes, and the
//! unit's own messages.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::doubt::Kind;
use super::lanes::{Age, BATCH, Wanted};
use super::link::{Flying, JOURNAL_RETRY, Link, Phase, SPARE_IDS, Sent};
use super::messages::{MESSAGE_EXPIRY_BYTES, Presence, publish_packet_size};
use crate::config::EventFormat;
use crate::event::{Class, to_cbor};
use crate::journal::{Delivery, JournalError, JournalReader, Note, StoredEvent, Undelivered};

/// With so many acknowledgements that the journal does not take, no more is sent.
pub(super) const MARKS_LIMIT: usize = 4096;

/// Where the journal remembers what was sent today.
const BUDGET_NOTE: &str = "uplink/budget";

/// A health message that is older than so many intervals says nothing: the
/// broker forgets it.
const HEALTH_EXPIRY: u32 = 3;

impl Link {
    /// Hands over events while there are some and the window has room.
    pub(super) fn fill(&mut self, client: &AsyncClient, now: Instant) {
        let retry_later = |at: Option<Instant>| at.is_some_and(|at| now < at);
        if self.doubt.is_alone()
            || retry_later(self.held_until)
            || retry_later(self.read_again)
            || self.marks.len() >= MARKS_LIMIT
        {
            return;
        }
        if self.held_until.take().is_some() {
            // What was refused is read again.
            self.lanes.restart(self.recent.boundary());
        }
        self.read_again = None;
        if self.budget.is_limited() {
            self.budget.time(self.utc(), now);
        }
        while self.takes_events() {
            let Some((row, age)) = self.next_event(now) else { break };
            let stored = StoredEvent { seq: row.seq, kind: row.kind, json: row.json };
            if !self.send_event(stored, age, Some(row.class), client, now) {
                break;
            }
        }
        // Without bytes for anything else, alerts are all that there is to send.
        let alerts_only = !self.budget.is_left() && self.may_try_alerts();
        if self.may_try() || alerts_only {
            self.try_what_waits(client, now);
        }
        self.status.in_flight.store(self.window.len() as u64, Relaxed);
    }

    /// Whether there is room for an event. A broker that takes nothing is asked with one at a
    /// time.
    pub(super) fn takes_events(&self) -> bool {
        self.has_room() && (self.window.len() == 0 || !self.unwanted.is_failing())
    }

    /// Hands over an event, or finds out that it cannot be sent now; without a `class` it
    /// is a trial: whether the broker takes it after all. `false` if nothing can be handed over.
    fn send_event(
        &mut self,
        row: StoredEvent,
        age: Age,
        class: Option<Class>,
        client: &AsyncClient,
        now: Instant,
    ) -> bool {
        let seq = row.seq;
        let topic = self.settings.topics.event(&row.kind);
        let payload = self.payload(seq, &row.json);
        let size = publish_packet_size(&topic, payload.len());
        if size > u64::from(self.settings.max_packet) {
            warn!("event {seq} ({size} bytes) is larger than uplink.max_packet ({})", self.settings.max_packet);
            self.set_aside(seq);
            return true;
        }
        if !is_json(&row.json) {
            warn!("event {seq} was damaged on the disk");
            self.set_aside(seq);
            return true;
        }
        if class.is_some() && !self.unwanted.fits(size) {
            self.unwanted.too_large(seq, size);
            self.tell_waiting();
            return true;
        }
        if client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_err() {
            // The channel is larger than the window, so this cannot be.
            if !self.unwanted.waits(seq) {
                self.lanes.came_back(seq);
            }
            self.held_until = Some(now + JOURNAL_RETRY);
            return false;
        }
        if age == Age::Backlog {
            self.pace.sent();
        }
        self.handed_over(Sent::Event { seq, age, class, at: now }, size);
        true
    }

    /// All others are delivered: the turn of those that the broker did not take.
    fn try_what_waits(&mut self, client: &AsyncClient, now: Instant) {
        let suspects = self.unwanted.nothing_else(now);
        if !suspects.is_empty() {
            return self.release(suspects, now);
        }
        // Suspects are sent like any other, alerts among them; trials cost bytes.
        if !self.budget.is_left() {
            return;
        }
        let Some(seq) = self.unwanted.trial(now) else { return };
        match self.stored(seq) {
            Ok(Some(row)) => {
                debug!("trying event {seq}, which the broker did not take, once more");
                self.send_event(row, Age::Live, None, client, now);
            }
            // It had to make room.
            Ok(None) => {
                self.unwanted.forget(seq);
                self.lanes.settled(seq);
                self.tell_waiting();
            }
            Err(e) => self.unreadable(&e, now),
        }
    }

    fn stored(&mut self, seq: u64) -> Result<Option<StoredEvent>, JournalError> {
        let reader = open_reader(&mut self.reader, self.journal.path())?;
        Ok(reader.events_between(seq, seq, 1)?.pop())
    }

    /// The event as it goes over the wire.
    pub(super) fn payload(&self, seq: u64, text: &str) -> Vec<u8> {
        let json = || text.as_bytes().to_vec();
        match self.settings.format {
            EventFormat::Json => json(),
            // What is stored was written by `Event::to_json`, so this succeeds; a
            // receiver tells the two apart by the first byte.
            EventFormat::Cbor => to_cbor(text).unwrap_or_else(|e| {
                warn!("event {seq} goes as JSON: {e}");
                json()
            }),
        }
    }

    fn next_event(&mut self, now: Instant) -> Option<(Undelivered, Age)> {
        let last = self.journal.status().last_seq();
        let backlog = self.pace.allows(self.limits.window, now);
        let affordable = self.budget.is_left();
        let (reader, path) = (&mut self.reader, self.journal.path());
        let allowed = |age, class| (age == Age::Live || backlog) && (class == Class::Alert || affordable);
        let unwanted = &self.unwanted;
        // What is refused is to be in the way of nothing else.
        let preferred = |age, class| allowed(age, class) && !unwanted.is_refused(class);
        let mut next = self.lanes.next(last, preferred, |wanted| read_rows(reader, path, wanted));
        if matches!(next, Ok(None)) && unwanted.is_failing() {
            next = self.lanes.next(last, allowed, |wanted| read_rows(reader, path, wanted));
        }
        next.unwrap_or_else(|e| {
            self.unreadable(&e, now);
            None
        })
    }

    /// Whether an alert waits that brings the link up.
    pub(super) fn alert_waits(&mut self, now: Instant) -> bool {
        if self.read_again.is_some_and(|at| now < at) {
            return false;
        }
        let last = self.journal.status().last_seq();
        let (reader, path) = (&mut self.reader, self.journal.path());
        self.alerts.look(last, |wanted| read_rows(reader, path, wanted)).unwrap_or_else(|e| {
            self.unreadable(&e, now);
            false
        })
    }

    fn unreadable(&mut self, e: &JournalError, now: Instant) {
        self.reader = None;
        self.journal.suspect(e);
        self.read_again = Some(now + JOURNAL_RETRY);
        self.trouble(format!("cannot read what to send: {e}"));
    }

    /// A message of so many bytes that the broker has to acknowledge was given to
    /// the library.
    pub(super) fn handed_over(&mut self, sent: Sent, bytes: u64) {
        if self.window.len() == 0 {
            // Until now there was nothing to acknowledge.
            self.liveness.answered(Instant::now());
        }
        if let Some(kind) = sent.kind() {
            self.doubt.sent(kind);
        }
        self.window.handed_over(Flying { sent, bytes });
        self.spend(bytes);
    }

    /// Whether there is a packet id for a message that is no event.
    pub(super) fn has_spare_id(&self) -> bool {
        // The last one is for the goodbye.
        self.window.len() < self.limits.window + SPARE_IDS - 1
    }

    /// Whether there is room for one more, besides what the spare packet ids are for.
    pub(super) fn has_room(&self) -> bool {
        !self.doubt.is_alone() && self.window.len() < self.doubt.reach(self.limits.window)
    }

    /// Whether nothing is under way that the broker has to answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.window.len() == 0 && self.asked.is_empty()
    }

    /// Whether a message of that kind may go now, which is no event.
    pub(super) fn may_say(&self, kind: Kind, now: Instant) -> bool {
        self.has_spare_id() && self.doubt.may_send(kind, self.is_quiet(), true, now)
    }

    /// So many bytes were handed over.
    fn spend(&mut self, bytes: u64) {
        self.budget.spend(bytes);
        self.note_budget(false);
        self.status.sent_bytes.fetch_add(bytes, Relaxed);
        self.status.today_bytes.store(self.budget.spent(), Relaxed);
    }

    /// Into the journal, when it is time, or at the `end`.
    pub(super) fn note_budget(&mut self, end: bool) {
        if let Some(value) = self.budget.note(end) {
            // When the journal is busy the next one will do.
            let _ = self.journal.try_note(Note { key: BUDGET_NOTE.to_owned(), value: Some(value) });
        }
    }

    /// What an earlier run of today has sent.
    pub(super) fn remember_budget(&mut self) {
        if !self.budget.is_limited() {
            return;
        }
        match JournalReader::open(self.journal.path()).and_then(|reader| reader.notes(BUDGET_NOTE)) {
            Ok(notes) => notes.iter().for_each(|(_, note)| self.budget.remember(note)),
            Err(e) => warn!("what was sent today so far is not known: {e}"),
        }
    }

    /// It stays in the journal, unsent; a `lost` event says so. Never for anything that a
    /// broker says.
    fn set_aside(&mut self, seq: u64) {
        self.unwanted.forget(seq);
        self.status.set_aside.fetch_add(1, Relaxed);
        self.mark(seq, Delivery::SetAside);
        self.mark_again.get_or_insert_with(Instant::now);
    }

    pub(super) fn publish_presence(&mut self, client: &AsyncClient, presence: Presence, sent: Sent) {
        let (topic, text) = (self.settings.topics.status(), self.presence(presence));
        let size = publish_packet_size(&topic, text.len());
        if client.try_publish(topic, QoS::AtLeastOnce, true, text).is_ok() {
            self.handed_over(sent, size);
        }
    }

    pub(super) fn publish_health(&mut self, client: &AsyncClient, now: Instant) {
        let (Some(feed), Some(due)) = (&self.health, self.health_due) else { return };
        if now < due || !self.doubt.may_send(Kind::Health, self.is_quiet(), true, now) {
            return;
        }
        self.health_due = Some(now + feed.interval);
        // One at a time: the next one says more.
        let one_is_under_way = self.window.any(|flying| matches!(flying.sent, Sent::Health));
        if one_is_under_way || !self.budget.is_left() || !self.has_spare_id() {
            return;
        }
        let (topic, text) = (self.settings.topics.health(), (feed.render)());
        let expiry = u32::try_from((feed.interval * HEALTH_EXPIRY).as_secs()).unwrap_or(u32::MAX).max(60);
        let size = publish_packet_size(&topic, text.len()) + MESSAGE_EXPIRY_BYTES;
        if size <= self.unwanted.room(now) {
            let properties = PublishProperties { message_expiry_interval: Some(expiry), ..Default::default() };
            // A full channel only means that this one is left out.
            if client.try_publish_with_properties(topic, QoS::AtLeastOnce, true, text, properties).is_ok() {
                self.handed_over(Sent::Health, size);
            }
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        let events = self.window.len() == 0 && self.lanes.are_empty(self.journal.status().last_seq());
        events && !self.stills_wait()
    }

    /// As `presence` says: for good, or until there is a reason to come back.
    pub(super) fn say_goodbye(&mut self, client: &AsyncClient, presence: Presence) {
        // So that `low` is the last word.
        self.note_marks(true);
        if self.announce {
            self.phase = Phase::Goodbye(Instant::now() + self.goodbye_time());
            self.publish_presence(client, presence, Sent::Goodbye);
        } else {
            self.leave(client);
        }
    }

    pub(super) fn leave(&mut self, client: &AsyncClient) {
        self.phase = Phase::Leaving(Instant::now() + self.goodbye_time());
        let _ = client.try_disconnect();
    }
}

/// Whether a receiver can read it.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn read_rows(
    reader: &mut Option<JournalReader>,
    path: &Path,
    wanted: Wanted,
) -> Result<Vec<Undelivered>, JournalError> {
    open_reader(reader, path)?.undelivered(wanted.class, wanted.after, wanted.to, BATCH)
}

fn open_reader<'r>(reader: &'r mut Option<JournalReader>, path: &Path) -> Result<&'r mut JournalReader, JournalError> {
    Ok(match reader {
        Some(reader) => reader,
        None => reader.insert(JournalReader::open(path)?),
    })
}
