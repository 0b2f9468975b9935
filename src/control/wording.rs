//! What is signed, as lines of text, and what each of them may be.
//!
//! A signature covers: what this is (`tawny command v2`), the unit's topic, the
//! journal that keeps the counter, the command's id, the counter, the command's own
//! text, and how long it holds ([`Holds`]). That is seven lines, always: no part may
//! contain a line feed or any other control character, whoever it comes from. So
//! two commands with the same signed text are the same command, and no signer can
//! be led to sign another one by what somebody tells it of a unit. Signing and
//! checking both go through [`Wording::lines`], which refuses anything else.

use super::command::{LARGEST_COUNTER, is_id};
use super::holds::Holds;

/// The first line: a signature made for anything else says nothing here.
pub const DOMAIN: &str = "tawny command v2";

/// The first line of a command that does not say how long it holds; six lines.
pub const DOMAIN_V1: &str = "tawny command v1";

/// Longest unit's topic: prefix and id at their longest, and what joins them.
const LONGEST_TOPIC: usize = 64 + 1 + 32;

/// What is signed, apart from the unit's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording<'a> {
    /// The journal that keeps the counter.
    pub log: &'a str,
    /// Names the command and its reply.
    pub id: &'a str,
    /// The counter.
    pub n: u64,
    /// How long it holds; `None`: it does not say, as in version 1.
    pub holds: Option<Holds>,
    /// The command.
    pub text: &'a str,
}

impl Wording<'_> {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        if !is_id(self.log) {
            return Some("'log' is no journal's id");
        }
        if !is_id(self.id) {
            return Some("'id' is no command's id");
        }
        if !(1..=LARGEST_COUNTER).contains(&self.n) {
            return Some("'n' is no counter: from 1 to 9007199254740991");
        }
        if self.holds.is_some_and(|holds| !holds.admits(self.n)) {
            return Some("'n' is more than a year ahead of 'until'");
        }
        if self.text.chars().any(char::is_control) {
            return Some("'cmd' contains a line feed or another control character");
        }
        None
    }

    /// The bytes that are signed for `unit` (`<prefix>/<unit>`).
    ///
    /// # Errors
    /// What is wrong with a part, in plain words.
    pub fn lines(&self, unit: &str) -> Result<Vec<u8>, &'static str> {
        if !is_topic(unit) {
            return Err("this is no unit's topic");
        }
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let Wording { log, id, n, holds, text } = self;
        let lines = match holds {
            Some(holds) => format!("{DOMAIN}\n{unit}\n{log}\n{id}\n{n}\n{text}\n{holds}"),
            None => format!("{DOMAIN_V1}\n{unit}\n{log}\n{id}\n{n}\n{text}"),
        };
        Ok(lines.into_bytes())
    }
}

