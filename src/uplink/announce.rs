//! Telling Home Assistant about the unit, and taking it back.
//!
//! The broker keeps the message (`home_assistant.rs`). It is sent when it may not be
//! there: in the first connection, in each that the broker begins anew, and when
//! Home Assistant says that it has started. Before it is sent the journal notes
//! its topic; a unit whose option is switched off, or whose name has changed, finds
//! the note and has the broker forget the message (an empty one takes its place).
//! The note goes when the broker has acknowledged that.

use std::collections::BTreeSet;
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, PubAckReason, Publish, RetainForwardRule};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::doubt::Kind;
use super::home_assistant::Discovery;
use super::link::{JOURNAL_RETRY, Link, Sent};
use super::messages::publish_packet_size;
use crate::config::Config;
use crate::domain::jitter;
use crate::journal::{JournalReader, Note};

/// The journal's notes of topics, each with one of these behind it.
const NOTES: &str = "home_assistant/";

/// What Home Assistant says when it has started.
const BIRTH: &[u8] = b"online";

/// Units do not all answer it at once.
const BIRTH_DELAY: Duration = Duration::from_secs(3);

/// Whoever may write that topic makes the unit send no more often than this.
const BIRTH_PAUSE: Duration = Duration::from_secs(30);

/// When the day's bytes are used up, it is looked again so much later.
const BUDGET_RETRY: Duration = Duration::from_secs(600);

/// What goes to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// The message.
    Here,
    /// An empty one, in place of the one with this topic.
    Gone(String),
}

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `None`: nothing, and what there is has to go.
    pub discovery: Option<Discovery>,
    /// Where Home Assistant says that it has started.
    pub birth_topic: String,
}

impl Wanted {
    pub fn of(config: &Config) -> Wanted {
        let birth_topic = config.uplink.home_assistant.birth_topic.clone();
        Wanted { discovery: Discovery::new(config), birth_topic }
    }
}

/// What is known, and what is due. Pure: the time is passed in.
#[derive(Debug)]
pub(super) struct Announcer {
    wanted: Wanted,
    /// Topics under which the broker may keep something.
    noted: BTreeSet<String>,
    /// Acknowledged since the start of the program.
    known: bool,
    /// When the message has to be sent.
    due: Option<Instant>,
    /// What has to go, and from when on.
    going: BTreeSet<String>,
    going_from: Option<Instant>,
    /// Not again because of Home Assistant's start before it.
    not_before: Option<Instant>,
}

impl Announcer {
    pub fn new(wanted: Wanted) -> Announcer {
        Announcer {
            wanted,
            noted: BTreeSet::new(),
            known: false,
            due: None,
            going: BTreeSet::new(),
            going_from: None,
            not_before: None,
        }
    }

    fn topic(&self) -> Option<&str> {
        self.wanted.discovery.as_ref().map(|discovery| discovery.topic.as_str())
    }

    /// A connection was made, in a session that the broker had or in a `new` one.
    /// The journal's notes name the topics `noted`.
    fn connected(&mut self, noted: BTreeSet<String>, new: bool, now: Instant) {
        self.going = noted.iter().filter(|topic| Some(topic.as_str()) != self.topic()).cloned().collect();
        self.going_from = (!self.going.is_empty()).then_some(now);
        self.noted = noted;
        let wanted = self.wanted.discovery.is_some() && (new || !self.known);
        self.due = wanted.then_some(now);
    }

    /// Home Assistant has started; `random` from 0 to 1.
    fn heard_birth(&mut self, random: f64, now: Instant) {
        if self.wanted.discovery.is_none() || self.due.is_some() {
            return;
        }
        let at = self.not_before.map_or(now, |at| at.max(now)) + BIRTH_DELAY.mul_f64(random.clamp(0.0, 1.0));
        self.not_before = Some(at + BIRTH_PAUSE);
        self.due = Some(at);
    }

