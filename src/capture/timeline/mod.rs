//! From a stream's own time stamps to the pipeline's time line. Pure: arrival
//! times are passed in.
//!
//! A recording's time is its own: [`Recorded`]. A live camera's stamps run on a
//! clock of unknown origin and pace; packets arrive after them with a delay that
//! varies: [`LiveTimeline`] compares both clocks for as long as the stamps keep real
//! time, and goes by arrival when they do not. Every packet gets its time once, when
//! it comes, so that nothing later depends on what its stamps are worth.

mod arrivals;
mod backlog;
mod line;
mod live;
mod recorded;

pub use backlog::backlog;
pub use live::{LiveTimeline, TimedBy};
pub use recorded::{Placed, Recorded};

/// A stream's time unit.
#[derive(Debug, Clone, Copy)]
pub struct TimeBase {
    /// Seconds are `stamp * numerator / denominator`.
    pub numerator: i32,
    /// Not zero.
    pub denominator: i32,
}

impl TimeBase {
    /// Microseconds for `stamp`, saturating.
    pub fn micros(self, stamp: i64) -> i64 {
        let us = i128::from(stamp) * 1_000_000 * i128::from(self.numerator) / i128::from(self.denominator.max(1));
        us.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
    }

    /// The stamp for so many microseconds, saturating.
    pub fn stamp(self, micros: u64) -> i64 {
        let units = i128::from(micros) * i128::from(self.denominator) / (1_000_000 * i128::from(self.numerator.max(1)));
        i64::try_from(units).unwrap_or(i64::MAX / 4)
    }

    /// A packet's stamps.
    pub fn stamps(self, pts: Option<i64>, dts: Option<i64>) -> Stamps {
        Stamps { pts_us: pts.map(|stamp| self.micros(stamp)), dts_us: dts.map(|stamp| self.micros(stamp)) }
    }
}

/// The stamps of one packet, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamps {
    /// When its picture is to be shown.
    pub pts_us: Option<i64>,
    /// When it is to be decoded: this grows from packet to packet.
    pub dts_us: Option<i64>,
}

/// A picture is shown later than it is decoded by less than this: sixteen pictures of
/// a slow camera (ITU-T H.264, A.3.1, allows sixteen to be reordered).
const MAX_REORDERING_US: i64 = 4_000_000;

impl Stamps {
    /// The stamp that grows from packet to packet, if both are sound. Nothing is shown
    /// before it is decoded: a stamp that says so was made up, behind a stray one.
    pub fn in_order_us(self) -> Option<i64> {
        match (self.pts_us, self.dts_us) {
            (Some(pts), Some(dts)) => Some(dts.min(pts)),
            (pts, dts) => dts.or(pts),
        }
    }

    /// By how much the picture is shown later than it is decoded; `None` if that
    /// cannot be.
    fn reordering_us(self) -> Option<i64> {
        match (self.pts_us, self.dts_us) {
            (Some(pts), Some(dts)) => {
                let later = pts.saturating_sub(dts);
                (-MAX_REORDERING_US..=MAX_REORDERING_US).contains(&later).then_some(later.max(0))
            }
            _ => Some(0),
        }
    }
}
