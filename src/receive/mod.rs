//! The other end: what units publish, received once and without gaps.
//!
//! [`Ledger`] knows what came and what is missing, [`Archive`] keeps the events in
//! a file, [`Message`] reads what comes. The connection is
//! [`uplink::listen`](crate::uplink::listen).

mod archive;
mod ledger;
mod message;

pub use archive::Archive;
pub use ledger::{Advice, Beyond, Gap, Ledger};
pub use message::{EventKey, Message, Progress, note_event};
