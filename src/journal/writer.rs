//! The one thread that writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::{debug, error, info, warn};

use super::error::JournalError;
use super::files::{self, WriterLock};
use super::given::Given;
use super::handle::{Command, Timing};
use super::marks::{MARK_PATIENCE, WaitingMarks};
use super::notes::Note;
use super::opening::{JournalOptions, Occasion, Opening, open_store};
use super::retention::{AGE_INTERVAL, Retention, Step};
use super::space::Space;
use super::startup::aside_deleted_event;
use super::status::JournalStatus;
use super::store::{Moment, Store};
use crate::clock::{Beat, boot_time_now};
use crate::event::{Class, Draft, LogId};

/// Events in one transaction, so that one commit stays short.
const MAX_BATCH: usize = 1000;

/// How often an idle unit notes that it is alive: some 20 kB of the disk's pages
/// (two of the write-ahead log, three of its index), against knowing when a power
/// cut began. Lone acknowledgements wait for it too.
const ALIVE_INTERVAL: Duration = MARK_PATIENCE;

/// One SQLite transaction that takes longer is stuck, not slow.
const COMMIT_DEADLINE: Duration = Duration::from_secs(60);

/// How often a full disk is looked at while nothing is written.
const SPACE_INTERVAL: Duration = Duration::from_secs(30);

/// A file in which nothing was found is not looked at again before.
const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Steps of removal after one commit, at most.
const STEPS: usize = 8;

/// What is removed at least when the disk is full, so that the database need not
/// grow.
const ROOM_ON_A_FULL_DISK: u64 = 256 << 10;

/// Pages of the write-ahead log before it is moved into the database: SQLite's
/// default, and what a full disk has room for.
const LOG_PAGES: u32 = 1000;
const LOG_PAGES_ON_A_FULL_DISK: u32 = 100;

/// Failures in a row, all because the disk does not give back what is on it, before the
/// file is opened anew and looked at as a whole; and before it counts as damaged, ten
/// seconds later: a disk that fell off its bus is back by then.
const UNREADABLE_REOPEN: u32 = 3;
const UNREADABLE_GIVE_UP: u32 = 8;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What reaches the writer from outside.
pub(super) struct Inbox {
    /// What to do.
    pub commands: Receiver<Command>,
    /// A message: there is no time left.
    pub quit: Receiver<()>,
}

pub(super) struct Writer {
    options: JournalOptions,
    /// `None` only while a damaged journal could not be replaced yet.
    store: Option<Store>,
    log: LogId,
    _lock: WriterLock,
    inbox: Inbox,
    status: Arc<JournalStatus>,
    beat: Beat,
    /// Queued according to the database, which does not know the waiting marks.
    queued: u64,
    waiting: WaitingMarks,
    /// By class: nothing up to this number waits for its delivery.
    settled: [u64; Class::ALL.len()],
    last_commit: Instant,
    /// When the file was last looked at as a whole.
    checked: Option<Instant>,
    /// Failures in a row to read what is on the disk.
    unreadable: u32,
    /// When old damaged journals were last looked for.
    aside_looked_at: Option<Instant>,
    /// Nothing that was deleted is left in the write-ahead log.
    erased: bool,
    retention: Retention,
    space: Space,
    /// `None` where others number the events.
    given: Option<Given>,
}

/// What shares one transaction.
#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    notes: Vec<Note>,
    done: Vec<Sender<u64>>,
    timings: Vec<Timing>,
    /// Written even if there are no events in it.
    now: bool,
    stop: bool,
}

impl Writer {
    pub fn new(
        options: JournalOptions,
        lock: WriterLock,
        opening: Opening,
        inbox: Inbox,
        status: Arc<JournalStatus>,
        beat: Beat,
    ) -> Writer {
        let mut writer = Writer {
            retention: Retention::new(options.limits),
            space: Space::new(&options.path, options.reserve_bytes),
            log: opening.store.log().clone(),
            store: Some(opening.store),
            given: opening.given,
            options,
            _lock: lock,
            inbox,
            status,
            beat,
            queued: opening.queued,
            waiting: WaitingMarks::default(),
            settled: [0; Class::ALL.len()],
            last_commit: Instant::now(),
            checked: None,
            unreadable: 0,
            aside_looked_at: None,
            erased: true,
        };
        if opening.replaces {
            writer.status.set_aside();
        }
        writer.status.committed(opening.last, 0);
        writer.report_delivered();
        writer
    }

