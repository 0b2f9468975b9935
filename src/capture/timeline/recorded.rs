//! Media time of a recording's packets: never runs backwards, and survives missing,
//! repeated, stray and absurd time stamps by counting pictures.
//!
//! Where the stamps make a long step forward, packets are held back until those
//! behind them tell whether it is a pause (a camera that records only what moves) or
//! stray stamps, after which time goes on where it was.

use std::collections::VecDeque;
use std::time::Duration;

use super::Stamps;
use crate::domain::Mono;

/// A step beyond this is damage, whatever follows.
const MAX_STEP: Duration = Duration::from_secs(3600);
/// A step up to this is believed at once.
const SMALL_STEP: Duration = Duration::from_secs(1);
/// And one up to so many intervals.
const SMALL_STEP_INTERVALS: u32 = 4;
/// Packets that a long step waits for.
const LOOK_AHEAD: usize = 25;
/// Packets without a stamp for decoding at a recording's beginning: as many as pictures
/// may be shown out of order.
const UNDECIDED: usize = 16;
/// So many long steps back among so many packets: stamps are of no use.
const STEPS_BACK: (usize, u64) = (3, 250);
/// Steps of good stamps whose median is the interval, at least and at most: what the
/// container names may itself come from stray stamps.
const STEPS: std::ops::RangeInclusive<usize> = 5..=31;
/// Intervals that can be.
const PLAUSIBLE_US: std::ops::RangeInclusive<u64> = 1_000..=60_000_000;
/// The interval where nothing names one.
const USUAL_INTERVAL: Duration = Duration::from_millis(40);

/// A packet with its place on the time line.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The packet.
    pub packet: T,
    /// When it is decoded: grows from packet to packet.
    pub at: Mono,
    /// When its picture was taken.
    pub taken: Mono,
}

/// See the module's description.
#[derive(Debug)]
pub struct Recorded<T> {
    start: Mono,
    /// As the container names it.
    nominal: Duration,
    /// The last steps of good stamps, and their median.
    steps: VecDeque<Duration>,
    interval: Duration,
    /// Pictures are counted, whatever the stamps.
    counted: bool,
    /// Stamp and place of the last packet.
    last: Option<(Option<i64>, Mono)>,
    /// The last stamp as it was, and packets placed so far.
    raw: Option<i64>,
    count: u64,
    /// Packets in a row whose stamps were not gone by, although they grew.
    astray: usize,
    /// Whether there are stamps for decoding.
    has_dts: Option<bool>,
    /// Last stamp before a long step forward, and where the step led.
    left: Option<(i64, Mono)>,
    /// The last long steps back.
    back: VecDeque<u64>,
    /// Long steps are no pauses: stamps go to and fro.
    to_and_fro: bool,
    /// The last step that a stamp made.
    step_us: i64,
    /// By how much the first picture is shown later than it is decoded.
    first_reordering_us: i64,
    /// The latest picture.
    latest: Mono,
    held: VecDeque<(T, Stamps)>,
    ready: VecDeque<Placed<T>>,
    ended: bool,
}

