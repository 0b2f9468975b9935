//! The configuration: one TOML file, strict, every key with a default.
//!
//! `model` describes the keys; from it the JSON Schema is derived
//! ([`schema()`]), and by the schema a file is checked (`shape`) before its
//! values are read and the rules between them checked (`rules`). All that is
//! wrong is told at once, each with its line (`problem`).

mod broker;
mod day_window;
mod human;
mod link_command;
mod load;
mod model;
mod operator_key;
mod problem;
mod profile;
mod rtsp_url;
mod rules;
mod schema;
mod secrets;
mod shape;
mod source;

pub use broker::BrokerUrl;
pub use day_window::DayWindow;
pub use human::{ByteSize, HumanDuration};
pub use link_command::LinkCommand;
pub use load::{DEFAULT_PATH, Loaded, load, parse};
pub use model::{
    Anchor, CameraConfig, CaptureConfig, ClockConfig, Config, Connect, DetectorConfig, EventFormat, EvidenceConfig,
    GateChoice, HealthConfig, HomeAssistantConfig, InputSize, JournalConfig, ModelFamily, MotionConfig, People,
    PrivacyConfig, SceneConfig, TrackingConfig, Transport, TripwireConfig, UnitConfig, UplinkConfig, ZoneConfig,
    ZoneMode,
};
pub use operator_key::OperatorKey;
pub use problem::ConfigError;
pub use profile::{Effort, Profile};
pub use rtsp_url::{Login, RtspUrl, percent_decoded};
pub use schema::schema;
pub use source::{CommandSource, Source, SourceKind, SourceLabel};
