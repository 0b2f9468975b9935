//! Tests of the page.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::domain::UtcMillis;
use crate::report::facts::testing::crossing;
use crate::report::{Calendar, Collection, Settings};

fn report(place: &str) -> Report {
    let settings = Settings {
        place: Some(place.into()),
        since: None,
        until: None,
        calendar: Calendar::utc(),
        made: UtcMillis(0),
        sources: Vec::new(),
    };
    Report::new(Collection::default(), &settings)
}

#[test]
fn what_units_and_people_write_is_text_and_never_a_tag() {
    let evil = "</style><script>alert(1)</script><img src=x onerror=\"y\">";
    let mut report = report(evil);
    let mut one = crossing(1_000, evil, evil);
    (one.unit, one.cam, one.wire, one.log) = (evil.into(), evil.into(), evil.into(), evil.into());
    one.still = Some(evil.into());
    report.units = vec![evil.into()];
    report.totals = crate::report::Totals::default();
    report.crossings = vec![one];
    let page = html(&report, &Gallery::default());
    assert!(!page.contains("<script") && !page.contains("<img src=x") && !page.contains("onerror=\"y"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(page.matches("</style>").count(), 1);
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = html(&report("Forest road"), &Gallery::default());
    assert!(page.contains("default-src 'none'; img-src data:; style-src 'sha256-"), "{page}");
    for outside in ["http://", "https://", "src=\"/", "@import", "<link", "<script", "url(http"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<h1>Forest road</h1>"));
}
