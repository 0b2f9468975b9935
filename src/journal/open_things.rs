//! What has started and not ended: sightings and groups. Kept in the
//! transaction of the events themselves, so that the ends which a crash
//! prevented can be written at the next start.
//!
//! Pure: the store reads and writes the [`OpenThing`]s.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::{Body, Draft, Event, Phase, Seconds, Stamp};

/// A sighting or a group between its start and its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenThing {
    /// The number of its start event.
    pub seq: u64,
    /// Of its start event.
    pub start: Stamp,
    /// Of the last event about it.
    pub last: Stamp,
    /// Its start event's, brought up to date by what followed.
    pub body: Body,
    /// Comes from a published replay.
    #[serde(default)]
    pub replay: bool,
}

/// What an event means for one of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// It began.
    Begin(Uuid, Box<OpenThing>),
    /// It is over.
    End(Uuid),
    /// An object of it crossed a tripwire: bring it up to date by
    /// [`OpenThing::crossed`], if it is open.
    Crossed(Uuid),
}

/// What `event` means for open things.
pub(super) fn changes(event: &Event) -> Vec<Change> {
    let begin = || {
        Box::new(OpenThing {
            seq: event.seq,
            start: event.stamp,
            last: event.stamp,
            body: event.body.clone(),
            replay: event.replay,
        })
    };
    match &event.body {
        Body::Sighting { phase: Phase::Start, id, .. } => vec![Change::Begin(*id, begin())],
        Body::Sighting { phase: Phase::End, id, .. } => vec![Change::End(*id)],
        Body::Group { phase: Phase::Start, gid, .. } => vec![Change::Begin(*gid, begin())],
        Body::Group { phase: Phase::End, gid, .. } => vec![Change::End(*gid)],
        Body::Crossing { id, gid, .. } => std::iter::once(*id).chain(*gid).map(Change::Crossed).collect(),
        _ => Vec::new(),
    }
}

impl OpenThing {
    /// Brings it up to date by a crossing that belongs to it.
    pub fn crossed(&mut self, event: &Event) {
        let Body::Crossing { cls: new_cls, conf: new_conf, .. } = &event.body else { return };
        let later = event.stamp.mono_ms > self.last.mono_ms || event.stamp.boot != self.last.boot;
        match &mut self.body {
            Body::Sighting { cls, conf, .. } => {
                cls.clone_from(new_cls);
                *conf = *new_conf;
            }
            // Only members after the second, with which the group started,
            // carry its id.
            Body::Group { n, .. } => *n = n.saturating_add(1),
            _ => {}
        }
        if later {
            self.last = event.stamp;
        }
    }

    /// The end that a crash prevented, at the time of the last thing known.
    /// `first_member` is when the first member of a group passed.
    pub fn interrupted(self, first_member: Option<Stamp>) -> Option<Draft> {
        let mut body = self.body;
        match &mut body {
            Body::Sighting { phase, dur, why, .. } => {
                *phase = Phase::End;
                let ms = self.last.mono_ms.saturating_sub(self.start.mono_ms);
                *dur = (self.last.boot == self.start.boot).then_some(Seconds(ms as f32 / 1000.0));
                *why = Some("interrupted".to_owned());
            }
            Body::Group { phase, t0, .. } => {
                *phase = Phase::End;
                *t0 = t0.or(first_member.map(|stamp| stamp.t)).or(Some(self.start.t));
            }
            _ => return None,
        }
        Some(Draft { stamp: self.last, body, replay: self.replay })
    }

    /// Whether `crossing` may have been the first member of this group.
    pub fn preceded_by(&self, crossing: &Event) -> bool {
        match (&self.body, &crossing.body) {
            (Body::Group { cam, wire, dir, grp, .. }, Body::Crossing { cam: c, wire: w, dir: d, grp: g, .. }) => {
                (cam, wire, dir, grp) == (c, w, d, g)
                    && crossing.stamp.boot == self.start.boot
                    && crossing.stamp.mono_ms < self.start.mono_ms
            }
            _ => false,
        }
    }
}
