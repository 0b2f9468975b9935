//! RT-DETR (Zhao et al. 2023) and D-FINE (Peng et al. 2024): a fixed number
//! of queries, each an object or nothing, without suppression. Takes RGB
//! 0..=1, stretched.
//!
//! The authors' exports end in `labels`, `boxes` and `scores`, with boxes in
//! pixels of the size that `orig_target_sizes` names; Hugging Face's end in
//! `logits` and `pred_boxes` (centre and size in fractions of the input).

use super::super::letterbox::Fit;
use super::super::preprocess::InputSpec;
use super::end_to_end::{self, class_index};
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature, around, finite, yolo};

/// `labels` [1, Q], `boxes` [1, Q, 4] and `scores` [1, Q], or `logits`
/// [1, Q, C] and `pred_boxes` [1, Q, 4].
pub fn recognise(model: &Signature, named: bool) -> Fitting {
    if let Some((_, columns)) = model.only_table().filter(|_| named) {
        // Ultralytics' exports, which look like YOLO's.
        let classes = model.class_counts().into_iter().find(|count| count + 4 == columns);
        match (columns, classes) {
            (6, _) => return Ok(end_to_end::rows_in_fractions(model)),
            (_, Some(classes)) => return Ok(yolo::rows_in_fractions(model, classes as usize)),
            _ => {}
        }
    }
    let input = InputSpec { fit: Fit::Stretched, ..model.input() };
    let wrong = |reason: &str| Err(Misfit::Wrong(format!("{reason}; {}", model.describe_outputs())));
    if let (Some((logits, scores)), Some((boxes, corners))) = (model.output("logits"), model.output("pred_boxes")) {
        let &[1, queries, classes] = scores.shape.as_slice() else { return wrong("logits is not [1, Q, C]") };
        if corners.shape != [1, queries, 4] || !(1..=10_000).contains(&classes) {
            return wrong("logits and pred_boxes are not [1, Q, C] and [1, Q, 4]");
        }
        return Ok(Recognised {
            head: Box::new(Logits { classes: classes as usize, scores: Vec::new() }),
            outputs: vec![logits, boxes],
            input,
            classes: Some(classes as usize),
            numbering: if classes == 91 { Numbering::CocoIds } else { Numbering::Dense },
        });
    }
    let (Some((labels, ids)), Some((boxes, corners)), Some((scores, sure))) =
        (model.output("labels"), model.output("boxes"), model.output("scores"))
    else {
        let reason = "RT-DETR has labels, boxes and scores, or logits and pred_boxes";
        return Err(Misfit::Other(format!("{reason}; {}", model.describe_outputs())));
    };
    let &[1, queries, 4] = corners.shape.as_slice() else { return wrong("boxes is not [1, Q, 4]") };
    if ids.shape != [1, queries] || sure.shape != [1, queries] {
        return wrong("labels and scores are not [1, Q]");
    }
    if model.sizes.is_none() {
        return wrong("it has no input orig_target_sizes that says what its boxes are measured in");
    }
    Ok(Recognised {
        head: Box::new(Chosen),
        outputs: vec![labels, boxes, scores],
        input,
        classes: None,
        numbering: Numbering::Dense,
    })
}

/// One class for each query, chosen in the graph.
#[derive(Debug)]
struct Chosen;

impl Head for Chosen {
    fn name(&self) -> &'static str {
        "RT-DETR"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let &[labels, boxes, scores] = outputs else { return };
        // Input pixels for a pixel of what is shown.
        let (input, shown) = (finds.fit.input, finds.fit.shown);
        let (across, down) = (input.0 as f32 / shown.0 as f32, input.1 as f32 / shown.1 as f32);
        for ((&label, &score), &[x0, y0, x1, y1]) in labels.iter().zip(scores).zip(boxes.as_chunks::<4>().0) {
            let Some(corners) = finite([x0 * across, y0 * down, x1 * across, y1 * down]) else { continue };
            if let Some(class) = class_index(label) {
                finds.single(class, score, corners);
            }
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        true
    }
}

/// A logit for every class of each query.
#[derive(Debug)]
struct Logits {
    classes: usize,
    scores: Vec<f32>,
}

impl Head for Logits {
    fn name(&self) -> &'static str {
        "RT-DETR, logits"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let &[logits, boxes] = outputs else { return };
        let (width, height) = (finds.fit.input.0 as f32, finds.fit.input.1 as f32);
        for (logits, &[x, y, w, h]) in logits.chunks_exact(self.classes).zip(boxes.as_chunks::<4>().0) {
            self.scores.clear();
            self.scores.extend(logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())));
            finds.scored(1.0, &self.scores, || around([x * width, y * height, w * width, h * height]));
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        true
    }
}
