//! One look: some regions of a picture through the detector, and one list of
//! objects out of it.

use super::attention::is_whole;
use super::classes::Detection;
use super::detector::{DetectError, Detector};
use super::fuse::Fusion;
use super::rider::absorb_riders;
use crate::capture::Picture;
use crate::domain::{BBox, Group};

/// Looks at pictures, region by region; memory is kept between looks.
#[derive(Debug, Default)]
pub struct Looker {
    found: Vec<Detection>,
    fusion: Fusion,
    people_from: Option<f32>,
    people: Vec<BBox>,
}

impl Looker {
    /// One that also remembers what may be people, from this confidence on.
    pub fn with_people_from(confidence: f32) -> Looker {
        Looker { people_from: Some(confidence), ..Looker::default() }
    }

    /// Looks at `regions` (fractions of the upright picture), one inference
    /// each, and replaces the content of `out` by the objects there with at
    /// least `min_confidence`, most confident first. What a region's edge cuts
    /// is left out, see [`Looker::cut`]. A rider and the (motor)bike are one
    /// object.
    ///
    /// # Errors
    /// When the picture cannot be read or inference fails; `out` is then empty.
    pub fn look(
        &mut self,
        detector: &mut Detector,
        picture: &Picture<'_>,
        regions: &[BBox],
        min_confidence: f32,
        out: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        self.look_for_parts(detector, picture, regions, min_confidence, out)?;
        absorb_riders(out, detector.classes());
        Ok(())
    }

    /// Like [`Looker::look`], with riders and bikes apart.
    ///
    /// # Errors
    /// The same.
    pub fn look_for_parts(
        &mut self,
        detector: &mut Detector,
        picture: &Picture<'_>,
        regions: &[BBox],
        min_confidence: f32,
        out: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        out.clear();
        self.fusion.clear();
        self.people.clear();
        let faintest = self.people_from.unwrap_or(1.0);
        for region in regions {
            let part = (!is_whole(region)).then_some(*region);
            detector.detect_parts(picture, part, min_confidence.min(faintest), &mut self.found)?;
            if self.people_from.is_some() {
                let maybe = self.found.iter().filter(|d| d.group == Group::Person && d.confidence >= faintest);
                self.people.extend(maybe.map(|d| d.bbox));
                self.found.retain(|d| d.confidence >= min_confidence);
            }
            self.fusion.add(*region, &self.found);
        }
        self.fusion.finish(out);
        Ok(())
    }

    /// Where people may be by the last look, riders and those cut by the edge of
    /// a region included; nothing unless made by [`Looker::with_people_from`].
    pub fn people(&self) -> &[BBox] {
        &self.people
    }

    /// What the last look saw cut by the edge of a region.
    pub fn cut(&self) -> &[Detection] {
        self.fusion.cut()
    }
}
