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

use super::day_window::DayWindow;
use super::human::{ByteSize, HumanDuration};
use super::link_command::LinkCommand;
use super::operator_key::OperatorKey;
use super::profile::Profile;
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
    /// How packets become pictures.
    pub capture: CaptureConfig,
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
    /// What the time is learnt from.
    pub clock: ClockConfig,
    /// Which pictures are kept and sent.
    pub evidence: EvidenceConfig,
    /// What pictures must not show.
    pub privacy: PrivacyConfig,
    /// Where events are sent.
    pub uplink: UplinkConfig,
    /// The unit's own condition.
    pub health: HealthConfig,
}

impl Config {
    /// Where pictures are kept.
    pub fn evidence_folder(&self) -> PathBuf {
        self.evidence.path.clone().unwrap_or_else(|| self.journal.path.with_file_name("evidence"))
    }

    /// Makes every relative path start at `folder`, the one that holds the
    /// configuration file. A new key that holds a path must be named here.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let uplink = &mut self.uplink;
        let optional = [
            &mut self.detector.model,
            &mut self.detector.labels,
            &mut self.detector.runtime,
            &mut self.evidence.path,
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
    /// How much of the machine the unit may use: "eco" (for batteries: 5 looks
    /// per second), "balanced" or "fast" (for the shortest delay: 15 looks, as
    /// many threads as there are cores, three at most). It decides `nice`,
    /// `detector.threads` and `detector.active_rate` where they are not set.
    pub profile: Profile,
    /// Threads that decode each camera's video. Each one beyond the first delays
    /// its pictures by a frame.
    #[schemars(range(min = 1, max = 16), extend("x-default" = 1))]
    pub decode_threads: Option<u16>,
    /// How far the threads that decode and look step back behind other programs
    /// and behind those that take the cameras' packets, 0 to 19; 10 with the
    /// profile "eco", 0 with "fast".
    #[schemars(range(max = 19), extend("x-default" = 5))]
    pub nice: Option<u8>,
}

impl Default for UnitConfig {
    fn default() -> Self {
        UnitConfig {
            id: "unit".into(),
            prefix: "tawny".into(),
            profile: Profile::default(),
            decode_threads: None,
            nice: None,
        }
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
    /// network camera ("rtsp://user:password@192.168.1.20/stream1", or rtsps://;
    /// in user and password write %2F for '/', %3F for '?', %23 for '#', %40 for
    /// '@' and %25 for '%'; nothing of it but "rtsp" is ever shown or logged),
    /// a local one ("/dev/video0"), a video file ("clip.mp4"; relative paths
    /// start at this file's folder), or a program that writes video to its
    /// standard output, given as a list of its arguments, never through a shell:
    /// { command = ["rpicam-vid", "-t", "0", "--inline", "-o", "-"], format = "h264" }
    #[schemars(example = "clip.mp4")]
    pub source: Option<Source>,
    /// Network cameras only: whether one that asks for Basic gets the password, and
    /// with it anybody on the way and whoever answers in the camera's place. Cameras
    /// that ask for a Digest, nearly all, never get it and do not need this.
    pub allow_basic: bool,
    /// Video files only: play at the speed of the recording, not as fast as
    /// possible.
    #[schemars(extend("x-default" = true))]
    pub realtime: Option<bool>,
    /// Video files only: begin again at the end.
    #[serde(rename = "loop")]
    #[schemars(extend("x-default" = false))]
    pub looped: Option<bool>,
    /// Network cameras only: how the pictures come. "tcp" loses nothing on a weak
    /// link; "udp" is for cameras that offer nothing else; "auto" asks for TCP and
    /// takes UDP if the camera refuses. rtsps:// is always TCP.
    #[schemars(extend("x-default" = "auto"))]
    pub transport: Option<Transport>,
    /// Pictures per second of a video file or program that writes raw H.264, H.265
    /// or MJPEG: such streams hold no times, and a file of them is otherwise played
    /// at 25. A program's pictures get the time at which they come, whatever this is.
    #[schemars(range(min = 0.1, max = 240.0))]
    #[schemars(example = 10.0)]
    pub fps: Option<f32>,
    /// Whether a still scene's packets are left undecoded ("auto") or everything
    /// is decoded ("off").
    pub gate: GateChoice,
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
            allow_basic: false,
            realtime: None,
            looped: None,
            transport: None,
            fps: None,
            gate: GateChoice::Auto,
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

    /// Pictures per second of a source that holds no times.
    pub fn fps(&self) -> Option<f64> {
        self.fps.map(f64::from)
    }

    /// Whether a video file begins again at its end.
    pub fn looped(&self) -> bool {
        self.looped.unwrap_or(false)
    }
}

/// How a network camera's pictures come (RFC 2326, section 12.39).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// In the connection itself; by UDP if the camera refuses that.
    #[default]
    Auto,
    /// In the connection itself.
    Tcp,
    /// As packets of their own.
    Udp,
}

/// Whether packets may stay undecoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateChoice {
    /// Where their sizes tell a still scene.
    #[default]
    Auto,
    /// Never.
    Off,
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
    /// A crossing of this line brings the connection up where `uplink.connect` is
    /// "on_event".
    #[serde(default)]
    pub alert: bool,
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
    /// Never recorded: black in every still, and no clips of this camera. Objects in
    /// it count as elsewhere.
    Private,
}

