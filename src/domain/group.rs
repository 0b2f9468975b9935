//! The three groups that fine classes (car, truck, dog, …) belong to.

use serde::{Deserialize, Serialize};

/// What kind of thing an object is. A track's group never changes; its fine
/// class may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Cars, vans, trucks, buses, motorcycles and bicycles, with who rides them.
    Vehicle,
    /// People on foot.
    Person,
    /// Animals.
    Animal,
}

impl Group {
    /// Every group, in the order in which they are reported.
    pub const ALL: [Group; 3] = [Group::Vehicle, Group::Person, Group::Animal];

    /// The name used on the wire and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Vehicle => "vehicle",
            Group::Person => "person",
            Group::Animal => "animal",
        }
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
