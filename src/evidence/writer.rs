//! The one thread that writes evidence.
//!
//! Whatever is kept goes through it: full-size stills are encoded here, and
//! every file is made here and nowhere else. It is handed work by a bounded
//! queue that drops and counts when it is full: a slow disk must not hold up the
//! pipeline, and events are not among its work.
//!
//! For each still: wait until the events about it are committed, make room, write
//! the small one and put it into the outbox, then the full-size one, and say so
//! with a `kept` event that carries its checksum. What a crash kept the last run from
//! saying is said first (`unfinished.rs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;

use crossbeam_channel::RecvTimeoutError;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::checksum::checksum;
use super::clip_file::{ClipError, ClipFile, TimedPacket};
use super::handle::{ClipHead, ClipTail, Ends, EvidenceSetup, Job, Still};
use super::jpeg;
use super::missed::MissedTally;
use super::retention::{Now, Tally, Why};
use super::shelf::{Item, Kind, Shelf};
use super::unfinished::{self, Begun, Whole};
use crate::event::{Body, Class, Draft};
use crate::journal::{JournalReader, Note};

/// A clip makes room for so much more of itself at a time.
const CLIP_STEP: u64 = 1 << 20;

/// Encoding and writing one still never takes longer, unless it is stuck.
const WORK_LIMIT: Duration = Duration::from_secs(60);

/// How often age and free space are looked at while nothing is written.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);

/// How often removed files are reported, those that had grown old, and failures logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(3600);
const AGED_INTERVAL: Duration = Duration::from_secs(86_400);
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(60);

/// A clip that is being written.
struct Clip {
    /// `None` once it has failed.
    file: Option<ClipFile>,
    begun: Begun,
    time_base: ffmpeg::Rational,
    /// Room was made for so many bytes.
    room: u64,
}

pub(super) struct Writer {
    setup: EvidenceSetup,
    ends: Ends,
    clips: BTreeMap<Uuid, Clip>,
    shelf: Shelf,
    /// Removed and not yet reported.
    removed: Tally,
    reported: Option<Instant>,
    /// In no clip, and not yet reported.
    missed: MissedTally,
    missed_reported: Option<Instant>,
    /// The same of what had grown old.
    aged: Tally,
    reported_aged: Option<Instant>,
    /// What of that the journal has noted, by the names of the notes.
    noted: BTreeMap<&'static str, String>,
    complained: Option<Instant>,
}

/// Notes of what is not reported yet, so that a kill or a power cut before that leaves
/// nothing unsaid: the next start says it.
const REMOVED: &str = "untold/removed";
const MISSED: &str = "untold/missed";
const AGED: &str = "untold/aged";

/// The text of a note; `None` where there is nothing to be told.
fn untold<T: Default + PartialEq + serde::Serialize>(tally: &T) -> Option<String> {
    (*tally != T::default()).then(|| serde_json::to_string(tally).ok())?
}

impl Writer {
    pub(super) fn new(setup: EvidenceSetup, shelf: Shelf, ends: Ends) -> Writer {
        let writer = Writer {
            setup,
            ends,
            clips: BTreeMap::new(),
            shelf,
            removed: Tally::default(),
            reported: None,
            missed: MissedTally::default(),
            missed_reported: None,
            aged: Tally::default(),
            reported_aged: None,
            noted: BTreeMap::new(),
            complained: None,
        };
        writer.show();
        writer
    }

    pub(super) fn run(&mut self) {
        self.finish_what_was_left();
        loop {
            self.setup.beat.waiting();
            let job = match self.ends.inbox.recv_timeout(TIDY_INTERVAL) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.make_room(0);
                    self.report(false);
                    self.note_untold();
                    self.show();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.ends.waiting.fetch_sub(job.bytes(), Relaxed);
            self.setup.beat.working(WORK_LIMIT);
            match job {
                Job::Still(still) => self.still(*still),
                Job::ClipBegins(head) => self.clip_begins(*head),
                Job::ClipPacket(id, packet) => {
                    self.clip_packet(id, *packet);
                    // Nothing else has changed.
                    continue;
                }
                Job::ClipShows(id, sightings) => self.clip_shows(id, sightings),
                Job::ClipsMissed(missed) => self.missed.add(missed),
                Job::ClipEnds(tail) => self.clip_ends(*tail),
                Job::Stop => break,
            }
            self.report(false);
            self.note_untold();
            self.show();
        }
        self.report(true);
        self.setup.beat.finished();
    }