/// `[capture]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureConfig {
    /// How much of each camera's stream is kept in memory, so that decoding can
    /// begin in the past. A camera whose keyframes are further apart is decoded
    /// in full.
    #[schemars(extend("x-min" = "1s", "x-max" = "25s"))]
    pub ring_time: HumanDuration,
    /// Most memory that this takes for each camera.
    #[schemars(extend("x-min" = "256KiB", "x-max" = "256MiB"))]
    pub ring_size: ByteSize,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        CaptureConfig { ring_time: HumanDuration::secs(10), ring_size: ByteSize(6 << 20) }
    }
}

/// `[motion]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MotionConfig {
    /// Smallest moving area that counts, as a fraction of the picture's area. The
    /// default is a person of 40 pixels in 1920x1080.
    #[schemars(range(min = 0.00001, max = 0.5))]
    pub min_area: f32,
}

impl Default for MotionConfig {
    fn default() -> Self {
        MotionConfig { min_area: 0.0002 }
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
    /// What kind of detector the model is, where Tawny does not recognise it by
    /// itself or takes it for another.
    #[schemars(example = &"yolov8")]
    pub family: Option<ModelFamily>,
    /// A file with the names of the model's classes, one a line; needed if the
    /// model does not name them itself and has neither 80 (COCO) nor 3
    /// (MegaDetector).
    #[schemars(example = "labels.txt")]
    #[schemars(extend("x-kind" = "path"))]
    pub labels: Option<PathBuf>,
    /// The same names, written here.
    #[schemars(example = ["animal", "person", "vehicle"])]
    pub classes: Vec<String>,
    /// Width and height of the model's input in pixels, for models that leave it
    /// open, as the built-in one does (multiples of 32); what the model's metadata
    /// says ([416, 416] for the built-in one), or [640, 640], if absent.
    #[schemars(example = [640, 384])]
    pub input_size: Option<InputSize>,
    /// ONNX Runtime's shared library; Tawny searches for it unless it is named
    /// here.
    #[schemars(example = "/usr/local/lib/libonnxruntime.so")]
    #[schemars(extend("x-kind" = "path"))]
    pub runtime: Option<PathBuf>,
    /// Threads that the detector computes with; 0 means one for each core but
    /// one, at least one. More with the profile "fast".
    #[schemars(range(max = 64), extend("x-default" = 1))]
    pub threads: Option<u16>,
    /// Runs of the detector per second at most while something moves or is being
    /// followed; 5 with the profile "eco", 15 with "fast".
    #[schemars(range(min = 0.1, max = 60.0), extend("x-default" = 10.0))]
    pub active_rate: Option<f32>,
    /// Time between looks while nothing moves, for what the motion model misses;
    /// six times as long while the packet gate is closed, which keyframes guard.
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub idle_interval: HumanDuration,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        DetectorConfig {
            model: None,
            family: None,
            labels: None,
            classes: Vec::new(),
            input_size: None,
            runtime: None,
            threads: None,
            active_rate: None,
            idle_interval: HumanDuration::secs(10),
        }
    }
}

