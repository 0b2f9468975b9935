//! The kinds of events and their keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::class::Class;
use crate::domain::{BBox, Group, UtcMillis};

/// Serialises as a number rounded to `DECIMALS` places.
macro_rules! rounded {
    ($(#[$doc:meta])* $name:ident, $factor:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub f32);

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_f64((f64::from(self.0) * $factor).round() / $factor)
            }
        }
    };
}

rounded!(
    /// A fraction of the picture; three decimals on the wire.
    Frac,
    1e3
);
rounded!(
    /// A confidence, 0..=1; two decimals on the wire.
    Conf,
    1e2
);
rounded!(
    /// A duration in seconds; one decimal on the wire.
    Seconds,
    10.0
);

/// A box as `[x, y, w, h]` in fractions of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoxFrac(pub [Frac; 4]);

impl From<BBox> for BoxFrac {
    fn from(b: BBox) -> BoxFrac {
        let b = b.clipped();
        BoxFrac([Frac(b.x), Frac(b.y), Frac(b.w), Frac(b.h)])
    }
}

/// Which end of something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It began.
    Start,
    /// It is over.
    End,
    /// An object came into a zone.
    Enter,
    /// An object left a zone.
    Leave,
    /// A camera gives no pictures any more.
    Lost,
    /// A camera gives pictures again.
    Back,
    /// A camera gives pictures that show nothing.
    Blind,
    /// A camera shows something again.
    Seeing,
    /// A camera's time stamps do not keep real time: events get the time at which
    /// its pictures come.
    Untimed,
    /// A camera's time stamps keep real time again.
    Timed,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keepsake {
    /// A still at full size.
    Still,
    /// Video.
    Clip,
}

/// One event's own keys, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// An object was seen: sent at once when it is confirmed, and again when
    /// it is given up. The end is authoritative for the fine class.
    Sighting {
        /// Start or end.
        phase: Phase,
        /// UUIDv7 shared by all events about this object.
        id: Uuid,
        /// The camera's name.
        cam: String,
        /// Vehicle, person or animal; never changes for one id.
        grp: Group,
        /// The fine class, for example "car".
        cls: String,
        /// Confidence of the best view.
        conf: Conf,
        /// The best view so far.
        #[serde(rename = "box")]
        bbox: BoxFrac,
        /// At the end: seconds between first and last seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dur: Option<Seconds>,
        /// At the end: "left", "stop", "interrupted", "stationary" or "paused".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// At the end: SHA-256 of the JPEG last published on `still/<id>`, 64
        /// hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        still: Option<String>,
    },
    /// An object passed a tripwire. Never re-sent.
    Crossing {
        /// The sighting's id.
        id: Uuid,
        /// The camera's name.
        cam: String,
        /// Vehicle, person or animal.
        grp: Group,
        /// The fine class as far as known at that moment.
        cls: String,
        /// Confidence of the track's best view so far.
        conf: Conf,
        /// The box at the crossing.
        #[serde(rename = "box")]
        bbox: BoxFrac,
        /// The tripwire's name.
        wire: String,
        /// The direction's name.
        dir: String,
        /// The group (convoy) it belongs to, when one has already started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<Uuid>,
    },
    /// Several objects passed the same tripwire the same way, close together.
    Group {
        /// Start (at the second member) or end.
        phase: Phase,
        /// The group's UUIDv7.
        gid: Uuid,
        /// The camera's name.
        cam: String,
        /// The tripwire's name.
        wire: String,
        /// The direction's name.
        dir: String,
        /// Vehicle, person or animal.
        grp: Group,
        /// How many so far.
        n: u32,
        /// At the end: when the first member passed (`t` is the last).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        t0: Option<UtcMillis>,
    },
    /// A camera was lost or came back.
    Camera {
        /// The camera's name.
        cam: String,
        /// Lost, back, blind, seeing, untimed or timed.
        phase: Phase,
        /// What happened, in plain words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// What a camera really watched.
    Watch {
        /// The camera's name.
        cam: String,
        /// Start of the interval.
        from: UtcMillis,
        /// End of the interval.
        to: UtcMillis,
        /// New frames received in it.
        frames: u64,
        /// Seconds of it without pictures.
        blind_s: Seconds,
        /// Seconds of it in which watching was paused; absent if there were none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paused_s: Option<Seconds>,
    },
    /// Nothing is watched for a while, because somebody ordered it.
    Pause {
        /// Start, or end; a start after a start changes the end.
        phase: Phase,
        /// At the start: when it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<UtcMillis>,
        /// The name of the operator's key; absent if it ended by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// What happened, in plain words.
        why: String,
    },
    /// Events got other times than were reported: add `offset_ms` to their `t`.
    Clock {
        /// `[first seq, last seq, offset_ms, tu]`: what to add to the reported
        /// `t`, and how far the result may be off, ± ms. Later ranges hold where
        /// they overlap.
        ranges: Vec<(u64, u64, i64, u32)>,
        /// What happened, in plain words.
        why: String,
    },
    /// The daemon started.
    Boot {
        /// The last time at which it is known to have been alive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<UtcMillis>,
        /// "boot", "restart", "crash" or "update".
        why: String,
    },
    /// Something about storage, for example a journal set aside as damaged.
    Storage {
        /// Start or end of the condition.
        phase: Phase,
        /// A figure or a name that belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// What happened, in plain words.
        why: String,
    },
    /// A file that is kept on the unit.
    Kept {
        /// The sighting's id; a clip has its own.
        id: Uuid,
        /// The camera's name.
        cam: String,
        /// What it is.
        what: Keepsake,
        /// Its name below the evidence folder.
        file: String,
        /// Its size.
        bytes: u64,
        /// Its SHA-256, 64 hexadecimal digits.
        sha256: String,
        /// The last picture of a clip; `t` is the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<UtcMillis>,
        /// The sightings that a clip shows.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of: Vec<Uuid>,
    },
    /// Events that were recorded and will not be sent, or files that were kept
    /// and had to go before their time.
    Lost {
        /// The first of their numbers; 0 for files.
        from: u64,
        /// The last of their numbers; 0 for files.
        to: u64,
        /// How many they are; others between the two numbers were delivered, or will be.
        n: u64,
        /// The class of the most important one.
        class: Class,
        /// Why, in plain words.
        why: String,
    },
}

impl Body {
    /// The kind's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Sighting { .. } => "sighting",
            Body::Crossing { .. } => "crossing",
            Body::Group { .. } => "group",
            Body::Camera { .. } => "camera",
            Body::Watch { .. } => "watch",
            Body::Pause { .. } => "pause",
            Body::Clock { .. } => "clock",
            Body::Boot { .. } => "boot",
            Body::Storage { .. } => "storage",
            Body::Kept { .. } => "kept",
            Body::Lost { .. } => "lost",
        }
    }
}
