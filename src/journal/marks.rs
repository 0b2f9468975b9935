//! How far events have come, and when that is written down.
//!
//! A commit of its own for each acknowledgement would double what a lone event
//! writes to the card. A mark that a crash forgets costs no more than a
//! repeated message, so marks wait for company: the next events, the note that
//! the unit is alive, or each other. Pure: the time is passed in.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::domain::UtcMillis;

/// How far an event has come on its way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Waits to be sent, or for its acknowledgement.
    Queued,
    /// The broker has acknowledged it.
    Delivered,
    /// The broker has acknowledged it and said that nobody listens.
    Unheard,
    /// Larger than the unit may send, or damaged; kept here.
    SetAside,
    /// Given up to make room; declared lost.
    Dropped,
}

impl Delivery {
    /// As stored in `event.state`.
    pub(super) fn code(self) -> i64 {
        match self {
            Delivery::Queued => 0,
            Delivery::Delivered => 1,
            Delivery::Unheard => 2,
            Delivery::SetAside => 3,
            Delivery::Dropped => 4,
        }
    }

    /// From `event.state`.
    pub(super) fn from_code(code: i64) -> Option<Delivery> {
        [Delivery::Queued, Delivery::Delivered, Delivery::Unheard, Delivery::SetAside, Delivery::Dropped]
            .into_iter()
            .find(|state| state.code() == code)
    }

    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::Queued => "queued",
            Delivery::Delivered => "delivered",
            Delivery::Unheard => "unheard",
            Delivery::SetAside => "set_aside",
            Delivery::Dropped => "dropped",
        }
    }
}

/// "Event `seq` has come this far."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which event.
    pub seq: u64,
    /// How far.
    pub delivery: Delivery,
    /// When that was known.
    pub at: UtcMillis,
}

/// A lone mark waits so long; `n` of them an `n`-th of it.
pub(super) const MARK_PATIENCE: Duration = Duration::from_secs(900);

/// So many are written at once.
const ENOUGH: usize = 500;

/// Marks that are known and not yet written.
#[derive(Debug, Default)]
pub(super) struct WaitingMarks {
    marks: Vec<Mark>,
    numbers: HashSet<u64>,
    since: Option<Instant>,
    /// One of them has to be reported to the receiver.
    urgent: bool,
}

impl WaitingMarks {
    /// More of them at `now`.
    pub fn add(&mut self, marks: Vec<Mark>, now: Instant) {
        if marks.is_empty() {
            return;
        }
        self.since.get_or_insert(now);
        self.urgent |= marks.iter().any(|mark| mark.delivery == Delivery::SetAside);
        self.numbers.extend(marks.iter().map(|mark| mark.seq));
        self.marks.extend(marks);
    }

    /// When they have to be written, whatever else happens.
    pub fn due(&self) -> Option<Instant> {
        let n = u32::try_from(self.marks.len()).unwrap_or(u32::MAX).max(1);
        let patience = if self.urgent || self.marks.len() >= ENOUGH { Duration::ZERO } else { MARK_PATIENCE / n };
        self.since.map(|since| since + patience)
    }

    /// Whether event `seq` is marked by one of them.
    pub fn contains(&self, seq: u64) -> bool {
        self.numbers.contains(&seq)
    }

    /// Events marked by them.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// All, in the order in which they came.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// They are written, or mean nothing any more.
    pub fn clear(&mut self) {
        *self = WaitingMarks::default();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn marks(n: u64) -> Vec<Mark> {
        (1..=n).map(|seq| Mark { seq, delivery: Delivery::Delivered, at: UtcMillis(0) }).collect()
    }

    #[test]
    fn a_lone_mark_waits_long_and_many_do_not() {
        let start = Instant::now();
        let mut waiting = WaitingMarks::default();
        assert_eq!(waiting.due(), None);
        waiting.add(marks(1), start);
        assert_eq!(waiting.due(), Some(start + MARK_PATIENCE));
        waiting.add(marks(30), start + Duration::from_secs(1));
        assert!(waiting.due().unwrap() < start + Duration::from_secs(40));
        assert_eq!((waiting.len(), waiting.marks().len()), (30, 31), "the first is marked twice");
        waiting.add(marks(500), start + Duration::from_secs(2));
        assert_eq!(waiting.due(), Some(start));
        assert!(waiting.contains(77) && !waiting.contains(501));
        let unsendable = Mark { seq: 900, delivery: Delivery::SetAside, at: UtcMillis(0) };
        waiting.clear();
        waiting.add(vec![unsendable], start);
        assert_eq!(waiting.due(), Some(start), "the receiver has to hear of it");
        waiting.clear();
        assert_eq!((waiting.due(), waiting.len()), (None, 0));
    }
}
