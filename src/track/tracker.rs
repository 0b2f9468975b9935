//! All tracks of one camera.

use std::time::Duration;

use super::associate::{Matcher, buffered_iou, covers};
use super::one::{MOVING_SHARE, TRACED_AFTER, Track};
use super::past::{Doubt, Past};
use super::scenery::Scenery;
use crate::config::TrackingConfig;
use crate::detect::{Cause, Detection, Interest};
use crate::domain::{BBox, Mono};

/// Similarities (buffered IoU) below these are no match, for sure detections
/// and for doubtful ones.
const MIN_SIMILARITY: f32 = 0.15;
const MIN_SIMILARITY_LOW: f32 = 0.35;
/// How far an object may be from where it is expected, in its own sizes: at
/// least, more while its velocity is unknown, and more for each second hidden.
const BUFFER: f32 = 0.15;
const BUFFER_YOUNG: f32 = 0.5;
const BUFFER_PER_HIDDEN_S: f32 = 0.5;
const MAX_BUFFER: f32 = 1.2;
/// Looks in vain after which an object counts as hidden.
const HIDDEN_AFTER: u32 = 3;
/// A suspicion seen less often does not come back after that.
const MIN_HITS_HIDDEN: u32 = 3;
/// Suspicions are dropped after this time unseen.
const TENTATIVE_HIDDEN: Duration = Duration::from_millis(1200);
/// And after this time even where few looks would have shown them.
const TENTATIVE_FORGOTTEN: Duration = Duration::from_millis(2500);
/// Nothing else is dropped before this many looks in vain.
const MIN_MISSES: u32 = 3;
/// Looks in vain after which an object whose expected place is outside the
/// picture has left.
const MISSES_OUTSIDE: u32 = 2;
/// An object that has not moved for this long needs no looks of its own.
const STILL: Duration = Duration::from_secs(2);
/// What needed no look for this long stands where it was: the little that its
/// box wavers must not be taken for speed.
const PAUSE: Duration = Duration::from_secs(1);
/// Cameras may be slow: nothing is given up for want of looks before it has gone
/// without them for so many times the usual pause, but for this long at most.
const UNLOOKED_PAUSES: u32 = 3;
const UNLOOKED: Duration = Duration::from_secs(5);
/// What was on its way when the camera was lost is followed on if it is back so soon.
const BRIDGED: Duration = Duration::from_secs(1);
/// A detection of another group at the same place that is weaker by this
/// factor is no witness.
const CLEARLY_LESS: f32 = 0.75;
/// A track explains detections at its place for this long after it was seen.
const EXPLAINS_FOR: Duration = Duration::from_millis(400);
/// Looks in which a track may coincide with a better one.
const MAX_DOUBLED: u32 = 4;
/// A detection of which this share is moving may begin a track at a lower
/// confidence, by this factor.
const CLEARLY_MOVING: f32 = 0.3;
const MOVING_DISCOUNT: f32 = 0.65;
/// A part lies inside the whole by this share, the whole is larger by one of
/// these factors (small detectors also find "something" as large as the whole
/// picture) and was found with at least this share of the part's confidence.
const PART_INSIDE: f32 = 0.8;
const PART_AREA: std::ops::Range<f32> = 1.3..6.0;
const PART_CONFIDENCE: f32 = 0.5;
/// And as much of it moves, by this factor, as of the part.
const PART_MOVING: f32 = 0.5;
/// What a part's similarity counts when a whole could be had.
const PART_DISCOUNT: f32 = 0.6;
/// What a suspicion's similarity counts when an object wants the same.
const SUSPICION_DISCOUNT: f32 = 0.75;
/// At most so many tracks; beyond that the picture is noise.
const MAX_TRACKS: usize = 64;

/// All tracks of one camera.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackingConfig,
    tracks: Vec<Track>,
    ended: Vec<Track>,
    next_id: u64,
    last: Option<Mono>,
    scenery: Scenery,
    past: Past,
    matcher: Matcher,
    matches: Vec<(usize, usize)>,
}

impl Tracker {
    /// A tracker that follows nothing yet.
    pub fn new(settings: &TrackingConfig) -> Tracker {
        Tracker {
            settings: settings.clone(),
            tracks: Vec::new(),
            ended: Vec::new(),
            next_id: 1,
            last: None,
            scenery: Scenery::default(),
            past: Past::default(),
            matcher: Matcher::default(),
            matches: Vec::new(),
        }
    }

    /// Everything that is followed now, suspicions included, oldest first.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The confirmed tracks that the last call gave up.
    pub fn ended(&self) -> &[Track] {
        &self.ended
    }

