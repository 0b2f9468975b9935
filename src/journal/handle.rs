//! The handles through which everybody else reaches the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};
use tracing::info;

use super::error::JournalError;
use super::files;
use super::marks::{Mark, WaitingMarks};
use super::notes::Note;
use super::opening::{JournalOptions, Occasion, open_store};
use super::status::{JournalFigures, JournalStatus};
use super::writer::{Inbox, Writer};
use crate::clock::Beat;
use crate::domain::{Latencies, Mono};
use crate::event::{Draft, LogId};

/// Commands that may wait for the writer; senders of events block beyond it.
const QUEUE: usize = 1024;

/// What a stop may take beyond its time, for the writer to notice.
pub const JOURNAL_LAST_CHANCE: Duration = Duration::from_millis(500);

/// Opening the journal; see [`Journal::open`].
#[derive(Debug)]
pub struct Journal;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Commit these, then answer with the last number.
    Append { drafts: Vec<Draft>, notes: Vec<Note>, done: Option<Sender<u64>>, timing: Option<Timing> },
    /// Note how far these have come; at once if somebody waits for the answer.
    Mark { log: LogId, marks: Vec<Mark>, done: Option<Sender<u64>> },
    /// Commit, if only the time.
    Wake,
    /// A reader found the file damaged: look at it.
    Check,
    /// Commit everything and end.
    Stop,
}

/// Whoever waits for the commit without waiting: since when, and where the
/// time it took is noted.
#[derive(Debug, Clone)]
pub struct Timing {
    /// What happened then is what is committed now; CLOCK_BOOTTIME.
    pub since: Mono,
    /// Where the time from then to the commit goes.
    pub latencies: Arc<Latencies>,
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
    status: Arc<JournalStatus>,
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
        let opening = open_store(&options, Occasion::Start, &WaitingMarks::default())?;
        let status = Arc::new(JournalStatus::new(opening.store.log().clone()));
        let (commands, inbox) = bounded(QUEUE);
        let (give_up, quit) = bounded(1);
        let path = options.path.clone();
        let writer = Writer::new(options, lock, opening, Inbox { commands: inbox, quit }, Arc::clone(&status), beat);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(|e| JournalError::from_io(&path, "its thread cannot be started", &e))?;
        let handle = JournalHandle { path: path.clone(), commands: commands.clone(), status: Arc::clone(&status) };
        Ok((handle, JournalThread { path, commands, give_up, status, thread }))
    }
}

impl JournalHandle {
    /// Hands events over; blocks while the queue is full, never drops.
    ///
    /// # Errors
    /// [`JournalError::Closed`] when the writer has ended.
    pub fn append(&self, drafts: Vec<Draft>) -> Result<(), JournalError> {
        self.append_timed(drafts, None)
    }

    /// Like [`append`](Self::append), and notes how long it took from
    /// `timing.since` to the commit.
    ///
    /// # Errors
    /// The same.
    pub fn append_timed(&self, drafts: Vec<Draft>, timing: Option<Timing>) -> Result<(), JournalError> {
        if drafts.is_empty() {
            return Ok(());
        }
        self.commands
            .send(Command::Append { drafts, notes: Vec::new(), done: None, timing })
            .map_err(|_| JournalError::Closed)
    }

    /// Like [`append`](Self::append), and stores `notes` in the transaction of the
    /// events: none of them is there without the others.
    ///
    /// # Errors
    /// The same.
    pub fn append_noting(&self, drafts: Vec<Draft>, notes: Vec<Note>) -> Result<(), JournalError> {
        self.commands
            .send(Command::Append { drafts, notes, done: None, timing: None })
            .map_err(|_| JournalError::Closed)
    }

    /// Hands events over and returns when they and all before them are
    /// committed, with the last committed number.
    ///
    /// # Errors
    /// [`JournalError::Closed`] when the writer has ended.
    pub fn append_and_wait(&self, drafts: Vec<Draft>) -> Result<u64, JournalError> {
        self.append_with_notes(drafts, Vec::new())
    }

    /// Like [`append_and_wait`](Self::append_and_wait), and stores `notes` in the
    /// transaction of the events: none of them is there without the others.
    ///
    /// # Errors
    /// The same.
    pub fn append_with_notes(&self, drafts: Vec<Draft>, notes: Vec<Note>) -> Result<u64, JournalError> {
        let (done, answer) = bounded(1);
        self.commands
            .send(Command::Append { drafts, notes, done: Some(done), timing: None })
            .map_err(|_| JournalError::Closed)?;
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
        let command = Command::Append { drafts: Vec::new(), notes: Vec::new(), done: Some(done), timing: None };
        self.commands.send_timeout(command, patience).is_ok() && answer.recv_deadline(deadline).is_ok()
    }

    /// Notes how far events of journal `log` have come, in `status` at once, on
    /// disk together with what is written next. Never blocks: gives the marks
    /// back when the queue is full.
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

    /// Stores `note`, to be remembered or forgotten, soon. Never blocks: `false` when
    /// the queue is full, to be tried again.
    pub fn try_note(&self, note: Note) -> bool {
        let command = Command::Append { drafts: Vec::new(), notes: vec![note], done: None, timing: None };
        !matches!(self.commands.try_send(command), Err(TrySendError::Full(_)))
    }

    /// Has the writer commit soon, if only the time: for when the clock became
    /// right. Never blocks.
    pub fn wake(&self) {
        // A full queue means that it commits anyway.
        let _ = self.commands.try_send(Command::Wake);
    }

    /// Tells the writer that reading failed with `error`; if that means damage, or that
    /// the disk does not give back what is on it, it looks at the file, and sets it aside
    /// if it finds some. Never blocks.
    pub fn suspect(&self, error: &JournalError) {
        if matches!(error, JournalError::Damaged { .. }) || error.is_unreadable() {
            // A full queue is worked off, and reading will fail again.
            let _ = self.commands.try_send(Command::Check);
        }
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
    /// does not take it within `patience`, gives up; returns [`JOURNAL_LAST_CHANCE`] later
    /// at the latest.
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
            let last_chance = Instant::now() + JOURNAL_LAST_CHANCE;
            while !self.thread.is_finished() && Instant::now() < last_chance {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        if !self.thread.is_finished() && self.status.is_secured() {
            info!("journal {}: everything is committed; its file is not closed yet", self.path.display());
            return Ok(());
        }
        if !self.thread.is_finished() {
            return Err(JournalError::Unusable { path: self.path, why: "the disk does not answer".into() });
        }
        self.thread.join().unwrap_or_else(|_| {
            Err(JournalError::Unusable { path: self.path, why: "the writer ended unexpectedly".into() })
        })
    }
}
