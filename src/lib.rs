//! Tawny: an edge video-analytics daemon for hidden trail cameras.
//!
//! The folders of this crate stand in the order in which the data flows:
//!
//! ```text
//! capture ─► motion ─► detect ─► track ─► scene ─► event ─► journal ─► uplink
//! packets    regions   boxes     tracks   rules    wire     SQLite     MQTT 5
//! ```
//!
//! Each stage hands the next a small plain value and knows only the stages
//! before it; [`mod@unit`] is the one place that knows them all, makes the threads
//! and joins them with channels. [`domain`] holds the vocabulary that every
//! stage speaks: geometry, object groups, time.

pub mod domain;

pub mod config;

pub mod clock;

pub mod capture;

pub mod motion;

pub mod detect;

pub mod track;

pub mod scene;

pub mod event;

pub mod journal;

pub mod uplink;

pub mod health;

pub mod unit;

pub mod commands;
