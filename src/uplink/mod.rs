//! Sending what the journal holds to an MQTT broker: MQTT 5, QoS 1.
//!
//! The client library is a wire here, never a queue: it forgets what it has not
//! sent when the broker has forgotten the session, and it tells nobody. So
//! nothing counts as delivered but an event's own PUBACK, and the join of event
//! and packet id is kept in `window.rs`. The link takes events
//! from the journal through a read connection of its own, the most urgent first
//! (`lanes.rs`) and the backlog at a limited rate (`pace.rs`), and is woken by
//! commits, never by a timer. `connect.rs` says when the unit is connected at all.
//!
//! Everything runs on one thread with a runtime of its own, so that no trouble
//! of the network ever reaches the pipeline: an absent broker costs a
//! connection attempt every half a minute.

mod alerts;
mod allowance;
mod announce;
mod ask;
mod assembly;
mod awake;
mod budget;
mod certificate;
mod client_id;
mod commands;
mod commits;
mod connect;
mod dialect;
mod doubt;
mod failures;
mod fetch;
mod former;
mod handle;
mod home_assistant;
mod hook;
mod incoming;
mod lanes;
mod link;
mod listener;
mod liveness;
mod messages;
mod outgoing;
mod pace;
mod probe;
mod refusals;
mod resend;
mod settings;
#[cfg(test)]
mod simulation;
mod status;
mod stills;
mod streams;
mod terms;
mod tls;
mod unwanted;
mod window;
mod wire;
mod words;

pub use ask::{AskError, Question, Standing, ask};
pub use connect::ConnectPolicy;
pub use fetch::{Errand, Recipient, Request, fetch};
pub use handle::{HealthFeed, UPLINK_LAST_STEPS, Uplink, UplinkHandle, UplinkSetup};
pub use home_assistant::Discovery;
pub use listener::{Listener, listen};
pub use probe::{ProbeReport, probe, reach};
pub(crate) use settings::CONNECT_TIMEOUT_S;
pub use settings::{LinkSettings, UplinkError};
pub use status::{UplinkFigures, UplinkStatus};
pub use stills::StillFeed;
