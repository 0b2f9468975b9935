//! `tawny run`: the service.

use super::{CommandError, ConfigFile};
use crate::unit::{self, RunError};

/// Watches the cameras until told to stop
///
/// Keeps every event in the journal and sends it to the broker, if one is
/// configured. Cameras, the broker and the disk may come and go; what is
/// missing is retried for ever. SIGTERM and SIGINT end it within five seconds
/// with exit code 0, and so does the end of the last file when every camera is
/// a file that is not repeated. Started by systemd, it tells when it is ready
/// and feeds the watchdog.
///
/// Example: tawny run --config /etc/tawny/tawny.toml
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Runs the command.
///
/// # Errors
/// Code 2 for a wrong configuration or one without cameras; code 1 when the
/// journal, the detector or a file named in the configuration cannot be used.
pub fn run(args: &RunArgs) -> Result<(), CommandError> {
    let loaded = args.config.load()?;
    loaded.require_sources()?;
    unit::run(&loaded.config).map_err(|e: RunError| CommandError::Failed(e.to_string()))
}
