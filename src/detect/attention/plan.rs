//! Which parts of the picture to show the detector: square crops around what
//! is of interest where it would be too small in the whole picture, and the
//! whole picture for everything else.
//!
//! One crop takes in as many things as it can without showing the smallest of
//! them too small, so that the usual look is one inference. What cannot share
//! a crop takes turns: things are ranked by need, new motion before
//! suspicions before objects that are followed, each growing more urgent
//! while it waits. Pure.
#![expect(clippy::indexing_slicing, reason = "indices come from the same list")]

use super::view::{View, WHOLE, into_picture};
use crate::domain::BBox;

/// Crops at most; what fits into none of them is looked at with the whole.
const MAX_CROPS: usize = 4;
/// Added to every wait: the order of what was looked at just now.
const BASE_WAIT_S: f32 = 0.05;

/// Why a place is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something moves and it is not known what.
    Motion,
    /// Something moves that was looked at again and again and is nothing, like
    /// leaves, or differs from the background without moving.
    VainMotion,
    /// It may become an object.
    Suspicion,
    /// An object that is followed.
    Object,
}

impl Cause {
    /// How urgent a second of waiting is.
    fn weight(self) -> f32 {
        match self {
            Cause::Motion => 2.0,
            Cause::Suspicion => 1.5,
            Cause::Object => 1.0,
            Cause::VainMotion => 0.4,
        }
    }
}

/// A place to be looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interest {
    /// Where, in fractions of the upright picture.
    pub bbox: BBox,
    /// Why.
    pub cause: Cause,
    /// How long it has not been looked at, seconds.
    pub waited_s: f32,
    /// How long it may go without a look and still be found again for what it
    /// is, seconds; 0 if it needs every look it can get.
    pub patience_s: f32,
    /// How far around it belongs to it, in its own sizes: room to move, and
    /// something to tell it by.
    pub margin: f32,
}

impl Interest {
    fn urgency(&self) -> f32 {
        self.cause.weight() * (self.waited_s.clamp(0.0, 60.0) + BASE_WAIT_S)
    }
}

/// A crop in the making.
#[derive(Debug)]
struct Crop {
    /// Around all it has to show.
    bounds: BBox,
    /// Side in pixels that shows the smallest of it well, and the largest
    /// side that shows it well enough.
    good: f32,
    enough: f32,
    urgency: f32,
}

impl Crop {
    /// The crop that shows both; `None` if something would be too small.
    fn joined(&self, other: &Crop, view: &View) -> Option<Crop> {
        let bounds = self.bounds.union(&other.bounds);
        let enough = self.enough.min(other.enough);
        let good = self.good.min(other.good).max(view.length(&bounds));
        (good <= enough).then_some(Crop { bounds, good, enough, urgency: self.urgency.max(other.urgency) })
    }
}

/// The regions to look at for `interests`, the most urgent first, at most
/// `at_most` of them: squares inside the picture, or [`WHOLE`]. Empty only if
/// `interests` or `at_most` is.
pub fn plan(view: &View, interests: &[Interest], at_most: usize, out: &mut Vec<BBox>) {
    out.clear();
    let mut order: Vec<&Interest> = interests.iter().collect();
    order.sort_by(|a, b| b.urgency().total_cmp(&a.urgency()));
    let mut crops: Vec<Crop> = Vec::new();
    let mut whole: Option<f32> = None;
    for interest in order {
        let urgency = interest.urgency();
        let Some(new) = crop_for(view, interest, urgency) else {
            whole = Some(whole.unwrap_or(urgency));
            continue;
        };
        let joined = crops.iter().enumerate().filter_map(|(at, crop)| Some((at, crop.joined(&new, view)?)));
        match joined.min_by(|a, b| a.1.good.total_cmp(&b.1.good)) {
            Some((at, crop)) => crops[at] = crop,
            None if crops.len() < MAX_CROPS => crops.push(new),
            None => whole = Some(whole.unwrap_or(urgency)),
        }
    }
    merge(view, &mut crops);
    let crops = crops.iter().map(|crop| (crop.urgency, view.square(&crop.bounds, crop.good)));
    let mut ranked: Vec<(f32, BBox)> = whole.map(|urgency| (urgency, WHOLE)).into_iter().chain(crops).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    out.extend(ranked.into_iter().take(at_most).map(|(_, region)| region));
}

/// A crop for one thing, if a crop shows it better than the whole picture.
fn crop_for(view: &View, interest: &Interest, urgency: f32) -> Option<Crop> {
    let bounds = into_picture(&interest.bbox);
    let (good, enough) = view.sides_for(view.length(&bounds))?;
    // As much of its surroundings as it stays large enough with.
    let most = ((enough / view.length(&bounds).max(1.0) - 1.0) / 2.0).max(0.0);
    let room = into_picture(&bounds.grown(interest.margin.min(most)));
    let good = good.max(view.length(&room).min(enough));
    Some(Crop { bounds: room, good, enough, urgency })
}

