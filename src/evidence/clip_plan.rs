//! When a clip begins, goes on and ends. Pure: sightings and packets' times come
//! in, what to do comes out.
//!
//! A clip begins a while before a sighting and ends a while after the last one
//! that overlaps with it: sightings that follow each other closely share a clip.
//! One that has reached its longest ends there; what still goes on then is not
//! recorded further, until something new is seen.
//!
//! A clip begins with a keyframe. Where none is kept any more it waits for the next
//! one, and what it then misses is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::Mono;

/// How clips are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipTimes {
    /// Before the beginning of a sighting.
    pub pre_roll: Duration,
    /// After its end.
    pub post_roll: Duration,
    /// The longest clip, rolls included.
    pub longest: Duration,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipStep {
    /// There is no clip.
    Nothing,
    /// A clip begins with this packet, if it is a keyframe.
    Wait,
    /// No keyframe came in time: nothing of so many sightings is recorded.
    GiveUp(u64),
    /// It belongs to the clip.
    Write,
    /// The clip is over, and this packet is not in it.
    End,
}

/// A sighting that began so little before a clip's first packet is in it: a late
/// packet's picture was taken before it arrived, by a second at most.
const ARRIVAL_JITTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// For a keyframe.
    Waiting,
    /// What counts towards the longest clip began then.
    Running(Mono),
}

/// See the module's description.
#[derive(Debug)]
pub struct ClipPlan {
    times: ClipTimes,
    /// Sightings that have begun and not ended.
    open: BTreeSet<Uuid>,
    state: State,
    /// Where the clip should begin.
    wanted: Mono,
    /// When those began that no clip has shown yet.
    unseen: Vec<Mono>,
    /// Until when, once no sighting is open.
    until: Mono,
    /// Sightings that the clip shows, in the order in which they began.
    shown: Vec<Uuid>,
}

impl ClipPlan {
    /// No clip yet.
    pub fn new(times: ClipTimes) -> ClipPlan {
        ClipPlan {
            times,
            open: BTreeSet::new(),
            state: State::Idle,
            wanted: Mono::ZERO,
            unseen: Vec::new(),
            until: Mono::ZERO,
            shown: Vec::new(),
        }
    }

    /// Sighting `id` began at `since`. If a clip has to begin for it, where: the
    /// last keyframe not after that is its first packet, and [`ClipPlan::begin`]
    /// says so, or there is none, and [`ClipPlan::wait`] does.
    pub fn sighted(&mut self, id: Uuid, since: Mono) -> Option<Mono> {
        self.open.insert(id);
        if self.state != State::Idle {
            self.shown.push(id);
            if self.state == State::Waiting {
                self.unseen.push(since);
            }
            return None;
        }
        // Also those that go on since an earlier clip reached its longest.
        self.shown = self.open.iter().copied().collect();
        self.unseen = vec![since];
        self.wanted = since.minus(self.times.pre_roll);
        Some(self.wanted)
    }

    /// A clip begins with a packet of that time. Gives how many sightings it shows for
    /// the first time, and not from their beginning.
    pub fn begin(&mut self, first: Mono) -> u64 {
        // The way back to a keyframe is not the camera's choice to shorten what follows.
        self.state = State::Running(first.max(self.wanted));
        let unseen = std::mem::take(&mut self.unseen);
        unseen.iter().filter(|since| since.plus(ARRIVAL_JITTER) < first).count() as u64
    }

    /// There is no keyframe to begin with.
    pub fn wait(&mut self) {
        self.state = State::Waiting;
    }

    /// The clip that began is not written.
    pub fn refused(&mut self) {
        self.state = State::Idle;
    }

    /// Sighting `id` ended at `at`.
    pub fn ended(&mut self, id: Uuid, at: Mono) {
        self.open.remove(&id);
        self.until = self.until.max(at.plus(self.times.post_roll));
    }

    /// A packet of time `at` comes.
    pub fn packet(&mut self, at: Mono) -> ClipStep {
        let over = self.open.is_empty() && at > self.until;
        match self.state {
            State::Idle => ClipStep::Nothing,
            State::Waiting if over => {
                self.state = State::Idle;
                ClipStep::GiveUp(std::mem::take(&mut self.unseen).len() as u64)
            }
            State::Waiting => ClipStep::Wait,
            State::Running(began) if over || at.since(began) > self.times.longest => {
                self.state = State::Idle;
                ClipStep::End
            }
            State::Running(_) => ClipStep::Write,
        }
    }

    /// The stream is over, and with it the clip. Nobody tells any more when what it
    /// showed ends: to the next clip that is nothing. Gives of how many sightings
    /// nothing is recorded.
    pub fn interrupt(&mut self) -> u64 {
        self.open.clear();
        let waited = std::mem::replace(&mut self.state, State::Idle) == State::Waiting;
        let unseen = std::mem::take(&mut self.unseen).len() as u64;
        if waited { unseen } else { 0 }
    }

