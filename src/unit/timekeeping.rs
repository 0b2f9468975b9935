//! The thread that looks after the clock: reads the kernel and the battery
//! clock now and then, listens to gpsd, and tells the journal when earlier
//! events can be given better times.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::clock::{Beat, Change, Gpsd, Heard, SystemClock, source_name};
use crate::domain::{Backoff, jitter};
use crate::journal::JournalHandle;

/// How often the clocks are read while the time is unknown, and once it is known.
const LOOK_UNKNOWN: Duration = Duration::from_secs(5);
const LOOK_KNOWN: Duration = Duration::from_secs(20);

/// Resolving gpsd's name and connecting takes no longer, unless it is stuck.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// The running thread; ends soon after it is dropped.
#[derive(Debug)]
pub struct Timekeeping {
    _stop: Sender<()>,
}

impl Timekeeping {
    /// Starts it. `gpsd` is host and port.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        clock: SystemClock,
        gpsd: Option<String>,
        journal: JournalHandle,
        beat: Beat,
    ) -> io::Result<Timekeeping> {
        let (stop, stopped) = bounded(0);
        let mut keeping = Keeping { clock, journal, beat, stopped, look: Instant::now() };
        std::thread::Builder::new().name("clock".into()).spawn(move || {
            keeping.journal.wake();
            match gpsd {
                Some(address) => keeping.with_gpsd(&address),
                None => while keeping.rest(LOOK_KNOWN) {},
            }
            keeping.beat.finished();
        })?;
        Ok(Timekeeping { _stop: stop })
    }
}

struct Keeping {
    clock: SystemClock,
    journal: JournalHandle,
    beat: Beat,
    stopped: Receiver<()>,
    /// When the clocks are to be read next.
    look: Instant,
}

impl Keeping {
    /// Lets `pause` pass, or less; reads the clocks when it is time to. False
    /// when stopped.
    fn rest(&mut self, pause: Duration) -> bool {
        self.beat.waiting();
        let pause = pause.min(self.look.saturating_duration_since(Instant::now()));
        if !matches!(self.stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return false;
        }
        if Instant::now() >= self.look {
            let change = self.clock.poll();
            self.tell(change);
            self.look = Instant::now() + if self.clock.is_right() { LOOK_KNOWN } else { LOOK_UNKNOWN };
        }
        true
    }

    fn tell(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        let reading = self.clock.read();
        let (source, bound) = (source_name(reading.source), reading.uncertainty_ms.unwrap_or(u32::MAX));
        let seconds = |us: i64| us as f64 / 1e6;
        match change {
            Change::BecameRight { by_us } => {
                tracing::info!(
                    "the time is known by {source}, ± {bound} ms; the guess was {:+.3} s off",
                    -seconds(by_us)
                );
            }
            Change::Refined { .. } => tracing::info!("the time is better known by {source}, ± {bound} ms"),
            Change::Stepped { by_us } => {
                tracing::warn!("the time was wrong by {:+.3} s; it is now by {source}, ± {bound} ms", -seconds(by_us));
            }
            Change::Leap => tracing::info!("a leap second"),
        }
        self.journal.wake();
    }

    fn with_gpsd(&mut self, address: &str) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        let mut complained = false;
        loop {
            self.beat.working(CONNECT_LIMIT);
            let error = match Gpsd::connect(address) {
                Ok(mut gpsd) => {
                    tracing::info!("listening to gpsd at {address}");
                    complained = false;
                    match self.listen(&mut gpsd, &mut backoff) {
                        Ok(()) => return,
                        Err(e) => e,
                    }
                }
                Err(e) => e,
            };
            if !std::mem::replace(&mut complained, true) {
                tracing::warn!("gpsd at {address} gives no time: {error}; trying again");
            }
            let until = Instant::now() + backoff.next(jitter());
            while Instant::now() < until {
                if !self.rest(until.saturating_duration_since(Instant::now())) {
                    return;
                }
            }
        }
    }

    /// Until stopped, or until the connection fails.
    fn listen(&mut self, gpsd: &mut Gpsd, backoff: &mut Backoff) -> io::Result<()> {
        while self.rest(Duration::ZERO) {
            self.beat.working(CONNECT_LIMIT);
            if let Heard::Fix(fix) = gpsd.hear()? {
                backoff.reset();
                let change = self.clock.gps(fix);
                self.tell(change);
            }
        }
        Ok(())
    }
}
