//! Source strings: what kind they are, and how to show them without secrets.

/// What a source string names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network camera.
    Rtsp,
    /// A local Video4Linux device.
    Device,
    /// A video file.
    File,
}

/// The kind of `source`.
pub fn kind(source: &str) -> Kind {
    let lower = source.to_ascii_lowercase();
    if lower.starts_with("rtsp://") || lower.starts_with("rtsps://") {
        Kind::Rtsp
    } else if source.starts_with("/dev/video") {
        Kind::Device
    } else {
        Kind::File
    }
}

/// `source` with the password of a URL replaced by `***`.
pub fn masked(source: &str) -> String {
    let Some((scheme, rest)) = source.split_once("://") else { return source.to_owned() };
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    // The last '@' ends the user part: passwords may hold further ones.
    let Some(at) = authority.rfind('@') else { return source.to_owned() };
    let user = authority[..at].split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:***@{}", &rest[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_nothing_else() {
        assert_eq!(masked("rtsp://me:p@ss@cam:554/a?b=c@d"), "rtsp://me:***@cam:554/a?b=c@d");
        assert_eq!(masked("rtsp://cam/stream"), "rtsp://cam/stream");
        assert_eq!(masked("/tmp/a:b@c.mp4"), "/tmp/a:b@c.mp4");
    }

    #[test]
    fn kinds() {
        assert_eq!(kind("RTSP://cam"), Kind::Rtsp);
        assert_eq!(kind("/dev/video0"), Kind::Device);
        assert_eq!(kind("clips/a.mp4"), Kind::File);
    }
}
