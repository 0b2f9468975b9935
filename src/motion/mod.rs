//! Is anything moving? Luma at low resolution, read straight from the decoded
//! Y plane, against an adaptive background: the cheap stage that lets the
//! detector sleep.

mod background;
mod luma;
mod regions;

use crate::capture::{Picture, Rotation};
use crate::config::MotionConfig;
use crate::domain::{BBox, Mono};

pub use background::State;

/// Dark pictures are brightened before the detector sees them until their
/// brightest cells reach this value ...
const BRIGHT_TARGET: f32 = 220.0;
/// ... but not by more than this factor, beyond which noise takes over.
const MAX_GAIN: f32 = 6.0;
/// The share of cells that is darker than "the brightest".
const BRIGHT_SHARE: f32 = 0.995;

/// Finds what moves, from frame to frame.
#[derive(Debug)]
pub struct Motion {
    settings: MotionConfig,
    luma: luma::LumaGrid,
    background: background::Background,
    finder: regions::RegionFinder,
    stored_regions: Vec<BBox>,
    regions: Vec<BBox>,
    rotation: Rotation,
    state: State,
}

impl Motion {
    /// A model that knows nothing yet.
    pub fn new(settings: &MotionConfig) -> Motion {
        Motion {
            settings: settings.clone(),
            luma: luma::LumaGrid::default(),
            background: background::Background::default(),
            finder: regions::RegionFinder::default(),
            stored_regions: Vec::new(),
            regions: Vec::new(),
            rotation: Rotation::None,
            state: State::Learning,
        }
    }

    /// Forgets the background, for example at the start of another recording.
    pub fn reset(&mut self) {
        self.background.reset();
        self.regions.clear();
    }

    /// Looks at one picture taken at `at`.
    pub fn update(&mut self, picture: &Picture<'_>, at: Mono) -> State {
        self.luma.fill(picture);
        self.rotation = picture.rotation;
        self.state = self.background.update(&self.luma, at);
        let min_cells = (self.settings.min_area * self.luma.cells.len() as f32).ceil() as usize;
        self.finder.find(self.background.mask(), self.luma.width, min_cells.max(3), &mut self.stored_regions);
        self.regions.clear();
        self.regions.extend(self.stored_regions.iter().map(|region| self.rotation.turn(region)));
        self.state
    }

    /// What the last picture was to the model.
    pub fn state(&self) -> State {
        self.state
    }

    /// Moving regions of the last picture, largest first, in fractions of the
    /// upright picture.
    pub fn regions(&self) -> &[BBox] {
        &self.regions
    }

    /// The share of `bbox` (fractions of the upright picture) that is moving.
    pub fn share_moving(&self, bbox: &BBox) -> f32 {
        let stored = self.rotation.inverse().turn(&bbox.clipped());
        let (w, h) = (self.luma.width as f32, self.luma.height as f32);
        let (x0, x1) = ((stored.x * w) as usize, ((stored.right() * w).ceil() as usize).min(self.luma.width));
        let (y0, y1) = ((stored.y * h) as usize, ((stored.bottom() * h).ceil() as usize).min(self.luma.height));
        let (mut moving, mut all) = (0u32, 0u32);
        for y in y0..y1 {
            let row = self.background.mask().get(y * self.luma.width + x0..y * self.luma.width + x1);
            for cell in row.unwrap_or(&[]) {
                all += 1;
                moving += u32::from(*cell);
            }
        }
        if all == 0 { 0.0 } else { moving as f32 / all as f32 }
    }

    /// The factor that brings the last picture's luma to daylight brightness:
    /// 1 for a well-lit picture, up to 6 at night.
    pub fn exposure_gain(&self) -> f32 {
        (BRIGHT_TARGET / self.luma.percentile(BRIGHT_SHARE).max(1.0)).clamp(1.0, MAX_GAIN)
    }
}
