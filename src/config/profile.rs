//! How much of the machine the unit may use: one word for four keys, each of
//! which may be set by itself as well.
//!
//! What the words stand for is chosen, not measured: `scripts/bench --only
//! profiles` measures it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Config, DetectorConfig, UnitConfig};

/// `unit.profile`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For batteries: fewer looks.
    Eco,
    /// For most units: one thread for the detector.
    #[default]
    Balanced,
    /// For the shortest delay: up to three cores, at the cost of more energy for each look.
    Fast,
}

/// What a profile stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Threads that decode one camera's video. Beyond one, each delays the
    /// pictures by a frame.
    pub decode_threads: u16,
    /// Threads of one inference.
    pub inference_threads: u16,
    /// Looks per second while something moves.
    pub active_rate: f32,
    /// How far the threads that decode and look step back behind others.
    pub nice: u8,
}

impl Profile {
    /// On a machine with `cores` cores.
    pub fn effort(self, cores: usize) -> Effort {
        // Threads that wait for each other cost something: only who wants the
        // shortest delay pays that. Decoding keeps up on one thread at 1080p.
        match self {
            Profile::Eco => Effort { decode_threads: 1, inference_threads: 1, active_rate: 5.0, nice: 10 },
            Profile::Balanced => Effort { decode_threads: 1, inference_threads: 1, active_rate: 10.0, nice: 5 },
            Profile::Fast => Effort {
                decode_threads: 1,
                inference_threads: match cores {
                    0 | 1 => 1,
                    2 => 2,
                    _ => 3,
                },
                active_rate: 15.0,
                nice: 0,
            },
        }
    }
}

impl Config {
    /// Gives every key that the profile decides and the file leaves open its
    /// value on a machine with `cores` cores.
    pub fn settle(&mut self, cores: usize) {
        let effort = self.unit.profile.effort(cores);
        self.unit.decode_threads.get_or_insert(effort.decode_threads);
        self.unit.nice.get_or_insert(effort.nice);
        self.detector.threads.get_or_insert(effort.inference_threads);
        self.detector.active_rate.get_or_insert(effort.active_rate);
    }
}

impl UnitConfig {
    /// Threads that decode one camera's video; at least one.
    pub fn decode_threads(&self) -> u16 {
        self.decode_threads.unwrap_or(self.profile.effort(1).decode_threads).max(1)
    }

    /// How far the threads that decode and look step back, 0..=19.
    pub fn nice(&self) -> u8 {
        self.nice.unwrap_or(self.profile.effort(1).nice)
    }
}

impl DetectorConfig {
    /// Threads of one inference; 0 for each core but one.
    pub fn threads(&self) -> u16 {
        self.threads.unwrap_or(Profile::default().effort(1).inference_threads)
    }

    /// Looks per second while something moves.
    pub fn active_rate(&self) -> f32 {
        self.active_rate.unwrap_or(Profile::default().effort(1).active_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_sets_wins_over_the_profile() {
        let mut config = Config::default();
        config.unit.profile = Profile::Eco;
        config.detector.threads = Some(0);
        config.settle(4);
        assert_eq!((config.detector.threads(), config.detector.active_rate()), (0, 5.0));
        assert_eq!((config.unit.decode_threads(), config.unit.nice()), (1, 10));
    }

    #[test]
    fn no_profile_asks_for_more_threads_than_cores() {
        for profile in [Profile::Eco, Profile::Balanced, Profile::Fast] {
            for cores in [1, 2, 4, 16] {
                let effort = profile.effort(cores);
                assert!(usize::from(effort.inference_threads) <= cores && effort.decode_threads >= 1);
            }
        }
    }
}
