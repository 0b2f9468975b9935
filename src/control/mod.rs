//! What a unit does when it is told to: the commands, who may give them, and
//! what is remembered of them. docs/reference/commands.md describes the format.
//!
//! A command changes hands like this: [`parse`] reads a payload, which may be
//! anything; [`Signed::check`] tells whose it is; [`Counters`] whether it was there
//! before; [`Holds`] whether it still holds; an [`Order`] carries it to the thread that carries it out, which first
//! stores the counter and what follows from the command in one transaction of
//! the journal and the counter in a file beside it ([`CounterFile`]), and then acts.
//! [`Keyring`] is the other end: the operator's secret
//! key and the counter beside it. What either end signs or checks are the lines of
//! [`Wording`].
//!
//! What concerns bytes, keys, counters and pauses is pure: time and stored values
//! are passed in.

mod command;
mod counter_file;
mod counters;
mod file;
mod holds;
mod keyring;
mod orders;
mod pause;
mod reply;
mod signature;
mod wording;

pub use command::{
    Access, Command, LARGEST, PORTRAIT_WIDTHS, Picture, Portrait, Signed, Unreadable, What, is_id, parse,
};
pub use counter_file::CounterFile;
pub use counters::{Counters, Judgement, NOTES};
pub use file::{LARGEST_PIECE, OutgoingFile, Piece};
pub use holds::{Due, Holds, LONGEST_HOLD, read_boot};
pub use keyring::{Keyring, KeyringError, next_counter};
pub use orders::{Answering, Done, Order, Orders};
pub use pause::{LONGEST_PAUSE, Pause, PauseSwitch, SHORTEST_PAUSE};
pub use reply::{FileHead, Reason, Refusal, Reply};
pub use wording::{DOMAIN, DOMAIN_V1, Wording};
