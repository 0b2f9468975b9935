//! What a still says about itself: when it was taken, how sure that is, by which
//! unit. Nothing else: no make, no model, no place (Exif 2.32, CIPA DC-008;
//! TIFF 6.0).

use crate::domain::UtcMillis;
use crate::event::{Stamp, TimeSource};

/// What Exif begins with in a JPEG's APP1 segment.
const HEADER: &[u8] = b"Exif\0\0";

/// TIFF types.
const ASCII: u16 = 2;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;

const IMAGE_DESCRIPTION: u16 = 0x010E;
const EXIF_IFD: u16 = 0x8769;
const EXIF_VERSION: u16 = 0x9000;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
const SUB_SEC_TIME_ORIGINAL: u16 = 0x9291;

/// The content of a JPEG's APP1 segment for a picture taken at `stamp` by `unit`.
/// The uncertainty of the time stands in the description: Exif has no field for
/// it.
pub fn segment(unit: &str, stamp: &Stamp) -> Vec<u8> {
    let source = match stamp.source {
        TimeSource::Gps => "gps",
        TimeSource::Ntp => "ntp",
        TimeSource::Rtc => "rtc",
        TimeSource::None => "no clock",
        TimeSource::File => "recording",
    };
    let uncertainty = stamp.uncertainty_ms.map_or("unknown".to_owned(), |ms| format!("{ms} ms"));
    let description = format!("unit {unit}, time +/- {uncertainty} ({source})");
    let (date_time, milliseconds) = local_form(stamp.t);
    let exif = [
        Entry { tag: EXIF_VERSION, kind: UNDEFINED, value: b"0232".to_vec() },
        Entry::text(DATE_TIME_ORIGINAL, &date_time),
        Entry::text(OFFSET_TIME_ORIGINAL, "+00:00"),
        Entry::text(SUB_SEC_TIME_ORIGINAL, &milliseconds),
    ];
    // The first directory has two entries; what they point to follows it.
    let first_at = 8;
    let description = Entry::text(IMAGE_DESCRIPTION, &description);
    let first_bytes = directory_bytes(&[description.value.len(), 4]);
    let pointer = Entry { tag: EXIF_IFD, kind: LONG, value: (first_at + first_bytes).to_le_bytes().to_vec() };
    let mut out = HEADER.to_vec();
    out.extend_from_slice(b"II*\0");
    out.extend_from_slice(&first_at.to_le_bytes());
    write_directory(&[description, pointer], first_at, &mut out);
    write_directory(&exif, first_at + first_bytes, &mut out);
    out
}

/// `2026:05-01 …` as Exif writes it, and the milliseconds.
fn local_form(t: UtcMillis) -> (String, String) {
    let text = t.to_string();
    let date_time = text.get(..19).unwrap_or("1970-01-01T00:00:00").replace('-', ":").replace('T', " ");
    (date_time, text.get(20..23).unwrap_or("000").to_owned())
}

struct Entry {
    tag: u16,
    kind: u16,
    value: Vec<u8>,
}

impl Entry {
    fn text(tag: u16, text: &str) -> Entry {
        let mut value: Vec<u8> = text.bytes().map(|byte| if byte.is_ascii() { byte } else { b'?' }).collect();
        value.push(0);
        Entry { tag, kind: ASCII, value }
    }
}

/// Bytes of a directory with values of these lengths.
fn directory_bytes(lengths: &[usize]) -> u32 {
    let outside: usize = lengths.iter().filter(|length| **length > 4).map(|length| length.next_multiple_of(2)).sum();
    (2 + 12 * lengths.len() + 4 + outside) as u32
}

/// Entries of 12 bytes, values of more than four bytes behind them.
fn write_directory(entries: &[Entry], at: u32, out: &mut Vec<u8>) {
    let mut values = Vec::new();
    let values_at = at + (2 + 12 * entries.len() + 4) as u32;
    out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for Entry { tag, kind, value } in entries {
        let size = if *kind == LONG { 4 } else { 1 };
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&((value.len() / size) as u32).to_le_bytes());
        if value.len() <= 4 {
            let mut inline = value.clone();
            inline.resize(4, 0);
            out.extend_from_slice(&inline);
        } else {
            out.extend_from_slice(&(values_at + values.len() as u32).to_le_bytes());
            values.extend_from_slice(value);
            values.resize(values.len().next_multiple_of(2), 0);
        }
    }
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&values);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(uncertainty_ms: Option<u32>) -> Stamp {
        Stamp {
            t: UtcMillis(1_777_666_555_123),
            uncertainty_ms,
            source: TimeSource::Ntp,
            boot: 0xbeef_cafe,
            mono_ms: 987_654_321,
        }
    }

    /// Tag, type, count and value of every entry, read as a stranger would.
    fn entries(tiff: &[u8]) -> Vec<(u16, String)> {
        let u16_at = |at: usize| u16::from_le_bytes([tiff[at], tiff[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([tiff[at], tiff[at + 1], tiff[at + 2], tiff[at + 3]]) as usize;
        let (mut found, mut directories) = (Vec::new(), vec![u32_at(4)]);
        while let Some(at) = directories.pop() {
            for entry in (0..usize::from(u16_at(at))).map(|i| at + 2 + 12 * i) {
                let (tag, kind, count) = (u16_at(entry), u16_at(entry + 2), u32_at(entry + 4));
                if tag == EXIF_IFD {
                    directories.push(u32_at(entry + 8));
                    continue;
                }
                assert!(kind == ASCII || kind == UNDEFINED);
                let value_at = if count <= 4 { entry + 8 } else { u32_at(entry + 8) };
                found.push((tag, String::from_utf8_lossy(&tiff[value_at..value_at + count]).into_owned()));
            }
        }
        found
    }

    #[test]
    fn time_uncertainty_and_unit_are_there_and_nothing_else() {
        let segment = segment("ridge-3", &stamp(Some(40)));
        assert_eq!(&segment[..6], HEADER);
        let expected = [
            (IMAGE_DESCRIPTION, "unit ridge-3, time +/- 40 ms (ntp)\0"),
            (EXIF_VERSION, "0232"),
            (DATE_TIME_ORIGINAL, "2026:05:01 20:15:55\0"),
            (OFFSET_TIME_ORIGINAL, "+00:00\0"),
            (SUB_SEC_TIME_ORIGINAL, "123\0"),
        ];
        assert_eq!(entries(&segment[6..]), expected.map(|(tag, text)| (tag, text.to_owned())));
    }

    #[test]
    fn an_unknown_uncertainty_says_so_and_any_name_is_taken() {
        let segment = segment("ünit \u{1F600}", &stamp(None));
        assert!(entries(&segment[6..])[0].1.contains("time +/- unknown"));
    }
}
