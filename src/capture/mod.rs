//! Getting pictures: from files, network cameras, local devices and programs.
//!
//! [`VideoInput`] gives packets, [`Decoder`] turns them into [`Frame`]s, and a
//! time line gives each frame its time. [`GatedDecoder`] puts a gate in front of
//! the decoder, which keeps packets of a still scene from it, and a
//! [`PacketRing`] from which it can begin in the past. For live cameras [`Reader`] runs the
//! input on a thread of its own and brings a lost camera back.

mod appetite;
mod decoder;
mod diagnosis;
mod error;
mod frame;
pub(crate) mod fuzz;
#[allow(clippy::indexing_slicing, reason = "the size model's tables have fixed lengths; it sees numbers only")]
mod gate;
mod gated;
mod input;
mod interrupt;
mod last_words;
mod opening;
mod picture;
mod program;
mod reader;
mod repack;
mod rgb;
mod ring;
mod room;
mod rtsp;
mod still;
mod throttle;
mod timeline;
mod told_size;
mod units;
mod watch;

pub use decoder::Decoder;
pub use error::CaptureError;
pub use frame::Frame;
pub use gate::{Activity, Gate, GateCounts, GateMode, GateSettings, GateStatus, PacketFacts, PictureKind, Verdict};
pub use gated::{Decoded, GatedDecoder, Pictured};
pub use input::{OpenSettings, StreamInfo, VideoInput};
pub use interrupt::Interrupt;
pub use picture::{Colour, Matrix, Picture, Plane, Rotation};
pub use reader::{Message, Reader, ReaderSettings};
pub use rgb::upright_rgb;
pub use ring::{Held, PacketRing, RingBounds};
pub use still::{Still, StillError};
pub use timeline::{LiveTimeline, Placed, Recorded, Stamps, TimeBase, TimedBy};
pub use watch::{Span, Watched, ffmpeg_version, watch};
