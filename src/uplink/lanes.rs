//! What is sent next: live before backlog, within each alerts before sightings
//! before telemetry.
//!
//! Six lanes, each a class of events of either age, each read from the journal
//! a batch at a time and emptied before a later lane's turn. Events committed
//! shortly before the connection count as live too: what a unit woke up to
//! report must not queue behind what three days without a link have left.
//!
//! The journal learns of acknowledgements late (`journal::marks`), so what was
//! handed out is remembered here until it is written there, and never handed
//! out twice. Whatever comes back (a lost session, a refusal) is not kept: it is
//! forgotten, and read again after [`Lanes::restart`].
//!
//! Pure: the journal's rows come through a closure, the time is passed in.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Class;
use crate::journal::Undelivered;

/// Rows read from the journal at once.
pub(super) const BATCH: usize = 128;

/// So old an event may be at the time of the connection and still be live.
const LIVE_FOR: Duration = Duration::from_secs(600);

/// Whether an event is new or left from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Age {
    /// Sent at once.
    Live,
    /// Sent when there is nothing live, at a limited rate.
    Backlog,
}

/// Which rows to read: of this class, numbers above `after` and up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub class: Class,
    pub after: u64,
    pub to: u64,
}

#[derive(Debug)]
struct Lane {
    age: Age,
    class: Class,
    /// All up to it has been read.
    read: u64,
    /// It ends with this number.
    end: u64,
    rows: VecDeque<Undelivered>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Handed out, and not known to be settled in the journal.
    out: HashSet<u64>,
}

impl Lanes {
    /// Numbers above `boundary` are live.
    pub fn new(boundary: u64) -> Lanes {
        let mut lanes = Lanes { lanes: Vec::new(), out: HashSet::new() };
        lanes.restart(boundary);
        lanes
    }

    /// Begins reading anew; what was handed out is left out.
    pub fn restart(&mut self, boundary: u64) {
        let lane = |age, class| {
            let (read, end) = if age == Age::Live { (boundary, u64::MAX) } else { (0, boundary) };
            Lane { age, class, read, end, rows: VecDeque::new() }
        };
        let ages = [Age::Live, Age::Backlog].into_iter();
        self.lanes = ages.flat_map(|age| Class::ALL.map(|class| lane(age, class))).collect();
    }

    /// The next one to send that is `allowed`, now that `last` is the journal's
    /// last number.
    ///
    /// # Errors
    /// Those of `read`; nothing is lost by one.
    pub fn next<E>(
        &mut self,
        last: u64,
        mut allowed: impl FnMut(Age, Class) -> bool,
        mut read: impl FnMut(Wanted) -> Result<Vec<Undelivered>, E>,
    ) -> Result<Option<(Undelivered, Age)>, E> {
        for lane in &mut self.lanes {
            if lane.fetch(last, &self.out, &mut read)? && allowed(lane.age, lane.class) {
                let Some(row) = lane.rows.pop_front() else { continue };
                self.out.insert(row.seq);
                return Ok(Some((row, lane.age)));
            }
        }
        Ok(None)
    }

    /// Event `seq` was not delivered: it will be read again after a restart.
    pub fn came_back(&mut self, seq: u64) {
        self.out.remove(&seq);
    }

    /// The journal knows what became of event `seq`.
    pub fn settled(&mut self, seq: u64) {
        self.out.remove(&seq);
    }

    /// Whether everything up to `last` has been handed out.
    pub fn are_empty(&self, last: u64) -> bool {
        self.lanes.iter().all(|lane| lane.rows.is_empty() && lane.read >= lane.end.min(last))
    }
}

impl Lane {
    /// Sees to it that there is a row, if there is one in the journal.
    fn fetch<E>(
        &mut self,
        last: u64,
        out: &HashSet<u64>,
        read: &mut impl FnMut(Wanted) -> Result<Vec<Undelivered>, E>,
    ) -> Result<bool, E> {
        let to = self.end.min(last);
        while self.rows.is_empty() && self.read < to {
            let rows = read(Wanted { class: self.class, after: self.read, to })?;
            self.read = if rows.len() < BATCH { to } else { rows.last().map_or(to, |row| row.seq) };
            self.rows.extend(rows.into_iter().filter(|row| !out.contains(&row.seq)));
        }
        Ok(!self.rows.is_empty())
    }
}

/// Remembers which numbers are recent.
#[derive(Debug)]
pub(super) struct Recent {
    /// The last number before the link was started: older is not recent.
    before: u64,
    /// (when, the last number then), oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Recent {
    /// Nothing up to `before` is recent.
    pub fn new(before: u64) -> Recent {
        Recent { before, samples: VecDeque::new() }
    }

    /// At `now` the journal's last number is `last`.
    pub fn note(&mut self, now: Instant, last: u64) {
        let due = |(at, _): &(Instant, u64)| now.duration_since(*at) >= LIVE_FOR / 20;
        if self.samples.back().is_none_or(due) {
            self.samples.push_back((now, last));
        }
        while let Some((at, then)) = self.samples.front().copied()
            && now.duration_since(at) > LIVE_FOR
        {
            self.before = then;
            self.samples.pop_front();
        }
    }

