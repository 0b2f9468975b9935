//! By which names the program is known at the broker (MQTT client ids).
//!
//! A broker throws out whoever is connected when somebody else comes by the same
//! client id, and many do so whoever that is. An id that can be guessed is a way for
//! every login to silence a unit. So a unit's has a part that nobody can guess: random,
//! made once, and kept in its journal, since the broker knows by it what is still owed.

use tracing::warn;

use super::link::Link;
use crate::journal::{JournalReader, Note};

/// Where the journal remembers the random part.
const NOTE: &str = "uplink/client_id";

/// Characters of the random part: 64 bits.
const LENGTH: usize = 16;

/// The unit's id with its `secret` part.
fn named(base: &str, secret: &str) -> String {
    format!("{base}-{secret}")
}

/// The random part as it is written.
fn secret(random: u64) -> String {
    format!("{random:016x}")
}

/// What was noted, if it is one; a journal can be damaged.
fn read(noted: &str) -> Option<&str> {
    (noted.len() == LENGTH && noted.bytes().all(|b| b.is_ascii_hexdigit())).then_some(noted)
}

/// The random part that `notes` hold, if any.
pub(super) fn of(reader: &JournalReader) -> Option<String> {
    let notes = reader.notes(NOTE).ok()?;
    notes.first().and_then(|(_, value)| read(value)).map(str::to_owned)
}

/// A name that belongs to nobody: for what need not be known again.
pub(super) fn passing(base: &str) -> String {
    // Without randomness no two of one moment are alike, at least.
    let random = getrandom::u64().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::from(std::process::id()) << 32 | u64::from(now.subsec_nanos())
    });
    named(base, &secret(random))
}

impl Link {
    /// Takes the name that the journal knows, or makes one from `random` and has it
    /// noted.
    pub(super) fn take_client_id(&mut self, random: u64) {
        let known = JournalReader::open(self.journal.path()).ok().as_ref().and_then(of);
        let part = known.unwrap_or_else(|| {
            let part = secret(random);
            self.note_client_id(&part);
            // A journal of before may belong to a name of before.
            self.former.due = self.announce && self.settings.had_former_id;
            part
        });
        self.settings.client_id = named(&self.settings.client_base, &part);
    }

    /// Once more, in a journal that took the place of a damaged one.
    pub(super) fn keep_client_id(&self) {
        if let Some(part) = self.settings.client_id.rsplit('-').next().and_then(read) {
            self.note_client_id(part);
        }
    }

    fn note_client_id(&self, part: &str) {
        if !self.journal.try_note(Note { key: NOTE.to_owned(), value: Some(part.to_owned()) }) {
            warn!("the journal is busy: this unit's name at the broker lasts until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_here_is_read_again() {
        let made = secret(0xabc);
        assert_eq!((made.as_str(), read(&made)), ("0000000000000abc", Some("0000000000000abc")));
        assert_eq!(named("tawny-gate", &made), "tawny-gate-0000000000000abc");
        for nonsense in ["", "abc", "0000000000000abg", "0000000000000abcd", "äääääääää"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_ne!(passing("a"), passing("a"));
    }
}
