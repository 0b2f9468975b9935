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

    /// Ended as it should; no longer watched.
    pub fn finished(&self) {
        self.deadline_us.store(FINISHED, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Watched {
    name: String,
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
        let beat = Beat::unwatched();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Watched { name: name.into(), deadline_us: Arc::clone(&beat.deadline_us) });
        beat
    }

    /// The threads that are past their deadline at `now`.
    pub fn stuck(&self, now: Mono) -> Vec<String> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| thread.deadline_us.load(Ordering::Relaxed) != FINISHED);
        threads
            .iter()
            .filter(|thread| {
                let died = Arc::strong_count(&thread.deadline_us) == 1;
                died || thread.deadline_us.load(Ordering::Relaxed) < now.as_micros()
            })
            .map(|thread| thread.name.clone())
            .collect()
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
        assert!(beats.stuck(Mono::from_micros(5 * SECOND)).is_empty());
        assert_eq!(beats.stuck(Mono::from_micros(6 * SECOND)), ["vision"]);
        vision.waiting();
        assert!(beats.stuck(Mono::from_micros(u64::MAX - 1)).is_empty());
    }

    #[test]
    fn a_thread_that_died_is_stuck_and_one_that_finished_is_forgotten() {
        let beats = Heartbeats::new();
        drop(beats.register("panicked"));
        let done = beats.register("done");
        done.working_until(Mono::ZERO);
        done.finished();
        assert_eq!(beats.stuck(Mono::from_micros(1)), ["panicked"]);
        assert_eq!(beats.died(), ["panicked"]);
    }
}
