//! What a model's decoder has read, collected as detections.
//!
//! Decoders speak of class scores and of corners in input pixels; here these
//! become groups, confidences and places in the picture, and whatever is too
//! weak, of no group or no number is left out.

use super::classes::Detection;
use super::evidence::GroupColumns;
use super::letterbox::Letterbox;

/// Collects what is found in one look.
#[derive(Debug)]
pub struct Finds<'a> {
    /// Which classes belong to which group.
    pub columns: &'a GroupColumns,
    /// Where the picture stood in the input.
    pub fit: &'a Letterbox,
    /// Weaker ones are left out, 0..=1.
    pub min_confidence: f32,
    /// Where they go.
    pub out: &'a mut Vec<Detection>,
}

impl Finds<'_> {
    /// One anchor or query with a score 0..=1 for every class, each given that
    /// there is an object at all, and `objectness` 0..=1 that there is one
    /// (1 for models without). `corners` (left, top, right, bottom in input
    /// pixels) is asked only if something is there; `None` drops it.
    ///
    /// The evidence of a group's classes is combined before objectness is
    /// applied: all of them doubt the same object.
    pub fn scored(&mut self, objectness: f32, scores: &[f32], corners: impl Fn() -> Option<[f32; 4]>) {
        // Also false for NaN.
        if !(objectness > 0.0 && objectness >= self.min_confidence) {
            return;
        }
        let objectness = objectness.min(1.0);
        for evidence in self.columns.combine(scores, self.min_confidence / objectness) {
            let Some(corners) = corners() else { continue };
            let bbox = self.fit.to_picture(corners).clipped();
            if bbox.area() > 0.0 {
                self.out.push(Detection {
                    bbox,
                    group: evidence.group,
                    confidence: evidence.confidence * objectness,
                    class: evidence.class,
                    class_score: evidence.class_score * objectness,
                });
            }
        }
    }

    /// One finished box with its class.
    pub fn single(&mut self, class: usize, score: f32, corners: [f32; 4]) {
        let group = u16::try_from(class).ok().and_then(|class| Some((class, self.columns.group(class)?)));
        let Some((class, group)) = group else { return };
        // False for NaN.
        let enough = score > 0.0 && score >= self.min_confidence && score.is_finite();
        if !enough || !corners.iter().all(|value| value.is_finite()) {
            return;
        }
        let score = score.min(1.0);
        let bbox = self.fit.to_picture(corners).clipped();
        if bbox.area() > 0.0 {
            self.out.push(Detection { bbox, group, confidence: score, class, class_score: score });
        }
    }

    /// Whether a group can reach the wanted confidence where the strongest of
    /// its classes has `best`: a bound, cheaper than the evidence itself.
    pub fn is_possible(&self, best: f32) -> bool {
        best * 3.001 >= self.min_confidence
    }
}
