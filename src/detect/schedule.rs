//! When the detector looks: while something moves or is being followed, and
//! now and then regardless. Pure.

use std::time::Duration;

use crate::config::DetectorConfig;
use crate::domain::Mono;

/// Looks per second while the motion stage learns a new light and is blind.
const BLIND_RATE: f32 = 2.0;

/// How much the scene asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing moves, nothing is followed.
    Idle,
    /// The motion stage cannot tell.
    Blind,
    /// Only what has often been looked at in vain moves.
    Vain,
    /// Something moves or is followed.
    Active,
}

/// A look at swaying leaves is worth so many pauses of the full rate.
const VAIN_PAUSES: u32 = 3;
/// Regions at one look at most.
const MAX_REGIONS: u32 = 3;

/// Decides for each frame whether to look at it.
#[derive(Debug)]
pub struct Schedule {
    active: Duration,
    blind: Duration,
    idle: Duration,
    /// When the last look was, and when it had been due: frames come a little
    /// late, and the rate must not suffer from that.
    last: Option<(Mono, Mono)>,
    regions: usize,
}

impl Schedule {
    /// From the configuration.
    pub fn new(config: &DetectorConfig) -> Schedule {
        let idle = config.idle_interval.0;
        let active = Duration::from_secs_f32(1.0 / config.active_rate().clamp(0.1, 120.0));
        Schedule {
            active,
            blind: Duration::from_secs_f32(1.0 / BLIND_RATE).max(active).min(idle),
            idle,
            last: None,
            regions: 1,
        }
    }

    /// The next frame is looked at whatever happens.
    pub fn reset(&mut self) {
        self.last = None;
    }

    /// Whether motion is worth measuring at `at`: it decides about looks only,
    /// so there is no need for it between two looks at the full rate.
    pub fn may_look(&self, at: Mono) -> bool {
        self.next().is_none_or(|next| at >= next)
    }

    /// No frame before this is looked at; `None` while every one may be.
    pub fn next(&self) -> Option<Mono> {
        self.last.map(|(_, due)| due.plus(self.active))
    }

    /// Inferences that the look just granted may spend.
    pub fn regions(&self) -> usize {
        self.regions
    }

    /// Whether to look at the frame taken at `at`; if so, it is noted.
    pub fn look(&mut self, at: Mono, need: Need) -> bool {
        let pause = match need {
            Need::Idle => self.idle,
            Need::Blind => self.blind,
            Need::Vain => (self.active * VAIN_PAUSES).min(self.idle),
            Need::Active => self.active,
        };
        let Some((last, due)) = self.last else {
            self.last = Some((at, at));
            return true;
        };
        let next = due.plus(pause);
        if at < next && at >= last {
            return false;
        }
        // Where pictures come more slowly than looks are allowed, one may
        // spend what the others left over. A fifth, since times jitter.
        let allowed = at.since(last).as_secs_f32() / self.active.as_secs_f32() + 0.2;
        self.regions = (allowed as u32).clamp(1, MAX_REGIONS) as usize;
        // Late by more than a look: start counting anew instead of catching up.
        let on_time = at.since(next) < self.active;
        self.last = Some((at, if on_time { next } else { at }));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(need: Need, fps: f64, seconds: f64) -> usize {
        let mut schedule = Schedule::new(&DetectorConfig::default());
        let frames = (fps * seconds) as usize;
        (0..frames).filter(|i| schedule.look(Mono::from_secs_f64(*i as f64 / fps), need)).count()
    }

    #[test]
    fn the_rate_holds_whatever_the_frame_rate() {
        for fps in [12.5, 24.0, 25.0, 29.97] {
            let n = looks(Need::Active, fps, 60.0);
            assert!((590..=610).contains(&n), "{n} looks in a minute at {fps} fps");
        }
        assert_eq!(looks(Need::Active, 1.0, 60.0), 60);
        assert_eq!(looks(Need::Idle, 25.0, 60.0), 6);
        assert_eq!(looks(Need::Blind, 25.0, 60.0), 120);
    }
}
