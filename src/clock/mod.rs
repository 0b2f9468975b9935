//! What time it is, and how sure the unit is of it.
//!
//! The pipeline counts in [`Mono`] (CLOCK_BOOTTIME), which
//! only ever grows. People read UTC, which a unit without a battery clock may
//! not know. [`Timekeeper`] makes an estimate of it from whatever vouches for a
//! time and says how far it may be off; a [`Reading`] ties the two together at one moment;
//! every event's [`Stamp`] is computed from a reading made when the event is
//! reported. [`Retiming`] finds out which events were stamped wrongly once the time is
//! known, [`Corrections`] what holds for each.
//!
//! Nothing is deleted by any of that: the age of what is kept counts in the unit's own
//! running time ([`RunningMs`]), which nobody outside can move.
//!
//! [`Heartbeats`] uses the same time line to tell a thread that works or waits
//! from one that is stuck.

mod corrections;
mod gpsd;
mod heartbeat;
mod keeper;
mod reading;
mod retime;
mod running;
mod system;

pub use corrections::Corrections;
pub use gpsd::{GPSD_PORT, Gpsd, Heard};
pub use heartbeat::{Beat, Heartbeats, Stuck};
pub use keeper::{Change, Estimate, GpsTime, KernelTime, RtcTime, SavedClock, Timekeeper};
pub use reading::{Reading, RecordingClock};
pub use retime::{BootSpan, Correction, Retiming, TimeLine, Timed, lines_between};
pub use running::{ProvenTime, RunningMs};
pub use system::{
    ClockFigures, ClockSource, Machine, SystemClock, boot_id, boot_time_now, program_made, source_name, utc_now,
};

use crate::domain::Mono;
use crate::event::Stamp;

/// Where stamps come from: the machine, or a recording's own time line.
#[derive(Debug, Clone)]
pub enum Clock {
    /// Live: CLOCK_BOOTTIME and the estimate of UTC.
    System(SystemClock),
    /// Replay: media time counted from a given start.
    Recording(RecordingClock),
}

impl Clock {
    /// When `at` was, as well as is known now.
    pub fn stamp(&self, at: Mono) -> Stamp {
        match self {
            Clock::System(clock) => clock.read().stamp(at),
            Clock::Recording(clock) => clock.stamp(at),
        }
    }
}
