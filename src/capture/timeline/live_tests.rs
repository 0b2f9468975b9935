#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

/// When the camera took its first picture, microseconds of CLOCK_BOOTTIME.
const BEGAN: u64 = 100_000_000;
const SECOND: i64 = 1_000_000;

/// What came of a camera's pictures: when each was taken in truth and when by the
/// time line, seconds since the camera began.
struct Seen {
    times: Vec<(f64, f64)>,
    by: Vec<TimedBy>,
}

impl Seen {
    fn last_by(&self) -> TimedBy {
        *self.by.last().unwrap()
    }

    /// The largest error from a time on, seconds.
    fn worst_after(&self, seconds: f64) -> f64 {
        let errors = self.times.iter().filter(|(truth, _)| *truth >= seconds).map(|(truth, at)| (at - truth).abs());
        errors.fold(0.0, f64::max)
    }

    /// How often it was changed between stamps and arrival.
    fn changes(&self) -> usize {
        self.by.windows(2).filter(|two| (two[0] == TimedBy::Stamps) != (two[1] == TimedBy::Stamps)).count()
    }
}

/// A camera with `fps` for `seconds`: `stamps` of each picture by its number and when
/// it was taken (microseconds), and how long it is on its way.
fn watch(
    fps: f64,
    seconds: f64,
    mut stamps: impl FnMut(i64, i64) -> Stamps,
    mut delay: impl FnMut(i64, i64) -> i64,
) -> Seen {
    let mut line = LiveTimeline::new(None, true);
    let mut seen = Seen { times: Vec::new(), by: Vec::new() };
    let mut arrival = Mono::ZERO;
    for n in 0..(fps * seconds) as i64 {
        let taken = (n as f64 / fps * 1e6) as i64;
        // TCP: nothing overtakes.
        arrival = arrival.max(Mono::from_micros(BEGAN + (taken + delay(n, taken)) as u64));
        let at = line.at(stamps(n, taken), arrival, arrival);
        assert!(at <= arrival.plus(Duration::from_millis(1)), "picture {n} is ahead of its arrival");
        seen.times.push((taken as f64 / 1e6, at.as_secs_f64() - BEGAN as f64 / 1e6));
        seen.by.push(line.timed_by());
    }
    seen
}

fn both(us: i64) -> Stamps {
    Stamps { pts_us: Some(us), dts_us: Some(us) }
}

/// Some 20 ms, never the same.
fn jitter(n: i64, _: i64) -> i64 {
    5000 + n * 7919 % 15_000
}

#[test]
fn a_late_packet_does_not_move_the_time_of_its_frame() {
    let mut line = LiveTimeline::new(None, true);
    let arrival = |pts: i64, delay: i64| Mono::from_micros((pts + 50_000_000 + delay) as u64);
    for (i, delay) in [30_000, 10_000, 12_000, 400_000, 11_000].into_iter().enumerate() {
        let pts = i as i64 * 1_000_000;
        let at = line.at(both(pts), arrival(pts, delay), arrival(pts, delay));
        if i > 0 {
            let error = at.as_micros() as i64 - (pts + 50_010_000);
            assert!(error.abs() < 2_000, "frame {i} is off by {error} us");
        }
    }
}

#[test]
fn honest_stamps_are_exact_whatever_the_network_does() {
    // Drifting by 80 ppm, held back for up to four seconds every half a minute.
    let stall = |_: i64, taken: i64| {
        let into = taken % (30 * SECOND) - 20 * SECOND;
        let stall = (taken / (30 * SECOND) % 4 + 1) * SECOND;
        5000 + taken % 7919 + if (0..stall).contains(&into) { stall - into } else { 0 }
    };
    let seen = watch(25.0, 300.0, |_, taken| both(7_000_000 + taken + taken / 12_500), stall);
    assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 0));
    assert!(seen.worst_after(1.0) < 0.04, "{}", seen.worst_after(1.0));
}

#[test]
fn a_network_that_recovers_slowly_is_no_fault_of_the_stamps() {
    // Nothing for eight seconds, then all of it at so many times the pace.
    for recovers_at in [1.25, 1.67, 3.0] {
        let delay = |n: i64, taken: i64| {
            let into = (taken - 30 * SECOND).max(0) as f64;
            let handed = 8e6 + into / recovers_at;
            jitter(n, taken) + if taken < 30 * SECOND { 0 } else { (handed - into).max(0.0) as i64 }
        };
        let seen = watch(12.5, 120.0, |_, taken| both(7_000_000 + taken), delay);
        assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 0), "{recovers_at}");
        assert!(seen.worst_after(1.0) < 0.1, "{recovers_at}: {}", seen.worst_after(1.0));
    }
}

