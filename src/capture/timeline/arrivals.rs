//! Times from arrivals alone. The network delivers in bursts what was taken at a
//! steady pace: each picture is taken to follow the one before it by the usual
//! interval, never later than it arrived and not much earlier.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Mono;

/// A picture is placed before its arrival by at most this much.
const MAX_LAG: Duration = Duration::from_secs(1);
/// What it is placed before its arrival fades with this time constant: a camera that
/// pauses is not late for ever.
const FADES_IN_S: f64 = 1.0;
/// Arrivals that the usual interval is the mean of, and the time that they may take.
const REMEMBERED: usize = 256;
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// The mean of fewer says nothing.
const MIN_REMEMBERED: usize = 8;

/// See the module's description.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    came: VecDeque<Mono>,
    /// The interval until one is known from arrivals.
    nominal: Option<Duration>,
    /// The time given last.
    last: Option<Mono>,
}

impl Arrivals {
    pub(super) fn new(nominal: Option<Duration>) -> Arrivals {
        Arrivals { nominal, ..Arrivals::default() }
    }

    /// The usual time between arrivals, as far as it is known.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.mean_of(MIN_REMEMBERED)
    }

    /// The same, although of a few only.
    pub(super) fn first_interval(&self) -> Option<Duration> {
        self.mean_of(2)
    }

    fn mean_of(&self, least: usize) -> Option<Duration> {
        match (self.came.front(), self.came.back()) {
            (Some(first), Some(last)) if self.came.len() >= least => {
                let between = u32::try_from(self.came.len() - 1).unwrap_or(1).max(1);
                Some(last.since(*first) / between)
            }
            _ => self.nominal,
        }
    }

    /// The time of what arrives now, if nothing better is known of it; and how long
    /// nothing had come before it.
    pub(super) fn time(&mut self, arrival: Mono) -> Mono {
        let interval = self.interval();
        let pause = self.came.back().map_or(Duration::ZERO, |last| arrival.since(*last));
        self.note(arrival);
        let at = match (self.last, interval) {
            (Some(last), Some(interval)) => follow(last, interval, pause.min(interval), arrival),
            _ => arrival,
        };
        self.given(at)
    }

    /// Notes an arrival whose time is known better.
    pub(super) fn note(&mut self, arrival: Mono) {
        // The last one from before that time stays: a pause counts with what came after it.
        let oldest = arrival.minus(REMEMBERED_FOR);
        while self.came.len() >= REMEMBERED
            || (self.came.len() > MIN_REMEMBERED && self.came.get(1).is_some_and(|second| *second <= oldest))
        {
            self.came.pop_front();
        }
        self.came.push_back(arrival);
    }

    /// The time given is `at`, or just after the last one.
    fn given(&mut self, at: Mono) -> Mono {
        let at = self.last.map_or(at, |last| at.max(last.plus(Duration::from_micros(1))));
        self.last = Some(at);
        at
    }

    /// The time given, from elsewhere, is `at`.
    pub(super) fn set(&mut self, at: Mono) {
        self.last = self.last.max(Some(at));
    }
}

/// The picture after that of `last`, which arrives at `arrival`, `pause` of the usual
/// interval after the one before.
fn follow(last: Mono, interval: Duration, pause: Duration, arrival: Mono) -> Mono {
    let expected = last.plus(interval);
    if expected >= arrival {
        // Of those that come too early each goes half the way, so that they stay apart.
        let room = arrival.since(last);
        return if room >= interval / 4 { arrival } else { last.plus(room / 2) };
    }
    let fade = (pause.as_secs_f64() / FADES_IN_S).min(1.0);
    arrival.minus(arrival.since(expected).mul_f64(1.0 - fade).min(MAX_LAG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_of_packets_at_once_is_spread_and_a_steady_pace_is_kept() {
        let mut arrivals = Arrivals::default();
        let at = |ms: u64| Mono::from_micros(1_000_000 + ms * 1000);
        let mut last = Mono::ZERO;
        for i in 0..1000u64 {
            // Every ten seconds the network holds everything back for a second.
            let arrival = match i * 40 % 10_000 {
                5000..6000 => at(i * 40 / 10_000 * 10_000 + 6000),
                ms => at(i * 40 / 10_000 * 10_000 + ms),
            };
            let time = arrivals.time(arrival);
            assert!(time > last && time <= arrival, "{i}");
            let late = time.secs_since(at(i * 40));
            assert!((-0.05..0.3).contains(&late), "{i}: off by {late}");
            last = time;
        }
    }

    #[test]
    fn after_a_pause_of_the_camera_times_come_back_to_arrival() {
        let mut arrivals = Arrivals::default();
        let mut late = Vec::new();
        for ms in (0..4000u64).chain(9000..14_000).step_by(40) {
            let arrival = Mono::from_micros(ms * 1000);
            late.push(arrival.since(arrivals.time(arrival)));
        }
        assert!(late.iter().max() <= Some(&MAX_LAG));
        assert!(late.iter().rev().take(50).all(|late| *late < Duration::from_millis(100)), "{late:?}");
    }

    proptest! {
        #[test]
        fn times_are_distinct_grow_and_are_never_ahead_of_arrival(
            pauses in prop::collection::vec(prop_oneof![Just(0u64), 1u64..100_000, 1u64..5_000_000], 1..300)
        ) {
            let mut arrivals = Arrivals::default();
            let (mut now, mut last) = (Mono::from_micros(1_000_000), None);
            for (i, pause) in pauses.into_iter().enumerate() {
                now = now.plus(Duration::from_micros(pause));
                let at = arrivals.time(now);
                prop_assert!(last.is_none_or(|last| at > last));
                // But for the microsecond that keeps those of one moment apart.
                prop_assert!(at <= now.plus(Duration::from_micros(i as u64)), "{:?} {:?}", at, now);
                prop_assert!(now.since(at) <= MAX_LAG);
                last = Some(at);
            }
        }
    }
}
