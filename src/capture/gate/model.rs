//! What the sizes of a still scene's packets usually are. Pure.
//!
//! A constant-quality encoder spends about the same on each picture of a still
//! scene: less and less as the group of pictures goes on, differently for each
//! kind of picture, and a little more or less by noise. The model keeps the
//! usual size by kind and by position in the group; what a packet exceeds it by
//! is its *excess*. A large object shows in one packet, a small one only in the
//! sum of many, so the excess is summed over windows of 1 to 50 packets, and
//! each sum is measured by its own median and median absolute deviation while
//! the scene was quiet (Rousseeuw and Croux, 1993): noise, its correlation from
//! picture to picture, and slow drifts of light are all in there.
//!
//! Packets are learnt from only a second later, and not when something moved
//! meanwhile: a new object must not teach the model that it is usual.

use std::collections::VecDeque;
use std::time::Duration;

use super::kind::PictureKind;
use crate::domain::Mono;

/// Sums are over so many packets; and by how many deviations they must
/// exceed the usual to be remarkable. Single packets have the longest tails.
const WINDOWS: [(usize, f32); 6] = [(1, 9.0), (3, 8.0), (6, 7.0), (12, 6.0), (25, 5.5), (50, 5.0)];
/// Sums so far below the usual are remarkable too: a covered lens.
const BELOW: f32 = 1.6;
/// The window that tells how small an object can show.
const SHARP_WINDOW: usize = 4;
/// What an object of a five-hundredth of the picture's area (a person of a
/// tenth of its height) costs in each packet, as a share of a keyframe.
const OBJECT_SHARE: f32 = 0.0015;
/// Quiet sums that are remembered, for medians.
const MEMORY: usize = 1000;
/// Medians are computed anew after so many packets.
const REFRESH: usize = 25;
/// Medians of fewer say nothing.
const MIN_MEMORY: usize = 75;
/// How long packets wait before they are learnt from.
const LEARN_AFTER: Duration = Duration::from_secs(1);
/// Positions in a group are told apart up to here, then in steps.
const FINE_POSITIONS: u32 = 32;
const COARSE_STEP: u32 = 8;
const BUCKETS: usize = 64;
/// Visits after which a usual size follows with a constant rate.
const SETTLED: f32 = 12.0;
/// A keyframe is remarkable when it differs by this share of its usual size.
const KEY_SHARE: f32 = 0.06;

/// A packet as the gate sees it.
#[derive(Debug, Clone, Copy)]
pub struct PacketFacts {
    /// When it arrived, or its place on the recording's time line.
    pub at: Mono,
    /// Bytes.
    pub size: usize,
    /// What it holds.
    pub kind: PictureKind,
    /// Packets since the last keyframe.
    pub position: u32,
    /// Time since the packet before it, by the stream's own stamps.
    pub pause: Option<Duration>,
}

/// A usual size: a mean that is fast at first and robust later.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    mean: f32,
    visits: f32,
}

impl Usual {
    fn learn(&mut self, size: f32, most: f32) {
        self.visits = (self.visits + 1.0).min(SETTLED);
        let excess = size - self.mean;
        let excess = if self.visits > 4.0 { excess.clamp(-most, most) } else { excess };
        self.mean += excess / self.visits;
    }
}

/// Sums over one number of packets.
#[derive(Debug, Clone, Default)]
struct Window {
    memory: VecDeque<f32>,
    median: f32,
    /// 1.48 times the median absolute deviation: a standard deviation if the
    /// sums were normally distributed.
    deviation: f32,
}

impl Window {
    fn remember(&mut self, sum: f32) {
        if self.memory.len() == MEMORY {
            self.memory.pop_front();
        }
        self.memory.push_back(sum);
    }

    fn refresh(&mut self, scratch: &mut Vec<f32>) {
        scratch.clear();
        scratch.extend(&self.memory);
        self.median = median(scratch);
        for sum in scratch.iter_mut() {
            *sum = (*sum - self.median).abs();
        }
        self.deviation = 1.4826 * median(scratch);
    }
}

fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// A packet that is not learnt from yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    facts: PacketFacts,
    /// One for each window; nothing for a keyframe, or where too little is known.
    sums: Option<[f32; WINDOWS.len()]>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct SizeModel {
    usual: [Vec<Usual>; 4],
    windows: [Window; WINDOWS.len()],
    /// Excess of the last packets, without keyframes.
    recent: VecDeque<f32>,
    pending: VecDeque<Pending>,
    /// Sums remembered since the last refresh of the medians.
    fresh: usize,
    /// Usual size of the packets between keyframes.
    level: f32,
    scratch: Vec<f32>,
}

