//! Non-maximum suppression: of boxes of one group that overlap much, the most
//! confident stays.
//!
//! It works across the classes of a group: an object that one anchor calls
//! car and its neighbour truck is one object. Boxes of different groups never
//! suppress each other: a person before a car is two objects.

use std::cmp::Ordering;

use super::classes::Detection;

/// Overlap (IoU) above which two boxes of a group are one object.
pub const MAX_OVERLAP: f32 = 0.5;

/// Boxes looked at, most confident first: a bound on the quadratic work when
/// a model finds something everywhere.
const MAX_CANDIDATES: usize = 1000;

/// Keeps, of each set of boxes that overlap by more than `max_overlap` within
/// a group, the most confident; sorts by confidence, highest first. The
/// result does not depend on the order of `detections`.
pub fn suppress_overlaps(detections: &mut Vec<Detection>, max_overlap: f32) {
    detections.sort_unstable_by(by_confidence);
    detections.truncate(MAX_CANDIDATES);
    let mut kept = 0;
    for candidate in 0..detections.len() {
        let this = detections[candidate];
        let overlaps = |other: &Detection| other.group == this.group && other.bbox.iou(&this.bbox) > max_overlap;
        if !detections[..kept].iter().any(overlaps) {
            detections[kept] = this;
            kept += 1;
        }
    }
    detections.truncate(kept);
}

/// Highest confidence first; equals in an order of their own, so that the
/// result never depends on the order in which they were found.
fn by_confidence(a: &Detection, b: &Detection) -> Ordering {
    let place = |d: &Detection| [d.bbox.x, d.bbox.y, d.bbox.w, d.bbox.h];
    let by_place = || place(a).iter().zip(place(b)).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
    b.confidence
        .total_cmp(&a.confidence)
        .then_with(|| b.class_score.total_cmp(&a.class_score))
        .then_with(|| (a.group, a.class).cmp(&(b.group, b.class)))
        .then_with(|| by_place().unwrap_or(Ordering::Equal))
}
