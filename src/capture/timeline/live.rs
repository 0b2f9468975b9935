//! CLOCK_BOOTTIME of a live camera's pictures: by its stamps as long as they keep
//! real time, else by arrival.

use std::collections::VecDeque;
use std::time::Duration;

use super::Stamps;
use super::arrivals::Arrivals;
use super::line::{Judgement, Line, TOLERANCE_US};
use crate::domain::Mono;

/// Stamps that agree with each other after a jump: the camera's clock was set.
const AGREE: u32 = 3;
/// Jumps within this time that are forgiven.
const JUMPS: usize = 6;
const JUMPS_WITHIN: Duration = Duration::from_secs(60);
/// Packets in a row without a stamp after which there are none.
const WITHOUT: u32 = 10;
/// Stamps are gone by again when they have kept real time for so long: twice as long
/// each time, up to the second.
const SOUND_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(640));
/// And have not drifted by more than this meanwhile.
const SOUND_DRIFT_US: i64 = 100_000;
/// Stamps of less time do not tell their pace: a packet may be late by a quarter of it.
const TELLS_A_PACE: Duration = Duration::from_secs(2);
/// What packets are apart as long as nothing is known of it.
const UNKNOWN_INTERVAL: Duration = Duration::from_millis(40);

/// Where pictures' times come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TimedBy {
    /// The camera's own stamps.
    Stamps,
    /// Arrival: the source has no stamps.
    Untimed,
    /// Arrival: stamps do not keep real time.
    OffPace {
        /// At which pace they run, 1 being real time.
        pace: f64,
        /// How long it was measured.
        over: Duration,
    },
    /// Arrival: stamps jump.
    Jumping,
    /// Arrival: stamps are missing.
    Missing,
}

impl TimedBy {
    /// Why it is not the camera's stamps, in plain words.
    pub fn why(self) -> Option<String> {
        match self {
            TimedBy::Stamps => None,
            TimedBy::Untimed => Some("the source has no time stamps".to_owned()),
            TimedBy::OffPace { pace, .. } if pace.abs() < 0.05 => Some("its time stamps stand still".to_owned()),
            TimedBy::OffPace { pace, over } if over >= TELLS_A_PACE && (0.0..=4.0).contains(&pace) => {
                Some(format!("its time stamps run at {pace:.2} of real time"))
            }
            TimedBy::OffPace { pace, .. } => {
                let how = if pace < 1.0 { "slowly" } else { "fast" };
                Some(format!("its time stamps do not keep real time: they run too {how}"))
            }
            TimedBy::Jumping => Some("its time stamps jump about".to_owned()),
            TimedBy::Missing => Some("it sends no time stamps".to_owned()),
        }
    }
}

/// See the module's description.
#[derive(Debug, Clone)]
pub struct LiveTimeline {
    by: TimedBy,
    arrivals: Arrivals,
    line: Option<Line>,
    /// The delay of stamps after a jump, and how many agree.
    jumped: Option<(i64, u32)>,
    /// When stamps jumped lately.
    jumps: VecDeque<Mono>,
    without: u32,
    /// Since when stamps have kept real time, and how long they must.
    sound_since: Mono,
    sound_for: Duration,
}

impl LiveTimeline {
    /// Packets come every `interval` or so, as far as that is known; `has_stamps` is
    /// false for a source whose stamps are made up.
    pub fn new(interval: Option<Duration>, has_stamps: bool) -> LiveTimeline {
        LiveTimeline {
            by: if has_stamps { TimedBy::Stamps } else { TimedBy::Untimed },
            arrivals: Arrivals::new(interval.filter(|d| *d >= Duration::from_millis(1))),
            line: None,
            jumped: None,
            jumps: VecDeque::new(),
            without: 0,
            sound_since: Mono::ZERO,
            sound_for: SOUND_FOR.0,
        }
    }

    /// Where times come from at present.
    pub fn timed_by(&self) -> TimedBy {
        self.by
    }

