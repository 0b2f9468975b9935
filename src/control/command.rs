//! Reading commands. Everything here comes from outside and may be anything.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::holds::{Holds, read_boot, read_until};
use super::reply::{Reason, Refusal};
use super::wording::Wording;
use crate::config::HumanDuration;
use crate::domain::from_hex;

/// A larger command is ignored.
pub const LARGEST: usize = 4096;

/// The largest counter: what a JSON number holds exactly in every language.
pub const LARGEST_COUNTER: u64 = (1 << 53) - 1;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum What {
    /// Is the unit there?
    Ping,
    /// Publish stored events again.
    Resend {
        /// The journal they are in; the present one if absent.
        log: Option<String>,
        /// The first number.
        from: u64,
        /// The last number.
        to: u64,
    },
    /// Watch nothing for a while.
    Pause {
        /// How long.
        #[serde(rename = "for")]
        duration: HumanDuration,
    },
    /// Watch again.
    Resume,
    /// Send a picture.
    Still(Picture),
    /// Send a clip.
    Clip {
        /// Its id.
        of: Uuid,
        /// Only what follows so many bytes.
        #[serde(default)]
        from: u64,
    },
}

/// Which picture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PictureKeys")]
pub enum Picture {
    /// One that is kept.
    Kept {
        /// The sighting's id.
        of: Uuid,
        /// At full size.
        full: bool,
        /// Only what follows so many bytes.
        from: u64,
    },
    /// What a camera sees now.
    Now(Portrait),
}

/// What a camera sees now, and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portrait {
    /// The camera's name.
    pub cam: String,
    /// With tripwires, zones and detections.
    pub draw: bool,
    /// At most so many pixels wide; see [`PORTRAIT_WIDTHS`].
    pub width: u64,
}

/// Widths that may be asked for.
pub const PORTRAIT_WIDTHS: RangeInclusive<u64> = 160..=1920;

/// Width if nothing is said about it.
const PORTRAIT_WIDTH: u64 = 960;

/// The keys of `still`: each kind of picture has some of them.
#[derive(Deserialize)]
struct PictureKeys {
    of: Option<Uuid>,
    cam: Option<String>,
    #[serde(default)]
    full: bool,
    #[serde(default)]
    draw: bool,
    width: Option<u64>,
    #[serde(default)]
    from: u64,
}

impl TryFrom<PictureKeys> for Picture {
    type Error = &'static str;

    fn try_from(keys: PictureKeys) -> Result<Picture, &'static str> {
        let PictureKeys { of, cam, full, draw, width, from } = keys;
        match (of, cam) {
            (Some(of), None) => Ok(Picture::Kept { of, full, from }),
            (None, Some(cam)) => Ok(Picture::Now(Portrait { cam, draw, width: width.unwrap_or(PORTRAIT_WIDTH) })),
            _ => Err("a still is either 'of' a sighting or of what 'cam' sees now"),
        }
    }
}

/// Who may give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever may publish to the unit's topic: it changes nothing, and gives
    /// nothing away that is not published anyway.
    Anybody,
    /// Whoever signs with a key of `uplink.operator_keys`.
    Operators,
}

impl What {
    /// The table of commands: what each is called, and who may give it.
    pub fn rule(&self) -> (&'static str, Access) {
        match self {
            What::Ping => ("ping", Access::Anybody),
            What::Resend { .. } => ("resend", Access::Anybody),
            What::Pause { .. } => ("pause", Access::Operators),
            What::Resume => ("resume", Access::Operators),
            What::Still(_) => ("still", Access::Operators),
            What::Clip { .. } => ("clip", Access::Operators),
        }
    }

    /// Reads a command's own keys; others are ignored.
    ///
    /// # Errors
    /// A refusal in plain words.
    pub fn read(text: &str) -> Result<What, Refusal> {
        serde_json::from_str(text).map_err(|e| Refusal::new(Reason::Format, format!("not understood: {e}")))
    }
}

