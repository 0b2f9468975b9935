//! Simulated clocks.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000;
const DAY: i64 = 86_400 * S;
const YEAR: i64 = 365 * DAY;
/// When the tests' program was made: 2026-01-01.
const MADE: UtcMillis = UtcMillis(1_767_225_600_000);
/// A true UTC − CLOCK_BOOTTIME: the unit was started a day later.
const TRUE: i64 = 1_767_312_000 * S;

fn at(us: i64) -> Mono {
    Mono::from_micros(us as u64)
}

fn keeper() -> Timekeeper {
    Timekeeper::new(7, MADE)
}

/// The kernel at `mono`, `off` from the truth.
fn kernel(mono: i64, off: i64, max_error_us: Option<i64>) -> KernelTime {
    KernelTime { mono: at(mono), utc_us: TRUE + mono + off, max_error_us, leap: false }
}

fn fix(mono: i64, off: i64) -> GpsTime {
    GpsTime { mono: at(mono), utc_us: TRUE + mono + off, error_us: 5_000 }
}

/// Three fixes in a row, the last at `mono`.
fn fixes(keeper: &mut Timekeeper, mono: i64, off: i64) -> Option<Change> {
    keeper.gps(fix(mono - 2 * S, off));
    keeper.gps(fix(mono - S, off));
    keeper.gps(fix(mono, off))
}

fn off(keeper: &Timekeeper, mono: i64) -> i64 {
    keeper.estimate(at(mono)).offset_us - TRUE
}

fn bound(keeper: &Timekeeper, mono: i64) -> Option<i64> {
    keeper.estimate(at(mono)).bound_us
}

#[test]
fn a_unit_that_wakes_in_1970_counts_from_its_making_and_then_becomes_right() {
    let mut keeper = keeper();
    assert_eq!(keeper.kernel(KernelTime { mono: at(9 * S), utc_us: 9 * S, max_error_us: None, leap: false }), None);
    assert_eq!(keeper.utc(at(9 * S)), MADE);
    assert_eq!(keeper.utc(at(10 * S)), UtcMillis(MADE.0 + 1_000));
    assert_eq!((bound(&keeper, 10 * S), keeper.estimate(at(10 * S)).source), (None, TimeSource::None));
    let change = keeper.kernel(kernel(60 * S, 0, Some(20_000)));
    assert_eq!(change, Some(Change::BecameRight { by_us: TRUE + 9 * S - MADE.0 * 1_000 }));
    assert_eq!((off(&keeper, 60 * S), bound(&keeper, 60 * S)), (0, Some(NTP_BOUND_US)));
    assert_eq!(keeper.version(), 1);
}

#[test]
fn a_synchronised_clock_from_before_the_programs_making_is_not_believed() {
    let mut keeper = keeper();
    keeper.kernel(KernelTime { mono: at(S), utc_us: S, max_error_us: Some(1_000), leap: false });
    assert_eq!(bound(&keeper, S), None);
    // A receiver whose week number has rolled over: 1024 weeks back.
    assert_eq!(fixes(&mut keeper, 10 * S, -1024 * 7 * DAY), None);
    assert_eq!(bound(&keeper, 10 * S), None);
}

#[test]
fn the_bounds_grow_while_nothing_vouches_and_shrink_again() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, 0, Some(30_000)));
    keeper.kernel(kernel(DAY, 0, None));
    assert_eq!(bound(&keeper, DAY), Some(NTP_BOUND_US + DAY / 10_000));
    // Eight seconds of drift are within the bounds: nothing was wrong.
    assert_eq!(keeper.kernel(kernel(DAY, 8 * S, Some(30_000))), Some(Change::Refined { by_us: 8 * S }));
    assert_eq!((off(&keeper, DAY), bound(&keeper, DAY), keeper.steps()), (8 * S, Some(NTP_BOUND_US), 0));
}

#[test]
fn an_unvouched_step_of_the_kernel_changes_nothing_once_the_time_is_known() {
    for step in [S, -S, DAY, -DAY, 10 * YEAR, -10 * YEAR] {
        let mut keeper = keeper();
        keeper.kernel(kernel(0, 0, Some(30_000)));
        assert_eq!(keeper.kernel(kernel(10 * S, step, None)), None);
        assert_eq!((off(&keeper, 10 * S), keeper.version()), (0, 1), "{step}");
        assert_eq!(keeper.kernel_off_us(at(10 * S)), Some(step));
    }
}

