//! The combined evidence of a group's classes at one anchor.
//!
//! A small model is often sure that something is a vehicle and unsure which:
//! car 0.35, truck 0.35, bus 0.35. Its class scores are sigmoids, each trained
//! one against the rest, so they do not compete for one unit of probability;
//! looked at one by one none passes a sensible threshold. They are combined
//! as witnesses of "something of this group is here", before the threshold
//! and before suppression: a noisy-OR (Pearl 1988), 1 − Π(1 − s)^w, over the
//! three strongest classes with weights 1, 1 and ½.
//!
//! It serves every family that gives a sigmoid for each class (NanoDet, YOLO
//! of all kinds, RT-DETR's raw heads). Models that suppress overlaps or
//! choose classes in their own graph give one score for one class; there is
//! nothing to combine, and none of this is applied.
//!
//! Why not over all of them: the head's output for "nothing" is not zero, and
//! ten animal classes at 0.08 are no animal at 0.57. The weights and what
//! they were measured on are in docs/design/detection.md.

use super::classes::Classes;
use crate::domain::Group;

/// Which score columns belong to which group.
#[derive(Debug, Clone)]
pub struct GroupColumns {
    columns: [Vec<u16>; Group::ALL.len()],
    groups: Vec<Option<Group>>,
}

/// What one anchor says about one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Which group.
    pub group: Group,
    /// Combined evidence of its classes, 0..=1.
    pub confidence: f32,
    /// Its strongest class.
    pub class: u16,
    /// That class's own score, 0..=1.
    pub class_score: f32,
}

impl GroupColumns {
    /// From the model's classes.
    pub fn new(classes: &Classes) -> GroupColumns {
        let count = u16::try_from(classes.len()).unwrap_or(u16::MAX);
        let columns = Group::ALL.map(|group| (0..count).filter(|&class| classes.group(class) == Some(group)).collect());
        GroupColumns { columns, groups: (0..count).map(|class| classes.group(class)).collect() }
    }

    /// The group of class `class`, if it belongs to one.
    pub fn group(&self, class: u16) -> Option<Group> {
        self.groups.get(usize::from(class)).copied().flatten()
    }

    /// Every class that belongs to a group.
    pub fn classes(&self) -> impl Iterator<Item = u16> {
        self.columns.iter().flatten().copied()
    }

    /// Score columns of one anchor.
    pub fn row_len(&self) -> usize {
        self.groups.len()
    }

    /// The groups for which one anchor's class scores give at least
    /// `min_confidence`. Scores that are no number count as nothing.
    pub fn combine(&self, scores: &[f32], min_confidence: f32) -> impl Iterator<Item = Evidence> {
        Group::ALL.into_iter().zip(&self.columns).filter_map(move |(group, columns)| {
            let mut strongest = [0.0_f32; 3];
            let mut best_class = None;
            for &class in columns {
                let score = scores.get(usize::from(class)).copied().unwrap_or(0.0);
                // False for NaN, and for most scores of most anchors.
                if score > strongest[2] && score.is_finite() {
                    if score > strongest[0] {
                        best_class = Some(class);
                    }
                    insert(score.min(1.0), &mut strongest);
                }
            }
            // The sum is an upper bound, and most anchors end here.
            if strongest.iter().sum::<f32>() < min_confidence {
                return None;
            }
            let confidence = combined(strongest).max(strongest[0]);
            let class = best_class.filter(|_| confidence >= min_confidence)?;
            Some(Evidence { group, confidence, class, class_score: strongest[0] })
        })
    }
}

/// Puts `score` into its place among the strongest, highest first.
fn insert(score: f32, strongest: &mut [f32; 3]) {
    let mut score = score;
    for place in strongest {
        if score > *place {
            std::mem::swap(&mut score, place);
        }
    }
}

/// Noisy-OR with weights 1, 1, ½; 0..=1 for scores of 0..=1.
fn combined([first, second, third]: [f32; 3]) -> f32 {
    1.0 - (1.0 - first) * (1.0 - second) * (1.0 - third).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn columns() -> GroupColumns {
        let names = ["person", "car", "truck", "bus", "kite", "dog", "cat", "bear", "cow"];
        GroupColumns::new(&Classes::new(names.map(str::to_owned).to_vec()))
    }

    fn only(scores: &[f32]) -> Evidence {
        let found: Vec<_> = columns().combine(scores, 0.3).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    #[test]
    fn three_doubtful_vehicle_classes_are_a_vehicle() {
        let found = only(&[0.0, 0.35, 0.36, 0.35, 0.9, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((found.group, found.class, found.class_score), (Group::Vehicle, 2, 0.36));
        assert!(found.confidence > 0.6 && found.confidence < 0.75, "{found:?}");
    }

    #[test]
    fn many_animal_classes_of_noise_are_no_animal() {
        assert_eq!(columns().combine(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.08, 0.08, 0.08, 0.08], 0.3).count(), 0);
    }

    #[test]
    fn one_class_alone_keeps_its_score() {
        let found = only(&[0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!((found.confidence - 0.7).abs() < 1e-6);
        assert_eq!(found.group, Group::Person);
    }

    #[test]
    fn scores_that_are_no_number_say_nothing() {
        let scores = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, -0.5, 0.0, 0.0, 0.0];
        assert_eq!(columns().combine(&scores, 0.0).count(), 0);
        assert_eq!(columns().combine(&[], 0.0).count(), 0);
    }

    proptest! {
        #[test]
        fn confidence_stays_within_its_range(scores in prop::collection::vec(any::<f32>(), 9), least in 0f32..1.) {
            for found in columns().combine(&scores, least) {
                prop_assert!((0.0..=1.0).contains(&found.confidence));
                prop_assert!((0.0..=1.0).contains(&found.class_score));
                prop_assert!(found.confidence >= least && found.confidence >= found.class_score);
            }
        }

        #[test]
        fn more_evidence_never_lowers_confidence(scores in prop::collection::vec(0f32..1., 9), more in 0f32..1., at in 1usize..4) {
            let vehicle = |scores: &[f32]| {
                columns().combine(scores, 0.0).find(|e| e.group == Group::Vehicle).map_or(0.0, |e| e.confidence)
            };
            let before = vehicle(&scores);
            let mut raised = scores.clone();
            raised[at] = raised[at].max(more);
            prop_assert!(vehicle(&raised) >= before - 1e-6);
        }
    }
}
