//! A still picture in overlapping square tiles, for things that are too small
//! in the whole of it. Pure.

use super::view::{View, WHOLE};
use crate::domain::BBox;

/// Pixels of the picture are magnified by no more than this.
const MAX_MAGNIFICATION: f32 = 1.5;
/// The least that neighbours overlap, as a share of a tile's side: what is
/// smaller than this is whole in one of them.
const MIN_OVERLAP: f32 = 0.25;
/// Tiles at most; those of larger pictures are larger.
const MAX_TILES: usize = 40;
/// Each try is coarser than the last by this factor.
const COARSER: f32 = 1.1;

/// The regions to look at: the whole picture first, then the tiles, row by
/// row. Only the whole where tiles would show nothing larger.
pub fn tiles(view: &View) -> Vec<BBox> {
    let mut regions = vec![WHOLE];
    let mut side = view.input() / MAX_MAGNIFICATION;
    while count(view.width(), side) * count(view.height(), side) > MAX_TILES {
        side *= COARSER;
    }
    if !view.gains(side) {
        return regions;
    }
    for y in starts(view.height(), side) {
        for x in starts(view.width(), side) {
            let (w, h) = ((side / view.width()).min(1.0), (side / view.height()).min(1.0));
            regions.push(BBox::new(x.min(1.0 - w), y.min(1.0 - h), w, h));
        }
    }
    regions
}

/// How many tiles of `side` cover `length`.
fn count(length: f32, side: f32) -> usize {
    let step = side * (1.0 - MIN_OVERLAP);
    1 + ((length - side).max(0.0) / step).ceil() as usize
}

/// Where they begin, in fractions: evenly, the last one ends with the picture.
fn starts(length: f32, side: f32) -> impl Iterator<Item = f32> + Clone {
    let count = count(length, side);
    let last = (length - side).max(0.0) / length;
    (0..count).map(move |i| last * i as f32 / (count - 1).max(1) as f32)
}

#[cfg(test)]
mod tests {
    use super::super::view::contains;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_small_is_whole_in_some_tile(
            width in 32usize..6000, height in 32usize..6000, u in 0f32..1.0, v in 0f32..1.0,
        ) {
            let view = View::new((width, height), (416, 416));
            let regions = tiles(&view);
            prop_assert!(regions.len() <= MAX_TILES + 1);
            prop_assert_eq!(regions[0], WHOLE);
            prop_assert!(regions.iter().all(|region| contains(&WHOLE, region)));
            if regions.len() > 1 {
                let side = (regions[1].w * width as f32).max(regions[1].h * height as f32);
                let (w, h) = (0.2 * side / width as f32, 0.2 * side / height as f32);
                let small = BBox::new(u * (1.0 - w).max(0.0), v * (1.0 - h).max(0.0), w.min(1.0), h.min(1.0));
                prop_assert!(regions[1..].iter().any(|tile| contains(tile, &small)), "{small:?} in none of {regions:?}");
            }
        }
    }
}
