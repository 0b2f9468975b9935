//! The files that are derived from the configuration's model:
//! `config/tawny.toml` and `docs/reference/configuration.md`.
//!
//! These tests compare what is committed with what the model says;
//! `TAWNY_BLESS=1 cargo test --test generated` writes the files anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

#[test]
fn the_default_file_says_what_the_model_says() {
    compare("config/tawny.toml", &default_file());
}

#[test]
fn the_reference_says_what_the_model_says() {
    compare("docs/reference/configuration.md", &reference());
}

fn compare(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("TAWNY_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("can make the folder");
        std::fs::write(&file, expected).expect("can write the file");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == expected,
        "{path} is not what src/config/model.rs says; run `TAWNY_BLESS=1 cargo test --test generated` and commit it"
    );
}

/// A key's schema.
struct Key<'a> {
    name: &'a str,
    schema: &'a Value,
    required: bool,
}

fn keys(table: &Value) -> Vec<Key<'_>> {
    let none = Vec::new();
    let required = table["required"].as_array().unwrap_or(&none);
    let properties = table["properties"].as_object().expect("a table has keys");
    properties
        .iter()
        .map(|(name, schema)| Key { name, schema, required: required.iter().any(|key| key == name) })
        .collect()
}

impl Key<'_> {
    /// The table's schema if this key is a section of its own.
    fn section(&self) -> Option<&Value> {
        let schema = if self.is_list() { &self.schema["items"] } else { self.schema };
        schema["properties"].is_object().then_some(schema)
    }

    fn is_list(&self) -> bool {
        self.schema["type"] == "array"
    }

    fn description(&self) -> &str {
        self.schema["description"].as_str().unwrap_or_else(|| panic!("{} has no description", self.name))
    }

    fn default(&self) -> Option<String> {
        self.schema.get("default").map(|value| toml(self.schema, value))
    }

    /// The default, or else an example.
    fn shown(&self) -> String {
        let example = || self.schema["examples"].get(0).map(|value| toml(self.schema, value));
        self.default().or_else(example).unwrap_or_else(|| panic!("{} has neither default nor example", self.name))
    }

    fn choices(&self) -> Vec<(&str, &str)> {
        let schema = if self.is_list() { &self.schema["items"] } else { self.schema };
        let branches = schema["oneOf"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        branches
            .iter()
            .map(|b| (b["const"].as_str().expect("a name"), b["description"].as_str().unwrap_or("")))
            .collect()
    }

    /// What values there are: "A number from 0.1 to 60".
    fn values(&self) -> String {
        let schema = self.schema;
        let limits = |low: &Value, high: &Value| match (low, high) {
            (Value::Null, Value::Null) => String::new(),
            (low, Value::Null) => format!(", at least {low}"),
            (Value::Null, high) => format!(", at most {high}"),
            (low, high) => format!(" from {low} to {high}"),
        };
        match (schema["x-kind"].as_str(), schema["type"].as_str()) {
            (Some("name"), _) => "A name: 1 to 32 letters (a-z, A-Z), digits, '-', '_' or '.'".into(),
            (Some("topic"), _) => "Names joined by '/', at most 64 characters".into(),
            (Some("path"), _) => "A path".into(),
            (Some("duration"), _) => format!("A duration{}", limits(&schema["x-min"], &schema["x-max"])),
            (Some("size"), _) => format!("A size{}", limits(&schema["x-min"], &schema["x-max"])),
            (_, Some("integer")) => format!("A whole number{}", limits(&schema["minimum"], &schema["maximum"])),
            (_, Some("number")) => format!("A number{}", limits(&schema["minimum"], &schema["maximum"])),
            (_, Some("boolean")) => "true or false".into(),
            (_, Some("string")) => "A string".into(),
            (_, Some("array")) if schema["items"]["oneOf"].is_array() => "A list of these".into(),
            (_, Some("array")) if schema["items"]["x-kind"] == "window" => {
                "A list of parts of the day, HH:MM-HH:MM".into()
            }
            (_, Some("array")) if schema["items"]["x-kind"] == "operator_key" => {
                "A list of keys, each \"ed25519:\", 64 hex digits and a name".into()
            }
            (_, Some("array")) if schema["items"]["type"] == "string" => "A list of strings".into(),
            (_, Some("array")) if schema["items"]["type"] == "integer" => "Two whole numbers [width, height]".into(),
            (_, Some("array")) if schema["maxItems"] == 2 => "A point [x, y], each from 0 to 1".into(),
            (_, Some("array")) => "A list of points [x, y], each from 0 to 1".into(),
            _ if schema["oneOf"].is_array() => "One of these".into(),
            _ => "A string or a table".into(),
        }
    }
}

