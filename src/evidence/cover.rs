//! What has to be hidden in a picture before it leaves the unit. Pure geometry,
//! all in fractions of the upright picture.
//!
//! Two nets over each other: whatever might be a person by the detector's
//! faintest word, and whatever moves and is not a vehicle that is believed to be
//! one. The second catches people whom the detector does not see at all.

use crate::domain::BBox;

/// From this confidence on a detection may be a person.
pub const FAINTEST_PERSON: f32 = 0.1;

/// A box around a person is grown by this share on every side: arms, a bag, and
/// the detector's own errors.
const PERSON_MARGIN: f32 = 0.2;

/// What moves around a vehicle to this share of its size is its own: shadow,
/// dust, and the grid's coarseness.
const VEHICLE_MARGIN: f32 = 0.06;

/// At most so many pieces of moving regions; beyond it regions are hidden whole.
const MAX_PIECES: usize = 256;

/// A place to be hidden.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hide {
    /// Where.
    pub part: BBox,
    /// What it is a part of: the blocks are that one's, so that pieces of
    /// somebody do not show more than the whole would.
    pub of: BBox,
}

impl Hide {
    /// All of `b`.
    pub fn whole(b: BBox) -> Hide {
        Hide { part: b, of: b }
    }
}

/// The box in which a person may be.
pub fn person(found: &BBox) -> BBox {
    found.grown(PERSON_MARGIN)
}

/// What is left of the `moving` regions without the `vehicles`, all of which
/// are believed.
pub fn moving_but_vehicles(moving: &[Hide], vehicles: &[BBox]) -> Vec<Hide> {
    let mut pieces = moving.to_vec();
    for vehicle in vehicles {
        let vehicle = vehicle.grown(VEHICLE_MARGIN);
        let mut rest = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            if rest.len() >= MAX_PIECES {
                rest.push(*piece);
            } else {
                subtract(piece, &vehicle, &mut rest);
            }
        }
        pieces = rest;
    }
    pieces
}

/// Everything that has to be hidden: `people` (already grown), and what is
/// `moving` outside of `vehicles`. The largest first: each further one only takes
/// more away.
pub fn all(people: &[BBox], moving: &[Hide], vehicles: &[BBox]) -> Vec<Hide> {
    let mut boxes = moving_but_vehicles(moving, vehicles);
    boxes.extend(people.iter().copied().map(Hide::whole));
    boxes.sort_by(|a, b| b.part.area().total_cmp(&a.part.area()));
    boxes
}

/// The parts of `from` outside `hole`: above and below over the whole width,
/// left and right between them.
fn subtract(piece: &Hide, hole: &BBox, out: &mut Vec<Hide>) {
    let from = &piece.part;
    let shared = from.intersection(hole);
    if shared.area() <= 0.0 {
        out.push(*piece);
        return;
    }
    let parts = [
        BBox::from_corners(from.x, from.y, from.right(), shared.y),
        BBox::from_corners(from.x, shared.bottom(), from.right(), from.bottom()),
        BBox::from_corners(from.x, shared.y, shared.x, shared.bottom()),
        BBox::from_corners(shared.right(), shared.y, from.right(), shared.bottom()),
    ];
    let parts = parts.into_iter().filter(|part| part.area() > 0.0);
    out.extend(parts.map(|part| Hide { part, ..*piece }));
}

/// The share of `of` that `boxes` cover at most, 0 to 1.
pub fn share_hidden(of: &BBox, boxes: &[BBox]) -> f32 {
    boxes.iter().map(|b| of.share_inside(b)).sum::<f32>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_box() -> impl Strategy<Value = BBox> {
        (0f32..0.9, 0f32..0.9, 0.01f32..0.6, 0.01f32..0.6).prop_map(|(x, y, w, h)| BBox::new(x, y, w, h))
    }

    fn holds(b: &BBox, x: f32, y: f32) -> bool {
        (b.x..b.right()).contains(&x) && (b.y..b.bottom()).contains(&y)
    }

    #[test]
    fn who_walks_behind_a_car_is_hidden_and_the_car_is_not() {
        let car = BBox::new(0.3, 0.4, 0.3, 0.2);
        let region = BBox::new(0.2, 0.3, 0.42, 0.31);
        let whole = [Hide::whole(region)];
        let hidden = moving_but_vehicles(&whole, &[car]);
        assert!(hidden.iter().any(|h| holds(&h.part, 0.22, 0.5)));
        assert!(!hidden.iter().any(|h| holds(&h.part, 0.45, 0.5)));
        assert!(hidden.iter().all(|h| h.of == region));
        assert_eq!(moving_but_vehicles(&whole, &[]), whole);
    }

    proptest! {
        #[test]
        fn all_that_moves_outside_of_vehicles_is_hidden(
            moving in prop::collection::vec(any_box(), 0..8), vehicles in prop::collection::vec(any_box(), 0..8),
            x in 0f32..1.0, y in 0f32..1.0,
        ) {
            let regions: Vec<Hide> = moving.iter().copied().map(Hide::whole).collect();
            let hidden = moving_but_vehicles(&regions, &vehicles);
            let moves = moving.iter().any(|b| holds(b, x, y));
            let vehicle = vehicles.iter().any(|b| holds(&b.grown(VEHICLE_MARGIN + 1e-4), x, y));
            if moves && !vehicle {
                prop_assert!(hidden.iter().any(|h| holds(&h.part.grown(1e-3), x, y)));
            }
        }
    }
}
