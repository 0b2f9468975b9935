//! Hiding passwords before text of a configuration is shown or logged.

use std::borrow::Cow;
use std::ops::Range;

/// What is shown instead of a secret.
pub(super) const MASK: &str = "***";

/// Names after which, with `=` or `:` between, a secret follows.
const SECRET_NAMES: [&str; 9] = ["password", "passwd", "passphrase", "pass", "pwd", "pw", "secret", "token", "key"];

/// `text` (one line or one value) as logs and screens may show it: everything
/// that looks like a password replaced by `***`.
pub fn masked(text: &str) -> Cow<'_, str> {
    let ranges = ranges(text);
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        shown.push_str(text.get(from..range.start).unwrap_or_default());
        shown.push_str(MASK);
        from = range.end;
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(shown)
}

/// Where the secrets in `text` (one line or one value) are, in order and apart
/// from each other: the password in `scheme://user:password@host`, and what
/// follows a name such as `password=`, unless the name goes on as in
/// `password_file=`.
pub(super) fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = text.get(start..).unwrap_or_default();
        let authority = rest.split(['/', '?', '"', '\'', ' ', '\t', ',']).next().unwrap_or_default();
        if let Some((user_info, _)) = authority.rsplit_once('@')
            && let Some(colon) = user_info.find(':')
        {
            found.push(start + colon + 1..start + user_info.len());
        }
    }
    // Lengths in bytes stay the same under ASCII lower-casing.
    let lower = text.to_ascii_lowercase();
    for name in SECRET_NAMES {
        for (at, _) in lower.match_indices(name) {
            let after = at + name.len();
            let rest = text.get(after..).unwrap_or_default();
            let value = rest.trim_start_matches([' ', '\t', '"', '\'']);
            let Some(value) = value.strip_prefix(['=', ':']) else { continue };
            let value = value.trim_start_matches([' ', '\t', '"', '\'']);
            let start = text.len() - value.len();
            let end = value.find(['&', '"', '\'', '\n']).map_or(text.len(), |n| start + n);
            if start < end {
                found.push(start..end);
            }
        }
    }
    found.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hides_passwords_and_nothing_else() {
        for (text, shown) in [
            ("rtsp://admin:hunter2@cam:554/1", "rtsp://admin:***@cam:554/1"),
            ("rtsp://admin:p@ss@cam/1", "rtsp://admin:***@cam/1"),
            ("rtsp://cam:554/a@b:c", "rtsp://cam:554/a@b:c"),
            ("rtsp://cam/?user=a&password=hunter2&channel=1", "rtsp://cam/?user=a&password=***&channel=1"),
            ("password = \"hunter2\"", "password = \"***\""),
            ("Password: hunter2", "Password: ***"),
            ("password_file = \"/etc/tawny/mqtt\"", "password_file = \"/etc/tawny/mqtt\""),
            ("source = \"rtsp://a:b@c\" # rtsp://d:e@f", "source = \"rtsp://a:***@c\" # rtsp://d:***@f"),
            ("rtsps://token@cam/1", "rtsps://token@cam/1"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|://|@|:|password|=){0,20}") {
            let _ = masked(&text);
        }
    }
}
