//! Where a camera's pictures come from.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::problem::quoted;
use super::rtsp_url::RtspUrl;
use super::secrets::{MASK, shown_command};

/// Where a camera's pictures come from. It prints as its kind alone: addresses,
/// paths, queries and arguments may all hold secrets. [`Source::label`] is what
/// messages say.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// `rtsp://…` or `rtsps://…`, a V4L2 device (`/dev/video0`) or a video file.
    Location(String),
    /// A program that writes video to its standard output.
    Command(CommandSource),
}

/// A program that writes video to its standard output.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSource {
    /// The program and its arguments; no shell is involved.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// FFmpeg's name of the stream's format: "h264", "hevc", "mjpeg", "mpegts", …
    #[schemars(length(max = 32), extend("x-kind" = "format", "pattern" = "^[a-z0-9_]+$"))]
    pub format: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.label())
    }
}

impl fmt::Debug for CommandSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandSource({})", program_name(&self.command))
    }
}

/// For people who look at their own configuration: what cannot hold a secret, and
/// `***` for the rest.
impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, self.kind()) {
            (_, SourceKind::Command(source)) => {
                let command = shown_command(&source.command);
                let mut table = serializer.serialize_struct("CommandSource", 2)?;
                table.serialize_field("command", &command)?;
                table.serialize_field("format", &source.format)?;
                table.end()
            }
            (_, SourceKind::Rtsp(_)) => serializer.collect_str(&format_args!("{}://{MASK}", self.label())),
            // A mistyped address is taken for a file's name.
            (Source::Location(text), _) if text.contains(['@', '?', ':', '=']) => serializer.serialize_str(MASK),
            (Source::Location(text), _) => serializer.serialize_str(text),
            (Source::Command(_), _) => serializer.serialize_str(MASK),
        }
    }
}

/// What messages say of a source, beside its camera's name: its kind, and of a
/// program the name of its file. The only thing in which a source is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLabel(Cow<'static, str>);

impl fmt::Display for SourceLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file's name of a program.
fn program_name(command: &[String]) -> &str {
    shown_command(command).first().copied().unwrap_or(MASK)
}

/// A source, told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
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

    /// What messages say of it.
    pub fn label(&self) -> SourceLabel {
        SourceLabel(match self.kind() {
            SourceKind::Rtsp(url) if url.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("rtsps")) => {
                "rtsps".into()
            }
            SourceKind::Rtsp(_) => "rtsp".into(),
            SourceKind::Device(_) => "device".into(),
            SourceKind::File(_) => "file".into(),
            SourceKind::Command(source) => format!("program {}", quoted(program_name(&source.command))).into(),
        })
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
            Source::Location(text) => match scheme(text) {
                Some((name, _)) if is_rtsp(name) => RtspUrl::parse(text).err().map(Cow::from),
                Some((name, _)) => {
                    let known = OTHER_SCHEMES.iter().find(|known| name.eq_ignore_ascii_case(known));
                    let name = known.map_or("such a URL".into(), |known| format!("'{known}://'"));
                    Some(format!("{name} is not supported; {FORMS}").into())
                }
                None if text.trim().split(':').next().is_some_and(is_rtsp) => {
                    Some(format!("a network camera's address begins with rtsp:// or rtsps://; {FORMS}").into())
                }
                None => None,
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

/// What a source may be.
const FORMS: &str = "a source is an rtsp:// or rtsps:// URL, a device such as /dev/video0, a video file's path, or \
                     { command = […], format = \"…\" }";

/// Schemes of which a message may say that they are not supported.
const OTHER_SCHEMES: [&str; 8] = ["http", "https", "rtmp", "rtp", "udp", "srt", "file", "onvif"];

fn is_rtsp(scheme: &str) -> bool {
    ["rtsp", "rtsps"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
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
        for (text, label) in [
            ("rtsp://cam/1", "rtsp"),
            ("RTSPS://cam/1", "rtsps"),
            ("/dev/video0", "device"),
            ("/dev/shm/clip.mp4", "file"),
            ("night 3/clip.mp4", "file"),
        ] {
            assert_eq!(Source::Location(text.into()).label().to_string(), label, "{text}");
        }
    }

    #[test]
    fn malformed_sources_are_refused() {
        for bad in [
            "",
            "rtsp://",
            "rtsp:///stream",
            "rtsp://user:pw@/stream",
            "http://cam/video",
            "a\0b",
            "rtsp:/u:p@cam/",
            " RTSP://cam",
        ] {
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
    fn no_source_prints_more_than_its_kind() {
        let command = ["/opt/cam/grab", "--password", "hunter2"].map(str::to_owned).to_vec();
        let sources = [
            Source::Location("rtsp://admin:hunter2@10.9.8.7/1?token=hunter2".into()),
            Source::Location("rtsps://cam/hunter2".into()),
            Source::Location("admin:hunter2@10.9.8.7/1".into()),
            Source::Command(CommandSource { command, format: "h264".into() }),
        ];
        for (source, shown) in sources.iter().zip([
            "Source(rtsp) rtsp \"rtsp://***\"",
            "Source(rtsps) rtsps \"rtsps://***\"",
            "Source(file) file \"***\"",
            "Source(program 'grab') program 'grab' {\"command\":[\"grab\",\"***\"],\"format\":\"h264\"}",
        ]) {
            let json = serde_json::to_string(source).unwrap_or_default();
            assert_eq!(format!("{source:?} {} {json}", source.label()), shown);
        }
        let clip = Source::Location("/data/clip.mp4".into());
        assert_eq!(serde_json::to_string(&clip).unwrap_or_default(), "\"/data/clip.mp4\"");
    }
}
