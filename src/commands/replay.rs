//! `tawny replay`: recorded video through the same stages as a live camera.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{CommandError, media_files};
use crate::capture::{GateCounts, Interrupt};
use crate::clock::{Clock, RecordingClock};
use crate::config::{CameraConfig, Config, Source};
use crate::detect::Detector;
use crate::domain::{Mono, UtcMillis};
use crate::event::{Draft, Event, LogId};
use crate::unit::{
    Analysis, Gating, IdMaker, Player, PublishError, RecordingCounts, ReplayPublisher, Reporter, SharedDetector,
};
use crate::uplink::UplinkError;

/// The `log` of replayed events.
const REPLAY_LOG: &str = "replay";

/// Plays recorded video through the pipeline and prints what happened
///
/// Each event is one line of JSON on stdout, exactly as it would go over the
/// wire. The first camera of the configuration gives tripwires and zones. The
/// last line on stderr says what it took. Nothing is read from or written to
/// the unit's journal, not even with --publish.
///
/// Example: tawny replay --config road.toml --start 2026-05-01T20:00:00Z a.mp4 b.mp4
#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    /// Which configuration.
    #[command(flatten)]
    pub config: super::ConfigFile,
    /// When the first video began, RFC 3339; each further one starts where the
    /// last ended
    #[arg(long, value_name = "RFC3339", default_value = "1970-01-01T00:00:00Z", value_parser = start_time)]
    pub start: UtcMillis,
    /// Play at the speed of the recording instead of as fast as possible
    #[arg(long)]
    pub realtime: bool,
    /// Pictures per second of videos that hold no times (raw H.264, H.265, MJPEG),
    /// in place of the camera's fps
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub fps: Option<f64>,
    /// Send the events to the configured broker as well, marked "replay":true,
    /// and wait until it has them all
    ///
    /// They are numbered under a log of their own in a journal of their own,
    /// beside the configured one (journal.db: journal-replay.db). What the
    /// broker does not take stays there and is sent by the next published replay.
    #[arg(long)]
    pub publish: bool,
    /// The recordings, in order, or folders, of which every video is taken in the
    /// order of their names, with those of the folders within (a card's DCIM); names
    /// that begin with a dot are left out
    #[arg(required = true, value_name = "VIDEO|DIR")]
    pub videos: Vec<PathBuf>,
}

