//! Signing commands to a unit.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use crate::clock::utc_now;
use crate::control::{Keyring, next_counter};

/// Signs commands with a key, each with a counter of its own.
pub struct Signer<'a> {
    /// First part of the unit's topics.
    pub prefix: &'a str,
    /// The unit's id.
    pub unit: &'a str,
    /// The key.
    pub keyring: &'a Keyring,
    /// Its file.
    pub key: &'a Path,
}

impl Signer<'_> {
    /// The payload that carries the command `text` for the journal `log`, and its
    /// counter.
    ///
    /// # Errors
    /// When the counter cannot be kept, in plain words.
    pub fn sign(&self, log: &str, id: &str, text: &Value) -> Result<(String, u64), String> {
        let counter = next_counter(self.key, utc_now()).map_err(|e| e.to_string())?;
        let unit = format!("{}/{}", self.prefix, self.unit);
        Ok((self.keyring.sign(&unit, log, id, counter, &text.to_string()).to_json(), counter))
    }
}

/// Says on stderr that `unit` is not there at present, if that is its state.
pub fn say_if_away(unit: &str, state: &str) {
    if state != "online" {
        // What it calls itself is not to be trusted on a terminal.
        let state: String = state.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "{unit} is {state}; it gets the command when it is back");
    }
}
