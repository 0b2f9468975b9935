//! Where a box is and where it goes. Box edges that the picture's border cuts
//! off are not measurements: they are put where the rest of the box and the
//! size seen before say.

use super::kalman::Kalman1D;
use crate::domain::BBox;

/// Standard deviations, as fractions of the box's size: of a measured centre,
/// of a measured size, of the first velocity (per second), of the
/// acceleration (per second squared).
const CENTRE_NOISE: f32 = 0.06;
const SIZE_NOISE: f32 = 0.10;
const FIRST_SPEED: f32 = 1.5;
const ACCELERATION: f32 = 1.5;
/// How fast sizes change.
const FIRST_GROWTH: f32 = 0.6;
const GROWTH_CHANGE: f32 = 1.0;
/// For how long a box goes on as it was seen to without a look, seconds, and in which
/// steps it slows down after that.
const KNOWN_FOR_S: f32 = 1.0;
const STEP_S: f32 = 0.3;
/// A box edge this close to the border is cut by it.
const BORDER: f32 = 0.008;

/// Which edges of a box the border cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Left edge.
    pub left: bool,
    /// Top edge.
    pub top: bool,
    /// Right edge.
    pub right: bool,
    /// Bottom edge.
    pub bottom: bool,
}

impl Cut {
    /// The cut edges of `b`.
    pub fn of(b: &BBox) -> Cut {
        Cut {
            left: b.x <= BORDER,
            top: b.y <= BORDER,
            right: b.right() >= 1.0 - BORDER,
            bottom: b.bottom() >= 1.0 - BORDER,
        }
    }

    /// Whether any edge is cut.
    pub fn any(self) -> bool {
        self.left || self.top || self.right || self.bottom
    }
}

/// The filtered box.
#[derive(Debug, Clone, Copy)]
pub struct BoxMotion {
    cx: Kalman1D,
    cy: Kalman1D,
    w: Kalman1D,
    h: Kalman1D,
    /// Sizes have been seen uncut.
    w_known: bool,
    h_known: bool,
}

impl BoxMotion {
    /// First seen as `b`.
    pub fn new(b: &BBox) -> BoxMotion {
        let (c, size, cut) = (b.center(), scale(b.w, b.h), Cut::of(b));
        BoxMotion {
            cx: Kalman1D::new(c.x, CENTRE_NOISE * size, FIRST_SPEED * size),
            cy: Kalman1D::new(c.y, CENTRE_NOISE * size, FIRST_SPEED * size),
            w: Kalman1D::new(b.w, SIZE_NOISE * b.w, FIRST_GROWTH * b.w),
            h: Kalman1D::new(b.h, SIZE_NOISE * b.h, FIRST_GROWTH * b.h),
            w_known: !(cut.left || cut.right),
            h_known: !(cut.top || cut.bottom),
        }
    }

    /// `dt_s` later. A hidden object slows down in belief: after a second out
    /// of sight nobody knows that it still goes on.
    pub fn predict(&mut self, dt_s: f32, hidden: bool) {
        let size = scale(self.w.x, self.h.x);
        self.cx.predict(dt_s, ACCELERATION * size);
        self.cy.predict(dt_s, ACCELERATION * size);
        self.w.predict(dt_s, GROWTH_CHANGE * self.w.x.max(0.01));
        self.h.predict(dt_s, GROWTH_CHANGE * self.h.x.max(0.01));
        if hidden {
            let fade = (-dt_s / 1.0).exp();
            // And it neither grows nor shrinks.
            (self.w.v, self.h.v) = (0.0, 0.0);
            self.cx.v *= fade;
            self.cy.v *= fade;
        }
        for size in [&mut self.w, &mut self.h] {
            size.x = size.x.clamp(0.002, 2.0);
        }
    }

    /// `dt_s` later, without a look in between. A pause of the camera is like hiding:
    /// after a second nobody knows that what was seen still goes on, grows or shrinks,
    /// and what is followed is not taken to grow beyond the picture.
    pub fn predict_unseen(&mut self, dt_s: f32, hidden: bool) {
        let most = [self.w.x.max(1.0), self.h.x.max(1.0)];
        let known = dt_s.min(KNOWN_FOR_S);
        self.predict(known, hidden);
        let mut left = dt_s - known;
        while left > 0.0 {
            let step = left.min(STEP_S);
            self.predict(step, true);
            left -= step;
        }
        for (size, most) in [&mut self.w, &mut self.h].into_iter().zip(most) {
            size.x = size.x.min(most);
        }
    }

    /// It stands where it is: nothing that was measured of its speed holds.
    pub fn rest(&mut self) {
        let (w_known, h_known) = (self.w_known, self.h_known);
        *self = BoxMotion { w_known, h_known, ..BoxMotion::new(&self.bbox()) };
    }

