//! What `tawny check` checks, one function each.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::table::Item;
use crate::capture::{CaptureError, Colour, Frame, Matrix, Picture, Plane, Rotation, Watched, watch};
use crate::clock::{Gpsd, Heard, SystemClock, source_name};
use crate::config::{CameraConfig, Config, DetectorConfig, JournalConfig, Source, SourceKind};
use crate::detect::{DetectError, Detector, Runtime};
use crate::event::TimeSource;
use crate::journal::{self, JournalError, JournalReader};
use crate::uplink::{LinkSettings, UplinkError, probe};

/// How much of a camera is looked at.
const CAMERA_SPAN: Duration = Duration::from_secs(3);
/// Opening takes 20 s at most and reading 10 s; a driver may hang beyond all
/// limits.
const CAMERA_PATIENCE: Duration = Duration::from_secs(35);
/// A receiver that sees the sky gives a fix each second.
const GPSD_PATIENCE: Duration = Duration::from_secs(6);
/// Less free space than this is worth a warning: some 100 000 events.
const LITTLE_SPACE: u64 = 100 << 20;

/// ONNX Runtime's library.
pub(super) fn runtime(config: &DetectorConfig) -> Item {
    const NAME: &str = "ONNX Runtime";
    match Runtime::load(config.runtime.as_deref()) {
        Ok(runtime) => Item::ok(NAME, format!("{}, {}", runtime.version(), runtime.path().display())),
        Err(error) => Item::failed(NAME, error.to_string(), ""),
    }
}

/// The model: loads, and looks at a grey picture.
pub(super) fn detector(config: &Config) -> Item {
    const NAME: &str = "model";
    if Runtime::load(config.detector.runtime.as_deref()).is_err() {
        return Item::failed(NAME, "not tried: there is no ONNX Runtime to load it", "");
    }
    let title = match &config.detector.model {
        Some(path) => path.display().to_string(),
        None => "built in".to_owned(),
    };
    let mut detector = match Detector::open(&config.detector) {
        Ok(detector) => detector,
        Err(error) => {
            return Item::failed(
                NAME,
                error.to_string(),
                "set [detector] model to a model that it can read, or remove it to use the built-in one",
            );
        }
    };
    // The first look makes ONNX Runtime's buffers; others may be interrupted.
    let looks: Result<Vec<Duration>, DetectError> = (0..4).map(|_| look(&mut detector)).collect();
    let took = match looks {
        Ok(times) => times.into_iter().min().unwrap_or_default(),
        Err(error) => return Item::failed(NAME, error.to_string(), "this model does not run on this machine"),
    };
    let (input, hash, family) = (detector.input(), detector.model_hash(), detector.model_family());
    let classes = format!("{} classes {}", detector.classes().named(), detector.names_source());
    let (width, height, ms) = (input.width, input.height, took.as_millis().max(1));
    let detail = format!("{title}, {family}, {width}x{height}, {classes}, {hash}, {ms} ms a look");
    if took.as_secs_f32() * config.detector.active_rate() > 1.0 {
        let advice = format!(
            "slower than [detector] active_rate = {}: objects that move fast may be missed",
            config.detector.active_rate()
        );
        return Item::warning(NAME, detail, &advice);
    }
    Item::ok(NAME, detail)
}

/// One inference on a grey picture.
fn look(detector: &mut Detector) -> Result<Duration, DetectError> {
    const SIZE: (usize, usize) = (640, 360);
    let luma = vec![114; SIZE.0 * SIZE.1];
    let picture = Picture {
        y: Plane { data: &luma, width: SIZE.0, height: SIZE.1, stride: SIZE.0 },
        chroma: None,
        colour: Colour { matrix: Matrix::Bt601, full_range: true },
        rotation: Rotation::None,
        exposure: 1.0,
    };
    let began = Instant::now();
    detector.detect(&picture, None, 0.5, &mut Vec::new())?;
    Ok(began.elapsed())
}

/// A camera that is being looked at.
pub(super) struct CameraCheck {
    camera: CameraConfig,
    answer: mpsc::Receiver<Item>,
}

