//! What light a camera sees by.

use serde::Serialize;

/// What light a camera sees by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Colours: daylight, or lamps.
    #[default]
    Day,
    /// No colours: the infrared filter is out of the way.
    Infrared,
    /// Hardly any light at all.
    Dark,
}

impl Light {
    /// All of them; each stands at the index `light as usize`.
    pub const ALL: [Light; 3] = [Light::Day, Light::Infrared, Light::Dark];
}
