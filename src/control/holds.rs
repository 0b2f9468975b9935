//! How long a signed command holds. Pure: the time is passed in.
//!
//! A counter tells an old command from a new one, but not one that was kept back for
//! months and is the first of its key to arrive. So a command says until when it
//! holds. A unit may not know the time: then it does only what was signed for the
//! boot that it is in, whose id its `status` tells, and which no command from
//! before that boot can name.

use std::fmt;
use std::time::Duration;

use super::command::Signed;
use super::reply::{Reason, Refusal};
use crate::clock::Reading;
use crate::domain::{UtcMillis, from_hex};

/// A command may hold for so long from when it arrives. A broker keeps commands for
/// six hours; more than a day is a mistake, or a clock that is wrong.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// A counter may be so far ahead of the end: milliseconds since 1970 are never
/// ahead, unless the signer's clock once was. It keeps one signature from using up
/// all counters of its key.
const COUNTER_AHEAD: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long a command holds, as its signer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Until then.
    pub until: UtcMillis,
    /// Where nobody knows the time: in this boot.
    pub boot: Option<u32>,
}

/// What follows from how long a command holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// It may be done.
    Now,
    /// It came too late, and its counter is spent: it must not hold again where a
    /// clock is set back.
    TooLate(Refusal),
    /// It is refused as if it had not come: it spends nothing.
    Not(Refusal),
}

impl Signed {
    /// Whether it may be done at `now`, its signature being right. What does not say
    /// how long it holds (`tawny command v1`) may if that is `accepted`.
    pub fn due(&self, accepted: bool, now: &Reading) -> Due {
        let Some(holds) = &self.holds else {
            let why = "it does not say until when it holds (tawny command v1); the program that signed it is too old";
            return if accepted { Due::Now } else { Due::Not(Refusal::new(Reason::Undated, why)) };
        };
        match (holds.check_length(now), holds.check(now)) {
            (Err(refusal), _) => Due::Not(refusal),
            (_, Err(refusal)) => Due::TooLate(refusal),
            _ => Due::Now,
        }
    }
}

/// By so much the signer's clock may be ahead of the unit's where something is to hold for
/// the longest time.
const SKEW: Duration = Duration::from_secs(300);

/// What is signed: the end, and the boot after a space.
impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.boot {
            Some(boot) => write!(f, "{} {boot:08x}", self.until),
            None => write!(f, "{}", self.until),
        }
    }
}

/// The end of a command, in the one form in which it is signed:
/// `2026-05-01T20:15:55.123Z`.
pub fn read_until(text: &str) -> Option<UtcMillis> {
    let until = UtcMillis::parse(text)?;
    (text.len() == "2026-05-01T20:15:55.123Z".len() && until.to_string() == text).then_some(until)
}

/// A boot's id as in `status`: eight hexadecimal digits in lower case.
pub fn read_boot(text: &str) -> Option<u32> {
    let boot = u32::from_be_bytes(from_hex(text)?);
    (format!("{boot:08x}") == text).then_some(boot)
}

impl Holds {
    /// Whether a command that holds so long may have the counter `n`.
    pub fn admits(&self, n: u64) -> bool {
        n <= u64::try_from(self.until.plus(COUNTER_AHEAD).0).unwrap_or(0)
    }

    /// Whether a command that comes at `now` was signed to hold for longer than any
    /// may. It must spend nothing: whoever signs by a clock in the far future must
    /// not use up the key.
    ///
    /// # Errors
    /// The refusal.
    fn check_length(&self, now: &Reading) -> Result<(), Refusal> {
        let Some((_, latest)) = bounds(now) else { return Ok(()) };
        if self.until <= latest.plus(LONGEST_HOLD + SKEW) {
            return Ok(());
        }
        let why = format!("it is to hold until {}, a day is the most; here it is {}", self.until, told(now));
        Err(Refusal::new(Reason::Range, why))
    }