#[test]
fn a_vouched_step_is_believed_once_it_has_stood_and_forgotten_when_undone() {
    for step in [S, -S, DAY, -DAY / 2, 10 * YEAR] {
        let mut keeper = keeper();
        keeper.kernel(kernel(0, 0, Some(30_000)));
        for second in 1..=30 {
            assert_eq!(keeper.kernel(kernel(second * S, step, Some(30_000))), None);
        }
        assert_eq!(off(&keeper, 30 * S), 0, "{step}");
        keeper.kernel(kernel(31 * S, 0, Some(30_000)));
        for second in 32..92 {
            assert_eq!(keeper.kernel(kernel(second * S, step, Some(30_000))), None, "{step} at {second}");
        }
        assert_eq!(keeper.kernel(kernel(92 * S, step, Some(30_000))), Some(Change::Stepped { by_us: step }));
        assert_eq!((off(&keeper, 92 * S), keeper.steps(), keeper.version()), (step, 1, 2));
    }
}

#[test]
fn a_leap_second_is_no_mistake() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, 0, Some(30_000)));
    let mut leap = kernel(10 * S, -S, Some(30_000));
    leap.leap = true;
    assert_eq!(keeper.kernel(leap), Some(Change::Leap));
    assert_eq!((off(&keeper, 10 * S), keeper.version(), keeper.steps()), (-S, 1, 0));
}

#[test]
fn satellites_are_believed_before_the_network_and_only_when_they_agree() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, YEAR, Some(30_000)));
    assert_eq!(keeper.gps(fix(S, 0)), None);
    assert_eq!(keeper.gps(fix(2 * S, -DAY)), None);
    let change = fixes(&mut keeper, 20 * S, 0);
    assert!(matches!(change, Some(Change::Stepped { by_us }) if by_us < -YEAR + S), "{change:?}");
    assert_eq!(keeper.estimate(at(20 * S)).source, TimeSource::Gps);
    // The network insists; as long as there are satellites, in vain.
    for minute in 1..5 {
        keeper.gps(fix(60 * minute * S, 0));
        assert_eq!(keeper.kernel(kernel(60 * minute * S + S, YEAR, Some(30_000))), None);
    }
    for second in 1000..1059 {
        keeper.kernel(kernel(second * S, YEAR, Some(30_000)));
    }
    assert!(off(&keeper, 1059 * S).abs() < S);
    let change = keeper.kernel(kernel(1061 * S, YEAR, Some(30_000)));
    assert!(matches!(change, Some(Change::Stepped { .. })), "{change:?}");
}

#[test]
fn the_closer_of_two_that_agree_is_kept() {
    let mut keeper = keeper();
    fixes(&mut keeper, 10 * S, -300_000);
    assert!(bound(&keeper, 10 * S).unwrap() >= GPS_LATENCY_US / 2);
    keeper.kernel(kernel(11 * S, 0, Some(30_000)));
    fixes(&mut keeper, 20 * S, -300_000);
    assert_eq!((keeper.estimate(at(20 * S)).source, off(&keeper, 20 * S)), (TimeSource::Ntp, 0));
}

#[test]
fn a_battery_clock_has_bounds_only_if_it_was_seen_to_be_right() {
    let rtc = |mono: i64, off: i64| RtcTime { mono: at(mono), utc_us: TRUE + mono + off, set_kernel: true };
    let mut first = keeper();
    first.kernel(kernel(0, 0, None));
    assert_eq!(first.rtc(rtc(S, -300_000)), None);
    assert_eq!((first.estimate(at(S)).source, bound(&first, S)), (TimeSource::Rtc, None));
    first.kernel(kernel(2 * S, 0, Some(30_000)));
    assert_eq!(first.rtc(rtc(3 * S, -300_000)), None);
    let saved = first.saved(at(4 * S));
    // Ten days without power.
    let mut second = Timekeeper::new(8, MADE);
    second.resume(&saved, at(S));
    second.kernel(kernel(10 * DAY, 40 * S, None));
    let change = second.rtc(rtc(10 * DAY + S, 40 * S));
    assert!(matches!(change, Some(Change::BecameRight { .. })), "{change:?}");
    assert!(bound(&second, 10 * DAY + S).unwrap() > 86 * S);
    // One that went back to 2000 with its battery is not believed.
    let mut third = Timekeeper::new(9, MADE);
    third.resume(&saved, at(S));
    third.kernel(kernel(S, -26 * YEAR, None));
    third.rtc(rtc(S, -26 * YEAR));
    assert_eq!(third.estimate(at(S)).source, TimeSource::None);
}

