//! The report as one page that needs nothing else: no network, no scripts.
//!
//! Every value passes through maud, which escapes it; a content security policy
//! forbids everything but the page's own style sheet and embedded pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::facts::{Period, Report};
use super::gallery::Gallery;
use super::method;
use super::pairs::{LONGEST_MS, SHORTEST_MS};
use super::shown::{count, duration, shown, uncertainty};
use super::style::STYLE;
use super::{svg, tables};
use crate::domain::Group;
use std::time::Duration;

/// More notes than this make nobody wiser.
const MOST_NOTES: usize = 200;

/// Names of units in one sentence.
const MOST_NAMES: usize = 20;

/// Journals listed.
const MOST_LOGS: usize = 200;

/// The whole page.
pub fn html(report: &Report, gallery: &Gallery) -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy =
        format!("default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'");
    let title = title(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) " – Tawny report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (svg::hatching())
                (head(report, &title))
                main {
                    (summary(report, gallery))
                    (totals(report))
                    (when(report))
                    (coverage(report))
                    (clock(report))
                    (together(report))
                    (returns(report))
                    (crossings(report, gallery))
                    (method::method(report, gallery))
                    (records(report, gallery))
                }
                footer {
                    p { "Made by Tawny " (report.version) " on " (report.calendar.to_the_second(report.made)) " (" (report.zone) "). "
                        "It needs no network and holds no scripts." }
                }
            }
        }
    };
    page.into_string()
}

fn title(report: &Report) -> String {
    match (&report.place, report.units.as_slice()) {
        (Some(place), _) => shown(place),
        (None, []) => "Nothing recorded".into(),
        (None, units) if units.len() <= 4 => units.iter().map(|unit| shown(unit)).collect::<Vec<_>>().join(", "),
        (None, units) => format!("{} units", units.len()),
    }
}

fn head(report: &Report, title: &str) -> Markup {
    html! {
        header {
            p class="kicker" { "Report of what was recorded" }
            h1 { (title) }
            @if let Some(period) = &report.period { p class="lead" { (told(report, period)) } }
            @if report.place.is_some() && !report.units.is_empty() {
                p class="soft" { "Recorded by " (report.units.iter().map(|unit| shown(unit)).take(MOST_NAMES).collect::<Vec<_>>().join(", "))
                    @if report.units.len() > MOST_NAMES { " and " (report.units.len() - MOST_NAMES) " more" } "." }
            }
            @if report.recordings {
                p class="warn" { strong { "Recorded video. " }
                    "Events marked so come from recordings that were played to Tawny, not from a live camera. "
                    "Their times count from the moment that was given for the beginning of the recording." }
            }
        }
    }
}

fn told(report: &Report, period: &Period) -> Markup {
    let at = |t| report.calendar.to_the_second(t);
    html! {
        (at(period.from)) " to " (at(period.to)) " (" (report.zone) ")"
        @match (period.from_asked, period.to_asked) {
            (false, false) => span class="soft" { ": from the first to the last record" },
            (true, false) => span class="soft" { ": to the last record" },
            (false, true) => span class="soft" { ": from the first record" },
            (true, true) => "",
        }
    }
}

fn summary(report: &Report, gallery: &Gallery) -> Markup {
    let groups: Vec<String> = report.groups.iter().map(|(grp, n)| counted(*n, *grp)).collect();
    let watched: Duration = report.watched.iter().map(|w| w.watched).fold(Duration::ZERO, Duration::saturating_add);
    let recorded = report.watched.iter().any(|w| !w.spans.is_empty());
    html! {
        dl class="figures" {
            div { dt { "Crossings" } dd { (report.total()) small { (groups.join(", ")) } } }
            div { dt { "Watched" } dd {
                @if recorded { (duration(watched)) } @else { "unknown" }
                small { (count(report.watched.len() as u64, "camera", "cameras")) @if report.watched.len() > 1 { " together" } }
            } }
            div { dt { "Times" } dd {
                @match report.timing.median_ms { Some(ms) => (uncertainty(ms)), None => "–" }
                small { @if report.timing.median_ms.is_some() { "or better for half of them" } @else { "no uncertainty known" } }
            } }
            div { dt { "Pictures" } dd { (gallery.len()) small { "in this report" } } }
        }
        @if !report.seen.is_empty() {
            p {
                "In all, Tawny followed "
                (report.seen.iter().map(|(grp, n)| counted(*n, *grp)).collect::<Vec<_>>().join(", "))
                "; not everything that is seen passes a line. "
                "One and the same object may have been followed more than once."
            }
        }
        @if gallery.clear {
            p class="warn" { strong { "Clear pictures. " }
                "This report was made with pictures at full size, in which people appear as the camera saw them. "
                "Handle and pass it on accordingly." }
        }
    }
}

