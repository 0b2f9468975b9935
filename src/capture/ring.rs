//! The last packets of a stream, so that decoding can begin in the past and
//! clips can be cut from what was before their cause.
//!
//! Invariants: packets are in decoding order and numbered without gaps; memory
//! is bounded by bytes whatever arrives. Old packets leave by whole groups of
//! pictures, so that what is kept begins with a keyframe, and the group that is
//! still growing stays, however long it lasts, until it alone exceeds the bytes: then
//! [`PacketRing::is_whole`] turns false until the next keyframe. A reader can
//! pin what it still needs; a pin holds up to twice the bounds.

use std::collections::VecDeque;
use std::time::Duration;

use ffmpeg_next as ffmpeg;

use crate::domain::Mono;

/// A kept packet. It owns its memory, which libav counts references to:
/// decoders and muxers share it, nothing is copied.
pub struct Held {
    /// The packet.
    pub packet: ffmpeg::Packet,
    /// When it arrived or, in a recording, its place on the time line.
    pub at: Mono,
    /// When its picture was taken.
    pub taken: Mono,
    /// Decoding can begin here.
    pub key: bool,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct RingBounds {
    /// Time from the oldest packet to the newest, where they are of several groups.
    pub span: Duration,
    /// Bytes that all packets take, half a kilobyte for each besides its content.
    pub bytes: usize,
}

/// What a packet takes besides its content: libav's three structures, their padding and
/// a place here.
const OVERHEAD: usize = 512;

/// Bytes that a packet takes: a million of nothing are not nothing.
fn cost(packet: &ffmpeg::Packet) -> usize {
    packet.size().saturating_add(OVERHEAD)
}

/// See the module's description.
pub struct PacketRing {
    bounds: RingBounds,
    held: VecDeque<Held>,
    /// Number of the oldest packet.
    first: u64,
    bytes: usize,
    /// Bytes since the newest keyframe, that one included.
    group_bytes: usize,
    /// Numbers of the keyframes among them, oldest first.
    keys: VecDeque<u64>,
}

impl PacketRing {
    /// An empty ring.
    pub fn new(bounds: RingBounds) -> PacketRing {
        PacketRing { bounds, held: VecDeque::new(), first: 0, bytes: 0, group_bytes: 0, keys: VecDeque::new() }
    }

    /// Forgets all packets; numbering goes on.
    pub fn clear(&mut self) {
        self.first = self.end();
        self.held.clear();
        self.keys.clear();
        (self.bytes, self.group_bytes) = (0, 0);
    }

    /// Takes in the next packet; returns its number.
    pub fn push(&mut self, packet: ffmpeg::Packet, at: Mono, taken: Mono, key: bool) -> u64 {
        let number = self.end();
        self.bytes += cost(&packet);
        if key {
            self.keys.push_back(number);
            self.group_bytes = 0;
        }
        self.group_bytes += cost(&packet);
        self.held.push_back(Held { packet, at, taken, key });
        number
    }

    /// Drops what the bounds no longer allow, but nothing from `pin` on as long
    /// as twice the bounds are not exceeded. Returns how many packets from
    /// `pin` on were dropped.
    pub fn trim(&mut self, pin: Option<u64>) -> u64 {
        let mut lost = 0;
        while self.exceeds() {
            // Whole groups go first; the last one only when its bytes are too many.
            let next_key = self.keys.iter().copied().find(|key| *key > self.first);
            if next_key.is_none() && self.is_whole() && self.bytes <= self.bounds.bytes {
                break;
            }
            let until = next_key.unwrap_or(self.first + 1);
            match pin {
                Some(pin) if until > pin => {
                    // A long group may be far older than what is pinned of it.
                    let pinned = self.span_from(pin.max(self.first));
                    if self.bytes <= self.bounds.bytes.saturating_mul(2) && pinned <= self.bounds.span * 2 {
                        break;
                    }
                    lost += until - pin.max(self.first);
                }
                _ => {}
            }
            while self.first < until {
                self.drop_oldest();
            }
        }
        lost
    }

