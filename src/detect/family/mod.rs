//! The families of detectors: how each is recognised, what its input must
//! look like and how its outputs are read. One file for each head; a new
//! family is a file here and a line in [`recognise`].
//!
//! Model outputs are untrusted: a decoder takes slices of any length with any
//! numbers in them, and leaves out what is no box.

mod detr;
mod end_to_end;
mod grid;
mod nanodet;
mod signature;
mod ssd;
mod yolo;
mod yolox;

use std::fmt;

pub use signature::{Element, ImageInput, Signature, TensorInfo};

use super::finds::Finds;
use super::letterbox::Fit;
use super::preprocess::{Channels, InputSpec, Scaling};
use crate::config::ModelFamily;

/// Outputs that a head reads at most.
pub const MAX_OUTPUTS: usize = 4;

/// Reads one look's outputs.
pub trait Head: fmt::Debug + Send {
    /// The family's name, for people.
    fn name(&self) -> &'static str;

    /// Reads `outputs`, in the order of [`Recognised::outputs`], into `finds`.
    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds);

    /// Whether doubles are already gone: the graph suppresses overlaps, or
    /// training made it give each object once.
    fn is_free_of_doubles(&self) -> bool {
        false
    }
}

/// A model that is understood.
#[derive(Debug)]
pub struct Recognised {
    /// Reads its outputs.
    pub head: Box<dyn Head>,
    /// The outputs to read, as indices into the model's.
    pub outputs: Vec<usize>,
    /// What its input must look like.
    pub input: InputSpec,
    /// How many classes it scores, where its outputs tell.
    pub classes: Option<usize>,
    /// How classes without names are numbered.
    pub numbering: Numbering,
}

/// How a family numbers COCO's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// 0..80, without gaps.
    Dense,
    /// COCO's own ids, 1..=90 with gaps.
    CocoIds,
    /// The same; names that are given begin at 1.
    FromOne,
}

/// Why a family does not fit.
#[derive(Debug, Clone, PartialEq)]
pub enum Misfit {
    /// Nothing speaks for this family.
    Other(String),
    /// It is of this family, but something is wrong with it.
    Wrong(String),
}

type Fitting = Result<Recognised, Misfit>;

/// What Tawny reads, one family a line: for people whose model is none.
pub const FAMILIES: &str = "It reads
  nanodet     boxes [1, N, 4] and scores [1, N, C], or scores and dist [1, N, 4 x bins]
  yolox       [1, N, 5 + C] with N cells of strides 8, 16 and 32, decoded or not
  yolov5      [1, N, 5 + C] decoded, with objectness (MegaDetector v5, YOLOv7 too)
  yolov8      [1, 4 + C, N] or [1, N, 4 + C] decoded (YOLOv9, 11, MegaDetector v6 too)
  end_to_end  [1, N, 6] with corners, score and class (YOLOv10, YOLO26, nms=True)
  detr        labels, boxes and scores, or logits and pred_boxes (RT-DETR, D-FINE)
  ssd         detection_boxes, detection_scores and detection_classes (TensorFlow)
where the input is one picture, u8, f16 or f32, [1, H, W, 3] or [1, 3, H, W], and C the number of class names";

/// Finds the family of a model, or checks that it is of `family`; the reason
/// if there is none.
pub fn recognise(model: &Signature, family: Option<ModelFamily>) -> Result<Recognised, String> {
    type Recogniser = fn(&Signature, bool) -> Fitting;
    // Those with outputs of their own names first.
    let families: [(ModelFamily, Recogniser); 7] = [
        (ModelFamily::NanoDet, nanodet::recognise),
        (ModelFamily::Detr, detr::recognise),
        (ModelFamily::Ssd, ssd::recognise),
        (ModelFamily::EndToEnd, end_to_end::recognise),
        (ModelFamily::YoloX, yolox::recognise),
        (ModelFamily::YoloV5, yolo::recognise_v5),
        (ModelFamily::YoloV8, yolo::recognise_v8),
    ];
    for (this, recognise) in families {
        if family.is_some_and(|family| family != this) {
            continue;
        }
        match recognise(model, family.is_some()) {
            Ok(known) => return Ok(known),
            Err(Misfit::Wrong(reason)) => return Err(reason),
            Err(Misfit::Other(reason)) if family.is_some() => return Err(reason),
            Err(Misfit::Other(_)) => {}
        }
    }
    let names = match model.named {
        Some(count) => format!("for {count} class names"),
        None => "for 80 or 3 classes, and no class names are given".to_owned(),
    };
    Err(format!("it fits no family {names}: {}", model.describe_outputs()))
}

impl Signature {
    /// An input of this model for RGB in the middle of grey 114, as all YOLO
    /// but YOLOX take it, scaled to 0..=1 where it is floating point.
    fn input(&self) -> InputSpec {
        InputSpec {
            width: self.size.0,
            height: self.size.1,
            sample: self.image.sample,
            layout: self.image.layout,
            channels: Channels::Rgb,
            scaling: Scaling::UNIT,
            fit: Fit::Centred,
            padding: 114,
        }
    }
}

/// Corners of a box given by its centre and size; `None` unless all finite.
fn around([x, y, w, h]: [f32; 4]) -> Option<[f32; 4]> {
    finite([x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0])
}

/// `corners`, if they are numbers.
fn finite(corners: [f32; 4]) -> Option<[f32; 4]> {
    corners.iter().all(|value| value.is_finite()).then_some(corners)
}

#[cfg(test)]
mod testing;