    pub fn run(mut self) -> Result<(), JournalError> {
        loop {
            let batch = self.gather();
            let stop = batch.stop;
            self.handle(batch)?;
            if stop {
                // What was sent before the stop but did not fit the batch.
                let mut rest = Batch::default();
                while let Ok(command) = self.inbox.commands.try_recv() {
                    self.add(&mut rest, command);
                }
                self.handle(rest)?;
                return self.finish();
            }
        }
    }

    /// Waits for something to do, and takes what is there.
    fn gather(&mut self) -> Batch {
        self.beat.waiting();
        let mut batch = Batch::default();
        let note_alive = self.last_commit + if self.space.is_full() { SPACE_INTERVAL } else { ALIVE_INTERVAL };
        let wake = self.waiting.due().map_or(note_alive, |due| due.min(note_alive));
        match self.inbox.commands.recv_deadline(wake) {
            Ok(command) => self.add(&mut batch, command),
            Err(RecvTimeoutError::Timeout) => batch.now = true,
            Err(RecvTimeoutError::Disconnected) => batch.stop = true,
        }
        while batch.drafts.len() < MAX_BATCH {
            let Ok(command) = self.inbox.commands.try_recv() else { break };
            self.add(&mut batch, command);
        }
        let due = self.waiting.due().is_some_and(|due| due <= Instant::now());
        batch.now |= due || (batch.stop && self.waiting.len() > 0);
        batch
    }

    fn add(&mut self, batch: &mut Batch, command: Command) {
        match command {
            Command::Append { drafts, notes, done, timing } => {
                batch.drafts.extend(drafts);
                batch.now |= !notes.is_empty();
                batch.notes.extend(notes);
                batch.timings.extend(timing);
                batch.done.extend(done);
            }
            Command::Mark { log, marks, done } => {
                // Others belong to a journal that was set aside meanwhile.
                if log == self.log {
                    self.waiting.add(marks, Instant::now());
                }
                batch.now |= done.is_some();
                batch.done.extend(done);
            }
            Command::Wake => batch.now = true,
            Command::Check => self.check(batch),
            Command::Stop => batch.stop = true,
        }
    }

    /// Opens the file anew at the next commit, which looks at all of it.
    fn check(&mut self, batch: &mut Batch) {
        let now = Instant::now();
        if self.checked.is_some_and(|at| now.saturating_duration_since(at) < CHECK_INTERVAL) {
            return;
        }
        warn!("journal {}: a reader found it damaged; looking at it", self.options.path.display());
        self.checked = Some(now);
        self.store = None;
        batch.now = true;
    }

    /// Writes what has to be written, and answers.
    fn handle(&mut self, batch: Batch) -> Result<(), JournalError> {
        if batch.now || !batch.drafts.is_empty() {
            return self.write(batch);
        }
        self.report_delivered();
        self.answer(&batch, self.status.last_seq());
        Ok(())
    }

    fn answer(&self, batch: &Batch, last: u64) {
        for done in &batch.done {
            let _ = done.send(last);
        }
    }

    fn finish(mut self) -> Result<(), JournalError> {
        self.beat.working(COMMIT_DEADLINE);
        let result = match &mut self.store {
            Some(store) => {
                store.end_run(&self.options.clock.saved()).map_err(|e| JournalError::from_sqlite(&self.options.path, e))
            }
            None => Ok(()),
        };
        self.note_given(true);
        if result.is_ok() {
            // Closing may take a slow disk its time; nothing depends on it.
            self.status.secured();
        }
        self.store = None;
        self.beat.finished();
        result
    }

    /// Which numbers were given, beside the journal.
    fn note_given(&mut self, due: bool) {
        let last = self.status.last_seq();
        if let Some(Err(e)) = self.given.as_mut().map(|given| given.note(&self.log, last, due)) {
            debug!("which numbers were given is not noted beside the journal: {e}");
        }
    }