/// What kind of detector a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModelFamily {
    /// NanoDet, decoded or raw.
    #[serde(rename = "nanodet")]
    NanoDet,
    /// YOLOX, decoded or raw.
    #[serde(rename = "yolox")]
    YoloX,
    /// YOLOv5, YOLOv6, YOLOv7 and MegaDetector v5: with objectness.
    #[serde(rename = "yolov5")]
    YoloV5,
    /// YOLOv8, YOLOv9 and YOLO11: without objectness.
    #[serde(rename = "yolov8")]
    YoloV8,
    /// YOLOv10, YOLO26 and others with suppression in their graph.
    #[serde(rename = "end_to_end")]
    EndToEnd,
    /// RT-DETR and D-FINE.
    #[serde(rename = "detr")]
    Detr,
    /// Detectors of TensorFlow's Object Detection API.
    #[serde(rename = "ssd")]
    Ssd,
}

/// Width and height of a model's input, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[u16; 2]", into = "[u16; 2]")]
#[schemars(with = "[u16; 2]")]
pub struct InputSize {
    /// Across.
    pub width: u16,
    /// Down.
    pub height: u16,
}

impl From<[u16; 2]> for InputSize {
    fn from([width, height]: [u16; 2]) -> InputSize {
        InputSize { width, height }
    }
}

impl From<InputSize> for [u16; 2] {
    fn from(size: InputSize) -> [u16; 2] {
        [size.width, size.height]
    }
}

/// `[tracking]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrackingConfig {
    /// Confidence that an object must reach in at least one look; a quarter less
    /// will do for one that has been seen moving several times.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub sure_confidence: f32,
    /// Confidence from which a detection may begin a track (about two thirds of it
    /// where something moves); not above `sure_confidence`.
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
    /// How long events are kept after they were delivered, in time that the unit has
    /// run: no clock has a word in it, and while the unit is off nothing grows old.
    #[schemars(extend("x-min" = "1h", "x-max" = "36500d"))]
    pub keep: HumanDuration,
    /// Room for events; the file may be a third larger. When it is used up,
    /// delivered events go first, the oldest first; then undelivered ones, the
    /// unit's own condition before sightings before crossings, and a `lost` event
    /// says which.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1024GiB"))]
    pub max_size: ByteSize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        JournalConfig {
            path: "/var/lib/tawny/journal.db".into(),
            keep: HumanDuration::secs(90 * 86_400),
            max_size: ByteSize(256 << 20),
        }
    }
}