    /// Whether it still holds at `now`. What may have passed and may not, as far as
    /// the unit knows the time, holds for this boot only.
    ///
    /// # Errors
    /// The refusal.
    fn check(&self, now: &Reading) -> Result<(), Refusal> {
        let stale = |why: String| Err(Refusal::new(Reason::Stale, why));
        if let Some((earliest, latest)) = bounds(now) {
            if earliest > self.until {
                return stale(format!("it held until {}; here it is {}", self.until, told(now)));
            }
            if latest <= self.until {
                return Ok(());
            }
        }
        // 0: the kernel names no boots.
        if self.boot == Some(now.boot) && now.boot != 0 {
            return Ok(());
        }
        stale(match bounds(now) {
            Some(_) => format!("it holds until {}, which may have passed: here it is {}", self.until, told(now)),
            None => format!("the unit does not know the time, and this is not signed for its boot {:08x}", now.boot),
        })
    }
}

/// What it may be at `now`, if something vouches for it and knows how closely.
fn bounds(now: &Reading) -> Option<(UtcMillis, UtcMillis)> {
    let off = i64::from(now.uncertainty_ms.filter(|_| now.source.is_vouched())?);
    Some((UtcMillis(now.utc.0.saturating_sub(off)), UtcMillis(now.utc.0.saturating_add(off))))
}

