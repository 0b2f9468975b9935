//! Getting pictures: from files, network cameras, local devices and programs.
//!
//! [`VideoInput`] gives packets, [`Decoder`] turns them into [`Frame`]s, and a
//! time line gives each frame its time. [`GatedDecoder`] puts a gate in front of
//! the decoder, which keeps packets of a still scene from it, and a
//! [`PacketRing`] from which it can begin in the past. For live cameras [`Reader`] runs the
//! input on a thread of its own and brings a lost camera back.

mod decoder;
mod error;
mod frame;
pub(crate) mod fuzz;
#[allow(clippy::indexing_slicing, reason = "the size model's tables have fixed lengths; it sees numbers only")]
mod gate;
mod gated;
mod input;
mod interrupt;
mod picture;
mod program;
mod reader;
mod repack;
mod rgb;
mod ring;
mod rtsp;
mod still;
mod timeline;
mod watch;

pub use decoder::Decoder;
pub use error::CaptureError;
pub use frame::Frame;
pub use gate::{Activity, Gate, GateCounts, GateMode, GateSettings, GateStatus, PacketFacts, PictureKind, Verdict};
pub use gated::{Decoded, GatedDecoder};
pub use input::{OpenSettings, StreamInfo, VideoInput};
pub use interrupt::Interrupt;
pub use picture::{Colour, Matrix, Picture, Plane, Rotation};
pub use reader::{Message, Reader, ReaderSettings};
pub use rgb::upright_rgb;
pub use ring::{Held, PacketRing, RingBounds};
pub use still::{Still, StillError};
pub use timeline::{FileTimeline, LiveTimeline, TimeBase};
pub use watch::{Watched, ffmpeg_version, watch};