/// `1 person`, `2 people`.
fn counted(n: u64, grp: Group) -> String {
    count(n, grp.as_str(), tables::plural(grp))
}

fn totals(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Crossings by class and direction" }
            @if report.totals.lines.is_empty() { p { "No crossing was recorded in this period." } }
            @for line in &report.totals.lines { (tables::totals(report, line)) }
            @if report.totals.left_out > 0 {
                p { (count(report.totals.left_out, "more line is", "more lines are")) " not shown, with "
                    (count(report.totals.crossings_left_out, "crossing", "crossings")) " that "
                    (if report.totals.crossings_left_out == 1 { "is" } else { "are" }) " counted in all sums." }
            }
            @if report.totals.lines.len() > 1 {
                p { "All lines together: " strong { (count(report.total(), "crossing", "crossings")) } ". "
                    "An object that passes several lines is counted at each of them." }
            }
        }
    }
}

fn when(report: &Report) -> Markup {
    html! {
        section {
            h2 { "When: by hour and day" }
            @if report.heat.is_empty() { p { "Nothing to show." } }
            @if report.heat_left_out > 0 {
                p { "The units with the most crossings; " (count(report.heat_left_out, "more is", "more are")) " not shown." }
            }
            @for heat in &report.heat {
                figure {
                    @if report.units.len() > 1 { h3 { (shown(&heat.unit)) } }
                    (svg::heat_maps(heat))
                    figcaption class="small" {
                        div { (svg::heat_key(heat.coverage_known)) }
                        "Hours of the local clock (" (report.zone) "). "
                        @if heat.coverage_known {
                            "A hatched hour is unknown, not quiet."
                        } @else {
                            "Nothing in the records tells when the unit watched: an empty hour may be a quiet one or one that was not watched."
                        }
                        @if heat.days_left_out > 0 { " " (count(heat.days_left_out, "day is", "days are")) " not shown." }
                        @if heat.crossings_left_out > 0 {
                            " " (count(heat.crossings_left_out, "crossing is", "crossings are")) " on days not shown; they are in the table below."
                        }
                    }
                }
            }
        }
    }
}

fn coverage(report: &Report) -> Markup {
    let cut: u64 = report.watched.iter().map(|w| w.cut).sum();
    html! {
        section {
            h2 { "What was watched, and what was not" }
            @if report.watched.iter().all(|w| w.spans.is_empty()) {
                p { "The records hold no account of when the cameras watched. "
                    "That something is not in this report does not show that it did not happen." }
            } @else {
                p { "Only during the time " em { "watched" } " does a missing crossing say anything. " em { "Blind" } ": no pictures came. "
                    em { "Paused" } ": an operator had ordered it. " em { "No record" } ": nothing tells whether the camera watched." }
            }
            @if !report.watched.is_empty() { (tables::watched(report)) }
            @if cut > 0 {
                p class="soft small" { (count(cut, "interval reaches", "intervals reach")) " out of the period; blind and paused time "
                    "is counted as if it lay inside, so that the time watched is not overstated." }
            }
            @if !report.notes.is_empty() {
                h3 { "Pauses, interruptions, corrections" }
                (tables::notes(report, MOST_NOTES))
            }
        }
    }
}

fn clock(report: &Report) -> Markup {
    let timing = &report.timing;
    let source = |name: &str| match name {
        "gps" => "by a satellite receiver",
        "ntp" => "by network time",
        "rtc" => "by a battery clock",
        "file" => "from a recording's own time line",
        _ => "with nothing to vouch for the clock",
    };
    html! {
        section {
            h2 { "How good the times are" }
            @if report.crossings.is_empty() { p { "There are no crossings to speak of." } } @else {
                p { "Of " (count(report.total(), "crossing", "crossings")) ", " (timing.sources.iter()
                    .map(|(name, n)| format!("{n} {} reported {}", if *n == 1 { "was" } else { "were" }, source(name)))
                    .collect::<Vec<_>>().join("; ")) ". "
                    @if timing.corrected > 0 { (count(timing.corrected, "time was", "times were"))
                        " corrected after the unit's clock had been set right; this report uses the corrected ones. " }
                    @if let (Some(median), Some(largest)) = (timing.median_ms, timing.largest_ms) {
                        "Where the uncertainty is known, half of the times are within " (uncertainty(median))
                        " and all within " (uncertainty(largest)) ". "
                    }
                    @if timing.unknown > 0 { "For " (timing.unknown) " the uncertainty is unknown." }
                }
            }
        }
    }
}

