//! One camera's vision thread: packets in, events into the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, TryRecvError};
use ffmpeg_next as ffmpeg;

use super::analysis::{Analysis, AnalysisError};
use super::coverage::Coverage;
use super::gating::Gating;
use super::ids::IdMaker;
use super::portraits::Portraits;
use super::recorder::Recorder;
use super::report::Reporter;
use super::stamp_news::StampNews;
use super::witness::Witness;
use crate::capture::{
    CaptureError, Decoded, Frame, GateCounts, GateMode, GateStatus, GatedDecoder, LiveTimeline, Message, Pictured,
    Placed, Reader, Recorded, StreamInfo, TimedBy,
};
use crate::clock::{Beat, boot_time_now};
use crate::control::PauseSwitch;
use crate::domain::{Backoff, Mono, jitter};
use crate::event::{Draft, Phase};
use crate::health::CameraStats;
use crate::journal::{JournalHandle, Timing};
use crate::scene::{Happening, SightingEnd};

/// One packet's decoding and analysis never takes longer, unless it is stuck.
const WORK_LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for a packet before looking after other things.
const IDLE_STEP: Duration = Duration::from_millis(500);
/// Packets, but no pictures for so long: the camera is blind.
const BLIND_AFTER: Duration = Duration::from_secs(10);
/// First and longest pause before a stream that wanted too much memory is tried
/// again.
const GIVEN_UP: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// While it catches up with a live camera, new packets are taken in after so
/// many pictures.
const PICTURES_AT_A_TIME: usize = 4;

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
    /// How its stream is decoded.
    pub gating: Gating,
    /// Takes stills, if they are wanted.
    pub witness: Option<Witness>,
    /// Records clips, if they are wanted.
    pub recorder: Option<Recorder>,
    /// Shows what it sees to those who ask.
    pub portraits: Portraits,
    /// For the watchdog.
    pub beat: Beat,
    /// Media time counts, not the clock: a file played as fast as it goes.
    pub media_time: bool,
    /// Whether anything is to be watched.
    pub pause: Arc<PauseSwitch>,
}

