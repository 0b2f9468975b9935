//! One command to one unit, and its reply: for `tawny command`.

use std::io;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::messages::{Topics, expiring};
use super::settings::LinkSettings;
use super::wire::Wire;
use super::words;

/// How long the broker may take to hand out a unit's status: it keeps it.
pub(super) const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The unit's id.
    pub unit: &'a str,
    /// The command's.
    pub id: &'a str,
    /// For a signed command, how long it holds: the broker need not keep it for
    /// longer, and the unit's status has to be known before it is written.
    pub holds: Option<Duration>,
    /// How long the answer may take in all.
    pub patience: Duration,
}

/// What a unit says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// The id of its journal; whatever the broker says.
    pub log: String,
    /// The boot that it is in; whatever the broker says.
    #[serde(default)]
    pub boot: Option<String>,
    /// "online", "offline" or "asleep".
    pub state: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The broker does not do what it should.
    #[error("{broker}: {why}")]
    Broker {
        /// Its address.
        broker: String,
        /// In plain words.
        why: String,
    },
    /// The broker knows no such unit.
    #[error("the broker knows no unit {0} (or this login may not read its status)")]
    Unknown(String),
    /// The unit has never subscribed, or long ago.
    #[error("nobody takes commands for {0}: it was not connected for six hours, or its id is another")]
    Nobody(String),
    /// The login is not good enough.
    #[error("this login may not {0}")]
    Forbidden(&'static str),
    /// The command cannot be written.
    #[error("{0}")]
    Unwritten(String),
    /// It was sent, and there is no reply yet.
    #[error("no answer within {} s; the command may still be carried out", .0.as_secs_f32())]
    Silence(Duration),
    /// The unit says no.
    #[error("refused ({reason}): {why}")]
    Refused {
        /// In a word.
        reason: String,
        /// In plain words.
        why: String,
    },
    /// What has come of a file is not what the unit announced.
    #[error("what has come is not the file that the unit announced")]
    Damaged,
    /// The system gives no runtime.
    #[error("the connection cannot be made: {0}")]
    System(io::Error),
}

/// Sends one command, which `write` makes from what the unit says of itself, and
/// waits for the reply.
///
/// # Errors
/// [`AskError`].
pub fn ask(
    settings: &LinkSettings,
    question: &Question<'_>,
    write: impl FnMut(&Standing) -> Result<String, String>,
) -> Result<Value, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::System)?;
    let answer = runtime.block_on(async {
        let (client, events) = Wire::new(settings, settings.options(true), 8);
        let topics = Topics::new(settings.topics.prefix(), question.unit);
        let broker = settings.address.to_string();
        let mut asking = Asking { question, topics, broker, client, events, write };
        timeout(question.patience, asking.run()).await.unwrap_or(Err(AskError::Silence(question.patience)))
    });
    // A name resolution that hangs must not hold up the answer.
    runtime.shutdown_background();
    answer
}

struct Asking<'a, W> {
    question: &'a Question<'a>,
    topics: Topics,
    broker: String,
    client: AsyncClient,
    events: Wire,
    write: W,
}

impl<W: FnMut(&Standing) -> Result<String, String>> Asking<'_, W> {
    async fn run(&mut self) -> Result<Value, AskError> {
        self.subscribe().await?;
        let standing = match self.question.holds.is_some() {
            true => timeout(STATUS_PATIENCE, self.standing())
                .await
                .unwrap_or_else(|_| Err(AskError::Unknown(self.question.unit.to_owned())))?,
            false => Standing::default(),
        };
        let text = (self.write)(&standing).map_err(AskError::Unwritten)?;
        let topic = self.topics.commands();
        match self.question.holds.map(expiring) {
            Some(p) => self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, text, p),
            None => self.client.try_publish(topic, QoS::AtLeastOnce, false, text),
        }
        .map_err(|e| self.trouble(e.to_string()))?;
        self.reply().await
    }

    fn trouble(&self, why: String) -> AskError {
        AskError::Broker { broker: self.broker.clone(), why }
    }

    async fn next(&mut self) -> Result<Event, AskError> {
        self.events.poll().await.map_err(|e| self.trouble(words::connection(&e)))
    }

    /// To the reply first, so that it cannot be missed.
    async fn subscribe(&mut self) -> Result<(), AskError> {
        let filters = [self.topics.reply(self.question.id), self.topics.status()];
        loop {
            match self.next().await? {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    let filters = filters.iter().map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
                    self.client.try_subscribe_many(filters).map_err(|e| self.trouble(e.to_string()))?;
                }
                Event::Incoming(Incoming::SubAck(ack)) => {
                    // Nothing else subscribes here.
                    return match ack.return_codes.first() {
                        Some(SubscribeReasonCode::Success(_)) => Ok(()),
                        _ => Err(AskError::Forbidden("read the unit's replies")),
                    };
                }
                _ => {}
            }
        }
    }

    async fn standing(&mut self) -> Result<Standing, AskError> {
        loop {
            if let Event::Incoming(Incoming::Publish(publish)) = self.next().await?
                && let Some(standing) = self.read(&publish, &self.topics.status())
            {
                return Ok(standing);
            }
        }
    }

    async fn reply(&mut self) -> Result<Value, AskError> {
        let topic = self.topics.reply(self.question.id);
        loop {
            match self.next().await? {
                Event::Incoming(Incoming::Publish(publish)) => {
                    if let Some(reply) = self.read(&publish, &topic) {
                        return Ok(reply);
                    }
                }
                Event::Incoming(Incoming::PubAck(ack)) => match ack.reason {
                    PubAckReason::NotAuthorized => return Err(AskError::Forbidden("command the unit")),
                    PubAckReason::NoMatchingSubscribers => {
                        return Err(AskError::Nobody(self.question.unit.to_owned()));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, publish: &Publish, topic: &str) -> Option<T> {
        let ours = publish.topic == topic.as_bytes();
        ours.then(|| serde_json::from_slice(&publish.payload).ok()).flatten()
    }
}
