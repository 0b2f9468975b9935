//! What a camera sees at a moment, all of it, as it may leave the unit: hidden as
//! stills are, for somebody who asks.

use super::cover::{self, Hide};
use super::crop::Crop;
use super::mosaic;
use crate::capture::Picture;
use crate::domain::{BBox, Point};

/// What has to be hidden in a picture, in fractions of the upright one.
#[derive(Debug, Clone, Copy)]
pub struct Unseen<'a> {
    /// Where people may be: [`super::person_cover`] of everything that may be one.
    pub people: &'a [BBox],
    /// What moves.
    pub moving: &'a [BBox],
    /// Vehicles that are believed to be some.
    pub vehicles: &'a [BBox],
}

/// The whole of `picture` with `private` areas black and `unseen` averaged; `None`
/// there if nobody is to be hidden. `None` where there is no picture.
pub fn portrait(picture: &Picture<'_>, private: &[Vec<Point>], unseen: Option<Unseen<'_>>) -> Option<Crop> {
    let mut crop = Crop::take(picture, &BBox::new(0.0, 0.0, 1.0, 1.0))?;
    for polygon in private {
        mosaic::black_out(&mut crop, polygon);
    }
    if let Some(Unseen { people, moving, vehicles }) = unseen {
        let moving: Vec<Hide> = moving.iter().copied().map(Hide::whole).collect();
        mosaic::average_all(&mut crop, &cover::all(people, &moving, vehicles));
    }
    Some(crop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::crop::tests::Owned;
    use super::*;

    #[test]
    fn people_and_what_moves_are_hidden_vehicles_are_not_and_private_is_black() {
        let owned = Owned::noise(320, 240, 4);
        let (person, car) = (BBox::new(0.1, 0.1, 0.1, 0.3), BBox::new(0.5, 0.5, 0.2, 0.2));
        let walker = BBox::new(0.8, 0.2, 0.1, 0.2);
        let private = vec![[[0.0, 0.9], [0.2, 0.9], [0.2, 1.0], [0.0, 1.0]].map(Point::from).to_vec()];
        let unseen = Unseen { people: &[person], moving: &[car, walker], vehicles: &[car] };
        let crop = portrait(&owned.picture(), &private, Some(unseen)).unwrap();
        let at = |x: f32, y: f32| (y * 240.0) as usize * 320 + (x * 320.0) as usize;
        // Two neighbours inside a block are alike; noise is not.
        let hidden = |x: f32, y: f32| (0..4).all(|i| crop.y.data[at(x, y) + i] == crop.y.data[at(x, y)]);
        assert!(hidden(0.14, 0.21) && hidden(0.84, 0.28));
        assert!(!hidden(0.6, 0.6) && !hidden(0.4, 0.8));
        assert!((crop.y.data[at(0.1, 0.95)], hidden(0.1, 0.95)) == (0, true));
        let clear = portrait(&owned.picture(), &private, None).unwrap();
        assert_eq!(clear.y.data[at(0.14, 0.21)], owned.y[at(0.14, 0.21)]);
        assert_eq!(clear.y.data[at(0.1, 0.95)], 0);
    }
}
