//! One list of objects from looks at several regions of one picture. Pure.
//!
//! A box that a region's edge has cut stands for a part of something and is
//! not trusted. What two regions both show is one object: the surer box stays,
//! and a part that one region took for the whole gives way to the whole that
//! the other saw.

use super::attention::is_cut;
use super::classes::Detection;
use super::suppress::{MAX_OVERLAP, suppress_overlaps};
use crate::domain::BBox;

/// A box is a part of another region's when this share of it lies inside, it
/// is smaller by this factor, and it ends within this share of its own
/// region's side from an edge: a look that saw all around it is believed.
const PART_INSIDE: f32 = 0.8;
const PART_AREA: f32 = 0.8;
const NEAR_EDGE: f32 = 0.06;
/// And the whole has at least this share of its confidence.
const PART_CONFIDENCE: f32 = 0.5;

/// Collects what is found, region by region.
#[derive(Debug, Default)]
pub struct Fusion {
    found: Vec<(Detection, BBox)>,
    cut: Vec<Detection>,
    looks: usize,
}

impl Fusion {
    /// Begins with another picture.
    pub fn clear(&mut self) {
        self.found.clear();
        self.cut.clear();
        self.looks = 0;
    }

    /// Takes in what a look at `region` found (both in fractions of the
    /// picture).
    pub fn add(&mut self, region: BBox, found: &[Detection]) {
        self.looks += 1;
        for detection in found {
            if is_cut(&region, &detection.bbox) {
                self.cut.push(*detection);
            } else {
                self.found.push((*detection, region));
            }
        }
    }

    /// The boxes that a region's edge has cut, each perhaps several times.
    pub fn cut(&self) -> &[Detection] {
        &self.cut
    }

    /// Replaces the content of `out` by the objects found, most confident
    /// first.
    pub fn finish(&mut self, out: &mut Vec<Detection>) {
        out.clear();
        if self.looks > 1 {
            let all = &self.found;
            out.extend(all.iter().filter(|one| !all.iter().any(|other| is_part_of(one, other))).map(|(d, _)| *d));
            suppress_overlaps(out, MAX_OVERLAP);
        } else {
            out.extend(self.found.iter().map(|(d, _)| *d));
        }
    }
}

fn is_part_of((part, region): &(Detection, BBox), (whole, other): &(Detection, BBox)) -> bool {
    region != other
        && part.group == whole.group
        && part.bbox.area() < PART_AREA * whole.bbox.area()
        && part.bbox.share_inside(&whole.bbox) > PART_INSIDE
        && whole.confidence >= PART_CONFIDENCE * part.confidence
        && is_cut(&shrunk(region), &part.bbox)
}

/// The region without a margin at its inner edges.
fn shrunk(region: &BBox) -> BBox {
    let BBox { x, y, w, h } = *region;
    let inner = |from: f32, to: f32, margin: f32| {
        (if from > 0.002 { from + margin } else { from }, if to < 0.998 { to - margin } else { to })
    };
    let ((x0, x1), (y0, y1)) = (inner(x, x + w, NEAR_EDGE * w), inner(y, y + h, NEAR_EDGE * h));
    BBox::from_corners(x0, y0, x1, y1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Group;
    use proptest::prelude::*;

    const LEFT: BBox = BBox::new(0.0, 0.0, 0.6, 1.0);
    const RIGHT: BBox = BBox::new(0.4, 0.0, 0.6, 1.0);

    fn person(x: f32, w: f32, confidence: f32) -> Detection {
        let bbox = BBox::new(x, 0.3, w, 0.3);
        Detection { bbox, group: Group::Person, confidence, class: 0, class_score: confidence }
    }

    fn fused(looks: &[(BBox, Vec<Detection>)]) -> (Vec<Detection>, usize) {
        let mut fusion = Fusion::default();
        for (region, found) in looks {
            fusion.add(*region, found);
        }
        let mut out = Vec::new();
        fusion.finish(&mut out);
        (out, fusion.cut().len())
    }

    #[test]
    fn a_box_at_an_inner_edge_is_not_trusted_and_one_at_the_border_is() {
        let (found, cut) = fused(&[(LEFT, vec![person(0.5, 0.1, 0.9), person(0.0, 0.1, 0.8)])]);
        assert_eq!(found, [person(0.0, 0.1, 0.8)]);
        assert_eq!(cut, 1);
    }

    #[test]
    fn what_two_regions_show_is_one_object() {
        let (found, _) = fused(&[(LEFT, vec![person(0.45, 0.1, 0.6)]), (RIGHT, vec![person(0.46, 0.1, 0.7)])]);
        assert_eq!(found, [person(0.46, 0.1, 0.7)]);
    }

    #[test]
    fn half_of_somebody_gives_way_to_the_whole() {
        let half = person(0.5, 0.08, 0.7);
        let whole = person(0.5, 0.2, 0.5);
        let (found, _) = fused(&[(LEFT, vec![half]), (RIGHT, vec![whole])]);
        assert_eq!(found, [whole]);
        // A child before a man, both seen entirely by one look, are two.
        let (found, _) = fused(&[(RIGHT, vec![half, whole])]);
        assert_eq!(found.len(), 2);
    }

    proptest! {
        #[test]
        fn nothing_is_invented_and_no_two_are_one(
            boxes in prop::collection::vec((0f32..0.9, 0.02f32..0.3, 0.1f32..1.0, any::<bool>()), 0..30)
        ) {
            let mut looks = [(LEFT, Vec::new()), (RIGHT, Vec::new())];
            for (x, w, confidence, right) in boxes {
                looks[usize::from(right)].1.push(person(x, w, confidence));
            }
            let (found, cut) = fused(&looks);
            let all: Vec<_> = looks.iter().flat_map(|(_, found)| found).collect();
            prop_assert!(found.len() + cut <= all.len());
            for (i, one) in found.iter().enumerate() {
                prop_assert!(all.contains(&one));
                prop_assert!(found[i + 1..].iter().all(|other| other.bbox.iou(&one.bbox) <= MAX_OVERLAP));
            }
        }
    }
}
