//! Rules that no single key can state: names that must differ, lines that
//! need a length, keys that go together.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::broker::BrokerUrl;
use super::model::{
    CameraConfig, ClockConfig, Config, Connect, DetectorConfig, EventFormat, TrackingConfig, Transport, TripwireConfig,
    UplinkConfig, ZoneConfig,
};
use super::operator_key::OperatorKey;
use super::problem::{Problem, quoted};
use super::source::SourceKind;
use crate::domain::Point;

/// The shortest line and the smallest area that can be meant, in fractions of
/// the picture: less than a pixel.
const MIN_LENGTH: f32 = 1e-3;
const MIN_AREA: f32 = 1e-6;

/// Each key is a way in: few enough to be looked after.
const MOST_OPERATORS: usize = 16;

/// Sides of a detector's input, pixels.
const INPUT_SIDES: std::ops::RangeInclusive<u16> = 32..=4096;

/// Everything in `config` that breaks a rule. `document` is the text it was
/// read from and tells where.
pub(super) fn check(config: &Config, document: &Spanned<DeTable<'_>>) -> Vec<Problem> {
    let mut rules = Rules { document, path: Vec::new(), problems: Vec::new() };
    let mut names = HashSet::new();
    for (i, camera) in config.camera.iter().enumerate() {
        rules.path = vec![Step::Key("camera"), Step::Index(i)];
        if !names.insert(camera.name.as_str()) {
            rules.report(&[Step::Key("name")], format!("two cameras have the name {}", quoted(&camera.name)));
        }
        rules.camera(camera);
    }
    rules.path = vec![Step::Key("detector")];
    rules.detector(&config.detector);
    rules.path = vec![Step::Key("tracking")];
    rules.tracking(&config.tracking);
    rules.path = vec![Step::Key("clock")];
    rules.clock(&config.clock);
    rules.path = vec![Step::Key("evidence")];
    rules.evidence(config);
    rules.path = vec![Step::Key("uplink")];
    rules.uplink(&config.uplink);
    rules.connection(&config.uplink, &config.camera);
    rules.operators(&config.uplink.operator_keys);
    rules.problems
}

#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    Index(usize),
}

