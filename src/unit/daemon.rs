//! `tawny run`: all threads and channels, in the order in which they start and
//! stop.
//!
//! Start: journal, detector, uplink, cameras; then systemd is told. Stop
//! (SIGTERM, SIGINT, or all files played): cameras, open sightings, commit,
//! delivery and the last stills for up to two and a half seconds, journal. A
//! thread that panics stops the rest in the same order with exit code 1, so that a
//! supervisor starts a whole daemon again instead of living with half of one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sd_notify::NotifyState;

use super::analysis::{Analysis, SharedDetector};
use super::fetch::Fetch;
use super::gating::Gating;
use super::memory;
use super::orders::OrderDesk;
use super::portraits::{self, Ask, Portraits};
use super::privacy;
use super::recorder::Recorder;
use super::report::Reporter;
use super::timekeeping::Timekeeping;
use super::vision::{EndNotice, Ended, Vision};
use super::witness::{self, Witness};
use crate::capture::{Reader, ReaderSettings};
use crate::clock::{Clock, Heartbeats, SystemClock, boot_time_now};
use crate::config::{CameraConfig, Config, SourceKind};
use crate::detect::{DetectError, Detector};
use crate::evidence::{EvidenceHandle, EvidenceSetup, EvidenceThread, Limits as EvidenceLimits, StillQueue};
use crate::health::{CameraStats, HealthReport, Inputs, Probes};
use crate::journal::{
    JOURNAL_LAST_CHANCE, Journal, JournalError, JournalHandle, JournalOptions, JournalThread, Limits,
};
use crate::uplink::{
    HealthFeed, LinkSettings, StillFeed, UPLINK_LAST_STEPS, Uplink, UplinkError, UplinkHandle, UplinkSetup,
    UplinkStatus,
};

