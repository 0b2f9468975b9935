//! What Home Assistant gets: the message held to its documentation, the templates
//! in it held to what the real program publishes, and its life at a real broker.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::broker::{Broker, Message, Subscriber, publish_as, refusing_port, wait_for};
use common::daemon::Unit;
use minijinja::{Environment, context};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use serde_json::{Value, json};
use tawny::config::Config;
use tawny::journal::JournalReader;
use tawny::uplink::Discovery;

const TOPIC: &str = "homeassistant/device/tawny_gate/config";

fn config() -> Config {
    let mut config = Config::default();
    config.unit.id = "gate".into();
    config.uplink.home_assistant.enabled = true;
    config
}

fn message() -> Value {
    serde_json::from_str(&Discovery::new(&config()).unwrap().payload).unwrap()
}

/// `python -m json.tool`, so to speak; the version changes.
fn pretty(message: &Value) -> String {
    serde_json::to_string_pretty(message).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n"
}

#[test]
fn the_message_is_the_one_that_was_looked_at() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/home_assistant.json");
    if std::env::var_os("TAWNY_BLESS").is_some() {
        std::fs::write(&file, pretty(&message())).unwrap();
    }
    let looked_at = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        looked_at == pretty(&message()),
        "the message changed: look at it after `TAWNY_BLESS=1 cargo test --test home_assistant`, and commit it"
    );
    assert_eq!(Discovery::new(&config()).unwrap().topic, TOPIC);
    assert_eq!(Discovery::new(&Config::default()), None, "nobody asked for it");
}

/// Required keys of each platform, and the others used here, as
/// https://www.home-assistant.io/integrations/binary_sensor.mqtt/ and its sisters
/// document them.
fn documented(platform: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match platform {
        "binary_sensor" => {
            (&["state_topic"], &["value_template", "off_delay", "json_attributes_topic", "json_attributes_template"])
        }
        "sensor" => (&["state_topic"], &["value_template", "unit_of_measurement", "state_class"]),
        "event" => (&["state_topic", "event_types"], &["value_template"]),
        "image" => (&["image_topic"], &["content_type"]),
        other => panic!("no platform {other}"),
    }
}

#[test]
fn each_entity_has_the_keys_that_its_platform_requires_and_no_unknown_ones() {
    let message = message();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&message), set(&["dev", "o", "cmps"]));
    // Nothing about where it is, or what it runs on.
    assert_eq!(keys(&message["dev"]), set(&["ids", "name", "mf", "mdl", "sw"]));
    assert!(message["dev"]["ids"][0].is_string() && message["o"]["name"].is_string());
    let mut platforms = BTreeMap::new();
    let mut ids = BTreeSet::new();
    // Of an entity as such.
    let common = [
        "p",
        "unique_id",
        "name",
        "qos",
        "device_class",
        "entity_category",
        "availability_topic",
        "availability_template",
    ];
    for (name, entity) in message["cmps"].as_object().unwrap() {
        let platform = entity["p"].as_str().unwrap();
        *platforms.entry(platform).or_insert(0) += 1;
        let (required, optional) = documented(platform);
        for key in required.iter().chain(&["unique_id", "name"]) {
            assert!(entity.get(*key).is_some(), "{name} lacks {key}");
        }
        let known = set(&[required, optional, &common].concat());
        assert!(keys(entity).is_subset(&known), "{name}: {:?}", keys(entity).difference(&known));
        assert!(ids.insert(entity["unique_id"].as_str().unwrap()), "{name}: an id given twice");
        for (key, value) in entity.as_object().unwrap().iter().filter(|(key, _)| key.ends_with("_topic")) {
            assert!(value.as_str().unwrap().starts_with("tawny/gate/"), "{name}.{key} is not the unit's: {value}");
        }
        let classes: &[&str] = match platform {
            "binary_sensor" => &["connectivity", "problem", "motion"],
            "sensor" => &["temperature", "data_size"],
            _ => &["motion"],
        };
        assert!(entity.get("device_class").is_none_or(|class| classes.contains(&class.as_str().unwrap())), "{name}");
    }
    assert_eq!(platforms, BTreeMap::from([("binary_sensor", 5), ("sensor", 4), ("event", 1), ("image", 1)]));

    let mut without = config();
    without.evidence.stills = false;
    assert!(!Discovery::new(&without).unwrap().payload.contains("\"image\""));
}

