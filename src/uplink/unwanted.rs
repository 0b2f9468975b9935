//! Messages that the broker does not want: refused again and again, they are set
//! aside, so that they neither come back for ever nor hold up the others.
//!
//! A broker says so in a PUBACK. Some use a reason that MQTT 5 does not allow there
//! (mosquitto 2.0 with `message_size_limit`: 0x95, packet too large); the client
//! library cannot read that, and the connection ends with it. Brokers answer in the
//! order of arrival, so it was about the oldest message on the wire.
//!
//! What counts against a message is what is said about it. A login without rights
//! and a quota are no fault of any message; and a broker that fails without saying why
//! has to have taken another message since, or else it takes none at present.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming};
use tracing::warn;

use super::announce::Word;
use super::link::{Link, Sent};
use crate::evidence::StillKey;

/// Refusals after which a message is set aside.
const REFUSALS: u32 = 3;

/// Messages remembered; of more than the largest window nothing is known.
const PLACES: usize = 1024;

/// What may come back after it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Event(u64),
    /// An event, sent again by a `resend`.
    Copy(u64),
    Still(StillKey),
    HomeAssistant,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The message's own.
    Message,
    /// The message's, if the broker takes others.
    Perhaps,
    /// Not the message's.
    Broker,
}

impl Fault {
    fn of(reason: PubAckReason) -> Fault {
        use PubAckReason as R;
        match reason {
            R::PayloadFormatInvalid | R::TopicNameInvalid => Fault::Message,
            R::NotAuthorized | R::QuotaExceeded => Fault::Broker,
            _ => Fault::Perhaps,
        }
    }
}

#[derive(Debug)]
struct Count {
    which: Which,
    refusals: u32,
    /// Messages that the broker had taken at the last one.
    taken: u64,
}

/// What was refused, and how often. Pure.
#[derive(Debug, Default)]
pub(super) struct Unwanted {
    counts: VecDeque<Count>,
    taken: u64,
}

impl Unwanted {
    /// The broker took a message.
    pub fn taken(&mut self, which: Option<Which>) {
        self.taken += 1;
        if let Some(which) = which {
            self.counts.retain(|count| count.which != which);
        }
    }

    /// It refused one; whether it is to be set aside.
    fn refused(&mut self, which: Which, fault: Fault) -> bool {
        if fault == Fault::Broker {
            return false;
        }
        let taken = self.taken;
        let Some(at) = self.counts.iter().position(|count| count.which == which) else {
            if self.counts.len() >= PLACES {
                self.counts.pop_front();
            }
            self.counts.push_back(Count { which, refusals: 1, taken });
            return false;
        };
        let Some(count) = self.counts.get_mut(at) else { return false };
        if fault == Fault::Message || count.taken < taken {
            count.refusals += 1;
            count.taken = taken;
        }
        let enough = count.refusals >= REFUSALS;
        if enough {
            self.counts.remove(at);
        }
        enough
    }

    /// The same for what a PUBACK says.
    pub fn refused_for(&mut self, which: Which, reason: PubAckReason) -> bool {
        self.refused(which, Fault::of(reason))
    }
}

impl Link {
    /// The connection ended with a PUBACK that the library cannot read.
    pub(super) fn answered_unreadably(&mut self, events: &mut EventLoop, client: &AsyncClient) {
        // What came before it has been read and not been told.
        for event in events.state.events.drain(..) {
            match event {
                Event::Outgoing(Outgoing::Publish(1..)) | Event::Incoming(Incoming::PubAck(_)) => {
                    self.packet(event, client);
                }
                _ => {}
            }
        }
        let which = match self.window.oldest() {
            Some(Sent::Event { seq, .. }) => Which::Event(*seq),
            Some(Sent::Copy(seq)) => Which::Copy(*seq),
            Some(Sent::Still(still)) => Which::Still(*still),
            Some(Sent::HomeAssistant(Word::Here)) => Which::HomeAssistant,
            // The rest is small, or not sent again.
            _ => return,
        };
        self.status.refused.fetch_add(1, Relaxed);
        if self.unwanted.refused(which, Fault::Message) {
            self.window.take_oldest();
            self.give_up(which);
        }
    }

    /// It is not sent again.
    pub(super) fn give_up(&mut self, which: Which) {
        let broker = &self.settings.address;
        match which {
            Which::Event(seq) => {
                warn!("broker {broker} refuses event {seq} again and again; it is set aside");
                self.set_aside(seq);
            }
            Which::Copy(seq) => {
                warn!("broker {broker} refuses event {seq}, which it was to get again; it is left out");
                self.commands.resent();
            }
            Which::Still(still) => {
                warn!("broker {broker} refuses a still again and again; it stays on the unit");
                self.still_set_aside(still);
            }
            Which::HomeAssistant => {
                warn!("broker {broker} refuses the message for Home Assistant again and again");
                self.home_assistant.refused();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Which = Which::Event(7);

    fn after(refusals: usize, reason: PubAckReason, others_between: bool) -> bool {
        let mut unwanted = Unwanted::default();
        let mut set_aside = false;
        for _ in 0..refusals {
            assert!(!set_aside, "once is enough");
            set_aside = unwanted.refused_for(ONE, reason);
            if others_between {
                unwanted.taken(Some(Which::Event(8)));
            }
        }
        set_aside
    }

    #[test]
    fn what_is_refused_three_times_for_its_own_sake_is_set_aside() {
        for (reason, alone, among_others) in [
            (PubAckReason::PayloadFormatInvalid, true, true),
            (PubAckReason::ImplementationSpecificError, false, true),
            (PubAckReason::UnspecifiedError, false, true),
            (PubAckReason::NotAuthorized, false, false),
            (PubAckReason::QuotaExceeded, false, false),
        ] {
            assert!(!after(2, reason, true), "{reason:?}");
            assert_eq!((after(3, reason, false), after(3, reason, true)), (alone, among_others), "{reason:?}");
        }
    }

    #[test]
    fn what_is_taken_after_all_begins_anew_and_no_more_is_remembered_than_has_room() {
        let mut unwanted = Unwanted::default();
        for _ in 0..2 {
            assert!(!unwanted.refused_for(ONE, PubAckReason::PayloadFormatInvalid));
        }
        unwanted.taken(Some(ONE));
        assert!(!unwanted.refused_for(ONE, PubAckReason::PayloadFormatInvalid));
        for seq in 0..3000 {
            assert!(!unwanted.refused_for(Which::Copy(seq), PubAckReason::PayloadFormatInvalid));
        }
        assert_eq!(unwanted.counts.len(), PLACES);
    }
}
