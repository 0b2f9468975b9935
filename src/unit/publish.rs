//! Sending what a replay finds to the broker: a journal of its own beside the
//! unit's, and a link of its own, so that the running daemon notices nothing.
//!
//! The events are marked `"replay":true` and numbered under the `log` of that
//! journal. What the broker does not take stays in it and is sent by the next
//! published replay.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::Beat;
use crate::config::Config;
use crate::event::{Draft, Event, LogId};
use crate::journal::{self, Journal, JournalError, JournalHandle, JournalOptions, JournalThread, Limits};
use crate::uplink::{CONNECT_TIMEOUT_S, LinkSettings, Uplink, UplinkError, UplinkHandle, UplinkSetup};

/// How long the broker may acknowledge nothing before the wait is given up: as long as an
/// attempt to connect may take, and some more for what is sent then. Where attempts
/// fail one after the other, there is no need to wait so long.
const PATIENCE: Duration = Duration::from_secs(CONNECT_TIMEOUT_S + 15);
const PATIENCE_WITH_FAILURES: Duration = Duration::from_secs(15);
const FAILURES: u64 = 3;

/// For saying goodbye to the broker and to the disk.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Why events could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker's settings are wrong, or there are none.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The running daemon uses this login.
    #[error(
        "the running daemon is logged in as {0}, and a broker may throw it out when somebody else comes with that \
         login; stop it first, or use a configuration with another uplink.username"
    )]
    LoginInUse(String),
    /// The system gives no random numbers.
    #[error("no random numbers for the journal's id: {0}")]
    Random(getrandom::Error),
    /// The broker did not take everything.
    #[error(
        "{queued} events were not delivered to {broker}{}; they wait in {} for the next replay --publish",
        why.as_ref().map_or(String::new(), |why| format!(" ({why})")), journal.display()
    )]
    Undelivered {
        /// How many.
        queued: u64,
        /// The broker's address.
        broker: String,
        /// What the link said last.
        why: Option<String>,
        /// Where they are.
        journal: PathBuf,
    },
}

/// The journal of published replays: `journal-replay.db` beside `journal.db`.
pub fn replay_journal(journal: &Path) -> PathBuf {
    let stem = journal.file_stem().unwrap_or_default().to_string_lossy();
    journal.with_file_name(format!("{stem}-replay.db"))
}

/// An open journal for replayed events and the link that sends them.
pub struct ReplayPublisher {
    unit: String,
    broker: String,
    log: LogId,
    journal: JournalHandle,
    thread: JournalThread,
    uplink: UplinkHandle,
}

impl ReplayPublisher {
    /// Opens the journal and starts the link. An absent broker is no error yet.
    ///
    /// # Errors
    /// When there is no broker in `config`, its settings are wrong, or the
    /// journal cannot be used, for example because another replay is using it; and when
    /// the daemon runs with the login that the broker wants.
    pub fn open(config: &Config) -> Result<ReplayPublisher, PublishError> {
        let settings = LinkSettings::load(&config.unit, &config.uplink)?.always_connected();
        if let (Some(user), Some(_)) = (settings.username(), journal::in_use(&config.journal.path)) {
            return Err(PublishError::LoginInUse(user.to_owned()));
        }
        let broker = settings.broker().to_string();
        let mut options = JournalOptions::new(replay_journal(&config.journal.path), &config.unit.id);
        options.log = Some(LogId(format!("replay-{:08x}", getrandom::u32().map_err(PublishError::Random)?)));
        options.boot_event = false;
        options.reserve_bytes = 0;
        options.limits = Limits { keep: config.journal.keep.0, max_bytes: config.journal.max_size.0 };
        options.sendable_bytes = Some(config.uplink.largest_event());
        let (journal, thread) = Journal::open(options, Beat::unwatched())?;
        let setup = UplinkSetup {
            settings,
            journal: journal.clone(),
            announce: false,
            health: None,
            stills: None,
            beat: Beat::unwatched(),
        };
        let uplink = Uplink::start(setup)?;
        // An existing file keeps its own id.
        let log = journal.status().log();
        Ok(ReplayPublisher { unit: config.unit.id.clone(), broker, log, journal, thread, uplink })
    }

    /// Commits an event, which the link then sends, and gives it its number.
    ///
    /// # Errors
    /// When the journal's writer has ended.
    pub fn publish(&self, draft: Draft) -> Result<Event, JournalError> {
        let seq = self.journal.append_and_wait(vec![draft.clone()])?;
        Ok(Event::new(&self.unit, &self.log, seq, draft))
    }

    /// Waits until everything is delivered, as long as the broker goes on
    /// acknowledging, and ends.
    ///
    /// # Errors
    /// [`PublishError::Undelivered`] when the broker has acknowledged nothing
    /// for 15 s in spite of several attempts, or for 55 s; the events stay in the journal.
    pub fn finish(self) -> Result<(), PublishError> {
        let mut queued = self.journal.figures().queued;
        let (mut progress, mut failures) = (Instant::now(), self.uplink.figures().failures);
        while queued > 0 && !self.uplink.is_finished() {
            let failed = self.uplink.figures().failures.saturating_sub(failures);
            if progress.elapsed() >= if failed < FAILURES { PATIENCE } else { PATIENCE_WITH_FAILURES } {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            let now = self.journal.figures().queued;
            if now < queued {
                (progress, failures) = (Instant::now(), self.uplink.figures().failures);
            }
            queued = now;
        }
        let figures = self.uplink.figures();
        let journal = self.journal.path().to_owned();
        self.uplink.stop(STOP_PATIENCE);
        self.thread.stop(STOP_PATIENCE)?;
        if queued > 0 {
            let why = figures.error.or(figures.waiting_why);
            return Err(PublishError::Undelivered { queued, broker: self.broker, why, journal });
        }
        if figures.unheard > 0 {
            tracing::warn!("nobody has subscribed to {} of the events at {}", figures.unheard, self.broker);
        }
        if figures.set_aside > 0 {
            tracing::warn!("{} events are larger than uplink.max_packet; they stay unsent", figures.set_aside);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_lies_beside_the_units() {
        let beside = |path: &str| replay_journal(Path::new(path)).display().to_string();
        assert_eq!(beside("/var/lib/tawny/journal.db"), "/var/lib/tawny/journal-replay.db");
        assert_eq!(beside("unit.sqlite"), "unit-replay.db");
    }
}
