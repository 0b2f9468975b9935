//! Two kinds of time: [`Mono`], which only ever grows and orders things, and
//! [`UtcMillis`], which people read and which may be wrong.

use std::fmt;
use std::time::Duration;

/// A point on the pipeline's own time line, in microseconds: CLOCK_BOOTTIME
/// for a live camera, media time for a replay. Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

impl Mono {
    /// The origin.
    pub const ZERO: Mono = Mono(0);

    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Mono {
        Mono(micros)
    }

    /// From seconds; negative or non-finite values become zero.
    pub fn from_secs_f64(seconds: f64) -> Mono {
        // A float-to-integer cast saturates and maps NaN to zero.
        Mono((seconds * 1e6).round() as u64)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Seconds since the origin.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Time since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Seconds since `earlier`; negative if `earlier` is later.
    pub fn secs_since(self, earlier: Mono) -> f64 {
        (self.0 as f64 - earlier.0 as f64) / 1e6
    }

    /// `self + d`, saturating.
    pub fn plus(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    /// `self - d`, saturating at the origin.
    pub fn minus(self, d: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The point at fraction `f` (0..1) of the way from `self` to `later`.
    pub fn lerp(self, later: Mono, f: f64) -> Mono {
        let span = later.0.saturating_sub(self.0) as f64;
        Mono(self.0.saturating_add((span * f.clamp(0.0, 1.0)).round() as u64))
    }
}

/// UTC in milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 with
/// milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// Parses RFC 3339, for example `2026-05-01T20:15:00Z` or with an offset.
    pub fn parse(text: &str) -> Option<UtcMillis> {
        let t: jiff::Timestamp = text.parse().ok()?;
        Some(UtcMillis(t.as_millisecond()))
    }

    /// `self + d`, saturating.
    pub fn plus(self, d: Duration) -> UtcMillis {
        UtcMillis(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            // Beyond the years -9999..9999, which only a broken clock reaches.
            Err(_) if self.0 < 0 => f.write_str("-009999-01-02T01:59:59.000Z"),
            Err(_) => f.write_str("9999-12-30T22:00:00.000Z"),
        }
    }
}

impl serde::Serialize for UtcMillis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for UtcMillis {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        UtcMillis::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not an RFC 3339 time")))
    }
}

impl schemars::JsonSchema for UtcMillis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UtcMillis".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time", "description": "UTC, RFC 3339 with milliseconds"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_prints_milliseconds_and_reads_offsets() {
        assert_eq!(UtcMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UtcMillis(1_500).to_string(), "1970-01-01T00:00:01.500Z");
        assert_eq!(UtcMillis::parse("1970-01-01T01:00:01.5+01:00"), Some(UtcMillis(1_500)));
        assert_eq!(UtcMillis::parse("yesterday"), None);
        // Out of range never panics.
        let _ = (UtcMillis(i64::MAX).to_string(), UtcMillis(i64::MIN).to_string());
    }

    #[test]
    fn mono_never_goes_below_zero() {
        let t = Mono::from_micros(5);
        assert_eq!(t.minus(Duration::from_secs(1)), Mono::ZERO);
        assert_eq!(Mono::ZERO.since(t), Duration::ZERO);
        assert_eq!(Mono::from_secs_f64(f64::NAN), Mono::ZERO);
        assert_eq!(Mono::ZERO.lerp(Mono::from_micros(100), 0.25), Mono::from_micros(25));
    }
}
