//! The one thread that writes, and the handle through which others reach it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tracing::{error, info, warn};

use super::error::JournalError;
use super::files::{self, WriterLock};
use super::opening::{JournalOptions, Occasion, open_store};
use super::status::{JournalFigures, JournalStatus};
use super::store::{Mark, Store};
use crate::clock::{Beat, utc_now};
use crate::event::{Draft, LogId};

/// Commands that may wait for the writer; senders of events block beyond it.
const QUEUE: usize = 1024;

/// Events and marks in one transaction, so that one commit stays short.
const MAX_BATCH: usize = 1000;

/// How often an idle unit notes that it is alive: one small write (about 10 kB
/// to the card) for each, against knowing how long a power cut lasted.
const ALIVE_INTERVAL: Duration = Duration::from_secs(300);

/// One SQLite transaction that takes longer is stuck, not slow.
const COMMIT_DEADLINE: Duration = Duration::from_secs(60);

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Opening the journal; see [`Journal::open`].
#[derive(Debug)]
pub struct Journal;

enum Command {
    Append { drafts: Vec<Draft>, done: Option<Sender<u64>> },
    Mark { log: LogId, marks: Vec<Mark>, done: Option<Sender<u64>> },
    Stop,
}

/// Everybody's way to the journal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JournalHandle {
    path: PathBuf,
    commands: Sender<Command>,
    status: Arc<JournalStatus>,
}

/// The writer's thread, for whoever stops it.
#[derive(Debug)]
pub struct JournalThread {
    path: PathBuf,
    commands: Sender<Command>,
    give_up: Sender<()>,
    thread: JoinHandle<Result<(), JournalError>>,
}

impl Journal {
    /// Opens or makes the journal, writes the ends that a crash left out and
    /// the `boot` event, and starts the writer.
    ///
    /// # Errors
    /// When the file or folder cannot be used, another process writes to it,
    /// or it belongs to another program or a later version. A damaged file is
    /// no error: it is set aside and reported as a `storage` event.
    pub fn open(options: JournalOptions, beat: Beat) -> Result<(JournalHandle, JournalThread), JournalError> {
        files::make_folder(&options.path)?;
        let lock = files::lock(&options.path)?;
        let (store, figures) = open_store(&options, Occasion::Start)?;
        let status = Arc::new(JournalStatus::new(store.log().clone()));
        status.committed(figures.0, figures.1, figures.2);
        let (commands, inbox) = bounded(QUEUE);
        let (give_up, quit) = bounded(1);
        let path = options.path.clone();
        let writer = Writer {
            log: store.log().clone(),
            store: Some(store),
            options,
            _lock: lock,
            inbox,
            quit,
            status: Arc::clone(&status),
            beat,
            queued: figures.2,
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(|e| JournalError::from_io(&path, "its thread cannot be started", &e))?;
        let handle = JournalHandle { path: path.clone(), commands: commands.clone(), status };
        Ok((handle, JournalThread { path, commands, give_up, thread }))
    }
}

impl JournalHandle {
    /// Hands events over; blocks while the queue is full, never drops.
    ///
    /// # Errors
    /// [`JournalError::Closed`] when the writer has ended.
    pub fn append(&self, drafts: Vec<Draft>) -> Result<(), JournalError> {
        if drafts.is_empty() {
            return Ok(());
        }
        self.commands.send(Command::Append { drafts, done: None }).map_err(|_| JournalError::Closed)
    }

    /// Hands events over and returns when they and all before them are
    /// committed, with the last committed number.
    ///
    /// # Errors
    /// [`JournalError::Closed`] when the writer has ended.
    pub fn append_and_wait(&self, drafts: Vec<Draft>) -> Result<u64, JournalError> {
        let (done, answer) = bounded(1);
        self.commands.send(Command::Append { drafts, done: Some(done) }).map_err(|_| JournalError::Closed)?;
        answer.recv().map_err(|_| JournalError::Closed)
    }

