//! What the journal has to say for itself when the daemon starts: how the last
//! run ended, and the ends that it left out.

use crate::domain::UtcMillis;
use crate::event::{Body, Draft, Phase, Stamp};

/// The last run, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastRun {
    /// The boot it ran in.
    pub boot: u32,
    /// The program's version.
    pub version: String,
    /// The last time it is known to have been alive.
    pub alive: UtcMillis,
    /// Whether it said goodbye.
    pub clean_stop: bool,
}

/// Why this start happened: `boot`, `crash`, `update` or `restart`.
pub(super) fn start_reason(last: Option<&LastRun>, boot: u32, version: &str) -> &'static str {
    match last {
        None => "boot",
        Some(last) if last.boot != boot => "boot",
        Some(last) if !last.clean_stop => "crash",
        Some(last) if last.version != version => "update",
        Some(_) => "restart",
    }
}

/// The `boot` event.
pub(super) fn boot_event(last: Option<&LastRun>, now: Stamp, version: &str) -> Draft {
    let body = Body::Boot { prev: last.map(|last| last.alive), why: start_reason(last, now.boot, version).to_owned() };
    Draft { stamp: now, body, replay: false }
}

/// The `storage` event that reports a damaged journal set aside as `file`, of
/// which so many events were `taken` over and others left in it.
pub(super) fn set_aside_event(file: &str, why: &str, (taken, left): (u64, u64), now: Stamp) -> Draft {
    let taken = if taken > 0 { format!(", with {taken} undelivered events of the old one") } else { String::new() };
    let left = if left > 0 { format!("; {left} more, of the lowest classes, are left in it") } else { String::new() };
    let why = format!("the journal was damaged ({why}); it was set aside and a new one was begun{taken}{left}");
    Draft { stamp: now, body: Body::Storage { phase: Phase::Start, value: Some(file.to_owned()), why }, replay: false }
}

/// The `storage` event that says that a damaged journal, which was set aside as `file`, is
/// deleted.
pub(super) fn aside_deleted_event(file: &str, now: Stamp) -> Draft {
    let why = "older than journal.keep: the damaged journal that was set aside is deleted".to_owned();
    Draft { stamp: now, body: Body::Storage { phase: Phase::End, value: Some(file.to_owned()), why }, replay: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_says_how_the_last_run_ended() {
        let last = |boot, version: &str, clean_stop| LastRun {
            boot,
            version: version.into(),
            alive: UtcMillis(5),
            clean_stop,
        };
        for (before, reason) in [
            (None, "boot"),
            (Some(last(1, "1.0", true)), "boot"),
            (Some(last(1, "1.0", false)), "boot"),
            (Some(last(2, "1.0", false)), "crash"),
            (Some(last(2, "0.9", false)), "crash"),
            (Some(last(2, "0.9", true)), "update"),
            (Some(last(2, "1.0", true)), "restart"),
        ] {
            assert_eq!(start_reason(before.as_ref(), 2, "1.0"), reason, "{before:?}");
        }
    }
}