    /// The packet with this number, if it is still there.
    pub fn get(&self, number: u64) -> Option<&Held> {
        self.held.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The same, for a decoder, which marks it for a moment.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Held> {
        self.held.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number that the next packet will have.
    pub fn end(&self) -> u64 {
        self.first + self.held.len() as u64
    }

    /// Number of the newest keyframe kept.
    pub fn last_key(&self) -> Option<u64> {
        self.keys.back().copied()
    }

    /// Number of the oldest keyframe that is not before `number`.
    pub fn key_from(&self, number: u64) -> Option<u64> {
        self.keys.iter().copied().find(|key| *key >= number)
    }

    /// Number of the newest keyframe that is not after `number`.
    pub fn last_key_at(&self, number: u64) -> Option<u64> {
        self.keys.iter().rev().copied().find(|key| *key <= number)
    }

    /// Number of the newest keyframe that came no later than `at`.
    pub fn key_before(&self, at: Mono) -> Option<u64> {
        self.keys.iter().rev().copied().find(|key| self.get(*key).is_some_and(|held| held.at <= at))
    }

    /// Number of the newest keyframe whose picture was taken no later than `at`.
    pub fn key_taken_before(&self, at: Mono) -> Option<u64> {
        self.keys.iter().rev().copied().find(|key| self.get(*key).is_some_and(|held| held.taken <= at))
    }

    /// All packets from `number` on, oldest first.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Held> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.held.iter().skip(skip)
    }

    /// Whether the newest packet can be decoded from what is kept.
    pub fn is_whole(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether the group that is still growing exceeds the bounds alone.
    pub fn group_exceeds(&self) -> bool {
        let span = self.last_key().map_or(Duration::ZERO, |key| self.span_from(key));
        self.group_bytes > self.bounds.bytes || span > self.bounds.span
    }

    /// The usual time between packets, as far as those kept tell.
    pub(super) fn interval(&self) -> Duration {
        let between = u32::try_from(self.held.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.span_from(self.first).checked_div(between).unwrap_or(Duration::ZERO)
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packets kept.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn span_from(&self, number: u64) -> Duration {
        match (self.get(number), self.held.back()) {
            (Some(first), Some(last)) => last.at.since(first.at),
            _ => Duration::ZERO,
        }
    }

    fn exceeds(&self) -> bool {
        self.held.len() > 1 && (self.bytes > self.bounds.bytes || self.span_from(self.first) > self.bounds.span)
    }

    fn drop_oldest(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.bytes -= cost(&held.packet);
            if self.keys.front() == Some(&self.first) {
                self.keys.pop_front();
            }
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;
    /// Bytes here are hundreds, of which a packet's own are some.
    const UNIT: usize = 100;

    fn ring(seconds: u64, bytes: usize) -> PacketRing {
        PacketRing::new(RingBounds { span: Duration::from_secs(seconds), bytes: bytes * UNIT })
    }

    /// Pushes and trims; `at` in tenths of a second.
    fn push(ring: &mut PacketRing, tenths: u64, size: usize, key: bool, pin: Option<u64>) -> u64 {
        let at = Mono::from_micros(tenths * SECOND / 10);
        ring.push(ffmpeg::Packet::new((size * UNIT).saturating_sub(OVERHEAD)), at, at, key);
        ring.trim(pin)
    }

    #[test]
    fn old_groups_leave_whole_and_the_last_one_stays() {
        let mut ring = ring(3, 1_000_000);
        for tenths in 0..100 {
            push(&mut ring, tenths, 10, tenths % 20 == 0, None);
            assert!(ring.get(ring.end() - ring.len() as u64).unwrap().key, "it begins with a keyframe");
            assert!(ring.is_whole() && !ring.group_exceeds());
        }
        assert_eq!((ring.key_from(0), ring.last_key(), ring.end()), (Some(80), Some(80), 100));
    }

    #[test]
    fn a_group_beyond_the_bounds_is_told_and_does_not_grow_memory() {
        let mut ring = ring(1000, 1000);
        push(&mut ring, 0, 100, true, None);
        for tenths in 1..50 {
            push(&mut ring, tenths, 100, false, None);
            assert!(ring.bytes() <= 1000 * UNIT);
        }
        assert!(ring.group_exceeds() && !ring.is_whole());
        push(&mut ring, 50, 100, true, None);
        assert!(ring.is_whole() && !ring.group_exceeds());
    }

    #[test]
    fn a_long_group_stays_as_long_as_its_bytes_allow() {
        let mut ring = ring(3, 1000);
        for tenths in 0..99 {
            push(&mut ring, tenths, 10, tenths == 0, None);
        }
        assert!(ring.group_exceeds() && ring.is_whole());
        assert_eq!((ring.key_from(0), ring.len()), (Some(0), 99));
        push(&mut ring, 99, 20, false, None);
        assert!(!ring.is_whole() && ring.bytes() <= 1000 * UNIT);
        push(&mut ring, 100, 10, true, None);
        push(&mut ring, 101, 10, false, None);
        assert_eq!((ring.is_whole(), ring.key_from(0)), (true, Some(100)));
    }

    #[test]
    fn what_is_pinned_stays_up_to_twice_the_bounds_and_what_is_lost_is_counted() {
        let mut ring = ring(1000, 1000);
        let mut lost = 0;
        for tenths in 0..15 {
            lost += push(&mut ring, tenths, 100, tenths % 5 == 0, Some(2));
        }
        assert_eq!((lost, ring.len()), (0, 15));
        for tenths in 15..25 {
            lost += push(&mut ring, tenths, 100, tenths % 5 == 0, Some(2));
        }
        assert_eq!(lost, 3, "numbers 2, 3 and 4 of the first group");
    }

    #[test]
    fn packets_are_shared_not_copied() {
        let mut ring = ring(10, 1000);
        let packet = ffmpeg::Packet::copy(b"data");
        let address = packet.data().unwrap().as_ptr();
        let number = ring.push(packet, Mono::ZERO, Mono::ZERO, true);
        assert_eq!(ring.get(number).unwrap().packet.data().unwrap().as_ptr(), address);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_numbers_have_no_gaps(
            packets in prop::collection::vec((0usize..400, 0u64..30, prop::bool::weighted(0.1)), 1..300),
            pinned in any::<bool>(),
        ) {
            let mut ring = ring(10, 2000);
            let mut tenths = 0;
            for (i, (size, step, key)) in packets.into_iter().enumerate() {
                tenths += step;
                let pin = pinned.then_some(ring.end().saturating_sub(20));
                push(&mut ring, tenths, size, key, pin);
                prop_assert_eq!(ring.end(), i as u64 + 1);
                let times = if pinned { 2 } else { 1 };
                prop_assert!(ring.bytes() <= 2000 * UNIT * times || ring.len() == 1);
                prop_assert_eq!(ring.bytes(), ring.from(0).map(|h| cost(&h.packet)).sum::<usize>());
                prop_assert_eq!(ring.keys.len(), ring.held.iter().filter(|h| h.key).count());
            }
        }
    }
}
