//! What happened, as a document that can be handed on.
//!
//! ```text
//! journals, JSON Lines ─► collection ─► facts ──────────────► html, csv, json
//!                         each event    plain values, counted   ▲
//!                         once, times   watched pairs heat      │
//!                         as known now                        gallery
//!                                                             stills, checked
//! ```
//!
//! Everything up to the facts is pure: events in, a [`Report`] out. It counts what
//! was recorded and claims nothing else. Whatever comes from outside is text that
//! may be hostile: it reaches a page only through maud, which escapes it, and
//! through `shown.rs`, which takes out what misleads the eye.

mod calendar;
mod collection;
mod csv;
mod facts;
mod gallery;
mod heat;
mod html;
mod json;
mod method;
mod pairs;
mod shown;
mod style;
mod svg;
mod tables;
mod totals;
mod watched;

pub use calendar::Calendar;
pub use collection::{Collection, LogFacts, Tally};
pub use csv::{csv, csv_field};
pub use facts::{Convoy, Crossing, Kept, Note, Period, Report, Settings, Source, Timing};
pub use gallery::{Checked, Gallery};
pub use heat::{Heat, HeatDay};
pub use html::html;
pub use json::json;
pub use pairs::{Pair, Pairs};
pub use totals::{LineTotals, Totals};
pub use watched::Watched;
