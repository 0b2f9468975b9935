//! Counters that a camera's threads fill and the health message shows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::capture::{GateCounts, GateMode, GateStatus, TimedBy};
use crate::domain::{Latencies, Light, Mono, Percentiles};

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
    /// Looks of the detector that failed, or gave no numbers.
    pub failed_looks: AtomicU64,
    /// What waits between capture and vision at present.
    pub queue: AtomicU64,
    /// Pictures given up because vision did not keep up.
    pub dropped: AtomicU64,
    /// Packets that could not be decoded, and pictures that came out damaged.
    pub damaged: AtomicU64,
    /// Times the source was opened again.
    pub reconnects: AtomicU64,
    /// From a picture's last packet to the end of the detector's look at it.
    pub looked: Latencies,
    /// From the last packet of a picture that brought events to their commit.
    pub committed: Arc<Latencies>,
    gate: Mutex<GateFigures>,
    light: Mutex<Option<Light>>,
    timed_by: Mutex<Option<TimedBy>>,
    /// Arrival of the last picture, microseconds of CLOCK_BOOTTIME; 0 for none.
    last_frame_us: AtomicU64,
}

impl CameraStats {
    /// A picture arrived at `at`.
    pub fn frame_arrived(&self, at: Mono) {
        self.frames.fetch_add(1, Relaxed);
        self.last_frame_us.store(at.as_micros(), Relaxed);
    }

    /// The packet gate's condition; `before` is what was counted by the gates
    /// of earlier connections.
    pub fn gate(&self, status: &GateStatus, before: &GateCounts) {
        // Plain values: a panic elsewhere leaves them whole.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let trust = (status.trust * 100.0).round() / 100.0;
        *gate = GateFigures { mode: status.mode, why: status.why, trust, counts: status.counts.plus(before) };
    }

    /// A picture was taken by this light.
    pub fn light(&self, light: Light) {
        *self.light.lock().unwrap_or_else(PoisonError::into_inner) = Some(light);
    }

    /// Where its pictures' times come from.
    pub fn timed_by(&self, by: TimedBy) {
        *self.timed_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
    }

    /// All of it at `now`. The latencies begin anew.
    pub fn figures(&self, name: &str, now: Mono) -> CameraFigures {
        let last = self.last_frame_us.load(Relaxed);
        let age = now.as_micros().saturating_sub(last) as f64 / 1e6;
        CameraFigures {
            name: name.to_owned(),
            up: self.connected.load(Relaxed),
            frames: self.frames.load(Relaxed),
            decoded: self.decoded.load(Relaxed),
            inferences: self.inferences.load(Relaxed),
            failed_looks: self.failed_looks.load(Relaxed),
            age_s: (last != 0).then_some((age * 10.0).round() / 10.0),
            queue: self.queue.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            look: self.looked.take(),
            commit: self.committed.take(),
            light: *self.light.lock().unwrap_or_else(PoisonError::into_inner),
            time: self.timed_by.lock().unwrap_or_else(PoisonError::into_inner).map(TimeFigures::of),
            gate: self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls it with
fn is_zero(n: &u64) -> bool {
    *n == 0
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
    /// Looks that failed; absent if none did.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_looks: u64,
    /// Seconds since the last picture; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// Pictures waiting.
    pub queue: u64,
    /// Pictures given up.
    pub dropped: u64,
    /// Packets that could not be decoded, and pictures that came out damaged.
    pub damaged: u64,
    /// Times the source was opened again.
    pub reconnects: u64,
    /// From a picture's last packet to the end of the look at it; absent if
    /// there was none since the last message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<Percentiles>,
    /// From the last packet of a picture that brought events to their commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Percentiles>,
    /// By what light it sees; absent before the first picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub light: Option<Light>,
    /// Where its pictures' times come from; absent before the first picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeFigures>,
    /// The packet gate.
    pub gate: GateFigures,
}

/// `time` of a camera in the health message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeFigures {
    /// `stamps` or `arrival`.
    pub by: &'static str,
    /// Why not the stamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl TimeFigures {
    fn of(by: TimedBy) -> TimeFigures {
        TimeFigures { by: if by == TimedBy::Stamps { "stamps" } else { "arrival" }, why: by.why() }
    }
}

/// `gate` of a camera in the health message.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GateFigures {
    /// What it does at present.
    pub mode: GateMode,
    /// Why, in a few words.
    pub why: &'static str,
    /// How far it is trusted, 0..=1.
    pub trust: f32,
    /// What it did.
    #[serde(flatten)]
    pub counts: GateCounts,
}
