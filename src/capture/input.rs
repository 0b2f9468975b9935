//! An open source: packets of its video stream, one after the other.

use std::path::Path;
use std::time::Duration;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::packet::side_data::Type as SideDataType;
use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::media;

use super::diagnosis;
use super::error::CaptureError;
use super::interrupt::Interrupt;
use super::opening::{self, Failure, NOT_ON_THE_LIST, RECORDINGS};
use super::picture::Rotation;
use super::program::Program;
use super::rtsp::Relay;
use super::timeline::{Stamps, TimeBase};
use crate::config::{CameraConfig, CommandSource, Source, SourceKind, Transport};

/// How long opening may take: a camera that boots, a probe of a slow stream.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// How long no packet may come before the source counts as stalled.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// A larger packet is no picture of any camera: a keyframe of 4K has two
/// megabytes, an uncompressed picture of 12 megapixels 25.
const MOST_PACKET_BYTES: usize = 32 << 20;

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
    fn with_rate(mut self, fps: Option<f64>) -> StreamInfo {
        if let Some(fps) = fps.filter(|fps| !self.has_clock && *fps > 0.0) {
            (self.frame_interval, self.counted) = (Some(Duration::from_secs_f64(1.0 / fps)), true);
        }
        self
    }

    /// Whether its pictures are coded in another way or size than the `other` stream's,
    /// as far as what describes them tells.
    pub fn differs(&self, other: &StreamInfo) -> bool {
        let described = |info: &StreamInfo| {
            // SAFETY: the parameters are allocated and own their extra data, which is
            // null or of that size; both outlive the copy.
            unsafe {
                let parameters = &*info.parameters.as_ptr();
                let size = usize::try_from(parameters.extradata_size).unwrap_or(0);
                let extra = match parameters.extradata.is_null() {
                    true => Vec::new(),
                    false => std::slice::from_raw_parts(parameters.extradata, size).to_vec(),
                };
                (info.parameters.id(), parameters.width, parameters.height, extra)
            }
        };
        described(self) != described(other)
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

/// What the configuration says about how a source is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenSettings {
    /// How a network camera's pictures come.
    pub transport: Transport,
    /// A network camera may be given the password itself.
    pub allow_basic: bool,
    /// Pictures per second of a stream without times.
    pub fps: Option<f64>,
}

impl From<&CameraConfig> for OpenSettings {
    fn from(camera: &CameraConfig) -> OpenSettings {
        OpenSettings {
            transport: camera.transport.unwrap_or_default(),
            allow_basic: camera.allow_basic,
            fps: camera.fps(),
        }
    }
}

/// An open source.
pub struct VideoInput {
    // Dropped before the program and the relay, so that nobody reads a dead pipe, and
    // the camera still hears that we go.
    input: Input,
    program: Option<Program>,
    relay: Option<Relay>,
    stream: usize,
    info: StreamInfo,
    interrupt: Interrupt,
}

impl VideoInput {
    /// Opens `source`; relative file names are relative to the working folder.
    ///
    /// # Errors
    /// When it does not open in time or holds no video.
    pub fn open(source: &Source, settings: OpenSettings, interrupt: &Interrupt) -> Result<VideoInput, CaptureError> {
        opening::initialise();
        interrupt.arm(OPEN_LIMIT);
        let what = source.label();
        let opened = match source.kind() {
            SourceKind::Command(command) => open_command(command, interrupt),
            SourceKind::Rtsp(url) => open_rtsp(url, settings, interrupt),
            SourceKind::Device(path) => open_device(path, interrupt).map(Opened::from),
            SourceKind::File(path) => open_file(path, interrupt).map(Opened::from),
        };
        let Opened { input, program, relay } = opened.map_err(|failure| match () {
            () if interrupt.stopped() => CaptureError::Stopped,
            () if interrupt.timed_out() => CaptureError::Stalled { seconds: OPEN_LIMIT.as_secs() },
            () => CaptureError::Open { what: what.clone(), why: failure.why },
        })?;
        let stream = input.streams().best(media::Type::Video).ok_or(CaptureError::NoVideo { what })?;
        let (index, info) = (stream.index(), stream_info(&input, &stream).with_rate(settings.fps));
        Ok(VideoInput { input, program, relay, stream: index, info, interrupt: interrupt.clone() })
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
                Ok(()) if packet.stream() == self.stream && packet.size() <= MOST_PACKET_BYTES => return Ok(true),
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => {
                    let why = if self.interrupt.stopped() { None } else { self.why_over() };
                    return why.map_or(Ok(false), |why| Err(CaptureError::Read(why)));
                }
                Err(_) if self.interrupt.stopped() => return Err(CaptureError::Stopped),
                Err(_) if self.interrupt.timed_out() => {
                    return Err(CaptureError::Stalled { seconds: READ_LIMIT.as_secs() });
                }
                // What ended waiting for a program ends each later call, too.
                Err(ffmpeg::Error::Other { errno: ffmpeg::util::error::ETIMEDOUT }) if self.program.is_some() => {
                    return Err(CaptureError::Stalled { seconds: READ_LIMIT.as_secs() });
                }
                // A damaged packet in a file: the demuxer goes on behind it.
                Err(ffmpeg::Error::InvalidData) => {}
                Err(e) => return Err(CaptureError::Read(self.relay_says().unwrap_or_else(|| e.to_string()))),
            }
            if self.interrupt.timed_out() {
                return Err(CaptureError::Stalled { seconds: READ_LIMIT.as_secs() });
            }
        }
    }
}

impl VideoInput {
    /// Why there is nothing more to read, if that is known.
    fn why_over(&mut self) -> Option<String> {
        let Some(program) = &mut self.program else { return self.relay_says() };
        let ended = program.ended();
        ended.or_else(|| Some(program.with_last_words("the program closed its output".to_owned())))
    }

