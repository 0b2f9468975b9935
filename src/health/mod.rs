//! The unit's own condition: one compact JSON object for the `health` topic.
//!
//! [`Probes`] reads the machine, [`HealthReport`] is what the reader sees, and
//! nothing here decides anything. Keys that cannot be read on this machine are
//! left out.

mod camera;
mod machine;
mod report;

pub use crate::clock::{Beat, Heartbeats};
pub use camera::{CameraFigures, CameraStats, GateFigures};
pub use machine::{Machine, Probes};
pub use report::{ClockHealth, HealthReport, Inputs, JournalHealth, UplinkHealth};
