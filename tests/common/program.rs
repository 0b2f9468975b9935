//! The real program and what it says, and videos to show it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tawny::event::{Body, Event};

/// A silver car to the left, then a red bus to the right.
pub const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clips/street.mp4");

/// The line that both cross.
pub const STREET_LINE: &str = "[[camera]]\nname = \"road\"\n[[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\n\
                               to = [0.45, 0.0]\nforward = \"right\"\nbackward = \"left\"\nanchor = \"center\"\n";

/// What a command left behind.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The events on stdout, one a line, each readable.
    pub fn events(&self) -> Vec<Event> {
        self.stdout.lines().map(|line| Event::from_json(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Group and direction of every crossing.
    pub fn crossings(&self) -> Vec<(String, String)> {
        let crossing = |event: Event| match event.body {
            Body::Crossing { grp, dir, .. } => Some((grp.to_string(), dir)),
            _ => None,
        };
        self.events().into_iter().filter_map(crossing).collect()
    }

    /// The last line of stderr.
    pub fn summary(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// `tawny` with these arguments; it must not panic.
pub fn tawny<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Said {
    tawny_with(args, &[])
}

/// The same with environment variables.
pub fn tawny_with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, variables: &[(&str, &str)]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .args(args)
        .env_remove("TAWNY_LOG")
        .env_remove("RUST_LOG")
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let said = Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    said
}

/// A folder with a configuration, and videos made in it.
pub struct Studio {
    pub folder: tempfile::TempDir,
}

impl Studio {
    pub fn new(configuration: &str) -> Studio {
        let studio = Studio { folder: tempfile::tempdir().unwrap() };
        std::fs::write(studio.path("tawny.toml"), configuration).unwrap();
        studio
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `tawny replay` on `videos`.
    pub fn replay<P: AsRef<Path>>(&self, videos: &[P]) -> Said {
        self.replay_with(&[], videos)
    }

    pub fn replay_with<P: AsRef<Path>>(&self, options: &[&str], videos: &[P]) -> Said {
        let config = self.path("tawny.toml");
        let mut args: Vec<&OsStr> = vec!["replay".as_ref(), "--config".as_ref(), config.as_os_str()];
        args.extend(options.iter().map(OsStr::new));
        args.extend(videos.iter().map(|video| video.as_ref().as_os_str()));
        tawny(args)
    }

    /// `ffmpeg INPUT OPTIONS NAME`: another form of a video.
    pub fn make(&self, input: impl AsRef<Path>, options: &str, name: &str) -> PathBuf {
        self.try_make("", input.as_ref(), options, name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// With options for reading too; the error is ffmpeg's.
    pub fn try_make(&self, reading: &str, input: &Path, options: &str, name: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y"])
            .args(reading.split_whitespace())
            .arg("-i")
            .arg(input)
            .arg("-an")
            .args(options.split_whitespace())
            .arg(&path)
            .output()
            .expect("ffmpeg is installed (scripts/setup sees to it)");
        match output.status.success() {
            true => Ok(path),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}
