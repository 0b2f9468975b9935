//! From when on a certificate is valid (RFC 5280, 4.1.2.5): the one thing in it that says
//! something about the time, signed by an authority. `rustls` checks it and does not tell.
//!
//! A reader of as much DER as leads there; whatever it does not understand is no time.

use crate::domain::UtcMillis;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, which version 1 leaves out.
const VERSION: u8 = 0xa0;

/// `notBefore` of a certificate in DER.
pub(super) fn valid_from(certificate: &[u8]) -> Option<UtcMillis> {
    let (certificate, _) = enter(certificate, SEQUENCE)?;
    let (signed, _) = enter(certificate, SEQUENCE)?;
    let (tag, _, after_version) = element(signed)?;
    let mut rest = if tag == VERSION { after_version } else { signed };
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = enter(rest, SEQUENCE)?;
    let (tag, time, _) = element(validity)?;
    let text = std::str::from_utf8(time).ok()?;
    match (tag, text.len()) {
        (UTC_TIME, 13) => {
            let century = if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" };
            time_of(&format!("{century}{text}"))
        }
        (GENERALIZED_TIME, 15) => time_of(text),
        _ => None,
    }
}

/// `YYYYMMDDHHMMSSZ`
fn time_of(text: &str) -> Option<UtcMillis> {
    let part = |from: usize, to: usize| text.get(from..to).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let rfc3339 = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    text.ends_with('Z').then(|| UtcMillis::parse(&rfc3339))?
}

/// What is in the element at the beginning, which has to be a `tag`, and what follows it.
fn enter(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, inside, rest)| (inside, rest))
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // A length of one to four bytes.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (length.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn of(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    }

    fn certificate(version: bool, tag: u8, time: &str) -> Vec<u8> {
        let version = if version { of(VERSION, &[2, 1, 2]) } else { Vec::new() };
        let validity = of(SEQUENCE, &[of(tag, time.as_bytes()), of(tag, time.as_bytes())].concat());
        let rest = [of(2, &[9; 300]), of(SEQUENCE, &[]), of(SEQUENCE, &[7]), validity].concat();
        of(SEQUENCE, &of(SEQUENCE, &[version, rest].concat()))
    }

    #[test]
    fn both_forms_of_time_and_certificates_without_a_version_are_read() {
        let time = |text| UtcMillis::parse(text);
        for (tag, written, meant) in [
            (UTC_TIME, "260501123456Z", time("2026-05-01T12:34:56Z")),
            (UTC_TIME, "991231235959Z", time("1999-12-31T23:59:59Z")),
            (GENERALIZED_TIME, "20510203040506Z", time("2051-02-03T04:05:06Z")),
            (GENERALIZED_TIME, "20510203040506+", None),
            (UTC_TIME, "2605011234Z", None),
            (UTC_TIME, "26050112-456Z", None),
            (UTC_TIME, "260532123456Z", None),
            (4, "260501123456Z", None),
        ] {
            for version in [true, false] {
                assert_eq!(valid_from(&certificate(version, tag, written)), meant, "{written}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..400, flip in 1u8..) {
            let _ = valid_from(&bytes);
            let mut bent = certificate(true, UTC_TIME, "260501123456Z");
            let at = at % bent.len();
            bent[at] ^= flip;
            let _ = (valid_from(&bent), valid_from(&bent[..at]));
        }
    }
}