    /// What is due at `now`; it is due no more.
    fn next(&mut self, now: Instant) -> Option<Word> {
        if self.going_from.is_some_and(|from| now >= from)
            && let Some(topic) = self.going.pop_first()
        {
            self.going_from = self.going_from.filter(|_| !self.going.is_empty());
            return Some(Word::Gone(topic));
        }
        if self.due.is_some_and(|due| now >= due) {
            self.due = None;
            return Some(Word::Here);
        }
        None
    }

    /// It could not be sent now.
    fn later(&mut self, word: Word, at: Instant) {
        match word {
            Word::Here => self.due = Some(at),
            Word::Gone(topic) => {
                self.going.insert(topic);
                self.going_from = Some(at);
            }
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        [self.due, self.going_from].into_iter().flatten().min()
    }

    /// What was under way was lost with the connection; the next one begins anew.
    pub fn came_back(&mut self) {
        self.known = false;
    }

    /// The journal is another one, without notes.
    pub fn forget(&mut self) {
        self.noted.clear();
        self.known = false;
    }
}

impl Link {
    /// After each connection.
    pub(super) fn connect_home_assistant(&mut self, new: bool, client: &AsyncClient) {
        if !self.announce {
            return;
        }
        let notes = JournalReader::open(self.journal.path()).and_then(|reader| reader.notes(NOTES));
        let noted: BTreeSet<String> = match notes {
            Ok(notes) => notes.iter().filter_map(|(key, _)| key.strip_prefix(NOTES)).map(str::to_owned).collect(),
            Err(e) => {
                debug!("cannot read what Home Assistant was told: {e}");
                BTreeSet::new()
            }
        };
        let topic = self.home_assistant.wanted.birth_topic.clone();
        let mut asks = true;
        let asked = if self.home_assistant.wanted.discovery.is_some() {
            let mut filter = Filter::new(topic, QoS::AtLeastOnce);
            // The discovery message is kept too: a start of long ago needs no answer.
            filter.retain_forward_rule = RetainForwardRule::Never;
            client.try_subscribe_many([filter])
        } else if noted.is_empty() {
            asks = false;
            Ok(())
        } else {
            client.try_unsubscribe(topic)
        };
        if asked.is_err() {
            debug!("no place to subscribe to Home Assistant's status");
        } else if asks {
            self.asked_for(Kind::HomeAssistant);
        }
        self.home_assistant.connected(noted, new, Instant::now());
    }

    /// Whether a message was Home Assistant's.
    pub(super) fn is_home_assistant(&mut self, publish: &Publish) -> bool {
        let announcer = &mut self.home_assistant;
        let is = announcer.wanted.discovery.is_some() && publish.topic == announcer.wanted.birth_topic.as_bytes();
        if is && publish.payload[..] == *BIRTH {
            announcer.heard_birth(jitter(), Instant::now());
        }
        is
    }

    /// Sends what is due.
    pub(super) fn tell_home_assistant(&mut self, client: &AsyncClient, now: Instant) {
        while self.may_say(Kind::HomeAssistant, now) {
            let Some(word) = self.home_assistant.next(now) else { return };
            if !self.budget.is_left() {
                return self.home_assistant.later(word, now + BUDGET_RETRY);
            }
            if !self.tell(&word, client) {
                return self.home_assistant.later(word, now + JOURNAL_RETRY);
            }
        }
    }

    /// Whether it was handed over, or never can be.
    fn tell(&mut self, word: &Word, client: &AsyncClient) -> bool {
        let (topic, payload) = match (word, &self.home_assistant.wanted.discovery) {
            (Word::Gone(topic), _) => (topic.clone(), String::new()),
            (Word::Here, Some(discovery)) => (discovery.topic.clone(), discovery.payload.clone()),
            (Word::Here, None) => return true,
        };
        let size = publish_packet_size(&topic, payload.len());
        let room = self.unwanted.room(Instant::now());
        if size > room {
            // In the next session it is tried again.
            warn!("the message for Home Assistant ({size} bytes) is too large for the broker ({room})");
            return true;
        }
        if *word == Word::Here && !self.note_topic(&topic, Some(String::new())) {
            return false;
        }
        if client.try_publish(topic, QoS::AtLeastOnce, true, payload).is_err() {
            return false;
        }
        self.handed_over(Sent::HomeAssistant(word.clone()), size);
        true
    }