fn start_time(text: &str) -> Result<UtcMillis, String> {
    UtcMillis::parse(text).ok_or_else(|| "write a time as in 2026-05-01T20:15:00Z".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=240.0).contains(rate));
    rate.ok_or_else(|| "write a number from 0.1 to 240".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Code 2 for a wrong configuration; code 1 when there is no detector or a
/// video could not be read to its end (the others are played nevertheless).
pub fn run(args: &ReplayArgs) -> Result<(), CommandError> {
    let config = args.config.load()?.config;
    let camera = config.camera.first().cloned().unwrap_or_default();
    let mut replay = Replay::new(&config, &camera, args)?;
    let mut at = Mono::ZERO;
    let mut failed = 0;
    let videos: Vec<_> = args.videos.iter().flat_map(|path| expand(path)).collect();
    for (video, found) in &videos {
        let played = match found {
            Ok(()) => replay.play(video, at)?,
            Err(why) => (at, Some(why.clone())),
        };
        match played {
            (next, None) => at = next,
            (next, Some(why)) => {
                at = next;
                failed += 1;
                tracing::error!("{}: {why}", media_files::shown(video));
            }
        }
    }
    let sent = replay.finish(at)?;
    match failed {
        0 => sent,
        n => {
            let unplayed = format!("{n} of {} videos could not be played to the end", videos.len());
            Err(CommandError::Failed(match sent {
                Ok(()) => unplayed,
                Err(unsent) => format!("{unplayed}; {unsent}"),
            }))
        }
    }
}

/// How files with video are called.
const VIDEO_NAMES: [&str; 21] = [
    "mp4", "m4v", "mov", "avi", "mkv", "webm", "ts", "mts", "m2ts", "mpg", "mpeg", "3gp", "flv", "asf", "wmv", "h264",
    "264", "h265", "265", "hevc", "mjpeg",
];

/// A file is itself; a folder its videos and those of the folders within, sorted.
fn expand(path: &Path) -> Vec<(PathBuf, Result<(), String>)> {
    if !path.is_dir() {
        return vec![(path.to_path_buf(), Ok(()))];
    }
    match media_files::below(path, &VIDEO_NAMES) {
        Ok(videos) if videos.is_empty() => vec![(path.to_path_buf(), Err("there is no video in this folder".into()))],
        Ok(videos) => videos.into_iter().map(|video| (video, Ok(()))).collect(),
        Err(why) => vec![(path.to_path_buf(), Err(why))],
    }
}

/// Where the events' numbers come from.
enum Numbering {
    /// Counted here.
    Counted { unit: String, log: LogId, seq: u64 },
    /// Given by the journal from which they are sent.
    Published { publisher: ReplayPublisher, told: u64 },
}

impl Numbering {
    fn of(config: &Config, publish: bool) -> Result<Numbering, CommandError> {
        if publish {
            return Ok(Numbering::Published { publisher: ReplayPublisher::open(config).map_err(unsent)?, told: 0 });
        }
        Ok(Numbering::Counted { unit: config.unit.id.clone(), log: LogId(REPLAY_LOG.to_owned()), seq: 0 })
    }

    fn is_published(&self) -> bool {
        matches!(self, Numbering::Published { .. })
    }

    fn event(&mut self, draft: Draft) -> Result<Event, CommandError> {
        match self {
            Numbering::Counted { unit, log, seq } => {
                *seq += 1;
                Ok(Event::new(unit, log, *seq, draft))
            }
            Numbering::Published { publisher, told } => {
                *told += 1;
                publisher.publish(draft).map_err(|e| CommandError::Failed(e.to_string()))
            }
        }
    }

    /// Events of this run.
    fn told(&self) -> u64 {
        match self {
            Numbering::Counted { seq, .. } => *seq,
            Numbering::Published { told, .. } => *told,
        }
    }

    fn finish(self) -> Result<(), CommandError> {
        match self {
            Numbering::Counted { .. } => Ok(()),
            Numbering::Published { publisher, .. } => publisher.finish().map_err(unsent),
        }
    }
}

/// What the configuration's text alone shows is a matter of usage.
fn unsent(error: PublishError) -> CommandError {
    use UplinkError::{Address, HalfClientCertificate, NoBroker, PasswordAlone};
    match &error {
        PublishError::Uplink(NoBroker) => {
            CommandError::Usage("--publish needs a broker: set [uplink] broker in the configuration".to_owned())
        }
        PublishError::Uplink(Address(_) | HalfClientCertificate | PasswordAlone) => {
            CommandError::Usage(error.to_string())
        }
        _ => CommandError::Failed(error.to_string()),
    }
}

struct Replay {
    player: Player,
    numbering: Numbering,
    counts: RecordingCounts,
    began: Instant,
}

impl Replay {
    fn new(config: &Config, camera: &CameraConfig, args: &ReplayArgs) -> Result<Replay, CommandError> {
        let began = Instant::now();
        let numbering = Numbering::of(config, args.publish)?;
        let detector = Detector::open(&config.detector).map_err(|e| CommandError::Failed(e.to_string()))?;
        let clock = Clock::Recording(RecordingClock { start: args.start });
        let reporter = Reporter::new(camera, detector.classes(), clock, args.publish);
        let analysis = Analysis::new(config, camera, SharedDetector::new(detector));
        // Published, the same recording may be sent again: those are others.
        let ids = match numbering.is_published() {
            true => IdMaker::Random,
            false => IdMaker::derived(&camera.name, REPLAY_LOG),
        };
        Ok(Replay {
            player: Player::new(
                analysis,
                reporter,
                Gating::new(config, camera),
                ids,
                args.realtime,
                Interrupt::default(),
            )
            .with_rate(args.fps.or(camera.fps())),
            numbering,
            counts: RecordingCounts::default(),
            began,
        })
    }

    /// Plays one video; gives where the next starts, and what went wrong.
    fn play(&mut self, video: &Path, at: Mono) -> Result<(Mono, Option<String>), CommandError> {
        let Some(name) = video.to_str() else { return Ok((at, Some("the name is not UTF-8".into()))) };
        let bar = progress_bar(&media_files::shown(video));
        let mut stdout = std::io::stdout().lock();
        let mut written = Ok(());
        let mut sink = |draft: Draft| {
            written = self.numbering.event(draft).and_then(|event| {
                let line = writeln!(stdout, "{}", event.to_json()).and_then(|()| stdout.flush());
                line.map_err(CommandError::stdout)
            });
            written.is_ok()
        };
        let mut progress = |done: Duration, of: Option<Duration>| {
            if let Some(length) = of {
                bar.set_length(length.as_secs());
            }
            bar.set_position(done.as_secs());
        };
        let source = Source::Location(name.to_owned());
        let (counts, next, played) = self.player.play(&source, at, &mut progress, &mut sink);
        bar.finish_and_clear();
        written?;
        self.counts.frames += counts.frames;
        self.counts.decoded += counts.decoded;
        self.counts.damaged += counts.damaged;
        self.counts.gate = self.counts.gate.plus(&counts.gate);
        Ok((next, played.err().map(|e| e.to_string())))
    }

    /// Waits until everything is sent where that was asked for, and prints the
    /// line that says what it all took; gives whether everything was sent.
    fn finish(self, end: Mono) -> Result<Result<(), CommandError>, CommandError> {
        let told = self.numbering.told();
        let sent = self.numbering.finish();
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let line = format!(
            "{} frames, {} decoded, {} inferences, {} events, {:.1} s video, {:.1} s wall, {cpu_s:.1} s cpu",
            self.counts.frames,
            self.counts.decoded,
            self.player.analysis.counts().inferences,
            told,
            end.as_secs_f64(),
            self.began.elapsed().as_secs_f64(),
        );
        if self.counts.damaged > 0 {
            tracing::warn!("{} packets could not be decoded or came out damaged", self.counts.damaged);
        }
        let sizes = self.player.analysis.inferences_by_size();
        writeln!(std::io::stderr(), "{}\n{}\n{line}", gate_line(&self.counts.gate), sizes_line(&sizes))
            .map_err(CommandError::stdout)?;
        Ok(sent)
    }
}

/// What the packet gate did, for people.
fn gate_line(gate: &GateCounts) -> String {
    let GateCounts { closed, by_packet, by_check, by_timer, checks, missed, overflow: _ } = gate;
    format!(
        "gate: closed {closed} times, opened {by_packet} times by packets, {by_check} by a keyframe, {by_timer} by the \
         detector's timer, {checks} keyframes compared, {missed} activities missed by packets"
    )
}

/// What was shown to the detector, for people.
fn sizes_line(sizes: &[((usize, usize), u64)]) -> String {
    let one = |((width, height), n): &((usize, usize), u64)| format!("{n} of {width}x{height}");
    match sizes {
        [] => "inferences: none".to_owned(),
        _ => format!("inferences: {}", sizes.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// A bar on stderr when that is a terminal, nothing otherwise.
fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} s").unwrap_or(ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style).with_message(name.to_owned())
}