/// `[evidence]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceConfig {
    /// Folder for pictures; the folder `evidence` beside the journal if absent.
    /// Made if absent, readable by the program's own user only.
    #[schemars(example = "/var/lib/tawny/evidence")]
    #[schemars(extend("x-kind" = "path"))]
    pub path: Option<PathBuf>,
    /// Whether a small still of each sighting's best view is made, and sent on
    /// `still/<id>` if there is a broker.
    pub stills: bool,
    /// Whether the same view is also kept at full size on the unit. It shows people
    /// as the camera saw them and is not encrypted: who takes the unit has it.
    pub full_size: bool,
    /// Width of a small still in pixels, at most.
    #[schemars(range(min = 64, max = 1920))]
    pub still_width: u16,
    /// Size of a small still as a JPEG file, at most. What does not fit is made
    /// coarser, then smaller.
    #[schemars(extend("x-min" = "2kB", "x-max" = "1MiB"))]
    pub still_size: ByteSize,
    /// A still is made when the sighting ends, or this long after its beginning;
    /// then once more at its end if there is a much better view.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub still_after: HumanDuration,
    /// How long the broker keeps a still for somebody who is away (the message's
    /// expiry).
    #[schemars(extend("x-min" = "1m", "x-max" = "365d"))]
    pub still_expiry: HumanDuration,
    /// Whether the video around each sighting is kept on the unit, as the camera
    /// sent it: people in it are not hidden, and it is not encrypted. A camera with
    /// a private zone has no clips.
    pub clips: bool,
    /// Video before a sighting that belongs to its clip, from the keyframe before
    /// that; at most what `capture.ring_time` keeps.
    #[schemars(extend("x-min" = "0s", "x-max" = "25s"))]
    pub pre_roll: HumanDuration,
    /// Video after it. Sightings that overlap with these share a clip.
    #[schemars(extend("x-min" = "0s", "x-max" = "5m"))]
    pub post_roll: HumanDuration,
    /// The longest clip; the next one begins with the next sighting.
    #[schemars(extend("x-min" = "5s", "x-max" = "1h"))]
    pub clip_max: HumanDuration,
    /// How long files are kept, in time that the unit has run.
    #[schemars(extend("x-min" = "1h", "x-max" = "36500d"))]
    pub keep: HumanDuration,
    /// Room for all files. When it is used up, clips go first, then full-size
    /// stills, then small ones, the oldest of each first, and a `lost` event says so.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1024GiB"))]
    pub max_size: ByteSize,
    /// What the disk must have left for the journal and for others. With less, files
    /// go in the same order; when none is left, nothing more is kept.
    #[schemars(extend("x-min" = "0B", "x-max" = "1024GiB"))]
    pub min_free: ByteSize,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        EvidenceConfig {
            path: None,
            stills: true,
            full_size: true,
            still_width: 480,
            still_size: ByteSize(12_000),
            still_after: HumanDuration::secs(10),
            still_expiry: HumanDuration::secs(7 * 86_400),
            clips: false,
            pre_roll: HumanDuration::secs(5),
            post_roll: HumanDuration::secs(5),
            clip_max: HumanDuration::secs(60),
            keep: HumanDuration::secs(30 * 86_400),
            max_size: ByteSize(2 << 30),
            min_free: ByteSize(256 << 20),
        }
    }
}

/// `[privacy]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// How people appear in pictures that leave the unit.
    pub people: People,
}

/// How people appear in pictures that leave the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// As a few blocks of one colour each, and with them everything that may be a
    /// person, or that moves and is no vehicle.
    #[default]
    Blocks,
    /// As the camera saw them.
    Clear,
}

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Host and port of a gpsd that a satellite receiver is connected to. Its
    /// time is believed before the network's when the two contradict each other.
    /// Without it the time is the kernel's (set by chrony or systemd-timesyncd,
    /// or by a battery clock).
    #[schemars(example = &"127.0.0.1:2947")]
    pub gpsd: Option<String>,
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
    /// Longest silence on the connection before a keep-alive packet is sent. A
    /// connection that stays silent for two and a half of these, or acknowledges
    /// nothing for four, is given up.
    #[schemars(extend("x-min" = "5s", "x-max" = "12h"))]
    pub keep_alive: HumanDuration,
    /// Events that may be under way, sent but not yet acknowledged.
    #[schemars(range(min = 1, max = 4096))]
    pub window: u16,
    /// Largest MQTT packet in either direction.
    #[schemars(extend("x-min" = "4KiB", "x-max" = "64MiB"))]
    pub max_packet: ByteSize,
    /// What waited while the broker was away is sent at this rate at most, in
    /// events a second; what happens meanwhile goes first.
    #[schemars(range(min = 1, max = 100000))]
    pub backlog_rate: u32,
    /// How events are written. `status` and `health` are JSON in any case.
    pub format: EventFormat,
    /// When the unit is connected.
    pub connect: Connect,
    /// With "on_event": how long the connection stays after the last alert was
    /// delivered; all else is sent meanwhile. With "schedule" and
    /// `connect_every`: how long a connection lasts at most.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub stay: HumanDuration,
    /// With "schedule": parts of the day in which the unit is connected, in UTC.
    /// Each begins up to five minutes late, so that many units do not come at
    /// once. Without a synchronised clock the unit connects every six hours
    /// instead.
    #[schemars(example = ["06:00-06:30", "18:00-18:30"])]
    #[schemars(length(min = 1))]
    pub connect_windows: Option<Vec<DayWindow>>,
    /// With "schedule": time from one connection to the next. It ends when all is
    /// delivered, or after `stay`.
    #[schemars(example = "6h")]
    #[schemars(extend("x-min" = "1m", "x-max" = "30d"))]
    pub connect_every: Option<HumanDuration>,
    /// Program and arguments that bring the network up before the unit connects,
    /// for example a modem; not through a shell. With "always" it is run once, at
    /// the start. Where it fails it is run again before the next attempt to
    /// connect.
    #[schemars(example = ["nmcli", "connection", "up", "modem"])]
    #[schemars(length(min = 1))]
    pub link_up: Option<LinkCommand>,
    /// Program and arguments that take the network down when the unit has said
    /// goodbye; at a stop of the program it is given half a second.
    #[schemars(example = ["nmcli", "connection", "down", "modem"])]
    #[schemars(length(min = 1))]
    pub link_down: Option<LinkCommand>,
    /// How long `link_up` and `link_down` may take; then they are killed, with
    /// all that they started.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub link_timeout: HumanDuration,
    /// What may be sent in a day (UTC), counted in bytes of MQTT messages; alerts
    /// (crossings, lost events) are counted too and sent in any case. All else
    /// waits for the next day. A restart goes on where the last run ended, if the
    /// date is known.
    #[schemars(example = "5MB")]
    #[schemars(extend("x-min" = "10kB", "x-max" = "1024GiB"))]
    pub daily_bytes: Option<ByteSize>,
    /// Public keys of those who may command the unit to do more than answer and
    /// send events again, each with a name, as `tawny key show` prints them; 16 at
    /// most. Without any, such commands are refused. The key of the example is
    /// nobody's.
    #[schemars(example = ["ed25519:c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec001 alice"])]
    pub operator_keys: Vec<OperatorKey>,
    /// Whether commands are done, too, that their signer gave no end (`tawny command
    /// v1`, from programs and dashboards of earlier versions). Whoever can keep a
    /// message back, the broker's keeper for one, can then have them done months
    /// later.
    pub accept_v1_commands: bool,
    /// Shows the unit in Home Assistant, without any configuration there; needs its
    /// MQTT integration at the same broker, and `format` "json". What appears, and
    /// what the broker must allow: docs/guide/home-assistant.md.
    pub home_assistant: HomeAssistantConfig,
}

