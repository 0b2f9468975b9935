//! The line on which a camera's clock runs against ours: offset and pace. The
//! smallest delays lie on it, all others above it (Moon, Skelly and Towsley,
//! "Estimation and removal of clock skew from network delay measurements", 1999).

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Mono;

/// Two clocks drift apart by less than this as long as nothing is known of it: RFC
/// 5905 allows 500 ppm, crystals have some 50.
const UNKNOWN_DRIFT_PPM: i64 = 200;
/// And by less than this ever: a camera that stamps for 30 pictures a second gives
/// 30000/1001 (1,000 ppm), and two crystals at the ends of their range of temperature
/// add some 300.
const MAX_DRIFT_PPM: i64 = 2000;
/// How much more than measured it is taken to be.
const DRIFT_MARGIN_PPM: i64 = 50;
/// What stamps may be off the line before they do not keep real time.
pub(super) const TOLERANCE_US: i64 = 500_000;
/// Nothing came for so much longer than usual: what comes then is late by the
/// network.
const STALL_US: i64 = 250_000;
/// A network that recovers hands over what it has held back faster than it was taken,
/// however little: the delay has been smaller than ever since the stall within this
/// time.
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);
/// By so much smaller, at least.
const RECOVERY_US: i64 = 20_000;
/// Pictures among which the one that is shown latest is looked for.
const REORDERINGS: usize = 64;
/// Smallest delays are kept for each second, for so many of them.
const SECONDS: usize = 60;
/// The pace of fewer seconds is not known.
const MIN_SECONDS: usize = 6;

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is on the line, or above it because the network was slow.
    Sound,
    /// It is far off, all at once.
    Jumps,
    /// Stamps fall behind real time, or run ahead of it.
    OffPace,
}

/// See the module's description.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The smallest delay, as of a time.
    floor_us: i64,
    as_of: Mono,
    /// Smallest delays by second: the seconds' beginnings, and the delays.
    minima: VecDeque<(Mono, i64)>,
    /// How fast the floor may rise.
    drift_ppm: i64,
    /// Delay of the last sound stamp, and arrival of the last of all.
    last: (i64, Mono),
    /// What of the present delay the network accounts for, and since when it has not
    /// grown less.
    stalled: (i64, Mono),
    /// When the delay was last a small one, and what it was above the floor.
    on_line: (Mono, i64),
    /// How much later than they were decoded the last pictures were shown.
    reorderings: VecDeque<i64>,
}

impl Line {
    /// From the first stamp, which arrives with this delay.
    pub(super) fn new(delay_us: i64, arrival: Mono) -> Line {
        Line {
            floor_us: delay_us,
            as_of: arrival,
            minima: VecDeque::from([(arrival, delay_us)]),
            drift_ppm: UNKNOWN_DRIFT_PPM,
            last: (delay_us, arrival),
            stalled: (0, arrival),
            on_line: (arrival, 0),
            reorderings: VecDeque::new(),
        }
    }

    /// A stamp arrives with this delay; packets come every `usual` or so.
    pub(super) fn judge(&mut self, delay_us: i64, arrival: Mono, usual: Duration) -> Judgement {
        let floor = self.floor(arrival);
        let lag = delay_us.saturating_sub(floor);
        let (last_delay, last_arrival) = self.last;
        let growth = delay_us.saturating_sub(last_delay);
        let stall = micros(arrival.since(last_arrival)).saturating_sub(micros(usual));
        self.last.1 = arrival;
        let stalled = self.stalled(lag, if stall > STALL_US { growth.clamp(0, stall) } else { 0 }, arrival);
        // A slow camera's pictures that come all at once are apart by their interval.
        if lag < -TOLERANCE_US.saturating_add(micros(usual)) {
            return Judgement::Jumps;
        }
        if lag.saturating_sub(stalled.0) > TOLERANCE_US {
            // What had been excused came all at once, with the stall.
            let at_once = growth > TOLERANCE_US / 2 || self.stalled.0 > TOLERANCE_US / 2;
            return if at_once { Judgement::Jumps } else { Judgement::OffPace };
        }
        self.last.0 = delay_us;
        self.stalled = stalled;
        if lag <= TOLERANCE_US / 5 {
            self.on_line = (arrival, lag.max(0));
        }
        self.lower(delay_us, arrival, floor);
        if self.runs_ahead() { Judgement::OffPace } else { Judgement::Sound }
    }

    /// What the network accounts for of what a packet is late, after a stall that added
    /// so much.
    fn stalled(&self, lag: i64, added: i64, arrival: Mono) -> (i64, Mono) {
        let (before, since) = self.stalled;
        let now = before.min(lag.max(0)).saturating_add(added).min(lag.max(0));
        if added > 0 || now <= before.saturating_sub(RECOVERY_US) {
            return (now, arrival);
        }
        if arrival.since(since) <= RECOVERS_WITHIN { (before, since) } else { (0, arrival) }
    }

