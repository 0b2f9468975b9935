//! What was seen, kept: stills and clips.
//!
//! ```text
//! looks ─► album ─► cover, mosaic ─► jpeg ─► writer ─► files ─► outbox ─► uplink
//!          best      what has to       small   one       0600     still/<id>
//!          view      be hidden         & full  thread
//! ```
//!
//! [`Album`] chooses while an object is followed. What leaves the unit is hidden
//! first (`cover.rs` says what, `mosaic.rs` how), then encoded. Everything that
//! is written goes through one thread (`writer.rs`), the only place that makes
//! files. Clips are packets as the camera sent them: `clip_plan.rs` says which,
//! `clip_pace.rs` when each is shown, and `clip_file.rs` makes files of them that play
//! however they end.

mod ages;
mod album;
mod checksum;
mod clip_file;
mod clip_pace;
mod clip_plan;
mod cover;
mod crop;
mod exif;
mod handle;
mod jpeg;
mod missed;
mod mosaic;
mod outbox;
mod policy;
mod portrait;
mod retention;
mod sharpness;
mod sheet;
mod shelf;
mod status;
mod unfinished;
mod writer;

pub use album::{Album, Bounds, Look, Shot, followed_people, known_vehicles};
pub use checksum::{checksum, checksum_of};
pub use clip_file::{ClipError, ClipFile, ClipStream, TimedPacket};
pub use clip_plan::{ClipPlan, ClipStep, ClipTimes};
pub use cover::{FAINTEST_PERSON, person as person_cover};
pub use crop::Crop;
pub use exif::segment as exif_segment;
pub use handle::{ClipHead, ClipTail, EvidenceHandle, EvidenceSetup, EvidenceThread, Still};
pub use jpeg::{JpegError, Paint, small as small_jpeg, small_painted as painted_jpeg};
pub use missed::{Missed, MissedWhy};
pub use outbox::{Outgoing, StillKey, StillQueue};
pub use policy::{Rules, Upheld, Withheld, uphold};
pub use portrait::{Unseen, portrait};
pub use retention::Limits;
pub use shelf::{Item, Kind, Shelf};
pub use status::{EvidenceFigures, EvidenceStatus};
