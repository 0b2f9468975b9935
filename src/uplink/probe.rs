//! Whether `run` could use the broker, for `tawny check`.
//!
//! Nothing is taken from the unit by it. It logs in under another client id; but a
//! broker may give everybody who has the same login the same id (mosquitto's
//! `use_username_as_clientid`). Then this is the unit's own session: so it is neither
//! ended nor emptied here, and while the unit runs there is no login at all
//! ([`reach`]), because that would throw the unit out.

use std::time::{Duration, Instant};

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, PubAckReason, RetainForwardRule};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use tokio::time::timeout;

use super::settings::{LinkSettings, SESSION_EXPIRY_S, UplinkError};
use super::wire::Wire;
use super::{client_id, dialect, terms, words};
use crate::journal::JournalReader;

const PATIENCE: Duration = Duration::from_secs(10);

/// What the broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Its address, without any secret.
    pub broker: String,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// From name resolution to CONNACK, or to the encrypted connection.
    pub took: Duration,
    /// The largest packet it takes, if it says so.
    pub max_packet: Option<u32>,
    /// It remembers a unit that is away for so many seconds only.
    pub forgets_after: Option<u32>,
}

impl LinkSettings {
    /// The settings of `tawny check`: a client id that is nobody else's, and the same each
    /// time if the unit's journal knows a name.
    #[must_use]
    pub fn for_check(self, journal: Option<&JournalReader>) -> LinkSettings {
        match journal.and_then(client_id::of) {
            Some(part) => {
                let id = format!("{}-{part}-check", self.client_base);
                self.with_client_id(id)
            }
            None => self,
        }
    }
}

/// Logs in, subscribes to the commands of the unit, publishes an answer to nothing, and
/// leaves. Takes 20 s at most.
///
/// # Errors
/// [`UplinkError::Broker`] with what failed, or what the broker lacks, in plain words.
pub fn probe(settings: &LinkSettings) -> Result<ProbeReport, UplinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UplinkError::Thread)?;
    let broker = settings.address.to_string();
    let answer = runtime.block_on(async {
        match timeout(PATIENCE, Visit::new(settings).pay()).await {
            Ok(Err(Trouble::Login(why))) if why.1 && dialect::is_old(settings).await => Err(words::OLD_MQTT.to_owned()),
            Ok(Err(Trouble::Login((why, _)) | Trouble::Other(why))) => Err(why),
            Ok(Ok(report)) => Ok(report),
            Err(_) if dialect::is_old(settings).await => Err(words::OLD_MQTT.to_owned()),
            Err(_) => Err("does not answer in time".to_owned()),
        }
    });
    // A name resolution that hangs must not hold up the answer.
    runtime.shutdown_background();
    answer.map_err(|why| UplinkError::Broker { broker, why })
}

/// Whether the broker can be reached, and is the one that it should be, as far as that
/// is seen without a login.
///
/// # Errors
/// [`UplinkError::Broker`] with what failed, in plain words.
pub fn reach(settings: &LinkSettings) -> Result<ProbeReport, UplinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UplinkError::Thread)?;
    let start = Instant::now();
    let reached = runtime.block_on(async { timeout(PATIENCE, dialect::reach(settings)).await });
    runtime.shutdown_background();
    let why = match reached {
        Ok(Ok(())) => return Ok(report(settings, start.elapsed(), None)),
        Ok(Err(e)) => words::io_error(&e),
        Err(_) => "does not answer in time".to_owned(),
    };
    Err(UplinkError::Broker { broker: settings.address.to_string(), why })
}

fn report(settings: &LinkSettings, took: Duration, ack: Option<&ConnAck>) -> ProbeReport {
    ProbeReport {
        broker: settings.address.to_string(),
        tls: settings.address.tls,
        took,
        max_packet: ack.and_then(|ack| ack.properties.as_ref()?.max_packet_size),
        forgets_after: ack.and_then(|ack| terms::forgets_after(ack, SESSION_EXPIRY_S)),
    }
}

enum Trouble {
    /// Before it let us in; and whether another dialect may be the reason.
    Login((String, bool)),
    Other(String),
}

struct Visit<'a> {
    settings: &'a LinkSettings,
    client: AsyncClient,
    wire: Wire,
}

impl Visit<'_> {
    fn new(settings: &LinkSettings) -> Visit<'_> {
        let mut options = settings.options(false);
        // What comes for the unit is left to it.
        options.set_manual_acks(true);
        let (client, wire) = Wire::of_unit(Wire::new(settings, options, 4));
        Visit { settings, client, wire }
    }

    async fn pay(mut self) -> Result<ProbeReport, Trouble> {
        let start = Instant::now();
        let ack = loop {
            match self.wire.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(ack))) => break ack,
                Ok(_) => {}
                Err(e) => return Err(Trouble::Login((words::login(&e), dialect::may_be_the_reason(&e)))),
            }
        };
        let found = report(self.settings, start.elapsed(), Some(&ack));
        let topic = self.settings.topics.commands();
        let subscribed = self.may_listen(&topic).await;
        let published = match &subscribed {
            Ok(()) => self.may_speak().await,
            Err(_) => Ok(()),
        };
        // A session that was there before is the unit's, and so is its subscription.
        let may_leave = ack.session_present || self.client.try_unsubscribe(topic).is_ok();
        if may_leave && self.client.try_disconnect().is_ok() {
            while !matches!(self.wire.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
        }
        subscribed.and(published).map(|()| found)
    }

    async fn next(&mut self) -> Result<Event, Trouble> {
        self.wire.poll().await.map_err(|e| Trouble::Other(words::connection(&e)))
    }

    async fn may_listen(&mut self, topic: &str) -> Result<(), Trouble> {
        let mut filter = Filter::new(topic, QoS::AtLeastOnce);
        filter.retain_forward_rule = RetainForwardRule::Never;
        self.client.try_subscribe_many([filter]).map_err(|e| Trouble::Other(e.to_string()))?;
        loop {
            if let Event::Incoming(Incoming::SubAck(ack)) = self.next().await? {
                return words::subscription_refusal(&ack.return_codes).map_or(Ok(()), |why| Err(Trouble::Other(why)));
            }
        }
    }

    /// Publishes what everybody passes over: an answer to a question that nobody asked.
    async fn may_speak(&mut self) -> Result<(), Trouble> {
        let topic = self.settings.topics.reply("check");
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, false, "{}");
        sent.map_err(|e| Trouble::Other(e.to_string()))?;
        loop {
            if let Event::Incoming(Incoming::PubAck(ack)) = self.next().await? {
                return match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                    refusal => Err(Trouble::Other(words::event_refusal(refusal))),
                };
            }
        }
    }
}
