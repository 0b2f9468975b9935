//! The statements that remove events, as `retention.rs` decides. Each step is a
//! transaction of its own.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::lost::{self, GivenUp};
use super::marks::Delivery;
use super::retention::{Removed, Step};
use super::schema::ROW_OVERHEAD;
use super::store::{BUSY_PATIENCE, Moment, Store, append, get, put, signed, stored, text, unsigned};
use crate::clock::RunningMs;
use crate::event::{Class, Draft};

/// How long the writer is away for the log's sake: events wait meanwhile.
const NO_PATIENCE: Duration = Duration::from_millis(50);

/// Rows that one step looks at, at most.
const LOOK_AT: usize = 2000;

/// `why` of events that nobody had listened to when they grew old.
const UNHEARD: &str = "nobody listened to them within journal.keep";

/// `why` of events that had to make room.
const NO_ROOM: &str = "the journal reached journal.max_size before they could be sent";

/// What a step left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removal {
    pub removed: Removed,
    /// Of these, those that were old.
    pub aged: u64,
    /// Undelivered events among what was removed.
    pub given_up: u64,
    /// Events that the journal added to say so.
    pub added: u64,
}

struct Candidate {
    seq: u64,
    bytes: u64,
    state: i64,
    run: RunningMs,
}

impl Candidate {
    fn is_queued(&self) -> bool {
        self.state == 0
    }
}

