//! `tawny check`: does everything that the configuration names work?

mod items;
mod table;

use std::io::Write;
use std::thread;

use self::table::{Item, State, Table};
use super::{CommandError, ConfigFile};

/// Checks the configuration and everything that it names
///
/// Loads the model and looks at one picture, opens every camera and reads some
/// frames, writes a trial file beside the journal, logs in at the broker, and asks
/// how sure the clock is. Nothing is changed; a running daemon is not disturbed,
/// except that a local camera can be opened by one program only. Takes half a
/// minute at most when cameras and broker do not answer.
///
/// Prints a table; the exit code is 1 if anything failed, 2 if the file itself is
/// wrong.
///
/// Example: sudo -u tawny tawny check
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CheckArgs {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Checks everything, prints the table.
///
/// # Errors
/// Code 2 for a wrong configuration; code 1 when something that it names
/// failed.
pub fn run(args: &CheckArgs) -> Result<(), CommandError> {
    let loaded = args.config.load()?;
    loaded.require_sources()?;
    let config = &loaded.config;
    let mut table = Table::default();
    table.push(Item::ok("configuration", loaded.name()));
    table.push(items::runtime(&config.detector));
    // Before the cameras, so that its time is its own.
    table.push(items::detector(config));
    let needs = items::RingNeeds::of(config);
    // One after the other, a few dead cameras would take minutes.
    let cameras: Vec<_> = config.camera.iter().map(|camera| items::start_camera(camera.clone(), needs)).collect();
    let uplink = {
        let config = config.clone();
        thread::spawn(move || items::broker(&config))
    };
    let journal = items::journal(&config.journal);
    for camera in cameras {
        table.push(camera.result());
    }
    table.push(journal);
    table.push(uplink.join().unwrap_or_else(|_| Item::failed("broker", "the check itself failed", "report this")));
    if let Some(commands) = items::commands(config) {
        table.push(commands);
    }
    table.push(items::clock(config));
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{table}").and_then(|()| stdout.flush()).map_err(CommandError::stdout)?;
    match table.names(State::Failed) {
        failed if failed.is_empty() => Ok(()),
        failed => Err(CommandError::Failed(format!("failed: {}", failed.join(", ")))),
    }
}
