//! What the disk can do to the journal: lose power at any write, return errors,
//! fill up, turn read-only, and give back other bytes than were written.
//!
//! `TAWNY_FAULT_SEED=N` repeats a run, `TAWNY_FAULT_CUTS=N` asks for more of them.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod damage;
mod disk;
mod errors;
mod power_cuts;
mod rows;
mod running;
mod vfs;
