//! The detector: a picture in, objects out.

use std::path::Path;

use ort::value::TensorRef;

use super::classes::{Classes, Detection};
use super::evidence::GroupColumns;
use super::letterbox::Letterbox;
use super::model::{Model, ModelError};
use super::preprocess::{InputSpec, PreprocessError, Preprocessor, Tensor};
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

/// A model, ready to look at pictures. One thread uses it at a time.
#[derive(Debug)]
pub struct Detector {
    model: Model,
    preprocessor: Preprocessor,
    columns: GroupColumns,
}

impl Detector {
    /// Finds ONNX Runtime and loads the configured model, or the built-in one.
    pub fn open(config: &DetectorConfig) -> Result<Detector, DetectError> {
        let runtime = Runtime::load(config.runtime.as_deref()).map_err(ModelError::from)?;
        Detector::with_model(runtime, config.model.as_deref(), thread_count(config.threads))
    }

    fn with_model(runtime: &Runtime, model: Option<&Path>, threads: usize) -> Result<Detector, DetectError> {
        let model = Model::load(runtime, model, threads)?;
        let columns = GroupColumns::new(&model.classes);
        Ok(Detector { preprocessor: Preprocessor::new(model.input), columns, model })
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
        self.model.family.name()
    }

    /// The size and layout of the model's input.
    pub fn input(&self) -> InputSpec {
        self.model.input
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
        suppress_overlaps(out, MAX_OVERLAP);
        Ok(())
    }

    fn infer(&mut self, fit: &Letterbox, min_confidence: f32, out: &mut Vec<Detection>) -> Result<(), DetectError> {
        let failed = |error: ort::Error| DetectError::Inference(error.to_string());
        let InputSpec { width, height, .. } = self.model.input;
        let input: ort::session::SessionInputValue = match self.preprocessor.tensor() {
            Tensor::Bytes(bytes) => {
                TensorRef::from_array_view(([1, height, width, 3], bytes.as_slice())).map_err(failed)?.into()
            }
            Tensor::Floats(floats) => {
                TensorRef::from_array_view(([1, 3, height, width], floats.as_slice())).map_err(failed)?.into()
            }
        };
        let outputs = self.model.session.run(ort::inputs![self.model.input_name.as_str() => input]).map_err(failed)?;
        let extract = |name: &str| -> Result<&[f32], DetectError> {
            let value = outputs.get(name).ok_or_else(|| DetectError::Inference(format!("no output {name}")))?;
            Ok(value.try_extract_tensor::<f32>().map_err(failed)?.1)
        };
        let (boxes, scores) = self.model.family.outputs();
        let (boxes, scores) = (extract(boxes)?, extract(scores)?);
        for (anchor, row) in scores.chunks_exact(self.columns.row_len()).enumerate() {
            for evidence in self.columns.combine(row, min_confidence) {
                let Some(corners) = self.model.family.corners(boxes, anchor) else { continue };
                let bbox = fit.to_picture(corners).clipped();
                if bbox.area() > 0.0 {
                    out.push(Detection {
                        bbox,
                        group: evidence.group,
                        confidence: evidence.confidence,
                        class: evidence.class,
                        class_score: evidence.class_score,
                    });
                }
            }
        }
        Ok(())
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
