//! What is answered.

use serde::Serialize;

use crate::domain::UtcMillis;

/// Longest explanation in a reply, in characters.
const LONGEST_WHY: usize = 200;

/// Why a command is not done, in a word that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It cannot be understood.
    Format,
    /// It needs a signature.
    Unsigned,
    /// The signature is none of an operator's for exactly this. It is not told
    /// whether the key, the unit or the text is wrong: only who can sign needs to
    /// know more.
    Signature,
    /// It was signed for another journal of this unit.
    Journal,
    /// It does not say until when it holds (`tawny command v1`), and this unit takes
    /// only what does.
    Undated,
    /// It held for a while, which is over; or nobody here can tell that it is not.
    Stale,
    /// It was done before, or one that was signed later was.
    Replayed,
    /// The broker was asked to keep it: it would come again for ever.
    Retained,
    /// Too many at once.
    Busy,
    /// A value is out of range.
    Range,
    /// The configuration forbids it, for the sake of those who are to be seen.
    Privacy,
    /// There is no such file or camera, or the camera shows nothing now.
    Missing,
    /// It could not be done.
    Failed,
}

/// A command is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub why: String,
}

impl Refusal {
    /// `why` is cut where it is long: it may repeat what came from outside.
    pub fn new(reason: Reason, why: impl Into<String>) -> Refusal {
        let mut why: String = why.into();
        if let Some((at, _)) = why.char_indices().nth(LONGEST_WHY) {
            why.truncate(at);
        }
        Refusal { reason, why }
    }
}

/// What is said of a file before it follows in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileHead {
    /// `image/jpeg` or `video/mp4`.
    #[serde(rename = "type")]
    pub media: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Where the parts begin.
    pub from: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply<'a> {
    /// The command's.
    pub id: &'a str,
    /// Whether it was understood and is done or will be.
    pub ok: bool,
    /// Of a signed command: its counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// The journal's id.
    pub log: &'a str,
    /// The last number committed.
    pub seq: u64,
    /// The unit is done with all up to it.
    pub low: u64,
    /// Of a `resend`: the first number that it covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Of a `resend`: the last number that it covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Of a `resend`: numbers of these, first and last of each run, that the journal does
    /// not hold or can never send; no more than fit a reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without: Option<&'a [(u64, u64)]>,
    /// Of a `pause`: when it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UtcMillis>,
    /// The file that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a FileHead>,
    /// True: it was done when it came before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Why it is not done, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Reason>,
    /// Why it is not done, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a str>,
}

impl Reply<'_> {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}