/// How long stopping takes at most, all together under five seconds: the
/// cameras, the commit of their last events, the delivery of what is
/// undelivered with the goodbye while the last stills are written, the commit of
/// the acknowledgements. The last two end by times that count from the beginning,
/// whatever was before them.
const CAMERAS_STOP: Duration = Duration::from_millis(900);
const EVIDENCE_FIRST: Duration = Duration::from_millis(500);
const LAST_COMMIT: Duration = Duration::from_millis(900);
const UPLINK_STOPPED_BY: Duration = Duration::from_millis(3700);
// A card may take its time over the last commit.
const JOURNAL_STOP: Duration = Duration::from_millis(1000);
const STOPPED_BY: Duration = Duration::from_millis(4700);
/// How often the threads' heartbeats are looked at without a watchdog.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// Why the daemon did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No detector.
    #[error(transparent)]
    Detector(#[from] DetectError),
    /// The folder for pictures cannot be used.
    #[error("evidence.path {}: {why}; set [evidence] path to a place that the user of `tawny run` may write to", path.display())]
    Evidence {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The uplink's settings are wrong.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The system gives no thread or no signal handler.
    #[error("the system refuses a thread or a signal handler: {0}")]
    System(#[from] std::io::Error),
    /// A thread ended by a defect; everything else was stopped in order.
    #[error("a part of the daemon failed; everything committed is safe, start it again")]
    Defect,
}

/// Runs until a signal comes or all files are played.
///
/// # Errors
/// See [`RunError`].
pub fn run(config: &Config) -> Result<(), RunError> {
    memory::one_arena();
    let signals = signals()?;
    let beats = Heartbeats::new();
    let mut options = JournalOptions::new(config.journal.path.clone(), &config.unit.id);
    options.limits = Limits { keep: config.journal.keep.0, max_bytes: config.journal.max_size.0 };
    options.sendable_bytes = config.uplink.broker.as_ref().map(|_| config.uplink.largest_event());
    let clock = options.clock.clone();
    // Before the journal, so that a wrong model is no run that crashed.
    let detector = Detector::open(&config.detector)?;
    let had_journal = config.journal.path.exists();
    let (journal, journal_thread) = Journal::open(options, beats.register("journal"))?;
    let _timekeeping =
        Timekeeping::start(clock.clone(), config.clock.gpsd.clone(), journal.clone(), beats.register("clock"))?;
    let (askers, asks) = portraits::channels(&config.camera);
    // Before anything that is kept can be sent.
    let withheld = privacy::settle(config, &clock, &journal)
        .map_err(|why| RunError::Evidence { path: config.evidence_folder(), why })?;
    let fetch = Fetch::new(config, withheld, askers);
    let desk = OrderDesk::start(clock.clone(), journal.clone(), fetch, beats.register("orders"))?;
    memory::give_back();
    let stats: Vec<(String, Arc<CameraStats>)> =
        config.camera.iter().map(|c| (c.name.clone(), Arc::default())).collect();
    let evidence = Evidence::start(config, &clock, &journal, &beats)?;
    let parts = Parts {
        config,
        clock: &clock,
        journal: &journal,
        stats: &stats,
        evidence: evidence.as_ref(),
        desk: &desk,
        beats: &beats,
        had_journal,
    };
    let uplink = start_uplink(&parts)?;
    let cameras = start_cameras(&parts, detector, asks)?;
    tracing::info!(
        "watching {} camera(s), journal {}, {}",
        config.camera.len(),
        config.journal.path.display(),
        config.uplink.broker.as_deref().map_or("no broker".to_owned(), |b| format!("broker {b}")),
    );
    notify(&[NotifyState::Ready]);
    let outcome = look_after(&signals, &cameras, &beats);
    notify(&[NotifyState::Stopping]);
    stop(cameras, evidence, uplink, &journal, journal_thread)?;
    outcome
}

/// What the uplink and the cameras are joined to.
struct Parts<'a> {
    config: &'a Config,
    clock: &'a SystemClock,
    journal: &'a JournalHandle,
    stats: &'a [(String, Arc<CameraStats>)],
    evidence: Option<&'a Evidence>,
    desk: &'a OrderDesk,
    beats: &'a Heartbeats,
    /// There was a journal before this start.
    had_journal: bool,
}

/// The evidence writer, running.
struct Evidence {
    handle: EvidenceHandle,
    stills: StillQueue,
    thread: EvidenceThread,
}

impl Evidence {
    /// `None` if neither stills nor clips are wanted.
    fn start(
        config: &Config,
        clock: &SystemClock,
        journal: &JournalHandle,
        beats: &Heartbeats,
    ) -> Result<Option<Evidence>, RunError> {
        if !config.evidence.stills && !config.evidence.clips {
            return Ok(None);
        }
        let path = config.evidence_folder();
        let setup = EvidenceSetup {
            folder: path.clone(),
            limits: EvidenceLimits {
                keep: config.evidence.keep.0,
                max_bytes: config.evidence.max_size.0,
                min_free: config.evidence.min_free.0,
            },
            journal: journal.clone(),
            clock: clock.clone(),
            beat: beats.register("evidence"),
        };
        let (handle, stills, thread) = EvidenceThread::start(setup).map_err(|why| RunError::Evidence { path, why })?;
        Ok(Some(Evidence { handle, stills, thread }))
    }
}

/// SIGTERM and SIGINT as messages.
fn signals() -> std::io::Result<Receiver<()>> {
    let (sender, receiver) = crossbeam_channel::bounded(2);
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            // Full: it is stopping already.
            let _ = sender.try_send(());
        }
    })?;
    Ok(receiver)
}

fn start_uplink(parts: &Parts<'_>) -> Result<Option<UplinkHandle>, RunError> {
    let Parts { config, clock, journal, stats, evidence, desk, beats, had_journal } = *parts;
    if config.uplink.broker.is_none() {
        return Ok(None);
    }
    let status: Arc<OnceLock<Arc<UplinkStatus>>> = Arc::default();
    let (probes, feed_clock) = (Mutex::new(Probes::new(&config.journal.path)), clock.clone());
    let (feed_status, feed_journal, feed_stats) = (Arc::clone(&status), journal.clone(), stats.to_vec());
    let feed_evidence = evidence.map(|evidence| evidence.handle.clone());
    let pause = desk.pause();
    let render = move || {
        let now = boot_time_now();
        let inputs = Inputs {
            clock: feed_clock.figures(),
            paused: pause.left(now),
            machine: probes.lock().unwrap_or_else(PoisonError::into_inner).read(),
            journal: feed_journal.figures(),
            evidence: feed_evidence.as_ref().map(EvidenceHandle::figures),
            uplink: feed_status.get().map(|s| s.figures()),
            acknowledged: feed_status.get().and_then(|s| s.acknowledged()),
            cameras: feed_stats.iter().map(|(name, s)| s.figures(name, now)).collect(),
        };
        HealthReport::new(inputs).to_json()
    };
    let uplink = Uplink::start(UplinkSetup {
        settings: LinkSettings::load_with(&config.unit, &config.uplink, clock)?
            .with_alerts_of(&config.camera)
            .with_home_assistant(config)
            .with_orders(desk.orders())
            .with_journal_of_before(had_journal),
        journal: journal.clone(),
        announce: true,
        health: Some(HealthFeed { interval: config.health.interval.0, render: Box::new(render) }),
        stills: evidence
            .map(|evidence| StillFeed { queue: evidence.stills.clone(), expiry: config.evidence.still_expiry.0 }),
        beat: beats.register("uplink"),
    })?;
    // It is empty: this is the only place that fills it.
    let _ = status.set(Arc::clone(uplink.status()));
    Ok(Some(uplink))
}

