//! The background model: for each cell what it usually looks like and how
//! much it usually varies. Pure: frames and their times go in, a mask of
//! changed cells comes out.
//!
//! A running mean and mean absolute deviation per cell (a cheap relative of
//! the single-Gaussian model of Wren et al., "Pfinder", 1997). Vegetation and
//! rain raise their cells' deviation and so silence themselves; a change of
//! exposure scales the whole picture and is divided out first; a change that
//! concerns most of the picture (a light, an IR-cut filter, a hard cut) makes
//! the model learn anew instead of firing. A camera that sways is compared with
//! the model moved along (`shift.rs`), so that its edges do not fire.

use std::time::Duration;

use super::luma::LumaGrid;
use super::shift::{Shift, edges, estimate, warp};
use crate::domain::{Light, Mono};

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
/// The same in the dark, where a whole car is a few steps brighter than the
/// ground.
const MIN_DIFFERENCE_DARK: f32 = 2.0;
/// One picture says no more about it than pictures over so long a time: while
/// the packet gate is closed, few are seen.
const MAX_DEVIATION_STEP_S: f32 = 1.0;
/// A difference above this says no more about a cell's usual variation.
const MAX_LEARNED_DEVIATION: f32 = 25.0;
/// A share of changed cells above this is no object but a change of light.
const GLOBAL_SHARE: f32 = 0.55;
/// How long the model learns anew after a change of light or at the start.
const LEARNING: Duration = Duration::from_millis(1500);
/// Time constant while it does.
const LEARNING_TAU_S: f32 = 0.3;

