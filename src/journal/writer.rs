//! The one thread that writes, and the handle through which others reach it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tracing::{error, info, warn};

use super::error::JournalError;
use super::files::{self, WriterLock};
use super::schema;
use super::startup;
use super::status::{JournalFigures, JournalStatus};
use super::store::{self, Mark, Store};
use crate::clock::{Beat, SystemClock, utc_now};
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

/// A journal that was stopped cleanly and is larger than this is not checked
/// page by page at the start: an SD card reads some 20 MB a second.
const CHECK_ALWAYS_BELOW: u64 = 32 << 20;

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The database file.
    pub path: PathBuf,
    /// The unit's id, written into every event.
    pub unit: String,
    /// The `log` of a new file; a random one if `None`. An existing file keeps its own.
    pub log: Option<LogId>,
    /// Whether the start is an event (not so for a published replay).
    pub boot_event: bool,
    /// The program's version, to tell an update from a restart.
    pub version: String,
}

impl JournalOptions {
    /// The daemon's own journal.
    pub fn new(path: impl Into<PathBuf>, unit: impl Into<String>) -> JournalOptions {
        JournalOptions {
            path: path.into(),
            unit: unit.into(),
            log: None,
            boot_event: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

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

/// (last seq, low, queued)
type Counts = (u64, u64, u64);

/// Why the database is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// The daemon starts.
    Start,
    /// It was found damaged while running: what is open is still open.
    Repair,
}

/// Opens the database, sets it aside if it is damaged, and begins a run.
fn open_store(options: &JournalOptions, occasion: Occasion) -> Result<(Store, Counts), JournalError> {
    let path = &options.path;
    let now = SystemClock::new().now();
    let mut events = Vec::new();
    let mut damaged = files::has_orphan_wal(path).then(|| "its write-ahead log is there without it".to_owned());
    let mut attempts = 0;
    let (mut store, last_run, ends) = loop {
        if let Some(why) = damaged.take() {
            let name = files::set_aside(path, now.t)?;
            error!("journal {} is damaged ({why}): set aside as {name}, a new one is begun", path.display());
            events.push(startup::set_aside_event(&name, &why, now));
        }
        match open_existing(options) {
            Ok(opened) => break opened,
            Err(JournalError::Damaged { why, .. }) if attempts == 0 => {
                attempts += 1;
                damaged = Some(why);
            }
            Err(e) => return Err(e),
        }
    };
    if occasion == Occasion::Start {
        if options.boot_event {
            events.push(startup::boot_event(last_run.as_ref(), now, &options.version));
        }
        events.extend(ends);
    }
    let failed = |e| JournalError::from_sqlite(path, e);
    let last = store.begin_run(&events, now, &options.version).map_err(failed)?;
    let (queued, low) = store.queued_and_low().map_err(failed)?;
    Ok((store, (last, low, queued)))
}

type Opened = (Store, Option<startup::LastRun>, Vec<Draft>);

fn open_existing(options: &JournalOptions) -> Result<Opened, JournalError> {
    let path = &options.path;
    files::make_file(path)?;
    let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    let failed = |e| JournalError::from_sqlite(path, e);
    let mut db = store::connect(path).map_err(failed)?;
    match schema::identify(&db).map_err(failed)? {
        schema::Kind::Ours => {}
        schema::Kind::Newer(found) => {
            return Err(JournalError::Newer { path: path.clone(), found, known: schema::VERSION });
        }
        schema::Kind::Foreign => return Err(JournalError::Foreign { path: path.clone() }),
    }
    schema::migrate(&mut db).map_err(failed)?;
    let new_log = match &options.log {
        Some(log) => log.clone(),
        None => random_log_id().map_err(|e| JournalError::from_io(path, "no random numbers for its id", &e))?,
    };
    let store = Store::new(db, &options.unit, &new_log).map_err(failed)?;
    let last_run = store.last_run().map_err(failed)?;
    if size < CHECK_ALWAYS_BELOW || !last_run.as_ref().is_some_and(|run| run.clean_stop) {
        store
            .quick_check()
            .map_err(failed)?
            .map_or(Ok(()), |why| Err(JournalError::Damaged { path: path.clone(), why }))?;
    }
    let ends = store.interrupted_ends().map_err(failed)?;
    Ok((store, last_run, ends))
}

/// Six characters of lower-case base 32 (RFC 4648): 30 random bits.
fn random_log_id() -> std::io::Result<LogId> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(LogId(bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b % 32))).map(|&c| char::from(c)).collect()))
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
