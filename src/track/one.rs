//! One track: where it is, what it is, and whether it is believed.

use std::time::Duration;

use super::associate::covers;
use super::motion_model::{BoxMotion, Cut};
use crate::detect::Detection;
use crate::domain::{BBox, Group, Mono, Point};

/// Looks in which a track must have been seen to be believed: when it has
/// travelled, and when it only moves in its place.
const MIN_LOOKS_TRAVELLED: u32 = 3;
/// The former while the motion stage cannot tell what moves.
const MIN_LOOKS_UNMOVED: u32 = 6;
const MIN_LOOKS_IN_PLACE: u32 = 4;
/// Looks that it takes when the border always cut it off, and for animals,
/// which is what a piece of a person or a car most often looks like.
const MIN_LOOKS_CUT: u32 = 8;
const MIN_LOOKS_CUT_PASSING: u32 = 5;
const MIN_LOOKS_ANIMAL: u32 = 6;
/// Mean confidence it must have had.
const MIN_MEAN_TRAVELLED: f32 = 0.33;
const MIN_MEAN_IN_PLACE: f32 = 0.50;
/// Having travelled means to be this many times its own size away from where
/// it was first seen, on a way that is this straight (net over total length).
const MIN_TRAVEL: f32 = 0.5;
const MIN_STRAIGHTNESS: f32 = 0.5;
/// In its place it must have been seen moving in this many looks, each with
/// this share of its box.
const MIN_MOVING_LOOKS: u32 = 3;
pub(super) const MOVING_SHARE: f32 = 0.12;
/// Overlap (IoU) from which detections of different groups mean one object.
const SAME_PLACE: f32 = 0.5;
/// Tracks of one object move together: by so many sizes per second at most.
const SAME_SPEED: f32 = 1.2;
/// A suspicion smaller than this share of a vehicle, of which this share lies
/// within the vehicle grown by so much, is not believed.
const CLINGING_AREA: f32 = 0.6;
const CLINGING_REACH: f32 = 0.15;
const CLINGING_SHARE: f32 = 0.5;
/// A group's votes must exceed every other group's by this factor.
const GROUP_LEAD: f32 = 1.3;
/// Looks in which something that has travelled must have been seen moving to
/// be believed at this share of the sure confidence.
const MIN_MOVING_LOOKS_DOUBTFUL: u32 = 4;
const DOUBTFUL: f32 = 0.75;
/// The same for what has come so many times its size on a way this straight, moving
/// in so many looks.
const FAR: f32 = 1.2;
const FAR_STRAIGHTNESS: f32 = 0.85;
const MIN_MOVING_LOOKS_FAR: u32 = 5;
const DOUBTFUL_FROM_AFAR: f32 = 0.62;
/// What looks have passed over for this long is as good as hidden.
const UNSEEN: Duration = Duration::from_millis(300);
/// An object whose way is known is looked at again when it has moved by this
/// much of its size, and at the latest after this time.
const PATIENCE_SIZES: f32 = 0.25;
const MAX_PATIENCE_S: f32 = 0.29;
/// What the detector finds with less than this, last time and on the mean, may
/// be lost at the next look, and needs every one.
const PLAIN: f32 = 0.5;
/// An object that has not moved for so long has come to rest.
const AT_REST: Duration = Duration::from_secs(10);
/// A suspicion that has not moved for so long is scenery.
const NEVER_MOVED: Duration = Duration::from_secs(3);
/// Looks in which it was seen after which its way is known.
pub(super) const TRACED_AFTER: u32 = 3;
/// A box that moves by less than this share of its size stands still.
const STILL_SHARE: f32 = 0.25;

/// The view of an object that shows it best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestView {
    /// Where.
    pub bbox: BBox,
    /// Confidence of that detection, 0..=1.
    pub confidence: f32,
    /// When.
    pub at: Mono,
    score: f32,
}

