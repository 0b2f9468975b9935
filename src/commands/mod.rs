//! The command line: each command reads its arguments, calls the library and
//! prints results to stdout; everything else goes to stderr.

pub mod detect;

use std::fmt;

/// Why a command ended without doing all it was asked to.
#[derive(Debug)]
pub enum CommandError {
    /// Exit code 2: the command line or the configuration file's text alone
    /// shows that this cannot work.
    Usage(String),
    /// Exit code 1: something named there failed, unreadable input included.
    Failed(String),
}

impl CommandError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CommandError::Usage(_) => 2,
            CommandError::Failed(_) => 1,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (CommandError::Usage(message) | CommandError::Failed(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for CommandError {}
