//! One camera's frames through motion, detection, tracking and rules: what
//! `run` and `replay` share. Deterministic: the same frames with the same
//! times give the same happenings.

use std::sync::{Arc, Mutex, PoisonError};

use crate::capture::{CaptureError, Frame};
use crate::config::{CameraConfig, Config};
use crate::detect::{DetectError, Detection, Detector, Need, Schedule};
use crate::domain::{BBox, Mono};
use crate::motion::{Motion, State};
use crate::scene::{Happening, Ids, SceneRules, SightingEnd, Zones};
use crate::track::Tracker;

/// One detector for all cameras; each holds it for one inference at a time.
pub type SharedDetector = Arc<Mutex<Detector>>;

/// Why a frame could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The frame has no readable samples.
    #[error(transparent)]
    Picture(#[from] CaptureError),
    /// The detector failed.
    #[error(transparent)]
    Detect(#[from] DetectError),
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnalysisCounts {
    /// Frames seen.
    pub frames: u64,
    /// Frames the detector looked at.
    pub inferences: u64,
}

/// One camera's stages between the decoder and the journal.
pub struct Analysis {
    motion: Motion,
    schedule: Schedule,
    detector: SharedDetector,
    tracker: Tracker,
    zones: Zones,
    rules: SceneRules,
    low_confidence: f32,
    counts: AnalysisCounts,
    detections: Vec<Detection>,
    share_moving: Vec<f32>,
}

impl Analysis {
    /// For `camera`, with the stages' settings from `config`.
    pub fn new(config: &Config, camera: &CameraConfig, detector: SharedDetector) -> Analysis {
        Analysis {
            motion: Motion::new(&config.motion),
            schedule: Schedule::new(&config.detector),
            detector,
            tracker: Tracker::new(&config.tracking),
            zones: Zones::new(&camera.zone),
            rules: SceneRules::new(camera, &config.scene),
            low_confidence: config.tracking.low_confidence,
            counts: AnalysisCounts::default(),
            detections: Vec::new(),
            share_moving: Vec::new(),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> AnalysisCounts {
        self.counts
    }

    /// Takes in one frame; what happened is added to `out`.
    ///
    /// # Errors
    /// When the frame cannot be read or the detector fails; the frame is then
    /// as good as not taken.
    pub fn frame(&mut self, frame: &mut Frame, ids: Ids<'_>, out: &mut Vec<Happening>) -> Result<(), AnalysisError> {
        self.counts.frames += 1;
        let at = frame.at;
        if self.schedule.may_look(at) {
            let mut picture = frame.picture()?;
            let state = self.motion.update(&picture, at);
            let active = !self.motion.regions().is_empty() || self.tracker.needs_looks(at);
            let need = match state {
                _ if active => Need::Active,
                State::Learning => Need::Blind,
                State::Watching => Need::Idle,
            };
            if self.schedule.look(at, need) {
                picture.exposure = self.motion.exposure_gain();
                self.look(&picture, at)?;
                self.rules.update(at, self.tracker.tracks(), self.tracker.ended(), ids, out);
            }
        }
        self.rules.tick(at, out);
        Ok(())
    }

    fn look(&mut self, picture: &crate::capture::Picture<'_>, at: Mono) -> Result<(), AnalysisError> {
        self.counts.inferences += 1;
        {
            // A panic elsewhere leaves the detector usable: it keeps no state
            // between pictures.
            let mut detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
            detector.detect(picture, None, self.low_confidence, &mut self.detections)?;
        }
        let zones = &self.zones;
        self.detections.retain(|d| zones.admits(&d.bbox));
        self.share_moving.clear();
        self.share_moving.extend(self.detections.iter().map(|d| self.motion.share_moving(&d.bbox)));
        self.tracker.update(at, &self.detections, &self.share_moving);
        self.trace(at);
        Ok(())
    }

    /// What a look found, for those who ask with `TAWNY_LOG=tawny::unit=trace`.
    fn trace(&self, at: Mono) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let place = |b: &BBox| format!("[{:.3} {:.3} {:.3} {:.3}]", b.x, b.y, b.w, b.h);
        for (d, share) in self.detections.iter().zip(&self.share_moving).filter(|(d, _)| d.confidence > 0.2) {
            let (t, at_place) = (at.as_secs_f64(), place(&d.bbox));
            tracing::trace!("{t:.2} detection {} {:.2} {at_place} moving {share:.2}", d.group, d.confidence);
        }
        for track in self.tracker.tracks() {
            let (t, at_place) = (at.as_secs_f64(), place(&track.bbox()));
            let state = if track.confirmed { "track" } else { "suspicion" };
            tracing::trace!(
                "{t:.2} {state} {} {} {at_place} hits {} misses {}",
                track.id,
                track.group(),
                track.hits,
                track.misses
            );
        }
    }

    /// Time passes without frames.
    pub fn tick(&mut self, at: Mono, out: &mut Vec<Happening>) {
        self.rules.tick(at, out);
    }

    /// The recording or the daemon ends: everything open is closed, and the
    /// next frame begins anew.
    pub fn finish(&mut self, why: SightingEnd, ids: Ids<'_>, out: &mut Vec<Happening>) {
        self.tracker.end_all();
        self.rules.finish(self.tracker.ended(), why, ids, out);
        self.motion.reset();
        self.schedule.reset();
    }

    /// What moved and what was found in the last look, for drawing.
    pub fn last_look(&self) -> (&[BBox], &[Detection]) {
        (self.motion.regions(), &self.detections)
    }
}