struct Rules<'a> {
    document: &'a Spanned<DeTable<'a>>,
    /// The table under examination.
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn detector(&mut self, detector: &DetectorConfig) {
        if detector.labels.is_some() && !detector.classes.is_empty() {
            self.report(&[Step::Key("labels")], "'labels' and 'classes' both name the classes; one is enough".into());
        }
        if let Some(size) = detector.input_size {
            for (index, side) in [size.width, size.height].into_iter().enumerate() {
                if !INPUT_SIDES.contains(&side) {
                    let (least, most) = (INPUT_SIDES.start(), INPUT_SIDES.end());
                    let message = format!("'input_size' must be from {least} to {most} pixels a side");
                    self.report(&[Step::Key("input_size"), Step::Index(index)], message);
                }
            }
        }
    }

    fn tracking(&mut self, tracking: &TrackingConfig) {
        let steps = [
            ("low_confidence", tracking.low_confidence, "confidence", tracking.confidence),
            ("confidence", tracking.confidence, "sure_confidence", tracking.sure_confidence),
        ];
        for (lower, low, upper, high) in steps {
            if low > high {
                self.report(&[Step::Key(lower)], format!("'{lower}' ({low}) must not be above '{upper}' ({high})"));
            }
        }
    }

    /// A problem at `below` the table under examination, or at that table if
    /// there is no such key.
    fn report(&mut self, below: &[Step], message: String) {
        let mut span = self.document.span();
        let mut value: Option<&Spanned<DeValue<'_>>> = None;
        for step in self.path.iter().chain(below) {
            let next = match (step, value.map(Spanned::get_ref)) {
                (Step::Key(key), None) => self.document.get_ref().get(*key),
                (Step::Key(key), Some(DeValue::Table(table))) => table.get(*key),
                (Step::Index(i), Some(DeValue::Array(list))) => list.get(*i),
                _ => None,
            };
            let Some(next) = next else { break };
            span = next.span();
            value = Some(next);
        }
        self.problems.push(Problem { span, message });
    }

    fn inside<'t, T>(&mut self, key: &'static str, items: &'t [T], check: impl Fn(&mut Self, &'t T)) {
        for (i, item) in items.iter().enumerate() {
            self.path.extend([Step::Key(key), Step::Index(i)]);
            check(self, item);
            self.path.truncate(self.path.len() - 2);
        }
    }

    fn camera(&mut self, camera: &CameraConfig) {
        if let Some(problem) = camera.source.as_ref().and_then(|source| source.problem()) {
            self.report(&[Step::Key("source")], problem.into_owned());
        }
        let is_network = matches!(camera.source.as_ref().map(|source| source.kind()), None | Some(SourceKind::Rtsp(_)));
        if camera.allow_basic && !is_network {
            let message = "'allow_basic' is for network cameras only; this source is none".into();
            self.report(&[Step::Key("allow_basic")], message);
        }
        let is_file = matches!(camera.source.as_ref().map(|source| source.kind()), None | Some(SourceKind::File(_)));
        for (key, is_set) in [("realtime", camera.realtime.is_some()), ("loop", camera.looped.is_some())] {
            if is_set && !is_file {
                self.report(&[Step::Key(key)], format!("'{key}' is for video files only; this source is none"));
            }
        }
        self.transport(camera);
        let keeps_time = matches!(
            camera.source.as_ref().map(|source| source.kind()),
            Some(SourceKind::Rtsp(_) | SourceKind::Device(_))
        );
        if camera.fps.is_some() && keeps_time {
            let message = "'fps' is for files and programs without times; this source has times of its own";
            self.report(&[Step::Key("fps")], message.into());
        }
        let wires: Vec<&str> = camera.tripwire.iter().map(|wire| wire.name.as_str()).collect();
        self.inside("tripwire", &camera.tripwire, |rules, wire| rules.tripwire(wire, &wires));
        let zones: Vec<&str> = camera.zone.iter().map(|zone| zone.name.as_str()).collect();
        self.inside("zone", &camera.zone, |rules, zone| rules.zone(zone, &zones));
    }

    fn transport(&mut self, camera: &CameraConfig) {
        let Some(transport) = camera.transport else { return };
        match camera.source.as_ref().map(|source| source.kind()) {
            Some(SourceKind::Rtsp(url)) => {
                let is_encrypted = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsps://"));
                if is_encrypted && transport == Transport::Udp {
                    let message = "rtsps:// comes over TCP alone: UDP would not be encrypted; leave 'transport' out";
                    self.report(&[Step::Key("transport")], message.into());
                }
            }
            // It says what holds anyhow.
            _ if transport == Transport::Auto => {}
            _ => {
                let message = "'transport' is for network cameras only (rtsp://); this source is none";
                self.report(&[Step::Key("transport")], message.into());
            }
        }
    }

    fn tripwire(&mut self, wire: &TripwireConfig, names: &[&str]) {
        self.unique(names, &wire.name, "tripwires");
        if (wire.to.x - wire.from.x).hypot(wire.to.y - wire.from.y) < MIN_LENGTH {
            self.report(&[Step::Key("to")], "'from' and 'to' are the same point: the tripwire has no length".into());
        }
        if wire.forward == wire.backward {
            let message = format!("both directions are called {}; they must differ", quoted(&wire.forward));
            self.report(&[Step::Key("backward")], message);
        }
        for (i, group) in wire.groups.iter().enumerate() {
            if wire.groups.iter().take(i).any(|other| other == group) {
                self.report(&[Step::Key("groups"), Step::Index(i)], format!("\"{group}\" is named twice"));
            }
        }
    }

    fn zone(&mut self, zone: &ZoneConfig, names: &[&str]) {
        self.unique(names, &zone.name, "zones");
        if area(&zone.polygon) < MIN_AREA {
            self.report(&[Step::Key("polygon")], "the corners of this polygon enclose no area".into());
        }
    }

    /// Reports the second and further owners of a name. The item under
    /// examination is the last step of the path.
    fn unique(&mut self, names: &[&str], name: &str, what: &str) {
        if let Some(Step::Index(i)) = self.path.last()
            && names.iter().take(*i).any(|other| *other == name)
        {
            self.report(&[Step::Key("name")], format!("two {what} of this camera have the name {}", quoted(name)));
        }
    }

    fn clock(&mut self, clock: &ClockConfig) {
        let is_place = |text: &str| {
            text.rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
        };
        if clock.gpsd.as_deref().is_some_and(|text| !is_place(text)) {
            self.report(&[Step::Key("gpsd")], "write a host and a port, like \"127.0.0.1:2947\"".into());
        }
    }

    /// A packet is its topic and a few bytes more than the still.
    fn evidence(&mut self, config: &Config) {
        let (still, packet) = (config.evidence.still_size.0, config.uplink.max_packet.0);
        if config.uplink.broker.is_some() && still + 256 > packet {
            let message = "'still_size' does not fit into 'uplink.max_packet': no still could be sent".into();
            self.report(&[Step::Key("still_size")], message);
        }
        if config.evidence.clips && config.evidence.pre_roll.0 >= config.evidence.clip_max.0 {
            self.report(&[Step::Key("pre_roll")], "'pre_roll' must be shorter than 'clip_max'".into());
        }
    }

    fn uplink(&mut self, uplink: &UplinkConfig) {
        let broker = uplink.broker.as_ref().map(|text| text.parse::<BrokerUrl>());
        if let Some(Err(problem)) = &broker {
            self.report(&[Step::Key("broker")], format!("the broker's URL {problem}"));
        }
        if let Some(username) = &uplink.username
            && (username.is_empty() || username.len() > 1024)
        {
            self.report(&[Step::Key("username")], "'username' must have 1 to 1024 bytes".into());
        }
        let tls_files = [
            ("ca_file", &uplink.ca_file),
            ("client_cert_file", &uplink.client_cert_file),
            ("client_key_file", &uplink.client_key_file),
        ];
        for (key, file) in tls_files.into_iter().chain([("password_file", &uplink.password_file)]) {
            if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
                self.report(&[Step::Key(key)], format!("'{key}' is empty; leave it out instead"));
            }
        }
        if let Some(Ok(BrokerUrl { tls: false, .. })) = broker {
            for (key, file) in tls_files {
                if file.is_some() {
                    self.report(
                        &[Step::Key(key)],
                        format!("'{key}' has no effect on mqtt://; write mqtts:// to encrypt"),
                    );
                }
            }
        }
        for (key, file, other, other_file) in [
            ("client_cert_file", &uplink.client_cert_file, "client_key_file", &uplink.client_key_file),
            ("client_key_file", &uplink.client_key_file, "client_cert_file", &uplink.client_cert_file),
        ] {
            if file.is_some() && other_file.is_none() {
                self.report(&[Step::Key(key)], format!("'{key}' needs '{other}' too"));
            }
        }
        if uplink.password_file.is_some() && uplink.username.is_none() {
            self.report(&[Step::Key("password_file")], "'password_file' needs 'username' too".into());
        }
        if uplink.home_assistant.enabled && uplink.format == EventFormat::Cbor {
            let message = "Home Assistant cannot read CBOR: 'uplink.format' must be \"json\" for it".into();
            self.report(&[Step::Key("home_assistant"), Step::Key("enabled")], message);
        }
    }
}

