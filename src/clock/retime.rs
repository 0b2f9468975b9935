//! Which events get which times once the clock is right. Pure.
//!
//! What was reported stays; a correction says by how many milliseconds the `t`
//! of a range of numbers has to be moved, and how far that may be off. CLOCK_BOOTTIME,
//! kept with every event, makes the ranges few: within one boot and one belief
//! about the time, the correction is the same for all.

use super::keeper::DRIFT_PPM;
use super::system::bound_ms;

/// UTC along one boot's CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLine {
    /// CLOCK_BOOTTIME (ms) at which the offset was known.
    pub at_ms: u64,
    /// UTC − CLOCK_BOOTTIME, µs.
    pub offset_us: i64,
    /// ± µs at that moment; grows away from it.
    pub bound_us: i64,
}

impl TimeLine {
    /// UTC (ms) at CLOCK_BOOTTIME `mono_ms`, and its uncertainty (± ms).
    fn at(&self, mono_ms: u64) -> (i64, u32) {
        let mono = i64::try_from(mono_ms).unwrap_or(i64::MAX);
        let span_us = i64::try_from(self.at_ms.abs_diff(mono_ms)).unwrap_or(i64::MAX).saturating_mul(1_000);
        let drift = span_us / (1_000_000 / DRIFT_PPM);
        (self.offset_us.div_euclid(1_000).saturating_add(mono), bound_ms(self.bound_us.saturating_add(drift)))
    }
}

/// An event whose time may want correcting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// Its number.
    pub seq: u64,
    /// CLOCK_BOOTTIME, ms.
    pub mono_ms: u64,
    /// UTC ms as reported.
    pub reported: i64,
    /// UTC ms as known so far: as reported, or as corrected before.
    pub known: i64,
    /// ± ms of `known`; `None` if unknown.
    pub uncertainty_ms: Option<u32>,
}

/// Numbers `first..=last`: add `offset_ms` to the reported `t`, which then is
/// right within ± `uncertainty_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// What to add to `t`.
    pub offset_ms: i64,
    /// ± of the result.
    pub uncertainty_ms: u32,
}

/// Times differ by no more than this within one range: rounding, twice.
const SAME_MS: i64 = 2;

/// Bounds below this are not worth a range of their own.
const CLOSE_MS: u32 = 250;

/// Known bounds are replaced when they are wider than this and four times as
/// wide as the new ones.
const WIDE_MS: u32 = 2_000;

/// Collects corrections; events come in the order of their numbers.
#[derive(Debug)]
pub struct Retiming {
    line: TimeLine,
    open: bool,
    found: Vec<Correction>,
}

impl Retiming {
    /// By this line.
    pub fn new(line: TimeLine) -> Retiming {
        Retiming { line, open: false, found: Vec::new() }
    }

    /// The next event.
    pub fn event(&mut self, event: Timed) {
        let (right, uncertainty_ms) = self.line.at(event.mono_ms);
        if !wants(&event, right, uncertainty_ms) {
            self.open = false;
            return;
        }
        let offset_ms = right.saturating_sub(event.reported);
        if let Some(range) = self.found.last_mut().filter(|_| self.open)
            && range.offset_ms.saturating_sub(offset_ms).saturating_abs() <= SAME_MS
            && alike(range.uncertainty_ms, uncertainty_ms)
        {
            range.last = event.seq;
            range.uncertainty_ms = range.uncertainty_ms.max(uncertainty_ms);
            return;
        }
        self.open = true;
        self.found.push(Correction { first: event.seq, last: event.seq, offset_ms, uncertainty_ms });
    }

    /// What was found.
    pub fn finish(self) -> Vec<Correction> {
        self.found
    }
}

fn alike(a: u32, b: u32) -> bool {
    a.max(b) <= CLOSE_MS || a.max(b) / 2 <= a.min(b)
}

/// Whether the new time is news: the old had no bounds, far wider ones, or
/// ones that cannot be true.
fn wants(event: &Timed, right: i64, uncertainty_ms: u32) -> bool {
    let Some(old) = event.uncertainty_ms else { return true };
    let between = right.saturating_sub(event.known).saturating_abs();
    let wide = old > WIDE_MS && old / 4 > uncertainty_ms;
    wide || between > i64::from(old) + i64::from(uncertainty_ms)
}

/// What is known of a boot that ended without ever knowing the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootSpan {
    /// UTC − CLOCK_BOOTTIME (µs) of that boot is at least this.
    pub lowest_us: Option<i64>,
    /// Its last CLOCK_BOOTTIME that was noted, ms.
    pub last_ms: u64,
}

/// Bounds wider than this say too little.
const WIDEST_US: i64 = 30 * 86_400 * 1_000_000;