fn told(now: &Reading) -> String {
    let off = Duration::from_millis(now.uncertainty_ms.unwrap_or(0).into());
    format!("{} (± {:.1} s)", now.utc, off.as_secs_f32())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::Mono;
    use crate::event::TimeSource;
    use proptest::prelude::*;

    const BOOT: u32 = 0x0bad_cafe;
    const UNTIL: i64 = 1_777_666_555_123;
    const DAY: i64 = 86_400_000;

    fn at(ms: i64, source: TimeSource, uncertainty_ms: Option<u32>) -> Reading {
        Reading { mono: Mono::ZERO, utc: UtcMillis(ms), source, uncertainty_ms, boot: BOOT }
    }

    fn refused(outcome: Result<(), Refusal>) -> Option<Reason> {
        outcome.err().map(|refusal| refusal.reason)
    }

    #[test]
    fn the_end_and_the_boot_have_one_form() {
        assert_eq!(read_until("2026-05-01T20:15:55.123Z"), Some(UtcMillis(UNTIL)));
        for other in [
            "2026-05-01T20:15:55Z",
            "2026-05-01T20:15:55.1230Z",
            "2026-05-01T22:15:55.123+02:00",
            "2026-05-01t20:15:55.123z",
            "2026-05-01 20:15:55.123Z",
            "2026-05-01T20:15:60.123Z",
            "-009999-01-02T01:59:59.000Z",
            "1777666555123",
            " 2026-05-01T20:15:55.123Z",
            "2026-05-01T20:15:55.123Z\n",
            "",
        ] {
            assert_eq!(read_until(other), None, "{other:?}");
        }
        assert_eq!(read_boot("0badcafe"), Some(BOOT));
        for other in ["0BADCAFE", "badcafe", "0badcafe0", "0badcaf\n", "+badcafe", ""] {
            assert_eq!(read_boot(other), None, "{other:?}");
        }
    }

    #[test]
    fn where_the_time_is_known_it_decides() {
        let other = Holds { until: UtcMillis(UNTIL), boot: Some(1) };
        for holds in [other, Holds { boot: None, ..other }] {
            let check = |ms: i64, off: u32| refused(holds.check(&at(ms, TimeSource::Ntp, Some(off))));
            assert_eq!(check(UNTIL - 60_000, 50), None);
            assert_eq!(check(UNTIL, 0), None);
            assert_eq!(check(UNTIL + 1, 0), Some(Reason::Stale));
            // Seven months later.
            assert_eq!(check(UNTIL + 210 * DAY, 50), Some(Reason::Stale));
            // It may have passed.
            assert_eq!(check(UNTIL - 40, 50), Some(Reason::Stale));
            assert_eq!(check(UNTIL + 40, 50), Some(Reason::Stale));
        }
        // Signed for this boot, it gets the benefit of the doubt, and no more.
        let ours = Holds { until: UtcMillis(UNTIL), boot: Some(BOOT) };
        let check = |ms: i64| refused(ours.check(&at(ms, TimeSource::Gps, Some(5_000))));
        assert_eq!((check(UNTIL + 4_000), check(UNTIL + 6_000)), (None, Some(Reason::Stale)));
        let why = ours.check(&at(UNTIL + 6_000, TimeSource::Gps, Some(5_000))).unwrap_err().why;
        assert_eq!(why, "it held until 2026-05-01T20:15:55.123Z; here it is 2026-05-01T20:16:01.123Z (± 5.0 s)");
    }

    #[test]
    fn where_it_is_not_known_only_what_was_signed_for_this_boot_holds() {
        let ours = Holds { until: UtcMillis(UNTIL), boot: Some(BOOT) };
        for now in [
            at(UNTIL + 210 * DAY, TimeSource::None, None),
            at(0, TimeSource::None, None),
            // A battery clock that nobody can say anything about.
            at(UNTIL - 1_000, TimeSource::Rtc, None),
        ] {
            assert_eq!(refused(ours.check(&now)), None);
            for boot in [None, Some(1)] {
                assert_eq!(refused(Holds { boot, ..ours }.check(&now)), Some(Reason::Stale), "{now:?}");
            }
            assert_eq!(refused(ours.check_length(&now)), None, "nobody can tell");
        }
        let nameless = Reading { boot: 0, ..at(UNTIL, TimeSource::None, None) };
        assert_eq!(refused(Holds { boot: Some(0), ..ours }.check(&nameless)), Some(Reason::Stale));
    }

    #[test]
    fn nothing_is_signed_for_ever() {
        const SKEW_MS: i64 = SKEW.as_millis() as i64;
        let holds = Holds { until: UtcMillis(UNTIL), boot: Some(BOOT) };
        let check = |before: i64| refused(holds.check_length(&at(UNTIL - before, TimeSource::Ntp, Some(100))));
        assert_eq!(
            (check(-DAY), check(DAY), check(DAY + SKEW_MS + 100), check(DAY + SKEW_MS + 101)),
            (None, None, None, Some(Reason::Range))
        );
        assert_eq!(check(3_650 * DAY), Some(Reason::Range));
    }

    #[test]
    fn what_has_no_end_is_refused_unless_that_is_wanted_and_what_is_refused_so_spends_nothing() {
        let signed = |holds| Signed {
            id: "a".into(),
            log: "k".into(),
            n: 7,
            holds,
            key: [1; 32],
            signature: [0; 64],
            text: "{}".into(),
        };
        let reason = |due| match due {
            Due::Now => None,
            Due::TooLate(refusal) => Some((true, refusal.reason)),
            Due::Not(refusal) => Some((false, refusal.reason)),
        };
        let holds = Holds { until: UtcMillis(UNTIL), boot: None };
        for now in [at(UNTIL, TimeSource::Ntp, Some(0)), at(UNTIL, TimeSource::None, None)] {
            assert_eq!(reason(signed(None).due(false, &now)), Some((false, Reason::Undated)));
            assert_eq!(reason(signed(None).due(true, &now)), None);
        }
        for accepted in [false, true] {
            let due = |ms: i64| reason(signed(Some(holds)).due(accepted, &at(ms, TimeSource::Ntp, Some(0))));
            assert_eq!((due(UNTIL), due(UNTIL + 1)), (None, Some((true, Reason::Stale))));
            assert_eq!(due(UNTIL - 2 * DAY), Some((false, Reason::Range)));
            assert_eq!(
                reason(signed(Some(holds)).due(accepted, &at(UNTIL - DAY, TimeSource::None, None))),
                Some((true, Reason::Stale))
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_signed(ms in 0..253_402_200_000_000i64, boot: u32, text in "\\PC{0,30}") {
            let holds = Holds { until: UtcMillis(ms), boot: Some(boot) };
            let (until, id) = (holds.until.to_string(), format!("{boot:08x}"));
            prop_assert_eq!(holds.to_string(), format!("{until} {id}"));
            prop_assert_eq!((read_until(&until), read_boot(&id)), (Some(holds.until), Some(boot)));
            if let Some(until) = read_until(&text) {
                prop_assert_eq!(until.to_string(), text);
            }
        }

        /// However far off: what is certainly over is never done, in whatever boot.
        #[test]
        fn no_doubt_helps_what_is_certainly_over(late in 1..1_000_000_000i64, off in 0..1_000_000_000u32, boot: Option<bool>) {
            let boot = boot.map(|ours| if ours { BOOT } else { 1 });
            let holds = Holds { until: UtcMillis(UNTIL), boot };
            let now = at(UNTIL + late + i64::from(off), TimeSource::Ntp, Some(off));
            prop_assert_eq!(refused(holds.check(&now)), Some(Reason::Stale));
        }
    }
}
