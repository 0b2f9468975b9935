//! Between connections: waiting for a reason to be connected, and powering the
//! network up and down.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::connect::{ConnectPolicy, Situation};
use super::hook;
use super::link::{Link, WORK_DEADLINE};
use crate::domain::{UtcMillis, jitter};

/// What was done about the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Down,
    /// `link_up` was run in vain.
    Failed,
    Up,
}

impl Link {
    /// Waits until the unit wants to be connected; `false` when it is stopped
    /// meanwhile.
    pub(super) async fn until_wanted(&mut self) -> bool {
        self.note_marks(false);
        loop {
            if self.is_stopped() {
                return false;
            }
            let now = Instant::now();
            self.keep_up(now);
            if self.wants_link(now) {
                return true;
            }
            let again = [self.wish.ask_again(now), self.read_again, self.mark_again].into_iter().flatten().min();
            self.beat.waiting();
            tokio::select! {
                () = self.journal.committed() => {}
                _ = self.stop.changed() => return false,
                () = sleep_until(again.unwrap_or(now)), if again.is_some() => self.note_marks(false),
            }
            self.beat.working(WORK_DEADLINE);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.borrow().is_some() || self.stop.has_changed().is_err()
    }

    pub(super) fn wants_link(&mut self, now: Instant) -> bool {
        if self.settings.connect == ConnectPolicy::Always {
            return true;
        }
        let drained = self.is_drained() && !self.owes_answers();
        if self.up && drained {
            self.alerts.all_settled();
        }
        let alert = matches!(self.settings.connect, ConnectPolicy::OnEvent { .. }) && self.alert_waits(now);
        let at = Situation { now, utc: self.utc(), alert, connected: self.up, drained };
        self.wish.ask(at, jitter())
    }

    /// The time, if something vouches for it.
    pub(super) fn utc(&self) -> Option<UtcMillis> {
        let reading = self.settings.clock.read();
        reading.source.is_vouched().then_some(reading.utc)
    }

    /// Powers the network up or down, if that has not been done. What failed to power it
    /// up is done again with the next client, and undone like what did not fail.
    pub(super) async fn power(&mut self, up: bool, timeout: Duration) {
        let done = if up { Power::Up } else { Power::Down };
        if self.power == done {
            return;
        }
        let before = std::mem::replace(&mut self.power, done);
        let command = if up { self.settings.link_up.clone() } else { self.settings.link_down.clone() };
        let Some(command) = command else { return };
        self.beat.waiting();
        let outcome = tokio::select! {
            outcome = hook::run(&command, timeout) => outcome,
            _ = self.stop.changed(), if up => Ok(()),
        };
        self.beat.working(WORK_DEADLINE);
        match outcome {
            Err(why) if up => {
                self.power = Power::Failed;
                // Once is enough.
                if before == Power::Down {
                    warn!("uplink.link_up: {why}; trying again");
                }
            }
            Err(why) => warn!("uplink.link_down: {why}"),
            Ok(()) if before == Power::Failed && up => info!("uplink.link_up: done"),
            Ok(()) => {}
        }
    }
}
