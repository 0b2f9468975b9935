//! Which detection continues which track: greedy matching, best pairs first.

use crate::domain::BBox;

/// A possible pair.
#[derive(Debug, Clone, Copy)]
struct Pair {
    similarity: f32,
    row: usize,
    column: usize,
}

/// Reused memory for [`Matcher::greedy`].
#[derive(Debug, Default)]
pub struct Matcher {
    pairs: Vec<Pair>,
    row_taken: Vec<bool>,
    column_taken: Vec<bool>,
}

impl Matcher {
    /// Pairs rows with columns, the most similar first, each at most once.
    /// `similarity` gives `None` for pairs that cannot be. Ties go to the lower
    /// row, then the lower column, so that the result never depends on memory.
    pub fn greedy(
        &mut self,
        rows: usize,
        columns: usize,
        similarity: impl Fn(usize, usize) -> Option<f32>,
        matches: &mut Vec<(usize, usize)>,
    ) {
        matches.clear();
        self.pairs.clear();
        for row in 0..rows {
            for column in 0..columns {
                if let Some(similarity) = similarity(row, column).filter(|s| s.is_finite()) {
                    self.pairs.push(Pair { similarity, row, column });
                }
            }
        }
        self.pairs.sort_unstable_by(|a, b| {
            b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)).then(a.column.cmp(&b.column))
        });
        for taken in [&mut self.row_taken, &mut self.column_taken] {
            taken.clear();
        }
        self.row_taken.resize(rows, false);
        self.column_taken.resize(columns, false);
        for pair in &self.pairs {
            if !self.row_taken[pair.row] && !self.column_taken[pair.column] {
                (self.row_taken[pair.row], self.column_taken[pair.column]) = (true, true);
                matches.push((pair.row, pair.column));
            }
        }
    }
}

/// How alike two boxes are when the object may have moved by `buffer` times
/// its size: the IoU of both boxes grown by that much (C-BIoU, Yang et al.
/// 2023), which ranks near misses where plain IoU is zero.
pub fn buffered_iou(a: &BBox, b: &BBox, buffer: f32) -> f32 {
    a.grown(buffer).iou(&b.grown(buffer))
}

/// Whether one box is much the same as the other, or a part of it. Parts of
/// vehicles (a cab, a bonnet) stick out of the whole a little, hence `grown`.
pub fn covers(a: &BBox, b: &BBox) -> bool {
    a.iou(b) > 0.4 || a.share_inside(&b.grown(0.08)) > 0.7 || b.share_inside(&a.grown(0.08)) > 0.7
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_is_matched_twice_and_the_best_pair_is(
            scores in prop::collection::vec(prop::option::of(0f32..1.0), 1..40), columns in 1usize..7
        ) {
            let rows = scores.len().div_ceil(columns);
            let score = |r: usize, c: usize| scores.get(r * columns + c).copied().flatten();
            let mut matches = Vec::new();
            Matcher::default().greedy(rows, columns, score, &mut matches);
            let mut seen_rows: Vec<_> = matches.iter().map(|m| m.0).collect();
            let mut seen_columns: Vec<_> = matches.iter().map(|m| m.1).collect();
            seen_rows.sort_unstable();
            seen_columns.sort_unstable();
            let (r, c) = (seen_rows.len(), seen_columns.len());
            seen_rows.dedup();
            seen_columns.dedup();
            prop_assert_eq!((r, c), (seen_rows.len(), seen_columns.len()));
            if let Some(best) = scores.iter().flatten().copied().reduce(f32::max) {
                prop_assert_eq!(score(matches[0].0, matches[0].1), Some(best));
            }
        }
    }
}