#[test]
fn a_restart_goes_on_where_it_was_and_a_new_boot_is_later_than_the_last() {
    let mut first = keeper();
    first.kernel(kernel(0, 0, Some(30_000)));
    let saved = first.saved(at(100 * S));
    let json = serde_json::to_string(&saved).unwrap();
    let saved: SavedClock = serde_json::from_str(&json).unwrap();
    let mut restarted = keeper();
    restarted.resume(&saved, at(200 * S));
    restarted.kernel(kernel(200 * S, -56 * YEAR, None));
    assert_eq!((off(&restarted, 200 * S), restarted.estimate(at(200 * S)).source), (0, TimeSource::Ntp));
    assert_eq!(bound(&restarted, 200 * S), Some(NTP_BOUND_US + 200 * S / 10_000));
    let mut rebooted = Timekeeper::new(8, MADE);
    rebooted.resume(&saved, at(5 * S));
    rebooted.kernel(KernelTime { mono: at(5 * S), utc_us: 5 * S, max_error_us: None, leap: false });
    assert_eq!(rebooted.utc(at(5 * S)), UtcMillis((TRUE + 105 * S) / 1_000));
    // That is a guess by what a time server said: nobody's certificate is judged by it.
    assert_eq!(rebooted.utc_for_certificates(at(5 * S)), MADE);
    // But one that was valid then already is not one of the future.
    let alive = (TRUE + 105 * S) / 1_000;
    assert!(rebooted.may_be_over(UtcMillis(alive), at(5 * S)));
    assert!(!rebooted.may_be_over(UtcMillis(alive + 1), at(5 * S)));
}

#[test]
fn a_last_known_time_that_was_wrong_does_not_last() {
    let mut poisoned = keeper();
    poisoned.kernel(kernel(0, 10 * YEAR, Some(30_000)));
    let saved = poisoned.saved(at(S));
    let mut next = Timekeeper::new(8, MADE);
    next.resume(&saved, at(S));
    next.kernel(kernel(S, 0, None));
    assert!(off(&next, S) >= 10 * YEAR);
    next.kernel(kernel(2 * S, 0, Some(30_000)));
    assert_eq!(off(&next, 2 * S), 0);
    assert_eq!(next.floor_us(), Some(TRUE - NTP_BOUND_US));
}

fn judged(keeper: &Timekeeper, mono: i64) -> i64 {
    keeper.utc_for_certificates(at(mono)).0 - (TRUE + mono) / 1_000
}

#[test]
fn certificates_are_judged_by_who_vouches_for_the_time() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, 20 * YEAR, None));
    assert_eq!(keeper.utc_for_certificates(at(0)), UtcMillis((TRUE + 20 * YEAR) / 1_000));
    fixes(&mut keeper, 10 * S, 0);
    assert!(judged(&keeper, 10 * S).abs() < 1_000 && !keeper.may_be_over(MADE, at(10 * S)));
    keeper.kernel(kernel(20 * S, 20 * YEAR, Some(20_000)));
    assert!(judged(&keeper, 20 * S).abs() < 1_000, "satellites are believed before the network");
}

#[test]
fn a_time_server_that_lied_for_a_week_has_no_effect_on_certificates_a_moment_later() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, 0, Some(20_000)));
    for minute in 1..7 * 1440 {
        keeper.kernel(kernel(minute * 60 * S, 100 * DAY, Some(20_000)));
    }
    let end = 7 * DAY;
    assert_eq!(judged(&keeper, end), 100 * DAY / 1_000);
    // Not even across a start of the machine without any time.
    let mut rebooted = Timekeeper::new(8, MADE);
    rebooted.resume(&keeper.saved(at(end)), at(S));
    rebooted.kernel(KernelTime { mono: at(S), utc_us: S, max_error_us: None, leap: false });
    assert_eq!(rebooted.utc_for_certificates(at(S)), MADE);
    keeper.kernel(kernel(end, 0, Some(20_000)));
    assert_eq!(judged(&keeper, end), 0);
    assert_eq!(keeper.running(at(end)), RunningMs(7 * 86_400_000), "nothing is older for it");
}

#[test]
fn what_a_certificate_has_proven_no_clock_can_take_back() {
    let mut keeper = keeper();
    keeper.kernel(kernel(0, 0, Some(20_000)));
    let from = UtcMillis((TRUE - 600 * S) / 1_000);
    keeper.certificate_from(from, at(0));
    // 40 minutes back, by a time server or by hand; an hour later, and after a restart.
    let hour = 3_600 * S;
    for vouched in [Some(20_000), None] {
        keeper.kernel(kernel(hour, -40 * 60 * S, vouched));
    }
    keeper.kernel(kernel(hour + 70 * S, -40 * 60 * S, Some(20_000)));
    keeper.kernel(kernel(hour + 140 * S, -40 * 60 * S, Some(20_000)));
    let least = -600_000 - 3_740 / 10 - 10;
    assert!(judged(&keeper, hour + 140 * S) >= least, "{}", judged(&keeper, hour + 140 * S));
    let saved = serde_json::to_string(&keeper.saved(at(hour + 140 * S))).unwrap();
    let mut next = Timekeeper::new(8, MADE);
    next.resume(&serde_json::from_str(&saved).unwrap(), at(9 * S));
    next.kernel(KernelTime { mono: at(9 * S), utc_us: 9 * S, max_error_us: None, leap: false });
    let proven = from.0 + 3_740_000 - 374;
    assert_eq!(next.utc_for_certificates(at(9 * S)), UtcMillis(proven));
    // An earlier one takes nothing back, and the time that the unit has run adds to it.
    next.certificate_from(UtcMillis(from.0 - 1), at(9 * S));
    assert_eq!(next.proven(at(19 * S)).0 / 100, (proven + 9_999) / 100);
}

