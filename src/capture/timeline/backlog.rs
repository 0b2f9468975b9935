//! Packets that lay ready when a connection was open (read while it was being opened,
//! or kept by the camera to begin with a keyframe), or that a network held back and
//! hands over at once. They came one after the other, not at the moment in which they
//! are fetched.

use std::time::Duration;

use super::Stamps;
use crate::domain::Mono;

/// Cameras keep a group of pictures, not more. What came while a connection was slow to
/// open, or while the network held it back, may be older.
const LONGEST: Duration = Duration::from_secs(10);
/// Pictures are apart by less than this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// When these packets arrived, the last of them at `end`: by their stamps if those
/// grow, else evenly, `interval` apart if that is known and since `began`, when opening
/// did, if it is not. None before `after`.
pub fn backlog(stamps: &[Stamps], interval: Option<Duration>, began: Mono, after: Mono, end: Mono) -> Vec<Mono> {
    let opening = end.since(began);
    let longest = LONGEST.max(opening);
    let back = by_stamps(stamps, longest).unwrap_or_else(|| evenly(stamps.len(), interval, opening, longest));
    back.into_iter().map(|back| end.minus(back).max(after).min(end)).collect()
}

/// How long before the last one each came.
fn by_stamps(stamps: &[Stamps], most: Duration) -> Option<Vec<Duration>> {
    let mut order: Vec<i64> = stamps.iter().filter_map(|stamps| stamps.in_order_us()).collect();
    let (first, last) = (*order.first()?, *order.last()?);
    // libav forgets the first one, of what it looked at to learn what it is.
    if order.len() + 1 == stamps.len() && order.len() > 1 && stamps.first()?.in_order_us().is_none() {
        let intervals = i64::try_from(order.len() - 1).unwrap_or(i64::MAX);
        order.insert(0, first.saturating_sub(last.saturating_sub(first) / intervals));
    }
    let grow = order.len() == stamps.len() && order.iter().zip(order.iter().skip(1)).all(|(a, b)| a < b);
    let back: Vec<Duration> = order.iter().map(|us| Duration::from_micros(us.abs_diff(last))).collect();
    (grow && back.first().is_some_and(|longest| *longest <= most)).then_some(back)
}

fn evenly(count: usize, interval: Option<Duration>, opening: Duration, longest: Duration) -> Vec<Duration> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let interval = interval.unwrap_or(opening / count.max(1)).min(LONGEST_INTERVAL).min(longest / count.max(1));
    (0..count).rev().map(|before| interval * before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(stamps_ms: &[Option<i64>], interval_ms: Option<u64>) -> Vec<i64> {
        let stamp = |ms: &Option<i64>| Stamps { pts_us: ms.map(|ms| ms * 1000), dts_us: None };
        let stamps: Vec<Stamps> = stamps_ms.iter().map(stamp).collect();
        let at = Mono::from_secs_f64;
        let came = backlog(&stamps, interval_ms.map(Duration::from_millis), at(100.0), at(95.0), at(102.0));
        assert_eq!(came.len(), stamps.len());
        came.into_iter().map(|at| (at.as_micros() as i64 - 102_000_000) / 1000).collect()
    }

    #[test]
    fn packets_came_when_their_stamps_say_ending_now() {
        assert_eq!(arrivals(&[Some(7000), Some(7080), Some(7120), Some(8000)], Some(40)), [-1000, -920, -880, 0]);
        // A group that the camera kept is older than the connection, but not than the last.
        assert_eq!(arrivals(&[Some(0), Some(4000), Some(9000)], None), [-7000, -5000, 0]);
        assert_eq!(arrivals(&[], None), [0; 0]);
        // The first stamp is missing.
        assert_eq!(arrivals(&[None, Some(80), Some(160), Some(240)], Some(40)), [-240, -160, -80, 0]);
    }

    #[test]
    fn a_connection_that_was_slow_to_open_has_more() {
        let at = Mono::from_secs_f64;
        for stamp in [|n: i64| Some(n * 80_000), |_| Some(7), |_| None] {
            let stamps: Vec<Stamps> = (0..200).map(|n| Stamps { pts_us: stamp(n), dts_us: None }).collect();
            let came = backlog(&stamps, None, at(100.0), at(0.0), at(116.0));
            let first = at(116.0).since(came[0]).as_secs_f64();
            assert!((first - 15.92).abs() < 0.01, "{first}");
        }
    }

    #[test]
    fn without_good_stamps_they_came_evenly() {
        for stamps in [[Some(5); 5], [None; 5], [Some(0), Some(90), Some(80), Some(100), Some(110)]] {
            assert_eq!(arrivals(&stamps, Some(200)), [-800, -600, -400, -200, 0]);
            assert_eq!(arrivals(&stamps, None), [-1600, -1200, -800, -400, 0], "in the two seconds of opening");
        }
        assert_eq!(arrivals(&[Some(0), Some(60_000)], Some(200)), [-200, 0], "no group is that long");
    }
}
