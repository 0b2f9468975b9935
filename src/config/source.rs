//! Where a camera's pictures come from.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secrets;

/// Where a camera's pictures come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// `rtsp://…` or `rtsps://…`, a V4L2 device (`/dev/video0`) or a video file.
    Location(String),
    /// A program that writes video to its standard output.
    Command(CommandSource),
}

/// The location, or the program with its arguments; passwords and all: print
/// [`Source::redacted`].
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Location(text) => f.write_str(text),
            Source::Command(source) => f.write_str(&source.command.join(" ")),
        }
    }
}

/// A program that writes video to its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSource {
    /// The program and its arguments; no shell is involved.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// FFmpeg's name of the stream's format: "h264", "hevc", "mjpeg", "mpegts", …
    #[schemars(length(max = 32), extend("x-kind" = "format", "pattern" = "^[a-z0-9_]+$"))]
    pub format: String,
}

/// A source, told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind<'a> {
    /// A network camera: the whole `rtsp://` or `rtsps://` URL, password
    /// included.
    Rtsp(&'a str),
    /// A V4L2 device.
    Device(&'a Path),
    /// A video file.
    File(&'a Path),
    /// A program that writes video to its standard output.
    Command(&'a CommandSource),
}

impl Source {
    /// What this source is, judged by its form alone.
    pub fn kind(&self) -> SourceKind<'_> {
        match self {
            Source::Command(command) => SourceKind::Command(command),
            Source::Location(text) => match scheme(text) {
                Some(_) => SourceKind::Rtsp(text),
                None if text.starts_with("/dev/") && !text.starts_with("/dev/shm/") => {
                    SourceKind::Device(Path::new(text))
                }
                None => SourceKind::File(Path::new(text)),
            },
        }
    }

    /// The source as logs and screens may show it: without passwords.
    pub fn redacted(&self) -> Source {
        let hide = |text: &String| secrets::masked(text).into_owned();
        match self {
            Source::Location(text) => Source::Location(hide(text)),
            Source::Command(source) => Source::Command(CommandSource {
                command: source.command.iter().map(hide).collect(),
                format: source.format.clone(),
            }),
        }
    }

    /// Makes the path of a video file start at `folder` if it is relative.
    pub(super) fn resolve_path(&mut self, folder: &Path) {
        if let SourceKind::File(path) = self.kind() {
            // What was UTF-8 stays UTF-8 unless the folder's name is not; then
            // the path stays relative rather than wrong.
            if let Some(joined) = folder.join(path).to_str() {
                *self = Source::Location(joined.to_owned());
            }
        }
    }

    /// What is wrong with the form of this source, if anything.
    pub(super) fn problem(&self) -> Option<Cow<'static, str>> {
        match self {
            Source::Location(text) if text.is_empty() => Some("this source is empty".into()),
            Source::Location(text) if text.contains('\0') => Some("a source cannot contain NUL".into()),
            Source::Location(text) => match scheme(text)? {
                (name, rest) if ["rtsp", "rtsps"].iter().any(|known| name.eq_ignore_ascii_case(known)) => {
                    let address = rest.split(['/', '?']).next().unwrap_or("");
                    let host = address.rsplit('@').next().unwrap_or("");
                    (host.is_empty() || host.starts_with(':'))
                        .then(|| "this URL names no host; write for example \"rtsp://192.168.1.20/stream1\"".into())
                }
                (name, _) => Some(
                    format!(
                        "'{}://' is not supported; a source is an rtsp:// or rtsps:// URL, a device such as \
                         /dev/video0, a video file's path, or {{ command = […], format = \"…\" }}",
                        name.escape_debug()
                    )
                    .into(),
                ),
            },
            Source::Command(source) if source.command.first().is_none_or(String::is_empty) => {
                Some("the command is empty; its first string is the program's name".into())
            }
            Source::Command(source) if source.command.iter().any(|part| part.contains('\0')) => {
                Some("a command cannot contain NUL".into())
            }
            Source::Command(_) => None,
        }
    }
}

/// A URL's scheme and what follows `://`; `None` for a path.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (is_scheme && !scheme.is_empty()).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_by_their_form() {
        let kind = |text: &str| format!("{:?}", Source::Location(text.into()).kind());
        assert_eq!(kind("rtsp://cam/1"), "Rtsp(\"rtsp://cam/1\")");
        assert_eq!(kind("/dev/video0"), "Device(\"/dev/video0\")");
        assert_eq!(kind("/dev/shm/clip.mp4"), "File(\"/dev/shm/clip.mp4\")");
        assert_eq!(kind("night 3/clip.mp4"), "File(\"night 3/clip.mp4\")");
    }

    #[test]
    fn malformed_sources_are_refused() {
        for bad in ["", "rtsp://", "rtsp:///stream", "rtsp://user:pw@/stream", "http://cam/video", "a\0b"] {
            assert!(Source::Location(bad.into()).problem().is_some(), "{bad:?}");
        }
        for good in ["rtsp://cam", "rtsps://u:p@cam:554/a?b=c", "RTSP://cam", "/dev/video0", "clip.mp4", "a: //b.mp4"] {
            assert_eq!(Source::Location(good.into()).problem(), None, "{good:?}");
        }
        let command = |argv: &[&str]| {
            Source::Command(CommandSource {
                command: argv.iter().map(|s| s.to_string()).collect(),
                format: "h264".into(),
            })
        };
        assert!(command(&[""]).problem().is_some());
        assert!(command(&["rpicam-vid", "-t", "0"]).problem().is_none());
    }

    #[test]
    fn passwords_are_hidden() {
        let shown = Source::Location("rtsp://admin:hunter2@cam/1".into()).redacted();
        assert_eq!(shown, Source::Location("rtsp://admin:***@cam/1".into()));
    }
}