    /// Why the connection to a network camera was given up, if it was.
    fn relay_says(&self) -> Option<String> {
        self.relay.as_ref().and_then(Relay::why)
    }
}

/// What was opened, and what has to live as long.
struct Opened {
    input: Input,
    program: Option<Program>,
    relay: Option<Relay>,
}

impl From<Input> for Opened {
    fn from(input: Input) -> Opened {
        Opened { input, program: None, relay: None }
    }
}

fn open_command(command: &CommandSource, interrupt: &Interrupt) -> Result<Opened, Failure> {
    let started = Program::start(&command.command, interrupt);
    let (mut program, output) = started.map_err(|e| Failure::from(e.to_string().as_str()))?;
    match opening::open_program(output, &command.format, interrupt) {
        Ok(input) => Ok(Opened { program: Some(program), ..input.into() }),
        Err(failure) => {
            // What it wrote too much it may have died of.
            let asked = failure.code != opening::TOO_MUCH && !interrupt.stopped();
            let ended = if asked { program.ended() } else { None };
            let why = ended.unwrap_or_else(|| program.with_last_words(failure.why));
            Err(Failure { why, ..failure })
        }
    }
}

fn open_rtsp(url: &str, settings: OpenSettings, interrupt: &Interrupt) -> Result<Opened, Failure> {
    let open = |over: &str| open_over(over, url, settings.allow_basic, interrupt);
    let encrypted = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsps:"));
    match settings.transport {
        // Encrypted is what comes inside the connection alone.
        _ if encrypted => open("tcp"),
        Transport::Udp => open("udp").map_err(|failure| match is_refusal(&failure) {
            true => {
                Failure { why: format!("it does not offer UDP: {}; set transport = \"auto\"", failure.why), ..failure }
            }
            false => failure,
        }),
        Transport::Tcp => open("tcp").map_err(|failure| match failure.code {
            NO_SUCH_TRANSPORT => {
                let why = format!("it does not offer TCP: {}; set transport = \"auto\" or \"udp\"", failure.why);
                Failure { why, ..failure }
            }
            _ => failure,
        }),
        // UDP loses packets on the weak links these cameras hang on.
        Transport::Auto => match open("tcp") {
            Err(refused) if is_refusal(&refused) && !interrupt.is_due() => open("udp").map_err(|failure| Failure {
                why: format!("neither over TCP ({}) nor over UDP ({})", refused.why, failure.why),
                ..failure
            }),
            opened => opened,
        },
    }
}

/// FFmpeg never holds the login: it speaks to the relay.
fn open_over(over: &str, url: &str, allow_basic: bool, interrupt: &Interrupt) -> Result<Opened, Failure> {
    let relay = Relay::start(url, allow_basic, interrupt).map_err(|why| Failure::from(why.as_str()))?;
    let mut options = opening::bounded(true);
    options.set("rtsp_transport", over);
    // A sound track on which nothing comes must not be waited for.
    options.set("allowed_media_types", "video");
    // What a description names must not reach anything but the camera.
    options.set("protocol_whitelist", "rtsp,rtp,tcp,udp");
    match opening::open_url(relay.url(), None, options, true, interrupt) {
        Ok(input) => {
            relay.is_open();
            Ok(Opened { relay: Some(relay), ..input.into() })
        }
        // Better words than libav has, and no refusal of a transport.
        Err(failure) => Err(relay.why().map_or(failure, |why| Failure::from(why.as_str()))),
    }
}

/// What libav makes of the answer "461 Unsupported Transport".
const NO_SUCH_TRANSPORT: i32 = ffi::AVERROR(ffi::EPROTONOSUPPORT);

/// Whether a camera may have refused the transport: it says so, or it answers
/// with another one, or with an error that says nothing. A wrong password or
/// address is none, and asking again would be one more wrong login.
fn is_refusal(failure: &Failure) -> bool {
    let vague = [ffi::AVERROR_INVALIDDATA, ffi::AVERROR_HTTP_BAD_REQUEST, ffi::AVERROR_HTTP_OTHER_4XX];
    failure.code == NO_SUCH_TRANSPORT || failure.code == ffi::AVERROR_HTTP_SERVER_ERROR || vague.contains(&failure.code)
}

fn open_device(path: &Path, interrupt: &Interrupt) -> Result<Input, Failure> {
    opening::open_url(text(path)?, Some(c"video4linux2"), opening::bounded(true), true, interrupt)
}

fn open_file(path: &Path, interrupt: &Interrupt) -> Result<Input, Failure> {
    if !path.exists() {
        return Err("there is no such file".into());
    }
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        // Opening a pipe waits for who writes into it, and nothing ends that.
        return Err("it is no regular file; what comes through a pipe is read with command = [\"cat\", …]".into());
    }
    if diagnosis::has_units_without_end(path) {
        return Err(opening::UNITS_WITHOUT_END.into());
    }
    let mut options = opening::bounded(false);
    options.set("blocksize", &opening::PIECE.to_string());
    // A playlist must not reach out to other files' protocols, nor to other files.
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", RECORDINGS);
    // The prefix keeps a name with a colon from being taken for a URL.
    let url = format!("file:{}", text(path)?);
    opening::open_url(&url, None, options, false, interrupt).map_err(|failure| {
        let why = match failure.code {
            NOT_ON_THE_LIST => "it is no recording in a known form (a playlist or a picture is none)".to_owned(),
            opening::TOO_MUCH => failure.why,
            _ => diagnosis::of_file(path).map_or(failure.why, str::to_owned),
        };
        Failure { why, ..failure }
    })
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| "the name is not UTF-8".into())
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
