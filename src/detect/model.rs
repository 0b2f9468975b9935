//! Loading an ONNX model and finding out what it is.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::classes::Classes;
use super::family::{Element, FAMILIES, Head, ImageInput, Recognised, Signature, TensorInfo, recognise};
use super::graph::{Graph, GraphInput};
use super::letterbox::{Fit, Letterbox};
use super::model_file::{ModelFile, ModelFileError};
use super::names::{self, NamesSource};
use super::preprocess::{InputSpec, Sample, Tensor};
use super::room::{Room, is_shortage};
use super::runtime::{Runtime, RuntimeError};
use crate::config::DetectorConfig;
use crate::domain::{BBox, to_hex};

/// The model in the binary: NanoDet-g, COCO's 80 classes, INT8; usually 416 × 416,
/// less where the picture leaves bars.
static BUILT_IN: &[u8] = include_bytes!("../../models/nanodet_g_u8_int8.onnx");

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no ONNX Runtime to run it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// It takes too much memory.
    #[error(
        "{model} needs more than {mib} MiB of memory, more than a detector of its size should, or than is free here; it is not loaded"
    )]
    TooMuchMemory {
        /// Which model.
        model: String,
        /// What it was allowed.
        mib: u64,
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
        "{model} is no detector that this version can read ({reason})\n{tensors}\n{FAMILIES}.\nWhat the file does not say can be set in [detector]: family, labels or classes, input_size"
    )]
    Unknown {
        /// Which model.
        model: String,
        /// What does not fit.
        reason: String,
        /// Its inputs and outputs, one a line.
        tensors: String,
    },
    /// The labels file cannot be used.
    #[error("cannot use the labels file {}: {reason}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Nothing that it finds is anything that Tawny looks for.
    #[error(
        "{model} finds no person, vehicle or animal: its classes are {names}; \
         [detector] labels or classes can name them otherwise"
    )]
    NothingToFind {
        /// Which model.
        model: String,
        /// The first of its class names.
        names: String,
    },
}

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    pub(super) graph: Graph,
    /// Names of the inputs for the picture and for its size.
    pub(super) image: String,
    pub(super) sizes: Option<String>,
    /// Names of the outputs that `head` reads.
    pub(super) outputs: Vec<String>,
    pub(super) head: Box<dyn Head>,
    pub(super) input: InputSpec,
    pub(super) classes: Classes,
    pub(super) names_source: NamesSource,
    pub(super) hash: String,
}

impl Model {
    /// Loads the configured model, or the built-in one, for `threads`
    /// inference threads. A model from outside is tried out on a grey
    /// picture: sizes that its file leaves open are known after that.
    pub fn load(runtime: &Runtime, config: &DetectorConfig, threads: usize) -> Result<Model, ModelError> {
        let Some(path) = &config.model else {
            let title = "the built-in model".to_owned();
            return Model::from_bytes(runtime, config, threads, BUILT_IN, Vec::new(), title);
        };
        let title = path.display().to_string();
        let file = ModelFile::read(path)?;
        let (hash, room) = (file.hash(), Room::for_model(file.size()));
        let loaded = Model::from_bytes(runtime, config, threads, &file.bytes, file.weights, title.clone());
        loaded.map(|model| Model { hash, ..model }).map_err(|error| match error {
            ModelError::Refused { reason, .. } | ModelError::Unknown { reason, .. } if is_shortage(&reason) => {
                ModelError::TooMuchMemory { model: title, mib: room.mib() }
            }
            other => other,
        })
    }

