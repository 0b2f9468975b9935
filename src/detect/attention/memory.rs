//! Where was looked at, when, and in vain: swaying leaves are looked at less
//! and less, and a new thing at once. Pure.
#![expect(clippy::indexing_slicing, reason = "a cell of a square of fixed sides")]

use std::time::Duration;

use super::plan::Cause;
use crate::domain::{BBox, Mono};

/// The picture is remembered in so many places a side.
const SIDE: usize = 16;
/// Looks in vain after which motion at a place is leaves, until it has been
/// quiet for a while.
const VAIN_LOOKS: u8 = 8;
const QUIET: Duration = Duration::from_secs(4);

/// One place.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    looked: Option<Mono>,
    moved: Option<Mono>,
    vain: u8,
}

/// The picture's places.
#[derive(Debug)]
pub struct Memory {
    places: Vec<Place>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { places: vec![Place::default(); SIDE * SIDE] }
    }
}

impl Memory {
    /// Something moves at `region`: what it is worth, and how long it has
    /// waited, seconds.
    pub fn motion(&mut self, at: Mono, region: &BBox) -> (Cause, f32) {
        let mut vain = u8::MAX;
        let mut waited_s: f32 = 0.0;
        self.each(region, |place| {
            if place.moved.is_none_or(|moved| at.since(moved) > QUIET) {
                place.vain = 0;
            }
            place.moved = Some(at);
            vain = vain.min(place.vain);
            waited_s = waited_s.max(place.looked.map_or(1.0, |looked| at.secs_since(looked) as f32));
        });
        // What is fresh about it counts: somebody comes out of the leaves.
        (if vain >= VAIN_LOOKS { Cause::VainMotion } else { Cause::Motion }, waited_s)
    }

    /// A place that moves was looked at, and something was there or not.
    pub fn looked(&mut self, at: Mono, region: &BBox, found: bool) {
        self.each(region, |place| {
            place.looked = Some(at);
            place.vain = if found { 0 } else { place.vain.saturating_add(1) };
        });
    }

    fn each(&mut self, region: &BBox, mut visit: impl FnMut(&mut Place)) {
        let cells = |from: f32, to: f32| {
            let first = ((from * SIDE as f32) as usize).min(SIDE - 1);
            first..=((to * SIDE as f32).ceil() as usize).saturating_sub(1).clamp(first, SIDE - 1)
        };
        let region = region.clipped();
        for y in cells(region.y, region.bottom()) {
            for x in cells(region.x, region.right()) {
                visit(&mut self.places[y * SIDE + x]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_known_after_some_looks_and_forgotten_when_they_rest() {
        let leaves = BBox::new(0.1, 0.1, 0.05, 0.05);
        let mut memory = Memory::default();
        let mut at = Mono::ZERO;
        let mut causes = Vec::new();
        for _ in 0..20 {
            at = at.plus(Duration::from_millis(100));
            causes.push(memory.motion(at, &leaves).0);
            memory.looked(at, &leaves, false);
        }
        assert_eq!(causes[0], Cause::Motion);
        assert_eq!(causes[19], Cause::VainMotion);
        let beyond = BBox::new(0.1, 0.1, 0.15, 0.05);
        assert_eq!(memory.motion(at, &beyond).0, Cause::Motion, "somebody comes out of them");
        at = at.plus(Duration::from_secs(10));
        assert_eq!(memory.motion(at, &leaves).0, Cause::Motion);
    }
}
