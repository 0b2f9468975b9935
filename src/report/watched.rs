//! What was really watched: the intervals of `watch` events, added up. Pure.
//!
//! A watch event says of an interval that it was watched, but for so many seconds
//! without pictures (blind) and so many paused. Where in the interval those lay it
//! does not say: an interval that reaches out of the report's period is cut, its
//! blind and paused seconds are counted as if they lay inside, so that what is
//! called watched is never too much.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::collection::Told;
use crate::domain::UtcMillis;
use crate::event::{Body, Phase, Seconds};

/// One camera's coverage.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Watched {
    /// The unit.
    pub unit: String,
    /// The camera's name.
    pub cam: String,
    /// Time with pictures that were looked at.
    #[serde(rename = "watched_s", serialize_with = "seconds")]
    pub watched: Duration,
    /// Time within watched intervals, but without pictures.
    #[serde(rename = "blind_s", serialize_with = "seconds")]
    pub blind: Duration,
    /// Time within watched intervals in which watching was paused.
    #[serde(rename = "paused_s", serialize_with = "seconds")]
    pub paused: Duration,
    /// Time of the period of which nothing tells whether it was watched.
    #[serde(rename = "unrecorded_s", serialize_with = "seconds")]
    pub unrecorded: Duration,
    /// Frames received, those of cut intervals included.
    pub frames: u64,
    /// Intervals that were cut at the ends of the period.
    pub cut: u64,
    /// How often the camera was lost, or showed nothing.
    pub outages: u64,
    /// The intervals, joined, in order.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// From and to, UTC ms; never empty.
pub type Span = (i64, i64);

/// Seconds as a number with one decimal.
pub fn seconds<S: Serializer>(time: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((time.as_secs_f64() * 10.0).round() / 10.0)
}

/// Each camera's coverage between `from` and `to`.
pub fn watched(all: &[Told], from: UtcMillis, to: UtcMillis) -> Vec<Watched> {
    let mut cameras: BTreeMap<(&str, &str), Watched> = BTreeMap::new();
    for told in all {
        let unit = told.event.unit.as_str();
        let inside = told.t >= from && told.t <= to;
        match &told.event.body {
            Body::Watch { cam, from: a, to: b, frames, blind_s, paused_s } => {
                let (a, b) = (told.moved(*a).0, told.moved(*b).0);
                let cut = (a.max(from.0), b.min(to.0));
                if cut.0 < cut.1 {
                    let camera = cameras.entry((unit, cam)).or_default();
                    camera.spans.push(cut);
                    camera.frames = camera.frames.saturating_add(*frames);
                    camera.cut += u64::from(cut != (a, b));
                    let room = length(cut);
                    let blind = time(*blind_s).min(room);
                    camera.blind = camera.blind.saturating_add(blind);
                    let paused = paused_s.map_or(Duration::ZERO, time).min(room - blind);
                    camera.paused = camera.paused.saturating_add(paused);
                }
            }
            Body::Camera { cam, phase: Phase::Lost | Phase::Blind, .. } if inside => {
                cameras.entry((unit, cam)).or_default().outages += 1;
            }
            Body::Crossing { cam, .. } | Body::Sighting { cam, .. } if inside => {
                cameras.entry((unit, cam)).or_default();
            }
            _ => {}
        }
    }
    let period = length((from.0, to.0));
    let finish = |((unit, cam), mut camera): ((&str, &str), Watched)| {
        camera.spans = joined(camera.spans);
        let told = camera.spans.iter().map(|&span| length(span)).fold(Duration::ZERO, Duration::saturating_add);
        // Only what contradicts itself has more blind time than time.
        camera.blind = camera.blind.min(told);
        camera.paused = camera.paused.min(told - camera.blind);
        camera.watched = told - camera.blind - camera.paused;
        camera.unrecorded = period.saturating_sub(told);
        Watched { unit: unit.to_owned(), cam: cam.to_owned(), ..camera }
    };
    cameras.into_iter().map(finish).collect()
}

fn time(seconds: Seconds) -> Duration {
    Duration::try_from_secs_f32(seconds.0).unwrap_or_default()
}

fn length((from, to): Span) -> Duration {
    Duration::from_millis(u64::try_from(i128::from(to) - i128::from(from)).unwrap_or(0))
}

/// Overlapping and touching spans as one.
pub fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::facts::testing::told;
    use proptest::prelude::*;

    fn watch(from: i64, to: i64, blind_s: f32, paused_s: Option<f32>) -> Told {
        let (from, to) = (UtcMillis(from * 1000), UtcMillis(to * 1000));
        let (blind_s, paused_s) = (Seconds(blind_s), paused_s.map(Seconds));
        told(to.0, Body::Watch { cam: "road".into(), from, to, frames: 10, blind_s, paused_s })
    }

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn what_was_watched_blind_paused_and_not_told_adds_up_to_the_period() {
        let all = [watch(0, 100, 10.0, None), watch(100, 200, 0.0, Some(30.0)), watch(300, 500, 0.0, None)];
        let one = watched(&all, UtcMillis(0), UtcMillis(400_000)).remove(0);
        assert_eq!((one.watched, one.blind, one.paused), (secs(260), secs(10), secs(30)));
        assert_eq!((one.unrecorded, one.frames, one.cut), (secs(100), 30, 1));
        assert_eq!(one.spans, [(0, 200_000), (300_000, 400_000)]);
    }

    #[test]
    fn a_camera_that_only_saw_something_is_listed_as_unrecorded() {
        let lost = Body::Camera { cam: "road".into(), phase: Phase::Lost, why: None };
        let one = watched(&[told(5_000, lost)], UtcMillis(0), UtcMillis(10_000)).remove(0);
        assert_eq!((one.watched, one.unrecorded, one.outages), (secs(0), secs(10), 1));
    }

    proptest! {
        #[test]
        fn it_always_adds_up(list in prop::collection::vec((0i64..1000, 0i64..1000, 0f32..2000.0, prop::option::of(0f32..2000.0)), 0..20)) {
            let all: Vec<Told> = list.iter().map(|&(a, b, blind, paused)| watch(a, b, blind, paused)).collect();
            for one in watched(&all, UtcMillis(100_000), UtcMillis(900_000)) {
                prop_assert_eq!(one.watched + one.blind + one.paused + one.unrecorded, secs(800));
            }
        }
    }
}
