//! When a camera's stamps stop keeping real time, somebody is told; and when they do
//! again. Pure.

use std::time::Duration;

use crate::capture::TimedBy;
use crate::domain::Mono;
use crate::event::Phase;

/// Stamps are told to be good again when they have been gone by for so long: a camera
/// that is lost and found every few seconds tells nothing new.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// See the module's description.
#[derive(Debug, Default)]
pub struct StampNews {
    /// It was told that stamps are of no use.
    told: bool,
    /// Since when they have been gone by.
    good_since: Option<Mono>,
}

impl StampNews {
    /// A stream begins: its stamps have to show what they are worth.
    pub fn opened(&mut self) {
        self.good_since = None;
    }

    /// At `now` times come from there; what is to be told of it, and why.
    pub fn update(&mut self, by: TimedBy, now: Mono) -> Option<(Phase, Option<String>)> {
        match by {
            // It is in the nature of the source.
            TimedBy::Untimed => None,
            TimedBy::Stamps => {
                let since = *self.good_since.get_or_insert(now);
                if !self.told || now.since(since) < GOOD_FOR {
                    return None;
                }
                self.told = false;
                Some((Phase::Timed, None))
            }
            _ => {
                self.good_since = None;
                (!std::mem::replace(&mut self.told, true)).then(|| (Phase::Untimed, by.why()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_taken_back_when_stamps_have_been_good_for_a_minute() {
        let at = Mono::from_secs_f64;
        let mut news = StampNews::default();
        assert_eq!(news.update(TimedBy::Stamps, at(0.0)), None);
        let told = news.update(TimedBy::OffPace { pace: 0.84, over: Duration::from_secs(3) }, at(1.0));
        assert_eq!(told, Some((Phase::Untimed, Some("its time stamps run at 0.84 of real time".to_owned()))));
        for second in 2..100 {
            // It is lost and found all the time.
            news.opened();
            let by = if second % 10 < 5 { TimedBy::Stamps } else { TimedBy::Jumping };
            assert_eq!(news.update(by, at(f64::from(second))), None);
        }
        for second in 100..161 {
            let told = news.update(TimedBy::Stamps, at(f64::from(second)));
            assert_eq!(told.is_some(), second == 160, "{second}");
        }
        assert_eq!(StampNews::default().update(TimedBy::Untimed, at(0.0)), None);
    }
}
