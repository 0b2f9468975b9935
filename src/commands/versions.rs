//! What `tawny --version` tells: everything that decides what is found.

use crate::capture::ffmpeg_version;
use crate::detect::{Runtime, built_in_model_hash};

/// The program's own version, then one line each for the libraries found and
/// the built-in model. Never fails: what is not there is said to be missing.
pub fn long() -> String {
    let runtime = match Runtime::load(None) {
        Ok(runtime) => format!("{} ({})", runtime.version(), runtime.path().display()),
        Err(_) => "not found".to_owned(),
    };
    format!(
        "{}\nONNX Runtime {runtime}\nFFmpeg {}\nmodel {} (built in)",
        env!("CARGO_PKG_VERSION"),
        ffmpeg_version(),
        built_in_model_hash()
    )
}