    /// The picture has moved: what is followed lies elsewhere in it now.
    pub fn shift(&mut self, dx: f32, dy: f32) {
        self.cx.x += dx;
        self.cy.x += dy;
    }

    /// Seen as `b`.
    pub fn update(&mut self, b: &BBox) {
        let cut = Cut::of(b);
        let (cx, w) = uncut(b.x, b.w, cut.left, cut.right, self.w_known.then_some(self.w.x));
        let (cy, h) = uncut(b.y, b.h, cut.top, cut.bottom, self.h_known.then_some(self.h.x));
        self.w_known |= !(cut.left || cut.right);
        self.h_known |= !(cut.top || cut.bottom);
        let noise = CENTRE_NOISE * scale(w, h);
        self.cx.update(cx, noise);
        self.cy.update(cy, noise);
        self.w.update(w, SIZE_NOISE * w.max(0.01));
        self.h.update(h, SIZE_NOISE * h.max(0.01));
        self.w.x = self.w.x.max(0.002);
        self.h.x = self.h.x.max(0.002);
    }

    /// The estimate; may reach outside the picture.
    pub fn bbox(&self) -> BBox {
        BBox::new(self.cx.x - self.w.x / 2.0, self.cy.x - self.h.x / 2.0, self.w.x, self.h.x)
    }

    /// Velocity of the centre per second.
    pub fn velocity(&self) -> (f32, f32) {
        (self.cx.v, self.cy.v)
    }
}

/// A box's size as one length.
fn scale(w: f32, h: f32) -> f32 {
    ((w + h) / 2.0).max(0.005)
}

/// Centre and size along one axis: the measured ones, or, where exactly one
/// end is cut and the true size is known to be larger, measured from the end
/// that is seen.
fn uncut(start: f32, size: f32, start_cut: bool, end_cut: bool, known: Option<f32>) -> (f32, f32) {
    match known {
        Some(known) if known > size && start_cut && !end_cut => (start + size - known / 2.0, known),
        Some(known) if known > size && end_cut && !start_cut => (start + known / 2.0, known),
        _ => (start + size / 2.0, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_leaves_goes_on_outside() {
        let mut motion = BoxMotion::new(&BBox::new(0.4, 0.4, 0.2, 0.1));
        let mut x = 0.4;
        for _ in 0..16 {
            x += 0.04;
            motion.predict(0.1, false);
            motion.update(&BBox::new(x, 0.4, 0.2, 0.1).clipped());
        }
        let b = motion.bbox();
        assert!((b.x - x).abs() < 0.02, "left edge {} for {x}", b.x);
        assert!(b.right() > 1.15, "right edge {}", b.right());
    }

    #[test]
    fn what_nobody_looks_at_neither_grows_without_end_nor_leaves_at_full_speed() {
        // A bus comes towards the camera: 0.33 wide, a third of a picture more each second.
        let mut motion = BoxMotion::new(&BBox::new(0.05, 0.2, 0.1, 0.1));
        for i in 1..=14 {
            let width = 0.1 + 0.033 * i as f32 / 2.0;
            motion.predict(0.1, false);
            motion.update(&BBox::new(0.05 + 0.005 * i as f32, 0.2, width, 0.1 + 0.005 * i as f32));
        }
        let (before, (vx, _)) = (motion.bbox(), motion.velocity());
        for seconds in [2.0, 4.3, 60.0] {
            let mut later = motion;
            later.predict_unseen(seconds, false);
            let b = later.bbox();
            assert!(b.w <= before.w + 0.3 && b.w <= 1.0, "{seconds} s: {b:?}");
            let gone = b.center().x - before.center().x;
            assert!(gone > 0.5 * vx && gone < 2.2 * vx, "{seconds} s: {gone} at {vx}");
        }
        // A look a second, as of a slow camera, is as before.
        let (mut one, mut other) = (motion, motion);
        one.predict(1.0, false);
        other.predict_unseen(1.0, false);
        assert_eq!(one.bbox(), other.bbox());
    }

    #[test]
    fn a_hidden_object_slows_down() {
        let mut motion = BoxMotion::new(&BBox::new(0.1, 0.4, 0.1, 0.1));
        for i in 1..=20 {
            motion.predict(0.1, false);
            motion.update(&BBox::new(0.1 + 0.02 * i as f32, 0.4, 0.1, 0.1));
        }
        let before = motion.bbox().x;
        for _ in 0..100 {
            motion.predict(0.1, true);
        }
        let travelled = motion.bbox().x - before;
        assert!((0.1..0.3).contains(&travelled), "{travelled}");
    }
}