/// `value` as TOML; whole numbers of a key that takes fractions get their ".0".
fn toml(schema: &Value, value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(|item| toml(&schema["items"], item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Number(n) if schema["type"] == "number" => format!("{:?}", n.as_f64().expect("a number")),
        // JSON's strings, numbers and booleans are TOML's.
        other => other.to_string(),
    }
}

/// A description's Markdown as a TOML file can say it.
fn plain(text: &str) -> String {
    text.replace('`', "'")
}

fn comment(out: &mut String, text: &str) {
    let text = plain(text);
    // An inline table is there to be copied: it gets a line of its own.
    let (prose, table) = text.split_at(text.find("{ ").unwrap_or(text.len()));
    let mut line = String::from("#");
    for word in prose.split_whitespace() {
        if line.len() + 1 + word.len() > 80 {
            writeln!(out, "{line}").expect("a string takes all");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(out, "{line}").expect("a string takes all");
    if !table.is_empty() {
        writeln!(out, "# {table}").expect("a string takes all");
    }
}

const DEFAULT_FILE_HEAD: &str = "\
# Tawny's configuration, with every key there is. A line of the form '#key = …'
# is a setting: it shows the default, or an example where there is none. Take the
# '#' away to change it. What stays commented follows the defaults of the version
# you run. Unknown keys are errors; `tawny config show` checks this file,
# `tawny check` also what it names.
#
# Durations are written \"500ms\", \"30s\", \"5m\", \"2h\", \"7d\" or \"1h 30m\"; sizes
# \"512kB\", \"64MiB\" or \"2GiB\". Places in the picture are fractions: [0, 0] is
# the top left corner, [1, 1] the bottom right one. Relative paths start at the
# folder of this file.
";

/// `config/tawny.toml`.
fn default_file() -> String {
    let mut out = DEFAULT_FILE_HEAD.to_owned();
    for key in keys(tawny::config::schema()) {
        let section = key.section().unwrap_or_else(|| panic!("{} is not a section", key.name));
        out.push('\n');
        comment(&mut out, key.description());
        write_section(&mut out, key.name, key.is_list(), section);
    }
    out
}

/// Tables stand open, since an empty one changes nothing; an element of a list
/// would add to it.
fn write_section(out: &mut String, path: &str, is_list: bool, section: &Value) {
    let header = if is_list { format!("#[[{path}]]") } else { format!("[{path}]") };
    writeln!(out, "{header}").expect("a string takes all");
    for key in keys(section).iter().filter(|key| key.section().is_none()) {
        out.push('\n');
        comment(out, key.description());
        for (name, meaning) in key.choices() {
            comment(out, &format!("\"{name}\": {meaning}"));
        }
        let default = match key.default() {
            Some(default) => format!("Default: {default}."),
            None if key.required => "Required.".to_owned(),
            None => "Not set by default.".to_owned(),
        };
        comment(out, &format!("{}. {default}", key.values()));
        writeln!(out, "#{} = {}", key.name, key.shown()).expect("a string takes all");
    }
    for key in keys(section) {
        if let Some(section) = key.section() {
            out.push('\n');
            comment(out, key.description());
            write_section(out, &format!("{path}.{}", key.name), key.is_list(), section);
        }
    }
}

const REFERENCE_HEAD: &str = "\
# Configuration reference

<!-- Generated from src/config/model.rs: TAWNY_BLESS=1 cargo test --test generated -->

Tawny reads one [TOML](https://toml.io) file: the one that `--config` names, or
`/etc/tawny/tawny.toml`, or none, in which case the defaults serve.
`tawny config defaults` prints a file with every key commented out;
`tawny config schema` prints the JSON Schema for editors; `tawny config show`
checks a file and prints the values in effect; `tawny check` also tries what the
file names: camera, model, journal, broker.

- Every key has a default, except where it says *required*. `source` is needed by
  `run`, `check` and `aim` only; without `broker` nothing is sent.
- Unknown keys, wrong types and values out of range are errors. All that is wrong
  is told at once, with file, line and column, and the exit code is 2. A file that
  `--config` names and that does not exist or cannot be read ends with exit code 1.
- Durations: `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"2h\"`, `\"7d\"`, `\"1h 30m\"`. Sizes: `\"512kB\"`,
  `\"64MiB\"`, `\"2GiB\"` (kB is 1000 bytes, KiB 1024).
- Places in the picture are fractions of the upright, displayed picture: `[0, 0]`
  is the top left corner, `[1, 1]` the bottom right one.
- Relative paths start at the folder of the configuration file; without a file, at
  the working directory.
- Passwords of the broker are read from files, never from this file. A camera's
  password can only stand in its URL: keep the file readable for root and the
  group `tawny` alone (mode 0640). Tawny never shows or logs it.
";

/// `docs/reference/configuration.md`.
fn reference() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    for key in keys(tawny::config::schema()) {
        reference_section(&mut out, key.name, &key, 2);
    }
    out
}

fn reference_section(out: &mut String, path: &str, section: &Key<'_>, level: usize) {
    let table = section.section().expect("a section");
    let header = if section.is_list() { format!("[[{path}]]") } else { format!("[{path}]") };
    write!(out, "\n{} `{header}`\n\n{}\n", "#".repeat(level), markdown(section.description()))
        .expect("a string takes all");
    for key in keys(table).iter().filter(|key| key.section().is_none()) {
        let default = match key.default() {
            Some(default) => format!("Default: `{default}`."),
            None if key.required => "**Required.**".to_owned(),
            None => "Not set by default.".to_owned(),
        };
        write!(out, "\n{} `{path}.{}`\n\n{}\n\n", "#".repeat(level + 1), key.name, markdown(key.description()))
            .expect("a string takes all");
        for (name, meaning) in key.choices() {
            writeln!(out, "- `\"{name}\"`: {meaning}").expect("a string takes all");
        }
        if !key.choices().is_empty() {
            out.push('\n');
        }
        writeln!(out, "{}. {default}", key.values()).expect("a string takes all");
        for branch in key.schema["anyOf"].as_array().into_iter().flatten() {
            reference_branch(out, branch);
        }
    }
    for key in keys(table) {
        if key.section().is_some() {
            reference_section(out, &format!("{path}.{}", key.name), &key, level);
        }
    }
}

/// The keys of a value that may be a table.
fn reference_branch(out: &mut String, branch: &Value) {
    let none = Map::new();
    let properties = branch["properties"].as_object().unwrap_or(&none);
    for (i, (name, schema)) in properties.iter().enumerate() {
        let lead = if i == 0 { "\n" } else { "" };
        writeln!(out, "{lead}- `{name}`: {}", schema["description"].as_str().unwrap_or(""))
            .expect("a string takes all");
    }
}

/// Braces and brackets of the file are code in Markdown too.
fn markdown(text: &str) -> String {
    match (text.find("{ "), text.rfind(" }")) {
        (Some(from), Some(to)) if from < to => format!("{}`{}`{}", &text[..from], &text[from..to + 2], &text[to + 2..]),
        _ => text.to_owned(),
    }
}
