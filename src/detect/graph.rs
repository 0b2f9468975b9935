//! The model's graph in ONNX Runtime: a tensor in, numbers out.

use std::sync::Arc;

use half::f16;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};

use super::family::{Element, MAX_OUTPUTS, TensorInfo};
use super::letterbox::Letterbox;
use super::preprocess::{InputLayout, Tensor};
use super::runtime::Runtime;

/// A loaded graph.
#[derive(Debug)]
pub struct Graph {
    session: Session,
    /// Buffers for outputs that are no f32.
    converted: [Vec<f32>; MAX_OUTPUTS],
}

/// What goes in.
#[derive(Debug, Clone, Copy)]
pub struct GraphInput<'a> {
    /// The input that takes the picture.
    pub image: &'a str,
    /// The input that takes the size of what is shown, if there is one.
    pub sizes: Option<&'a str>,
    /// The picture.
    pub tensor: &'a Tensor,
    /// How it is stored.
    pub layout: InputLayout,
    /// Where the picture stands in it.
    pub fit: &'a Letterbox,
}

impl Graph {
    /// A session that costs nothing between its runs: the pools' threads
    /// sleep instead of spinning.
    ///
    /// `weights` are the files that the model names, by its names for them.
    pub fn open(
        runtime: &Runtime,
        bytes: &[u8],
        weights: Vec<(String, Arc<[u8]>)>,
        threads: usize,
    ) -> ort::Result<Graph> {
        let mut builder = Session::builder(runtime.environment())?
            .with_log_level(ort::logging::LogLevel::Warning)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_parallel_execution(false)?
            .with_intra_threads(threads.max(1))?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // Without VNNI, x86 adds pairs of products of 8 bits in 16 and loses what does not
            // fit: other results than everywhere else, and false crossings among them. So it
            // is told to take the way without a loss; other processors have no other.
            .with_config_entry("session.x64quantprecision", "1")?;
        for (name, content) in weights {
            builder = builder.with_external_initializer_file_in_memory(name, content)?;
        }
        Ok(Graph { session: builder.commit_from_memory(bytes)?, converted: Default::default() })
    }

    /// What it takes and what it gives, as the file says.
    pub fn tensors(&self) -> (Vec<TensorInfo>, Vec<TensorInfo>) {
        let describe = |outlets: &[Outlet]| outlets.iter().map(TensorInfo::of).collect();
        (describe(self.session.inputs()), describe(self.session.outputs()))
    }

    /// An entry of the model's metadata.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }

    /// Runs it and gives `read` the outputs called `names`, in that order.
    ///
    /// # Errors
    /// ONNX Runtime's words, or what is wrong with an output.
    pub fn run(&mut self, input: GraphInput, names: &[String], read: impl FnOnce(&[&[f32]])) -> Result<(), String> {
        let outputs = start(&mut self.session, &input)?;
        let mut views: [&[f32]; MAX_OUTPUTS] = [&[]; MAX_OUTPUTS];
        let mut used = 0;
        for ((name, view), buffer) in names.iter().zip(&mut views).zip(&mut self.converted) {
            let value = outputs.get(name.as_str()).ok_or_else(|| format!("there is no output {name}"))?;
            *view = floats(value, buffer).map_err(|reason| format!("output {name}: {reason}"))?;
            are_numbers(name, view)?;
            used += 1;
        }
        read(views.get(..used).unwrap_or(&views));
        Ok(())
    }

    /// Runs it once and returns every output's real shape and content.
    ///
    /// # Errors
    /// As [`Graph::run`].
    pub fn try_out(&mut self, input: GraphInput, outputs: &mut [TensorInfo]) -> Result<Vec<Vec<f32>>, String> {
        let given = start(&mut self.session, &input)?;
        let mut all = Vec::new();
        for output in outputs {
            let mut buffer = Vec::new();
            // What is of another type may be of no interest; recognition says.
            if let (Some(value), Some(_)) = (given.get(output.name.as_str()), output.element) {
                output.shape = value.shape().to_vec();
                let mut converted = Vec::new();
                let content = floats(value, &mut converted)?;
                are_numbers(&output.name, content)?;
                // What is too much for this process is no reason to end it.
                let room = buffer.try_reserve_exact(content.len());
                room.map_err(|_| format!("failed to allocate memory for its output '{}'", output.name))?;
                buffer.extend_from_slice(content);
            }
            all.push(buffer);
        }
        Ok(all)
    }
}

