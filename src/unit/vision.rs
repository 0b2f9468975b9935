//! One camera's vision thread: packets in, events into the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use ffmpeg_next as ffmpeg;

use super::analysis::Analysis;
use super::coverage::Coverage;
use super::ids::IdMaker;
use super::report::Reporter;
use crate::capture::{CaptureError, Decoder, FileTimeline, Frame, LiveTimeline, Message, Reader, StreamInfo, TimeBase};
use crate::clock::{Beat, boot_time_now};
use crate::domain::Mono;
use crate::event::{Draft, Phase};
use crate::health::CameraStats;
use crate::journal::JournalHandle;
use crate::scene::{Happening, SightingEnd};

/// One packet's decoding and analysis never takes longer, unless it is stuck.
const WORK_LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for a packet before looking after other things.
const IDLE_STEP: Duration = Duration::from_millis(500);
/// Packets, but no pictures for so long: the camera is blind.
const BLIND_AFTER: Duration = Duration::from_secs(10);

/// How a vision thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A file is over, or it was asked to stop.
    Well,
    /// It panicked, or the journal is gone.
    Badly,
}

/// Tells the daemon that the thread ended, whatever the reason.
pub struct EndNotice {
    /// Where to.
    pub sender: Sender<Ended>,
    /// What is told if nothing better is said: the thread panicked.
    pub how: Ended,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        // Nobody listens any more when the daemon has given up on the thread.
        let _ = self.sender.send(self.how);
    }
}

/// All that a camera's vision thread works with.
pub struct Vision {
    /// Where the packets come from.
    pub reader: Arc<Reader>,
    /// The stages.
    pub analysis: Analysis,
    /// Names and stamps.
    pub reporter: Reporter,
    /// Where events go.
    pub journal: JournalHandle,
    /// What health shows.
    pub stats: Arc<CameraStats>,
    /// For the watchdog.
    pub beat: Beat,
    /// Media time counts, not the clock: a file played as fast as it goes.
    pub media_time: bool,
}

impl Vision {
    /// Runs until the source is over or stopped.
    pub fn run(self) -> Ended {
        let now = boot_time_now();
        let Vision { reader, analysis, reporter, journal, stats, beat, media_time } = self;
        let mut watch = Watching {
            analysis,
            reporter,
            journal,
            stats,
            ids: IdMaker::Random,
            media_time,
            stream: None,
            frame: Frame::empty(),
            happenings: Vec::new(),
            drafts: Vec::new(),
            coverage: Coverage::new(now),
            lost: None,
            blind: false,
            last_picture: now,
            complained: None,
        };
        loop {
            beat.waiting();
            let message = reader.messages.recv_timeout(IDLE_STEP);
            if reader.stopping() {
                return watch.finish(SightingEnd::Stop, &beat);
            }
            beat.working(WORK_LIMIT);
            watch.stats.queue.store(reader.messages.len() as u64, Relaxed);
            watch.stats.dropped.store(reader.dropped.load(Relaxed), Relaxed);
            match message {
                Ok(Message::Opened { info, recording }) => watch.opened(*info, recording),
                Ok(Message::Packet { packet, arrival }) => watch.packet(&packet, arrival),
                Ok(Message::Lost { why }) => watch.lost(why),
                Ok(Message::Ended) => {
                    watch.last_pictures();
                    watch.lost("end of file".to_owned());
                    return watch.finish(SightingEnd::Left, &beat);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return watch.finish(SightingEnd::Stop, &beat),
            }
            watch.tick(boot_time_now());
            if watch.hand_over(&beat).is_err() {
                return Ended::Badly;
            }
        }
    }
}

/// The stream at present.
struct Stream {
    decoder: Decoder,
    time_base: TimeBase,
    has_clock: bool,
    live: LiveTimeline,
    /// Instead of `live` when media time counts.
    media: Option<FileTimeline>,
}

struct Watching {
    analysis: Analysis,
    reporter: Reporter,
    journal: JournalHandle,
    stats: Arc<CameraStats>,
    ids: IdMaker,
    media_time: bool,
    stream: Option<Stream>,
    frame: Frame,
    happenings: Vec<Happening>,
    drafts: Vec<Draft>,
    coverage: Coverage,
    lost: Option<String>,
    blind: bool,
    last_picture: Mono,
    /// When a failure of the analysis was last logged.
    complained: Option<Mono>,
}

impl Watching {
    fn opened(&mut self, info: StreamInfo, recording: bool) {
        if self.stats.frames.load(Relaxed) > 0 {
            self.stats.reconnects.fetch_add(1, Relaxed);
        }
        if recording {
            self.last_pictures();
            self.close(SightingEnd::Left);
        }
        let now = boot_time_now();
        self.last_picture = now;
        match Decoder::open(&info) {
            Ok(decoder) => {
                let (numerator, denominator) = (info.time_base.numerator(), info.time_base.denominator());
                self.stream = Some(Stream {
                    decoder,
                    time_base: TimeBase { numerator, denominator },
                    has_clock: info.has_clock,
                    live: LiveTimeline::default(),
                    media: self.media_time.then(|| FileTimeline::new(now, info.frame_interval)),
                });
            }
            Err(e) => {
                self.stream = None;
                self.went_blind(now, e.to_string());
            }
        }
    }

