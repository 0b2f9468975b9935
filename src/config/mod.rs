//! The configuration: one TOML file, strict, every key with a default.

mod human;
mod model;

pub use human::{ByteSize, HumanDuration};
pub use model::{
    Anchor, CameraConfig, CommandSource, Config, DetectorConfig, HealthConfig, JournalConfig, MotionConfig,
    SceneConfig, Source, TrackingConfig, TripwireConfig, UnitConfig, UplinkConfig, ZoneConfig, ZoneMode,
};
