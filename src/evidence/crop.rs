//! A part of a picture, copied: planes of its own, as they were decoded.
//!
//! A decoder's frame is borrowed and soon overwritten, and holding on to a few
//! of them would take the decoder's buffers away; so the part that shows an
//! object is copied, and only that. Very large parts are kept at a lower
//! resolution: a crop never has more than [`MAX_SAMPLES`] of luma.

use crate::capture::{Colour, Picture, Plane, Rotation};
use crate::detect::{PlaneCrop, Resampler};
use crate::domain::{BBox, Point};

/// Luma samples that a crop has at most: 1.2 megapixels, 1.8 MB with 4:2:0.
pub const MAX_SAMPLES: usize = 1280 * 960;

/// Samples of one plane, row by row without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    /// Rows of `width`.
    pub data: Vec<u8>,
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Samples {
    /// Seen as a plane; `None` if there are none.
    pub fn plane(&self) -> Option<Plane<'_>> {
        Plane::new(&self.data, self.width, self.height, self.width)
    }
}

/// See the module's description.
#[derive(Debug, Clone, PartialEq)]
pub struct Crop {
    /// Luma.
    pub y: Samples,
    /// Cb and Cr; `None` for a grey picture.
    pub chroma: Option<[Samples; 2]>,
    /// What the samples mean.
    pub colour: Colour,
    /// How to turn it upright.
    pub rotation: Rotation,
    /// Where it was, in fractions of the stored picture.
    stored: BBox,
}

impl Crop {
    /// Copies `area` (fractions of the upright picture) of `picture`, grown to
    /// whole samples of its smallest plane. `None` where there is nothing.
    pub fn take(picture: &Picture<'_>, area: &BBox) -> Option<Crop> {
        let stored = picture.rotation.inverse().turn(&area.clipped());
        let (width, height) = (picture.y.width, picture.y.height);
        let (sub_x, sub_y) = match &picture.chroma {
            Some((cb, _)) => (width.div_ceil(cb.width), height.div_ceil(cb.height)),
            None => (1, 1),
        };
        let (x0, x1) = samples(stored.x, stored.right(), width, sub_x)?;
        let (y0, y1) = samples(stored.y, stored.bottom(), height, sub_y)?;
        let (w, h) = (x1 - x0, y1 - y0);
        let shrink = (MAX_SAMPLES as f64 / (w * h) as f64).sqrt().min(1.0);
        let size = |samples: usize| ((samples as f64 * shrink) as usize).max(1);
        let chroma = picture.chroma.as_ref().map(|(cb, cr)| {
            [cb, cr].map(|plane| {
                let (left, top) = ((x0 / sub_x).min(plane.width - 1), (y0 / sub_y).min(plane.height - 1));
                let right = x1.div_ceil(sub_x).clamp(left + 1, plane.width);
                let bottom = y1.div_ceil(sub_y).clamp(top + 1, plane.height);
                copy(plane, [left, top, right, bottom], (size(right - left), size(bottom - top)))
            })
        });
        Some(Crop {
            y: copy(&picture.y, [x0, y0, x1, y1], (size(w), size(h))),
            chroma,
            colour: picture.colour,
            rotation: picture.rotation,
            stored: BBox::from_corners(
                x0 as f32 / width as f32,
                y0 as f32 / height as f32,
                x1 as f32 / width as f32,
                y1 as f32 / height as f32,
            ),
        })
    }

    /// Where it was, in fractions of the upright picture.
    pub fn area(&self) -> BBox {
        self.rotation.turn(&self.stored)
    }

    /// Bytes of all planes.
    pub fn bytes(&self) -> usize {
        self.y.data.len() + self.chroma.iter().flatten().map(|plane| plane.data.len()).sum::<usize>()
    }

    /// Width and height of the upright crop in pixels.
    pub fn upright_size(&self) -> (usize, usize) {
        let (w, h) = (self.y.width, self.y.height);
        if self.rotation.is_sideways() { (h, w) } else { (w, h) }
    }

    /// `b` (fractions of the upright picture) in fractions of the crop as it is
    /// stored; may reach outside of it.
    pub fn place(&self, b: &BBox) -> BBox {
        let b = self.rotation.inverse().turn(b);
        let s = &self.stored;
        BBox::new((b.x - s.x) / s.w, (b.y - s.y) / s.h, b.w / s.w, b.h / s.h)
    }

    /// The same for a point.
    pub fn place_point(&self, p: Point) -> Point {
        let b = self.place(&BBox::new(p.x, p.y, 0.0, 0.0));
        Point::new(b.x, b.y)
    }

    /// All planes, luma first.
    pub fn planes_mut(&mut self) -> impl Iterator<Item = &mut Samples> {
        std::iter::once(&mut self.y).chain(self.chroma.iter_mut().flatten())
    }
}