/// The running cameras.
struct Cameras {
    readers: Vec<Arc<Reader>>,
    ended: Receiver<Ended>,
    running: usize,
}

impl Cameras {
    /// Waits for the threads of all cameras until `deadline`; false when some
    /// are still there.
    fn wait(&self, deadline: Instant) -> bool {
        loop {
            match self.ended.recv_deadline(deadline) {
                // The channel closes when the last vision thread has gone.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return false,
                Ok(_) => {}
            }
        }
        // They end the programs they read from: none may outlive the daemon.
        while !self.readers.iter().all(|reader| reader.ended()) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

fn start_cameras(parts: &Parts<'_>, detector: Detector, asks: Vec<Receiver<Ask>>) -> Result<Cameras, RunError> {
    let Parts { config, clock, journal, stats, evidence, desk, beats, .. } = *parts;
    let classes = detector.classes().clone();
    let detector = SharedDetector::new(detector);
    let (sender, ended) = crossbeam_channel::bounded(config.camera.len().max(1));
    let mut cameras = Cameras { readers: Vec::new(), ended, running: 0 };
    for ((camera, (name, stats)), asks) in config.camera.iter().zip(stats).zip(asks) {
        let Some(source) = camera.source.clone() else { continue };
        let settings =
            ReaderSettings { source, open: camera.into(), realtime: camera.realtime(), looped: camera.looped() };
        let beat = beats.register_source(format!("capture {name}"));
        let reader = Arc::new(Reader::start(name, settings, boot_time_now, beat)?);
        let vision = Vision {
            reader: Arc::clone(&reader),
            analysis: match witness::album(config, camera) {
                Some(album) => Analysis::new(config, camera, detector.clone()).with_album(album),
                None => Analysis::new(config, camera, detector.clone()),
            },
            reporter: Reporter::new(camera, &classes, Clock::System(clock.clone()), false),
            journal: journal.clone(),
            stats: Arc::clone(stats),
            gating: Gating::new(config, camera),
            witness: evidence.map(|evidence| Witness::new(config, camera, evidence.handle.clone())),
            recorder: evidence.and_then(|evidence| Recorder::new(config, camera, evidence.handle.clone())),
            portraits: Portraits::new(config, camera, &classes, asks),
            beat: beats.register(format!("vision {name}")),
            media_time: is_unpaced_file(camera),
            pause: desk.pause(),
        };
        start_vision(name, vision, config.unit.nice(), sender.clone())?;
        cameras.readers.push(reader);
        cameras.running += 1;
    }
    Ok(cameras)
}

/// Starts the thread that decodes and looks, `nice` steps behind the others.
fn start_vision(name: &str, vision: Vision, nice: u8, sender: Sender<Ended>) -> std::io::Result<()> {
    let span = tracing::info_span!("camera", name);
    std::thread::Builder::new().name(format!("vision {name}")).spawn(move || {
        let _entered = span.enter();
        // On Linux the priority is the thread's own, whatever POSIX says.
        if let Err(e) = rustix::process::setpriority_process(None, i32::from(nice)) {
            tracing::debug!("the system refuses nice {nice}: {e}");
        }
        let mut notice = EndNotice { sender, how: Ended::Badly };
        notice.how = vision.run();
    })?;
    Ok(())
}

fn is_unpaced_file(camera: &CameraConfig) -> bool {
    let file = camera.source.as_ref().is_some_and(|s| matches!(s.kind(), SourceKind::File(_)));
    file && !camera.realtime()
}

/// Waits for a reason to stop, and feeds the watchdog while every thread
/// answers within its own deadline.
fn look_after(signals: &Receiver<()>, cameras: &Cameras, beats: &Heartbeats) -> Result<(), RunError> {
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(LOOK_AFTER, |limit| (limit / 3).max(Duration::from_millis(100)));
    let mut running = cameras.running;
    let mut next_look = Instant::now();
    let mut hanging: Vec<String> = Vec::new();
    while running > 0 {
        if Instant::now() >= next_look {
            next_look = Instant::now() + pause;
            if let [name, ..] = beats.died().as_slice() {
                tracing::error!("the thread '{name}' has died");
                return Err(RunError::Defect);
            }
            let stuck = beats.stuck(boot_time_now());
            if stuck.is_fatal() {
                let names = [stuck.vital, stuck.sources].concat().join(", ");
                tracing::error!("stuck: {names}; the watchdog is not fed");
            } else {
                notify(&[NotifyState::Watchdog]);
                // Told once, when it begins.
                let new: Vec<String> = stuck.sources.iter().filter(|name| !hanging.contains(name)).cloned().collect();
                if !new.is_empty() {
                    tracing::error!("stuck: {}; the other cameras are watched on", new.join(", "));
                }
                hanging = stuck.sources;
            }
        }
        crossbeam_channel::select! {
            recv(signals) -> _ => return Ok(()),
            recv(cameras.ended) -> ended => match ended {
                Ok(Ended::Well) => running -= 1,
                Ok(Ended::Badly) | Err(_) => return Err(RunError::Defect),
            },
            default(next_look.saturating_duration_since(Instant::now())) => {}
        }
    }
    tracing::info!("every file is played");
    Ok(())
}

fn stop(
    cameras: Cameras,
    evidence: Option<Evidence>,
    uplink: Option<UplinkHandle>,
    journal: &JournalHandle,
    journal_thread: JournalThread,
) -> Result<(), RunError> {
    let began = Instant::now();
    for reader in &cameras.readers {
        reader.stop();
    }
    if !cameras.wait(Instant::now() + CAMERAS_STOP) {
        tracing::warn!("a camera did not stop in time; it is left behind");
    }
    // Its stills go out with the last events; a slow card has as long as the link.
    let is_written = |deadline| evidence.as_ref().is_none_or(|evidence| evidence.thread.stop_by(deadline));
    is_written(Instant::now() + EVIDENCE_FIRST);
    // The uplink delivers what is committed: it must be, before it is told to end.
    if !journal.flush_within(LAST_COMMIT) {
        tracing::warn!("the last events are not committed yet; they will be sent after the next start");
    }
    if let Some(uplink) = uplink {
        uplink.stop((UPLINK_STOPPED_BY - UPLINK_LAST_STEPS).saturating_sub(began.elapsed()));
    }
    if !is_written(began + UPLINK_STOPPED_BY) {
        tracing::warn!("the last stills are not written; they are lost");
    }
    journal_thread.stop(JOURNAL_STOP.min((STOPPED_BY - JOURNAL_LAST_CHANCE).saturating_sub(began.elapsed())))?;
    Ok(())
}

/// Tells systemd, if it wants to know.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {e}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cameras(ended: Receiver<Ended>, running: usize) -> Cameras {
        Cameras { readers: Vec::new(), ended, running }
    }

