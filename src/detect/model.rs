//! Loading an ONNX model and finding out what it is.

use std::path::{Path, PathBuf};

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, ValueType};
use sha2::{Digest, Sha256};

use super::classes::Classes;
use super::decode::{Anchors, Family, STRIDES};
use super::preprocess::{InputLayout, InputSpec};
use super::runtime::{Runtime, RuntimeError};

/// The model in the binary: NanoDet-g, COCO's 80 classes, 416 × 416, INT8.
static BUILT_IN: &[u8] = include_bytes!("../../models/nanodet_g_416x416_u8_int8.onnx");

/// Larger files are refused: no detector for a small computer is that large.
const MAX_MODEL_BYTES: u64 = 512 << 20;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no ONNX Runtime to run it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The file cannot be read.
    #[error("cannot read the model {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// ONNX Runtime refuses it.
    #[error("ONNX Runtime cannot load {model}: {reason}")]
    Refused {
        /// Which model.
        model: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// It is a model, but not one of the detectors that Tawny can read.
    #[error(
        "{model} is no detector that this version can read ({reason})\n{tensors}\nIt reads NanoDet: images u8 [1, H, W, 3] with boxes [1, N, 4] and scores [1, N, classes], or f32 [1, 3, H, W] with scores and dist [1, N, 4 x bins]"
    )]
    Unknown {
        /// Which model.
        model: String,
        /// What does not fit.
        reason: String,
        /// Its inputs and outputs, one a line.
        tensors: String,
    },
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its type in words, for other types than those below.
    pub kind: String,
    /// u8 or f32, if it is a tensor of one of these.
    pub element: Option<Element>,
    /// Its sizes; −1 for one that is not fixed.
    pub shape: Vec<i64>,
}

/// The element types that detectors take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 8-bit unsigned.
    Byte,
    /// 32-bit float.
    Float,
}

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    pub(super) session: Session,
    pub(super) family: Family,
    pub(super) input_name: String,
    pub(super) input: InputSpec,
    pub(super) classes: Classes,
    pub(super) hash: String,
}

