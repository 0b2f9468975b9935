//! The link itself: one task that fills the window (`outgoing.rs`) and polls the
//! client library, whose answers it takes in (`incoming.rs`).
//!
//! Life of an event here: read from the journal into a lane, [`Window`], PUBACK,
//! mark. When the broker has lost the session, what was in the window is
//! forgotten and read again; when it kept it, the library repeats the packets by
//! itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::alerts::Alerts;
use super::announce::{Announcer, Word};
use super::awake::Power;
use super::budget::Budget;
use super::commands::Commands;
use super::commits::Commits;
use super::connect::Wish;
use super::doubt::{Doubt, Kind};
use super::failures::{is_dismissal, library_is_confused};
use super::former::Former;
use super::handle::{HealthFeed, UplinkSetup};
use super::lanes::{Age, Lanes, Recent};
use super::liveness::Liveness;
use super::messages::{Presence, Status};
use super::outgoing::MARKS_LIMIT;
use super::pace::Pace;
use super::settings::LinkSettings;
use super::status::UplinkStatus;
use super::stills::Stills;
use super::unwanted::Unwanted;
use super::window::Window;
use super::wire::Wire;
use crate::clock::{Beat, boot_id};
use crate::domain::Backoff;
use crate::event::{Class, LogId};
use crate::evidence::StillKey;
use crate::journal::{JournalHandle, JournalReader, Mark};

/// Acknowledgements noted together, at most.
const MARKS_TOGETHER: usize = 64;

/// Places in the library's channel besides the window: status, health, goodbye.
const SPARE_PLACES: usize = 16;

/// Packet ids for messages that are no events, beside the window of those.
pub(super) const SPARE_IDS: usize = 4;

/// Between two attempts to read the journal or to note acknowledgements.
pub(super) const JOURNAL_RETRY: Duration = Duration::from_millis(500);

/// For each step of the goodbye: the commit of the last acknowledgements, the goodbye's
/// own, and the end of the connection.
pub(super) const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// At a stop, what of its time is not used for delivering, but for the first two steps.
const GOODBYE_RESERVE: Duration = Duration::from_secs(1);

/// A step is given so much even when the time is over.
const GOODBYE_LEAST: Duration = Duration::from_millis(100);

/// First and longest pause before the broker is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
pub(super) const RETRY_LAST: Duration = Duration::from_secs(30);

/// What `link_down` is given when the program stops.
const HOOK_AT_STOP: Duration = Duration::from_millis(500);

/// Reading a batch or handling a packet that takes longer is stuck.
pub(super) const WORK_DEADLINE: Duration = Duration::from_secs(30);

/// What was handed to the library.
pub(super) enum Sent {
    Event {
        seq: u64,
        age: Age,
        /// Unless it is a trial.
        class: Option<Class>,
        at: Instant,
    },
    /// Published again by a `resend`.
    Copy(u64),
    Still(StillKey),
    Reply,
    /// Of an answer in parts.
    Part,
    HomeAssistant(Word),
    Health,
    Birth,
    Goodbye,
}

impl Sent {
    /// As what it is doubted, if that is not as an event, or for its size.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Sent::Birth => Some(Kind::Status),
            Sent::Health => Some(Kind::Health),
            Sent::HomeAssistant(_) => Some(Kind::HomeAssistant),
            Sent::Reply => Some(Kind::Reply),
            Sent::Event { .. } | Sent::Copy(_) | Sent::Still(_) | Sent::Part | Sent::Goodbye => None,
        }
    }
}

/// The same, with the bytes of its packet.
pub(super) struct Flying {
    pub sent: Sent,
    pub bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Delivers what is left, until then.
    Draining(Instant),
    /// Has said goodbye, waits for its acknowledgement until then.
    Goodbye(Instant),
    /// Has sent DISCONNECT, waits for it to be written until then.
    Leaving(Instant),
}

/// What the present broker allows.
pub(super) struct Limits {
    /// Events in flight.
    pub window: usize,
    /// Bytes of a packet.
    pub packet: u64,
    /// Whether the library's packet ids leave room to resume a session.
    pub resumable: bool,
}

/// How the time with one client of the library ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A new one is needed.
    Renewed,
    /// Nothing has to be sent for a while.
    Asleep,
    /// The link was stopped.
    Ended,
}

