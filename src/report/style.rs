//! The page's style sheet: one column that prints on A4, dark where the reader's
//! device is, rows as cards on a phone.

/// The content of the page's `<style>`.
pub const STYLE: &str = include_str!("style.css");
