//! The thread that carries out what operators order, and ends pauses.
//!
//! It is the only one that changes what is ordered, so orders and the end of a
//! pause never cross. For each order the journal first stores, in one transaction,
//! the counter that keeps it from being done twice, the new state and the event
//! about it; then the counter goes into the file beside the journal; then the order
//! takes effect; then it is answered. A crash in between leaves
//! what the next start reads from the journal. Files are opened and summed up here;
//! the link reads them piece by piece.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never};

use super::fetch::Fetch;
use crate::clock::{Beat, Reading, SystemClock};
use crate::config::HumanDuration;
use crate::control::{
    CounterFile, Counters, Done, LONGEST_PAUSE, NOTES, Order, Orders, OutgoingFile, Pause, PauseSwitch, Picture,
    Reason, Refusal, SHORTEST_PAUSE, What,
};
use crate::event::{Body, Draft, Phase};
use crate::evidence::Kind;
use crate::journal::{JournalError, JournalHandle, JournalReader, Note};

/// Orders that may wait.
const QUEUE: usize = 8;

/// The journal's note of a pause.
const NOTE: &str = "pause";

/// How often a pause that was carried over a reboot is held against the clock.
const STEP: Duration = Duration::from_secs(5);

/// The running thread; ends soon after it is dropped.
#[derive(Debug)]
pub struct OrderDesk {
    orders: Orders,
    switch: Arc<PauseSwitch>,
    _stop: Sender<()>,
}

impl OrderDesk {
    /// Takes up the pause that the journal remembers, and starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(clock: SystemClock, journal: JournalHandle, fetch: Fetch, beat: Beat) -> io::Result<OrderDesk> {
        let (orders, inbox) = bounded(QUEUE);
        let (stop, stopped) = bounded(0);
        let switch = Arc::new(PauseSwitch::default());
        let counters = CounterFile::beside(journal.path());
        let switch_here = Arc::clone(&switch);
        let spent = Counters::default();
        let mut desk = Desk { clock, journal, fetch, beat, switch: switch_here, pause: None, counters, spent };
        desk.remember();
        std::thread::Builder::new().name("orders".into()).spawn(move || {
            desk.run(&inbox, &stopped);
            desk.beat.finished();
        })?;
        Ok(OrderDesk { orders, switch, _stop: stop })
    }

    /// Where orders go.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Whether anything is to be watched.
    pub fn pause(&self) -> Arc<PauseSwitch> {
        Arc::clone(&self.switch)
    }
}

/// How an order ended.
type Outcome = Result<Done, Refusal>;

struct Desk {
    clock: SystemClock,
    journal: JournalHandle,
    fetch: Fetch,
    beat: Beat,
    switch: Arc<PauseSwitch>,
    pause: Option<Pause>,
    counters: CounterFile,
    /// What that file holds.
    spent: Counters,
}

impl Desk {
    /// What the journal and the file beside it know of counters, both in both: the
    /// journal's may be from a program that kept no file.
    fn remember_counters(&mut self) {
        self.spent.raise(self.counters.read());
        match JournalReader::open(self.journal.path()).and_then(|reader| reader.notes(NOTES)) {
            Ok(notes) => self.note_spent(notes),
            Err(e) => tracing::warn!("counters of commands: {e}"),
        }
    }

    /// These notes of the journal are committed.
    fn note_spent(&mut self, notes: impl IntoIterator<Item = (String, String)>) {
        let news = Counters::load(notes).is_some_and(|counters| self.spent.raise(counters.all()));
        if !news {
            return;
        }
        if let Err(e) = self.counters.write(&self.spent) {
            tracing::warn!("the counters of commands are in the journal alone: {e}");
        }
    }

    /// The pause that an earlier run left.
    fn remember(&mut self) {
        let notes = JournalReader::open(self.journal.path()).and_then(|reader| reader.notes(NOTE));
        let pause = match notes {
            Ok(notes) => notes.into_iter().find(|(key, _)| key == NOTE).map(|(_, text)| serde_json::from_str(&text)),
            // Better to watch without being asked than not to watch.
            Err(e) => {
                tracing::warn!("a pause is not remembered: {e}");
                return;
            }
        };
        match pause {
            Some(Ok(pause)) => {
                let pause = Pause::resumed(pause, &self.clock.read());
                self.switch.set(Some(pause.end()));
                self.pause = Some(pause);
            }
            Some(Err(e)) => tracing::warn!("a pause is not remembered: {e}"),
            None => {}
        }
    }