impl<T> Recorded<T> {
    /// The first picture is at `start`; `interval` serves where stamps do not, or
    /// always if pictures are `counted`.
    pub fn new(start: Mono, interval: Option<Duration>, counted: bool) -> Recorded<T> {
        let plausible = |d: &Duration| u64::try_from(d.as_micros()).is_ok_and(|us| PLAUSIBLE_US.contains(&us));
        let nominal = interval.filter(plausible).unwrap_or(USUAL_INTERVAL);
        Recorded {
            start,
            nominal,
            steps: VecDeque::new(),
            interval: nominal,
            counted,
            last: None,
            raw: None,
            count: 0,
            astray: 0,
            has_dts: None,
            left: None,
            back: VecDeque::new(),
            to_and_fro: false,
            step_us: 0,
            first_reordering_us: 0,
            latest: start,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next packet, in decoding order.
    pub fn push(&mut self, packet: T, stamps: Stamps) {
        let stamps = if self.counted { Stamps::default() } else { stamps };
        self.held.push_back((packet, stamps));
        self.settle();
    }

    /// No more packets come.
    pub fn end(&mut self) {
        self.ended = true;
        self.settle();
    }

    /// The next packet whose place is known.
    pub fn placed(&mut self) -> Option<Placed<T>> {
        self.ready.pop_front()
    }

    /// Where a recording that follows this one starts.
    pub fn until(&self) -> Mono {
        self.last.map_or(self.start, |(_, at)| at.max(self.latest).plus(self.interval))
    }

    /// Places what is held as far as it can be judged.
    fn settle(&mut self) {
        while let Some(stamps) = self.front() {
            let Some((at, believed)) = self.place(stamps) else { return };
            let Some((packet, _)) = self.held.pop_front() else { return };
            // A clock that stands still while the other goes on tells nothing.
            let stands_still = self.raw.is_some() && self.raw == stamps.in_order_us();
            self.note(stamps, at, believed);
            if self.last.is_none() {
                self.first_reordering_us = stamps.reordering_us().unwrap_or(0);
            }
            let reordering = stamps
                .reordering_us()
                .filter(|_| !stands_still)
                .map_or(0, |us| us.saturating_sub(self.first_reordering_us));
            let taken = shifted(at, reordering);
            // After a stray stamp time goes on from the last one that was not.
            let stamp = match believed {
                true => stamps.in_order_us(),
                false => self.last.and_then(|(last, _)| last).map(|last| last.saturating_add(micros(self.interval))),
            };
            self.step_us = self.last.map_or(0, |(_, last)| micros(at.since(last)));
            if believed {
                self.learn(stamps);
            }
            self.last = Some((stamp, at));
            self.latest = self.latest.max(taken);
            self.ready.push_back(Placed { packet, at, taken });
        }
    }

    /// The stamps of the packet in front; `None` until more is known.
    fn front(&mut self) -> Option<Stamps> {
        let (_, stamps) = self.held.front()?;
        let stamps = *stamps;
        if stamps.dts_us.is_some() {
            self.has_dts = Some(true);
        }
        if self.has_dts.is_some() || stamps.pts_us.is_none() {
            return Some(stamps);
        }
        // Matroska, where pictures are shown out of order: those behind it tell.
        let later = (0i64..).zip(&self.held).take(UNDECIDED).find_map(|(n, (_, later))| Some((n, later.dts_us?)));
        match later {
            Some((n, dts)) => {
                let dts_us = dts.saturating_sub(micros(self.interval).saturating_mul(n));
                Some(Stamps { dts_us: Some(dts_us), ..stamps })
            }
            None if self.ended || self.held.len() >= UNDECIDED => {
                self.has_dts = Some(false);
                Some(stamps)
            }
            None => None,
        }
    }

    /// What a packet that was placed tells of stamps to come.
    fn note(&mut self, stamps: Stamps, at: Mono, believed: bool) {
        self.count += 1;
        let (Some(stamp), Some((last, before))) = (stamps.in_order_us(), self.last) else {
            self.raw = stamps.in_order_us();
            return;
        };
        match believed {
            true => self.astray = 0,
            false if self.raw < Some(stamp) => self.astray += 1,
            false => {}
        }
        self.raw = Some(stamp);
        let step = last.map_or(0, |last| stamp.saturating_sub(last));
        if !believed || step.saturating_abs() <= self.small_us() {
            return;
        }
        if step > 0 {
            self.left = last.map(|last| (last, at)).filter(|_| at.since(before) > self.interval);
            return;
        }
        // As if it had never been elsewhere?
        let back = |(left, arrived): (i64, Mono)| stamp.saturating_sub(left).saturating_sub(micros(at.since(arrived)));
        self.to_and_fro |= self.left.take().is_some_and(|left| back(left).saturating_abs() <= self.small_us());
        self.back.push_back(self.count);
        while self.back.front().is_some_and(|first| self.count - first > STEPS_BACK.1) {
            self.back.pop_front();
        }
        self.to_and_fro |= self.back.len() >= STEPS_BACK.0;
    }

    /// The place of the packet in front, and whether by its stamp; `None` until more
    /// is known.
    fn place(&self, stamps: Stamps) -> Option<(Mono, bool)> {
        let Some((last, at)) = self.last else { return Some((self.start, true)) };
        let counted = at.plus(self.interval);
        let (Some(last), Some(stamp)) = (last, stamps.in_order_us()) else { return Some((counted, true)) };
        let step = stamp.saturating_sub(last);
        let by_stamp = at.plus(Duration::from_micros(step.unsigned_abs()));
        if step > 0 && step <= self.small_us() {
            return Some((by_stamp, true));
        }
        if self.raw == Some(stamp) {
            // It stands still: those behind it are measured from where it would be.
            return Some((counted, false));
        }
        if step <= 0 && step > -self.small_us() {
            // In disorder: those behind it are measured from what was before it, if
            // they do not go on from here.
            return Some((counted, self.astray >= LOOK_AHEAD && self.raw < Some(stamp)));
        }
        match self.returns(last, stamp)? {
            true => Some((counted, false)),
            false if step > 0 && step <= micros(MAX_STEP) && !self.to_and_fro => Some((by_stamp, true)),
            // Something else begins here, or stamps are of no use.
            false => Some((counted, true)),
        }
    }

    /// A good stamp: the interval is the median of the steps that they make.
    fn learn(&mut self, stamps: Stamps) {
        let last = self.last.and_then(|(last, _)| last);
        let step = stamps.in_order_us().zip(last).map(|(stamp, last)| stamp.saturating_sub(last));
        let Some(step) = step.and_then(|us| u64::try_from(us).ok()).filter(|us| PLAUSIBLE_US.contains(us)) else {
            return;
        };
        if self.steps.len() == *STEPS.end() {
            self.steps.pop_front();
        }
        self.steps.push_back(Duration::from_micros(step));
        if STEPS.contains(&self.steps.len()) {
            let mut sorted: Vec<Duration> = self.steps.iter().copied().collect();
            sorted.sort_unstable();
            self.interval = sorted.get(sorted.len() / 2).copied().unwrap_or(self.nominal);
        }
    }

    /// A step that needs no confirmation.
    fn small_us(&self) -> i64 {
        // A picture a minute is not always said to be that.
        micros(SMALL_STEP.max(self.interval * SMALL_STEP_INTERVALS)).max(self.step_us.saturating_mul(2))
    }

    /// Whether the stamps behind that one, which is far from `last`, go on from `last`;
    /// `None` if none does yet and more may come.
    fn returns(&self, last: i64, stamp: i64) -> Option<bool> {
        let near = self.small_us();
        if self.ended && self.held.len() == 1 {
            // The last one of all has nobody to confirm it.
            return Some(true);
        }
        let mut steps = 1;
        for (_, later) in self.held.iter().skip(1).take(LOOK_AHEAD) {
            steps += 1;
            let Some(later) = later.in_order_us() else { continue };
            let forward = later.saturating_sub(last);
            let room = near.saturating_add(micros(self.interval).saturating_mul(steps));
            if forward > 0 && forward <= room && (later < stamp || stamp <= last) {
                return Some(true);
            }
        }
        (self.ended || self.held.len() > LOOK_AHEAD).then_some(false)
    }
}

fn shifted(at: Mono, us: i64) -> Mono {
    let d = Duration::from_micros(us.unsigned_abs());
    if us < 0 { at.minus(d) } else { at.plus(d) }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
