#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

const MS: i64 = 1000;

/// The places of packets with these stamps, milliseconds: decoded, and taken.
fn places(interval_ms: u64, stamps: impl IntoIterator<Item = Stamps>) -> Vec<(i64, i64)> {
    let mut line = Recorded::new(Mono::from_micros(100_000_000), Some(Duration::from_millis(interval_ms)), false);
    let mut placed = Vec::new();
    let mut count = 0;
    for stamps in stamps {
        line.push(count, stamps);
        count += 1;
        placed.extend(std::iter::from_fn(|| line.placed()));
    }
    line.end();
    placed.extend(std::iter::from_fn(|| line.placed()));
    assert!(placed.iter().map(|p| p.packet).eq(0..count), "each once and in order");
    let since = |at: Mono| (at.as_micros() as i64 - 100_000_000) / MS;
    placed.iter().map(|p| (since(p.at), since(p.taken))).collect()
}

fn both(ms: i64) -> Stamps {
    Stamps { pts_us: Some(ms * MS), dts_us: Some(ms * MS) }
}

fn decoded(interval_ms: u64, stamps_ms: impl IntoIterator<Item = i64>) -> Vec<i64> {
    places(interval_ms, stamps_ms.into_iter().map(both)).into_iter().map(|(at, _)| at).collect()
}

#[test]
fn a_recording_starts_at_its_start_whatever_its_stamps() {
    let stamps = [Some(5000), Some(5040), None, Some(i64::MAX / 8000), Some(0), Some(40)];
    let stamps = stamps.map(|ms| Stamps { pts_us: ms.map(|ms| ms * MS), dts_us: None });
    let at: Vec<i64> = places(100, stamps).into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, [0, 40, 140, 240, 340, 380], "absurd stamps count as a picture, and good ones are followed again");
}

#[test]
fn equal_stamps_are_counted() {
    assert_eq!(decoded(80, [1000; 188]), (0..188).map(|n| n * 80).collect::<Vec<_>>());
}

#[test]
fn each_stamp_twice_is_the_same_length() {
    let at = decoded(40, (0..200).map(|n| n / 2 * 80));
    assert_eq!(at, (0..200).map(|n| n * 40).collect::<Vec<_>>());
}

#[test]
fn a_recording_whose_stamps_stand_still_now_and_then_is_as_long_as_its_pictures() {
    for still_ms in [500, 1000, 3000, 10_000, 60_000] {
        for begins in [0, still_ms] {
            let stamp = |n: i64| {
                let (ms, into) = (n * 80, (n * 80 + begins) % (2 * still_ms));
                5000 + if into < still_ms { (ms - into).max(0) } else { ms }
            };
            let at = decoded(80, (0..2000).map(stamp));
            let worst = at.iter().zip(0..).map(|(at, n)| (at - n * 80).abs()).max().unwrap();
            assert!(worst <= 160, "{still_ms} {begins}: {worst} ms");
        }
    }
}

#[test]
fn a_picture_is_not_shown_seconds_late_because_one_clock_stands_still() {
    // As libav has it when stamps go on: those for showing first.
    let stamps = |n: i64| match n {
        0..40 => both(1400),
        40 => Stamps { pts_us: Some(4680 * MS), dts_us: Some(1400 * MS) },
        _ => both(1400 + n * 80),
    };
    for (n, (at, taken)) in places(80, (0..100).map(stamps)).into_iter().enumerate() {
        assert!(at == n as i64 * 80 && (taken - at).abs() < 200, "{n}: {at} {taken}");
    }
}

#[test]
fn a_clock_that_is_set_back_a_little_is_followed_again() {
    // Pictures at an uneven pace, half a second back in the middle.
    let honest = |n: i64| n * 60 + n % 7 * 6 + (n / 200 * 100 + (n % 200 - 100).max(0)) * 20;
    let at = decoded(80, (0..1000).map(|n| honest(n) - if n >= 450 { 500 } else { 0 }));
    let (before, after) = (at[600] - honest(600), at[999] - honest(999));
    assert!((before - after).abs() < 100, "{before} {after}");
}

#[test]
fn the_first_pictures_need_no_stamps_for_decoding() {
    // As Matroska has pictures that are shown out of order.
    let show = |n: i64| if n == 0 { 0 } else { n + [2, -1, -1][((n - 1) % 3) as usize] };
    let stamps = |n: i64| Stamps { pts_us: Some(show(n) * 80 * MS), dts_us: (n >= 4).then(|| (n - 2) * 80 * MS) };
    for (n, (at, taken)) in places(80, (0..100).map(stamps)).into_iter().enumerate() {
        assert_eq!((at, taken), (n as i64 * 80, show(n as i64) * 80), "{n}");
    }
}

#[test]
fn stray_stamps_do_not_add_up() {
    // Minutes and hours ahead, and before; alone, and several in a row.
    for ahead in [1500, 25 * 60_000, 59 * 60_000, 40_000_000, -700, -25 * 60_000] {
        for in_a_row in [1, 2, 5, 12] {
            let stray = |n: i64| 3_600_000 + n * 80 + if n % 25 >= 24 - in_a_row && n % 25 < 24 { ahead } else { 0 };
            let at = decoded(80, (0..1000).map(stray));
            let honest = (0..1000).map(|n| n * 80);
            let worst = at.iter().zip(honest).map(|(at, honest)| (at - honest).abs()).max().unwrap();
            assert!(worst <= 80, "{ahead} {in_a_row}: {worst} ms");
        }
    }
}

