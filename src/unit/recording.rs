//! A recorded video through the same stages as a live camera: one thread, in
//! order, as fast as it goes or at its own speed.

use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;

use super::analysis::{Analysis, AnalysisError};
use super::gating::Gating;
use super::ids::IdMaker;
use super::report::Reporter;
use crate::capture::{
    CaptureError, Decoded, Frame, GateCounts, GateMode, GateStatus, GatedDecoder, Interrupt, OpenSettings, Pictured,
    Recorded, VideoInput,
};
use crate::config::Source;
use crate::domain::Mono;
use crate::event::Draft;
use crate::scene::SightingEnd;

/// What a recording amounted to.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordingCounts {
    /// Packets of the video stream.
    pub frames: u64,
    /// Frames decoded from them.
    pub decoded: u64,
    /// Packets that could not be decoded, and pictures that came out damaged.
    pub damaged: u64,
    /// What the packet gate did.
    pub gate: GateCounts,
}

/// Why a recording could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It does not open or cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// It opens, but nothing in it could be decoded.
    #[error("none of its {packets} packets could be decoded")]
    NoPictures {
        /// How many were tried.
        packets: u64,
    },
    /// It ends in the middle: a recorder that lost power, a copy that was cut.
    #[error("it breaks off after {packets} frames{}", announced.map_or(String::new(), |n| format!(" of {n}")))]
    BreaksOff {
        /// How many packets there were.
        packets: u64,
        /// How many its index announces.
        announced: Option<u64>,
    },
    /// A frame could not be looked at.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// The receiver of the events has failed; it knows why.
    #[error("the events could not be handed on")]
    Sink,
}

/// Plays recordings one after the other on one time line.
pub struct Player {
    /// The stages.
    pub analysis: Analysis,
    /// Names and stamps for what they find.
    pub reporter: Reporter,
    gating: Gating,
    ids: IdMaker,
    realtime: bool,
    fps: Option<f64>,
    interrupt: Interrupt,
    frame: Frame,
    happenings: Vec<crate::scene::Happening>,
}

impl Player {
    /// A player; `interrupt` ends it early.
    pub fn new(
        analysis: Analysis,
        reporter: Reporter,
        gating: Gating,
        ids: IdMaker,
        realtime: bool,
        interrupt: Interrupt,
    ) -> Player {
        let (frame, happenings) = (Frame::empty(), Vec::new());
        Player { analysis, reporter, gating, ids, realtime, fps: None, interrupt, frame, happenings }
    }

    /// For recordings without times: so many pictures a second.
    #[must_use]
    pub fn with_rate(mut self, fps: Option<f64>) -> Player {
        self.fps = fps;
        self
    }

    /// Plays `source` from `start` on the time line; each event goes to `sink`,
    /// which answers false to end it. Gives the counts, and where the next
    /// recording starts.
    ///
    /// # Errors
    /// See [`RecordingError`]; what was found before is handed on nevertheless.
    pub fn play(
        &mut self,
        source: &Source,
        start: Mono,
        progress: &mut dyn FnMut(Duration, Option<Duration>),
        sink: &mut dyn FnMut(Draft) -> bool,
    ) -> (RecordingCounts, Mono, Result<(), RecordingError>) {
        let mut run = Run {
            counts: RecordingCounts::default(),
            timeline: Recorded::new(start, None, false),
            last_is_short: false,
            pace: self.realtime.then(|| (Instant::now(), start)),
            gate: None,
        };
        let played = self.frames(source, start, &mut run, progress, sink);
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        self.analysis.finish(SightingEnd::Left, &mut make, &mut self.happenings);
        let handed_on = self.hand_on(sink);
        (run.counts, run.timeline.until(), played.and(handed_on))
    }

    fn frames(
        &mut self,
        source: &Source,
        start: Mono,
        run: &mut Run,
        progress: &mut dyn FnMut(Duration, Option<Duration>),
        sink: &mut dyn FnMut(Draft) -> bool,
    ) -> Result<(), RecordingError> {
        let settings = OpenSettings { fps: self.fps, ..OpenSettings::default() };
        let mut input = VideoInput::open(source, settings, &self.interrupt)?;
        let info = input.info().clone();
        if let Some(doubt) = info.doubt(self.fps) {
            tracing::warn!("{}: {doubt}", source.label());
        }
        let mut decoder = self.gating.decoder(&info)?;
        run.timeline = Recorded::new(start, info.frame_interval, info.counted);
        let mut ended: Option<Result<(), RecordingError>> = None;
        loop {
            // The ring keeps it.
            let mut packet = ffmpeg::Packet::empty();
            match input.read(&mut packet) {
                Ok(true) => {
                    run.counts.frames += 1;
                    run.last_is_short = packet.is_corrupt();
                    let stamps = info.stamps(&packet);
                    run.timeline.push(packet, stamps);
                }
                Ok(false) => {
                    run.timeline.end();
                    ended = Some(run.check_end(info.frames));
                }
                Err(e) => {
                    run.timeline.end();
                    ended = Some(Err(e.into()));
                }
            }
            let mut told = |at: Mono| progress(at.since(start), info.duration);
            while let Some(placed) = run.timeline.placed() {
                decoder.push(placed.packet, placed.at, placed.taken);
                if !decoder.is_decoding() {
                    self.unwatched(placed.at, run, sink)?;
                    told(placed.at);
                }
                self.pictures(&mut decoder, run, &mut told, sink)?;
            }
            if let Some(ended) = ended.take() {
                decoder.end();
                self.pictures(&mut decoder, run, &mut told, sink)?;
                return ended.and_then(|()| run.check_pictures());
            }
        }
    }

