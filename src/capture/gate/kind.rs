//! What a packet holds, read from its first slice's header without decoding.
//!
//! libav's demuxers mark keyframes and little else. For H.264 the NAL unit
//! header says whether others refer to the picture (`nal_ref_idc`) and whether
//! it is an IDR picture, and the second field of the slice header is its type
//! (ITU-T H.264, 7.3.1, 7.3.3 and table 7-6). For HEVC the NAL unit type says
//! all of it (ITU-T H.265, table 7-1); its slice types say little, since
//! low-delay encoders use B slices for everything. For other codecs the
//! keyframe mark is all there is.

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::Id;

/// What kind of picture a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PictureKind {
    /// Decoding can begin here, and nothing after it refers to before it.
    Key,
    /// Marked as a keyframe, but pictures shown before it come after it: the
    /// beginning of an open group, or of a refresh that takes several pictures.
    OpenKey,
    /// Coded without reference to others, but not marked as a keyframe.
    Intra,
    /// Predicted, and referred to by others.
    Reference,
    /// Predicted from both sides, and referred to by others.
    Bidirectional,
    /// Nothing refers to it.
    Disposable,
}

impl PictureKind {
    /// Whether the demuxer marks it as a keyframe.
    pub fn is_key(self) -> bool {
        matches!(self, PictureKind::Key | PictureKind::OpenKey)
    }
}

/// Reads [`PictureKind`]s of one stream.
#[derive(Debug, Clone)]
pub struct KindReader {
    codec: Codec,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    H264,
    Hevc,
    Other,
}

/// How NAL units are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By start codes (Annex B of both standards).
    StartCodes,
    /// By a length of so many bytes before each (ISO/IEC 14496-15).
    Lengths(usize),
}

impl KindReader {
    /// For a stream of `codec` with this extra data.
    pub fn new(codec: Id, extra_data: &[u8]) -> KindReader {
        let (codec, length_at) = match codec {
            Id::H264 => (Codec::H264, 4),
            Id::HEVC => (Codec::Hevc, 21),
            _ => (Codec::Other, 0),
        };
        // A configuration record begins with its version, 1; start codes with 0.
        let framing = match (extra_data.first(), extra_data.get(length_at)) {
            (Some(1), Some(length)) => Framing::Lengths(usize::from(length & 3) + 1),
            _ => Framing::StartCodes,
        };
        KindReader { codec, framing }
    }

    /// The kind of the picture in `data`; `key` is the demuxer's mark.
    pub fn kind(&self, data: &[u8], key: bool) -> PictureKind {
        let read = match self.codec {
            Codec::H264 => self.first_slice(data, |first| matches!(first & 0x1f, 1..=5)).and_then(h264_kind),
            Codec::Hevc => self.first_slice(data, |first| (first >> 1) & 0x3f < 32).map(hevc_kind),
            Codec::Other => None,
        };
        match (read, key) {
            (Some(PictureKind::Key), _) | (None, true) => PictureKind::Key,
            (Some(_), true) => PictureKind::OpenKey,
            (Some(kind), false) => kind,
            (None, false) => PictureKind::Reference,
        }
    }

    /// The first NAL unit whose first byte `wanted` accepts.
    fn first_slice<'d>(&self, data: &'d [u8], wanted: impl Fn(u8) -> bool) -> Option<&'d [u8]> {
        match self.framing {
            Framing::Lengths(bytes) => {
                let mut rest = data;
                loop {
                    let (length, unit) = rest.split_at_checked(bytes)?;
                    let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
                    let unit_end = length.min(unit.len());
                    if unit.first().is_some_and(|first| unit_end > 0 && wanted(*first)) {
                        return unit.get(..unit_end);
                    }
                    rest = unit.get(length..)?;
                }
            }
            Framing::StartCodes => {
                let mut rest = data;
                loop {
                    let at = rest.windows(3).position(|three| three == [0, 0, 1])?;
                    rest = rest.get(at + 3..)?;
                    if rest.first().is_some_and(|first| wanted(*first)) {
                        return Some(rest);
                    }
                }
            }
        }
    }
}

