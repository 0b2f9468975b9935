//! The life cycle of sightings, and who passed which line when.
//!
//! A sighting starts when its track is confirmed, and is told at once; lines
//! passed before that are reported then. It ends when the track is given up,
//! or when the object has long stood still: then it is known and quiet until
//! it moves again.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::convoy::{Convoy, Convoys, Key};
use super::sway::Sway;
use super::tripwire::{Direction, Pass, Tripwire, WireState};
use crate::config::{CameraConfig, SceneConfig};
use crate::domain::{BBox, Group, Mono};
use crate::track::Track;

/// What has stood still is known to move again after so long at the most.
const SETTING_OFF: Duration = Duration::from_secs(5);

/// Makes ids for sightings and groups that began at a given time.
pub type Ids<'a> = &'a mut dyn FnMut(Mono) -> Uuid;

/// Why a sighting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightingEnd {
    /// It went away, or out of sight for too long.
    Left,
    /// The daemon stops.
    Stop,
    /// It has not moved for long.
    Stationary,
    /// Watching is paused.
    Paused,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Mono,
    /// What.
    pub what: What,
}

/// What happened. Tripwires are given by their index.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A sighting started, or ended if `end` is there.
    Sighting {
        /// Its id.
        id: Uuid,
        /// Of which track.
        track: u64,
        /// What kind of object.
        group: Group,
        /// Fine class, an index into the detector's classes.
        class: u16,
        /// Confidence of the best view.
        confidence: f32,
        /// The best view.
        bbox: BBox,
        /// When it was first seen, and why it is over.
        end: Option<(Mono, SightingEnd)>,
    },
    /// An object passed a tripwire.
    Crossing {
        /// The sighting's id.
        id: Uuid,
        /// What kind of object.
        group: Group,
        /// Fine class so far.
        class: u16,
        /// Confidence of the best view so far.
        confidence: f32,
        /// Where it was when that became clear.
        bbox: BBox,
        /// Which line.
        wire: usize,
        /// Which way.
        direction: Direction,
        /// The group it belongs to, if that has already started.
        gid: Option<Uuid>,
    },
    /// A group started (`ended` false) or is over.
    Convoy {
        /// The group's id.
        gid: Uuid,
        /// Which line.
        wire: usize,
        /// Which way.
        direction: Direction,
        /// What kind of objects.
        group: Group,
        /// How many.
        n: u32,
        /// When the first one passed; `at` is the last.
        first: Mono,
        /// Whether it is over.
        ended: bool,
    },
}

/// What is known of one track.
#[derive(Debug, Default)]
struct Known {
    wires: Vec<WireState>,
    /// Passed before the track was confirmed, with the box at that moment.
    pending: Vec<(usize, Pass, BBox)>,
    sighting: Option<Sighting>,
    /// Its sighting has ended because it stands still.
    quiet: bool,
    /// When it moved again after that.
    moved_again: Option<Mono>,
}

