//! NAL units (H.264, HEVC) are counted before libav sees them: it keeps a table entry
//! and four kilobytes for each of a packet, so that a packet of three megabytes of the
//! smallest units takes gigabytes.

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::Id;

/// Units of one packet at most: a picture of 4K in slices of one network packet each
/// has two thousand.
const MOST_UNITS: usize = 4096;
/// The shortest unit, with what stands before it.
const SHORTEST: usize = 3;

/// Whether the packet holds more units than any picture has.
pub(super) fn are_too_many(codec: Id, data: &[u8]) -> bool {
    let has_units = matches!(codec, Id::H264 | Id::HEVC | Id::VVC);
    has_units
        && data.len() / SHORTEST > MOST_UNITS
        && (StartCodes::default().count(data) > MOST_UNITS || by_length(data))
}

/// The same where each unit's length, of four bytes, stands before it.
fn by_length(data: &[u8]) -> bool {
    let mut rest = data;
    for _ in 0..=MOST_UNITS {
        let Some((length, unit)) = rest.split_first_chunk::<4>() else { return false };
        let Some(after) = unit.get(usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX)..) else {
            return false;
        };
        rest = after;
    }
    true
}

/// Counts start codes (00 00 01) in a stream, wherever it is cut.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StartCodes {
    zeros: u8,
}

impl StartCodes {
    /// Those that end in `bytes`, which follow what was given before.
    pub fn count(&mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        for byte in bytes {
            match byte {
                0 => self.zeros = 2.min(self.zeros + 1),
                1 => {
                    count += usize::from(self.zeros == 2);
                    self.zeros = 0;
                }
                _ => self.zeros = 0,
            }
        }
        count
    }
}

/// Longest interleaved packet: a head of four bytes and a length of sixteen bits.
const LONGEST: usize = 4 + 65_535;

/// Counts the units in a network camera's interleaved packets (RFC 2326, 10.12; RFC
/// 6184, 5.6; RFC 7798, 4.4), wherever they are cut.
#[derive(Debug, Default)]
pub(super) struct Interleaved {
    packet: Vec<u8>,
    /// HEVC, not H.264.
    pub is_hevc: bool,
}

impl Interleaved {
    /// Those in the packets that end in `bytes`.
    pub fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while !bytes.is_empty() {
            let wanted = match self.packet.get(2..4) {
                Some(&[high, low]) => 4 + usize::from(u16::from_be_bytes([high, low])),
                _ => 4,
            };
            let missing = wanted.min(LONGEST).saturating_sub(self.packet.len());
            let (now, rest) = bytes.split_at(missing.min(bytes.len()));
            self.packet.extend_from_slice(now);
            bytes = rest;
            if self.packet.len() == wanted && (wanted > 4 || self.packet.ends_with(&[0, 0])) {
                count += self.units();
                self.packet.clear();
            }
        }
        count
    }

    /// Of the packet that is there.
    fn units(&self) -> usize {
        let Some(payload) = rtp_payload(self.packet.get(4..).unwrap_or_default()) else { return 0 };
        let Some(first) = payload.first() else { return 0 };
        // How many bytes the head has, and which types put units together or cut them.
        let (kind, head, together, cut) = match self.is_hevc {
            true => (first >> 1 & 0x3f, 2, 48, 49),
            false => (first & 0x1f, 1, 24, 28),
        };
        let mut rest = payload.get(head..).unwrap_or_default();
        if kind == cut {
            return usize::from(rest.first().is_some_and(|head| head & 0x80 != 0));
        }
        let mut count = 1;
        while let Some((length, unit)) = rest.split_first_chunk::<2>().filter(|_| kind == together) {
            count += 1;
            rest = unit.get(usize::from(u16::from_be_bytes(*length))..).unwrap_or_default();
        }
        count
    }
}

/// What an RTP packet carries (RFC 3550, 5.1).
fn rtp_payload(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first()?;
    let rest = packet.get(12 + 4 * usize::from(first & 0xf)..)?;
    if first & 0x10 == 0 {
        return Some(rest);
    }
    let (&[_, _, high, low], rest) = rest.split_first_chunk::<4>()?;
    rest.get(4 * usize::from(u16::from_be_bytes([high, low]))..)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn packets_of_more_units_than_a_picture_has_are_too_many() {
        let many = |unit: &[u8], count: usize| unit.repeat(count);
        for unit in [&[0, 0, 1, 9][..], &[0, 0, 0, 1, 9, 0xf0], &[0, 0, 0, 1, 9], &[0, 0, 0, 0]] {
            assert!(are_too_many(Id::H264, &many(unit, MOST_UNITS + 1)), "{unit:?}");
            assert!(!are_too_many(Id::H264, &many(unit, MOST_UNITS)), "{unit:?}");
            assert!(!are_too_many(Id::MJPEG, &many(unit, MOST_UNITS + 1)));
        }
        // A large picture of a few slices.
        let slice = [&[0, 0, 1, 0x65][..], &[0x55; 60_000]].concat();
        assert!(!are_too_many(Id::HEVC, &many(&slice, 30)));
    }

    #[test]
    fn start_codes_are_counted_wherever_the_stream_is_cut() {
        let stream = [0, 0, 1, 9, 0, 0, 0, 1, 7, 0, 1, 0, 0, 2, 1, 0, 0, 1];
        for cut in 0..stream.len() {
            let mut codes = StartCodes::default();
            assert_eq!(codes.count(&stream[..cut]) + codes.count(&stream[cut..]), 3, "{cut}");
        }
    }

    #[test]
    fn units_of_interleaved_packets_are_counted_wherever_they_are_cut() {
        let rtp = |payload: &[u8]| {
            let length = u16::try_from(12 + payload.len()).unwrap().to_be_bytes();
            [&[b'$', 0][..], &length, &[0x80], &[0; 11], payload].concat()
        };
        let stream = [
            rtp(&[0x65, 1, 2, 3]),
            // The beginning and the end of a long one.
            rtp(&[0x7c, 0x85, 1]),
            rtp(&[0x7c, 0x45, 1]),
            // Three in one, the last one cut off.
            rtp(&[0x78, 0, 2, 9, 0xf0, 0, 0, 0, 9, 1]),
            vec![b'$', 1, 0, 0],
            rtp(&[]),
        ]
        .concat();
        for cut in 0..stream.len() {
            let mut units = Interleaved::default();
            assert_eq!(units.count(&stream[..cut]) + units.count(&stream[cut..]), 1 + 1 + 4, "{cut}");
        }
        let mut hevc = Interleaved { is_hevc: true, ..Interleaved::default() };
        assert_eq!(hevc.count(&rtp(&[0x60, 1, 0, 1, 9, 0, 1, 9])), 3);
        assert_eq!(hevc.count(&[b'$', 0, 0, 5, 0x9f, 1, 2, 3, 4]), 0);
    }
}
