//! Durations ("30s", "1h 30m") and sizes ("64MiB") as people write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration written as a string: "500ms", "30s", "5m", "2h", "7d", or
/// several of them ("1h 30m").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// From whole seconds.
    pub const fn secs(seconds: u64) -> HumanDuration {
        HumanDuration(Duration::from_secs(seconds))
    }

    /// From milliseconds.
    pub const fn millis(millis: u64) -> HumanDuration {
        HumanDuration(Duration::from_millis(millis))
    }
}

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Sums number–unit pairs; `None` for anything else, overflow included.
fn parse_pairs(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = behind.trim_start();
    }
    Some(total)
}

impl std::str::FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_pairs(text, &DURATION_UNITS).map(HumanDuration::millis).ok_or_else(|| {
            format!("'{text}' is not a duration; write for example \"500ms\", \"30s\", \"5m\" or \"1h 30m\"")
        })
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (name, factor) =
            DURATION_UNITS.iter().rev().find(|(_, factor)| ms % factor == 0 && ms >= *factor).unwrap_or(&("ms", 1));
        write!(f, "{}{name}", ms / factor)
    }
}

/// A number of bytes written as a string: "512kB", "64MiB", "2GiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_pairs(text, &SIZE_UNITS)
            .map(ByteSize)
            .ok_or_else(|| format!("'{text}' is not a size; write for example \"512kB\", \"64MiB\" or \"2GiB\""))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = SIZE_UNITS
            .iter()
            .rev()
            .filter(|(name, _)| name.len() != 2)
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

macro_rules! as_string {
    ($type:ident, $kind:literal, $pattern:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "x-kind": $kind, "pattern": $pattern, "examples": [$example]
                })
            }
        }
    };
}

as_string!(HumanDuration, "duration", r"^\s*([0-9]+\s*(ms|s|m|h|d)\s*)+$", "30s");
as_string!(ByteSize, "size", r"^\s*([0-9]+\s*(B|kB|KiB|MB|MiB|GB|GiB)\s*)+$", "64MiB");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("1h 30m".parse(), Ok(HumanDuration::secs(5400)));
        assert_eq!("250ms".parse(), Ok(HumanDuration::millis(250)));
        assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
        for bad in ["", "30", "s", "-1s", "1.5h", "10 parsecs", "99999999999999999999s", "1s,2s"] {
            assert!(bad.parse::<HumanDuration>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn display_reads_back(n in 0u64..1 << 50) {
            prop_assert_eq!(HumanDuration::millis(n).to_string().parse(), Ok(HumanDuration::millis(n)));
            prop_assert_eq!(ByteSize(n).to_string().parse(), Ok(ByteSize(n)));
        }

        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = (text.parse::<HumanDuration>(), text.parse::<ByteSize>());
        }
    }
}
