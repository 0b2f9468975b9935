//! The outbox as a whole, in simulated time: lanes, window, pace, budget and what
//! comes back or is not wanted, driven by random events, delays, refusals and broken connections,
//! and held to a journal and a broker that are simple enough to be believed.
//!
//! What `link.rs` does between these parts is done here in the same order. A
//! failing case is printed as the shortest list of steps that shows it, and kept in
//! `proptest-regressions/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use tokio::time::Instant;

use super::budget::Budget;
use super::lanes::{Age, BATCH, Lanes, Recent, Wanted};
use super::pace::Pace;
use super::unwanted::{Refusal, Unwanted};
use super::window::{Announced, Window};
use crate::domain::{Backoff, UtcMillis};
use crate::event::Class;
use crate::journal::Undelivered;

const WINDOW: usize = 8;
/// Packet ids go round at it.
const IDS: u16 = 2 * (WINDOW as u16 + 4);
/// Events of the backlog a second.
const RATE: u32 = 40;
/// Bytes of a message, and of a day.
const MESSAGE: u64 = 300;
const DAY: u64 = 60 * MESSAGE;
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
enum Step {
    Append(Class, usize),
    Pass(Duration),
    /// From now on the broker answers so late.
    Delay(Duration),
    /// The connection ends; the broker keeps the session or not.
    Break(bool),
    /// The broker refuses so many.
    Refuse(usize),
    /// From now on it refuses some whenever they come, or takes them after all.
    Dislike(bool),
    /// The journal writes down what is acknowledged.
    Write,
    /// The journal is full: so many of the least important go.
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(Class::ALL.to_vec());
    let pass = prop::sample::select(vec![20, 200, 1000, 5000, 700_000, 90_000_000]).prop_map(Duration::from_millis);
    let delay = prop::sample::select(vec![0, 30, 400, 900, 20_000]).prop_map(Duration::from_millis);
    prop_oneof![
        6 => (class, 1..20usize).prop_map(|(class, n)| Step::Append(class, n)),
        6 => pass.prop_map(Step::Pass),
        2 => delay.prop_map(Step::Delay),
        2 => any::<bool>().prop_map(Step::Break),
        1 => (1..20usize).prop_map(Step::Refuse),
        1 => any::<bool>().prop_map(Step::Dislike),
        2 => Just(Step::Write),
        1 => (1..30usize).prop_map(Step::GiveUp),
    ]
}

/// The reference: what was committed, and what became of it.
#[derive(Default)]
struct Journal {
    last: u64,
    /// Undelivered, as far as is written down.
    queued: BTreeMap<u64, Class>,
    /// Acknowledged, and not written down yet.
    waiting: Vec<u64>,
    /// `lost` event, and what it is about.
    lost: Vec<(u64, BTreeSet<u64>)>,
}

impl Journal {
    fn append(&mut self, class: Class) -> u64 {
        self.last += 1;
        self.queued.insert(self.last, class);
        self.last
    }

    fn write(&mut self) -> Vec<u64> {
        let written = std::mem::take(&mut self.waiting);
        self.queued.retain(|seq, _| !written.contains(seq));
        written
    }

    /// The oldest of the lowest class first.
    fn give_up(&mut self, n: usize) {
        let mut doomed: Vec<(Class, u64)> = self.queued.iter().map(|(seq, class)| (*class, *seq)).collect();
        doomed.sort_by_key(|(class, seq)| (std::cmp::Reverse(*class), *seq));
        let doomed: BTreeSet<u64> = doomed.into_iter().take(n).map(|(_, seq)| seq).collect();
        if !doomed.is_empty() {
            self.queued.retain(|seq, _| !doomed.contains(seq));
            let report = self.append(Class::Alert);
            self.lost.push((report, doomed));
        }
    }

    fn read(&self, wanted: Wanted) -> Result<Vec<Undelivered>, ()> {
        let rows = self.queued.range(wanted.after + 1..=wanted.to).filter(|(_, class)| **class == wanted.class);
        let row = |(seq, class): (&u64, &Class)| Undelivered {
            seq: *seq,
            class: *class,
            kind: String::new(),
            json: String::new(),
        };
        Ok(rows.map(row).take(BATCH).collect())
    }
}

/// The client library and the broker behind it.
struct Wire {
    /// Handed over; with a packet id if it was sent before.
    unsent: VecDeque<(Option<u16>, u64)>,
    /// Sent, and when the answer comes.
    flying: VecDeque<(u16, u64, Instant)>,
    id: u16,
    delay: Duration,
    refuse: usize,
    dislikes: bool,
    kept: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u64,
    age: Age,
    at: Instant,
}

struct Simulation {
    start: Instant,
    now: Instant,
    journal: Journal,
    lanes: Lanes,
    recent: Recent,
    pace: Pace,
    budget: Budget,
    window: Window<Sent>,
    refusals: Backoff,
    unwanted: Unwanted,
    held_until: Option<Instant>,
    boundary: u64,
    up: bool,
    wire: Wire,
    /// Handed over, and neither answered nor taken back.
    out: BTreeSet<u64>,
    /// Their own PUBACK came.
    acknowledged: BTreeSet<u64>,
    /// When events of the backlog went.
    backlog: Vec<Instant>,
}