    /// What the last run has begun, and did not live to tell.
    fn finish_what_was_left(&mut self) {
        self.setup.beat.working(WORK_LIMIT);
        match unfinished::left(&self.setup.journal) {
            Ok(left) => left.into_iter().for_each(|(item, begun)| self.finish(item, begun)),
            Err(e) => warn!("what the last run left is not looked at: {e}"),
        }
        match JournalReader::open(self.setup.journal.path()).and_then(|reader| reader.notes("untold/")) {
            Ok(notes) => notes.iter().for_each(|(key, value)| self.recall(key, value)),
            Err(e) => warn!("what the last run did not report is not looked at: {e}"),
        }
        self.report(false);
        self.note_untold();
        self.show();
    }

    /// Goes on with what the last run had counted and not reported.
    fn recall(&mut self, key: &str, value: &str) {
        let key = match key {
            REMOVED => {
                self.removed = serde_json::from_str(value).unwrap_or_default();
                REMOVED
            }
            MISSED => {
                self.missed = serde_json::from_str(value).unwrap_or_default();
                MISSED
            }
            AGED => {
                self.aged = serde_json::from_str(value).unwrap_or_default();
                AGED
            }
            _ => return,
        };
        self.noted.insert(key, value.to_owned());
    }

    /// What has changed of what is not reported, since it was noted.
    fn changed_untold(&mut self) -> Vec<Note> {
        let now = [(REMOVED, untold(&self.removed)), (MISSED, untold(&self.missed)), (AGED, untold(&self.aged))];
        let mut notes = Vec::new();
        for (key, value) in now {
            if self.noted.get(key) == value.as_ref() {
                continue;
            }
            match &value {
                Some(value) => self.noted.insert(key, value.clone()),
                None => self.noted.remove(key),
            };
            notes.push(Note { key: key.to_owned(), value });
        }
        notes
    }

    fn note_untold(&mut self) {
        let notes = self.changed_untold();
        if !notes.is_empty() {
            self.hand_over(None, notes);
        }
    }

    /// Reports a file as far as it is whole, and forgets what was noted about it.
    fn finish(&mut self, item: Item, begun: Option<Begun>) {
        let forgotten = unfinished::note(&item, None);
        let Some(begun) = begun.filter(|_| self.shelf.holds(&item)) else {
            return self.tell(None, forgotten);
        };
        let mut alive = || self.setup.beat.working(WORK_LIMIT);
        match unfinished::whole(&self.shelf.path(&item), item.kind, begun.from.t, &mut alive) {
            Ok(Some(whole)) => {
                debug!("{} was cut off, and is whole up to byte {}", item.name(), whole.bytes);
                self.shelf.count(item, whole.bytes);
                self.tell(Some(begun.kept(&item, whole)), forgotten);
            }
            // No picture had reached the disk.
            Ok(None) => {
                let _ = self.shelf.remove(&item);
                self.tell(None, forgotten);
            }
            // The next start tries again.
            Err(e) => self.complain(&format!("{} cannot be finished: {e}", item.name())),
        }
    }

    fn still(&mut self, still: Still) {
        let item = Item::new(Kind::Full, still.id);
        let begun = Begun { cam: still.camera, from: still.stamp, of: Vec::new() };
        let note = still.full.is_some().then(|| unfinished::note(&item, Some(&begun)));
        // The event comes first: whoever gets the picture knows what it is of.
        // A disk that takes nothing for hours is a reason to wait.
        self.setup.beat.waiting();
        // A journal that is closed has written all that it will.
        let _ = self.setup.journal.append_with_notes(Vec::new(), note.into_iter().collect());
        self.setup.beat.working(WORK_LIMIT);
        if let Some(small) = &still.small
            && self.write(Item::new(Kind::Small, still.id), small)
            && let Err(e) = self.ends.queue.put(still.id)
        {
            self.complain(&format!("a still may be forgotten by a restart: {e}"));
        }
        let Some((crop, exif)) = &still.full else { return };
        let written = match jpeg::full(crop, exif) {
            Ok(bytes) => self.write(item, &bytes).then_some(bytes),
            Err(e) => {
                self.ends.status.failed.fetch_add(1, Relaxed);
                self.complain(&e.to_string());
                None
            }
        };
        let kept = written.map(|bytes| {
            let whole = Whole { bytes: bytes.len() as u64, sha256: checksum(&bytes), to: None };
            begun.kept(&item, whole)
        });
        self.tell(kept, unfinished::note(&item, None));
    }

