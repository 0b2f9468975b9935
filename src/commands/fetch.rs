//! `tawny command … still` and `clip`: a file from a unit onto this machine, whole and
//! checked or not at all.

use std::fs::File;
use std::io::{self, IsTerminal, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::private_file::begin_beside;
use super::signer::Signer;
use super::{BrokerArgs, CommandError};
use crate::clock::utc_now;
use crate::control::PORTRAIT_WIDTHS;
use crate::uplink::{Errand, Recipient, Request, fetch};

/// Which picture.
#[derive(Debug, Clone, Args)]
pub struct StillArgs {
    /// The still of this sighting, by the id in its events
    #[arg(long, value_name = "ID", required_unless_present = "camera", conflicts_with = "camera")]
    of: Option<Uuid>,
    /// The full-size one, in which nobody is hidden; only where the unit's
    /// privacy.people is "clear"
    #[arg(long, requires = "of", conflicts_with = "camera")]
    full: bool,
    /// What this camera sees now; people are hidden in it as in every still
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// With tripwires, zones and detections
    #[arg(long, requires = "camera", conflicts_with = "of")]
    draw: bool,
    /// At most so many pixels wide, 160 to 1920
    #[arg(long, value_name = "PIXELS", requires = "camera", conflicts_with = "of", value_parser = widths())]
    width: Option<u64>,
    #[command(flatten)]
    output: Output,
}

fn widths() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(PORTRAIT_WIDTHS)
}

/// Which clip.
#[derive(Debug, Clone, Args)]
pub struct ClipArgs {
    /// The clip, by the id in its event `kept`
    #[arg(long, value_name = "ID")]
    of: Uuid,
    #[command(flatten)]
    output: Output,
}

/// Where it goes.
#[derive(Debug, Clone, Args)]
struct Output {
    /// The file to write, - for standard output; named after what is in it if not given
    #[arg(long, value_name = "FILE|-")]
    output: Option<PathBuf>,
}

/// A file that somebody wants.
pub struct Wanted {
    /// The command, without `from`.
    command: Value,
    /// Whether it is the same when it is asked for again.
    kept: bool,
    output: PathBuf,
}

