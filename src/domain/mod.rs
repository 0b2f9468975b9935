//! The small plain values that the stages hand each other: geometry in
//! fractions of the upright picture, object groups, and time.

mod backoff;
mod geometry;
mod group;
mod time;

pub use backoff::{Backoff, jitter};
pub use geometry::{BBox, Point, Segment, polygon_contains};
pub use group::Group;
pub use time::{Mono, UtcMillis};
