//! A decoder behind a gate: packets go in as they come, and only those
//! pictures come out that somebody has to look at.
//!
//! While the gate is closed, packets go into the ring and no further. When it
//! opens, decoding begins at a keyframe in the ring from before the cause and
//! catches up: every picture comes out once, in order, with its own stamp. The
//! decoder is flushed at every jump.
//!
//! Pictures that nobody would look at, because the last look was just now or
//! because they came out before, are left out where no other picture refers to
//! them.

use std::collections::VecDeque;
use std::time::Duration;

use ffmpeg_next as ffmpeg;

use super::decoder::Decoder;
use super::error::CaptureError;
use super::frame::Frame;
use super::gate::{Activity, Gate, GateSettings, GateStatus, KindReader, PacketFacts, Unfit, Verdict};
use super::input::StreamInfo;
use super::ring::{PacketRing, RingBounds};
use super::timeline::TimeBase;
use crate::domain::Mono;

/// Times are derived from stamps with an error of less than this.
const STAMP_JITTER: Duration = Duration::from_millis(1);
/// Pictures that a decoder may hold back at most: sixteen for reordering, and one for
/// each thread.
const MAX_HELD_BACK: usize = 64;
/// After a stamp that is of no use, so many packets' stamps are not relied on.
const DOUBTED: u32 = 250;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// The next picture in order. It is to be analysed, and [`GatedDecoder::seen`]
    /// told what it showed.
    Picture(Pictured),
    /// A keyframe from a time in which nothing is decoded. It is to be compared
    /// with the background without learning from it, and the answer given to
    /// [`GatedDecoder::compared`].
    Probe(Pictured),
}

/// A picture that comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pictured {
    /// When it was taken; later than the picture before it.
    pub at: Mono,
    /// Its stamp in stream units.
    pub stamp: Option<i64>,
}

/// A packet that went into the decoder.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    taken: Mono,
    stamp: Option<i64>,
}

/// See the module's description.
pub struct GatedDecoder {
    decoder: Decoder,
    ring: PacketRing,
    gate: Gate,
    kinds: KindReader,
    /// The next packet to be decoded; `None` while nothing is.
    next: Option<u64>,
    /// The keyframe that is decoded alone, and whether it went in.
    probe: Option<(u64, bool)>,
    /// The decoder was told of the end and gives what it holds.
    draining: bool,
    needs_flush: bool,
    /// No more packets come.
    ended: bool,
    /// Number after the last packet that was decoded in order.
    decoded_until: u64,
    /// What the decoder was given last, oldest first.
    sent: VecDeque<Sent>,
    /// When the last picture handed out was taken by its packet, and the time it was
    /// handed out with.
    last_taken: Option<Mono>,
    last_at: Option<Mono>,
    /// Pictures up to this time were handed out before the last jump. Nothing once
    /// later ones come.
    repeats: Option<Mono>,
    /// Pictures before this time are of no interest, by what the last one came to.
    next_look: Option<Mono>,
    time_base: TimeBase,
    last_dts: Option<i64>,
    /// Packets whose stamps are not relied on yet: they cannot say which picture is
    /// of no interest.
    doubted: u32,
    position: u32,
}

impl GatedDecoder {
    /// A gate that is open until it has shown that it can close, before a
    /// decoder of so many threads.
    ///
    /// # Errors
    /// When there is no decoder for the stream.
    pub fn open(
        info: &StreamInfo,
        threads: u16,
        settings: &GateSettings,
        bounds: RingBounds,
    ) -> Result<GatedDecoder, CaptureError> {
        let codec = info.parameters.id();
        let mut gate = Gate::new(settings);
        if !matches!(codec, ffmpeg::codec::Id::H264 | ffmpeg::codec::Id::HEVC) {
            gate.unfit(Unfit::Codec);
        }
        Ok(GatedDecoder {
            decoder: Decoder::with_threads(info, threads)?,
            ring: PacketRing::new(bounds),
            gate,
            kinds: KindReader::new(codec, extra_data(info)),
            next: Some(0),
            probe: None,
            draining: false,
            needs_flush: false,
            ended: false,
            decoded_until: 0,
            sent: VecDeque::new(),
            last_taken: None,
            last_at: None,
            repeats: None,
            next_look: None,
            time_base: TimeBase { numerator: info.time_base.numerator(), denominator: info.time_base.denominator() },
            last_dts: None,
            doubted: 0,
            position: 0,
        })
    }