    fn clip_begins(&mut self, head: ClipHead) {
        let item = Item::new(Kind::Clip, head.id);
        let begun = Begun { cam: head.camera, from: head.from, of: head.shown };
        let mut clip = Clip { file: None, begun, time_base: head.stream.time_base, room: CLIP_STEP };
        if !self.make_room(CLIP_STEP) {
            self.ends.status.failed.fetch_add(1, Relaxed);
            self.complain("no room: evidence.max_size or evidence.min_free leaves none");
        } else {
            self.tell(None, unfinished::note(&item, Some(&clip.begun)));
            match ClipFile::begin(&self.shelf.path(&item), &head.stream, head.from.t) {
                Ok(file) => {
                    self.shelf.add(item, file.bytes(), self.setup.clock.running());
                    clip.file = Some(file);
                }
                Err(e) => {
                    // What is left of it is no clip.
                    let _ = self.shelf.remove(&item);
                    self.clip_failed(&e);
                }
            }
        }
        self.clips.insert(head.id, clip);
    }

    fn clip_shows(&mut self, id: Uuid, sightings: Vec<Uuid>) {
        let Some(clip) = self.clips.get_mut(&id) else { return };
        clip.begun.of = sightings;
        let note = unfinished::note(&Item::new(Kind::Clip, id), Some(&clip.begun));
        self.tell(None, note);
    }

    fn clip_packet(&mut self, id: Uuid, packet: TimedPacket) {
        let Some(mut clip) = self.clips.remove(&id) else { return };
        let item = Item::new(Kind::Clip, id);
        // Where there is so little room, stills go before it.
        if let Some(mut file) = clip.file.take().filter(|_| self.shelf.holds(&item)) {
            match file.packet(packet, clip.time_base) {
                Ok(()) => {
                    self.shelf.count(item, file.bytes());
                    clip.file = Some(file);
                }
                // It is played up to here.
                Err(e) => self.clip_failed(&e),
            }
            if clip.file.as_ref().is_some_and(|file| file.bytes() > clip.room) {
                clip.room += CLIP_STEP;
                if !self.make_room(CLIP_STEP) || !self.shelf.holds(&item) {
                    self.ends.status.failed.fetch_add(1, Relaxed);
                    self.complain("a clip ends early: evidence.max_size or evidence.min_free leaves no room");
                    clip.file = None;
                }
            }
        }
        self.clips.insert(id, clip);
    }

    fn clip_ends(&mut self, tail: ClipTail) {
        let item = Item::new(Kind::Clip, tail.id);
        let begun = Begun { cam: tail.camera, from: tail.from, of: tail.shown };
        let clip = self.clips.remove(&tail.id).filter(|_| self.shelf.holds(&item));
        match clip.and_then(|clip| clip.file).map(ClipFile::finish) {
            Some(Ok((bytes, sha256))) => {
                self.shelf.count(item, bytes);
                self.ends.status.written.fetch_add(1, Relaxed);
                let whole = Whole { bytes, sha256, to: Some(tail.to) };
                self.tell(Some(begun.kept(&item, whole)), unfinished::note(&item, None));
            }
            Some(Err(e)) => {
                self.clip_failed(&e);
                self.finish(item, Some(begun));
            }
            // It failed earlier, or had to make room.
            None => self.finish(item, Some(begun)),
        }
    }

