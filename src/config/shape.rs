//! Checks a TOML document against the schema: keys that exist, keys that must
//! be there, types, limits, names. Everything that is wrong is found in one
//! pass.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::day_window::DayWindow;
use super::human::{ByteSize, HumanDuration};
use super::operator_key::OperatorKey;
use super::problem::{Problem, quoted};

/// Everything in `document` that does not fit `schema`, which uses the
/// keywords that [`super::schema()`] makes and no references.
pub(super) fn check(schema: &Value, document: &Spanned<DeTable<'_>>) -> Vec<Problem> {
    let mut walk = Walk { root: schema, problems: Vec::new() };
    walk.table(schema, document.get_ref(), document.span(), &Place::Top);
    walk.problems
}

/// Where in the document, as people call it.
enum Place<'a> {
    /// Before the first section.
    Top,
    /// `[a.b]`, `[[a.b]]`.
    Key { key: &'a str, in_list: bool, parent: &'a Place<'a> },
}

impl Place<'_> {
    fn path(&self) -> String {
        match self {
            Place::Top => String::new(),
            Place::Key { key, parent: Place::Top, .. } => (*key).to_owned(),
            Place::Key { key, parent, .. } => format!("{}.{key}", parent.path()),
        }
    }

    /// "at the top level", "in [uplink]", "in [[camera.zone]]".
    fn describe(&self) -> String {
        match self {
            Place::Top => "at the top level".to_owned(),
            Place::Key { in_list: true, .. } => format!("in [[{}]]", self.path()),
            Place::Key { .. } => format!("in [{}]", self.path()),
        }
    }
}

struct Walk<'a> {
    root: &'a Value,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn report(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem { span, message });
    }

    fn table(&mut self, schema: &Value, table: &DeTable<'_>, span: Range<usize>, place: &Place<'_>) {
        let no_keys = serde_json::Map::new();
        let keys = schema["properties"].as_object().unwrap_or(&no_keys);
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match keys.get(name) {
                Some(schema) => self.value(schema, value, &Place::Key { key: name, in_list: false, parent: place }),
                None => {
                    let hint = self.hint(name, keys);
                    self.report(key.span(), format!("unknown key {} {}{hint}", quoted(name), place.describe()));
                }
            }
        }
        let required = schema["required"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        for name in required.iter().filter_map(Value::as_str) {
            if !table.contains_key(name) {
                self.report(span.clone(), format!("the key '{name}' is missing {}", place.describe()));
            }
        }
    }

    /// What may have been meant by an unknown key.
    fn hint(&self, name: &str, keys: &serde_json::Map<String, Value>) -> String {
        let mut owners = Vec::new();
        find_owners(self.root, name, &Place::Top, &mut owners);
        if let Some((last, rest)) = owners.split_last() {
            let rest: Vec<String> = rest.iter().map(|owner| format!("{owner} or ")).collect();
            return format!("; it belongs {}{last}", rest.concat());
        }
        if let Some(near) = nearest(name, keys.keys().map(String::as_str)) {
            return format!("; did you mean '{near}'?");
        }
        let known: Vec<String> = keys.keys().map(|key| format!("'{key}'")).collect();
        format!("; known are {}", known.join(", "))
    }

    fn value(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, place: &Place<'_>) {
        let span = value.span();
        if let Some(branches) = schema["anyOf"].as_array() {
            match branches.iter().find(|branch| fits_type(branch, value.get_ref())) {
                Some(branch) => self.value(branch, value, place),
                None => {
                    let expected: Vec<String> = branches.iter().map(expected).collect();
                    self.wrong_type(&expected.join(" or "), value, place);
                }
            }
            return;
        }
        if !fits_type(schema, value.get_ref()) {
            self.wrong_type(&expected(schema), value, place);
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(schema, table, span, place),
            DeValue::Array(items) => {
                self.list_length(schema, items.len(), span, place);
                let Place::Key { key, parent, .. } = place else { return };
                let place = Place::Key { key, in_list: true, parent };
                for item in items.iter() {
                    self.value(&schema["items"], item, &place);
                }
            }
            DeValue::String(text) => {
                if let Some(problem) = string_problem(schema, text) {
                    self.report(span, format!("'{}' {problem}", place.path()));
                }
            }
            DeValue::Integer(_) | DeValue::Float(_) => {
                if let Some(problem) = number_problem(schema, value.get_ref()) {
                    self.report(span, format!("'{}' {problem}", place.path()));
                }
            }
            DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    fn wrong_type(&mut self, expected: &str, value: &Spanned<DeValue<'_>>, place: &Place<'_>) {
        // "[camera]" for "[[camera]]" is the commonest of these.
        let hint = match (expected, value.get_ref()) {
            ("a list", DeValue::Table(_)) => format!("; write [[{}]] with two brackets", place.path()),
            _ => String::new(),
        };
        let found = type_name(value.get_ref());
        self.report(value.span(), format!("'{}' must be {expected}, not {found}{hint}", place.path()));
    }

    fn list_length(&mut self, schema: &Value, n: usize, span: Range<usize>, place: &Place<'_>) {
        let limit = |key: &str, none: usize| schema[key].as_u64().map_or(none, |n| usize::try_from(n).unwrap_or(none));
        let (min, max) = (limit("minItems", 0), limit("maxItems", usize::MAX));
        if n < min || n > max {
            let wanted = if min == max { format!("exactly {min}") } else { format!("at least {min}") };
            let noun = if min == 1 { "element" } else { "elements" };
            self.report(span, format!("'{}' needs {wanted} {noun}, it has {n}", place.path()));
        }
    }
}

/// The known word nearest to `name`, if it is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Similarity of words is quadratic in their length.
    let name: String = name.chars().take(64).collect::<String>().to_lowercase().replace('-', "_");
    known
        .map(|word| (strsim::jaro_winkler(&name, word), word))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// The places whose keys include `name`.
fn find_owners(schema: &Value, name: &str, place: &Place<'_>, owners: &mut Vec<String>) {
    let Some(keys) = schema["properties"].as_object() else { return };
    if keys.contains_key(name) {
        owners.push(place.describe());
    }
    for (key, schema) in keys {
        let items = &schema["items"];
        let (schema, in_list) = if items.is_object() { (items, true) } else { (schema, false) };
        find_owners(schema, name, &Place::Key { key, in_list, parent: place }, owners);
    }
}

/// The strings that are allowed, if only certain ones are.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(Value::as_str).collect());
    }
    Some(schema["oneOf"].as_array()?.iter().filter_map(|branch| branch["const"].as_str()).collect())
}

