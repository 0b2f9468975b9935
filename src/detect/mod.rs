//! Finding objects in pictures with an ONNX model.
//!
//! ```text
//! planes ─► preprocess ─► ONNX Runtime ─► family ─► evidence ─► suppress ─► fuse ─► rider
//!   ▲       letterboxed     session       boxes     of groups    overlaps   regions
//!   └── attention: which regions; schedule: when
//! ```

mod attention;
mod classes;
mod detector;
mod evidence;
mod family;
mod finds;
mod fuse;
pub(crate) mod fuzz;
mod graph;
mod letterbox;
mod look;
mod model;
mod model_file;
mod names;
mod onnx;
mod preprocess;
mod resample;
mod rider;
mod room;
mod runtime;
mod schedule;
mod shared;
mod suppress;

pub use attention::{Attention, Cause, Demand, Interest, View, WHOLE, plan, tiles};
pub use classes::{Classes, Detection};
pub use detector::{DetectError, Detector};
pub use evidence::{Evidence, GroupColumns};
pub use fuse::Fusion;
pub use letterbox::{Fit, Letterbox};
pub use look::Looker;
pub use model::{ModelError, built_in_model_hash};
pub use model_file::ModelFileError;
pub use names::NamesSource;
pub use preprocess::{Channels, InputLayout, InputSpec, PreprocessError, Preprocessor, Sample, Scaling, Tensor};
pub use resample::{Crop as PlaneCrop, Resampler};
pub use rider::absorb_riders;
pub use runtime::{Runtime, RuntimeError};
pub use schedule::{Need, Schedule};
pub use shared::InTurn;
pub use suppress::{MAX_OVERLAP, suppress_overlaps};
