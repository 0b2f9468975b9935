//! One camera's frames through motion, detection, tracking and rules: what
//! `run` and `replay` share. Deterministic: the same frames with the same
//! times give the same happenings.

use crate::capture::{Activity, CaptureError, Frame};
use crate::config::{CameraConfig, Config};
use crate::detect::{Attention, Demand, DetectError, Detection, Detector, InTurn, Looker, Need, Schedule, View, WHOLE};
use crate::domain::{BBox, Light, Mono};
use crate::evidence::{Album, FAINTEST_PERSON, Look, followed_people, known_vehicles, person_cover};
use crate::motion::{Motion, State};
use crate::scene::{Happening, Ids, SceneRules, SightingEnd, Zones};
use crate::track::Tracker;

/// One detector for all cameras; each uses it for one look at a time.
pub type SharedDetector = InTurn<Detector>;

/// A box of which this share moves is worth another look if a crop cuts it.
const MOVING_SHARE: f32 = 0.12;

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
    attention: Attention,
    looker: Looker,
    /// Width and height of the detector's input in pixels.
    input: (usize, usize),
    detector: SharedDetector,
    tracker: Tracker,
    zones: Zones,
    rules: SceneRules,
    low_confidence: f32,
    counts: AnalysisCounts,
    detections: Vec<Detection>,
    cut: Vec<Detection>,
    share_moving: Vec<f32>,
    /// Best views, if stills are wanted.
    album: Option<Album>,
    /// The last picture that was compared with the background and learnt from.
    compared: Option<Mono>,
}

/// Everything in one picture, in fractions of it, for whoever wants to see all of
/// it.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Where people may be, with a margin.
    pub people: Vec<BBox>,
    /// Vehicles that are followed and believed.
    pub vehicles: Vec<BBox>,
    /// What moves; `None` while nobody can tell.
    pub moving: Option<Vec<BBox>>,
    /// What the detector finds in a look at the whole, most confident first.
    pub detections: Vec<Detection>,
}

impl Analysis {
    /// For `camera`, with the stages' settings from `config`.
    pub fn new(config: &Config, camera: &CameraConfig, detector: SharedDetector) -> Analysis {
        let input = detector.with(|detector| detector.input());
        Analysis {
            motion: Motion::new(&config.motion),
            schedule: Schedule::new(&config.detector),
            attention: Attention::default(),
            looker: Looker::default(),
            input: (input.width, input.height),
            detector,
            tracker: Tracker::new(&config.tracking),
            zones: Zones::new(&camera.zone),
            rules: SceneRules::new(camera, &config.scene),
            low_confidence: config.tracking.low_confidence,
            counts: AnalysisCounts::default(),
            detections: Vec::new(),
            cut: Vec::new(),
            share_moving: Vec::new(),
            album: None,
            compared: None,
        }
    }

    /// With best views of what is followed chosen into `album`.
    #[must_use]
    pub fn with_album(mut self, album: Album) -> Analysis {
        if album.hides_people() {
            self.looker = Looker::with_people_from(FAINTEST_PERSON);
        }
        self.album = Some(album);
        self
    }

    /// The best views so far.
    pub fn album(&mut self) -> Option<&mut Album> {
        self.album.as_mut()
    }