/// As Home Assistant does it: `value_json` is the payload, and there are functions
/// for times.
fn rendered(template: &Value, payload: &Value) -> String {
    let mut environment = Environment::new();
    let seconds = |text: &str| text.parse::<jiff_like::Time>().unwrap().0;
    environment.add_function("now", || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
    });
    environment.add_function("as_timestamp", move |value: minijinja::Value| match value.as_str() {
        Some(text) => seconds(text),
        None => f64::try_from(value).unwrap(),
    });
    environment.render_str(template.as_str().unwrap(), context! { value_json => payload }).unwrap()
}

/// RFC 3339 as the program writes it.
mod jiff_like {
    pub struct Time(pub f64);

    impl std::str::FromStr for Time {
        type Err = String;

        fn from_str(text: &str) -> Result<Time, String> {
            let utc: tawny::domain::UtcMillis =
                serde_json::from_value(text.into()).map_err(|e| format!("{text}: {e}"))?;
            Ok(Time(utc.0 as f64 / 1000.0))
        }
    }
}

/// The entity's state, from this payload on its topic.
fn state(entity: &str, payload: &Value) -> String {
    rendered(&message()["cmps"][entity]["value_template"], payload)
}

fn bodies(messages: &[Arc<Message>], end: &str) -> Vec<Value> {
    let of_it = messages.iter().filter(|m| m.topic.ends_with(end));
    of_it.map(|m| serde_json::from_str(&m.payload).unwrap()).collect()
}

const STREET: &str = "[unit]\nid = \"gate\"\n[[camera]]\nname = \"road\"\nsource = \"STREET\"\nrealtime = false\n\
    [[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]\nanchor = \"center\"\n\
    [detector]\nactive_rate = 4.0\n[evidence]\nstill_after = \"1s\"\n";

#[test]
fn the_templates_make_of_what_a_unit_publishes_what_home_assistant_expects() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::new(&format!("{STREET}[uplink]\nbroker = \"{}\"\n", broker.url()));
    let daemon = unit.start();
    let heard = |part: &str| subscriber.messages().iter().any(|m| m.topic.contains(part));
    wait_for("a crossing", || heard("/event/crossing"));
    wait_for("a still", || heard("/still/"));
    assert_eq!(daemon.terminate().code, Some(0));
    wait_for("its goodbye", || {
        bodies(&subscriber.messages(), "/status").last().is_some_and(|s| s["state"] != "online")
    });
    let messages = subscriber.messages();

    let available = &message()["cmps"]["temperature"]["availability_template"];
    let statuses = bodies(&messages, "/status");
    let (online, offline) = (statuses.first().unwrap(), statuses.last().unwrap());
    let mut asleep = online.clone();
    asleep["state"] = "asleep".into();
    for (status, word, connection, availability) in [
        (online, "online", "ON", "online"),
        (offline, "offline", "OFF", "offline"),
        (&asleep, "asleep", "OFF", "online"),
    ] {
        assert_eq!((state("status", status), state("connection", status)), (word.into(), connection.into()));
        assert_eq!(rendered(available, status), availability);
    }

    let health = bodies(&messages, "/health").pop().unwrap();
    figures(&health);
    problems(health);
    movements(&bodies(&messages, "/event/sighting"));

    let crossings = bodies(&messages, "/event/crossing");
    assert!(!crossings.is_empty());
    for mut crossing in crossings {
        let event: Value = serde_json::from_str(&state("crossing", &crossing)).unwrap();
        assert_eq!(
            (&event["event_type"], &event["dir"], &event["t"]),
            (&crossing["grp"], &crossing["dir"], &crossing["t"])
        );
        let types = message()["cmps"]["crossing"]["event_types"].clone();
        assert!(types.as_array().unwrap().contains(&event["event_type"]));
        crossing["replay"] = true.into();
        assert_eq!(state("crossing", &crossing), "", "from a recording: none");
    }
    let stills: Vec<_> = messages.iter().filter(|m| m.topic.starts_with("tawny/gate/still/")).collect();
    assert!(!stills.is_empty() && stills.iter().all(|m| m.topic.split('/').count() == 4), "one level for '+'");
}