/// A command that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// One that needs no signature and has none.
    Open {
        /// Names the command and its reply.
        id: String,
        /// What is wanted.
        what: What,
    },
    /// One that is signed, by whomever.
    Signed(Signed),
}

/// A signed command, not checked yet. `text` is not looked into before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Names the command and its reply.
    pub id: String,
    /// The journal in which the counter is kept.
    pub log: String,
    /// The counter.
    pub n: u64,
    /// How long it holds; `None`: it does not say (`tawny command v1`).
    pub holds: Option<Holds>,
    /// Whose signature it claims to be.
    pub key: [u8; 32],
    /// The signature (RFC 8032, section 5.1.6).
    pub signature: [u8; 64],
    /// The command as it was signed: what [`What::read`] takes.
    pub text: String,
}

impl Signed {
    /// What was signed.
    pub fn wording(&self) -> Wording<'_> {
        Wording { log: &self.log, id: &self.id, n: self.n, holds: self.holds, text: &self.text }
    }
}

/// A payload that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Nobody can be answered.
    Nothing,
    /// It has an id, and this is the answer.
    Refused {
        /// Names the reply.
        id: String,
        /// What is wrong.
        refusal: Refusal,
    },
}

/// Whether `id` may name a command, a unit or a journal: it becomes a part of a
/// topic, and a line of what is signed.
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[derive(Deserialize)]
struct Head {
    id: String,
    sig: Option<IgnoredAny>,
}

/// The keys of a signed command.
#[derive(Deserialize)]
struct Envelope {
    log: String,
    n: u64,
    until: Option<String>,
    boot: Option<String>,
    key: String,
    sig: String,
    cmd: String,
}

impl Envelope {
    /// How long it holds; nothing, if it says nothing about it.
    fn holds(&self) -> Result<Option<Holds>, &'static str> {
        let Some(until) = &self.until else {
            return if self.boot.is_none() { Ok(None) } else { Err("'boot' is there without 'until'") };
        };
        let until = read_until(until).ok_or("'until' is a time like 2026-05-01T20:15:55.123Z")?;
        let boot = self.boot.as_deref().map(|boot| read_boot(boot).ok_or("'boot' is 8 hex digits")).transpose()?;
        Ok(Some(Holds { until, boot }))
    }
}

/// Reads what came on a unit's topic for commands. Never panics, whatever the
/// bytes; looks at no more than [`LARGEST`] of them.
///
/// # Errors
/// [`Unreadable`], with the answer if there can be one.
pub fn parse(payload: &[u8]) -> Result<Command, Unreadable> {
    if payload.len() > LARGEST {
        return Err(Unreadable::Nothing);
    }
    let head: Head = serde_json::from_slice(payload).map_err(|_| Unreadable::Nothing)?;
    if !is_id(&head.id) {
        return Err(Unreadable::Nothing);
    }
    let id = head.id;
    let read = if head.sig.is_some() { signed(&id, payload) } else { open(&id, payload) };
    read.map_err(|refusal| Unreadable::Refused { id, refusal })
}

fn open(id: &str, payload: &[u8]) -> Result<Command, Refusal> {
    let text = std::str::from_utf8(payload).map_err(|e| Refusal::new(Reason::Format, e.to_string()))?;
    let what = What::read(text)?;
    match what.rule() {
        (_, Access::Anybody) => Ok(Command::Open { id: id.to_owned(), what }),
        (name, Access::Operators) => {
            Err(Refusal::new(Reason::Unsigned, format!("{name} has to be signed by an operator")))
        }
    }
}