fn fits_type(schema: &Value, value: &DeValue<'_>) -> bool {
    let wanted = if choices(schema).is_some() { Some("string") } else { schema["type"].as_str() };
    match wanted {
        Some("string") => value.is_str(),
        Some("integer") => value.is_integer(),
        Some("number") => value.is_integer() || value.is_float(),
        Some("boolean") => value.is_bool(),
        Some("array") => value.is_array(),
        Some("object") => value.is_table(),
        _ => true,
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What a value must be, as messages say it.
fn expected(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        return one_of(&choices);
    }
    match (schema["x-kind"].as_str(), schema["type"].as_str()) {
        (Some("duration"), _) => "a duration in quotes such as \"500ms\", \"30s\" or \"1h 30m\"".into(),
        (Some("size"), _) => "a size in quotes such as \"512kB\" or \"64MiB\"".into(),
        (_, Some("string")) => "a string in quotes".into(),
        (_, Some("integer")) => "a whole number".into(),
        (_, Some("number")) => "a number".into(),
        (_, Some("boolean")) => "true or false".into(),
        (_, Some("array")) => "a list".into(),
        _ => "a table".into(),
    }
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// What is wrong with a string, to follow the key's name. The string itself
/// is not repeated: it may hold a password.
fn string_problem(schema: &Value, text: &str) -> Option<String> {
    if let Some(choices) = choices(schema) {
        if choices.contains(&text) {
            return None;
        }
        let hint =
            nearest(text, choices.iter().copied()).map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        return Some(format!("must be {}{hint}", one_of(&choices)));
    }
    let of = |chars: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || chars.contains(c));
    match schema["x-kind"].as_str() {
        Some("name") => (text.is_empty() || text.len() > 32 || !of("-_."))
            .then(|| "must be 1 to 32 letters (a-z, A-Z), digits, '-', '_' or '.'".into()),
        Some("topic") => (text.len() > 64 || !of("-_./") || text.split('/').any(str::is_empty))
            .then(|| "must be 1 to 64 letters (a-z, A-Z), digits, '-', '_' or '.', in parts joined by '/'".into()),
        Some("format") => (text.is_empty()
            || text.len() > 32
            || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .then(|| "must be the name of an FFmpeg format such as \"h264\", \"mjpeg\" or \"mpegts\"".into()),
        Some("duration") => quantity_problem::<HumanDuration>(schema, text),
        Some("size") => quantity_problem::<ByteSize>(schema, text),
        Some("window") => text.parse::<DayWindow>().err(),
        Some("operator_key") => text.parse::<OperatorKey>().err(),
        // No path, user name or address has use for them, and C ends at NUL.
        _ if text.contains('\0') => Some("cannot contain NUL".into()),
        _ => None,
    }
}

/// What is wrong with a duration or a size.
fn quantity_problem<T: std::str::FromStr + PartialOrd>(schema: &Value, text: &str) -> Option<String> {
    let Ok(value) = text.parse::<T>() else { return Some(format!("must be {}", expected(schema))) };
    let (min, max) = (schema["x-min"].as_str(), schema["x-max"].as_str());
    let below = min.and_then(|min| min.parse::<T>().ok()).is_some_and(|min| value < min);
    let above = max.and_then(|max| max.parse::<T>().ok()).is_some_and(|max| value > max);
    (below || above).then(|| match (min, max) {
        (Some(min), Some(max)) => format!("must be from \"{min}\" to \"{max}\""),
        (Some(min), None) => format!("must be at least \"{min}\""),
        _ => format!("must be at most \"{}\"", max.unwrap_or("")),
    })
}

/// What is wrong with a number, to follow the key's name.
fn number_problem(schema: &Value, value: &DeValue<'_>) -> Option<String> {
    let number = match value {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(x) => x.as_str().parse().ok(),
        _ => return None,
    };
    let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let fits = number.is_some_and(|number: f64| {
        // Single precision is what most of these numbers end up in.
        (number as f32).is_finite() && min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
    });
    (!fits).then(|| match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => "must be a finite number".into(),
        (min, Value::Null) => format!("must be at least {min}"),
        (Value::Null, max) => format!("must be at most {max}"),
        (min, max) => format!("must be from {min} to {max}"),
    })
}
