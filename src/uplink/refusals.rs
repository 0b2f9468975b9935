//! What the link does about messages that the broker refuses: events as `unwanted.rs`
//! decides, the others are tried again later by whoever sends them.

use std::sync::atomic::Ordering::Relaxed;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::doubt::Kind;
use super::failures::{Blame, blame};
use super::link::{Flying, Link, Sent};
use super::unwanted::{Refusal, is_doubtful};
use super::wire::Wire;
use super::words;
use crate::domain::jitter;
use crate::event::Class;

fn bytes(flying: &Flying) -> u64 {
    flying.bytes
}

impl Link {
    /// The connection has ended; whether that may be for the sake of a message, which the
    /// library must not repeat.
    pub(super) fn blame(&mut self, e: &ConnectionError, wire: &mut Wire, client: &AsyncClient) -> bool {
        // What came before it has been read and not been told.
        for event in std::mem::take(&mut wire.state.events) {
            match event {
                Event::Outgoing(Outgoing::Publish(1..)) | Event::Incoming(Incoming::PubAck(_)) => {
                    self.packet(event, client);
                }
                other => wire.state.events.push_back(other),
            }
        }
        for _ in 0..wire.take_late() {
            self.answered_asked();
        }
        let Some(blame) = blame(e) else { return false };
        let largest_is_small = self.window.largest(bytes, is_doubtful).is_none_or(|(one, _)| !is_doubtful(one.bytes));
        let (flying, refusal) = match blame {
            Blame::First(refusal) => (self.window.take_oldest(), refusal),
            // Every broker has to take that size: it was something else.
            Blame::Largest if largest_is_small => return self.ended_without_a_word(),
            Blame::Largest => (self.window.take_largest(bytes), Refusal::CutForSize),
            Blame::Nothing => return self.ended_without_a_word(),
        };
        if let Some(flying) = flying {
            self.cut_by(flying, refusal);
        }
        true
    }

    /// Perhaps something on the wire is to blame (`doubt.rs`), by its size or otherwise; whether
    /// so. It is taken back with the others; if it waits now, it goes on waiting.
    fn ended_without_a_word(&mut self) -> bool {
        let now = Instant::now();
        let on_wire = || self.window.on_wire().map(|flying| &flying.sent);
        let kinds = on_wire().filter_map(Sent::kind).chain(self.asked.iter().copied()).collect();
        let events = on_wire().filter(|sent| matches!(sent, Sent::Event { .. })).count();
        let is_only_one = on_wire().count() + self.asked.len() == 1;
        let was_careful = self.doubt.is_careful();
        let changed = self.doubt.ended(&kinds, events, now);
        self.tell_held(changed.held);
        // The others are not doubted for their size.
        let size = |flying: &Flying| if flying.sent.kind().is_some() { 0 } else { flying.bytes };
        let Some((flying, alone)) = self.window.largest(size, is_doubtful) else { return changed.doubtful };
        let seq = if let Sent::Event { seq, .. } = flying.sent { Some(seq) } else { None };
        if is_doubtful(size(flying)) {
            let room = self.unwanted.ended(seq, flying.bytes, alone, now);
            // This connection makes up for no earlier failure.
            self.good = false;
            self.release(room, now);
            self.tell_waiting();
            return true;
        }
        if is_only_one
            && seq.is_some_and(|seq| was_careful || self.unwanted.waits(seq))
            && let Some(flying) = self.window.take_oldest()
        {
            self.cut_by(flying, Refusal::Cut);
            return true;
        }
        self.good &= !changed.doubtful;
        changed.doubtful
    }

    /// The unit goes on without it for a while.
    fn tell_held(&self, held: Option<Kind>) {
        if let Some(kind) = held {
            let (broker, kind) = (&self.settings.address, kind.name());
            warn!("broker {broker} hangs up on {kind}: this unit goes on without, and tries it again now and then");
        }
    }