/// Looks at `camera` on a thread of its own.
pub(super) fn start_camera(camera: CameraConfig) -> CameraCheck {
    let (sender, answer) = mpsc::channel();
    let config = camera.clone();
    thread::spawn(move || {
        // Nobody listens any more when patience has ended.
        let _ = sender.send(look_at_camera(&config));
    });
    CameraCheck { camera, answer }
}

impl CameraCheck {
    /// Waits for the end, but not for ever: the thread may be left behind.
    pub(super) fn result(self) -> Item {
        self.answer.recv_timeout(CAMERA_PATIENCE).unwrap_or_else(|_| {
            let detail = format!("hangs: no answer after {} s", CAMERA_PATIENCE.as_secs());
            Item::failed(title(&self.camera), detail, "unplug it and plug it in again, or restart this machine")
        })
    }
}

fn title(camera: &CameraConfig) -> String {
    format!("camera {}", camera.name)
}

fn look_at_camera(camera: &CameraConfig) -> Item {
    let Some(source) = &camera.source else { return Item::failed(title(camera), "has no source", "set one") };
    let (mut size, mut format) = ((0, 0), "");
    let watched = watch(source, camera.into(), CAMERA_SPAN, &mut |frame: &mut Frame| -> Result<(), CaptureError> {
        format = frame.pixel_format();
        size = frame.picture()?.upright_size();
        Ok(())
    });
    match watched {
        Err(error) => Item::failed(title(camera), error.to_string(), camera_advice(source, &error)),
        Ok(watched) => {
            let detail = describe(source, &watched, size, format);
            // A stream that is joined in the middle begins with some.
            if watched.damaged * 10 > watched.packets {
                let advice = "a weak link or a camera that overloads it: lower its bit rate or frame rate";
                return Item::warning(title(camera), detail, advice);
            }
            Item::ok(title(camera), detail)
        }
    }
}

fn describe(source: &Source, watched: &Watched, (width, height): (usize, usize), format: &str) -> String {
    let mut parts = vec![format!("{} frames", watched.frames), format!("{width}x{height}")];
    if watched.info.rotation != Rotation::None {
        parts.push("turned upright".to_owned());
    }
    parts.push(format!("{} {format}", watched.codec));
    if let Some(rate) = watched.frame_rate {
        parts.push(format!("{rate:.1} frames a second"));
    }
    match watched.keyframe_interval {
        Some(1) => parts.push("every one a keyframe".to_owned()),
        Some(interval) => parts.push(format!("a keyframe every {interval} frames")),
        None => parts.push(format!("a keyframe less often than every {} s", CAMERA_SPAN.as_secs())),
    }
    if watched.damaged > 0 {
        parts.push(format!("{} of {} packets damaged", watched.damaged, watched.packets));
    }
    match source.kind() {
        SourceKind::File(_) => parts.push("a file".to_owned()),
        _ => parts.push(format!("answered in {:.1} s", watched.opened_after.as_secs_f64())),
    }
    parts.join(", ")
}

fn camera_advice(source: &Source, error: &CaptureError) -> &'static str {
    match (error, source.kind()) {
        (CaptureError::Decoder(_) | CaptureError::PixelFormat(_), _) => {
            "set the camera to H.264, HEVC or MJPEG with 8 bits"
        }
        (_, SourceKind::Rtsp(_)) => "is it on and in this network, and are the address, user and password right?",
        (_, SourceKind::Device(_)) => {
            "is it plugged in, may this user read it (group video), and does no other program use it?"
        }
        (_, SourceKind::File(_)) => "is the path right, and is it a video that this user may read?",
        (_, SourceKind::Command(_)) => "try the command in a terminal: it has to write video to its standard output",
    }
}