    /// The same, and the objects that the last look at their place did not find.
    pub fn album_and_missed(&mut self) -> Option<(&mut Album, impl Iterator<Item = u64>)> {
        let missed = self.tracker.tracks().iter().filter(|track| track.confirmed && track.misses > 0);
        Some((self.album.as_mut()?, missed.map(|track| track.id)))
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
            self.compared = Some(at);
            let (dx, dy) = self.motion.camera_shift();
            self.shifted(at, dx, dy);
            let motion = &self.motion;
            let stirs = |region: &BBox| motion.stirs(region);
            let demand = self.attention.consider(at, motion.regions(), stirs, self.tracker.interests(at));
            let need = match (demand, state) {
                (Demand::Something, _) => Need::Active,
                (_, State::Learning) => Need::Blind,
                (Demand::Vain, State::Watching) => Need::Vain,
                (Demand::Nothing, State::Watching) => Need::Idle,
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

    /// The camera has moved the picture's content.
    fn shifted(&mut self, at: Mono, dx: f32, dy: f32) {
        self.tracker.shifted(dx, dy);
        self.rules.swayed(at, dx, dy);
    }

    fn look(&mut self, picture: &crate::capture::Picture<'_>, at: Mono) -> Result<(), AnalysisError> {
        let view = View::new(picture.upright_size(), self.input);
        let blind = self.motion.state() == State::Learning;
        let regions = self.attention.aim(at, &view, self.schedule.regions(), blind);
        self.counts.inferences += regions.len() as u64;
        let (looker, found) = (&mut self.looker, &mut self.detections);
        self.detector.with(|detector| looker.look(detector, picture, regions, self.low_confidence, found))?;
        self.cut.clear();
        self.cut.extend(self.looker.cut().iter().filter(|d| self.motion.share_moving(&d.bbox) >= MOVING_SHARE));
        self.attention.found(at, &view, &self.detections, &self.cut);
        let zones = &self.zones;
        self.detections.retain(|d| zones.admits(&d.bbox));
        self.share_moving.clear();
        self.share_moving.extend(self.detections.iter().map(|d| self.motion.share_moving(&d.bbox)));
        let attention = &self.attention;
        self.tracker.update(at, &self.detections, &self.share_moving, |bbox| attention.shown(&view, bbox));
        if let Some(album) = &mut self.album {
            let moving = (!blind).then(|| self.motion.regions());
            let look = Look { at, picture, regions: attention.regions(), people: self.looker.people(), moving };
            album.observe(&look, self.tracker.tracks(), self.tracker.ended());
        }
        self.trace(at);
        Ok(())
    }

    /// What a look found, for those who ask with `TAWNY_LOG=tawny::unit=trace`.
    fn trace(&self, at: Mono) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let place = |b: &BBox| format!("[{:.3} {:.3} {:.3} {:.3}]", b.x, b.y, b.w, b.h);
        for i in self.attention.interests() {
            tracing::trace!(
                "{:.2} interest {:?} {} waited {:.2}",
                at.as_secs_f64(),
                i.cause,
                place(&i.bbox),
                i.waited_s
            );
        }
        for region in self.attention.regions() {
            tracing::trace!("{:.2} look {}", at.as_secs_f64(), place(region));
        }
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

    /// Whether `frame`, which comes long after the last one, shows something
    /// that was not there. If not, the background learns from it; the detector
    /// does not look.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn differs(&mut self, frame: &mut Frame) -> Result<bool, AnalysisError> {
        let at = frame.at;
        let differs = self.motion.differs(&frame.picture()?, at);
        if !differs {
            let (dx, dy) = self.motion.camera_shift();
            self.shifted(at, dx, dy);
        }
        self.compared = (!differs).then_some(at);
        Ok(differs)
    }

    /// The detector's inferences by width and height of its input, those for other
    /// cameras included.
    pub fn inferences_by_size(&self) -> Vec<((usize, usize), u64)> {
        self.detector.with(|detector| detector.inferences().iter().map(|(size, n)| (*size, *n)).collect())
    }

    /// Width and height of the detector's input in pixels.
    pub fn input(&self) -> (usize, usize) {
        self.input
    }

    /// Everything in `frame`, the last one taken in, down to this confidence; `None`
    /// if it was not compared with the background, as not every frame is. Costs an
    /// inference, and changes nothing.
    ///
    /// # Errors
    /// When the frame cannot be read or the detector fails.
    pub fn overview(&self, frame: &mut Frame, confidence: f32) -> Result<Option<Overview>, AnalysisError> {
        let at = frame.at;
        if self.compared != Some(at) {
            return Ok(None);
        }
        let mut picture = frame.picture()?;
        picture.exposure = self.motion.exposure_gain();
        let (mut looker, mut detections) = (Looker::with_people_from(FAINTEST_PERSON), Vec::new());
        self.detector.with(|detector| looker.look(detector, &picture, &[WHOLE], confidence, &mut detections))?;
        let mut people: Vec<BBox> = looker.people().iter().map(person_cover).collect();
        // Also whom looks at parts of the picture have found.
        people.extend(self.album.iter().flat_map(|album| album.people(at, self.tracker.tracks())));
        // And who is followed, although this look misses them: they stand.
        people.extend(followed_people(self.tracker.tracks()));
        Ok(Some(Overview {
            people,
            vehicles: known_vehicles(self.tracker.tracks(), at).collect(),
            moving: (self.motion.state() == State::Watching).then(|| self.motion.regions().to_vec()),
            detections,
        }))
    }

    /// Whether pictures are needed after the last frame, which was at `at`.
    pub fn activity(&self, at: Mono) -> Activity {
        let moving = self.motion.state() == State::Watching && !self.motion.regions().is_empty();
        let busy = moving || self.motion.state() == State::Learning || self.tracker.interests(at).next().is_some();
        Activity { moving, busy, light: self.motion.light(), next_look: self.schedule.next() }
    }

    /// The light of the last frame.
    pub fn light(&self) -> Light {
        self.motion.light()
    }

    /// Time passes without frames.
    pub fn tick(&mut self, at: Mono, ids: Ids<'_>, out: &mut Vec<Happening>) {
        if self.tracker.expire(at) {
            self.rules.update(at, self.tracker.tracks(), self.tracker.ended(), ids, out);
        } else {
            self.rules.tick(at, out);
        }
    }

    /// The camera was lost, and pictures come again, at `at`.
    pub fn interrupted(&mut self, at: Mono, ids: Ids<'_>, out: &mut Vec<Happening>) {
        if self.tracker.interrupted(at) {
            self.rules.update(at, self.tracker.tracks(), self.tracker.ended(), ids, out);
        }
    }

    /// The recording or the daemon ends: everything open is closed, and the
    /// next frame begins anew.
    pub fn finish(&mut self, why: SightingEnd, ids: Ids<'_>, out: &mut Vec<Happening>) {
        self.tracker.end_all();
        self.rules.finish(self.tracker.ended(), why, ids, out);
        self.motion.reset();
        self.compared = None;
        self.attention.reset();
        self.schedule.reset();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::DetectorConfig;

    #[test]
    fn who_is_followed_is_hidden_in_a_picture_of_now_that_the_detector_misses_them_in() {
        // Its one person stands at (12, 12) ± 8 of 32 pixels in a bright picture.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bright_person_raw.onnx");
        let detector = DetectorConfig { model: Some(path.into()), ..DetectorConfig::default() };
        let config = Config { detector, ..Config::default() };
        let detector = SharedDetector::new(Detector::open(&config.detector).unwrap());
        // No stills, so there is no album that would remember them.
        let mut analysis = Analysis::new(&config, &CameraConfig::default(), detector);
        let at = Mono::from_micros(5_000_000);
        let mut out = Vec::new();
        analysis.frame(&mut Frame::grey((64, 64), 255, at), &mut |_| uuid::Uuid::nil(), &mut out).unwrap();
        assert_eq!(analysis.tracker.tracks().len(), 1);
        let mut dark = Frame::grey((64, 64), 0, at);
        let seen = analysis.overview(&mut dark, 0.3).unwrap().unwrap();
        assert_eq!(seen.detections, []);
        let person = BBox::new(0.125, 0.125, 0.5, 0.5);
        assert!(seen.people.iter().any(|hidden| person.share_inside(hidden) > 0.99), "{:?}", seen.people);
    }
}
