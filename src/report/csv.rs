//! The crossings for spreadsheets: RFC 4180, one line each, with a header.

use serde_json::Value;

use super::facts::{Crossing, Report};

/// As the keys of the events, but `t` is the time as known now, `t_local` the same
/// in the report's zone, and `t_reported` the reported one if it was another.
const COLUMNS: [&str; 20] = [
    "unit",
    "log",
    "seq",
    "t_local",
    "t",
    "tu",
    "ts",
    "t_reported",
    "cam",
    "grp",
    "cls",
    "cls_at_end",
    "conf",
    "wire",
    "dir",
    "id",
    "gid",
    "still",
    "kept",
    "recording",
];

/// All crossings.
pub fn csv(report: &Report) -> String {
    let mut out = COLUMNS.join(",") + "\n";
    for crossing in &report.crossings {
        out.push_str(&line(crossing));
        out.push('\n');
    }
    out
}

fn line(crossing: &Crossing) -> String {
    let object = serde_json::to_value(crossing).unwrap_or_default();
    let field = |key: &str| match object.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        // Kept files are named by their checksums.
        Some(Value::Array(_)) => crossing.kept.iter().map(|kept| kept.sha256.as_str()).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    };
    COLUMNS.map(|key| csv_field(field(key))).join(",")
}

/// A field of RFC 4180; a leading sign of a formula is disarmed for spreadsheets.
pub fn csv_field(text: String) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::facts::testing::crossing;

    #[test]
    fn a_crossing_is_one_line_whatever_its_names() {
        let mut one = crossing(1_000, "=SUM(A1), \"car\"", "in");
        one.cam = "-1".into();
        let text = line(&one);
        assert!(text.contains(",'-1,vehicle,\"'=SUM(A1), \"\"car\"\"\",,0.9,gate,in,"), "{text}");
        assert!(text.starts_with("u,a,1,"), "{text}");
    }
}