impl Known {
    /// It is at `bbox` at `at`: what it passes waits to be told.
    fn is_at(&mut self, bbox: &BBox, at: Mono, wires: &[Tripwire], sway: &Sway) {
        let on_the_ground = sway.at_rest(bbox);
        for (index, (wire, state)) in wires.iter().zip(&mut self.wires).enumerate() {
            if let Some(pass) = wire.step(state, &on_the_ground, at) {
                self.pending.push((index, pass, *bbox));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    id: Uuid,
    since: Mono,
}

/// One camera's rules and what they have seen.
#[derive(Debug)]
pub struct SceneRules {
    settings: SceneConfig,
    wires: Vec<Tripwire>,
    known: BTreeMap<u64, Known>,
    convoys: Convoys,
    sway: Sway,
}

impl SceneRules {
    /// From the configuration.
    pub fn new(camera: &CameraConfig, settings: &SceneConfig) -> SceneRules {
        SceneRules {
            settings: settings.clone(),
            wires: camera.tripwire.iter().map(Tripwire::new).collect(),
            known: BTreeMap::new(),
            convoys: Convoys::default(),
            sway: Sway::default(),
        }
    }

    /// The tripwires, for the names behind their indices.
    pub fn wires(&self) -> &[Tripwire] {
        &self.wires
    }

    /// By `at` the camera has moved the picture's content by this much to the right
    /// and down, fractions of the picture.
    pub fn swayed(&mut self, at: Mono, dx: f32, dy: f32) {
        self.sway.moved(at, dx, dy);
    }

    /// After a look at `at`: all tracks, suspicions included, and those that
    /// were given up.
    pub fn update(&mut self, at: Mono, tracks: &[Track], ended: &[Track], ids: Ids<'_>, out: &mut Vec<Happening>) {
        for track in ended {
            self.end(track, SightingEnd::Left, ids, out);
        }
        for track in tracks {
            self.follow(track, at, ids, out);
        }
        self.known.retain(|id, _| tracks.iter().any(|t| t.id == *id));
        self.tick(at, out);
    }

    /// Time passes, with or without looks.
    pub fn tick(&mut self, at: Mono, out: &mut Vec<Happening>) {
        let over = self.convoys.expire(at, self.settings.group_gap.0);
        out.extend(over.iter().filter_map(convoy_end));
    }

    /// A recording or the daemon ends: everything open is closed.
    pub fn finish(&mut self, ended: &[Track], why: SightingEnd, ids: Ids<'_>, out: &mut Vec<Happening>) {
        for track in ended {
            self.end(track, why, ids, out);
        }
        self.known.clear();
        self.sway = Sway::default();
        out.extend(self.convoys.end_all().iter().filter_map(convoy_end));
    }

    fn follow(&mut self, track: &Track, at: Mono, ids: Ids<'_>, out: &mut Vec<Happening>) {
        let known = self.known.entry(track.id).or_default();
        known.wires.resize_with(self.wires.len(), WireState::default);
        if let Some(trail) = track.traced_at(at) {
            // It came from farther away than was known: told anew from there. What
            // was told of it so far waits for its confirmation.
            known.wires.fill(WireState::default());
            known.pending.clear();
            for (then, bbox) in trail {
                known.is_at(bbox, *then, &self.wires, &self.sway);
            }
        } else if track.seen_at(at).is_some() {
            // Out of sight or not looked at, the filter's guess is not a passage.
            known.is_at(&track.bbox(), at, &self.wires, &self.sway);
        }
        if !track.confirmed {
            return;
        }
        if known.quiet && track.misses == 0 && track.still_for(at).is_zero() {
            known.quiet = false;
            known.moved_again = Some(at);
        }
        if known.sighting.is_none() && !known.quiet {
            // What moves again after standing still is a sighting of its own.
            let since = known.moved_again.take().unwrap_or(track.first_seen);
            let sighting = Sighting { id: ids(since), since };
            known.sighting = Some(sighting);
            out.push(sighted(track, sighting, None));
        }
        self.report_pending(track, ids, out);
        let known = self.known.entry(track.id).or_default();
        if let Some(sighting) = known.sighting
            && track.still_for(at) >= self.settings.stationary_after.0
        {
            known.sighting = None;
            known.quiet = true;
            out.push(sighted(track, sighting, Some(SightingEnd::Stationary)));
        }
    }

    fn report_pending(&mut self, track: &Track, ids: Ids<'_>, out: &mut Vec<Happening>) {
        let Some(known) = self.known.get_mut(&track.id) else { return };
        let Some(sighting) = known.sighting else {
            // Who has long stood just before a line passes it before it is clear
            // that it moves again.
            known.pending.retain(|(_, pass, _)| track.last_seen.since(pass.at) < SETTING_OFF);
            return;
        };
        for (wire, pass, bbox) in std::mem::take(&mut known.pending) {
            let group = track.group();
            if !self.wires.get(wire).is_some_and(|wire| wire.config.groups.contains(&group)) {
                continue;
            }
            let key = Key { wire, direction: pass.direction, group };
            let convoy = self.convoys.pass(key, pass.at, || ids(pass.at));
            let what = What::Crossing {
                id: sighting.id,
                group,
                class: track.class(),
                confidence: track.best.confidence,
                bbox,
                wire,
                direction: pass.direction,
                gid: convoy.gid.filter(|_| convoy.n > 2),
            };
            out.push(Happening { at: pass.at, what });
            if convoy.n == 2 {
                out.extend(convoy_happening(&convoy, false));
            }
        }
    }

    fn end(&mut self, track: &Track, why: SightingEnd, ids: Ids<'_>, out: &mut Vec<Happening>) {
        if why == SightingEnd::Left
            && let Some(known) = self.known.get_mut(&track.id)
        {
            for (index, (wire, state)) in self.wires.iter().zip(&mut known.wires).enumerate() {
                if track.is_cut()
                    && let Some(pass) = wire.finish(state)
                {
                    known.pending.push((index, pass, track.bbox()));
                }
            }
        }
        self.report_pending(track, ids, out);
        if let Some(sighting) = self.known.remove(&track.id).and_then(|known| known.sighting) {
            out.push(sighted(track, sighting, Some(why)));
        }
    }
}

fn sighted(track: &Track, sighting: Sighting, end: Option<SightingEnd>) -> Happening {
    Happening {
        at: if end.is_some() { track.last_seen } else { sighting.since },
        what: What::Sighting {
            id: sighting.id,
            track: track.id,
            group: track.group(),
            class: track.class(),
            confidence: track.best.confidence,
            bbox: track.best.bbox,
            end: end.map(|why| (sighting.since, why)),
        },
    }
}

fn convoy_happening(convoy: &Convoy, ended: bool) -> Option<Happening> {
    let Key { wire, direction, group } = convoy.key;
    let what = What::Convoy { gid: convoy.gid?, wire, direction, group, n: convoy.n, first: convoy.first, ended };
    Some(Happening { at: convoy.last, what })
}

fn convoy_end(convoy: &Convoy) -> Option<Happening> {
    convoy_happening(convoy, true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Anchor, HumanDuration, TrackingConfig, TripwireConfig};
    use crate::detect::Detection;
    use crate::track::Tracker;

    /// Tracker and rules with one upright line in the middle, ten looks a
    /// second.
    struct Scene {
        tracker: Tracker,
        rules: SceneRules,
        looks: u32,
        ids: u128,
        told: Vec<Happening>,
    }

    impl Scene {
        fn new() -> Scene {
            Scene::with_line_at(0.5)
        }

        fn with_line_at(x: f32) -> Scene {
            let line = TripwireConfig {
                name: "line".into(),
                from: [x, 1.0].into(),
                to: [x, 0.0].into(),
                forward: "right".into(),
                backward: "left".into(),
                anchor: Anchor::Center,
                groups: Group::ALL.to_vec(),
                alert: false,
            };
            let camera = CameraConfig { tripwire: vec![line], ..CameraConfig::default() };
            let settings = SceneConfig { stationary_after: HumanDuration::secs(10), ..SceneConfig::default() };
            Scene {
                tracker: Tracker::new(&TrackingConfig::default()),
                rules: SceneRules::new(&camera, &settings),
                looks: 0,
                ids: 0,
                told: Vec::new(),
            }
        }

        fn now(&self) -> Mono {
            Mono::from_micros(u64::from(self.looks) * 100_000)
        }

        /// One look at persons of 0.06 x 0.2 around these centres.
        fn look(&mut self, centres: &[(f32, f32)], moving: bool) {
            self.look_with(0.7, centres, moving);
        }

        /// The same where the detector is so sure of them.
        fn look_with(&mut self, confidence: f32, centres: &[(f32, f32)], moving: bool) {
            let boxed = |(x, y): &(f32, f32)| BBox::new(x - 0.03, y - 0.1, 0.06, 0.2).clipped();
            let detections: Vec<Detection> = centres
                .iter()
                .map(boxed)
                .filter(|bbox| bbox.area() > 0.002)
                .map(|bbox| Detection { bbox, group: Group::Person, confidence, class: 0, class_score: confidence })
                .collect();
            let at = self.now();
            self.looks += 1;
            self.tracker.update(at, &detections, &vec![if moving { 0.5 } else { 0.0 }; detections.len()], |_| true);
            let ids = &mut self.ids;
            let mut make = |_| {
                *ids += 1;
                Uuid::from_u128(*ids)
            };
            self.rules.update(at, self.tracker.tracks(), self.tracker.ended(), &mut make, &mut self.told);
        }

        /// One person along these places.
        fn walk(&mut self, xs: impl IntoIterator<Item = f32>) {
            for x in xs {
                self.look(&[(x, 0.5)], true);
            }
        }

        fn stand(&mut self, x: f32, looks: u32) {
            for _ in 0..looks {
                self.look(&[(x, 0.5)], false);
            }
        }

        fn nothing(&mut self, looks: u32) {
            for _ in 0..looks {
                self.look(&[], false);
            }
        }

        /// What was told, in short: "start 1", "right 1", "left 1", "end 1 left", "group 2".
        fn story(&self) -> Vec<String> {
            let tell = |happening: &Happening| match &happening.what {
                What::Sighting { id, end: None, .. } => format!("start {}", id.as_u128()),
                What::Sighting { id, end: Some((_, why)), .. } => format!("end {} {why:?}", id.as_u128()),
                What::Crossing { id, direction: Direction::Forward, .. } => format!("right {}", id.as_u128()),
                What::Crossing { id, direction: Direction::Backward, .. } => format!("left {}", id.as_u128()),
                What::Convoy { n, ended, .. } => format!("group of {n}{}", if *ended { " over" } else { "" }),
            };
            self.told.iter().map(tell).collect()
        }
    }

    fn steps(from: f32, to: f32, n: usize) -> impl Iterator<Item = f32> {
        (0..=n).map(move |i| from + (to - from) * i as f32 / n as f32)
    }

    #[test]
    fn who_passes_starts_crosses_and_ends_each_once_with_their_times() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.8, 30));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
        let times: Vec<f64> = scene.told.iter().map(|h| h.at.as_secs_f64()).collect();
        assert!(times[0] == 0.0 && (times[1] - 1.5).abs() < 0.15 && times[2] == 3.0, "{times:?}");
    }

