//! What other threads may know about the uplink.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::unwanted::Summary;
use crate::domain::{Latencies, Percentiles};

/// Counters since the start; the link alone changes them.
#[derive(Debug, Default)]
pub struct UplinkStatus {
    pub(super) connected: AtomicBool,
    pub(super) delivered: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) set_aside: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) resent: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) today_bytes: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) commands_refused: AtomicU64,
    pub(super) replies_withheld: AtomicU64,
    pub(super) copies: AtomicU64,
    pub(super) stills: AtomicU64,
    pub(super) stills_set_aside: AtomicU64,
    /// From the commit of an event, the broker being there, to its answer.
    pub(super) acknowledged: Latencies,
    last_error: Mutex<Option<String>>,
    waiting: Mutex<Option<Summary>>,
}

/// [`UplinkStatus`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UplinkFigures {
    /// Whether the broker is there.
    pub connected: bool,
    /// Events acknowledged by the broker, somebody listening.
    pub delivered: u64,
    /// Events acknowledged by the broker, nobody listening.
    pub unheard: u64,
    /// Events larger than `uplink.max_packet`, or damaged on the disk.
    pub set_aside: u64,
    /// Events that wait because the broker does not take them; the others go on.
    pub waiting: u64,
    /// The first of these.
    pub waiting_seq: Option<u64>,
    /// Why it waits.
    pub waiting_why: Option<String>,
    /// Times that the broker refused a message.
    pub refused: u64,
    /// Messages sent and not yet acknowledged.
    pub in_flight: u64,
    /// Messages sent more than once.
    pub resent: u64,
    /// Connections made.
    pub connections: u64,
    /// Connections lost or not made.
    pub failures: u64,
    /// Bytes of the messages sent.
    pub sent_bytes: u64,
    /// Those of today.
    pub today_bytes: u64,
    /// Commands that came.
    pub commands: u64,
    /// Commands that were not understood.
    pub commands_refused: u64,
    /// Replies that were not sent: more than the allowance, or than the day's bytes.
    pub replies_withheld: u64,
    /// Events published again because somebody asked for them.
    pub copies: u64,
    /// Stills acknowledged by the broker.
    pub stills: u64,
    /// Stills larger than `uplink.max_packet`.
    pub stills_set_aside: u64,
    /// What keeps the link from working at present.
    pub error: Option<String>,
}

impl UplinkStatus {
    /// All of it.
    pub fn figures(&self) -> UplinkFigures {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UplinkFigures {
            waiting: waiting.as_ref().map_or(0, |waiting| waiting.n),
            waiting_seq: waiting.as_ref().map(|waiting| waiting.seq),
            waiting_why: waiting.map(|waiting| waiting.why),
            connected: self.connected.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            unheard: self.unheard.load(Relaxed),
            set_aside: self.set_aside.load(Relaxed),
            refused: self.refused.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            resent: self.resent.load(Relaxed),
            connections: self.connections.load(Relaxed),
            failures: self.failures.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            today_bytes: self.today_bytes.load(Relaxed),
            commands: self.commands.load(Relaxed),
            commands_refused: self.commands_refused.load(Relaxed),
            replies_withheld: self.replies_withheld.load(Relaxed),
            copies: self.copies.load(Relaxed),
            stills: self.stills.load(Relaxed),
            stills_set_aside: self.stills_set_aside.load(Relaxed),
            error: self.error(),
        }
    }

    /// How long the broker took since the last call; see [`Latencies::take`].
    pub fn acknowledged(&self) -> Option<Percentiles> {
        self.acknowledged.take()
    }

    /// The present trouble.
    pub(super) fn error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what waits; returns it when there is more than before, and whether it is the
    /// first.
    pub(super) fn set_waiting(&self, now: Option<Summary>) -> Option<(bool, Summary)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.as_ref().map_or(0, |waiting| waiting.n);
        waiting.clone_from(&now);
        now.filter(|now| now.n > before).map(|now| (before == 0, now))
    }

    /// Sets or clears the present trouble; returns whether that is news.
    pub(super) fn trouble(&self, error: Option<String>) -> bool {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *last != error;
        *last = error;
        news
    }
}
