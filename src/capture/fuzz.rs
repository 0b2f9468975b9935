//! Any bytes as packets and as a whole video, for fuzzing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::Id;

use super::frame::Frame;
use super::gate::{Activity, Gate, GateSettings, KindReader, PacketFacts, Unfit};
use super::gated::{Decoded, GatedDecoder};
use super::input::{OpenSettings, VideoInput};
use super::interrupt::Interrupt;
use super::rgb::upright_rgb;
use super::ring::RingBounds;
use crate::config::Source;
use crate::domain::{Light, Mono};

const SETTINGS: GateSettings = GateSettings { enabled: true, idle_interval: Duration::from_secs(1) };

/// Packets of a video are given up beyond this.
const PACKETS: u64 = 2000;

/// A codec, its extra data, then packets: their heads are read, and the gate is
/// told of them and of what their pictures would show.
pub fn packets(data: &[u8]) {
    let codec = match data.first().map_or(0, |byte| byte % 3) {
        0 => Id::H264,
        1 => Id::HEVC,
        _ => Id::MJPEG,
    };
    let data = data.get(1..).unwrap_or_default();
    let (extra, data) = data.split_at(data.len().min(40));
    let kinds = [KindReader::new(codec, extra), KindReader::new(codec, &[])];
    let mut gate = Gate::new(&SETTINGS);
    let (mut at, mut position) = (Mono::ZERO, 0u32);
    for packet in data.chunks(24) {
        let [first, second, ..] = packet else { return };
        let read = |kinds: &KindReader| kinds.kind(packet.get(2..).unwrap_or_default(), first & 1 == 1);
        let [kind, _] = kinds.each_ref().map(read);
        position = if kind.is_key() { 0 } else { position.saturating_add(1) };
        let step = Duration::from_millis(u64::from(*second) * u64::from(*second));
        at = if first & 2 == 2 { at.minus(step) } else { at.plus(step) };
        let size = usize::from(*first) << (second % 24);
        gate.packet(&PacketFacts { at, size, kind, position, pause: None });
        match first >> 4 {
            0..=3 => {
                let light = Light::ALL.get(usize::from(second % 3)).copied().unwrap_or_default();
                gate.seen(at, Activity { moving: second & 1 == 1, busy: second & 2 == 2, light, next_look: None });
            }
            4 => _ = gate.probed(Some(second & 1 == 1)),
            5 => _ = gate.probed(None),
            6 => _ = gate.wants_look(),
            7 => gate.unfit(Unfit::LongGroup),
            8 => gate.overflowed(u64::from(*second)),
            _ => {}
        }
        gate.status();
    }
}

/// A file, read and decoded as a camera would be.
pub fn video(data: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("tawny-fuzz-{}-{number}", std::process::id()));
    if std::fs::write(&path, data).is_ok() {
        play(&Source::Location(path.display().to_string()));
    }
    // It lies in a folder for such files.
    let _ = std::fs::remove_file(&path);
}

fn play(source: &Source) {
    let Ok(mut input) = VideoInput::open(source, OpenSettings::default(), &Interrupt::default()) else { return };
    let bounds = RingBounds { span: Duration::from_secs(4), bytes: 1 << 20 };
    let Ok(mut decoder) = GatedDecoder::open(input.info(), 1, &SETTINGS, bounds) else { return };
    let mut frame = Frame::empty();
    for number in 0..PACKETS {
        let mut packet = ffmpeg::Packet::empty();
        let more = input.read(&mut packet).unwrap_or(false);
        let at = Mono::from_micros(number * 100_000);
        match more {
            true => decoder.push(packet, at, at),
            false => decoder.end(),
        }
        while let Some(decoded) = decoder.receive(&mut frame) {
            if let Ok(picture) = frame.picture() {
                let (width, height) = picture.upright_size();
                if width * height < 1 << 16 {
                    upright_rgb(&picture);
                }
            }
            match decoded {
                Decoded::Probe(pictured) => drop(decoder.compared(number % 3 == 0, pictured)),
                _ => {
                    let next_look = Some(at.plus(Duration::from_millis(number % 200)));
                    decoder.seen(at, Activity { moving: number % 5 == 0, next_look, ..Activity::default() });
                }
            }
        }
        if !more {
            return;
        }
    }
}

/// What a network camera sends.
pub fn camera(data: &[u8]) {
    super::rtsp::fuzz(data);
}
