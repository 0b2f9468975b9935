//! What a model says of itself: its inputs and outputs, their types and
//! sizes, its metadata, and what a look at a grey picture gave.

use super::super::preprocess::{InputLayout, Sample};

/// The element types that detectors take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 8-bit unsigned.
    Byte,
    /// 16-bit float.
    Half,
    /// 32-bit float.
    Float,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its type in words, for other types than those of [`Element`].
    pub kind: String,
    /// Its element type, if it is a tensor of one of these.
    pub element: Option<Element>,
    /// Its sizes; −1 for one that is not fixed.
    pub shape: Vec<i64>,
}

/// The input that takes the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageInput {
    /// Its name.
    pub name: String,
    /// The type of its samples.
    pub sample: Sample,
    /// How they are stored.
    pub layout: InputLayout,
    /// W, if the model fixes it.
    pub width: Option<usize>,
    /// H, if the model fixes it.
    pub height: Option<usize>,
}

/// All that recognition looks at.
#[derive(Debug, Clone)]
pub struct Signature {
    /// The input that takes the picture.
    pub image: ImageInput,
    /// Width and height of the input, chosen where the model leaves it open.
    pub size: (usize, usize),
    /// The input that takes the picture's own size, i64 [1, 2].
    pub sizes: Option<String>,
    /// The outputs, with the shapes that they really had.
    pub outputs: Vec<TensorInfo>,
    /// What the outputs held for a grey picture, in their order; empty if
    /// nobody looked.
    pub values: Vec<Vec<f32>>,
    /// What its exporter noted about it, in lower case.
    pub about: String,
    /// How many classes were named; `None` if nobody named any.
    pub named: Option<usize>,
}

/// Larger sides are refused: the input alone would be hundreds of megabytes.
const SIDES: std::ops::RangeInclusive<i64> = 32..=4096;

impl ImageInput {
    /// Understands `tensor`; says why not.
    pub fn of(tensor: &TensorInfo) -> Result<ImageInput, String> {
        let (name, open) = (&tensor.name, |size: i64| size == -1);
        let sample = match tensor.element {
            Some(Element::Byte) => Sample::Byte,
            Some(Element::Half) => Sample::Half,
            Some(Element::Float) => Sample::Float,
            _ => return Err(format!("its input {name} is neither u8 nor f32 nor f16")),
        };
        let (layout, height, width) = match *tensor.shape.as_slice() {
            [1 | -1, h, w, 3] if h != 3 => (InputLayout::Hwc, h, w),
            [1 | -1, 3, h, w] => (InputLayout::Chw, h, w),
            // Nothing is fixed: each kind as its exporters write it.
            [1 | -1, h, w, -1] if sample == Sample::Byte && open(h) && open(w) => (InputLayout::Hwc, h, w),
            [1 | -1, -1, h, w] => (InputLayout::Chw, h, w),
            _ => return Err(format!("its input {name} is neither [1, H, W, 3] nor [1, 3, H, W]")),
        };
        for side in [height, width] {
            if !open(side) && !SIDES.contains(&side) {
                return Err(format!("its input is {width}x{height}, not {} to {} a side", SIDES.start(), SIDES.end()));
            }
        }
        let fixed = |side: i64| usize::try_from(side).ok();
        Ok(ImageInput { name: name.clone(), sample, layout, width: fixed(width), height: fixed(height) })
    }
}

impl Signature {
    /// The output called `name`; a suffix such as `:0` does not count.
    pub fn output(&self, name: &str) -> Option<(usize, &TensorInfo)> {
        let plain = |tensor: &TensorInfo| tensor.name.split(':').next() == Some(name);
        self.outputs.iter().enumerate().find(|(_, tensor)| plain(tensor))
    }

    /// The only output, without its first size, which is 1: [1, A, B].
    pub fn only_table(&self) -> Option<(i64, i64)> {
        match (self.outputs.as_slice(), self.outputs.first()?.shape.as_slice()) {
            ([table], &[1, a, b]) if table.is_float() && a > 0 && b > 0 => Some((a, b)),
            _ => None,
        }
    }

    /// Whether boxes are fractions of the input, as only RT-DETR gives them in
    /// a single table: by what its exporter noted, or by what is seen in
    /// tables of `row` numbers a box.
    pub fn has_fractions(&self, row: usize) -> bool {
        if self.about.contains("rtdetr") || self.about.contains("rt-detr") {
            return true;
        }
        let values = self.values.first().map_or(&[][..], Vec::as_slice);
        let boxes = || values.chunks_exact(row.max(1)).flat_map(|row| row.iter().take(4));
        // A table of zeros is one without detections.
        boxes().all(|value| (-0.5..=1.5).contains(value)) && boxes().any(|&value| value != 0.0)
    }

    /// The numbers of classes to try: what was named, or those for which
    /// there are usual names.
    pub fn class_counts(&self) -> Vec<i64> {
        self.named.map_or(vec![80, 3], |count| vec![count as i64])
    }

    /// "output0 is [1, 84, 8400]", for reasons.
    pub fn describe_outputs(&self) -> String {
        let one = |tensor: &TensorInfo| format!("{} is {:?}", tensor.name, tensor.shape);
        self.outputs.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl TensorInfo {
    /// Whether its elements are floating point.
    pub fn is_float(&self) -> bool {
        matches!(self.element, Some(Element::Float | Element::Half))
    }
}