#[test]
fn stamps_that_go_to_and_fro_add_up_once_at_most() {
    for (ms, ahead) in [(5_000, 1_800_000), (60_000, 1_800_000), (60_000, -1_800_000), (5_000, 20_000)] {
        let stamp = |n: i64| 10_000_000 + n * 80 + if n * 80 / ms % 2 == 1 { ahead } else { 0 };
        let at = decoded(80, (0..6000).map(stamp));
        let longer = at[5999] - 5999 * 80;
        assert!((0..=1_801_000).contains(&longer), "{ms} {ahead}: {longer} ms more");
    }
    // Any number: some are believed, until they have gone back three times.
    let any = |n: i64| ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as i64 * 5;
    let at = decoded(80, (0..6000).map(any));
    assert!(at[5999] - at[100] < 5899 * 80 + 1000, "{}", at[5999]);
}

#[test]
fn an_interval_that_comes_from_stray_stamps_is_not_gone_by() {
    let stray = |n: i64| n * 80 + if n % 25 == 12 { 25 * 60_000 } else { 0 };
    let at = decoded(8_000, (0..188).map(stray));
    let worst = at.iter().zip(0..).map(|(at, n)| (at - n * 80).abs()).max().unwrap();
    assert!(worst <= 80, "{worst} ms: {at:?}");
}

#[test]
fn a_stamp_for_decoding_that_is_later_than_the_one_for_showing_is_made_up() {
    // As libav has it behind a stray stamp.
    let stamps = |n: i64| Stamps { pts_us: Some(n * 80 * MS), dts_us: Some((n * 80 + n % 2 * 480) * MS) };
    let at: Vec<i64> = places(80, (0..100).map(stamps)).into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, (0..100).map(|n| n * 80).collect::<Vec<_>>());
}

#[test]
fn pauses_between_clips_are_kept() {
    // A camera that records what moves: ten seconds, then nothing for a while.
    let stamp = |n: i64| n * 40 + [0, 2_000, 300_000, 3_000_000, 3_001_500][(n / 250) as usize];
    assert_eq!(decoded(40, (0..1250).map(stamp)), (0..1250).map(stamp).collect::<Vec<_>>());
    // The last clip is of a few pictures only.
    let stamp = |n: i64| n * 40 + if n >= 250 { 60_000 } else { 0 };
    assert_eq!(decoded(40, (0..253).map(stamp)), (0..253).map(stamp).collect::<Vec<_>>());
    // A picture a minute, at a rate that the container does not know.
    assert_eq!(decoded(40, (0..100).map(|n| n * 60_000)), (0..100).map(|n| n * 60_000).collect::<Vec<_>>());
    // Stamps begin anew with each clip.
    assert_eq!(decoded(40, (0..500).map(|n| n % 250 * 40)), (0..500).map(|n| n * 40).collect::<Vec<_>>());
}

#[test]
fn pictures_that_are_shown_out_of_order_are_in_their_place() {
    let show = |n: i64| if n == 0 { 0 } else { n + [2, -1, -1][((n - 1) % 3) as usize] };
    let stamps = |n: i64| Stamps { pts_us: Some((show(n) + 1) * 80 * MS), dts_us: Some((n - 1) * 80 * MS) };
    let placed = places(80, (0..100).map(stamps));
    for (n, (at, taken)) in placed.into_iter().enumerate() {
        assert_eq!((at, taken), (n as i64 * 80, show(n as i64) * 80));
    }
}

#[test]
fn counted_pictures_need_no_stamps() {
    let mut line = Recorded::new(Mono::ZERO, Some(Duration::from_millis(200)), true);
    for n in 0..75 {
        line.push(n, both(n * 40));
        assert_eq!(line.placed().unwrap().taken, Mono::from_micros(n as u64 * 200_000));
    }
    assert_eq!(line.until(), Mono::from_secs_f64(15.0));
}

proptest! {
    #[test]
    fn time_never_runs_backwards(
        stamps in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(any::<i64>())), 1..100)
    ) {
        let stamps = stamps.into_iter().map(|(pts_us, dts_us)| Stamps { pts_us, dts_us });
        let at: Vec<i64> = places(40, stamps).into_iter().map(|(at, _)| at).collect();
        prop_assert!(at[0] == 0 && at.windows(2).all(|two| two[0] < two[1]));
    }

    #[test]
    fn a_recording_is_as_long_as_its_honest_stamps(
        strays in prop::collection::vec((0usize..400, 1i64..20, prop_oneof![-4_000_000i64..4_000_000, any::<i32>().prop_map(i64::from)]), 0..12),
        pauses in prop::collection::vec((0i64..400, 0i64..600_000), 0..3),
    ) {
        let honest = |n: i64| n * 40 + pauses.iter().filter(|(from, _)| n >= *from / 80 * 80).map(|(_, ms)| ms).sum::<i64>();
        let mut stamps: Vec<i64> = (0..400).map(honest).collect();
        let mut spoilt = 0;
        for (from, count, by) in strays {
            // Apart from each other, so that there is something to go on from.
            let from = from / 80 * 80 + 20;
            for (n, stamp) in stamps.iter_mut().enumerate().take(380).skip(from).take(count as usize) {
                *stamp = honest(n as i64).saturating_add(by);
                spoilt += 1;
            }
        }
        let at = decoded(40, stamps);
        // Beyond what the honest ones say, each spoilt one counts as a picture, and a
        // little more where it is too near to be told from a pause.
        let most = honest(399) + spoilt * 40 + 12 * 1500;
        prop_assert!(at[399] <= most, "{} instead of {}", at[399], honest(399));
    }
}
