//! One camera's clips: packets from the ring, from before a sighting to after it,
//! handed to the evidence writer as they are.
//!
//! A packet's place in time is that of its picture on the time line, as for events:
//! by stamps that keep real time, else by arrival. Where the ring holds no keyframe to
//! begin with, a clip begins with the next one, and the writer is told what it misses.

use uuid::Uuid;

use super::ids::IdMaker;
use super::report::Reporter;
use crate::capture::{PacketRing, StreamInfo};
use crate::config::{CameraConfig, Config, ZoneMode};
use crate::domain::Mono;
use crate::evidence::{
    ClipHead, ClipPlan, ClipStep, ClipStream, ClipTail, ClipTimes, EvidenceHandle, Missed, MissedWhy, TimedPacket,
};
use crate::scene::{Happening, What};

/// One camera's recorder.
pub struct Recorder {
    camera: String,
    plan: ClipPlan,
    evidence: EvidenceHandle,
    stream: Option<ClipStream>,
    clip: Option<Running>,
    /// When the last clip ended: what was before it need not be kept again.
    done: Mono,
    /// The first packet that was not looked at while a clip waits for a keyframe.
    looked: u64,
}

/// The clip that is being recorded.
struct Running {
    id: Uuid,
    from: Mono,
    /// Time of the last packet so far.
    to: Mono,
    /// Number of the next packet.
    next: u64,
    /// A packet was given up: nothing more until a keyframe.
    torn: bool,
}

impl Recorder {
    /// For `camera`, if clips are wanted of it. A copy of packets cannot be
    /// blacked out, so a camera with a private zone has none.
    pub fn new(config: &Config, camera: &CameraConfig, evidence: EvidenceHandle) -> Option<Recorder> {
        if !config.evidence.clips {
            return None;
        }
        if camera.zone.iter().any(|zone| zone.mode == ZoneMode::Private) {
            tracing::warn!("camera {}: no clips, because a clip would show its private zone", camera.name);
            return None;
        }
        let times = ClipTimes {
            pre_roll: config.evidence.pre_roll.0,
            post_roll: config.evidence.post_roll.0,
            longest: config.evidence.clip_max.0,
        };
        Some(Recorder {
            camera: camera.name.clone(),
            plan: ClipPlan::new(times),
            evidence,
            stream: None,
            clip: None,
            done: Mono::ZERO,
            looked: 0,
        })
    }

    /// A stream was opened; what was recorded of the last one is a clip.
    pub fn opened(&mut self, info: &StreamInfo, reporter: &Reporter) {
        self.lost(reporter);
        self.stream = Some(ClipStream { parameters: info.parameters.clone(), time_base: info.time_base });
        self.done = Mono::ZERO;
    }

    /// Something happened; a sighting begins a clip or makes it longer.
    pub fn happened(&mut self, happening: &Happening, ring: &PacketRing, ids: &mut IdMaker, reporter: &Reporter) {
        let What::Sighting { id, end, .. } = &happening.what else { return };
        if end.is_some() {
            self.plan.ended(*id, happening.at);
            return;
        }
        let Some(wanted) = self.plan.sighted(*id, happening.at) else {
            if let Some(clip) = &self.clip {
                self.evidence.clip_shows(clip.id, self.plan.shown().to_vec());
            }
            return;
        };
        match first_packet(ring, wanted.max(self.done)) {
            Some((first, from)) => {
                self.begin(first, from, ids, reporter);
                self.packets(ring, ids, reporter);
            }
            None => {
                self.plan.wait();
                self.looked = ring.end();
            }
        }
    }

    /// A clip begins with packet `first` of the ring, whose picture was taken at `from`.
    fn begin(&mut self, first: u64, from: Mono, ids: &mut IdMaker, reporter: &Reporter) {
        let Some(stream) = self.stream.clone() else { return };
        let stamp = reporter.clock().stamp(from);
        let clip = Running { id: ids.make(stamp.t), from, to: from, next: first, torn: false };
        let (camera, shown) = (self.camera.clone(), self.plan.shown().to_vec());
        let sightings = shown.len() as u64;
        let late = self.plan.begin(from);
        if self.evidence.clip_begins(ClipHead { id: clip.id, camera, stream, from: stamp, shown }) {
            self.missed(late, MissedWhy::BeginsLate);
            self.clip = Some(clip);
        } else {
            self.plan.refused();
            self.missed(sightings, MissedWhy::Writer);
        }
    }

    /// While a clip waits for a keyframe: is one there?
    fn look_for_keyframe(&mut self, ring: &PacketRing, ids: &mut IdMaker, reporter: &Reporter) {
        while let Some(held) = ring.get(self.looked) {
            match self.plan.packet(held.taken) {
                ClipStep::Wait if held.key => return self.begin(self.looked, held.taken, ids, reporter),
                ClipStep::Wait => self.looked += 1,
                ClipStep::GiveUp(sightings) => return self.missed(sightings, MissedWhy::NoKeyframe),
                ClipStep::Nothing | ClipStep::Write | ClipStep::End => return,
            }
        }
        self.looked = ring.end();
    }

    fn missed(&self, sightings: u64, why: MissedWhy) {
        if sightings > 0 {
            self.evidence.clips_missed(Missed { camera: self.camera.clone(), sightings, why });
        }
    }

    /// New packets are in the ring.
    pub fn packets(&mut self, ring: &PacketRing, ids: &mut IdMaker, reporter: &Reporter) {
        if self.clip.is_none() {
            self.look_for_keyframe(ring, ids, reporter);
        }
        let Some(mut clip) = self.clip.take() else { return };
        // What fell out of the ring meanwhile is missing.
        let oldest = ring.end() - ring.len() as u64;
        clip.torn |= oldest > clip.next;
        let mut number = clip.next.max(oldest);
        for held in ring.from(number) {
            // Pictures need not be shown in the order in which they are decoded.
            let at = held.taken.max(clip.to);
            match self.plan.packet(at) {
                ClipStep::Write => {}
                ClipStep::Nothing | ClipStep::End | ClipStep::Wait | ClipStep::GiveUp(_) => {
                    clip.next = number;
                    return self.end(clip, reporter);
                }
            }
            number += 1;
            clip.torn &= !held.key;
            if !clip.torn {
                clip.to = clip.to.max(at);
                clip.torn = !self.evidence.clip_packet(clip.id, TimedPacket { packet: held.packet.clone(), at });
            }
        }
        clip.next = number;
        self.clip = Some(clip);
    }

    /// The stream is gone.
    pub fn lost(&mut self, reporter: &Reporter) {
        let missed = self.plan.interrupt();
        self.missed(missed, MissedWhy::NoKeyframe);
        if let Some(clip) = self.clip.take() {
            self.end(clip, reporter);
        }
        self.stream = None;
    }

    fn end(&mut self, clip: Running, reporter: &Reporter) {
        self.done = clip.to;
        let (from, to) = (reporter.clock().stamp(clip.from), reporter.clock().stamp(clip.to));
        self.evidence.clip_ends(ClipTail {
            id: clip.id,
            camera: self.camera.clone(),
            from,
            to: to.t,
            shown: self.plan.shown().to_vec(),
        });
    }
}

/// Number and time of the last keyframe not after `wanted`, or the oldest there
/// is. Of the last clip, which ended before `wanted`, it repeats the end where
/// that is needed to begin with a keyframe.
fn first_packet(ring: &PacketRing, wanted: Mono) -> Option<(u64, Mono)> {
    let number = ring.key_taken_before(wanted).or(ring.key_from(0))?;
    ring.get(number).map(|held| (number, held.taken))
}
