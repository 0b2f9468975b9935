//! A way out of libav: it can hang for hours in spite of its own time-out
//! options, so every input gets this callback before it is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shared between the thread inside libav and whoever may call it back.
#[derive(Clone, Debug)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Milliseconds after `epoch`; 0 means no deadline.
    deadline_ms: AtomicU64,
    epoch: Instant,
}

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt {
            shared: Arc::new(Shared {
                stop: AtomicBool::new(false),
                deadline_ms: AtomicU64::new(0),
                epoch: Instant::now(),
            }),
        }
    }
}

impl Interrupt {
    /// Ends the current and every later call into libav.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Whether [`Interrupt::stop`] was called.
    pub fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// The calls from now on have to come back within `limit` together.
    pub fn arm(&self, limit: Duration) {
        let at = self.shared.epoch.elapsed() + limit;
        self.shared.deadline_ms.store(u64::try_from(at.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// Whether the deadline has passed.
    pub fn timed_out(&self) -> bool {
        let deadline = self.shared.deadline_ms.load(Ordering::Relaxed);
        deadline != 0 && self.shared.epoch.elapsed().as_millis() >= u128::from(deadline)
    }

    /// What libav asks again and again: is it time to give up?
    pub fn is_due(&self) -> bool {
        self.stopped() || self.timed_out()
    }

    /// Sleeps for `pause`, or less if stopped. False when stopped.
    pub fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.stopped() {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return true;
            };
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }
}
