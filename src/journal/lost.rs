//! What the journal says about events that it will not send: `lost` events.
//! Pure.

use crate::event::{Body, Class, Draft, Event, Stamp};

/// An event that was given up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GivenUp {
    /// Its number.
    pub seq: u64,
    /// How much it mattered.
    pub class: Class,
    /// From a published replay.
    pub replay: bool,
    /// What it said itself, if it was a `lost` event: first, last, how many.
    pub covered: Option<(u64, u64, u64)>,
    /// Not damaged on the disk.
    pub readable: bool,
}

impl GivenUp {
    /// From what was stored under `seq`. What cannot be read any more has only
    /// its number.
    pub fn stored(seq: u64, json: &str) -> GivenUp {
        let Ok(event) = Event::from_json(json) else {
            return GivenUp { seq, class: Class::Telemetry, replay: false, covered: None, readable: false };
        };
        let covered = match event.body {
            // One about files covers no numbers.
            Body::Lost { from, to, n, .. } if from > 0 => Some((from, to, n)),
            _ => None,
        };
        GivenUp { seq, class: event.body.class(), replay: event.replay, covered, readable: true }
    }
}

/// A `lost` event in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    from: u64,
    to: u64,
    n: u64,
    class: Class,
    replay: bool,
    readable: bool,
}

impl Tally {
    /// That one is lost.
    pub fn of(one: &GivenUp) -> Tally {
        // A `lost` event that is lost itself takes with it what it said: the
        // next one says that too.
        let (from, to, n) = one.covered.unwrap_or((one.seq, one.seq, 0));
        let (from, to) = (from.min(one.seq), to.max(one.seq));
        Tally { from, to, n: n.saturating_add(1), class: one.class, replay: one.replay, readable: one.readable }
    }

    /// Whether it is about events that can be read.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Both are lost.
    pub fn add(&mut self, other: &Tally) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.n = self.n.saturating_add(other.n);
        self.class = self.class.min(other.class);
        self.replay &= other.replay;
    }

    /// The event that says so.
    pub fn event(&self, why: &str, now: Stamp) -> Draft {
        let body = Body::Lost { from: self.from, to: self.to, n: self.n, class: self.class, why: why.to_owned() };
        Draft { stamp: now, body, replay: self.replay }
    }
}

/// All of `given_up` in one tally; `None` if there are none.
pub(super) fn together(given_up: &[GivenUp]) -> Option<Tally> {
    given_up.iter().map(Tally::of).reduce(|mut all, one| {
        all.add(&one);
        all
    })
}

/// Whether both are one run: they differ in nothing but the number.
fn continues(run: &Tally, next: &Tally) -> bool {
    run.class == next.class && run.readable == next.readable && run.to.checked_add(1) == Some(next.from)
}

/// A tally for each run of consecutive numbers of one class. A `lost` event
/// that cannot be sent is not reported by another one, which would be no
/// smaller.
pub(super) fn runs(given_up: &[GivenUp]) -> Vec<Tally> {
    let mut runs: Vec<Tally> = Vec::new();
    for one in given_up.iter().filter(|one| one.covered.is_none()).map(Tally::of) {
        match runs.last_mut() {
            Some(last) if continues(last, &one) => last.add(&one),
            _ => runs.push(one),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(seq: u64, class: Class) -> GivenUp {
        GivenUp { seq, class, replay: false, covered: None, readable: true }
    }

    #[test]
    fn consecutive_ones_of_a_class_are_one_run() {
        let all = [one(3, Class::Alert), one(4, Class::Alert), one(5, Class::Sighting), one(9, Class::Sighting)];
        let runs = runs(&all);
        assert_eq!(runs.iter().map(|t| (t.from, t.to, t.n)).collect::<Vec<_>>(), [(3, 4, 2), (5, 5, 1), (9, 9, 1)]);
    }

    #[test]
    fn what_a_lost_event_said_is_not_lost_with_it() {
        let lost = GivenUp { covered: Some((1, 50, 20)), ..one(60, Class::Alert) };
        let all = together(&[one(70, Class::Telemetry), lost.clone()]).map(|t| (t.from, t.to, t.n, t.class));
        assert_eq!(all, Some((1, 70, 22, Class::Alert)));
        assert_eq!(runs(&[lost]), []);
        assert_eq!(together(&[]), None);
    }
}