fn figures(health: &Value) {
    for (entity, value) in [("disk_free", &health["disk_free_mb"]), ("queue", &health["journal"]["queued"])] {
        assert!(state(entity, health).parse::<f64>().is_ok(), "{entity}");
        assert_eq!(state(entity, health), value.to_string());
    }
    let mut health = health.clone();
    health["temp_c"] = json!(48.5);
    assert_eq!(state("temperature", &health), "48.5");
    health.as_object_mut().unwrap().remove("temp_c");
    assert_eq!(state("temperature", &health), "None", "unknown on this machine");
}

fn problems(mut health: Value) {
    let causes = |health: &Value| -> Value {
        let text = rendered(&message()["cmps"]["problem"]["json_attributes_template"], health);
        serde_json::from_str(&text).unwrap()
    };
    health["up_s"] = 3600.into();
    health["cameras"][0]["up"] = true.into();
    assert_eq!(state("problem", &health), "OFF", "{health}");
    assert_eq!(causes(&health), json!({ "journal": "", "uplink": "", "cameras": [] }));
    for (table, error) in [("journal", "the disk is \"full\""), ("uplink", "quota")] {
        let mut with = health.clone();
        with[table]["error"] = error.into();
        assert_eq!(state("problem", &with), "ON");
        assert_eq!(causes(&with)[table], error);
    }
    health["cameras"][0]["up"] = false.into();
    assert_eq!((state("problem", &health), &causes(&health)["cameras"]), ("ON".into(), &json!(["road"])));
    health["paused_s"] = 60.into();
    assert_eq!(state("problem", &health), "OFF", "nobody watches during a pause");
    health.as_object_mut().unwrap().remove("paused_s");
    health["up_s"] = 5.into();
    assert_eq!(state("problem", &health), "OFF", "cameras need a moment");
}

fn movements(sightings: &[Value]) {
    assert!(sightings.iter().any(|s| s["phase"] == "start" && s["grp"] == "vehicle"));
    for sighting in sightings {
        for group in ["vehicle", "person", "animal"] {
            let moves = sighting["phase"] == "start" && sighting["grp"] == group;
            assert_eq!(state(group, sighting), if moves { "ON" } else { "" }, "{group}: {sighting}");
        }
    }
    let mut late = sightings.iter().find(|s| s["phase"] == "start" && s["grp"] == "vehicle").unwrap().clone();
    late["t"] = "2026-01-01T00:00:00.000Z".into();
    late["tu"] = 50.into();
    assert_eq!(state("vehicle", &late), "", "long gone");
    late.as_object_mut().unwrap().remove("tu");
    assert_eq!(state("vehicle", &late), "ON", "who does not know the time is believed");
    late["replay"] = true.into();
    assert_eq!(state("vehicle", &late), "", "from a recording");
}

/// A camera that is never there: costs nothing.
fn no_camera() -> String {
    format!("[unit]\nid = \"gate\"\n[[camera]]\nname = \"road\"\nsource = \"rtsp://127.0.0.1:{}/\"\n", refusing_port())
}

fn noted(unit: &Unit) -> usize {
    JournalReader::open(&unit.journal()).unwrap().notes("home_assistant/").unwrap().len()
}

