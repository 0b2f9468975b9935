//! Getting pictures: from files, network cameras, local devices and programs.

mod picture;

pub use picture::{Colour, Matrix, Picture, Plane, Rotation};
