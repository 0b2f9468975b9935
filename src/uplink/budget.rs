//! How much may be sent in a day. Pure: the time is passed in.
//!
//! What was sent is noted now and then, by date, so that a start of the program does
//! not begin the day anew. Where nobody knows the date nothing is noted: a unit that is
//! switched on once a day would never have a new day.
//!
//! A time server may lie, or be set about. So the date begins a new day only when half of
//! one has really passed since the last began (but for the first), and a day that the date
//! does not end is over all the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::domain::UtcMillis;

const DAY: Duration = Duration::from_secs(86_400);

/// No two days begin closer together by their dates.
const SHORTEST_DAY: Duration = Duration::from_secs(12 * 3600);

/// No day lasts longer, whatever the date.
const LONGEST_DAY: Duration = Duration::from_secs(25 * 3600);

/// A note is due when one part in so many of the limit was sent since the last.
const NOTES_A_DAY: u64 = 50;

/// Replies to what nobody signed may use one part in so many of the limit.
const OPEN_PART: u64 = 10;

/// What was sent on a day, as it is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    /// Counted from 1970, UTC.
    day: i64,
    bytes: u64,
}

/// The state of today's budget.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Option<u64>,
    spent: u64,
    /// Of that, for replies to what nobody signed; a start of the program begins anew.
    for_anybody: u64,
    started: Instant,
    /// When the present day began; `None` for the one in which the program started.
    began: Option<Instant>,
    day: Option<Day>,
    /// What an earlier run noted, until it is known whether that was today.
    earlier: Option<Spent>,
    noted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// Counted from 1970.
    Utc(i64),
    /// Counted from the start: nobody knows the date.
    Running(u64),
}

impl Budget {
    /// So many bytes a day; no limit if `None`.
    pub fn new(limit: Option<u64>, now: Instant) -> Budget {
        Budget { limit, spent: 0, for_anybody: 0, started: now, began: None, day: None, earlier: None, noted: 0 }
    }

    /// What an earlier run noted; nonsense is none.
    pub fn remember(&mut self, note: &str) {
        self.earlier = serde_json::from_str(note).ok();
    }

    /// What is to be noted now: when much was sent since the last note, or
    /// anything at the `end`.
    pub fn note(&mut self, end: bool) -> Option<String> {
        let (Some(limit), Some(Day::Utc(day))) = (self.limit, self.day) else { return None };
        let since = self.spent.saturating_sub(self.noted);
        if since == 0 || !(end || since >= limit / NOTES_A_DAY) {
            return None;
        }
        self.noted = self.spent;
        serde_json::to_string(&Spent { day, bytes: self.spent }).ok()
    }

    /// It is `now`, and `utc` if the clock is right. A new day has a new budget,
    /// but to learn the date is not a new day.
    pub fn time(&mut self, utc: Option<UtcMillis>, now: Instant) {
        let running = now.saturating_duration_since(self.started).as_secs() / DAY.as_secs();
        let day = utc.map_or(Day::Running(running), |t| Day::Utc(t.0.div_euclid(DAY.as_millis() as i64)));
        let new_day = match (self.day, day) {
            (Some(Day::Utc(before)), Day::Utc(today)) => before != today,
            (Some(Day::Running(before)), Day::Running(today)) => before != today,
            _ => false,
        };
        let lasted = |began| now.saturating_duration_since(began);
        let may_end = self.began.is_none_or(|began| lasted(began) >= SHORTEST_DAY);
        let must_end = lasted(self.began.unwrap_or(self.started)) >= LONGEST_DAY;
        if (new_day && may_end) || must_end {
            (self.spent, self.noted, self.for_anybody) = (0, 0, 0);
            self.began = Some(now);
        }
        if let Day::Utc(today) = day
            && let Some(earlier) = self.earlier.take()
            && earlier.day == today
        {
            self.spent = self.spent.saturating_add(earlier.bytes);
        }
        self.day = Some(day);
    }

    /// Whether there is a limit at all.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether anything but alerts may be sent.
    pub fn is_left(&self) -> bool {
        self.limit.is_none_or(|limit| self.spent < limit)
    }

    /// Whether stills may be sent, and events again for whoever asks for them: they leave
    /// half of the day's bytes to new events.
    pub fn is_left_for_stills(&self) -> bool {
        self.limit.is_none_or(|limit| self.spent < limit / 2)
    }

