//! Drawings of the report: inline SVG in the colours of the page's style sheet.

use maud::{Markup, html};

use super::heat::{Heat, HeatDay};
use super::shown::{count, shown};

const CELL_W: u32 = 26;
const CELL_H: u32 = 20;
const LEFT: u32 = 84;
const TOP: u32 = 20;
const WIDTH: u32 = LEFT + 24 * CELL_W + 44;

/// Rows of one drawing: it must fit onto a printed page.
const ROWS: usize = 31;

/// Less of an hour is drawn as not fully watched.
const WHOLE_HOUR_MIN: u32 = 58;

/// The hours of the days as a table of shades, in pieces of a month or so.
pub fn heat_maps(heat: &Heat) -> Markup {
    html! {
        @for days in heat.days.chunks(ROWS) {
            div class="scroll" { (piece(heat, days)) }
        }
    }
}

fn piece(heat: &Heat, days: &[HeatDay]) -> Markup {
    let height = TOP + CELL_H * u32::try_from(days.len()).unwrap_or(0) + 2;
    let total: u64 = days.iter().map(|day| day.total).sum();
    let label = format!("{} of {} by hour and day", count(total, "crossing", "crossings"), shown(&heat.unit));
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(label) {
            @for hour in 0..24u32 {
                text class="mid" x=(LEFT + hour * CELL_W + CELL_W / 2) y="13" { (format!("{hour:02}")) }
            }
            text class="end" x=(WIDTH - 4) y="13" { "all" }
            @for (row, day) in (0u32..).zip(days) { (one_day(heat, day, TOP + row * CELL_H)) }
        }
    }
}

fn one_day(heat: &Heat, day: &HeatDay, y: u32) -> Markup {
    let baseline = y + 14;
    html! {
        text class="end" x=(LEFT - 8) y=(baseline) { (day.day) }
        @for (hour, (n, watched)) in (0u32..).zip(day.counts.iter().zip(&day.watched_min)) {
            (cell(heat, hour, *n, *watched, y))
        }
        text class="end" x=(WIDTH - 4) y=(baseline) { (day.total) }
    }
}

fn cell(heat: &Heat, hour: u32, n: u64, watched: u32, y: u32) -> Markup {
    let (x, w, h) = (LEFT + hour * CELL_W, CELL_W - 2, CELL_H - 2);
    let shade = if heat.max == 0 { 0.0 } else { n as f64 / heat.max as f64 };
    let crossings = count(n, "crossing", "crossings");
    let title = match (heat.coverage_known, watched) {
        (false, _) => format!("{hour:02} h: {crossings}"),
        (true, 0) => format!("{hour:02} h: {crossings}; not known to be watched"),
        (true, min) => format!("{hour:02} h: {crossings}; {min} min watched"),
    };
    html! {
        g {
            title { (title) }
            rect class="bg" x=(x) y=(y) width=(w) height=(h) rx="2" {}
            @if n > 0 {
                rect class="hot" x=(x) y=(y) width=(w) height=(h) rx="2" fill-opacity=(format!("{:.2}", 0.2 + 0.8 * shade)) {}
            }
            @if n == 0 && heat.coverage_known && watched < WHOLE_HOUR_MIN {
                rect x=(x) y=(y) width=(w) height=(h) rx="2" fill="url(#hatch)"
                    fill-opacity=(if watched == 0 { "1" } else { "0.45" }) {}
            }
            @if n > 0 {
                text class=(if shade > 0.5 { "count on" } else { "count" }) x=(x + w / 2) y=(y + 13) { (n) }
            }
        }
    }
}

/// The pattern of what was not watched; once in a page.
pub fn hatching() -> Markup {
    html! {
        svg class="pattern" width="0" height="0" aria-hidden="true" {
            pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                line class="hatching" x1="0" y1="0" x2="0" y2="5" {}
            }
        }
    }
}

/// What the shades mean.
pub fn heat_key(coverage_known: bool) -> Markup {
    let sample = |class: &str, fill: Option<&str>, opacity: &str| {
        html! {
            svg viewBox="0 0 24 16" aria-hidden="true" {
                rect class="bg" width="24" height="16" rx="2" {}
                @match fill {
                    Some(fill) => { rect width="24" height="16" rx="2" fill=(fill) {} }
                    None => { rect class=(class) width="24" height="16" rx="2" fill-opacity=(opacity) {} }
                }
            }
        }
    };
    html! {
        span class="key" { (sample("bg", None, "1")) "none" }
        span class="key" { (sample("hot", None, "0.3")) "few" }
        span class="key" { (sample("hot", None, "1")) "the most" }
        @if coverage_known {
            span class="key" { (sample("", Some("url(#hatch)"), "1")) "not watched, or nothing tells that it was" }
        }
    }
}
