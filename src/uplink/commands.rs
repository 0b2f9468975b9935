//! Commands in, replies out; docs/reference/commands.md describes them.
//!
//! What needs no signature is done here. What is signed is checked here, handed to
//! the thread that carries it out, and answered when that has an answer; the link
//! never waits for it. A payload that comes twice (QoS 1 repeats) is done once and
//! gets the same reply again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish, RetainForwardRule};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::allowance::{Allowance, Asker};
use super::doubt::Kind;
use super::link::{Link, Sent};
use super::messages::publish_packet_size;
use super::resend::Resend;
use super::streams::Streams;
use crate::control::{
    Answering, Command, CounterFile, Counters, Done, Due, FileHead, Judgement, LARGEST, NOTES, Order, Reason, Refusal,
    Reply, Signed, Unreadable, What, parse,
};
use crate::domain::UtcMillis;
use crate::event::LogId;
use crate::journal::JournalReader;

/// Payloads remembered: repeats come right after a connection was lost.
const REMEMBERED: usize = 64;

/// Orders that are not answered yet.
const ORDERS: usize = 8;

/// A payload's SHA-256.
type Hash = [u8; 32];

/// What is told of a command that is done.
#[derive(Debug, Default)]
struct Told {
    range: Option<(u64, u64)>,
    without: Option<Vec<(u64, u64)>>,
    until: Option<UtcMillis>,
    file: Option<FileHead>,
    repeated: bool,
}

type Outcome = Result<Told, Refusal>;

/// A command that was done, or is being done while there is no reply.
#[derive(Debug)]
struct Known {
    hash: Hash,
    id: String,
    reply: Option<String>,
}

/// An order that is being carried out.
#[derive(Debug)]
struct Pending {
    hash: Hash,
    id: String,
    n: u64,
    what: Option<What>,
    answer: oneshot::Receiver<Result<Done, Refusal>>,
}

/// What the link remembers of commands.
#[derive(Debug)]
pub(super) struct Commands {
    known: VecDeque<Known>,
    pending: VecDeque<Pending>,
    /// Read from the journal when they are needed.
    counters: Option<Counters>,
    answered: Arc<Notify>,
    replies: Allowance,
    pub resend: Option<Resend>,
    pub streams: Streams,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            known: VecDeque::new(),
            pending: VecDeque::new(),
            counters: None,
            answered: Arc::default(),
            replies: Allowance::new(Instant::now()),
            resend: None,
            streams: Streams::default(),
        }
    }
}

impl Commands {
    /// Resolves when an order is answered.
    pub async fn answered(&self) {
        self.answered.notified().await;
    }

    fn known(&mut self, hash: &Hash) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.hash == *hash)
    }

    fn remember(&mut self, hash: Hash, id: &str) {
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(Known { hash, id: id.to_owned(), reply: None });
    }

    /// A resent event was acknowledged, or refused.
    pub fn resent(&mut self) {
        if self.resend.as_mut().is_some_and(Resend::answered) {
            self.resend = None;
        }
    }

    /// A resent event was under way when the connection was lost.
    pub fn interrupted(&mut self, seq: u64) {
        if let Some(resend) = &mut self.resend {
            resend.interrupted(seq);
        }
    }

    /// The journal is another one.
    pub fn forget(&mut self) {
        self.resend = None;
        self.counters = None;
    }
}

impl Link {
    /// After each connection: a broker may have forgotten the session. Messages
    /// that the broker keeps are not asked for, and those that it was asked to
    /// keep are told apart.
    pub(super) fn subscribe_commands(&mut self, client: &AsyncClient) {
        if !self.announce {
            return;
        }
        let mut filter = Filter::new(self.settings.topics.commands(), QoS::AtLeastOnce);
        filter.preserve_retain = true;
        filter.retain_forward_rule = RetainForwardRule::Never;
        if client.try_subscribe_many([filter]).is_err() {
            return debug!("no place to subscribe to commands");
        }
        self.asked_for(Kind::Commands);
    }

