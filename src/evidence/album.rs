//! The best view of everything that is followed, chosen look by look.
//!
//! One crop for each track, replaced only by a view that is better by a clear
//! margin: a passing car costs a handful of copies of the part that shows it, and
//! a scene in which nobody is followed costs nothing. Memory is bounded by
//! [`Bounds::bytes`]; when it is used up, suspicions get no crop, then nothing
//! new does, and both are counted (`evidence.no_room` in health).
//!
//! A crop never reaches beyond the region in which the detector has looked for
//! people at that moment: what nobody has looked at does not leave the unit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::cover::{self, Hide};
use super::crop::Crop;
use super::mosaic;
use super::sharpness::sharpness;
use crate::capture::Picture;
use crate::detect::Detection;
use crate::domain::{BBox, Group, Mono, Point};
use crate::track::Track;

/// A view must be better by this factor to be worth a copy.
const CLEARLY_BETTER: f32 = 1.15;

/// The surroundings that are kept: this share of the object's size on every side.
const SURROUNDINGS: f32 = 0.3;
/// And at least this much on every side, in shares of the picture.
const LEAST_SURROUNDINGS: f32 = 0.02;

/// A view that the picture's border cuts counts so much.
const CUT: f32 = 0.5;
/// What the least sharp view counts, against the sharpest.
const BLURRED: f32 = 0.5;
/// What an object counts that is hidden entirely by what may be people.
const HIDDEN: f32 = 0.3;

/// People found this long ago may still stand where they were.
const PEOPLE_STAY: Duration = Duration::from_millis(1500);
/// A share of a box inside a vehicle from which it belongs to it.
const IN_A_VEHICLE: f32 = 0.6;
/// Somebody larger than this share of the vehicle rides on it; smaller, it may be
/// a part of it that looks like somebody.
const RIDER: f32 = 0.15;
/// So many of their boxes are remembered, the newest.
const MAX_PEOPLE: usize = 256;

/// How much is kept, and of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Bytes of all crops together.
    pub bytes: usize,
    /// Nobody is to be hidden: what people and moving things are there does not
    /// matter.
    pub clear: bool,
    /// Areas that are never recorded.
    pub private: Vec<Vec<Point>>,
}

/// One look of the detector, as the album sees it.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// When the picture was taken.
    pub at: Mono,
    /// The picture.
    pub picture: &'a Picture<'a>,
    /// The regions that the detector has looked at.
    pub regions: &'a [BBox],
    /// Everything in them that may be a person, down to [`cover::FAINTEST_PERSON`].
    pub people: &'a [BBox],
    /// What moves; `None` while nobody can tell (the background is being learnt).
    pub moving: Option<&'a [BBox]>,
}

/// A view of an object, worth keeping so far.
#[derive(Debug, Clone)]
pub struct Shot {
    /// The part of the picture.
    pub crop: Crop,
    /// When it was taken.
    pub at: Mono,
    /// Where the object is, in fractions of the upright picture.
    pub bbox: BBox,
    /// How good it is; compares with others of the same track.
    pub score: f32,
    people: Vec<BBox>,
    /// What moves, other vehicles apart.
    moving: Vec<Hide>,
}

impl Shot {
    /// What has to be hidden in it, if the object is of this group.
    pub fn to_hide(&self, group: Group) -> Vec<Hide> {
        let own: &[BBox] = if group == Group::Vehicle { &[self.bbox] } else { &[] };
        let mut boxes = cover::all(&self.people, &self.moving, own);
        let area = self.crop.area();
        boxes.retain(|hide| hide.part.intersection(&area).area() > 0.0);
        boxes
    }

    /// The crop with everything hidden that has to be.
    pub fn hidden(&self, group: Group) -> Crop {
        let mut crop = self.crop.clone();
        mosaic::average_all(&mut crop, &self.to_hide(group));
        crop
    }
}

/// Where somebody may have been a moment ago.
#[derive(Debug, Clone, Copy)]
struct Somebody {
    at: Mono,
    /// In fractions of the picture, or in shares of the box of the vehicle that
    /// carries them.
    bbox: BBox,
    carrier: Option<u64>,
}

