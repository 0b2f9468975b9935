//! The tables of the page.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use uuid::Uuid;

use super::facts::{Crossing, Report};
use super::gallery::{Checked, Gallery};
use super::pairs::Pair;
use super::shown::{duration, shown, uncertainty};
use super::totals::LineTotals;
use crate::domain::{Group, UtcMillis};
use crate::event::TimeSource;

/// Rows of any table but that of crossings. With more, a page makes nobody wiser.
const MOST_ROWS: usize = 500;

/// Crossings listed in a page: some 10 MB.
const MOST_CROSSINGS: usize = 10_000;

/// Crossings named beside a file.
const MOST_NUMBERS: usize = 20;

/// That a list of `all` was cut after `most`.
pub fn more(all: usize, most: usize) -> Markup {
    html! {
        @if all > most {
            p class="soft small" { "And " (all - most) " more that are not shown; they are in the report's JSON form." }
        }
    }
}

/// Several of a group.
pub fn plural(grp: Group) -> &'static str {
    match grp {
        Group::Vehicle => "vehicles",
        Group::Person => "people",
        Group::Animal => "animals",
    }
}

/// Unit, camera and line; the unit only where there are several.
fn place(report: &Report, unit: &str, cam: &str, wire: &str) -> String {
    let unit = if report.units.len() > 1 { format!("{} · ", shown(unit)) } else { String::new() };
    format!("{unit}{} · {}", shown(cam), shown(wire))
}

/// One line's crossings by class and direction.
pub fn totals(report: &Report, line: &LineTotals) -> Markup {
    let sums = |i: usize| line.rows.iter().filter_map(|(.., counts)| counts.get(i)).sum::<u64>();
    html! {
        h3 { (place(report, &line.unit, &line.cam, &line.wire)) }
        table {
            thead { tr {
                th scope="col" { "Class" }
                @for dir in &line.directions { th scope="col" class="n" { "→ " (shown(dir)) } }
                th scope="col" class="n" { "All" }
            } }
            tbody {
                @for (grp, cls, counts) in &line.rows { tr {
                    th scope="row" { (shown(cls)) @if cls != grp.as_str() { " " small { (grp) } } }
                    @for n in counts { td class="n" { (n) } }
                    td class="n" { (counts.iter().sum::<u64>()) }
                } }
            }
            tfoot { tr {
                th scope="row" { "All" }
                @for i in 0..line.directions.len() { td class="n" { (sums(i)) } }
                td class="n" { (line.total) }
            } }
        }
    }
}

/// What each camera watched.
pub fn watched(report: &Report) -> Markup {
    let several = report.units.len() > 1;
    html! {
        table class="cards" {
            thead { tr {
                th scope="col" { "Camera" }
                th scope="col" class="n" { "Watched" }
                th scope="col" class="n" { "Blind" }
                th scope="col" class="n" { "Paused" }
                th scope="col" class="n" { "No record" }
                th scope="col" class="n" { "Interruptions" }
            } }
            tbody { @for one in report.watched.iter().take(MOST_ROWS) { tr {
                th scope="row" { @if several { (shown(&one.unit)) " · " } (shown(&one.cam)) }
                td class="n" data-label="Watched" { (duration(one.watched)) }
                td class="n" data-label="Blind" { (duration(one.blind)) }
                td class="n" data-label="Paused" { (duration(one.paused)) }
                td class="n" data-label="No record" { (duration(one.unrecorded)) }
                td class="n" data-label="Interruptions" { (one.outages) }
            } } }
        }
        (more(report.watched.len(), MOST_ROWS))
    }
}

/// Pauses, interruptions, losses; the first of them if they are very many.
pub fn notes(report: &Report, most: usize) -> Markup {
    let several = report.units.len() > 1;
    html! {
        table class="cards" {
            thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "In the unit's words" } } }
            tbody { @for note in report.notes.iter().take(most) { tr {
                td class="when" { (report.calendar.to_the_second(note.t)) }
                td { @if several { (shown(&note.unit)) ": " } (shown(&note.what)) }
                td { (shown(&note.why)) }
            } } }
        }
        (more(report.notes.len(), most))
    }
}

