//! The detector: a picture in, objects out.

use std::collections::BTreeMap;

use super::classes::{Classes, Detection};
use super::evidence::GroupColumns;
use super::finds::Finds;
use super::graph::GraphInput;
use super::letterbox::Letterbox;
use super::model::{Model, ModelError};
use super::names::NamesSource;
use super::preprocess::{InputSpec, PreprocessError, Preprocessor};
use super::rider::absorb_riders;
use super::runtime::Runtime;
use super::suppress::{MAX_OVERLAP, suppress_overlaps};
use crate::capture::Picture;
use crate::config::DetectorConfig;
use crate::domain::BBox;

/// Why the detector could not be opened or could not look at a picture.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No library, or no usable model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The picture or the region cannot be shown to the model.
    #[error(transparent)]
    Picture(#[from] PreprocessError),
    /// ONNX Runtime failed while looking at a picture.
    #[error("inference failed: {0}")]
    Inference(String),
}

/// Overlap (IoU) above which two boxes of a group are one object where the
/// model gives each object once: what is left are second opinions about the
/// class (car, truck), not people side by side.
const MAX_OVERLAP_OF_ONE: f32 = 0.7;

/// A model, ready to look at pictures. One thread uses it at a time.
#[derive(Debug)]
pub struct Detector {
    model: Model,
    preprocessor: Preprocessor,
    columns: GroupColumns,
    /// Inferences by width and height of the input.
    inferences: BTreeMap<(usize, usize), u64>,
}

impl Detector {
    /// Finds ONNX Runtime and loads the configured model, or the built-in one.
    pub fn open(config: &DetectorConfig) -> Result<Detector, DetectError> {
        let runtime = Runtime::load(config.runtime.as_deref()).map_err(ModelError::from)?;
        let model = Model::load(runtime, config, thread_count(config.threads()))?;
        let columns = GroupColumns::new(&model.classes);
        Ok(Detector { preprocessor: Preprocessor::new(model.input), columns, model, inferences: BTreeMap::new() })
    }

    /// The model's classes, which [`Detection::class`] is an index into.
    pub fn classes(&self) -> &Classes {
        &self.model.classes
    }

    /// The first twelve hexadecimal digits of the model file's SHA-256.
    pub fn model_hash(&self) -> &str {
        &self.model.hash
    }

    /// The model's family, for people.
    pub fn model_family(&self) -> &'static str {
        self.model.head.name()
    }

    /// Where the names of its classes came from.
    pub fn names_source(&self) -> NamesSource {
        self.model.names_source
    }

    /// The size and layout of the model's input.
    pub fn input(&self) -> InputSpec {
        self.model.input
    }

    /// Inferences so far by the width and height of the input that they took: what
    /// one costs goes with its area.
    pub fn inferences(&self) -> &BTreeMap<(usize, usize), u64> {
        &self.inferences
    }

    /// Looks at `region` of `picture` (fractions of the upright picture; the
    /// whole if absent) and replaces the content of `out` by what is there
    /// with at least `min_confidence` (0..=1), most confident first. A rider
    /// and the (motor)bike are one object.
    ///
    /// # Errors
    /// When the picture cannot be read or inference fails; `out` is then
    /// empty and the detector as good as before.
    pub fn detect(
        &mut self,
        picture: &Picture,
        region: Option<BBox>,
        min_confidence: f32,
        out: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        self.detect_parts(picture, region, min_confidence, out)?;
        absorb_riders(out, &self.model.classes);
        Ok(())
    }

    /// Like [`Detector::detect`], with riders and bikes as the separate
    /// things that the model knows (and that labelled pictures count).
    ///
    /// # Errors
    /// The same.
    pub fn detect_parts(
        &mut self,
        picture: &Picture,
        region: Option<BBox>,
        min_confidence: f32,
        out: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        out.clear();
        let fit = self.preprocessor.fill(picture, region)?;
        self.infer(&fit, min_confidence, out)?;
        let doubles = if self.model.head.is_free_of_doubles() { MAX_OVERLAP_OF_ONE } else { MAX_OVERLAP };
        suppress_overlaps(out, doubles);
        Ok(())
    }

    /// Shows the model `picture` once and runs it `times` times without
    /// reading what it says: what inference costs by itself, for measuring.
    ///
    /// # Errors
    /// When the picture cannot be read or ONNX Runtime fails.
    pub fn infer_only(&mut self, picture: &Picture, times: u32) -> Result<(), DetectError> {
        let fit = &self.preprocessor.fill(picture, None)?;
        let Model { graph, image, sizes, outputs, input, .. } = &mut self.model;
        for _ in 0..times {
            let tensor = self.preprocessor.tensor();
            let input = GraphInput { image, sizes: sizes.as_deref(), tensor, layout: input.layout, fit };
            graph.run(input, outputs, |_| ()).map_err(DetectError::Inference)?;
        }
        Ok(())
    }

    fn infer(&mut self, fit: &Letterbox, min_confidence: f32, out: &mut Vec<Detection>) -> Result<(), DetectError> {
        let Model { graph, image, sizes, outputs, head, input, .. } = &mut self.model;
        let tensor = self.preprocessor.tensor();
        let input = GraphInput { image, sizes: sizes.as_deref(), tensor, layout: input.layout, fit };
        *self.inferences.entry(fit.input).or_default() += 1;
        let mut finds = Finds { columns: &self.columns, fit, min_confidence, out };
        graph.run(input, outputs, |values| head.read(values, &mut finds)).map_err(DetectError::Inference)
    }
}

