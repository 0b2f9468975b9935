//! A live source on a thread of its own: reads packets into a bounded queue,
//! brings a lost camera back, plays files at their own speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError};
use ffmpeg_next as ffmpeg;

use super::error::CaptureError;
use super::input::{OpenSettings, StreamInfo, VideoInput};
use super::interrupt::Interrupt;
use super::timeline::{Recorded, Stamps, backlog};
use crate::clock::Beat;
use crate::config::{Source, SourceKind};
use crate::domain::{Backoff, Mono, jitter};

/// Packets between the reader and the decoder: some ten seconds.
const QUEUE_PACKETS: usize = 256;
/// Bytes of these: ten seconds of 12 Mbit/s. A packet that is larger waits alone.
const QUEUE_BYTES: usize = 16 << 20;
/// First and longest pause before a lost camera is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// libav is called back after twenty seconds; if it has not come back by then,
/// it never will.
const STUCK_AFTER: Duration = Duration::from_secs(40);
/// A connection that held this long was a good one.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// A packet that was not waited for so long lay ready.
const LAY_READY: Duration = Duration::from_millis(10);
/// Packets that lie ready when a connection is open, and their bytes; more than these
/// have come just now.
const BACKLOG_PACKETS: usize = 200;
const BACKLOG_BYTES: usize = 16_000_000;
/// A connection's first packets are sorted out within this time.
const BACKLOG_WITHIN: Duration = Duration::from_secs(1);

/// What the reader says.
pub enum Message {
    /// The source is open; decoders and time lines start anew.
    Opened {
        /// What the stream is.
        info: Box<StreamInfo>,
        /// A recording begins: nothing before it belongs to it.
        recording: bool,
    },
    /// A packet, in decoding order.
    Packet {
        /// The packet.
        packet: ffmpeg::Packet,
        /// When it arrived, CLOCK_BOOTTIME.
        arrival: Mono,
        /// Its place in the queue, given back with the message.
        place: Place,
    },
    /// The source failed; it will be tried again.
    Lost {
        /// Why, in plain words.
        why: String,
    },
    /// A file is over and not to be repeated.
    Ended,
}

/// Bytes in the queue, for as long as this exists.
pub struct Place {
    bytes: usize,
    queued: Arc<AtomicUsize>,
}

