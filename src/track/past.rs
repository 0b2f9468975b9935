//! Where something came from before it was sure enough to be followed.
//!
//! A fast car at dusk may pass the line before the detector is sure of it. What it
//! doubted meanwhile is remembered for a second, as far as it moved and no object
//! explained it; once a suspicion's way is known, its way there is found backwards
//! among these doubts. They begin nothing by themselves. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::associate::buffered_iou;
use crate::detect::Detection;
use crate::domain::{BBox, Mono};

/// How far back.
const REACH: Duration = Duration::from_millis(1200);
/// Doubts of one look at most, and looks.
const MAX_DOUBTS: usize = 16;
const MAX_LOOKS: usize = 24;
/// Where the way back must lead to be the same object's: how far off, in its own
/// sizes, how alike, and how much larger or smaller from look to look.
const BUFFER: f32 = 0.35;
const MIN_SIMILARITY: f32 = 0.3;
const MAX_RATIO: f32 = 2.5;
/// Looks in a row without it, at most.
const MAX_GAP: u32 = 2;

/// What was found and doubted, and the suspicion that it was counted for.
#[derive(Debug, Clone, Copy)]
pub struct Doubt {
    /// What.
    pub found: Detection,
    /// Whose.
    pub owner: Option<u64>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Past {
    looks: VecDeque<(Mono, Vec<Doubt>)>,
}

impl Past {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.looks.clear();
    }

    /// The camera has moved the picture.
    pub fn shift(&mut self, dx: f32, dy: f32) {
        for doubt in self.looks.iter_mut().flat_map(|(_, doubts)| doubts) {
            doubt.found.bbox = moved(&doubt.found.bbox, dx, dy);
        }
    }

    /// Suspicion `id` is believed: what was counted for it is no doubt any more, and
    /// nobody else's way.
    pub fn believed(&mut self, id: u64) {
        self.looks.iter_mut().for_each(|(_, doubts)| doubts.retain(|doubt| doubt.owner != Some(id)));
    }

    /// A look at `at` brought `doubts` that nothing explains.
    pub fn remember(&mut self, at: Mono, doubts: impl Iterator<Item = Doubt>) {
        // The memory of the oldest look serves again.
        let old = |(then, _): &(Mono, Vec<Doubt>)| at.since(*then) > REACH;
        let mut freed = Vec::new();
        while self.looks.len() >= MAX_LOOKS || self.looks.front().is_some_and(old) {
            freed = self.looks.pop_front().map_or(freed, |(_, doubts)| doubts);
        }
        freed.clear();
        freed.extend(doubts.take(MAX_DOUBTS));
        self.looks.push_back((at, freed));
    }

    /// The way of an object to where it was first seen, as `first`, if it moved as
    /// it does since: by `velocity`, fractions of the picture a second. Earliest
    /// place first.
    pub fn way_to(&self, first: &Detection, seen: Mono, velocity: (f32, f32)) -> Vec<(Mono, BBox)> {
        let (mut place, mut then, mut missing) = (first.bbox, seen, 0);
        let mut way = Vec::new();
        for (at, doubts) in self.looks.iter().rev().filter(|(at, _)| *at < seen && seen.since(*at) <= REACH) {
            let back_s = then.since(*at).as_secs_f32();
            let expected = moved(&place, -velocity.0 * back_s, -velocity.1 * back_s);
            let doubts = doubts.iter().map(|doubt| &doubt.found);
            let fits = |doubt: &&Detection| {
                let (a, b) = (doubt.bbox.area(), place.area());
                let (from, to) = (doubt.bbox.center(), place.center());
                // Not what comes towards it.
                let onward = (to.x - from.x) * velocity.0 + (to.y - from.y) * velocity.1 >= 0.0;
                doubt.group == first.group && a.max(b) <= MAX_RATIO * a.min(b) && onward
            };
            let likeness = |doubt: &Detection| buffered_iou(&expected, &doubt.bbox, BUFFER);
            let best = doubts.filter(fits).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            match best.filter(|doubt| likeness(doubt) >= MIN_SIMILARITY) {
                Some(doubt) => {
                    (place, then, missing) = (doubt.bbox, *at, 0);
                    way.push((then, place));
                }
                None => missing += 1,
            }
            if missing > MAX_GAP {
                break;
            }
        }
        way.reverse();
        way
    }
}

fn moved(b: &BBox, dx: f32, dy: f32) -> BBox {
    BBox { x: b.x + dx, y: b.y + dy, ..*b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Group;

    fn doubts(found: impl IntoIterator<Item = Detection>) -> impl Iterator<Item = Doubt> {
        found.into_iter().map(|found| Doubt { found, owner: Some(7) })
    }

    fn car(x: f32, confidence: f32) -> Detection {
        let bbox = BBox::new(x, 0.4, 0.2, 0.2);
        Detection { bbox, group: Group::Vehicle, confidence, class: 2, class_score: confidence }
    }

    fn at(look: u32) -> Mono {
        Mono::from_micros(u64::from(look) * 100_000)
    }

    #[test]
    fn the_way_back_follows_the_doubts_over_small_gaps_and_takes_no_other() {
        let mut past = Past::default();
        for look in 0..10 {
            let x = 0.06 * look as f32;
            let own = (look != 6).then(|| car(x, 0.2));
            let other = Detection { group: Group::Person, ..car(x + 0.01, 0.2) };
            past.remember(at(look), doubts(own.into_iter().chain([other, car(0.9 - x, 0.2)])));
        }
        let way = past.way_to(&car(0.6, 0.5), at(10), (0.6, 0.0));
        assert_eq!(way.len(), 9, "{way:?}");
        assert!(way.iter().all(|(t, b)| (b.x - 0.6 * t.as_secs_f64() as f32).abs() < 1e-3), "{way:?}");
        assert!(past.way_to(&car(0.6, 0.5), at(10), (-0.6, 0.0)).len() <= 1, "it came from the other side");
        past.believed(7);
        assert!(past.way_to(&car(0.6, 0.5), at(10), (0.6, 0.0)).is_empty(), "it was somebody else");
    }

    #[test]
    fn a_long_gap_ends_the_way_and_memory_is_bounded() {
        let mut past = Past::default();
        for look in 0..10 {
            past.remember(at(look), doubts((look < 4).then(|| car(0.06 * look as f32, 0.2))));
        }
        assert!(past.way_to(&car(0.6, 0.5), at(10), (0.6, 0.0)).is_empty());
        for look in 0..1000 {
            past.remember(Mono::from_micros(look), doubts(std::iter::repeat_n(car(0.5, 0.2), 100)));
        }
        assert!(past.looks.len() <= MAX_LOOKS && past.looks.iter().all(|(_, doubts)| doubts.len() <= MAX_DOUBTS));
    }
}
