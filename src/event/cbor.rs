//! An event as CBOR (RFC 8949): the same keys in the same order as in JSON, with
//! shorter values. The table in `docs/reference/wire.md` says which.
//!
//! The JSON text is what the journal holds, so both directions go through it:
//! what is read from CBOR is the text that was written to it, byte for byte.

use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value as Json};
use uuid::Uuid;

use crate::domain::{UtcMillis, from_hex, to_hex};

/// Why something is not an event in CBOR or JSON.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// Not JSON at all, or no object.
    #[error("not an event in JSON: {0}")]
    Json(String),
    /// Not CBOR at all, or no map.
    #[error("not an event in CBOR: {0}")]
    Cbor(String),
    /// A key whose value has another form than the table says.
    #[error("not an event in CBOR: '{0}' has an unexpected value")]
    Value(String),
}

/// How a key's value is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// 16 bytes instead of a UUID's 36 characters.
    Id,
    /// Milliseconds since 1970 instead of RFC 3339.
    Time,
    /// An integer instead of eight hex digits.
    Hex,
    /// 32 bytes instead of 64 hex digits.
    Digest,
    /// An integer, so many to one: 1000 for fractions, 100 for confidences, 10 for
    /// seconds.
    Scaled(f64),
    /// As it is.
    Plain,
}

/// By key; `from` and `to` are times in one kind of event and numbers in another.
fn form(kind: &str, key: &str) -> Form {
    match key {
        "id" | "gid" => Form::Id,
        "t" | "t0" | "prev" | "until" => Form::Time,
        "from" | "to" if kind == "watch" => Form::Time,
        "to" if kind == "kept" => Form::Time,
        "of" => Form::Id,
        "boot" => Form::Hex,
        "still" | "sha256" => Form::Digest,
        "box" => Form::Scaled(1000.0),
        "conf" => Form::Scaled(100.0),
        "dur" | "blind_s" | "paused_s" | "dwell" => Form::Scaled(10.0),
        _ => Form::Plain,
    }
}

/// From the JSON that [`Event::to_json`](super::Event::to_json) writes.
///
/// # Errors
/// When `json` is no such text.
pub fn to_cbor(json: &str) -> Result<Vec<u8>, CborError> {
    let object: Map<String, Json> = serde_json::from_str(json).map_err(|e| CborError::Json(e.to_string()))?;
    let kind = object.get("kind").and_then(Json::as_str).unwrap_or_default().to_owned();
    let entry = |(key, value): (String, Json)| {
        let shorter = shorten(form(&kind, &key), &value).ok_or_else(|| CborError::Value(key.clone()))?;
        Ok((Cbor::Text(key), shorter))
    };
    let map = Cbor::Map(object.into_iter().map(entry).collect::<Result<_, CborError>>()?);
    let mut bytes = Vec::new();
    ciborium::into_writer(&map, &mut bytes).map_err(|e| CborError::Cbor(e.to_string()))?;
    Ok(bytes)
}

/// Back to the JSON text.
///
/// # Errors
/// When `bytes` are something else.
pub fn from_cbor(bytes: &[u8]) -> Result<String, CborError> {
    let value: Cbor = ciborium::from_reader(bytes).map_err(|e| CborError::Cbor(e.to_string()))?;
    let Cbor::Map(entries) = value else { return Err(CborError::Cbor("no map".to_owned())) };
    let is_kind = |(key, _): &&(Cbor, Cbor)| key.as_text() == Some("kind");
    let kind = entries.iter().find(is_kind).and_then(|(_, kind)| kind.as_text()).unwrap_or_default().to_owned();
    let mut object = Map::new();
    for (key, value) in entries {
        let Cbor::Text(key) = key else { return Err(CborError::Cbor("a key that is no text".to_owned())) };
        let longer = lengthen(form(&kind, &key), value).ok_or_else(|| CborError::Value(key.clone()))?;
        object.insert(key, longer);
    }
    Ok(Json::Object(object).to_string())
}

