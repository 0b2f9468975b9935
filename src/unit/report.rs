//! From what the scene says to events of the wire format: names instead of
//! indices, UTC instead of the pipeline's time.

use super::coverage::Watched;
use crate::clock::Clock;
use crate::config::CameraConfig;
use crate::detect::Classes;
use crate::domain::Mono;
use crate::event::{Body, Conf, Draft, Phase, Seconds};
use crate::scene::{Direction, Happening, SightingEnd, What};

/// One camera's reporter.
#[derive(Debug, Clone)]
pub struct Reporter {
    camera: CameraConfig,
    classes: Classes,
    clock: Clock,
    replay: bool,
}

impl Reporter {
    /// For `camera`; `replay` marks the events as not live.
    pub fn new(camera: &CameraConfig, classes: &Classes, clock: Clock, replay: bool) -> Reporter {
        Reporter { camera: camera.clone(), classes: classes.clone(), clock, replay }
    }

    /// The clock that stamps the events.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// An event that concerns the camera itself.
    pub fn camera_event(&self, at: Mono, phase: Phase, why: Option<String>) -> Draft {
        self.draft(at, Body::Camera { cam: self.camera.name.clone(), phase, why })
    }

    /// What was watched in an interval.
    pub fn watch(&self, watched: &Watched) -> Draft {
        let body = Body::Watch {
            cam: self.camera.name.clone(),
            from: self.clock.stamp(watched.from).t,
            to: self.clock.stamp(watched.to).t,
            frames: watched.frames,
            blind_s: Seconds(watched.blind.as_secs_f32()),
            paused_s: (!watched.paused.is_zero()).then_some(Seconds(watched.paused.as_secs_f32())),
        };
        self.draft(watched.to, body)
    }

    /// The event for `happening`.
    pub fn event(&self, happening: &Happening) -> Draft {
        let cam = self.camera.name.clone();
        let class_name = |class: u16| self.classes.name(class).to_owned();
        let body = match &happening.what {
            What::Sighting { id, group, class, confidence, bbox, end, .. } => Body::Sighting {
                phase: if end.is_some() { Phase::End } else { Phase::Start },
                id: *id,
                cam,
                grp: *group,
                cls: class_name(*class),
                conf: Conf(*confidence),
                bbox: (*bbox).into(),
                dur: end.map(|(since, _)| Seconds(happening.at.since(since).as_secs_f32())),
                why: end.map(|(_, why)| why_ended(why).to_owned()),
                // Whoever keeps stills knows.
                still: None,
            },
            What::Crossing { id, group, class, confidence, bbox, wire, direction, gid } => Body::Crossing {
                id: *id,
                cam,
                grp: *group,
                cls: class_name(*class),
                conf: Conf(*confidence),
                bbox: (*bbox).into(),
                wire: self.wire_name(*wire),
                dir: self.direction_name(*wire, *direction),
                gid: *gid,
            },
            What::Convoy { gid, wire, direction, group, n, first, ended } => Body::Group {
                phase: if *ended { Phase::End } else { Phase::Start },
                gid: *gid,
                cam,
                wire: self.wire_name(*wire),
                dir: self.direction_name(*wire, *direction),
                grp: *group,
                n: *n,
                t0: ended.then(|| self.clock.stamp(*first).t),
            },
        };
        self.draft(happening.at, body)
    }

    fn draft(&self, at: Mono, body: Body) -> Draft {
        Draft { stamp: self.clock.stamp(at), body, replay: self.replay }
    }

    fn wire_name(&self, wire: usize) -> String {
        self.camera.tripwire.get(wire).map_or_else(String::new, |w| w.name.clone())
    }

    fn direction_name(&self, wire: usize, direction: Direction) -> String {
        let Some(wire) = self.camera.tripwire.get(wire) else { return String::new() };
        match direction {
            Direction::Forward => wire.forward.clone(),
            Direction::Backward => wire.backward.clone(),
        }
    }
}

fn why_ended(why: SightingEnd) -> &'static str {
    match why {
        SightingEnd::Left => "left",
        SightingEnd::Stop => "stop",
        SightingEnd::Stationary => "stationary",
        SightingEnd::Paused => "paused",
    }
}
