//! Tests of the facts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::testing::crossing_body;
use super::*;
use crate::event::{Draft, Event, LogId, Seconds, Stamp};
use proptest::prelude::*;

fn settings() -> Settings {
    Settings {
        place: None,
        since: None,
        until: None,
        calendar: Calendar::utc(),
        made: UtcMillis(1_000_000_000),
        sources: Vec::new(),
    }
}

/// A unit's events, one a minute, numbered from 1.
fn collection(bodies: Vec<Body>) -> Collection {
    let mut all = Collection::default();
    for (seq, body) in (1..).zip(bodies) {
        let t = UtcMillis(i64::try_from(seq).unwrap() * 60_000);
        let stamp = Stamp { t, uncertainty_ms: Some(40), source: TimeSource::Ntp, boot: 1, mono_ms: seq };
        all.add(&Event::new("u", &LogId("a".into()), seq, Draft { stamp, body, replay: false }).to_json(), None);
    }
    all
}

fn end(id: u128, cls: &str) -> Body {
    Body::Sighting {
        phase: Phase::End,
        id: Uuid::from_u128(id),
        cam: "road".into(),
        grp: Group::Vehicle,
        cls: cls.into(),
        conf: Conf(0.9),
        bbox: crate::domain::BBox::new(0.1, 0.1, 0.2, 0.2).into(),
        dur: Some(Seconds(3.0)),
        why: None,
        still: Some("ab".repeat(32)),
    }
}

#[test]
fn crossings_are_counted_as_reported_and_told_what_became_of_them() {
    let bodies = vec![
        crossing_body(1, "car", "in"),
        end(1, "truck"),
        crossing_body(2, "car", "out"),
        crossing_body(3, "bus", "in"),
    ];
    let report = Report::new(collection(bodies), &settings());
    assert_eq!((report.total(), report.groups[&Group::Vehicle]), (3, 3));
    let line = &report.totals.lines[0];
    assert_eq!((line.directions.join(" "), line.total), ("in out".into(), 3));
    assert_eq!(
        line.rows,
        [(Group::Vehicle, "bus".to_owned(), vec![1, 0]), (Group::Vehicle, "car".to_owned(), vec![1, 1])]
    );
    let first = &report.crossings[0];
    assert_eq!((first.cls_at_end.as_deref(), first.still.as_deref()), (Some("truck"), Some(&*"ab".repeat(32))));
    assert_eq!(report.crossings[1].still, None);
}

#[test]
fn the_period_cuts_by_the_time_that_is_known_now() {
    let correction = Body::Clock { ranges: vec![(1, 1, 3_600_000, 20)], why: "w".into() };
    let bodies = || vec![crossing_body(1, "car", "in"), crossing_body(2, "car", "in"), correction.clone()];
    let late = Settings { since: Some(UtcMillis(3_000_000)), ..settings() };
    let report = Report::new(collection(bodies()), &late);
    assert_eq!(report.crossings.iter().map(|c| c.seq).collect::<Vec<_>>(), [1]);
    assert_eq!((report.crossings[0].tu, report.timing.corrected), (Some(20), 1));
    let early = Settings { until: Some(UtcMillis(3_000_000)), ..settings() };
    assert_eq!(Report::new(collection(bodies()), &early).crossings.iter().map(|c| c.seq).collect::<Vec<_>>(), [2]);
}

fn group(phase: Phase, n: u32, t0: Option<i64>) -> Body {
    Body::Group {
        phase,
        gid: Uuid::from_u128(5),
        cam: "road".into(),
        wire: "gate".into(),
        dir: "in".into(),
        grp: Group::Vehicle,
        n,
        t0: t0.map(UtcMillis),
    }
}

#[test]
fn a_convoy_is_told_once_by_its_end() {
    let both = vec![group(Phase::Start, 2, None), group(Phase::End, 4, Some(10))];
    let report = Report::new(collection(both), &settings());
    assert_eq!(report.convoys.len(), 1);
    assert_eq!((report.convoys[0].n, report.convoys[0].first, report.convoys[0].ended), (4, Some(UtcMillis(10)), true));
    assert!(!report.convoys[0].goes_on);
}