    /// Takes in the next packet, which arrived at `at` or lies there on the
    /// recording's time line, and whose picture was `taken` then.
    pub fn push(&mut self, packet: ffmpeg::Packet, at: Mono, taken: Mono) {
        if packet.size() == 0 {
            return;
        }
        let kind = self.kinds.kind(packet.data().unwrap_or_default(), packet.is_key());
        self.position = if kind.is_key() { 0 } else { self.position.saturating_add(1) };
        let pause = self.check_stamps(&packet);
        let facts = PacketFacts { at, size: packet.size(), kind, position: self.position, pause };
        let number = self.ring.push(packet, at, taken, kind.is_key());
        if self.ring.group_exceeds() {
            self.gate.unfit(Unfit::LongGroup);
        }
        let waiting = self.next.and_then(|next| self.ring.get(next));
        self.gate.lags(waiting.map_or(Duration::ZERO, |held| at.since(held.at)));
        match self.gate.packet(&facts) {
            Verdict::Decode { since } => self.start(since),
            Verdict::Probe if self.next.is_none() => self.probe = Some((number, false)),
            Verdict::Probe => {}
            Verdict::Skip => self.stop(),
        }
        let lost = self.ring.trim(self.next.or(self.probe.map(|(number, _)| number)));
        self.gate.overflowed(lost);
    }

    /// The next picture into `frame`; `None` when more packets are needed.
    pub fn receive(&mut self, frame: &mut Frame) -> Option<Decoded> {
        loop {
            if let Some(number) = self.decoder.receive(frame) {
                let sent = self.sent(number);
                let pictured = Pictured { at: self.time(sent.taken), stamp: sent.stamp };
                if matches!(self.probe, Some((_, true))) {
                    return Some(Decoded::Probe(pictured));
                }
                // Decoded once more on the way from a keyframe to what is new.
                if Some(sent.taken) <= self.repeats {
                    continue;
                }
                self.repeats = None;
                (self.last_taken, self.last_at) = (Some(sent.taken), Some(pictured.at));
                return Some(Decoded::Picture(pictured));
            }
            if self.draining {
                (self.draining, self.needs_flush) = (false, true);
            }
            if !self.feed() {
                return None;
            }
        }
    }

    /// The answer to [`Decoded::Probe`]: whether the picture `differs` from the
    /// background. True if it is to be analysed like any other picture, since
    /// the detector has not looked for long. If it differs, it comes again, in
    /// order, with those before it.
    pub fn compared(&mut self, differs: bool, pictured: Pictured) -> bool {
        let Some((number, _)) = self.probe.take() else { return true };
        self.needs_flush = true;
        self.draining = false;
        match self.gate.probed(Some(differs)) {
            // It may have come at any time since the last picture.
            true => {
                let key = self.ring.last_key_at(self.decoded_until).or(self.ring.key_from(0));
                self.next = Some(key.unwrap_or(number));
                self.repeats = self.last_taken;
                false
            }
            false => {
                self.decoded_until = number;
                let taken = self.ring.get(number).map_or(pictured.at, |held| held.taken);
                let known = Some(taken) <= self.last_taken;
                if !known {
                    (self.last_taken, self.last_at) = (Some(taken), Some(pictured.at));
                }
                if self.ended {
                    // No later keyframe will tell what comes behind this one.
                    self.next = Some(number);
                    self.repeats = self.last_taken;
                }
                !known && self.gate.wants_look()
            }
        }
    }

    /// What the analysis of the picture at `at` came to.
    pub fn seen(&mut self, at: Mono, activity: Activity) {
        self.next_look = activity.next_look.map(|next| next.minus(STAMP_JITTER));
        if self.gate.seen(at, activity) && self.next.is_none() {
            // A keyframe decoded alone showed something that does not move.
            self.needs_flush = true;
            self.repeats = self.last_taken;
            self.next = self.ring.last_key_at(self.decoded_until).or(self.ring.last_key());
        }
    }

    /// Somebody wants to see a picture. If nothing is decoded, the next keyframe
    /// is, as [`Decoded::Probe`].
    pub fn ask(&mut self) {
        if self.next.is_none() {
            self.gate.ask();
        }
    }

    /// No more packets: what is still inside comes out now. While nothing is
    /// decoded, the last keyframe is compared, as there will be no later one.
    pub fn end(&mut self) {
        self.ended = true;
        if self.next.is_none() && self.probe.is_none() {
            self.probe = self.ring.last_key().filter(|key| *key >= self.decoded_until).map(|key| (key, false));
        }
    }

    /// Packets that wait to be decoded.
    pub fn backlog(&self) -> u64 {
        self.next.map_or(0, |next| self.ring.end().saturating_sub(next))
    }

    /// Whether pictures are decoded in order, rather than now and then.
    pub fn is_decoding(&self) -> bool {
        self.next.is_some()
    }

    /// The gate's condition.
    pub fn status(&self) -> GateStatus {
        self.gate.status()
    }

    /// The packets kept.
    pub fn ring(&self) -> &PacketRing {
        &self.ring
    }

    /// See [`Decoder::too_large`].
    pub fn too_large(&self) -> Option<String> {
        self.decoder.too_large()
    }

    /// See [`Decoder::too_many`].
    pub fn too_many(&self) -> Option<String> {
        self.decoder.too_many()
    }

    /// Packets that could not be decoded.
    pub fn damaged(&self) -> u64 {
        self.decoder.damaged
    }
}

