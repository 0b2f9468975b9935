//! A rider and what is ridden are one object, of the bike's class.
//!
//! The model finds a person and a bicycle (or motorcycle) that overlap. Two
//! tracks and two crossings would be one too many, so the person is absorbed
//! into the vehicle.
#![expect(clippy::indexing_slicing, reason = "an index comes from the same slice")]

use super::classes::{Classes, Detection};
use crate::domain::{BBox, Group};

/// A bike less certain than this, or than this share of the person's own
/// confidence, is no reason to doubt the person: the model sees faint bikes
/// under many pedestrians, and a person turned into a ghost of a vehicle is a
/// lost crossing.
const MIN_BIKE_CONFIDENCE: f32 = 0.35;
const MIN_BIKE_SHARE: f32 = 0.5;

/// Removes every person who rides a bicycle or motorcycle in `detections`.
/// The vehicle's box grows to hold its rider and its confidence rises to the
/// rider's: whatever else, something is there. A vehicle may carry several
/// people; a person rides only the one that fits best. The order of what
/// stays does not change.
pub fn absorb_riders(detections: &mut Vec<Detection>, classes: &Classes) {
    let is_bike = |d: &Detection| {
        d.confidence >= MIN_BIKE_CONFIDENCE && matches!(classes.name(d.class), "bicycle" | "motorcycle")
    };
    let bikes: Vec<Detection> = detections.iter().filter(|d| is_bike(d)).copied().collect();
    if bikes.is_empty() {
        return;
    }
    // Which bike carries which rider.
    let mut joined: Vec<(usize, Detection)> = Vec::new();
    detections.retain(|person| {
        let mut ridden: Option<usize> = None;
        for (index, bike) in bikes.iter().enumerate().filter(|(_, bike)| rides(person, bike)) {
            let fit = |bike: &Detection| bike.bbox.iou(&person.bbox);
            if ridden.is_none_or(|best| fit(bike) > fit(&bikes[best])) {
                ridden = Some(index);
            }
        }
        joined.extend(ridden.map(|index| (index, *person)));
        ridden.is_none()
    });
    // No bike was removed, so they come in the same order as before.
    for (index, bike) in detections.iter_mut().filter(|d| is_bike(d)).enumerate() {
        // A box as faint as that is the bike's own shape, seen as a person.
        let riders = joined.iter().filter(|(of, rider)| *of == index && rider.confidence >= MIN_BIKE_CONFIDENCE);
        for (_, rider) in riders {
            bike.bbox = bike.bbox.union(&rider.bbox);
            bike.confidence = bike.confidence.max(rider.confidence);
        }
    }
}

fn rides(person: &Detection, bike: &Detection) -> bool {
    // Nearly the same box is one shape in dispute: then the surer view wins.
    let same_shape = person.bbox.iou(&bike.bbox) > 0.6;
    let share = if same_shape { 1.0 } else { MIN_BIKE_SHARE };
    person.group == Group::Person && bike.confidence >= share * person.confidence && sits_on(&person.bbox, &bike.bbox)
}