    /// Commits `batch` and the waiting marks, however long that takes.
    fn write(&mut self, mut batch: Batch) -> Result<(), JournalError> {
        let mut pause = RETRY_MIN;
        let mut failing = false;
        if let Some(report) = self.space.recovered(self.options.clock.now()) {
            batch.drafts.push(report);
            self.checkpoint_every(LOG_PAGES);
        }
        let old_aside = self.old_aside();
        let now = self.options.clock.now();
        batch.drafts.extend(old_aside.iter().map(|name| aside_deleted_event(name, now)));
        loop {
            self.beat.working(COMMIT_DEADLINE);
            match self.try_write(&batch) {
                Ok(last) => {
                    self.unreadable = 0;
                    if failing {
                        info!("journal {}: writable again, nothing was lost", self.options.path.display());
                    }
                    let now = boot_time_now();
                    batch.timings.iter().for_each(|timing| timing.latencies.record(now.since(timing.since)));
                    self.answer(&batch, last);
                    self.delete_aside(&old_aside);
                    self.remove_old();
                    self.note_given(false);
                    return Ok(());
                }
                Err(e) => {
                    if self.space.is_cause_of(&e) {
                        let report = self.space.filled(self.options.clock.now());
                        let first = report.is_some();
                        batch.drafts.extend(report);
                        self.make_room();
                        if first {
                            self.checkpoint_every(LOG_PAGES_ON_A_FULL_DISK);
                            // The reserve is room: no need to wait.
                            pause = Duration::ZERO;
                        }
                    }
                    if !failing {
                        warn!("{e}; keeping {} events in memory and trying again", batch.drafts.len());
                    }
                    failing = true;
                    self.status.failed(e.to_string());
                    self.unreadable = if e.is_unreadable() { self.unreadable + 1 } else { 0 };
                    if matches!(e, JournalError::Damaged { .. }) || self.unreadable >= UNREADABLE_REOPEN {
                        // Closed before another is made: SQLite goes by the
                        // names of the files. The next attempt opens anew.
                        self.store = None;
                    }
                    self.beat.waiting();
                    if self.inbox.quit.recv_timeout(pause).is_ok() {
                        let events = batch.drafts.len() + self.waiting_events();
                        error!("{e}; {events} events are lost");
                        self.beat.finished();
                        return Err(JournalError::Lost { path: self.options.path.clone(), events, why: e.to_string() });
                    }
                    pause = (pause * 2).clamp(RETRY_MIN, RETRY_MAX);
                }
            }
        }
    }

    fn try_write(&mut self, batch: &Batch) -> Result<u64, JournalError> {
        if self.store.is_none() {
            let hopeless = self.unreadable >= UNREADABLE_GIVE_UP;
            let opening = open_store(&self.options, Occasion::Repair { hopeless }, &self.waiting)?;
            self.reopened(opening);
        }
        let Some(store) = &mut self.store else { return Err(JournalError::Closed) };
        let done = store
            .commit(&batch.drafts, &batch.notes, self.waiting.marks(), &self.options.clock)
            .map_err(|e| JournalError::from_sqlite(&self.options.path, e))?;
        self.queued = (self.queued + done.appended).saturating_sub(done.settled);
        let corrections = store.retime(&self.options.clock).unwrap_or_else(|e| {
            // What is committed must not be repeated; the next commit tries again.
            let e = JournalError::from_sqlite(&self.options.path, e);
            warn!("the times of earlier events could not be corrected yet: {e}");
            0
        });
        self.queued += corrections;
        self.last_commit = Instant::now();
        self.waiting.marks().iter().for_each(|mark| self.retention.settled(mark.seq));
        // What is acknowledged counts before the link is woken to send more.
        let marks = self.waiting.marks().len() as u64;
        self.waiting.clear();
        let last = done.last + corrections;
        self.report_delivered_up_to(last);
        self.status.committed(last, marks);
        Ok(done.last)
    }

    /// Removes what is old, or too much.
    fn remove_old(&mut self) {
        for _ in 0..STEPS {
            let Some(bytes) = self.store.as_ref().and_then(|store| store.bytes().ok()) else { return };
            let running = self.options.clock.running();
            let Some(step) = self.retention.next(bytes, running, Instant::now()) else { break };
            if !self.remove(step) {
                return;
            }
        }
        // The write-ahead log still has it, as it was.
        if !self.erased && !self.retention.is_aging() {
            // Another time, if a reader is in the way.
            let done = self.store.as_ref().is_some_and(|store| store.try_to_truncate_log().unwrap_or(false));
            self.erased = done;
        }
    }