/// An object, or the suspicion of one.
#[derive(Debug, Clone)]
pub struct Track {
    /// Counts up within one tracker.
    pub id: u64,
    /// Whether it is believed to be an object. Never taken back.
    pub confirmed: bool,
    /// When it was first and last seen.
    pub first_seen: Mono,
    /// See `first_seen`.
    pub last_seen: Mono,
    /// Looks in which it was seen, and looks since it was last seen.
    pub hits: u32,
    /// See `hits`. Only looks that would have shown it count.
    pub misses: u32,
    /// When a look last would have shown it.
    pub(super) last_looked: Mono,
    /// The time that `motion` stands for.
    pub(super) as_of: Mono,
    /// Looks in a row in which it coincided with a better track.
    pub(super) doubled: u32,
    /// The view that shows it best.
    pub best: BestView,
    pub(super) motion: BoxMotion,
    /// Its first detection, and where it was in its first looks, and before them
    /// as far as that could be found out.
    pub(super) first: Detection,
    pub(super) trail: Vec<(Mono, BBox)>,
    /// Confidence collected for each group, in the order of [`Group::ALL`].
    group_votes: [f32; 3],
    class_votes: Vec<(Group, u16, f32)>,
    last_detection: Option<Detection>,
    seen_whole: bool,
    confidence_sum: f32,
    /// The most of each group, and looks that showed one of it moving, like the votes:
    /// somebody who stands where a piece of a car goes by has neither its way nor its class.
    confidence_max: [f32; 3],
    moving_looks: [u32; 3],
    /// Whether it was seen moving when it was seen last.
    pub(super) moving: bool,
    origin: Point,
    last_point: Point,
    path: f32,
    rest: Point,
    rest_since: Mono,
}

impl Track {
    pub(super) fn new(id: u64, detection: &Detection, share_moving: f32, at: Mono) -> Track {
        let point = detection.bbox.center();
        let mut track = Track {
            id,
            confirmed: false,
            first_seen: at,
            last_seen: at,
            hits: 0,
            misses: 0,
            last_looked: at,
            as_of: at,
            doubled: 0,
            seen_whole: false,
            best: BestView { bbox: detection.bbox, confidence: 0.0, at, score: -1.0 },
            motion: BoxMotion::new(&detection.bbox),
            first: *detection,
            trail: Vec::new(),
            group_votes: [0.0; 3],
            class_votes: Vec::new(),
            last_detection: None,
            confidence_sum: 0.0,
            confidence_max: [0.0; 3],
            moving_looks: [0; 3],
            moving: false,
            origin: point,
            last_point: point,
            path: 0.0,
            rest: point,
            rest_since: at,
        };
        track.count(detection, share_moving, at);
        track
    }

    pub(super) fn see(&mut self, detection: &Detection, share_moving: f32, at: Mono) {
        self.motion.update(&detection.bbox);
        let point = self.bbox().center();
        self.path += distance(point, self.last_point);
        self.last_point = point;
        self.count(detection, share_moving, at);
        if distance(point, self.rest) > STILL_SHARE * self.size() {
            (self.rest, self.rest_since) = (point, at);
        }
    }

    /// The camera has moved the picture; the object's own way is what is left.
    pub(super) fn shift(&mut self, dx: f32, dy: f32) {
        self.motion.shift(dx, dy);
        for point in [&mut self.origin, &mut self.last_point, &mut self.rest] {
            point.x += dx;
            point.y += dy;
        }
    }

    /// Counts a look's evidence.
    fn count(&mut self, detection: &Detection, share_moving: f32, at: Mono) {
        self.hits += 1;
        self.misses = 0;
        self.last_seen = at;
        self.last_detection = Some(*detection);
        self.confidence_sum += detection.confidence;
        let most = &mut self.confidence_max[detection.group as usize];
        *most = most.max(detection.confidence);
        self.moving = share_moving >= MOVING_SHARE;
        self.moving_looks[detection.group as usize] += u32::from(self.moving);
        self.group_votes[detection.group as usize] += detection.confidence;
        let vote = self.class_votes.iter_mut().find(|(g, c, _)| (*g, *c) == (detection.group, detection.class));
        match vote {
            Some((_, _, weight)) => *weight += detection.class_score,
            None => self.class_votes.push((detection.group, detection.class, detection.class_score)),
        }
        self.offer_view(detection, at);
        if self.hits <= TRACED_AFTER {
            self.trail.push((at, self.bbox()));
        }
    }

    /// Its way is known by now, and with it where it came from: `way`, earliest
    /// place first.
    pub(super) fn came_by(&mut self, way: Vec<(Mono, BBox)>) {
        if let Some((at, _)) = way.first() {
            self.first_seen = *at;
            self.trail.splice(0..0, way);
        }
    }

    /// Its places so far, if `at` is when it became known that it had come from
    /// farther away than where it was first seen.
    pub fn traced_at(&self, at: Mono) -> Option<&[(Mono, BBox)]> {
        let longer = self.trail.len() > TRACED_AFTER as usize;
        (self.hits == TRACED_AFTER && self.last_seen == at && longer).then_some(&self.trail)
    }

