//! An open source: packets of its video stream, one after the other.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::packet::side_data::Type as SideDataType;
use ffmpeg::ffi;
use ffmpeg::format::context::{Input, StreamIo};
use ffmpeg::media;

use super::error::CaptureError;
use super::interrupt::Interrupt;
use super::picture::Rotation;
use super::program::{Program, ProgramOutput};
use super::timeline::{Stamps, TimeBase};
use crate::config::{Source, SourceKind};

/// How long opening may take: a camera that boots, a probe of a slow stream.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// How long no packet may come before the source counts as stalled.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that opening may read to learn what the stream is.
const PROBE_BYTES: &str = "2000000";

/// What demuxers take pictures to be apart when nothing says it.
const DEMUXERS_INTERVAL: Duration = Duration::from_millis(40);

/// What the decoder and the time line need to know of a stream.
#[derive(Clone)]
pub struct StreamInfo {
    /// Codec, size, extra data.
    pub parameters: ffmpeg::codec::Parameters,
    /// Unit of the packets' time stamps.
    pub time_base: ffmpeg::Rational,
    /// How to turn the pictures upright.
    pub rotation: Rotation,
    /// Average time between frames, as far as the container says.
    pub frame_interval: Option<Duration>,
    /// Length, as far as the container says.
    pub duration: Option<Duration>,
    /// Number of frames, as far as the container says.
    pub frames: Option<u64>,
    /// Time stamps come from a real clock (not made up by a raw demuxer).
    pub has_clock: bool,
    /// They do not, and somebody has said what the rate is: pictures are counted at
    /// `frame_interval`.
    pub counted: bool,
}

impl StreamInfo {
    /// For a stream without a clock somebody may know the rate, pictures per second.
    #[must_use]
    pub fn with_rate(mut self, fps: Option<f64>) -> StreamInfo {
        if let Some(fps) = fps.filter(|fps| !self.has_clock && *fps > 0.0) {
            (self.frame_interval, self.counted) = (Some(Duration::from_secs_f64(1.0 / fps)), true);
        }
        self
    }

    /// What to say of a recording whose times are a guess, or of a rate that is set in
    /// vain.
    pub fn doubt(&self, fps: Option<f64>) -> Option<&'static str> {
        // An encoder that notes its rate makes the demuxer count at that.
        let guessed = self.frame_interval.is_none_or(|interval| interval == DEMUXERS_INTERVAL);
        match (self.has_clock, fps) {
            (true, Some(_)) => Some("fps is set, but this file has times of its own: they count"),
            (false, _) if guessed && !self.counted => {
                Some("this file has no times: its pictures are taken to be 25 a second; set fps if they are not")
            }
            _ => None,
        }
    }

    /// A packet's stamps, microseconds.
    pub fn stamps(&self, packet: &ffmpeg::Packet) -> Stamps {
        self.time_unit().stamps(packet.pts(), packet.dts())
    }

    /// The unit of its stamps.
    pub fn time_unit(&self) -> TimeBase {
        TimeBase { numerator: self.time_base.numerator(), denominator: self.time_base.denominator() }
    }
}

/// An open source.
pub struct VideoInput {
    // Dropped before the program, so that nobody reads a dead pipe.
    input: Input,
    program: Option<Program>,
    stream: usize,
    info: StreamInfo,
    interrupt: Interrupt,
}

impl VideoInput {
    /// Opens `source`; relative file names are relative to the working folder.
    ///
    /// # Errors
    /// When it does not open in time or holds no video.
    pub fn open(source: &Source, interrupt: &Interrupt) -> Result<VideoInput, CaptureError> {
        initialise();
        interrupt.arm(OPEN_LIMIT);
        let what = source.redacted().to_string();
        let opened = match source.kind() {
            SourceKind::Command(command) => {
                Program::start(&command.command, interrupt).map_err(|e| e.to_string()).and_then(|(program, output)| {
                    open_program(output, &command.format, interrupt).map(|input| (input, Some(program)))
                })
            }
            SourceKind::Rtsp(url) => open_rtsp(url, interrupt).map(|input| (input, None)),
            SourceKind::Device(path) => open_device(path, interrupt).map(|input| (input, None)),
            SourceKind::File(path) => open_file(path, interrupt).map(|input| (input, None)),
        };
        let (input, program) = opened.map_err(|why| match () {
            () if interrupt.stopped() => CaptureError::Stopped,
            () if interrupt.timed_out() => CaptureError::Stalled { seconds: OPEN_LIMIT.as_secs() },
            () => CaptureError::Open { what: what.clone(), why },
        })?;
        let stream = input.streams().best(media::Type::Video).ok_or(CaptureError::NoVideo { what })?;
        let (index, info) = (stream.index(), stream_info(&input, &stream));
        Ok(VideoInput { input, program, stream: index, info, interrupt: interrupt.clone() })
    }