impl StillArgs {
    /// The command.
    pub fn json(&self) -> Value {
        let is_set = |flag: bool| flag.then_some(Value::Bool(true));
        let keys = [
            ("do", Some(json!("still"))),
            ("of", self.of.map(|of| json!(of))),
            ("cam", self.camera.as_ref().map(|camera| json!(camera))),
            ("full", is_set(self.full)),
            ("draw", is_set(self.draw)),
            ("width", self.width.map(Value::from)),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    pub fn wanted(&self) -> Wanted {
        let name = match (&self.of, &self.camera) {
            (Some(of), _) => format!("{of}.jpg"),
            (None, camera) => {
                let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
                let time: String = utc_now().to_string().chars().take(19).filter(|c| !"-:".contains(*c)).collect();
                let camera: String = camera.iter().flat_map(|name| name.chars()).map(plain).collect();
                format!("{camera}-{time}Z.jpg")
            }
        };
        Wanted { command: self.json(), kept: self.of.is_some(), output: self.output.path(name) }
    }
}

impl ClipArgs {
    /// The command.
    pub fn json(&self) -> Value {
        json!({"do": "clip", "of": self.of})
    }

    pub fn wanted(&self) -> Wanted {
        Wanted { command: self.json(), kept: true, output: self.output.path(format!("{}.mp4", self.of)) }
    }
}

impl Output {
    fn path(&self, name: String) -> PathBuf {
        self.output.clone().unwrap_or_else(|| name.into())
    }
}

/// Fetches it over `broker` and writes it; nothing may arrive for as long as
/// `patience`.
///
/// # Errors
/// Code 2 for a terminal that cannot show it; code 1 when the unit refuses or falls
/// silent, or the file cannot be written.
pub fn fetch_file(
    broker: &BrokerArgs,
    signer: &Signer<'_>,
    patience: Duration,
    wanted: &Wanted,
) -> Result<(), CommandError> {
    let to_stdout = wanted.output == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        let message = "a terminal cannot show it: use --output FILE, or redirect standard output";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let random = getrandom::u64().map_err(|e| CommandError::Failed(e.to_string()))?;
    let settings = broker.settings(&format!("fetch-{random:016x}"))?;
    let unwritable = |e: io::Error| CommandError::Failed(format!("cannot write {}: {e}", wanted.output.display()));
    let target = if to_stdout { Target::memory() } else { Target::file(&wanted.output).map_err(unwritable)? };
    let mut delivery = Delivery { signer, wanted, target, bar: None };
    let errand = Errand { unit: signer.unit, patience, holds: signer.span() };
    let fetched = fetch(&settings, errand, &mut delivery);
    if let Some(bar) = &delivery.bar {
        bar.finish_and_clear();
    }
    fetched.map_err(|e| signer.explain(&e))?;
    let mut out = io::stdout().lock();
    match delivery.target.finish().map_err(unwritable)? {
        Some(bytes) => out.write_all(&bytes),
        None => writeln!(out, "{}", wanted.output.display()),
    }
    .and_then(|()| out.flush())
    .map_err(CommandError::stdout)
}

/// Signs the requests, and keeps what comes.
struct Delivery<'a> {
    signer: &'a Signer<'a>,
    wanted: &'a Wanted,
    target: Target,
    bar: Option<ProgressBar>,
}

impl Recipient for Delivery<'_> {
    fn write(&mut self, request: &Request<'_>) -> Result<(String, u64), String> {
        let mut command = self.wanted.command.clone();
        if let Some(keys) = command.as_object_mut().filter(|_| request.from > 0 && self.wanted.kept) {
            keys.insert("from".to_owned(), request.from.into());
        }
        self.signer.sign(request.standing, request.id, &command)
    }

    fn away(&mut self, state: &str) {
        self.signer.say_if_away(state);
    }

    fn take(&mut self, new: &[u8], have: u64, bytes: u64) -> io::Result<()> {
        // Hidden unless stderr is a terminal.
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta}");
            ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_length(bytes);
        bar.set_position(have);
        self.target.write(new)
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.target.empty()
    }
}

/// Where the bytes are until they are complete.
enum Target {
    Memory(Vec<u8>),
    /// A file beside the one that is to be.
    Beside {
        file: File,
        part: PathBuf,
        path: PathBuf,
    },
}

impl Target {
    fn memory() -> Target {
        Target::Memory(Vec::new())
    }

    fn file(path: &Path) -> io::Result<Target> {
        let (file, part) = begin_beside(path)?;
        Ok(Target::Beside { file, part, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Target::Memory(memory) => memory.write_all(bytes),
            Target::Beside { file, .. } => file.write_all(bytes),
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        match self {
            Target::Memory(memory) => memory.clear(),
            Target::Beside { file, .. } => {
                file.set_len(0)?;
                file.rewind()?;
            }
        }
        Ok(())
    }

    /// It is complete: gives what is not in a file.
    fn finish(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Target::Memory(memory) => Ok(Some(std::mem::take(memory))),
            Target::Beside { file, part, path } => {
                file.sync_all()?;
                std::fs::rename(part, path)?;
                Ok(None)
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Target::Beside { part, .. } = self {
            // Gone already if it was complete.
            let _ = std::fs::remove_file(part);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        std::fs::write(dir.path().join("clip.mp4.part"), "left behind").unwrap();
        let mut target = Target::file(&path).unwrap();
        target.write(b"another").unwrap();
        target.empty().unwrap();
        target.write(b"this").unwrap();
        drop(target);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut target = Target::file(&path).unwrap();
        target.write(b"another").unwrap();
        target.empty().unwrap();
        target.write(b"this").unwrap();
        assert!(!path.exists());
        assert_eq!(target.finish().unwrap(), None);
        drop(target);
        assert_eq!(std::fs::read(&path).unwrap(), b"this");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
