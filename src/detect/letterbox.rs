//! Where a part of the picture lands in the model's input, and the way back.

use crate::domain::BBox;

/// The stride of the coarsest cells of the usual detectors, in input pixels.
pub const COARSEST_STRIDE: usize = 32;

/// How a picture is brought to the size of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Its shape kept, in the middle, bars around it.
    Centred,
    /// The same in the smallest input that holds it, with sides that are
    /// multiples of 32, the coarsest stride, and no larger than the given ones:
    /// bars cost as much as picture.
    Trimmed,
    /// Its shape kept, in the left top corner, bars at the right and below.
    TopLeft,
    /// Stretched to fill the input.
    Stretched,
    /// At its own size, or shrunk in its own shape where it is larger than
    /// the input; the input takes its size. For graphs that resize
    /// themselves.
    Native,
}

/// A scaling of a part of the picture to a place in the input. Where it keeps
/// the shape, r = min(W / w, H / h).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    /// The part of the upright picture that is shown, in fractions of it.
    region: BBox,
    /// Width and height of that part in pixels of the picture, at least 1.
    pub shown: (usize, usize),
    /// Width and height of the whole input, bars included.
    pub input: (usize, usize),
    /// Left edge of the part in the input, in input pixels.
    pub left: usize,
    /// Top edge.
    pub top: usize,
    /// Width in input pixels, at least 1.
    pub width: usize,
    /// Height in input pixels, at least 1.
    pub height: usize,
}

impl Letterbox {
    /// Fits `region` (fractions of an upright picture of `picture` pixels,
    /// width and height) into the middle of an input of `input` pixels.
    pub fn new(region: BBox, picture: (usize, usize), input: (usize, usize)) -> Letterbox {
        Letterbox::fitted(Fit::Centred, region, picture, input)
    }

    /// Like [`Letterbox::new`], in the way that `fit` says.
    pub fn fitted(fit: Fit, region: BBox, picture: (usize, usize), input: (usize, usize)) -> Letterbox {
        let (w, h) = (f64::from(region.w) * picture.0 as f64, f64::from(region.h) * picture.1 as f64);
        let shown = ((w.round() as usize).max(1), (h.round() as usize).max(1));
        let ratio = (input.0 as f64 / w).min(input.1 as f64 / h);
        let scaled = |ratio: f64| {
            let side = |length: f64, limit: usize| ((length * ratio).round() as usize).clamp(1, limit.max(1));
            (side(w, input.0), side(h, input.1))
        };
        let whole_cells = |length: usize, limit: usize| length.next_multiple_of(COARSEST_STRIDE).min(limit);
        let ((width, height), input) = match fit {
            Fit::Centred | Fit::TopLeft => (scaled(ratio), input),
            Fit::Trimmed => {
                let (width, height) = scaled(ratio);
                ((width, height), (whole_cells(width, input.0), whole_cells(height, input.1)))
            }
            Fit::Stretched => ((input.0.max(1), input.1.max(1)), input),
            Fit::Native => (scaled(ratio.min(1.0)), scaled(ratio.min(1.0))),
        };
        let before = |length: usize, limit: usize| match fit {
            Fit::Centred | Fit::Trimmed => (limit - length.min(limit)) / 2,
            Fit::TopLeft | Fit::Stretched | Fit::Native => 0,
        };
        Letterbox { region, shown, input, left: before(width, input.0), top: before(height, input.1), width, height }
    }

    /// A box by its corners in input pixels, in fractions of the upright
    /// picture; may reach outside it.
    pub fn to_picture(self, [x0, y0, x1, y1]: [f32; 4]) -> BBox {
        let x = |x: f32| self.region.x + (x - self.left as f32) / self.width as f32 * self.region.w;
        let y = |y: f32| self.region.y + (y - self.top as f32) / self.height as f32 * self.region.h;
        BBox::from_corners(x(x0), y(y0), x(x1), y(y1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: BBox = BBox::new(0.0, 0.0, 1.0, 1.0);
    const FITS: [Fit; 5] = [Fit::Centred, Fit::Trimmed, Fit::TopLeft, Fit::Stretched, Fit::Native];

    fn place(fit: Letterbox) -> (usize, usize, usize, usize) {
        (fit.left, fit.top, fit.width, fit.height)
    }

    #[test]
    fn a_wide_picture_gets_bars_above_and_below() {
        let fit = Letterbox::new(WHOLE, (1920, 1080), (416, 416));
        assert_eq!(place(fit), (0, 91, 416, 234));
        assert_eq!(fit.to_picture([0.0, 91.0, 416.0, 325.0]), WHOLE);
    }

    #[test]
    fn bars_are_trimmed_to_what_the_strides_need() {
        let trimmed = |picture| Letterbox::fitted(Fit::Trimmed, WHOLE, picture, (416, 416));
        let wide = trimmed((1920, 1080));
        assert_eq!((place(wide), wide.input), ((0, 11, 416, 234), (416, 256)));
        let high = trimmed((480, 640));
        assert_eq!((place(high), high.input), ((4, 0, 312, 416), (320, 416)));
        let square = trimmed((300, 300));
        assert_eq!((place(square), square.input), ((0, 0, 416, 416), (416, 416)));
    }

    #[test]
    fn every_family_has_its_own_place_for_a_picture() {
        let fitted = |fit, picture| Letterbox::fitted(fit, WHOLE, picture, (640, 640));
        assert_eq!(place(fitted(Fit::TopLeft, (1920, 1080))), (0, 0, 640, 360));
        assert_eq!(place(fitted(Fit::Stretched, (1920, 1080))), (0, 0, 640, 640));
        let native = fitted(Fit::Native, (1920, 1080));
        assert_eq!((place(native), native.input), ((0, 0, 640, 360), (640, 360)));
        let native = fitted(Fit::Native, (320, 200));
        assert_eq!((place(native), native.input), ((0, 0, 320, 200), (320, 200)));
        let crop = Letterbox::fitted(Fit::Stretched, BBox::new(0.5, 0.5, 0.25, 0.5), (1920, 1080), (640, 640));
        assert_eq!(crop.shown, (480, 540));
    }

    proptest! {
        #[test]
        fn the_way_back_leads_to_where_it_began(
            w in 1usize..10_000, h in 1usize..10_000, iw in 32usize..1000, ih in 32usize..1000, way in 0usize..5,
            x in 0f32..0.9, y in 0f32..0.9, rw in 0.01f32..1.0, rh in 0.01f32..1.0, u in 0f32..1., v in 0f32..1.,
        ) {
            let region = BBox::new(x, y, rw.min(1.0 - x), rh.min(1.0 - y));
            let fit = Letterbox::fitted(FITS[way], region, (w, h), (iw, ih));
            prop_assert!(fit.input.0 <= iw && fit.input.1 <= ih);
            prop_assert!(fit.width >= 1 && fit.left + fit.width <= fit.input.0);
            prop_assert!(fit.height >= 1 && fit.top + fit.height <= fit.input.1);
            let (px, py) = (fit.left as f32 + u * fit.width as f32, fit.top as f32 + v * fit.height as f32);
            let back = fit.to_picture([px, py, px, py]);
            prop_assert!((back.x - (region.x + u * region.w)).abs() < 1e-4);
            prop_assert!((back.y - (region.y + v * region.h)).abs() < 1e-4);
        }
    }
}
