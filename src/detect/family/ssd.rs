//! Detectors of TensorFlow's Object Detection API, with suppression in their
//! graph: corners as fractions (top, left, bottom, right), a score, and a
//! class id that counts from 1.
//!
//! Their graphs resize by themselves. An input of a fixed size is filled by
//! stretching, one of an open size takes the picture as it is.

use super::super::letterbox::Fit;
use super::super::preprocess::{InputSpec, Scaling};
use super::end_to_end::class_index;
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature};

/// `detection_boxes` [1, N, 4], `detection_scores` [1, N],
/// `detection_classes` [1, N]; `num_detections` [1] may be there.
pub fn recognise(model: &Signature, _named: bool) -> Fitting {
    let (Some((boxes, corners)), Some((scores, sure)), Some((classes, ids))) =
        (model.output("detection_boxes"), model.output("detection_scores"), model.output("detection_classes"))
    else {
        let reason = "an SSD has detection_boxes, detection_scores and detection_classes";
        return Err(Misfit::Other(format!("{reason}; {}", model.describe_outputs())));
    };
    let rows = match *corners.shape.as_slice() {
        [1, rows, 4] => rows,
        _ => -1,
    };
    if rows < 1 || sure.shape != [1, rows] || ids.shape != [1, rows] {
        let reason = "detection_boxes is not [1, N, 4] with detection_scores and detection_classes [1, N]";
        return Err(Misfit::Wrong(format!("{reason}; {}", model.describe_outputs())));
    }
    let is_fixed = model.image.width.is_some() && model.image.height.is_some();
    let fit = if is_fixed { Fit::Stretched } else { Fit::Native };
    let counted = model.output("num_detections").map(|(index, _)| index);
    Ok(Recognised {
        head: Box::new(Ssd),
        outputs: [boxes, scores, classes].into_iter().chain(counted).collect(),
        input: InputSpec { scaling: Scaling::NONE, fit, padding: 0, ..model.input() },
        classes: None,
        numbering: Numbering::FromOne,
    })
}

#[derive(Debug)]
struct Ssd;

impl Head for Ssd {
    fn name(&self) -> &'static str {
        "TensorFlow SSD"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let &[boxes, scores, classes, ref counted @ ..] = outputs else { return };
        let limit = counted.first().and_then(|count| count.first()).copied();
        let limit = limit.and_then(class_index).unwrap_or(usize::MAX);
        let (width, height) = (finds.fit.input.0 as f32, finds.fit.input.1 as f32);
        let rows = boxes.as_chunks::<4>().0.iter().zip(scores).zip(classes).take(limit);
        for ((&[top, left, bottom, right], &score), &class) in rows {
            if let Some(class) = class_index(class) {
                finds.single(class, score, [left * width, top * height, right * width, bottom * height]);
            }
        }
    }

    fn is_free_of_doubles(&self) -> bool {
        true
    }
}
