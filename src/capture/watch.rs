//! A short look at a source: open it, see some frames, close it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;

use super::decoder::Decoder;
use super::error::CaptureError;
use super::frame::Frame;
use super::input::{OpenSettings, StreamInfo, VideoInput};
use super::interrupt::Interrupt;
use super::timeline::{Placed, Recorded};
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
    /// Bytes of the largest group of pictures (a keyframe and what follows it), whole or
    /// not.
    pub largest_group: u64,
    /// How long it was looked at.
    pub span: Duration,
    /// Packets that could not be decoded, and pictures that came out damaged.
    pub damaged: u64,
    /// Frames decoded.
    pub frames: u64,
    /// Their rate, per second: as the packets of a live source arrive once the
    /// first, which waited for it to be opened, are in; as the stamps say for a file;
    /// `None` with fewer than two frames.
    pub frame_rate: Option<f64>,
}

/// How long to watch.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// At least so long.
    pub least: Duration,
    /// And on until a whole group of pictures was seen, but at most so long.
    pub for_a_group: Duration,
}

impl From<Duration> for Span {
    fn from(least: Duration) -> Span {
        Span { least, for_a_group: least }
    }
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
    settings: OpenSettings,
    span: impl Into<Span>,
    each: &mut dyn FnMut(&mut Frame) -> Result<(), CaptureError>,
) -> Result<Watched, CaptureError> {
    let (began, span) = (Instant::now(), span.into());
    let interrupt = Interrupt::default();
    let mut input = VideoInput::open(source, settings, &interrupt)?;
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
        largest_group: 0,
        span: Duration::ZERO,
        damaged: 0,
        frames: 0,
        frame_rate: None,
    };
    let (mut packet, mut frame) = (ffmpeg::Packet::empty(), Frame::empty());
    let mut last_keyframe = None;
    let mut arrivals = Arrivals::default();
    let (mut seen, mut group) = (Duration::ZERO, 0);
    while seen < span.least || (watched.keyframe_interval.is_none() && seen < span.for_a_group) {
        let more = input.read(&mut packet)?;
        if more {
            if watched.packets == 0 {
                watched.opened_after = began.elapsed();
            }
            if packet.is_key() {
                watched.keyframe_interval = last_keyframe.map(|last| watched.packets - last);
                last_keyframe = Some(watched.packets);
                watched.keyframes += 1;
                group = 0;
            }
            group += packet.size() as u64;
            watched.largest_group = watched.largest_group.max(group);
            arrivals.note(began.elapsed());
            times.packet(watched.packets, &watched.info, &packet);
            decoder.send(&mut packet, watched.packets);
            watched.packets += 1;
        } else {
            times.end();
            decoder.send_end();
        }
        while let Some(number) = decoder.receive(&mut frame) {
            seen = times.of_frame(number).max(seen);
            frame.at = Mono::ZERO.plus(seen);
            watched.frames += 1;
            each(&mut frame)?;
        }
        watched.damaged = decoder.damaged;
        let longest = watched.opened_after + span.least.max(span.for_a_group) + NO_FRAME_LIMIT;
        if !more || (!is_file && began.elapsed() > longest) {
            break;
        }
        // A camera may send without end what cannot be decoded.
        if watched.frames == 0 && began.elapsed() > watched.opened_after + NO_FRAME_LIMIT {
            break;
        }
    }
    if watched.frames == 0 {
        let why = format!("none of its {} packets could be decoded", watched.packets);
        return Err(CaptureError::Read(decoder.too_large().or(decoder.too_many()).unwrap_or(why)));
    }
    watched.span = seen;
    let intervals = watched.frames - 1;
    let of_frames = (intervals > 0 && !seen.is_zero()).then(|| intervals as f64 / seen.as_secs_f64());
    watched.frame_rate = if is_file { of_frames } else { arrivals.rate().or(of_frames) };
    Ok(watched)
}

/// When packets arrive, so that what was held back while the source was opened does
/// not count as fast.
#[derive(Default)]
struct Arrivals {
    first: Option<Duration>,
    /// The first and the last that count, and the intervals between.
    counted: Option<(Duration, Duration, u32)>,
}

impl Arrivals {
    /// How long what was held back takes to come.
    const BURST: Duration = Duration::from_millis(500);

    fn note(&mut self, at: Duration) {
        let first = *self.first.get_or_insert(at);
        self.counted = match self.counted {
            Some((from, _, intervals)) => Some((from, at, intervals + 1)),
            None => (at >= first + Self::BURST).then_some((at, at, 0)),
        };
    }

    /// A second, if it was long enough to tell.
    fn rate(&self) -> Option<f64> {
        let (from, to, intervals) = self.counted?;
        let span = to.saturating_sub(from);
        (intervals > 0 && span >= Self::BURST).then(|| f64::from(intervals) / span.as_secs_f64())
    }
}

/// How long a stream may go on without a picture.
const NO_FRAME_LIMIT: Duration = Duration::from_secs(15);

/// The time of each frame since the first.
enum Times {
    /// With the last packets' places.
    File(Box<Recorded<u64>>, VecDeque<Placed<u64>>),
    Live(Option<Instant>),
}

/// Places of packets that are remembered: as many as a decoder may hold back, and those
/// that the time line does.
const REMEMBERED: usize = 100;

impl Times {
    fn new(info: &StreamInfo, is_file: bool) -> Times {
        match is_file {
            true => {
                let line = Recorded::new(Mono::ZERO, info.frame_interval, info.counted);
                Times::File(Box::new(line), VecDeque::new())
            }
            false => Times::Live(None),
        }
    }

    fn packet(&mut self, number: u64, info: &StreamInfo, packet: &ffmpeg::Packet) {
        if let Times::File(line, _) = self {
            line.push(number, info.stamps(packet));
        }
        self.place();
    }

    fn end(&mut self) {
        if let Times::File(line, _) = self {
            line.end();
        }
        self.place();
    }

    fn place(&mut self) {
        if let Times::File(line, places) = self {
            while let Some(place) = line.placed() {
                if places.len() == REMEMBERED {
                    places.pop_front();
                }
                places.push_back(place);
            }
        }
    }

    fn of_frame(&mut self, number: Option<u64>) -> Duration {
        match self {
            Times::File(_, places) => {
                let place = places.iter().find(|place| Some(place.packet) == number).or(places.back());
                place.map_or(Duration::ZERO, |place| place.taken.since(Mono::ZERO))
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_held_back_while_a_camera_was_opened_is_no_frame_rate() {
        let mut arrivals = Arrivals::default();
        let ms = Duration::from_millis;
        (0..40).for_each(|n| arrivals.note(ms(n)));
        assert_eq!(arrivals.rate(), None);
        (1..=30).for_each(|n| arrivals.note(ms(40 + n * 80)));
        assert!((arrivals.rate().unwrap() - 12.5).abs() < 0.01, "{:?}", arrivals.rate());
    }
}
