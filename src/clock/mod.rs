//! What time it is, and how sure the unit is of it.
//!
//! The pipeline counts in [`Mono`] (CLOCK_BOOTTIME), which
//! only ever grows. People read UTC, which a unit without a battery clock may
//! not know. A [`Reading`] ties the two together at one moment and says what
//! vouches for it; every event's [`Stamp`] is computed
//! from a reading made when the event is reported.
//!
//! [`Heartbeats`] uses the same time line to tell a thread that works or waits
//! from one that is stuck.

mod heartbeat;
mod reading;
mod system;

pub use heartbeat::{Beat, Heartbeats};
pub use reading::{Reading, RecordingClock};
pub use system::{SystemClock, boot_id, boot_time_now, utc_now};

use crate::domain::Mono;
use crate::event::Stamp;

/// Where stamps come from: the machine, or a recording's own time line.
#[derive(Debug, Clone)]
pub enum Clock {
    /// Live: CLOCK_BOOTTIME and the kernel's UTC.
    System(SystemClock),
    /// Replay: media time counted from a given start.
    Recording(RecordingClock),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock::System(SystemClock::new())
    }

    /// When `at` was, as well as is known now.
    pub fn stamp(&self, at: Mono) -> Stamp {
        match self {
            Clock::System(clock) => clock.read().stamp(at),
            Clock::Recording(clock) => clock.stamp(at),
        }
    }
}
