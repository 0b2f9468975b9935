//! Whether the broker answers, for `tawny check`.

use std::time::{Duration, Instant};

use rumqttc::Outgoing;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming};
use tokio::time::timeout;

use super::settings::{LinkSettings, UplinkError};
use super::words;

const PATIENCE: Duration = Duration::from_secs(10);

/// What the broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Its address, without any secret.
    pub broker: String,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// From name resolution to CONNACK.
    pub took: Duration,
    /// The largest packet it takes, if it says so.
    pub max_packet: Option<u32>,
}

/// Logs in under a client id of its own (the running daemon is not disturbed)
/// and out again. Takes 10 s at most.
///
/// # Errors
/// [`UplinkError::Broker`] with what failed, in plain words.
pub fn probe(settings: &LinkSettings) -> Result<ProbeReport, UplinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UplinkError::Thread)?;
    let settings = settings.clone().with_client_id_suffix("check");
    let broker = settings.address.to_string();
    let answer = runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(settings.options(true), 4);
        match timeout(PATIENCE, log_in_and_out(&client, &mut events)).await {
            Ok(result) => result.map_err(|e| words::connection(&e)),
            Err(_) => Err("does not answer in time".to_owned()),
        }
    });
    // A name resolution that hangs must not hold up the answer.
    runtime.shutdown_background();
    match answer {
        Ok((took, max_packet)) => Ok(ProbeReport { broker, tls: settings.address.tls, took, max_packet }),
        Err(why) => Err(UplinkError::Broker { broker, why }),
    }
}

async fn log_in_and_out(
    client: &AsyncClient,
    events: &mut EventLoop,
) -> Result<(Duration, Option<u32>), rumqttc::v5::ConnectionError> {
    let start = Instant::now();
    let mut answer = None;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(ack))) => {
                answer = Some((start.elapsed(), ack.properties.and_then(|p| p.max_packet_size)));
                if client.try_disconnect().is_err() {
                    break;
                }
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => break,
            Ok(_) => {}
            Err(e) if answer.is_none() => return Err(e),
            Err(_) => break,
        }
    }
    Ok(answer.unwrap_or_default())
}
