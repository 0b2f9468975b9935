//! The JSON Schema of the events, derived from the types that write them.
//! `docs/reference/event.schema.json` is this; a test keeps it so.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::wire::Event;

/// JSON Schema, draft 2020-12, of one event as JSON on the wire.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Event>();
    schema.insert("title".into(), "An event of Tawny, wire format version 1".into());
    schema.to_value()
}