impl Somebody {
    /// Where they should be now; `None` if what carried them is gone.
    fn place(&self, tracks: &[Track]) -> Option<BBox> {
        let Some(carrier) = self.carrier else { return Some(self.bbox) };
        let vehicle = tracks.iter().find(|track| track.id == carrier)?.bbox();
        let (b, v) = (&self.bbox, &vehicle);
        Some(BBox::new(v.x + b.x * v.w, v.y + b.y * v.h, b.w * v.w, b.h * v.h))
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Album {
    bounds: Bounds,
    shots: BTreeMap<u64, Shot>,
    bytes: usize,
    people: VecDeque<Somebody>,
    /// Crops copied, and views that found no room, since somebody asked.
    taken: u64,
    refused: u64,
}

impl Album {
    /// Empty.
    pub fn new(bounds: Bounds) -> Album {
        Album { bounds, shots: BTreeMap::new(), bytes: 0, people: VecDeque::new(), taken: 0, refused: 0 }
    }

    /// Views that found no room since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Whether people have to be hidden in what leaves the unit.
    pub fn hides_people(&self) -> bool {
        !self.bounds.clear
    }

    /// After a look: the views of `tracks` (all of them) that it brought. The
    /// views of those that `ended` stay until the next look.
    pub fn observe(&mut self, look: &Look<'_>, tracks: &[Track], ended: &[Track]) {
        self.shots.retain(|id, _| tracks.iter().chain(ended).any(|track| track.id == *id));
        self.bytes = self.shots.values().map(|shot| shot.crop.bytes()).sum();
        self.forget_people(look.at);
        for track in tracks {
            if let Some(seen) = track.seen_at(look.at) {
                self.offer(look, track, seen, tracks);
            }
        }
        self.remember_people(look, tracks);
    }

    /// Where those may be at `now` who were found shortly before; grown as they have
    /// to be hidden.
    pub fn people(&self, now: Mono, tracks: &[Track]) -> Vec<BBox> {
        let lately = self.people.iter().filter(|one| now.since(one.at) <= PEOPLE_STAY && one.at <= now);
        lately.filter_map(|one| one.place(tracks)).collect()
    }

    /// The best view of track `id` so far.
    pub fn best(&self, id: u64) -> Option<&Shot> {
        self.shots.get(&id)
    }

    /// The same, and forgets it.
    pub fn take(&mut self, id: u64) -> Option<Shot> {
        let shot = self.shots.remove(&id)?;
        self.bytes -= shot.crop.bytes().min(self.bytes);
        Some(shot)
    }

    fn forget_people(&mut self, now: Mono) {
        self.people.retain(|one| now.since(one.at) <= PEOPLE_STAY && one.at <= now);
    }

    fn remember_people(&mut self, look: &Look<'_>, tracks: &[Track]) {
        if self.bounds.clear {
            return;
        }
        let vehicles: Vec<&Track> = tracks.iter().filter(|track| is_known_vehicle(track, look.at)).collect();
        for found in look.people {
            let b = cover::person(found);
            let inside = |track: &&&Track| found.share_inside(&track.bbox()) > IN_A_VEHICLE;
            let (bbox, carrier) = match vehicles.iter().find(inside).map(|track| (track.id, track.bbox())) {
                None => (b, None),
                // Who rides is soon elsewhere with what carries them.
                Some((id, v)) if found.area() > RIDER * v.area() => {
                    (BBox::new((b.x - v.x) / v.w, (b.y - v.y) / v.h, b.w / v.w, b.h / v.h), Some(id))
                }
                // A part of a car that looks like somebody is soon elsewhere, too.
                Some(_) => continue,
            };
            self.people.push_back(Somebody { at: look.at, bbox, carrier });
        }
        while self.people.len() > MAX_PEOPLE {
            self.people.pop_front();
        }
    }

    fn offer(&mut self, look: &Look<'_>, track: &Track, seen: &Detection, tracks: &[Track]) {
        let moving = match (look.moving, self.bounds.clear) {
            (_, true) => &[],
            (Some(moving), false) => moving,
            // Nobody knows what else is there.
            (None, false) => return,
        };
        let kept = self.shots.get(&track.id);
        let picture = look.picture;
        let (width, height) = picture.upright_size();
        let size = (seen.bbox.area() * (width * height) as f32).sqrt();
        let whole = if track.is_cut() { CUT } else { 1.0 };
        let least = kept.map_or(0.0, |shot| shot.score * CLEARLY_BETTER);
        // The sharpest view that nothing hides would have this score.
        if seen.confidence * size * whole <= least {
            return;
        }
        let Some(area) = surroundings(&seen.bbox, look.regions) else { return };
        let before = self.people.iter().filter_map(|one| one.place(tracks));
        let found = look.people.iter().map(cover::person);
        // Also those who stand: the detector misses them now and then.
        let now = found.chain(followed_people(tracks)).filter(|_| !self.bounds.clear);
        let people = before.chain(now);
        let people: Vec<BBox> = people.filter(|b| b.intersection(&area).area() > 0.0).collect();
        let visible = 1.0 - (1.0 - HIDDEN) * cover::share_hidden(&seen.bbox, &people);
        let sharp = BLURRED + (1.0 - BLURRED) * sharpness(&picture.y, samples(picture, &seen.bbox));
        let score = seen.confidence * size * whole * visible * sharp;
        if score <= least {
            return;
        }
        let freed = kept.map_or(0, |shot| shot.crop.bytes());
        // Half of the room is for what is believed.
        let room = if track.confirmed { self.bounds.bytes } else { self.bounds.bytes / 2 };
        let Some(mut crop) = Crop::take(picture, &area) else { return };
        if self.bytes - freed.min(self.bytes) + crop.bytes() > room {
            self.refused += 1;
            return;
        }
        for polygon in &self.bounds.private {
            mosaic::black_out(&mut crop, polygon);
        }
        let others = tracks.iter().filter(|other| is_known_vehicle(other, look.at) && other.id != track.id);
        let vehicles: Vec<BBox> = others.map(Track::bbox).collect();
        let moving: Vec<Hide> = moving.iter().copied().map(Hide::whole).collect();
        let moving = cover::moving_but_vehicles(&moving, &vehicles);
        self.taken += 1;
        self.bytes = self.bytes - freed.min(self.bytes) + crop.bytes();
        let shot = Shot { crop, at: look.at, bbox: seen.bbox, score, people, moving };
        self.shots.insert(track.id, shot);
    }
}

/// Where people may be by what is followed, grown as they have to be hidden: all of
/// `tracks` but vehicles, suspicions and those that were missed just now included.
pub fn followed_people(tracks: &[Track]) -> impl Iterator<Item = BBox> {
    tracks.iter().filter(|track| track.group() != Group::Vehicle).map(|track| cover::person(&track.bbox()))
}

/// The vehicles among `tracks` that are believed, where they were seen at `at`.
pub fn known_vehicles(tracks: &[Track], at: Mono) -> impl Iterator<Item = BBox> {
    tracks.iter().filter(move |track| is_known_vehicle(track, at)).map(Track::bbox)
}

fn is_known_vehicle(track: &Track, at: Mono) -> bool {
    track.confirmed && track.group() == Group::Vehicle && track.seen_at(at).is_some()
}

/// The object with what is around it, as far as one region shows it; `None` if
/// none shows it whole. The smallest region has looked the closest.
fn surroundings(bbox: &BBox, regions: &[BBox]) -> Option<BBox> {
    let shows = |region: &&BBox| bbox.share_inside(region) > 0.98;
    let region = regions.iter().filter(shows).min_by(|a, b| a.area().total_cmp(&b.area()))?;
    let (dx, dy) = ((bbox.w * SURROUNDINGS).max(LEAST_SURROUNDINGS), (bbox.h * SURROUNDINGS).max(LEAST_SURROUNDINGS));
    let grown = BBox::new(bbox.x - dx, bbox.y - dy, bbox.w + 2.0 * dx, bbox.h + 2.0 * dy);
    Some(grown.intersection(region).clipped())
}

/// The box in samples of the stored luma plane.
fn samples(picture: &Picture<'_>, bbox: &BBox) -> [usize; 4] {
    let b = picture.rotation.inverse().turn(&bbox.clipped());
    let (w, h) = (picture.y.width as f32, picture.y.height as f32);
    [b.x * w, b.y * h, b.right() * w, b.bottom() * h].map(|edge| edge.max(0.0) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::crop::tests::Owned;
    use super::*;
    use crate::config::TrackingConfig;
    use crate::track::Tracker;

    const WHOLE: BBox = BBox::new(0.0, 0.0, 1.0, 1.0);

    struct Scene {
        album: Album,
        tracker: Tracker,
        owned: Owned,
        looks: u64,
    }

    impl Scene {
        fn new(bytes: usize, clear: bool) -> Scene {
            let private = vec![[[0.0, 0.0], [0.1, 0.0], [0.1, 1.0], [0.0, 1.0]].map(Point::from).to_vec()];
            Scene {
                album: Album::new(Bounds { bytes, clear, private }),
                tracker: Tracker::new(&TrackingConfig::default()),
                owned: Owned::noise(320, 240, 1),
                looks: 0,
            }
        }

        fn look(&mut self, found: &[(Group, BBox, f32)], people: &[BBox], moving: Option<&[BBox]>, region: BBox) {
            let at = Mono::from_micros(self.looks * 100_000);
            self.looks += 1;
            let detections: Vec<Detection> = found
                .iter()
                .map(|(group, bbox, confidence)| Detection {
                    bbox: *bbox,
                    group: *group,
                    confidence: *confidence,
                    class: 0,
                    class_score: *confidence,
                })
                .collect();
            self.tracker.update(at, &detections, &vec![0.5; detections.len()], |_| true);
            let picture = self.owned.picture();
            let look = Look { at, picture: &picture, regions: &[region], people, moving };
            self.album.observe(&look, self.tracker.tracks(), self.tracker.ended());
        }

        fn shot(&self) -> &Shot {
            self.album.best(1).unwrap()
        }
    }

    fn car(x: f32, w: f32, confidence: f32) -> (Group, BBox, f32) {
        (Group::Vehicle, BBox::new(x, 0.4, w, w * 0.6), confidence)
    }

    #[test]
    fn the_large_and_sure_view_is_kept_and_nothing_is_copied_for_a_little_more() {
        let mut scene = Scene::new(1 << 20, true);
        for i in 0..20 {
            let w = 0.2 + 0.1 * (1.0 - (i as f32 - 10.0).abs() / 10.0);
            scene.look(&[car(0.2 + 0.01 * i as f32, w, 0.8)], &[], None, WHOLE);
        }
        assert!(scene.shot().bbox.w > 0.26, "{:?}", scene.shot().bbox);
        assert!(scene.album.taken <= 4, "{}", scene.album.taken);
        let shot = scene.album.take(1).unwrap();
        assert!(shot.crop.area().w > 1.4 * shot.bbox.w && scene.album.bytes == 0);
    }

    #[test]
    fn a_crop_does_not_reach_beyond_what_was_looked_at() {
        let mut scene = Scene::new(1 << 20, true);
        let region = BBox::new(0.15, 0.3, 0.5, 0.5);
        scene.look(&[car(0.2, 0.2, 0.8)], &[], None, region);
        assert!(scene.shot().crop.area().x >= 0.14, "{:?}", scene.shot().crop.area());
        // Half outside, nobody knows what is around it.
        let mut scene = Scene::new(1 << 20, true);
        scene.look(&[car(0.6, 0.2, 0.8)], &[], None, region);
        assert!(scene.album.best(1).is_none());
    }

    #[test]
    fn people_and_what_moves_are_hidden_and_the_vehicle_is_not() {
        let mut scene = Scene::new(1 << 20, false);
        let person = BBox::new(0.42, 0.35, 0.04, 0.15);
        // Found in an earlier look, in another region, and not any more.
        scene.look(&[], &[person], Some(&[]), WHOLE);
        scene.look(&[car(0.2, 0.2, 0.8)], &[], Some(&[BBox::new(0.19, 0.39, 0.3, 0.2)]), WHOLE);
        let hidden = scene.shot().to_hide(Group::Vehicle);
        let covers = |x: f32, y: f32| {
            hidden.iter().map(|h| h.part).any(|b| (b.x..b.right()).contains(&x) && (b.y..b.bottom()).contains(&y))
        };
        assert!(covers(0.44, 0.42) && covers(0.45, 0.57) && !covers(0.3, 0.45), "{hidden:?}");
        // Nobody believes in that vehicle: it is only something that moves.
        assert!(scene.shot().to_hide(Group::Animal).iter().any(|h| (h.part.x..h.part.right()).contains(&0.3)));
        assert_ne!(scene.shot().hidden(Group::Vehicle), scene.shot().crop);
    }

    #[test]
    fn who_stands_there_is_hidden_while_the_detector_misses_them() {
        let mut scene = Scene::new(1 << 20, false);
        let standing = (Group::Person, BBox::new(0.42, 0.35, 0.04, 0.15), 0.8);
        scene.look(&[standing], &[], Some(&[]), WHOLE);
        // Nothing remembers a detection of them, and nothing moves there.
        scene.look(&[car(0.2, 0.2, 0.8)], &[], Some(&[]), WHOLE);
        let car = scene.tracker.tracks().iter().find(|track| track.group() == Group::Vehicle).unwrap().id;
        let hidden = scene.album.best(car).unwrap().to_hide(Group::Vehicle);
        assert!(hidden.iter().any(|h| standing.1.share_inside(&h.part) > 0.99), "{hidden:?}");
        // Where nobody is to be hidden, nobody is.
        let mut scene = Scene::new(1 << 20, true);
        scene.look(&[standing], &[], None, WHOLE);
        scene.look(&[super::tests::car(0.2, 0.2, 0.8)], &[], None, WHOLE);
        assert_eq!(scene.album.best(car).unwrap().people, []);
    }

    #[test]
    fn a_rider_who_is_not_found_in_the_better_view_is_hidden_all_the_same() {
        let mut scene = Scene::new(1 << 20, false);
        let bike = |x: f32, w: f32, confidence: f32| (Group::Vehicle, BBox::new(x, 0.3, w, 1.6 * w), confidence);
        for i in 0..6 {
            let x = 0.1 + 0.03 * i as f32;
            let rider = BBox::new(x + 0.05, 0.3, 0.1, 0.2);
            scene.look(&[bike(x, 0.2, 0.5)], &[rider], Some(&[]), WHOLE);
        }
        let before = scene.shot().bbox;
        scene.look(&[bike(0.28, 0.26, 0.95)], &[], Some(&[]), WHOLE);
        assert_ne!(scene.shot().bbox, before, "a better view was taken");
        let hidden = scene.shot().to_hide(Group::Vehicle);
        let middle = (0.41, 0.42);
        let covered = |b: BBox| (b.x..b.right()).contains(&middle.0) && (b.y..b.bottom()).contains(&middle.1);
        assert!(hidden.iter().any(|h| covered(h.part)), "{hidden:?}");
    }

    #[test]
    fn without_a_background_there_is_no_still_unless_nobody_is_to_be_hidden() {
        let mut scene = Scene::new(1 << 20, false);
        scene.look(&[car(0.2, 0.2, 0.8)], &[], None, WHOLE);
        assert!(scene.album.best(1).is_none());
    }

    #[test]
    fn private_zones_are_black_in_memory_already() {
        let mut scene = Scene::new(1 << 20, true);
        scene.look(&[car(0.02, 0.2, 0.8)], &[], None, WHOLE);
        assert!(
            scene.shot().crop.y.data.chunks(scene.shot().crop.y.width).all(|row| row[..30].iter().all(|v| *v == 0))
        );
    }

    #[test]
    fn memory_is_bounded_and_what_found_no_room_is_counted() {
        let mut scene = Scene::new(20_000, true);
        for i in 0..6 {
            let more = [
                car(0.2, 0.2 + 0.05 * i as f32, 0.5 + 0.05 * i as f32),
                (Group::Person, BBox::new(0.7, 0.2, 0.1, 0.5), 0.9),
            ];
            scene.look(&more, &[], None, WHOLE);
            assert!(scene.album.shots.values().map(|shot| shot.crop.bytes()).sum::<usize>() <= 20_000);
        }
        assert!(scene.album.take_refused() > 0 && scene.album.take_refused() == 0);
    }
}
