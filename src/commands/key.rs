//! `tawny key`: the keys of those who command units.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CommandError;
use crate::control::{Keyring, KeyringError};

/// Makes and shows the keys by which units know their operators
///
/// Each operator has a key of their own. The units get its public half, under
/// uplink.operator_keys; the secret half stays in its file.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a new key and prints its public half
    ///
    /// Prints the line for the units' configuration; where there are such keys
    /// already, add this one to the list. The file is readable for you alone; the
    /// secret in it is never shown. A file that is there is never overwritten.
    ///
    /// Example: tawny key new --name alice ~/.config/tawny-alice.key
    New {
        /// Whose key it is; the units name it in their events
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The file to make
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints the public half of a key
    ///
    /// Example: tawny key show ~/.config/tawny-alice.key
    Show {
        /// The key's file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Makes or shows a key.
///
/// # Errors
/// Code 2 for a name that is none; code 1 when the file is there already, cannot
/// be read or written, holds no key, or may be read by others.
pub fn run(args: &KeyArgs) -> Result<(), CommandError> {
    let keyring = match &args.what {
        What::New { name, file } => Keyring::create(file, name),
        What::Show { file } => Keyring::open(file),
    };
    let keyring = keyring.map_err(|e| match e {
        KeyringError::Name(_) => CommandError::Usage(e.to_string()),
        e => CommandError::Failed(e.to_string()),
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "operator_keys = [\"{}\"]", keyring.public()).and_then(|()| out.flush()).map_err(CommandError::stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        KeyArgs::augment_args(clap::Command::new("key")).debug_assert();
    }
}