    fn from_bytes(
        runtime: &Runtime,
        config: &DetectorConfig,
        threads: usize,
        bytes: &[u8],
        weights: Vec<(String, Arc<[u8]>)>,
        title: String,
    ) -> Result<Model, ModelError> {
        let mut graph = Graph::open(runtime, bytes, weights, threads)
            .map_err(|error| ModelError::Refused { model: title.clone(), reason: error.to_string() })?;
        let given = given_names(config, &graph)?;
        let (inputs, outputs) = graph.tensors();
        let unknown =
            |reason| ModelError::Unknown { model: title.clone(), reason, tensors: list_tensors(&inputs, &outputs) };
        let try_out = config.model.is_some();
        let signature =
            understand(&inputs, &outputs, config, &mut graph, given.as_ref().map(|(n, _)| n.len()), try_out)
                .map_err(unknown)?;
        let known = recognise(&signature, config.family).map_err(unknown)?;
        let (names, names_source) = names::resolve(given, known.classes, known.numbering).map_err(unknown)?;
        let Recognised { head, outputs: read, input, .. } = known;
        let classes = Classes::new(names);
        if !classes.has_groups() {
            return Err(ModelError::NothingToFind { model: title, names: classes.list(8) });
        }
        let outputs = read.into_iter().filter_map(|at| signature.outputs.get(at).map(|tensor| tensor.name.clone()));
        Ok(Model {
            outputs: outputs.collect(),
            graph,
            image: signature.image.name,
            sizes: signature.sizes,
            head,
            input,
            classes,
            names_source,
            hash: short_hash(bytes),
        })
    }
}

/// Class names that somebody gave, the most explicit first.
fn given_names(config: &DetectorConfig, graph: &Graph) -> Result<Option<(Vec<String>, NamesSource)>, ModelError> {
    if !config.classes.is_empty() {
        return Ok(Some((config.classes.clone(), NamesSource::Configuration)));
    }
    if let Some(path) = &config.labels {
        let names = names::read_labels(path).map_err(|reason| ModelError::Labels { path: path.clone(), reason })?;
        return Ok(Some((names, NamesSource::LabelsFile)));
    }
    let text = graph.metadata("names").or_else(|| graph.metadata("classes"));
    Ok(text.and_then(|text| names::parse(&text)).map(|names| (names, NamesSource::Metadata)))
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
    to_hex(&Sha256::digest(bytes)).chars().take(12).collect()
}

fn list_tensors(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> String {
    let line = |role: &str, tensor: &TensorInfo| format!("  {role} {}: {}", tensor.name, tensor.kind);
    let inputs = inputs.iter().map(|tensor| line("input ", tensor));
    let outputs = outputs.iter().map(|tensor| line("output", tensor));
    inputs.chain(outputs).collect::<Vec<_>>().join("\n")
}

/// The side of the input where neither the model nor the configuration says.
const USUAL_SIDE: usize = 640;

/// Puts together what recognition looks at; runs the graph once if
/// `try_out`.
fn understand(
    inputs: &[TensorInfo],
    outputs: &[TensorInfo],
    config: &DetectorConfig,
    graph: &mut Graph,
    named: Option<usize>,
    try_out: bool,
) -> Result<Signature, String> {
    let (image, sizes) = sort_inputs(inputs)?;
    let size = input_size(&image, config, graph.metadata("imgsz").as_deref())?;
    let noted = ["head", "description"].map(|key| graph.metadata(key).unwrap_or_default().to_lowercase());
    let mut signature =
        Signature { image, size, sizes, outputs: outputs.to_vec(), values: Vec::new(), about: noted.join(" "), named };
    if try_out {
        let (tensor, fit) = grey_tensor(&signature);
        let input = GraphInput {
            image: &signature.image.name,
            sizes: signature.sizes.as_deref(),
            tensor: &tensor,
            layout: signature.image.layout,
            fit: &fit,
        };
        let failed = |reason| format!("it does not run on a picture of {}x{}: {reason}", size.0, size.1);
        signature.values = graph.try_out(input, &mut signature.outputs).map_err(failed)?;
    }
    Ok(signature)
}

/// The input for the picture, and that for its size if there is one.
fn sort_inputs(inputs: &[TensorInfo]) -> Result<(ImageInput, Option<String>), String> {
    let (images, others): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| input.shape.len() == 4);
    let &[image] = images.as_slice() else {
        return Err(format!("it has {} inputs for pictures, not one", images.len()));
    };
    let image = ImageInput::of(image)?;
    let takes_size = |input: &TensorInfo| {
        input.element == Some(Element::Long) && matches!(*input.shape.as_slice(), [1 | -1, 2 | -1])
    };
    match others.as_slice() {
        [] => Ok((image, None)),
        [sizes] if takes_size(sizes) => Ok((image, Some(sizes.name.clone()))),
        [sizes] => Err(format!("its input {} is neither a picture nor the size of one, i64 [1, 2]", sizes.name)),
        _ => Err(format!("it has {} inputs", inputs.len())),
    }
}

