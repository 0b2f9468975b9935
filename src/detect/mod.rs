//! Finding objects in pictures with an ONNX model.
//!
//! ```text
//! planes ─► preprocess ─► ONNX Runtime ─► decode ─► evidence ─► suppress ─► rider
//!           letterboxed     session       boxes     of groups    overlaps
//! ```

mod classes;
mod decode;
mod detector;
mod evidence;
mod letterbox;
mod model;
mod preprocess;
mod rider;
mod runtime;
mod schedule;
mod suppress;

pub use classes::{Classes, Detection};
pub use detector::{DetectError, Detector};
pub use evidence::{Evidence, GroupColumns};
pub use letterbox::Letterbox;
pub use model::{ModelError, built_in_model_hash};
pub use preprocess::{InputLayout, InputSpec, PreprocessError, Preprocessor, Tensor};
pub use rider::absorb_riders;
pub use runtime::{Runtime, RuntimeError};
pub use schedule::{Need, Schedule};
pub use suppress::{MAX_OVERLAP, suppress_overlaps};
