//! The receiving side of the broker: subscribes, hands on what comes, publishes
//! what it is told to. For `tawny receive`.
//!
//! A message is acknowledged after it was handed on, so that what a crash
//! prevented comes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Event, Incoming};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::settings::{LinkSettings, UplinkError};
use super::wire::Wire;
use super::words;
use crate::domain::{Backoff, jitter};

/// How often whoever listens is asked for what is due.
const STEP: Duration = Duration::from_millis(500);

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Places for acknowledgements and commands.
const PLACES: usize = 1024;

/// Whoever listens.
pub trait Listener {
    /// A message came: its topic below the prefix, and what it says.
    ///
    /// # Errors
    /// When it cannot be kept; listening ends.
    fn message(&mut self, topic: &str, payload: &[u8]) -> std::io::Result<()>;

    /// Looks after what time brings; gives messages to publish (topic below the
    /// prefix, text), or `None` to end.
    fn tick(&mut self) -> Option<Vec<(String, String)>>;
}

/// Listens to everything below the prefix until told to end. A broker that is
/// absent is tried again for ever.
///
/// # Errors
/// When a message could not be kept, or no thread can be made.
pub fn listen(
    settings: &LinkSettings,
    keep_session: bool,
    stop: &Arc<AtomicBool>,
    listener: &mut dyn Listener,
) -> Result<(), UplinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UplinkError::Thread)?;
    let outcome = runtime.block_on(run(settings, keep_session, stop, listener));
    // A name resolution that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome.map_err(|e| UplinkError::Broker { broker: settings.address.to_string(), why: e.to_string() })
}

async fn run(
    settings: &LinkSettings,
    keep_session: bool,
    stop: &Arc<AtomicBool>,
    listener: &mut dyn Listener,
) -> std::io::Result<()> {
    let prefix = settings.topics.prefix();
    let mut options = settings.options(!keep_session);
    options.set_manual_acks(true);
    let (client, mut events) = Wire::new(settings, options, PLACES);
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
    let mut complained = false;
    let mut next_tick = Instant::now() + STEP;
    loop {
        let event = {
            let poll = events.poll();
            tokio::pin!(poll);
            loop {
                // Also when messages come all the time.
                if Instant::now() >= next_tick {
                    next_tick = Instant::now() + STEP;
                    let Some(messages) = listener.tick() else { return Ok(()) };
                    for (topic, text) in messages {
                        // A full channel only means that it is asked for again.
                        let _ = client.try_publish(format!("{prefix}/{topic}"), QoS::AtLeastOnce, false, text);
                    }
                }
                if stop.load(Relaxed) {
                    return Ok(());
                }
                tokio::select! {
                    event = &mut poll => break event,
                    () = sleep_until(next_tick) => {}
                }
            }
        };
        match event {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                info!("connected to {}", settings.address);
                let _ = client.try_subscribe(format!("{prefix}/#"), QoS::AtLeastOnce);
            }
            Ok(Event::Incoming(Incoming::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic);
                if let Some(below) = topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
                    listener.message(below, &publish.payload)?;
                }
                // Full: it comes again after the next connection.
                let _ = client.try_ack(&publish);
            }
            // A broker that breaks its rules at once is not asked each second.
            Ok(Event::Incoming(Incoming::SubAck(_))) => {
                backoff.reset();
                complained = false;
            }
            Ok(_) => {}
            Err(e) => {
                if !std::mem::replace(&mut complained, true) {
                    warn!("broker {} {}; trying again", settings.address, words::connection(&e));
                }
                let until = Instant::now() + backoff.next(jitter());
                while Instant::now() < until {
                    tokio::time::sleep(STEP.min(until.saturating_duration_since(Instant::now()))).await;
                    if stop.load(Relaxed) || listener.tick().is_none() {
                        return Ok(());
                    }
                }
            }
        }
        if stop.load(Relaxed) {
            return Ok(());
        }
    }
}
