//! The JSON Schema of the configuration file, derived from the model.
//!
//! Beside JSON Schema's own keywords it carries a few of Tawny's, which
//! editors ignore: `x-kind` ("name", "topic", "format", "path", "duration", "size")
//! says how to read a string; `x-min` and `x-max` are the limits of durations
//! and sizes; `x-default` is the default of a key that may be absent.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::model::Config;

/// The schema, in JSON Schema's draft 7, without references.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let mut settings = SchemaSettings::draft07();
        settings.inline_subschemas = true;
        let mut schema = settings.into_generator().into_root_schema_for::<Config>();
        RecursiveTransform(tidy).transform(&mut schema);
        schema.insert("title".into(), "Tawny's configuration (tawny.toml)".into());
        schema.to_value()
    });
    &SCHEMA
}

/// Makes one (sub)schema say what TOML can say.
fn tidy(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    // TOML has no null: a key is there or it is not.
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type") != Some(&"null".into()));
        if let [only] = branches.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            if let Value::Object(only) = only {
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(default) = object.get("x-default").cloned() {
        object.insert("default".into(), default);
        object.remove("x-default");
    }
    // A section's default is that of its keys; a list's is to be empty.
    if object.get("default").is_some_and(|default| default.is_object())
        || object.get("default") == Some(&Value::Array(Vec::new()))
    {
        object.remove("default");
    }
    // Derived per type; the description says it better.
    object.remove("title");
    if let Some(Value::String(description)) = object.get_mut("description") {
        let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    if let Some(default) = object.get_mut("default") {
        *default = shortest(default);
    }
    for limit in ["minimum", "maximum"] {
        if let Some(value) = object.get_mut(limit) {
            *value = shortest(value);
        }
    }
}

/// An f32 widened to f64 (0.44999998807907104) as people wrote it (0.45);
/// whole numbers without a fraction.
fn shortest(value: &Value) -> Value {
    let Some(number) = value.as_f64().filter(|_| value.is_f64()) else { return value.clone() };
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return Value::from(number as i64);
    }
    let narrow = number as f32;
    if f64::from(narrow) == number
        && let Ok(short) = narrow.to_string().parse::<f64>()
    {
        return Value::from(short);
    }
    value.clone()
}
