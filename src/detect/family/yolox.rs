//! YOLOX (Ge et al. 2021): objectness and classes as sigmoids for every cell
//! of a grid, boxes as offsets and logarithms unless exported with
//! `--decode_in_inference`. Takes BGR 0..=255 in the left top corner of 114.

use super::super::letterbox::Fit;
use super::super::preprocess::{Channels, InputSpec, Scaling};
use super::grid::{self, Cell};
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature, around};

/// Box and objectness before the class scores.
const BEFORE_CLASSES: usize = 5;

/// [1, N, 5 + C]: centre, size, objectness, classes.
#[derive(Debug)]
struct YoloX {
    row: usize,
    /// The grid to decode with; `None` if the graph does it.
    cells: Option<Vec<Cell>>,
}

/// One row for each cell, 5 + C numbers in a row.
pub fn recognise(model: &Signature, _named: bool) -> Fitting {
    let other = || Misfit::Other(format!("YOLOX has one output [1, N, 5 + C]; {}", model.describe_outputs()));
    let (rows, columns) = model.only_table().ok_or_else(other)?;
    let count = model.class_counts().into_iter().find(|count| count + BEFORE_CLASSES as i64 == columns);
    let classes = count.ok_or_else(other)?;
    if rows != grid::count(model.size) as i64 {
        return Err(other());
    }
    grid::check(model.size).map_err(Misfit::Wrong)?;
    let (cells, row) = (grid::cells(model.size), columns as usize);
    let decoded = model.values.first().is_some_and(|values| is_decoded(values, row, &cells));
    let input = InputSpec { channels: Channels::Bgr, scaling: Scaling::NONE, fit: Fit::TopLeft, ..model.input() };
    Ok(Recognised {
        head: Box::new(YoloX { row, cells: (!decoded).then_some(cells) }),
        outputs: vec![0],
        input,
        classes: Some(classes as usize),
        numbering: Numbering::Dense,
    })
}

/// Whether `values` are boxes in input pixels: decoded centres lie near their
/// cells, raw ones are small numbers everywhere. Most cells decide.
fn is_decoded(values: &[f32], row: usize, cells: &[Cell]) -> bool {
    let near = |(values, cell): (&[f32], &Cell)| {
        let away = |value: f32, place: f32| (value - (place + 0.5) * cell.stride).abs() / cell.stride;
        let [x, y, ..] = *values else { return None };
        let decoded = away(x, cell.column) + away(y, cell.row);
        let raw = (x - 0.5).abs() + (y - 0.5).abs();
        // The first cells look the same either way.
        (cell.column + cell.row > 4.0 && raw.is_finite()).then_some(decoded < raw)
    };
    let votes: Vec<bool> = values.chunks_exact(row.max(2)).zip(cells).filter_map(near).collect();
    votes.iter().filter(|&&vote| vote).count() * 2 > votes.len()
}

impl Head for YoloX {
    fn name(&self) -> &'static str {
        if self.cells.is_some() { "YOLOX" } else { "YOLOX, decoded" }
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let values = outputs.first().copied().unwrap_or_default();
        for (index, row) in values.chunks_exact(self.row).enumerate() {
            let &[x, y, w, h, objectness, ref scores @ ..] = row else { continue };
            finds.scored(objectness, scores, || match &self.cells {
                None => around([x, y, w, h]),
                Some(cells) => {
                    let &Cell { column, row, stride } = cells.get(index)?;
                    around([(x + column) * stride, (y + row) * stride, w.exp() * stride, h.exp() * stride])
                }
            });
        }
    }
}
