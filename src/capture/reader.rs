//! A live source on a thread of its own: reads packets into a bounded queue,
//! brings a lost camera back, plays files at their own speed.

use std::collections::VecDeque;
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

/// Packets between the reader and the decoder: some twenty seconds, so that ten that the
/// network hands over at once find room.
const QUEUE_PACKETS: usize = 512;
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
/// One that was waited for so long may have lain ready, too, behind a rest of whoever
/// hands it over, if stamps run at so many times the pace.
const RESTS: Duration = Duration::from_millis(200);
const STAMPS_RUN: u32 = 4;
/// Packets that lie ready when a connection is open, and their bytes; more than these
/// have come just now.
const BACKLOG_PACKETS: usize = 400;
const BACKLOG_BYTES: usize = 15_000_000;
/// They are sorted out within this time.
const BACKLOG_WITHIN: Duration = Duration::from_secs(2);
/// Nothing came for so long, and for so many times the usual interval: what comes fast
/// then was held back.
const PAUSE: Duration = Duration::from_secs(1);
const UNUSUAL: u32 = 4;
/// Arrivals that the usual interval is the mean of.
const REMEMBERED: usize = 64;

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
        /// When it would have arrived, had it not been held back on its way with others.
        due: Mono,
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
        let opened = (self.now)();
        // What an encoder notes or a demuxer makes up need not be what comes.
        let interval = info.frame_interval.filter(|_| info.counted);
        let mut ready = Some(Ready::new(began, opened, self.last, interval));
        let mut flow = Flow::default();
        loop {
            let asked = Instant::now();
            let read = self.read(input);
            let (arrival, waited) = ((self.now)(), asked.elapsed());
            if let Some(lying) = &mut ready {
                let stamps = match &read {
                    Ok(Some(packet)) if info.has_clock => info.stamps(packet),
                    _ => Stamps::default(),
                };
                match read {
                    Ok(Some(packet)) if lying.takes(&packet, stamps, waited, arrival) => {
                        lying.take(packet, stamps, arrival);
                        continue;
                    }
                    _ => {}
                }
            }
            for (packet, arrival) in ready.take().into_iter().flat_map(Ready::came) {
                flow.note(arrival);
                self.offer(packet, arrival, arrival)?;
            }
            let (packet, failed) = match read {
                Ok(packet) => (packet, None),
                // What is held back was read.
                Err(e) => (None, Some(e)),
            };
            let ended = packet.is_none();
            for (packet, arrival, due) in flow.next(packet, arrival, waited) {
                self.offer(packet, arrival, due)?;
            }
            if ended {
                return failed.map_or(Ok(()), Err);
            }
        }
    }

    fn offer(&mut self, packet: ffmpeg::Packet, arrival: Mono, due: Mono) -> Result<(), CaptureError> {
        self.last = self.last.max(due);
        if self.queue.offer(packet, arrival, due) { Ok(()) } else { Err(CaptureError::Stopped) }
    }
}

/// The flow of packets: which of them a network held back, and when they were due.
///
/// After a pause the first one waits for the second. If they come faster than usual,
/// and so many that they may be those of the pause, each is due its interval after the
/// one before, from the pause's beginning on, until they have caught up.
#[derive(Default)]
struct Flow {
    /// When the last ones were due.
    usual: VecDeque<Mono>,
    held: Option<HeldBack>,
    /// What has been held back comes.
    catches_up: Option<Hurry>,
}

/// Packets come faster than usual.
#[derive(Debug, Clone, Copy)]
struct Hurry {
    /// Since when, and how many.
    since: Mono,
    packets: u32,
    /// What they usually are apart.
    interval: Duration,
}

impl Hurry {
    /// Whether they still do at `now`: at twice the pace, at least.
    fn goes_on(self, now: Mono) -> bool {
        now.since(self.since) < LAY_READY + (self.interval / 2).saturating_mul(self.packets)
    }
}

/// What came after a pause, until it is known whether it was held back.
struct HeldBack {
    /// When the pause began, and when it was over.
    since: Mono,
    over: Mono,
    interval: Duration,
    packets: Vec<(ffmpeg::Packet, Mono)>,
}

impl HeldBack {
    fn hurry(&self) -> Hurry {
        let packets = u32::try_from(self.packets.len()).unwrap_or(u32::MAX);
        Hurry { since: self.over, packets, interval: self.interval }
    }

    /// Half of what usually comes in such a time.
    fn is_enough(&self) -> bool {
        let Hurry { packets, interval, .. } = self.hurry();
        packets >= 2 && interval.saturating_mul(2).saturating_mul(packets) >= self.over.since(self.since)
    }
}

