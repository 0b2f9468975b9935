//! How much an event matters: what is sent first, and what is kept longest.

use serde::{Deserialize, Serialize};

use super::body::Body;

/// The order in which events are sent, and the reverse of the order in which
/// they are given up when there is no room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What somebody may have to act on: crossings, and what is lost.
    Alert,
    /// What else was seen: sightings and groups; what makes times right; pauses.
    Sighting,
    /// The unit's own condition.
    Telemetry,
}

impl Class {
    /// Every class, the most important first.
    pub const ALL: [Class; 3] = [Class::Alert, Class::Sighting, Class::Telemetry];

    /// The number by which the journal stores it: 0 is the most important.
    pub fn code(self) -> u8 {
        match self {
            Class::Alert => 0,
            Class::Sighting => 1,
            Class::Telemetry => 2,
        }
    }

    /// The class of that number; what is unknown matters least.
    pub fn from_code(code: i64) -> Class {
        match code {
            0 => Class::Alert,
            1 => Class::Sighting,
            _ => Class::Telemetry,
        }
    }
}

impl Body {
    /// How much it matters.
    pub fn class(&self) -> Class {
        match self {
            // About files, which no receiver waits for.
            Body::Lost { from: 0, .. } => Class::Telemetry,
            Body::Crossing { .. } | Body::Lost { .. } => Class::Alert,
            Body::Sighting { .. } | Body::Group { .. } | Body::Clock { .. } | Body::Pause { .. } => Class::Sighting,
            Body::Camera { .. } | Body::Watch { .. } | Body::Boot { .. } | Body::Storage { .. } | Body::Kept { .. } => {
                Class::Telemetry
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_in_the_order_of_importance() {
        for class in Class::ALL {
            assert_eq!(Class::from_code(i64::from(class.code())), class);
        }
        assert!(Class::Alert < Class::Sighting && Class::Sighting < Class::Telemetry);
        assert_eq!(Class::from_code(99), Class::Telemetry);
    }
}
