//! Points, boxes and lines in fractions of the upright, displayed picture:
//! origin top left, x to the right, y down, 0..1 inside the picture.

use serde::{Deserialize, Serialize};

/// A point in fractions of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "[f32; 2]", into = "[f32; 2]")]
#[schemars(with = "[f32; 2]")]
pub struct Point {
    /// 0 at the left edge, 1 at the right.
    pub x: f32,
    /// 0 at the top edge, 1 at the bottom.
    pub y: f32,
}

impl Point {
    /// A point from its coordinates.
    pub const fn new(x: f32, y: f32) -> Point {
        Point { x, y }
    }
}

impl From<[f32; 2]> for Point {
    fn from([x, y]: [f32; 2]) -> Point {
        Point { x, y }
    }
}

impl From<Point> for [f32; 2] {
    fn from(p: Point) -> [f32; 2] {
        [p.x, p.y]
    }
}

/// An axis-aligned box in fractions of the picture; may reach outside it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, not negative.
    pub w: f32,
    /// Height, not negative.
    pub h: f32,
}

impl BBox {
    /// From the left top corner and the size.
    pub const fn new(x: f32, y: f32, w: f32, h: f32) -> BBox {
        BBox { x, y, w, h }
    }

    /// From two corners; a box whose corners are swapped is empty.
    pub fn from_corners(x0: f32, y0: f32, x1: f32, y1: f32) -> BBox {
        BBox { x: x0, y: y0, w: (x1 - x0).max(0.0), h: (y1 - y0).max(0.0) }
    }

    /// Right edge.
    pub fn right(&self) -> f32 {
        self.x + self.w
    }

    /// Bottom edge.
    pub fn bottom(&self) -> f32 {
        self.y + self.h
    }

    /// The middle.
    pub fn center(&self) -> Point {
        Point { x: self.x + self.w / 2.0, y: self.y + self.h / 2.0 }
    }

    /// The middle of the bottom edge: where the object meets the ground.
    pub fn foot(&self) -> Point {
        Point { x: self.x + self.w / 2.0, y: self.y + self.h }
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        self.w * self.h
    }

    /// The part that both boxes share; empty if they are apart.
    pub fn intersection(&self, other: &BBox) -> BBox {
        BBox::from_corners(
            self.x.max(other.x),
            self.y.max(other.y),
            self.right().min(other.right()),
            self.bottom().min(other.bottom()),
        )
    }

    /// The smallest box around both.
    pub fn union(&self, other: &BBox) -> BBox {
        BBox::from_corners(
            self.x.min(other.x),
            self.y.min(other.y),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// Intersection over union, 0..=1.
    pub fn iou(&self, other: &BBox) -> f32 {
        let shared = self.intersection(other).area();
        let all = self.area() + other.area() - shared;
        if all > 0.0 { (shared / all).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The share of `self` that lies inside `other`, 0..=1.
    pub fn share_inside(&self, other: &BBox) -> f32 {
        let area = self.area();
        if area > 0.0 { (self.intersection(other).area() / area).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The part inside the picture.
    pub fn clipped(&self) -> BBox {
        self.intersection(&BBox::new(0.0, 0.0, 1.0, 1.0))
    }

    /// Grown on every side by `by` times its own size.
    pub fn grown(&self, by: f32) -> BBox {
        BBox::new(self.x - self.w * by, self.y - self.h * by, self.w * (1.0 + 2.0 * by), self.h * (1.0 + 2.0 * by))
    }
}

/// A directed line from `from` to `to`; only the segment counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Where one stands.
    pub from: Point,
    /// Where one looks to.
    pub to: Point,
}

impl Segment {
    /// Signed distance of `p` from the endless line, in the same fractions:
    /// positive on the right as seen standing at `from` and looking to `to`
    /// on the screen (y down). Zero for a segment without length.
    pub fn side(&self, p: Point) -> f32 {
        let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
        let length = dx.hypot(dy);
        if length > 0.0 { (dx * (p.y - self.from.y) - dy * (p.x - self.from.x)) / length } else { 0.0 }
    }

    /// Where `p` stands along the segment: 0 at `from`, 1 at `to`.
    pub fn along(&self, p: Point) -> f32 {
        let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
        let squared = dx * dx + dy * dy;
        if squared > 0.0 { ((p.x - self.from.x) * dx + (p.y - self.from.y) * dy) / squared } else { 0.0 }
    }
}

/// Whether `p` is inside the polygon (even-odd rule; W. R. Franklin's PNPOLY).
pub fn polygon_contains(polygon: &[Point], p: Point) -> bool {
    let mut inside = false;
    let Some(mut previous) = polygon.last() else { return false };
    for vertex in polygon {
        if (vertex.y > p.y) != (previous.y > p.y)
            && p.x < (previous.x - vertex.x) * (p.y - vertex.y) / (previous.y - vertex.y) + vertex.x
        {
            inside = !inside;
        }
        previous = vertex;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn below_a_line_drawn_to_the_right_is_its_right_side() {
        let line = Segment { from: Point::new(0.0, 0.6), to: Point::new(1.0, 0.6) };
        assert!((line.side(Point::new(0.3, 0.9)) - 0.3).abs() < 1e-6);
        assert!(line.side(Point::new(0.3, 0.1)) < 0.0);
        assert_eq!(line.along(Point::new(0.25, 0.1)), 0.25);
    }

    #[test]
    fn a_concave_polygon_has_its_notch_outside() {
        let u: Vec<Point> = [[0., 0.], [1., 0.], [1., 1.], [0.7, 1.], [0.7, 0.4], [0.3, 0.4], [0.3, 1.], [0., 1.]]
            .map(Point::from)
            .to_vec();
        assert!(polygon_contains(&u, Point::new(0.1, 0.9)));
        assert!(polygon_contains(&u, Point::new(0.5, 0.2)));
        assert!(!polygon_contains(&u, Point::new(0.5, 0.8)));
        assert!(!polygon_contains(&[], Point::new(0.5, 0.8)));
    }

    fn any_box() -> impl Strategy<Value = BBox> {
        (-1f32..2., -1f32..2., 0f32..2., 0f32..2.).prop_map(|(x, y, w, h)| BBox::new(x, y, w, h))
    }

    proptest! {
        #[test]
        fn iou_is_symmetric_and_bounded(a in any_box(), b in any_box()) {
            let i = a.iou(&b);
            prop_assert!((0.0..=1.0).contains(&i));
            prop_assert!((i - b.iou(&a)).abs() < 1e-5);
            if a.area() > 1e-3 { prop_assert!((a.iou(&a) - 1.0).abs() < 1e-4); }
        }

        #[test]
        fn turning_a_line_round_swaps_its_sides(
            ax in 0f32..1., ay in 0f32..1., bx in 0f32..1., by in 0f32..1., px in 0f32..1., py in 0f32..1.
        ) {
            let (a, b, p) = (Point::new(ax, ay), Point::new(bx, by), Point::new(px, py));
            prop_assume!((ax - bx).hypot(ay - by) > 0.01);
            let (there, back) = (Segment { from: a, to: b }, Segment { from: b, to: a });
            prop_assert!((there.side(p) + back.side(p)).abs() < 1e-3);
        }
    }
}