impl Place {
    /// For so many bytes, if the queue has room for them.
    fn take(queued: &Arc<AtomicUsize>, bytes: usize) -> Option<Place> {
        let room = |queued: usize| {
            let then = queued.saturating_add(bytes);
            (queued == 0 || then <= QUEUE_BYTES).then_some(then)
        };
        queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Place { bytes, queued: Arc::clone(queued) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReaderSettings {
    /// Where from.
    pub source: Source,
    /// How to open it.
    pub open: OpenSettings,
    /// Files: at the speed of the recording.
    pub realtime: bool,
    /// Files: again and again.
    pub looped: bool,
}

impl ReaderSettings {
    fn is_file(&self) -> bool {
        matches!(self.source.kind(), SourceKind::File(_))
    }
}

/// The thread's handle; the thread ends soon after [`Reader::stop`].
pub struct Reader {
    /// What it says, in order.
    pub messages: Receiver<Message>,
    /// Packets thrown away because the queue was full.
    pub dropped: Arc<AtomicU64>,
    interrupt: Interrupt,
    beat: Beat,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Starts reading; `now` is CLOCK_BOOTTIME.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(name: &str, settings: ReaderSettings, now: fn() -> Mono, beat: Beat) -> std::io::Result<Reader> {
        let (sender, messages) = crossbeam_channel::bounded(QUEUE_PACKETS);
        let interrupt = Interrupt::default();
        let dropped = Arc::new(AtomicU64::new(0));
        let mut reading = Reading {
            queue: Queue {
                sender,
                interrupt: interrupt.clone(),
                dropped: dropped.clone(),
                queued: Arc::default(),
                skipping: false,
            },
            settings,
            interrupt: interrupt.clone(),
            last: Mono::ZERO,
            now,
            beat: beat.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("capture {name}")).spawn(move || {
            reading.run();
            reading.beat.finished();
        })?;
        Ok(Reader { messages, dropped, interrupt, beat, thread })
    }

    /// Whether the thread hangs in a driver or in libav: it says nothing any more.
    pub fn hangs(&self, now: Mono) -> bool {
        self.beat.is_late(now)
    }

    /// Asks the thread to end, at once and without waiting.
    pub fn stop(&self) {
        self.interrupt.stop();
    }

    /// Whether it was asked to end.
    pub fn stopping(&self) -> bool {
        self.interrupt.stopped()
    }

    /// Whether the thread has ended, and with it the program it read from.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Reading {
    queue: Queue,
    settings: ReaderSettings,
    interrupt: Interrupt,
    /// Arrival of the last packet, of this connection or an earlier one.
    last: Mono,
    now: fn() -> Mono,
    beat: Beat,
}

impl Reading {
    fn run(&mut self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let began = Instant::now();
            let why = match self.one_connection() {
                Ok(()) if self.settings.is_file() => {
                    if self.settings.looped {
                        continue;
                    }
                    self.queue.send(Message::Ended);
                    return;
                }
                Ok(()) => "the stream ended".to_owned(),
                Err(CaptureError::Stopped) => return,
                Err(e) => e.to_string(),
            };
            if began.elapsed() > GOOD_CONNECTION {
                backoff.reset();
            }
            self.beat.waiting();
            if !self.queue.send(Message::Lost { why }) || !self.interrupt.sleep(backoff.next(jitter())) {
                return;
            }
        }
    }

    /// From opening to the end of the stream.
    fn one_connection(&mut self) -> Result<(), CaptureError> {
        self.beat.working(STUCK_AFTER);
        let began = (self.now)();
        let mut input = VideoInput::open(&self.settings.source, self.settings.open, &self.interrupt)?;
        let info = input.info().clone();
        let recording = self.settings.is_file();
        self.queue.skipping = false;
        if !self.queue.send(Message::Opened { info: Box::new(info.clone()), recording }) {
            return Err(CaptureError::Stopped);
        }
        match recording {
            true => self.recording(&mut input, &info),
            false => self.live(&mut input, &info, began),
        }
    }

    /// The next packet; `None` at the end.
    fn read(&mut self, input: &mut VideoInput) -> Result<Option<ffmpeg::Packet>, CaptureError> {
        let mut packet = ffmpeg::Packet::empty();
        self.beat.working(STUCK_AFTER);
        let more = input.read(&mut packet)?;
        // It was told lost meanwhile: whoever listens waits for it to be opened again.
        if !self.settings.is_file() && self.beat.is_late((self.now)()) {
            return Err(CaptureError::Stalled { seconds: STUCK_AFTER.as_secs() });
        }
        self.beat.waiting();
        Ok(more.then_some(packet))
    }

    /// A file, at its own speed if that is wanted.
    fn recording(&mut self, input: &mut VideoInput, info: &StreamInfo) -> Result<(), CaptureError> {
        let mut pace = self.settings.realtime.then(Pace::default);
        let mut line = Recorded::new(Mono::ZERO, info.frame_interval, info.counted);
        let mut is_empty = true;
        loop {
            let (packet, failed) = match self.read(input) {
                Ok(packet) => (packet, None),
                // What is held back was read.
                Err(e) => (None, Some(e)),
            };
            let ended = packet.is_none();
            is_empty &= ended;
            match packet {
                Some(packet) if pace.is_some() => {
                    let stamps = info.stamps(&packet);
                    line.push(packet, stamps);
                }
                // Whoever gets it places it.
                Some(packet) => self.send(packet)?,
                None => line.end(),
            }
            while let (Some(pace), Some(placed)) = (&mut pace, line.placed()) {
                if !self.interrupt.sleep(pace.pause(placed.at)) {
                    return Err(CaptureError::Stopped);
                }
                self.send(placed.packet)?;
            }
            if ended && is_empty && self.settings.looped && failed.is_none() {
                // It would be opened again at once, for ever.
                return Err(CaptureError::Read("the recording holds no pictures".to_owned()));
            }
            if ended {
                return failed.map_or(Ok(()), Err);
            }
        }
    }

    fn send(&mut self, packet: ffmpeg::Packet) -> Result<(), CaptureError> {
        let arrival = (self.now)();
        match self.queue.send_packet(packet, arrival) {
            true => Ok(()),
            false => Err(CaptureError::Stopped),
        }
    }

    fn live(&mut self, input: &mut VideoInput, info: &StreamInfo, began: Mono) -> Result<(), CaptureError> {
        let mut ready = Some(Ready::new(began, (self.now)()));
        loop {
            let asked = Instant::now();
            let read = self.read(input);
            let arrival = (self.now)();
            if let Some(lying) = &mut ready {
                match read {
                    Ok(Some(packet)) if lying.takes(&packet, asked.elapsed(), arrival) => {
                        lying.take(packet, arrival);
                        continue;
                    }
                    _ => {}
                }
            }
            if let Some(lying) = ready.take() {
                for (packet, arrival) in lying.came(info, self.last) {
                    self.offer(packet, arrival)?;
                }
            }
            match read? {
                Some(packet) => self.offer(packet, arrival)?,
                None => return Ok(()),
            }
        }
    }

    fn offer(&mut self, packet: ffmpeg::Packet, arrival: Mono) -> Result<(), CaptureError> {
        self.last = self.last.max(arrival);
        if self.queue.offer(packet, arrival) { Ok(()) } else { Err(CaptureError::Stopped) }
    }
}

/// What lies ready when a connection is open.
struct Ready {
    /// When opening began, and when it was done.
    began: Mono,
    opened: Mono,
    packets: Vec<ffmpeg::Packet>,
    bytes: usize,
    /// When the last one was fetched.
    end: Mono,
}

impl Ready {
    fn new(began: Mono, opened: Mono) -> Ready {
        Ready { began, opened, packets: Vec::new(), bytes: 0, end: opened }
    }

    /// Whether this packet, which was waited for so long, is one of them.
    fn takes(&self, packet: &ffmpeg::Packet, waited: Duration, now: Mono) -> bool {
        waited < LAY_READY
            && now.since(self.opened) < BACKLOG_WITHIN
            && self.packets.len() < BACKLOG_PACKETS
            && self.bytes.saturating_add(packet.size()) <= BACKLOG_BYTES
    }

    fn take(&mut self, packet: ffmpeg::Packet, now: Mono) {
        self.bytes = self.bytes.saturating_add(packet.size());
        self.packets.push(packet);
        self.end = now;
    }

    /// Each with its arrival, none before `after`.
    fn came(self, info: &StreamInfo, after: Mono) -> impl Iterator<Item = (ffmpeg::Packet, Mono)> {
        let stamps: Vec<Stamps> = match info.has_clock {
            true => self.packets.iter().map(|packet| info.stamps(packet)).collect(),
            false => vec![Stamps::default(); self.packets.len()],
        };
        // What an encoder notes or a demuxer makes up need not be what comes.
        let interval = info.frame_interval.filter(|_| info.counted);
        let arrivals = backlog(&stamps, interval, self.began, after, self.end);
        self.packets.into_iter().zip(arrivals)
    }
}

/// Plays a file at its own speed.
#[derive(Default)]
struct Pace {
    /// Wall clock at a place on the recording's time line.
    origin: Option<(Instant, Mono)>,
}

impl Pace {
    /// How long to wait before the packet that lies there.
    fn pause(&mut self, at: Mono) -> Duration {
        let (start, first) = *self.origin.get_or_insert((Instant::now(), at));
        let pause = at.since(first).saturating_sub(start.elapsed());
        // A hole in the stamps is not waited out.
        if pause > Duration::from_secs(10) {
            self.origin = Some((Instant::now(), at));
            return Duration::ZERO;
        }
        pause
    }
}

/// The sending end: bounded. A camera does not wait, so when the decoder lags
/// ten seconds behind, everything up to the next keyframe is dropped and
/// counted; a file waits.
struct Queue {
    sender: Sender<Message>,
    interrupt: Interrupt,
    dropped: Arc<AtomicU64>,
    queued: Arc<AtomicUsize>,
    skipping: bool,
}

impl Queue {
    /// Waits for room. False when stopped or nobody listens.
    fn send(&self, message: Message) -> bool {
        let mut message = message;
        loop {
            match self.sender.send_timeout(message, Duration::from_millis(100)) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(_)) if self.interrupt.stopped() => return false,
                Err(SendTimeoutError::Timeout(unsent)) => message = unsent,
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
        }
    }

    /// A recording's packet: waits for room.
    fn send_packet(&self, packet: ffmpeg::Packet, arrival: Mono) -> bool {
        loop {
            if let Some(place) = Place::take(&self.queued, packet.size()) {
                return self.send(Message::Packet { packet, arrival, place });
            }
            if !self.interrupt.sleep(Duration::from_millis(5)) {
                return false;
            }
        }
    }

    /// Never waits. False when nobody listens.
    fn offer(&mut self, packet: ffmpeg::Packet, arrival: Mono) -> bool {
        if self.skipping && !packet.is_key() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let Some(place) = Place::take(&self.queued, packet.size()) else {
            self.drop_until_a_keyframe();
            return true;
        };
        match self.sender.try_send(Message::Packet { packet, arrival, place }) {
            Ok(()) => {
                self.skipping = false;
                true
            }
            Err(TrySendError::Full(_)) => {
                self.drop_until_a_keyframe();
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    fn drop_until_a_keyframe(&mut self) {
        self.skipping = true;
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn queue() -> (Queue, Receiver<Message>) {
        let (sender, messages) = crossbeam_channel::bounded(QUEUE_PACKETS);
        let interrupt = Interrupt::default();
        (Queue { sender, interrupt, dropped: Arc::default(), queued: Arc::default(), skipping: false }, messages)
    }

    fn offer(queue: &mut Queue, bytes: usize, key: bool) {
        let mut packet = ffmpeg::Packet::new(bytes);
        if key {
            packet.set_flags(ffmpeg::packet::Flags::KEY);
        }
        assert!(queue.offer(packet, Mono::ZERO));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let (mut queue, messages) = queue();
        for _ in 0..40 {
            offer(&mut queue, 1 << 20, true);
        }
        assert_eq!((messages.len(), queue.dropped.load(Ordering::Relaxed)), (16, 24));
        // What is taken out makes room, but decoding goes on at a keyframe alone.
        drop((messages.recv().unwrap(), messages.recv().unwrap()));
        offer(&mut queue, 100, false);
        assert_eq!(messages.len(), 14);
        offer(&mut queue, 1 << 20, true);
        offer(&mut queue, 100, false);
        assert_eq!(messages.len(), 16);
        messages.try_iter().for_each(drop);
        // A single one that is larger than all is not refused for ever.
        offer(&mut queue, QUEUE_BYTES + 1, true);
        offer(&mut queue, 1, true);
        assert_eq!(messages.len(), 1);
        messages.try_iter().for_each(drop);
        assert_eq!(queue.queued.load(Ordering::Relaxed), 0);
    }
}
