//! A short look at a source: open it, see some frames, close it.

use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;

use super::decoder::Decoder;
use super::error::CaptureError;
use super::frame::Frame;
use super::input::{OpenSettings, StreamInfo, VideoInput};
use super::interrupt::Interrupt;
use super::timeline::{FileTimeline, TimeBase};
use crate::config::{Source, SourceKind};
use crate::domain::Mono;

/// What was seen of a source.
pub struct Watched {
    /// What the stream is.
    pub info: StreamInfo,
    /// FFmpeg's name of the codec.
    pub codec: &'static str,
    /// Until the first packet came.
    pub opened_after: Duration,
    /// Packets of the video stream.
    pub packets: u64,
    /// Packets of which each can be decoded alone.
    pub keyframes: u64,
    /// Packets between the last two of these.
    pub keyframe_interval: Option<u64>,
    /// Packets that could not be decoded, and pictures that came out damaged.
    pub damaged: u64,
    /// Frames decoded.
    pub frames: u64,
    /// Their rate, per second: as measured for a live source, as the stamps say
    /// for a file; `None` with fewer than two frames.
    pub frame_rate: Option<f64>,
}

/// Watches `source` for `span` (of its own time if it is a file, which is read
/// as fast as it goes) from the first frame on. `each` sees every frame, with
/// its time since the first, and may keep it in exchange for another.
///
/// # Errors
/// When the source does not open or fails before `span` is over. A file that
/// is shorter is no error; one without a frame is. What `each` refuses is
/// passed on.
pub fn watch(
    source: &Source,
    open: OpenSettings,
    span: Duration,
    each: &mut dyn FnMut(&mut Frame) -> Result<(), CaptureError>,
) -> Result<Watched, CaptureError> {
    let began = Instant::now();
    let interrupt = Interrupt::default();
    let mut input = VideoInput::open(source, open, &interrupt)?;
    let info = input.info().clone();
    let mut decoder = Decoder::open(&info)?;
    let is_file = matches!(source.kind(), SourceKind::File(_));
    let mut times = Times::new(&info, is_file);
    let mut watched = Watched {
        codec: info.parameters.id().name(),
        info,
        opened_after: Duration::ZERO,
        packets: 0,
        keyframes: 0,
        keyframe_interval: None,
        damaged: 0,
        frames: 0,
        frame_rate: None,
    };
    let (mut packet, mut frame) = (ffmpeg::Packet::empty(), Frame::empty());
    let mut last_keyframe = None;
    let mut seen = Duration::ZERO;
    while seen < span {
        let more = input.read(&mut packet)?;
        if more {
            if watched.packets == 0 {
                watched.opened_after = began.elapsed();
            }
            if packet.is_key() {
                watched.keyframe_interval = last_keyframe.map(|last| watched.packets - last);
                last_keyframe = Some(watched.packets);
                watched.keyframes += 1;
            }
            watched.packets += 1;
            decoder.send(&packet);
        } else {
            decoder.send_end();
        }
        while let Some(stamp) = decoder.receive(&mut frame) {
            seen = times.of_frame(stamp);
            frame.at = Mono::ZERO.plus(seen);
            watched.frames += 1;
            each(&mut frame)?;
        }
        watched.damaged = decoder.damaged;
        if !more {
            break;
        }
        // A camera may send without end what cannot be decoded.
        if watched.frames == 0 && began.elapsed() > watched.opened_after + NO_FRAME_LIMIT {
            break;
        }
    }
    if watched.frames == 0 {
        return Err(CaptureError::Read(format!("none of its {} packets could be decoded", watched.packets)));
    }
    let intervals = watched.frames - 1;
    watched.frame_rate = (intervals > 0 && !seen.is_zero()).then(|| intervals as f64 / seen.as_secs_f64());
    Ok(watched)
}

/// How long a stream may go on without a picture.
const NO_FRAME_LIMIT: Duration = Duration::from_secs(15);

/// The time of each frame since the first.
enum Times {
    File(FileTimeline, TimeBase),
    Live(Option<Instant>),
}

impl Times {
    fn new(info: &StreamInfo, is_file: bool) -> Times {
        if !is_file {
            return Times::Live(None);
        }
        let base = TimeBase { numerator: info.time_base.numerator(), denominator: info.time_base.denominator() };
        Times::File(FileTimeline::new(Mono::ZERO, info.frame_interval), base)
    }

    fn of_frame(&mut self, stamp: Option<i64>) -> Duration {
        match self {
            Times::File(line, base) => line.at(stamp.map(|stamp| base.micros(stamp))).since(Mono::ZERO),
            Times::Live(first) => first.get_or_insert_with(Instant::now).elapsed(),
        }
    }
}

/// The FFmpeg that was found, for people.
pub fn ffmpeg_version() -> String {
    let number = ffmpeg::codec::version();
    // SAFETY: takes nothing and returns a static NUL-terminated string.
    let release = unsafe { std::ffi::CStr::from_ptr(ffmpeg::ffi::av_version_info()) };
    let (major, minor, micro) = (number >> 16, (number >> 8) & 0xff, number & 0xff);
    format!("{} (libavcodec {major}.{minor}.{micro})", release.to_string_lossy())
}
