//! `tawny config`: the commented default file, its JSON Schema, the effective
//! values.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::{CommandError, ConfigFile};
use crate::config;

/// The file that `tawny config defaults` prints: every key, commented.
pub const DEFAULTS: &str = include_str!("../../config/tawny.toml");

/// What `tawny config` may be asked.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints a configuration file with every key, its meaning and its default
    ///
    /// All keys are commented out: what you do not change keeps following the
    /// defaults of the version you run.
    ///
    /// Example: tawny config defaults | sudo tee /etc/tawny/tawny.toml
    #[command(verbatim_doc_comment)]
    Defaults,
    /// Prints the JSON Schema of the configuration file, for editors
    ///
    /// Editors that know TOML (VS Code with Even Better TOML, Helix and Neovim
    /// with Taplo) complete and check the file by it.
    ///
    /// Example: tawny config schema > tawny.schema.json
    #[command(verbatim_doc_comment)]
    Schema,
    /// Checks the configuration file's text and prints all values in effect
    ///
    /// Prints TOML: what the file says, the defaults for the rest, paths as they
    /// are resolved. Of cameras' addresses only the scheme is shown, of programs only
    /// their file's name, *** for the rest. Whether the things it names exist and
    /// answer is told by `tawny check`.
    ///
    /// Example: tawny config show --config ./tawny.toml
    #[command(verbatim_doc_comment)]
    Show(ConfigFile),
}

/// Prints what was asked for.
///
/// # Errors
/// If the configuration cannot be read or is wrong, or stdout cannot be
/// written.
pub fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let text = match &args.what {
        What::Defaults => DEFAULTS.to_owned(),
        What::Schema => format!("{:#}\n", config::schema()),
        What::Show(file) => show(&file.load()?)?,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::stdout)
}

fn show(loaded: &config::Loaded) -> Result<String, CommandError> {
    let values = toml::to_string_pretty(&loaded.config)
        .map_err(|error| CommandError::Failed(format!("cannot write the configuration as TOML: {error}")))?;
    Ok(format!("# {}\n{values}", loaded.name()))
}
