//! The estimate of UTC: a pure state machine.
//!
//! CLOCK_BOOTTIME runs on, whatever is done to the kernel's UTC; so all that has
//! to be known is one number, UTC − CLOCK_BOOTTIME, and how far it may be off.
//! Readings of the kernel, the battery clock, a satellite receiver and the
//! journal go in; the estimate comes out.
//!
//! * What vouches for a time gives it bounds. Between two vouched readings the
//!   bounds grow by [`DRIFT_PPM`]; the reading with the closer bounds is kept.
//! * Readings whose bounds do not meet contradict each other. A satellite
//!   receiver (which somebody asked for) is believed before the network, both
//!   before the battery clock. The same source is believed against itself once
//!   it has said so for [`STANDS_AFTER`]: a step that is undone has no effect.
//! * What nothing vouches for is a guess: the kernel's UTC, but never before the
//!   last time that the unit is known to have been alive, nor before the
//!   program was made.
//! * [`Timekeeper::version`] grows when earlier stamps have to be looked at
//!   again: the clock became right, much better, or was wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::running::{ProvenTime, RunningMs, RunningTime};
use crate::domain::{Mono, UtcMillis};
use crate::event::TimeSource;

/// Assumed bound of a quartz that nothing steers: a Raspberry Pi's is specified
/// for ±20 ppm; a tuning-fork quartz at −20 °C loses 80 ppm.
pub const DRIFT_PPM: i64 = 100;

/// The kernel is never believed to be closer than this. systemd-timesyncd
/// declares an error of zero; what an asymmetric mobile link adds is more.
const NTP_BOUND_US: i64 = 50_000;

/// A receiver's sentence arrives up to a second after the moment it names.
const GPS_LATENCY_US: i64 = 1_000_000;

/// Fixes in a row that have to agree before a receiver is believed.
const GPS_FIXES: u32 = 3;

/// Fixes further apart are not in a row.
const GPS_PAUSE: Duration = Duration::from_secs(10);

/// A contradiction by the same source has to last that long.
pub const STANDS_AFTER: Duration = Duration::from_secs(60);

/// A better source that was silent for longer does not outrank another.
const RANK_LASTS: Duration = Duration::from_secs(600);

/// A battery clock counts seconds and is read at any moment within one.
const RTC_BOUND_US: i64 = 2_000_000;

/// A kernel clock without a voucher is followed when it moves further.
const GUESS_STEP_US: i64 = 1_000_000;

/// Bounds are "much better" when earlier ones were wider than this and four
/// times as wide.
const WIDE_US: i64 = 2_000_000;

/// The kernel's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTime {
    /// CLOCK_BOOTTIME.
    pub mono: Mono,
    /// CLOCK_REALTIME, microseconds since 1970.
    pub utc_us: i64,
    /// The maximum error if the kernel calls its clock synchronised.
    pub max_error_us: Option<i64>,
    /// A leap second is being inserted or left out.
    pub leap: bool,
}

/// The battery clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtcTime {
    /// CLOCK_BOOTTIME.
    pub mono: Mono,
    /// What it says, microseconds since 1970.
    pub utc_us: i64,
    /// Whether the kernel took its own time from it.
    pub set_kernel: bool,
}

/// A satellite receiver's fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpsTime {
    /// CLOCK_BOOTTIME at its arrival.
    pub mono: Mono,
    /// The time it names, microseconds since 1970.
    pub utc_us: i64,
    /// The receiver's own estimate of its error.
    pub error_us: i64,
}

/// What the journal keeps of the estimate, so that it outlives the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedClock {
    /// First 32 bits of the boot id.
    pub boot: u32,
    /// CLOCK_BOOTTIME then, microseconds.
    pub mono_us: u64,
    /// UTC − CLOCK_BOOTTIME, microseconds, as estimated.
    pub offset_us: i64,
    /// ± microseconds; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_us: Option<i64>,
    /// What vouched for it.
    pub source: TimeSource,
    /// UTC − CLOCK_BOOTTIME is proven to be at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_us: Option<i64>,
    /// The kernel's UTC − CLOCK_BOOTTIME, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_us: Option<i64>,
    /// The last UTC (ms) at which the battery clock was seen to be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtc_right: Option<i64>,
    /// The unit's running time then; absent in what earlier versions left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ms: Option<RunningMs>,
    /// What certificates have proven about the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<ProvenTime>,
}