    /// Gives up everything, for example at the end of a recording; the
    /// confirmed tracks are then in [`Tracker::ended`].
    pub fn end_all(&mut self) {
        self.ended.clear();
        self.ended.extend(self.tracks.drain(..).filter(|t| t.confirmed));
        self.last = None;
        self.scenery.forget();
        self.past.clear();
    }

    /// Time passes without looks. True if that is longer than an object may be
    /// hidden: those that stood still are expected where they were, the others
    /// are given up and in [`Tracker::ended`].
    pub fn expire(&mut self, at: Mono) -> bool {
        self.ended.clear();
        self.end_unlooked(at);
        !self.ended.is_empty()
    }

    /// The camera was lost and is back: what it shows now may be anything. True if
    /// something is given up: whatever was on its way, unless the camera was away for a
    /// moment only.
    pub fn interrupted(&mut self, at: Mono) -> bool {
        self.ended.clear();
        if self.last.is_some_and(|last| at.since(last) >= BRIDGED) {
            let gone = self.tracks.extract_if(.., |track| needs_looks(track));
            self.ended.extend(gone.filter(|track| track.confirmed));
        }
        !self.ended.is_empty()
    }

    /// Whoever was on their way when nobody looked for so long is elsewhere.
    fn end_unlooked(&mut self, at: Mono) {
        let (Some(last), max_hidden) = (self.last, self.settings.max_hidden.0) else { return };
        let unlooked = at.since(last);
        let longest = |track: &Track| {
            let slow = track.usual_pause().map_or(UNLOOKED, |pause| (pause * UNLOOKED_PAUSES).min(UNLOOKED));
            max_hidden.max(slow)
        };
        let gone = self.tracks.extract_if(.., |track| unlooked >= longest(track) && needs_looks(track));
        self.ended.extend(gone.filter(|track| track.confirmed));
    }

    /// The camera has moved the picture by this much to the right and down, in
    /// fractions of it: tracks are expected there.
    pub fn shifted(&mut self, dx: f32, dy: f32) {
        if (dx, dy) != (0.0, 0.0) {
            self.tracks.iter_mut().for_each(|track| track.shift(dx, dy));
            self.scenery.shift(dx, dy);
            self.past.shift(dx, dy);
        }
    }

    /// One look: everything found, doubtful detections included, how much of
    /// each detection's box is moving, and whether the look would have shown
    /// what is at a place: what was not looked at is not missed.
    pub fn update(&mut self, at: Mono, detections: &[Detection], share_moving: &[f32], shown: impl Fn(&BBox) -> bool) {
        self.ended.clear();
        self.end_unlooked(at);
        let pause = self.last.map_or(Duration::ZERO, |last| at.since(last));
        let dt_s = pause.as_secs_f32().min(5.0);
        self.last = Some(at);
        for track in &mut self.tracks {
            if pause >= PAUSE && track.misses == 0 && !needs_looks(track) {
                track.motion.rest();
            }
            let hidden = track.is_hidden();
            track.motion.predict_unseen(dt_s, hidden);
            track.as_of = at;
        }
        let mut track_free = vec![true; self.tracks.len()];
        let mut owners: Vec<Option<u64>> = vec![None; detections.len()];
        let parts: Vec<bool> = (0..detections.len()).map(|d| is_part(d, detections, share_moving)).collect();
        let mut detection_free: Vec<bool> = (0..detections.len()).map(|d| !outdone(d, detections)).collect();
        // Those that an object of their own group stands for.
        let stands_for = |d: &Detection| {
            let mut objects = self.tracks.iter().filter(|t| t.confirmed && t.group() == d.group);
            objects.any(|t| covers(&t.bbox(), &d.bbox))
        };
        let objects: Vec<bool> = detections.iter().map(stands_for).collect();
        // Sure detections first, then doubtful ones (ByteTrack); what is left
        // and no other track explains may be a hidden object coming back.
        let sure = self.settings.confidence;
        let stages = [
            (sure, f32::INFINITY, MIN_SIMILARITY, false),
            (self.settings.low_confidence, sure, MIN_SIMILARITY_LOW, false),
            (sure * MOVING_DISCOUNT, f32::INFINITY, MIN_SIMILARITY, true),
        ];
        for (from, until, least, hidden) in stages {
            let tracks = &self.tracks;
            let suits = |d: &Detection| {
                let in_band = d.confidence >= from && d.confidence < until;
                in_band && !(hidden && tracks.iter().any(|t| t.last_seen == at && explains(t, d, at)))
            };
            let suitable: Vec<bool> =
                detections.iter().zip(&detection_free).map(|(d, free)| *free && suits(d)).collect();
            let similarity = |t: usize, d: usize| {
                let track = &tracks[t];
                if !track_free[t] || !suitable[d] || (track.misses > HIDDEN_AFTER) != hidden {
                    return None;
                }
                // A part of a car must not carry along what looked like somebody before
                // the car came by.
                if !track.confirmed && track.group() != detections[d].group && objects[d] {
                    return None;
                }
                // Where it went is not known from two boxes; and what coincided with
                // something better was that.
                if hidden && !track.confirmed && (track.hits < MIN_HITS_HIDDEN || track.doubled > 0) {
                    return None;
                }
                let whole = if parts[d] { PART_DISCOUNT } else { 1.0 };
                let known = if tracks[t].confirmed { 1.0 } else { SUSPICION_DISCOUNT };
                similarity(&tracks[t], &detections[d], at).map(|s| s * whole).filter(|s| *s >= least).map(|s| s * known)
            };
            self.matcher.greedy(self.tracks.len(), detections.len(), similarity, &mut self.matches);
            for &(t, d) in &self.matches {
                (track_free[t], detection_free[d]) = (false, false);
                let track = &mut self.tracks[t];
                owners[d] = Some(track.id);
                track.see(&detections[d], share_moving.get(d).copied().unwrap_or(0.0), at);
                if track.hits == TRACED_AFTER {
                    track.came_by(self.past.way_to(&track.first, track.first_seen, track.motion.velocity()));
                }
            }
        }
        for (track, unseen) in self.tracks.iter_mut().zip(&track_free) {
            if !unseen || track.is_outside() || shown(&track.bbox()) {
                track.misses += u32::from(*unseen);
                track.last_looked = at;
            }
            if !track.confirmed && !unseen {
                track.weigh_rivals(detections);
            }
        }
        self.drop_doubles();
        self.confirm();
        self.drop_lost(at);
        self.settle();
        for (free, part) in detection_free.iter_mut().zip(parts) {
            *free &= !part;
        }
        self.begin(at, detections, &detection_free, share_moving);
        self.remember_doubts(at, detections, &owners, share_moving);
    }

