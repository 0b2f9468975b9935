//! Crossings by hour of the day and day, and how much of each hour was watched.
//! Pure.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use super::calendar::Calendar;
use super::watched::Span;
use crate::domain::UtcMillis;

/// With more days than this only those with crossings are shown, …
const ALL_DAYS: usize = 92;

/// … the latest of them.
const MOST_DAYS: usize = 400;

/// Every zone's offset is a multiple of it, so it never spans two local hours.
const STEP_MS: i64 = 60_000;

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeatDay {
    /// The date, `2026-05-01`.
    pub day: String,
    /// Crossings by local hour.
    pub counts: [u64; 24],
    /// Minutes of each local hour within intervals that a camera watched.
    pub watched_min: [u32; 24],
    /// All crossings of the day.
    pub total: u64,
}

/// A unit's crossings by hour and day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Heat {
    /// The unit.
    pub unit: String,
    /// In order.
    pub days: Vec<HeatDay>,
    /// The largest count of an hour.
    pub max: u64,
    /// Days between the first and the last that are not shown because nothing
    /// crossed, or because there are too many.
    pub days_left_out: u64,
    /// Crossings on days that are not shown, or beyond the calendar.
    pub crossings_left_out: u64,
    /// Whether anything tells what was watched.
    pub coverage_known: bool,
}

/// Counts `times` (of crossings) in the local hours of `calendar`. `spans` are what
/// any camera watched, joined and in order; no more than the latest `most_days` are
/// told of.
pub fn heat(unit: &str, times: &[UtcMillis], spans: &[Span], calendar: &Calendar, most_days: usize) -> Heat {
    let mut counted: BTreeMap<Date, [u64; 24]> = BTreeMap::new();
    for &t in times {
        if let Some((day, hour)) = calendar.day_and_hour(t)
            && let Some(n) = counted.entry(day).or_insert([0; 24]).get_mut(hour)
        {
            *n += 1;
        }
    }
    let mut days = days(&counted, spans, calendar);
    let span = days.first().zip(days.last()).map_or(0, |(&a, &b)| (b - a).get_days().unsigned_abs() as usize + 1);
    let skip = days.len().saturating_sub(most_days.min(MOST_DAYS));
    days.drain(..skip);
    let coverage = coverage(&days, spans, calendar);
    let rows: Vec<HeatDay> = days
        .iter()
        .map(|day| {
            let counts = counted.get(day).copied().unwrap_or([0; 24]);
            let watched_min = coverage.get(day).copied().unwrap_or([0; 24]);
            HeatDay { day: day.to_string(), counts, watched_min, total: counts.iter().sum() }
        })
        .collect();
    let shown: u64 = rows.iter().map(|day| day.total).sum();
    Heat {
        unit: unit.to_owned(),
        max: rows.iter().flat_map(|day| day.counts).max().unwrap_or(0),
        days_left_out: span.saturating_sub(rows.len()) as u64,
        crossings_left_out: times.len() as u64 - shown,
        coverage_known: !spans.is_empty(),
        days: rows,
    }
}

/// The days to show: from the first to the last of which anything is told, or, if
/// those are too many, the ones with crossings.
fn days(counted: &BTreeMap<Date, [u64; 24]>, spans: &[Span], calendar: &Calendar) -> Vec<Date> {
    let day = |ms: i64| calendar.day_and_hour(UtcMillis(ms)).map(|(day, _)| day);
    let ends = spans.first().zip(spans.last()).map(|(a, b)| [day(a.0), day(b.1.saturating_sub(1))]);
    let mut all: Vec<Date> = ends.into_iter().flatten().flatten().collect();
    all.extend(counted.first_key_value().map(|(&d, _)| d));
    all.extend(counted.last_key_value().map(|(&d, _)| d));
    let (Some(&first), Some(&last)) = (all.iter().min(), all.iter().max()) else { return Vec::new() };
    let every: Vec<Date> = std::iter::successors(Some(first), |d| d.tomorrow().ok())
        .take_while(|&d| d <= last)
        .take(ALL_DAYS + 1)
        .collect();
    if every.len() <= ALL_DAYS { every } else { counted.keys().copied().collect() }
}

