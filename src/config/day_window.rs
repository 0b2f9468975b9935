//! A part of the day, "06:00-06:30", as people write it; UTC.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::UtcMillis;

const DAY_MIN: u16 = 24 * 60;

/// From one minute of the day to another, past midnight if the second is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayWindow {
    from_min: u16,
    to_min: u16,
}

impl DayWindow {
    /// How long ago the window began and how long it is, if `utc` is in it.
    pub fn since_begin(&self, utc: UtcMillis) -> Option<(Duration, Duration)> {
        let day_ms = i64::from(DAY_MIN) * 60_000;
        let minutes = |n: u16| i64::from(n) * 60_000;
        let length = (minutes(self.to_min) - minutes(self.from_min)).rem_euclid(day_ms);
        let since = (utc.0.rem_euclid(day_ms) - minutes(self.from_min)).rem_euclid(day_ms);
        let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        (since < length).then(|| (duration(since), duration(length)))
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    // `parse` would take a sign.
    let digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

impl std::str::FromStr for DayWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let window = text.split_once('-').and_then(|(from, to)| {
            let (from_min, to_min) = (minute(from)?, minute(to)?);
            (from_min != to_min).then_some(DayWindow { from_min, to_min })
        });
        window.ok_or_else(|| "must be a part of the day (UTC) such as \"06:00-06:30\"".to_owned())
    }
}

impl fmt::Display for DayWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from_min, self.to_min);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Serialize for DayWindow {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayWindow {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for DayWindow {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DayWindow".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "x-kind": "window",
            "pattern": "^\\s*[0-2][0-9]:[0-5][0-9]\\s*-\\s*[0-2][0-9]:[0-5][0-9]\\s*$"
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_pass_midnight() {
        let night: DayWindow = "23:30 - 00:15".parse().unwrap();
        assert_eq!(night.to_string(), "23:30-00:15");
        let at = |time: &str| night.since_begin(UtcMillis::parse(&format!("2026-05-01T{time}Z")).unwrap());
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(at("23:30:00"), Some((minutes(0), minutes(45))));
        assert_eq!(at("00:14:00"), Some((minutes(44), minutes(45))));
        assert_eq!((at("00:15:00"), at("12:00:00")), (None, None));
        for bad in
            ["", "06:00", "-6:00-07:00", "06:00-24:00", "06:00-06:00", "06:60-07:00", "aa:bb-cc:dd", "+6:00-07:00"]
        {
            assert!(bad.parse::<DayWindow>().is_err(), "{bad}");
        }
    }
}