    fn confirm(&mut self) {
        for track in &mut self.tracks {
            if !track.confirmed && track.misses == 0 && track.doubled == 0 {
                track.confirmed = track.is_credible(self.settings.sure_confidence);
                if track.confirmed {
                    self.past.believed(track.id);
                }
            }
        }
    }

    /// One object, two tracks (a person first taken for an animal, a cab for a
    /// car of its own): the one with less evidence goes.
    fn drop_doubles(&mut self) {
        for index in (0..self.tracks.len()).rev() {
            let this = &self.tracks[index];
            let doubled =
                self.tracks.iter().enumerate().any(|(other, track)| {
                    other != index && track.misses == 0 && this.misses == 0 && track.outweighs(this)
                });
            let this = &mut self.tracks[index];
            this.doubled = match (doubled, this.misses) {
                (true, _) => this.doubled + 1,
                (false, 0) => 0,
                (false, _) => this.doubled,
            };
            if this.doubled >= MAX_DOUBLED {
                let track = self.tracks.remove(index);
                if track.confirmed {
                    self.ended.push(track);
                }
            }
        }
    }

    fn drop_lost(&mut self, at: Mono) {
        let max_hidden = self.settings.max_hidden.0;
        for index in (0..self.tracks.len()).rev() {
            let track = &self.tracks[index];
            let limit = if track.confirmed { max_hidden } else { TENTATIVE_HIDDEN };
            let unseen = at.since(track.last_seen);
            // A suspicion that was missed once, or was on its way, and then never shown
            // again must not wait for whatever comes by.
            let elsewhere = track.misses > 0 || track.moving;
            let forgotten = !track.confirmed && elsewhere && unseen >= TENTATIVE_FORGOTTEN;
            let hidden = track.misses >= MIN_MISSES && unseen >= limit;
            if hidden || forgotten || (track.misses >= MISSES_OUTSIDE && track.is_outside()) {
                let track = self.tracks.remove(index);
                if track.confirmed {
                    // What has come to rest is found again where it stands.
                    if track.is_scenery() {
                        self.scenery.remember(track.group(), track.bbox(), track.last_seen);
                    }
                    self.ended.push(track);
                }
            }
        }
        self.ended.sort_unstable_by_key(|t| t.id);
    }