    /// Other groups' detections at the same place are evidence too: what looks
    /// like a person and a bit like a dog is decided over several looks.
    pub(super) fn weigh_rivals(&mut self, detections: &[Detection]) {
        let Some(seen) = self.last_detection else { return };
        for group in Group::ALL.into_iter().filter(|g| *g != seen.group) {
            let rivals = detections.iter().filter(|d| d.group == group && d.is_at(&seen.bbox));
            let strongest = rivals.map(|d| d.confidence).fold(0.0, f32::max);
            self.group_votes[group as usize] += strongest;
        }
    }

    /// Large, sure and whole views are better.
    fn offer_view(&mut self, detection: &Detection, at: Mono) {
        let cut = Cut::of(&detection.bbox).any();
        self.seen_whole |= !cut;
        let whole = if cut { 0.5 } else { 1.0 };
        let score = detection.confidence * detection.bbox.area().sqrt() * whole;
        if score > self.best.score {
            self.best = BestView { bbox: detection.bbox, confidence: detection.confidence, at, score };
        }
    }

    /// The group with the most evidence; the tracker matches a confirmed track
    /// with that group only, so that it never changes.
    pub fn group(&self) -> Group {
        let mut best = Group::Vehicle;
        for group in Group::ALL {
            if self.group_votes[group as usize] > self.group_votes[best as usize] {
                best = group;
            }
        }
        best
    }

    /// What was found of it at `at`, if that is when it was seen last.
    pub fn seen_at(&self, at: Mono) -> Option<&Detection> {
        self.last_detection.as_ref().filter(|_| self.last_seen == at)
    }

    fn group_is_clear(&self) -> bool {
        let group = self.group();
        let votes = self.group_votes[group as usize];
        Group::ALL.iter().all(|g| *g == group || votes >= GROUP_LEAD * self.group_votes[*g as usize])
    }

    /// The class with the most evidence within the group: an index into the
    /// detector's classes.
    pub fn class(&self) -> u16 {
        let group = self.group();
        let votes = self.class_votes.iter().filter(|(g, _, _)| *g == group);
        votes.max_by(|a, b| a.2.total_cmp(&b.2).then(b.1.cmp(&a.1))).map_or(0, |(_, class, _)| *class)
    }

    /// Where it is; may reach outside the picture.
    pub fn bbox(&self) -> BBox {
        self.motion.bbox()
    }

    /// Whether it has not been seen for a while, looked at or not: it then
    /// slows down in belief, and keeps its size.
    pub(super) fn is_hidden(&self) -> bool {
        self.misses > 0 || self.as_of.since(self.last_seen) > UNSEEN
    }

    /// The usual time between the looks that have shown it, if it was more than one.
    pub(super) fn usual_pause(&self) -> Option<Duration> {
        self.hits.checked_sub(1).filter(|n| *n > 0).map(|n| self.last_seen.since(self.first_seen) / n)
    }

    /// Where it should be at `at`.
    pub(super) fn expected(&self, at: Mono) -> BBox {
        let mut motion = self.motion;
        motion.predict_unseen((at.secs_since(self.as_of) as f32).clamp(0.0, 5.0), self.is_hidden());
        motion.bbox()
    }

    /// Width and height as one length.
    pub fn size(&self) -> f32 {
        let b = self.bbox();
        (b.w + b.h) / 2.0
    }

    /// How long it may go without a look, seconds: until it has moved by so
    /// much of its size that it could be taken for another. 0 for what is not
    /// seen plainly.
    pub(super) fn patience_s(&self) -> f32 {
        let seen_plainly = self.last_detection.is_some_and(|d| d.confidence >= PLAIN)
            && self.confidence_sum >= PLAIN * self.hits as f32;
        if !self.confirmed || self.misses > 0 || !seen_plainly {
            return 0.0;
        }
        let (vx, vy) = self.motion.velocity();
        (PATIENCE_SIZES * self.size() / vx.hypot(vy).max(1e-6)).min(MAX_PATIENCE_S)
    }

    /// How long it has stood still, as of `at`.
    pub fn still_for(&self, at: Mono) -> Duration {
        at.since(self.rest_since)
    }

    /// Whether it stood where it was last seen: a suspicion that was looked at
    /// often enough and never moved, or an object that has come to rest.
    pub(super) fn is_scenery(&self) -> bool {
        let still = self.still_for(self.last_seen);
        match self.confirmed {
            true => still >= AT_REST,
            false => still >= NEVER_MOVED && self.hits >= MIN_LOOKS_TRAVELLED && self.moving_looks == [0; 3],
        }
    }

    /// Whether it has come a long way in plain sight, straight. Leaves and the
    /// parts of a car that look like somebody do that, too, but no leaf looks like
    /// a vehicle all the way.
    fn has_come_far(&self) -> bool {
        let net = distance(self.last_point, self.origin);
        self.moving_looks() >= MIN_MOVING_LOOKS_FAR && net >= FAR * self.size() && net >= FAR_STRAIGHTNESS * self.path
    }

