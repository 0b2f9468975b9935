//! What differs from the background, and still changes? A place that somebody
//! has left behind (or a thing put down) differs for a minute without anything
//! moving there, and is not worth a look at every turn. Pure.

use std::time::Duration;

use super::luma::LumaGrid;
use crate::domain::Mono;

/// Cells are compared with what they were between one and two of these ago:
/// long enough for a slow walker far away to reach another cell.
const AGE: Duration = Duration::from_millis(500);
/// So many of the cells, and this share of them, make a place that stirs.
const MIN_CELLS: u32 = 2;
const MIN_SHARE: f32 = 0.03;

/// Remembers the picture of a moment ago.
#[derive(Debug, Default)]
pub struct Stirring {
    older: Vec<f32>,
    newer: Vec<f32>,
    taken: Option<Mono>,
}

impl Stirring {
    /// Forgets everything; then all that differs stirs.
    pub fn reset(&mut self) {
        *self = Stirring::default();
    }

    /// The picture taken at `at`, after its regions were judged.
    pub fn update(&mut self, luma: &LumaGrid, at: Mono) {
        if self.taken.is_some_and(|taken| at >= taken && at.since(taken) < AGE) && self.newer.len() == luma.cells.len()
        {
            return;
        }
        std::mem::swap(&mut self.older, &mut self.newer);
        self.newer.clear();
        self.newer.extend_from_slice(&luma.cells);
        self.taken = Some(at);
    }

    /// Whether something changes among `cells` (indices into the grid), by
    /// more than `least` of 255: what the background takes for a difference.
    pub fn stirs(&self, luma: &LumaGrid, least: f32, cells: impl Iterator<Item = usize>) -> bool {
        if self.older.len() != luma.cells.len() {
            return true;
        }
        let (mut all, mut changed) = (0u32, 0u32);
        for cell in cells {
            let (Some(now), Some(then)) = (luma.cells.get(cell), self.older.get(cell)) else { continue };
            all += 1;
            changed += u32::from((now - then).abs() > least);
        }
        changed >= MIN_CELLS && changed as f32 >= MIN_SHARE * all as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(paint: impl Fn(usize, usize) -> f32) -> LumaGrid {
        let cells = (0..40 * 20).map(|i| paint(i % 40, i / 40)).collect();
        LumaGrid { width: 40, height: 20, cells, ..LumaGrid::default() }
    }

    #[test]
    fn what_stands_where_it_stood_does_not_stir_and_what_walks_does() {
        let mut stirring = Stirring::default();
        let mut at = Mono::ZERO;
        let standing = picture(|x, y| if x.abs_diff(10) < 3 && y.abs_diff(10) < 4 { 200.0 } else { 80.0 });
        assert!(stirring.stirs(&standing, 5.0, 0..800), "before anything is known");
        for _ in 0..20 {
            at = at.plus(Duration::from_millis(100));
            stirring.update(&standing, at);
        }
        assert!(!stirring.stirs(&standing, 5.0, 0..800));
        // One cell a second.
        for i in 0..30 {
            at = at.plus(Duration::from_millis(100));
            let x0 = 10 + i / 10;
            let walking = picture(|x, y| if x.abs_diff(x0) < 3 && y.abs_diff(10) < 4 { 200.0 } else { 80.0 });
            let cells = (0..800).filter(|i| walking.cells[*i] > 100.0);
            assert!(i < 10 || i % 10 > 4 || stirring.stirs(&walking, 5.0, cells), "look {i}");
            stirring.update(&walking, at);
        }
    }

    #[test]
    fn who_is_hardly_brighter_than_the_dark_stirs_in_the_dark() {
        let mut stirring = Stirring::default();
        let mut at = Mono::ZERO;
        let walker = |x0: usize| picture(|x, y| if x.abs_diff(x0) < 3 && y.abs_diff(10) < 4 { 17.0 } else { 14.0 });
        for i in 0..30 {
            at = at.plus(Duration::from_millis(100));
            stirring.update(&walker(5 + i / 3), at);
        }
        let now = walker(16);
        let cells = || (0..800).filter(|i| now.cells[*i] > 16.0);
        assert!(stirring.stirs(&now, 2.0, cells()) && !stirring.stirs(&now, 5.0, cells()));
    }
}