    /// Notes that the broker may keep something under `topic`, or that it does not.
    fn note_topic(&mut self, topic: &str, value: Option<String>) -> bool {
        let noted = &mut self.home_assistant.noted;
        if value.is_some() == noted.contains(topic) {
            return true;
        }
        let note = Note { key: format!("{NOTES}{topic}"), value };
        let is_there = note.value.is_some();
        if !self.journal.try_note(note) {
            return false;
        }
        if is_there {
            noted.insert(topic.to_owned());
        } else {
            noted.remove(topic);
        }
        true
    }

    /// The broker answered for it.
    pub(super) fn home_assistant_answered(&mut self, word: Word, reason: PubAckReason) {
        let accepted = matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
        match word {
            Word::Here if accepted => self.home_assistant.known = true,
            Word::Here => warn!(
                "the broker does not take the message for Home Assistant ({reason:?}); its rules must let the unit \
                 write {}",
                self.home_assistant.topic().unwrap_or_default()
            ),
            Word::Gone(topic) if accepted => {
                info!("the broker has forgotten {topic}; Home Assistant removes what it had from it");
                // Otherwise it is done once more in the next connection.
                self.note_topic(&topic, None);
            }
            Word::Gone(topic) => {
                warn!("the broker does not let the unit remove {topic} ({reason:?}); remove it there")
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOPIC: &str = "homeassistant/device/tawny_gate/config";

    fn announcer(on: bool) -> Announcer {
        let discovery = Discovery { topic: TOPIC.into(), payload: "{}".into() };
        Announcer::new(Wanted { discovery: on.then_some(discovery), birth_topic: "homeassistant/status".into() })
    }

    fn topics(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn it_is_told_once_per_session_of_the_broker() {
        let (mut announcer, now) = (announcer(true), Instant::now());
        announcer.connected(topics(&[]), false, now);
        assert_eq!((announcer.next(now), announcer.next(now), announcer.due()), (Some(Word::Here), None, None));
        announcer.known = true;
        announcer.connected(topics(&[TOPIC]), false, now);
        assert_eq!(announcer.next(now), None);
        announcer.connected(topics(&[TOPIC]), true, now);
        assert_eq!(announcer.next(now), Some(Word::Here));
        announcer.came_back();
        announcer.connected(topics(&[TOPIC]), false, now);
        assert_eq!(announcer.next(now), Some(Word::Here));
    }

    #[test]
    fn a_flood_of_starts_is_not_answered_by_a_flood() {
        let (mut announcer, now) = (announcer(true), Instant::now());
        let mut told = 0;
        for ms in 0..60_000 {
            let now = now + Duration::from_millis(ms);
            announcer.heard_birth(0.5, now);
            told += usize::from(announcer.next(now).is_some());
        }
        assert!((1..=2).contains(&told), "{told}");
        announcer.heard_birth(1.0, now + Duration::from_secs(120));
        assert!(announcer.due() <= Some(now + Duration::from_secs(123)), "a flood leaves nothing behind");
        let mut off = super::tests::announcer(false);
        off.heard_birth(0.0, now);
        assert_eq!((off.next(now), off.due()), (None, None));
    }

    #[test]
    fn what_is_not_wanted_any_more_goes_and_may_have_to_wait() {
        let (mut announcer, now) = (announcer(true), Instant::now());
        announcer.connected(topics(&["old", TOPIC]), false, now);
        let old = Word::Gone("old".into());
        assert_eq!(announcer.next(now), Some(old.clone()));
        announcer.later(old.clone(), now + JOURNAL_RETRY);
        assert_eq!(announcer.next(now), Some(Word::Here));
        assert_eq!((announcer.next(now), announcer.due()), (None, Some(now + JOURNAL_RETRY)));
        assert_eq!(announcer.next(now + JOURNAL_RETRY), Some(old));
        assert_eq!(announcer.due(), None);

        let mut off = super::tests::announcer(false);
        off.connected(topics(&[TOPIC]), true, now);
        assert_eq!((off.next(now), off.next(now)), (Some(Word::Gone(TOPIC.into())), None));
    }
}