    /// Whether it has got anywhere since it was first seen.
    pub fn has_travelled(&self) -> bool {
        let net = distance(self.last_point, self.origin);
        net >= MIN_TRAVEL * self.size() && net >= MIN_STRAIGHTNESS * self.path
    }

    /// Whether both stand for one object and this one has more evidence.
    pub(super) fn outweighs(&self, other: &Track) -> bool {
        let (a, b) = (self.bbox(), other.bbox());
        let together = if self.group() == other.group() {
            // Two objects pass each other at different speeds; a suspicion has
            // no speed of its own yet.
            (covers(&a, &b) && (!other.confirmed || self.relative_speed(other) < SAME_SPEED))
                || (self.confirmed && !other.confirmed && self.is_clung_to_by(other))
        } else {
            a.iou(&b) > SAME_PLACE
        };
        let rank = |t: &Track| (t.confirmed, t.confidence_sum, std::cmp::Reverse(t.id));
        together && rank(self).partial_cmp(&rank(other)) == Some(std::cmp::Ordering::Greater)
    }

    /// Whether `part` may be a piece that the detector has split off: a vehicle
    /// close by is suddenly two boxes side by side, bonnet and boot.
    fn is_clung_to_by(&self, part: &Track) -> bool {
        let (a, b) = (self.bbox(), part.bbox());
        self.group() == Group::Vehicle
            && b.area() < CLINGING_AREA * a.area()
            && b.share_inside(&a.grown(CLINGING_REACH)) > CLINGING_SHARE
    }

    /// Difference of velocities, in own sizes per second.
    fn relative_speed(&self, other: &Track) -> f32 {
        let ((ax, ay), (bx, by)) = (self.motion.velocity(), other.motion.velocity());
        (ax - bx).hypot(ay - by) / self.size().max(other.size()).max(0.01)
    }

    /// Looks that showed it moving as what it is.
    fn moving_looks(&self) -> u32 {
        self.moving_looks[self.group() as usize]
    }

    /// Looks that it takes to believe in what the border has always cut off: a
    /// large car passes close by in less than a second.
    fn least_looks_cut(&self) -> u32 {
        let passes = self.has_travelled() && self.moving_looks() >= MIN_MOVING_LOOKS_DOUBTFUL;
        if passes { MIN_LOOKS_CUT_PASSING } else { MIN_LOOKS_CUT }
    }

    /// Whether the evidence suffices to believe in it.
    pub(super) fn is_credible(&self, sure_confidence: f32) -> bool {
        let mean = self.confidence_sum / self.hits.max(1) as f32;
        if !self.seen_whole && self.hits < self.least_looks_cut() {
            return false;
        }
        if self.group() == Group::Animal && (self.hits < MIN_LOOKS_ANIMAL || mean < MIN_MEAN_IN_PLACE) {
            return false;
        }
        // Having come a long way in plain sight makes up for doubtful looks.
        let doubt = match self.moving_looks() >= MIN_MOVING_LOOKS_DOUBTFUL {
            true if self.group() == Group::Vehicle && self.has_come_far() => DOUBTFUL_FROM_AFAR,
            true => DOUBTFUL,
            false => 1.0,
        };
        // What nobody has seen moving has been taken for one thing after the other; what
        // has just stopped moving may be what stands where something else went by.
        let unmoved = self.moving_looks == [0; 3] && self.hits >= MIN_LOOKS_UNMOVED;
        let moving = self.moving && self.last_detection.is_some_and(|seen| seen.group == self.group());
        let seen_moving = moving || unmoved;
        let travelled = self.hits >= MIN_LOOKS_TRAVELLED
            && self.has_travelled()
            && seen_moving
            && mean >= MIN_MEAN_TRAVELLED * doubt;
        let in_place =
            self.hits >= MIN_LOOKS_IN_PLACE && self.moving_looks() >= MIN_MOVING_LOOKS && mean >= MIN_MEAN_IN_PLACE;
        let most = self.confidence_max[self.group() as usize];
        let sure = most >= sure_confidence * if travelled { doubt } else { 1.0 };
        sure && (travelled || in_place) && self.group_is_clear()
    }

    /// Whether its predicted box has left the picture for the most part.
    pub fn is_outside(&self) -> bool {
        self.bbox().share_inside(&BBox::new(0.0, 0.0, 1.0, 1.0)) < 0.25
    }

    /// Whether the border cuts it off.
    pub fn is_cut(&self) -> bool {
        Cut::of(&self.bbox()).any()
    }
}

fn distance(a: Point, b: Point) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}
