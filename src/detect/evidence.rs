//! The combined evidence of a group's classes at one anchor.
//!
//! A small model is often sure that something is a vehicle and unsure which:
//! car 0.35, truck 0.35, bus 0.35. Its class scores are sigmoids trained one
//! against the rest, so they do not compete for one unit of probability;
//! looked at one by one none passes a sensible threshold. They are combined
//! as independent witnesses of "something of this group is here" (noisy-OR:
//! 1 − Π(1 − s)), before the threshold and before suppression.

use super::classes::Classes;
use crate::domain::Group;

/// Which score columns belong to which group.
#[derive(Debug, Clone)]
pub struct GroupColumns {
    columns: [Vec<u16>; Group::ALL.len()],
    classes: usize,
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

/// Class scores below this say nothing: the head's output for "nothing
/// there" is not zero, and ten times a small number is no animal.
pub const NOISE_FLOOR: f32 = 0.05;

impl GroupColumns {
    /// From the model's classes.
    pub fn new(classes: &Classes) -> GroupColumns {
        let count = u16::try_from(classes.len()).unwrap_or(u16::MAX);
        let columns = Group::ALL.map(|group| (0..count).filter(|&class| classes.group(class) == Some(group)).collect());
        GroupColumns { columns, classes: classes.len() }
    }

    /// Score columns of one anchor.
    pub fn row_len(&self) -> usize {
        self.classes
    }

    /// The groups for which one anchor's class scores give at least
    /// `min_confidence`. Scores that are no number count as nothing.
    pub fn combine(&self, scores: &[f32], min_confidence: f32) -> impl Iterator<Item = Evidence> {
        Group::ALL.into_iter().zip(&self.columns).filter_map(move |(group, columns)| {
            let (mut doubt, mut best, mut best_class) = (1.0_f32, 0.0_f32, None);
            for &class in columns {
                let score = scores.get(usize::from(class)).copied().unwrap_or(0.0);
                // False for NaN.
                if score > NOISE_FLOOR && score.is_finite() {
                    let score = score.min(1.0);
                    doubt *= 1.0 - score;
                    if score > best {
                        (best, best_class) = (score, Some(class));
                    }
                }
            }
            let confidence = 1.0 - doubt;
            let class = best_class.filter(|_| confidence >= min_confidence)?;
            Some(Evidence { group, confidence, class, class_score: best })
        })
    }
}
