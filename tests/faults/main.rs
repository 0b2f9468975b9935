//! What goes wrong outside: programs that are killed, brokers and links that
//! fail, cameras that send nonsense, clocks that jump. The real program or the
//! real journal and uplink against real parts; docs/reference/faults.md says what
//! an operator sees of each.
//!
//! What is random prints its seed; `TAWNY_SEED=N` repeats it. The long runs are
//! ignored here and have scripts of their own: `scripts/kills`, `scripts/soak`.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod broker;
mod camera;
mod chance;
mod clock;
mod hostile;
mod kills;
mod network;
mod proxy;
mod soak;
mod stop;
mod thief;
mod unfit;
mod watcher;