enum Polled {
    Packet(Box<Event>),
    Failed(ConnectionError),
    /// The broker is of no use any more, and the library does not notice.
    Dead(&'static str),
    /// A new client is needed.
    Renew,
    /// All is done.
    End,
}

/// Everything about the link.
pub(super) struct Link {
    pub settings: LinkSettings,
    pub journal: JournalHandle,
    pub status: Arc<UplinkStatus>,
    pub announce: bool,
    pub health: Option<HealthFeed>,
    pub beat: Beat,
    pub stop: watch::Receiver<Option<Instant>>,
    pub reader: Option<JournalReader>,
    pub log: LogId,
    generation: u64,
    pub lanes: Lanes,
    pub recent: Recent,
    pub commits: Commits,
    pub pace: Pace,
    pub wish: Wish,
    pub alerts: Alerts,
    pub budget: Budget,
    pub power: Power,
    /// The goodbye is one for a while.
    asleep: bool,
    pub window: Window<Flying>,
    pub limits: Limits,
    /// Acknowledgements that the journal has not been told of.
    pub marks: Vec<Mark>,
    /// Those that it has been told of and not written yet, in that order.
    pub told: VecDeque<u64>,
    /// Marks that the journal had written when it was last asked.
    pub written: u64,
    pub up: bool,
    /// While it is up: whether the broker is still there.
    pub liveness: Liveness,
    /// This connection has delivered something, or has lasted.
    pub good: bool,
    pub up_since: Instant,
    pub phase: Phase,
    /// The program stops, and has given the link until then.
    stop_by: Option<Instant>,
    /// No event is sent before it: the broker refused one.
    pub held_until: Option<Instant>,
    pub refusals: Backoff,
    pub unwanted: Unwanted,
    pub doubt: Doubt,
    /// What was asked for and is not answered yet, besides messages.
    pub asked: VecDeque<Kind>,
    /// What has to be said in each connection and was not yet.
    pub introduction: BTreeSet<Kind>,
    /// The broker did not have this connection's session.
    pub new_session: bool,
    /// The journal is not asked before it: it did not answer.
    pub read_again: Option<Instant>,
    pub mark_again: Option<Instant>,
    pub health_due: Option<Instant>,
    pub commands: Commands,
    pub former: Former,
    pub stills: Stills,
    pub home_assistant: Announcer,
    /// A broker that hung up was asked which MQTT it speaks, since the last connection.
    pub dialect_asked: bool,
    /// A broker was complained of that refuses a subscription.
    pub deaf: bool,
}

impl Link {
    pub fn new(setup: UplinkSetup, status: Arc<UplinkStatus>, stop: watch::Receiver<Option<Instant>>) -> Link {
        let last = setup.journal.status().last_seq();
        Link {
            limits: Limits { window: 1, packet: u64::from(setup.settings.max_packet), resumable: false },
            log: setup.journal.status().log(),
            generation: setup.journal.status().generation(),
            written: setup.journal.status().marks_written(),
            pace: Pace::new(setup.settings.backlog_rate, Instant::now()),
            wish: Wish::new(setup.settings.connect.clone()),
            alerts: Alerts::new(setup.settings.alert_wires.clone()),
            budget: Budget::new(setup.settings.daily_bytes, Instant::now()),
            home_assistant: Announcer::new(setup.settings.home_assistant.clone()),
            power: Power::Down,
            asleep: false,
            settings: setup.settings,
            journal: setup.journal,
            status,
            announce: setup.announce,
            health: setup.health,
            beat: setup.beat,
            stop,
            reader: None,
            lanes: Lanes::new(last),
            recent: Recent::new(last),
            commits: Commits::new(last),
            window: Window::default(),
            marks: Vec::new(),
            told: VecDeque::new(),
            up: false,
            liveness: Liveness::new(Duration::ZERO, Instant::now()),
            good: false,
            up_since: Instant::now(),
            phase: Phase::Running,
            stop_by: None,
            held_until: None,
            refusals: Backoff::new(RETRY_FIRST, RETRY_LAST),
            unwanted: Unwanted::default(),
            doubt: Doubt::default(),
            asked: VecDeque::new(),
            introduction: BTreeSet::new(),
            new_session: true,
            read_again: None,
            mark_again: None,
            health_due: None,
            commands: Commands::default(),
            former: Former::default(),
            stills: Stills::new(setup.stills),
            dialect_asked: false,
            deaf: false,
        }
    }

    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        self.remember_budget();
        self.take_client_id(getrandom::u64().unwrap_or_else(|_| u64::from(boot_id())));
        while self.until_wanted().await {
            self.power(true, self.settings.link_timeout).await;
            // The hook may have been cut short by the stop, which comes only once.
            if self.is_stopped() {
                break;
            }
            let outcome = self.session(&mut backoff).await;
            if outcome == Outcome::Renewed && self.wants_link(Instant::now()) {
                continue;
            }
            self.disconnected();
            if outcome == Outcome::Ended {
                break;
            }
            self.take_back_window();
            self.phase = Phase::Running;
            self.asleep = false;
            self.power(false, self.settings.link_timeout).await;
        }
        // What was told before the goodbye the journal writes when it stops.
        if !self.marks.is_empty() {
            self.note_marks(true);
        }
        self.note_budget(true);
        self.power(false, HOOK_AT_STOP).await;
    }