/// Groups that passed together.
pub fn convoys(report: &Report) -> Markup {
    html! {
        table class="cards" {
            thead { tr {
                th scope="col" { "First" } th scope="col" { "Last" } th scope="col" { "Where" }
                th scope="col" { "Direction" } th scope="col" class="n" { "How many" }
            } }
            tbody { @for convoy in report.convoys.iter().take(MOST_ROWS) { tr {
                td class="when" data-label="First" {
                    @match convoy.first { Some(t) => (report.calendar.to_the_second(t)), None => "not recorded" }
                }
                td class="when" data-label="Last" {
                    (report.calendar.to_the_second(convoy.last))
                    @if !convoy.ended { " " small { "its end is not recorded" } }
                    @if convoy.goes_on { " " small { "goes on after this period" } }
                }
                td { (place(report, &convoy.unit, &convoy.cam, &convoy.wire)) }
                td { "→ " (shown(&convoy.dir)) }
                td class="n" { (convoy.n) " " (plural(convoy.grp)) }
            } } }
        }
        (more(report.convoys.len(), MOST_ROWS))
    }
}

/// Out-and-back pairs.
pub fn returns(report: &Report) -> Markup {
    let both = |pair: &Pair| Some((report.crossings.get(pair.out)?, report.crossings.get(pair.back)?));
    html! {
        table class="cards" {
            thead { tr {
                th scope="col" { "Class" } th scope="col" { "First" } th scope="col" { "The other way" }
                th scope="col" { "Between" } th scope="col" { "Judgement" }
            } }
            tbody { @for pair in report.returns.pairs.iter().take(MOST_ROWS) { @if let Some((out, back)) = both(pair) { tr {
                td { (shown(&out.cls)) br; small { (place(report, &out.unit, &out.cam, &out.wire)) } }
                td data-label="First" { (report.calendar.to_the_second(out.t)) br; small { "→ " (shown(&out.dir)) ", no. " (pair.out + 1) } }
                td data-label="The other way" { (report.calendar.to_the_second(back.t)) br; small { "→ " (shown(&back.dir)) ", no. " (pair.back + 1) } }
                td data-label="Between" { (duration(span(out.t, back.t))) }
                td { "possibly the same, returning" br; small { (among(pair.among, &out.cls)) } }
            } } } }
        }
        (more(report.returns.pairs.len(), MOST_ROWS))
    }
}

fn among(n: usize, cls: &str) -> String {
    match n {
        0 => format!("no other {} recorded there in between", shown(cls)),
        1 => "1 other crossing of that class in between".into(),
        n => format!("{n} other crossings of that class in between"),
    }
}

fn span(from: UtcMillis, to: UtcMillis) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// Every crossing.
pub fn crossings(report: &Report, gallery: &Gallery) -> Markup {
    let pictures = !gallery.is_empty();
    html! {
        table class="cards crossings" {
            thead { tr {
                th scope="col" class="n" { "No." }
                th scope="col" { "When (" (report.zone) ")" }
                @if pictures { th scope="col" { "Picture" } }
                th scope="col" { "What" } th scope="col" { "Direction" } th scope="col" { "Where" }
                th scope="col" { "Record" }
            } }
            tbody { @for (i, crossing) in report.crossings.iter().enumerate().take(MOST_CROSSINGS) {
                (one_crossing(report, gallery, pictures, i, crossing))
            } }
        }
        (more(report.crossings.len(), MOST_CROSSINGS))
    }
}

