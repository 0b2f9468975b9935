//! How many replies may be sent: one allowance for all of them, whatever they
//! answer. Pure: the time is passed in.
//!
//! Anybody who may write to a unit's `cmd` can ask it without a key, as often as the
//! network carries. So what nobody signed is answered at a pace that costs little, and
//! what an operator signed keeps a part of the allowance to itself.

use std::time::Duration;

use tokio::time::Instant;

/// Replies at once, and the time until one more.
const ALL: Rate = Rate { burst: 48, interval: Duration::from_secs(1) };

/// Of those, to what nobody signed.
const OPEN: Rate = Rate { burst: 32, interval: Duration::from_secs(5) };

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    interval: Duration,
}

/// Tokens of which one comes back after each interval (a token bucket).
#[derive(Debug)]
struct Tokens {
    rate: Rate,
    left: u32,
    since: Instant,
}

impl Tokens {
    fn new(rate: Rate, now: Instant) -> Tokens {
        Tokens { rate, left: rate.burst, since: now }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis() / self.rate.interval.as_millis().max(1);
        let gained = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = self.rate.burst.min(self.left.saturating_add(gained));
        // What is left of an interval counts for the next token.
        self.since =
            if self.left == self.rate.burst { now } else { self.since + self.rate.interval.saturating_mul(gained) };
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Anybody who may write to the topic.
    Anybody,
    /// Somebody with an operator's key, who has not asked this before.
    Operator,
}

/// What may still be answered.
#[derive(Debug)]
pub(super) struct Allowance {
    all: Tokens,
    open: Tokens,
}

impl Allowance {
    pub fn new(now: Instant) -> Allowance {
        Allowance { all: Tokens::new(ALL, now), open: Tokens::new(OPEN, now) }
    }

    /// Whether one more may be answered; it counts if so.
    pub fn take(&mut self, asker: Asker, now: Instant) -> bool {
        self.all.refill(now);
        self.open.refill(now);
        let open = asker == Asker::Anybody;
        if self.all.left == 0 || (open && self.open.left == 0) {
            return false;
        }
        self.all.left -= 1;
        if open {
            self.open.left -= 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_answered_by_a_flood() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let answered = (0..3_600_000u32).filter(|i| {
            let now = start + Duration::from_millis(u64::from(*i));
            allowance.take(Asker::Anybody, now)
        });
        let answered = answered.count();
        assert!((740..=760).contains(&answered), "{answered} of 3.6 million in an hour");
    }

    #[test]
    fn an_operator_is_answered_in_the_midst_of_a_flood_but_not_without_end() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        while allowance.take(Asker::Anybody, start) {}
        let operator = (0..1000).filter(|_| allowance.take(Asker::Operator, start)).count();
        assert_eq!(operator, 16);
        assert!(allowance.take(Asker::Operator, start + Duration::from_secs(1)));
        assert!(!allowance.take(Asker::Anybody, start + Duration::from_secs(1)));
    }
}
