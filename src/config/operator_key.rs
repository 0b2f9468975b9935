//! The public key of somebody whose commands the unit obeys, as people write it:
//! "ed25519:", 64 hex digits, and a name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::{from_hex, to_hex};

/// What the algorithm is called.
const ALGORITHM: &str = "ed25519:";

/// An Ed25519 public key (RFC 8032, section 5.1.5) and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorKey {
    /// The key's 32 bytes.
    pub key: [u8; 32],
    /// Who has the other half: 1 to 32 letters, digits, '-', '_' or '.'.
    pub name: String,
}

impl OperatorKey {
    /// Whether `name` may stand behind a key.
    pub fn is_name(name: &str) -> bool {
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    }
}

impl std::str::FromStr for OperatorKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (key, name) = (words.next().and_then(|word| word.strip_prefix(ALGORITHM)), words.next());
        let key = key.and_then(from_hex);
        match (key, name, words.next()) {
            (Some(key), Some(name), None) if OperatorKey::is_name(name) => {
                Ok(OperatorKey { key, name: name.to_owned() })
            }
            _ => Err("must be \"ed25519:\", the 64 hex digits of a public key, and a name, as `tawny key show` \
                      prints them"
                .to_owned()),
        }
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{} {}", to_hex(&self.key), self.name)
    }
}

impl Serialize for OperatorKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OperatorKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for OperatorKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OperatorKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "x-kind": "operator_key",
            "pattern": "^\\s*ed25519:[0-9A-Fa-f]{64}\\s+[A-Za-z0-9_.-]{1,32}\\s*$"
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_digits_and_a_name() {
        let text = format!("ed25519:{} alice", "0a".repeat(32));
        let key: OperatorKey = text.parse().unwrap();
        assert_eq!((key.key, key.name.as_str()), ([10; 32], "alice"));
        assert_eq!(key.to_string(), text);
        for bad in [
            "",
            "alice",
            text.trim_start_matches("ed25519:"),
            text.trim_end_matches(" alice"),
            &text.replace("alice", "a/b"),
            &text.replace("0a0a ", "0a "),
            &text.replace("0a0a ", "0ag0 "),
            &format!("{text} and bob"),
        ] {
            assert!(bad.parse::<OperatorKey>().is_err(), "{bad}");
        }
    }
}