impl Vision {
    /// Runs until the source is over or stopped.
    pub fn run(self) -> Ended {
        let now = boot_time_now();
        let Vision { reader, beat, pause, .. } = self;
        let mut watch = Watching {
            reader: Arc::clone(&reader),
            analysis: self.analysis,
            reporter: self.reporter,
            journal: self.journal,
            stats: self.stats,
            gating: self.gating,
            witness: self.witness,
            recorder: self.recorder,
            portraits: self.portraits,
            gates_before: GateCounts::default(),
            damaged_before: 0,
            gate: None,
            ids: IdMaker::Random,
            media_time: self.media_time,
            source: None,
            paused: false,
            stream: None,
            frame: Frame::empty(),
            happenings: Vec::new(),
            drafts: Vec::new(),
            coverage: Coverage::new(now),
            stamp_news: StampNews::default(),
            available: now,
            eventful: None,
            lost: None,
            reopened: false,
            blind: false,
            last_picture: now,
            fruitless: false,
            looks_fail: None,
            complained: None,
            again: None,
            given_up: None,
            pauses: Backoff::new(GIVEN_UP.0, GIVEN_UP.1),
        };
        loop {
            beat.waiting();
            let message = match watch.is_behind() {
                true => reader.messages.try_recv().map_err(|e| match e {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
                false => reader.messages.recv_timeout(IDLE_STEP),
            };
            if reader.stopping() {
                return watch.finish(SightingEnd::Stop, &beat);
            }
            beat.working(WORK_LIMIT);
            watch.paused(pause.is_on(boot_time_now()));
            watch.attend(boot_time_now());
            watch.stats.queue.store(reader.messages.len() as u64, Relaxed);
            watch.stats.dropped.store(reader.dropped.load(Relaxed), Relaxed);
            match message {
                Ok(Message::Opened { info, recording }) => watch.opened(&info, recording, &beat),
                Ok(Message::Packet { packet, arrival, due, place }) => {
                    drop(place);
                    watch.packet(packet, arrival, due);
                }
                Ok(Message::Lost { why }) => watch.lost(why),
                Ok(Message::Ended) => {
                    watch.last_pictures(&beat);
                    watch.lost("end of file".to_owned());
                    return watch.finish(SightingEnd::Left, &beat);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return watch.finish(SightingEnd::Stop, &beat),
            }
            watch.some_pictures(&beat);
            watch.tick(boot_time_now());
            if watch.hand_over(&beat).is_err() {
                return Ended::Badly;
            }
        }
    }
}

/// The stream at present.
struct Stream {
    decoder: GatedDecoder,
    /// A file: it waits, so nothing need be left out.
    recording: bool,
    /// Pictures are waiting.
    behind: bool,
    /// When the latest picture was taken of which a packet came.
    latest: Mono,
    last_stamp: i64,
    info: StreamInfo,
    live: LiveTimeline,
    /// Instead of `live` when media time counts.
    media: Option<Recorded<ffmpeg::Packet>>,
}

impl Stream {
    /// Takes in a packet, with its time.
    fn push(&mut self, mut packet: ffmpeg::Packet, arrival: Mono, due: Mono) {
        let stamps = self.info.stamps(&packet);
        if let Some(media) = &mut self.media {
            media.push(packet, stamps);
            return self.push_placed();
        }
        let taken = self.live.at(stamps, arrival, due);
        if !self.info.has_clock {
            // Whoever reads its stamps finds times that mean something.
            self.last_stamp = self.info.time_unit().stamp(taken.as_micros()).max(self.last_stamp.saturating_add(1));
            packet.set_pts(Some(self.last_stamp));
            packet.set_dts(Some(self.last_stamp));
        }
        self.latest = self.latest.max(taken);
        self.decoder.push(packet, due, taken);
    }

    /// Takes in those packets of a recording whose place is known.
    fn push_placed(&mut self) {
        while let Some(Placed { packet, at, taken }) = self.media.as_mut().and_then(Recorded::placed) {
            self.decoder.push(packet, at, taken);
        }
    }

    /// No more packets come.
    fn end(&mut self) {
        if let Some(media) = &mut self.media {
            media.end();
        }
        self.push_placed();
        self.decoder.end();
    }
}

struct Watching {
    reader: Arc<Reader>,
    analysis: Analysis,
    reporter: Reporter,
    journal: JournalHandle,
    stats: Arc<CameraStats>,
    gating: Gating,
    witness: Option<Witness>,
    recorder: Option<Recorder>,
    portraits: Portraits,
    /// What the gates of earlier streams did.
    gates_before: GateCounts,
    /// The same of their decoders.
    damaged_before: u64,
    gate: Option<(GateMode, &'static str)>,
    ids: IdMaker,
    media_time: bool,
    /// The source that is open, and whether it is a recording.
    source: Option<(StreamInfo, bool)>,
    /// Nothing is to be watched.
    paused: bool,
    stream: Option<Stream>,
    frame: Frame,
    happenings: Vec<Happening>,
    drafts: Vec<Draft>,
    coverage: Coverage,
    stamp_news: StampNews,
    /// When the packet arrived that the decoder was given last.
    available: Mono,
    /// The same, of a picture whose happenings are not handed over yet.
    eventful: Option<Mono>,
    lost: Option<String>,
    /// A stream was opened of which no packet has come yet.
    reopened: bool,
    blind: bool,
    last_picture: Mono,
    /// No picture has come of the recording that was played last.
    fruitless: bool,
    /// Why the last look failed: pictures that were not looked at count for nothing
    /// until one succeeds.
    looks_fail: Option<String>,
    /// When a failure of the analysis was last logged.
    complained: Option<Mono>,
    /// When a stream that was given up is tried again.
    again: Option<Mono>,
    /// What that stream was.
    given_up: Option<StreamInfo>,
    /// The pauses before that.
    pauses: Backoff,
}

impl Watching {
    fn opened(&mut self, info: &StreamInfo, recording: bool, beat: &Beat) {
        if self.stats.frames.load(Relaxed) > 0 {
            self.stats.reconnects.fetch_add(1, Relaxed);
        }
        if recording {
            self.last_pictures(beat);
            self.close(SightingEnd::Left);
        }
        self.forget_stream();
        if let Some(doubt) = info.doubt(None).filter(|_| recording) {
            tracing::warn!("{doubt}");
        }
        // Somebody has set the camera to something else: it need not wait.
        if self.given_up.as_ref().is_some_and(|given_up| given_up.differs(info)) {
            (self.again, self.given_up) = (None, None);
        }
        self.source = Some((info.clone(), recording));
        self.reopened = true;
        // A camera that was given up is not given more by connecting again.
        if !self.paused && self.again.is_none() {
            self.new_stream(info, recording);
        }
    }

    fn new_stream(&mut self, info: &StreamInfo, recording: bool) {
        let now = boot_time_now();
        // A recording that is played again and again without a picture is blind.
        if !(recording && std::mem::replace(&mut self.fruitless, true)) {
            self.last_picture = now;
        }
        self.stamp_news.opened();
        if let Some(recorder) = &mut self.recorder {
            recorder.opened(info, &self.reporter);
        }
        match self.gating.decoder(info) {
            Ok(decoder) => {
                self.stream = Some(Stream {
                    decoder,
                    recording,
                    behind: false,
                    latest: Mono::ZERO,
                    last_stamp: i64::MIN,
                    // What an encoder notes need not be what comes.
                    live: LiveTimeline::new(info.frame_interval.filter(|_| info.counted), info.has_clock),
                    media: self.media_time.then(|| Recorded::new(now, info.frame_interval, info.counted)),
                    info: info.clone(),
                });
            }
            Err(e) => self.went_blind(now, e.to_string()),
        }
    }

    /// Whether watching is paused. While it is, packets are thrown away undecoded;
    /// afterwards everything begins anew.
    fn paused(&mut self, paused: bool) {
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        let now = boot_time_now();
        if paused {
            tracing::info!("paused: nothing is watched");
            self.forget_stream();
            self.close(SightingEnd::Paused);
            self.blind = false;
            self.coverage.pause(now);
        } else {
            tracing::info!("the pause is over");
            self.coverage.resume(now);
            self.again = None;
            if let Some((info, recording)) = self.source.clone() {
                self.new_stream(&info, recording);
            }
        }
    }

    /// Looks after those who want to see a picture.
    fn attend(&mut self, now: Mono) {
        let obstacle = match &self.stream {
            _ if self.paused => Some("the unit is paused"),
            None => Some("the camera gives no pictures"),
            Some(_) => None,
        };
        let wanted = self.portraits.attend(now, obstacle);
        if let Some(stream) = self.stream.as_mut().filter(|_| wanted) {
            stream.decoder.ask();
        }
    }

    fn packet(&mut self, packet: ffmpeg::Packet, arrival: Mono, due: Mono) {
        self.stats.frame_arrived(arrival);
        self.available = arrival;
        if std::mem::take(&mut self.reopened) && self.lost.is_some() && !self.media_time {
            let (reporter, ids) = (&self.reporter, &mut self.ids);
            let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
            self.analysis.interrupted(arrival, &mut make, &mut self.happenings);
        }
        if self.paused {
            self.stats.connected.store(true, Relaxed);
        }
        let Some(stream) = &mut self.stream else { return };
        self.coverage.received();
        stream.push(packet, arrival, due);
        let by = stream.media.is_none().then(|| stream.live.timed_by());
        if let Some(recorder) = &mut self.recorder {
            recorder.packets(stream.decoder.ring(), &mut self.ids, &self.reporter);
        }
        if !stream.decoder.is_decoding() {
            // Watched by its packets: nothing moves.
            self.last_picture = boot_time_now();
            self.coverage.watched(if self.media_time { arrival } else { stream.latest });
        }
        if let Some(by) = by {
            self.timed_by(by, arrival);
        }
    }

    /// Pictures' times come from there; a change is told.
    fn timed_by(&mut self, by: TimedBy, now: Mono) {
        self.stats.timed_by(by);
        let Some((phase, why)) = self.stamp_news.update(by, now) else { return };
        match &why {
            Some(why) => tracing::warn!("{why}: events get the time at which the pictures come"),
            None => tracing::info!("its time stamps keep real time again"),
        }
        self.drafts.push(self.reporter.camera_event(now, phase, why));
    }

    /// Pictures wait to be decoded.
    fn is_behind(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.behind)
    }

    /// No more packets: the pictures that the decoder held back for reordering.
    fn last_pictures(&mut self, beat: &Beat) {
        if let Some(mut stream) = self.stream.take() {
            stream.end();
            stream.recording = true;
            self.pictures(&mut stream, beat);
            self.stream = Some(stream);
            // While there are packets for a clip of it.
            self.report();
            self.forget_stream();
        }
    }

    /// As many pictures as there are, but of a live camera only a few at a time.
    fn some_pictures(&mut self, beat: &Beat) {
        if let Some(mut stream) = self.stream.take() {
            self.pictures(&mut stream, beat);
            self.note_gate(&stream.decoder.status());
            self.stats.damaged.store(self.damaged_before + stream.decoder.damaged(), Relaxed);
            self.stream = Some(stream);
        }
    }

    fn pictures(&mut self, stream: &mut Stream, beat: &Beat) {
        let most = if stream.recording { usize::MAX } else { PICTURES_AT_A_TIME };
        for _ in 0..most {
            if self.reader.stopping() {
                break;
            }
            let Some(decoded) = stream.decoder.receive(&mut self.frame) else {
                stream.behind = false;
                return;
            };
            beat.working(WORK_LIMIT);
            self.stats.decoded.fetch_add(1, Relaxed);
            match decoded {
                Decoded::Picture(Pictured { at, .. }) => {
                    self.frame.at = at;
                    self.picture();
                    stream.decoder.seen(self.frame.at, self.analysis.activity(self.frame.at));
                    self.offer(stream);
                }
                Decoded::Probe(pictured) => self.probe(stream, pictured),
            }
        }
        stream.behind = true;
    }

    /// A keyframe from a time in which nothing is decoded.
    fn probe(&mut self, stream: &mut Stream, pictured: Pictured) {
        self.frame.at = pictured.at;
        let differs = self.analysis.differs(&mut self.frame);
        if let Err(e) = &differs {
            self.complain(boot_time_now(), &e.to_string());
        }
        let differs = differs.unwrap_or(true);
        if stream.decoder.compared(differs, pictured) {
            self.picture();
            stream.decoder.seen(self.frame.at, self.analysis.activity(self.frame.at));
        }
        if !differs {
            self.offer(stream);
        }
    }

    /// The last picture, for those who want to see one.
    fn offer(&mut self, stream: &Stream) {
        self.portraits.offer(&mut self.frame, &mut self.analysis, &self.reporter, !stream.recording);
    }

    fn note_gate(&mut self, status: &GateStatus) {
        self.stats.gate(status, &self.gates_before);
        if self.gate != Some((status.mode, status.why)) {
            tracing::debug!("gate {:?}: {}, trust {:.2}", status.mode, status.why, status.trust);
            self.gate = Some((status.mode, status.why));
        }
    }

    /// The counters go on with the next stream.
    fn forget_stream(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.lost(&self.reporter);
        }
        if let Some(stream) = self.stream.take() {
            self.gates_before = self.gates_before.plus(&stream.decoder.status().counts);
            self.damaged_before += stream.decoder.damaged();
        }
    }

    /// A decoded frame through the stages.
    fn picture(&mut self) {
        let now = boot_time_now();
        let first = self.stats.decoded.load(Relaxed) <= 1;
        self.stats.connected.store(true, Relaxed);
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        let happened = self.happenings.len();
        let seen = self.analysis.frame(&mut self.frame, &mut make, &mut self.happenings);
        self.stats.light(self.analysis.light());
        let inferences = self.analysis.counts().inferences;
        let looked = self.stats.inferences.swap(inferences, Relaxed) != inferences;
        if looked {
            self.stats.looked.record(boot_time_now().since(self.available));
        }
        if self.happenings.len() > happened {
            self.eventful.get_or_insert(self.available);
        }
        if let Err(e) = seen {
            if matches!(e, AnalysisError::Detect(_)) {
                self.stats.failed_looks.fetch_add(1, Relaxed);
                self.looks_fail = Some(e.to_string());
            }
            self.complain(now, &e.to_string());
            if now.since(self.last_picture) > BLIND_AFTER {
                self.went_blind(now, e.to_string());
            }
            return;
        }
        if looked {
            self.looks_fail = None;
        } else if self.looks_fail.is_some() {
            return;
        }
        if first {
            tracing::info!("the first picture is analysed");
        }
        self.coverage.watched(if self.media_time { self.available } else { self.frame.at });
        self.last_picture = now;
        self.fruitless = false;
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
        self.coverage.lost();
        self.forget_stream();
        self.source = None;
        self.fruitless = false;
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

    /// A stream that wants more memory than it may have would be seen in part, now
    /// and then. It is given up, and tried again later each time.
    fn give_up_or_try_again(&mut self, now: Mono) {
        if let Some(why) = self.stream.as_ref().and_then(|stream| stream.decoder.too_many()) {
            self.given_up = self.stream.as_ref().map(|stream| stream.info.clone());
            self.forget_stream();
            self.went_blind(now, why);
            self.again = Some(now.plus(self.pauses.next(jitter())));
        }
        if self.again.is_some_and(|again| now >= again) {
            self.again = None;
            if let Some((info, recording)) = self.source.clone().filter(|_| !self.paused && self.stream.is_none()) {
                self.new_stream(&info, recording);
            }
        }
    }

    /// What time alone brings about.
    fn tick(&mut self, now: Mono) {
        if self.lost.is_none() && self.reader.hangs(now) {
            self.lost("it hangs in its driver or in what it sent; unplug it and plug it in again".to_owned());
        }
        self.give_up_or_try_again(now);
        if self.stream.is_some() && now.since(self.last_picture) > BLIND_AFTER {
            let too_large = self.stream.as_ref().and_then(|stream| stream.decoder.too_large());
            let unreadable = || CaptureError::PixelFormat("no pictures in what arrives".into()).to_string();
            self.went_blind(now, self.looks_fail.clone().or(too_large).unwrap_or_else(unreadable));
        }
        if !self.media_time {
            let (reporter, ids) = (&self.reporter, &mut self.ids);
            let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
            // Pictures that wait to be looked at, or that a network holds back, are not
            // missing: as long as there is a stream, time passes by its pictures.
            let at = match &self.stream {
                None => Some(now),
                Some(stream) => (!stream.behind).then_some(stream.latest.min(now)),
            };
            if let Some(at) = at {
                self.analysis.tick(at, &mut make, &mut self.happenings);
            }
        }
        if let Some(w) = self.coverage.tick(now) {
            self.drafts.push(self.reporter.watch(&w));
        }
    }

    fn close(&mut self, why: SightingEnd) {
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        self.analysis.finish(why, &mut make, &mut self.happenings);
    }

    /// Everything that happened goes to the journal; waits when it must.
    fn hand_over(&mut self, beat: &Beat) -> Result<(), crate::journal::JournalError> {
        self.report();
        if !self.drafts.is_empty() {
            // A disk that takes nothing for hours is a reason to wait.
            beat.waiting();
            let latencies = Arc::clone(&self.stats.committed);
            let timing = self.eventful.take().map(|since| Timing { since, latencies });
            self.journal.append_timed(std::mem::take(&mut self.drafts), timing)?;
        }
        // No event waits for a still that is only prepared.
        if let Some(witness) = &mut self.witness {
            if let Some((album, missed)) = self.analysis.album_and_missed() {
                witness.look_after(self.frame.at, missed, album, &self.reporter);
            }
            witness.hand_over();
        }
        Ok(())
    }

    /// What happened as events, with the stills that they name.
    fn report(&mut self) {
        let reporter = &self.reporter;
        for happening in self.happenings.drain(..) {
            let mut draft = reporter.event(&happening);
            if let (Some(witness), Some(album)) = (&mut self.witness, self.analysis.album()) {
                witness.happened(&happening, &mut draft, album, reporter);
            }
            if let (Some(recorder), Some(stream)) = (&mut self.recorder, &self.stream) {
                recorder.happened(&happening, stream.decoder.ring(), &mut self.ids, reporter);
            }
            self.drafts.push(draft);
        }
    }

    fn finish(mut self, why: SightingEnd, beat: &Beat) -> Ended {
        self.portraits.give_up("the camera is not watched any more");
        self.close(why);
        let w = self.coverage.close(boot_time_now());
        self.stats.connected.store(false, Relaxed);
        // After the sightings' ends, which `hand_over` puts behind the drafts.
        let mut result = self.hand_over(beat);
        self.forget_stream();
        self.drafts.push(self.reporter.watch(&w));
        result = result.and(self.hand_over(beat));
        beat.finished();
        if result.is_ok() { Ended::Well } else { Ended::Badly }
    }
}
