//! Who takes the pictures of a sighting: asks the album for the best view at the
//! right moment, has it hidden and encoded, names it in the event and hands it to
//! the evidence writer.
//!
//! The small still is ready before the sighting ends, because the end names its
//! checksum and must not wait for it: it is encoded when the object is missed for
//! the first time, some looks before it is given up. Of what stays long one is
//! made some seconds after the beginning, so that people need not wait until it
//! has gone, and again at the end only for a much better view. The full-size still
//! is encoded by the writer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::report::Reporter;
use crate::config::{CameraConfig, Config, People, ZoneMode};
use crate::domain::{Group, Mono};
use crate::event::{Body, Draft};
use crate::evidence::{Album, Bounds, EvidenceHandle, Shot, Still, checksum, exif_segment, small_jpeg};
use crate::scene::{Happening, What};

/// A second still of one sighting must be better by this factor.
const MUCH_BETTER: f32 = 1.5;

/// Bytes of the best views of one camera, all together.
const ALBUM_BYTES: usize = 12 << 20;

/// An album for `camera`, if stills are wanted.
pub fn album(config: &Config, camera: &CameraConfig) -> Option<Album> {
    let private = camera.zone.iter().filter(|zone| zone.mode == ZoneMode::Private);
    config.evidence.stills.then(|| {
        Album::new(Bounds {
            bytes: ALBUM_BYTES,
            clear: config.privacy.people == People::Clear,
            private: private.map(|zone| zone.polygon.clone()).collect(),
        })
    })
}

/// One camera's witness.
pub struct Witness {
    unit: String,
    camera: String,
    width: usize,
    bytes: usize,
    after: Duration,
    full_size: bool,
    clear: bool,
    evidence: EvidenceHandle,
    /// By track.
    open: BTreeMap<u64, Open>,
    /// Made, and handed over once the events about them are.
    made: Vec<Still>,
}

/// A sighting that has begun.
struct Open {
    id: Uuid,
    group: Group,
    /// When a still is made although it is still there.
    next_try: Mono,
    sent: Option<Sent>,
    /// Made for the end that is near.
    ready: Option<Ready>,
}

impl Open {
    /// Whether a view is worth a still, with what was sent before.
    fn wants(&self, shot: &Shot) -> bool {
        self.sent.as_ref().is_none_or(|sent| shot.score > MUCH_BETTER * sent.score)
    }
}

/// The small still of a view; `None` if it cannot be encoded.
struct Ready {
    at: Mono,
    small: Option<Vec<u8>>,
}

/// The small still that was made of it.
struct Sent {
    score: f32,
    checksum: String,
}

impl Witness {
    /// For `camera`.
    pub fn new(config: &Config, camera: &CameraConfig, evidence: EvidenceHandle) -> Witness {
        Witness {
            unit: config.unit.id.clone(),
            camera: camera.name.clone(),
            width: usize::from(config.evidence.still_width),
            bytes: usize::try_from(config.evidence.still_size.0).unwrap_or(usize::MAX),
            after: config.evidence.still_after.0,
            full_size: config.evidence.full_size,
            clear: config.privacy.people == People::Clear,
            evidence,
            open: BTreeMap::new(),
            made: Vec::new(),
        }
    }

    /// `happening` is about to become `draft`: at the end of a sighting its still
    /// is made and named.
    pub fn happened(&mut self, happening: &Happening, draft: &mut Draft, album: &mut Album, reporter: &Reporter) {
        let What::Sighting { id, track, group, end, .. } = &happening.what else { return };
        if end.is_none() {
            let next_try = happening.at.plus(self.after);
            self.open.insert(*track, Open { id: *id, group: *group, next_try, sent: None, ready: None });
            return;
        }
        let Some(mut open) = self.open.remove(track) else { return };
        let shot = album.take(*track);
        let small = shot.as_ref().filter(|shot| open.wants(shot)).and_then(|shot| {
            let ready = open.ready.take().filter(|ready| ready.at == shot.at);
            ready.map_or_else(|| self.small(shot, open.group, reporter), |ready| ready.small)
        });
        let named = small.as_deref().map(checksum).or(open.sent.map(|sent| sent.checksum));
        if let Body::Sighting { still, .. } = &mut draft.body {
            *still = named;
        }
        if let Some(shot) = shot {
            self.keep(open.id, shot, small, reporter);
        }
    }

    /// As of `now`: a first still of what stays long, and one of each of the
    /// `missed` tracks, which may soon end.
    pub fn look_after(&mut self, now: Mono, missed: impl Iterator<Item = u64>, album: &mut Album, reporter: &Reporter) {
        self.evidence.status().found_no_room(album.take_refused());
        for track in missed {
            let (Some(open), Some(shot)) = (self.open.get(&track), album.best(track)) else { continue };
            if open.wants(shot) && open.ready.as_ref().is_none_or(|ready| ready.at != shot.at) {
                let ready = Ready { at: shot.at, small: self.small(shot, open.group, reporter) };
                self.open.entry(track).and_modify(|open| open.ready = Some(ready));
            }
        }
        let due = |open: &Open| open.sent.is_none() && now >= open.next_try;
        let due: Vec<u64> = self.open.iter().filter(|(_, open)| due(open)).map(|(track, _)| *track).collect();
        for track in due {
            let (Some(shot), Some(group)) = (album.best(track), self.open.get(&track).map(|open| open.group)) else {
                continue;
            };
            if let Some(open) = self.open.get_mut(&track) {
                // Also if it does not fit: the same view will not fit a moment later.
                open.next_try = now.plus(self.after);
            }
            let Some(small) = self.small(shot, group, reporter) else { continue };
            let stamp = reporter.clock().stamp(shot.at);
            let Some(open) = self.open.get_mut(&track) else { continue };
            open.sent = Some(Sent { score: shot.score, checksum: checksum(&small) });
            let (id, camera) = (open.id, self.camera.clone());
            self.made.push(Still { id, camera, stamp, small: Some(small), full: None });
        }
    }

    /// The events so far are with the journal: their stills go to the writer.
    pub fn hand_over(&mut self) {
        self.made.drain(..).for_each(|still| self.evidence.keep(still));
    }

    fn small(&self, shot: &Shot, group: Group, reporter: &Reporter) -> Option<Vec<u8>> {
        let began = Instant::now();
        let hidden = if self.clear { shot.crop.clone() } else { shot.hidden(group) };
        let exif = exif_segment(&self.unit, &reporter.clock().stamp(shot.at));
        let small = small_jpeg(&hidden, self.width, self.bytes, &exif);
        let took_us = began.elapsed().as_micros();
        match small {
            Ok(small) => {
                let (w, h) = hidden.upright_size();
                tracing::debug!("a still of {w}x{h} became {} bytes in {took_us} us", small.len());
                Some(small)
            }
            Err(e) => {
                tracing::warn!("no still of this sighting: {e}");
                self.evidence.status().not_encoded();
                None
            }
        }
    }

    fn keep(&mut self, id: Uuid, shot: Shot, small: Option<Vec<u8>>, reporter: &Reporter) {
        let stamp = reporter.clock().stamp(shot.at);
        let full = self.full_size.then(|| (shot.crop, exif_segment(&self.unit, &stamp)));
        if small.is_some() || full.is_some() {
            self.made.push(Still { id, camera: self.camera.clone(), stamp, small, full });
        }
    }
}