impl Model {
    /// Loads `path`, or the built-in model, for `threads` inference threads.
    pub fn load(runtime: &Runtime, path: Option<&Path>, threads: usize) -> Result<Model, ModelError> {
        let read;
        let (bytes, title) = match path {
            None => (BUILT_IN, "the built-in model".to_owned()),
            Some(path) => {
                read = read_file(path)?;
                (read.as_slice(), path.display().to_string())
            }
        };
        let session = make_session(runtime, bytes, threads)
            .map_err(|error| ModelError::Refused { model: title.clone(), reason: error.to_string() })?;
        let names = class_names(&session);
        let describe = |outlets: &[Outlet]| outlets.iter().map(TensorInfo::of).collect::<Vec<_>>();
        let (inputs, outputs) = (describe(session.inputs()), describe(session.outputs()));
        let known = recognise(&inputs, &outputs).and_then(|known| {
            let names = names.unwrap_or_else(|| COCO_80.map(str::to_owned).to_vec());
            if names.len() == known.classes {
                Ok((known, names))
            } else {
                Err(format!("it scores {} classes and names {}", known.classes, names.len()))
            }
        });
        let (known, names) = known.map_err(|reason| ModelError::Unknown {
            model: title,
            reason,
            tensors: list_tensors(&inputs, &outputs),
        })?;
        Ok(Model {
            session,
            family: known.family,
            input_name: known.input_name,
            input: known.input,
            classes: Classes::new(names),
            hash: short_hash(bytes),
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let unreadable = |source| ModelError::Unreadable { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_MODEL_BYTES {
        return Err(unreadable(std::io::Error::other(format!("{size} bytes are too many for a detector"))));
    }
    std::fs::read(path).map_err(unreadable)
}

/// A session that costs nothing between its runs: the pools' threads sleep
/// instead of spinning.
fn make_session(runtime: &Runtime, bytes: &[u8], threads: usize) -> ort::Result<Session> {
    let mut builder = Session::builder(runtime.environment())?
        .with_log_level(ort::logging::LogLevel::Warning)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_intra_threads(threads.max(1))?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    builder.commit_from_memory(bytes)
}

/// The hash of the model in the binary, as [`Detector::model_hash`]
/// gives it; needs no ONNX Runtime.
///
/// [`Detector::model_hash`]: super::Detector::model_hash
pub fn built_in_model_hash() -> String {
    short_hash(BUILT_IN)
}

/// The first twelve hexadecimal digits of the SHA-256.
fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl TensorInfo {
    fn of(outlet: &Outlet) -> TensorInfo {
        let kind = outlet.dtype();
        let (element, shape) = match kind {
            ValueType::Tensor { ty, shape, .. } => {
                let element = match ty {
                    TensorElementType::Uint8 => Some(Element::Byte),
                    TensorElementType::Float32 => Some(Element::Float),
                    _ => None,
                };
                (element, shape.to_vec())
            }
            _ => (None, Vec::new()),
        };
        TensorInfo { name: outlet.name().to_owned(), kind: kind.to_string(), element, shape }
    }
}

fn list_tensors(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> String {
    let line = |role: &str, tensor: &TensorInfo| format!("  {role} {}: {}", tensor.name, tensor.kind);
    let inputs = inputs.iter().map(|tensor| line("input ", tensor));
    let outputs = outputs.iter().map(|tensor| line("output", tensor));
    inputs.chain(outputs).collect::<Vec<_>>().join("\n")
}

/// What is known of a model once its inputs and outputs are understood.
#[derive(Debug, PartialEq)]
struct Recognised {
    family: Family,
    input_name: String,
    input: InputSpec,
    classes: usize,
}

/// ImageNet's statistics on the scale 0..=255, red first: what NanoDet's
/// training normalises with.
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];

/// Larger sides are refused: the input alone would be hundreds of megabytes.
const MAX_SIDE: i64 = 4096;

/// Recognises the model by the names, types and shapes of its inputs and
/// outputs; says what does not fit.
fn recognise(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<Recognised, String> {
    let [image] = inputs else { return Err(format!("it has {} inputs, not one", inputs.len())) };
    let input = input_spec(image)?;
    let (width, height) = (input.width, input.height);
    let output = |name: &str| outputs.iter().find(|tensor| tensor.name == name);
    let scores = output("scores").ok_or("it has no output called scores")?;
    let anchors = Anchors::count(width, height) as i64;
    let &[1, rows, classes] = scores.shape.as_slice() else { return Err("scores is not [1, N, classes]".into()) };
    if scores.element != Some(Element::Float) || rows != anchors || !(1..=10_000).contains(&classes) {
        return Err(format!("scores is not f32 [1, {anchors}, classes] for a {width}x{height} input"));
    }
    let is_float = |tensor: &TensorInfo| tensor.element == Some(Element::Float);
    let family = match (output("boxes"), output("dist")) {
        (Some(boxes), _) if is_float(boxes) && boxes.shape == [1, rows, 4] => Family::NanoDetDecoded,
        (None, Some(dist)) if is_float(dist) => match *dist.shape.as_slice() {
            [1, n, sides] if n == rows && sides >= 8 && sides % 4 == 0 => {
                Family::NanoDetRaw(Anchors::new(width, height, sides as usize / 4))
            }
            _ => return Err(format!("dist is not [1, {rows}, 4 x bins]")),
        },
        _ => return Err(format!("it has neither boxes f32 [1, {rows}, 4] nor dist f32 [1, {rows}, 4 x bins]")),
    };
    Ok(Recognised { family, input_name: image.name.clone(), input, classes: classes as usize })
}

fn input_spec(image: &TensorInfo) -> Result<InputSpec, String> {
    let (height, width, layout) = match (image.element, image.shape.as_slice()) {
        (Some(Element::Byte), &[1, h, w, 3]) => (h, w, InputLayout::BytesHwc),
        (Some(Element::Float), &[1, 3, h, w]) => (h, w, InputLayout::FloatsChw { mean: MEAN, deviation: DEVIATION }),
        _ => return Err(format!("its input {} is neither u8 [1, H, W, 3] nor f32 [1, 3, H, W]", image.name)),
    };
    let coarsest = STRIDES[STRIDES.len() - 1] as i64;
    let fits = |side: i64| (coarsest..=MAX_SIDE).contains(&side) && side % coarsest == 0;
    if !fits(height) || !fits(width) {
        return Err(format!("its input is {width}x{height}, not a fixed multiple of {coarsest} up to {MAX_SIDE}"));
    }
    Ok(InputSpec { width: width as usize, height: height as usize, layout })
}

/// The model's own class names, if its metadata has some that can be read.
fn class_names(session: &Session) -> Option<Vec<String>> {
    let metadata = session.metadata().ok()?;
    let text = metadata.custom("names").or_else(|| metadata.custom("classes"))?;
    parse_names(&text)
}

/// A JSON list, a JSON object or Python dictionary by index
/// (`{0: 'person', …}`, as Ultralytics writes it), or names divided by lines
/// or commas.
fn parse_names(text: &str) -> Option<Vec<String>> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return (!list.is_empty()).then_some(list);
    }
    let inner = text.trim().trim_start_matches(['{', '[']).trim_end_matches(['}', ']']);
    let divider = if inner.contains('\n') { '\n' } else { ',' };
    let mut names = Vec::new();
    for (index, item) in inner.split(divider).map(str::trim).filter(|item| !item.is_empty()).enumerate() {
        let name = match item.split_once(':') {
            Some((key, name)) if key.trim_matches([' ', '"', '\'']).parse() == Ok(index) => name,
            Some(_) => return None,
            None => item,
        };
        names.push(name.trim_matches([' ', '"', '\'', ',']).to_owned());
    }
    (!names.is_empty()).then_some(names)
}

/// COCO's 80 classes, for models that name none.
#[rustfmt::skip]
const COCO_80: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::slice::from_ref;

    fn tensor(name: &str, element: Element, shape: &[i64]) -> TensorInfo {
        TensorInfo { name: name.into(), kind: String::new(), element: Some(element), shape: shape.to_vec() }
    }

    fn decoded() -> (TensorInfo, [TensorInfo; 2]) {
        let image = tensor("images", Element::Byte, &[1, 256, 416, 3]);
        let n = 2184;
        (image, [tensor("boxes", Element::Float, &[1, n, 4]), tensor("scores", Element::Float, &[1, n, 80])])
    }

    #[test]
    fn nanodet_is_recognised_with_decoded_and_with_raw_heads() {
        let (image, outputs) = decoded();
        let known = recognise(&[image], &outputs).unwrap();
        assert_eq!((known.input.width, known.input.height, known.classes), (416, 256, 80));
        assert_eq!((known.family, known.input.layout), (Family::NanoDetDecoded, InputLayout::BytesHwc));

        let image = tensor("x", Element::Float, &[1, 3, 416, 416]);
        let outputs = [tensor("scores", Element::Float, &[1, 3549, 2]), tensor("dist", Element::Float, &[1, 3549, 44])];
        let known = recognise(&[image], &outputs).unwrap();
        assert_eq!((known.family, known.classes), (Family::NanoDetRaw(Anchors::new(416, 416, 11)), 2));
    }

    #[test]
    fn other_models_are_refused_with_a_reason() {
        let (image, outputs) = decoded();
        let reason = |inputs: &[TensorInfo], outputs: &[TensorInfo]| recognise(inputs, outputs).unwrap_err();
        assert!(reason(&[], &outputs).contains("0 inputs"));
        assert!(reason(&[image.clone(), image.clone()], &outputs).contains("2 inputs"));
        assert!(reason(from_ref(&image), &outputs[..1]).contains("no output called scores"));
        assert!(reason(from_ref(&image), &outputs[1..]).contains("neither boxes"));
        let dynamic = tensor("images", Element::Byte, &[1, -1, -1, 3]);
        assert!(reason(&[dynamic], &outputs).contains("not a fixed multiple of 32"));
        let huge = tensor("images", Element::Byte, &[1, 1 << 40, 1 << 40, 3]);
        assert!(reason(&[huge], &outputs).contains("not a fixed multiple of 32"));
        let yolo = tensor("images", Element::Float, &[1, 3, 640, 640]);
        assert!(reason(&[yolo], &[tensor("output0", Element::Float, &[1, 84, 8400])]).contains("scores"));
        let wrong = [outputs[0].clone(), tensor("scores", Element::Float, &[1, 7, 80])];
        assert!(reason(&[image], &wrong).contains("2184"));
    }

    #[test]
    fn class_names_are_read_in_the_forms_that_exporters_write() {
        let expected = Some(vec!["person".to_owned(), "traffic light".to_owned()]);
        for text in [
            r#"["person","traffic light"]"#,
            "{0: 'person', 1: 'traffic light'}",
            r#"{"0": "person", "1": "traffic light"}"#,
            "person, traffic light",
            "person\ntraffic light\n",
        ] {
            assert_eq!(parse_names(text), expected, "{text}");
        }
        for text in ["", "[]", "{}", "{1: 'person', 0: 'car'}"] {
            assert_eq!(parse_names(text), None, "{text}");
        }
    }

    #[test]
    fn the_built_in_model_names_its_classes_itself() {
        let runtime = Runtime::load(None).unwrap();
        let model = Model::load(runtime, None, 1).unwrap();
        assert_eq!(class_names(&model.session), Some(COCO_80.map(str::to_owned).to_vec()));
        assert_eq!(model.hash.len(), 12);
    }

    #[test]
    fn files_that_are_no_detector_are_refused_by_name() {
        let runtime = Runtime::load(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.onnx");
        let refuse = |path: &Path| Model::load(runtime, Some(path), 1).unwrap_err().to_string();
        assert!(refuse(&path).starts_with("cannot read the model"));
        for bytes in [&b""[..], b"no model", &BUILT_IN[..BUILT_IN.len() / 2]] {
            std::fs::write(&path, bytes).unwrap();
            let message = refuse(&path);
            assert!(message.contains("text.onnx"), "{message}");
        }
    }
}
