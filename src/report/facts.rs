//! The report as plain values: what was recorded in a period, counted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use super::calendar::Calendar;
use super::collection::{Collection, LogFacts, Tally, Told};
use super::heat::{Heat, heat};
use super::pairs::{Pairs, pairs};
use super::totals::{Totals, totals};
use super::watched::{Span, Watched, joined, watched};
use crate::domain::{Group, UtcMillis};
use crate::event::{Body, Conf, Keepsake, Phase, TimeSource};

/// Of a clip that says it shows more sightings, only so many are told of it.
const MOST_IN_A_CLIP: usize = 200;

/// Of the files that belong to one crossing, only so many are named.
const MOST_KEPT: usize = 20;

/// Units whose hours are drawn, those with the most crossings.
const MOST_MAPS: usize = 50;

/// Days of all these maps together.
const MOST_MAP_DAYS: usize = 3_000;

/// What the report is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The place's name, as it is to be printed.
    pub place: Option<String>,
    /// Only what happened at or after.
    pub since: Option<UtcMillis>,
    /// Only what happened before.
    pub until: Option<UtcMillis>,
    /// In whose time it is told.
    pub calendar: Calendar,
    /// When the report is made.
    pub made: UtcMillis,
    /// Where the events were read.
    pub sources: Vec<Source>,
}

/// The time that is reported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// From, this moment included.
    pub from: UtcMillis,
    /// To.
    pub to: UtcMillis,
    /// Whether `from` was asked for; else it is the first recorded moment.
    pub from_asked: bool,
    /// Whether `to` was asked for, and is not part of it; else it is the last recorded moment.
    pub to_asked: bool,
}

/// A file that is kept on the unit, from its `kept` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// A still's is the sighting's, a clip has its own.
    pub id: Uuid,
    /// What it is, as on the wire.
    pub what: String,
    /// Its name below the unit's evidence folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// An object passed a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// The unit.
    pub unit: String,
    /// The journal's id.
    pub log: String,
    /// The number in it.
    pub seq: u64,
    /// UTC, as known now.
    pub t: UtcMillis,
    /// The same in the report's zone, RFC 3339.
    pub t_local: String,
    /// ± ms; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tu: Option<u32>,
    /// What vouched for the reported time.
    pub ts: TimeSource,
    /// The time that was reported, if it was corrected later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t_reported: Option<UtcMillis>,
    /// The camera's name.
    pub cam: String,
    /// The line's name.
    pub wire: String,
    /// The direction's name.
    pub dir: String,
    /// Vehicle, person or animal.
    pub grp: Group,
    /// The class as reported at the crossing.
    pub cls: String,
    /// The class at the end of the sighting, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cls_at_end: Option<String>,
    /// 0 to 1.
    pub conf: Conf,
    /// The sighting's id.
    pub id: Uuid,
    /// The convoy's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<Uuid>,
    /// SHA-256 of the small still, from the end of the sighting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still: Option<String>,
    /// Files kept on the unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Files that are not named here because there are so many.
    #[serde(skip_serializing_if = "is_zero")]
    pub kept_left_out: u64,
    /// From a recording, not from a live camera.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recording: bool,
}

/// Several that passed the same line the same way, close together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Convoy {
    /// The unit.
    pub unit: String,
    /// The camera.
    pub cam: String,
    /// The line.
    pub wire: String,
    /// The direction.
    pub dir: String,
    /// Vehicle, person or animal.
    pub grp: Group,
    /// How many.
    pub n: u32,
    /// When the first passed; unknown while it has not ended.
    pub first: Option<UtcMillis>,
    /// When the last passed, as far as reported.
    pub last: UtcMillis,
    /// Whether its end was reported.
    pub ended: bool,
    /// Whether it ended after the period; all that belong to it are counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
}

/// How good the times of the crossings are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Crossings by what vouched for the reported time.
    pub sources: BTreeMap<String, u64>,
    /// Crossings whose time was corrected later.
    pub corrected: u64,
    /// Crossings whose uncertainty is unknown.
    pub unknown: u64,
    /// Half of the known uncertainties are no larger, ms.
    pub median_ms: Option<u32>,
    /// The largest known, ms.
    pub largest_ms: Option<u32>,
}

/// Something that happened to a unit, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The unit.
    pub unit: String,
    /// When.
    pub t: UtcMillis,
    /// `pause start`, `camera lost`, `boot`, `lost` …
    pub what: String,
    /// In the unit's words.
    pub why: String,
}

