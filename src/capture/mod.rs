//! Getting pictures: from files, network cameras, local devices and programs.
//!
//! [`VideoInput`] gives packets, [`Decoder`] turns them into [`Frame`]s, and a
//! time line gives each frame its time. For live cameras [`Reader`] runs the
//! input on a thread of its own and brings a lost camera back.

mod decoder;
mod error;
mod frame;
mod input;
mod interrupt;
mod picture;
mod program;
mod reader;
mod repack;
mod rgb;
mod still;
mod timeline;
mod watch;

pub use decoder::Decoder;
pub use error::CaptureError;
pub use frame::Frame;
pub use input::{StreamInfo, VideoInput};
pub use interrupt::Interrupt;
pub use picture::{Colour, Matrix, Picture, Plane, Rotation};
pub use reader::{Message, Reader, ReaderSettings};
pub use rgb::upright_rgb;
pub use still::{Still, StillError};
pub use timeline::{FileTimeline, LiveTimeline, TimeBase};
pub use watch::{Watched, ffmpeg_version, watch};