    /// Damaged journals that were set aside long ago, of which everything was taken over,
    /// and what is to be said about them. Looked for as rarely as old events.
    fn old_aside(&mut self) -> Vec<String> {
        let now = Instant::now();
        let due = self.aside_looked_at.is_none_or(|at| now.saturating_duration_since(at) >= AGE_INTERVAL);
        let running = self.options.clock.running();
        if !due {
            return Vec::new();
        }
        self.aside_looked_at = Some(now);
        // Before the unit has run for so long nothing is old, but the others begin to age.
        let before = running.minus(self.options.limits.keep).unwrap_or_default();
        files::taken_before(&self.options.path, before, running)
    }

    fn delete_aside(&self, names: &[String]) {
        for name in names {
            match files::remove_aside(&self.options.path, name) {
                Ok(()) => info!("{name}, a damaged journal set aside, is older than journal.keep: deleted"),
                Err(e) => warn!("{name}, a damaged journal set aside, cannot be deleted: {e}"),
            }
        }
    }

    fn truncate_log(&self) {
        if let Some(Err(e)) = self.store.as_ref().map(Store::truncate_log) {
            debug!("the write-ahead log keeps its space: {e}");
        }
    }

    /// On a full disk: pages inside the database, and the space of its log.
    fn make_room(&mut self) {
        if let Some(step) = self.retention.make_room(ROOM_ON_A_FULL_DISK) {
            self.remove(step);
        }
        self.truncate_log();
    }

    fn checkpoint_every(&self, pages: u32) {
        if let Some(Err(e)) = self.store.as_ref().map(|store| store.checkpoint_every(pages)) {
            debug!("the write-ahead log keeps its size: {e}");
        }
    }

    fn remove(&mut self, step: Step) -> bool {
        let now = Moment::of(&self.options.clock);
        let Some(store) = &mut self.store else { return false };
        match store.remove(step, now) {
            Ok(removal) => {
                self.retention.done(step, removal.removed);
                if removal.given_up > 0 {
                    error!(
                        "journal {}: full; {} undelivered events are given up",
                        self.options.path.display(),
                        removal.given_up
                    );
                    self.status.lost(removal.given_up);
                }
                if removal.aged > 0 {
                    info!("{} events older than journal.keep are deleted", removal.aged);
                    self.status.aged(removal.aged);
                }
                self.erased &= removal.removed.events == 0 && removal.given_up == 0;
                if removal.added > 0 {
                    self.queued = (self.queued + removal.added).saturating_sub(removal.given_up);
                    let last = self.status.last_seq() + removal.added;
                    self.report_delivered_up_to(last);
                    self.status.committed(last, 0);
                }
                true
            }
            // There is another time.
            Err(e) => {
                debug!("nothing is removed: {e}");
                false
            }
        }
    }

    /// Goes on with what was opened in place of a damaged journal.
    fn reopened(&mut self, opening: Opening) {
        if *opening.store.log() != self.log {
            self.log = opening.store.log().clone();
            self.status.replaced(self.log.clone());
            self.status.set_aside();
            self.waiting.clear();
        }
        self.settled = [0; Class::ALL.len()];
        self.retention = Retention::new(self.options.limits);
        self.queued = opening.queued;
        self.given = opening.given;
        self.store = Some(opening.store);
        self.status.committed(opening.last, 0);
        self.report_delivered();
    }

    /// Publishes how much is delivered, waiting marks included.
    fn report_delivered(&mut self) {
        self.report_delivered_up_to(self.status.last_seq());
    }

    fn report_delivered_up_to(&mut self, last: u64) {
        let Some(store) = &self.store else { return };
        for (class, settled) in Class::ALL.into_iter().zip(&mut self.settled) {
            // A failure to read only means that the figure is an old one.
            if let Ok(first) = store.first_queued(class, *settled, &self.waiting) {
                *settled = first.map_or(last, |first| first - 1);
            }
        }
        let low = self.settled.iter().copied().min().unwrap_or(0);
        self.status.delivered(low, self.queued.saturating_sub(self.waiting.len() as u64));
    }

    fn waiting_events(&self) -> usize {
        let events = |c| if let Command::Append { drafts, .. } = c { drafts.len() } else { 0 };
        self.inbox.commands.try_iter().map(events).sum()
    }
}