impl Flow {
    fn note(&mut self, due: Mono) {
        if self.usual.len() == REMEMBERED {
            self.usual.pop_front();
        }
        self.usual.push_back(due);
    }

    /// What packets are usually apart, as far as it is known.
    fn interval(&self) -> Option<Duration> {
        let between = u32::try_from(self.usual.len().checked_sub(1)?).ok()?;
        self.usual.back()?.since(*self.usual.front()?).checked_div(between)
    }

    /// The next packet, which arrived now and was waited for so long, or the end. Gives
    /// those that need not wait any more, with their arrival and when they were due.
    fn next(
        &mut self,
        packet: Option<ffmpeg::Packet>,
        now: Mono,
        waited: Duration,
    ) -> Vec<(ffmpeg::Packet, Mono, Mono)> {
        let mut out = Vec::new();
        let mut packet = packet;
        if let Some(mut held) = self.held.take() {
            let taken = packet.take_if(|_| held.hurry().goes_on(now));
            let goes_on = taken.is_some();
            held.packets.extend(taken.map(|packet| (packet, now)));
            if held.is_enough() {
                self.catches_up = Some(held.hurry());
            } else if goes_on {
                self.held = Some(held);
                return out;
            }
            for (packet, arrival) in held.packets {
                self.pass(packet, arrival, &mut out);
            }
        }
        let Some(packet) = packet else { return out };
        let pause = self.interval().filter(|interval| waited > PAUSE && waited > *interval * UNUSUAL);
        match (pause, self.usual.back()) {
            (Some(interval), Some(last)) => {
                self.catches_up = None;
                self.held = Some(HeldBack { since: *last, over: now, interval, packets: vec![(packet, now)] });
            }
            _ => self.pass(packet, now, &mut out),
        }
        out
    }

    fn pass(&mut self, packet: ffmpeg::Packet, arrival: Mono, out: &mut Vec<(ffmpeg::Packet, Mono, Mono)>) {
        let hurry = self.catches_up.filter(|hurry| hurry.goes_on(arrival));
        let follows = hurry.zip(self.usual.back()).map(|(hurry, last)| last.plus(hurry.interval));
        let due = follows.filter(|due| *due < arrival);
        self.catches_up = hurry.filter(|_| due.is_some());
        self.catches_up.iter_mut().for_each(|hurry| hurry.packets = hurry.packets.saturating_add(1));
        let due = due.unwrap_or(arrival);
        self.note(due);
        out.push((packet, arrival, due));
    }
}

/// What lies ready when a connection is open.
struct Ready {
    /// When opening began, and when it was done.
    began: Mono,
    opened: Mono,
    /// None came before.
    after: Mono,
    /// What they are apart, as far as it is known.
    interval: Option<Duration>,
    packets: Vec<ffmpeg::Packet>,
    stamps: Vec<Stamps>,
    bytes: usize,
    /// When the last one was fetched.
    end: Mono,
}

impl Ready {
    fn new(began: Mono, opened: Mono, after: Mono, interval: Option<Duration>) -> Ready {
        let (packets, stamps, bytes, end) = (Vec::new(), Vec::new(), 0, opened);
        Ready { began, opened, after, interval, packets, stamps, bytes, end }
    }

    /// Whether this packet, which was waited for so long, is one of them.
    fn takes(&self, packet: &ffmpeg::Packet, stamps: Stamps, waited: Duration, now: Mono) -> bool {
        (waited < LAY_READY || waited < RESTS && self.stamps_run(stamps, now))
            && now.since(self.opened) < BACKLOG_WITHIN
            && self.packets.len() < BACKLOG_PACKETS
            && self.bytes.saturating_add(packet.size()) <= BACKLOG_BYTES
    }

    /// Whether stamps have run at several times the pace since opening was done.
    fn stamps_run(&self, stamps: Stamps, now: Mono) -> bool {
        let first = self.stamps.iter().find_map(|stamps| stamps.in_order_us());
        let run = first.zip(stamps.in_order_us()).and_then(|(first, now)| now.checked_sub(first));
        let run = Duration::from_micros(run.and_then(|us| u64::try_from(us).ok()).unwrap_or(0));
        run / STAMPS_RUN > now.since(self.opened)
    }

    fn take(&mut self, packet: ffmpeg::Packet, stamps: Stamps, now: Mono) {
        self.bytes = self.bytes.saturating_add(packet.size());
        self.packets.push(packet);
        self.stamps.push(stamps);
        self.end = now;
    }

