//! Signing commands to a unit, and explaining why it does not take them.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CommandError;
use crate::clock::utc_now;
use crate::config::HumanDuration;
use crate::control::{DOMAIN, DOMAIN_V1, Holds, Keyring, LONGEST_HOLD, Wording, next_counter, read_boot};
use crate::domain::UtcMillis;
use crate::uplink::{AskError, Standing};

/// How long what is signed holds.
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    /// For how long a signed command holds: a unit that gets it later refuses it. At
    /// most 24h; a broker keeps commands for a unit that is away up to six hours
    #[arg(long, value_name = "DURATION", default_value = "10m", global = true)]
    within: HumanDuration,
    /// Signs as earlier versions did, without an end, for a unit that has not been
    /// updated yet: whoever keeps the command back can have it done at any time
    #[arg(long, global = true)]
    v1: bool,
}

impl HoldArgs {
    /// # Errors
    /// Code 2 for a duration that no unit accepts.
    pub fn check(&self) -> Result<(), CommandError> {
        if (Duration::from_secs(1)..=LONGEST_HOLD).contains(&self.within.0) {
            return Ok(());
        }
        let most = HumanDuration(LONGEST_HOLD);
        Err(CommandError::Usage(format!("--within: a command holds from 1s to {most}, not {}", self.within)))
    }
}

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
    /// How long what it signs holds.
    pub hold: &'a HoldArgs,
}

impl Signer<'_> {
    /// The payload that carries the command `text` to a unit that says this of itself,
    /// and its counter.
    ///
    /// # Errors
    /// When what is said of the unit cannot be signed, or the counter cannot be kept,
    /// in plain words.
    pub fn sign(&self, standing: &Standing, id: &str, text: &Value) -> Result<(String, u64), String> {
        let (now, unit, text) = (utc_now(), format!("{}/{}", self.prefix, self.unit), text.to_string());
        let holds = self.holds(standing, now)?;
        // Before a counter is used up for it.
        let wording = Wording { log: &standing.log, id, n: 1, holds, text: &text };
        if let Err(why) = wording.lines(&unit) {
            return Err(format!(
                "not signed: {why}, by what the broker says of the unit (--prefix, --unit, its status)"
            ));
        }
        let n = next_counter(self.key, now).map_err(|e| e.to_string())?;
        let signed = self.keyring.sign(&unit, &Wording { n, ..wording });
        let signed = signed.map_err(|why| {
            format!(
                "not signed: {why}; was the clock of this machine once ahead? It is in {}.counter",
                self.key.display()
            )
        })?;
        Ok((signed.to_json(), n))
    }

    fn holds(&self, standing: &Standing, now: UtcMillis) -> Result<Option<Holds>, String> {
        if self.hold.v1 {
            return Ok(None);
        }
        let boot = match &standing.boot {
            Some(boot) => {
                Some(read_boot(boot).ok_or("not signed: the unit's status, as the broker has it, names no boot")?)
            }
            None => None,
        };
        Ok(Some(Holds { until: now.plus(self.hold.within.0), boot }))
    }

    /// For how long, as the broker is told.
    pub fn span(&self) -> Duration {
        self.hold.within.0
    }

    /// Says on stderr that the unit is not there at present, if that is its state.
    pub fn say_if_away(&self, state: &str) {
        if state != "online" {
            // What it calls itself is not to be trusted on a terminal.
            let state: String = state.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
            let (unit, within) = (self.unit, self.hold.within);
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(
                io::stderr(),
                "{unit} is {state}; it gets the command if it is back within {within} (--within)"
            );
        }
    }

    /// What went wrong, with what can be done about it.
    pub fn explain(&self, error: &AskError) -> CommandError {
        let advice = match error {
            AskError::Refused { reason, .. } => self.advice(reason),
            AskError::Silence(_) if !self.hold.v1 => format!(", for {} from when it was sent", self.hold.within),
            _ => String::new(),
        };
        CommandError::Failed(format!("{error}{advice}"))
    }

    /// What can be done where a unit refuses for this reason.
    pub fn advice(&self, reason: &str) -> String {
        match reason {
            "stale" => format!(
                "\nit was signed to hold for {} from {} on, by this machine's clock; if that has not passed, one of the \
                 two clocks is wrong",
                self.hold.within,
                utc_now()
            ),
            "undated" => format!("\nthis unit takes only `{DOMAIN}`: leave out --v1"),
            "signature" if !self.hold.v1 => {
                format!(
                    "\n(a unit with a program from before `{DOMAIN}` knows only `{DOMAIN_V1}`: update it, or see --v1)"
                )
            }
            _ => String::new(),
        }
    }
}