/// With more changed cells than this share the camera itself may have moved.
const SHAKE_SHARE: f32 = 0.002;
/// It sways for so long after it was last seen to be moved.
const SWAYING: Duration = Duration::from_secs(3);
/// A moved edge is known only as well as the cells beside it agree: this share
/// of their difference counts as usual variation.
const EDGE_DOUBT: f32 = 0.2;
/// A shift that stays for so long is where the camera points from now on ...
const SETTLE_TAU_S: f32 = 20.0;
/// ... if its mean exceeds so many cells.
const SETTLED: f32 = 0.75;

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
    light: Light,
    /// How much brighter the last picture was than usual.
    exposure: f32,
    /// The model as the moved camera sees it.
    moved_mean: Vec<f32>,
    moved_deviation: Vec<f32>,
    /// How far the picture is from the model's place: last known, and its mean.
    shift: Shift,
    shift_unknown: bool,
    settling: Shift,
    swaying_until: Option<Mono>,
    /// How far the last picture was from the one before.
    moved: Shift,
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
        self.exposure = gain;
        let (changed, shift) = self.compare_moved(luma, gain);
        self.moved = Shift::NONE;
        if changed > GLOBAL_SHARE * luma.cells.len() as f32 {
            self.learning_until = Some(at.plus(LEARNING));
        }
        let learning = self.learning_until.is_some_and(|until| at < until);
        if learning {
            self.mask.fill(false);
            self.learn_fast(&luma.cells, dt_s);
            (self.shift, self.settling) = (Shift::NONE, Shift::NONE);
            return State::Learning;
        }
        self.learning_until = None;
        self.despeckle(luma.width);
        match shift {
            Some(shift) if shift != Shift::NONE => self.learn_moved(luma, gain, dt_s, shift),
            _ => self.learn(&luma.cells, gain, dt_s),
        }
        if let Some(shift) = shift {
            if shift != Shift::NONE && !(self.is_swaying() && shift.is_small()) {
                self.swaying_until = Some(at.plus(SWAYING));
            }
            // Where nothing was known in between, tracks have followed their objects.
            let known = !std::mem::take(&mut self.shift_unknown);
            self.moved = if known { shift.since(self.shift) } else { Shift::NONE };
            self.shift = shift;
            self.settle(luma, dt_s);
        } else {
            self.shift_unknown = true;
        }
        State::Watching
    }

    /// What light there is from now on.
    pub fn set_light(&mut self, light: Light) {
        self.light = light;
    }

    /// The scene as it usually is, one value for each cell, and how much
    /// brighter the last picture was; empty if nothing is known.
    pub fn usual(&self) -> (&[f32], f32) {
        (&self.mean, self.exposure)
    }

    /// A cell has to differ by so much of 255 from what is usual, at least.
    pub fn min_difference(&self) -> f32 {
        if self.light == Light::Dark { MIN_DIFFERENCE_DARK } else { MIN_DIFFERENCE }
    }

    /// By how many cells the last picture's content was moved against the one
    /// before by a movement of the camera.
    pub fn moved(&self) -> Shift {
        self.moved
    }

    /// Compares `luma` with what is usual and learns nothing; marks the mask.
    /// False if nothing can be said: nothing is known yet, or the whole
    /// picture has changed.
    pub fn compare_only(&mut self, luma: &LumaGrid) -> bool {
        if self.mean.len() != luma.cells.len() || self.learning_until.is_some() {
            return false;
        }
        let gain = exposure_gain(&luma.cells, &self.mean);
        if self.compare_moved(luma, gain).0 > GLOBAL_SHARE * luma.cells.len() as f32 {
            return false;
        }
        self.despeckle(luma.width);
        true
    }

    /// Which cells have changed; empty of meaning while learning.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    fn is_swaying(&self) -> bool {
        self.swaying_until.is_some_and(|until| self.last < until)
    }

    /// Marks cells that differ from the usual, seen from where the camera now
    /// points; returns how many do, and how far the picture is moved, if known.
    fn compare_moved(&mut self, luma: &LumaGrid, gain: f32) -> (f32, Option<Shift>) {
        let cells = &luma.cells;
        let least = self.min_difference();
        let changed = mark(cells, &self.mean, &self.deviation, gain, least, &mut self.raw);
        if changed <= SHAKE_SHARE * cells.len() as f32 && !self.is_swaying() {
            return (changed, Some(Shift::NONE));
        }
        let shift = estimate(cells, &self.mean, gain, luma.width, self.is_swaying());
        let Some(shift) = shift.filter(|s| *s != Shift::NONE) else {
            return (changed, shift);
        };
        let (mean, deviation) = (&mut self.moved_mean, &mut self.moved_deviation);
        mean.resize(cells.len(), 0.0);
        deviation.resize(cells.len(), 0.0);
        warp(&self.deviation, luma.width, shift, |index, value| deviation[index] = value.unwrap_or(0.0));
        // Nothing can be said of what was never seen before.
        warp(&self.mean, luma.width, shift, |index, value| mean[index] = value.unwrap_or(cells[index] / gain));
        edges(mean, luma.width, |index, edge| deviation[index] += EDGE_DOUBT * edge);
        (mark(cells, mean, deviation, gain, least, &mut self.raw), Some(shift))
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

    /// Learns from a picture moved by `shift`, in the model's own place.
    fn learn_moved(&mut self, luma: &LumaGrid, gain: f32, dt_s: f32, shift: Shift) {
        let mut cells = std::mem::take(&mut self.moved_mean);
        let mean = &self.mean;
        warp(&luma.cells, luma.width, shift.back(), |index, value| {
            cells[index] = value.unwrap_or(mean[index] * gain);
        });
        let whole = shift.rounded().back();
        let seen = std::mem::replace(&mut self.mask, vec![false; cells.len()]);
        let marks: Vec<f32> = seen.iter().map(|m| f32::from(u8::from(*m))).collect();
        let mask = &mut self.mask;
        warp(&marks, luma.width, whole, |index, value| mask[index] = value.is_some_and(|v| v > 0.5));
        self.learn(&cells, gain, dt_s);
        (self.mask, self.moved_mean) = (seen, cells);
    }

    /// A camera that stays turned has a new place: the model moves there, by
    /// whole cells, so that it stays sharp.
    fn settle(&mut self, luma: &LumaGrid, dt_s: f32) {
        let step = rate(dt_s, SETTLE_TAU_S);
        let away = self.shift.since(self.settling);
        self.settling.dx += step * away.dx;
        self.settling.dy += step * away.dy;
        if self.settling.dx.abs().max(self.settling.dy.abs()) < SETTLED {
            return;
        }
        let whole = self.settling.rounded();
        let (mean, deviation) = (self.mean.clone(), self.deviation.clone());
        // What has come into view is learned at once.
        warp(&mean, luma.width, whole, |i, value| self.mean[i] = value.unwrap_or(luma.cells[i]));
        warp(&deviation, luma.width, whole, |i, value| self.deviation[i] = value.unwrap_or(MIN_DIFFERENCE));
        self.shift = self.shift.since(whole);
        self.settling = self.settling.since(whole);
    }

    fn learn(&mut self, cells: &[f32], gain: f32, dt_s: f32) {
        let quiet = rate(dt_s, MEAN_TAU_S);
        let moving = rate(dt_s, CHANGED_TAU_S);
        let spread = rate(dt_s.min(MAX_DEVIATION_STEP_S), DEVIATION_TAU_S);
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

/// Marks cells that differ from the usual; returns how many.
fn mark(cells: &[f32], mean: &[f32], deviation: &[f32], gain: f32, least: f32, marks: &mut [bool]) -> f32 {
    let mut changed = 0.0;
    for (((value, mean), deviation), mark) in cells.iter().zip(mean).zip(deviation).zip(marks) {
        let expected = mean * gain;
        let least = least.max(0.06 * expected).max(DEVIATIONS * deviation);
        *mark = (value - expected).abs() > least;
        changed += f32::from(u8::from(*mark));
    }
    changed
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
            let mut luma = LumaGrid { width: W, height: H, cells: vec![0.0; W * H], ..LumaGrid::default() };
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

    /// Ground with hills and a few walls, seen by a camera that is moved by
    /// (dx, dy) cells.
    fn ground(x: usize, y: usize, dx: f32, dy: f32) -> f32 {
        let (x, y) = (x as f32 - dx, y as f32 - dy);
        let hills = 18.0 * (x * 0.8).sin() + 14.0 * (y * 0.7 + x * 0.2).cos();
        let wall = |at: f32| (at - 0.5).clamp(0.0, 1.0) * 35.0;
        100.0 + hills + wall(x - 30.0) - wall(x - 45.0) + wall(y - 20.0)
    }

    fn sway(i: usize) -> (f32, f32) {
        (1.5 * (i as f32 * 0.55).sin(), 0.8 * (i as f32 * 0.37).cos())
    }

    #[test]
    fn a_swaying_camera_is_silent_and_sees() {
        let mut scene = Scene::new();
        let swaying = |i: usize, x: usize, y: usize| ground(x, y, sway(i).0, sway(i).1);
        scene.run(60, |_, x, y| ground(x, y, 0.0, 0.0));
        let cells = scene.run(300, swaying);
        assert!(cells < 3, "{cells} cells fire");
        let seen: usize = (0..20)
            .map(|i| {
                let object = |x: usize, y: usize| x.abs_diff(10 + 3 * i) < 3 && y.abs_diff(25) < 4;
                let cells = scene.show(|x, y| if object(x, y) { 215.0 } else { swaying(i, x, y) }).1;
                usize::from((15..60).contains(&cells))
            })
            .sum();
        assert!(seen >= 18, "seen in {seen} of 20");
        let cells = scene.run(100, swaying);
        assert!(cells < 12, "{cells} cells fire after it");
    }

    #[test]
    fn a_camera_that_stays_turned_is_told_once_and_settles() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| ground(x, y, 0.0, 0.0));
        let mut way = (0.0, 0.0);
        for _ in 0..600 {
            scene.show(|x, y| ground(x, y, 1.6, -0.9));
            let moved = scene.background.moved();
            way = (way.0 + moved.dx, way.1 + moved.dy);
        }
        assert!((way.0 - 1.6).abs() < 0.25 && (way.1 + 0.9).abs() < 0.25, "{way:?}");
        assert!(scene.background.shift.dx.abs() < 0.75, "{:?}", scene.background.shift);
        let cells = scene.run(50, |_, x, y| ground(x, y, 1.6, -0.9));
        assert!(cells < 9, "{cells} cells fire");
    }

    #[test]
    fn a_truck_before_a_still_camera_moves_nothing() {
        let mut scene = Scene::new();
        scene.run(60, |_, x, y| ground(x, y, 0.0, 0.0));
        for i in 0..40 {
            let at = 2 * i;
            let truck = |x: usize, y: usize| (at..at + 32).contains(&x) && (6..40).contains(&y);
            let paint = |x: usize, y: usize| if truck(x, y) { 190.0 - (x % 5) as f32 } else { ground(x, y, 0.0, 0.0) };
            assert_eq!(scene.show(paint).0, State::Watching);
            assert_eq!(scene.background.moved(), Shift::NONE, "picture {i}");
        }
    }

    #[test]
    fn headlights_that_sweep_over_the_picture_neither_fire_for_long_nor_blind() {
        let mut scene = Scene::new();
        let night = |x: usize, y: usize| 14.0 + ((x * 7 + y * 13) % 10) as f32;
        scene.run(100, |_, x, y| night(x, y));
        for i in 0..30 {
            // A beam as wide as three tenths of the picture.
            let lit = |x: usize| if x.abs_diff(3 * i) < 12 { 120.0 } else { 0.0 };
            let walker = |x: usize, y: usize| x.abs_diff(70 - 2 * i) < 2 && y.abs_diff(20) < 5;
            let (state, _) = scene.show(|x, y| if walker(x, y) { 75.0 } else { night(x, y) + lit(x) });
            assert_eq!(state, State::Watching);
            if 3 * i + 14 < 70 - 2 * i {
                let seen = scene.background.mask()[20 * W + 70 - 2 * i];
                assert!(seen, "the walker in the dark, picture {i}");
            }
        }
        scene.run(10, |_, x, y| night(x, y));
        assert_eq!(scene.run(100, |_, x, y| night(x, y)), 0, "a second later");
        let seen = scene.run(10, |i, x, y| if x.abs_diff(20 + i) < 3 && y < 12 { 75.0 } else { night(x, y) });
        assert!(seen >= 40, "{seen} cells");
    }
}