    /// Each with its arrival.
    fn came(self) -> impl Iterator<Item = (ffmpeg::Packet, Mono)> {
        let arrivals = backlog(&self.stamps, self.interval, self.began, self.after, self.end);
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
/// twenty seconds behind, everything up to the next keyframe is dropped and
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
                return self.send(Message::Packet { packet, arrival, due: arrival, place });
            }
            if !self.interrupt.sleep(Duration::from_millis(5)) {
                return false;
            }
        }
    }

    /// Never waits. False when nobody listens.
    fn offer(&mut self, packet: ffmpeg::Packet, arrival: Mono, due: Mono) -> bool {
        if self.skipping && !packet.is_key() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let Some(place) = Place::take(&self.queued, packet.size()) else {
            self.drop_until_a_keyframe();
            return true;
        };
        match self.sender.try_send(Message::Packet { packet, arrival, due, place }) {
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
        assert!(queue.offer(packet, Mono::ZERO, Mono::ZERO));
    }

    /// Delays, in ms, by which packets of one each 80 ms are late at the end of a pause
    /// of five seconds, and how long after the pause each was passed on. Those of the
    /// pause come first, if any were held back; then the usual ones.
    fn after_a_pause(held_back: u64, comes_ms: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
        let at = |ms: u64| Mono::from_micros(100_000_000 + ms * 1000);
        let mut flow = Flow::default();
        let mut passed = Vec::new();
        (0..=40).for_each(|n| flow.note(at(n * 80)));
        let (pause, mut last) = (3200 + 5000, 3200);
        for n in 0..held_back + 100 {
            let now = pause + if n < held_back { comes_ms(n) } else { comes_ms(held_back) + (n - held_back) * 80 };
            let waited = Duration::from_millis(now - last);
            last = now;
            for (_, arrival, due) in flow.next(Some(ffmpeg::Packet::new(1000)), at(now), waited) {
                assert!(due <= arrival && arrival <= at(now));
                passed.push((arrival.since(due).as_millis() as u64, now - pause));
            }
        }
        passed
    }

    #[test]
    fn what_was_held_back_comes_faster_than_usual_and_was_due_in_the_pause() {
        for comes in [|n| n / 20, |n| n + n / 20 * 120, |n| n * 30] {
            let passed = after_a_pause(62, comes);
            assert!(passed.len() >= 161, "{passed:?}");
            for (n, (late, _)) in (0..62).zip(&passed) {
                let truth = 5000 + comes(n) - (n + 1) * 80;
                assert!(late.abs_diff(truth) <= 1, "{n}: {late} instead of {truth}");
            }
            // Nothing waits for the next burst.
            assert!(passed[61].1 <= comes(61), "{passed:?}");
        }
    }

    #[test]
    fn a_camera_that_has_paused_is_not_late() {
        let passed = after_a_pause(0, |_| 0);
        assert!(passed.len() >= 99 && passed.iter().all(|(late, _)| *late == 0), "{passed:?}");
        // Three at once are not what five seconds would have brought.
        let passed = after_a_pause(3, |_| 0);
        assert!(passed.len() >= 102 && passed.iter().all(|(late, _)| *late == 0), "{passed:?}");
    }

    #[test]
    fn what_was_lost_in_a_pause_makes_nothing_late_for_ever() {
        let passed = after_a_pause(45, |_| 0);
        assert!(passed.len() >= 140 && passed.iter().rev().take(20).all(|(late, _)| *late == 0), "{passed:?}");
    }

    #[test]
    fn a_slow_camera_pauses_all_the_time() {
        let mut flow = Flow::default();
        for n in 0..20u32 {
            let now = Mono::from_secs_f64(f64::from(n) * 3.0);
            let passed = flow.next(Some(ffmpeg::Packet::new(1000)), now, Duration::from_secs(3));
            assert!(passed.len() == 1 && passed[0].2 == now, "{n}");
        }
    }

    #[test]
    fn what_waits_for_the_second_one_is_passed_on_at_the_end() {
        let mut flow = Flow::default();
        (0..40).for_each(|n| flow.note(Mono::from_secs_f64(f64::from(n) * 0.08)));
        let now = Mono::from_secs_f64(9.0);
        assert_eq!(flow.next(Some(ffmpeg::Packet::new(1000)), now, Duration::from_secs(6)).len(), 0);
        assert_eq!(flow.next(None, now, Duration::from_secs(1)).len(), 1);
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
