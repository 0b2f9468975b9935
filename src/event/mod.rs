//! What Tawny reports: the wire format, version 1.
//!
//! A [`Draft`] is an event that has happened; it becomes an [`Event`] when the
//! journal gives it a number. Readers ignore keys they do not know, absent
//! keys are empty, and a key never changes its meaning within a version.

mod body;
mod cbor;
mod class;
mod schema;
mod wire;

pub use body::{Body, BoxFrac, Conf, Frac, Keepsake, Phase, Seconds};
pub use cbor::{CborError, from_cbor, to_cbor};
pub use class::Class;
pub use schema::schema;
pub use wire::{Draft, Event, LogId, Stamp, TimeSource, WIRE_VERSION};
