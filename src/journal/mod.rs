//! The journal: every event, committed to SQLite before anything else happens
//! to it.
//!
//! # Promises
//! * An event exists once its transaction is committed with
//!   `synchronous=FULL`; [`JournalHandle::append_and_wait`] returns after that.
//! * `seq` is gap-free and never reused: the last number lives in a row of its
//!   own, changed in the transaction that stores the events.
//! * One thread of one process writes (a lock file beside the database sees to
//!   it); the queue to it is bounded and blocks, it never drops.
//! * A failed write is retried for ever, with what is to be written kept in
//!   memory; nothing behind it is taken until it has succeeded.
//! * A damaged file is moved aside, never deleted or overwritten, and the
//!   journal that takes its place opens with a `storage` event.
//!
//! # Group commit
//! The writer takes one command, then all that are already waiting, and commits
//! them together: at once when idle, and what arrived during a commit shares
//! the next one. No timer is involved.
//!
//! # On disk
//! `journal.db` (SQLite, WAL; with `-wal` and `-shm` while open) and
//! `journal.db.lock`, all mode 0600. Table `event` holds one row for each event
//! with the JSON text exactly as it goes over the wire, table `state` what the
//! unit has to remember: `log`, `last_seq`, how the last run ended, and one
//! `open/…` row for each sighting or group that has started and not ended.
//! `schema.rs` holds the exact statements.

mod error;
mod files;
mod open_things;
mod opening;
mod probe;
mod reader;
mod schema;
mod startup;
mod status;
mod store;
mod writer;

pub use error::JournalError;
pub use opening::JournalOptions;
pub use probe::{JournalProbe, probe};
pub use reader::{EventFilter, EventRow, JournalReader, Undelivered};
pub use status::{JournalFigures, JournalStatus};
pub use store::{Delivery, Mark};
pub use writer::{Journal, JournalHandle, JournalThread};
