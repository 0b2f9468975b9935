//! When the unit wants to be connected. Pure: times, randomness and what waits
//! come in.
//!
//! * *always*: always.
//! * *on event*: from the moment an alert waits until `stay` after the last one
//!   was delivered. Where no broker can be reached, the modem is not left on for
//!   ever: after ten minutes the unit rests, each time longer.
//! * *schedule*: in windows of the day, which begin up to five minutes late so
//!   that many units do not come at once; and every so often for as long as
//!   `stay`, or until all is delivered. Windows need a clock: without one the unit
//!   connects every six hours. A clock by which it is never their time (one that a time
//!   server holds at noon) is none: once a day's length has passed without them, the unit
//!   connects all the same.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::DayWindow;
use crate::domain::{Backoff, UtcMillis};

/// So long a broker is tried to be reached before the unit rests.
const PATIENCE: Duration = Duration::from_secs(600);

/// First and longest rest.
const REST_FIRST: Duration = Duration::from_secs(600);
const REST_LAST: Duration = Duration::from_secs(2 * 3600);

/// How late a window begins at most: this, or a quarter of it.
const LATEST: Duration = Duration::from_secs(300);

/// How often the unit connects that should by the time of day and has no clock.
const WITHOUT_CLOCK: Duration = Duration::from_secs(6 * 3600);

/// Windows come back within a day, and begin a little late.
const LONGEST_DAY: Duration = Duration::from_secs(25 * 3600);

/// How often the time of day is looked at.
const LOOK: Duration = Duration::from_secs(20);

/// When to be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectPolicy {
    /// Always.
    Always,
    /// While there is an alert, and so long after it.
    OnEvent {
        /// After the last one.
        stay: Duration,
    },
    /// At certain times.
    Schedule {
        /// Of every day.
        windows: Vec<DayWindow>,
        /// From one connection to the next.
        every: Option<Duration>,
        /// Longest connection of those.
        stay: Duration,
    },
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub now: Instant,
    /// `None` without a clock that is right.
    pub utc: Option<UtcMillis>,
    /// An alert waits for its delivery.
    pub alert: bool,
    pub connected: bool,
    /// All is delivered.
    pub drained: bool,
}

/// The state of the wish.
#[derive(Debug)]
pub(super) struct Wish {
    policy: ConnectPolicy,
    wanted: bool,
    /// On event: until then even without an alert. Schedule: of a connection
    /// that is not a window's.
    until: Option<Instant>,
    /// Since when it has been wanted in vain.
    trying: Option<Instant>,
    resting: Option<Instant>,
    rests: Backoff,
    /// The next connection that is not a window's.
    next: Option<Instant>,
    /// By which part of the latest beginning the present window is late.
    late: Option<f64>,
    /// When it was last the time of a window, or the program's start.
    in_time: Option<Instant>,
}

impl Wish {
    pub fn new(policy: ConnectPolicy) -> Wish {
        Wish {
            policy,
            wanted: false,
            until: None,
            trying: None,
            resting: None,
            rests: Backoff::new(REST_FIRST, REST_LAST),
            next: None,
            late: None,
            in_time: None,
        }
    }

    /// Whether it wants to be connected; `random` in 0..1.
    pub fn ask(&mut self, at: Situation, random: f64) -> bool {
        self.wanted = match self.policy.clone() {
            ConnectPolicy::Always => true,
            ConnectPolicy::OnEvent { stay } => self.after_events(at, stay) && !self.must_rest(at, random),
            ConnectPolicy::Schedule { windows, every, stay } => self.by_time(at, &windows, every, stay, random),
        };
        self.wanted
    }

    /// When to ask again, if nothing happens.
    pub fn ask_again(&self, now: Instant) -> Option<Instant> {
        match self.policy {
            ConnectPolicy::Always => None,
            ConnectPolicy::OnEvent { .. } => {
                let patience = self.trying.map(|since| since + PATIENCE);
                [self.until, self.resting, patience].into_iter().flatten().filter(|at| *at > now).min()
            }
            ConnectPolicy::Schedule { .. } => Some(now + LOOK),
        }
    }