/// Whether a person box sits on a bike box. All lengths are compared along
/// one axis, so the shape of the picture does not matter.
fn sits_on(person: &BBox, bike: &BBox) -> bool {
    if person.area() <= 0.0 || bike.area() <= 0.0 {
        return false;
    }
    let shared = person.intersection(bike);
    // Above one another: the narrower one stands mostly within the other.
    let aligned = shared.w >= 0.6 * person.w.min(bike.w);
    // On it: hips and legs of the rider reach down into the bike…
    let seated = shared.h >= 0.25 * person.h && shared.h >= 0.35 * bike.h;
    // …with the head above it and the feet on it, not in front of it.
    let head_above = person.y < bike.y + 0.1 * bike.h;
    let feet_on = person.bottom() <= bike.bottom() + 0.08 * bike.h;
    // And both are of one distance from the camera.
    let same_scale = person.h >= 0.5 * bike.h && person.h <= 3.5 * bike.h && person.w <= 2.5 * bike.w;
    aligned && seated && head_above && feet_on && same_scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Classes {
        Classes::new(["person", "bicycle", "car", "motorcycle"].map(str::to_owned).to_vec())
    }

    fn found(class: u16, x: f32, y: f32, w: f32, h: f32) -> Detection {
        let group = if class == 0 { Group::Person } else { Group::Vehicle };
        Detection { bbox: BBox::new(x, y, w, h), group, confidence: 0.7, class, class_score: 0.7 }
    }

    fn absorbed(detections: &[Detection]) -> Vec<Detection> {
        let mut left = detections.to_vec();
        absorb_riders(&mut left, &classes());
        left
    }

    #[test]
    fn a_cyclist_from_the_side_is_one_bicycle() {
        let left = absorbed(&[found(0, 0.42, 0.30, 0.12, 0.35), found(1, 0.38, 0.48, 0.22, 0.22)]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].class, 1);
        assert!(left[0].bbox.iou(&BBox::new(0.38, 0.30, 0.22, 0.40)) > 0.999);
    }

    #[test]
    fn a_motorcyclist_from_the_front_is_one_motorcycle() {
        // From the front the rider is as wide as what is ridden.
        let left = absorbed(&[found(3, 0.46, 0.50, 0.07, 0.20), found(0, 0.45, 0.35, 0.09, 0.30)]);
        assert_eq!(left.iter().map(|d| d.class).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_pillion_rides_too() {
        let bike = found(3, 0.40, 0.50, 0.20, 0.20);
        let left = absorbed(&[found(0, 0.42, 0.35, 0.08, 0.28), bike, found(0, 0.50, 0.34, 0.08, 0.26)]);
        assert_eq!(left.len(), 1);
        assert!(left[0].bbox.y < 0.345);
    }

    #[test]
    fn people_who_do_not_ride_stay_people() {
        let bike = found(1, 0.40, 0.50, 0.20, 0.20);
        // Beside it, walking before it, far behind it, and a driver in a car.
        for person in [(0.62, 0.35, 0.08, 0.35), (0.45, 0.35, 0.10, 0.45), (0.48, 0.42, 0.03, 0.10)] {
            let person = found(0, person.0, person.1, person.2, person.3);
            assert_eq!(absorbed(&[bike, person]), [bike, person]);
        }
        let car = found(2, 0.40, 0.50, 0.20, 0.20);
        let driver = found(0, 0.42, 0.40, 0.12, 0.25);
        assert_eq!(absorbed(&[car, driver]), [car, driver]);
    }

    #[test]
    fn a_faint_bike_under_a_certain_person_changes_nothing() {
        let person = found(0, 0.42, 0.30, 0.12, 0.35);
        for confidence in [0.05, 0.3] {
            let ghost = Detection { confidence, ..found(1, 0.38, 0.48, 0.22, 0.22) };
            assert_eq!(absorbed(&[person, ghost]), [person, ghost]);
        }
        let sure = Detection { confidence: 0.4, ..found(1, 0.38, 0.48, 0.22, 0.22) };
        let left = absorbed(&[person, sure]);
        assert_eq!((left.len(), left[0].confidence), (1, person.confidence));
    }

    #[test]
    fn one_shape_seen_as_both_is_what_it_is_more_surely() {
        let person = found(0, 0.4, 0.4, 0.1, 0.3);
        let bike = Detection { confidence: 0.5, ..found(3, 0.4, 0.41, 0.1, 0.3) };
        assert_eq!(absorbed(&[person, bike]), [person, bike]);
        let surer = Detection { confidence: 0.8, ..bike };
        assert_eq!(absorbed(&[person, surer]).len(), 1);
    }

    #[test]
    fn each_of_two_riders_joins_the_own_bicycle() {
        let (one, two) = (found(1, 0.10, 0.50, 0.20, 0.20), found(1, 0.28, 0.50, 0.20, 0.20));
        let left = absorbed(&[one, found(0, 0.15, 0.35, 0.10, 0.30), found(0, 0.33, 0.33, 0.10, 0.32), two]);
        assert_eq!(left.len(), 2);
        assert_eq!((left[0].bbox.x, left[0].bbox.y), (0.10, 0.35));
        assert_eq!((left[1].bbox.x, left[1].bbox.y), (0.28, 0.33));
    }
}
