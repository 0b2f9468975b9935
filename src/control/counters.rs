//! The counters that keep a signed command from being done twice. Pure: what is
//! stored comes in, and what is to be stored goes out.
//!
//! A counter belongs to a key and only grows. It says nothing about the time, so a
//! unit needs no clock to tell an old command from a new one. A command names the
//! journal that keeps the counter: where the journal is lost, no command from
//! before holds any more. Where an old copy of it takes its place, the counters
//! beside it (`counter_file.rs`) are a floor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Signed;
use crate::domain::{from_hex, to_hex};
use crate::journal::Note;

/// How the journal's notes about counters begin; the key follows in hex.
pub const NOTES: &str = "command/";

/// The last command that was accepted from one key; without its signature where only
/// the number is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    n: u64,
    sig: String,
}

/// What a counter says about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is new.
    New,
    /// It is the last one, come again.
    Repeated,
    /// One that was signed later was here before, or another with its number.
    Old,
}

/// The last command of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<[u8; 32], Last>);

impl Counters {
    /// From the journal's notes; `None` if one of them cannot be read, in which
    /// case nobody can say what is new.
    pub fn load(notes: impl IntoIterator<Item = (String, String)>) -> Option<Counters> {
        let one = |(key, value): (String, String)| {
            Some((from_hex(key.strip_prefix(NOTES)?)?, serde_json::from_str(&value).ok()?))
        };
        notes.into_iter().map(one).collect::<Option<BTreeMap<_, _>>>().map(Counters)
    }

    /// None of these keys has a lower counter than here from now on; whether that
    /// changes anything.
    pub fn raise(&mut self, floors: impl IntoIterator<Item = ([u8; 32], u64)>) -> bool {
        let mut raised = false;
        for (key, n) in floors {
            if self.0.get(&key).is_none_or(|last| last.n < n) {
                self.0.insert(key, Last { n, sig: String::new() });
                raised = true;
            }
        }
        raised
    }

    /// The counter of each key.
    pub fn all(&self) -> impl Iterator<Item = ([u8; 32], u64)> {
        self.0.iter().map(|(key, last)| (*key, last.n))
    }

    /// Whether `signed` is new.
    pub fn judge(&self, signed: &Signed) -> Judgement {
        match self.0.get(&signed.key) {
            None => Judgement::New,
            Some(last) if signed.n > last.n => Judgement::New,
            Some(last) if signed.n == last.n && to_hex(&signed.signature) == last.sig => Judgement::Repeated,
            Some(_) => Judgement::Old,
        }
    }

    /// `signed` is new and from now on no longer: gives what the journal has to
    /// store before anything is done. `None` if it is not new.
    pub fn accept(&mut self, signed: &Signed) -> Option<Note> {
        if self.judge(signed) != Judgement::New {
            return None;
        }
        let last = Last { n: signed.n, sig: to_hex(&signed.signature) };
        // A struct of numbers and strings always serialises.
        let value = serde_json::to_string(&last).ok()?;
        self.0.insert(signed.key, last);
        Some(Note { key: format!("{NOTES}{}", to_hex(&signed.key)), value: Some(value) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn signed(key: u8, n: u64, signature: u8) -> Signed {
        let (id, log, text) = ("a".into(), "k".into(), String::new());
        Signed { id, log, n, holds: None, key: [key; 32], signature: [signature; 64], text }
    }

    #[test]
    fn the_last_command_is_known_again_and_others_with_its_number_are_not() {
        let mut counters = Counters::default();
        assert_eq!(counters.judge(&signed(1, 7, 0)), Judgement::New);
        counters.accept(&signed(1, 7, 0)).unwrap();
        for (n, signature, judgement) in
            [(7, 0, Judgement::Repeated), (7, 1, Judgement::Old), (6, 0, Judgement::Old), (8, 0, Judgement::New)]
        {
            assert_eq!(counters.judge(&signed(1, n, signature)), judgement, "{n}");
        }
        assert_eq!(counters.judge(&signed(2, 1, 0)), Judgement::New, "another key has a counter of its own");
        assert_eq!(counters.accept(&signed(1, 7, 0)), None);
    }

    #[test]
    fn what_cannot_be_read_makes_nothing_new() {
        let note = |key: &str, value: &str| Counters::load([(key.to_owned(), value.to_owned())]);
        assert_eq!(note("command/00", "{}"), None);
        assert_eq!(note(&format!("{NOTES}{}", to_hex(&[1; 32])), "{}"), None);
        assert_eq!(Counters::load([]), Some(Counters::default()));
    }

    #[test]
    fn an_old_copy_of_the_journal_makes_nothing_new_again() {
        let mut counters = Counters::default();
        let old = counters.accept(&signed(1, 7, 0)).unwrap();
        counters.accept(&signed(1, 9, 0)).unwrap();
        let mut rolled_back = Counters::load([(old.key, old.value.unwrap())]).unwrap();
        assert_eq!(rolled_back.judge(&signed(1, 9, 0)), Judgement::New);
        assert!(rolled_back.raise(counters.all()));
        assert_eq!(rolled_back.judge(&signed(1, 9, 0)), Judgement::Old);
        assert_eq!(rolled_back.judge(&signed(1, 10, 0)), Judgement::New);
        // Where the journal is as far, its signature still tells a repetition.
        assert!(!counters.raise([([1; 32], 9), ([1; 32], 3)]));
        assert_eq!(counters.judge(&signed(1, 9, 0)), Judgement::Repeated);
    }

    proptest! {
        /// Commands come in any order, again and again, with restarts between:
        /// each number is accepted at most once for each key, and only above all
        /// that were accepted before.
        #[test]
        fn nothing_is_ever_done_twice(steps in prop::collection::vec((0..3u8, 1..20u64, 0..2u8, any::<bool>()), 0..100)) {
            let mut counters = Counters::default();
            let mut stored: HashMap<String, String> = HashMap::new();
            let mut highest: HashMap<u8, u64> = HashMap::new();
            for (key, n, signature, restart) in steps {
                if restart {
                    counters = Counters::load(stored.clone()).unwrap();
                }
                let command = signed(key, n, signature);
                let before = highest.get(&key).copied().unwrap_or(0);
                match counters.accept(&command) {
                    Some(note) => {
                        prop_assert!(n > before);
                        stored.insert(note.key, note.value.unwrap());
                        highest.insert(key, n);
                    }
                    None => prop_assert!(n <= before),
                }
                prop_assert_ne!(counters.judge(&command), Judgement::New);
            }
        }
    }
}
