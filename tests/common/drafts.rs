//! Events to feed a journal with.

use tawny::domain::{BBox, Group, UtcMillis};
use tawny::event::{Body, Conf, Draft, Phase, Stamp, TimeSource};
use uuid::Uuid;

pub fn stamp(mono_ms: u64) -> Stamp {
    Stamp {
        t: UtcMillis(1_747_000_000_000 + mono_ms as i64),
        uncertainty_ms: Some(40),
        source: TimeSource::Ntp,
        boot: 0xbeef,
        mono_ms,
    }
}

pub fn draft(mono_ms: u64, body: Body) -> Draft {
    Draft { stamp: stamp(mono_ms), body, replay: false }
}

pub fn sighting(id: u128, mono_ms: u64, phase: Phase) -> Draft {
    draft(
        mono_ms,
        Body::Sighting {
            phase,
            id: Uuid::from_u128(id),
            cam: "road".into(),
            grp: Group::Vehicle,
            cls: "car".into(),
            conf: Conf(0.5),
            bbox: BBox::new(0.1, 0.2, 0.3, 0.4).into(),
            dur: None,
            why: None,
            still: None,
        },
    )
}

pub fn crossing(id: u128, mono_ms: u64, gid: Option<u128>) -> Draft {
    draft(
        mono_ms,
        Body::Crossing {
            id: Uuid::from_u128(id),
            cam: "road".into(),
            grp: Group::Vehicle,
            cls: "truck".into(),
            conf: Conf(0.8),
            bbox: BBox::new(0.1, 0.2, 0.3, 0.4).into(),
            wire: "line".into(),
            dir: "down".into(),
            gid: gid.map(Uuid::from_u128),
        },
    )
}

pub fn group(gid: u128, mono_ms: u64, phase: Phase, n: u32) -> Draft {
    draft(
        mono_ms,
        Body::Group {
            phase,
            gid: Uuid::from_u128(gid),
            cam: "road".into(),
            wire: "line".into(),
            dir: "down".into(),
            grp: Group::Vehicle,
            n,
            t0: None,
        },
    )
}

/// `n` crossings of different objects.
pub fn crossings(from: u64, n: u64) -> Vec<Draft> {
    (from..from + n).map(|i| crossing(u128::from(i) + 1, i, None)).collect()
}
