//! The statements that remove events, as `retention.rs` decides. Each step is a
//! transaction of its own.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::lost::{self, GivenUp};
use super::retention::{Removed, Step};
use super::schema::ROW_OVERHEAD;
use super::store::{Store, append, get, put, signed, text, unsigned};
use crate::domain::UtcMillis;
use crate::event::{Class, Draft, Stamp};

/// Rows that one step looks at, at most.
const LOOK_AT: usize = 2000;

/// `why` of events that had to make room.
const NO_ROOM: &str = "the journal reached journal.max_size before they could be sent";

/// What a step left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removal {
    pub removed: Removed,
    /// Undelivered events among what was removed.
    pub given_up: u64,
    /// Events that the journal added to say so.
    pub added: u64,
}

struct Candidate {
    seq: u64,
    bytes: u64,
    queued: bool,
    t: UtcMillis,
}

impl Store {
    /// Takes `step`.
    pub fn remove(&mut self, step: Step, now: Stamp) -> rusqlite::Result<Removal> {
        let (unit, log) = (self.unit.clone(), self.log.clone());
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let removal = match step {
            Step::Aged { after, from, before } => remove_aged(&tx, after, from, before)?,
            Step::Settled { after, bytes } => remove_settled(&tx, after, bytes)?,
            Step::GiveUp { bytes } => {
                let (given_up, report) = give_up(&tx, bytes, now)?;
                append(&tx, &unit, &log, report.as_slice())?;
                Removal { given_up, added: report.iter().len() as u64, removed: Removed::default() }
            }
        };
        tx.commit()?;
        Ok(removal)
    }

    /// Bytes that all events take.
    pub fn bytes(&self) -> rusqlite::Result<u64> {
        Ok(unsigned(get::<i64>(&self.db, "bytes")?.unwrap_or(0)))
    }

    /// Lets the write-ahead log grow to so many pages before it is moved into the
    /// database.
    pub fn checkpoint_every(&self, pages: u32) -> rusqlite::Result<()> {
        self.db.pragma_update(None, "wal_autocheckpoint", pages)
    }

