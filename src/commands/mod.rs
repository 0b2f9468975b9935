//! The command line: each command reads its arguments, calls the library and
//! prints results to stdout; everything else goes to stderr.

pub mod aim;
mod broker_args;
pub mod check;
pub mod command;
pub mod config;
pub mod detect;
pub mod events;
mod fetch;
pub mod key;
mod media_files;
mod private_file;
pub mod receive;
pub mod replay;
pub mod report;
pub mod run;
mod signer;
pub mod versions;

use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::Args;

pub use broker_args::BrokerArgs;

use crate::config::{ConfigError, Loaded, load};

/// The option that every command with a configuration has.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFile {
    /// The configuration file; /etc/tawny/tawny.toml or else the defaults if
    /// not given
    #[arg(long = "config", value_name = "FILE")]
    pub path: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// If the file cannot be read or is wrong.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(self.path.as_deref())
    }
}

/// A command's own arguments and `--config`.
#[derive(Debug, Clone, Args)]
pub struct WithConfig<A: Args> {
    /// Which configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The command's own.
    #[command(flatten)]
    pub args: A,
}

/// Why a command ended without doing all it was asked to.
#[derive(Debug)]
pub enum CommandError {
    /// Exit code 2: the command line or the configuration file's text alone
    /// shows that this cannot work.
    Usage(String),
    /// Exit code 1: something named there failed, unreadable input included.
    Failed(String),
    /// Exit code 0, silently: whoever read stdout has seen enough, as in
    /// `tawny events | head`.
    OutputClosed,
}

impl CommandError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CommandError::Usage(_) => 2,
            CommandError::Failed(_) => 1,
            CommandError::OutputClosed => 0,
        }
    }

    /// From an error of writing to stdout.
    pub fn stdout(error: io::Error) -> CommandError {
        if error.kind() == io::ErrorKind::BrokenPipe {
            CommandError::OutputClosed
        } else {
            CommandError::Failed(format!("cannot write to standard output: {error}"))
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Usage(message) | CommandError::Failed(message) => f.write_str(message),
            CommandError::OutputClosed => f.write_str("standard output was closed"),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> CommandError {
        match error {
            ConfigError::Unreadable { .. } => CommandError::Failed(error.to_string()),
            ConfigError::Invalid(_) => CommandError::Usage(error.to_string()),
        }
    }
}