/// The lines of boots, oldest first, that lie between known times: each began
/// after what its `lowest_us` says and ended before the next began. `next_us` is
/// the highest UTC (µs) at which the first boot with a known time may have begun.
pub fn lines_between(boots: &[BootSpan], mut next_us: i64) -> Vec<Option<TimeLine>> {
    let mut lines: Vec<Option<TimeLine>> = boots
        .iter()
        .rev()
        .map(|boot| {
            let span_us = i64::try_from(boot.last_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
            let highest = next_us.saturating_sub(span_us);
            next_us = highest;
            let lowest = boot.lowest_us?;
            let width = highest.checked_sub(lowest).filter(|width| (0..=2 * WIDEST_US).contains(width))?;
            Some(TimeLine { at_ms: boot.last_ms, offset_us: lowest + width / 2, bound_us: width / 2 + 1_000 })
        })
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: TimeLine = TimeLine { at_ms: 1_000_000, offset_us: 1_767_312_000_000_000, bound_us: 50_000 };

    fn unsure(seq: u64, mono_ms: u64, reported: i64) -> Timed {
        Timed { seq, mono_ms, reported, known: reported, uncertainty_ms: None }
    }

    fn ranges(events: &[Timed]) -> Vec<Correction> {
        let mut retiming = Retiming::new(LINE);
        events.iter().for_each(|event| retiming.event(*event));
        retiming.finish()
    }

    #[test]
    fn one_belief_gives_one_range() {
        let found = ranges(&[unsure(4, 10_000, 10_000), unsure(5, 9_000, 9_001), unsure(9, 20_000, 20_000)]);
        assert_eq!(found, [Correction { first: 4, last: 9, offset_ms: 1_767_312_000_000, uncertainty_ms: 150 }]);
    }

    #[test]
    fn what_was_right_is_left_alone_and_divides_ranges() {
        let right = Timed { uncertainty_ms: Some(60), ..unsure(2, 500, 1_767_312_000_530) };
        let found = ranges(&[unsure(1, 400, 400), right, unsure(3, 600, 600)]);
        assert_eq!(found.iter().map(|r| (r.first, r.last)).collect::<Vec<_>>(), [(1, 1), (3, 3)]);
        let wrong = Timed { known: 5, ..right };
        assert_eq!(ranges(&[wrong]).len(), 1);
        let wide = Timed { uncertainty_ms: Some(90_000), ..right };
        assert_eq!(ranges(&[wide]).len(), 1);
    }

    #[test]
    fn boots_between_known_times_get_the_middle() {
        let hour = 3_600_000_000;
        let boots = [
            BootSpan { lowest_us: Some(0), last_ms: 3_600_000 },
            BootSpan { lowest_us: Some(hour), last_ms: 3_600_000 },
        ];
        // Two hours of running within four: each may have begun two hours later.
        let lines = lines_between(&boots, 4 * hour);
        assert_eq!((lines[0].unwrap().offset_us, lines[0].unwrap().bound_us), (hour, hour + 1_000));
        assert_eq!(lines[1].unwrap().offset_us, 2 * hour);
        // No room, or nothing known before: no line.
        assert_eq!(lines_between(&boots, hour), [None, None]);
        assert_eq!(lines_between(&[BootSpan { lowest_us: None, last_ms: 1 }], hour), [None]);
        let months = lines_between(&[BootSpan { lowest_us: Some(0), last_ms: 0 }], 2000 * hour);
        assert_eq!(months, [None]);
    }

    proptest! {
        /// Every event without bounds is covered by exactly one range, whose
        /// corrected time is the line's within the stated uncertainty.
        #[test]
        fn all_unsure_events_are_covered_rightly(
            events in prop::collection::vec((0..3_000_000u64, -5_000_000..5_000_000i64, any::<bool>()), 0..60),
        ) {
            let events: Vec<Timed> = events.iter().zip(1..).map(|(&(mono_ms, belief, sure), seq)| Timed {
                uncertainty_ms: sure.then_some(10),
                ..unsure(seq, mono_ms, belief / 1000 * 1000 + mono_ms as i64)
            }).collect();
            let found = ranges(&events);
            for event in &events {
                let covering: Vec<_> = found.iter().filter(|r| (r.first..=r.last).contains(&event.seq)).collect();
                prop_assert!(covering.len() <= 1);
                if event.uncertainty_ms.is_none() {
                    prop_assert_eq!(covering.len(), 1);
                }
                if let [range] = covering[..] {
                    let (right, tu) = LINE.at(event.mono_ms);
                    prop_assert!((event.reported + range.offset_ms - right).abs() <= SAME_MS);
                    prop_assert!(range.uncertainty_ms >= tu);
                }
            }
        }
    }
}