impl Rules<'_> {
    /// When the unit is connected.
    fn connection(&mut self, uplink: &UplinkConfig, cameras: &[CameraConfig]) {
        let timed = uplink.connect_windows.is_some() || uplink.connect_every.is_some();
        let marked = cameras.iter().any(|camera| camera.tripwire.iter().any(|wire| wire.alert));
        let never = match uplink.connect {
            Connect::Schedule if !timed => "'connect = \"schedule\"' needs 'connect_windows' or 'connect_every' too",
            Connect::OnEvent if !marked => "'connect = \"on_event\"' never connects: no tripwire has 'alert = true'",
            _ => return,
        };
        self.report(&[Step::Key("connect")], never.into());
    }
}

impl Rules<'_> {
    fn operators(&mut self, keys: &[OperatorKey]) {
        if keys.len() > MOST_OPERATORS {
            self.report(&[Step::Key("operator_keys")], format!("'operator_keys' takes {MOST_OPERATORS} at most"));
        }
        for (i, key) in keys.iter().enumerate() {
            if keys.iter().take(i).any(|other| other.key == key.key || other.name == key.name) {
                let message = format!("the key or the name of {} is there twice", quoted(&key.name));
                self.report(&[Step::Key("operator_keys"), Step::Index(i)], message);
            }
        }
    }
}

/// The area of a polygon (shoelace formula); that of a figure of eight may
/// vanish.
fn area(polygon: &[Point]) -> f32 {
    let Some(mut previous) = polygon.last() else { return 0.0 };
    let mut doubled = 0.0;
    for point in polygon {
        doubled += previous.x * point.y - point.x * previous.y;
        previous = point;
    }
    (doubled / 2.0).abs()
}