impl SizeModel {
    /// Takes in a packet: is it, or what has come with it lately, remarkable?
    /// How much so, 1 being the limit; 0 while the model knows too little.
    pub fn judge(&mut self, facts: &PacketFacts) -> f32 {
        let size = facts.size as f32;
        let Some(class) = class(facts.kind) else {
            self.pending.push_back(Pending { facts: *facts, sums: None });
            let usual = self.usual[0].first().copied().unwrap_or_default();
            if usual.visits < 3.0 || !self.is_ready() {
                return 0.0;
            }
            return (size - usual.mean).abs() / (KEY_SHARE * usual.mean).max(1.0);
        };
        let usual = self.usual[class].get(bucket(facts.position)).copied().unwrap_or_default();
        // The first time says nothing of what is usual.
        let known = usual.visits >= 2.0;
        let excess = if known { size - usual.mean } else { 0.0 };
        if self.recent.len() == WINDOWS[WINDOWS.len() - 1].0 {
            self.recent.pop_front();
        }
        self.recent.push_back(excess);
        let sums = self.sums();
        self.pending.push_back(Pending { facts: *facts, sums: known.then_some(sums) });
        if self.is_ready() { self.measure(&sums) } else { 0.0 }
    }

    /// Learns from the packets that came more than a second before `now`.
    pub fn learn(&mut self, now: Mono) {
        while self.pending.front().is_some_and(|pending| pending.facts.at.plus(LEARN_AFTER) <= now) {
            let Some(Pending { facts, sums }) = self.pending.pop_front() else { return };
            self.learn_usual(&facts);
            let Some(sums) = sums else { continue };
            for (window, sum) in self.windows.iter_mut().zip(sums) {
                window.remember(sum);
            }
            self.fresh += 1;
            if self.fresh == REFRESH {
                self.fresh = 0;
                for window in &mut self.windows {
                    window.refresh(&mut self.scratch);
                }
            }
        }
    }

    /// Something moved, or is remarkable: what waits is not learnt from.
    pub fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// What comes next does not go on from here, but what is usual holds.
    pub fn interrupt(&mut self) {
        self.recent.clear();
        self.pending.clear();
    }

    /// The camera's settings have changed: sizes are learnt anew.
    pub fn relearn(&mut self) {
        *self = SizeModel::default();
    }

    /// Whether enough has been seen for a judgement.
    pub fn is_ready(&self) -> bool {
        self.windows[0].memory.len() >= MIN_MEMORY
    }

    /// By how many deviations a small object would stand out of a window of 25
    /// packets, if it is in view for all of them.
    pub fn sharpness(&self) -> f32 {
        let key = self.usual[0].first().map_or(0.0, |usual| usual.mean);
        let packets = WINDOWS[SHARP_WINDOW].0;
        packets as f32 * OBJECT_SHARE * key / self.deviation(SHARP_WINDOW).max(1.0)
    }

    fn sums(&self) -> [f32; WINDOWS.len()] {
        let mut sums = [0.0; WINDOWS.len()];
        let mut sum = 0.0;
        let mut window = 0;
        for (i, excess) in self.recent.iter().rev().enumerate() {
            sum += excess;
            while window < WINDOWS.len() && i + 1 == WINDOWS[window].0 {
                sums[window] = sum;
                window += 1;
            }
        }
        sums
    }

    fn measure(&self, sums: &[f32; WINDOWS.len()]) -> f32 {
        let mut most = 0.0_f32;
        for (index, ((packets, limit), sum)) in WINDOWS.iter().zip(sums).enumerate() {
            if self.recent.len() < *packets {
                break;
            }
            // Sums of many packets overlap: few of them are independent.
            let sure = 1.0 + 4.0 * *packets as f32 / self.windows[index].memory.len().max(1) as f32;
            let deviations = (sum - self.windows[index].median) / (self.deviation(index) * sure);
            most = most.max(deviations / limit).max(-deviations / (limit * BELOW));
        }
        most
    }

    /// The deviation of a window's sums, at least that of independent packets
    /// and at least a little: an encoder that sends nothing but "as before" has
    /// none at all.
    fn deviation(&self, index: usize) -> f32 {
        let independent = (WINDOWS[index].0 as f32).sqrt();
        let least = self.windows[0].deviation.max(4.0 + 0.01 * self.level);
        self.windows[index].deviation.max(independent * least)
    }

    fn learn_usual(&mut self, facts: &PacketFacts) {
        let size = facts.size as f32;
        let (class, bucket, most) = match class(facts.kind) {
            None => (0, 0, 0.05 * size),
            Some(class) => (class, bucket(facts.position), 4.0 * self.deviation(0)),
        };
        if class > 0 {
            self.level += (size - self.level) * if self.level == 0.0 { 1.0 } else { 0.01 };
        }
        let usual = &mut self.usual[class];
        if usual.len() <= bucket {
            usual.resize(bucket + 1, Usual::default());
        }
        usual[bucket].learn(size, most);
    }
}

/// Kinds whose sizes are compared with each other; `None` for keyframes.
fn class(kind: PictureKind) -> Option<usize> {
    match kind {
        PictureKind::Key | PictureKind::OpenKey => None,
        PictureKind::Reference | PictureKind::Intra => Some(1),
        PictureKind::Bidirectional => Some(2),
        PictureKind::Disposable => Some(3),
    }
}

fn bucket(position: u32) -> usize {
    let coarse = position.saturating_sub(FINE_POSITIONS) / COARSE_STEP;
    ((position.min(FINE_POSITIONS) + coarse) as usize).min(BUCKETS - 1)
}
