//! The keys of the configuration file: their meaning, their defaults and the
//! values they may take.
//!
//! This file is the single description of the file format. The JSON Schema is
//! derived from it, and from the schema come the check of a user's file
//! ([`super::shape`]), the reference page and the test of `config/tawny.toml`.
//! So a new key needs no more than a field with a doc comment, a default, and
//! the limits of its value in attributes:
//!
//! - numbers: `#[schemars(range(min = 1, max = 64))]`
//! - durations and sizes: `#[schemars(extend("x-min" = "1s", "x-max" = "1d"))]`
//! - names: `#[schemars(extend("x-kind" = "name", "pattern" = NAME))]`
//!
//! Rules that concern several keys at once are in [`super::rules`]; relative
//! paths are resolved in [`Config::resolve_paths`].

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::human::{ByteSize, HumanDuration};
use super::source::Source;
use crate::domain::{Group, Point};

/// What a name may look like; see [`super::shape`].
pub(super) const NAME: &str = "^[A-Za-z0-9_.-]{1,32}$";
/// What the first parts of a topic may look like.
pub(super) const TOPIC: &str = "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who this unit is.
    pub unit: UnitConfig,
    /// The cameras; the first one's settings also serve `replay`.
    pub camera: Vec<CameraConfig>,
    /// When the picture counts as moving.
    pub motion: MotionConfig,
    /// The model that finds objects, and how often it looks.
    pub detector: DetectorConfig,
    /// When detections become an object that is believed and followed.
    pub tracking: TrackingConfig,
    /// What is made of the objects' ways.
    pub scene: SceneConfig,
    /// Where events are kept.
    pub journal: JournalConfig,
    /// Where events are sent.
    pub uplink: UplinkConfig,
    /// The unit's own condition.
    pub health: HealthConfig,
}

impl Config {
    /// Makes every relative path start at `folder`, the one that holds the
    /// configuration file. A new key that holds a path must be named here.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let uplink = &mut self.uplink;
        let optional = [
            &mut self.detector.model,
            &mut self.detector.runtime,
            &mut uplink.password_file,
            &mut uplink.ca_file,
            &mut uplink.client_cert_file,
            &mut uplink.client_key_file,
        ];
        for path in optional.into_iter().flatten().chain([&mut self.journal.path]) {
            // An absolute path replaces what it is joined to.
            *path = folder.join(&*path);
        }
        for source in self.camera.iter_mut().filter_map(|camera| camera.source.as_mut()) {
            source.resolve_path(folder);
        }
    }
}

/// `[unit]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitConfig {
    /// Name of this unit in topics and events: letters, digits, '-', '_' and
    /// '.', at most 32 characters.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub id: String,
    /// First part of every MQTT topic: names as above, several of them joined
    /// by '/' if need be, at most 64 characters.
    #[schemars(length(max = 64), extend("x-kind" = "topic", "pattern" = TOPIC))]
    pub prefix: String,
}

impl Default for UnitConfig {
    fn default() -> Self {
        UnitConfig { id: "unit".into(), prefix: "tawny".into() }
    }
}

/// `[[camera]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// Name in events: letters, digits, '-', '_' and '.', at most 32 characters.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// Where the pictures come from; needed by `run`, `check` and `aim`.
    pub source: Option<Source>,
    /// Video files only: play at the speed of the recording, not as fast as
    /// possible.
    #[schemars(extend("x-default" = true))]
    pub realtime: Option<bool>,
    /// Video files only: begin again at the end.
    #[serde(rename = "loop")]
    #[schemars(extend("x-default" = false))]
    pub looped: Option<bool>,
    /// Lines to watch.
    pub tripwire: Vec<TripwireConfig>,
    /// Areas to watch or to ignore.
    pub zone: Vec<ZoneConfig>,
}

impl Default for CameraConfig {
    fn default() -> Self {
        CameraConfig {
            name: "camera".into(),
            source: None,
            realtime: None,
            looped: None,
            tripwire: Vec::new(),
            zone: Vec::new(),
        }
    }
}

impl CameraConfig {
    /// Whether a video file plays at the speed of the recording.
    pub fn realtime(&self) -> bool {
        self.realtime.unwrap_or(true)
    }

    /// Whether a video file begins again at its end.
    pub fn looped(&self) -> bool {
        self.looped.unwrap_or(false)
    }
}

/// `[[camera.tripwire]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TripwireConfig {
    /// Name in events.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// One end, in fractions of the picture.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub from: Point,
    /// The other end.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub to: Point,
    /// Name of the direction from the left of the line to its right, as seen
    /// standing at `from` and looking to `to` on the screen.
    #[serde(default = "forward")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub forward: String,
    /// Name of the opposite direction.
    #[serde(default = "backward")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub backward: String,
    /// The point of the object's box that has to pass.
    #[serde(default)]
    pub anchor: Anchor,
    /// Which objects count; all by default.
    #[serde(default = "all_groups")]
    #[schemars(length(min = 1))]
    pub groups: Vec<Group>,
}