    /// Returns when everything handed over before is committed, with the last
    /// committed number.
    ///
    /// # Errors
    /// [`JournalError::Closed`] when the writer has ended.
    pub fn flush(&self) -> Result<u64, JournalError> {
        self.append_and_wait(Vec::new())
    }

    /// Like [`flush`](Self::flush), but gives up after `patience`; returns
    /// whether everything is committed.
    pub fn flush_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, answer) = bounded(1);
        let command = Command::Append { drafts: Vec::new(), done: Some(done) };
        self.commands.send_timeout(command, patience).is_ok() && answer.recv_deadline(deadline).is_ok()
    }

    /// Notes how far events of journal `log` have come. Never blocks: gives
    /// the marks back when the queue is full.
    ///
    /// # Errors
    /// The marks, to be tried again; a closed journal takes and forgets them
    /// (what is not marked will be sent once more).
    pub fn try_mark(&self, log: &LogId, marks: Vec<Mark>) -> Result<(), Vec<Mark>> {
        match self.commands.try_send(Command::Mark { log: log.clone(), marks, done: None }) {
            Err(TrySendError::Full(Command::Mark { marks, .. })) => Err(marks),
            _ => Ok(()),
        }
    }

    /// Like [`try_mark`](Self::try_mark), but waits until they are committed or
    /// `patience` has passed; returns whether they are.
    pub fn mark_and_wait(&self, log: &LogId, marks: Vec<Mark>, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, answer) = bounded(1);
        let command = Command::Mark { log: log.clone(), marks, done: Some(done) };
        self.commands.send_timeout(command, patience).is_ok() && answer.recv_deadline(deadline).is_ok()
    }

    /// What is known about the journal without asking the writer.
    pub fn status(&self) -> &JournalStatus {
        &self.status
    }

    /// [`JournalStatus::figures`].
    pub fn figures(&self) -> JournalFigures {
        self.status.figures()
    }

    /// Resolves after a commit; for one waiting task only.
    pub async fn committed(&self) {
        self.status.committed.notified().await;
    }

    /// The database file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl JournalThread {
    /// Commits what is waiting, says goodbye and ends the thread. When the disk
    /// does not take it within `patience`, gives up.
    ///
    /// # Errors
    /// [`JournalError::Lost`] with the number of events that could not be written.
    pub fn stop(self, patience: Duration) -> Result<(), JournalError> {
        let deadline = Instant::now() + patience;
        let _ = self.commands.send_timeout(Command::Stop, patience);
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !self.thread.is_finished() {
            let _ = self.give_up.try_send(());
            // A writer stuck inside SQLite does not see it; nor can it be joined.
            let last_chance = Instant::now() + Duration::from_millis(500);
            while !self.thread.is_finished() && Instant::now() < last_chance {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        if !self.thread.is_finished() {
            return Err(JournalError::Unusable { path: self.path, why: "the disk does not answer".into() });
        }
        self.thread.join().unwrap_or_else(|_| {
            Err(JournalError::Unusable { path: self.path, why: "the writer ended unexpectedly".into() })
        })
    }

    /// Whether the thread has ended, which it does by itself only by a defect.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Writer {
    options: JournalOptions,
    /// `None` only while a damaged journal could not be replaced yet.
    store: Option<Store>,
    log: LogId,
    _lock: WriterLock,
    inbox: Receiver<Command>,
    quit: Receiver<()>,
    status: Arc<JournalStatus>,
    beat: Beat,
    queued: u64,
}

/// What shares one transaction.
struct Batch {
    log: LogId,
    drafts: Vec<Draft>,
    marks: Vec<Mark>,
    done: Vec<Sender<u64>>,
    stop: bool,
}

impl Batch {
    fn new(log: LogId) -> Batch {
        Batch { log, drafts: Vec::new(), marks: Vec::new(), done: Vec::new(), stop: false }
    }

    fn add(&mut self, command: Command) {
        match command {
            Command::Append { drafts, done } => {
                self.drafts.extend(drafts);
                self.done.extend(done);
            }
            Command::Mark { log: of, marks, done } => {
                if of == self.log {
                    self.marks.extend(marks);
                }
                self.done.extend(done);
            }
            Command::Stop => self.stop = true,
        }
    }

    fn is_full(&self) -> bool {
        self.drafts.len() + self.marks.len() >= MAX_BATCH
    }
}

impl Writer {
    fn run(mut self) -> Result<(), JournalError> {
        loop {
            self.beat.waiting();
            let mut batch = Batch::new(self.log.clone());
            match self.inbox.recv_timeout(ALIVE_INTERVAL) {
                Ok(command) => batch.add(command),
                Err(RecvTimeoutError::Timeout) => {} // an empty commit notes the time
                Err(RecvTimeoutError::Disconnected) => batch.stop = true,
            }
            while !batch.is_full() {
                let Ok(command) = self.inbox.try_recv() else { break };
                batch.add(command);
            }
            let stop = batch.stop;
            self.write(batch)?;
            if stop && self.inbox.is_empty() {
                return self.finish();
            }
            if stop {
                // What was sent before the stop but did not fit the batch.
                while let Ok(command) = self.inbox.try_recv() {
                    let mut rest = Batch::new(self.log.clone());
                    rest.add(command);
                    self.write(rest)?;
                }
                return self.finish();
            }
        }
    }

    fn finish(mut self) -> Result<(), JournalError> {
        self.beat.working(COMMIT_DEADLINE);
        let result = match &mut self.store {
            Some(store) => store.end_run(utc_now()).map_err(|e| JournalError::from_sqlite(&self.options.path, e)),
            None => Ok(()),
        };
        self.store = None;
        self.beat.finished();
        result
    }

    /// Commits `batch`, however long that takes.
    fn write(&mut self, batch: Batch) -> Result<(), JournalError> {
        let mut pause = RETRY_MIN;
        let mut failing = false;
        loop {
            self.beat.working(COMMIT_DEADLINE);
            match self.try_write(&batch) {
                Ok(last) => {
                    if failing {
                        info!("journal {}: writable again, nothing was lost", self.options.path.display());
                    }
                    for done in &batch.done {
                        let _ = done.send(last);
                    }
                    return Ok(());
                }
                Err(e) => {
                    if !failing {
                        warn!("{e}; keeping {} events in memory and trying again", batch.drafts.len());
                    }
                    failing = true;
                    self.status.failed(e.to_string());
                    if matches!(e, JournalError::Damaged { .. }) {
                        // Closed before another is made: SQLite goes by the
                        // names of the files. The next attempt opens anew.
                        self.store = None;
                    }
                    self.beat.waiting();
                    if self.quit.recv_timeout(pause).is_ok() {
                        let events = batch.drafts.len() + self.waiting_events();
                        error!("{e}; {events} events are lost");
                        self.beat.finished();
                        return Err(JournalError::Lost { path: self.options.path.clone(), events, why: e.to_string() });
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    fn try_write(&mut self, batch: &Batch) -> Result<u64, JournalError> {
        let failed = |e| JournalError::from_sqlite(&self.options.path, e);
        let store = match &mut self.store {
            Some(store) => store,
            None => {
                let (store, counts) = open_store(&self.options, Occasion::Repair)?;
                if *store.log() != self.log {
                    self.log = store.log().clone();
                    self.status.replaced(self.log.clone());
                }
                self.queued = counts.2;
                self.status.committed(counts.0, counts.1, counts.2);
                self.store.insert(store)
            }
        };
        // Marks that belong to a journal which was set aside meanwhile.
        let marks = if batch.log == self.log { batch.marks.as_slice() } else { &[] };
        let (last, marked) = store.commit(&batch.drafts, marks, utc_now()).map_err(failed)?;
        self.queued = (self.queued + batch.drafts.len() as u64).saturating_sub(marked);
        // The transaction is done; a failure to read must not repeat it.
        let low = store.low().unwrap_or_else(|_| self.status.low());
        self.status.committed(last, low, self.queued);
        Ok(last)
    }

    fn waiting_events(&self) -> usize {
        self.inbox.try_iter().map(|c| if let Command::Append { drafts, .. } = c { drafts.len() } else { 0 }).sum()
    }
}
