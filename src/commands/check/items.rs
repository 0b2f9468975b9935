//! What `tawny check` checks, one function each.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::table::Item;
use crate::capture::{CaptureError, Colour, Frame, Matrix, Picture, Plane, Rotation, Span, Watched, watch};
use crate::clock::{Gpsd, Heard, SystemClock, source_name};
use crate::config::{CameraConfig, Config, DetectorConfig, JournalConfig, Source, SourceKind};
use crate::detect::{DetectError, Detector, Runtime};
use crate::event::{Class, TimeSource};
use crate::journal::{self, JournalError, JournalReader};
use crate::uplink::{LinkSettings, UplinkError, probe, reach};

/// How much of a camera is looked at: on until its second keyframe, which should come
/// while `capture.ring_time` lasts (ten seconds).
const CAMERA_SPAN: Span = Span { least: Duration::from_secs(3), for_a_group: Duration::from_secs(12) };
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
    match too_slow(took, config.detector.active_rate(), config.camera.len()) {
        Some(advice) => Item::warning(NAME, detail, &advice),
        None => Item::ok(NAME, detail),
    }
}

/// What to say of a model that takes so long a look, if all cameras together want
/// more looks than one detector gives. They share it.
fn too_slow(took: Duration, rate: f32, cameras: usize) -> Option<String> {
    let possible = 1.0 / took.as_secs_f32().max(1e-6);
    let wanted = rate * cameras.max(1) as f32;
    if wanted <= possible {
        return None;
    }
    let of_all = match cameras {
        0 | 1 => String::new(),
        n => format!(" for each of {n} cameras"),
    };
    Some(format!(
        "{possible:.1} looks a second at most, and [detector] active_rate = {rate}{of_all} asks for {wanted:.1} when \
         something moves everywhere: objects that move fast may be missed then"
    ))
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

/// What the ring has to hold of a camera, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingNeeds {
    bytes: u64,
    clips: bool,
}

impl RingNeeds {
    pub(super) fn of(config: &Config) -> RingNeeds {
        RingNeeds { bytes: config.capture.ring_size.0, clips: config.evidence.clips }
    }

    /// What is wrong with the groups of pictures that were seen, and what to do.
    fn objection(self, watched: &Watched) -> Option<(String, String)> {
        if !self.clips {
            return None;
        }
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let advice = |bytes: u64| {
            let room = bytes.next_multiple_of(1 << 20) >> 20;
            format!("set the camera to a keyframe every second or two, or [capture] ring_size to {room} MiB or more")
        };
        if watched.largest_group > self.bytes {
            let detail = format!(
                "clips will begin late or be missing: {} from a keyframe to the next, ring_size holds {}",
                mb(watched.largest_group),
                mb(self.bytes)
            );
            return Some((detail, advice(watched.largest_group * 2)));
        }
        // A file that ended before is a group of its own.
        if watched.keyframe_interval.is_none() && watched.span >= CAMERA_SPAN.for_a_group {
            let (span, rate) = (watched.span.as_secs_f64().max(1.0), watched.largest_group as f64);
            let holds = self.bytes as f64 / (rate / span).max(1.0);
            let detail = format!(
                "clips will begin late or be missing if its keyframes are more than {holds:.0} s apart: \
                 ring_size holds no more"
            );
            return Some((detail, advice(self.bytes)));
        }
        None
    }
}

/// Looks at `camera` on a thread of its own.
pub(super) fn start_camera(camera: CameraConfig, needs: RingNeeds) -> CameraCheck {
    let (sender, answer) = mpsc::channel();
    let config = camera.clone();
    thread::spawn(move || {
        // Nobody listens any more when patience has ended.
        let _ = sender.send(look_at_camera(&config, needs));
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

fn look_at_camera(camera: &CameraConfig, needs: RingNeeds) -> Item {
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
            let is_file = matches!(source.kind(), SourceKind::File(_));
            if let Some(doubt) = watched.info.doubt(camera.fps()).filter(|_| is_file) {
                return Item::warning(title(camera), detail, doubt);
            }
            match needs.objection(&watched) {
                Some((objection, advice)) => Item::warning(title(camera), format!("{detail}\n{objection}"), &advice),
                None => Item::ok(title(camera), detail),
            }
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
        None => parts.push(format!("a keyframe less often than every {:.0} s", watched.span.as_secs_f64())),
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
    let running = journal::in_use(&config.journal.path);
    let reader = JournalReader::open(&config.journal.path).ok();
    // Where logins have names, a broker may throw out the unit when it sees its login again.
    let named = config.uplink.username.is_some() || config.uplink.client_cert_file.is_some();
    let visit = match running {
        Some(_) if named => reach(&settings),
        _ => probe(&settings.clone().for_check(reader.as_ref())),
    };
    match visit {
        Ok(report) => {
            let encrypted = if report.tls { "encrypted" } else { "not encrypted" };
            let took = report.took.as_millis();
            let mut detail = match running {
                Some(pid) if named => {
                    let pid = pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
                    format!(
                        "{}, reached after {took} ms, {encrypted}; no login, because the running daemon{pid} is logged \
                         in with it: stop it to have it tried",
                        report.broker
                    )
                }
                _ => format!("{}, logged in after {took} ms, {encrypted}", report.broker),
            };
            if let Some(waiting) = running.and(reader.as_ref()).and_then(waiting_since) {
                detail += &format!("\nan event of {waiting} is not delivered yet");
            }
            if !report.tls && config.uplink.username.is_some() && !is_this_machine(&settings.broker().host) {
                return Item::warning(NAME, detail, "the password crosses the network in the clear: use mqtts://");
            }
            if let Some(seconds) = report.forgets_after {
                let advice = format!(
                    "it forgets a unit that is away for {seconds} s: a command to it is lost then; allow sessions of six \
                     hours there"
                );
                return Item::warning(NAME, detail, &advice);
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

/// Whether signed commands can be kept back; nothing if they cannot.
pub(super) fn commands(config: &Config) -> Option<Item> {
    let wanted = config.uplink.accept_v1_commands && !config.uplink.operator_keys.is_empty();
    wanted.then(|| {
        Item::warning(
            "commands",
            "accepted without an end, too (tawny command v1)",
            "whoever keeps such a command back can have it done months later: remove accept_v1_commands from [uplink] \
             as soon as every operator's program and dashboard is of this version",
        )
    })
}

/// When the oldest of the events that wait happened.
fn waiting_since(reader: &JournalReader) -> Option<String> {
    let oldest = |class| reader.undelivered(class, 0, i64::MAX as u64, 1).ok()?.into_iter().next();
    let first = Class::ALL.into_iter().filter_map(oldest).min_by_key(|row| row.seq)?;
    let event: serde_json::Value = serde_json::from_str(&first.json).ok()?;
    event.get("t")?.as_str().map(str::to_owned)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_look_counts_once_for_each_camera() {
        let took = Duration::from_millis(60);
        assert_eq!(too_slow(took, 10.0, 1), None);
        let advice = too_slow(took, 10.0, 2).unwrap_or_default();
        assert!(advice.contains("16.7 looks") && advice.contains("2 cameras") && advice.contains("20.0"), "{advice}");
        assert!(too_slow(Duration::from_millis(200), 10.0, 0).is_some());
    }
}