/// `[uplink.home_assistant]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HomeAssistantConfig {
    /// Whether Home Assistant is told of the unit. Switched off again, the unit has
    /// the broker forget it in its next connection, and it disappears there.
    pub enabled: bool,
    /// First part of the topics in which Home Assistant looks for devices.
    #[schemars(length(max = 64), extend("x-kind" = "topic", "pattern" = TOPIC))]
    pub discovery_prefix: String,
    /// Where Home Assistant says that it has started (its birth message); the unit
    /// then tells it of itself again.
    #[schemars(length(max = 64), extend("x-kind" = "topic", "pattern" = TOPIC))]
    pub birth_topic: String,
    /// How long the motion sensors stay on after a vehicle, person or animal
    /// appeared.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub motion_hold: HumanDuration,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        HomeAssistantConfig {
            enabled: false,
            discovery_prefix: "homeassistant".into(),
            birth_topic: "homeassistant/status".into(),
            motion_hold: HumanDuration::secs(60),
        }
    }
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventFormat {
    /// Readable; some 400 bytes.
    #[default]
    Json,
    /// The same keys in binary; about 60 % of the bytes.
    Cbor,
}

/// When the unit is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connect {
    /// Always.
    #[default]
    Always,
    /// While a crossing of a tripwire with `alert = true` waits for its delivery,
    /// and for a while after it.
    OnEvent,
    /// At the times that `connect_windows` and `connect_every` say.
    Schedule,
}

impl UplinkConfig {
    /// Bytes of the largest event that surely can be sent: a packet is its topic and a few
    /// bytes more.
    pub fn largest_event(&self) -> u64 {
        self.max_packet.0.saturating_sub(256)
    }
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
            backlog_rate: 4000,
            format: EventFormat::Json,
            connect: Connect::Always,
            stay: HumanDuration::secs(60),
            connect_windows: None,
            connect_every: None,
            link_up: None,
            link_down: None,
            link_timeout: HumanDuration::secs(60),
            daily_bytes: None,
            operator_keys: Vec::new(),
            accept_v1_commands: false,
            home_assistant: HomeAssistantConfig::default(),
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