/// Where the events were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file's name, without its folder.
    pub name: String,
    /// SHA-256 of the file; a journal that may be written to has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The place's name.
    pub place: Option<String>,
    /// When it was made.
    pub made: UtcMillis,
    /// The program's version.
    pub version: String,
    /// The zone of local times.
    pub zone: String,
    /// The time reported on; absent if nothing at all was recorded.
    pub period: Option<Period>,
    /// Units, by name.
    pub units: Vec<String>,
    /// In the order of time.
    pub crossings: Vec<Crossing>,
    /// Crossings by group.
    pub groups: BTreeMap<Group, u64>,
    /// Crossings by line, class and direction.
    #[serde(flatten)]
    pub totals: Totals,
    /// Different objects that were seen, whether they crossed a line or not.
    pub seen: BTreeMap<Group, u64>,
    /// Whether anything comes from a recording.
    pub recordings: bool,
    /// By camera.
    pub watched: Vec<Watched>,
    /// How good the times are.
    pub timing: Timing,
    /// By unit.
    pub heat: Vec<Heat>,
    /// Units of which there is none here because there are so many.
    #[serde(skip_serializing_if = "is_zero")]
    pub heat_left_out: u64,
    /// In the order of time.
    pub convoys: Vec<Convoy>,
    /// Possibly the same, returning.
    pub returns: Pairs,
    /// What happened to the units: pauses, interruptions, losses.
    pub notes: Vec<Note>,
    /// Each journal's numbers, whatever the period.
    pub logs: Vec<LogFacts>,
    /// Where the events were read.
    pub sources: Vec<Source>,
    /// What could not be taken as it came.
    pub input: Tally,
    /// For texts.
    #[serde(skip)]
    pub calendar: Calendar,
}

impl Report {
    /// Makes it.
    pub fn new(all: Collection, settings: &Settings) -> Report {
        let (logs, input) = (all.logs(), all.tally().clone());
        let told = all.told();
        let period = period(&told, settings);
        let inside: Vec<&Told> = told
            .iter()
            .filter(|told| settings.since.is_none_or(|t| told.t >= t) && settings.until.is_none_or(|t| told.t < t))
            .collect();
        let crossings = crossings(&told, &inside, &settings.calendar);
        let watched = period.map_or_else(Vec::new, |period| watched(&told, period.from, period.to));
        let units: BTreeSet<String> = logs.iter().map(|log| log.unit.clone()).collect();
        let mut groups = BTreeMap::new();
        for crossing in &crossings {
            *groups.entry(crossing.grp).or_default() += 1;
        }
        let (heat, heat_left_out) = heats(&units, &crossings, &watched, &settings.calendar);
        Report {
            place: settings.place.clone(),
            made: settings.made,
            version: env!("CARGO_PKG_VERSION").into(),
            zone: settings.calendar.name().to_owned(),
            period,
            groups,
            totals: totals(&crossings),
            seen: seen(&inside),
            recordings: inside.iter().any(|told| is_recording(told)),
            timing: timing(&crossings),
            heat,
            heat_left_out,
            convoys: convoys(&told, settings),
            returns: pairs(&crossings),
            notes: notes(&inside),
            crossings,
            watched,
            units: units.into_iter().collect(),
            logs,
            sources: settings.sources.clone(),
            input,
            calendar: settings.calendar.clone(),
        }
    }

