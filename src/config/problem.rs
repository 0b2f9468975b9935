//! What is wrong with a configuration file, told so that it can be put right:
//! file, line, column, what and why, and the line itself with a mark under it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::secrets;

/// Problems shown at most; the rest is counted.
const MAX_SHOWN: usize = 20;
/// Characters of a line shown at most.
const MAX_EXCERPT: usize = 100;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// As it was named.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The file was read and its content is wrong: at least one complete
    /// message.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// One thing that is wrong in a file's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What, in one sentence without a full stop.
    pub message: String,
}

/// All `problems` of one file as messages, in the order of the text.
pub(super) fn report(name: &Path, text: &str, mut problems: Vec<Problem>) -> ConfigError {
    problems.sort_by_key(|problem| problem.span.start);
    problems.dedup();
    let hidden = problems.len().saturating_sub(MAX_SHOWN);
    let mut messages: Vec<String> =
        problems.iter().take(MAX_SHOWN).map(|problem| Located { name, text, problem }.to_string()).collect();
    if hidden > 0 {
        messages.push(format!("… and {hidden} more"));
    }
    ConfigError::Invalid(messages)
}

/// A name from the text as messages may show it: short, without control
/// characters, and not if it looks like an address or a login.
pub(super) fn quoted(name: &str) -> String {
    if name.contains(['@', ':', '/', '?', '=']) {
        return format!("'{}'", secrets::MASK);
    }
    let mut shown: String = name.chars().take(48).flat_map(char::escape_debug).collect();
    if name.chars().nth(48).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

/// A problem with the text in which it stands.
struct Located<'a> {
    name: &'a Path,
    text: &'a str,
    problem: &'a Problem,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = floor_char_boundary(self.text, self.problem.span.start);
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let line_number = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        write!(f, "{}:{line_number}:{column}: {}", self.name.display(), self.problem.message)?;
        let marked = start - line_start..self.problem.span.end.max(start).saturating_sub(line_start);
        let (excerpt, mark) = excerpt(line, marked);
        if excerpt.trim().is_empty() {
            return Ok(());
        }
        write!(f, "\n{line_number:>6} | {excerpt}\n       | {mark}")
    }
}

/// One line without its secrets and the mark below it.
fn excerpt(line: &str, marked: Range<usize>) -> (String, String) {
    let hidden = secrets::hidden(line);
    let (mut shown, mut mark) = (Vec::new(), Vec::new());
    let mut push = |c: char, is_marked: bool| {
        // A control character could play tricks on a terminal.
        shown.push(if c.is_control() { ' ' } else { c });
        mark.push(if is_marked { '^' } else { ' ' });
    };
    for (at, c) in line.char_indices() {
        let is_marked = marked.contains(&at) || at == marked.start;
        match hidden.as_ref().filter(|range| range.contains(&at)) {
            Some(range) if at == range.start => {
                let touches = marked.start < range.end && range.start < marked.end;
                secrets::MASK.chars().for_each(|c| push(c, touches));
            }
            Some(_) => {}
            None => push(c, is_marked),
        }
    }
    if marked.start >= line.len() {
        push(' ', true);
    }
    // Of a long line, what surrounds the mark.
    let first = mark.iter().position(|&c| c == '^').unwrap_or(0);
    let from = if shown.len() > MAX_EXCERPT { first.saturating_sub(MAX_EXCERPT / 4) } else { 0 };
    let cut = |chars: Vec<char>| chars.into_iter().skip(from).take(MAX_EXCERPT).collect::<String>();
    (cut(shown).trim_end().to_owned(), cut(mark).trim_end().to_owned())
}

/// The largest character boundary at or before `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        report(Path::new("a.toml"), text, vec![Problem { span, message: "no".into() }]).to_string()
    }

    #[test]
    fn shows_line_column_and_mark() {
        let text = "a = 1\nid = 'é' 2\n";
        assert_eq!(shown(text, 16..17), "a.toml:2:10: no\n     2 | id = 'é' 2\n       |          ^");
    }

    #[test]
    fn points_behind_the_end_too() {
        assert_eq!(shown("a =", 3..3), "a.toml:1:4: no\n     1 | a =\n       |    ^");
        assert_eq!(shown("", 0..0), "a.toml:1:1: no");
    }

    #[test]
    fn never_shows_a_password_or_a_control_character() {
        let text = "source = \"rtsp://me:hunter2@cam/\"\x1b\n";
        let message = shown(text, 9..text.len());
        assert!(!message.contains("hunter2") && message.contains("source = ***"), "{message}");
        assert!(!message.contains('\x1b'));
        // Not even when the mark begins inside it.
        assert!(!shown(text, 23..25).contains("hunter2"));
    }

    #[test]
    fn cuts_long_lines_round_the_mark() {
        let text = format!("id = {}x{}", "a".repeat(5000), "b".repeat(5000));
        let message = shown(&text, 5005..5006);
        assert!(message.contains("ax") && message.len() < 400, "{message}");
    }
}
