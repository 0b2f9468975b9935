//! A small grey copy of the picture: block averages of the Y plane.

use crate::capture::{Picture, Plane};

/// Widest grid; a 1080p picture becomes 160x90 cells.
const MAX_CELLS_WIDE: usize = 160;
/// Rows read per cell at most: enough to average sensor noise away, and a
/// third of the memory traffic of reading them all.
const ROWS_PER_CELL: usize = 4;
/// Black and the share of the full scale of limited-range luma.
const LIMITED_BLACK: f32 = 16.0;
const LIMITED_SCALE: f32 = 255.0 / 219.0;

/// Block averages of luma, 0..=255 full range, in the stored orientation.
#[derive(Debug, Clone, Default)]
pub struct LumaGrid {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub cells: Vec<f32>,
    /// The rows of one row of cells, added up.
    pub(super) sums: Vec<u16>,
}

impl LumaGrid {
    /// Fills the grid from `picture`; true if its size changed.
    pub fn fill(&mut self, picture: &Picture<'_>) -> bool {
        let plane = &picture.y;
        let block = plane.width.div_ceil(MAX_CELLS_WIDE).max(1);
        let (width, height) = ((plane.width / block).max(1), (plane.height / block).max(1));
        let changed = (width, height) != (self.width, self.height);
        if changed {
            (self.width, self.height) = (width, height);
            self.cells = vec![0.0; width * height];
        }
        let (black, scale) = if picture.colour.full_range { (0.0, 1.0) } else { (LIMITED_BLACK, LIMITED_SCALE) };
        for (row, cells) in self.cells.chunks_exact_mut(width).enumerate() {
            fill_row(plane, block, row, cells, &mut self.sums);
            for cell in cells {
                *cell = ((*cell - black) * scale).clamp(0.0, 255.0);
            }
        }
        changed
    }
}

/// The value below which `share` (0..=1) of the cells are; what is above 255 counts
/// as that.
pub fn percentile(cells: &[f32], share: f32) -> f32 {
    let mut histogram = [0u32; 256];
    for cell in cells {
        histogram[(*cell as usize).min(255)] += 1;
    }
    let wanted = (cells.len() as f32 * share.clamp(0.0, 1.0)) as u32;
    let mut below = 0;
    for (value, count) in histogram.iter().enumerate() {
        below += count;
        if below > wanted {
            return value as f32;
        }
    }
    255.0
}

/// Averages `block` x `block` samples into each cell of one row. Rows are
/// added up first, which SIMD does sixteen samples at a time.
fn fill_row(plane: &Plane<'_>, block: usize, row: usize, cells: &mut [f32], sums: &mut Vec<u16>) {
    let step = block.div_ceil(ROWS_PER_CELL);
    let mut rows_read = 0u32;
    sums.clear();
    sums.resize(cells.len() * block, 0);
    for y in (row * block..(row + 1) * block).step_by(step) {
        let samples = plane.row(y);
        if samples.is_empty() {
            continue;
        }
        rows_read += 1;
        for (sum, sample) in sums.iter_mut().zip(samples) {
            // At most ROWS_PER_CELL x 255.
            *sum = sum.wrapping_add(u16::from(*sample));
        }
    }
    let count = (rows_read.max(1) * block as u32) as f32;
    for (cell, sums) in cells.iter_mut().zip(sums.chunks_exact(block)) {
        let sum = sums.iter().fold(0u32, |all, sum| all.wrapping_add(u32::from(*sum)));
        *cell = sum as f32 / count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::capture::{Colour, Rotation};

    #[test]
    fn averages_blocks_and_survives_every_size() {
        for (width, height) in [(1, 1), (3, 1), (1, 700), (161, 90), (1921, 1083), (4000, 2)] {
            let data = vec![126u8; width * height];
            let y = Plane::new(&data, width, height, width).unwrap();
            let colour = Colour { full_range: false, ..Colour::default() };
            let mut grid = LumaGrid::default();
            assert!(grid.fill(&Picture { y, chroma: None, colour, rotation: Rotation::None, exposure: 1.0 }));
            assert!(grid.width <= MAX_CELLS_WIDE && !grid.cells.is_empty());
            assert!(grid.cells.iter().all(|c| (c - 110.0 * 255.0 / 219.0).abs() < 0.01), "{width}x{height}");
        }
    }
}
