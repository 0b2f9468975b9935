//! Pictures of what a camera sees now, for operators who ask for them. The camera's
//! own thread makes them, from a picture that it decodes anyway, or from the next
//! keyframe where nothing is decoded.
//!
//! What leaves the unit is hidden as in stills; while nobody can tell what moves,
//! there is no picture.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::analysis::{Analysis, AnalysisError};
use super::privacy::private_areas;
use super::report::Reporter;
use crate::capture::{CaptureError, Frame};
use crate::config::{CameraConfig, Config, People};
use crate::control::{Answering, Done, OutgoingFile, Portrait, Reason, Refusal};
use crate::detect::Classes;
use crate::domain::{Mono, Point};
use crate::drawing::{Sight, draw};
use crate::evidence::{JpegError, Paint, Unseen, exif_segment, painted_jpeg, portrait};

/// How long a picture may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A picture of a live camera may be older by so much than the wish for it.
const FRESH: Duration = Duration::from_secs(1);

/// Most bytes of a picture.
const LARGEST: usize = 100_000;

/// Somebody wants to see what a camera sees.
#[derive(Debug)]
pub struct Ask {
    /// How it is to be shown.
    pub wanted: Portrait,
    /// Where it goes.
    pub answer: Answering,
}

/// The ways to the cameras, by their names. One may wait for each.
pub type Askers = BTreeMap<String, Sender<Ask>>;

/// A way to each of `cameras`, and their other ends in the same order.
pub fn channels(cameras: &[CameraConfig]) -> (Askers, Vec<Receiver<Ask>>) {
    let ends = cameras.iter().map(|camera| (camera.name.clone(), bounded(1)));
    ends.map(|(name, (sender, receiver))| ((name, sender), receiver)).unzip()
}

struct Waiting {
    ask: Ask,
    since: Mono,
    /// What has kept it waiting.
    why: &'static str,
}

