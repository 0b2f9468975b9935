//! Tawny: an edge video-analytics daemon for hidden trail cameras.
//!
//! The folders of this crate stand in the order in which the data flows:
//!
//! ```text
//! capture ─► motion ─► detect ─► track ─► scene ─► event ─► journal ─► uplink
//! packets    regions   boxes     tracks   rules    wire     SQLite     MQTT 5
//!                                   │                                     ▲
//!                                   └──────────► evidence ────────────────┘
//!                                                stills, clips
//! ```
//!
//! Each stage hands the next a small plain value and knows only the stages
//! before it; [`mod@unit`] is the one place that knows them all, makes the threads
//! and joins them with channels. [`domain`] holds the vocabulary that every
//! stage speaks: geometry, object groups, time.

// Video, models, brokers, disks and people may say anything: nothing that they
// reach may panic. Where numbers made here index memory made here, a module says so.
#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::get_unwrap
)]

pub mod domain;

pub mod config;

pub mod clock;

pub mod capture;

#[allow(clippy::indexing_slicing, reason = "kernels over pictures of one size")]
pub mod motion;

pub mod detect;

#[allow(clippy::indexing_slicing, reason = "matrices and lists whose indices are made here")]
pub mod track;

pub mod scene;

pub mod event;

pub mod journal;

pub mod control;
pub mod evidence;

pub mod uplink;

pub mod receive;

pub mod report;

pub mod health;

pub mod drawing;

pub mod unit;

pub mod commands;

#[doc(hidden)]
pub mod fuzzing;
