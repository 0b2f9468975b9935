//! The report for programs: the facts as one JSON object.

use super::facts::Report;

/// Indented JSON with a newline at its end.
pub fn json(report: &Report) -> String {
    // Only maps with keys that are no text can fail, and there are none.
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    text + "\n"
}
