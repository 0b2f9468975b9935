//! When packets are decoded. Pure: packets and what was seen of the decoded
//! ones go in, verdicts come out.
//!
//! It fails open. A new stream is decoded in full; the gate closes only after
//! quiet pictures and unremarkable sizes have gone together for some seconds,
//! and only where the sizes are regular enough to show a small object. While
//! it is closed, keyframes are decoded alone and compared with the background,
//! the more often the less the sizes tell. Every picture in which the decoder
//! sees something move that the sizes did not show costs trust; without trust
//! everything is decoded again, for a while.

use std::time::Duration;

use serde::Serialize;

use super::by_light::SizeModels;
use super::kind::PictureKind;
use super::model::PacketFacts;
use super::pace::Pace;
use crate::domain::{Light, Mono};

/// A new stream is decoded in full at least so long.
const LEARN_AT_LEAST: Duration = Duration::from_secs(6);
/// Nothing may have moved for so long before the gate closes for the first
/// time, and before it closes again.
const QUIET_FIRST: Duration = Duration::from_secs(4);
const QUIET_AGAIN: Duration = Duration::from_secs(2);
/// Pictures that show nothing are no reason to close while packets have waited
/// for longer than this.
const MAX_LAG: Duration = Duration::from_millis(500);
/// Below this sharpness (deviations by which a small object stands out) sizes
/// say nothing.
const MIN_SHARPNESS: f32 = 1.0;
/// A closed gate opens when the sharpness falls below this share of that.
const STILL_SHARP: f32 = 0.8;
const TOO_VARIED: &str = "sizes vary too much to show an object";
/// Keyframes are compared at least so often, however little they cost, ...
const MIN_PROBE_PAUSE: Duration = Duration::from_secs(2);
/// ... and so much less often for each unit of sharpness.
const PROBE_PAUSE_PER_SHARPNESS: f32 = 1.0;
/// While the gate is closed the detector looks this much less often: keyframes
/// say that nothing has changed.
const LOOKS_APART: u32 = 6;
/// Whether sizes and pictures agree about an activity is judged by what the
/// sizes did around its beginning.
const AGREEMENT: Duration = Duration::from_millis(2500);
/// How trust is lost and won; the gate is trusted from a half on.
const TRUST_AT_FIRST: f32 = 0.8;
const TRUST_LOST_BY_MISS: f32 = 0.25;
const TRUST_LOST_BY_FALSE_PROBE: f32 = 0.05;
const TRUST_WON_BY_PROBE: f32 = 0.005;
const TRUST_WON_BY_ACTIVITY: f32 = 0.1;
const TRUST_NEEDED: f32 = 0.5;
/// How long an untrusted gate stays open before it is tried again.
const DISTRUST: Duration = Duration::from_secs(600);
/// Remarkable sizes of quiet pictures for so long: the encoder or the light has
/// changed, and the sizes are learnt anew.
const RELEARN_AFTER: Duration = Duration::from_secs(5);

/// Pictures a second that must be left when only references are decoded.
const MIN_REFERENCE_RATE: f64 = 5.0;

/// What the gate needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// False: everything is decoded.
    pub enabled: bool,
    /// How often the detector wants to look at a still scene.
    pub idle_interval: Duration,
}

/// Why a stream cannot be gated at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Not a codec whose packets depend on each other in a known way.
    Codec,
    /// A group of pictures exceeds the ring.
    LongGroup,
    /// Keyframes that do not stand alone.
    OpenGroup,
    /// Every picture is a keyframe.
    AllKeyframes,
    /// No usable time stamps.
    Stamps,
}

impl Unfit {
    fn text(self) -> &'static str {
        match self {
            Unfit::Codec => "no gate for this codec",
            Unfit::LongGroup => "keyframes too far apart for the packet ring",
            Unfit::OpenGroup => "keyframes cannot be decoded alone",
            Unfit::AllKeyframes => "every picture is a keyframe",
            Unfit::Stamps => "no usable time stamps",
        }
    }
}

/// What the gate does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// Switched off: everything is decoded.
    #[default]
    Off,
    /// Everything is decoded.
    Open,
    /// Only pictures that others refer to are decoded.
    Reference,
    /// Nothing is decoded but a keyframe now and then.
    Closed,
}

/// What the gate did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GateCounts {
    /// Times it closed.
    pub closed: u64,
    /// Times it opened because of packets' sizes.
    pub by_packet: u64,
    /// Times it opened because a keyframe differed from the background.
    pub by_check: u64,
    /// Times it opened because the detector's timed look found something.
    pub by_timer: u64,
    /// Keyframes compared while it was closed.
    pub checks: u64,
    /// Activities that sizes did not show and the decoder did; those that came
    /// while the gate was closed were caught by a keyframe.
    pub missed: u64,
    /// Packets that were given up because the ring was full.
    pub overflow: u64,
}

