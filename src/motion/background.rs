//! The background model: for each cell what it usually looks like and how
//! much it usually varies. Pure: frames and their times go in, a mask of
//! changed cells comes out.
//!
//! A running mean and mean absolute deviation per cell (a cheap relative of
//! the single-Gaussian model of Wren et al., "Pfinder", 1997). Vegetation and
//! rain raise their cells' deviation and so silence themselves; a change of
//! exposure scales the whole picture and is divided out first; a change that
//! concerns most of the picture (a light, an IR-cut filter, a hard cut) makes
//! the model learn anew instead of firing.

use std::time::Duration;

use super::luma::LumaGrid;
use crate::domain::Mono;

/// How fast quiet cells follow the picture.
const MEAN_TAU_S: f32 = 12.0;
/// How fast changed cells do: what stops becomes background in a minute.
const CHANGED_TAU_S: f32 = 40.0;
/// How fast the deviation follows, up and down.
const DEVIATION_TAU_S: f32 = 8.0;
/// A cell has changed when it differs by this many deviations ...
const DEVIATIONS: f32 = 4.0;
/// ... and by this much of the full scale, and by this share of its value.
const MIN_DIFFERENCE: f32 = 5.0;
/// A difference above this says no more about a cell's usual variation.
const MAX_LEARNED_DEVIATION: f32 = 25.0;
/// A share of changed cells above this is no object but a change of light.
const GLOBAL_SHARE: f32 = 0.55;
/// How long the model learns anew after a change of light or at the start.
const LEARNING: Duration = Duration::from_millis(1500);
/// Time constant while it does.
const LEARNING_TAU_S: f32 = 0.3;

/// What the last frame was to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The mask can be believed.
    Watching,
    /// Just started, or the light has changed: the mask is empty.
    Learning,
}

/// The model.
#[derive(Debug, Default)]
pub struct Background {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    raw: Vec<bool>,
    mask: Vec<bool>,
    learning_until: Option<Mono>,
    last: Mono,
}

impl Background {
    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Background::default();
    }

    /// Compares `luma` with what is usual, then learns from it.
    pub fn update(&mut self, luma: &LumaGrid, at: Mono) -> State {
        if self.mean.len() != luma.cells.len() {
            self.mean = luma.cells.clone();
            self.deviation = vec![1.0; luma.cells.len()];
            self.raw = vec![false; luma.cells.len()];
            self.mask = vec![false; luma.cells.len()];
            self.learning_until = Some(at.plus(LEARNING));
            self.last = at;
            return State::Learning;
        }
        let dt_s = (at.secs_since(self.last) as f32).clamp(0.001, 10.0);
        self.last = at;
        let gain = exposure_gain(&luma.cells, &self.mean);
        let changed = self.compare(&luma.cells, gain);
        if changed > GLOBAL_SHARE * luma.cells.len() as f32 {
            self.learning_until = Some(at.plus(LEARNING));
        }
        let learning = self.learning_until.is_some_and(|until| at < until);
        if learning {
            self.mask.fill(false);
            self.learn_fast(&luma.cells, dt_s);
            return State::Learning;
        }
        self.learning_until = None;
        self.despeckle(luma.width);
        self.learn(&luma.cells, gain, dt_s);
        State::Watching
    }

    /// Which cells have changed; empty of meaning while learning.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// Marks cells that differ from the usual; returns how many.
    fn compare(&mut self, cells: &[f32], gain: f32) -> f32 {
        let mut changed = 0.0;
        for (((value, mean), deviation), mark) in cells.iter().zip(&self.mean).zip(&self.deviation).zip(&mut self.raw) {
            let expected = mean * gain;
            let least = MIN_DIFFERENCE.max(0.06 * expected).max(DEVIATIONS * deviation);
            *mark = (value - expected).abs() > least;
            changed += f32::from(u8::from(*mark));
        }
        changed
    }

    /// Keeps marked cells that have at least two marked neighbours.
    fn despeckle(&mut self, width: usize) {
        let height = self.raw.len() / width.max(1);
        for y in 0..height {
            for x in 0..width {
                let index = y * width + x;
                if !self.raw[index] {
                    self.mask[index] = false;
                    continue;
                }
                let mut marked = 0;
                for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                    let row = &self.raw[ny * width..(ny + 1) * width];
                    let part = &row[x.saturating_sub(1)..=(x + 1).min(width - 1)];
                    marked += part.iter().filter(|m| **m).count();
                }
                self.mask[index] = marked >= 3;
            }
        }
    }

    fn learn(&mut self, cells: &[f32], gain: f32, dt_s: f32) {
        let quiet = rate(dt_s, MEAN_TAU_S);
        let moving = rate(dt_s, CHANGED_TAU_S);
        let spread = rate(dt_s, DEVIATION_TAU_S);
        // Exposure drifts: the mean follows the picture's own scale.
        let gain_step = 1.0 + (gain - 1.0) * rate(dt_s, 2.0);
        for (((value, mean), deviation), changed) in
            cells.iter().zip(&mut self.mean).zip(&mut self.deviation).zip(&self.mask)
        {
            let difference = value - *mean * gain;
            *mean = *mean * gain_step + difference * if *changed { moving } else { quiet };
            let seen = difference.abs().min(MAX_LEARNED_DEVIATION);
            // What varies in a changed cell may be an object passing once, so
            // it counts for less; leaves come back again and again.
            let weight = if *changed { spread * 0.35 } else { spread };
            *deviation += (seen - *deviation) * weight;
        }
    }

    fn learn_fast(&mut self, cells: &[f32], dt_s: f32) {
        let fast = rate(dt_s, LEARNING_TAU_S);
        for ((value, mean), deviation) in cells.iter().zip(&mut self.mean).zip(&mut self.deviation) {
            let difference = value - *mean;
            *mean += difference * fast;
            *deviation += (difference.abs().min(MIN_DIFFERENCE) - *deviation) * fast;
        }
    }
}

