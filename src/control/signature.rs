//! Whether a signature holds: Ed25519 (RFC 8032), over the lines of
//! [`Wording`](super::Wording).

use ring::signature::{ED25519, UnparsedPublicKey};

use super::command::Signed;
use super::reply::{Reason, Refusal};
use crate::config::OperatorKey;

impl Signed {
    /// Whose command it is, if it is for `unit` (`<prefix>/<unit>`) and one of
    /// `operators` signed it.
    ///
    /// # Errors
    /// [`Reason::Signature`], whatever is wrong.
    pub fn check<'k>(&self, unit: &str, operators: &'k [OperatorKey]) -> Result<&'k OperatorKey, Refusal> {
        let holds = |operator: &&OperatorKey| {
            let key = UnparsedPublicKey::new(&ED25519, &operator.key);
            self.wording().lines(unit).is_ok_and(|text| key.verify(&text, &self.signature).is_ok())
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
    use crate::control::{Holds, Keyring, Wording};
    use crate::domain::UtcMillis;

    fn keyring(seed: u8) -> Keyring {
        Keyring::from_secret([seed; 32], "alice").unwrap()
    }

    fn keys() -> Vec<OperatorKey> {
        vec![keyring(1).public().clone(), keyring(2).public().clone()]
    }

    #[test]
    fn a_command_is_its_signers_for_one_unit_and_one_counter_alone() {
        let holds = Holds { until: UtcMillis(1_777_666_555_123), boot: Some(7) };
        let wording = Wording { log: "k3v7qa", id: "a", n: 7, holds: Some(holds), text: "{}" };
        let whole = keyring(2).sign("tawny/gate", &wording).unwrap();
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
        // Neither later, nor in another boot, nor for ever.
        let later = Holds { until: UtcMillis(1_777_666_555_124), ..holds };
        for other in [Some(later), Some(Holds { boot: Some(8), ..holds }), Some(Holds { boot: None, ..holds }), None] {
            refused(&Signed { holds: other, ..whole.clone() }, "tawny/gate", &keys());
        }
        // Nor does what was signed without an end get one.
        let endless = keyring(2).sign("tawny/gate", &Wording { holds: None, ..wording }).unwrap();
        assert!(endless.check("tawny/gate", &keys()).is_ok());
        refused(&Signed { holds: Some(holds), ..endless }, "tawny/gate", &keys());
        // Bytes that are no point of the curve, as in the example of the configuration.
        let none: OperatorKey =
            "ed25519:c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec001 alice".parse().unwrap();
        refused(&Signed { key: none.key, ..whole }, "tawny/gate", &[none]);
    }
}
