//! The journal: every event, committed to SQLite before anything else happens
//! to it.
//!
//! # Promises
//! * An event exists once its transaction is committed with
//!   `synchronous=FULL`; [`JournalHandle::append_and_wait`] returns after that.
//! * `seq` is gap-free and never reused: the last number lives in a row of its
//!   own, changed in the transaction that stores the events. Where an old copy takes the
//!   journal's place, numbers go on above those that were given (`given.rs`), and a `lost`
//!   event names those that the copy lacks.
//! * One thread of one process writes (a lock file beside the database sees to
//!   it); the queue to it is bounded and blocks, it never drops.
//! * A failed write is retried for ever, with what is to be written kept in
//!   memory; nothing behind it is taken until it has succeeded.
//! * A damaged file is moved aside, never deleted or overwritten, and the
//!   journal that takes its place opens with a `storage` event and takes over
//!   what was undelivered and can still be read (`salvage.rs`).
//!
//! # Group commit
//! The writer takes one command, then all that are already waiting, and commits
//! them together: at once when idle, and what arrived during a commit shares
//! the next one. No timer is involved. Only acknowledgements wait for company
//! (`marks.rs`): they do not make a commit of their own until they are many.
//!
//! # Room
//! `retention.rs` says what is removed and when; an event that was not delivered
//! goes last and leaves a `lost` event in the same transaction. `space.rs` holds
//! back a reserve for the day on which the disk is full.
//!
//! # On disk
//! `journal.db` (SQLite, WAL; with `-wal` and `-shm` while open),
//! `journal.db.lock`, `journal.db.numbers` and `journal.db.reserve`, all mode 0600. Table `event` holds one row for each event
//! with the JSON text exactly as it goes over the wire and its class, table `state` what the
//! unit has to remember: `log`, `last_seq`, how the last run ended, one
//! `open/…` row for each sighting or group that has started and not ended, and `note/…`
//! rows for what others want remembered together with events (`notes.rs`).
//! `schema.rs` holds the exact statements.

mod clock_state;
mod error;
mod files;
mod given;
mod handle;
mod lost;
mod marks;
mod notes;
mod open_things;
mod opening;
mod probe;
mod reader;
mod removal;
mod retention;
mod salvage;
mod schema;
mod space;
mod startup;
mod status;
mod store;
mod writer;

pub use error::JournalError;
pub use handle::{JOURNAL_LAST_CHANCE, Journal, JournalHandle, JournalThread, Timing};
pub use marks::{Delivery, Mark};
pub use notes::Note;
pub use opening::JournalOptions;
pub use probe::{JournalProbe, in_use, probe};
pub use reader::{Corrected, EventFilter, EventRow, JournalReader, StoredEvent, Undelivered};
pub use retention::Limits;
pub use status::{JournalFigures, JournalStatus};
