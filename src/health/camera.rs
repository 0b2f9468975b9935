//! Counters that a camera's threads fill and the health message shows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::domain::Mono;

/// Shared by a camera's threads; every counter counts from the start of the
/// program and never goes back.
#[derive(Debug, Default)]
pub struct CameraStats {
    /// Whether pictures come at present.
    pub connected: AtomicBool,
    /// Pictures that arrived, decoded or not.
    pub frames: AtomicU64,
    /// Pictures decoded.
    pub decoded: AtomicU64,
    /// Runs of the detector.
    pub inferences: AtomicU64,
    /// What waits between capture and vision at present.
    pub queue: AtomicU64,
    /// Pictures given up because vision did not keep up.
    pub dropped: AtomicU64,
    /// Times the source was opened again.
    pub reconnects: AtomicU64,
    /// Arrival of the last picture, microseconds of CLOCK_BOOTTIME; 0 for none.
    last_frame_us: AtomicU64,
}

impl CameraStats {
    /// A picture arrived at `at`.
    pub fn frame_arrived(&self, at: Mono) {
        self.frames.fetch_add(1, Relaxed);
        self.last_frame_us.store(at.as_micros(), Relaxed);
    }

    /// All of it at `now`.
    pub fn figures(&self, name: &str, now: Mono) -> CameraFigures {
        let last = self.last_frame_us.load(Relaxed);
        let age = now.as_micros().saturating_sub(last) as f64 / 1e6;
        CameraFigures {
            name: name.to_owned(),
            up: self.connected.load(Relaxed),
            frames: self.frames.load(Relaxed),
            decoded: self.decoded.load(Relaxed),
            inferences: self.inferences.load(Relaxed),
            age_s: (last != 0).then_some((age * 10.0).round() / 10.0),
            queue: self.queue.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
        }
    }
}

/// One element of `cameras` in the health message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraFigures {
    /// The camera's name.
    pub name: String,
    /// Whether pictures come.
    pub up: bool,
    /// Pictures that arrived.
    pub frames: u64,
    /// Pictures decoded.
    pub decoded: u64,
    /// Runs of the detector.
    pub inferences: u64,
    /// Seconds since the last picture; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// Pictures waiting.
    pub queue: u64,
    /// Pictures given up.
    pub dropped: u64,
    /// Times the source was opened again.
    pub reconnects: u64,
}
