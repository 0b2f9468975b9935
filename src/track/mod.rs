//! Following objects from look to look: Kalman filter and two-stage
//! association (ByteTrack, Zhang et al. 2022). Pure: detections, what moves
//! and the time go in.
//!
//! A track begins as a suspicion and becomes an object when it has been seen
//! often enough, surely enough, and has really moved: scenery that a small
//! detector takes for a truck (a rock, a stump) scores high for weeks but never
//! moves, and a leaf moves but never gets anywhere.

mod associate;
mod kalman;
mod motion_model;
mod one;
mod past;
mod scenery;
mod tracker;

pub use motion_model::Cut;
pub use one::{BestView, Track};
pub use tracker::Tracker;