/// 0 means one for each core but one, at least one.
fn thread_count(configured: u16) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).max(1),
        n => usize::from(n),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::onnx::testing as onnx;
    use super::*;
    use crate::capture::{Colour, Matrix, Plane, Rotation};
    use crate::domain::Group;

    fn grey(luma: &[u8], width: usize, height: usize) -> Picture<'_> {
        Picture {
            y: Plane::new(luma, width, height, width).unwrap(),
            chroma: None,
            colour: Colour { matrix: Matrix::Bt601, full_range: true },
            rotation: Rotation::None,
            exposure: 1.0,
        }
    }

    #[test]
    fn the_built_in_model_finds_nothing_in_a_grey_picture() {
        fn is_send<T: Send>(_: &T) {}
        let mut detector = Detector::open(&DetectorConfig::default()).unwrap();
        is_send(&detector);
        assert_eq!(detector.classes().name(7), "truck");
        let mut found = Vec::new();
        detector.detect(&grey(&[114; 64 * 48], 64, 48), None, 0.3, &mut found).unwrap();
        assert_eq!(found, []);
    }

    #[test]
    fn a_look_that_gives_no_numbers_is_an_error_and_not_an_empty_picture() {
        // The root of what is left of 0.9: of a bright picture none.
        let keep = [onnx::field(1, b"keepdims"), onnx::number(3, 0), onnx::number(20, 2)].concat();
        let nodes = [
            onnx::node("ReduceMean", &["images"], &["mean"], &[keep]),
            onnx::node("Sub", &["most", "mean"], &["rest"], &[]),
            onnx::node("Sqrt", &["rest"], &["root"], &[]),
            onnx::node("Mul", &["table", "root"], &["output0"], &[]),
        ];
        let tensors =
            [onnx::tensor("table", 1, &[1, 7, 4], &[0; 112]), onnx::tensor("most", 1, &[], &0.9f32.to_le_bytes())];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.onnx");
        std::fs::write(&path, onnx::model(&[onnx::value("output0", &[1, 7, 4])], &nodes, &tensors)).unwrap();
        let config = DetectorConfig { model: Some(path), ..DetectorConfig::default() };
        let mut detector = Detector::open(&config).unwrap();
        let mut found = Vec::new();
        detector.detect(&grey(&[114; 64 * 64], 64, 64), None, 0.3, &mut found).unwrap();
        let error = detector.detect(&grey(&[255; 64 * 64], 64, 64), None, 0.3, &mut found).unwrap_err().to_string();
        assert!(error.contains("it gives no numbers (NaN or infinity) for 28 of the 28"), "{error}");
        detector.detect(&grey(&[114; 64 * 64], 64, 64), None, 0.3, &mut found).unwrap();
    }

    #[test]
    fn a_model_with_raw_heads_and_float_input_gives_boxes_of_the_picture() {
        // Its one person stands at (12, 12) ± 8 of 32 pixels in a bright picture.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bright_person_raw.onnx");
        let config = DetectorConfig { model: Some(path.into()), ..DetectorConfig::default() };
        let mut detector = Detector::open(&config).unwrap();
        let mut found = Vec::new();
        detector.detect(&grey(&[0; 64 * 64], 64, 64), None, 0.3, &mut found).unwrap();
        assert_eq!(found, []);
        detector.detect(&grey(&[255; 64 * 64], 64, 64), None, 0.3, &mut found).unwrap();
        let [person] = found[..] else { panic!("{found:?}") };
        assert_eq!((person.group, person.class), (Group::Person, 0));
        assert!(person.bbox.iou(&BBox::new(0.125, 0.125, 0.5, 0.5)) > 0.99, "{person:?}");

        // In the right lower quarter of the picture it stands there.
        let quarter = BBox::new(0.5, 0.5, 0.5, 0.5);
        detector.detect(&grey(&[255; 64 * 64], 64, 64), Some(quarter), 0.3, &mut found).unwrap();
        assert!(found[0].bbox.iou(&BBox::new(0.5625, 0.5625, 0.25, 0.25)) > 0.99, "{found:?}");
    }
}