impl GatedDecoder {
    /// The packet that a picture comes from: the one with this number, or the last.
    fn sent(&self, number: Option<u64>) -> Sent {
        let of_number = self.sent.iter().rev().find(|sent| Some(sent.number) == number);
        let newest = Sent { number: 0, taken: self.newest(), stamp: None };
        of_number.or(self.sent.back()).copied().unwrap_or(newest)
    }

    /// When the newest packet came.
    fn newest(&self) -> Mono {
        self.ring.end().checked_sub(1).and_then(|last| self.ring.get(last)).map_or(Mono::ZERO, |held| held.at)
    }

    /// The time of a picture that comes out now and was `taken` then, as far as its
    /// packet tells: pictures come out in order, whatever stamps say.
    fn time(&self, taken: Mono) -> Mono {
        let Some(last) = self.last_at.filter(|last| taken <= *last) else { return taken };
        last.plus(self.ring.interval()).min(self.newest()).max(last.plus(Duration::from_micros(1)))
    }

    /// Decoding begins, at a keyframe not after `since` if there is one.
    fn start(&mut self, since: Mono) {
        if self.next.is_some() {
            return;
        }
        self.probe = None;
        self.needs_flush |= !self.draining;
        let before = self.ring.key_before(since).or(self.ring.key_from(0));
        // Not what was decoded already.
        let done = self.ring.last_key_at(self.decoded_until);
        self.next = Some(before.max(done).unwrap_or(self.ring.end()));
        self.repeats = self.last_taken;
    }

    /// Decoding ends; what the decoder still holds comes out.
    fn stop(&mut self) {
        if self.next.take().is_some() {
            self.decoder.send_end();
            self.draining = true;
        }
    }

    /// Gives the decoder what it needs next; false if there is nothing.
    fn feed(&mut self) -> bool {
        match self.probe {
            Some((number, false)) => {
                self.flush();
                self.decoder.skip_disposable(false);
                self.send(number);
                self.decoder.send_end();
                self.probe = Some((number, true));
                true
            }
            // It went in and nothing came out: this keyframe does not stand alone.
            Some((number, true)) => {
                self.probe = None;
                self.needs_flush = true;
                if self.gate.probed(None) {
                    self.next = Some(number);
                    self.repeats = self.last_taken;
                }
                true
            }
            None => self.send_next(),
        }
    }

    fn send_next(&mut self) -> bool {
        let Some(next) = self.next else { return false };
        let Some(held) = self.ring.get(next) else {
            if next >= self.ring.end() {
                if self.ended {
                    self.stop();
                }
                return self.ended;
            }
            // It fell out of the ring: go on at the next keyframe.
            self.needs_flush = true;
            self.next = Some(self.ring.key_from(next).unwrap_or(self.ring.end()));
            return true;
        };
        if std::mem::take(&mut self.needs_flush) {
            self.decoder.flush();
        }
        let unwanted = Some(held.taken) < self.next_look || Some(held.taken) <= self.repeats;
        self.decoder.skip_disposable(self.doubted == 0 && (unwanted || self.gate.references_only()));
        self.send(next);
        self.next = Some(next + 1);
        self.decoded_until = self.decoded_until.max(next + 1);
        true
    }

    /// Gives the decoder the packet with this number.
    fn send(&mut self, number: u64) {
        let Some(held) = self.ring.get_mut(number) else { return };
        if self.sent.len() == MAX_HELD_BACK {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { number, taken: held.taken, stamp: held.packet.pts() });
        self.decoder.send(&mut held.packet, number);
    }

    fn flush(&mut self) {
        self.decoder.flush();
        (self.needs_flush, self.draining) = (false, false);
    }

    /// Without usable stamps nobody can tell when a picture was taken once
    /// some are left out. Gives the time since the packet before.
    fn check_stamps(&mut self, packet: &ffmpeg::Packet) -> Option<Duration> {
        let dts = packet.dts().or(packet.pts());
        if packet.pts().is_none() || self.last_dts.is_some_and(|last| dts.is_none_or(|dts| dts <= last)) {
            self.gate.unfit(Unfit::Stamps);
            self.doubted = DOUBTED;
        }
        self.doubted = self.doubted.saturating_sub(1);
        let step = dts.zip(self.last_dts).and_then(|(dts, last)| dts.checked_sub(last));
        self.last_dts = dts.or(self.last_dts);
        let micros = u64::try_from(self.time_base.micros(step?)).ok()?;
        Some(Duration::from_micros(micros))
    }
}

fn extra_data(info: &StreamInfo) -> &[u8] {
    // SAFETY: the parameters own `extradata`, which is null or points to
    // `extradata_size` bytes, and outlive the slice, which borrows from them.
    unsafe {
        let parameters = &*info.parameters.as_ptr();
        match usize::try_from(parameters.extradata_size) {
            Ok(size) if !parameters.extradata.is_null() => std::slice::from_raw_parts(parameters.extradata, size),
            _ => &[],
        }
    }
}
