//! Where to look: what moves, what is followed, and now and then everything.
//!
//! ```text
//! motion regions ─┐
//! tracks ─────────┼─► interests ─► plan ─► regions ─► detector ─► what was found
//! cut boxes ──────┘       ▲                                           │
//!                         └──────────── memory ◄──────────────────────┘
//! ```
//!
//! Pure: regions, tracks and the time go in, regions come out.

mod memory;
mod plan;
mod tiles;
mod view;

use std::time::Duration;

use super::classes::Detection;
use crate::domain::{BBox, Mono};
use memory::Memory;

pub use plan::{Cause, Interest, plan};
pub use tiles::tiles;
pub use view::{View, WHOLE, is_cut, is_whole};

/// Time between looks at the whole while crops are looked at: for what stands
/// still, and for what the motion stage has missed. More often while that
/// stage learns and is blind.
const WHOLE_EVERY: Duration = Duration::from_secs(2);
const WHOLE_EVERY_BLIND: Duration = Duration::from_millis(500);
/// Moving regions are one when the gap between them is at most this share of
/// the longer one: a car's windows and wheels.
const GAP: f32 = 0.5;
/// A moving region belongs to what is followed when this share of it lies
/// within the object's surroundings.
const EXPLAINED: f32 = 0.7;
const SURROUNDINGS: f32 = 0.25;
/// A crop around moving regions reaches beyond them by this many times their
/// size: often only a part of a thing moves visibly.
const MARGIN: f32 = 0.5;
/// What a box must reach to be worth a larger look when a crop has cut it,
/// and to count as something found where something moves.
const WORTH_A_LOOK: f32 = 0.25;

/// What the scene asks of the detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing moves but what is followed and was looked at just now.
    Nothing,
    /// Only what has often been looked at in vain moves.
    Vain,
    /// Something moves or is followed.
    Something,
}

/// Decides where to look, and remembers what that brought.
#[derive(Debug, Default)]
pub struct Attention {
    memory: Memory,
    interests: Vec<Interest>,
    moving: Vec<BBox>,
    cut: Vec<BBox>,
    regions: Vec<BBox>,
    whole_at: Option<Mono>,
}

impl Attention {
    /// Forgets everything; the next look is at the whole.
    pub fn reset(&mut self) {
        *self = Attention::default();
    }

    /// Takes in what differs from the background (fractions of the upright
    /// picture), which of that `stirs`, and what is followed as of `at`; says
    /// whether it asks for a look.
    pub fn consider(
        &mut self,
        at: Mono,
        moving: &[BBox],
        stirs: impl Fn(&BBox) -> bool,
        followed: impl Iterator<Item = Interest>,
    ) -> Demand {
        self.interests.clear();
        self.interests.extend(followed);
        let tracks = self.interests.len();
        join_neighbours(moving, &mut self.moving);
        for region in &self.moving {
            let (cause, waited_s) = self.memory.motion(at, region);
            let cause = if stirs(region) { cause } else { Cause::VainMotion };
            let explains = |i: &Interest| region.share_inside(&i.bbox.grown(SURROUNDINGS)) > EXPLAINED;
            if !self.interests.iter().take(tracks).any(explains) {
                self.interests.push(Interest { bbox: *region, cause, waited_s, patience_s: 0.0, margin: MARGIN });
            }
        }
        let whole = |bbox: &BBox| Interest {
            bbox: *bbox,
            cause: Cause::Motion,
            waited_s: 1.0,
            patience_s: 0.0,
            margin: MARGIN,
        };
        self.interests.extend(self.cut.iter().map(whole));
        let pressing = |i: &Interest| i.cause != Cause::VainMotion && i.waited_s >= i.patience_s;
        let vain = |i: &Interest| i.cause == Cause::VainMotion;
        match self.interests.iter().any(pressing) {
            true => Demand::Something,
            false if self.interests.iter().any(vain) => Demand::Vain,
            false => Demand::Nothing,
        }
    }

    /// The regions to look at now, at least one and at most `budget`: what
    /// [`Attention::consider`] was told, or the whole when that is due. `blind`
    /// says that the motion stage cannot tell what moves.
    pub fn aim(&mut self, at: Mono, view: &View, budget: usize, blind: bool) -> &[BBox] {
        let every = if blind { WHOLE_EVERY_BLIND } else { WHOLE_EVERY };
        let due = self.whole_at.is_none_or(|last| at.since(last) >= every);
        plan(view, &self.interests, budget.max(1), &mut self.regions);
        if self.regions.is_empty() || (due && !self.regions.contains(&WHOLE)) {
            self.regions.truncate(budget.max(1) - 1);
            self.regions.push(WHOLE);
        }
        if self.regions.contains(&WHOLE) {
            self.whole_at = Some(at);
        }
        &self.regions
    }

    /// What was of interest at the last call of [`Attention::consider`].
    pub fn interests(&self) -> &[Interest] {
        &self.interests
    }

    /// The regions of the last look.
    pub fn regions(&self) -> &[BBox] {
        &self.regions
    }

    /// Whether the last look would have shown what is at `bbox`.
    pub fn shown(&self, view: &View, bbox: &BBox) -> bool {
        self.regions.iter().any(|region| view.shows(region, bbox))
    }

    /// What the last look brought: whole boxes, and boxes that move and that
    /// the edges of the regions have cut.
    pub fn found(&mut self, at: Mono, view: &View, detections: &[Detection], cut: &[Detection]) {
        for region in &self.moving {
            if self.regions.iter().any(|look| view.shows(look, region)) {
                let near = |d: &Detection| d.confidence >= WORTH_A_LOOK && d.bbox.intersection(region).area() > 0.0;
                self.memory.looked(at, region, detections.iter().any(near));
            }
        }
        let whole = |d: &Detection| detections.iter().any(|w| w.group == d.group && d.bbox.share_inside(&w.bbox) > 0.5);
        let worth = cut.iter().filter(|d| d.confidence >= WORTH_A_LOOK && !whole(d));
        self.cut.clear();
        self.cut.extend(worth.map(|d| d.bbox.grown(0.5).clipped()));
    }
}

/// Puts regions that are close to each other, for their size, into one.
fn join_neighbours(regions: &[BBox], out: &mut Vec<BBox>) {
    out.clear();
    for region in regions {
        let mut joined = *region;
        // Each time it grows, others may have become neighbours.
        while let Some(at) = out.iter().position(|other| are_neighbours(other, &joined)) {
            joined = joined.union(&out.swap_remove(at));
        }
        out.push(joined);
    }
}

fn are_neighbours(a: &BBox, b: &BBox) -> bool {
    let reach = GAP * a.w.max(a.h).max(b.w).max(b.h);
    let gap = |a0: f32, a1: f32, b0: f32, b1: f32| (a0.max(b0) - a1.min(b1)).max(0.0);
    gap(a.x, a.right(), b.x, b.right()) <= reach && gap(a.y, a.bottom(), b.y, b.bottom()) <= reach
}
