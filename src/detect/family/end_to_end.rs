//! Heads with suppression in the graph, or that need none: rows of corners in
//! input pixels, score and class. YOLOv10, YOLO26, and Ultralytics' exports
//! with `nms=True`. RGB 0..=1, in the middle of 114.
//!
//! Ultralytics' RT-DETR looks the same, with centres and sizes in fractions
//! of a stretched picture.

use super::super::letterbox::Fit;
use super::super::preprocess::InputSpec;
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature, around, grid};

/// Numbers in a row.
const ROW: usize = 6;
/// More rows than any such head gives: tables of 6 columns with more are
/// something else.
const MAX_ROWS: i64 = 1000;

/// [1, N, 6].
pub fn recognise(model: &Signature, named: bool) -> Fitting {
    let other = || Misfit::Other(format!("an end-to-end head has one output [1, N, 6]; {}", model.describe_outputs()));
    let (rows, columns) = model.only_table().ok_or_else(other)?;
    // YOLOv8 for two classes and YOLOv5 for one have six columns too.
    let cells = grid::count(model.size) as i64;
    let rivals = model.named.is_some_and(|count| count <= 2) && (rows == cells || rows == 3 * cells);
    if columns != ROW as i64 || !named && (rows > MAX_ROWS || rivals) {
        return Err(other());
    }
    if !named && model.has_fractions(ROW) {
        return Ok(rows_in_fractions(model));
    }
    Ok(Recognised {
        head: Box::new(Corners),
        outputs: vec![0],
        input: model.input(),
        classes: None,
        numbering: Numbering::Dense,
    })
}

/// Ultralytics' RT-DETR, [1, Q, 6].
pub fn rows_in_fractions(model: &Signature) -> Recognised {
    Recognised {
        head: Box::new(Fractions),
        outputs: vec![0],
        input: InputSpec { fit: Fit::Stretched, ..model.input() },
        classes: None,
        numbering: Numbering::Dense,
    }
}

/// Left, top, right, bottom in input pixels.
#[derive(Debug)]
struct Corners;

impl Head for Corners {
    fn name(&self) -> &'static str {
        "YOLO, end to end"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let rows = outputs.first().copied().unwrap_or_default().as_chunks::<ROW>().0;
        for &[x0, y0, x1, y1, score, class] in rows {
            if let Some(class) = class_index(class) {
                finds.single(class, score, [x0, y0, x1, y1]);
            }
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        true
    }
}

/// Centre and size in fractions of the input.
#[derive(Debug)]
struct Fractions;

impl Head for Fractions {
    fn name(&self) -> &'static str {
        "RT-DETR, Ultralytics"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let rows = outputs.first().copied().unwrap_or_default().as_chunks::<ROW>().0;
        let (width, height) = (finds.fit.input.0 as f32, finds.fit.input.1 as f32);
        for &[x, y, w, h, score, class] in rows {
            let corners = around([x * width, y * height, w * width, h * height]);
            if let (Some(class), Some(corners)) = (class_index(class), corners) {
                finds.single(class, score, corners);
            }
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        true
    }
}

/// A class that is given as a floating-point number.
pub(super) fn class_index(class: f32) -> Option<usize> {
    let rounded = class.round();
    // False for NaN. The cast is exact in this range.
    (0.0..=65_535.0).contains(&rounded).then_some(rounded as usize)
}