/// Names joined by '/', as the configuration allows them.
fn is_topic(unit: &str) -> bool {
    unit.len() <= LONGEST_TOPIC && unit.split('/').all(is_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::UtcMillis;
    use proptest::prelude::*;

    const HOLDS: Holds = Holds { until: UtcMillis(1_777_666_555_123), boot: Some(0x0bad_cafe) };
    const WHOLE: Wording<'_> =
        Wording { log: "k3v7qa", id: "a", n: 7, holds: Some(HOLDS), text: "{\"do\":\"resume\"}" };

    fn text(wording: &Wording<'_>) -> String {
        String::from_utf8(wording.lines("tawny/gate").unwrap()).unwrap()
    }

    #[test]
    fn there_are_seven_lines_and_the_six_of_version_1_stay() {
        let six = "\ntawny/gate\nk3v7qa\na\n7\n{\"do\":\"resume\"}";
        assert_eq!(text(&WHOLE), format!("tawny command v2{six}\n2026-05-01T20:15:55.123Z 0badcafe"));
        let unbound = Wording { holds: Some(Holds { boot: None, ..HOLDS }), ..WHOLE };
        assert_eq!(text(&unbound), format!("tawny command v2{six}\n2026-05-01T20:15:55.123Z"));
        assert_eq!(text(&Wording { holds: None, ..WHOLE }), format!("tawny command v1{six}"));
    }

    /// The attack: a status whose `log` contains line feeds, so that what is signed is
    /// also the text of another command, with the last counter there is.
    #[test]
    fn nothing_that_a_broker_tells_shifts_the_lines() {
        for log in ["k3v7qa\nx\n9007199254740991\n", "k3v7qa\r", "k\u{2028}", "", "k3v7qa\0", &"a".repeat(65)] {
            for holds in [Some(HOLDS), None] {
                assert!(Wording { log, holds, ..WHOLE }.lines("tawny/gate").is_err(), "{log:?}");
            }
        }
        for unit in ["tawny/gate\nk3v7qa", "tawny//gate", "", "/gate", "tawny/+", &format!("{}/gate", "a".repeat(93))] {
            assert!(WHOLE.lines(unit).is_err(), "{unit:?}");
        }
        for text in ["\na\n7\n{}", "{}\n", "{\"do\":\n\"resume\"}", "{}\r", "\u{85}", "\t{}"] {
            for holds in [Some(HOLDS), None] {
                assert!(Wording { text, holds, ..WHOLE }.lines("tawny/gate").is_err(), "{text:?}");
            }
        }
        assert!(Wording { id: "a\nb", ..WHOLE }.lines("tawny/gate").is_err());
    }

    #[test]
    fn no_signature_can_use_up_a_keys_counter() {
        let with = |n: u64, holds: Option<Holds>| Wording { n, holds, ..WHOLE }.fault();
        assert!(with(LARGEST_COUNTER, Some(HOLDS)).unwrap().contains("a year ahead"));
        let millis = u64::try_from(HOLDS.until.0).unwrap();
        assert_eq!(with(millis, Some(HOLDS)), None);
        assert_eq!(with(millis + 300 * 86_400_000, Some(HOLDS)), None, "a clock that was once ahead");
        assert!(with(millis + 400 * 86_400_000, Some(HOLDS)).is_some());
        assert_eq!((with(LARGEST_COUNTER, None), with(LARGEST_COUNTER + 1, None).is_some()), (None, true));
        assert!(with(0, Some(HOLDS)).is_some());
    }

    /// What the parts of a command may be, and what they may not.
    fn parts() -> impl Strategy<Value = (String, String, String, u64, Option<Holds>, String)> {
        let name = "[a-b\n/]{1,3}";
        let holds = prop::option::of((0..3i64, prop::option::of(0..2u32)))
            .prop_map(|holds| holds.map(|(t, boot)| Holds { until: UtcMillis(t), boot }));
        let odd = "[\\PC\n\r 7ab]{0,6}";
        let lines = prop::collection::vec("(a|7|\\{\\}|1970-01-01T00:00:00.001Z)", 0..4).prop_map(|l| l.join("\n"));
        let text = prop_oneof![odd, lines];
        (name, name, name, 0..12u64, holds, text)
    }

    proptest! {
        /// Whatever the parts are: where something can be signed, it has as many lines
        /// as its version says, and belongs to these parts alone.
        #[test]
        fn no_two_commands_are_signed_alike(a in parts(), b in parts()) {
            let signed = |(unit, log, id, n, holds, text): &(String, String, String, u64, Option<Holds>, String)| {
                Wording { log, id, n: *n, holds: *holds, text }.lines(unit).ok()
            };
            let (first, second) = (signed(&a), signed(&b));
            if let Some(first) = &first {
                let lines = first.iter().filter(|byte| **byte == b'\n').count() + 1;
                prop_assert_eq!(lines, if a.4.is_some() { 7 } else { 6 });
                prop_assert_eq!(second.as_ref() == Some(first), a == b);
            }
        }
    }
}
