//! `tawny command`: tells a unit what to do.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fetch::{ClipArgs, StillArgs, Wanted, fetch_file};
use super::signer::{HoldArgs, Signer};
use super::{BrokerArgs, CommandError};
use crate::config::HumanDuration;
use crate::control::{Keyring, is_id};
use crate::uplink::{Question, Standing, ask};

/// Tells a unit what to do, and prints its answer
///
/// ping and resend need no key; everything else is signed with one that the
/// unit trusts (see `tawny key`). Beside the key's file lies FILE.counter, whose
/// number grows with each command, so that none can be repeated by others.
///
/// A unit that is away gets the command if it comes back while the command holds
/// (--within); this program waits for its answer no longer than --timeout. still and clip write
/// a file, and print its name; a connection that breaks on the way is made again.
///
/// Exit code 0: the unit has done it. 1: it refused, did not answer in time, or
/// cannot be reached. 2: the command line is wrong.
///
/// Example: tawny command --broker mqtts://broker.local --unit gate --key alice.key pause 2h
///
/// To one that sleeps: tawny command --broker mqtts://broker.local --unit gate --key alice.key --within 6h pause 2h
#[derive(Debug, Args)]
pub struct CommandArgs {
    /// Where the unit is connected.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// The unit's id
    #[arg(long, value_name = "ID")]
    pub unit: String,
    /// The file with your key, made by `tawny key new`
    #[arg(long, value_name = "FILE", global = true)]
    pub key: Option<PathBuf>,
    /// How long to wait for the answer, or for the next piece of a file
    #[arg(long, value_name = "DURATION", default_value = "30s", global = true)]
    pub timeout: HumanDuration,
    /// How long it holds.
    #[command(flatten)]
    hold: HoldArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Asks whether the unit is there; with --key, whether it trusts the key
    Ping,
    /// Has stored events sent again
    Resend {
        /// The first number
        from: u64,
        /// The last number
        to: u64,
    },
    /// Has nothing watched for a while, at most 24h
    Pause {
        /// How long, for example 30m or 2h
        duration: HumanDuration,
    },
    /// Ends a pause
    Resume,
    /// Fetches a picture: one that is kept, or what a camera sees now
    Still(StillArgs),
    /// Fetches a clip
    Clip(ClipArgs),
}

impl What {
    fn json(&self) -> Value {
        match self {
            What::Ping => json!({"do": "ping"}),
            What::Resend { from, to } => json!({"do": "resend", "from": from, "to": to}),
            What::Pause { duration } => json!({"do": "pause", "for": duration.to_string()}),
            What::Resume => json!({"do": "resume"}),
            What::Still(still) => still.json(),
            What::Clip(clip) => clip.json(),
        }
    }

    /// The file that is wanted.
    fn wanted(&self) -> Option<Wanted> {
        match self {
            What::Still(still) => Some(still.wanted()),
            What::Clip(clip) => Some(clip.wanted()),
            _ => None,
        }
    }

    fn needs_key(&self) -> bool {
        !matches!(self, What::Ping | What::Resend { .. })
    }
}