    fn after_events(&mut self, at: Situation, stay: Duration) -> bool {
        if at.alert {
            self.until = Some(at.now + stay);
        }
        at.alert || (at.connected && self.until.is_some_and(|until| at.now < until))
    }

    fn must_rest(&mut self, at: Situation, random: f64) -> bool {
        if at.connected {
            (self.trying, self.resting) = (None, None);
            self.rests.reset();
            return false;
        }
        if let Some(until) = self.resting {
            if at.now < until {
                return true;
            }
            (self.resting, self.trying) = (None, Some(at.now));
        }
        let since = *self.trying.get_or_insert(at.now);
        if at.now.saturating_duration_since(since) < PATIENCE {
            return false;
        }
        self.resting = Some(at.now + self.rests.next(random));
        true
    }

    fn by_time(
        &mut self,
        at: Situation,
        windows: &[DayWindow],
        every: Option<Duration>,
        stay: Duration,
        random: f64,
    ) -> bool {
        let in_window = at.utc.is_some_and(|utc| self.in_window(utc, windows, random));
        let in_time = *self.in_time.get_or_insert(at.now);
        if in_window {
            self.in_time = Some(at.now);
        }
        let every = every.or(match at.utc {
            None => Some(WITHOUT_CLOCK),
            Some(_) if at.now.saturating_duration_since(in_time) >= LONGEST_DAY => Some(LONGEST_DAY),
            // What has begun without a clock is brought to its end, though the network gives the time.
            Some(_) => self.until.map(|_| LONGEST_DAY),
        });
        in_window || every.is_some_and(|every| self.periodically(at, every, stay, random))
    }

    fn in_window(&mut self, utc: UtcMillis, windows: &[DayWindow], random: f64) -> bool {
        let Some((since, length)) = windows.iter().find_map(|window| window.since_begin(utc)) else {
            self.late = None;
            return false;
        };
        let late = *self.late.get_or_insert(random);
        since >= LATEST.min(length / 4).mul_f64(late.clamp(0.0, 1.0))
    }