#[test]
fn a_camera_that_stamps_for_thirty_and_gives_a_thousandth_less_is_honest() {
    for pace in [0.999, 1.001] {
        let seen = watch(30.0, 1800.0, |_, taken| both((taken as f64 * pace) as i64), jitter);
        assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 0), "{pace}");
        assert!(seen.worst_after(1.0) < 0.15, "{pace}: {}", seen.worst_after(1.0));
    }
}

#[test]
fn stamps_off_the_pace_give_way_to_arrival_within_half_a_second_of_it() {
    for pace in [0.0, 0.5, 0.84, 0.95, 0.98, 1.05, 1.2, 2.0, 10.0] {
        for fps in [2.0, 12.5, 30.0] {
            let seen = watch(fps, 120.0, |_, taken| both(900_000 + (taken as f64 * pace) as i64), jitter);
            assert!(seen.worst_after(0.0) < 0.7, "{pace} {fps}: {}", seen.worst_after(0.0));
            assert_ne!(seen.last_by(), TimedBy::Stamps, "{pace} {fps}");
            assert_eq!(seen.changes(), 1, "{pace} {fps}");
            let told = seen.by.iter().find_map(|by| by.why()).unwrap();
            match seen.by.iter().find(|by| **by != TimedBy::Stamps).unwrap() {
                TimedBy::OffPace { pace: measured, .. } => {
                    let off = (measured - pace).abs();
                    assert!(off < 0.2 * pace.max(0.2), "{pace} {fps}: {measured}");
                    let number = told.strip_prefix("its time stamps run at ").and_then(|rest| rest.get(..4));
                    let close = number.is_none_or(|number| (number.parse::<f64>().unwrap() - pace).abs() < 0.05);
                    assert!(close, "{pace} {fps}: {told}");
                }
                by => assert!(*by == TimedBy::Jumping && (fps == 2.0 || pace == 10.0), "{pace} {fps}: {told}"),
            }
        }
    }
}

#[test]
fn stamps_that_stand_for_three_seconds_of_six_give_way_to_arrival() {
    let freeze = |_: i64, taken: i64| {
        let into = taken % (6 * SECOND);
        both(900_000 + if into >= 3 * SECOND { taken - into + 3 * SECOND } else { taken })
    };
    let seen = watch(12.5, 120.0, freeze, jitter);
    assert!(seen.worst_after(0.0) < 0.7, "{}", seen.worst_after(0.0));
    assert_eq!(seen.changes(), 1);
    assert_eq!(seen.last_by().why().unwrap(), "its time stamps stand still");
}

#[test]
fn a_rate_that_changes_under_stamps_for_the_old_one_is_noticed() {
    // Dusk after a minute: 12.5 pictures a second, stamped as 25; dawn after another.
    let mut stamp = 0;
    let mut last = 0;
    let nominal = |_: i64, taken: i64| {
        let night = (60 * SECOND..120 * SECOND).contains(&taken);
        stamp += (taken - last) / if night { 2 } else { 1 };
        last = taken;
        both(stamp)
    };
    let seen = watch(25.0, 240.0, nominal, jitter);
    assert!(seen.worst_after(0.0) < 0.7, "{}", seen.worst_after(0.0));
    assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 2), "and its end, too");
}

#[test]
fn stamps_that_are_any_number_are_not_gone_by() {
    let random = |n: i64, _: i64| {
        let any = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64 >> 20;
        Stamps { pts_us: Some(any), dts_us: Some(any.wrapping_mul(31)) }
    };
    let alternating = |n: i64, taken: i64| both(taken + (n % 2) * 40 * SECOND);
    let in_turns = |_: i64, taken: i64| both(taken + taken / SECOND % 2 * 600 * SECOND);
    for (name, seen) in [
        ("random", watch(12.5, 30.0, random, jitter)),
        ("alternating", watch(12.5, 30.0, alternating, jitter)),
        ("in turns", watch(12.5, 30.0, in_turns, jitter)),
        ("none", watch(12.5, 30.0, |_, _| Stamps::default(), jitter)),
    ] {
        assert!(seen.worst_after(0.0) < 0.1, "{name}: {}", seen.worst_after(0.0));
        assert!(seen.last_by() != TimedBy::Stamps && seen.changes() == 1, "{name}");
    }
}

#[test]
fn a_clock_that_is_set_now_and_then_is_followed() {
    // By its time server, every minute, by up to two minutes; and 32 bits of 90 kHz
    // that begin anew.
    let set = |_: i64, taken: i64| {
        both(taken + [0, 400_000, -2 * SECOND, 120 * SECOND][(taken / (60 * SECOND) % 4) as usize])
    };
    let wrap = |_: i64, taken: i64| {
        let ticks = (i64::from(u32::MAX) - 90_000 * 30 + taken * 9 / 100) & i64::from(u32::MAX);
        both(ticks * 100 / 9)
    };
    for (name, seen) in [("set", watch(25.0, 600.0, set, jitter)), ("wraps", watch(25.0, 90.0, wrap, jitter))] {
        assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 0), "{name}");
        assert!(seen.worst_after(1.0) < 0.5, "{name}: {}", seen.worst_after(1.0));
    }
}

