//! From a file, or from none, to a checked configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::model::Config;
use super::problem::{ConfigError, Problem, report};
use super::schema::schema;
use super::{rules, shape};

/// Where the configuration is when `--config` does not say it.
pub const DEFAULT_PATH: &str = "/etc/tawny/tawny.toml";

/// Larger files are something else: the largest sensible one has some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Checked; relative paths start at the file's folder.
    pub config: Config,
    /// The file, as it was named; `None` if the defaults serve.
    pub path: Option<PathBuf>,
}

impl Loaded {
    /// The file's name for messages.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => format!("no configuration file ({DEFAULT_PATH} does not exist)"),
        }
    }

    /// What `run`, `check` and `aim` need: at least one camera, and a source
    /// for each.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if there is none.
    pub fn require_sources(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if self.config.camera.is_empty() {
            problems.push(format!("{}: no camera; add a [[camera]] with a source", self.name()));
        }
        for camera in self.config.camera.iter().filter(|camera| camera.source.is_none()) {
            problems.push(format!("{}: the camera '{}' has no source", self.name(), camera.name));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }
}

/// Reads and checks the file at `path`, or else the one at [`DEFAULT_PATH`], or
/// else takes the defaults. Relative paths in it start at the file's folder.
///
/// # Errors
/// [`ConfigError::Unreadable`] if the named file is missing or cannot be read,
/// [`ConfigError::Invalid`] if what it says is wrong.
pub fn load(path: Option<&Path>) -> Result<Loaded, ConfigError> {
    let named = path.unwrap_or(Path::new(DEFAULT_PATH));
    let bytes = match read(named) {
        // A dangling link is a mistake; no file at all is a choice.
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound && !named.is_symlink() => {
            let mut config = Config::default();
            config.settle(cores());
            return Ok(Loaded { config, path: None });
        }
        other => other.map_err(|error| ConfigError::Unreadable { path: named.to_owned(), error })?,
    };
    let mut config = parse_bytes(&bytes, named)?;
    config.resolve_paths(named.parent().unwrap_or(Path::new("")));
    config.settle(cores());
    Ok(Loaded { config, path: Some(named.to_owned()) })
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// At most one byte more than is allowed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse_bytes(bytes: &[u8], name: &Path) -> Result<Config, ConfigError> {
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("{}: larger than 1 MiB: this is no configuration of Tawny", name.display());
        return Err(ConfigError::Invalid(vec![message]));
    }
    match str::from_utf8(bytes) {
        Ok(text) => parse(text, name),
        Err(error) => {
            let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let message = "this is not UTF-8 text".to_owned();
            Err(report(name, &good, vec![Problem { span: good.len()..good.len(), message }]))
        }
    }
}

/// Checks and reads a configuration's text. `name` stands for it in messages;
/// paths stay as they are.
///
/// # Errors
/// [`ConfigError::Invalid`] with everything that is wrong.
pub fn parse(text: &str, name: &Path) -> Result<Config, ConfigError> {
    let at = |error: toml::de::Error| {
        // Spans of syntax errors may be empty or lie at the end.
        let span = error.span().unwrap_or(0..0);
        report(name, text, vec![Problem { span, message: sentence(error.message()) }])
    };
    let document = DeTable::parse(text).map_err(at)?;
    let problems = shape::check(schema(), &document);
    if !problems.is_empty() {
        return Err(report(name, text, problems));
    }
    let config: Config = toml::from_str(text).map_err(at)?;
    let problems = rules::check(&config, &document);
    if !problems.is_empty() {
        return Err(report(name, text, problems));
    }
    Ok(config)
}

/// On one line, and without what it quotes of the text, which may be a secret.
fn sentence(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"…\"")
}
