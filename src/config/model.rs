//! The keys of the configuration file: their meaning, their defaults and the
//! values they may take.
//!
//! This file is the single description of the file format. The JSON Schema is
//! derived from it, and from the schema come the check of a user's file
//! (`shape.rs`), the reference page and the test of `config/tawny.toml`.
//! So a new key needs no more than a field with a doc comment, a default, and
//! the limits of its value in attributes:
//!
//! - numbers: `#[schemars(range(min = 1, max = 64))]`
//! - durations and sizes: `#[schemars(extend("x-min" = "1s", "x-max" = "1d"))]`
//! - names: `#[schemars(extend("x-kind" = "name", "pattern" = NAME))]`
//! - paths: `#[schemars(extend("x-kind" = "path"))]`
//! - a key without a default: `#[schemars(example = &"what it may look like")]`
//!
//! Rules that concern several keys at once are in `rules.rs`; relative
//! paths are resolved in [`Config::resolve_paths`].

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::human::{ByteSize, HumanDuration};
use super::source::Source;
use crate::domain::{Group, Point};

/// What a name may look like; checked in `shape`.
pub(super) const NAME: &str = "^[A-Za-z0-9_.-]{1,32}$";
/// What the first parts of a topic may look like.
pub(super) const TOPIC: &str = "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who this unit is.
    pub unit: UnitConfig,
    /// A camera, what it looks at and what is watched there. Repeat this section
    /// for each camera; the first one's settings also serve `replay`.
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
    /// Name of this unit in topics and events; give each unit its own.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub id: String,
    /// First part of every MQTT topic: `<prefix>/<id>/event/crossing` and so on.
    /// May have several levels, joined by '/'.
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
    /// Name of the camera in events; each camera needs its own.
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// Where the pictures come from; needed by `run`, `check` and `aim`. A
    /// network camera ("rtsp://user:password@192.168.1.20/stream1", or rtsps://),
    /// a local one ("/dev/video0"), a video file ("clip.mp4"; relative paths
    /// start at this file's folder), or a program that writes video to its
    /// standard output, given as a list of its arguments, never through a shell:
    /// { command = ["rpicam-vid", "-t", "0", "--inline", "-o", "-"], format = "h264" }
    #[schemars(example = "clip.mp4")]
    pub source: Option<Source>,
    /// Video files only: play at the speed of the recording, not as fast as
    /// possible.
    #[schemars(extend("x-default" = true))]
    pub realtime: Option<bool>,
    /// Video files only: begin again at the end.
    #[serde(rename = "loop")]
    #[schemars(extend("x-default" = false))]
    pub looped: Option<bool>,
    /// A line to watch: whoever passes it is reported with the direction. Repeat
    /// this section for each line.
    pub tripwire: Vec<TripwireConfig>,
    /// An area to watch or to ignore. Repeat this section for each area.
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
    /// Name of the tripwire in events; each line of a camera needs its own.
    #[schemars(example = &"line")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// One end, as fractions of the picture: [0, 0] is its top left corner,
    /// [1, 1] its bottom right one.
    #[schemars(example = [0.0, 0.6])]
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub from: Point,
    /// The other end. Only the part between the ends counts, not its extension.
    #[schemars(example = [1.0, 0.6])]
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub to: Point,
    /// Name of the direction from the left of the line to its right, as seen
    /// standing at `from` and looking to `to` on the screen. For a line from the
    /// left edge to the right one this is downwards.
    #[serde(default = "forward")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub forward: String,
    /// Name of the opposite direction.
    #[serde(default = "backward")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub backward: String,
    /// The point of the object's box that has to pass the line.
    #[serde(default)]
    pub anchor: Anchor,
    /// Which objects count.
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
    /// Name of the zone; each zone of a camera needs its own.
    #[schemars(example = &"sky")]
    #[schemars(extend("x-kind" = "name", "pattern" = NAME))]
    pub name: String,
    /// Its corners in order, as fractions of the picture; at least three.
    #[schemars(example = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.3], [0.0, 0.3]])]
    #[schemars(length(min = 3), inner(inner(range(min = 0.0, max = 1.0))))]
    pub polygon: Vec<Point>,
    /// What the zone does.
    #[schemars(example = &"exclude")]
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
    /// Smallest moving area that counts, as a fraction of the picture's area.
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
    /// An ONNX model to use instead of the built-in NanoDet.
    #[schemars(example = "detector.onnx")]
    #[schemars(extend("x-kind" = "path"))]
    pub model: Option<PathBuf>,
    /// ONNX Runtime's shared library; Tawny searches for it unless it is named
    /// here.
    #[schemars(example = "/usr/local/lib/libonnxruntime.so")]
    #[schemars(extend("x-kind" = "path"))]
    pub runtime: Option<PathBuf>,
    /// Threads that the detector computes with; 0 means one for each core but
    /// one, at least one.
    #[schemars(range(max = 64))]
    pub threads: u16,
    /// Looks per second at most while something moves or is being followed.
    #[schemars(range(min = 0.1, max = 60.0))]
    pub active_rate: f32,
    /// Time between looks while nothing moves, for what the motion model misses.
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
    /// Confidence from which a detection may begin a track; not above
    /// `sure_confidence`.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub confidence: f32,
    /// Confidence from which a detection may continue a track; not above
    /// `confidence`.
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
    /// The database file; made if absent, together with its folder. A relative
    /// path starts at this file's folder, as everywhere here.
    #[schemars(extend("x-kind" = "path"))]
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
    /// The MQTT 5 broker: "mqtts://host" (encrypted, port 8883) or "mqtt://host"
    /// (port 1883), with ":port" for another port. Without a broker nothing is
    /// sent; events stay in the journal.
    #[schemars(example = "mqtts://broker.example.org")]
    pub broker: Option<String>,
    /// Login name, if the broker wants one.
    #[schemars(example = &"unit")]
    pub username: Option<String>,
    /// File that holds the password, alone on its first line. With systemd's
    /// LoadCredential= it is /run/credentials/tawny.service/NAME.
    #[schemars(example = "mqtt-password")]
    #[schemars(extend("x-kind" = "path"))]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authorities to trust instead of the
    /// system's.
    #[schemars(example = "ca.pem")]
    #[schemars(extend("x-kind" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the unit's own certificate chain, if the broker asks for
    /// one; needs `client_key_file`.
    #[schemars(example = "unit.pem")]
    #[schemars(extend("x-kind" = "path"))]
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[schemars(example = "unit.key")]
    #[schemars(extend("x-kind" = "path"))]
    pub client_key_file: Option<PathBuf>,
    /// Longest silence on the connection before a keep-alive packet is sent.
    #[schemars(extend("x-min" = "5s", "x-max" = "12h"))]
    pub keep_alive: HumanDuration,
    /// Events that may be under way, sent but not yet acknowledged.
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
    /// Time between two health messages.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub interval: HumanDuration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig { interval: HumanDuration::secs(60) }
    }
}