impl Store {
    /// Takes `step`.
    pub fn remove(&mut self, step: Step, now: Moment) -> rusqlite::Result<Removal> {
        let (unit, log) = (self.unit.clone(), self.log.clone());
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let removal = match step {
            Step::Aged { after, before } => {
                let (unheard, removal) = remove_aged(&tx, after, before)?;
                let report = lost::together(&unheard).map(|all| all.event(UNHEARD, now.stamp));
                append(&tx, (&unit, &log), report.as_slice(), now.running)?;
                Removal { added: report.iter().len() as u64, ..removal }
            }
            Step::Settled { after, bytes } => remove_settled(&tx, after, bytes)?,
            Step::GiveUp { bytes } => {
                let (given_up, report) = give_up(&tx, bytes, now)?;
                append(&tx, (&unit, &log), report.as_slice(), now.running)?;
                Removal { given_up, added: report.iter().len() as u64, ..Removal::default() }
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

impl Store {
    /// The same without waiting for a reader; whether none was in the way.
    pub fn try_to_truncate_log(&self) -> rusqlite::Result<bool> {
        self.db.busy_timeout(NO_PATIENCE)?;
        let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.db.busy_timeout(BUSY_PATIENCE)?;
        Ok(busy? == 0)
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

/// Events above `after` that were settled before that moment, and which of them
/// nobody has.
fn remove_aged(tx: &Transaction<'_>, after: u64, before: RunningMs) -> rusqlite::Result<(Vec<GivenUp>, Removal)> {
    let rows = candidates(tx, after)?;
    let old = |row: &&Candidate| !row.is_queued() && row.run < before;
    let mut unheard = Vec::new();
    for row in rows.iter().filter(old).filter(|row| row.state == Delivery::Unheard.code()) {
        unheard.push(GivenUp::stored(row.seq, &stored(tx, row.seq)?));
    }
    let events = delete(tx, rows.iter().filter(old).map(|row| (row.seq, row.bytes)))?;
    // They mostly grow with the numbers: where nothing is old any more, the search is
    // over.
    let young = events == 0 && rows.last().is_none_or(|row| row.run >= before);
    let seen = rows.last().map_or(after, |row| row.seq);
    let removed = Removed { events, seen, end: young || rows.len() < LOOK_AT };
    Ok((unheard, Removal { removed, aged: events, ..Removal::default() }))
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
        if !row.is_queued() {
            doomed.push((row.seq, row.bytes));
            freed += row.bytes;
        }
        removed.seen = row.seq;
    }
    removed.events = delete(tx, doomed.into_iter())?;
    Ok(Removal { removed, ..Removal::default() })
}

/// Undelivered events, together at least `bytes`, the oldest of the lowest class
/// first; returns how many, and what has to be said about it.
fn give_up(tx: &Transaction<'_>, bytes: u64, now: Moment) -> rusqlite::Result<(u64, Option<Draft>)> {
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
    let report = lost::together(&given_up).map(|all| all.event(NO_ROOM, now.stamp));
    Ok((given_up.len() as u64, report))
}

fn candidates(db: &Connection, after: u64) -> rusqlite::Result<Vec<Candidate>> {
    db.prepare_cached(
        "SELECT seq, octet_length(body), state, run FROM event \
         WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?
    .query_map(params![signed(after), LOOK_AT as i64], |row| {
        Ok(Candidate {
            seq: unsigned(row.get(0)?),
            bytes: unsigned(row.get(1)?) + ROW_OVERHEAD,
            state: row.get(2)?,
            run: RunningMs(unsigned(row.get(3)?)),
        })
    })?
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::marks::Mark;
    use super::super::retention::{Limits, Retention};
    use super::super::schema;
    use super::*;
    use crate::clock::{ClockSource, KernelTime, RtcTime, SystemClock};
    use crate::domain::{Mono, UtcMillis};
    use crate::event::{Body, Event, LogId, Phase, Stamp};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    const LIMITS: Limits = Limits { keep: Duration::from_secs(3600), max_bytes: 12_000 };

    const MADE_S: i64 = 1_893_456_000;

    /// A machine's clocks: CLOCK_BOOTTIME runs on, its UTC is what somebody says.
    #[derive(Clone)]
    struct Sim(Arc<Mutex<KernelTime>>);

    impl ClockSource for Sim {
        fn kernel(&self) -> KernelTime {
            *self.0.lock().unwrap()
        }

        fn rtc(&self) -> Option<RtcTime> {
            None
        }
    }

    /// The journal, and what a receiver and its owner know of it.
    struct Model {
        store: Store,
        retention: Retention,
        sim: Sim,
        clock: SystemClock,
        start: Instant,
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
            let mono = Mono::from_micros(1_000_000);
            let utc_us = MADE_S * 1_000_000;
            let sim = Sim(Arc::new(Mutex::new(KernelTime { mono, utc_us, max_error_us: Some(20_000), leap: false })));
            let clock = SystemClock::with(Arc::new(sim.clone()), 1);
            // Its first reading begins the running time.
            clock.now();
            Model {
                sim,
                clock,
                start: Instant::now(),
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

        fn pass(&mut self, seconds: u64) {
            let span = Duration::from_secs(seconds);
            let mut kernel = self.sim.0.lock().unwrap();
            kernel.mono = kernel.mono.plus(span);
            kernel.utc_us += span.as_micros() as i64;
            self.start += span;
        }

        /// A time server, or somebody, says that it is then.
        fn say(&self, utc_s: i64, synchronised: bool) {
            let mut kernel = self.sim.0.lock().unwrap();
            kernel.utc_us = utc_s * 1_000_000;
            kernel.max_error_us = synchronised.then_some(20_000);
        }

        /// Now, with a time that takes the same bytes whatever the clock says.
        fn now(&self) -> Moment {
            let stamp = Stamp { t: UtcMillis(MADE_S * 1000), uncertainty_ms: None, ..self.clock.now() };
            Moment { stamp: Stamp { source: crate::event::TimeSource::None, ..stamp }, ..Moment::of(&self.clock) }
        }

        fn append(&mut self, class: Class) {
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
            let stamp = self.now().stamp;
            let done = self.store.commit(&[Draft { stamp, body, replay: false }], &[], &[], &self.clock).unwrap();
            assert_eq!(done.last, self.last + 1, "numbers are never reused and never left out");
            self.last = done.last;
            self.appended.insert(done.last, class);
        }

        fn settle(&mut self, pick: prop::sample::Index) {
            let queued: Vec<u64> = self.rows().iter().filter(|(_, row)| row.1).map(|(seq, _)| *seq).collect();
            if queued.is_empty() {
                return;
            }
            self.mark(*pick.get(&queued), Delivery::Delivered);
        }

        fn mark(&mut self, seq: u64, delivery: Delivery) {
            let mark = Mark { seq, delivery, at: UtcMillis(self.clock.now().t.0) };
            self.store.commit(&[], &[], &[mark], &self.clock).unwrap();
            self.retention.settled(seq);
            self.settled.insert(seq);
        }

        /// One step, and whether there was one to take.
        fn step(&mut self) -> bool {
            let before = self.rows();
            let bytes = self.store.bytes().unwrap();
            assert_eq!(bytes, before.values().map(|row| row.2).sum::<u64>());
            let now = self.now();
            let Some(step) = self.retention.next(bytes, now.running, self.start) else { return false };
            let removal = self.store.remove(step, now).unwrap();
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
                assert!(removal.added == 1 && (removal.given_up > 0 || removal.aged > 0));
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
        Append(Class),
        Settle(prop::sample::Index),
        Pass(u64),
        /// The clock is said to be so many seconds off, by something that vouches for it.
        Say(i64, bool),
        Step,
    }

    fn doing() -> impl Strategy<Value = Do> {
        let lies = prop_oneof![Just(0), -400_000_000i64..400_000_000, Just(100 * 86_400), Just(-3600)];
        prop_oneof![
            5 => prop::sample::select(Class::ALL.to_vec()).prop_map(Do::Append),
            2 => any::<prop::sample::Index>().prop_map(Do::Settle),
            2 => (0u64..2000).prop_map(Do::Pass),
            1 => (lies, any::<bool>()).prop_map(|(off, vouched)| Do::Say(off, vouched)),
            3 => Just(Do::Step),
        ]
    }

    /// What is left after `doings`, by a clock that is lied to or one that is not.
    fn left_after(doings: &[Do], lies: bool) -> (Model, Vec<u64>) {
        let mut model = Model::new();
        for doing in doings {
            match doing {
                Do::Append(class) => model.append(*class),
                Do::Settle(pick) => model.settle(*pick),
                Do::Pass(seconds) => model.pass(*seconds),
                Do::Say(off, vouched) if lies => {
                    model.say(MADE_S + off, *vouched);
                    // It stands for so long that it is believed.
                    for _ in 0..4 {
                        model.clock.poll();
                        model.pass(20);
                    }
                }
                Do::Say(..) => model.pass(80),
                Do::Step => drop(model.step()),
            }
        }
        let mut steps = 0;
        while model.step() {
            steps += 1;
            assert!(steps < 1000, "it never ends");
        }
        let left = model.rows().into_keys().collect();
        (model, left)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_undelivered_goes_before_its_turn_or_without_a_word(doings in prop::collection::vec(doing(), 0..250)) {
            let (model, lied_to) = left_after(&doings, true);
            prop_assert!(model.store.bytes().unwrap() <= LIMITS.max_bytes);
            prop_assert_eq!(model.unaccounted(), Vec::<u64>::new());
            // What goes, and in which order, is the same whatever any clock says.
            let (_, honest) = left_after(&doings, false);
            prop_assert_eq!(lied_to, honest);
        }
    }

    #[test]
    fn what_is_old_and_delivered_goes_by_the_time_that_the_unit_has_run() {
        let mut model = Model::new();
        for _ in 0..3 {
            model.append(Class::Sighting);
        }
        model.mark(1, Delivery::Delivered);
        model.pass(3000);
        model.mark(3, Delivery::Delivered);
        model.say(MADE_S + 100 * 86_400, true);
        for _ in 0..7 {
            assert!(!model.step() && model.rows().len() == 3, "a lie ages nothing");
            model.pass(60);
        }
        model.pass(200);
        while model.step() {}
        assert_eq!(model.rows().keys().copied().collect::<Vec<_>>(), [2, 3]);
        model.append(Class::Sighting);
        assert_eq!(model.last, 4);
    }

    #[test]
    fn what_nobody_has_listened_to_does_not_grow_old_without_a_word() {
        let mut model = Model::new();
        for (seq, delivery) in [(1, Delivery::Delivered), (2, Delivery::Unheard), (3, Delivery::Unheard)] {
            model.append(Class::Sighting);
            model.mark(seq, delivery);
        }
        model.pass(3601);
        while model.step() {}
        let rows = model.rows();
        let [(4, (Class::Alert, true, _, json))] = &rows.into_iter().collect::<Vec<_>>()[..] else { panic!() };
        let Body::Lost { from, to, n, class, why } = Event::from_json(json).unwrap().body else { panic!() };
        assert_eq!((from, to, n, class), (2, 3, 2, Class::Sighting));
        assert!(why.contains("journal.keep"), "{why}");
    }
}
