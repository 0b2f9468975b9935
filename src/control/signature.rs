//! What is signed, and whether a signature holds: Ed25519 (RFC 8032).
//!
//! The signature covers, as lines of text: what this is ([`DOMAIN`]), the unit's
//! topic, the journal that keeps the counter, the command's id, the counter, and
//! then the command's own bytes to the end. None of the first five can contain a
//! line feed, so no two commands have the same signed text.

use ring::signature::{ED25519, UnparsedPublicKey};

use super::command::Signed;
use super::reply::{Reason, Refusal};
use crate::config::OperatorKey;

/// The first line of what is signed: a signature made for anything else says
/// nothing here.
pub const DOMAIN: &str = "tawny command v1";

/// The bytes that are signed. `unit` is `<prefix>/<unit>`, `log` the id of the
/// unit's journal, `n` the counter in decimal, `text` the command.
pub fn signed_text(unit: &str, log: &str, id: &str, n: u64, text: &str) -> Vec<u8> {
    format!("{DOMAIN}\n{unit}\n{log}\n{id}\n{n}\n{text}").into_bytes()
}

impl Signed {
    /// Whose command it is, if it is for `unit` (`<prefix>/<unit>`) and one of
    /// `operators` signed it.
    ///
    /// # Errors
    /// [`Reason::Signature`], whatever is wrong.
    pub fn check<'k>(&self, unit: &str, operators: &'k [OperatorKey]) -> Result<&'k OperatorKey, Refusal> {
        let holds = |operator: &&OperatorKey| {
            let text = signed_text(unit, &self.log, &self.id, self.n, &self.text);
            UnparsedPublicKey::new(&ED25519, &operator.key).verify(&text, &self.signature).is_ok()
        };
        operators
            .iter()
            .find(|operator| operator.key == self.key)
            .filter(holds)
            .ok_or_else(|| Refusal::new(Reason::Signature, "no operator of this unit has signed this"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::Keyring;
    use proptest::prelude::*;

    fn keyring(seed: u8) -> Keyring {
        Keyring::from_secret([seed; 32], "alice").unwrap()
    }

    fn keys() -> Vec<OperatorKey> {
        vec![keyring(1).public().clone(), keyring(2).public().clone()]
    }

    #[test]
    fn a_command_is_its_signers_for_one_unit_and_one_counter_alone() {
        let whole = keyring(2).sign("tawny/gate", "k3v7qa", "a", 7, "{}");
        assert_eq!(whole.check("tawny/gate", &keys()).unwrap().key, keys()[1].key);
        let refused = |signed: &Signed, unit: &str, keys: &[OperatorKey]| {
            assert_eq!(signed.check(unit, keys).unwrap_err().reason, Reason::Signature, "{signed:?}");
        };
        refused(&whole, "tawny/road", &keys());
        refused(&whole, "tawny/gate", &keys()[..1]);
        refused(&whole, "tawny/gate", &[]);
        refused(&Signed { key: keys()[0].key, ..whole.clone() }, "tawny/gate", &keys());
        refused(&Signed { log: "other".into(), ..whole.clone() }, "tawny/gate", &keys());
        refused(&Signed { id: "b".into(), ..whole.clone() }, "tawny/gate", &keys());
        refused(&Signed { n: 8, ..whole.clone() }, "tawny/gate", &keys());
        refused(&Signed { text: "{} ".into(), ..whole.clone() }, "tawny/gate", &keys());
        // Bytes that are no point of the curve, as in the example of the configuration.
        let none: OperatorKey =
            "ed25519:c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec001 alice".parse().unwrap();
        refused(&Signed { key: none.key, ..whole }, "tawny/gate", &[none]);
    }

    /// What the parts of a command may be.
    fn parts() -> impl Strategy<Value = (String, String, String, u64, String)> {
        let name = "[A-Za-z0-9_.-]{1,8}";
        ("[a-z/]{1,8}", name, name, 1..1u64 << 53, "[\\PC\n]{0,12}")
    }

    proptest! {
        #[test]
        fn no_two_commands_are_signed_alike(a in parts(), b in parts()) {
            let text = |p: &(String, String, String, u64, String)| signed_text(&p.0, &p.1, &p.2, p.3, &p.4);
            prop_assert_eq!(text(&a) == text(&b), a == b);
        }
    }
}
