//! Small stills on `still/<id>`: the lowest class of all.
//!
//! A still goes only when no event waits, one at a time, so that it delays an
//! alert by no more than its own bytes; and of a day's bytes stills may use half,
//! the rest is for events. The broker keeps it for somebody who is away no longer
//! than the message's expiry. A broker that refuses stills is asked again later,
//! and events go on.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, PublishProperties};
use tokio::time::Instant;
use tracing::warn;

use super::link::{Link, Sent};
use super::messages::{MESSAGE_EXPIRY_BYTES, publish_packet_size};
use super::unwanted::Which;
use super::words;
use crate::evidence::{StillKey, StillQueue};

/// How long a broker that refused a still is not sent another.
const REFUSED_FOR: Duration = Duration::from_secs(600);

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
}

impl Stills {
    pub fn new(feed: Option<StillFeed>) -> Stills {
        Stills { feed, under_way: false, held_until: None }
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
        self.held_until
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
    /// Hands over a still if nothing else waits.
    pub(super) fn fill_stills(&mut self, client: &AsyncClient, now: Instant) {
        if self.stills.held_until.is_some_and(|at| now < at) {
            return;
        }
        self.stills.held_until = None;
        while !self.stills.under_way && self.lanes.are_empty(self.journal.status().last_seq()) {
            let Some(feed) = self.stills.feed.clone() else { return };
            if self.window.len() >= self.limits.window || !self.budget.is_left_for_stills() {
                return;
            }
            let Some(outgoing) = feed.queue.next() else { return };
            let topic = self.settings.topics.still(&outgoing.still.id.to_string());
            let size = publish_packet_size(&topic, outgoing.jpeg.len()) + MESSAGE_EXPIRY_BYTES;
            if size > self.limits.packet {
                warn!(
                    "a still of {size} bytes is too large for the broker ({}); it stays on the unit",
                    self.limits.packet
                );
                self.status.stills_set_aside.fetch_add(1, Relaxed);
                feed.queue.done(outgoing.still);
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
    pub(super) fn still_answered(&mut self, still: StillKey, reason: PubAckReason) {
        self.stills.under_way = false;
        let Some(feed) = &self.stills.feed else { return };
        match reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                self.status.stills.fetch_add(1, Relaxed);
                feed.queue.done(still);
                self.unwanted.taken(Some(Which::Still(still)));
            }
            refusal if self.unwanted.refused_for(Which::Still(still), refusal) => {
                self.status.refused.fetch_add(1, Relaxed);
                self.give_up(Which::Still(still));
            }
            refusal => {
                feed.queue.came_back(still);
                self.stills.held_until = Some(Instant::now() + REFUSED_FOR);
                self.status.refused.fetch_add(1, Relaxed);
                warn!("the broker refuses a still: {}", words::event_refusal(refusal));
            }
        }
    }

    /// It stays on the unit, unsent.
    pub(super) fn still_set_aside(&mut self, still: StillKey) {
        self.stills.under_way = false;
        self.status.stills_set_aside.fetch_add(1, Relaxed);
        if let Some(feed) = &self.stills.feed {
            feed.queue.done(still);
        }
    }

    /// Whether stills wait that could be sent now.
    pub(super) fn stills_wait(&self) -> bool {
        let sendable = self.stills.held_until.is_none() && self.budget.is_left_for_stills();
        sendable && self.stills.feed.as_ref().is_some_and(|feed| !feed.queue.is_empty())
    }
}