/// What a simulated unit goes through.
#[derive(Debug, Clone)]
enum Step {
    /// Seconds pass, the quartz being off by so many ppm.
    Pass(i64, i64),
    /// The kernel is read; synchronised or not.
    Kernel(bool),
    /// Somebody steps the kernel without vouching for it.
    SetKernel(i64),
    /// The daemon starts anew within the boot.
    Restart,
    Fix,
}

fn step() -> impl Strategy<Value = Step> {
    let jump = prop_oneof![Just(S), Just(-S), Just(DAY), Just(-DAY), Just(10 * YEAR), Just(-10 * YEAR)];
    prop_oneof![
        4 => (0..7200i64, -90..90i64).prop_map(|(s, ppm)| Step::Pass(s, ppm)),
        4 => any::<bool>().prop_map(Step::Kernel),
        1 => jump.prop_map(Step::SetKernel),
        1 => Just(Step::Restart),
        2 => Just(Step::Fix),
    ]
}

proptest! {
    /// With honest vouchers, the truth is always within the stated bounds, and
    /// between two readings the time only grows.
    #[test]
    fn the_truth_lies_within_the_bounds(steps in prop::collection::vec(step(), 1..80), began in -56 * YEAR..56 * YEAR) {
        let mut keeper = keeper();
        let (mut mono, mut drift, mut kernel_off) = (1_000 * S, 0i64, began);
        for step in steps {
            match step {
                Step::Pass(s, ppm) => {
                    let before = keeper.utc(at(mono));
                    mono += s * S;
                    drift += s * ppm;
                    prop_assert!(keeper.utc(at(mono)) >= before);
                }
                Step::Kernel(true) => {
                    kernel_off = 20_000;
                    keeper.kernel(KernelTime { mono: at(mono), utc_us: TRUE + mono + drift + kernel_off, max_error_us: Some(30_000), leap: false });
                }
                Step::Kernel(false) => {
                    keeper.kernel(KernelTime { mono: at(mono), utc_us: TRUE + mono + drift + kernel_off, max_error_us: None, leap: false });
                }
                Step::SetKernel(by) => kernel_off += by,
                Step::Fix => {
                    // A tenth of a second apart, so that drift does not matter.
                    for _ in 0..3 {
                        mono += S / 10;
                        keeper.gps(GpsTime { mono: at(mono), utc_us: TRUE + mono + drift - 300_000, error_us: 5_000 });
                    }
                }
                Step::Restart => {
                    let saved = keeper.saved(at(mono));
                    keeper = super::Timekeeper::new(7, MADE);
                    keeper.resume(&saved, at(mono));
                }
            }
            let estimate = keeper.estimate(at(mono));
            if let Some(bound) = estimate.bound_us {
                let wrong = (estimate.offset_us - TRUE - drift).abs();
                prop_assert!(wrong <= bound, "off by {wrong} with a bound of {bound}");
            }
            prop_assert!(keeper.utc(at(mono)) >= MADE);
            if let Some(floor) = keeper.floor_us() {
                prop_assert!(floor <= TRUE + drift + 60 * S);
            }
        }
    }

    /// Whatever is read, nothing overflows.
    #[test]
    fn no_reading_is_too_strange(readings in prop::collection::vec((any::<u64>(), any::<i64>(), any::<Option<i64>>(), any::<bool>(), 0..3u8), 1..20)) {
        let mut keeper = keeper();
        for (mono, utc_us, error, flag, kind) in readings {
            let mono = Mono::from_micros(mono);
            match kind {
                0 => drop(keeper.kernel(KernelTime { mono, utc_us, max_error_us: error, leap: flag })),
                1 => drop(keeper.gps(GpsTime { mono, utc_us, error_us: error.unwrap_or(0) })),
                _ => drop(keeper.rtc(RtcTime { mono, utc_us, set_kernel: flag })),
            }
            let saved = keeper.saved(mono);
            let _ = (keeper.utc(mono), keeper.utc_for_certificates(mono), keeper.kernel_off_us(mono));
            keeper.resume(&saved, mono);
        }
    }
}