fn signed(id: &str, payload: &[u8]) -> Result<Command, Refusal> {
    let wrong = |why: String| Refusal::new(Reason::Format, why);
    let envelope: Envelope = serde_json::from_slice(payload).map_err(|e| wrong(format!("not understood: {e}")))?;
    let holds = envelope.holds().map_err(|why| wrong(why.to_owned()))?;
    let Envelope { log, n, key, sig, cmd, .. } = envelope;
    let key = from_hex(&key).ok_or_else(|| wrong("'key' is 64 hex digits".to_owned()))?;
    let signature = from_hex(&sig).ok_or_else(|| wrong("'sig' is 128 hex digits".to_owned()))?;
    let signed = Signed { id: id.to_owned(), log, n, holds, key, signature, text: cmd };
    match signed.wording().fault() {
        Some(fault) => Err(wrong(fault.to_owned())),
        None => Ok(Command::Signed(signed)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(payload: &str) -> (String, Reason, String) {
        match parse(payload.as_bytes()) {
            Err(Unreadable::Refused { id, refusal }) => (id, refusal.reason, refusal.why),
            other => panic!("{payload}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_read_and_everything_else_is_refused() {
        let ping = parse(br#"{"id":"a-1","do":"ping"}"#).unwrap();
        assert_eq!(ping, Command::Open { id: "a-1".into(), what: What::Ping });
        let resend = parse(br#"{"id":"a","do":"resend","log":"k","from":3,"to":9,"later":1}"#).unwrap();
        let what = What::Resend { log: Some("k".into()), from: 3, to: 9 };
        assert_eq!(resend, Command::Open { id: "a".into(), what });
        // An id that would leave its topic, or none.
        for nothing in
            [r#"{"id":"a/b","do":"ping"}"#, r#"{"id":"+","do":"ping"}"#, r#"{"id":"","do":"ping"}"#, "{}", ""]
        {
            assert_eq!(parse(nothing.as_bytes()), Err(Unreadable::Nothing), "{nothing}");
        }
        let (id, reason, why) = refused(r#"{"id":"a","do":"explode"}"#);
        assert!(id == "a" && reason == Reason::Format && why.contains("explode"), "{why}");
        assert_eq!(parse(&vec![b' '; LARGEST + 1]), Err(Unreadable::Nothing));
    }

    #[test]
    fn what_needs_a_signature_is_refused_without_one() {
        for (what, reason) in [
            (r#""do":"pause","for":"1h""#, Reason::Unsigned),
            (r#""do":"resume""#, Reason::Unsigned),
            (r#""do":"pause""#, Reason::Format),
            (r#""do":"still","cam":"road""#, Reason::Unsigned),
            (r#""do":"clip","of":"019a0000-0000-7000-8000-000000000001""#, Reason::Unsigned),
            (r#""do":"clip","of":"../../etc/passwd""#, Reason::Format),
            (r#""do":"ping","sig":"00""#, Reason::Format),
            (r#""do":"ping","sig":null,"x":"pause""#, Reason::Format),
        ] {
            let payload = format!("{{\"id\":\"a\",{what}}}");
            if what.contains("null") {
                assert!(parse(payload.as_bytes()).is_ok(), "an absent signature");
            } else {
                assert_eq!(refused(&payload).1, reason, "{payload}");
            }
        }
    }

    #[test]
    fn a_still_is_of_a_sighting_or_of_a_camera() {
        let id = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001);
        let read = |keys: &str| What::read(&format!("{{\"do\":\"still\"{keys}}}"));
        let of = format!(",\"of\":\"{id}\"");
        assert_eq!(read(&of), Ok(What::Still(Picture::Kept { of: id, full: false, from: 0 })));
        let more = format!("{of},\"full\":true,\"from\":4096");
        assert_eq!(read(&more), Ok(What::Still(Picture::Kept { of: id, full: true, from: 4096 })));
        let now = |draw, width| Ok(What::Still(Picture::Now(Portrait { cam: "road".into(), draw, width })));
        assert_eq!(read(",\"cam\":\"road\""), now(false, 960));
        assert_eq!(read(",\"cam\":\"road\",\"draw\":true,\"width\":320,\"later\":[]"), now(true, 320));
        for wrong in ["", ",\"cam\":1", ",\"of\":\"7\"", ",\"cam\":\"a\",\"width\":-1", &format!("{of},\"cam\":\"a\"")]
        {
            assert_eq!(read(wrong).unwrap_err().reason, Reason::Format, "{wrong}");
        }
        assert!(read("").unwrap_err().why.contains("'of'"));
        let clip = What::read(&format!("{{\"do\":\"clip\",\"of\":\"{id}\"}}"));
        assert_eq!(clip, Ok(What::Clip { of: id, from: 0 }));
    }

    #[test]
    fn a_signed_command_has_all_its_parts_in_their_form() {
        let whole = serde_json::json!({
            "id": "a", "log": "k3v7qa", "n": 7, "key": "0a".repeat(32), "sig": "0b".repeat(64), "cmd": "anything",
            "until": "2026-05-01T20:15:55.123Z", "boot": "0badcafe",
        });
        let Ok(Command::Signed(signed)) = parse(whole.to_string().as_bytes()) else { panic!() };
        assert_eq!((signed.key, signed.signature, signed.n), ([10; 32], [11; 64], 7));
        assert_eq!((signed.log.as_str(), signed.text.as_str()), ("k3v7qa", "anything"));
        let holds = Holds { until: crate::domain::UtcMillis(1_777_666_555_123), boot: Some(0x0bad_cafe) };
        assert_eq!(signed.holds, Some(holds));
        let without = |keys: &[&str]| {
            let mut changed = whole.clone();
            keys.iter().for_each(|key| drop(changed.as_object_mut().unwrap().remove(*key)));
            parse(changed.to_string().as_bytes())
        };
        let held = |command| matches!(command, Ok(Command::Signed(Signed { holds: Some(h), .. })) if h == Holds { boot: None, ..holds });
        assert!(held(without(&["boot"])));
        assert!(matches!(without(&["until", "boot"]), Ok(Command::Signed(Signed { holds: None, .. }))));
        assert!(without(&["until"]).is_err(), "bound to a boot and to nothing else");
        let with = |key: &str, value: serde_json::Value| {
            let mut changed = whole.clone();
            changed[key] = value;
            refused(&changed.to_string()).1
        };
        for (key, value) in [
            ("n", 0.into()),
            ("n", (1u64 << 53).into()),
            ("n", (-1).into()),
            ("n", 1.5.into()),
            ("n", ((1u64 << 53) - 1).into()),
            ("log", "a\nb".into()),
            ("log", "".into()),
            ("until", "2026-05-01T20:15:55Z".into()),
            ("until", 1_777_666_555_123u64.into()),
            ("until", "".into()),
            ("boot", "0BADCAFE".into()),
            ("boot", "badcafe".into()),
            ("boot", 7.into()),
            ("cmd", "\nx\n7\n{}".into()),
            ("cmd", "{}\r".into()),
            ("log", 3.into()),
            ("key", "0a".into()),
            ("sig", "zz".repeat(64).into()),
            ("sig", 1.into()),
            ("cmd", serde_json::json!({"do": "ping"})),
        ] {
            assert_eq!(with(key, value.clone()), Reason::Format, "{key}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_can_hurt(payload in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,60}") {
            let _ = parse(&payload);
            let _ = parse(format!("{{\"id\":\"{text}\",\"do\":\"resend\",\"from\":{},\"to\":-1}}", payload.len()).as_bytes());
            let _ = parse(format!("{{\"id\":\"a\",\"sig\":\"{text}\",\"cmd\":{text}}}").as_bytes());
            let _ = What::read(&text);
            let _ = What::read(&format!("{{\"do\":\"pause\",\"for\":\"{text}\"}}"));
            let _ = What::read(&format!("{{\"do\":\"still\",\"of\":\"{text}\",\"cam\":\"{text}\"}}"));
        }
    }
}
