//! Non-maximum suppression: of boxes of one group that overlap much, the most
//! confident stays.
//!
//! It works across the classes of a group: an object that one anchor calls
//! car and its neighbour truck is one object. Boxes of different groups never
//! suppress each other: a person before a car is two objects.
#![expect(clippy::indexing_slicing, reason = "in place: all indices are below the length")]

use std::cmp::Ordering;

use super::classes::Detection;

/// Overlap (IoU) above which two boxes of a group are one object.
pub const MAX_OVERLAP: f32 = 0.45;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::{BBox, Group};
    use proptest::prelude::*;

    fn detection(bbox: BBox, group: Group, confidence: f32, class: u16) -> Detection {
        Detection { bbox, group, confidence, class, class_score: confidence }
    }

    #[test]
    fn one_object_that_two_anchors_class_differently_stays_one() {
        let car = detection(BBox::new(0.1, 0.1, 0.4, 0.2), Group::Vehicle, 0.62, 2);
        let truck = detection(BBox::new(0.11, 0.1, 0.4, 0.2), Group::Vehicle, 0.55, 7);
        let person = detection(BBox::new(0.1, 0.1, 0.4, 0.2), Group::Person, 0.5, 0);
        let mut found = vec![truck, person, car];
        suppress_overlaps(&mut found, MAX_OVERLAP);
        assert_eq!(found, [car, person]);
    }

    #[test]
    fn a_model_that_sees_things_everywhere_is_bounded() {
        let mut found: Vec<_> =
            (0..20_000).map(|i| detection(BBox::new(i as f32 * 2.0, 0.0, 1.0, 1.0), Group::Person, 0.5, 0)).collect();
        suppress_overlaps(&mut found, MAX_OVERLAP);
        assert_eq!(found.len(), MAX_CANDIDATES);
    }

    fn any_detections() -> impl Strategy<Value = Vec<Detection>> {
        let one = (0f32..0.8, 0f32..0.8, 0.05f32..0.3, 0.05f32..0.3, 0usize..3, 0u32..20, 0u16..80);
        let one = one.prop_map(|(x, y, w, h, group, confidence, class)| {
            detection(BBox::new(x, y, w, h), Group::ALL[group], confidence as f32 / 20.0, class)
        });
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_best_and_apart(before in any_detections(), turn in 0usize..60) {
            let mut kept = before.clone();
            suppress_overlaps(&mut kept, 0.5);

            for (i, a) in kept.iter().enumerate() {
                prop_assert!(before.contains(a));
                for b in &kept[i + 1..] {
                    prop_assert!(a.group != b.group || a.bbox.iou(&b.bbox) <= 0.5);
                    prop_assert!(a.confidence >= b.confidence);
                }
            }
            // Whatever went away overlaps something as good of its group.
            for gone in before.iter().filter(|d| !kept.contains(d)) {
                prop_assert!(kept.iter().any(|k| k.group == gone.group
                    && k.confidence >= gone.confidence
                    && k.bbox.iou(&gone.bbox) > 0.5));
            }
            let mut again = kept.clone();
            suppress_overlaps(&mut again, 0.5);
            prop_assert_eq!(&again, &kept);

            let mut turned = before.clone();
            turned.reverse();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            suppress_overlaps(&mut turned, 0.5);
            prop_assert_eq!(&turned, &kept);
        }
    }
}
