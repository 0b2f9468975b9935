//! Small stills on `still/<id>`: the lowest class of all.
//!
//! A still goes only when no event waits, one at a time, so that it delays an
//! alert by no more than its own bytes; and of a day's bytes stills may use half,
//! the rest is for events. The broker keeps it for somebody who is away no longer
//! than the message's expiry. A broker that refuses stills is asked again later,
//! and events go on. A still that it does not take waits, and is tried again in the next
//! session or after an hour.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, PublishProperties};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::link::{Link, Sent};
use super::messages::{MESSAGE_EXPIRY_BYTES, publish_packet_size};
use super::unwanted::{AGAIN, Refusal};
use super::words;
use crate::evidence::{StillKey, StillQueue};

/// How long a broker that refused a still is not sent another.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// Stills that are read in one go to find one that is not too large.
const LOOK_AT: usize = 16;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A still that the broker does not take; for the queue it is under way.
#[derive(Debug, Clone, Copy)]
struct Refused {
    still: StillKey,
    /// Until then, or to the end of the session.
    until: Option<Instant>,
    /// In the next session it may go.
    session: bool,
}

/// Where stills come from.
#[derive(Debug, Clone)]
pub struct StillFeed {
    /// Those that wait.
    pub queue: StillQueue,
    /// How long the broker may keep one.
    pub expiry: Duration,
}

/// What the link knows of stills.
#[derive(Debug, Default)]
pub(super) struct Stills {
    feed: Option<StillFeed>,
    under_way: bool,
    held_until: Option<Instant>,
    refused: Vec<Refused>,
}

impl Stills {
    pub fn new(feed: Option<StillFeed>) -> Stills {
        Stills { feed, under_way: false, held_until: None, refused: Vec::new() }
    }

    /// Resolves when there is a new one; never without a feed.
    pub async fn ready(&self) {
        match &self.feed {
            Some(feed) => feed.queue.ready().await,
            None => std::future::pending().await,
        }
    }

    /// When a broker that refused one is asked again.
    pub fn ask_again(&self) -> Option<Instant> {
        self.refused.iter().filter_map(|one| one.until).chain(self.held_until).min()
    }

    /// Those of which it is true go like any other.
    fn release(&mut self, which: impl Fn(&Refused) -> bool) {
        let Some(feed) = &self.feed else { return };
        self.refused.retain(|one| {
            let free = which(one);
            if free {
                feed.queue.came_back(one.still);
            }
            !free
        });
    }

    /// The session is gone, and with it what was under way.
    pub fn came_back(&mut self, still: StillKey) {
        self.under_way = false;
        if let Some(feed) = &self.feed {
            feed.queue.came_back(still);
        }
    }
}

impl Link {
    /// A session has begun.
    pub(super) fn stills_connected(&mut self) {
        self.stills.release(|one| one.session);
    }

    /// Hands over a still if nothing else waits.
    pub(super) fn fill_stills(&mut self, client: &AsyncClient, now: Instant) {
        self.stills.release(|one| one.until.is_some_and(|until| now >= until));
        if self.stills.held_until.is_some_and(|at| now < at) {
            return;
        }
        self.stills.held_until = None;
        let mut looked_at = 0;
        while !self.stills.under_way && self.lanes.are_empty(self.journal.status().last_seq()) {
            let Some(feed) = self.stills.feed.clone() else { return };
            if !self.has_room() || !self.budget.is_left_for_stills() {
                return;
            }
            let Some(outgoing) = feed.queue.next() else { return };
            let topic = self.settings.topics.still(&outgoing.still.id.to_string());
            let size = publish_packet_size(&topic, outgoing.jpeg.len()) + MESSAGE_EXPIRY_BYTES;
            if size > u64::from(self.settings.max_packet) {
                warn!("a still of {size} bytes is larger than uplink.max_packet; it stays on the unit");
                self.status.stills_set_aside.fetch_add(1, Relaxed);
                feed.queue.done(outgoing.still);
                continue;
            }
            let room = self.unwanted.room(now);
            if size > room {
                debug!("a still of {size} bytes is too large for the broker ({room}); it waits");
                let until = (size <= self.limits.packet).then(|| now + AGAIN);
                self.stills.refused.push(Refused { still: outgoing.still, until, session: true });
                looked_at += 1;
                if looked_at >= LOOK_AT {
                    self.stills.held_until = Some(now + LOOK_PAUSE);
                    return;
                }
                continue;
            }
            let expiry = u32::try_from(feed.expiry.as_secs()).unwrap_or(u32::MAX);
            let properties = PublishProperties { message_expiry_interval: Some(expiry), ..Default::default() };
            let payload = outgoing.jpeg;
            if client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).is_err() {
                feed.queue.came_back(outgoing.still);
                return;
            }
            self.stills.under_way = true;
            self.handed_over(Sent::Still(outgoing.still), size);
        }
    }

    /// The broker answered for a still.
    pub(super) fn still_answered(&mut self, still: StillKey, bytes: u64, reason: PubAckReason) {
        match reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                self.stills.under_way = false;
                self.status.stills.fetch_add(1, Relaxed);
                if let Some(feed) = &self.stills.feed {
                    feed.queue.done(still);
                }
                self.accepted(None, bytes);
            }
            refusal => {
                let now = Instant::now();
                self.status.refused.fetch_add(1, Relaxed);
                self.stills.held_until = Some(now + REFUSED_FOR);
                self.still_refused(still, Refusal::Answer(refusal), now);
                warn!("the broker refuses a still: {}", words::event_refusal(refusal));
            }
        }
    }

    /// It waits, so that it is in the way of no other.
    pub(super) fn still_refused(&mut self, still: StillKey, refusal: Refusal, now: Instant) {
        self.stills.under_way = false;
        let session = matches!(refusal, Refusal::Answer(_));
        self.stills.refused.push(Refused { still, until: Some(now + AGAIN), session });
    }

    /// Whether stills wait that could be sent now.
    pub(super) fn stills_wait(&self) -> bool {
        let sendable = self.stills.held_until.is_none() && self.budget.is_left_for_stills();
        let waiting = |feed: &StillFeed| feed.queue.len() > self.stills.refused.len();
        sendable && self.stills.feed.as_ref().is_some_and(waiting)
    }
}
