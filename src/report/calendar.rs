//! Times as people of one zone read them. Pure but for the zone's rules, which are
//! the system's (package tzdata).

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::domain::UtcMillis;

/// A time zone and its name.
#[derive(Debug, Clone)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
}

impl Calendar {
    /// Universal time.
    pub fn utc() -> Calendar {
        Calendar { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// From a name such as `Europe/Madrid`, or an offset such as `+02:00`.
    ///
    /// # Errors
    /// One sentence for whoever wrote it.
    pub fn parse(text: &str) -> Result<Calendar, String> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Calendar::utc());
        }
        if let Some(offset) = offset(text) {
            return Ok(Calendar { name: format!("UTC{text}"), zone: TimeZone::fixed(offset) });
        }
        match TimeZone::get(text) {
            Ok(zone) => Ok(Calendar { name: text.to_owned(), zone }),
            Err(_) => Err(format!(
                "'{text}' is no time zone known here: write it as Europe/Madrid or +02:00 (names need the package tzdata)"
            )),
        }
    }

    /// The zone's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A day or a day and a time of this zone, as in `2026-05-01` and
    /// `2026-05-01T20:15`; `None` if it is written in another way.
    pub fn read(&self, text: &str) -> Option<UtcMillis> {
        let local: DateTime = text.parse().ok()?;
        let zoned = self.zone.to_zoned(local).ok()?;
        Some(UtcMillis(zoned.timestamp().as_millisecond()))
    }

    /// `2026-05-01 20:15:00.250`.
    pub fn full(&self, t: UtcMillis) -> String {
        self.format(t, "%Y-%m-%d %H:%M:%S%.3f")
    }

    /// `2026-05-01 20:15:00`.
    pub fn to_the_second(&self, t: UtcMillis) -> String {
        self.format(t, "%Y-%m-%d %H:%M:%S")
    }

    /// `2026-05-01 20:15`.
    pub fn to_the_minute(&self, t: UtcMillis) -> String {
        self.format(t, "%Y-%m-%d %H:%M")
    }

    /// `2026-05-01T20:15:00.250+02:00`, for programs.
    pub fn rfc3339(&self, t: UtcMillis) -> String {
        self.format(t, "%Y-%m-%dT%H:%M:%S%.3f%:z")
    }

    fn format(&self, t: UtcMillis, how: &str) -> String {
        // Beyond the years of the calendar, which only a broken clock reaches.
        self.zoned(t).map_or_else(|| t.to_string(), |zoned| zoned.strftime(how).to_string())
    }

    fn zoned(&self, t: UtcMillis) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(t.0).ok()?.to_zoned(self.zone.clone()))
    }

    /// The day and the hour (0..=23) of the local clock.
    pub fn day_and_hour(&self, t: UtcMillis) -> Option<(Date, usize)> {
        let zoned = self.zoned(t)?;
        Some((zoned.date(), usize::try_from(zoned.hour()).ok()?))
    }
}

/// `+02:00` or `-0930`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('-')?),
    };
    let digits: String = digits.chars().filter(|&c| c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_zone_is_a_name_or_an_offset() {
        let t = UtcMillis::parse("2026-05-01T22:30:00.250Z").unwrap();
        assert_eq!(Calendar::utc().full(t), "2026-05-01 22:30:00.250");
        let fixed = Calendar::parse("+02:00").unwrap();
        assert_eq!(fixed.to_the_minute(t), "2026-05-02 00:30");
        assert_eq!(fixed.rfc3339(t), "2026-05-02T00:30:00.250+02:00");
        assert_eq!(fixed.day_and_hour(t).unwrap().1, 0);
        assert_eq!(fixed.read("2026-05-02T00:30:00.250"), Some(t));
        assert_eq!(Calendar::parse("-0930").unwrap().to_the_minute(t), "2026-05-01 13:00");
        for wrong in ["Atlantis/Harbour", "+2", "+99:00", ""] {
            assert!(Calendar::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_named_zone_knows_its_summer_time() {
        // Where the system has no zones there is nothing to ask.
        let Ok(zone) = Calendar::parse("Europe/Madrid") else { return };
        let hour = |text: &str| zone.day_and_hour(UtcMillis::parse(text).unwrap()).unwrap().1;
        assert_eq!((hour("2026-01-01T12:00:00Z"), hour("2026-07-01T12:00:00Z")), (13, 14));
        assert_eq!(zone.read("2026-07-01").unwrap().to_string(), "2026-06-30T22:00:00.000Z");
    }

    proptest! {
        #[test]
        fn any_time_can_be_written(t: i64, text in "\\PC{0,12}") {
            let zone = Calendar::parse("+14:00").unwrap();
            let _ = (zone.full(UtcMillis(t)), zone.day_and_hour(UtcMillis(t)), zone.read(&text), Calendar::parse(&text));
        }
    }
}