fn forward() -> String {
    "forward".into()
}

fn backward() -> String {
    "backward".into()
}

fn all_groups() -> Vec<Group> {
    Group::ALL.to_vec()
}

/// The point of a box that has to pass a tripwire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The middle of the bottom edge: where the object meets the ground.
    #[default]
    Bottom,
    /// The middle of the box.
    Center,
}

/// `[[camera.zone]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// Name of the zone.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// At least three corners, in fractions of the picture.
    #[schemars(length(min = 3), inner(inner(range(min = 0.0, max = 1.0))))]
    pub polygon: Vec<Point>,
    /// What the zone does.
    pub mode: ZoneMode,
}

/// What a zone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneMode {
    /// Objects that stand in it are ignored.
    Exclude,
    /// Only objects that stand in one of these are watched.
    Include,
}

/// `[motion]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MotionConfig {
    /// Smallest moving area that counts, as a fraction of the picture.
    #[schemars(range(min = 0.00001, max = 0.5))]
    pub min_area: f32,
}

impl Default for MotionConfig {
    fn default() -> Self {
        MotionConfig { min_area: 0.0005 }
    }
}

/// `[detector]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorConfig {
    /// An ONNX model; the built-in NanoDet if absent.
    pub model: Option<PathBuf>,
    /// ONNX Runtime's shared library; searched for if absent.
    pub runtime: Option<PathBuf>,
    /// Inference threads; 0 means one for each core but one, at least one.
    #[schemars(range(max = 64))]
    pub threads: u16,
    /// Looks per second while something moves or is being followed.
    #[schemars(range(min = 0.1, max = 60.0))]
    pub active_rate: f32,
    /// Time between looks while nothing moves.
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub idle_interval: HumanDuration,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        DetectorConfig {
            model: None,
            runtime: None,
            threads: 1,
            active_rate: 10.0,
            idle_interval: HumanDuration::secs(10),
        }
    }
}

/// `[tracking]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrackingConfig {
    /// Confidence that an object must reach in at least one look.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub sure_confidence: f32,
    /// Confidence from which a detection may begin a track.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub confidence: f32,
    /// Confidence from which a detection may continue one.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub low_confidence: f32,
    /// How long an object may be hidden before it is given up.
    #[schemars(extend("x-min" = "100ms", "x-max" = "5m"))]
    pub max_hidden: HumanDuration,
}

impl Default for TrackingConfig {
    fn default() -> Self {
        TrackingConfig {
            sure_confidence: 0.45,
            confidence: 0.35,
            low_confidence: 0.15,
            max_hidden: HumanDuration::secs(3),
        }
    }
}

/// `[scene]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// Crossings of one line in one direction that follow each other within
    /// this time are a group.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub group_gap: HumanDuration,
    /// An object that has not moved for this long is known and quiet: its
    /// sighting ends, and a new one begins when it moves again.
    #[schemars(extend("x-min" = "5s", "x-max" = "1d"))]
    pub stationary_after: HumanDuration,
}

impl Default for SceneConfig {
    fn default() -> Self {
        SceneConfig { group_gap: HumanDuration::secs(60), stationary_after: HumanDuration::secs(120) }
    }
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// The database file; made if absent, together with its folder.
    pub path: PathBuf,
}

impl Default for JournalConfig {
    fn default() -> Self {
        JournalConfig { path: "/var/lib/tawny/journal.db".into() }
    }
}

/// `[uplink]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UplinkConfig {
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`; absent: events stay in
    /// the journal.
    pub broker: Option<String>,
    /// Login name, if the broker wants one.
    pub username: Option<String>,
    /// File that holds the password, alone on its first line.
    pub password_file: Option<PathBuf>,
    /// PEM file with the authorities to trust; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the unit's own certificate chain.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    pub client_key_file: Option<PathBuf>,
    /// Interval of MQTT keep-alive packets.
    #[schemars(extend("x-min" = "5s", "x-max" = "12h"))]
    pub keep_alive: HumanDuration,
    /// Events sent but not yet acknowledged, at most.
    #[schemars(range(min = 1, max = 4096))]
    pub window: u16,
    /// Largest MQTT packet in either direction.
    #[schemars(extend("x-min" = "4KiB", "x-max" = "64MiB"))]
    pub max_packet: ByteSize,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        UplinkConfig {
            broker: None,
            username: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            keep_alive: HumanDuration::secs(60),
            window: 64,
            max_packet: ByteSize(256 << 10),
        }
    }
}

/// `[health]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Time between health messages.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub interval: HumanDuration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig { interval: HumanDuration::secs(60) }
    }
}