    /// Suspicions that stand become scenery: what comes past must not be taken
    /// for them.
    fn settle(&mut self) {
        let scenery = &mut self.scenery;
        self.tracks.retain(|track| {
            let settled = !track.confirmed && track.is_scenery();
            if settled {
                scenery.remember(track.group(), track.bbox(), track.last_seen);
            }
            !settled
        });
    }

    /// New suspicions from sure detections that nothing explains yet.
    fn begin(&mut self, at: Mono, detections: &[Detection], free: &[bool], share_moving: &[f32]) {
        let mut order: Vec<usize> = (0..detections.len()).filter(|d| free[*d]).collect();
        order.sort_by(|a, b| detections[*b].confidence.total_cmp(&detections[*a].confidence).then(a.cmp(b)));
        for d in order {
            let detection = &detections[d];
            let explained = self.tracks.iter().any(|t| explains(t, detection, at));
            let share = share_moving.get(d).copied().unwrap_or(0.0);
            // That it moves is evidence as well.
            let least = self.settings.confidence * if share >= CLEARLY_MOVING { MOVING_DISCOUNT } else { 1.0 };
            let explained =
                explained || (share < MOVING_SHARE && self.scenery.knows(detection.group, &detection.bbox, at));
            if detection.confidence >= least && !explained && self.tracks.len() < MAX_TRACKS {
                self.tracks.push(Track::new(self.next_id, detection, share, at));
                self.next_id += 1;
            }
        }
    }

    /// What moves and no object explains may turn out to be one's way here.
    fn remember_doubts(&mut self, at: Mono, detections: &[Detection], owners: &[Option<u64>], share_moving: &[f32]) {
        let objects = || self.tracks.iter().filter(|track| track.confirmed);
        let doubts = detections.iter().zip(owners).zip(share_moving);
        let doubtful = doubts.filter(|((detection, _), share)| {
            **share >= CLEARLY_MOVING && !objects().any(|track| explains(track, detection, at))
        });
        let explained = |found: &Detection| self.tracks.iter().find(|t| explains(t, found, at)).map(|t| t.id);
        let doubt = |((found, owner), _): ((&Detection, &Option<u64>), _)| Doubt {
            found: *found,
            owner: owner.or_else(|| explained(found)),
        };
        self.past.remember(at, doubtful.map(doubt));
    }

    /// What needs looks as of `at`: what is new, moving or just lost. What
    /// stands still and was seen last time can wait.
    pub fn interests(&self, at: Mono) -> impl Iterator<Item = Interest> {
        self.tracks.iter().filter(|t| needs_looks(t)).map(move |t| Interest {
            bbox: t.expected(at),
            cause: if t.confirmed { Cause::Object } else { Cause::Suspicion },
            waited_s: at.secs_since(t.last_looked) as f32,
            patience_s: t.patience_s(),
            margin: reach(t, at),
        })
    }
}

/// Whether it is new, moving or just lost.
fn needs_looks(track: &Track) -> bool {
    match track.confirmed {
        // Where nobody looked, it has not been seen to stand still.
        true => track.misses > 0 || track.still_for(track.last_looked) < STILL,
        false => track.hits < MIN_MISSES || track.misses == 0 && track.has_travelled(),
    }
}

/// How far from where it is expected a track may be, in its own sizes.
fn reach(track: &Track, at: Mono) -> f32 {
    // Where a suspicion went is too little known to look for it farther and farther.
    let hidden_s = if track.confirmed && track.misses > 0 { at.secs_since(track.last_seen) as f32 } else { 0.0 };
    let least = if track.hits < 3 { BUFFER_YOUNG } else { BUFFER };
    (least + BUFFER_PER_HIDDEN_S * hidden_s).min(MAX_BUFFER)
}

/// How well `detection` continues `track`; `None` if it cannot.
fn similarity(track: &Track, detection: &Detection, at: Mono) -> Option<f32> {
    if track.confirmed && track.group() != detection.group {
        return None;
    }
    let buffer = reach(track, at);
    let (a, b) = (track.bbox().area(), detection.bbox.area());
    // Nothing doubles its size from one look to the next; what does is a part
    // of something, or two things in one box. Boxes cut by the border may.
    let ratio = a.max(b) / a.min(b).max(1e-6);
    if ratio > 4.0 && !track.is_cut() {
        return None;
    }
    let same_group = if track.group() == detection.group { 1.0 } else { 0.7 };
    Some(buffered_iou(&track.bbox().clipped(), &detection.bbox, buffer) * same_group)
}

