//! A decoded picture as planes of 8-bit samples, exactly as the decoder left
//! them: nothing is copied or converted before somebody needs it.

use crate::domain::BBox;

/// One plane of 8-bit samples.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Rows of `stride` bytes of which the first `width` count. Holds at least
    /// `stride * (height - 1) + width` bytes.
    pub data: &'a [u8],
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row to the next, at least `width`.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// A plane, if `data` is large enough for these sizes and not empty.
    pub fn new(data: &'a [u8], width: usize, height: usize, stride: usize) -> Option<Plane<'a>> {
        let needed = stride.checked_mul(height.checked_sub(1)?)?.checked_add(width)?;
        (width > 0 && stride >= width && data.len() >= needed).then_some(Plane { data, width, height, stride })
    }

    /// The samples of row `y`; empty outside the plane.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride;
        self.data.get(start..start + self.width).unwrap_or(&[])
    }
}

/// How many quarter turns clockwise make the stored picture upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Stored upright.
    #[default]
    None,
    /// A quarter turn clockwise.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter turn anticlockwise.
    ThreeQuarters,
}

impl Rotation {
    /// The nearest quarter turn to `degrees` clockwise.
    pub fn from_degrees_clockwise(degrees: f64) -> Rotation {
        match ((degrees / 90.0).round() as i64).rem_euclid(4) {
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            3 => Rotation::ThreeQuarters,
            _ => Rotation::None,
        }
    }

    /// The turn that undoes this one.
    pub fn inverse(self) -> Rotation {
        match self {
            Rotation::Quarter => Rotation::ThreeQuarters,
            Rotation::ThreeQuarters => Rotation::Quarter,
            other => other,
        }
    }

    /// A box in fractions of the stored picture, as it lies in the turned one.
    pub fn turn(self, b: &BBox) -> BBox {
        match self {
            Rotation::None => *b,
            Rotation::Quarter => BBox::new(1.0 - b.bottom(), b.x, b.h, b.w),
            Rotation::Half => BBox::new(1.0 - b.right(), 1.0 - b.bottom(), b.w, b.h),
            Rotation::ThreeQuarters => BBox::new(b.y, 1.0 - b.right(), b.h, b.w),
        }
    }

    /// Whether width and height change places.
    pub fn is_sideways(self) -> bool {
        matches!(self, Rotation::Quarter | Rotation::ThreeQuarters)
    }
}

/// The matrix between RGB and YCbCr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition and JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// What the samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    /// Conversion matrix.
    pub matrix: Matrix,
    /// True: luma 0..=255 (JPEG); false: luma 16..=235, chroma 16..=240.
    pub full_range: bool,
}

/// A picture of 8-bit YCbCr planes. Chroma planes may be smaller than luma by
/// any factor (4:2:0, 4:2:2, 4:4:4) and are absent for grey pictures (4:0:0).
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Luma; its size is the picture's.
    pub y: Plane<'a>,
    /// Cb and Cr, of equal size.
    pub chroma: Option<(Plane<'a>, Plane<'a>)>,
    /// What the samples mean.
    pub colour: Colour,
    /// How to turn the stored picture for display.
    pub rotation: Rotation,
    /// Brightness is multiplied by this before a model looks at the picture:
    /// 1 as taken, more for the dark ones.
    pub exposure: f32,
}

impl Picture<'_> {
    /// Width and height of the upright picture in pixels.
    pub fn upright_size(&self) -> (usize, usize) {
        if self.rotation.is_sideways() { (self.y.height, self.y.width) } else { (self.y.width, self.y.height) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_a_box_there_and_back_changes_nothing() {
        let b = BBox::new(0.1, 0.2, 0.3, 0.4);
        for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
            let back = rotation.inverse().turn(&rotation.turn(&b));
            assert!(back.iou(&b) > 0.999, "{rotation:?}: {back:?}");
        }
        // A quarter turn clockwise brings the bottom left corner to the top left.
        let turned = Rotation::Quarter.turn(&BBox::new(0.0, 0.9, 0.1, 0.1));
        assert!(turned.iou(&BBox::new(0.0, 0.0, 0.1, 0.1)) > 0.99, "{turned:?}");
    }
}
