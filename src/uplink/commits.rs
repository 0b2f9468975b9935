//! When each number was committed, as far as the link saw it: for how long the
//! broker's acknowledgement takes. Pure; bounded.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many commits are remembered, the newest.
const REMEMBERED: usize = 256;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Commits {
    last: u64,
    /// Numbers above the first and up to the second, since when; oldest first.
    seen: VecDeque<(u64, u64, Instant)>,
}

impl Commits {
    /// Numbers up to `last` are from before.
    pub fn new(last: u64) -> Commits {
        Commits { last, seen: VecDeque::new() }
    }

    /// At `now` the journal's last number is `last`. What comes while nobody is
    /// `connected` says nothing about the broker.
    pub fn note(&mut self, now: Instant, last: u64, connected: bool) {
        if !connected {
            self.seen.clear();
        } else if last > self.last {
            self.seen.push_back((self.last, last, now));
            if self.seen.len() > REMEMBERED {
                self.seen.pop_front();
            }
        }
        self.last = last;
    }

    /// How long ago `seq` was committed; `None` if that is not remembered.
    pub fn age(&self, seq: u64, now: Instant) -> Option<Duration> {
        let (.., since) = self.seen.iter().find(|(before, last, _)| (before + 1..=*last).contains(&seq))?;
        Some(now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_timed_from_its_commit() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut commits = Commits::new(10);
        commits.note(at(0), 10, true);
        commits.note(at(5), 12, true);
        commits.note(at(9), 13, true);
        let age = |commits: &Commits, seq| commits.age(seq, at(20)).map(|age| age.as_millis());
        assert_eq!([10, 11, 12, 13, 14].map(|seq| age(&commits, seq)), [None, Some(15), Some(15), Some(11), None]);
        commits.note(at(10), 15, false);
        commits.note(at(12), 16, true);
        assert_eq!((age(&commits, 15), age(&commits, 16)), (None, Some(8)));
        for i in 0..2 * REMEMBERED as u64 {
            commits.note(at(20), 17 + i, true);
        }
        assert_eq!((commits.seen.len(), age(&commits, 13)), (REMEMBERED, None));
    }
}
