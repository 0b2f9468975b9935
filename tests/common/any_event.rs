//! Every event there can be, for property tests.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use tawny::domain::{BBox, Group, UtcMillis};
use tawny::event::{Body, Class, Conf, Draft, Event, Keepsake, LogId, Phase, Seconds, Stamp, TimeSource};
use uuid::Uuid;

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,32}"
}

fn why() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn time() -> impl Strategy<Value = UtcMillis> {
    (-1_000_000_000_000i64..4_000_000_000_000).prop_map(UtcMillis)
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn seconds() -> impl Strategy<Value = Seconds> {
    (0.0f32..100_000.0).prop_map(Seconds)
}

fn bbox() -> impl Strategy<Value = BBox> {
    (0.0f32..1.0, 0.0f32..1.0, 0.0f32..1.0, 0.0f32..1.0).prop_map(|(x, y, w, h)| BBox::new(x, y, w, h))
}

fn digest() -> impl Strategy<Value = String> {
    "[0-9a-f]{64}"
}

fn group() -> impl Strategy<Value = Group> {
    prop::sample::select(Group::ALL.to_vec())
}

fn phase() -> impl Strategy<Value = Phase> {
    use Phase::{Back, Blind, End, Enter, Leave, Lost, Seeing, Start};
    prop::sample::select(vec![Start, End, Enter, Leave, Lost, Back, Blind, Seeing])
}

/// What an object's events have in common.
fn object() -> impl Strategy<Value = (Uuid, String, Group, String, Conf, BBox)> {
    (id(), name(), group(), name(), (0.0f32..=1.0).prop_map(Conf), bbox())
}

fn seen() -> BoxedStrategy<Body> {
    let sighting =
        (object(), phase(), of(seconds()), of(why()), of(digest())).prop_map(|(object, phase, dur, why, still)| {
            let (id, cam, grp, cls, conf, bbox) = object;
            Body::Sighting { phase, id, cam, grp, cls, conf, bbox: bbox.into(), dur, why, still }
        });
    let crossing = (object(), name(), name(), of(id())).prop_map(|(object, wire, dir, gid)| {
        let (id, cam, grp, cls, conf, bbox) = object;
        Body::Crossing { id, cam, grp, cls, conf, bbox: bbox.into(), wire, dir, gid }
    });
    let convoy = (phase(), id(), vec(name(), 3), group(), any::<u32>(), of(time())).prop_map(
        |(phase, gid, names, grp, n, t0)| {
            let [cam, wire, dir] = <[String; 3]>::try_from(names).unwrap();
            Body::Group { phase, gid, cam, wire, dir, grp, n, t0 }
        },
    );
    prop_oneof![sighting, crossing, convoy].boxed()
}

fn condition() -> BoxedStrategy<Body> {
    let class = prop::sample::select(Class::ALL.to_vec());
    let lost = (0..1u64 << 50, 0..1u64 << 50, 0..1u64 << 50, class, why());
    prop_oneof![
        (name(), phase(), of(why())).prop_map(|(cam, phase, why)| Body::Camera { cam, phase, why }),
        (name(), time(), time(), 0..1u64 << 50, seconds(), of(seconds())).prop_map(
            |(cam, from, to, frames, blind_s, paused_s)| Body::Watch { cam, from, to, frames, blind_s, paused_s }
        ),
        (phase(), of(time()), of(name()), why()).prop_map(|(phase, until, by, why)| Body::Pause {
            phase,
            until,
            by,
            why
        }),
        (of(time()), why()).prop_map(|(prev, why)| Body::Boot { prev, why }),
        (phase(), of(why()), why()).prop_map(|(phase, value, why)| Body::Storage { phase, value, why }),
        (vec((0..1u64 << 50, 0..1u64 << 50, -1i64 << 50..1i64 << 50, any::<u32>()), 0..4), why())
            .prop_map(|(ranges, why)| Body::Clock { ranges, why }),
        (id(), name(), "[a-z0-9/.-]{1,60}", 0..1u64 << 50, digest(), of(time()), vec(id(), 0..3)).prop_map(
            |(id, cam, file, bytes, sha256, to, of)| {
                let what = if to.is_some() { Keepsake::Clip } else { Keepsake::Still };
                Body::Kept { id, cam, what, file, bytes, sha256, to, of }
            }
        ),
        lost.prop_map(|(from, to, n, class, why)| Body::Lost { from, to, n, class, why }),
    ]
    .boxed()
}

fn stamp() -> impl Strategy<Value = Stamp> {
    use TimeSource::{File, Gps, None, Ntp, Rtc};
    let source = prop::sample::select(vec![Gps, Ntp, Rtc, None, File]);
    (time(), of(any::<u32>()), source, any::<u32>(), 0..1u64 << 50)
        .prop_map(|(t, uncertainty_ms, source, boot, mono_ms)| Stamp { t, uncertainty_ms, source, boot, mono_ms })
}

pub fn any_event() -> impl Strategy<Value = Event> {
    let body = prop_oneof![seen(), condition()];
    (name(), "[a-z2-7]{6}", 1..1u64 << 50, stamp(), body, any::<bool>()).prop_map(
        |(unit, log, seq, stamp, body, replay)| Event::new(&unit, &LogId(log), seq, Draft { stamp, body, replay }),
    )
}
