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