#[test]
fn home_assistant_is_told_again_when_it_starts_and_forgets_the_unit_that_does_not_want_it_any_more() {
    let broker = Broker::start();
    let home = Subscriber::to(broker.port, "#");
    let on = |topic: &str| home.messages().into_iter().filter(|m| m.topic == topic).collect::<Vec<_>>();
    // What a Home Assistant that starts now finds.
    let kept = || {
        let late = Subscriber::to(broker.port, "#");
        wait_for("what the broker keeps", || late.messages().iter().any(|m| m.topic == "tawny/gate/status"));
        let mut kept = late.messages();
        kept.retain(|m| m.topic.ends_with("/config") && m.retained);
        kept.iter().map(|m| m.topic.clone()).collect::<Vec<_>>()
    };
    let unit = Unit::new("");
    let configure = |more: &str| {
        unit.configure(&format!("{}[uplink]\nbroker = \"{}\"\n{more}", no_camera(), broker.url()));
        unit.start()
    };

    let daemon = configure("[uplink.home_assistant]\nenabled = true\n");
    wait_for("the message", || on(TOPIC).len() == 1);
    let told: Value = serde_json::from_str(&on(TOPIC)[0].payload).unwrap();
    assert_eq!(told, message());
    wait_for("it is kept", || kept() == [TOPIC]);
    publish_as(None, broker.port, "homeassistant/status", false, "offline");
    publish_as(None, broker.port, "homeassistant/status", false, "online");
    wait_for("the message again", || on(TOPIC).len() == 2);
    assert_eq!(on(TOPIC)[1].payload, on(TOPIC)[0].payload);
    daemon.terminate();

    // Another prefix: the old one goes.
    let daemon = configure("[uplink.home_assistant]\nenabled = true\ndiscovery_prefix = \"ha\"\n");
    wait_for("an empty one", || on(TOPIC).last().is_some_and(|m| m.payload.is_empty()));
    wait_for("the new one", || !on("ha/device/tawny_gate/config").is_empty());
    wait_for("the other is kept alone", || kept() == ["ha/device/tawny_gate/config"]);
    daemon.terminate();

    let daemon = configure("");
    wait_for("nothing is kept", || kept().is_empty());
    wait_for("nothing is noted", || noted(&unit) == 0);
    daemon.terminate();
    assert_eq!(on(TOPIC).len(), 3, "told, told again, removed");
}

#[test]
fn the_rules_for_the_broker_allow_it_only_when_they_are_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let passwords = dir.path().join("passwords");
    std::fs::write(&passwords, "").unwrap();
    for user in ["gate", "other"] {
        let made = Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args([user, "secret"]).status();
        assert!(made.unwrap().success());
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto/tawny.acl");
    let rules = std::fs::read_to_string(shipped).unwrap();
    let broker = |rules: &str| {
        let acl = dir.path().join("acl");
        std::fs::write(&acl, rules).unwrap();
        let (passwords, acl) = (passwords.display(), acl.display());
        Broker::with(&format!("allow_anonymous false\npassword_file {passwords}\nacl_file {acl}\n"))
    };
    let gate = Some(("gate", "secret"));

    let strict = broker(&rules);
    assert_eq!(publish_as(gate, strict.port, TOPIC, false, "{}"), PubAckReason::NotAuthorized);
    let unit = Unit::new("");
    std::fs::write(unit.dir.path().join("password"), "secret\n").unwrap();
    unit.configure(&format!(
        "{}[uplink]\nbroker = \"{}\"\nusername = \"gate\"\npassword_file = \"password\"\n\
         [uplink.home_assistant]\nenabled = true\n",
        no_camera(),
        strict.url(),
    ));
    let daemon = unit.start();
    daemon.wait_log(&format!("its rules must let the unit write {TOPIC}"));
    daemon.terminate();

    let open = broker(&rules.replace("\n#pattern", "\npattern"));
    assert_ne!(publish_as(gate, open.port, TOPIC, false, "{}"), PubAckReason::NotAuthorized);
    for topic in ["homeassistant/device/tawny_other/config", "homeassistant/status", "homeassistant/switch/x/config"] {
        assert_eq!(publish_as(gate, open.port, topic, false, "{}"), PubAckReason::NotAuthorized, "{topic}");
    }
}