/// Minutes of each hour that the spans cover, on the days shown.
fn coverage(days: &[Date], spans: &[Span], calendar: &Calendar) -> BTreeMap<Date, [u32; 24]> {
    let mut all: BTreeMap<Date, [i64; 24]> = days.iter().map(|&d| (d, [0; 24])).collect();
    for (day, hours) in &mut all {
        // No day has more than 25 hours; the last step of each span ends with the day.
        let Some(midnight) = calendar.read(&day.to_string()) else { continue };
        let end_of_day = midnight.0.saturating_add(26 * 3_600_000);
        let first = spans.partition_point(|span| span.1 <= midnight.0);
        for &(from, to) in spans.iter().skip(first).take_while(|span| span.0 < end_of_day) {
            let (mut at, end) = (from.max(midnight.0), to.min(end_of_day));
            while at < end {
                let next = (at.div_euclid(STEP_MS) + 1).saturating_mul(STEP_MS).min(end);
                match calendar.day_and_hour(UtcMillis(at)) {
                    Some((found, hour)) if found == *day => {
                        if let Some(ms) = hours.get_mut(hour) {
                            *ms += next - at;
                        }
                    }
                    _ => break,
                }
                at = next;
            }
        }
    }
    all.into_iter().map(|(d, hours)| (d, hours.map(|ms| u32::try_from(ms / 60_000).unwrap_or(0)))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::watched::joined;
    use proptest::prelude::*;

    fn t(text: &str) -> UtcMillis {
        UtcMillis::parse(text).unwrap()
    }

    #[test]
    fn hours_are_those_of_the_local_clock() {
        let zone = Calendar::parse("+02:00").unwrap();
        let times = [t("2026-05-01T21:10:00Z"), t("2026-05-01T22:10:00Z"), t("2026-05-01T22:50:00Z")];
        let spans = [(t("2026-05-01T21:30:00Z").0, t("2026-05-01T23:00:00Z").0)];
        let heat = heat("u", &times, &spans, &zone, MOST_DAYS);
        assert_eq!(
            heat.days.iter().map(|d| (d.day.as_str(), d.total)).collect::<Vec<_>>(),
            [("2026-05-01", 1), ("2026-05-02", 2)]
        );
        assert_eq!((heat.days[1].counts[0], heat.max), (2, 2));
        assert_eq!(
            (heat.days[0].watched_min[23], heat.days[1].watched_min[0], heat.days[1].watched_min[1]),
            (30, 60, 0)
        );
    }

    #[test]
    fn a_clock_that_was_wrong_by_decades_makes_no_endless_picture() {
        let zone = Calendar::utc();
        let heat = heat(
            "u",
            &[UtcMillis(0), t("2026-05-01T00:00:00Z")],
            &[(0, t("2026-05-02T00:00:00Z").0)],
            &zone,
            MOST_DAYS,
        );
        assert_eq!((heat.days.len(), heat.crossings_left_out), (2, 0));
        assert!(heat.days_left_out > 20_000);
        assert_eq!(heat.days[1].watched_min, [60; 24]);
    }

    proptest! {
        #[test]
        fn every_crossing_is_in_an_hour_or_counted_as_left_out(
            times in prop::collection::vec(prop_oneof![any::<i64>(), 0..10_000_000_000i64], 0..50),
            spans in prop::collection::vec((0..10_000_000_000i64, 1..100_000_000i64), 0..4),
        ) {
            let times: Vec<UtcMillis> = times.into_iter().map(UtcMillis).collect();
            let spans = joined(spans.into_iter().map(|(a, n)| (a, a + n)).collect());
            let heat = heat("u", &times, &spans, &Calendar::utc(), MOST_DAYS);
            let shown: u64 = heat.days.iter().map(|d| d.total).sum();
            prop_assert_eq!(shown + heat.crossings_left_out, times.len() as u64);
            for day in &heat.days {
                prop_assert_eq!(day.counts.iter().sum::<u64>(), day.total);
                prop_assert!(day.watched_min.iter().all(|&m| m <= 60));
            }
        }
    }
}