    /// Whether what nobody signed may be answered: who floods a unit with questions must
    /// not take the day's bytes from events.
    pub fn is_left_for_anybody(&self) -> bool {
        self.is_left() && self.limit.is_none_or(|limit| self.for_anybody < limit / OPEN_PART)
    }

    /// So many of the bytes that were sent answered something that nobody signed.
    pub fn answered_anybody(&mut self, bytes: u64) {
        self.for_anybody = self.for_anybody.saturating_add(bytes);
    }

    /// So many bytes were sent.
    pub fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Bytes sent today.
    pub fn spent(&self) -> u64 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_has_its_budget_and_learning_the_date_gives_no_second_one() {
        let start = Instant::now();
        let noon = |day: i64| Some(UtcMillis(day * 86_400_000 + 43_200_000));
        let mut budget = Budget::new(Some(100), start);
        budget.time(None, start);
        budget.spend(49);
        assert!(budget.is_left_for_stills());
        budget.spend(50);
        assert!(budget.is_left() && !budget.is_left_for_stills());
        budget.spend(1);
        budget.time(noon(20_000), start);
        assert!(!budget.is_left());
        budget.time(noon(20_001), start);
        assert_eq!((budget.is_left(), budget.spent()), (true, 0));
        budget.spend(100);
        budget.time(None, start + DAY);
        assert!(!budget.is_left());
        budget.time(None, start + DAY * 2);
        assert!(budget.is_left());
        assert!(Budget::new(None, start).is_left());
    }

    #[test]
    fn who_asks_without_a_key_gets_a_tenth_of_the_day() {
        let start = Instant::now();
        let mut budget = Budget::new(Some(1000), start);
        budget.time(Some(UtcMillis(0)), start);
        let mut answered = 0;
        while budget.is_left_for_anybody() {
            budget.spend(30);
            budget.answered_anybody(30);
            answered += 1;
        }
        assert_eq!((answered, budget.is_left()), (4, true));
        budget.time(Some(UtcMillis(86_400_000)), start);
        assert!(budget.is_left_for_anybody());
        budget.spend(1000);
        assert!(!budget.is_left_for_anybody());
    }

    #[test]
    fn a_date_that_is_set_about_gives_neither_many_days_nor_none() {
        let start = Instant::now();
        let day = |day: i64| Some(UtcMillis(day * 86_400_000));
        let minute = Duration::from_secs(60);
        let days = |date: &dyn Fn(u32) -> i64| {
            let mut budget = Budget::new(Some(100), start);
            let mut days = 0;
            for n in 0..10 * 1440 {
                budget.spend(100);
                budget.time(day(date(n)), start + minute * n);
                days += u32::from(budget.is_left());
            }
            days
        };
        assert_eq!(days(&|n| 20_000 + i64::from(n / 1440)), 9);
        // Another date each minute; and one that is set back again and again.
        let (many, one) = (days(&|n| 20_000 + i64::from(n % 2)), days(&|_| 20_000));
        assert!(many <= 21 && (8..=10).contains(&one), "{many}, {one}");
    }

    #[test]
    fn a_start_does_not_begin_the_day_anew() {
        let start = Instant::now();
        let noon = |day: i64| Some(UtcMillis(day * 86_400_000 + 43_200_000));
        let mut budget = Budget::new(Some(1000), start);
        budget.spend(600);
        assert_eq!(budget.note(true), None, "nobody knows the date");
        budget.time(noon(10), start);
        let note = budget.note(false).unwrap_or_default();
        budget.spend(10);
        assert_eq!(budget.note(false), None, "not each byte");
        let last = budget.note(true).unwrap_or_default();
        assert!(note != last && budget.note(true).is_none());

        let spent = |day| {
            let mut next = Budget::new(Some(1000), start);
            next.remember(&last);
            next.time(None, start);
            next.spend(1);
            next.time(day, start);
            next.time(day, start);
            next.spent()
        };
        assert_eq!((spent(noon(10)), spent(noon(11)), spent(None)), (611, 1, 1));
        let mut next = Budget::new(Some(1000), start);
        next.remember("{\"day\":true}");
        next.time(noon(10), start);
        assert_eq!(next.spent(), 0);
    }
}