    /// The pictures that the decoder has.
    fn pictures(
        &mut self,
        decoder: &mut GatedDecoder,
        run: &mut Run,
        told: &mut dyn FnMut(Mono),
        sink: &mut dyn FnMut(Draft) -> bool,
    ) -> Result<(), RecordingError> {
        while let Some(decoded) = decoder.receive(&mut self.frame) {
            run.counts.decoded += 1;
            if let Some(at) = self.wanted(decoded, decoder)? {
                self.frame.at = at;
                if !run.wait(at, &self.interrupt) {
                    return Err(CaptureError::Stopped.into());
                }
                self.one_frame(sink)?;
                decoder.seen(at, self.analysis.activity(at));
                told(at);
            }
        }
        run.counts.damaged = decoder.damaged();
        run.note_gate(&decoder.status());
        Ok(())
    }

    /// Time passes without pictures.
    fn unwatched(&mut self, at: Mono, run: &Run, sink: &mut dyn FnMut(Draft) -> bool) -> Result<(), RecordingError> {
        if !run.wait(at, &self.interrupt) {
            return Err(CaptureError::Stopped.into());
        }
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        self.analysis.tick(at, &mut make, &mut self.happenings);
        self.hand_on(sink)
    }

    /// The time of the picture in hand, if it is to be analysed.
    fn wanted(&mut self, decoded: Decoded, decoder: &mut GatedDecoder) -> Result<Option<Mono>, RecordingError> {
        let pictured: Pictured = match decoded {
            Decoded::Picture(pictured) => return Ok(Some(pictured.at)),
            Decoded::Probe(pictured) => pictured,
        };
        self.frame.at = pictured.at;
        let differs = self.analysis.differs(&mut self.frame)?;
        Ok(decoder.compared(differs, pictured).then_some(pictured.at))
    }

    fn one_frame(&mut self, sink: &mut dyn FnMut(Draft) -> bool) -> Result<(), RecordingError> {
        let (reporter, ids) = (&self.reporter, &mut self.ids);
        let mut make = |at: Mono| ids.make(reporter.clock().stamp(at).t);
        self.analysis.frame(&mut self.frame, &mut make, &mut self.happenings)?;
        self.hand_on(sink)
    }

    fn hand_on(&mut self, sink: &mut dyn FnMut(Draft) -> bool) -> Result<(), RecordingError> {
        for happening in self.happenings.drain(..) {
            if !sink(self.reporter.event(&happening)) {
                return Err(RecordingError::Sink);
            }
        }
        Ok(())
    }
}

/// One recording's progress.
struct Run {
    counts: RecordingCounts,
    timeline: Recorded<ffmpeg::Packet>,
    /// The file held less of the last packet than it should.
    last_is_short: bool,
    /// When playing at its own speed: the wall clock at a media time.
    pace: Option<(Instant, Mono)>,
    /// What the gate did last, and why.
    gate: Option<(GateMode, &'static str)>,
}

impl Run {
    fn note_gate(&mut self, status: &GateStatus) {
        if self.gate.is_none_or(|(mode, why)| (mode, why) != (status.mode, status.why)) {
            tracing::debug!("gate {:?}: {}, trust {:.2}", status.mode, status.why, status.trust);
            self.gate = Some((status.mode, status.why));
        }
        self.counts.gate = status.counts;
    }

    /// At the end of the file: was that all?
    fn check_end(&self, announced: Option<u64>) -> Result<(), RecordingError> {
        let packets = self.counts.frames;
        // Edit lists and careless muxers make the index name a few too many.
        let far_too_few = announced.is_some_and(|n| packets + 1 < n - n / 20);
        if self.last_is_short || far_too_few {
            return Err(RecordingError::BreaksOff { packets, announced });
        }
        Ok(())
    }

    /// At the end of the file: was anything to be seen?
    fn check_pictures(&self) -> Result<(), RecordingError> {
        match self.counts.decoded {
            0 => Err(RecordingError::NoPictures { packets: self.counts.frames }),
            _ => Ok(()),
        }
    }

    /// Waits until the frame at `at` is due. False when interrupted.
    fn wait(&self, at: Mono, interrupt: &Interrupt) -> bool {
        match self.pace {
            Some((began, from)) => interrupt.sleep(at.since(from).saturating_sub(began.elapsed())),
            None => !interrupt.stopped(),
        }
    }
}