impl GateCounts {
    /// Both together.
    pub fn plus(&self, other: &GateCounts) -> GateCounts {
        GateCounts {
            closed: self.closed + other.closed,
            by_packet: self.by_packet + other.by_packet,
            by_check: self.by_check + other.by_check,
            by_timer: self.by_timer + other.by_timer,
            checks: self.checks + other.checks,
            missed: self.missed + other.missed,
            overflow: self.overflow + other.overflow,
        }
    }
}

/// The gate's condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateStatus {
    /// What it does.
    pub mode: GateMode,
    /// Why, in a few words.
    pub why: &'static str,
    /// How far it is trusted, 0..=1.
    pub trust: f32,
    /// What it did.
    pub counts: GateCounts,
}

/// What a decoded picture showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Something moves against the background.
    pub moving: bool,
    /// Pictures are needed: something moves, is followed, or cannot be told.
    pub busy: bool,
    /// The light it was taken by.
    pub light: Light,
    /// Pictures taken before this are of no interest whatever they show.
    pub next_look: Option<Mono>,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Decode it, and before it everything since the last keyframe before
    /// `since` that is not decoded yet.
    Decode {
        /// When the cause may have begun.
        since: Mono,
    },
    /// Decode this keyframe alone and compare it.
    Probe,
    /// Keep it only.
    Skip,
}

/// See the module's description.
#[derive(Debug)]
pub struct Gate {
    settings: GateSettings,
    models: SizeModels,
    pace: Pace,
    closed: bool,
    why: &'static str,
    trust: f32,
    counts: GateCounts,
    unfit: Option<(Unfit, Mono)>,
    distrusted: Option<Mono>,
    began: Option<Mono>,
    now: Mono,
    keyframes: u32,
    others: u64,
    disposable: u64,
    /// When a size was last remarkable.
    remarkable: Option<Mono>,
    /// Since when sizes are remarkable without a pause of a second.
    remarkable_since: Option<Mono>,
    last_busy: Mono,
    last_moving: Option<Mono>,
    last_probe: Mono,
    last_look: Mono,
    /// An activity that sizes have not shown yet, and when it began.
    unexplained: Option<Mono>,
    /// Opened by a keyframe that differed; nothing has moved yet.
    suspicion: bool,
    /// Somebody wants to see a picture.
    asked: bool,
    /// The decoder is so far behind that what it has shown says little of now.
    behind: bool,
}

impl Gate {
    /// An open gate.
    pub fn new(settings: &GateSettings) -> Gate {
        Gate {
            settings: settings.clone(),
            models: SizeModels::default(),
            pace: Pace::default(),
            closed: false,
            why: "learning",
            trust: TRUST_AT_FIRST,
            counts: GateCounts::default(),
            unfit: None,
            distrusted: None,
            began: None,
            now: Mono::ZERO,
            keyframes: 0,
            others: 0,
            disposable: 0,
            remarkable: None,
            remarkable_since: None,
            last_busy: Mono::ZERO,
            last_moving: None,
            last_probe: Mono::ZERO,
            last_look: Mono::ZERO,
            unexplained: None,
            suspicion: false,
            asked: false,
            behind: false,
        }
    }

    /// Somebody wants to see a picture: the next keyframe is decoded in any case.
    pub fn ask(&mut self) {
        self.asked = self.closed;
    }

    /// Packets have waited for the decoder for so long.
    pub fn lags(&mut self, lag: Duration) {
        self.behind = lag > MAX_LAG;
    }

    /// The next packet: what to do with it.
    pub fn packet(&mut self, facts: &PacketFacts) -> Verdict {
        self.now = facts.at;
        let began = *self.began.get_or_insert(facts.at);
        if began == facts.at {
            self.last_busy = facts.at;
        }
        self.count_kind(facts.kind);
        if !self.settings.enabled {
            return self.decode_all("switched off");
        }
        let hurries = facts.pause.is_some_and(|pause| self.pace.hurries(pause));
        let size = self.models.present_mut().judge(facts);
        let measure = if hurries { size.max(1.0) } else { size };
        if measure >= 1.0 {
            self.note_remarkable(facts.at);
        }
        self.models.present_mut().learn(facts.at);
        self.check_unexplained();
        if self.closed { self.while_closed(facts, measure) } else { self.while_open(facts) }
    }

