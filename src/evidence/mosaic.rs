//! Hiding parts of a crop for good: block averages over what must not be
//! recognised, black over what must not be recorded. Pure.
//!
//! An average says nothing of how its block's samples differ from each other,
//! and it is made of that block's samples alone, in every plane, before anything
//! is resized or encoded; so no later step can bring the detail back. Blurring
//! would only weigh it down.
//!
//! Blocks belong to the box, not to the crop: of somebody who stands half outside
//! of it, the half inside gets half the blocks, not all of them.

use super::cover::Hide;
use super::crop::{Crop, Samples};
use crate::domain::Point;

/// Blocks over the larger side of a box, at most.
pub const MAX_BLOCKS: usize = 8;

/// No block's side is shorter than this, luma samples: of who is far away there
/// are fewer blocks, not finer ones.
pub const MIN_BLOCK: f32 = 8.0;

/// How a box is cut into blocks, in luma samples.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    place: [f32; 4],
    across: usize,
    down: usize,
}

impl Grid {
    /// Of a box `w` x `h` samples large at (`x`, `y`).
    fn new([x, y, w, h]: [f32; 4]) -> Grid {
        let side = (w.max(h) / MAX_BLOCKS as f32).max(MIN_BLOCK);
        // A hair less: rounding must not make a ninth block.
        let count = |length: f32| ((length / side - 1e-3).ceil() as usize).clamp(1, MAX_BLOCKS);
        Grid { place: [x, y, w, h], across: count(w), down: count(h) }
    }
}

/// [`average`] for each, in this order.
pub fn average_all(crop: &mut Crop, hides: &[Hide]) {
    hides.iter().for_each(|hide| average(crop, hide));
}

/// Replaces what is in `hide.part` (fractions of the upright picture) by averages
/// over the blocks of `hide.of`, of which there are at most 8 over its larger side.
pub fn average(crop: &mut Crop, hide: &Hide) {
    let (place, part) = (crop.place(&hide.of), crop.place(&hide.part));
    let (w, h) = (crop.y.width as f32, crop.y.height as f32);
    let grid = Grid::new([place.x * w, place.y * h, place.w * w, place.h * h]);
    for plane in crop.planes_mut() {
        let (scale_x, scale_y) = (plane.width as f32 / w, plane.height as f32 / h);
        let only = [(part.x, part.right(), plane.width), (part.y, part.bottom(), plane.height)];
        let [across, down] = only.map(|(from, to, size)| whole_samples(from, to, size));
        let [x, y, w, h] = grid.place;
        let columns = within(edges(x * scale_x, w * scale_x, grid.across, plane.width), &across);
        let rows = within(edges(y * scale_y, h * scale_y, grid.down, plane.height), &down);
        for (top, bottom) in pairs(&rows) {
            for (left, right) in pairs(&columns) {
                flatten(plane, left..right, top..bottom);
            }
        }
    }
}

/// The samples of 0..`size` that a part touches, given in shares of `size`.
fn whole_samples(from: f32, to: f32, size: usize) -> std::ops::Range<usize> {
    let at = |share: f32| share * size as f32;
    (at(from).floor().max(0.0) as usize).min(size)..(at(to).ceil().max(0.0) as usize).min(size)
}

/// The edges, no further than `part` reaches.
fn within(mut edges: Vec<usize>, part: &std::ops::Range<usize>) -> Vec<usize> {
    edges.iter_mut().for_each(|edge| *edge = (*edge).clamp(part.start, part.end.max(part.start)));
    edges
}

/// Where `count` blocks from `from` on, together `length` long, begin and end,
/// in whole samples of 0..`limit`; the outer edges outwards.
fn edges(from: f32, length: f32, count: usize, limit: usize) -> Vec<usize> {
    let at = |i: usize| {
        let edge = from + length * i as f32 / count as f32;
        match i {
            0 => edge.floor(),
            i if i == count => edge.ceil(),
            _ => edge.round(),
        }
    };
    (0..=count).map(|i| (at(i).max(0.0) as usize).min(limit)).collect()
}

fn pairs(edges: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    edges.iter().copied().zip(edges.iter().copied().skip(1)).filter(|(from, to)| from < to)
}

/// Gives all samples of a rectangle their average.
fn flatten(plane: &mut Samples, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) {
    let count = (columns.len() * rows.len()) as u64;
    if count == 0 {
        return;
    }
    let width = plane.width;
    let row = |y: usize| y * width + columns.start..y * width + columns.end;
    let part = |y: usize| plane.data.get(row(y)).unwrap_or(&[]);
    let sum: u64 = rows.clone().flat_map(part).map(|sample| u64::from(*sample)).sum();
    let mean = ((sum + count / 2) / count) as u8;
    for y in rows {
        if let Some(samples) = plane.data.get_mut(row(y)) {
            samples.fill(mean);
        }
    }
}

