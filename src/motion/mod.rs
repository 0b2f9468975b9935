//! Is anything moving? Luma at low resolution, read straight from the decoded
//! Y plane, against an adaptive background: the cheap stage that lets the
//! detector sleep.

mod background;
mod light;
mod luma;
mod regions;
mod shift;
mod stirring;

use crate::capture::{Picture, Rotation};
use crate::config::MotionConfig;
use crate::domain::{BBox, Light, Mono};

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
    /// When `luma` was taken, if it is to be remembered.
    filled_at: Option<Mono>,
    stirring: stirring::Stirring,
    background: background::Background,
    light: light::LightWatch,
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
            filled_at: None,
            stirring: stirring::Stirring::default(),
            background: background::Background::default(),
            light: light::LightWatch::default(),
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
        self.stirring.reset();
        self.light = light::LightWatch::default();
        self.regions.clear();
    }

    /// Looks at one picture taken at `at`.
    pub fn update(&mut self, picture: &Picture<'_>, at: Mono) -> State {
        self.remember();
        self.luma.fill(picture);
        self.filled_at = Some(at);
        self.rotation = picture.rotation;
        self.state = self.background.update(&self.luma, at);
        let light = self.light.update(picture, self.usually_brightest(), at);
        self.background.set_light(light);
        let min_cells = self.min_cells();
        self.finder.find(self.background.mask(), self.luma.width, min_cells, &mut self.stored_regions);
        self.regions.clear();
        self.regions.extend(self.stored_regions.iter().map(|region| self.rotation.turn(region)));
        self.state
    }

    /// Whether the picture taken at `at`, long after the last one, shows
    /// something that was not there. Learns from it only if it does not: what
    /// has come since may have to be looked at in the pictures before this one.
    pub fn differs(&mut self, picture: &Picture<'_>, at: Mono) -> bool {
        self.remember();
        self.luma.fill(picture);
        let min_cells = self.min_cells();
        let known = self.background.compare_only(&self.luma);
        if known {
            self.finder.find(self.background.mask(), self.luma.width, min_cells, &mut self.stored_regions);
        }
        let differs = !known || !self.stored_regions.is_empty();
        if !differs {
            self.update(picture, at);
        }
        differs
    }

    /// The last picture becomes one of the past; not one that was only compared,
    /// which comes again behind those before it.
    fn remember(&mut self) {
        if let Some(at) = self.filled_at.take() {
            self.stirring.update(&self.luma, at);
        }
    }

    fn min_cells(&self) -> usize {
        ((self.settings.min_area * self.luma.cells.len() as f32).ceil() as usize).max(3)
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

    /// How far a movement of the camera has moved the last picture's content
    /// against the one before, in fractions of the upright picture to the right
    /// and down. Zero unless it is certain.
    pub fn camera_shift(&self) -> (f32, f32) {
        let moved = self.background.moved();
        let (dx, dy) = (moved.dx / self.luma.width.max(1) as f32, moved.dy / self.luma.height.max(1) as f32);
        let (from, to) = (BBox::default(), BBox::new(dx, dy, 0.0, 0.0));
        let (from, to) = (self.rotation.turn(&from), self.rotation.turn(&to));
        (to.x - from.x, to.y - from.y)
    }

    /// The share of `bbox` (fractions of the upright picture) that is moving.
    pub fn share_moving(&self, bbox: &BBox) -> f32 {
        let (mut moving, mut all) = (0u32, 0u32);
        for cell in self.cells_in(bbox) {
            all += 1;
            moving += u32::from(self.is_masked(cell));
        }
        if all == 0 { 0.0 } else { moving as f32 / all as f32 }
    }

    /// Whether what differs from the background within `bbox` (fractions of
    /// the upright picture) has changed within the last second, too.
    pub fn stirs(&self, bbox: &BBox) -> bool {
        self.stirring.stirs(
            &self.luma,
            self.background.min_difference(),
            self.cells_in(bbox).filter(|cell| self.is_masked(*cell)),
        )
    }

    fn is_masked(&self, cell: usize) -> bool {
        self.background.mask().get(cell).copied().unwrap_or(false)
    }

    /// The grid's cells that `bbox` touches.
    fn cells_in(&self, bbox: &BBox) -> impl Iterator<Item = usize> + use<> {
        let stored = self.rotation.inverse().turn(&bbox.clipped());
        let (width, height) = (self.luma.width, self.luma.height);
        let (w, h) = (width as f32, height as f32);
        let (x0, x1) = ((stored.x * w) as usize, ((stored.right() * w).ceil() as usize).min(width));
        let (y0, y1) = ((stored.y * h) as usize, ((stored.bottom() * h).ceil() as usize).min(height));
        (y0..y1).flat_map(move |y| (x0..x1).map(move |x| y * width + x))
    }

    /// The light that the last picture was taken by.
    pub fn light(&self) -> Light {
        self.light.state()
    }

    /// The factor that brings the last picture's luma to daylight brightness:
    /// 1 for a well-lit picture, up to 6 at night. In the dark it goes by the
    /// scene as it usually is, so that headlights do not darken who walks beside
    /// them; otherwise a white car would come out too bright to be told.
    pub fn exposure_gain(&self) -> f32 {
        let brightest = match self.light() {
            Light::Dark => self.usually_brightest(),
            Light::Day | Light::Infrared => luma::percentile(&self.luma.cells, BRIGHT_SHARE),
        };
        (BRIGHT_TARGET / brightest.max(1.0)).clamp(1.0, MAX_GAIN)
    }

    /// How bright the brightest cells of the scene usually are, 0..=255.
    fn usually_brightest(&self) -> f32 {
        match self.background.usual() {
            (mean, exposure) if self.state == State::Watching && !mean.is_empty() => {
                luma::percentile(mean, BRIGHT_SHARE) * exposure
            }
            _ => luma::percentile(&self.luma.cells, BRIGHT_SHARE),
        }
    }
}
