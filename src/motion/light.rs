//! By what light the camera sees: whether pictures have colours, from a few
//! hundred chroma samples, and whether anything in them is bright. Thresholds
//! differ by it, and so do the sizes of packets.
//!
//! A state lasts until another has shown itself for a while: a lamp that is
//! passed by, or a fog, must not make it flicker.

use std::time::Duration;

use crate::capture::{Picture, Plane};
use crate::domain::{Light, Mono};

/// Chroma samples in a row and in a column of the grid.
const ACROSS: usize = 32;
const DOWN: usize = 18;
/// The share of samples that is less colourful than what counts: a small red
/// lamp is no daylight.
const COLOURFUL_SHARE: usize = 10;
/// How far from grey (of 255) that must be to become and to stay coloured.
/// Infrared pictures are grey but for what compression adds.
const COLOURED: u8 = 5;
const STILL_COLOURED: u8 = 3;
/// Pictures whose brightest cells (of 255) are below are dark; they are no
/// longer above the second value.
const DARK: f32 = 50.0;
const NO_LONGER_DARK: f32 = 65.0;
/// How long another state must show itself.
const STEADY: Duration = Duration::from_secs(2);

/// See the module's description.
#[derive(Debug, Default)]
pub struct LightWatch {
    state: Option<Light>,
    /// What shows itself instead, and since when.
    other: Option<(Light, Mono)>,
}

impl LightWatch {
    /// Looks at a picture taken at `at`, whose brightest cells have the value
    /// `brightest` (0..=255, as usual for the scene: a passing headlight does
    /// not count).
    pub fn update(&mut self, picture: &Picture<'_>, brightest: f32, at: Mono) -> Light {
        let shown = self.shown(colourfulness(picture), brightest);
        let Some(state) = self.state else {
            self.state = Some(shown);
            return shown;
        };
        if shown == state {
            self.other = None;
            return state;
        }
        match self.other {
            Some((other, since)) if other == shown => {
                if at.since(since) >= STEADY {
                    (self.state, self.other) = (Some(shown), None);
                    return shown;
                }
            }
            _ => self.other = Some((shown, at)),
        }
        state
    }

    /// The state, once there was a picture.
    pub fn state(&self) -> Light {
        self.state.unwrap_or_default()
    }

    fn shown(&self, colourfulness: u8, brightest: f32) -> Light {
        let dark = if self.state == Some(Light::Dark) { NO_LONGER_DARK } else { DARK };
        let coloured = if self.state == Some(Light::Day) { STILL_COLOURED } else { COLOURED };
        match () {
            () if brightest < dark => Light::Dark,
            () if colourfulness < coloured => Light::Infrared,
            () => Light::Day,
        }
    }
}

/// How far from grey the picture is, but for a tenth of it that is more
/// colourful; 0 for a picture without chroma.
fn colourfulness(picture: &Picture<'_>) -> u8 {
    let Some((cb, cr)) = &picture.chroma else { return 0 };
    let mut histogram = [0u32; 129];
    let mut all = 0;
    for row in 0..DOWN {
        for column in 0..ACROSS {
            if let (Some(b), Some(r)) = (sample(cb, column, row), sample(cr, column, row)) {
                let away = b.abs_diff(128).max(r.abs_diff(128));
                if let Some(count) = histogram.get_mut(usize::from(away)) {
                    *count += 1;
                    all += 1;
                }
            }
        }
    }
    let mut above = 0;
    for (away, count) in histogram.iter().enumerate().rev() {
        above += count;
        if above as usize * COLOURFUL_SHARE > all as usize {
            return away as u8;
        }
    }
    0
}

fn sample(plane: &Plane<'_>, column: usize, row: usize) -> Option<u8> {
    let (x, y) = ((2 * column + 1) * plane.width / (2 * ACROSS), (2 * row + 1) * plane.height / (2 * DOWN));
    plane.row(y).get(x).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::capture::{Colour, Rotation};

    /// A picture of one grey with every `each`th column red.
    fn shown(watch: &mut LightWatch, each: usize, brightest: f32, seconds: f64) -> Light {
        let (w, h) = (64, 36);
        let luma = vec![100u8; w * h * 4];
        let grey = vec![129u8; w * h];
        let red: Vec<u8> = (0..w * h).map(|i| if (i % w) % each == 0 { 170 } else { 127 }).collect();
        let picture = Picture {
            y: Plane::new(&luma, 2 * w, 2 * h, 2 * w).unwrap(),
            chroma: Some((Plane::new(&grey, w, h, w).unwrap(), Plane::new(&red, w, h, w).unwrap())),
            colour: Colour::default(),
            rotation: Rotation::None,
            exposure: 1.0,
        };
        watch.update(&picture, brightest, Mono::from_secs_f64(seconds))
    }

    #[test]
    fn colours_tell_day_from_infrared() {
        assert_eq!(shown(&mut LightWatch::default(), 3, 200.0, 0.0), Light::Day);
        assert_eq!(shown(&mut LightWatch::default(), 40, 200.0, 0.0), Light::Infrared, "one red lamp");
        assert_eq!(shown(&mut LightWatch::default(), 3, 30.0, 0.0), Light::Dark);
    }

    #[test]
    fn a_switch_is_believed_when_it_lasts() {
        let mut watch = LightWatch::default();
        assert_eq!(shown(&mut watch, 3, 200.0, 0.0), Light::Day);
        // Something grey before the lens.
        assert_eq!(shown(&mut watch, 64, 200.0, 1.0), Light::Day);
        assert_eq!(shown(&mut watch, 3, 200.0, 2.0), Light::Day);
        assert_eq!(shown(&mut watch, 64, 200.0, 3.0), Light::Day);
        assert_eq!(shown(&mut watch, 64, 200.0, 5.0), Light::Infrared);
        assert_eq!(shown(&mut watch, 64, 40.0, 6.0), Light::Infrared);
        assert_eq!(shown(&mut watch, 64, 40.0, 8.5), Light::Dark);
        // Between the two limits nothing changes.
        assert_eq!(shown(&mut watch, 64, 60.0, 20.0), Light::Dark);
        assert_eq!(shown(&mut watch, 64, 60.0, 30.0), Light::Dark);
    }

    #[test]
    fn a_picture_without_chroma_is_infrared() {
        let luma = vec![100u8; 64];
        let y = Plane::new(&luma, 8, 8, 8).unwrap();
        let picture = Picture { y, chroma: None, colour: Colour::default(), rotation: Rotation::None, exposure: 1.0 };
        assert_eq!(LightWatch::default().update(&picture, 200.0, Mono::ZERO), Light::Infrared);
    }
}