    /// What the stream is.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// The next packet of the video stream into `packet`; false at the end.
    ///
    /// # Errors
    /// When nothing comes for ten seconds, or reading fails.
    pub fn read(&mut self, packet: &mut ffmpeg::Packet) -> Result<bool, CaptureError> {
        self.interrupt.arm(READ_LIMIT);
        loop {
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(true),
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => {
                    return match self.program.as_mut().and_then(Program::ended) {
                        Some(why) if !self.interrupt.stopped() => Err(CaptureError::Read(why)),
                        _ => Ok(false),
                    };
                }
                Err(_) if self.interrupt.stopped() => return Err(CaptureError::Stopped),
                Err(_) if self.interrupt.timed_out() => {
                    return Err(CaptureError::Stalled { seconds: READ_LIMIT.as_secs() });
                }
                // A damaged packet in a file: the demuxer goes on behind it.
                Err(ffmpeg::Error::InvalidData) => {}
                Err(e) => return Err(CaptureError::Read(e.to_string())),
            }
            if self.interrupt.timed_out() {
                return Err(CaptureError::Stalled { seconds: READ_LIMIT.as_secs() });
            }
        }
    }
}

/// Once per process: registers devices and silences libav's own log, whose
/// lines name no camera; what matters comes back as errors and counters.
fn initialise() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // It cannot fail: it only registers devices and the network layer.
        let _ = ffmpeg::init();
        ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Quiet);
    });
}

fn open_rtsp(url: &str, interrupt: &Interrupt) -> Result<Input, String> {
    let mut options = probing();
    // UDP loses packets on the weak links these cameras hang on.
    options.set("rtsp_transport", "tcp");
    // A redirect must not reach anything but the camera.
    options.set("protocol_whitelist", "rtsp,rtsps,rtp,tcp,tls,udp");
    open_input(url, None, options, interrupt)
}

fn open_device(path: &Path, interrupt: &Interrupt) -> Result<Input, String> {
    open_input(text(path)?, Some(c"video4linux2"), probing(), interrupt)
}

fn open_file(path: &Path, interrupt: &Interrupt) -> Result<Input, String> {
    if !path.exists() {
        return Err("there is no such file".into());
    }
    let mut options = probing();
    // A playlist must not reach out to other files' protocols.
    options.set("protocol_whitelist", "file");
    // The prefix keeps a name with a colon from being taken for a URL.
    open_input(&format!("file:{}", text(path)?), None, options, interrupt)
}

fn probing() -> ffmpeg::Dictionary<'static> {
    let mut options = ffmpeg::Dictionary::new();
    options.set("probesize", PROBE_BYTES);
    options
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| "the name is not UTF-8".to_owned())
}

/// Opens `url` with the interrupt set first, as `format` if given.
fn open_input(
    url: &str,
    format: Option<&CStr>,
    options: ffmpeg::Dictionary,
    interrupt: &Interrupt,
) -> Result<Input, String> {
    let url = CString::new(url).map_err(|_| "the name holds a NUL character".to_owned())?;
    let watcher = interrupt.clone();
    let callback = ffmpeg::util::interrupt::new(Box::new(move || watcher.is_due()));
    // SAFETY: the context is allocated here and owned by the returned Input or
    // freed by libav when opening fails; the callback's closure lives in the
    // guard, which the Input keeps until after it is closed; the options
    // dictionary is taken back whatever happens.
    unsafe {
        let format = find_format(format)?;
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err("out of memory".into());
        }
        (*context).interrupt_callback = callback.interrupt;
        let mut options = options.disown();
        let result = ffi::avformat_open_input(&raw mut context, url.as_ptr(), format, &raw mut options);
        drop(ffmpeg::Dictionary::own(options));
        check(result)?;
        let found = ffi::avformat_find_stream_info(context, ptr::null_mut());
        if found < 0 {
            ffi::avformat_close_input(&raw mut context);
            check(found)?;
        }
        Ok(Input::wrap_with_interrupt(context, callback.guard))
    }
}