    /// How long a step of the goodbye that begins now may take.
    pub fn goodbye_time(&self) -> Duration {
        let left = self.stop_by.map(|by| by.saturating_duration_since(Instant::now()));
        left.map_or(GOODBYE_TIME, |left| left.clamp(GOODBYE_LEAST, GOODBYE_TIME))
    }

    /// With one client of the library, through all its connections.
    async fn session(&mut self, backoff: &mut Backoff) -> Outcome {
        let places = usize::from(self.settings.window) + SPARE_PLACES;
        let (client, mut events) = Wire::of_unit(Wire::new(&self.settings, self.options(), places));
        loop {
            match self.poll(&client, &mut events).await {
                Polled::Packet(event) => {
                    if let Event::Incoming(Incoming::ConnAck(ack)) = &*event {
                        self.connected(ack, &client);
                    } else if !self.packet(*event, &client) {
                        self.disconnected();
                        self.take_back_window();
                        return Outcome::Renewed;
                    }
                }
                Polled::Renew => {
                    self.disconnected();
                    return Outcome::Renewed;
                }
                Polled::Dead(why) => return self.leave_client(why.to_owned(), backoff, true).await,
                Polled::Failed(e) => {
                    let was_up = self.up;
                    let why = self.reason(&e).await;
                    self.failed(why);
                    let blamed = was_up && self.blame(&e, &mut events, &client);
                    let pause = self.pause(backoff, !is_dismissal(&e));
                    // A network that was not powered up is, before the next client; and the
                    // library would repeat what the broker ended the connection for.
                    let stale = !self.limits.resumable || blamed || library_is_confused(&e, &events);
                    let renew = stale || self.power != Power::Up;
                    if self.asleep {
                        return Outcome::Asleep;
                    }
                    if self.phase != Phase::Running || !self.rest(pause).await {
                        return Outcome::Ended;
                    }
                    if renew {
                        self.take_back_window();
                        return Outcome::Renewed;
                    }
                    if let Some(will) = self.will() {
                        events.options.set_last_will(will);
                    }
                }
                Polled::End => return if self.asleep { Outcome::Asleep } else { Outcome::Ended },
            }
            if events.state.events.is_empty() || self.marks.len() >= MARKS_TOGETHER {
                self.note_marks(false);
            }
        }
    }

    /// The connection is of no use, and the library does not notice.
    async fn leave_client(&mut self, why: String, backoff: &mut Backoff, broke: bool) -> Outcome {
        self.lost(why);
        if self.asleep {
            // It was on its way to sleep anyway.
            return Outcome::Asleep;
        }
        self.take_back_window();
        let pause = self.pause(backoff, broke);
        let goes_on = self.phase == Phase::Running && self.rest(pause).await;
        if goes_on { Outcome::Renewed } else { Outcome::Ended }
    }

    /// What the journal has done meanwhile.
    pub fn keep_up(&mut self, now: Instant) -> bool {
        let replaced = self.journal.status().generation() != self.generation;
        if replaced {
            self.journal_replaced();
        }
        let last = self.journal.status().last_seq();
        self.recent.note(now, last);
        if replaced {
            self.commits = Commits::new(last);
        }
        self.commits.note(now, last, self.up);
        self.forget_written();
        replaced
    }

    fn options(&self) -> MqttOptions {
        let mut options = self.settings.options(false);
        if let Some(will) = self.will() {
            options.set_last_will(will);
        }
        options
    }

    fn will(&self) -> Option<LastWill> {
        let topic = self.settings.topics.status();
        self.announce.then(|| LastWill::new(topic, self.presence(Presence::Offline), QoS::AtLeastOnce, true, None))
    }

    pub fn presence(&self, presence: Presence) -> String {
        let journal = self.journal.status();
        // `low` first: it must not be newer than `seq`.
        let low = journal.low();
        Status::json(presence, self.settings.clock.read().utc, (&self.log, journal.last_seq(), low), boot_id())
    }

