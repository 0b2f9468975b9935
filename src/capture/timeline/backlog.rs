//! Packets that lay ready when a connection was open: read while it was being opened,
//! or kept by the camera to begin with a keyframe. They came one after the other, not
//! at the moment in which they are fetched.

use std::time::Duration;

use super::Stamps;
use crate::domain::Mono;

/// Cameras keep a group of pictures, not more.
const LONGEST: Duration = Duration::from_secs(10);
/// Pictures are apart by less than this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// When these packets arrived, the last of them at `end`: by their stamps if those
/// grow, else evenly, `interval` apart if that is known and since `began`, when opening
/// did, if it is not. None before `after`.
pub fn backlog(stamps: &[Stamps], interval: Option<Duration>, began: Mono, after: Mono, end: Mono) -> Vec<Mono> {
    let back = by_stamps(stamps).unwrap_or_else(|| evenly(stamps.len(), interval, end.since(began)));
    back.into_iter().map(|back| end.minus(back).max(after).min(end)).collect()
}

/// How long before the last one each came.
fn by_stamps(stamps: &[Stamps]) -> Option<Vec<Duration>> {
    let order: Vec<i64> = stamps.iter().filter_map(|stamps| stamps.in_order_us()).collect();
    let last = *order.last()?;
    let grow = order.len() == stamps.len() && order.iter().zip(order.iter().skip(1)).all(|(a, b)| a < b);
    let back: Vec<Duration> = order.iter().map(|us| Duration::from_micros(us.abs_diff(last))).collect();
    (grow && back.first().is_some_and(|longest| *longest <= LONGEST)).then_some(back)
}

fn evenly(count: usize, interval: Option<Duration>, opening: Duration) -> Vec<Duration> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let interval = interval.unwrap_or(opening / count.max(1)).min(LONGEST_INTERVAL).min(LONGEST / count.max(1));
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