    /// The number of crossings.
    pub fn total(&self) -> u64 {
        self.crossings.len() as u64
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls it with
fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_recording(told: &Told) -> bool {
    told.event.replay || told.event.stamp.source == TimeSource::File
}

/// As asked for; else from the first to the last moment that anything tells of.
fn period(all: &[Told], settings: &Settings) -> Option<Period> {
    let moments = |told: &Told| match &told.event.body {
        Body::Watch { from, to, .. } => [told.moved(*from), told.moved(*to)],
        _ => [told.t, told.t],
    };
    let inside = |t: &UtcMillis| settings.since.is_none_or(|s| *t >= s) && settings.until.is_none_or(|u| *t <= u);
    let first = all.iter().flat_map(moments).filter(inside).min();
    let last = all.iter().flat_map(moments).filter(inside).max();
    let from = settings.since.or(first)?;
    // A period that has not ended yet ends now.
    let until = settings.until.map(|until| until.min(settings.made.max(from)));
    let to = until.or(last).unwrap_or(from).max(from);
    Some(Period { from, to, from_asked: settings.since.is_some(), to_asked: settings.until.is_some() })
}

/// What the end of each sighting told: class and still.
fn ends(all: &[Told]) -> BTreeMap<(&str, Uuid), (&str, Option<&String>)> {
    all.iter()
        .filter_map(|told| match &told.event.body {
            Body::Sighting { phase: Phase::End, id, cls, still, .. } => {
                Some(((told.event.unit.as_str(), *id), (cls.as_str(), still.as_ref())))
            }
            _ => None,
        })
        .collect()
}

/// The files that show a sighting, and how many more there are.
type Files = (Vec<Kept>, u64);

/// Files by the sightings that they show.
fn kept(all: &[Told]) -> BTreeMap<(&str, Uuid), Files> {
    let mut by_id: BTreeMap<(&str, Uuid), Files> = BTreeMap::new();
    for told in all {
        let Body::Kept { id, what, file, bytes, sha256, of, .. } = &told.event.body else { continue };
        let name = serde_json::to_value(what).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let kept = Kept { id: *id, what: name, file: file.clone(), bytes: *bytes, sha256: sha256.clone() };
        let shown = match what {
            Keepsake::Still => std::slice::from_ref(id),
            Keepsake::Clip => of.get(..MOST_IN_A_CLIP).unwrap_or(of),
        };
        for sighting in shown {
            let (list, more) = by_id.entry((&told.event.unit, *sighting)).or_default();
            if list.len() < MOST_KEPT {
                list.push(kept.clone());
            } else {
                *more += 1;
            }
        }
    }
    by_id
}

/// The crossings inside, with what is known of their objects from anywhere.
fn crossings(all: &[Told], inside: &[&Told], calendar: &Calendar) -> Vec<Crossing> {
    let (ends, kept) = (ends(all), kept(all));
    let of = |told: &&Told| match &told.event.body {
        Body::Crossing { id, cam, grp, cls, conf, wire, dir, gid, .. } => {
            let key = (told.event.unit.as_str(), *id);
            let end = ends.get(&key);
            Some(Crossing {
                unit: told.event.unit.clone(),
                log: told.event.log.0.clone(),
                seq: told.event.seq,
                t: told.t,
                t_local: calendar.rfc3339(told.t),
                tu: told.uncertainty_ms,
                ts: told.event.stamp.source,
                t_reported: told.offset_ms.map(|_| told.event.stamp.t),
                cam: cam.clone(),
                wire: wire.clone(),
                dir: dir.clone(),
                grp: *grp,
                cls: cls.clone(),
                cls_at_end: end.map(|(cls, _)| *cls).filter(|end| end != cls).map(str::to_owned),
                conf: *conf,
                id: *id,
                gid: *gid,
                still: end.and_then(|(_, still)| still.cloned()),
                kept: kept.get(&key).map_or_else(Vec::new, |(list, _)| list.clone()),
                kept_left_out: kept.get(&key).map_or(0, |(_, more)| *more),
                recording: is_recording(told),
            })
        }
        _ => None,
    };
    let mut list: Vec<Crossing> = inside.iter().filter_map(of).collect();
    list.sort_by(|a, b| (a.t, &a.unit, &a.log, a.seq).cmp(&(b.t, &b.unit, &b.log, b.seq)));
    list
}

/// Different sightings by group.
fn seen(inside: &[&Told]) -> BTreeMap<Group, u64> {
    let ids: BTreeSet<(Group, Uuid)> = inside
        .iter()
        .filter_map(|told| match &told.event.body {
            Body::Sighting { id, grp, .. } => Some((*grp, *id)),
            _ => None,
        })
        .collect();
    let mut groups = BTreeMap::new();
    for (grp, _) in ids {
        *groups.entry(grp).or_default() += 1;
    }
    groups
}

fn timing(crossings: &[Crossing]) -> Timing {
    let mut timing = Timing::default();
    let mut known: Vec<u32> = Vec::new();
    for c in crossings {
        let source = match c.ts {
            TimeSource::Gps => "gps",
            TimeSource::Ntp => "ntp",
            TimeSource::Rtc => "rtc",
            TimeSource::None => "none",
            TimeSource::File => "file",
        };
        *timing.sources.entry(source.into()).or_default() += 1;
        timing.corrected += u64::from(c.t_reported.is_some());
        match c.tu {
            Some(ms) => known.push(ms),
            None => timing.unknown += 1,
        }
    }
    known.sort_unstable();
    timing.median_ms = known.get(known.len() / 2).copied();
    timing.largest_ms = known.last().copied();
    timing
}

/// Those of the units with the most crossings, by name, and how many others there are.
fn heats(
    units: &BTreeSet<String>,
    crossings: &[Crossing],
    watched: &[Watched],
    calendar: &Calendar,
) -> (Vec<Heat>, u64) {
    let mut times: BTreeMap<&str, Vec<UtcMillis>> = units.iter().map(|unit| (unit.as_str(), Vec::new())).collect();
    let mut spans: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for c in crossings {
        times.entry(&c.unit).or_default().push(c.t);
    }
    for w in watched {
        spans.entry(&w.unit).or_default().extend(&w.spans);
    }
    times.retain(|unit, list| !list.is_empty() || spans.get(unit).is_some_and(|spans| !spans.is_empty()));
    let mut busiest: Vec<(&str, Vec<UtcMillis>)> = times.into_iter().collect();
    busiest.sort_by_key(|(_, list)| std::cmp::Reverse(list.len()));
    let left_out = busiest.len().saturating_sub(MOST_MAPS) as u64;
    busiest.truncate(MOST_MAPS);
    busiest.sort_by_key(|(unit, _)| *unit);
    let most_days = MOST_MAP_DAYS / busiest.len().max(1);
    let one = |(unit, times): (&str, Vec<UtcMillis>)| {
        heat(unit, &times, &joined(spans.remove(unit).unwrap_or_default()), calendar, most_days)
    };
    let maps = busiest.into_iter().map(one).filter(|heat| !heat.days.is_empty()).collect();
    (maps, left_out)
}

/// Those of which a part lies in the period, whole.
fn convoys(all: &[Told], settings: &Settings) -> Vec<Convoy> {
    let mut by_id: BTreeMap<(&str, Uuid), Convoy> = BTreeMap::new();
    for told in all {
        let Body::Group { phase, gid, cam, wire, dir, grp, n, t0 } = &told.event.body else { continue };
        let ended = *phase == Phase::End;
        let convoy = Convoy {
            unit: told.event.unit.clone(),
            cam: cam.clone(),
            wire: wire.clone(),
            dir: dir.clone(),
            grp: *grp,
            n: *n,
            first: t0.map(|t| told.moved(t)),
            last: told.t,
            ended,
            goes_on: ended && settings.until.is_some_and(|until| told.t >= until),
        };
        let entry = by_id.entry((&told.event.unit, *gid)).or_insert_with(|| convoy.clone());
        // The end is the last word.
        if ended {
            *entry = convoy;
        }
    }
    let overlaps = |convoy: &Convoy| {
        settings.since.is_none_or(|since| convoy.last >= since)
            && settings.until.is_none_or(|until| convoy.first.unwrap_or(convoy.last) < until)
    };
    let mut list: Vec<Convoy> = by_id.into_values().filter(overlaps).collect();
    list.sort_by_key(|convoy| convoy.first.unwrap_or(convoy.last));
    list
}

fn notes(inside: &[&Told]) -> Vec<Note> {
    let note = |told: &&Told| {
        let (what, why) = match &told.event.body {
            Body::Pause { phase: Phase::Start, why, .. } => ("paused".to_owned(), why.clone()),
            Body::Pause { why, .. } => ("watching again".to_owned(), why.clone()),
            Body::Camera { cam, phase, why } => {
                let phase = match phase {
                    Phase::Lost => "lost",
                    Phase::Back => "back",
                    Phase::Blind => "blind",
                    Phase::Untimed => "untimed",
                    Phase::Timed => "timed",
                    _ => "seeing",
                };
                (format!("camera {cam} {phase}"), why.clone().unwrap_or_default())
            }
            Body::Boot { why, .. } => ("program started".to_owned(), why.clone()),
            Body::Clock { why, .. } => ("times corrected".to_owned(), why.clone()),
            Body::Storage { phase, why, .. } => {
                (if *phase == Phase::End { "storage, over" } else { "storage" }.to_owned(), why.clone())
            }
            Body::Lost { from: 0, n, why, .. } => (format!("{n} files deleted"), why.clone()),
            Body::Lost { from, to, n, why, .. } => {
                (format!("{n} events between {from} and {to} not sent"), why.clone())
            }
            _ => return None,
        };
        Some(Note { unit: told.event.unit.clone(), t: told.t, what, why })
    };
    let mut list: Vec<Note> = inside.iter().filter_map(note).collect();
    list.sort_by_key(|note| note.t);
    list
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;

#[cfg(test)]
pub mod testing {
    //! Values for tests of this folder.

    use super::*;
    use crate::domain::BBox;
    use crate::event::{Draft, Event, LogId, Stamp};

    pub fn told(t: i64, body: Body) -> Told {
        let t = UtcMillis(t);
        let stamp = Stamp { t, uncertainty_ms: Some(40), source: TimeSource::Ntp, boot: 1, mono_ms: 5 };
        let event = Event::new("u", &LogId("a".into()), 1, Draft { stamp, body, replay: false });
        Told { event, t, uncertainty_ms: Some(40), offset_ms: None }
    }

    pub fn crossing_body(id: u128, cls: &str, dir: &str) -> Body {
        Body::Crossing {
            id: Uuid::from_u128(id),
            cam: "road".into(),
            grp: Group::Vehicle,
            cls: cls.into(),
            conf: Conf(0.9),
            bbox: BBox::new(0.1, 0.1, 0.2, 0.2).into(),
            wire: "gate".into(),
            dir: dir.into(),
            gid: None,
        }
    }

    pub fn crossing(t: i64, cls: &str, dir: &str) -> Crossing {
        let told = told(t, crossing_body(7, cls, dir));
        super::crossings(&[], &[&told], &Calendar::utc()).remove(0)
    }
}