    fn packet(&mut self, packet: &ffmpeg::Packet, arrival: Mono) {
        self.stats.frame_arrived(arrival);
        let Some(mut stream) = self.stream.take() else { return };
        let micros = |stamp: Option<i64>| stamp.filter(|_| stream.has_clock).map(|s| stream.time_base.micros(s));
        stream.live.observe(micros(packet.pts()), arrival);
        stream.decoder.send(packet);
        self.pictures(&mut stream);
        self.stream = Some(stream);
    }

    /// No more packets: the pictures that the decoder held back for reordering.
    fn last_pictures(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.decoder.send_end();
            self.pictures(&mut stream);
        }
    }

    fn pictures(&mut self, stream: &mut Stream) {
        while let Some(stamp) = stream.decoder.receive(&mut self.frame) {
            let micros = stamp.filter(|_| stream.has_clock).map(|s| stream.time_base.micros(s));
            self.frame.at = match &mut stream.media {
                Some(media) => media.at(micros),
                None => stream.live.at(micros, boot_time_now()),
            };
            self.picture();
        }
    }

    /// A decoded frame through the stages.
    fn picture(&mut self) {
        let now = boot_time_now();
        let first = self.stats.decoded.fetch_add(1, Relaxed) == 0;
        self.stats.connected.store(true, Relaxed);
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        let seen = self.analysis.frame(&mut self.frame, &mut make, &mut self.happenings);
        self.stats.inferences.store(self.analysis.counts().inferences, Relaxed);
        if let Err(e) = seen {
            self.complain(now, &e.to_string());
            if now.since(self.last_picture) > BLIND_AFTER {
                self.went_blind(now, e.to_string());
            }
            return;
        }
        if first {
            tracing::info!("the first picture is analysed");
        }
        self.coverage.frame(now);
        self.last_picture = now;
        if self.lost.take().is_some() {
            tracing::info!("the camera is back");
            self.drafts.push(self.reporter.camera_event(now, Phase::Back, None));
        }
        if std::mem::take(&mut self.blind) {
            self.drafts.push(self.reporter.camera_event(now, Phase::Seeing, None));
        }
    }

    /// Failures of single frames are logged once a minute at most.
    fn complain(&mut self, now: Mono, why: &str) {
        if self.complained.is_none_or(|last| now.since(last) > Duration::from_secs(60)) {
            tracing::warn!("a picture could not be looked at: {why}");
            self.complained = Some(now);
        }
    }

    fn lost(&mut self, why: String) {
        self.stats.connected.store(false, Relaxed);
        self.stream = None;
        if self.lost.is_none() {
            tracing::warn!("the camera gives no pictures: {why}");
            self.drafts.push(self.reporter.camera_event(boot_time_now(), Phase::Lost, Some(why.clone())));
        }
        self.lost = Some(why);
    }

    fn went_blind(&mut self, now: Mono, why: String) {
        if !self.blind && self.lost.is_none() {
            tracing::warn!("the camera is blind: {why}");
            self.drafts.push(self.reporter.camera_event(now, Phase::Blind, Some(why)));
            self.blind = true;
        }
    }

    /// What time alone brings about.
    fn tick(&mut self, now: Mono) {
        if self.stream.is_some() && now.since(self.last_picture) > BLIND_AFTER {
            self.went_blind(now, CaptureError::PixelFormat("no pictures in what arrives".into()).to_string());
        }
        if !self.media_time {
            self.analysis.tick(now, &mut self.happenings);
        }
        if let Some(w) = self.coverage.tick(now) {
            self.drafts.push(self.reporter.watch(w.from, w.to, w.frames, w.blind));
        }
    }

    fn close(&mut self, why: SightingEnd) {
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        self.analysis.finish(why, &mut make, &mut self.happenings);
    }

    /// Everything that happened goes to the journal; waits when it must.
    fn hand_over(&mut self, beat: &Beat) -> Result<(), crate::journal::JournalError> {
        let reporter = &self.reporter;
        self.drafts.extend(self.happenings.drain(..).map(|h| reporter.event(&h)));
        if self.drafts.is_empty() {
            return Ok(());
        }
        // A disk that takes nothing for hours is a reason to wait.
        beat.waiting();
        self.journal.append(std::mem::take(&mut self.drafts))
    }

    fn finish(mut self, why: SightingEnd, beat: &Beat) -> Ended {
        self.close(why);
        let w = self.coverage.close(boot_time_now());
        self.stats.connected.store(false, Relaxed);
        // After the sightings' ends, which `hand_over` puts behind the drafts.
        let mut result = self.hand_over(beat);
        self.drafts.push(self.reporter.watch(w.from, w.to, w.frames, w.blind));
        result = result.and(self.hand_over(beat));
        beat.finished();
        if result.is_ok() { Ended::Well } else { Ended::Badly }
    }
}