/// Whether detection `d` is a part of something larger that was found as well:
/// a cab, a bonnet. Parts continue tracks if need be but begin none. What stands
/// still for the most part is not the whole of what moves.
fn is_part(d: usize, detections: &[Detection], share_moving: &[f32]) -> bool {
    let (this, moving) = (&detections[d], |d: usize| share_moving.get(d).copied().unwrap_or(0.0));
    detections.iter().enumerate().any(|(o, other)| {
        other.group == this.group
            && moving(o) >= PART_MOVING * moving(d)
            && PART_AREA.contains(&(other.bbox.area() / this.bbox.area().max(1e-6)))
            && other.confidence > PART_CONFIDENCE * this.confidence
            && this.bbox.share_inside(&other.bbox) > PART_INSIDE
    })
}

/// Whether detection `d` is clearly only the second-best name for something.
fn outdone(d: usize, detections: &[Detection]) -> bool {
    let this = &detections[d];
    detections.iter().any(|other| {
        other.group != this.group && this.confidence < CLEARLY_LESS * other.confidence && other.is_at(&this.bbox)
    })
}

/// Whether `detection` is only another view, or a part, of what `track`
/// already stands for.
fn explains(track: &Track, detection: &Detection, at: Mono) -> bool {
    if at.since(track.last_seen) > EXPLAINS_FOR {
        return false;
    }
    let same = track.group() == detection.group;
    // Scenery that looks like a truck must not hide who walks in front of it.
    (same || (track.confirmed && track.still_for(at) < STILL) || track.bbox().iou(&detection.bbox) > 0.7)
        && covers(&track.bbox(), &detection.bbox)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BBox, Group};

    /// Ten looks a second of the same detector.
    struct Scene {
        tracker: Tracker,
        looks: u32,
    }

    impl Scene {
        fn new() -> Scene {
            Scene { tracker: Tracker::new(&TrackingConfig::default()), looks: 0 }
        }

        /// One look: group, centre, size and confidence of what is found; all
        /// of it is seen moving if `moving`.
        fn look(&mut self, found: &[(Group, [f32; 4], f32)], moving: bool) {
            let detection = |(group, [x, y, w, h], confidence): &(Group, [f32; 4], f32)| Detection {
                bbox: BBox::new(x - w / 2.0, y - h / 2.0, *w, *h).clipped(),
                group: *group,
                confidence: *confidence,
                class: *group as u16,
                class_score: *confidence,
            };
            let detections: Vec<Detection> = found.iter().map(detection).collect();
            let share = if moving { 0.5 } else { 0.0 };
            let at = Mono::from_micros(u64::from(self.looks) * 100_000);
            self.looks += 1;
            self.tracker.update(at, &detections, &vec![share; detections.len()], |_| true);
        }

        fn confirmed(&self) -> Vec<&Track> {
            self.tracker.tracks().iter().filter(|t| t.confirmed).collect()
        }
    }

    #[test]
    fn who_walks_through_is_one_track_and_is_given_up_outside() {
        let mut scene = Scene::new();
        for i in 0..45 {
            scene.look(&[(Group::Person, [0.1 + 0.02 * i as f32, 0.5, 0.06, 0.2], 0.7)], true);
        }
        assert_eq!(scene.tracker.tracks().len(), 1);
        assert!(scene.confirmed()[0].confirmed);
        for _ in 0..40 {
            scene.look(&[], false);
        }
        assert!(scene.tracker.tracks().is_empty());
    }

    #[test]
    fn hidden_for_a_second_behind_a_tree_it_stays_one_track() {
        let mut scene = Scene::new();
        for i in 0..60 {
            let x = 0.1 + 0.012 * i as f32;
            let hidden = (25..35).contains(&i);
            let found = [(Group::Person, [x, 0.5, 0.06, 0.2], 0.7)];
            scene.look(if hidden { &[] } else { &found }, true);
            assert!(scene.tracker.ended().is_empty());
        }
        assert_eq!(scene.confirmed().len(), 1);
        assert_eq!(scene.confirmed()[0].id, 1);
        assert_eq!(scene.confirmed()[0].hits, 50);
    }

    #[test]
    fn two_abreast_are_two_tracks_throughout() {
        let mut scene = Scene::new();
        for i in 0..40 {
            let x = 0.1 + 0.02 * i as f32;
            scene.look(
                &[(Group::Person, [x, 0.45, 0.05, 0.2], 0.7), (Group::Person, [x + 0.06, 0.5, 0.05, 0.2], 0.65)],
                true,
            );
        }
        let ids: Vec<u64> = scene.confirmed().iter().map(|t| t.id).collect();
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn a_part_inside_a_vehicle_begins_no_track() {
        let mut scene = Scene::new();
        for i in 0..30 {
            let x = 0.2 + 0.015 * i as f32;
            let cab = (Group::Vehicle, [x + 0.06, 0.5, 0.12, 0.12], 0.6);
            scene.look(&[(Group::Vehicle, [x, 0.5, 0.28, 0.16], 0.7), cab], true);
            assert_eq!(scene.tracker.tracks().len(), 1, "look {i}");
        }
    }

    #[test]
    fn a_boot_that_the_detector_splits_off_is_no_car() {
        let mut scene = Scene::new();
        for i in 0..24 {
            let x = 0.2 + 0.02 * i as f32;
            let whole = (Group::Vehicle, [x, 0.5, 0.26, 0.2], 0.7);
            let bonnet = (Group::Vehicle, [x + 0.06, 0.5, 0.2, 0.2], 0.7);
            let boot = (Group::Vehicle, [x, 0.49, 0.09, 0.16], 0.45);
            let found = if i < 14 { vec![whole] } else { vec![bonnet, boot] };
            scene.look(&found, true);
            assert!(scene.confirmed().len() <= 1, "look {i}");
        }
    }

    #[test]
    fn a_car_close_behind_another_is_a_car() {
        let mut scene = Scene::new();
        for i in 0..30 {
            let x = 0.2 + 0.02 * i as f32;
            let first = (Group::Vehicle, [x, 0.5, 0.2, 0.16], 0.7);
            scene.look(&[first, (Group::Vehicle, [x - 0.18, 0.46, 0.16, 0.12], 0.6)], true);
        }
        assert_eq!(scene.confirmed().len(), 2);
    }

    #[test]
    fn what_was_not_looked_at_is_not_missed_and_keeps_its_size() {
        let mut scene = Scene::new();
        for i in 0..20 {
            scene.look(&[(Group::Person, [0.2 + 0.01 * i as f32, 0.5, 0.05, 0.2 - 0.004 * i as f32], 0.7)], true);
        }
        let size = scene.tracker.tracks()[0].size();
        for i in 20..60 {
            scene.tracker.update(Mono::from_micros(i * 100_000), &[], &[], |_| false);
        }
        let track = &scene.tracker.tracks()[0];
        assert!((track.misses == 0) && track.size() > 0.7 * size, "{} of {size}", track.size());
        let at = Mono::from_micros(6_000_000);
        let [interest] = scene.tracker.interests(at).collect::<Vec<_>>()[..] else { panic!("it asks for a look") };
        assert!(interest.waited_s > 3.0);
    }

    #[test]
    fn time_without_looks_is_time_hidden() {
        // Ten looks a second, or one in a second and a half; then nobody looks.
        for (pause_ms, speed, away_s, goes_on) in
            [(100, 0.03, 2.9, true), (100, 0.03, 3.1, false), (1500, 0.1, 4.0, true), (1500, 0.1, 5.1, false)]
        {
            let mut tracker = Tracker::new(&TrackingConfig::default());
            let mut at = Mono::ZERO;
            for i in 0..6u16 {
                at = Mono::from_micros(u64::from(i) * pause_ms * 1000);
                let bus = Detection {
                    bbox: BBox::new(0.05 + speed * f32::from(i), 0.2, 0.3, 0.3),
                    group: Group::Vehicle,
                    confidence: 0.8,
                    class: 5,
                    class_score: 0.8,
                };
                tracker.update(at, &[bus], &[0.8], |_| true);
            }
            assert!(tracker.tracks().len() == 1 && tracker.tracks()[0].confirmed, "{pause_ms}");
            tracker.expire(at.plus(Duration::from_secs_f64(away_s)));
            assert_eq!(!tracker.tracks().is_empty(), goes_on, "{pause_ms} ms, {away_s} s");
        }
    }

    #[test]
    fn what_comes_after_a_lost_camera_is_not_what_was_there_before_it() {
        let bus = |i: u32| (Group::Vehicle, [0.12 + 0.008 * i as f32, 0.3, 0.1 + 0.016 * i as f32, 0.3], 0.8);
        for away in [0.5, 1.5, 4.3] {
            let mut scene = Scene::new();
            for i in 0..15 {
                scene.look(&[bus(i)], true);
            }
            let id = scene.confirmed()[0].id;
            let back = scene.tracker.last.unwrap().plus(Duration::from_secs_f64(away));
            assert_eq!(scene.tracker.interrupted(back), away > 1.0, "{away}");
            assert_eq!(scene.confirmed().is_empty(), away > 1.0, "{away}");
            // An empty yard, and a car from the other side.
            scene.looks += (away * 10.0) as u32;
            for _ in 0..20 {
                scene.look(&[], true);
            }
            for i in 0..10 {
                scene.look(&[(Group::Vehicle, [0.95 - 0.03 * i as f32, 0.4, 0.1, 0.18], 0.7)], true);
            }
            let car = scene.confirmed().into_iter().find(|track| track.misses == 0).map(|track| track.id);
            assert!(car.is_some_and(|car| car != id), "{away}");
        }
    }

    #[test]
    fn scenery_that_never_moves_is_never_believed() {
        let mut scene = Scene::new();
        for i in 0..300 {
            // The detector's boxes and confidences are never quite the same.
            let jitter = 0.004 * ((i * 7 % 5) as f32 - 2.0);
            let confidence = 0.5 + 0.02 * (i % 10) as f32;
            scene.look(&[(Group::Person, [0.5 + jitter, 0.5 - jitter, 0.1, 0.3], confidence)], false);
            assert!(scene.confirmed().is_empty(), "look {i}");
        }
    }

    #[test]
    fn what_stands_there_is_not_new_each_time_it_is_found() {
        let mut scene = Scene::new();
        let mut busy = 0;
        // A parked car, looked at every half minute and then for as long as
        // it is of interest; found as a person from afar, or not at all.
        for round in 0..200u32 {
            scene.looks = scene.looks.max(round * 300);
            for _ in 0..30 {
                let wavers = 0.0015 * ((scene.looks * 7 % 5) as f32 - 2.0);
                let place = [0.25 + wavers, 0.2 - wavers, 0.023, 0.055 + wavers];
                match (scene.looks * 13 / 300 + scene.looks) % 4 {
                    0 => scene.look(&[(Group::Person, place, 0.38)], false),
                    1 => scene.look(&[], false),
                    _ => scene.look(&[(Group::Vehicle, place, 0.6)], false),
                }
                let at = scene.tracker.last.unwrap();
                if scene.tracker.interests(at).next().is_none() {
                    break;
                }
                busy += 1;
            }
            assert!(scene.confirmed().is_empty(), "round {round}");
        }
        assert!(busy < 10, "{busy} looks were asked for");
    }

    #[test]
    fn a_car_that_passes_a_rock_is_a_car() {
        let mut scene = Scene::new();
        let rock = (Group::Animal, [0.05, 0.58, 0.056, 0.038], 0.4);
        for _ in 0..100 {
            scene.look(&[rock], false);
        }
        // It comes into view where the rock is, as small as that.
        for i in 0..30 {
            let right = 0.04 + 0.03 * i as f32;
            let (left, width) = ((right - 0.115_f32).max(0.0), right.min(0.115));
            scene.look(&[(Group::Vehicle, [left + width / 2.0, 0.58, width, 0.09], 0.7)], true);
        }
        assert_eq!(scene.confirmed().iter().map(|t| t.group()).collect::<Vec<_>>(), [Group::Vehicle]);
    }

    #[test]
    fn a_piece_of_a_car_that_ends_at_somebody_who_stands_there_is_nobody() {
        let mut scene = Scene::new();
        for i in 0..5 {
            let size = [0.16 - 0.02 * i as f32, 0.08];
            scene.look(&[(Group::Vehicle, [0.36 + 0.025 * i as f32, 0.23, size[0], size[1]], 0.27)], true);
            assert!(scene.confirmed().is_empty(), "look {i}: {:?}", scene.confirmed());
        }
        for _ in 0..20 {
            scene.look(&[(Group::Person, [0.466, 0.23, 0.02, 0.07], 0.45)], false);
            assert!(scene.confirmed().is_empty());
        }
    }

    #[test]
    fn who_stands_where_a_piece_of_a_car_goes_by_does_not_go_with_it() {
        let mut scene = Scene::new();
        for _ in 0..25 {
            scene.look(&[(Group::Person, [0.466, 0.22, 0.02, 0.07], 0.42)], false);
        }
        for i in 0..8 {
            let piece = [0.466 - 0.008 * i as f32, 0.22, 0.022 + 0.008 * i as f32, 0.08];
            scene.look(&[(Group::Vehicle, piece, 0.23)], true);
            assert!(scene.confirmed().is_empty(), "look {i}");
        }
    }

    #[test]
    fn a_suspicion_that_is_no_longer_shown_does_not_wait_for_the_next_car() {
        let mut tracker = Tracker::new(&TrackingConfig::default());
        let part = |x: f32| Detection {
            bbox: BBox::new(x, 0.24, 0.05, 0.13),
            group: Group::Vehicle,
            confidence: 0.4,
            class: 2,
            class_score: 0.4,
        };
        let at = |looks: u64| Mono::from_micros(looks * 100_000);
        // A piece of a car that drives past; missed twice or never, then looked at no more.
        for missed in [2, 0] {
            tracker.end_all();
            for look in 0..3 {
                tracker.update(at(look), &[part(0.5 - 0.01 * look as f32)], &[0.5], |_| true);
            }
            for look in 3..5 {
                tracker.update(at(look), &[], &[], |_| look < 3 + missed);
            }
            assert_eq!(tracker.tracks().len(), 1);
            for look in 5..40 {
                tracker.update(at(look), &[], &[], |_| false);
            }
            assert!(tracker.tracks().is_empty(), "missed {missed} times: {:?}", tracker.tracks());
        }
    }

    #[test]
    fn a_suspicion_of_two_looks_is_not_what_comes_by_elsewhere() {
        let mut scene = Scene::new();
        let car = |x: f32, y: f32| (Group::Vehicle, [x, y, 0.2, 0.25], 0.5);
        scene.look(&[car(0.3, 0.3)], true);
        scene.look(&[car(0.33, 0.3)], true);
        for _ in 0..5 {
            scene.look(&[], true);
        }
        scene.look(&[car(0.3, 0.6)], true);
        let tracks: Vec<_> = scene.tracker.tracks().iter().map(|t| (t.id, t.hits)).collect();
        assert_eq!(tracks, [(1, 2), (2, 1)]);
    }

    #[test]
    fn a_suspicion_is_not_looked_for_farther_and_farther() {
        let mut scene = Scene::new();
        let car = |x: f32| (Group::Vehicle, [x, 0.5, 0.2, 0.25], 0.5);
        for _ in 0..3 {
            scene.look(&[car(0.3)], true);
        }
        for _ in 0..5 {
            scene.look(&[], true);
        }
        // Beside it.
        scene.look(&[car(0.52)], true);
        let tracks: Vec<_> = scene.tracker.tracks().iter().map(|t| (t.id, t.hits)).collect();
        assert_eq!(tracks, [(1, 3), (2, 1)]);
    }

    #[test]
    fn one_first_taken_for_an_animal_is_one_person() {
        let mut scene = Scene::new();
        for i in 0..40 {
            let place = [0.1 + 0.015 * i as f32, 0.5, 0.06, 0.2];
            let (animal, person) = if i < 3 { (0.5, 0.3) } else { (0.2, 0.7) };
            scene.look(&[(Group::Animal, place, animal), (Group::Person, place, person)], true);
        }
        assert_eq!(scene.confirmed().len(), 1);
        assert_eq!(scene.confirmed()[0].group(), Group::Person);
        assert_eq!(scene.tracker.tracks().len(), 1, "and no animal beside it");
    }

    #[test]
    fn the_group_of_a_believed_track_never_changes() {
        let mut scene = Scene::new();
        for i in 0..60 {
            let group = if i < 20 { Group::Person } else { Group::Animal };
            scene.look(&[(group, [0.1 + 0.01 * i as f32, 0.5, 0.06, 0.2], 0.7)], true);
            assert!(scene.tracker.tracks().iter().filter(|t| t.id == 1).all(|t| t.group() == Group::Person));
        }
    }

    #[test]
    fn a_single_flash_is_nothing() {
        let mut scene = Scene::new();
        scene.look(&[(Group::Vehicle, [0.5, 0.5, 0.3, 0.3], 0.9)], true);
        for _ in 0..40 {
            scene.look(&[], false);
            assert!(scene.tracker.ended().is_empty());
        }
        assert!(scene.tracker.tracks().is_empty());
    }

    #[test]
    fn a_gust_that_moves_the_picture_breaks_no_track_and_makes_nothing_travel() {
        let mut scene = Scene::new();
        for i in 0..60 {
            let gust = if i % 6 < 3 { 0.0 } else { 0.03 };
            if i > 0 && i % 3 == 0 {
                scene.tracker.shifted(if gust > 0.0 { 0.03 } else { -0.03 }, 0.0);
            }
            let walker = (Group::Person, [0.1 + 0.01 * i as f32 + gust, 0.4, 0.03, 0.1], 0.7);
            let stump = (Group::Person, [0.8 + gust, 0.8, 0.03, 0.1], 0.6);
            scene.look(&[walker, stump], false);
        }
        assert_eq!(scene.confirmed().iter().map(|t| t.hits).collect::<Vec<_>>(), [60]);
        let (vx, _) = scene.confirmed()[0].motion.velocity();
        assert!((vx - 0.1).abs() < 0.03, "{vx}");
    }
}