/// Runs the session on `input`.
fn start<'s>(session: &'s mut Session, input: &GraphInput) -> Result<SessionOutputs<'s>, String> {
    let image = image_value(input).map_err(words)?;
    let result = match input.sizes {
        None => session.run(ort::inputs![input.image => image]),
        Some(name) => {
            let sizes = [input.fit.shown.0 as i64, input.fit.shown.1 as i64];
            let sizes = TensorRef::from_array_view(([1, 2], sizes.as_slice())).map_err(words)?;
            session.run(ort::inputs![input.image => image, name => sizes])
        }
    };
    result.map_err(words)
}

fn image_value<'t>(input: &GraphInput<'t>) -> ort::Result<SessionInputValue<'t>> {
    let (width, height) = input.fit.input;
    let shape = match input.layout {
        InputLayout::Hwc => [1, height, width, 3],
        InputLayout::Chw => [1, 3, height, width],
    };
    Ok(match input.tensor {
        Tensor::Bytes(bytes) => TensorRef::from_array_view((shape, bytes.as_slice()))?.into(),
        Tensor::Halves(halves) => TensorRef::from_array_view((shape, halves.as_slice()))?.into(),
        Tensor::Floats(floats) => TensorRef::from_array_view((shape, floats.as_slice()))?.into(),
    })
}

/// No more than so many in a hundred values may be none: a single column of a wide
/// table, such as the scores, is more.
const STRAY_PERCENT: usize = 1;

/// A model that is broken, or too large for its type of numbers, gives NaN or
/// infinity where a box or a score should be: nothing is found, and nobody is told.
fn are_numbers(output: &str, values: &[f32]) -> Result<(), String> {
    // Zero times any number is zero: one pass that the processor takes at a stride.
    let sum = values.chunks(4096).map(|some| some.iter().map(|value| value * 0.0).sum::<f32>()).sum::<f32>();
    if sum == 0.0 {
        return Ok(());
    }
    let stray = values.iter().filter(|value| !value.is_finite()).count();
    if stray * 100 <= values.len() * STRAY_PERCENT {
        return Ok(());
    }
    Err(format!("it gives no numbers (NaN or infinity) for {stray} of the {} values of output {output}", values.len()))
}

fn words(error: ort::Error) -> String {
    error.to_string()
}

/// The elements as f32: themselves, or converted in `buffer`.
fn floats<'v>(value: &'v DynValue, buffer: &'v mut Vec<f32>) -> Result<&'v [f32], String> {
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Err("it is no tensor".to_owned()) };
    buffer.clear();
    match Element::of(*ty) {
        Some(Element::Float) => return Ok(value.try_extract_tensor::<f32>().map_err(words)?.1),
        Some(Element::Half) => {
            buffer.extend(value.try_extract_tensor::<f16>().map_err(words)?.1.iter().map(|half| half.to_f32()));
        }
        Some(Element::Int) => {
            buffer.extend(value.try_extract_tensor::<i32>().map_err(words)?.1.iter().map(|&int| int as f32));
        }
        Some(Element::Long) => {
            buffer.extend(value.try_extract_tensor::<i64>().map_err(words)?.1.iter().map(|&long| long as f32));
        }
        Some(Element::Byte) => {
            buffer.extend(value.try_extract_tensor::<u8>().map_err(words)?.1.iter().map(|&byte| f32::from(byte)));
        }
        None => return Err(format!("{ty} elements cannot be read")),
    }
    Ok(buffer)
}

impl Element {
    fn of(kind: TensorElementType) -> Option<Element> {
        Some(match kind {
            TensorElementType::Uint8 => Element::Byte,
            TensorElementType::Float16 => Element::Half,
            TensorElementType::Float32 => Element::Float,
            TensorElementType::Int32 => Element::Int,
            TensorElementType::Int64 => Element::Long,
            _ => return None,
        })
    }
}

impl TensorInfo {
    fn of(outlet: &Outlet) -> TensorInfo {
        let kind = outlet.dtype();
        let (element, shape) = match kind {
            ValueType::Tensor { ty, shape, .. } => (Element::of(*ty), shape.to_vec()),
            _ => (None, Vec::new()),
        };
        TensorInfo { name: outlet.name().to_owned(), kind: kind.to_string(), element, shape }
    }
}
