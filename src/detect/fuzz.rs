//! Any bytes as a model's description, outputs and class names, for fuzzing.

use super::classes::Classes;
use super::evidence::GroupColumns;
use super::family::{Element, ImageInput, Signature, TensorInfo, recognise};
use super::finds::Finds;
use super::letterbox::Letterbox;
use super::preprocess::{InputLayout, Sample};
use crate::domain::BBox;

const NAMES: [&str; 13] = [
    "output0",
    "boxes",
    "scores",
    "dist",
    "logits",
    "pred_boxes",
    "labels",
    "detection_boxes",
    "detection_scores",
    "detection_classes",
    "num_detections",
    "protos",
    "",
];
const SIZES: [i64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 32, 50, 84, 189, 300, 567, -1, 1 << 40];
const ABOUT: [&str; 4] = ["", "rt-detr", "rtdetrdecoder", "yolo"];
const SIDES: [usize; 4] = [96, 64, 100, 32];

/// Numbers of all lengths, none when the data is at its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let at = self.byte() % all.len().max(1);
        all.get(at).copied()
    }
}

/// A description of up to four outputs, then their numbers.
pub fn outputs(data: &[u8]) {
    let mut bytes = Bytes(data);
    let count = bytes.byte() % 4 + 1;
    let outputs: Vec<TensorInfo> = (0..count).map(|_| tensor(&mut bytes)).collect();
    let named = bytes.one_of(&[None, Some(1), Some(3), Some(80)]).flatten();
    let about = bytes.one_of(&ABOUT).unwrap_or_default().to_owned();
    let size = (bytes.one_of(&SIDES).unwrap_or(96), bytes.one_of(&SIDES).unwrap_or(96));
    let sizes = (bytes.byte() % 2 == 1).then(|| "orig_target_sizes".to_owned());
    let (looked, least) = (bytes.byte() % 2 == 1, bytes.byte() as f32 / 255.0);
    let lengths: Vec<usize> = (0..count).map(|_| bytes.byte() * 8).collect();
    let numbers: Vec<f32> = bytes.0.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    let filled = |length: &usize| numbers.iter().copied().cycle().take(*length).collect::<Vec<f32>>();
    let values: Vec<Vec<f32>> = lengths.iter().map(filled).collect();
    let image = ImageInput {
        name: "images".to_owned(),
        sample: Sample::Float,
        layout: InputLayout::Chw,
        width: Some(size.0),
        height: Some(size.1),
    };
    let looked_at = if looked { values.clone() } else { Vec::new() };
    let model = Signature { image, size, sizes, outputs, values: looked_at, about, named };
    let Ok(mut known) = recognise(&model, None) else { return };
    let classes = Classes::new(["animal", "person", "vehicle"].map(str::to_owned).to_vec());
    let columns = GroupColumns::new(&classes);
    let fit = Letterbox::new(BBox::new(0.0, 0.0, 1.0, 1.0), (160, 90), size);
    let mut out = Vec::new();
    let views: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    known.head.read(&views, &mut Finds { columns: &columns, fit: &fit, min_confidence: least, out: &mut out });
    for found in out {
        let BBox { x, y, w, h } = found.bbox;
        assert!((0.0..=1.0).contains(&found.confidence) && (0.0..=1.0).contains(&found.class_score), "{found:?}");
        assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0 && x + w <= 1.0001 && y + h <= 1.0001, "{found:?}");
        assert!(usize::from(found.class) < 3, "{found:?}");
    }
}

fn tensor(bytes: &mut Bytes<'_>) -> TensorInfo {
    let name = bytes.one_of(&NAMES).unwrap_or_default().to_owned();
    let element = bytes.one_of(&[Some(Element::Float), Some(Element::Long), None]).flatten();
    let rank = bytes.byte() % 5;
    let shape = (0..rank).filter_map(|_| bytes.one_of(&SIZES)).collect();
    TensorInfo { name, kind: String::new(), element, shape }
}

/// The class names that a model or a file gives.
pub fn names(data: &[u8]) {
    if let Some(names) = super::names::parse(&String::from_utf8_lossy(data)) {
        Classes::new(names);
    }
}
