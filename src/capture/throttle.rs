//! Keeps a source that floods the unit from taking the processor from the others:
//! what reads it rests for twice as long as it works. The queue in the network or
//! the pipe fills then, and whoever sends has to wait.

use std::time::{Duration, Instant};

/// How often it is looked at.
const STEP: Duration = Duration::from_millis(50);
/// Most time that is rested at once: the reader has to see that it is to stop.
const LONGEST: Duration = Duration::from_millis(200);
/// One part of so many is worked: a stream of 20 Mbit/s takes one in fifty.
const PARTS: u32 = 3;

/// For one thread.
pub(super) struct Throttle {
    since: Instant,
    worked: Duration,
}

impl Throttle {
    pub fn new() -> Throttle {
        Throttle { since: Instant::now(), worked: thread_time() }
    }

    /// Rests if this thread has worked too much; to be called often.
    pub fn rest(&mut self) {
        let passed = self.since.elapsed();
        if passed < STEP {
            return;
        }
        let pause = pause(passed, thread_time().saturating_sub(self.worked));
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        *self = Throttle::new();
    }
}

/// How long to rest after `worked` within `passed`.
fn pause(passed: Duration, worked: Duration) -> Duration {
    (worked * PARTS).saturating_sub(passed).min(LONGEST)
}

/// What this thread has used of the processor.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_a_third_of_the_time_never_rests_and_who_works_all_of_it_rests_twice_as_long() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(90), ms(30)), Duration::ZERO);
        assert_eq!(pause(ms(60), ms(60)), ms(120));
        assert_eq!(pause(ms(5000), ms(5000)), LONGEST);
    }
}