/// Sends the command and waits for its answer.
///
/// # Errors
/// Code 2 when a key is needed and none is named, or the unit's id is none; code 1
/// when the unit refuses or does not answer, or the key or the broker cannot be
/// used.
pub fn run(args: &CommandArgs) -> Result<(), CommandError> {
    if !is_id(&args.unit) {
        return Err(CommandError::Usage(format!("--unit: '{}' is no unit's id", args.unit)));
    }
    if args.what.needs_key() && args.key.is_none() {
        return Err(CommandError::Usage("this has to be signed: name your key with --key FILE".to_owned()));
    }
    args.hold.check()?;
    let failed = |e: &dyn std::fmt::Display| CommandError::Failed(e.to_string());
    let keyring = args.key.as_deref().map(Keyring::open).transpose().map_err(|e| failed(&e))?;
    let signer = keyring.as_ref().zip(args.key.as_deref()).map(|(keyring, key)| Signer {
        prefix: &args.broker.prefix,
        unit: &args.unit,
        keyring,
        key,
        hold: &args.hold,
    });
    if let (Some(wanted), Some(signer)) = (args.what.wanted(), &signer) {
        return fetch_file(&args.broker, signer, args.timeout.0, &wanted);
    }
    let random = getrandom::u64().map_err(|e| failed(&e))?;
    let id = format!("command-{random:016x}");
    let settings = args.broker.settings(&id)?;
    let text = args.what.json();
    let mut n = None;
    let write = |standing: &Standing| {
        let Some(signer) = &signer else { return Ok(unsigned(&id, &text)) };
        signer.say_if_away(&standing.state);
        let (payload, counter) = signer.sign(standing, &id, &text)?;
        n = Some(counter);
        Ok(payload)
    };
    let holds = signer.as_ref().map(Signer::span);
    let question = Question { unit: &args.unit, id: &id, holds, patience: args.timeout.0 };
    let reply = ask(&settings, &question, write).map_err(|e| match &signer {
        Some(signer) => signer.explain(&e),
        None => failed(&e),
    })?;
    print(&reply, n, signer.as_ref())
}

fn unsigned(id: &str, text: &Value) -> String {
    let mut command = text.clone();
    if let Some(keys) = command.as_object_mut() {
        keys.insert("id".to_owned(), id.into());
    }
    command.to_string()
}

/// Prints the reply; `n` is what a signed command was numbered, by whom.
fn print(reply: &Value, n: Option<u64>, signer: Option<&Signer<'_>>) -> Result<(), CommandError> {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", plain(&reply.to_string())).and_then(|()| out.flush()).map_err(CommandError::stdout)?;
    let word = |key: &str| plain(reply[key].as_str().unwrap_or("no reason given"));
    if reply["ok"] != true {
        let reason = word("refused");
        let advice = signer.map_or(String::new(), |signer| signer.advice(&reason));
        return Err(CommandError::Failed(format!("refused ({reason}): {}{advice}", word("why"))));
    }
    if n.is_some() && reply["n"].as_u64() != n {
        return Err(CommandError::Failed("this is no answer to a signed command".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn the_command_line_is_sound_and_its_help_speaks_of_this_command() {
        let mut command = CommandArgs::augment_args(clap::Command::new("command"));
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        assert!(help.contains("Tells a unit what to do") && !help.contains("Where the unit is"), "{help}");
    }

    const ID: &str = "019a0000-0000-7000-8000-000000000001";

    /// As on the command line.
    fn parsed(words: &[&str]) -> What {
        let command = What::augment_subcommands(clap::Command::new("command"));
        let matches = command.try_get_matches_from([&["command"], words].concat()).unwrap();
        What::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_still_is_of_a_sighting_or_of_a_camera() {
        for wrong in [
            &["still"][..],
            &["still", "--of", ID, "--camera", "road"],
            &["still", "--of", ID, "--draw"],
            &["still", "--camera", "road", "--full"],
            &["still", "--camera", "road", "--width", "100"],
            &["still", "--of", "today"],
            &["clip"],
        ] {
            let command = What::augment_subcommands(clap::Command::new("command"));
            assert!(command.try_get_matches_from([&["command"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn each_command_is_one_that_units_understand() {
        let verbs = [
            What::Ping,
            What::Resend { from: 1, to: 2 },
            What::Pause { duration: HumanDuration::secs(5400) },
            What::Resume,
            parsed(&["still", "--of", ID]),
            parsed(&["still", "--of", ID, "--full"]),
            parsed(&["still", "--camera", "road", "--draw", "--width", "320"]),
            parsed(&["clip", "--of", ID]),
        ];
        for verb in verbs {
            let what = crate::control::What::read(&verb.json().to_string());
            let needed = what.map(|what| what.rule().1 == crate::control::Access::Operators);
            assert_eq!(needed, Ok(verb.needs_key()), "{verb:?}");
        }
    }
}