fn one_crossing(report: &Report, gallery: &Gallery, pictures: bool, i: usize, c: &Crossing) -> Markup {
    let picture = gallery.picture(c.id);
    html! {
        tr {
            td class="n" data-label="No." { (i + 1) }
            td class="when" { (report.calendar.full(c.t)) br; small { (how_sure(c)) } }
            @if pictures {
                td class=[picture.is_none().then_some("none")] {
                    @if let Some(jpeg) = picture {
                        img alt=(format!("Crossing {}: {}", i + 1, shown(&c.cls)))
                            src=(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)));
                    }
                }
            }
            td {
                (shown(&c.cls)) @if c.cls != c.grp.as_str() { " " small { (c.grp) } }
                br; small { "confidence " (format!("{:.2}", c.conf.0)) }
                @if let Some(end) = &c.cls_at_end { br; small { "taken for " (shown(end)) " in the end" } }
            }
            td { "→ " (shown(&c.dir)) }
            td { (place(report, &c.unit, &c.cam, &c.wire)) }
            td data-label="Record" { code { (shown(&c.log)) " " (c.seq) } @if c.recording { br; small { "from a recording" } } }
        }
    }
}

/// `± 40 ms, by NTP` and the like.
fn how_sure(c: &Crossing) -> String {
    let sure = c.tu.map_or("uncertainty unknown".to_owned(), uncertainty);
    match (c.t_reported.is_some(), c.ts) {
        (true, _) => format!("{sure}, corrected later"),
        (false, TimeSource::Gps) => format!("{sure}, by satellite"),
        (false, TimeSource::Ntp) => format!("{sure}, by network time"),
        (false, TimeSource::Rtc) => format!("{sure}, by battery clock"),
        (false, TimeSource::None) => format!("{sure}, nothing vouches for it"),
        (false, TimeSource::File) => "time of the recording".to_owned(),
    }
}

/// One file that the events name.
pub struct FileLine<'a> {
    /// The numbers of the crossings of what it shows.
    crossings: Vec<usize>,
    /// How many more there are.
    more: usize,
    what: &'a str,
    /// A clip's own name.
    id: Option<Uuid>,
    sha256: &'a str,
    checked: Checked,
}

/// The stills and clips of the crossings, each once.
pub fn files<'a>(report: &'a Report, gallery: &Gallery) -> Vec<FileLine<'a>> {
    let mut places = BTreeMap::new();
    let mut list: Vec<FileLine<'a>> = Vec::new();
    for (i, c) in report.crossings.iter().enumerate() {
        let small = c.still.iter().map(|sha256| ("still, small", c.id, sha256.as_str()));
        let kept = c.kept.iter().map(|kept| match kept.what.as_str() {
            "still" => ("still, full size", kept.id, kept.sha256.as_str()),
            what => (what, kept.id, kept.sha256.as_str()),
        });
        for (what, id, sha256) in small.chain(kept) {
            let place = *places.entry((&c.unit, id, sha256)).or_insert(list.len());
            match list.get_mut(place) {
                Some(line) if line.crossings.last() == Some(&(i + 1)) => {}
                Some(line) if line.crossings.len() < MOST_NUMBERS => line.crossings.push(i + 1),
                Some(line) => line.more += 1,
                None => {
                    let checked = gallery.checked(id, sha256);
                    let own = (id != c.id).then_some(id);
                    list.push(FileLine { crossings: vec![i + 1], more: 0, what, id: own, sha256, checked });
                }
            }
        }
    }
    list
}

/// Their checksums.
pub fn checksums(files: &[FileLine<'_>]) -> Markup {
    let numbers = |file: &FileLine<'_>| file.crossings.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    html! {
        table class="cards" {
            thead { tr {
                th scope="col" class="n" { "Crossing" } th scope="col" { "File" }
                th scope="col" { "SHA-256 as recorded" } th scope="col" { "File at hand" }
            } }
            tbody { @for file in files.iter().take(MOST_ROWS) { tr {
                td class="n" data-label="Crossing" { (numbers(file)) @if file.more > 0 { " and " (file.more) " more" } }
                td { (shown(file.what)) @if let Some(id) = file.id { br; small { code { (id) } } } }
                td { code { (shown(file.sha256)) } }
                td data-label="File at hand" { (match file.checked {
                    Checked::Agrees => "yes, it agrees",
                    Checked::Differs => "another file: not shown",
                    Checked::NotAtHand => "no",
                }) }
            } } }
        }
        (more(files.len(), MOST_ROWS))
    }
}