    /// A message came on the unit's own topic.
    pub(super) fn command(&mut self, publish: &Publish, client: &AsyncClient) {
        if publish.topic != self.settings.topics.commands().as_bytes() {
            return;
        }
        self.status.commands.fetch_add(1, Relaxed);
        if publish.payload.len() > LARGEST {
            self.status.commands_refused.fetch_add(1, Relaxed);
            return;
        }
        let hash: Hash = Sha256::digest(&publish.payload).into();
        if let Some(known) = self.commands.known(&hash) {
            if let (id, Some(reply)) = (known.id.clone(), known.reply.clone()) {
                self.send_reply((&id, Asker::Anybody), reply, client);
            }
            return;
        }
        let command = match parse(&publish.payload) {
            Ok(command) => command,
            Err(Unreadable::Nothing) => {
                self.status.commands_refused.fetch_add(1, Relaxed);
                return;
            }
            Err(Unreadable::Refused { id, refusal }) => return self.refuse(&id, None, refusal, client),
        };
        match command {
            Command::Open { id, .. } | Command::Signed(Signed { id, .. }) if publish.retain => {
                let why = "the broker was asked to keep this command; publish it without 'retain'";
                self.refuse(&id, None, Refusal::new(Reason::Retained, why), client);
            }
            Command::Open { id, what } => {
                self.commands.remember(hash, &id);
                let outcome = self.act(&what);
                self.reply(hash, ((&id, None), Asker::Anybody), outcome, client);
            }
            Command::Signed(signed) => self.order(hash, signed, client),
        }
    }

    /// Does what the link itself can do.
    fn act(&mut self, what: &What) -> Outcome {
        match what {
            What::Resend { log, from, to } => {
                let range = self.begin_resend(log.as_deref(), *from, *to)?;
                Ok(Told { range: Some(range), without: self.without(range), ..Told::default() })
            }
            What::Ping | What::Pause { .. } | What::Resume | What::Still(_) | What::Clip { .. } => Ok(Told::default()),
        }
    }

    /// Checks a signed command and hands it on.
    fn order(&mut self, hash: Hash, signed: Signed, client: &AsyncClient) {
        let by = match signed.check(self.settings.topics.base(), &self.settings.operators) {
            Ok(operator) => operator.name.clone(),
            Err(refusal) => return self.refuse(&signed.id, None, refusal, client),
        };
        match self.hand_on(hash, &signed, by) {
            Ok(Judgement::New) => self.commands.remember(hash, &signed.id),
            Ok(Judgement::Repeated) => {
                self.commands.remember(hash, &signed.id);
                let told = Told { repeated: true, ..Told::default() };
                self.reply(hash, ((&signed.id, Some(signed.n)), Asker::Anybody), Ok(told), client);
            }
            Ok(Judgement::Old) => {
                let refusal = Refusal::new(Reason::Replayed, "it was done before, or one that was signed later was");
                self.refuse(&signed.id, Some(signed.n), refusal, client);
            }
            Err(refusal) => self.refuse(&signed.id, Some(signed.n), refusal, client),
        }
    }

    /// To the thread that carries it out, if it is new.
    fn hand_on(&mut self, hash: Hash, signed: &Signed, by: String) -> Result<Judgement, Refusal> {
        if signed.log != self.log.0 {
            return Err(Refusal::new(Reason::Journal, format!("the journal is {}", self.log)));
        }
        let busy = || Refusal::new(Reason::Busy, "busy with other commands");
        let Some(orders) = self.settings.orders.clone() else {
            return Err(Refusal::new(Reason::Failed, "nobody here takes orders"));
        };
        if self.commands.counters.is_none() {
            self.commands.counters = self.read_counters();
        }
        let Some(counters) = &mut self.commands.counters else {
            return Err(Refusal::new(Reason::Failed, "the journal cannot be read"));
        };
        let judgement = counters.judge(signed);
        if judgement != Judgement::New {
            return Ok(judgement);
        }
        let due = match signed.due(self.settings.accept_v1, &self.settings.clock.read()) {
            Due::Now => Ok(()),
            Due::TooLate(refusal) => Err(refusal),
            Due::Not(refusal) => return Err(refusal),
        };
        if self.commands.pending.len() + self.commands.streams.len() >= ORDERS || orders.is_full() {
            return Err(busy());
        }
        let Some(note) = counters.accept(signed) else { return Ok(Judgement::Old) };
        let (answer, receiver) = Answering::new(Arc::clone(&self.commands.answered));
        let what = due.and_then(|()| What::read(&signed.text));
        let pending = Pending { hash, id: signed.id.clone(), n: signed.n, what: what.clone().ok(), answer: receiver };
        // Nobody else hands orders over: there was room.
        orders.try_send(Order { what, by, note, answer }).map_err(|_| busy())?;
        self.commands.pending.push_back(pending);
        Ok(Judgement::New)
    }

    fn read_counters(&self) -> Option<Counters> {
        let notes = JournalReader::open(self.journal.path()).and_then(|reader| reader.notes(NOTES));
        match notes {
            Ok(notes) => Counters::load(notes).map(|mut counters| {
                counters.raise(CounterFile::beside(self.journal.path()).read());
                counters
            }),
            Err(e) => {
                warn!("signed commands are refused: {e}");
                None
            }
        }
    }

