//! What of a line of a configuration may be repeated in a message.
//!
//! Looking for passwords misses those in an unknown form, so it is the other way
//! round: a value is repeated only if it stands alone behind a key that holds no
//! free text; everything else is hidden.

use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::schema::schema;

/// What is shown instead of what may be a secret.
pub(super) const MASK: &str = "***";

/// A program and its arguments as screens show it: the file's name, and whether
/// there is more.
pub(super) fn shown_command(command: &[String]) -> Vec<&str> {
    let program = command.first().map_or("", String::as_str);
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(MASK);
    std::iter::once(name).chain((command.len() > 1).then_some(MASK)).collect()
}

/// Where in `line` the text is that may not be shown: all, but for the heading of
/// a section, or for a key and, if that holds no secrets, its value.
pub(super) fn hidden(line: &str) -> Option<Range<usize>> {
    let text = line.trim();
    let start = line.len() - line.trim_start().len();
    let end = start + text.len();
    if text.is_empty() || is_heading(text) {
        return None;
    }
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| is_key(key.trim())) else {
        return Some(start..end);
    };
    let value_end = value.find('#').unwrap_or(value.len());
    let (shown, comment) = value.split_at(value_end);
    let value_start = start + key.len() + 1 + (shown.len() - shown.trim_start().len());
    let from = if (holds_no_secret(key.trim()) && is_one_value(shown)) || is_trifle(shown.trim()) {
        (!comment.is_empty()).then_some(end - comment.len())
    } else {
        (value_start < end).then_some(value_start)
    };
    from.map(|from| from..end)
}

/// `[section]`, `[[section]]`.
fn is_heading(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|inside| inside.trim_matches(['[', ']']).split('.').all(|part| is_known(part.trim())))
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// One value of TOML, and not the beginning of another key or URL behind it.
fn is_one_value(text: &str) -> bool {
    !["=", "://", "@", "{", "\"\"\"", "'''"].iter().any(|sign| text.contains(sign))
}

/// Too little to be a secret, whatever the key.
fn is_trifle(value: &str) -> bool {
    ["true", "false"].contains(&value) || (value.len() <= 3 && value.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the schema knows `key`, and knows it as nothing but numbers, choices
/// and texts of a form in which there is no room for a secret.
fn holds_no_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    let mut found = Vec::new();
    find(schema(), name, &mut found);
    !found.is_empty() && found.iter().all(|schema| is_plain(schema))
}

fn is_known(name: &str) -> bool {
    let mut found = Vec::new();
    find(schema(), name, &mut found);
    !found.is_empty()
}

/// The schemas of all keys called `name`.
fn find<'a>(schema: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    let Some(keys) = schema["properties"].as_object() else { return };
    for (key, value) in keys {
        if key == name {
            found.push(value);
        }
        find(value, name, found);
        find(&value["items"], name, found);
    }
}

fn is_plain(schema: &Value) -> bool {
    let is_choice = schema["enum"].is_array() || schema["oneOf"].is_array();
    match schema["type"].as_str() {
        Some("integer" | "number" | "boolean") => true,
        // A private key may be pasted where a public one belongs.
        Some("string") => is_choice || schema["x-kind"].as_str().is_some_and(|kind| kind != "operator_key"),
        Some("array") => is_plain(&schema["items"]),
        _ => is_choice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(line: &str) -> String {
        let mut shown = line.to_owned();
        if let Some(range) = hidden(line) {
            shown.replace_range(range, MASK);
        }
        shown
    }

    #[test]
    fn shows_keys_and_harmless_values_and_nothing_else() {
        for (line, shown) in [
            ("window = 0", "window = 0"),
            ("  name = 'on the road'", "  name = 'on the road'"),
            ("confidence = 0.5 # rtsp://d:hunter2@f", "confidence = 0.5 ***"),
            ("[uplink]", "[uplink]"),
            ("[[camera.tripwire]]", "[[camera.tripwire]]"),
            ("groups = [\"person\", \"person\"]", "groups = [\"person\", \"person\"]"),
            ("password_file = \"/etc/tawny/mqtt\"", "password_file = \"/etc/tawny/mqtt\""),
            ("", ""),
            ("source = \"rtsp://a:hunter2@c\" # rtsp://d:e@f", "source = ***"),
            ("source = \"rtsp://cam/live/hunter2\"", "source = ***"),
            ("broker = \"mqtt://joe:hun/ter2@h\"", "broker = ***"),
            ("wndow = 5", "wndow = 5"),
            ("pasword = 123456", "pasword = ***"),
            ("password = \"hunter2\"", "password = ***"),
            ("confidence = 0.5, source = \"rtsp://a:hunter2@c\"", "confidence = ***"),
            ("camera = [{ name = \"c\", source = \"hunter2\", nmae = 1 }]", "camera = ***"),
            ("name = \"\"\"hunter2", "name = ***"),
            ("source \"rtsp://a:hunter2@c\"", "***"),
            ("rtsp://a:hunter2@c\"\"\"", "***"),
            ("  'hunter2',", "  ***"),
            ("[hunter2]", "***"),
            ("# hunter2", "***"),
            ("\"rtsp://a:hunter2@c\" = 1", "***"),
            ("source =", "source ="),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    proptest! {
        #[test]
        fn stays_inside_the_line(line in "(\\PC|[ =#'\"\\[\\]]|name|source|\t){0,20}") {
            if let Some(range) = hidden(&line) {
                prop_assert!(line.get(range).is_some_and(|text| !text.is_empty()));
            }
        }
    }
}