fn together(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Groups" }
            @if report.convoys.is_empty() { p { "None: no two passed the same line the same way close together." } } @else {
                p { "Several that passed the same line the same way, close together. Whether they belonged together is not known." }
                (tables::convoys(report))
            }
        }
    }
}

fn returns(report: &Report) -> Markup {
    let (shortest, longest) = (ms(SHORTEST_MS), ms(LONGEST_MS));
    html! {
        section {
            h2 { "Out and back" }
            p { "The same class at the same line, the other way, " (duration(shortest)) " to " (duration(longest)) " later: "
                em { "possibly the same, returning" } ". Tawny cannot tell one from another of its class, so this is a hint where to look, not a finding." }
            @if report.returns.pairs.is_empty() { p { "None in this period." } } @else { (tables::returns(report)) }
            @if report.returns.crowded > 0 {
                p class="soft small" { (count(report.returns.crowded, "more pair", "more pairs"))
                    " had so many others of the same class in between that nothing can be said." }
            }
        }
    }
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn crossings(report: &Report, gallery: &Gallery) -> Markup {
    html! {
        section {
            h2 { "Every crossing" }
            @if report.crossings.is_empty() { p { "None." } } @else { (tables::crossings(report, gallery)) }
            @if gallery.left_out > 0 {
                p class="soft small" { (count(gallery.left_out, "more picture is", "more pictures are")) " at hand but not shown, to keep this page readable." }
            }
        }
    }
}

fn records(report: &Report, gallery: &Gallery) -> Markup {
    let files = tables::files(report, gallery);
    let cut = report.crossings.iter().filter(|c| c.kept_left_out > 0).count() as u64;
    html! {
        section {
            h2 { "Records and checksums" }
            @if !report.logs.is_empty() {
                p { "A unit numbers its events without gaps, so that it can be seen whether some are missing." }
                ul { @for log in report.logs.iter().take(MOST_LOGS) { li {
                    (shown(&log.unit)) ", journal " code { (shown(&log.log)) } ": "
                    (count(log.events, "event", "events")) ", numbers " (log.first) " to " (log.last) "; "
                    @if log.missing == 0 { "none in between is missing." }
                    @else { strong { (log.missing) " in between are not in the input." } " They may have been deleted to make room, or not received." }
                } } }
                (tables::more(report.logs.len(), MOST_LOGS))
            }
            @if !report.sources.is_empty() {
                p { "This report was made from:" }
                ul { @for source in &report.sources { li {
                    (shown(&source.name)) @if let Some(sha256) = &source.sha256 { ", SHA-256 " code { (sha256) } }
                } } }
            }
            (oddities(report))
            @if files.is_empty() { p { "No crossing has a picture or clip named in its records." } } @else {
                p { "The checksum of each picture and clip was recorded in an event when it was made. " em { "File at hand" }
                    ": whether the file was there when this report was made, and still had that checksum." }
                (tables::checksums(&files))
                @if cut > 0 {
                    p class="soft small" { (count(cut, "crossing has", "crossings have")) " more files in the records than are named here." }
                }
            }
        }
    }
}

fn oddities(report: &Report) -> Markup {
    let input = &report.input;
    let unknown: u64 = input.unknown.values().sum();
    html! {
        @if input.beyond > 0 {
            p class="warn" { strong { (count(input.beyond, "event is", "events are")) " left out: they do not fit into memory. " }
                "Nothing in this report counts them. Make several reports of fewer files." }
        }
        @if input.unreadable > 0 || input.contradicting > 0 || unknown > 0 {
            ul {
                @if input.unreadable > 0 { li { (count(input.unreadable, "line was", "lines were")) " no readable event and left out." } }
                @if input.contradicting > 0 { li { strong {
                    (count(input.contradicting, "event came", "events came")) " twice with different content;" } " the first was used." } }
                @if unknown > 0 { li { (count(unknown, "event is", "events are")) " of a kind, or in a form, that this program does not know, and left out: "
                    (input.unknown.iter().map(|(kind, n)| format!("{n} × {}", shown(kind))).take(20).collect::<Vec<_>>().join(", ")) "." } }
            }
        }
    }
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
