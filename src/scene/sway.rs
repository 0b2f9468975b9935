//! Where the lines are while the camera sways: on the ground they were drawn
//! on, not where they lie in the picture. Pure.

use std::time::Duration;

use crate::domain::{BBox, Mono};

/// A camera that stays where it was moved to is taken to belong there after about
/// so long: only its owner could say where the lines are then.
const SETTLES_IN: Duration = Duration::from_secs(60);

/// How far the picture's content is from where it was drawn on, fractions of the
/// picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sway {
    dx: f32,
    dy: f32,
    last: Option<Mono>,
}

impl Sway {
    /// By `at` the content has moved by this much more, to the right and down.
    pub fn moved(&mut self, at: Mono, dx: f32, dy: f32) {
        let passed_s = self.last.map_or(0.0, |last| at.since(last).as_secs_f32());
        let left = (-passed_s / SETTLES_IN.as_secs_f32()).exp();
        (self.dx, self.dy) = (self.dx * left + dx, self.dy * left + dy);
        self.last = Some(at);
    }

    /// Where `bbox` would be in the picture of a camera at rest.
    pub fn at_rest(&self, bbox: &BBox) -> BBox {
        BBox { x: bbox.x - self.dx, y: bbox.y - self.dy, ..*bbox }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gusts_are_taken_out_and_a_new_place_is_accepted() {
        let mut sway = Sway::default();
        let post = BBox::new(0.5, 0.5, 0.02, 0.06);
        for i in 0..600 {
            let at = Mono::from_secs_f64(f64::from(i) * 0.1);
            let place = |i: i32| 0.01 * (f64::from(i) * 0.5).sin() as f32;
            sway.moved(at, place(i) - place(i - 1), 0.0);
            let seen = BBox { x: post.x + place(i), ..post };
            assert!((sway.at_rest(&seen).x - post.x).abs() < 0.006, "{i}");
        }
        let mut turned = Sway::default();
        turned.moved(Mono::from_secs_f64(60.0), 0.03, 0.0);
        assert!((turned.at_rest(&post).x - 0.47).abs() < 1e-6);
        turned.moved(Mono::from_secs_f64(400.0), 0.0, 0.0);
        assert!((turned.at_rest(&post).x - post.x).abs() < 0.001);
    }
}