impl Simulation {
    fn new() -> Simulation {
        let now = Instant::now();
        Simulation {
            start: now,
            now,
            journal: Journal::default(),
            lanes: Lanes::new(0),
            recent: Recent::new(0),
            pace: Pace::new(RATE, now),
            budget: Budget::new(Some(DAY), now),
            window: Window::default(),
            refusals: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            unwanted: Unwanted::default(),
            held_until: None,
            boundary: 0,
            up: false,
            wire: Wire {
                unsent: VecDeque::new(),
                flying: VecDeque::new(),
                id: 0,
                delay: Duration::ZERO,
                refuse: 0,
                dislikes: false,
                kept: false,
            },
            out: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            backlog: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(class, n) => {
                for _ in 0..*n {
                    self.journal.append(*class);
                }
                self.tick();
            }
            Step::Pass(time) => self.pass(*time),
            Step::Delay(delay) => self.wire.delay = *delay,
            Step::Break(kept) => self.break_off(*kept),
            Step::Refuse(n) => self.wire.refuse += n,
            Step::Dislike(does) => self.wire.dislikes = *does,
            Step::Write => self.write(),
            Step::GiveUp(n) => {
                // The writer commits the waiting marks before it removes.
                self.write();
                self.journal.give_up(*n);
            }
        }
    }

    fn write(&mut self) {
        self.journal.write().into_iter().for_each(|seq| self.lanes.settled(seq));
    }