/// Blacks out a polygon (fractions of the upright picture), grown by a sample.
pub fn black_out(crop: &mut Crop, polygon: &[Point]) {
    let black = if crop.colour.full_range { 0 } else { 16 };
    let points: Vec<Point> = polygon.iter().map(|p| crop.place_point(*p)).collect();
    for (index, plane) in crop.planes_mut().enumerate() {
        let value = if index == 0 { black } else { 128 };
        let (w, h) = (plane.width as f32, plane.height as f32);
        let points: Vec<Point> = points.iter().map(|p| Point::new(p.x * w, p.y * h)).collect();
        for (y, row) in plane.data.chunks_exact_mut(plane.width.max(1)).enumerate() {
            // A quarter of a sample apart: what lies between is no part of any.
            for line in -4..=8 {
                fill_line(&points, y as f32 + line as f32 / 4.0, row, value);
            }
        }
    }
}

/// Fills what lies inside `polygon` at height `y` (even-odd rule).
fn fill_line(polygon: &[Point], y: f32, row: &mut [u8], value: u8) {
    let Some(mut previous) = polygon.last() else { return };
    let mut crossings = Vec::new();
    for vertex in polygon {
        if (vertex.y > y) != (previous.y > y) {
            crossings.push((previous.x - vertex.x) * (y - vertex.y) / (previous.y - vertex.y) + vertex.x);
        }
        previous = vertex;
    }
    crossings.sort_by(f32::total_cmp);
    for pair in crossings.as_chunks::<2>().0 {
        let (from, to) = ((pair[0].floor() - 1.0).max(0.0) as usize, (pair[1].ceil() + 1.0).max(0.0) as usize);
        let to = to.min(row.len());
        if let Some(samples) = row.get_mut(from..to) {
            samples.fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::crop::tests::Owned;
    use super::*;
    use crate::capture::Rotation;
    use crate::domain::BBox;
    use crate::domain::polygon_contains;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const WHOLE: BBox = BBox::new(0.0, 0.0, 1.0, 1.0);

    fn crop(owned: &Owned) -> Crop {
        Crop::take(&owned.picture(), &WHOLE).unwrap()
    }

    #[test]
    fn a_box_has_at_most_eight_blocks_and_far_away_fewer() {
        let owned = Owned::noise(400, 200, 1);
        let mut large = crop(&owned);
        average(&mut large, &Hide::whole(BBox::new(0.1, 0.1, 0.7, 0.8)));
        let values: HashSet<u8> = large.y.data[100 * 400 + 40..100 * 400 + 320].iter().copied().collect();
        assert!(values.len() <= 8, "{}", values.len());
        let mut small = crop(&owned);
        // 20 x 12 samples.
        average(&mut small, &Hide::whole(BBox::new(0.5, 0.5, 0.05, 0.06)));
        let values: HashSet<u8> =
            (101..111).flat_map(|y| small.y.data[y * 400 + 201..y * 400 + 219].to_vec()).collect();
        assert!(values.len() <= 6, "3 x 2 blocks: {}", values.len());
    }

    #[test]
    fn who_stands_half_outside_gets_half_the_blocks() {
        let mut half = crop(&Owned::noise(320, 320, 1));
        average(&mut half, &Hide::whole(BBox::new(-0.5, 0.0, 1.0, 1.0)));
        let first_row: Vec<u8> = half.y.data[..160].to_vec();
        let changes = first_row.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 3, "four blocks: {changes}");
    }

    #[test]
    fn a_piece_shows_no_more_than_the_whole_would() {
        let owned = Owned::noise(320, 320, 1);
        let of = BBox::new(0.0, 0.0, 1.0, 1.0);
        let mut piece = crop(&owned);
        average(&mut piece, &Hide { part: BBox::new(0.0, 0.0, 0.5, 0.2), of });
        let changes = piece.y.data[..160].windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 3, "four blocks of forty samples: {changes}");
        assert_eq!(piece.y.data[160..320], crop(&owned).y.data[160..320], "nothing beyond it");
    }

    fn any_box() -> impl Strategy<Value = BBox> {
        (-0.3f32..1.0, -0.3f32..1.0, 0.02f32..1.2, 0.02f32..1.2).prop_map(|(x, y, w, h)| BBox::new(x, y, w, h))
    }

    fn rotation() -> impl Strategy<Value = Rotation> {
        prop::sample::select(vec![Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters])
    }

    proptest! {
        /// Swapping two samples of one block changes nothing that is left.
        #[test]
        fn no_detail_inside_a_block_survives(
            b in any_box(), rotation in rotation(), seed in any::<u32>(), plane in 0usize..3,
            at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        ) {
            let mut owned = Owned::noise(96, 64, seed);
            owned.rotation = rotation;
            let before = crop(&owned);
            let mut hidden = before.clone();
            average(&mut hidden, &Hide::whole(b));
            let blocks: Vec<Vec<usize>> = blocks_of(&before, &b, plane).into_iter().filter(|block| block.len() > 1).collect();
            prop_assume!(!blocks.is_empty());
            let block = &blocks[at.index(blocks.len())];
            let (at, other) = (block[at.index(block.len())], block[other.index(block.len())]);
            let mut swapped = before.clone();
            swapped.planes_mut().nth(plane).unwrap().data.swap(at, other);
            average(&mut swapped, &Hide::whole(b));
            prop_assert_eq!(hidden, swapped);
        }

        #[test]
        fn nothing_outside_the_box_is_touched_or_looked_at(b in any_box(), seed in any::<u32>(), value in any::<u8>()) {
            let owned = Owned::noise(96, 64, seed);
            let before = crop(&owned);
            let mut hidden = before.clone();
            average(&mut hidden, &Hide::whole(b));
            let grown = BBox::new(b.x - 0.025, b.y - 0.035, b.w + 0.05, b.h + 0.07);
            let inside = |i: usize| {
                let (x, y) = ((i % 96) as f32 + 0.5, (i / 96) as f32 + 0.5);
                let (x, y) = (x / 96.0, y / 64.0);
                (grown.x..grown.right()).contains(&x) && (grown.y..grown.bottom()).contains(&y)
            };
            let mut elsewhere = before.clone();
            for i in (0..96 * 64).filter(|i| !inside(*i)) {
                prop_assert_eq!(before.y.data[i], hidden.y.data[i]);
                elsewhere.y.data[i] = value;
            }
            average(&mut elsewhere, &Hide::whole(b));
            for i in (0..96 * 64).filter(|i| inside(*i)) {
                let (x, y) = ((i % 96) as f32 + 0.5, (i / 96) as f32 + 0.5);
                if (b.x..b.right()).contains(&(x / 96.0)) && (b.y..b.bottom()).contains(&(y / 64.0)) {
                    prop_assert_eq!(hidden.y.data[i], elsewhere.y.data[i]);
                }
            }
        }

        #[test]
        fn everything_inside_a_private_zone_is_black(
            corners in prop::collection::vec((-0.2f32..1.2, -0.2f32..1.2), 3..7), rotation in rotation()
        ) {
            let polygon: Vec<Point> = corners.into_iter().map(|(x, y)| Point::new(x, y)).collect();
            let mut owned = Owned::noise(48, 32, 7);
            owned.rotation = rotation;
            let mut black = crop(&owned);
            black_out(&mut black, &polygon);
            for i in 0..48 * 32 {
                let stored = BBox::new((i % 48) as f32 / 48.0 + 0.5 / 48.0, (i / 48) as f32 / 32.0 + 0.5 / 32.0, 0.0, 0.0);
                let upright = rotation.turn(&stored);
                let around = [(0.0, 0.0), (0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01)];
                let inside = |(dx, dy): (f32, f32)| polygon_contains(&polygon, Point::new(upright.x + dx, upright.y + dy));
                if around.into_iter().all(inside) {
                    prop_assert_eq!(black.y.data[i], 0);
                    let chroma = &black.chroma.as_ref().unwrap()[0];
                    prop_assert_eq!(chroma.data[(i / 48 / 2) * 24 + i % 48 / 2], 128);
                }
            }
        }
    }

    /// The samples of `plane` that are averaged together, block by block.
    fn blocks_of(crop: &Crop, b: &BBox, plane: usize) -> Vec<Vec<usize>> {
        let place = crop.place(b);
        let (w, h) = (crop.y.width as f32, crop.y.height as f32);
        let grid = Grid::new([place.x * w, place.y * h, place.w * w, place.h * h]);
        let mut crop = crop.clone();
        let samples = crop.planes_mut().nth(plane).unwrap();
        let (sx, sy) = (samples.width as f32 / w, samples.height as f32 / h);
        let columns = edges(grid.place[0] * sx, grid.place[2] * sx, grid.across, samples.width);
        let rows = edges(grid.place[1] * sy, grid.place[3] * sy, grid.down, samples.height);
        let mut blocks = Vec::new();
        for (top, bottom) in pairs(&rows) {
            for (left, right) in pairs(&columns) {
                blocks.push(
                    (top..bottom)
                        .flat_map(|y| (left..right).map(move |x| (x, y)))
                        .map(|(x, y)| y * samples.width + x)
                        .collect(),
                );
            }
        }
        blocks
    }
}
