//! What pictures may show by the configuration, and what that means for those that
//! were made under another one.

use crate::clock::SystemClock;
use crate::config::{CameraConfig, Config, People, ZoneMode};
use crate::domain::Point;
use crate::event::{Body, Class, Draft};
use crate::evidence::{Rules, Upheld, Withheld, uphold};
use crate::journal::JournalHandle;

/// The areas that `camera` must never show.
pub fn private_areas(camera: &CameraConfig) -> Vec<Vec<Point>> {
    let private = camera.zone.iter().filter(|zone| zone.mode == ZoneMode::Private);
    private.map(|zone| zone.polygon.clone()).collect()
}

fn rules(config: &Config) -> Rules {
    Rules {
        clear: config.privacy.people == People::Clear,
        private: config.camera.iter().map(|camera| (camera.name.clone(), private_areas(camera))).collect(),
    }
}

/// Has the configuration hold for what is in the evidence folder, and says what that
/// cost. What it gives must not leave the unit.
///
/// # Errors
/// When it cannot be made sure of although pictures or clips are wanted. When none
/// are, nothing that is there may leave the unit then.
pub fn settle(config: &Config, clock: &SystemClock, journal: &JournalHandle) -> std::io::Result<Withheld> {
    let folder = config.evidence_folder();
    let wanted = config.evidence.stills || config.evidence.clips;
    if !wanted && !folder.exists() {
        return Ok(Withheld::default());
    }
    let upheld = match uphold(&folder, &rules(config)) {
        Ok(upheld) => upheld,
        Err(e) if wanted => return Err(e),
        Err(e) => {
            tracing::warn!("evidence in {} stays on the unit: {e}", folder.display());
            return Ok(Withheld::All);
        }
    };
    if let Some(body) = told(&upheld) {
        let draft = Draft { stamp: clock.now(), body, replay: false };
        if let Err(e) = journal.append(vec![draft]) {
            tracing::debug!("the journal has ended already: {e}");
        }
    }
    Ok(upheld.withheld)
}

/// The event about small stills that had to go.
fn told(upheld: &Upheld) -> Option<Body> {
    let (n, first, last) = upheld.removed?;
    let why = format!("pictures may show less than before: {n} small stills from {first} to {last} deleted");
    tracing::warn!("{why}; full-size stills and clips from before stay on the unit");
    Some(Body::Lost { from: 0, to: 0, n, class: Class::Telemetry, why })
}
