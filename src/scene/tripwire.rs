//! A line and what passes it.
//!
//! An object has passed when its anchor point, once on one side, is on the
//! other by more than a hysteresis band: a box that jitters on the line passes
//! once or not at all. The time is when the anchor's path met the line.

use crate::config::{Anchor, TripwireConfig};
use crate::domain::{BBox, Mono, Point, Segment};

/// The band on either side of the line, as a share of the object's size, and
/// its limits in fractions of the picture.
const BAND_SHARE: f32 = 0.12;
const MIN_BAND: f32 = 0.004;
const MAX_BAND: f32 = 0.03;

/// Which way something passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the left of the line to its right, seen from `from` to `to`.
    Forward,
    /// The other way.
    Backward,
}

/// A passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// When the anchor met the line.
    pub at: Mono,
    /// Which way.
    pub direction: Direction,
}

/// A line to watch.
#[derive(Debug, Clone)]
pub struct Tripwire {
    /// Its configuration.
    pub config: TripwireConfig,
    segment: Segment,
}

/// Who has passed once must go back by this share of the object's size at least:
/// boxes of what is large, near and half out of the picture waver by more than
/// the band.
const BACK_SHARE: f32 = 0.3;

/// What one object has done at one line so far.
#[derive(Debug, Clone, Default)]
pub struct WireState {
    /// The side it is established on: -1 left, 1 right.
    side: Option<f32>,
    /// Signed distance, place along the line and time at the last look.
    last: Option<(f32, f32, Mono)>,
    /// Where and when it met the line without having passed it yet.
    met: Option<(f32, Mono)>,
    /// It has passed before, one way or the other.
    passed: bool,
}

impl Tripwire {
    /// From the configuration.
    pub fn new(config: &TripwireConfig) -> Tripwire {
        Tripwire { config: config.clone(), segment: Segment { from: config.from, to: config.to } }
    }

    /// The name of `direction` at this line.
    pub fn direction_name(&self, direction: Direction) -> &str {
        match direction {
            Direction::Forward => &self.config.forward,
            Direction::Backward => &self.config.backward,
        }
    }

    /// The point of `bbox` that has to pass.
    fn anchor(&self, bbox: &BBox) -> Point {
        match self.config.anchor {
            Anchor::Bottom => bbox.foot(),
            Anchor::Center => bbox.center(),
        }
    }

    /// The object is at `bbox` at `at`: has it passed?
    pub fn step(&self, state: &mut WireState, bbox: &BBox, at: Mono) -> Option<Pass> {
        let point = self.anchor(bbox);
        let (distance, along) = (self.segment.side(point), self.segment.along(point));
        let size = (bbox.w + bbox.h) / 2.0;
        let band = (BAND_SHARE * size).clamp(MIN_BAND, MAX_BAND);
        let band = if state.passed { band.max(BACK_SHARE * size) } else { band };
        let before = state.last.replace((distance, along, at));
        let Some(side) = state.side else {
            // The first look decides, even inside the band: who appears just
            // before the line and passes it has passed it.
            state.side = (distance != 0.0).then(|| distance.signum());
            return None;
        };
        if distance * side > 0.0 {
            state.met = None;
            return None;
        }
        if state.met.is_none() {
            state.met = Some(match before {
                Some((d0, along0, t0)) if d0 != distance => {
                    let f = (d0 / (d0 - distance)).clamp(0.0, 1.0);
                    (along0 + (along - along0) * f, t0.lerp(at, f64::from(f)))
                }
                _ => (along, at),
            });
        }
        if distance.abs() < band { None } else { self.pass(state, side) }
    }

    /// The object has left the picture: what had met the line but not cleared
    /// the band will not come back, so it has passed. Not if it had passed before:
    /// boxes shrink where the picture's border cuts them.
    pub fn finish(&self, state: &mut WireState) -> Option<Pass> {
        let side = state.side.filter(|_| !state.passed)?;
        if state.last.is_some_and(|(distance, _, _)| distance * side < 0.0) { self.pass(state, side) } else { None }
    }