    #[test]
    fn a_vision_thread_that_panics_ends_the_daemon_as_a_defect() {
        let (sender, ended) = crossbeam_channel::bounded(2);
        let still_running = sender.clone();
        let thread = std::thread::spawn(move || {
            let mut notice = EndNotice { sender, how: Ended::Badly };
            if notice.how == Ended::Badly {
                panic!("a defect, as this test wants it");
            }
            notice.how = Ended::Well;
        });
        assert!(thread.join().is_err());
        let outcome = look_after(&crossbeam_channel::never(), &cameras(ended, 2), &Heartbeats::new());
        assert!(matches!(outcome, Err(RunError::Defect)));
        drop(still_running);
    }

    #[test]
    fn it_ends_when_the_last_file_is_played_or_a_signal_comes() {
        let (sender, ended) = crossbeam_channel::bounded(2);
        drop(EndNotice { sender: sender.clone(), how: Ended::Well });
        drop(EndNotice { sender: sender.clone(), how: Ended::Well });
        let watched = cameras(ended, 2);
        assert!(look_after(&crossbeam_channel::never(), &watched, &Heartbeats::new()).is_ok());
        let (signal, signals) = crossbeam_channel::bounded(1);
        signal.send(()).unwrap();
        assert!(look_after(&signals, &watched, &Heartbeats::new()).is_ok());
        // One that never ends is waited for only so long.
        assert!(!watched.wait(Instant::now()));
        drop(sender);
        assert!(watched.wait(Instant::now() + Duration::from_secs(9)));
    }
}
