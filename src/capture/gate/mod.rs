//! The packet gate: tells from packets alone whether anything moves, so that a
//! still scene is not decoded. Pure: packets' sizes and times go in, decisions
//! come out; [`super::GatedDecoder`] carries them out.

mod by_light;
mod kind;
mod model;
mod pace;
mod policy;
#[cfg(test)]
mod simulation;

pub use kind::{KindReader, PictureKind};
pub use model::PacketFacts;
pub use policy::{Activity, Gate, GateCounts, GateMode, GateSettings, GateStatus, Unfit, Verdict};