    fn pass(&self, state: &mut WireState, side: f32) -> Option<Pass> {
        state.side = Some(-side);
        let (along, at) = state.met.take()?;
        let direction = if side < 0.0 { Direction::Forward } else { Direction::Backward };
        // Only the segment counts, not its extension.
        let passed = (0.0..=1.0).contains(&along);
        state.passed |= passed;
        passed.then_some(Pass { at, direction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Group;
    use proptest::prelude::*;

    fn wire(from: [f32; 2], to: [f32; 2], anchor: Anchor) -> Tripwire {
        Tripwire::new(&TripwireConfig {
            name: "line".into(),
            from: from.into(),
            to: to.into(),
            forward: "down".into(),
            backward: "up".into(),
            anchor,
            groups: Group::ALL.to_vec(),
            alert: false,
        })
    }

    /// A box of 0.1 x 0.1 centred on each point in turn, ten a second.
    fn walk(wire: &Tripwire, points: &[(f32, f32)]) -> Vec<Pass> {
        let mut state = WireState::default();
        let step = |(i, (x, y)): (usize, &(f32, f32))| {
            let at = Mono::from_secs_f64(i as f64 / 10.0);
            wire.step(&mut state, &BBox::new(x - 0.05, y - 0.05, 0.1, 0.1), at)
        };
        points.iter().enumerate().filter_map(step).collect()
    }

    fn down(from: f32, to: f32, steps: usize) -> Vec<(f32, f32)> {
        (0..=steps).map(|i| (0.5, from + (to - from) * i as f32 / steps as f32)).collect()
    }

    #[test]
    fn passing_downwards_is_forward_for_a_line_drawn_to_the_right_and_timed_between_looks() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Center);
        let passes = walk(&line, &down(0.45, 0.85, 4));
        assert_eq!(passes.len(), 1);
        assert_eq!(passes[0].direction, Direction::Forward);
        assert!((passes[0].at.as_secs_f64() - 0.15).abs() < 1e-3, "{:?}", passes[0]);
        assert_eq!(line.direction_name(passes[0].direction), "down");
        assert_eq!(walk(&line, &down(0.85, 0.45, 4))[0].direction, Direction::Backward);
    }

    #[test]
    fn who_has_gone_round_a_short_line_still_passes_it_afterwards() {
        let line = wire([0.3, 0.5], [0.4, 0.5], Anchor::Center);
        let round = [(0.2, 0.4), (0.2, 0.6), (0.35, 0.6), (0.35, 0.53), (0.35, 0.48)];
        let passes = walk(&line, &round);
        assert_eq!(passes.len(), 1, "the band is that of a first passage: {passes:?}");
        assert_eq!(passes[0].direction, Direction::Backward);
    }

    #[test]
    fn the_bottom_anchor_passes_before_the_centre() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Bottom);
        assert!((walk(&line, &down(0.45, 0.85, 4))[0].at.as_secs_f64() - 0.1).abs() < 1e-3);
    }

    #[test]
    fn pausing_and_jittering_on_the_line_passes_once() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Center);
        let mut points = down(0.4, 0.6, 5);
        points.extend((0..50).map(|i| (0.5, if i % 2 == 0 { 0.609 } else { 0.591 })));
        points.extend(down(0.6, 0.9, 5));
        assert_eq!(walk(&line, &points).len(), 1);
        let mut back = down(0.4, 0.609, 5);
        back.extend(down(0.609, 0.3, 5));
        assert_eq!(walk(&line, &back), [], "who turns on the line has not passed it");
    }

    #[test]
    fn there_and_back_passes_twice() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Center);
        let mut points = down(0.4, 0.8, 5);
        points.extend(down(0.8, 0.4, 5));
        let directions: Vec<_> = walk(&line, &points).iter().map(|p| p.direction).collect();
        assert_eq!(directions, [Direction::Forward, Direction::Backward]);
    }

    #[test]
    fn a_large_box_that_wavers_behind_the_line_has_not_come_back() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Center);
        let passes = |centres: &[f32]| {
            let mut state = WireState::default();
            let look = |(i, y): (usize, &f32)| {
                line.step(&mut state, &BBox::new(0.3, y - 0.2, 0.4, 0.4), Mono::from_secs_f64(i as f64 / 10.0))
            };
            let passes: Vec<Pass> = centres.iter().enumerate().filter_map(look).collect();
            (passes.len(), line.finish(&mut state))
        };
        assert_eq!(passes(&[0.4, 0.5, 0.66, 0.54, 0.68, 0.8]), (1, None));
        assert_eq!(passes(&[0.4, 0.5, 0.66, 0.68, 0.54]), (1, None), "cut by the picture's border");
        assert_eq!(passes(&[0.4, 0.5, 0.66, 0.54, 0.45]), (2, None), "it has");
    }

    #[test]
    fn the_extension_of_a_line_does_not_count() {
        let line = wire([0.0, 0.6], [0.4, 0.6], Anchor::Center);
        assert_eq!(walk(&line, &down(0.4, 0.8, 5)), []);
    }

    #[test]
    fn who_appears_in_the_band_and_goes_on_has_passed() {
        let line = wire([0.0, 0.6], [1.0, 0.6], Anchor::Center);
        assert_eq!(walk(&line, &down(0.595, 0.8, 5)).len(), 1);
    }

    #[test]
    fn who_leaves_the_picture_on_the_line_has_passed() {
        let line = wire([0.0, 0.98], [1.0, 0.98], Anchor::Center);
        let mut state = WireState::default();
        for (i, (x, y)) in down(0.8, 0.985, 10).iter().enumerate() {
            let bbox = BBox::new(x - 0.05, y - 0.05, 0.1, 0.1);
            assert_eq!(line.step(&mut state, &bbox, Mono::from_secs_f64(i as f64)), None);
        }
        assert_eq!(line.finish(&mut state).map(|p| p.direction), Some(Direction::Forward));
        assert_eq!(line.finish(&mut state), None, "once");
    }

    proptest! {
        /// Whatever the way, passages alternate and balance: an object is on
        /// one side more often than on the other by one at most.
        #[test]
        fn passages_alternate(ys in prop::collection::vec(0f32..1.0, 2..60)) {
            let line = wire([0.0, 0.5], [1.0, 0.5], Anchor::Center);
            let points: Vec<_> = ys.iter().map(|y| (0.5, *y)).collect();
            let passes = walk(&line, &points);
            for pair in passes.windows(2) {
                prop_assert_ne!(pair[0].direction, pair[1].direction);
                prop_assert!(pair[0].at <= pair[1].at);
            }
            let (first, last) = (ys[0] - 0.5, ys[ys.len() - 1] - 0.5);
            if first.abs() > 0.03 && last.abs() > 0.03 {
                prop_assert_eq!(passes.len() % 2 == 1, (first < 0.0) != (last < 0.0));
            }
        }
    }
}