impl SavedClock {
    /// UTC then, as estimated.
    pub fn utc(&self) -> UtcMillis {
        UtcMillis(self.offset_us.saturating_add(mono_us(Mono::from_micros(self.mono_us))).div_euclid(1_000))
    }
}

/// What a reading changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The time was unknown and is known now; it was off by so much.
    BecameRight {
        /// New minus old estimate.
        by_us: i64,
    },
    /// The bounds became much closer.
    Refined {
        /// New minus old estimate.
        by_us: i64,
    },
    /// What was believed was wrong.
    Stepped {
        /// New minus old estimate.
        by_us: i64,
    },
    /// A leap second: UTC moved, nothing was wrong.
    Leap,
}

/// UTC as estimated for the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// UTC − CLOCK_BOOTTIME.
    pub offset_us: i64,
    /// ± microseconds; `None` if nobody knows.
    pub bound_us: Option<i64>,
    /// What vouches for it.
    pub source: TimeSource,
}

/// A vouched offset at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    at: Mono,
    offset_us: i64,
    bound_us: Option<i64>,
    source: TimeSource,
}

/// A vouched reading with bounds.
#[derive(Debug, Clone, Copy)]
struct Claim {
    at: Mono,
    offset_us: i64,
    bound_us: i64,
    source: TimeSource,
    leap: bool,
    /// What was believed before the reading.
    old_us: i64,
}

