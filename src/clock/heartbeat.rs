//! Which threads are alive: each one says, before it enters something that
//! could hang, by when it will be out again, and when it merely waits for work,
//! a camera, a disk or a broker. A thread past its own deadline is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::system::boot_time_now;
use crate::domain::Mono;

/// Stored in place of a deadline while a thread legitimately waits.
const WAITING: u64 = u64::MAX;

/// Stored in place of a deadline when a thread has ended as it should.
const FINISHED: u64 = u64::MAX - 1;

/// One thread's side: an atomic store each time, nothing else.
#[derive(Debug, Clone)]
pub struct Beat {
    deadline_us: Arc<AtomicU64>,
}

impl Beat {
    /// A beat that nobody watches.
    pub fn unwatched() -> Beat {
        Beat { deadline_us: Arc::new(AtomicU64::new(WAITING)) }
    }

    /// From now on at work; will report again within `within`.
    pub fn working(&self, within: Duration) {
        self.working_until(boot_time_now().plus(within));
    }

    /// At work until `deadline` at the latest.
    pub fn working_until(&self, deadline: Mono) {
        self.deadline_us.store(deadline.as_micros().min(FINISHED - 1), Ordering::Relaxed);
    }

    /// Waiting for something that may take for ever.
    pub fn waiting(&self) {
        self.deadline_us.store(WAITING, Ordering::Relaxed);
    }

    /// Whether its deadline has passed at `now`.
    pub fn is_late(&self, now: Mono) -> bool {
        self.deadline_us.load(Ordering::Relaxed) < now.as_micros()
    }

    /// Ended as it should; no longer watched.
    pub fn finished(&self) {
        self.deadline_us.store(FINISHED, Ordering::Relaxed);
    }
}

/// The threads that are past their deadline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// Threads that everything depends on.
    pub vital: Vec<String>,
    /// Threads that take in one source each, of which others go on without.
    pub sources: Vec<String>,
    /// Every source that there is.
    pub all_sources: bool,
}

impl Stuck {
    /// Whether starting everything again is better than going on.
    pub fn is_fatal(&self) -> bool {
        !self.vital.is_empty() || self.all_sources
    }
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// It takes in one source of several.
    is_source: bool,
    deadline_us: Arc<AtomicU64>,
}

/// The watchdog's side: every registered thread.
#[derive(Debug, Clone, Default)]
pub struct Heartbeats {
    threads: Arc<Mutex<Vec<Watched>>>,
}

impl Heartbeats {
    /// An empty register.
    pub fn new() -> Heartbeats {
        Heartbeats::default()
    }

    /// A new thread, waiting until it says otherwise. A thread whose [`Beat`]
    /// and every clone are gone without [`Beat::finished`] has died, by a
    /// panic for example, and counts as stuck for ever.
    pub fn register(&self, name: impl Into<String>) -> Beat {
        self.add(name.into(), false)
    }

    /// The same for a thread that takes in one source: a camera that hangs, in its
    /// driver or in libav, must not take the good ones with it.
    pub fn register_source(&self, name: impl Into<String>) -> Beat {
        self.add(name.into(), true)
    }

    fn add(&self, name: String, is_source: bool) -> Beat {
        let beat = Beat::unwatched();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Watched { name, is_source, deadline_us: Arc::clone(&beat.deadline_us) });
        beat
    }

    /// The threads that are past their deadline at `now`.
    pub fn stuck(&self, now: Mono) -> Stuck {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| thread.deadline_us.load(Ordering::Relaxed) != FINISHED);
        let is_stuck = |thread: &&Watched| {
            let died = Arc::strong_count(&thread.deadline_us) == 1;
            died || thread.deadline_us.load(Ordering::Relaxed) < now.as_micros()
        };
        let of = |is_source| {
            let stuck = threads.iter().filter(is_stuck).filter(|thread| thread.is_source == is_source);
            stuck.map(|thread| thread.name.clone()).collect::<Vec<_>>()
        };
        let (vital, sources) = (of(false), of(true));
        let all = threads.iter().filter(|thread| thread.is_source).count();
        let all_sources = all > 0 && sources.len() == all;
        Stuck { vital, sources, all_sources }
    }

    /// The threads that have ended without [`Beat::finished`].
    pub fn died(&self) -> Vec<String> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let died = threads.iter().filter(|thread| {
            let finished = thread.deadline_us.load(Ordering::Relaxed) == FINISHED;
            !finished && Arc::strong_count(&thread.deadline_us) == 1
        });
        died.map(|thread| thread.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn working_past_its_deadline_is_stuck_and_waiting_is_not() {
        let beats = Heartbeats::new();
        let (vision, disk) = (beats.register("vision"), beats.register("journal"));
        vision.working_until(Mono::from_micros(5 * SECOND));
        disk.waiting();
        assert_eq!(beats.stuck(Mono::from_micros(5 * SECOND)), Stuck::default());
        assert_eq!(beats.stuck(Mono::from_micros(6 * SECOND)).vital, ["vision"]);
        vision.waiting();
        assert_eq!(beats.stuck(Mono::from_micros(u64::MAX - 1)), Stuck::default());
    }

    #[test]
    fn a_source_that_hangs_is_named_and_fatal_only_if_it_is_the_last() {
        let beats = Heartbeats::new();
        let (bad, good) = (beats.register_source("capture bad"), beats.register_source("capture good"));
        bad.working_until(Mono::from_micros(5 * SECOND));
        let stuck = beats.stuck(Mono::from_micros(6 * SECOND));
        assert_eq!((stuck.sources.as_slice(), stuck.is_fatal()), (["capture bad".to_owned()].as_slice(), false));
        assert!(bad.is_late(Mono::from_micros(6 * SECOND)) && !good.is_late(Mono::from_micros(6 * SECOND)));
        good.working_until(Mono::from_micros(5 * SECOND));
        assert!(beats.stuck(Mono::from_micros(6 * SECOND)).is_fatal());
        good.waiting();
        let vision = beats.register("vision good");
        vision.working_until(Mono::ZERO);
        assert!(beats.stuck(Mono::from_micros(6 * SECOND)).is_fatal());
        // A file that is played is no camera that works on.
        vision.finished();
        good.finished();
        assert!(beats.stuck(Mono::from_micros(6 * SECOND)).is_fatal());
    }

    #[test]
    fn a_thread_that_died_is_stuck_and_one_that_finished_is_forgotten() {
        let beats = Heartbeats::new();
        drop(beats.register("panicked"));
        let done = beats.register("done");
        done.working_until(Mono::ZERO);
        done.finished();
        assert_eq!(beats.stuck(Mono::from_micros(1)).vital, ["panicked"]);
        assert_eq!(beats.died(), ["panicked"]);
    }
}
