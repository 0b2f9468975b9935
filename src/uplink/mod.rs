//! Sending what the journal holds to an MQTT broker: MQTT 5, QoS 1.
//!
//! The client library is a wire here, never a queue: it forgets what it has not
//! sent when the broker has forgotten the session, and it tells nobody. So
//! nothing counts as delivered but an event's own PUBACK, and the join of event
//! and packet id is kept in `window.rs`. The link takes events
//! from the journal through a read connection of its own, a window's worth at a
//! time, and is woken by commits, never by a timer.
//!
//! Everything runs on one thread with a runtime of its own, so that no trouble
//! of the network ever reaches the pipeline: an absent broker costs a
//! connection attempt every half a minute.

mod handle;
mod link;
mod messages;
mod probe;
mod settings;
mod status;
mod tls;
mod window;
mod words;

pub use handle::{HealthFeed, Uplink, UplinkHandle, UplinkSetup};
pub use probe::{ProbeReport, probe};
pub use settings::{LinkSettings, UplinkError};
pub use status::{UplinkFigures, UplinkStatus};
