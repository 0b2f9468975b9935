//! Where a part of the picture lands in the model's input, and the way back.

use crate::domain::BBox;

/// A scaling that keeps the shape, centred, with padding around it:
/// r = min(W / w, H / h).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    /// The part of the upright picture that is shown, in fractions of it.
    region: BBox,
    /// Left edge of that part in the input, in input pixels.
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
    /// width and height) into an input of `input` pixels.
    pub fn new(region: BBox, picture: (usize, usize), input: (usize, usize)) -> Letterbox {
        let (w, h) = (f64::from(region.w) * picture.0 as f64, f64::from(region.h) * picture.1 as f64);
        let ratio = (input.0 as f64 / w).min(input.1 as f64 / h);
        let fit = |length: f64, limit: usize| ((length * ratio).round() as usize).clamp(1, limit.max(1));
        let (width, height) = (fit(w, input.0), fit(h, input.1));
        Letterbox {
            region,
            left: (input.0 - width.min(input.0)) / 2,
            top: (input.1 - height.min(input.1)) / 2,
            width,
            height,
        }
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

    #[test]
    fn a_wide_picture_gets_bars_above_and_below() {
        let fit = Letterbox::new(WHOLE, (1920, 1080), (416, 416));
        assert_eq!((fit.left, fit.top, fit.width, fit.height), (0, 91, 416, 234));
        assert_eq!(fit.to_picture([0.0, 91.0, 416.0, 325.0]), WHOLE);
    }

    proptest! {
        #[test]
        fn the_way_back_leads_to_where_it_began(
            w in 1usize..10_000, h in 1usize..10_000, iw in 32usize..1000, ih in 32usize..1000,
            x in 0f32..0.9, y in 0f32..0.9, rw in 0.01f32..1.0, rh in 0.01f32..1.0, u in 0f32..1., v in 0f32..1.,
        ) {
            let region = BBox::new(x, y, rw.min(1.0 - x), rh.min(1.0 - y));
            let fit = Letterbox::new(region, (w, h), (iw, ih));
            prop_assert!(fit.width >= 1 && fit.left + fit.width <= iw);
            prop_assert!(fit.height >= 1 && fit.top + fit.height <= ih);
            let (px, py) = (fit.left as f32 + u * fit.width as f32, fit.top as f32 + v * fit.height as f32);
            let back = fit.to_picture([px, py, px, py]);
            prop_assert!((back.x - (region.x + u * region.w)).abs() < 1e-4);
            prop_assert!((back.y - (region.y + v * region.h)).abs() < 1e-4);
        }
    }
}
