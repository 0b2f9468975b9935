//! The small plain values that the stages hand each other: geometry in
//! fractions of the upright picture, object groups, and time.

mod backoff;
mod geometry;
mod group;
mod hex;
mod latency;
mod light;
mod time;

pub use backoff::{Backoff, jitter};
pub use geometry::{BBox, Point, Segment, polygon_contains};
pub use group::Group;
pub use hex::{from_hex, to_hex};
pub use latency::{Latencies, Percentiles};
pub use light::Light;
pub use time::{Mono, UtcMillis};
