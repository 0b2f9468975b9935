//! A live source on a thread of its own: reads packets into a bounded queue,
//! brings a lost camera back, plays files at their own speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError};
use ffmpeg_next as ffmpeg;

use super::error::CaptureError;
use super::input::{OpenSettings, StreamInfo, VideoInput};
use super::interrupt::Interrupt;
use super::timeline::TimeBase;
use crate::clock::Beat;
use crate::config::{Source, SourceKind};
use crate::domain::{Backoff, Mono, jitter};

/// Packets between the reader and the decoder: some ten seconds.
const QUEUE_PACKETS: usize = 256;
/// First and longest pause before a lost camera is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// libav is called back after twenty seconds; if it has not come back by then,
/// it never will.
const STUCK_AFTER: Duration = Duration::from_secs(40);
/// A connection that held this long was a good one.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

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
    },
    /// The source failed; it will be tried again.
    Lost {
        /// Why, in plain words.
        why: String,
    },
    /// A file is over and not to be repeated.
    Ended,
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReaderSettings {
    /// Where from.
    pub source: Source,
    /// How it is opened.
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
            queue: Queue { sender, interrupt: interrupt.clone(), dropped: dropped.clone(), skipping: false },
            settings,
            interrupt: interrupt.clone(),
            now,
            beat,
        };
        let thread = std::thread::Builder::new().name(format!("capture {name}")).spawn(move || {
            reading.run();
            reading.beat.finished();
        })?;
        Ok(Reader { messages, dropped, interrupt, thread })
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
        let mut input = VideoInput::open(&self.settings.source, self.settings.open, &self.interrupt)?;
        let info = input.info().clone();
        let time_base = TimeBase { numerator: info.time_base.numerator(), denominator: info.time_base.denominator() };
        let recording = self.settings.is_file();
        let mut pace = (recording && self.settings.realtime).then(Pace::default);
        self.queue.skipping = false;
        if !self.queue.send(Message::Opened { info: Box::new(info), recording }) {
            return Err(CaptureError::Stopped);
        }
        loop {
            let mut packet = ffmpeg::Packet::empty();
            self.beat.working(STUCK_AFTER);
            if !input.read(&mut packet)? {
                return Ok(());
            }
            self.beat.waiting();
            if let Some(pace) = &mut pace {
                let due = packet.dts().or(packet.pts()).map(|stamp| pace.pause(time_base.micros(stamp)));
                if !self.interrupt.sleep(due.unwrap_or(Duration::ZERO)) {
                    return Err(CaptureError::Stopped);
                }
            }
            let arrival = (self.now)();
            let sent = if recording {
                self.queue.send(Message::Packet { packet, arrival })
            } else {
                self.queue.offer(packet, arrival)
            };
            if !sent {
                return Err(CaptureError::Stopped);
            }
        }
    }
}

/// Plays a file at its own speed.
#[derive(Default)]
struct Pace {
    /// Wall clock and stamp of the first packet.
    origin: Option<(Instant, i64)>,
}

impl Pace {
    /// How long to wait before the packet stamped `dts_us`.
    fn pause(&mut self, dts_us: i64) -> Duration {
        let (start, first) = *self.origin.get_or_insert((Instant::now(), dts_us));
        let due = Duration::from_micros(u64::try_from(dts_us.saturating_sub(first)).unwrap_or(0));
        let pause = due.saturating_sub(start.elapsed());
        // A hole in the stamps is not waited out.
        if pause > Duration::from_secs(10) {
            self.origin = Some((Instant::now(), dts_us));
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

    /// Never waits. False when nobody listens.
    fn offer(&mut self, packet: ffmpeg::Packet, arrival: Mono) -> bool {
        if self.skipping && !packet.is_key() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        match self.sender.try_send(Message::Packet { packet, arrival }) {
            Ok(()) => {
                self.skipping = false;
                true
            }
            Err(TrySendError::Full(_)) => {
                self.skipping = true;
                self.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