    fn clip_failed(&mut self, e: &ClipError) {
        self.ends.status.failed.fetch_add(1, Relaxed);
        self.complain(&format!("a clip cannot be written: {e}"));
    }

    /// Hands an event and a note over to the journal.
    fn tell(&mut self, event: Option<Draft>, note: Note) {
        self.hand_over(event, vec![note]);
    }

    fn hand_over(&mut self, event: Option<Draft>, mut notes: Vec<Note>) {
        notes.extend(self.changed_untold());
        // A disk that takes nothing for hours is a reason to wait.
        self.setup.beat.waiting();
        if let Err(e) = self.setup.journal.append_noting(event.into_iter().collect(), notes) {
            debug!("the journal has ended before the evidence: {e}");
        }
        self.setup.beat.working(WORK_LIMIT);
    }

    /// Makes room and writes; whether it is written.
    fn write(&mut self, item: Item, content: &[u8]) -> bool {
        if !self.make_room(content.len() as u64) {
            self.ends.status.failed.fetch_add(1, Relaxed);
            self.complain("no room: evidence.max_size or evidence.min_free leaves none");
            return false;
        }
        match self.shelf.write(item, content, self.setup.clock.running()) {
            Ok(()) => {
                self.ends.status.written.fetch_add(1, Relaxed);
                true
            }
            Err(e) => {
                self.ends.status.failed.fetch_add(1, Relaxed);
                self.complain(&format!("{} cannot be written: {e}", item.name()));
                false
            }
        }
    }

    /// Removes what is old or too much; whether `incoming` bytes have room then.
    fn make_room(&mut self, incoming: u64) -> bool {
        // What can never fit must not empty the folder first.
        if incoming > self.setup.limits.max_bytes {
            return false;
        }
        loop {
            let now = Now { incoming, free: free(&self.setup.folder), running: self.setup.clock.running() };
            let Some((item, why)) = self.setup.limits.next(&self.shelf, &now) else {
                return self.setup.limits.allows(&self.shelf, &now);
            };
            if let Err(e) = self.shelf.remove(&item) {
                self.complain(&format!("{} cannot be removed: {e}", item.name()));
                return false;
            }
            if why == Why::Age {
                self.ends.status.aged.fetch_add(1, Relaxed);
                self.aged.add(&item, why);
            } else {
                self.ends.status.removed.fetch_add(1, Relaxed);
                self.removed.add(&item, why);
            }
        }
    }

    /// Says what was removed: before its time at once the first time, then hourly; for
    /// its age daily; and what is in no clip, as what went before its time. All of it at
    /// the stop.
    fn report(&mut self, last: bool) {
        let now = Instant::now();
        let is_due =
            |at: Option<Instant>, every| last || at.is_none_or(|at| now.saturating_duration_since(at) >= every);
        if is_due(self.reported, REPORT_INTERVAL)
            && let Some((n, why)) = self.removed.take()
        {
            self.reported = Some(now);
            warn!("{why}");
            self.say_lost(n, why);
        }
        if is_due(self.missed_reported, REPORT_INTERVAL)
            && let Some((n, why)) = self.missed.take()
        {
            self.missed_reported = Some(now);
            warn!("{why}");
            self.say_lost(n, why);
        }
        if is_due(self.reported_aged, AGED_INTERVAL)
            && let Some((n, why)) = self.aged.take()
        {
            self.reported_aged = Some(now);
            info!("{why}");
            self.say_lost(n, why);
        }
    }

    /// So many files that are gone or never were.
    fn say_lost(&mut self, n: u64, why: String) {
        let body = Body::Lost { from: 0, to: 0, n, class: Class::Telemetry, why };
        self.hand_over(Some(Draft { stamp: self.setup.clock.now(), body, replay: false }), Vec::new());
    }

    fn complain(&mut self, why: &str) {
        let now = Instant::now();
        if self.complained.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_INTERVAL) {
            warn!("evidence in {}: {why}", self.setup.folder.display());
            self.complained = Some(now);
        }
    }

    fn show(&self) {
        self.ends.status.files.store(self.shelf.items().count() as u64, Relaxed);
        self.ends.status.bytes.store(self.shelf.bytes(), Relaxed);
    }
}

fn free(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