/// One camera's pictures of now.
pub struct Portraits {
    asks: Receiver<Ask>,
    unit: String,
    camera: CameraConfig,
    classes: Classes,
    private: Vec<Vec<Point>>,
    clear: bool,
    /// From which on detections are drawn.
    confidence: f32,
    waiting: Option<Waiting>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
enum PortraitError {
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    #[error(transparent)]
    Picture(#[from] CaptureError),
    #[error(transparent)]
    Jpeg(#[from] JpegError),
}

impl Portraits {
    /// For `camera`, whose detector knows `classes`; what is asked comes from `asks`.
    pub fn new(config: &Config, camera: &CameraConfig, classes: &Classes, asks: Receiver<Ask>) -> Portraits {
        Portraits {
            asks,
            unit: config.unit.id.clone(),
            camera: camera.clone(),
            classes: classes.clone(),
            private: private_areas(camera),
            clear: config.privacy.people == People::Clear,
            confidence: config.tracking.confidence,
            waiting: None,
        }
    }

    /// Takes in what is asked, and refuses what cannot come: for there is an
    /// `obstacle`, or it takes too long. True while somebody waits for a picture.
    pub fn attend(&mut self, now: Mono, obstacle: Option<&'static str>) -> bool {
        while let Ok(ask) = self.asks.try_recv() {
            match &self.waiting {
                Some(_) => refuse(ask, Reason::Busy, "another picture of this camera is under way"),
                None => self.waiting = Some(Waiting { ask, since: now, why: "the camera shows nothing" }),
            }
        }
        let over = |waiting: &Waiting| (now.since(waiting.since) > PATIENCE).then_some(waiting.why);
        if let Some(why) = self.waiting.as_ref().and_then(|waiting| obstacle.or(over(waiting))) {
            self.give_up(why);
        }
        self.waiting.is_some()
    }

    /// No picture comes any more.
    pub fn give_up(&mut self, why: &str) {
        if let Some(waiting) = self.waiting.take() {
            refuse(waiting.ask, Reason::Missing, why);
        }
    }

    /// `frame` was decoded and taken in by `analysis`: it is what is wanted if
    /// everything about it is known. Of a `live` camera it must be a new one.
    pub fn offer(&mut self, frame: &mut Frame, analysis: &mut Analysis, reporter: &Reporter, live: bool) {
        let Some(mut waiting) = self.waiting.take() else { return };
        if live && frame.at.plus(FRESH) < waiting.since {
            self.waiting = Some(waiting);
            return;
        }
        match self.picture(frame, analysis, reporter, &waiting.ask.wanted) {
            Ok(Some(jpeg)) => {
                tracing::info!("a picture of now, {} bytes", jpeg.len());
                let file = OutgoingFile::in_memory(jpeg, "image/jpeg");
                waiting.ask.answer.send(file.map(|file| Done { until: None, file: Some(file) }));
            }
            Ok(None) => {
                waiting.why = "nobody can tell yet what moves there";
                self.waiting = Some(waiting);
            }
            Err(e) => refuse(waiting.ask, Reason::Failed, &e.to_string()),
        }
    }

    /// As JPEG; `None` while it is not known what has to be hidden.
    fn picture(
        &self,
        frame: &mut Frame,
        analysis: &mut Analysis,
        reporter: &Reporter,
        wanted: &Portrait,
    ) -> Result<Option<Vec<u8>>, PortraitError> {
        let Some(seen) = analysis.overview(frame, self.confidence)? else { return Ok(None) };
        let unseen = match (&seen.moving, self.clear) {
            (_, true) => None,
            (Some(moving), false) => Some(Unseen { people: &seen.people, moving, vehicles: &seen.vehicles }),
            (None, false) => return Ok(None),
        };
        let Some(crop) = portrait(&frame.picture()?, &self.private, unseen) else { return Ok(None) };
        let exif = exif_segment(&self.unit, &reporter.clock().stamp(frame.at));
        let sight = Sight {
            moving: seen.moving.as_deref().unwrap_or_default(),
            detections: &seen.detections,
            classes: &self.classes,
            input_px: analysis.input(),
        };
        let paint: Paint<'_> = &|image| draw(image, &self.camera, &sight);
        let width = usize::try_from(wanted.width).unwrap_or(usize::MAX);
        Ok(Some(painted_jpeg(&crop, width, LARGEST, &exif, wanted.draw.then_some(paint))?))
    }
}

fn refuse(ask: Ask, reason: Reason, why: &str) {
    ask.answer.send(Err(Refusal::new(reason, why)));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    type Answer = oneshot::Receiver<Result<Done, Refusal>>;

    fn portraits() -> (Askers, Portraits) {
        let text = "[[camera]]\nname = \"road\"\nsource = \"a.mp4\"\n";
        let config = parse(text, Path::new("tawny.toml")).unwrap();
        let (askers, mut asks) = channels(&config.camera);
        let portraits = Portraits::new(&config, &config.camera[0], &Classes::new(Vec::new()), asks.remove(0));
        (askers, portraits)
    }

    fn ask(askers: &Askers) -> Answer {
        let (answer, receiver) = Answering::new(Arc::default());
        let wanted = Portrait { cam: "road".into(), draw: false, width: 960 };
        askers["road"].try_send(Ask { wanted, answer }).unwrap();
        receiver
    }

    fn refusal(answer: &mut Answer) -> (Reason, String) {
        let refusal = answer.try_recv().unwrap().unwrap_err();
        (refusal.reason, refusal.why)
    }

    #[test]
    fn who_asks_is_answered_in_any_case() {
        let at = |seconds: u64| Mono::from_micros(seconds * 1_000_000);
        let (askers, mut portraits) = portraits();
        assert!(!portraits.attend(at(100), None));
        let mut first = ask(&askers);
        assert!(portraits.attend(at(100), None) && first.try_recv().is_err());
        let mut second = ask(&askers);
        assert!(portraits.attend(at(101), None));
        assert_eq!(refusal(&mut second).0, Reason::Busy);
        assert!(portraits.attend(at(119), None) && !portraits.attend(at(121), None));
        assert_eq!(refusal(&mut first), (Reason::Missing, "the camera shows nothing".to_owned()));
        let mut third = ask(&askers);
        assert!(!portraits.attend(at(122), Some("the unit is paused")));
        assert_eq!(refusal(&mut third), (Reason::Missing, "the unit is paused".to_owned()));
    }
}
