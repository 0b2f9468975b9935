//! How a report comes about and what it cannot say, in plain words.

use maud::{Markup, html};

use super::facts::Report;
use super::gallery::Gallery;

/// The section of the page.
pub fn method(report: &Report, gallery: &Gallery) -> Markup {
    html! {
        section {
            h2 { "How this was made, and what it cannot say" }
            p { strong { "Crossings. " }
                "A program beside the camera looks for vehicles, people and animals in the pictures, follows each from picture to picture, "
                "and records a crossing when it passes a line that an operator has drawn. No person watched, and no person has checked the entries "
                "unless somebody says so elsewhere." }
            p { strong { "Errors. " }
                "Such a program misses some: what is dark, far away, hidden, or out of the picture. It may take one class for another, count "
                "one object twice when it lost sight of it, or take for an object what is none. Confidence, from 0 to 1, is the program's own "
                "figure for its best view; it is not the probability that an entry is true. Look at the picture, where there is one." }
            p { strong { "Class. " }
                "Counted is the class at the moment of the crossing. Where the program settled on another one later, the entry says so." }
            p { strong { "Identity. " }
                "Tawny recognises no faces and reads no number plates. Two crossings may be of one object or of two; nothing here tells which." }
            p { strong { "Times. " }
                "Each time has an uncertainty, as far as the unit knew it. Where it is unknown, or nothing vouched for the clock, the time may be wrong by any amount; "
                "the order of one unit's events is reliable nevertheless. Times are given in " (report.zone) "." }
            p { strong { "Silence. " }
                "That nothing was recorded means something only for times in which the camera watched, and only within what it can see." }
            p { strong { "Pictures. " }
                "A picture shows the best view that there was of the object, not the moment of the crossing. "
                @if gallery.clear {
                    "This report was made with full-size pictures where there were some: they show people as the camera saw them. "
                } @else {
                    "The pictures are the small ones. Unless the unit was set up otherwise, whatever might be a person was made coarse in them before they were stored. "
                }
                "The program can overlook a person here as well." }
            p { strong { "Checksums. " }
                "A SHA-256 checksum that agrees shows that a file is the one whose checksum was recorded. It does not show who recorded it, or that the records "
                "themselves are genuine: events are not signed. Keep the unit's journal and the original files." }
        }
    }
}