fn rate(dt_s: f32, tau_s: f32) -> f32 {
    1.0 - (-dt_s / tau_s).exp()
}

/// The factor by which the whole picture became brighter: the median of the
/// cells' ratios, so that an object does not count. Near 1 for dark pictures,
/// whose ratios say nothing.
fn exposure_gain(cells: &[f32], mean: &[f32]) -> f32 {
    /// Ratios from 0 to 4 in steps of 1/64.
    const STEPS: usize = 256;
    let mut histogram = [0u32; STEPS];
    let mut counted = 0;
    for (value, mean) in cells.iter().zip(mean) {
        if *mean > 12.0 && *value < 250.0 {
            let ratio = (value / mean * 64.0 + 0.5) as usize;
            histogram[ratio.min(STEPS - 1)] += 1;
            counted += 1;
        }
    }
    if counted * 4 < cells.len() as u32 {
        return 1.0;
    }
    let mut below = 0;
    for (ratio, count) in histogram.iter().enumerate() {
        below += count;
        if below * 2 >= counted {
            return (ratio as f32 / 64.0).clamp(0.5, 2.0);
        }
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 80;
    const H: usize = 45;

    /// A deterministic noise source (splitmix64), -1..1.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        }
    }

    struct Scene {
        background: Background,
        noise: Noise,
        at: Mono,
    }

    impl Scene {
        fn new() -> Scene {
            Scene { background: Background::default(), noise: Noise(1), at: Mono::ZERO }
        }

        /// Shows one frame; `paint` gives a cell's value. Returns changed cells.
        fn show(&mut self, mut paint: impl FnMut(usize, usize) -> f32) -> (State, usize) {
            let mut luma = LumaGrid { width: W, height: H, cells: vec![0.0; W * H] };
            for y in 0..H {
                for x in 0..W {
                    luma.cells[y * W + x] = (paint(x, y) + 2.0 * self.noise.next()).clamp(0.0, 255.0);
                }
            }
            self.at = self.at.plus(Duration::from_millis(100));
            let state = self.background.update(&luma, self.at);
            (state, self.background.mask().iter().filter(|m| **m).count())
        }

        fn run(&mut self, frames: usize, mut paint: impl FnMut(usize, usize, usize) -> f32) -> usize {
            (0..frames).map(|i| self.show(|x, y| paint(i, x, y)).1).max().unwrap_or(0)
        }
    }

    fn texture(x: usize, y: usize) -> f32 {
        60.0 + ((x * 7 + y * 13) % 50) as f32
    }

    #[test]
    fn noise_alone_is_silent_and_an_object_is_seen() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| texture(x, y));
        assert_eq!(scene.run(200, |_, x, y| texture(x, y)), 0);
        let seen = scene
            .run(20, |i, x, y| if x.abs_diff(10 + 2 * i) < 4 && y.abs_diff(20) < 4 { 200.0 } else { texture(x, y) });
        assert!(seen >= 40, "{seen} cells");
    }

    #[test]
    fn slow_and_sudden_exposure_changes_do_not_fire() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| texture(x, y));
        assert_eq!(scene.run(100, |i, x, y| texture(x, y) * (1.0 + i as f32 / 120.0)), 0);
        assert_eq!(scene.run(30, |_, x, y| texture(x, y) * 1.25), 0, "auto-exposure steps");
    }

    #[test]
    fn a_light_switch_is_relearned_without_firing_and_without_going_blind() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| texture(x, y));
        let dark = |x: usize, y: usize| if (x / 8 + y / 8).is_multiple_of(2) { 8.0 } else { 35.0 };
        let (state, cells) = scene.show(dark);
        assert_eq!((state, cells), (State::Learning, 0));
        assert_eq!(scene.run(60, |_, x, y| dark(x, y)), 0);
        let seen = scene.run(5, |_, x, y| if x < 8 && y < 8 { 90.0 } else { dark(x, y) });
        assert!(seen >= 40, "{seen} cells");
    }

    #[test]
    fn swaying_leaves_silence_themselves() {
        let mut scene = Scene::new();
        let leaves = |i: usize, x: usize, y: usize| {
            let sway = if x < 20 { 25.0 * ((i as f32 / 3.0 + (x * y) as f32).sin()) } else { 0.0 };
            texture(x, y) + sway
        };
        scene.run(400, leaves);
        let late = scene.run(200, leaves);
        assert!(late < 20, "{late} cells still fire");
        let seen = scene.run(5, |i, x, y| if x > 60 && y < 8 { 220.0 } else { leaves(i, x, y) });
        assert!(seen >= 100, "{seen} cells");
    }

    #[test]
    fn what_stops_becomes_background_only_slowly() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| texture(x, y));
        let parked =
            |_: usize, x: usize, y: usize| if x.abs_diff(40) < 5 && y.abs_diff(20) < 5 { 180.0 } else { texture(x, y) };
        assert!(scene.run(50, parked) > 60, "seen for seconds");
        scene.run(2500, parked);
        assert_eq!(scene.run(10, parked), 0, "quiet after minutes");
    }
}
