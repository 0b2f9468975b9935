//! How large things of a picture are in the model's input, for a part of the
//! picture or the whole of it. Pure geometry.

use crate::domain::BBox;

/// The whole picture, as a region.
pub const WHOLE: BBox = BBox::new(0.0, 0.0, 1.0, 1.0);

/// The length (longer side, pixels of the model's input) at which a look
/// shows something well. Small detectors find people from about 40 on; twice
/// that leaves room for a box around a part only.
const GOOD_LENGTH_PX: f32 = 80.0;
/// A crop that shows something at this length is good enough; ...
const ENOUGH_LENGTH_PX: f32 = 56.0;
/// ... the whole picture already is at this one: enlarging what the detector
/// finds as it is brings noise nearer, too (a man at dusk is found with 0.7 in
/// the whole picture and with 0.3 in a crop twice as large).
const WHOLE_LENGTH_PX: f32 = 40.0;
/// A look that shows it below this one proves nothing.
const LEAST_LENGTH_PX: f32 = 32.0;
/// The picture's own pixels are magnified by no more than this: beyond it
/// there is nothing more to see.
const MAX_MAGNIFICATION: f32 = 1.5;
/// A crop must show things larger than the whole picture does by this factor.
const MIN_GAIN: f32 = 1.3;
/// The share of a region's side within which a box counts as cut by its edge.
const EDGE_SHARE: f32 = 0.012;
/// A region's edge this close to the picture's is the picture's.
const PICTURE_EDGE: f32 = 0.002;

/// A picture's size and the input it is shown in, both in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    width: f32,
    height: f32,
    /// The shorter side of the input: crops are square.
    input: f32,
    whole_scale: f32,
}

impl View {
    /// Of an upright picture of `picture` pixels in an input of `input` pixels
    /// (width and height, each at least 1).
    pub fn new(picture: (usize, usize), input: (usize, usize)) -> View {
        let (width, height) = (picture.0.max(1) as f32, picture.1.max(1) as f32);
        let (across, down) = (input.0.max(1) as f32, input.1.max(1) as f32);
        View { width, height, input: across.min(down), whole_scale: (across / width).min(down / height) }
    }

    /// Longer side of `b` in the picture's pixels.
    pub fn length(&self, b: &BBox) -> f32 {
        (b.w * self.width).max(b.h * self.height)
    }

    /// The picture's width in pixels.
    pub(super) fn width(&self) -> f32 {
        self.width
    }

    /// The picture's height in pixels.
    pub(super) fn height(&self) -> f32 {
        self.height
    }

    /// The shorter side of the input in pixels.
    pub(super) fn input(&self) -> f32 {
        self.input
    }

    /// The largest square crop's side in pixels.
    pub fn largest_side(&self) -> f32 {
        self.width.min(self.height)
    }

    /// The side, in pixels, of the square crop that shows something of
    /// `length` pixels well, and of the largest that shows it well enough;
    /// `None` where the whole picture serves as well as a crop.
    pub fn sides_for(&self, length: f32) -> Option<(f32, f32)> {
        let scale = |wanted: f32| (wanted / length.max(1.0)).min(MAX_MAGNIFICATION);
        let too_small_a_picture = self.input / self.largest_side() > MAX_MAGNIFICATION;
        // Longer than the picture's shorter side: no square inside it holds it.
        if length * self.whole_scale >= WHOLE_LENGTH_PX || too_small_a_picture || length > self.largest_side() {
            return None;
        }
        let good = (self.input / scale(GOOD_LENGTH_PX)).min(self.largest_side());
        let enough = (self.input / scale(ENOUGH_LENGTH_PX)).max(good * MIN_GAIN).min(self.largest_side());
        self.gains(good).then_some((good, enough))
    }

    /// Whether a square of `side` pixels shows things clearly larger than the
    /// whole picture does.
    pub fn gains(&self, side: f32) -> bool {
        self.input / side >= MIN_GAIN * self.whole_scale
    }

    /// A square of `side` pixels around the middle of `around` (fractions of
    /// the picture), moved so that it lies inside the picture.
    pub fn square(&self, around: &BBox, side: f32) -> BBox {
        let side = side.min(self.largest_side());
        let (w, h) = ((side / self.width).min(1.0), (side / self.height).min(1.0));
        let middle = around.center();
        BBox::new((middle.x - w / 2.0).clamp(0.0, 1.0 - w), (middle.y - h / 2.0).clamp(0.0, 1.0 - h), w, h)
    }

    /// Input pixels for each pixel of the picture when `region` is shown.
    fn scale_of(&self, region: &BBox) -> f32 {
        if is_whole(region) { self.whole_scale } else { self.input / self.length(region).max(1.0) }
    }

    /// Whether a look at `region` would have shown what is at `b`: wholly
    /// inside, and not much smaller than the best look could show it.
    pub fn shows(&self, region: &BBox, b: &BBox) -> bool {
        let b = into_picture(b);
        let length = self.length(&b);
        let best = self.sides_for(length).map_or(self.whole_scale, |(_, enough)| self.input / enough);
        let large_enough = self.scale_of(region) >= (LEAST_LENGTH_PX / length.max(1.0)).min(best * 0.99);
        large_enough && (is_whole(region) || (contains(region, &b) && !is_cut(region, &b)))
    }
}

/// Whether `region` is the whole picture.
pub fn is_whole(region: &BBox) -> bool {
    region.w >= 1.0 - PICTURE_EDGE && region.h >= 1.0 - PICTURE_EDGE
}

/// Whether `b` touches an edge of `region` that is not the picture's: what
/// goes on behind it was not seen.
pub fn is_cut(region: &BBox, b: &BBox) -> bool {
    let (dx, dy) = (EDGE_SHARE * region.w, EDGE_SHARE * region.h);
    (region.x > PICTURE_EDGE && b.x <= region.x + dx)
        || (region.y > PICTURE_EDGE && b.y <= region.y + dy)
        || (region.right() < 1.0 - PICTURE_EDGE && b.right() >= region.right() - dx)
        || (region.bottom() < 1.0 - PICTURE_EDGE && b.bottom() >= region.bottom() - dy)
}

/// Whether `b` lies inside `region`.
pub fn contains(region: &BBox, b: &BBox) -> bool {
    let slack = 1e-4;
    b.x >= region.x - slack
        && b.y >= region.y - slack
        && b.right() <= region.right() + slack
        && b.bottom() <= region.bottom() + slack
}

/// The part of `b` inside the picture; what is outside of it altogether (an
/// object that has just left) is put at the border where it went out.
pub fn into_picture(b: &BBox) -> BBox {
    let least = 0.005;
    let side = |from: f32, to: f32| {
        let from = from.clamp(0.0, 1.0 - least);
        (from, to.clamp(from + least, 1.0))
    };
    let ((x0, x1), (y0, y1)) = (side(b.x, b.right()), side(b.y, b.bottom()));
    BBox::from_corners(x0, y0, x1, y1)
}