/// Opens a program's output as `format`; the reader itself obeys the interrupt.
fn open_program(output: ProgramOutput, format: &str, interrupt: &Interrupt) -> Result<Input, String> {
    let format = CString::new(format).map_err(|_| "the format holds a NUL character".to_owned())?;
    let mut io = StreamIo::from_read(output).map_err(|e| e.to_string())?;
    let watcher = interrupt.clone();
    let callback = ffmpeg::util::interrupt::new(Box::new(move || watcher.is_due()));
    let options = probing();
    // SAFETY: as in `open_input`; in addition the context reads through `io`,
    // which the returned Input owns, and on failure libav leaves a custom
    // `pb` to its owner, `io`, which is dropped here afterwards.
    unsafe {
        let format = find_format(Some(&format))?;
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err("out of memory".into());
        }
        (*context).interrupt_callback = callback.interrupt;
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        let mut options = options.disown();
        let result = ffi::avformat_open_input(&raw mut context, ptr::null(), format, &raw mut options);
        drop(ffmpeg::Dictionary::own(options));
        check(result)?;
        let found = ffi::avformat_find_stream_info(context, ptr::null_mut());
        if found < 0 {
            ffi::avformat_close_input(&raw mut context);
            check(found)?;
        }
        Ok(Input::wrap_with_custom_io_and_interrupt(context, io, callback.guard))
    }
}

fn find_format(name: Option<&CStr>) -> Result<*const ffi::AVInputFormat, String> {
    let Some(name) = name else { return Ok(ptr::null()) };
    // SAFETY: `name` is a NUL-terminated string; the result is static or null.
    let format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    if format.is_null() {
        return Err(format!("this FFmpeg knows no format '{}'", name.to_string_lossy()));
    }
    Ok(format)
}

fn check(result: i32) -> Result<(), String> {
    if result < 0 { Err(ffmpeg::Error::from(result).to_string()) } else { Ok(()) }
}

fn stream_info(input: &Input, stream: &ffmpeg::Stream<'_>) -> StreamInfo {
    let rate = stream.avg_frame_rate();
    let (n, d) = (rate.numerator(), rate.denominator());
    let format = input.format().name().to_owned();
    StreamInfo {
        // A copy of its own: the original belongs to the demuxer.
        parameters: stream.parameters().clone(),
        time_base: stream.time_base(),
        rotation: rotation(stream),
        frame_interval: (n > 0 && d > 0).then(|| Duration::from_secs_f64(f64::from(d) / f64::from(n))),
        duration: u64::try_from(input.duration()).ok().filter(|us| *us > 0).map(Duration::from_micros),
        frames: u64::try_from(stream.frames()).ok().filter(|n| *n > 0),
        // Raw elementary streams carry no times: the demuxer counts at the rate that
        // the encoder may have noted, else at 25 fps.
        has_clock: !["h264", "hevc", "mjpeg", "m4v"].contains(&format.as_str()),
        counted: false,
    }
}

/// The display matrix, 3x3 row-major 16.16 (the last column 2.30): its first
/// column turns the x axis. See libavutil/display.h.
fn rotation(stream: &ffmpeg::Stream<'_>) -> Rotation {
    let Some(side_data) = stream.side_data().find(|s| s.kind() == SideDataType::DisplayMatrix) else {
        return Rotation::None;
    };
    let value = |index: usize| {
        let bytes = side_data.data().get(index * 4..index * 4 + 4)?;
        Some(f64::from(i32::from_ne_bytes(bytes.try_into().ok()?)))
    };
    match (value(0), value(1)) {
        // The matrix maps the stored x axis to (a, b) in the display; with y
        // down a positive b turns clockwise.
        (Some(a), Some(b)) if a != 0.0 || b != 0.0 => Rotation::from_degrees_clockwise(b.atan2(a).to_degrees()),
        _ => Rotation::None,
    }
}