    fn periodically(&mut self, at: Situation, every: Duration, stay: Duration, random: f64) -> bool {
        if let Some(until) = self.until {
            let all_done = at.connected && at.drained;
            if at.now < until && !all_done {
                return true;
            }
            self.until = None;
            self.next = Some(at.now + every.mul_f64(0.9 + random.clamp(0.0, 1.0) / 5.0));
            return false;
        }
        if self.next.is_none_or(|next| at.now >= next) {
            self.until = Some(at.now + stay);
            return true;
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const STAY: Duration = Duration::from_secs(60);

    fn at(now: Instant) -> Situation {
        Situation { now, utc: None, alert: false, connected: false, drained: false }
    }

    #[test]
    fn an_alert_brings_the_link_up_and_it_stays_for_a_while() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut wish = Wish::new(ConnectPolicy::OnEvent { stay: STAY });
        assert!(!wish.ask(at(start), 0.5));
        assert!(wish.ask(Situation { alert: true, ..at(after(1)) }, 0.5));
        assert!(wish.ask(Situation { alert: true, connected: true, ..at(after(9)) }, 0.5));
        assert!(wish.ask(Situation { connected: true, drained: true, ..at(after(68)) }, 0.5));
        assert_eq!(wish.ask_again(after(68)), Some(after(69)));
        assert!(!wish.ask(Situation { connected: true, ..at(after(69)) }, 0.5));
        assert!(!wish.ask(at(after(70)), 0.5));
    }

    #[test]
    fn where_no_broker_can_be_reached_it_rests_longer_and_longer() {
        let start = Instant::now();
        let mut wish = Wish::new(ConnectPolicy::OnEvent { stay: STAY });
        let mut awake = 0;
        for minute in 0..24 * 60u32 {
            let now = start + Duration::from_secs(60) * minute;
            awake += u32::from(wish.ask(Situation { alert: true, ..at(now) }, 1.0));
        }
        assert!((100..200).contains(&awake), "{awake} minutes of a day");
    }

    #[test]
    fn windows_begin_a_little_late_and_end_in_time() {
        let start = Instant::now();
        let windows = vec!["06:00-06:10".parse().unwrap()];
        let mut wish = Wish::new(ConnectPolicy::Schedule { windows, every: None, stay: STAY });
        let mut minutes = Vec::new();
        for minute in 0..2 * 1440u32 {
            let utc = UtcMillis::parse("2026-05-01T00:00:00Z").unwrap().plus(Duration::from_secs(60) * minute);
            let now = start + Duration::from_secs(60) * minute;
            if wish.ask(Situation { utc: Some(utc), ..at(now) }, 1.0) {
                minutes.push(minute % 1440);
            }
        }
        let morning: Vec<u32> = (363..370).collect();
        assert_eq!(minutes, [morning.clone(), morning].concat(), "a quarter of ten minutes late");
    }

    /// Hours at which it began to be connected; each connection delivers what waits.
    fn begins(windows: &str, hours: u64, utc: impl Fn(u64) -> Option<UtcMillis>) -> Vec<u64> {
        let start = Instant::now();
        let windows = vec![windows.parse().unwrap()];
        let mut wish = Wish::new(ConnectPolicy::Schedule { windows, every: None, stay: STAY });
        let (mut begins, mut before) = (Vec::new(), false);
        for look in 0..hours * 180 {
            let now = start + LOOK * u32::try_from(look).unwrap();
            let situation = Situation { utc: utc(look), connected: before, drained: before, ..at(now) };
            let wanted = wish.ask(situation, 0.5);
            if wanted && !before {
                begins.push(look / 180);
            }
            before = wanted;
        }
        begins
    }

    #[test]
    fn a_clock_by_which_it_is_never_time_keeps_nothing_back_for_much_longer_than_a_day() {
        let day = |time: &str| UtcMillis::parse(&format!("2026-05-01T{time}Z"));
        // Held at noon; set about over some hours, never to the morning.
        assert_eq!(begins("06:00-06:10", 100, |_| day("12:00:00")), [25, 50, 75]);
        let about = |look: u64| day(["09:00:00", "15:00:00", "21:00:00"][look as usize % 3]);
        assert_eq!(begins("06:00-06:10", 60, about), [25, 50]);
        // An honest one: only then.
        let honest = |look: u64| day("12:00:00").map(|noon| noon.plus(LOOK * u32::try_from(look).unwrap()));
        assert_eq!(begins("06:00-06:10", 72, honest), [18, 42, 66]);
    }

    #[test]
    fn a_connection_that_brings_the_time_is_not_ended_by_it() {
        let start = Instant::now();
        let windows = vec!["06:00-06:10".parse().unwrap()];
        let mut wish = Wish::new(ConnectPolicy::Schedule { windows, every: None, stay: STAY });
        assert!(wish.ask(at(start), 0.5));
        let noon = Situation { utc: UtcMillis::parse("2026-05-01T12:00:00Z"), connected: true, ..at(start) };
        assert!(wish.ask(noon, 0.5));
        assert!(!wish.ask(Situation { drained: true, ..noon }, 0.5));
        assert!(!wish.ask(Situation { now: start + STAY, ..noon }, 0.5));
    }

    #[test]
    fn without_a_clock_it_connects_every_six_hours_until_all_is_delivered() {
        let start = Instant::now();
        let windows = vec!["06:00-06:10".parse().unwrap()];
        let mut wish = Wish::new(ConnectPolicy::Schedule { windows, every: None, stay: STAY });
        let mut begins = Vec::new();
        let mut before = false;
        for second in 0..86_400u64 {
            let connected = before;
            let now = start + Duration::from_secs(second);
            let wanted = wish.ask(Situation { connected, drained: connected, ..at(now) }, 0.5);
            if wanted && !before {
                begins.push(second / 3600);
            }
            before = wanted;
        }
        assert_eq!(begins, [0, 6, 12, 18]);
    }
}