    fn run(&mut self, inbox: &Receiver<Order>, stopped: &Receiver<()>) {
        self.beat.waiting();
        self.remember_counters();
        // What was carried over a reboot counts from this boot on.
        if let Some(pause) = self.pause.clone()
            && self.store(Vec::new(), vec![note(Some(&pause))]).is_err()
        {
            return;
        }
        loop {
            if self.end_what_is_over().is_err() {
                return;
            }
            self.beat.waiting();
            let left = self.pause.as_ref().map(|pause| pause.end().since(self.clock.read().mono));
            let next = left.map_or_else(never, |left| after(left.min(STEP)));
            let done = crossbeam_channel::select! {
                recv(inbox) -> order => match order {
                    Ok(order) => self.carry_out(order),
                    Err(_) => return,
                },
                recv(stopped) -> _ => return,
                recv(next) -> _ => Ok(()),
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<(), JournalError> {
        let Order { what, by, note: counter, answer } = order;
        let notes = vec![counter];
        let outcome = match &what {
            Ok(What::Pause { duration }) => self.pause(*duration, &by, notes)?,
            Ok(What::Resume) => self.resume(&by, notes)?,
            Ok(What::Still(Picture::Now(wanted))) => {
                self.store(Vec::new(), notes)?;
                tracing::info!("a picture of now was ordered by {by}");
                self.fetch.now(wanted.clone(), answer);
                return Ok(());
            }
            Ok(What::Still(Picture::Kept { of, full, from })) => {
                self.store(Vec::new(), notes)?;
                let kind = if *full { Kind::Full } else { Kind::Small };
                self.fetch.kept(kind, *of, *from).map(with_file)
            }
            Ok(What::Clip { of, from }) => {
                self.store(Vec::new(), notes)?;
                self.fetch.kept(Kind::Clip, *of, *from).map(with_file)
            }
            Ok(What::Ping | What::Resend { .. }) => self.store(Vec::new(), notes).map(|()| Ok(Done::default()))?,
            Err(refusal) => self.store(Vec::new(), notes).map(|()| Err(refusal.clone()))?,
        };
        match (&outcome, &what) {
            (Ok(_), Ok(what)) => tracing::info!("{} was ordered by {by}", what.rule().0),
            (Err(refusal), _) => tracing::warn!("an order by {by} was refused: {}", refusal.why),
            _ => {}
        }
        answer.send(outcome);
        Ok(())
    }

    fn pause(&mut self, duration: HumanDuration, by: &str, mut notes: Vec<Note>) -> Result<Outcome, JournalError> {
        let duration = match allowed(duration) {
            Ok(duration) => duration,
            Err(refusal) => return self.store(Vec::new(), notes).map(|()| Err(refusal)),
        };
        let now = self.clock.read();
        let pause = Pause::begin(&now, duration, by);
        notes.push(note(Some(&pause)));
        let until = Some(pause.until());
        let body = Body::Pause { phase: Phase::Start, until, by: Some(by.to_owned()), why: "ordered".to_owned() };
        self.store(vec![draft(&now, body)], notes)?;
        self.switch.set(Some(pause.end()));
        self.pause = Some(pause);
        Ok(Ok(Done { until, file: None }))
    }

    fn resume(&mut self, by: &str, mut notes: Vec<Note>) -> Result<Outcome, JournalError> {
        let now = self.clock.read();
        let body = Body::Pause { phase: Phase::End, until: None, by: Some(by.to_owned()), why: "ordered".to_owned() };
        let events = self.pause.iter().map(|_| draft(&now, body.clone())).collect();
        notes.push(note(None));
        self.store(events, notes)?;
        self.switch.set(None);
        self.pause = None;
        Ok(Ok(Done::default()))
    }

    fn end_what_is_over(&mut self) -> Result<(), JournalError> {
        let now = self.clock.read();
        let Some(pause) = self.pause.as_ref().filter(|pause| pause.is_over(&now)) else { return Ok(()) };
        let body = Body::Pause { phase: Phase::End, until: None, by: None, why: "its time is over".to_owned() };
        let stamp = now.stamp(pause.end().min(now.mono));
        self.store(vec![Draft { stamp, body, replay: false }], vec![note(None)])?;
        self.switch.set(None);
        self.pause = None;
        Ok(())
    }

    /// Returns when all is committed, and what was spent stays so, however long the
    /// disk takes.
    fn store(&mut self, drafts: Vec<Draft>, notes: Vec<Note>) -> Result<(), JournalError> {
        self.beat.waiting();
        let spent: Vec<_> = notes
            .iter()
            .filter(|note| note.key.starts_with(NOTES))
            .filter_map(|note| Some((note.key.clone(), note.value.clone()?)))
            .collect();
        self.journal.append_with_notes(drafts, notes)?;
        self.note_spent(spent);
        Ok(())
    }
}

fn draft(now: &Reading, body: Body) -> Draft {
    Draft { stamp: now.stamp(now.mono), body, replay: false }
}

fn note(pause: Option<&Pause>) -> Note {
    // A struct of numbers and strings always serialises.
    Note { key: NOTE.to_owned(), value: pause.and_then(|pause| serde_json::to_string(pause).ok()) }
}

fn with_file(file: OutgoingFile) -> Done {
    Done { until: None, file: Some(file) }
}

fn allowed(duration: HumanDuration) -> Result<Duration, Refusal> {
    if (SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&duration.0) {
        return Ok(duration.0);
    }
    let (least, most) = (HumanDuration(SHORTEST_PAUSE), HumanDuration(LONGEST_PAUSE));
    Err(Refusal::new(Reason::Range, format!("a pause lasts from {least} to {most}")))
}