    /// Polls the library until it has something to say, meanwhile doing what
    /// is due. The poll is never cancelled: the library would lose packets.
    async fn poll(&mut self, client: &AsyncClient, events: &mut Wire) -> Polled {
        let poll = events.poll();
        tokio::pin!(poll);
        loop {
            if let Some(outcome) = self.advance(client) {
                return outcome;
            }
            let wake = self.next_wake();
            self.beat.waiting();
            let polled = tokio::select! {
                biased;
                polled = &mut poll => Some(polled),
                () = self.journal.committed() => None,
                () = self.stills.ready() => None,
                () = self.commands.answered() => None,
                () = self.former.arrived() => None,
                // A sender that is gone means the same as a stop at once.
                _ = self.stop.changed(), if self.phase == Phase::Running => {
                    let deadline = self.stop.borrow().unwrap_or_else(Instant::now);
                    self.stop_by = Some(deadline);
                    self.phase = Phase::Draining(deadline.checked_sub(GOODBYE_RESERVE).unwrap_or(deadline));
                    None
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => None,
            };
            self.beat.working(WORK_DEADLINE);
            match polled {
                Some(Ok(event)) => return Polled::Packet(Box::new(event)),
                Some(Err(e)) => return Polled::Failed(e),
                None => {}
            }
        }
    }

    /// Does everything that is due now; says so if that ends the polling.
    fn advance(&mut self, client: &AsyncClient) -> Option<Polled> {
        let now = Instant::now();
        if self.keep_up(now) {
            return Some(Polled::Renew);
        }
        match self.phase {
            Phase::Goodbye(until) | Phase::Leaving(until) if now >= until => return Some(Polled::End),
            Phase::Draining(_) if !self.up => return Some(Polled::End),
            _ => {}
        }
        if self.phase == Phase::Running && !self.wants_link(now) {
            self.asleep = true;
            if !self.up {
                return Some(Polled::End);
            }
            self.say_goodbye(client, Presence::Asleep);
        }
        if self.mark_again.is_some_and(|at| now >= at) {
            self.note_marks(false);
        }
        if !self.up {
            return None;
        }
        if let Some(why) = self.liveness.complaint(self.window.len() > 0, now) {
            return Some(Polled::Dead(why));
        }
        self.introduce(client, false, now);
        if matches!(self.phase, Phase::Running | Phase::Draining(_)) {
            self.fill(client, now);
            self.fill_stills(client, now);
        }
        match self.phase {
            Phase::Running => {
                self.introduce(client, true, now);
                self.tell_home_assistant(client, now);
                self.obey_former(client);
                self.answer_orders(client);
                self.resend_some(client);
                self.send_parts(client);
                self.publish_health(client, now);
            }
            Phase::Draining(until) if now >= until || self.is_drained() => self.say_goodbye(client, Presence::Offline),
            _ => {}
        }
        None
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let deadline = match self.phase {
            Phase::Running => None,
            Phase::Draining(at) | Phase::Goodbye(at) | Phase::Leaving(at) => Some(at),
        };
        // Only what the phase serves: a moment in the past that nobody serves would
        // wake this task again and again.
        let running = self.phase == Phase::Running;
        let sending = (running || matches!(self.phase, Phase::Draining(_))) && !self.doubt.is_alone();
        // Events wait for both.
        let held = self.held_until.max(self.read_again);
        let paced = if held.is_none() && self.takes_events() && !self.lanes.are_empty(self.journal.status().last_seq())
        {
            self.pace.next(self.limits.window)
        } else {
            None
        };
        let due = [
            held.or(paced).filter(|_| sending && self.marks.len() < MARKS_LIMIT),
            self.unwanted.due().filter(|_| sending && self.may_try() && self.budget.is_left()),
            self.stills.ask_again().filter(|_| sending),
            self.health_due.filter(|_| running && self.doubt.may_send(Kind::Health, self.is_quiet(), true, now)),
            self.home_assistant.due().filter(|_| running && self.may_say(Kind::HomeAssistant, now)),
            Some(self.liveness.due(self.window.len() > 0)),
        ];
        let while_up = due.into_iter().flatten().filter(|_| self.up);
        let ask_again = self.wish.ask_again(now).filter(|_| self.phase == Phase::Running);
        while_up.chain(self.mark_again).chain(deadline).chain(ask_again).min()
    }

    /// A damaged journal was replaced while running: its numbers mean nothing
    /// any more.
    fn journal_replaced(&mut self) {
        // Stills and parts must not count as under way for ever.
        self.take_back_window();
        self.generation = self.journal.status().generation();
        self.log = self.journal.status().log();
        self.reader = None;
        self.lanes = Lanes::new(0);
        self.recent = Recent::new(0);
        self.alerts.restart();
        self.unwanted = Unwanted::default();
        self.tell_waiting();
        self.commands.forget();
        self.home_assistant.forget();
        self.keep_client_id();
        self.marks.clear();
        self.told.clear();
        self.written = self.journal.status().marks_written();
    }
}