#[test]
fn a_convoy_that_reaches_out_of_the_period_is_told_whole() {
    // The first at half a minute, the second at one minute, the last at three.
    let events = || vec![group(Phase::Start, 2, None), end(1, "car"), group(Phase::End, 4, Some(30_000))];
    let convoys = |since: Option<i64>, until: Option<i64>| {
        let settings = Settings { since: since.map(UtcMillis), until: until.map(UtcMillis), ..settings() };
        Report::new(collection(events()), &settings).convoys
    };
    let told = |convoy: &Convoy| (convoy.n, convoy.ended, convoy.goes_on);
    assert_eq!(convoys(None, Some(120_000)).iter().map(told).collect::<Vec<_>>(), [(4, true, true)]);
    assert_eq!(convoys(Some(120_000), None).iter().map(told).collect::<Vec<_>>(), [(4, true, false)]);
    assert_eq!((convoys(None, Some(30_000)), convoys(Some(180_001), None)), (vec![], vec![]));
    // Nobody knows how it went on.
    let open = Report::new(collection(vec![group(Phase::Start, 2, None)]), &settings()).convoys;
    assert_eq!(open.iter().map(told).collect::<Vec<_>>(), [(2, false, false)]);
}

#[test]
fn a_clip_belongs_to_every_sighting_that_it_shows() {
    let kept = |id: u128, what, of: Vec<Uuid>| Body::Kept {
        id: Uuid::from_u128(id),
        cam: "road".into(),
        what,
        file: "somewhere".into(),
        bytes: 9,
        sha256: format!("{id:064x}"),
        to: None,
        of,
    };
    // It says that it shows more than anybody would believe.
    let many = (1..=300).map(Uuid::from_u128).collect();
    let bodies = vec![
        crossing_body(1, "car", "in"),
        crossing_body(2, "bus", "in"),
        crossing_body(250, "bus", "in"),
        kept(1, Keepsake::Still, Vec::new()),
        kept(77, Keepsake::Clip, many),
    ];
    let report = Report::new(collection(bodies), &settings());
    let files = |i: usize| -> Vec<(u128, &str)> {
        report.crossings[i].kept.iter().map(|kept| (kept.id.as_u128(), kept.what.as_str())).collect()
    };
    assert_eq!(files(0), [(1, "still"), (77, "clip")]);
    assert_eq!((files(1), files(2)), (vec![(77, "clip")], vec![]));
}

#[test]
fn of_nothing_there_is_nothing_to_report() {
    let report = Report::new(Collection::default(), &settings());
    assert_eq!((report.total(), report.period, report.heat.len()), (0, None, 0));
}

#[test]
fn files_and_units_without_end_are_cut_and_counted() {
    let kept = |id: u128| Body::Kept {
        id: Uuid::from_u128(id),
        cam: "road".into(),
        what: Keepsake::Clip,
        file: "somewhere".into(),
        bytes: 9,
        sha256: format!("{id:064x}"),
        to: None,
        of: vec![Uuid::from_u128(1)],
    };
    let bodies = (100..200).map(kept).chain([crossing_body(1, "car", "in")]).collect();
    let report = Report::new(collection(bodies), &settings());
    assert_eq!(
        (report.crossings[0].kept.len(), report.crossings[0].kept_left_out),
        (MOST_KEPT, 100 - MOST_KEPT as u64)
    );

    let mut all = Collection::default();
    for n in 0..300 {
        let from = UtcMillis(0);
        let to = UtcMillis(90 * 86_400_000);
        let watch = Body::Watch { cam: "road".into(), from, to, frames: 1, blind_s: Seconds(0.0), paused_s: None };
        let stamp = Stamp { t: to, uncertainty_ms: None, source: TimeSource::Ntp, boot: 1, mono_ms: 1 };
        all.add(
            &Event::new(&format!("u{n}"), &LogId("a".into()), 1, Draft { stamp, body: watch, replay: false }).to_json(),
            None,
        );
    }
    let report = Report::new(all, &settings());
    let days: usize = report.heat.iter().map(|heat| heat.days.len()).sum();
    assert_eq!((report.heat.len(), report.heat_left_out, days), (MOST_MAPS, 300 - MOST_MAPS as u64, MOST_MAP_DAYS));
    assert_eq!(report.watched.len(), 300);
}

proptest! {
    #[test]
    fn totals_add_up(list in prop::collection::vec((0u128..9, 0usize..3, 0usize..2), 0..60)) {
        let bodies: Vec<Body> = list
            .iter()
            .map(|&(id, cls, dir)| crossing_body(id, ["car", "bus", "truck"][cls], ["in", "out"][dir]))
            .collect();
        let report = Report::new(collection(bodies), &settings());
        let n = list.len() as u64;
        prop_assert_eq!(report.total(), n);
        prop_assert_eq!(report.totals.lines.iter().map(|line| line.total).sum::<u64>(), n);
        prop_assert_eq!(report.groups.values().sum::<u64>(), n);
        prop_assert_eq!(report.timing.sources.values().sum::<u64>(), n);
        let hours: u64 = report.heat.iter().flat_map(|heat| &heat.days).map(|day| day.total).sum();
        prop_assert_eq!(hours, n);
    }
}