    /// When the picture of the packet with these stamps, which arrived at `arrival`,
    /// was taken; without a network that holds packets back it would have arrived at
    /// `due`, as far as is known without stamps. Never after its arrival. In the order
    /// of packets, it may be before the one before it only if the stamps say so.
    pub fn at(&mut self, stamps: Stamps, arrival: Mono, due: Mono) -> Mono {
        let usual = self.arrivals.first_interval().unwrap_or(UNKNOWN_INTERVAL);
        let by_stamp = match self.by {
            TimedBy::Untimed => None,
            _ => self.by_stamp(stamps, arrival, usual),
        };
        match by_stamp {
            Some(at) if self.by == TimedBy::Stamps => {
                let at = at.min(arrival);
                self.arrivals.note(due);
                self.arrivals.set(at);
                at
            }
            _ => self.arrivals.time(due),
        }
    }

    /// The time that a sound stamp stands for.
    fn by_stamp(&mut self, stamps: Stamps, arrival: Mono, usual: Duration) -> Option<Mono> {
        let Some(stamp_us) = stamps.in_order_us() else {
            self.without += 1;
            if self.without >= WITHOUT {
                self.distrust(TimedBy::Missing, arrival);
            }
            return None;
        };
        self.without = 0;
        let delay_us = i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX).saturating_sub(stamp_us);
        let Some(line) = &mut self.line else {
            self.begin(delay_us, arrival);
            return self.line.as_mut().map(|line| line.at(stamp_us, stamps.reordering_us().unwrap_or(0)));
        };
        let reordering_us = stamps.reordering_us();
        let judgement = if reordering_us.is_none() { Judgement::Jumps } else { line.judge(delay_us, arrival, usual) };
        match judgement {
            Judgement::Sound => {
                self.jumped = None;
                let at = line.at(stamp_us, reordering_us.unwrap_or(0));
                self.regain(arrival);
                Some(at)
            }
            Judgement::OffPace => {
                let (pace, over) = line.pace(delay_us, arrival);
                self.distrust(TimedBy::OffPace { pace, over }, arrival);
                self.begin(delay_us, arrival);
                None
            }
            Judgement::Jumps => {
                self.jump(delay_us, arrival);
                None
            }
        }
    }

    fn begin(&mut self, delay_us: i64, arrival: Mono) {
        self.line = Some(Line::new(delay_us, arrival));
        (self.jumped, self.sound_since) = (None, arrival);
    }

    /// A stamp is far off: a stray one, or the first after the camera's clock was set.
    fn jump(&mut self, delay_us: i64, arrival: Mono) {
        let agreeing = self.jumped.filter(|(of, _)| of.saturating_sub(delay_us).saturating_abs() <= TOLERANCE_US);
        if let Some((of, n)) = agreeing {
            self.jumped = Some((of.min(delay_us), n + 1));
            if n + 1 >= AGREE {
                self.begin(of.min(delay_us), arrival);
            }
            return;
        }
        self.jumped = Some((delay_us, 1));
        self.sound_since = arrival;
        while self.jumps.len() > JUMPS || self.jumps.front().is_some_and(|first| arrival.since(*first) > JUMPS_WITHIN) {
            self.jumps.pop_front();
        }
        self.jumps.push_back(arrival);
        if self.jumps.len() > JUMPS {
            self.distrust(TimedBy::Jumping, arrival);
        }
    }

    fn distrust(&mut self, by: TimedBy, arrival: Mono) {
        self.sound_since = arrival;
        if self.by == TimedBy::Stamps {
            self.by = by;
        }
    }

    /// Stamps that have kept real time for long enough are gone by again.
    fn regain(&mut self, arrival: Mono) {
        if self.by == TimedBy::Stamps || arrival.since(self.sound_since) < self.sound_for {
            return;
        }
        if self.line.as_ref().is_some_and(|line| line.change_us().abs() <= SOUND_DRIFT_US) {
            self.by = TimedBy::Stamps;
            self.sound_for = (self.sound_for * 2).min(SOUND_FOR.1);
        } else {
            // They drift: another such time, from a line of its own.
            (self.line, self.sound_since) = (None, arrival);
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
