//! What the objects' ways mean: sightings, crossings of tripwires, groups.
//! Pure: tracks and the time go in, happenings come out, each once.

mod convoy;
mod rules;
mod sway;
mod tripwire;
mod zones;

pub use rules::{Happening, Ids, SceneRules, SightingEnd, What};
pub use tripwire::{Direction, Pass, Tripwire, WireState};
pub use zones::Zones;