    /// The connection ended because of that one.
    fn cut_by(&mut self, flying: Flying, refusal: Refusal) {
        let (bytes, now) = (flying.bytes, Instant::now());
        self.status.refused.fetch_add(1, Relaxed);
        if refusal == Refusal::CutForSize {
            self.unwanted.cut_for_size(bytes, now);
        }
        if let Some(kind) = flying.sent.kind() {
            let held = self.doubt.blamed(kind, refusal == Refusal::CutForSize, now);
            self.tell_held(held);
        }
        match flying.sent {
            Sent::Event { seq, class, .. } => self.event_refused((seq, class), bytes, refusal, now),
            // Whoever asked for it asks again.
            Sent::Copy(_) => self.commands.resent(),
            Sent::Still(still) => self.still_refused(still, refusal, now),
            // Told again in a later session.
            Sent::HomeAssistant(_) => self.home_assistant.came_back(),
            Sent::Health | Sent::Reply | Sent::Part | Sent::Birth | Sent::Goodbye => {}
        }
        if self.unwanted.is_failing() {
            // It takes nothing: this connection makes up for no earlier failure.
            self.good = false;
        }
    }

    /// The broker answered that it does not take event `seq`.
    pub(super) fn event_answered_no(
        &mut self,
        (seq, class): (u64, Option<Class>),
        bytes: u64,
        reason: PubAckReason,
        now: Instant,
    ) {
        self.status.refused.fetch_add(1, Relaxed);
        let waited = self.unwanted.waits(seq);
        self.event_refused((seq, class), bytes, Refusal::Answer(reason), now);
        if waited && self.unwanted.waits(seq) {
            return;
        }
        self.trouble(words::event_refusal(reason));
        if self.held_until.is_none() {
            self.held_until = Some(now + self.refusals.next(jitter()));
        }
    }

    fn event_refused(&mut self, (seq, class): (u64, Option<Class>), bytes: u64, refusal: Refusal, now: Instant) {
        self.unwanted.refused_class(class);
        let room = self.unwanted.refused(seq, bytes, refusal, now);
        self.release(room, now);
        self.tell_waiting();
    }

    /// Those are sent like any other event.
    pub(super) fn release(&mut self, events: impl IntoIterator<Item = u64>, now: Instant) {
        let mut some = false;
        for seq in events {
            self.lanes.came_back(seq);
            some = true;
        }
        if some {
            // They are read again when the pause is over.
            self.held_until.get_or_insert(now);
        }
    }

    /// The broker took a message, event `seq` if that is one.
    pub(super) fn accepted(&mut self, event: Option<(u64, Option<Class>)>, bytes: u64) {
        let now = Instant::now();
        let failing = self.unwanted.is_failing();
        let seq = event.map(|(seq, _)| seq);
        if let Some((_, class)) = event {
            self.unwanted.took_class(class);
        }
        let released = self.unwanted.taken(seq, bytes);
        if seq.is_some() {
            self.refusals.reset();
        }
        if failing && !self.unwanted.is_failing() {
            self.status.trouble(None);
            info!("broker {} takes events again", self.settings.address);
            // What is held need not be any more.
            self.held_until = self.held_until.map(|at| at.min(now));
        }
        self.release(released, now);
        self.tell_waiting();
    }

    /// Whether nothing else is left to be sent: the turn of what the broker did not take.
    pub(super) fn may_try(&self) -> bool {
        self.may_try_alerts() && self.lanes.are_empty(self.journal.status().last_seq())
    }

    /// The same where nothing but alerts may be sent.
    pub(super) fn may_try_alerts(&self) -> bool {
        self.window.len() == 0 && self.held_until.is_none() && self.read_again.is_none()
    }

    /// Says what waits, for the first of them in the log too.
    pub(super) fn tell_waiting(&self) {
        let summary = self.unwanted.summary();
        let Some((first, waiting)) = self.status.set_waiting(summary) else { return };
        let broker = &self.settings.address;
        if first {
            warn!(
                "broker {broker} does not take event {}: {}; it waits in the journal and is tried again, the others go on",
                waiting.seq, waiting.why
            );
        } else {
            debug!("{} events wait because broker {broker} does not take them", waiting.n);
        }
    }
}
