//! One camera's clips: packets from the ring, from before a sighting to after it,
//! handed to the evidence writer as they are.

use uuid::Uuid;

use super::ids::IdMaker;
use super::report::Reporter;
use crate::capture::{Held, PacketRing, StreamInfo, TimeBase};
use crate::config::{CameraConfig, Config, ZoneMode};
use crate::domain::Mono;
use crate::evidence::{ClipHead, ClipPlan, ClipStep, ClipStream, ClipTail, ClipTimes, EvidenceHandle};
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
    /// What to add to a packet's stamp to get the pipeline's time, microseconds.
    offset_us: Option<i64>,
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
            offset_us: None,
        })
    }

    /// A stream was opened; what was recorded of the last one is a clip.
    pub fn opened(&mut self, info: &StreamInfo, reporter: &Reporter) {
        self.lost(reporter);
        self.stream = Some(ClipStream { parameters: info.parameters.clone(), time_base: info.time_base });
        self.offset_us = None;
        self.done = Mono::ZERO;
    }

    /// The picture with this stamp (microseconds) was taken at `at`.
    pub fn pictured(&mut self, stamp_us: Option<i64>, at: Mono) {
        if let Some(stamp_us) = stamp_us {
            self.offset_us = i64::try_from(at.as_micros()).ok().map(|at| at.saturating_sub(stamp_us));
        }
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
        let Some((first, from)) = self.first_packet(ring, wanted.max(self.done)) else { return };
        let Some(stream) = self.stream.clone() else { return };
        let stamp = reporter.clock().stamp(from);
        let clip = Running { id: ids.make(stamp.t), from, to: from, next: first, torn: false };
        let (camera, shown) = (self.camera.clone(), self.plan.shown().to_vec());
        if self.evidence.clip_begins(ClipHead { id: clip.id, camera, stream, from: stamp, shown }) {
            self.plan.begin(from);
            self.clip = Some(clip);
            self.packets(ring, reporter);
        }
    }

    /// New packets are in the ring.
    pub fn packets(&mut self, ring: &PacketRing, reporter: &Reporter) {
        let Some(mut clip) = self.clip.take() else { return };
        // What fell out of the ring meanwhile is missing.
        let oldest = ring.end() - ring.len() as u64;
        clip.torn |= oldest > clip.next;
        let mut number = clip.next.max(oldest);
        for held in ring.from(number) {
            let at = self.time(held);
            match self.plan.packet(at) {
                ClipStep::Write => {}
                ClipStep::Nothing | ClipStep::End => {
                    clip.next = number;
                    return self.end(clip, reporter);
                }
            }
            number += 1;
            clip.torn &= !held.key;
            if !clip.torn {
                clip.to = clip.to.max(at);
                clip.torn = !self.evidence.clip_packet(clip.id, held.packet.clone());
            }
        }
        clip.next = number;
        self.clip = Some(clip);
    }

    /// The stream is gone.
    pub fn lost(&mut self, reporter: &Reporter) {
        self.plan.interrupt();
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

    /// Number and time of the last keyframe not after `wanted`, or the oldest there
    /// is. Of the last clip, which ended before `wanted`, it repeats the end where
    /// that is needed to begin with a keyframe.
    fn first_packet(&self, ring: &PacketRing, wanted: Mono) -> Option<(u64, Mono)> {
        let oldest = ring.end() - ring.len() as u64;
        let mut found = None;
        for (number, held) in (oldest..).zip(ring.from(oldest)) {
            if held.key {
                let at = self.time(held);
                if at <= wanted || found.is_none() {
                    found = Some((number, at));
                }
            }
        }
        found
    }

    /// When the packet's picture was taken, or the packet arrived if its stamp
    /// says nothing.
    fn time(&self, held: &Held) -> Mono {
        let stamp = held.packet.dts().or(held.packet.pts());
        let (Some(offset), Some(stamp), Some(stream)) = (self.offset_us, stamp, &self.stream) else { return held.at };
        let time_base =
            TimeBase { numerator: stream.time_base.numerator(), denominator: stream.time_base.denominator() };
        Mono::from_micros(u64::try_from(time_base.micros(stamp).saturating_add(offset)).unwrap_or(0))
    }
}
