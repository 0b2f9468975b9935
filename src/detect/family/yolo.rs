//! YOLO heads that decode in their graph: YOLOv5 and its kin with objectness,
//! YOLOv8 and its successors without, and Ultralytics' RT-DETR, which looks
//! like the latter with boxes in fractions. RGB 0..=1.

use super::super::letterbox::Fit;
use super::super::preprocess::InputSpec;
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature, around, grid};

/// [1, N, 5 + C], decoded: centre and size in input pixels, objectness,
/// classes.
pub fn recognise_v5(model: &Signature, _named: bool) -> Fitting {
    let other = || Misfit::Other(format!("YOLOv5 has one output [1, N, 5 + C]; {}", model.describe_outputs()));
    let (_, columns) = model.only_table().ok_or_else(other)?;
    let classes = model.class_counts().into_iter().find(|count| count + 5 == columns).ok_or_else(other)?;
    let head = Objectness { row: columns as usize };
    Ok(Recognised {
        head: Box::new(head),
        outputs: vec![0],
        input: model.input(),
        classes: Some(classes as usize),
        numbering: Numbering::Dense,
    })
}

/// [1, 4 + C, N] or [1, N, 4 + C], decoded: centre and size, classes.
pub fn recognise_v8(model: &Signature, _named: bool) -> Fitting {
    let reason = "YOLOv8 has one output [1, 4 + C, N] or [1, N, 4 + C]";
    let other = || Misfit::Other(format!("{reason}; {}", model.describe_outputs()));
    let (a, b) = model.only_table().ok_or_else(other)?;
    let fit = |count: i64| match (a == count + 4, b == count + 4) {
        // Both: there are more boxes than numbers of a box.
        (true, true) => Some((count, false)),
        (true, false) => Some((count, true)),
        (false, true) => Some((count, false)),
        (false, false) => None,
    };
    let (classes, by_column) = model.class_counts().into_iter().find_map(fit).ok_or_else(other)?;
    let row = classes as usize + 4;
    let is_grid = a == grid::count(model.size) as i64;
    if !by_column && !is_grid && model.has_fractions(row) {
        return Ok(rows_in_fractions(model, classes as usize));
    }
    let (head, input): (Box<dyn Head>, _) = if by_column {
        (Box::new(ByColumn { classes: classes as usize, best: Vec::new(), scores: Vec::new() }), model.input())
    } else {
        (Box::new(ByRow { row, scale: (1.0, 1.0), in_fractions: false }), model.input())
    };
    Ok(Recognised { head, outputs: vec![0], input, classes: Some(classes as usize), numbering: Numbering::Dense })
}

/// Ultralytics' RT-DETR, [1, Q, 4 + C]: centre and size in fractions of the
/// stretched picture, classes.
pub fn rows_in_fractions(model: &Signature, classes: usize) -> Recognised {
    let scale = (model.size.0 as f32, model.size.1 as f32);
    Recognised {
        head: Box::new(ByRow { row: classes + 4, scale, in_fractions: true }),
        outputs: vec![0],
        input: InputSpec { fit: Fit::Stretched, ..model.input() },
        classes: Some(classes),
        numbering: Numbering::Dense,
    }
}

/// Rows with objectness.
#[derive(Debug)]
struct Objectness {
    row: usize,
}

impl Head for Objectness {
    fn name(&self) -> &'static str {
        "YOLOv5"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let values = outputs.first().copied().unwrap_or_default();
        for row in values.chunks_exact(self.row) {
            if let &[x, y, w, h, objectness, ref scores @ ..] = row {
                finds.scored(objectness, scores, || around([x, y, w, h]));
            }
        }
    }
}

/// Rows without.
#[derive(Debug)]
struct ByRow {
    row: usize,
    /// Input pixels for a unit of the boxes, across and down.
    scale: (f32, f32),
    in_fractions: bool,
}

impl Head for ByRow {
    fn name(&self) -> &'static str {
        if self.in_fractions { "RT-DETR, Ultralytics" } else { "YOLOv8" }
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let values = outputs.first().copied().unwrap_or_default();
        let (across, down) = self.scale;
        for row in values.chunks_exact(self.row) {
            if let &[x, y, w, h, ref scores @ ..] = row {
                finds.scored(1.0, scores, || around([x * across, y * down, w * across, h * down]));
            }
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        self.in_fractions
    }
}

/// Columns without: all centres, then all widths and so on. The best class
/// of every column is found first, along memory; few columns remain.
#[derive(Debug)]
struct ByColumn {
    classes: usize,
    best: Vec<f32>,
    scores: Vec<f32>,
}

impl Head for ByColumn {
    fn name(&self) -> &'static str {
        "YOLOv8"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let values = outputs.first().copied().unwrap_or_default();
        let n = values.len() / (self.classes + 4);
        if n == 0 {
            return;
        }
        let line = |index: usize| values.get(index * n..(index + 1) * n).unwrap_or_default();
        self.best.clear();
        self.best.resize(n, 0.0);
        for class in finds.columns.classes() {
            for (best, score) in self.best.iter_mut().zip(line(usize::from(class) + 4)) {
                // The maximum of a number and NaN is the number.
                *best = best.max(*score);
            }
        }
        for (at, best) in self.best.iter().enumerate().filter(|(_, best)| **best > 0.0) {
            if !finds.is_possible(*best) {
                continue;
            }
            let number = |row: usize| values.get(row * n + at).copied().unwrap_or(0.0);
            self.scores.clear();
            self.scores.extend((0..self.classes).map(|class| number(class + 4)));
            finds.scored(1.0, &self.scores, || around([0, 1, 2, 3].map(number)));
        }
    }
}
