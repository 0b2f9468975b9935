//! What should have been filmed and was not, until somebody is told. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Cameras told of one by one; a configuration seldom has more.
const CAMERAS: usize = 64;

/// Sightings that a camera's clips do not show from their beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The camera's name.
    pub camera: String,
    /// How many.
    pub sightings: u64,
    /// What was missing.
    pub why: MissedWhy,
}

/// Why a clip shows less than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MissedWhy {
    /// A clip begins with a keyframe, and none from before was kept any more; it
    /// began with the next one, after the sighting's beginning.
    BeginsLate,
    /// The same, and no other came until the sighting was over.
    NoKeyframe,
    /// The writer took no more work: the disk does not keep up.
    Writer,
}

/// See the module's description.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(String, MissedWhy, u64)>", into = "Vec<(String, MissedWhy, u64)>")]
pub struct MissedTally(BTreeMap<(String, MissedWhy), u64>);

impl From<Vec<(String, MissedWhy, u64)>> for MissedTally {
    fn from(counts: Vec<(String, MissedWhy, u64)>) -> MissedTally {
        MissedTally(counts.into_iter().take(CAMERAS).map(|(camera, why, n)| ((camera, why), n)).collect())
    }
}

impl From<MissedTally> for Vec<(String, MissedWhy, u64)> {
    fn from(tally: MissedTally) -> Self {
        tally.0.into_iter().map(|((camera, why), n)| (camera, why, n)).collect()
    }
}

impl MissedTally {
    /// Counts.
    pub fn add(&mut self, missed: Missed) {
        let key = (missed.camera, missed.why);
        if self.0.len() < CAMERAS || self.0.contains_key(&key) {
            *self.0.entry(key).or_default() += missed.sightings;
        }
    }

    /// How many sightings, and what is to be said about them; begins anew.
    pub fn take(&mut self) -> Option<(u64, String)> {
        let counts = std::mem::take(&mut self.0);
        let n = counts.values().sum();
        let parts: Vec<String> = counts.iter().map(|((camera, why), n)| part(camera, *why, *n)).collect();
        (n > 0).then(|| (n, parts.join("; ")))
    }
}

fn part(camera: &str, why: MissedWhy, n: u64) -> String {
    let keyframes = "its keyframes are further apart than [capture] ring_size and ring_time hold; \
                     set it to one every few seconds";
    match why {
        MissedWhy::BeginsLate => format!("clips of camera {camera} begin after {n} sighting(s): {keyframes}"),
        MissedWhy::NoKeyframe => format!("no clip of {n} sighting(s) of camera {camera}: {keyframes}"),
        MissedWhy::Writer => format!("no clip of {n} sighting(s) of camera {camera}: the disk does not keep up"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn missed(camera: &str, why: MissedWhy) -> Missed {
        Missed { camera: camera.to_owned(), sightings: 2, why }
    }

    #[test]
    fn what_was_missed_is_told_once_by_camera_and_reason() {
        let mut tally = MissedTally::default();
        assert_eq!(tally.take(), None);
        tally.add(missed("road", MissedWhy::NoKeyframe));
        tally.add(missed("road", MissedWhy::NoKeyframe));
        tally.add(missed("yard", MissedWhy::Writer));
        let (n, why) = tally.take().unwrap();
        assert_eq!(n, 6);
        assert!(why.starts_with("no clip of 4 sighting(s) of camera road: its keyframes are"), "{why}");
        assert!(why.ends_with("no clip of 2 sighting(s) of camera yard: the disk does not keep up"), "{why}");
        assert_eq!(tally.take(), None);
    }
}