    /// Copies the write-ahead log into the database and syncs it, as far as no
    /// reader is in the way.
    pub fn checkpoint(&self) -> rusqlite::Result<()> {
        self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Moves the write-ahead log into the database and gives its space back, as
    /// far as no reader is in the way.
    pub fn truncate_log(&self) -> rusqlite::Result<()> {
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

fn delete(tx: &Transaction<'_>, rows: impl Iterator<Item = (u64, u64)>) -> rusqlite::Result<u64> {
    let (mut events, mut freed) = (0, 0);
    for (seq, bytes) in rows {
        tx.prepare_cached("DELETE FROM event WHERE seq = ?")?.execute([signed(seq)])?;
        events += 1;
        freed += bytes;
    }
    if events > 0 {
        let bytes = unsigned(get::<i64>(tx, "bytes")?.unwrap_or(0));
        put(tx, "bytes", &signed(bytes.saturating_sub(freed)))?;
    }
    Ok(events)
}

/// Settled events above `after` of those times.
fn remove_aged(tx: &Transaction<'_>, after: u64, from: UtcMillis, before: UtcMillis) -> rusqlite::Result<Removal> {
    let rows = candidates(tx, after)?;
    let old = |row: &&Candidate| !row.queued && (from..before).contains(&row.t);
    let events = delete(tx, rows.iter().filter(old).map(|row| (row.seq, row.bytes)))?;
    // Times mostly grow with the numbers: where nothing is old any more, the
    // search is over.
    let young = events == 0 && rows.last().is_none_or(|row| row.t >= before);
    let seen = rows.last().map_or(after, |row| row.seq);
    let removed = Removed { events, seen, end: young || rows.len() < LOOK_AT };
    Ok(Removal { removed, given_up: 0, added: 0 })
}

/// The first settled events above `after`, together at least `bytes`.
fn remove_settled(tx: &Transaction<'_>, after: u64, bytes: u64) -> rusqlite::Result<Removal> {
    let rows = candidates(tx, after)?;
    let (mut doomed, mut freed) = (Vec::new(), 0);
    let mut removed = Removed { events: 0, seen: after, end: rows.len() < LOOK_AT };
    for row in &rows {
        if freed >= bytes {
            removed.end = false;
            break;
        }
        if !row.queued {
            doomed.push((row.seq, row.bytes));
            freed += row.bytes;
        }
        removed.seen = row.seq;
    }
    removed.events = delete(tx, doomed.into_iter())?;
    Ok(Removal { removed, given_up: 0, added: 0 })
}

/// Undelivered events, together at least `bytes`, the oldest of the lowest class
/// first; returns how many, and what has to be said about it.
fn give_up(tx: &Transaction<'_>, bytes: u64, now: Stamp) -> rusqlite::Result<(u64, Option<Draft>)> {
    let mut given_up = Vec::new();
    let mut freed = 0;
    for class in Class::ALL.into_iter().rev() {
        let rows: Vec<(u64, String)> = tx
            .prepare_cached("SELECT seq, body FROM event WHERE state = 0 AND class = ?1 ORDER BY seq LIMIT ?2")?
            .query_map(params![class.code(), LOOK_AT as i64], |row| Ok((unsigned(row.get(0)?), text(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let all = rows.len() < LOOK_AT;
        let mut doomed = Vec::new();
        for (seq, json) in rows {
            if freed >= bytes {
                break;
            }
            let size = json.len() as u64 + ROW_OVERHEAD;
            freed += size;
            doomed.push((seq, size));
            given_up.push(GivenUp::stored(seq, &json));
        }
        delete(tx, doomed.into_iter())?;
        // A higher class only when nothing of this one is left.
        if freed >= bytes || !all {
            break;
        }
    }
    let report = lost::together(&given_up).map(|all| all.event(NO_ROOM, now));
    Ok((given_up.len() as u64, report))
}

fn candidates(db: &Connection, after: u64) -> rusqlite::Result<Vec<Candidate>> {
    db.prepare_cached(
        "SELECT seq, octet_length(body), state, max(t, coalesce(settled, 0)) FROM event \
         WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?
    .query_map(params![signed(after), LOOK_AT as i64], |row| {
        Ok(Candidate {
            seq: unsigned(row.get(0)?),
            bytes: unsigned(row.get(1)?) + ROW_OVERHEAD,
            queued: row.get::<_, i64>(2)? == 0,
            t: UtcMillis(row.get(3)?),
        })
    })?
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::marks::{Delivery, Mark};
    use super::super::retention::{Limits, Retention};
    use super::super::schema;
    use super::*;
    use crate::clock::SystemClock;
    use crate::event::{Body, Event, LogId, Phase};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::{Duration, Instant};

    const LIMITS: Limits = Limits { keep: Duration::from_secs(3600), max_bytes: 12_000 };

    /// The journal, and what a receiver and its owner know of it.
    struct Model {
        store: Store,
        retention: Retention,
        clock: SystemClock,
        now: Stamp,
        appended: BTreeMap<u64, Class>,
        settled: BTreeSet<u64>,
        /// Number and range of every `lost` event that the journal made.
        lost: Vec<(u64, u64, u64)>,
        last: u64,
    }

    type Rows = BTreeMap<u64, (Class, bool, u64, String)>;

    impl Model {
        fn new() -> Model {
            let mut db = Connection::open_in_memory().unwrap();
            schema::migrate(&mut db).unwrap();
            let clock = SystemClock::new();
            Model {
                now: clock.now(),
                clock,
                store: Store::new(db, "unit", &LogId("log".into())).unwrap(),
                retention: Retention::new(LIMITS),
                appended: BTreeMap::new(),
                settled: BTreeSet::new(),
                lost: Vec::new(),
                last: 0,
            }
        }

        /// (class, queued, bytes, text) of each number.
        fn rows(&self) -> Rows {
            let mut all = self
                .store
                .db
                .prepare("SELECT seq, class, state = 0, octet_length(body) + 64, body FROM event")
                .unwrap();
            let row = |row: &rusqlite::Row<'_>| {
                let value = (Class::from_code(row.get(1)?), row.get(2)?, unsigned(row.get(3)?), row.get(4)?);
                Ok((unsigned(row.get(0)?), value))
            };
            all.query_map([], row).unwrap().map(Result::unwrap).collect()
        }

        fn append(&mut self, class: Class, age_s: i64) {
            let body = match class {
                Class::Alert => {
                    // One that covers nothing but itself.
                    let own = self.last + 1;
                    Body::Lost { from: own, to: own, n: 0, class, why: "x".repeat(150) }
                }
                Class::Sighting => Body::Group {
                    phase: Phase::End,
                    gid: uuid::Uuid::nil(),
                    cam: "road".into(),
                    wire: "line".into(),
                    dir: "in".into(),
                    grp: crate::domain::Group::Person,
                    n: 2,
                    t0: None,
                },
                Class::Telemetry => Body::Boot { prev: None, why: "test".into() },
            };
            let stamp = Stamp { t: UtcMillis(self.now.t.0 - age_s * 1000), ..self.now };
            let done = self.store.commit(&[Draft { stamp, body, replay: false }], &[], &[], &self.clock).unwrap();
            assert_eq!(done.last, self.last + 1, "numbers are never reused and never left out");
            self.last = done.last;
            self.appended.insert(done.last, class);
        }

        fn settle(&mut self, pick: prop::sample::Index, age_s: i64) {
            let queued: Vec<u64> = self.rows().iter().filter(|(_, row)| row.1).map(|(seq, _)| *seq).collect();
            if queued.is_empty() {
                return;
            }
            let seq = *pick.get(&queued);
            let at = UtcMillis(self.now.t.0 - age_s * 1000);
            let mark = Mark { seq, delivery: Delivery::Delivered, at };
            self.store.commit(&[], &[], &[mark], &self.clock).unwrap();
            self.retention.settled(seq);
            self.settled.insert(seq);
        }

        /// One step, and whether there was one to take.
        fn step(&mut self, trusted: bool, start: Instant) -> bool {
            let before = self.rows();
            let bytes = self.store.bytes().unwrap();
            assert_eq!(bytes, before.values().map(|row| row.2).sum::<u64>());
            let utc = trusted.then_some(self.now.t);
            let Some(step) = self.retention.next(bytes, utc, start) else { return false };
            let removal = self.store.remove(step, self.now).unwrap();
            self.retention.done(step, removal.removed);
            self.last += removal.added;
            let after = self.rows();
            self.judge(&before, &after, removal);
            true
        }

        fn judge(&mut self, before: &Rows, after: &Rows, removal: Removal) {
            for (seq, row) in after.iter().filter(|(seq, _)| !before.contains_key(seq)) {
                let Body::Lost { from, to, n, .. } = Event::from_json(&row.3).unwrap().body else { panic!() };
                assert!(n >= removal.given_up);
                self.lost.push((*seq, from, to));
                self.appended.insert(*seq, Class::Alert);
            }
            let gone: Vec<u64> = before.keys().filter(|seq| !after.contains_key(seq)).copied().collect();
            let dropped: Vec<u64> = gone.into_iter().filter(|seq| !self.settled.contains(seq)).collect();
            assert_eq!(dropped.len() as u64, removal.given_up);
            if !dropped.is_empty() {
                assert!(before.values().all(|row| row.1), "what is delivered goes first");
            }
            for seq in dropped {
                let class = self.appended[&seq];
                let lower = after.iter().find(|(_, row)| row.1 && row.0 > class);
                assert!(lower.is_none(), "{seq} went before {lower:?}");
            }
        }
    }

    impl Model {
        /// Numbers that are neither there nor delivered nor reported by a `lost`
        /// event that is there or delivered.
        fn unaccounted(&self) -> Vec<u64> {
            let rows = self.rows();
            let known = |seq: &u64| rows.contains_key(seq) || self.settled.contains(seq);
            let reported =
                |seq: u64| self.lost.iter().any(|(own, from, to)| known(own) && (*from..=*to).contains(&seq));
            (1..=self.last).filter(|seq| !known(seq) && !reported(*seq)).collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Do {
        Append(Class, i64),
        Settle(prop::sample::Index, i64),
        Step(bool),
    }

    fn doing() -> impl Strategy<Value = Do> {
        let age = 0i64..8000;
        prop_oneof![
            5 => (prop::sample::select(Class::ALL.to_vec()), age.clone()).prop_map(|(c, a)| Do::Append(c, a)),
            2 => (any::<prop::sample::Index>(), age).prop_map(|(i, a)| Do::Settle(i, a)),
            3 => any::<bool>().prop_map(Do::Step),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_undelivered_goes_before_its_turn_or_without_a_word(doings in prop::collection::vec(doing(), 0..250)) {
            let (mut model, start) = (Model::new(), Instant::now());
            for doing in doings {
                match doing {
                    Do::Append(class, age) => model.append(class, age),
                    Do::Settle(pick, age) => model.settle(pick, age),
                    Do::Step(trusted) => { model.step(trusted, start); }
                }
            }
            let mut steps = 0;
            while model.step(false, start) {
                steps += 1;
                prop_assert!(steps < 1000, "it never ends");
            }
            prop_assert!(model.store.bytes().unwrap() <= LIMITS.max_bytes);
            prop_assert_eq!(model.unaccounted(), Vec::<u64>::new());
        }
    }

    #[test]
    fn what_is_old_and_delivered_goes_by_a_clock_that_is_right() {
        let (mut model, start) = (Model::new(), Instant::now());
        for age in [7200, 7200, 10] {
            model.append(Class::Sighting, age);
        }
        for (seq, age) in [(1, 7000), (3, 5)] {
            let at = UtcMillis(model.now.t.0 - age * 1000);
            model.store.commit(&[], &[], &[Mark { seq, delivery: Delivery::Delivered, at }], &model.clock).unwrap();
            model.settled.insert(seq);
        }
        assert!(!model.step(false, start));
        while model.step(true, start) {}
        assert_eq!(model.rows().keys().copied().collect::<Vec<_>>(), [2, 3]);
        model.append(Class::Sighting, 0);
        assert_eq!(model.last, 4);
    }
}
