//! The life cycle of sightings, and who passed which line when.
//!
//! A sighting starts when its track is confirmed, and is told at once; lines
//! passed before that are reported then. It ends when the track is given up,
//! or when the object has long stood still: then it is known and quiet until
//! it moves again.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::convoy::{Convoy, Convoys, Key};
use super::tripwire::{Direction, Pass, Tripwire, WireState};
use crate::config::{CameraConfig, SceneConfig};
use crate::domain::{BBox, Group, Mono};
use crate::track::Track;

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
}

impl SceneRules {
    /// From the configuration.
    pub fn new(camera: &CameraConfig, settings: &SceneConfig) -> SceneRules {
        SceneRules {
            settings: settings.clone(),
            wires: camera.tripwire.iter().map(Tripwire::new).collect(),
            known: BTreeMap::new(),
            convoys: Convoys::default(),
        }
    }

    /// The tripwires, for the names behind their indices.
    pub fn wires(&self) -> &[Tripwire] {
        &self.wires
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
        out.extend(self.convoys.end_all().iter().filter_map(convoy_end));
    }

    fn follow(&mut self, track: &Track, at: Mono, ids: Ids<'_>, out: &mut Vec<Happening>) {
        let known = self.known.entry(track.id).or_default();
        known.wires.resize_with(self.wires.len(), WireState::default);
        // Out of sight, the filter's guess is not a passage.
        if track.misses == 0 {
            let bbox = track.bbox();
            for (index, (wire, state)) in self.wires.iter().zip(&mut known.wires).enumerate() {
                if let Some(pass) = wire.step(state, &bbox, at) {
                    known.pending.push((index, pass, bbox));
                }
            }
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
            known.pending.clear();
            return;
        };
        for (wire, pass, bbox) in std::mem::take(&mut known.pending) {
            let group = track.group();
            if !self.wires[wire].config.groups.contains(&group) {
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
