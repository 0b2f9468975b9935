//! What the integration tests share.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod any_event;
pub mod broker;
pub mod camera;
pub mod daemon;
pub mod drafts;
pub mod fake_broker;
pub mod hostile;
pub mod operator;
pub mod program;
pub mod random;