    /// What is above this number is recent.
    pub fn boundary(&self) -> u64 {
        self.before
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A journal: class of each number, and what is settled in it.
    #[derive(Default)]
    struct Model {
        events: BTreeMap<u64, Class>,
        settled: HashSet<u64>,
    }

    impl Model {
        fn append(&mut self, class: Class) {
            self.events.insert(self.last() + 1, class);
        }

        fn last(&self) -> u64 {
            self.events.len() as u64
        }

        fn read(&self, wanted: Wanted) -> Result<Vec<Undelivered>, ()> {
            let rows = self.events.iter().filter(|(seq, class)| {
                (wanted.after + 1..=wanted.to).contains(*seq) && **class == wanted.class && !self.settled.contains(*seq)
            });
            let row = |(seq, class): (&u64, &Class)| Undelivered {
                seq: *seq,
                class: *class,
                kind: String::new(),
                json: String::new(),
            };
            Ok(rows.map(row).take(BATCH).collect())
        }

        fn next(&self, lanes: &mut Lanes) -> Option<(u64, Age)> {
            lanes.next(self.last(), |_, _| true, |wanted| self.read(wanted)).unwrap().map(|(row, age)| (row.seq, age))
        }
    }

    fn model(classes: &[Class]) -> Model {
        let mut model = Model::default();
        classes.iter().for_each(|class| model.append(*class));
        model
    }

    #[test]
    fn live_goes_before_backlog_and_alerts_before_the_rest() {
        use Class::{Alert, Sighting, Telemetry};
        let mut journal = model(&[Telemetry, Sighting, Alert, Telemetry, Alert, Sighting]);
        let mut lanes = Lanes::new(3);
        let order: Vec<u64> = std::iter::from_fn(|| journal.next(&mut lanes)).map(|(seq, _)| seq).collect();
        assert_eq!(order, [5, 6, 4, 3, 2, 1]);
        assert!(lanes.are_empty(journal.last()));
        journal.append(Alert);
        assert!(!lanes.are_empty(journal.last()));
        assert_eq!(journal.next(&mut lanes), Some((7, Age::Live)));
    }

    #[test]
    fn an_alert_overtakes_what_is_held_up() {
        let mut journal = model(&[Class::Sighting; 1000]);
        let mut lanes = Lanes::new(1000);
        assert_eq!(journal.next(&mut lanes), Some((1, Age::Backlog)));
        journal.append(Class::Alert);
        assert_eq!(journal.next(&mut lanes), Some((1001, Age::Live)));
        let only_live = lanes.next(journal.last(), |age, _| age == Age::Live, |wanted| journal.read(wanted));
        assert_eq!(only_live, Ok(None));
        assert_eq!(journal.next(&mut lanes), Some((2, Age::Backlog)));
    }

    #[test]
    fn what_was_committed_shortly_before_the_connection_is_live() {
        let start = Instant::now();
        let mut recent = Recent::new(100);
        for minute in 0..30u32 {
            recent.note(start + Duration::from_secs(60) * minute, 100 + u64::from(minute));
        }
        assert_eq!(recent.boundary(), 100 + 18, "ten minutes ago, within half a minute");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(Class),
        Send,
        /// The oldest or newest of those that are out is acknowledged.
        Acknowledge(bool),
        /// The journal writes down what it knows.
        Write,
        Refuse,
        SessionLost(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop::sample::select(Class::ALL.to_vec()).prop_map(Step::Append),
            5 => Just(Step::Send),
            3 => any::<bool>().prop_map(Step::Acknowledge),
            1 => Just(Step::Write),
            1 => Just(Step::Refuse),
            1 => any::<bool>().prop_map(Step::SessionLost),
        ]
    }

    proptest! {
        #[test]
        fn each_is_out_once_at_a_time_and_none_is_forgotten(steps in prop::collection::vec(step(), 0..400)) {
            let mut journal = Model::default();
            let mut lanes = Lanes::new(0);
            let (mut flying, mut known) = (VecDeque::new(), HashSet::new());
            for step in steps {
                match step {
                    Step::Append(class) => journal.append(class),
                    Step::Send => if let Some((seq, _)) = journal.next(&mut lanes) {
                        prop_assert!(!flying.contains(&seq), "{seq} is under way already");
                        prop_assert!(!known.contains(&seq), "{seq} was acknowledged");
                        flying.push_back(seq);
                    },
                    Step::Acknowledge(front) => {
                        known.extend(if front { flying.pop_front() } else { flying.pop_back() });
                    }
                    Step::Write => for seq in &known {
                        if journal.settled.insert(*seq) {
                            lanes.settled(*seq);
                        }
                    },
                    Step::Refuse => if let Some(seq) = flying.pop_front() {
                        lanes.came_back(seq);
                        lanes.restart(journal.last() / 2);
                    },
                    Step::SessionLost(kept) => {
                        if !kept {
                            flying.drain(..).for_each(|seq| lanes.came_back(seq));
                        }
                        lanes.restart(journal.last());
                    }
                }
            }
            while let Some((seq, _)) = journal.next(&mut lanes) {
                prop_assert!(!flying.contains(&seq) && known.insert(seq));
            }
            prop_assert_eq!(known.len() + flying.len(), journal.events.len());
        }
    }
}
