//! `resend`: publishing stored events again, few at a time, so that new ones are
//! not delayed. It changes nothing in the journal. One runs at a time. What is
//! under way when the connection is lost is repeated; when the program ends, the
//! receiver asks again.

use std::sync::atomic::Ordering::Relaxed;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use tokio::time::Instant;
use tracing::info;

use super::link::{Link, Sent};
use super::messages::publish_packet_size;
use crate::control::{Reason, Refusal};
use crate::journal::JournalReader;

/// Numbers that one `resend` covers.
const LONGEST_RESEND: u64 = 10_000;

/// Events of a `resend` that may be under way.
const RESEND_WINDOW: usize = 8;

/// Rows of a `resend` read at once.
const RESEND_BATCH: usize = 64;

/// Runs of numbers that a reply names, at most; whoever misses others asks again.
const MOST_RUNS: usize = 32;

/// A `resend` that is going on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resend {
    next: u64,
    to: u64,
    under_way: usize,
}

impl Resend {
    /// An event was acknowledged, or refused; whether that was the last.
    pub fn answered(&mut self) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        self.next > self.to && self.under_way == 0
    }

    /// An event was under way when the connection was lost.
    pub fn interrupted(&mut self, seq: u64) {
        self.next = self.next.min(seq);
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl Link {
    /// Begins one; returns what it covers.
    pub(super) fn begin_resend(&mut self, log: Option<&str>, from: u64, to: u64) -> Result<(u64, u64), Refusal> {
        let last = self.journal.status().last_seq();
        let to = to.min(last).min(from.saturating_add(LONGEST_RESEND - 1));
        if log.is_some_and(|log| *log != self.log.0) {
            return Err(Refusal::new(Reason::Journal, format!("the journal is {}", self.log)));
        }
        if from == 0 || from > to {
            return Err(Refusal::new(Reason::Range, format!("numbers are from 1 to {last}")));
        }
        if self.commands.resend.is_some() {
            return Err(Refusal::new(Reason::Busy, "busy with another resend"));
        }
        info!("told to send the events {from} to {to} again");
        self.commands.resend = Some(Resend { next: from, to, under_way: 0 });
        Ok((from, to))
    }

    /// What of that range cannot be sent: whoever asked need not wait for it. `None` if the
    /// journal cannot be read.
    pub(super) fn without(&self, (from, to): (u64, u64)) -> Option<Vec<(u64, u64)>> {
        let read = |reader: &JournalReader| reader.without(from, to, MOST_RUNS);
        match &self.reader {
            Some(reader) => read(reader).ok(),
            None => JournalReader::open(self.journal.path()).and_then(|reader| read(&reader)).ok(),
        }
    }

    /// Hands over some events of a `resend`, where new ones leave room.
    pub(super) fn resend_some(&mut self, client: &AsyncClient) {
        let Some(resend) = &self.commands.resend else { return };
        let (mut next, to, mut under_way) = (resend.next, resend.to, resend.under_way);
        let room = RESEND_WINDOW.min(self.limits.window).saturating_sub(under_way);
        let window = if self.doubt.is_alone() { 0 } else { self.doubt.reach(self.limits.window) };
        let room = room.min(window.saturating_sub(self.window.len()));
        // The rest follows when there are bytes again.
        if next > to || room == 0 || !self.budget.is_left_for_stills() {
            return;
        }
        let read = match &self.reader {
            Some(reader) => reader.events_between(next, to, room.min(RESEND_BATCH)),
            None => JournalReader::open(self.journal.path())
                .and_then(|reader| reader.events_between(next, to, room.min(RESEND_BATCH))),
        };
        let Ok(rows) = read else {
            // The receiver asks again.
            self.commands.resend = None;
            return;
        };
        if rows.len() < room.min(RESEND_BATCH) {
            next = to + 1;
        }
        for row in rows {
            let topic = self.settings.topics.event(&row.kind);
            let payload = self.payload(row.seq, &row.json);
            let size = publish_packet_size(&topic, payload.len());
            if size > self.unwanted.room(Instant::now()) {
                next = next.max(row.seq + 1);
                continue;
            }
            if client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_err() {
                next = row.seq;
                break;
            }
            self.handed_over(Sent::Copy(row.seq), size);
            self.status.copies.fetch_add(1, Relaxed);
            under_way += 1;
            next = next.max(row.seq + 1);
        }
        let over = next > to && under_way == 0;
        self.commands.resend = (!over).then_some(Resend { next, to, under_way });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_is_repeated_and_the_last_acknowledgement_ends_it() {
        let mut resend = Resend { next: 8, to: 7, under_way: 2 };
        assert!(!resend.answered());
        resend.interrupted(5);
        assert_eq!(resend, Resend { next: 5, to: 7, under_way: 0 });
        assert!(Resend { next: 8, to: 7, under_way: 1 }.answered());
    }
}