    /// The smallest delay at `arrival`: it is allowed to grow as fast as clocks
    /// drift, so that it does not stay too small for ever.
    fn floor(&self, arrival: Mono) -> i64 {
        let elapsed_us = micros(arrival.since(self.as_of));
        let rise = i128::from(elapsed_us) * i128::from(self.drift_ppm) / 1_000_000;
        self.floor_us.saturating_add(i64::try_from(rise).unwrap_or(0))
    }

    fn lower(&mut self, delay_us: i64, arrival: Mono, floor: i64) {
        (self.floor_us, self.as_of) = (floor.min(delay_us), arrival.max(self.as_of));
        match self.minima.back_mut() {
            Some((second, least)) if arrival.since(*second) < Duration::from_secs(1) => *least = delay_us.min(*least),
            _ => {
                if self.minima.len() == SECONDS {
                    self.minima.pop_front();
                }
                self.minima.push_back((arrival, delay_us));
                let drift = self.drift().map_or(UNKNOWN_DRIFT_PPM, |ppm| ppm.saturating_add(DRIFT_MARGIN_PPM));
                self.drift_ppm = drift.clamp(UNKNOWN_DRIFT_PPM, MAX_DRIFT_PPM);
            }
        }
    }

    /// By how much the smallest delays grow, millionths: the slope of the edge of
    /// their lower convex hull above the middle of the time (the line below all of
    /// them that is nearest to them on average).
    fn drift(&self) -> Option<i64> {
        if self.minima.len() < MIN_SECONDS {
            return None;
        }
        let first = self.minima.front()?.0;
        let points = self.minima.iter().map(|(at, delay)| (at.secs_since(first), *delay as f64));
        let mut hull: Vec<(f64, f64)> = Vec::with_capacity(SECONDS);
        for point in points.clone() {
            while let [.., a, b] = hull[..]
                && (b.0 - a.0) * (point.1 - a.1) <= (point.0 - a.0) * (b.1 - a.1)
            {
                hull.pop();
            }
            hull.push(point);
        }
        let middle = points.map(|(x, _)| x).sum::<f64>() / self.minima.len() as f64;
        let (a, b) = hull.iter().zip(hull.iter().skip(1)).find(|(_, b)| b.0 >= middle)?;
        // Microseconds per second are millionths; a cast saturates.
        Some(((b.1 - a.1) / (b.0 - a.0).max(1e-3)) as i64)
    }

    /// Whether the delay shrinks again and again, as it does not when a network
    /// recovers: over each half of what is remembered.
    fn runs_ahead(&self) -> bool {
        let third = self.minima.len() / 3;
        if self.minima.len() < MIN_SECONDS {
            return false;
        }
        let least = |skip: usize| self.minima.iter().skip(skip).take(third).map(|(_, delay)| *delay).min();
        let (Some(a), Some(b), Some(c)) = (least(0), least(third), least(self.minima.len() - third)) else {
            return false;
        };
        a.saturating_sub(b) > TOLERANCE_US / 2 && b.saturating_sub(c) > TOLERANCE_US / 2
    }

    /// Stamps per second of real time, since they began to fall behind or, if they
    /// run ahead, as far as is remembered; and how long that is.
    pub(super) fn pace(&self, delay_us: i64, arrival: Mono) -> (f64, Duration) {
        // While delays shrink, a second's smallest is its last: the seconds are as far
        // apart as these.
        let whole = self.minima.iter().rev().nth(1);
        let (grown, over) = match (self.runs_ahead(), self.minima.front(), whole) {
            (true, Some((first, before)), Some((last, after))) => (after.saturating_sub(*before), last.since(*first)),
            _ => {
                let (since, lag) = self.on_line;
                (delay_us.saturating_sub(self.floor_us).saturating_sub(lag), arrival.since(since))
            }
        };
        (1.0 - grown as f64 / micros(over).max(1) as f64, over)
    }

    /// How much the smallest delay has changed since the beginning.
    pub(super) fn change_us(&self) -> i64 {
        let (first, last) = (self.minima.front(), self.minima.iter().rev().nth(1));
        first.zip(last).map_or(0, |((_, first), (_, last))| last.saturating_sub(*first))
    }

    /// When the picture with this stamp, which is shown so long after it is decoded,
    /// was taken: with the smallest delay and the latest showing it would have arrived
    /// the moment it was.
    pub(super) fn at(&mut self, stamp_us: i64, reordering_us: i64) -> Mono {
        if self.reorderings.len() == REORDERINGS {
            self.reorderings.pop_front();
        }
        self.reorderings.push_back(reordering_us);
        let shown = stamp_us.saturating_add(reordering_us).saturating_sub(self.latest_showing_us());
        Mono::from_micros(u64::try_from(shown.saturating_add(self.floor_us)).unwrap_or(0))
    }
}

impl Line {
    /// The latest that pictures are shown after they are decoded: what one picture
    /// alone says may be a stamp astray.
    fn latest_showing_us(&self) -> i64 {
        let two = self.reorderings.iter().fold((i64::MIN, i64::MIN), |(most, next), us| match *us {
            us if us > most => (us, most),
            us => (most, next.max(us)),
        });
        if self.reorderings.len() == 1 { two.0 } else { two.1 }
    }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}
