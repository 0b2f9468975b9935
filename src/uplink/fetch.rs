//! The operator's side of a file: asks a unit for it, takes in the pieces, and asks for
//! the rest when the connection breaks on the way.
//!
//! Each request is a command of its own with an id of its own, so that pieces of an
//! earlier answer are not taken for this one's.

use std::io;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::ask::{AskError, STATUS_PATIENCE, Standing};
use super::assembly::{Announced, Assembly, Begin, Piece};
use super::messages::{Topics, expiring};
use super::settings::LinkSettings;
use super::wire::Wire;
use super::words;

/// Between an attempt that failed and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// A unit that comes back has this long to answer what was asked before.
const BACK_PATIENCE: Duration = Duration::from_secs(5);

/// Longest explanation that is shown, in characters.
const LONGEST_WHY: usize = 300;

/// What is fetched from whom.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// The unit's id.
    pub unit: &'a str,
    /// How long nothing may arrive.
    pub patience: Duration,
    /// How long each request holds: the broker need not keep it for longer.
    pub holds: Duration,
}

/// A request to be written.
#[derive(Debug)]
pub struct Request<'a> {
    /// The command's id.
    pub id: &'a str,
    /// What the unit says of itself.
    pub standing: &'a Standing,
    /// Bytes that are there already.
    pub from: u64,
}

/// Whoever gets the file.
pub trait Recipient {
    /// Writes a request; gives its payload and its counter.
    ///
    /// # Errors
    /// When it cannot be written, in plain words.
    fn write(&mut self, request: &Request<'_>) -> Result<(String, u64), String>;

    /// The unit is not there at present.
    fn away(&mut self, state: &str);

    /// The next bytes; `have` of `bytes` are there with them.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn take(&mut self, new: &[u8], have: u64, bytes: u64) -> io::Result<()>;

    /// What came so far is of no use: another file begins.
    ///
    /// # Errors
    /// When it cannot be thrown away.
    fn begin_anew(&mut self) -> io::Result<()>;
}

/// Why an attempt came to nothing.
enum Stopped {
    /// Another one may do better.
    Again(AskError),
    /// No other one will.
    ForGood(AskError),
}

/// Fetches a file; all of it has come, and it is what the unit announced.
///
/// # Errors
/// [`AskError`].
pub fn fetch(settings: &LinkSettings, errand: Errand<'_>, recipient: &mut dyn Recipient) -> Result<(), AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::System)?;
    let outcome = runtime.block_on(async {
        let topics = Topics::new(settings.topics.prefix(), errand.unit);
        let progress = Instant::now();
        Fetching { settings, errand, topics, recipient, assembly: Assembly::default(), progress, asked: false }
            .run()
            .await
    });
    // A name resolution that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}

struct Fetching<'a> {
    settings: &'a LinkSettings,
    errand: Errand<'a>,
    topics: Topics,
    recipient: &'a mut dyn Recipient,
    assembly: Assembly,
    /// When something arrived last.
    progress: Instant,
    /// A request was sent.
    asked: bool,
}

impl Fetching<'_> {
    async fn run(&mut self) -> Result<(), AskError> {
        let mut first = true;
        loop {
            let random = getrandom::u64().map_err(|e| AskError::Unwritten(e.to_string()))?;
            let id = format!("fetch-{random:016x}");
            let (client, events) = Wire::new(self.settings, self.settings.options(true), 8);
            let attempt = Attempt { fetching: &mut *self, id: &id, client, events, first, answered: false };
            match attempt.run().await {
                Ok(()) => return Ok(()),
                Err(Stopped::ForGood(e)) => return Err(e),
                // Where nothing could even be asked, that is told at once.
                Err(Stopped::Again(e)) if !self.asked => return Err(e),
                Err(Stopped::Again(e)) if Instant::now() + PAUSE >= self.deadline() => return Err(e),
                Err(Stopped::Again(_)) => sleep(PAUSE).await,
            }
            first = false;
        }
    }

    fn deadline(&self) -> Instant {
        self.progress + self.errand.patience
    }

    fn trouble(&self, why: String) -> AskError {
        AskError::Broker { broker: self.settings.address.to_string(), why }
    }
}

/// What matters of a reply.
#[derive(Deserialize)]
struct Reply {
    ok: bool,
    n: Option<u64>,
    file: Option<Announced>,
    #[serde(default)]
    repeated: bool,
    refused: Option<String>,
    why: Option<String>,
}

