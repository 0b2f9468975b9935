//! Finding objects in pictures with an ONNX model.

mod classes;

pub use classes::{Classes, Detection};