    /// The picture taken at `at` was analysed. True if the gate opened for it.
    pub fn seen(&mut self, at: Mono, activity: Activity) -> bool {
        if self.models.switch(activity.light) {
            (self.remarkable, self.remarkable_since, self.unexplained) = (None, None, None);
        }
        if activity.busy || activity.moving {
            self.last_busy = self.last_busy.max(at);
            self.models.present_mut().forget_pending();
        }
        if activity.moving {
            self.began_to_move(at);
        }
        let opens = self.closed && (activity.busy || activity.moving);
        if opens {
            self.counts.by_timer += 1;
            self.open("the detector found something");
        }
        opens
    }

    /// A keyframe was decoded alone: whether it `differs` from the background,
    /// nothing if it could not be decoded. True if the gate opens for it.
    pub fn probed(&mut self, differs: Option<bool>) -> bool {
        self.counts.checks += 1;
        match differs {
            Some(false) => {
                self.trust = (self.trust + TRUST_WON_BY_PROBE).min(1.0);
                false
            }
            Some(true) => {
                self.counts.by_check += 1;
                self.suspicion = true;
                self.open("a keyframe differs");
                true
            }
            None => {
                self.unfit(Unfit::OpenGroup);
                true
            }
        }
    }

    /// Whether the detector should look at the keyframe that was just compared.
    pub fn wants_look(&mut self) -> bool {
        let due = self.now.since(self.last_look) >= self.settings.idle_interval * LOOKS_APART;
        if due {
            self.last_look = self.now;
        }
        due
    }

    /// The stream shows a property that cannot be gated.
    pub fn unfit(&mut self, reason: Unfit) {
        // What the codec is does not change.
        if !matches!(self.unfit, Some((Unfit::Codec, _))) {
            self.unfit = Some((reason, self.now));
        }
        self.open(reason.text());
    }

    /// So many packets fell out of the ring before they were decoded.
    pub fn overflowed(&mut self, packets: u64) {
        self.counts.overflow += packets;
    }

    /// Whether pictures that nothing refers to may be left out.
    pub fn references_only(&self) -> bool {
        self.mode() == GateMode::Reference
    }

    /// The condition.
    pub fn status(&self) -> GateStatus {
        GateStatus { mode: self.mode(), why: self.why, trust: self.trust, counts: self.counts }
    }

    fn mode(&self) -> GateMode {
        let given_up = self.unfit.is_some() || self.distrusted.is_some();
        match () {
            () if !self.settings.enabled => GateMode::Off,
            () if self.closed => GateMode::Closed,
            () if given_up && self.is_quiet(QUIET_FIRST) && self.references_suffice() => GateMode::Reference,
            () => GateMode::Open,
        }
    }

    /// Whether it is worth leaving out what nothing refers to, and enough is
    /// left to see what begins to move.
    fn references_suffice(&self) -> bool {
        // Without stamps it is not known when a picture was taken once some are
        // left out.
        if matches!(self.unfit, Some((Unfit::Stamps, _))) {
            return false;
        }
        let passed_s = self.began.map_or(0.0, |began| self.now.secs_since(began));
        let left = (self.others - self.disposable + u64::from(self.keyframes)) as f64;
        self.disposable * 3 > self.others && left >= MIN_REFERENCE_RATE * passed_s
    }

    fn count_kind(&mut self, kind: PictureKind) {
        match kind {
            PictureKind::Key => self.keyframes += 1,
            PictureKind::OpenKey => {
                self.keyframes += 1;
                self.unfit(Unfit::OpenGroup);
            }
            PictureKind::Disposable => {
                self.disposable += 1;
                self.others += 1;
            }
            _ => self.others += 1,
        }
        if self.keyframes > 8 && self.others < u64::from(self.keyframes) {
            self.unfit(Unfit::AllKeyframes);
        }
    }

    fn while_closed(&mut self, facts: &PacketFacts, measure: f32) -> Verdict {
        if measure >= 1.0 {
            self.counts.by_packet += 1;
            self.models.present_mut().forget_pending();
            self.open("packets");
            self.last_busy = facts.at;
            // It may have come at any time since the pictures were last compared.
            return Verdict::Decode { since: self.last_probe };
        }
        if !self.models.present().is_ready() {
            self.open("learning");
            return Verdict::Decode { since: facts.at };
        }
        if self.models.present().sharpness() < MIN_SHARPNESS * STILL_SHARP {
            self.open(TOO_VARIED);
            return Verdict::Decode { since: facts.at };
        }
        let due = self.asked || facts.at.since(self.last_probe) >= self.probe_pause();
        if facts.kind == PictureKind::Key && due {
            self.last_probe = facts.at;
            self.asked = false;
            return Verdict::Probe;
        }
        Verdict::Skip
    }

