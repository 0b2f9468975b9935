//! What packets' sizes usually are, for each light: at night an encoder spends
//! its bits on noise. When the light changes back, what was learnt the day
//! before still holds. Pure.

use super::model::SizeModel;
use crate::domain::Light;

/// See the module's description.
#[derive(Debug, Default)]
pub struct SizeModels {
    light: Light,
    models: [SizeModel; Light::ALL.len()],
}

impl SizeModels {
    /// The model for the present light.
    pub fn present(&self) -> &SizeModel {
        &self.models[self.light as usize]
    }

    /// The same, to be changed.
    pub fn present_mut(&mut self) -> &mut SizeModel {
        &mut self.models[self.light as usize]
    }

    /// The light is `light` now. True if that is new.
    pub fn switch(&mut self, light: Light) -> bool {
        let new = light != self.light;
        if new {
            // What was seen last belongs to the change.
            self.present_mut().interrupt();
            self.light = light;
        }
        new
    }
}