/// From fractions to samples, outwards to multiples of `step`.
fn samples(from: f32, to: f32, count: usize, step: usize) -> Option<(usize, usize)> {
    let first = ((from * count as f32).max(0.0) as usize).min(count) / step * step;
    let last = ((to * count as f32).ceil().max(0.0) as usize).next_multiple_of(step).min(count);
    (first < last).then_some((first, last))
}

fn copy(plane: &Plane<'_>, [x0, y0, x1, y1]: [usize; 4], (width, height): (usize, usize)) -> Samples {
    let mut data = Vec::new();
    if (width, height) == (x1 - x0, y1 - y0) {
        data.reserve_exact(width * height);
        for y in y0..y1 {
            data.extend_from_slice(plane.row(y).get(x0..x1).unwrap_or(&[]));
        }
        // A plane is as large as it says; this is only for the shape's sake.
        data.resize(width * height, 128);
    } else {
        let crop = PlaneCrop { left: x0 as f64, top: y0 as f64, width: (x1 - x0) as f64, height: (y1 - y0) as f64 };
        Resampler::default().resize(plane, crop, (width, height), &mut data);
    }
    Samples { data, width, height }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::capture::Matrix;
    use proptest::prelude::*;

    /// A picture with 4:2:0 chroma of its own samples.
    pub(in crate::evidence) struct Owned {
        pub y: Vec<u8>,
        pub cb: Vec<u8>,
        pub cr: Vec<u8>,
        pub width: usize,
        pub height: usize,
        pub rotation: Rotation,
    }

    impl Owned {
        pub fn noise(width: usize, height: usize, seed: u32) -> Owned {
            let noise = |salt: u32, n: usize| {
                (0..n as u32).map(|i| ((i ^ seed).wrapping_add(salt).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
            };
            let chroma = width.div_ceil(2) * height.div_ceil(2);
            Owned {
                y: noise(1, width * height),
                cb: noise(77, chroma),
                cr: noise(991, chroma),
                width,
                height,
                rotation: Rotation::None,
            }
        }

        pub fn picture(&self) -> Picture<'_> {
            let (w, h) = (self.width.div_ceil(2), self.height.div_ceil(2));
            let plane = |data, w, h| Plane::new(data, w, h, w).unwrap();
            Picture {
                y: plane(&self.y, self.width, self.height),
                chroma: Some((plane(&self.cb, w, h), plane(&self.cr, w, h))),
                colour: Colour { matrix: Matrix::Bt601, full_range: true },
                rotation: self.rotation,
                exposure: 1.0,
            }
        }
    }

    #[test]
    fn a_turned_picture_is_cut_where_it_is_seen() {
        let mut owned = Owned::noise(64, 32, 5);
        owned.rotation = Rotation::Quarter;
        let crop = Crop::take(&owned.picture(), &BBox::new(0.0, 0.0, 0.5, 0.25)).unwrap();
        assert_eq!(crop.upright_size(), (16, 16));
        assert!(crop.area().iou(&BBox::new(0.0, 0.0, 0.5, 0.25)) > 0.99, "{:?}", crop.area());
        // Its upper left corner is the stored picture's lower left one.
        assert_eq!(crop.y.data[15 * 16], owned.y[31 * 64]);
        assert!(crop.place(&crop.area()).iou(&BBox::new(0.0, 0.0, 1.0, 1.0)) > 0.999);
    }

    #[test]
    fn what_is_very_large_is_kept_smaller() {
        let owned = Owned::noise(2560, 1440, 3);
        let crop = Crop::take(&owned.picture(), &BBox::new(0.0, 0.0, 1.0, 1.0)).unwrap();
        assert!(crop.y.data.len() <= MAX_SAMPLES && crop.y.width > 1400, "{}x{}", crop.y.width, crop.y.height);
        assert!(crop.bytes() <= MAX_SAMPLES * 2);
    }

    proptest! {
        #[test]
        fn every_part_of_every_picture_has_the_samples_it_says(
            width in 1usize..80, height in 1usize..80,
            x in -0.5f32..1.2, y in -0.5f32..1.2, w in 0f32..1.5, h in 0f32..1.5, turn in 0usize..4,
        ) {
            let mut owned = Owned::noise(width, height, 9);
            owned.rotation = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters][turn];
            if let Some(crop) = Crop::take(&owned.picture(), &BBox::new(x, y, w, h)) {
                prop_assert_eq!(crop.y.data.len(), crop.y.width * crop.y.height);
                for plane in crop.chroma.iter().flatten() {
                    prop_assert_eq!(plane.data.len(), plane.width * plane.height);
                    prop_assert_eq!((plane.width, plane.height), (crop.y.width.div_ceil(2), crop.y.height.div_ceil(2)));
                }
            }
        }
    }
}