    fn while_open(&mut self, facts: &PacketFacts) -> Verdict {
        let why = self.reason_to_stay_open();
        if let Some(why) = why {
            return self.decode_all(why);
        }
        // Nothing moved after a keyframe that differed: slow light.
        if std::mem::take(&mut self.suspicion) {
            self.lose_trust(TRUST_LOST_BY_FALSE_PROBE);
        }
        if facts.kind != PictureKind::Key {
            return Verdict::Decode { since: self.now };
        }
        // A keyframe is the best place to stop: nothing before it is needed.
        self.closed = true;
        self.counts.closed += 1;
        self.why = "quiet";
        (self.last_probe, self.last_look) = (facts.at, facts.at);
        Verdict::Skip
    }

    fn reason_to_stay_open(&mut self) -> Option<&'static str> {
        if let Some((reason, since)) = self.unfit {
            if reason == Unfit::Codec || self.now.since(since) < DISTRUST {
                return Some(reason.text());
            }
            self.unfit = None;
        }
        if let Some(since) = self.distrusted {
            if self.now.since(since) < DISTRUST {
                return Some("sizes and pictures disagree");
            }
            self.distrusted = None;
            self.trust = TRUST_AT_FIRST;
        }
        let first = self.counts.closed == 0;
        if first && self.began.is_some_and(|began| self.now.since(began) < LEARN_AT_LEAST) {
            return Some("learning");
        }
        if self.behind || !self.is_quiet(if first { QUIET_FIRST } else { QUIET_AGAIN }) {
            return Some("activity");
        }
        if !self.models.present().is_ready() || self.keyframes < 3 {
            return Some("learning");
        }
        if self.models.present().sharpness() < MIN_SHARPNESS {
            return Some(TOO_VARIED);
        }
        self.relearn_if_changed();
        if self.remarkable.is_some_and(|last| self.now.since(last) < QUIET_AGAIN) {
            return Some("packets");
        }
        None
    }

    /// Quiet pictures whose sizes stay remarkable: something else has changed.
    fn relearn_if_changed(&mut self) {
        if self.remarkable_since.is_some_and(|since| self.now.since(since) > RELEARN_AFTER)
            && self.is_quiet(RELEARN_AFTER)
        {
            self.models.present_mut().relearn();
            (self.remarkable, self.remarkable_since) = (None, None);
        }
    }

    fn is_quiet(&self, time: Duration) -> bool {
        self.now.since(self.last_busy) >= time
    }

    fn decode_all(&mut self, why: &'static str) -> Verdict {
        self.why = why;
        Verdict::Decode { since: self.now }
    }

    fn open(&mut self, why: &'static str) {
        (self.closed, self.asked) = (false, false);
        self.why = why;
        self.last_busy = self.last_busy.max(self.now);
    }

    /// More sharpness, longer pauses.
    fn probe_pause(&self) -> Duration {
        let longest = self.settings.idle_interval.clamp(MIN_PROBE_PAUSE, Duration::from_secs(10));
        let pause =
            Duration::from_secs_f32((self.models.present().sharpness() * PROBE_PAUSE_PER_SHARPNESS).clamp(0.0, 60.0));
        // Keyframes come a little early or late.
        pause.clamp(MIN_PROBE_PAUSE, longest).saturating_sub(Duration::from_millis(100))
    }

    fn note_remarkable(&mut self, at: Mono) {
        let pause = self.remarkable.map_or(Duration::MAX, |last| at.since(last));
        if pause > Duration::from_secs(1) {
            self.remarkable_since = Some(at);
        }
        self.remarkable = Some(at);
    }

    /// An activity begins when nothing has moved for two seconds before.
    fn began_to_move(&mut self, at: Mono) {
        let new = self.last_moving.is_none_or(|last| at.since(last) > Duration::from_secs(2));
        self.last_moving = Some(at);
        if !new || !self.models.present().is_ready() {
            return;
        }
        self.unexplained = Some(at);
    }

    /// Did the sizes show what the pictures show?
    fn check_unexplained(&mut self) {
        let Some(began) = self.unexplained else { return };
        let shown = self.remarkable.is_some_and(|at| at.plus(AGREEMENT) >= began);
        if shown {
            self.trust = (self.trust + TRUST_WON_BY_ACTIVITY).min(1.0);
            (self.unexplained, self.suspicion) = (None, false);
        } else if self.now.since(began) > AGREEMENT {
            self.counts.missed += 1;
            (self.unexplained, self.suspicion) = (None, false);
            self.lose_trust(TRUST_LOST_BY_MISS);
        }
    }

    fn lose_trust(&mut self, share: f32) {
        self.trust = (self.trust - share).max(0.0);
        if self.trust < TRUST_NEEDED && self.distrusted.is_none() {
            self.distrusted = Some(self.now);
            self.open("sizes and pictures disagree");
        }
    }
}
