//! The way to the writer: what can be handed to it, how much of it waits, and how its
//! thread begins and ends.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::warn;
use uuid::Uuid;

use super::clip_file::{ClipStream, TimedPacket};
use super::crop::Crop;
use super::missed::Missed;
use super::outbox::StillQueue;
use super::retention::Limits;
use super::shelf::Shelf;
use super::status::{EvidenceFigures, EvidenceStatus};
use super::writer::Writer;
use crate::clock::{Beat, SystemClock};
use crate::domain::UtcMillis;
use crate::event::Stamp;
use crate::journal::JournalHandle;

/// Stills and packets that may wait for the writer, and their bytes: a pre-roll of
/// the largest ring, and what comes while the disk takes it.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 24 << 20;

/// Places in it that packets leave free: what is said about a clip always finds one.
const QUEUE_SPARE: usize = 64;

/// A still of a sighting, ready to be kept.
#[derive(Debug, Clone)]
pub struct Still {
    /// The sighting.
    pub id: Uuid,
    /// The camera's name.
    pub camera: String,
    /// When it was taken.
    pub stamp: Stamp,
    /// The small one, as it is to be sent.
    pub small: Option<Vec<u8>>,
    /// What the full-size one is made of, and its Exif segment.
    pub full: Option<(Crop, Vec<u8>)>,
}

/// How a clip begins.
pub struct ClipHead {
    /// Its id.
    pub id: Uuid,
    /// The camera's name.
    pub camera: String,
    /// What its packets are.
    pub stream: ClipStream,
    /// Its first picture.
    pub from: Stamp,
    /// Sightings that it shows so far.
    pub shown: Vec<Uuid>,
}

/// How a clip ends.
#[derive(Debug, Clone)]
pub struct ClipTail {
    /// Its id.
    pub id: Uuid,
    /// The camera's name.
    pub camera: String,
    /// Its first picture.
    pub from: Stamp,
    /// Its last picture.
    pub to: UtcMillis,
    /// Sightings that it shows.
    pub shown: Vec<Uuid>,
}

/// What the writer is asked to do.
pub(super) enum Job {
    Still(Box<Still>),
    ClipBegins(Box<ClipHead>),
    ClipPacket(Uuid, Box<TimedPacket>),
    ClipsMissed(Missed),
    ClipShows(Uuid, Vec<Uuid>),
    ClipEnds(Box<ClipTail>),
    Stop,
}

impl Job {
    /// Memory that it takes while it waits, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Job::Still(still) => {
                let full = still.full.as_ref().map_or(0, |(crop, exif)| crop.bytes() + exif.len());
                still.small.as_ref().map_or(0, Vec::len) + full
            }
            Job::ClipPacket(_, packet) => packet.packet.size(),
            _ => 0,
        }
    }
}

/// What the writer needs.
#[derive(Debug)]
pub struct EvidenceSetup {
    /// Where the files are.
    pub folder: PathBuf,
    /// How much is kept.
    pub limits: Limits,
    /// Where `kept` and `lost` events go.
    pub journal: JournalHandle,
    /// What time it is.
    pub clock: SystemClock,
    /// For the watchdog.
    pub beat: Beat,
}

/// Everybody's way to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EvidenceHandle {
    jobs: Sender<Job>,
    /// Bytes of the jobs that wait.
    pub(super) waiting: Arc<AtomicUsize>,
    queue: StillQueue,
    status: Arc<EvidenceStatus>,
}

/// The writer's thread, for whoever stops it.
#[derive(Debug)]
pub struct EvidenceThread {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl EvidenceHandle {
    /// Hands over a still; never blocks.
    pub fn keep(&self, still: Still) {
        if !self.hand_over(Job::Still(Box::new(still))) {
            warn!("a still is given up: the disk does not keep up");
        }
    }

    /// Hands over the beginning of a clip; whether it was taken. Never blocks, as
    /// the two below.
    pub fn clip_begins(&self, head: ClipHead) -> bool {
        self.hand_over(Job::ClipBegins(Box::new(head)))
    }

    /// Hands over the next packet of clip `id`; whether it was taken.
    pub fn clip_packet(&self, id: Uuid, packet: TimedPacket) -> bool {
        self.hand_over(Job::ClipPacket(id, Box::new(packet)))
    }

    /// Clip `id` shows these sightings by now.
    pub fn clip_shows(&self, id: Uuid, sightings: Vec<Uuid>) {
        self.hand_over(Job::ClipShows(id, sightings));
    }

    /// Hands over the end of a clip.
    pub fn clip_ends(&self, tail: ClipTail) {
        // Not taken only when the writer has ended; the file is playable as it is.
        self.hand_over(Job::ClipEnds(Box::new(tail)));
    }

    /// Tells what no clip shows.
    pub fn clips_missed(&self, missed: Missed) {
        self.status.unfilmed.fetch_add(missed.sightings, Relaxed);
        self.hand_over(Job::ClipsMissed(missed));
    }

    fn hand_over(&self, job: Job) -> bool {
        let bytes = job.bytes();
        let rare = matches!(job, Job::ClipShows(..) | Job::ClipEnds(_) | Job::ClipsMissed(_));
        // Counted first: the writer takes it off as soon as it has the job.
        let waiting = self.waiting.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let room = rare || (waiting <= QUEUE_BYTES && self.jobs.len() < QUEUE - QUEUE_SPARE);
        let taken = room && self.jobs.try_send(job).is_ok();
        if !taken {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.status.dropped.fetch_add(1, Relaxed);
        }
        taken
    }

    /// Counters.
    pub fn status(&self) -> &EvidenceStatus {
        &self.status
    }

    /// What there is, what waits, and what went wrong.
    pub fn figures(&self) -> EvidenceFigures {
        self.status.figures((self.queue.len() as u64, self.queue.left_out()))
    }
}

/// The writer's ends of what it shares.
pub(super) struct Ends {
    pub inbox: Receiver<Job>,
    /// Bytes of the jobs that wait.
    pub waiting: Arc<AtomicUsize>,
    pub status: Arc<EvidenceStatus>,
    pub queue: StillQueue,
}

impl EvidenceThread {
    /// Looks at the folder and starts the thread.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or there is no thread to be had.
    pub fn start(setup: EvidenceSetup) -> io::Result<(EvidenceHandle, StillQueue, EvidenceThread)> {
        let mut shelf = Shelf::open(&setup.folder)?;
        shelf.know_ages(setup.clock.running()).unwrap_or_else(|e| {
            warn!("evidence in {}: since when its files are here is not noted: {e}", setup.folder.display());
        });
        let queue = StillQueue::open(setup.folder.clone(), &shelf)?;
        let (jobs, inbox) = bounded(QUEUE);
        let (status, waiting) = (Arc::new(EvidenceStatus::default()), Arc::<AtomicUsize>::default());
        let ends = Ends { inbox, waiting: Arc::clone(&waiting), status: Arc::clone(&status), queue: queue.clone() };
        let mut writer = Writer::new(setup, shelf, ends);
        let thread = std::thread::Builder::new().name("evidence".into()).spawn(move || writer.run())?;
        let handle = EvidenceHandle { jobs: jobs.clone(), waiting, queue: queue.clone(), status };
        Ok((handle, queue, EvidenceThread { jobs, thread }))
    }

    /// Has it write what is waiting and end; whether it has by `deadline`. It goes on
    /// otherwise, and can be waited for again.
    pub fn stop_by(&self, deadline: Instant) -> bool {
        let _ = self.jobs.send_deadline(Job::Stop, deadline);
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.thread.is_finished()
    }
}