    #[test]
    fn pausing_and_jittering_on_the_line_is_one_crossing() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.5, 15));
        for i in 0..50 {
            scene.look(&[(if i % 2 == 0 { 0.506 } else { 0.494 }, 0.5)], i % 5 == 0);
        }
        scene.walk(steps(0.5, 0.8, 15));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
    }

    #[test]
    fn hidden_for_a_second_on_the_line_is_one_sighting_and_one_crossing() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.44, 20));
        scene.nothing(10);
        scene.walk(steps(0.57, 0.8, 20));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
    }

    #[test]
    fn who_leaves_the_picture_over_a_line_at_its_border_has_passed_once() {
        let mut scene = Scene::with_line_at(0.975);
        scene.walk(steps(0.5, 1.04, 27));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
    }

    #[test]
    fn two_abreast_are_two_crossings_and_a_group() {
        let mut scene = Scene::new();
        for x in steps(0.2, 0.8, 30) {
            scene.look(&[(x, 0.3), (x, 0.6)], true);
        }
        scene.nothing(40);
        let story = scene.story();
        assert_eq!(story[..5], ["start 1", "start 2", "right 1", "right 2", "group of 2"], "{story:?}");
        assert_eq!(story.len(), 7, "{story:?}");
    }

    #[test]
    fn there_and_back_is_one_sighting_with_two_crossings() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.8, 30).chain(steps(0.8, 0.2, 30)));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "left 1", "end 1 Left"]);
    }

    #[test]
    fn who_stands_for_long_is_quiet_and_a_new_sighting_when_moving_again() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.4, 10));
        scene.stand(0.4, 300);
        assert_eq!(scene.story(), ["start 1", "end 1 Stationary"]);
        let moved_at = scene.now();
        scene.walk(steps(0.41, 0.8, 20));
        scene.nothing(40);
        assert_eq!(scene.story()[2..], ["start 2", "right 2", "end 2 Left"]);
        assert!(scene.told[2].at >= moved_at, "the second begins when it moves, not when it came");
    }

    #[test]
    fn a_line_passed_before_it_is_believed_is_told_after_the_start() {
        let mut scene = Scene::new();
        scene.walk(steps(0.47, 0.9, 20));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
        assert!(scene.told[1].at < Mono::from_secs_f64(0.4), "at its own time");
    }

    #[test]
    fn who_is_recognised_only_beyond_the_line_has_come_over_it() {
        let mut scene = Scene::new();
        for x in steps(0.3, 0.54, 8) {
            scene.look_with(0.2, &[(x, 0.5)], true);
        }
        scene.walk(steps(0.57, 0.9, 11));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "right 1", "end 1 Left"]);
        assert!((scene.told[1].at.as_secs_f64() - 0.67).abs() < 0.1, "{:?}", scene.told[1]);
        assert!(scene.told[0].at < scene.told[1].at, "first seen before that");
    }

    #[test]
    fn who_sets_off_again_just_before_the_line_passes_it() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.49, 15));
        scene.stand(0.49, 300);
        scene.walk(steps(0.49, 0.9, 30));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "end 1 Stationary", "start 2", "right 2", "end 2 Left"]);
    }

    #[test]
    fn who_was_passed_over_by_the_looks_is_not_guessed_over_the_line() {
        let mut scene = Scene::new();
        scene.walk(steps(0.35, 0.485, 13));
        let at = scene.now().plus(Duration::from_millis(400));
        // The next looks were at other places; he turned back.
        scene.tracker.update(at, &[], &[], |_| false);
        let mut make = |_| Uuid::nil();
        scene.rules.update(at, scene.tracker.tracks(), &[], &mut make, &mut scene.told);
        scene.looks += 5;
        scene.walk(steps(0.485, 0.35, 13));
        scene.nothing(40);
        assert!(!scene.told.iter().any(|h| matches!(h.what, What::Crossing { .. })), "{:?}", scene.story());
    }

    #[test]
    fn a_swaying_camera_carries_nobody_over_the_line() {
        let mut scene = Scene::new();
        let place = |i: u32| 0.02 * (f64::from(i) * 0.7).sin() as f32;
        scene.walk(steps(0.2, 0.492, 15));
        for i in 1..100 {
            let shift = place(i) - place(i - 1);
            scene.tracker.shifted(shift, 0.0);
            scene.rules.swayed(scene.now(), shift, 0.0);
            scene.look(&[(0.492 + place(i), 0.5)], i % 5 == 0);
        }
        assert_eq!(scene.story(), ["start 1", "end 1 Stationary"]);
    }

    #[test]
    fn who_is_there_after_a_long_time_without_looks_is_somebody_else() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.45, 12));
        scene.looks += 36_000;
        let mut make = |_| Uuid::nil();
        assert!(scene.tracker.expire(scene.now()));
        scene.rules.update(scene.now(), scene.tracker.tracks(), scene.tracker.ended(), &mut make, &mut scene.told);
        scene.walk(steps(0.55, 0.9, 12));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "end 1 Left", "start 2", "end 2 Left"]);
    }

    #[test]
    fn a_stop_ends_what_is_open() {
        let mut scene = Scene::new();
        scene.walk(steps(0.2, 0.4, 10));
        scene.tracker.end_all();
        let mut make = |_| Uuid::nil();
        scene.rules.finish(scene.tracker.ended(), SightingEnd::Stop, &mut make, &mut scene.told);
        assert_eq!(scene.story(), ["start 1", "end 1 Stop"]);
    }

    #[test]
    fn groups_the_line_is_not_for_do_not_cross_it() {
        let mut scene = Scene::new();
        scene.rules.wires[0].config.groups = vec![Group::Vehicle];
        scene.walk(steps(0.2, 0.8, 30));
        scene.nothing(40);
        assert_eq!(scene.story(), ["start 1", "end 1 Left"]);
        scene.rules.tick(scene.now().plus(Duration::from_secs(3600)), &mut scene.told);
        assert_eq!(scene.story().len(), 2);
    }
}