#[test]
fn a_stray_stamp_moves_nothing() {
    let stray = |n: i64, taken: i64| both(taken + if n % 500 == 77 { 37_600 * SECOND } else { 0 });
    let seen = watch(25.0, 120.0, stray, jitter);
    assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Stamps, 0));
    assert!(seen.worst_after(1.0) < 0.08, "{}", seen.worst_after(1.0));
    // One in twenty-five is too many.
    let stray = |n: i64, taken: i64| both(taken + if n % 25 == 7 { 37_600 * SECOND } else { 0 });
    let seen = watch(25.0, 120.0, stray, jitter);
    assert_eq!((seen.last_by(), seen.changes()), (TimedBy::Jumping, 1));
    assert!(seen.worst_after(1.0) < 0.08, "{}", seen.worst_after(1.0));
}

#[test]
fn pictures_that_are_shown_out_of_order_are_in_their_place() {
    // I0 P3 B1 B2: decoded in this order, each an interval after the one before.
    let interval = 80_000;
    let show = |n: i64| if n == 0 { 0 } else { n + [2, -1, -1][((n - 1) % 3) as usize] };
    let mut line = LiveTimeline::new(None, true);
    for n in 0..300 {
        let stamps = Stamps { pts_us: Some((show(n) + 1) * interval), dts_us: Some(n * interval) };
        let arrival = Mono::from_micros((BEGAN as i64 + n * interval + jitter(n, 0)) as u64);
        let at = line.at(stamps, arrival, arrival).as_micros() as i64 - BEGAN as i64;
        let taken = (show(n) - 2) * interval;
        assert!(n < 6 || (at - taken).abs() < 20_000, "{n}: {}", at - taken);
    }
    // One that claims to be shown four seconds later makes no other older.
    let mut line = LiveTimeline::new(None, true);
    for n in 0..300 {
        let shown = n * interval + if n == 50 { 3_900_000 } else { 2 * interval };
        let stamps = Stamps { pts_us: Some(shown), dts_us: Some(n * interval) };
        let arrival = Mono::from_micros((BEGAN as i64 + n * interval) as u64);
        let late = arrival.since(line.at(stamps, arrival, arrival));
        assert!(late < Duration::from_millis(300), "{n}: {late:?}");
    }
    // The same without stamps for decoding, and the other way round.
    let pts_only = |n: i64, _: i64| Stamps { pts_us: Some(show(n) * interval), dts_us: None };
    let dts_only = |n: i64, _: i64| Stamps { pts_us: None, dts_us: Some(n * interval) };
    for seen in [watch(12.5, 60.0, pts_only, jitter), watch(12.5, 60.0, dts_only, jitter)] {
        assert_eq!(seen.last_by(), TimedBy::Stamps);
        assert!(seen.worst_after(0.0) < 0.3, "{}", seen.worst_after(0.0));
    }
}

#[test]
fn a_camera_that_pauses_its_stream_with_its_stamps_is_late_for_a_moment_only() {
    // Stamps count pictures; every minute none comes for three seconds.
    let paused = |taken: i64| taken / (60 * SECOND) * 3 * SECOND;
    let mut line = LiveTimeline::new(None, true);
    for n in 0..6000 {
        let taken = n * 40_000;
        let arrival = Mono::from_micros((BEGAN as i64 + taken + paused(taken) + jitter(n, 0)) as u64);
        let late = arrival.since(line.at(both(taken), arrival, arrival));
        let since_pause = taken % (60 * SECOND);
        assert!(since_pause < 4 * SECOND || late < Duration::from_millis(600), "{n}: {late:?}");
    }
}

proptest! {
    #[test]
    fn whatever_the_stamps_time_goes_on_with_arrival(
        stamps in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(any::<i64>())), 100..300)
    ) {
        let mut line = LiveTimeline::new(None, true);
        let base = super::super::TimeBase { numerator: 1, denominator: 90_000 };
        for (i, (pts, dts)) in stamps.into_iter().enumerate() {
            let now = Mono::from_micros(1_000_000 + i as u64 * 40_000);
            let at = line.at(base.stamps(pts, dts), now, now);
            prop_assert!(at <= now.plus(Duration::from_millis(1)));
            // Once they are found out, which takes some packets.
            prop_assert!(i < 30 || now.since(at) < Duration::from_millis(1100), "{} {:?}", i, now.since(at));
        }
    }
}