fn shorten(form: Form, value: &Json) -> Option<Cbor> {
    match (form, value) {
        (Form::Id, Json::String(text)) => Some(Cbor::Bytes(Uuid::try_parse(text).ok()?.as_bytes().to_vec())),
        (Form::Id, Json::Array(items)) => {
            Some(Cbor::Array(items.iter().map(|item| shorten(Form::Id, item)).collect::<Option<_>>()?))
        }
        (Form::Time, Json::String(text)) => Some(Cbor::from(UtcMillis::parse(text)?.0)),
        (Form::Hex, Json::String(text)) => Some(Cbor::from(u32::from_str_radix(text, 16).ok()?)),
        (Form::Digest, Json::String(text)) => {
            // Only what comes back as it was.
            let bytes = from_hex::<32>(text).filter(|bytes| to_hex(bytes) == *text)?;
            Some(Cbor::Bytes(bytes.to_vec()))
        }
        (Form::Scaled(factor), Json::Array(items)) => {
            Some(Cbor::Array(items.iter().map(|item| scale(item, factor)).collect::<Option<_>>()?))
        }
        (Form::Scaled(factor), number) => scale(number, factor),
        (Form::Plain, Json::String(text)) => Some(Cbor::Text(text.clone())),
        (Form::Plain, Json::Bool(flag)) => Some(Cbor::Bool(*flag)),
        (Form::Plain, Json::Number(number)) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(n), _, _) => Some(Cbor::from(n)),
            (_, Some(n), _) => Some(Cbor::from(n)),
            (_, _, x) => x.map(Cbor::Float),
        },
        // A kind of event with lists of its own keeps them as they are.
        (Form::Plain, Json::Array(items)) => {
            Some(Cbor::Array(items.iter().map(|item| shorten(Form::Plain, item)).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn scale(number: &Json, factor: f64) -> Option<Cbor> {
    let scaled = (number.as_f64()? * factor).round();
    (scaled.abs() < 9e15).then(|| Cbor::from(scaled as i64))
}

fn lengthen(form: Form, value: Cbor) -> Option<Json> {
    match (form, value) {
        (Form::Id, Cbor::Bytes(bytes)) => Some(Json::String(Uuid::from_slice(&bytes).ok()?.to_string())),
        (Form::Id, Cbor::Array(items)) => {
            Some(Json::Array(items.into_iter().map(|item| lengthen(Form::Id, item)).collect::<Option<_>>()?))
        }
        (Form::Time, time) => {
            let ms = i64::try_from(time.as_integer()?).ok()?;
            Some(Json::String(UtcMillis(ms).to_string()))
        }
        (Form::Hex, value) => {
            let bits = u32::try_from(value.as_integer()?).ok()?;
            Some(Json::String(format!("{bits:08x}")))
        }
        (Form::Digest, Cbor::Bytes(bytes)) if bytes.len() == 32 => Some(Json::String(to_hex(&bytes))),
        (Form::Scaled(factor), Cbor::Array(items)) => {
            Some(Json::Array(items.iter().map(|item| unscale(item, factor)).collect::<Option<_>>()?))
        }
        (Form::Scaled(factor), number) => unscale(&number, factor),
        (Form::Plain, Cbor::Text(text)) => Some(Json::String(text)),
        (Form::Plain, Cbor::Bool(flag)) => Some(Json::Bool(flag)),
        (Form::Plain, Cbor::Integer(n)) => {
            let n = i128::from(n);
            let number = u64::try_from(n).map(Number::from).or_else(|_| i64::try_from(n).map(Number::from));
            number.ok().map(Json::Number)
        }
        (Form::Plain, Cbor::Float(x)) => Number::from_f64(x).map(Json::Number),
        (Form::Plain, Cbor::Array(items)) => {
            Some(Json::Array(items.into_iter().map(|item| lengthen(Form::Plain, item)).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn unscale(value: &Cbor, factor: f64) -> Option<Json> {
    let n = i64::try_from(value.as_integer()?).ok()?;
    Number::from_f64(n as f64 / factor).map(Json::Number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::{BBox, Group};
    use crate::event::{Body, Conf, Draft, Event, LogId, Stamp, TimeSource};
    use proptest::prelude::*;

    #[test]
    fn a_crossing_with_long_names_fits_a_satellite_message() {
        let name = || "sixteen-letters!".to_owned();
        let stamp = Stamp {
            t: UtcMillis(1_747_000_000_123),
            uncertainty_ms: Some(16_000),
            source: TimeSource::None,
            boot: u32::MAX,
            mono_ms: 12_345_678_901,
        };
        let body = Body::Crossing {
            id: Uuid::from_u128(u128::MAX),
            cam: name(),
            grp: Group::Vehicle,
            cls: "motorcycle".into(),
            conf: Conf(0.88),
            bbox: BBox::new(0.123, 0.456, 0.4, 0.5).into(),
            wire: name(),
            dir: name(),
            gid: Some(Uuid::from_u128(7)),
        };
        let event = Event::new(&name(), &LogId("a1b2c3".into()), 9_999_999, Draft { stamp, body, replay: false });
        let bytes = to_cbor(&event.to_json()).unwrap();
        assert!(bytes.len() < 280, "{} bytes", bytes.len());
        assert_eq!(from_cbor(&bytes).unwrap(), event.to_json());
    }

    proptest! {
        #[test]
        fn nothing_from_outside_brings_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,100}") {
            let _ = (from_cbor(&bytes), to_cbor(&text));
        }
    }
}
