//! A clip's own time: when each of its packets is shown. Pure: stamps and arrivals
//! come in.
//!
//! A packet's arrival here is when it would have arrived without a network that holds
//! it back: its place on the time line that events go by. A camera's stamps say how its
//! pictures follow each other better than their arrival does, as long as they keep real
//! time. So a packet is as far from the one before it as their stamps are, if that
//! leaves it within [`TOLERANCE`] of its arrival, and else as far as their arrivals are.
//! Whatever the stamps do (stand still, jump, begin anew, run too slowly), a clip lasts
//! as long as its packets took to arrive, and no picture is further than the tolerance
//! from its place.

use std::time::Duration;

use crate::domain::Mono;

/// A clip may differ by so much from the arrival of its packets: half of the second
/// to which the times of events hold, and more than a packet is usually late.
const TOLERANCE: Duration = Duration::from_millis(500);

/// Packets are at least so far apart: muxers refuse times that do not grow.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// A picture is shown at most so much later than it is decoded: sixteen pictures, the
/// most that H.264 and H.265 hold back for reordering, at four a second.
const LONGEST_REORDERING: Duration = Duration::from_secs(4);

/// Where a packet belongs in a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// When it is decoded, microseconds since the clip began. Grows from packet to packet.
    pub dts_us: i64,
    /// When it is shown; never before it is decoded.
    pub pts_us: i64,
}

/// See the module's description.
#[derive(Debug, Clone, Default)]
pub struct ClipPace {
    first: Option<Mono>,
    last: Option<Last>,
}

/// The packet before.
#[derive(Debug, Clone, Copy)]
struct Last {
    stamp_us: Option<i64>,
    at: Mono,
    dts_us: i64,
}

impl ClipPace {
    /// The place of the next packet, with its own stamps (microseconds), which arrived
    /// at `at` or lies there on the recording's time line.
    pub fn place(&mut self, dts_us: Option<i64>, pts_us: Option<i64>, at: Mono) -> Placed {
        let stamp_us = dts_us.or(pts_us);
        let first = *self.first.get_or_insert(at);
        let placed_us = match self.last {
            None => 0,
            Some(last) => {
                let stamps = last.stamp_us.zip(stamp_us).map(|(last, now)| now.saturating_sub(last));
                let follow = stamps.map(|step| last.dts_us.saturating_add(step));
                let arrived = micros(at.since(first));
                match follow.filter(|us| us.abs_diff(arrived) <= TOLERANCE.as_micros() as u64) {
                    Some(us) => us.max(last.dts_us + micros(LEAST_STEP)),
                    None => last.dts_us + micros(at.since(last.at).max(LEAST_STEP)),
                }
            }
        };
        self.last = Some(Last { stamp_us, at, dts_us: placed_us });
        let held_back = dts_us.zip(pts_us).map_or(0, |(dts, pts)| pts.saturating_sub(dts));
        let plausible = (0..=micros(LONGEST_REORDERING)).contains(&held_back);
        Placed { dts_us: placed_us, pts_us: placed_us + if plausible { held_back } else { 0 } }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 80_000;

    /// Places of a packet every 80 ms, whose stamps are made of its number.
    fn places(packets: i64, stamp: impl Fn(i64) -> Option<i64>) -> Vec<Placed> {
        let mut pace = ClipPace::default();
        let at = |i: i64| Mono::from_micros(5_000_000 + (i * FRAME) as u64);
        (0..packets).map(|i| pace.place(stamp(i), stamp(i), at(i))).collect()
    }

    #[test]
    fn honest_stamps_are_kept_to_the_microsecond_however_late_packets_come() {
        let mut pace = ClipPace::default();
        for i in 0..100 {
            let late = [0, 30_000, 200_000, 5_000][i as usize % 4];
            let placed = pace.place(
                Some(7_000_000 + i * FRAME),
                Some(7_000_000 + (i + 2) * FRAME),
                Mono::from_micros((9_000_000 + i * FRAME + late) as u64),
            );
            assert_eq!((placed.dts_us, placed.pts_us), (i * FRAME, (i + 2) * FRAME));
        }
    }

    #[test]
    fn whatever_stamps_do_a_clip_lasts_as_long_as_its_packets_took_to_come() {
        type Stamp = Box<dyn Fn(i64) -> Option<i64>>;
        let cases: [(&str, Stamp); 8] = [
            ("none", Box::new(|_| None)),
            ("constant", Box::new(|_| Some(3))),
            (
                "every 25th ten hours ahead",
                Box::new(|i| Some(i * FRAME + if i % 25 == 24 { 36_000_000_000 } else { 0 })),
            ),
            ("an hour forward", Box::new(|i| Some(i * FRAME + if i > 90 { 3_600_000_000 } else { 0 }))),
            ("an hour back", Box::new(|i| Some(i * FRAME - if i > 90 { 3_600_000_000 } else { 0 }))),
            ("at 0 again every 6 s", Box::new(|i| Some(i % 75 * FRAME))),
            ("at half the speed", Box::new(|i| Some(i * FRAME / 2))),
            ("a fifth too fast", Box::new(|i| Some(i * FRAME * 6 / 5))),
        ];
        for (what, stamp) in cases {
            for (i, placed) in (0i64..).zip(places(250, stamp)) {
                let off = (placed.dts_us - i * FRAME).abs();
                assert!(off <= 500_000, "{what}: packet {i} is off by {off} us");
                assert_eq!(placed.pts_us, placed.dts_us, "{what}");
            }
        }
    }

    proptest! {
        #[test]
        fn times_grow_and_stay_near_arrival(
            packets in prop::collection::vec(
                (prop::option::of(any::<i64>()), prop::option::of(any::<i64>()), 0u64..200_000), 1..200),
        ) {
            let mut pace = ClipPace::default();
            let (mut at, mut last) = (0, -1);
            for (n, (dts, pts, step)) in (0i64..).zip(packets) {
                at += if n == 0 { 0 } else { step };
                let placed = pace.place(dts, pts, Mono::from_micros(1_000_000 + at));
                prop_assert!(placed.dts_us > last && placed.pts_us >= placed.dts_us);
                prop_assert!(placed.dts_us.abs_diff(at as i64) <= 500_000 + n as u64 * 1000);
                last = placed.dts_us;
            }
        }
    }
}
