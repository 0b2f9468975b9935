//! What stands there and never moved: the detector finds a stump or a parked
//! car again and again, once as a truck and once as a person, and often not at
//! all. It is known by its place, so that each time it is found after having
//! been lost it does not pass for something new. Pure.

use std::time::Duration;

use crate::domain::{BBox, Group, Mono};

/// A place is forgotten when nothing was found there for so long.
const REMEMBERED: Duration = Duration::from_secs(900);
/// At most so many places; the one seen longest ago gives way.
const MAX_PLACES: usize = 64;
/// Overlap (IoU) from which something stands where something stood.
const SAME_PLACE: f32 = 0.5;
/// Share of something within such a place that makes it a part of that.
const PART: f32 = 0.8;

#[derive(Debug, Clone, Copy)]
struct Place {
    bbox: BBox,
    group: Group,
    seen: Mono,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Scenery {
    places: Vec<Place>,
}

impl Scenery {
    /// Something that was last seen at `seen` without ever moving is lost.
    pub fn remember(&mut self, group: Group, bbox: BBox, seen: Mono) {
        if let Some(place) = self.places.iter_mut().find(|p| p.bbox.iou(&bbox) >= SAME_PLACE) {
            *place = Place { bbox, group, seen };
            return;
        }
        if self.places.len() >= MAX_PLACES
            && let Some(oldest) = (0..self.places.len()).min_by_key(|i| self.places[*i].seen)
        {
            self.places.swap_remove(oldest);
        }
        self.places.push(Place { bbox, group, seen });
    }

    /// Whether what was found at `bbox`, without moving, is known to stand
    /// there, or is a part of that; it is then known for longer. Something of
    /// another group inside it is no part: somebody may stand before a car.
    pub fn knows(&mut self, group: Group, bbox: &BBox, at: Mono) -> bool {
        self.places.retain(|p| at.since(p.seen) < REMEMBERED);
        let is_part = |p: &Place| p.group == group && bbox.share_inside(&p.bbox) >= PART;
        let place = self.places.iter_mut().find(|p| p.bbox.iou(bbox) >= SAME_PLACE || is_part(p));
        if let Some(place) = place {
            place.seen = at;
            return true;
        }
        false
    }

    /// The camera has moved the picture by this much, in fractions of it.
    pub fn shift(&mut self, dx: f32, dy: f32) {
        for place in &mut self.places {
            place.bbox.x += dx;
            place.bbox.y += dy;
        }
    }

    /// Another scene.
    pub fn forget(&mut self) {
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUMP: BBox = BBox::new(0.4, 0.4, 0.1, 0.2);

    #[test]
    fn what_stands_there_is_known_until_it_has_long_been_gone() {
        let mut scenery = Scenery::default();
        let at = |s: u64| Mono::from_micros(s * 1_000_000);
        assert!(!scenery.knows(Group::Vehicle, &STUMP, at(0)));
        scenery.remember(Group::Vehicle, STUMP, at(10));
        assert!(scenery.knows(Group::Vehicle, &BBox::new(0.41, 0.4, 0.1, 0.19), at(60)));
        assert!(!scenery.knows(Group::Vehicle, &BBox::new(0.6, 0.4, 0.1, 0.2), at(61)), "another place");
        let before_it = BBox::new(0.42, 0.42, 0.03, 0.1);
        assert!(scenery.knows(Group::Vehicle, &before_it, at(62)) && !scenery.knows(Group::Person, &before_it, at(62)));
        assert!(scenery.knows(Group::Vehicle, &STUMP, at(900)));
        assert!(!scenery.knows(Group::Vehicle, &STUMP, at(900 + 901)));
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        let mut scenery = Scenery::default();
        for i in 0..1000u64 {
            scenery.remember(Group::Vehicle, BBox::new(0.0005 * i as f32, 0.1, 0.0004, 0.1), Mono::from_micros(i));
        }
        assert_eq!(scenery.places.len(), MAX_PLACES);
        assert!(scenery.places.iter().all(|p| p.seen >= Mono::from_micros(1000 - MAX_PLACES as u64)));
    }
}