/// The journal's folder and file.
pub(super) fn journal(config: &JournalConfig) -> Item {
    const NAME: &str = "journal";
    let found = match journal::probe(&config.path) {
        Ok(found) => found,
        Err(error) => return Item::failed(NAME, error.to_string(), journal_advice(&error)),
    };
    let mut detail = config.path.display().to_string();
    detail += match (found.exists, found.in_use) {
        (_, Some(_)) => ", in use by the running daemon",
        (true, None) => ", can be written",
        (false, None) => ", will be made",
    };
    if let Some(Some(pid)) = found.in_use {
        detail += &format!(" (pid {pid})");
    }
    if let Some(free) = found.free_bytes {
        detail += &format!(", {} MB free", free >> 20);
        if free < LITTLE_SPACE {
            return Item::warning(NAME, detail, "make room: a full disk keeps events in memory only");
        }
    }
    Item::ok(NAME, detail)
}

fn journal_advice(error: &JournalError) -> &'static str {
    match error {
        JournalError::Damaged { .. } => "`tawny run` sets it aside and begins a new one; keep the old file",
        JournalError::Unusable { .. } => "set [journal] path to a place that the user of `tawny run` may write to",
        _ => "",
    }
}

/// The broker: does it let us in?
pub(super) fn broker(config: &Config) -> Item {
    const NAME: &str = "broker";
    let settings = match LinkSettings::load_with(&config.unit, &config.uplink, &known_clock(&config.journal)) {
        Ok(settings) => settings,
        Err(UplinkError::NoBroker) => return Item::ok(NAME, "no broker configured: events stay on the unit"),
        Err(error) => return Item::failed(NAME, error.to_string(), "correct [uplink]"),
    };
    match probe(&settings) {
        Ok(report) => {
            let encrypted = if report.tls { "encrypted" } else { "not encrypted" };
            let took = report.took.as_millis();
            let detail = format!("{}, logged in after {took} ms, {encrypted}", report.broker);
            if !report.tls && config.uplink.username.is_some() && !is_this_machine(&settings.broker().host) {
                return Item::warning(NAME, detail, "the password crosses the network in the clear: use mqtts://");
            }
            Item::ok(NAME, detail)
        }
        Err(error) => Item::failed(
            NAME,
            error.to_string(),
            "events stay in the journal until it answers; is [uplink] right, and does the broker run?",
        ),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The clock, with what the daemon noted about it in its journal.
fn known_clock(config: &JournalConfig) -> SystemClock {
    let clock = SystemClock::new();
    // Whether the journal can be read is another item's business.
    if let Some(saved) = JournalReader::open(&config.path).ok().and_then(|reader| reader.saved_clock().ok().flatten()) {
        clock.resume(&saved);
    }
    clock
}

/// What vouches for the time.
pub(super) fn clock(config: &Config) -> Item {
    const NAME: &str = "clock";
    let clock = known_clock(&config.journal);
    let satellites = config.clock.gpsd.as_deref().map(|address| listen_to_gpsd(address, &clock));
    clock.poll();
    let reading = clock.read();
    let mut detail = format!("{}, ", reading.utc);
    detail += &match (reading.source, reading.uncertainty_ms) {
        (TimeSource::None, _) => "not synchronised: times are ± unknown".to_owned(),
        (source, None) => format!("by {}: times are ± unknown", source_name(source)),
        (source, Some(ms)) => format!("by {}, ± {ms} ms", source_name(source)),
    };
    if let Some(Err(problem)) = satellites {
        detail += &format!("\n{problem}");
        return Item::warning(NAME, detail, "is gpsd running at [clock] gpsd, and does the receiver see the sky?");
    }
    match reading.uncertainty_ms {
        Some(_) => Item::ok(NAME, detail),
        None => Item::warning(NAME, detail, "install chrony, or give a gpsd in [clock]; events are re-timed later"),
    }
}

/// Waits for as many fixes as it takes to believe them.
fn listen_to_gpsd(address: &str, clock: &SystemClock) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("gpsd at {address} does not answer: {e}");
    let mut gpsd = Gpsd::connect(address).map_err(failed)?;
    let until = Instant::now() + GPSD_PATIENCE;
    let mut fixes = 0;
    while fixes < 3 {
        if Instant::now() >= until {
            return Err(format!("gpsd at {address} has no fix"));
        }
        if let Heard::Fix(fix) = gpsd.hear().map_err(failed)? {
            clock.gps(fix);
            fixes += 1;
        }
    }
    Ok(())
}