fn h264_kind(unit: &[u8]) -> Option<PictureKind> {
    let first = *unit.first()?;
    if first & 0x1f == 5 {
        return Some(PictureKind::Key);
    }
    if first & 0x60 == 0 {
        return Some(PictureKind::Disposable);
    }
    let mut bits = Bits { data: unit.get(1..)?, at: 0 };
    let _first_macroblock = bits.exp_golomb()?;
    Some(match bits.exp_golomb()? % 5 {
        1 => PictureKind::Bidirectional,
        2 | 4 => PictureKind::Intra,
        _ => PictureKind::Reference,
    })
}

fn hevc_kind(unit: &[u8]) -> PictureKind {
    let unit_type = unit.first().map_or(1, |first| (first >> 1) & 0x3f);
    match unit_type {
        // BLA and IDR; CRA is the beginning of an open group.
        16..=20 => PictureKind::Key,
        21..=23 => PictureKind::Intra,
        // Even numbers below: sub-layer non-reference pictures.
        0..=15 if unit_type.is_multiple_of(2) => PictureKind::Disposable,
        _ => PictureKind::Reference,
    }
}

/// Reads bits, the most significant first. Slice headers begin with small
/// numbers, whose codes hold no three zero bytes: what emulation prevention
/// inserts (7.4.1) comes later.
struct Bits<'d> {
    data: &'d [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// An unsigned Exp-Golomb number (ITU-T H.264, 9.1), below 2^20.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 20 {
                return None;
            }
        }
        let mut value = 1;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn h264() -> KindReader {
        KindReader::new(Id::H264, &[0, 0, 0, 1, 0x67])
    }

    #[test]
    fn reads_what_h264_encoders_write() {
        // AUD, SPS and PPS come before the slice; first macroblock 0 is the
        // bit 1, slice type 5 (P) is 00110, 7 (I) is 0001000, 6 (B) is 00111.
        let idr = [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 0x88, 0x84];
        assert_eq!(h264().kind(&idr, true), PictureKind::Key);
        for (unit, kind) in [
            ([0x41, 0b1001_1000], PictureKind::Reference),
            ([0x41, 0b1001_1100], PictureKind::Bidirectional),
            ([0x01, 0b1001_1100], PictureKind::Disposable),
            ([0x61, 0b1000_1000], PictureKind::Intra),
        ] {
            let annex_b = [&[0, 0, 1][..], &unit].concat();
            assert_eq!(h264().kind(&annex_b, false), kind);
            let in_mp4 = [&[0, 0, 0, 2, 6, 0, 0, 0, 0, 2][..], &unit].concat();
            let reader = KindReader::new(Id::H264, &[1, 100, 0, 31, 0xff]);
            assert_eq!(reader.kind(&in_mp4, false), kind);
        }
        let recovery_point = [0, 0, 1, 6, 6, 1, 0xc4, 0, 0, 1, 0x61, 0b1000_1000];
        assert_eq!(h264().kind(&recovery_point, true), PictureKind::OpenKey);
    }

    #[test]
    fn reads_what_hevc_encoders_write() {
        let reader = KindReader::new(Id::HEVC, &[]);
        for (unit_type, key, kind) in [
            (19u8, true, PictureKind::Key),
            (21, true, PictureKind::OpenKey),
            (1, false, PictureKind::Reference),
            (0, false, PictureKind::Disposable),
        ] {
            let data = [0, 0, 1, 32 << 1, 1, 0, 0, 1, unit_type << 1, 1];
            assert_eq!(reader.kind(&data, key), kind, "type {unit_type}");
        }
    }

    #[test]
    fn other_codecs_have_keyframes_and_the_rest() {
        let reader = KindReader::new(Id::MJPEG, &[]);
        assert_eq!(reader.kind(b"\xff\xd8", true), PictureKind::Key);
        assert_eq!(reader.kind(b"", false), PictureKind::Reference);
    }

    proptest! {
        #[test]
        fn damaged_packets_never_panic(
            extra in prop::collection::vec(any::<u8>(), 0..30),
            data in prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..200),
            hevc in any::<bool>(),
            key in any::<bool>(),
        ) {
            let reader = KindReader::new(if hevc { Id::HEVC } else { Id::H264 }, &extra);
            let kind = reader.kind(&data, key);
            prop_assert!(!key || matches!(kind, PictureKind::Key | PictureKind::OpenKey));
        }
    }
}