/// One connection and one request.
struct Attempt<'f, 'a> {
    fetching: &'f mut Fetching<'a>,
    id: &'f str,
    client: AsyncClient,
    events: Wire,
    first: bool,
    /// The reply has come.
    answered: bool,
}

impl Attempt<'_, '_> {
    async fn run(mut self) -> Result<(), Stopped> {
        self.subscribe().await?;
        let standing = self.standing().await?;
        let request = Request { id: self.id, standing: &standing, from: self.fetching.assembly.have() };
        let written = self.fetching.recipient.write(&request);
        let (payload, n) = written.map_err(|why| Stopped::ForGood(AskError::Unwritten(why)))?;
        let (topic, properties) = (self.fetching.topics.commands(), expiring(self.fetching.errand.holds));
        self.client
            .try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .map_err(|e| Stopped::Again(self.fetching.trouble(e.to_string())))?;
        self.fetching.asked = true;
        self.receive(n).await
    }

    /// What comes next, until `deadline`.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Event>, Stopped> {
        match timeout_at(deadline, self.events.poll()).await {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(e)) => Err(Stopped::Again(self.fetching.trouble(words::connection(&e)))),
            Err(_) => Ok(None),
        }
    }

    fn silence(&self) -> Stopped {
        Stopped::ForGood(AskError::Silence(self.fetching.errand.patience))
    }

    /// To the answer first, so that nothing of it can be missed.
    async fn subscribe(&mut self) -> Result<(), Stopped> {
        let topics = &self.fetching.topics;
        let filters = [topics.reply(self.id), topics.parts(self.id), topics.status()];
        loop {
            match self.next(self.fetching.deadline()).await? {
                Some(Event::Incoming(Incoming::ConnAck(_))) => {
                    let filters = filters.iter().map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
                    let asked = self.client.try_subscribe_many(filters);
                    asked.map_err(|e| Stopped::Again(self.fetching.trouble(e.to_string())))?;
                }
                Some(Event::Incoming(Incoming::SubAck(ack))) => {
                    // Nothing else subscribes here.
                    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                    return match ack.return_codes.iter().all(granted) {
                        true => Ok(()),
                        false => Err(Stopped::ForGood(AskError::Forbidden("read the unit's replies"))),
                    };
                }
                Some(_) => {}
                None => return Err(self.silence()),
            }
        }
    }

    /// What the unit says of itself. The first request may wait for a unit that is
    /// away; a further one would only be one more that waits.
    async fn standing(&mut self) -> Result<Standing, Stopped> {
        let known_by = Instant::now() + STATUS_PATIENCE;
        let topic = self.fetching.topics.status();
        let mut known = false;
        loop {
            // A broker that was started again knows nobody until the unit is back.
            let patient = known || !self.first;
            let deadline = self.fetching.deadline();
            let deadline = if patient { deadline } else { deadline.min(known_by) };
            match self.next(deadline).await? {
                Some(Event::Incoming(Incoming::Publish(publish))) => {
                    let Some(standing) = read::<Standing>(&publish, &topic) else { continue };
                    if standing.state == "online" {
                        return Ok(standing);
                    }
                    if !std::mem::replace(&mut known, true) {
                        self.fetching.recipient.away(&standing.state);
                    }
                    if self.first {
                        return Ok(standing);
                    }
                }
                Some(_) => {}
                None if patient => return Err(self.silence()),
                None => {
                    return Err(Stopped::ForGood(AskError::Unknown(self.fetching.errand.unit.to_owned())));
                }
            }
        }
    }

    /// The reply and the pieces behind it.
    async fn receive(&mut self, n: u64) -> Result<(), Stopped> {
        let (reply, status) = (self.fetching.topics.reply(self.id), self.fetching.topics.status());
        let parts = self.fetching.topics.parts(self.id);
        let parts = parts.trim_end_matches('+');
        let (began, step) = (Instant::now(), self.fetching.errand.patience / 3);
        // The unit has come back, and has this long to answer.
        let mut back: Option<Instant> = None;
        while self.fetching.assembly.verdict().is_none() || !self.answered {
            // What was under way and stops is asked for again; a unit that is away is not.
            let quiet = (self.answered || !self.first).then(|| self.fetching.progress.max(began) + step);
            let deadline = [back, quiet].into_iter().flatten().min();
            let deadline = deadline.map_or(self.fetching.deadline(), |at| at.min(self.fetching.deadline()));
            match self.next(deadline).await? {
                Some(Event::Incoming(Incoming::Publish(publish))) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    if topic == reply {
                        self.announced(&publish, n)?;
                        back = None;
                    } else if let Some(offset) = topic.strip_prefix(parts).and_then(|offset| offset.parse().ok()) {
                        self.piece(offset, &publish.payload)?;
                    } else if read::<Standing>(&publish, &status).is_some_and(|standing| standing.state == "online") {
                        // Nothing more comes of what it was sending.
                        let patience = if self.answered { Duration::ZERO } else { BACK_PATIENCE };
                        back = Some(Instant::now() + patience);
                    }
                }
                Some(Event::Incoming(Incoming::PubAck(ack))) => self.acknowledged(ack.reason)?,
                Some(_) => {}
                None => return Err(Stopped::Again(AskError::Silence(self.fetching.errand.patience))),
            }
        }
        match self.fetching.assembly.verdict() {
            Some(true) => Ok(()),
            _ => Err(Stopped::ForGood(AskError::Damaged)),
        }
    }

    fn acknowledged(&self, reason: PubAckReason) -> Result<(), Stopped> {
        match reason {
            PubAckReason::NotAuthorized => Err(Stopped::ForGood(AskError::Forbidden("command the unit"))),
            PubAckReason::NoMatchingSubscribers => {
                let e = AskError::Nobody(self.fetching.errand.unit.to_owned());
                Err(if self.first { Stopped::ForGood(e) } else { Stopped::Again(e) })
            }
            _ => Ok(()),
        }
    }

    /// The reply.
    fn announced(&mut self, publish: &Publish, n: u64) -> Result<(), Stopped> {
        let for_good = |e| Err(Stopped::ForGood(e));
        let Ok(reply) = serde_json::from_slice::<Reply>(&publish.payload) else {
            return for_good(AskError::Unwritten("the unit's reply makes no sense".to_owned()));
        };
        if !reply.ok {
            let reason = reply.refused.unwrap_or_default();
            if reason == "busy" && !self.first {
                // With what was asked before, perhaps.
                return Err(Stopped::Again(AskError::Silence(self.fetching.errand.patience)));
            }
            // What comes over the wire is not to be trusted on a terminal.
            let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(LONGEST_WHY).collect();
            return for_good(AskError::Refused { reason: plain(reason), why: plain(reply.why.unwrap_or_default()) });
        }
        if reply.n != Some(n) {
            return for_good(AskError::Unwritten("this is no answer to a signed command".to_owned()));
        }
        self.fetching.progress = Instant::now();
        let Some(announced) = reply.file else {
            // It was done, and the program was started again meanwhile; or it comes
            // from a unit that knows no files.
            let e = AskError::Unwritten("the unit announces no file".to_owned());
            return Err(if reply.repeated { Stopped::Again(e) } else { Stopped::ForGood(e) });
        };
        self.answered = true;
        let begin = self.fetching.assembly.announced(&announced);
        if matches!(begin, Begin::Anew | Begin::AskAgain) && self.fetching.assembly.have() == 0 {
            self.fetching.recipient.begin_anew().map_err(|e| Stopped::ForGood(AskError::Unwritten(e.to_string())))?;
        }
        match begin {
            Begin::GoesOn | Begin::Anew => Ok(()),
            Begin::AskAgain => Err(Stopped::Again(AskError::Damaged)),
            Begin::Nonsense => for_good(AskError::Unwritten("the unit announces what is no file".to_owned())),
        }
    }

    fn piece(&mut self, offset: u64, payload: &[u8]) -> Result<(), Stopped> {
        // None comes before the reply.
        if !self.answered {
            return Ok(());
        }
        let assembly = &mut self.fetching.assembly;
        match assembly.piece(offset, payload) {
            Piece::New(new) => {
                self.fetching.progress = Instant::now();
                let (have, bytes) = (assembly.have(), assembly.bytes().unwrap_or(0));
                let taken = self.fetching.recipient.take(new, have, bytes);
                taken.map_err(|e| Stopped::ForGood(AskError::Unwritten(e.to_string())))
            }
            Piece::Old => Ok(()),
            Piece::Gap => Err(Stopped::Again(AskError::Damaged)),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(publish: &Publish, topic: &str) -> Option<T> {
    let ours = publish.topic == topic.as_bytes();
    ours.then(|| serde_json::from_slice(&publish.payload).ok()).flatten()
}