    /// Sightings that the clip shows or showed.
    pub fn shown(&self) -> &[Uuid] {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const TIMES: ClipTimes = ClipTimes {
        pre_roll: Duration::from_secs(5),
        post_roll: Duration::from_secs(3),
        longest: Duration::from_secs(60),
    };

    fn at(seconds: f64) -> Mono {
        Mono::from_secs_f64(seconds)
    }

    #[test]
    fn sightings_that_overlap_share_a_clip() {
        let mut plan = ClipPlan::new(TIMES);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(plan.packet(at(100.0)), ClipStep::Nothing);
        assert_eq!(plan.sighted(one, at(100.0)), Some(at(95.0)));
        plan.begin(at(94.0));
        assert_eq!(plan.packet(at(96.0)), ClipStep::Write);
        plan.ended(one, at(104.0));
        assert_eq!(plan.packet(at(106.9)), ClipStep::Write);
        assert_eq!(plan.sighted(two, at(106.5)), None);
        assert_eq!(plan.packet(at(110.0)), ClipStep::Write);
        plan.ended(two, at(112.0));
        assert_eq!(plan.packet(at(115.0)), ClipStep::Write);
        assert_eq!(plan.packet(at(115.1)), ClipStep::End);
        assert_eq!(plan.shown(), [one, two]);
        assert_eq!(plan.packet(at(115.2)), ClipStep::Nothing);
    }

    #[test]
    fn what_stays_for_ever_does_not_fill_the_disk() {
        let mut plan = ClipPlan::new(TIMES);
        assert!(plan.sighted(Uuid::from_u128(1), at(10.0)).is_some());
        plan.begin(at(5.0));
        assert_eq!(plan.packet(at(65.0)), ClipStep::Write);
        assert_eq!(plan.packet(at(65.1)), ClipStep::End);
        assert_eq!(plan.packet(at(70.0)), ClipStep::Nothing);
        assert!(plan.sighted(Uuid::from_u128(2), at(80.0)).is_some(), "something new");
        assert_eq!(plan.shown(), [Uuid::from_u128(1), Uuid::from_u128(2)], "both are in it");
    }

    #[test]
    fn what_a_pause_cut_short_is_not_waited_for_in_later_clips() {
        let mut plan = ClipPlan::new(TIMES);
        let (before, after) = (Uuid::from_u128(1), Uuid::from_u128(2));
        plan.sighted(before, at(10.0));
        plan.begin(at(5.0));
        assert_eq!(plan.packet(at(12.0)), ClipStep::Write);
        // The pause: no stream, no word of the sighting's end.
        plan.interrupt();
        assert_eq!(plan.shown(), [before], "for the clip that ends with it");
        assert_eq!(plan.packet(at(100.0)), ClipStep::Nothing);
        assert!(plan.sighted(after, at(200.0)).is_some());
        plan.begin(at(195.0));
        assert_eq!(plan.shown(), [after]);
        plan.ended(after, at(202.0));
        assert_eq!((plan.packet(at(205.0)), plan.packet(at(205.1))), (ClipStep::Write, ClipStep::End));
    }

    #[test]
    fn without_a_keyframe_a_clip_begins_with_the_next_one_and_what_it_misses_is_counted() {
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let mut plan = ClipPlan::new(TIMES);
        assert_eq!(plan.sighted(one, at(100.0)), Some(at(95.0)));
        plan.wait();
        assert_eq!((plan.packet(at(100.1)), plan.sighted(two, at(103.0))), (ClipStep::Wait, None));
        assert_eq!(plan.packet(at(102.0)), ClipStep::Wait);
        assert_eq!(plan.begin(at(102.0)), 1, "the second is there from its beginning");
        assert_eq!((plan.packet(at(102.1)), plan.shown()), (ClipStep::Write, &[one, two][..]));
        plan.ended(one, at(105.0));
        plan.ended(two, at(105.0));
        assert_eq!(plan.packet(at(108.1)), ClipStep::End);
        // None at all.
        assert_eq!(plan.sighted(three, at(200.0)), Some(at(195.0)));
        plan.wait();
        plan.ended(three, at(202.0));
        assert_eq!(plan.packet(at(205.0)), ClipStep::Wait);
        assert_eq!((plan.packet(at(205.1)), plan.packet(at(205.2))), (ClipStep::GiveUp(1), ClipStep::Nothing));
        // And the stream ends while it waits.
        assert_eq!(plan.sighted(one, at(300.0)), Some(at(295.0)));
        plan.wait();
        assert_eq!((plan.interrupt(), plan.interrupt()), (1, 0));
    }

    #[test]
    fn the_way_back_to_a_keyframe_does_not_shorten_a_clip() {
        let mut plan = ClipPlan::new(TIMES);
        assert_eq!(plan.sighted(Uuid::from_u128(1), at(100.0)), Some(at(95.0)));
        assert_eq!(plan.begin(at(45.0)), 0);
        assert_eq!((plan.packet(at(155.0)), plan.packet(at(155.1))), (ClipStep::Write, ClipStep::End));
    }

    proptest! {
        #[test]
        fn no_clip_is_longer_than_allowed(steps in prop::collection::vec((0u8..4, 0u128..4, 0.0f64..20.0), 0..200)) {
            let mut plan = ClipPlan::new(TIMES);
            let (mut now, mut began) = (100.0, None);
            for (step, id, dt) in steps {
                now += dt;
                match step {
                    0 => if let Some(from) = plan.sighted(Uuid::from_u128(id), at(now)) {
                        plan.begin(from);
                        began = Some(from);
                    },
                    1 => plan.ended(Uuid::from_u128(id), at(now)),
                    _ => if plan.packet(at(now)) == ClipStep::Write {
                        prop_assert!(at(now).since(began.unwrap()) <= TIMES.longest);
                    }
                }
            }
        }
    }
}