/// Joins what can be joined now that all crops are known.
fn merge(view: &View, crops: &mut Vec<Crop>) {
    let mut first = 0;
    while first < crops.len() {
        let joined =
            (first + 1..crops.len()).find_map(|other| Some((other, crops[first].joined(&crops[other], view)?)));
        match joined {
            Some((other, crop)) => {
                crops[first] = crop;
                crops.remove(other);
                // It has grown: others may fit now.
                first = 0;
            }
            None => first += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{contains, is_whole};
    use super::*;
    use proptest::prelude::*;

    fn full_hd() -> View {
        View::new((1920, 1080), (416, 416))
    }

    fn motion(x: f32, y: f32, w: f32, h: f32) -> Interest {
        Interest { bbox: BBox::new(x, y, w, h), cause: Cause::Motion, waited_s: 0.1, patience_s: 0.0, margin: 0.5 }
    }

    fn planned(view: &View, interests: &[Interest], at_most: usize) -> Vec<BBox> {
        let mut out = Vec::new();
        plan(view, interests, at_most, &mut out);
        out
    }

    /// Longer side in input pixels of something `h` pixels high.
    fn shown_px(region: &BBox, h_px: f32) -> f32 {
        if is_whole(region) { h_px * 416.0 / 1920.0 } else { h_px * 416.0 / (region.h * 1080.0) }
    }

    #[test]
    fn a_small_person_is_shown_large_and_a_large_one_with_the_whole() {
        let small = planned(&full_hd(), &[motion(0.5, 0.5, 16.0 / 1920.0, 40.0 / 1080.0)], 4);
        assert_eq!(small.len(), 1);
        assert!(shown_px(&small[0], 40.0) >= 56.0, "{small:?}");
        assert_eq!(planned(&full_hd(), &[motion(0.4, 0.2, 0.1, 0.5)], 4), [WHOLE]);
    }

    #[test]
    fn neighbours_share_one_look() {
        let two = [motion(0.5, 0.5, 0.02, 0.06), motion(0.56, 0.5, 0.02, 0.06)];
        assert_eq!(planned(&full_hd(), &two, 4).len(), 1);
        let apart = [motion(0.05, 0.1, 0.02, 0.06), motion(0.9, 0.8, 0.02, 0.06)];
        assert_eq!(planned(&full_hd(), &apart, 4).len(), 2);
        assert_eq!(planned(&full_hd(), &apart, 1).len(), 1);
    }

    #[test]
    fn new_motion_comes_first_but_nobody_waits_for_ever() {
        let place = BBox::new(0.05, 0.1, 0.02, 0.06);
        let new = motion(0.9, 0.8, 0.02, 0.06);
        let followed =
            |waited_s| Interest { bbox: place, cause: Cause::Object, waited_s, patience_s: 0.0, margin: 0.3 };
        assert!(contains(&planned(&full_hd(), &[followed(0.1), new], 1)[0], &new.bbox));
        assert!(contains(&planned(&full_hd(), &[followed(0.5), new], 1)[0], &place));
    }

    #[test]
    fn small_pictures_are_looked_at_whole() {
        for size in [(178, 100), (106, 60), (320, 240)] {
            let view = View::new(size, (416, 416));
            assert_eq!(planned(&view, &[motion(0.5, 0.5, 0.05, 0.05)], 4), [WHOLE]);
        }
    }

    #[test]
    fn what_no_square_holds_is_looked_at_whole() {
        let strip = View::new((3172, 278), (416, 416));
        assert_eq!(planned(&strip, &[motion(0.9, 0.0, 0.1, 0.01)], 4), [WHOLE]);
    }

    fn any_interest() -> impl Strategy<Value = Interest> {
        let causes = [Cause::Motion, Cause::VainMotion, Cause::Suspicion, Cause::Object];
        (-0.3f32..1.2, -0.3f32..1.2, 0.001f32..0.8, 0.001f32..0.8, 0usize..4, 0f32..10.0).prop_map(
            move |(x, y, w, h, cause, waited_s)| Interest {
                bbox: BBox::new(x, y, w, h),
                cause: causes[cause],
                waited_s,
                patience_s: 0.0,
                margin: 0.5 * waited_s,
            },
        )
    }

    proptest! {
        #[test]
        fn regions_are_squares_inside_the_picture_and_cover_everything(
            interests in prop::collection::vec(any_interest(), 0..40), at_most in 0usize..8,
            width in 64usize..5000, height in 64usize..5000,
        ) {
            let view = View::new((width, height), (416, 416));
            let all = planned(&view, &interests, usize::MAX);
            prop_assert!(all.len() <= MAX_CROPS + 1);
            prop_assert_eq!(all.is_empty(), interests.is_empty());
            for region in &all {
                prop_assert!(contains(&WHOLE, region), "{region:?}");
                let (w, h) = (region.w * width as f32, region.h * height as f32);
                prop_assert!(is_whole(region) || (w - h).abs() < 0.01 * w.max(h), "{w} x {h}");
            }
            for interest in &interests {
                let b = into_picture(&interest.bbox);
                prop_assert!(all.iter().any(|region| contains(region, &b)), "{b:?} in none of {all:?}");
                // With the crops used up, the whole picture stands in for some turns.
                let shown = all.contains(&WHOLE) || all.iter().any(|region| view.shows(region, &interest.bbox));
                prop_assert!(shown, "{b:?} not shown by {all:?}");
            }
            let some = planned(&view, &interests, at_most);
            prop_assert_eq!(&some[..], &all[..at_most.min(all.len())]);
        }
    }
}