    /// Answers the orders that were carried out. A picture takes its time; what was
    /// ordered after it need not wait.
    pub(super) fn answer_orders(&mut self, client: &AsyncClient) {
        for mut pending in std::mem::take(&mut self.commands.pending) {
            match pending.answer.try_recv() {
                Ok(outcome) => self.answer_order(pending, outcome, client),
                Err(oneshot::error::TryRecvError::Empty) => self.commands.pending.push_back(pending),
                Err(oneshot::error::TryRecvError::Closed) => {
                    let refusal = Refusal::new(Reason::Failed, "the unit is stopping");
                    self.answer_order(pending, Err(refusal), client);
                }
            }
        }
    }

    fn answer_order(&mut self, pending: Pending, outcome: Result<Done, Refusal>, client: &AsyncClient) {
        let Pending { hash, id, n, what, .. } = pending;
        let mut file = None;
        let outcome = outcome.and_then(|done| {
            let told = what.map_or(Ok(Told::default()), |what| self.act(&what))?;
            file = done.file;
            Ok(Told { until: done.until, file: file.as_ref().map(|file| file.head().clone()), ..told })
        });
        self.reply(hash, ((&id, Some(n)), Asker::Operator), outcome, client);
        if let Some(file) = file {
            self.commands.streams.add(id, file);
        }
    }

    /// Whether an order is not answered yet, or not to its end, and can be.
    pub(super) fn owes_answers(&self) -> bool {
        !self.commands.pending.is_empty() || (self.commands.streams.len() > 0 && self.budget.is_left())
    }

    fn refuse(&mut self, id: &str, n: Option<u64>, refusal: Refusal, client: &AsyncClient) {
        self.status.commands_refused.fetch_add(1, Relaxed);
        let text = self.text((id, n), &Err(refusal));
        self.send_reply((id, Asker::Anybody), text, client);
    }

    /// Answers a command that is remembered.
    fn reply(
        &mut self,
        hash: Hash,
        ((id, n), asker): ((&str, Option<u64>), Asker),
        outcome: Outcome,
        client: &AsyncClient,
    ) {
        if outcome.is_err() {
            self.status.commands_refused.fetch_add(1, Relaxed);
        }
        let text = self.text((id, n), &outcome);
        if let Some(known) = self.commands.known(&hash) {
            known.reply = Some(text.clone());
        }
        self.send_reply((id, asker), text, client);
    }

    fn text(&self, (id, n): (&str, Option<u64>), outcome: &Outcome) -> String {
        // `low` first: it must not be newer than `seq`.
        let low = self.journal.status().low();
        let LogId(log) = &self.log;
        let (told, refusal) = (outcome.as_ref().ok(), outcome.as_ref().err());
        let reply = Reply {
            id,
            ok: told.is_some(),
            n,
            log,
            seq: self.journal.status().last_seq(),
            low,
            from: told.and_then(|told| told.range).map(|range| range.0),
            to: told.and_then(|told| told.range).map(|range| range.1),
            without: told.and_then(|told| told.without.as_deref()),
            until: told.and_then(|told| told.until),
            file: told.and_then(|told| told.file.as_ref()),
            repeated: told.is_some_and(|told| told.repeated),
            refused: refusal.map(|refusal| refusal.reason),
            why: refusal.map(|refusal| refusal.why.as_str()),
        };
        reply.to_json()
    }

    /// The one place where replies are sent, of whatever kind: as many as the allowance
    /// and the day's bytes let through. Who asked in vain, asks again.
    fn send_reply(&mut self, (id, asker): (&str, Asker), text: String, client: &AsyncClient) {
        let now = Instant::now();
        self.budget.time(self.utc(), now);
        let affordable = match asker {
            Asker::Anybody => self.budget.is_left_for_anybody(),
            Asker::Operator => self.budget.is_left(),
        };
        // The window leaves a few packet ids to what is no event.
        if !affordable || !self.may_say(Kind::Reply, now) || !self.commands.replies.take(asker, now) {
            self.status.replies_withheld.fetch_add(1, Relaxed);
            return;
        }
        let topic = self.settings.topics.reply(id);
        let size = publish_packet_size(&topic, text.len());
        if client.try_publish(topic, QoS::AtLeastOnce, false, text).is_ok() {
            self.handed_over(Sent::Reply, size);
            if asker == Asker::Anybody {
                self.budget.answered_anybody(size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_command_is_known_for_a_while() {
        let mut commands = Commands::default();
        let hash = |n: usize| [n as u8; 32];
        for i in 0..=REMEMBERED {
            assert!(commands.known(&hash(i)).is_none());
            commands.remember(hash(i), "id");
            assert!(commands.known(&hash(i)).is_some());
        }
        assert!(commands.known(&hash(0)).is_none() && commands.known.len() == REMEMBERED);
    }
}