    /// In small steps, or at once if it is long.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = if time > Duration::from_secs(5) { end } else { end.min(self.now + TICK) };
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.recent.note(self.now, self.journal.last);
        if !self.up {
            self.connect();
        }
        self.transmit();
        self.answers();
        self.fill();
        self.transmit();
    }

    fn connect(&mut self) {
        self.up = true;
        if !self.wire.kept {
            self.take_back();
        }
        let released = self.unwanted.connected(u64::MAX);
        self.release(released);
        self.boundary = self.recent.boundary();
        self.lanes.restart(self.boundary);
        self.pace.connected(WINDOW, self.now);
        self.held_until = None;
    }

    fn take_back(&mut self) {
        for sent in self.window.take_all() {
            if !self.unwanted.waits(sent.seq) {
                self.lanes.came_back(sent.seq);
            }
            self.out.remove(&sent.seq);
        }
        self.wire.unsent.clear();
    }

    fn release(&mut self, events: Vec<u64>) {
        for seq in events {
            self.lanes.came_back(seq);
            self.held_until.get_or_insert(self.now);
        }
    }

    /// The library holds what it had sent, and repeats it if the session is kept.
    fn break_off(&mut self, kept: bool) {
        (self.up, self.wire.kept) = (false, kept);
        let mut again: VecDeque<_> = self.wire.flying.drain(..).map(|(id, seq, _)| (Some(id), seq)).collect();
        again.append(&mut self.wire.unsent);
        self.wire.unsent = again;
        // What it had not repeated yet stays first.
        self.wire.unsent.make_contiguous().sort_by_key(|(id, _)| id.is_none());
    }

    fn transmit(&mut self) {
        if !self.up {
            return;
        }
        while let Some((id, seq)) = self.wire.unsent.pop_front() {
            let used = id.unwrap_or_else(|| {
                self.wire.id = self.wire.id % IDS + 1;
                self.wire.id
            });
            let announced = self.window.announced(used);
            assert_eq!(announced, if id.is_some() { Announced::Repeated } else { Announced::First });
            self.wire.flying.push_back((used, seq, self.now + self.wire.delay));
        }
    }

    fn answers(&mut self) {
        while let Some((id, seq, _)) = self.wire.flying.front().copied().filter(|(_, _, due)| *due <= self.now) {
            self.wire.flying.pop_front();
            let sent = self.window.answered(id).expect("the answer is for something");
            assert_eq!(sent.seq, seq, "it is for another event");
            self.out.remove(&seq);
            if sent.age == Age::Backlog {
                self.pace.answered(sent.at, WINDOW, self.now);
            }
            if self.wire.refuse > 0 || (self.wire.dislikes && seq.is_multiple_of(5)) {
                self.wire.refuse = self.wire.refuse.saturating_sub(1);
                let waited = self.unwanted.waits(seq);
                let reason = PubAckReason::ImplementationSpecificError;
                let released = self.unwanted.refused(seq, MESSAGE, Refusal::Answer(reason), self.now);
                self.release(released.into_iter().collect());
                if self.held_until.is_none() && !(waited && self.unwanted.waits(seq)) {
                    self.held_until = Some(self.now + self.refusals.next(0.5));
                }
            } else {
                self.refusals.reset();
                let failing = self.unwanted.is_failing();
                let released = self.unwanted.taken(Some(seq), MESSAGE);
                if failing {
                    self.held_until = self.held_until.map(|at| at.min(self.now));
                }
                self.release(released);
                self.acknowledged.insert(seq);
                self.journal.waiting.push(seq);
            }
        }
    }

    fn fill(&mut self) {
        if self.held_until.is_some_and(|at| self.now < at) {
            return;
        }
        if self.held_until.take().is_some() {
            self.boundary = self.recent.boundary();
            self.lanes.restart(self.boundary);
        }
        let noon = 20_000 * 86_400_000 + 43_200_000;
        let utc = UtcMillis(noon + (self.now - self.start).as_millis() as i64);
        self.budget.time(Some(utc), self.now);
        while self.window.len() < if self.unwanted.is_failing() { 1 } else { WINDOW } {
            let backlog = self.pace.allows(WINDOW, self.now);
            let affordable = self.budget.is_left();
            let allowed = |age, class| (age == Age::Live || backlog) && (class == Class::Alert || affordable);
            let journal = &self.journal;
            let Some((row, age)) = self.lanes.next(journal.last, allowed, |wanted| journal.read(wanted)).unwrap()
            else {
                break;
            };
            self.judge(row.seq, row.class, age, allowed);
            if age == Age::Backlog {
                self.pace.sent();
                self.backlog.push(self.now);
            }
            self.budget.spend(MESSAGE);
            self.window.handed_over(Sent { seq: row.seq, age, at: self.now });
            self.wire.unsent.push_back((None, row.seq));
        }
        if self.window.len() == 0 && self.lanes.are_empty(self.journal.last) {
            self.try_what_waits();
        }
    }

    fn try_what_waits(&mut self) {
        let suspects = self.unwanted.nothing_else(self.now);
        if !suspects.is_empty() {
            return self.release(suspects);
        }
        if !self.budget.is_left() {
            return;
        }
        let Some(seq) = self.unwanted.trial(self.now) else { return };
        if !self.journal.queued.contains_key(&seq) {
            // It had to make room.
            self.unwanted.forget(seq);
            return self.lanes.settled(seq);
        }
        assert!(self.out.insert(seq) && !self.acknowledged.contains(&seq));
        self.budget.spend(MESSAGE);
        self.window.handed_over(Sent { seq, age: Age::Live, at: self.now });
        self.wire.unsent.push_back((None, seq));
    }

    /// What goes next must be what should.
    fn judge(&mut self, seq: u64, class: Class, age: Age, allowed: impl Fn(Age, Class) -> bool) {
        assert!(self.out.insert(seq), "{seq} is under way already");
        assert!(!self.acknowledged.contains(&seq), "{seq} was delivered");
        assert!(class == Class::Alert || self.budget.spent() < DAY, "the budget is for alerts only");
        let rank = |age: Age, class: Class| (age == Age::Backlog, class);
        let age_of = |seq: u64| if seq > self.boundary { Age::Live } else { Age::Backlog };
        assert_eq!(age, age_of(seq));
        let sooner = self.journal.queued.iter().find(|(other, class_of)| {
            let age_of = age_of(**other);
            let free =
                !self.out.contains(other) && !self.acknowledged.contains(other) && !self.unwanted.is_held(**other);
            free && allowed(age_of, **class_of) && rank(age_of, **class_of) < rank(age, class)
        });
        assert_eq!(sooner, None, "{seq} ({age:?}, {class:?}) went before it");
    }

    /// With a broker that works, until nothing is left.
    fn finish(&mut self) {
        (self.wire.delay, self.wire.refuse, self.wire.dislikes) = (Duration::from_millis(10), 0, false);
        for round in 0.. {
            assert!(round < 20_000, "{} events are never delivered", self.journal.queued.len());
            self.write();
            if self.journal.queued.is_empty() {
                return;
            }
            let before = self.acknowledged.len();
            self.pass(TICK * 2);
            if self.acknowledged.len() == before {
                // The budget of the next day, or the end of a pause.
                self.pass(Duration::from_secs(3600));
            }
        }
    }

    /// Each event was acknowledged, or a `lost` event that was says so.
    fn account(&self) {
        for seq in 1..=self.journal.last {
            let told =
                || self.journal.lost.iter().any(|(report, about)| about.contains(&seq) && self.is_known(*report));
            assert!(self.acknowledged.contains(&seq) || told(), "{seq} is lost without a word");
        }
        // What went in any second of the backlog.
        for (i, from) in self.backlog.iter().enumerate() {
            let second = self.backlog[i..].iter().take_while(|at| **at - *from < Duration::from_secs(1)).count();
            assert!(second <= RATE as usize + RATE as usize / 10 + 1, "{second} of the backlog in a second");
        }
    }

    /// A `lost` event that was given up itself is covered by a later one.
    fn is_known(&self, report: u64) -> bool {
        let covered = |(later, about): &(u64, BTreeSet<u64>)| about.contains(&report) && self.is_known(*later);
        self.acknowledged.contains(&report) || self.journal.lost.iter().any(covered)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn nothing_is_lost_late_or_sent_out_of_turn(steps in prop::collection::vec(step(), 0..120)) {
        let mut simulation = Simulation::new();
        steps.iter().for_each(|step| simulation.take(step));
        simulation.finish();
        simulation.account();
    }
}