impl Claim {
    fn anchor(self) -> Anchor {
        Anchor { at: self.at, offset_us: self.offset_us, bound_us: Some(self.bound_us), source: self.source }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Timekeeper {
    boot: u32,
    /// UTC of the program's making, ms: nothing earlier is believed.
    made: UtcMillis,
    anchor: Option<Anchor>,
    guess_us: Option<i64>,
    kernel_us: Option<i64>,
    /// What the kernel says at present, if it calls itself synchronised.
    synchronised_us: Option<i64>,
    /// `None` until it has begun: with the journal, or with the first reading.
    running: Option<RunningTime>,
    /// What certificates have proven.
    proven: Option<ProvenTime>,
    /// Where the last run's time, vouched for or not, puts this boot's beginning.
    alive_us: Option<i64>,
    /// The journal's lower bound of the offset.
    floor_us: Option<i64>,
    /// A contradiction that has to stand, and since when it does.
    rival: Option<(Claim, Mono)>,
    fixes: Option<(GpsTime, u32)>,
    rtc_right: Option<UtcMillis>,
    version: u64,
    steps: u64,
}

fn us(t: UtcMillis) -> i64 {
    t.0.saturating_mul(1_000)
}

fn mono_us(at: Mono) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// How far a clock may drift in `span_us`.
fn drift_us(span_us: i64) -> i64 {
    (i128::from(span_us.unsigned_abs()) * i128::from(DRIFT_PPM) / 1_000_000).min(i128::from(i64::MAX)) as i64
}

fn apart(a: i64, b: i64) -> i64 {
    a.saturating_sub(b).saturating_abs()
}

fn rank(source: TimeSource) -> u8 {
    match source {
        TimeSource::Gps => 3,
        TimeSource::Ntp => 2,
        TimeSource::Rtc => 1,
        TimeSource::None | TimeSource::File => 0,
    }
}

impl Timekeeper {
    /// Knows nothing yet. `made` is when the program was made.
    pub fn new(boot: u32, made: UtcMillis) -> Timekeeper {
        Timekeeper {
            boot,
            made,
            anchor: None,
            guess_us: None,
            kernel_us: None,
            synchronised_us: None,
            running: None,
            proven: None,
            alive_us: None,
            floor_us: None,
            rival: None,
            fixes: None,
            rtc_right: None,
            version: 0,
            steps: 0,
        }
    }

    /// Goes on from what an earlier run left in the journal, at `now`. Comes
    /// before the first reading.
    pub fn resume(&mut self, saved: &SavedClock, now: Mono) {
        self.rtc_right = saved.rtc_right.map(UtcMillis);
        let at = Mono::from_micros(saved.mono_us);
        let same_boot = saved.boot == self.boot && at <= now;
        self.running = Some(match saved.running_ms {
            Some(was) => RunningTime::resume(was, same_boot.then_some(at), now),
            None => RunningTime::begin(now),
        });
        self.proven = saved.proven;
        if !same_boot {
            // Everything of an earlier boot came before this one's beginning.
            let beginning = |offset: i64| offset.saturating_add(mono_us(at));
            self.floor_us = saved.floor_us.map(beginning);
            self.alive_us = Some(beginning(saved.offset_us));
            return;
        }
        self.floor_us = saved.floor_us;
        self.kernel_us = saved.kernel_us;
        self.guess_us = Some(saved.offset_us);
        if rank(saved.source) > 0 && self.believable(saved.offset_us, at) {
            self.anchor = Some(Anchor {
                at,
                offset_us: saved.offset_us,
                bound_us: saved.bound_us.map(|bound| bound.max(0)),
                source: saved.source,
            });
        }
    }

    /// What the next run has to know.
    pub fn saved(&self, now: Mono) -> SavedClock {
        let estimate = self.estimate(now);
        SavedClock {
            boot: self.boot,
            mono_us: now.as_micros(),
            offset_us: estimate.offset_us,
            bound_us: estimate.bound_us,
            source: estimate.source,
            floor_us: self.floor_us,
            kernel_us: self.kernel_us,
            rtc_right: self.rtc_right.map(|t| t.0),
            running_ms: Some(self.running(now)),
            proven: self.proven,
        }
    }

    /// The kernel's clocks were read.
    pub fn kernel(&mut self, k: KernelTime) -> Option<Change> {
        let offset = k.utc_us.saturating_sub(mono_us(k.mono));
        let old_us = self.estimate(k.mono).offset_us;
        self.running.get_or_insert(RunningTime::begin(k.mono));
        let moved = self.kernel_us.is_some_and(|last| apart(last, offset) > GUESS_STEP_US);
        self.kernel_us = Some(offset);
        if self.guess_us.is_none() {
            let alive = self.alive_us.unwrap_or(i64::MIN);
            self.guess_us = Some(offset.max(self.lowest(k.mono)).max(alive));
        }
        if moved {
            self.guess_us = Some(offset.max(self.lowest(k.mono)));
            if self.anchor.is_some_and(|anchor| anchor.bound_us.is_none()) {
                // Somebody knows better than a battery clock without bounds.
                self.anchor = None;
            }
        }
        self.synchronised_us = k.max_error_us.map(|_| offset).filter(|_| self.believable(offset, k.mono));
        match k.max_error_us {
            Some(error) if self.believable(offset, k.mono) => self.claim(Claim {
                at: k.mono,
                offset_us: offset,
                bound_us: error.max(NTP_BOUND_US),
                source: TimeSource::Ntp,
                leap: k.leap,
                old_us,
            }),
            _ => {
                self.rival = None;
                None
            }
        }
    }

    /// A satellite receiver gave a time.
    pub fn gps(&mut self, fix: GpsTime) -> Option<Change> {
        let offset = |fix: &GpsTime| fix.utc_us.saturating_sub(mono_us(fix.mono));
        let in_a_row = match self.fixes {
            Some((last, n))
                if fix.mono.since(last.mono) <= GPS_PAUSE && apart(offset(&fix), offset(&last)) <= GPS_LATENCY_US =>
            {
                n.saturating_add(1)
            }
            _ => 1,
        };
        self.fixes = Some((fix, in_a_row));
        if in_a_row < GPS_FIXES || !self.believable(offset(&fix), fix.mono) {
            return None;
        }
        self.claim(Claim {
            at: fix.mono,
            offset_us: offset(&fix).saturating_add(GPS_LATENCY_US / 2),
            bound_us: fix.error_us.max(0).saturating_add(GPS_LATENCY_US / 2),
            source: TimeSource::Gps,
            leap: false,
            old_us: self.estimate(fix.mono).offset_us,
        })
    }

    /// The battery clock was read.
    pub fn rtc(&mut self, rtc: RtcTime) -> Option<Change> {
        let offset = rtc.utc_us.saturating_sub(mono_us(rtc.mono));
        let estimate = self.estimate(rtc.mono);
        if let Some(bound) = estimate.bound_us {
            if estimate.source != TimeSource::Rtc
                && apart(offset, estimate.offset_us) <= bound.saturating_add(RTC_BOUND_US)
            {
                self.rtc_right = Some(self.utc(rtc.mono));
            }
            return None;
        }
        let set_kernel = rtc.set_kernel && self.kernel_us.is_some_and(|k| apart(k, offset) <= RTC_BOUND_US);
        let kernel = self.kernel_us?;
        if self.anchor.is_some() || !set_kernel || offset.saturating_add(RTC_BOUND_US) < self.lowest(rtc.mono) {
            return None;
        }
        let bound_us =
            self.rtc_right.map(|right| RTC_BOUND_US.saturating_add(drift_us(rtc.utc_us.saturating_sub(us(right)))));
        self.anchor = Some(Anchor { at: rtc.mono, offset_us: kernel, bound_us, source: TimeSource::Rtc });
        bound_us.map(|_| {
            self.version += 1;
            Change::BecameRight { by_us: kernel.saturating_sub(estimate.offset_us) }
        })
    }

    /// UTC − CLOCK_BOOTTIME as estimated at `now`.
    pub fn estimate(&self, now: Mono) -> Estimate {
        match self.anchor {
            Some(anchor) => {
                Estimate { offset_us: anchor.offset_us, bound_us: predicted(anchor, now), source: anchor.source }
            }
            None => Estimate {
                offset_us: self.guess_us.unwrap_or_else(|| self.lowest(now)),
                bound_us: None,
                source: TimeSource::None,
            },
        }
    }

    /// UTC as estimated at `now`.
    pub fn utc(&self, now: Mono) -> UtcMillis {
        UtcMillis(self.estimate(now).offset_us.saturating_add(mono_us(now)).div_euclid(1_000))
    }

    /// The unit's running time at `now`; zero before the first reading.
    pub fn running(&self, now: Mono) -> RunningMs {
        self.running.map_or(RunningMs(0), |running| running.at(now))
    }

    /// Goes on, from `now`, with a running time that is known from elsewhere: the journal
    /// was damaged, what it had noted can still be read.
    pub fn resume_running(&mut self, was: RunningMs, now: Mono) {
        self.running = Some(RunningTime::resume(was, None, now));
    }

    /// An authority that the unit trusts has signed a certificate that is valid from `t`
    /// on: so that is over.
    pub fn certificate_from(&mut self, t: UtcMillis, now: Mono) {
        let running = self.running(now);
        let found = ProvenTime::new(t, running);
        self.proven = Some(self.proven.map_or(found, |proven| proven.later(found, running)));
    }

    /// It is at least this, whatever any clock says: by the program's making, by
    /// certificates, and by the running time since.
    pub fn proven(&self, now: Mono) -> UtcMillis {
        let proven = self.proven.map(|proven| proven.at(self.running(now)));
        proven.map_or(self.made, |proven| proven.max(self.made))
    }

    /// The time by which certificates are judged.
    ///
    /// It is what the unit's sources say *now*, and never before what is
    /// [proven](Self::proven). What they have said before does not matter, not even a
    /// moment ago: a lie of theirs has no effect once it is over.
    pub fn utc_for_certificates(&self, now: Mono) -> UtcMillis {
        let estimate = self.estimate(now);
        let kernel = self.kernel_us.unwrap_or(i64::MIN);
        let offset = match self.synchronised_us {
            Some(said) if rank(estimate.source) <= rank(TimeSource::Ntp) => said,
            _ if estimate.bound_us.is_some() => estimate.offset_us,
            _ => kernel,
        };
        let said = UtcMillis(offset.saturating_add(mono_us(now)).div_euclid(1_000));
        said.max(self.proven(now))
    }

    /// Whether `t` may be over for all that is known, though the time by which certificates
    /// are judged is earlier: nothing vouches for that, and the unit has been alive then.
    pub fn may_be_over(&self, t: UtcMillis, now: Mono) -> bool {
        self.estimate(now).bound_us.is_none() && t <= self.utc(now)
    }

    /// UTC − CLOCK_BOOTTIME is proven to be at least this, by the journal alone.
    pub fn floor_us(&self) -> Option<i64> {
        self.floor_us
    }

    /// Grows when stamps given before have to be looked at again.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How often a time that was vouched for turned out to be wrong.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The kernel's clock minus the estimate.
    pub fn kernel_off_us(&self, now: Mono) -> Option<i64> {
        Some(self.kernel_us?.saturating_sub(self.estimate(now).offset_us))
    }

    /// Since when nothing has vouched for the time; `None` if nothing ever has.
    pub fn vouched_at(&self) -> Option<Mono> {
        self.anchor.map(|anchor| anchor.at)
    }

    /// The lowest offset that can be, by the journal and the program's making.
    fn lowest(&self, now: Mono) -> i64 {
        us(self.made).saturating_sub(mono_us(now)).max(self.floor_us.unwrap_or(i64::MIN))
    }

    /// Not before the program was made.
    fn believable(&self, offset_us: i64, at: Mono) -> bool {
        offset_us.saturating_add(mono_us(at)) >= us(self.made)
    }

    fn claim(&mut self, claim: Claim) -> Option<Change> {
        let by_us = claim.offset_us.saturating_sub(claim.old_us);
        let Some((anchor, predicted)) = self.anchor.and_then(|a| Some((a, predicted(a, claim.at)?))) else {
            self.accept(claim);
            self.version += 1;
            return Some(Change::BecameRight { by_us });
        };
        let between = apart(claim.offset_us, anchor.offset_us);
        let together = predicted.saturating_add(claim.bound_us);
        if between <= together {
            self.rival = None;
            if claim.bound_us > predicted {
                return None;
            }
            self.accept(claim);
            let refined = predicted > WIDE_US && predicted / 4 > claim.bound_us;
            self.version += u64::from(refined);
            return refined.then_some(Change::Refined { by_us });
        }
        if claim.leap && between.saturating_sub(1_000_000).saturating_abs() <= together {
            self.accept(claim);
            return Some(Change::Leap);
        }
        let outranks = |a: TimeSource, b: TimeSource| rank(a) > rank(b);
        if outranks(anchor.source, claim.source) && claim.at.since(anchor.at) < RANK_LASTS {
            return None;
        }
        if !outranks(claim.source, anchor.source) && !self.stands(claim) {
            return None;
        }
        self.accept(claim);
        // What was proven by a time that was wrong is not.
        self.floor_us = Some(claim.offset_us.saturating_sub(claim.bound_us));
        self.version += 1;
        self.steps += 1;
        Some(Change::Stepped { by_us })
    }

    /// Whether this contradiction has stood long enough.
    fn stands(&mut self, claim: Claim) -> bool {
        if let Some((rival, since)) = &mut self.rival {
            let same = rival.source == claim.source
                && apart(rival.offset_us, claim.offset_us) <= rival.bound_us.saturating_add(claim.bound_us);
            if same {
                *rival = claim;
                return claim.at.since(*since) >= STANDS_AFTER;
            }
        }
        self.rival = Some((claim, claim.at));
        false
    }

    fn accept(&mut self, claim: Claim) {
        self.rival = None;
        let was_unknown = self.anchor.is_none_or(|anchor| anchor.bound_us.is_none());
        self.anchor = Some(claim.anchor());
        self.guess_us = Some(claim.offset_us);
        let proven = claim.offset_us.saturating_sub(claim.bound_us);
        // A first voucher below the journal's last known time: that was wrong.
        let keeps =
            self.floor_us.filter(|&floor| !was_unknown || floor <= claim.offset_us.saturating_add(claim.bound_us));
        self.floor_us = Some(keeps.map_or(proven, |floor| floor.max(proven)));
    }
}

/// The bounds of `anchor` at `now`.
fn predicted(anchor: Anchor, now: Mono) -> Option<i64> {
    let span = mono_us(now).saturating_sub(mono_us(anchor.at));
    anchor.bound_us.map(|bound| bound.saturating_add(drift_us(span)))
}

#[cfg(test)]
mod tests;
