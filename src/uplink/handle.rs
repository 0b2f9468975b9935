//! The link's thread: what it needs to start, and how it is stopped.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::link::Link;
use super::settings::{LinkSettings, UplinkError};
use super::status::{UplinkFigures, UplinkStatus};
use super::stills::StillFeed;
use crate::clock::Beat;
use crate::journal::JournalHandle;

/// What a stop may take beyond its time: the end of the connection, and `link_down`.
pub const UPLINK_LAST_STEPS: Duration = Duration::from_secs(1);

/// A publisher of `health` messages.
pub struct HealthFeed {
    /// Time between messages.
    pub interval: Duration,
    /// Makes the JSON text.
    pub render: Box<dyn Fn() -> String + Send>,
}

/// What the link needs.
pub struct UplinkSetup {
    /// Where to, and as whom.
    pub settings: LinkSettings,
    /// What to send.
    pub journal: JournalHandle,
    /// Whether to publish birth, goodbye and last will (not so for a replay).
    pub announce: bool,
    /// The unit's condition.
    pub health: Option<HealthFeed>,
    /// Small stills, if there are any.
    pub stills: Option<StillFeed>,
    /// For the watchdog.
    pub beat: Beat,
}

/// Starting the link; see [`Uplink::start`].
#[derive(Debug)]
pub struct Uplink;

/// The running link.
#[derive(Debug)]
pub struct UplinkHandle {
    stop: watch::Sender<Option<Instant>>,
    status: Arc<UplinkStatus>,
    thread: JoinHandle<()>,
}

impl Uplink {
    /// Starts the link's thread. An absent broker is no error; it is tried
    /// again for ever.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(setup: UplinkSetup) -> Result<UplinkHandle, UplinkError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UplinkError::Thread)?;
        let (stop, stopped) = watch::channel(None);
        let status = Arc::new(UplinkStatus::default());
        let beat = setup.beat.clone();
        let link = Link::new(setup, Arc::clone(&status), stopped);
        let thread = std::thread::Builder::new()
            .name("uplink".into())
            .spawn(move || {
                runtime.block_on(link.run());
                // A name resolution that hangs must not hold up the stop.
                runtime.shutdown_background();
                beat.finished();
            })
            .map_err(UplinkError::Thread)?;
        Ok(UplinkHandle { stop, status, thread })
    }
}

impl UplinkHandle {
    /// What the link is doing.
    pub fn status(&self) -> &Arc<UplinkStatus> {
        &self.status
    }

    /// [`UplinkStatus::figures`].
    pub fn figures(&self) -> UplinkFigures {
        self.status.figures()
    }

    /// If the link is up: delivers what is undelivered until a second before the end of
    /// `patience`, says goodbye and disconnects. Otherwise ends at once. Returns when the
    /// thread has ended, `patience` and [`UPLINK_LAST_STEPS`] after the call at the latest.
    pub fn stop(self, patience: Duration) {
        let _ = self.stop.send(Some(Instant::now() + patience));
        let last_chance = Instant::now() + patience + UPLINK_LAST_STEPS;
        while !self.thread.is_finished() && Instant::now() < last_chance {
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.thread.is_finished() {
            if self.thread.join().is_err() {
                warn!("the uplink ended unexpectedly; what it had not sent waits in the journal");
            }
        } else {
            warn!("the uplink does not stop; what it had not sent waits in the journal");
        }
    }

    /// Whether the thread has ended, which it does by itself only by a defect.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
