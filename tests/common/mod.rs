//! What the integration tests share.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod broker;
pub mod camera;
pub mod daemon;
pub mod drafts;
pub mod program;
