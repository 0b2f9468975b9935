//! The cells of a head without anchors: one for each place of the strides 8,
//! 16 and 32, level after level, row after row.

use super::super::letterbox::COARSEST_STRIDE;

/// Strides of the three levels.
pub const STRIDES: [usize; 3] = [8, 16, COARSEST_STRIDE];

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Counted from the left.
    pub column: f32,
    /// Counted from the top.
    pub row: f32,
    /// Its side in input pixels.
    pub stride: f32,
}

/// How many cells an input of `width` × `height` pixels has.
pub fn count((width, height): (usize, usize)) -> usize {
    STRIDES.iter().map(|stride| (width / stride) * (height / stride)).sum()
}

/// Whether the sides are multiples of the coarsest stride, as such a head
/// needs; the reason if not.
pub fn check((width, height): (usize, usize)) -> Result<(), String> {
    let [.., coarsest] = STRIDES;
    if width % coarsest == 0 && height % coarsest == 0 {
        return Ok(());
    }
    Err(format!("its input is {width}x{height}, not a multiple of {coarsest}"))
}

/// Every cell, in order.
pub fn cells((width, height): (usize, usize)) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(count((width, height)));
    for stride in STRIDES {
        for row in 0..height / stride {
            for column in 0..width / stride {
                cells.push(Cell { column: column as f32, row: row as f32, stride: stride as f32 });
            }
        }
    }
    cells
}
