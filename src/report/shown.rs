//! Text and figures for people. Names come from units and may be anything: what
//! cannot be seen, or turns the direction of reading, is replaced, and what is
//! endless is cut. Escaping is maud's.

use std::time::Duration;

/// Longer than any name or reason that Tawny writes.
const LONGEST: usize = 160;

/// Text from outside, for a page.
pub fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(LONGEST).map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// Control characters, and marks that change the direction of what follows
/// (Unicode Standard Annex 9) or have no width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `3 d 4 h`, `2 h 05 min`, `7 min`, `12 s`.
pub fn duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0 if !time.is_zero() => "under 1 s".into(),
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..172_800 if s % 3600 < 60 => format!("{} h", s / 3600),
        3600..172_800 => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `± 40 ms`, `± 1.5 s`, `± 20 min`.
pub fn uncertainty(ms: u32) -> String {
    match ms {
        0..1_000 => format!("± {ms} ms"),
        1_000..120_000 => format!("± {:.1} s", f64::from(ms) / 1e3),
        120_000..7_200_000 => format!("± {} min", ms / 60_000),
        _ => format!("± {} h", ms / 3_600_000),
    }
}

/// `1 crossing`, `2 crossings`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_the_eye_is_replaced() {
        assert_eq!(shown("gate <b>"), "gate <b>");
        assert_eq!(shown("a\u{202e}b\u{0}c\nd\u{200b}"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn figures_are_read_at_a_glance() {
        let told = |s: u64| duration(Duration::from_secs(s));
        assert_eq!([told(0), told(12), told(424), told(7_500)], ["0 s", "12 s", "7 min", "2 h 05 min"]);
        assert_eq!(told(273_600), "3 d 4 h");
        assert_eq!(duration(Duration::from_millis(5)), "under 1 s");
        assert_eq!([40, 1_500, 1_200_000, u32::MAX].map(uncertainty), ["± 40 ms", "± 1.5 s", "± 20 min", "± 1193 h"]);
        assert_eq!(count(1, "crossing", "crossings"), "1 crossing");
    }
}
