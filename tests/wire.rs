//! The wire format's documents, held to what is really sent:
//! `docs/reference/event.schema.json` (`TAWNY_BLESS=1 cargo test --test wire`
//! writes it anew) and `docs/reference/wire.md`.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::any_event::any_event;
use common::program::{STREET, STREET_LINE, Studio};
use proptest::prelude::*;
use serde_json::Value;
use tawny::event::{from_cbor, to_cbor};

const SCHEMA_FILE: &str = "docs/reference/event.schema.json";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

/// The keys of every kind, and those of all events under "".
fn keys() -> BTreeMap<String, BTreeSet<String>> {
    let schema = tawny::event::schema();
    let names = |value: &Value| value["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut all = BTreeMap::from([(String::new(), names(&schema))]);
    for kind in schema["oneOf"].as_array().unwrap() {
        let name = kind["properties"]["kind"]["const"].as_str().unwrap();
        all.insert(name.to_owned(), names(kind));
    }
    all
}

/// Fits the schema, and has no key that the schema does not name.
fn assert_documented(validator: &jsonschema::Validator, keys: &BTreeMap<String, BTreeSet<String>>, json: &str) {
    let event: Value = serde_json::from_str(json).unwrap();
    if let Err(error) = validator.validate(&event) {
        panic!("{error}: {json}");
    }
    let of_kind = &keys[event["kind"].as_str().unwrap()];
    for key in event.as_object().unwrap().keys() {
        assert!(of_kind.contains(key) || keys[""].contains(key), "{key} in {json}");
    }
}

#[test]
fn the_schema_file_says_what_the_types_say() {
    let expected = serde_json::to_string_pretty(&tawny::event::schema()).unwrap() + "\n";
    if std::env::var_os("TAWNY_BLESS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA_FILE), &expected).unwrap();
    }
    assert!(
        read(SCHEMA_FILE) == expected,
        "{SCHEMA_FILE} is not what src/event says; run `TAWNY_BLESS=1 cargo test --test wire` and commit it"
    );
}

#[test]
fn every_event_fits_the_schema() {
    let (validator, keys) = (jsonschema::validator_for(&tawny::event::schema()).unwrap(), keys());
    proptest!(|(event in any_event())| {
        assert_documented(&validator, &keys, &event.to_json());
    });
    let wrong = serde_json::json!({"v": 1, "unit": "u", "log": "l", "seq": 1, "kind": "crossing"});
    assert!(!validator.is_valid(&wrong), "a schema that refuses nothing proves nothing");
}

#[test]
fn every_event_comes_back_from_cbor_as_it_was() {
    proptest!(|(event in any_event())| {
        let json = event.to_json();
        let bytes = to_cbor(&json).unwrap();
        prop_assert!(bytes.len() < json.len());
        prop_assert_eq!(from_cbor(&bytes).unwrap(), json);
    });
}

#[test]
fn what_the_program_prints_fits_the_schema() {
    let (validator, keys) = (jsonschema::validator_for(&tawny::event::schema()).unwrap(), keys());
    let said = Studio::new(STREET_LINE).replay(&[STREET]);
    assert_eq!(said.crossings().len(), 2);
    said.stdout.lines().for_each(|line| assert_documented(&validator, &keys, line));
}

#[test]
fn the_reference_names_every_kind_and_key_and_no_others() {
    let text = read("docs/reference/wire.md");
    let mut sections = BTreeMap::new();
    let (_, events) = text.split_once("\n## Events\n").unwrap();
    for section in events.split("\n### ") {
        let kind = section.strip_prefix('`').and_then(|rest| rest.split_once('`')).map_or("", |(kind, _)| kind);
        sections.insert(kind.to_owned(), section.split("\n## ").next().unwrap().to_owned());
    }
    let keys = keys();
    assert_eq!(sections.keys().collect::<Vec<_>>(), keys.keys().collect::<Vec<_>>());
    for (kind, section) in &sections {
        for key in keys[kind].iter().filter(|key| !kind.is_empty() && *key != "kind" || kind.is_empty()) {
            assert!(section.contains(&format!("`{key}`")), "{kind} does not explain {key}");
        }
        let first_cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
        for key in first_cells.flat_map(|(cell, _)| cell.split(['`', ',', ' '])).filter(|key| !key.is_empty()) {
            assert!(keys[kind].contains(key) || (kind.is_empty() && key == "kind"), "{kind} has no key {key}");
        }
    }
}