/// Width and height of the input: the model's own, the configured, the one
/// that its exporter noted (`[height, width]`), or the usual.
fn input_size(image: &ImageInput, config: &DetectorConfig, noted: Option<&str>) -> Result<(usize, usize), String> {
    let configured = config.input_size.map(|size| (usize::from(size.width), usize::from(size.height)));
    let noted = noted.and_then(|text| serde_json::from_str::<[usize; 2]>(text).ok());
    let noted = noted.filter(|sides| sides.iter().all(|side| (32..=4096).contains(side)));
    let open = configured.or(noted.map(|[height, width]| (width, height))).unwrap_or((USUAL_SIDE, USUAL_SIDE));
    let size = (image.width.unwrap_or(open.0), image.height.unwrap_or(open.1));
    match configured {
        Some(wanted) if wanted != size => Err(format!(
            "its input is fixed at {}x{}; [detector] input_size is for models that leave it open",
            size.0, size.1
        )),
        _ => Ok(size),
    }
}

/// A grey picture in the model's input.
fn grey_tensor(model: &Signature) -> (Tensor, Letterbox) {
    let size = model.size.0 * model.size.1 * 3;
    let tensor = match model.image.sample {
        Sample::Byte => Tensor::Bytes(vec![114; size]),
        Sample::Half => Tensor::Halves(vec![half::f16::from_f32(0.45); size]),
        Sample::Float => Tensor::Floats(vec![0.45; size]),
    };
    let whole = BBox::new(0.0, 0.0, 1.0, 1.0);
    (tensor, Letterbox::fitted(Fit::Stretched, whole, model.size, model.size))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::onnx::testing as onnx;
    use super::*;
    use std::path::Path;

    #[test]
    fn the_built_in_model_names_its_classes_itself() {
        let runtime = Runtime::load(None).unwrap();
        let model = Model::load(runtime, &DetectorConfig::default(), 1).unwrap();
        assert_eq!((model.names_source, model.classes.len()), (NamesSource::Metadata, 80));
        assert_eq!(model.hash.len(), 12);
    }

    fn refused(bytes: &[u8], path: &Path) -> String {
        std::fs::write(path, bytes).unwrap();
        let config = DetectorConfig { model: Some(path.to_path_buf()), ..DetectorConfig::default() };
        match Model::load(Runtime::load(None).unwrap(), &config, 1) {
            Ok(model) => panic!("{model:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// A table [1, 7, 4] that a network would give, made of a constant.
    fn constant(value: f32) -> Vec<u8> {
        let shape: Vec<u8> = [1i64, 7, 4].iter().flat_map(|n| n.to_le_bytes()).collect();
        let fill = [
            onnx::field(1, b"value"),
            onnx::field(5, &onnx::tensor("", 1, &[1], &value.to_le_bytes())),
            onnx::number(20, 4),
        ];
        let nodes = [
            onnx::node("ConstantOfShape", &["shape"], &["table"], &[fill.concat()]),
            onnx::node(
                "ReduceMean",
                &["images"],
                &["mean"],
                &[[onnx::field(1, b"keepdims"), onnx::number(3, 0), onnx::number(20, 2)].concat()],
            ),
            onnx::node("Mul", &["mean", "zero"], &["none"], &[]),
            onnx::node("Add", &["table", "none"], &["output0"], &[]),
        ];
        let tensors = [onnx::tensor("shape", 7, &[3], &shape), onnx::tensor("zero", 1, &[], &[0; 4])];
        onnx::model(&[onnx::value("output0", &[1, 7, 4])], &nodes, &tensors)
    }

    #[test]
    fn a_small_file_that_unfolds_to_gigabytes_is_refused_and_costs_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.onnx");
        let side = 30_000i64.to_le_bytes();
        // Unfolded while it is loaded, and while it runs.
        for (size, name) in [("shape", "constant"), ("grown", "run")] {
            let shape = [side, side].concat();
            let grow = [
                onnx::node("Shape", &["images"], &["sizes"], &[]),
                onnx::node("ReduceMax", &["sizes"], &["longest"], &[]),
                onnx::node("Mul", &["longest", "shape"], &["grown"], &[]),
            ];
            let bomb = [
                onnx::node("ConstantOfShape", &[size], &["huge"], &[]),
                onnx::node("ReduceSum", &["huge"], &["sum"], &[]),
                onnx::node("Mul", &["images", "sum"], &["output0"], &[]),
            ];
            let nodes: Vec<Vec<u8>> =
                if name == "run" { grow.into_iter().chain(bomb).collect() } else { bomb.to_vec() };
            let model = onnx::model(
                &[onnx::value("output0", &[1, 3, 32, 32])],
                &nodes,
                &[onnx::tensor("shape", 7, &[2], &shape)],
            );
            let words = refused(&model, &path);
            assert!(words.contains("bomb.onnx needs more than 1024 MiB of memory"), "{name}: {words}");
        }
        // What was lowered for it is as before.
        assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Data).current, None);
    }

    #[test]
    fn a_model_that_gives_no_numbers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nan.onnx");
        for value in [f32::NAN, f32::INFINITY] {
            let words = refused(&constant(value), &path);
            assert!(
                words.contains("gives no numbers (NaN or infinity) for 28 of the 28 values of output output0"),
                "{words}"
            );
        }
        std::fs::write(&path, constant(0.25)).unwrap();
        let config = DetectorConfig { model: Some(path), ..DetectorConfig::default() };
        Model::load(Runtime::load(None).unwrap(), &config, 1).unwrap();
    }

    #[test]
    fn weights_beside_the_model_are_used_from_any_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let nodes = [
            onnx::node(
                "ReduceMean",
                &["images"],
                &["mean"],
                &[[onnx::field(1, b"keepdims"), onnx::number(3, 0), onnx::number(20, 2)].concat()],
            ),
            onnx::node("Mul", &["mean", "zero"], &["none"], &[]),
            onnx::node("Add", &["w", "none"], &["output0"], &[]),
        ];
        let tensors = [onnx::external("w", &[1, 7, 4], "m.onnx.data"), onnx::tensor("zero", 1, &[], &[0; 4])];
        let model = onnx::model(&[onnx::value("output0", &[1, 7, 4])], &nodes, &tensors);
        let words = refused(&model, &path);
        assert!(words.contains("m.onnx.data, which cannot be read"), "{words}");
        let config = DetectorConfig { model: Some(path.clone()), ..DetectorConfig::default() };
        let hash = |value: f32| {
            let data: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), 28).flatten().collect();
            std::fs::write(folder.path().join("m.onnx.data"), data).unwrap();
            Model::load(Runtime::load(None).unwrap(), &config, 1).map(|model| model.hash)
        };
        assert_ne!(hash(0.25).unwrap(), hash(0.5).unwrap());
        assert!(hash(f32::NAN).unwrap_err().to_string().contains("no numbers"), "they are the weights that run");
    }

    #[test]
    fn files_that_are_no_detector_are_refused_by_name() {
        let runtime = Runtime::load(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.onnx");
        let refuse = |path: &Path| {
            let config = DetectorConfig { model: Some(path.to_path_buf()), ..DetectorConfig::default() };
            Model::load(runtime, &config, 1).unwrap_err().to_string()
        };
        assert!(refuse(&path).starts_with("cannot read the model"));
        for bytes in [&b""[..], b"no model", &BUILT_IN[..BUILT_IN.len() / 2]] {
            std::fs::write(&path, bytes).unwrap();
            let message = refuse(&path);
            assert!(message.contains("text.onnx"), "{message}");
        }
    }
}
