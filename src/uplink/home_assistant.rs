//! What Home Assistant is told about the unit: one message from which it makes a
//! device with its entities ("MQTT discovery", device based, since Home Assistant
//! 2024.11: <https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>).
//!
//! The entities read the topics that are there anyway; the templates in the message
//! take from `status`, `health` and the events what each needs. So nothing is sent
//! twice, and a unit without Home Assistant sends the same as one with it.
//!
//! Pure; `announce.rs` sends it. `docs/guide/home-assistant.md` tells what appears.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::messages::Topics;
use crate::config::Config;
use crate::domain::Group;

/// An event that is older than so many seconds moves nothing: it waited for a link.
const LATE_S: u32 = 300;

/// A message that the broker is to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `<discovery_prefix>/device/<object id>/config`
    pub topic: String,
    /// JSON.
    pub payload: String,
}

impl Discovery {
    /// The message about the unit of `config`; `None` if it is not wanted.
    pub fn new(config: &Config) -> Option<Discovery> {
        let wanted = &config.uplink.home_assistant;
        if !wanted.enabled {
            return None;
        }
        let (prefix, id) = (&config.unit.prefix, &config.unit.id);
        let object = object_id(prefix, id);
        let entities = Entities { object: &object, topics: Topics::new(prefix, id), list: Map::new() };
        let version = env!("CARGO_PKG_VERSION");
        let message = json!({
            "dev": { "ids": [object], "name": id, "mf": "Tawny", "mdl": "Camera unit", "sw": version },
            "o": { "name": "Tawny", "sw": version },
            "cmps": entities.all(wanted.motion_hold.0.as_secs(), config.evidence.stills),
        });
        Some(Discovery {
            topic: format!("{}/device/{object}/config", wanted.discovery_prefix),
            payload: message.to_string(),
        })
    }
}

/// The entities, each with its platform `p` and what the documentation of that
/// platform requires.
struct Entities<'a> {
    object: &'a str,
    topics: Topics,
    list: Map<String, Value>,
}

impl Entities<'_> {
    fn all(mut self, motion_hold_s: u64, stills: bool) -> Map<String, Value> {
        self.link();
        self.health();
        for group in Group::ALL {
            self.motion(group, motion_hold_s);
        }
        self.crossing();
        if stills {
            self.still();
        }
        self.list
    }

    fn add(&mut self, key: &str, platform: &str, name: &str, keys: Value) {
        let mut entity = json!({ "p": platform, "unique_id": format!("{}_{key}", self.object), "name": name });
        if let (Some(entity), Value::Object(keys)) = (entity.as_object_mut(), keys) {
            entity.extend(keys);
        }
        self.list.insert(key.to_owned(), entity);
    }

    /// The same for what is unknown while the unit is silent without having said why.
    fn add_while_there(&mut self, key: &str, platform: &str, name: &str, mut keys: Value) {
        if let Some(keys) = keys.as_object_mut() {
            keys.insert("availability_topic".into(), self.topics.status().into());
            keys.insert(
                "availability_template".into(),
                "{{ 'offline' if value_json.state == 'offline' else 'online' }}".into(),
            );
        }
        self.add(key, platform, name, keys);
    }

    /// From `status`: always known, since the broker keeps it.
    fn link(&mut self) {
        let topic = self.topics.status();
        self.add(
            "connection",
            "binary_sensor",
            "Connection",
            json!({
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": topic,
                "value_template": "{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
            }),
        );
        self.add(
            "status",
            "sensor",
            "Status",
            json!({
                "entity_category": "diagnostic",
                "state_topic": topic,
                "value_template": "{{ value_json.state }}",
            }),
        );
    }

    /// From `health`.
    fn health(&mut self) {
        let topic = self.topics.health();
        // A camera brings no picture before it is open, nor during a pause.
        let silent = "(value_json.cameras | rejectattr('up') | map(attribute='name') | list \
                      if value_json.up_s | default(0) > 60 and value_json.paused_s is not defined else [])";
        let problem = format!(
            "{{{{ 'ON' if value_json.journal.error is defined or value_json.uplink.error is defined \
             or {silent} | length > 0 else 'OFF' }}}}"
        );
        let causes = format!(
            "{{{{ {{'journal': value_json.journal.error | default(''), \
             'uplink': value_json.uplink.error | default(''), 'cameras': {silent}}} | tojson }}}}"
        );
        self.add_while_there(
            "problem",
            "binary_sensor",
            "Problem",
            json!({
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": topic,
                "value_template": problem,
                "json_attributes_topic": topic,
                "json_attributes_template": causes,
            }),
        );
        self.figure("temperature", "Temperature", "temp_c", Some("temperature"), "°C");
        self.figure("disk_free", "Disk free", "disk_free_mb", Some("data_size"), "MB");
        self.figure("queue", "Queue", "journal.queued", None, "events");
    }

    /// A number of the health message; "None" is Home Assistant's word for unknown.
    fn figure(&mut self, key: &str, name: &str, path: &str, class: Option<&str>, unit: &str) {
        let mut keys = json!({
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "state_topic": self.topics.health(),
            "unit_of_measurement": unit,
            "value_template": format!("{{{{ value_json.{path} | default('None') }}}}"),
        });
        if let (Some(class), Some(keys)) = (class, keys.as_object_mut()) {
            keys.insert("device_class".into(), class.into());
        }
        self.add_while_there(key, "sensor", name, keys);
    }

    /// On when a sighting starts. A template that yields nothing changes nothing.
    fn motion(&mut self, group: Group, hold_s: u64) {
        let (key, name) = match group {
            Group::Vehicle => ("vehicle", "Vehicle"),
            Group::Person => ("person", "Person"),
            Group::Animal => ("animal", "Animal"),
        };
        let template = format!(
            "{{% if value_json.phase == 'start' and value_json.grp == '{key}' and value_json.replay is not defined \
             and (value_json.tu is not defined or as_timestamp(now()) - as_timestamp(value_json.t) < {LATE_S}) %}}\
             ON{{% endif %}}"
        );
        let keys = json!({
            "device_class": "motion",
            "off_delay": hold_s,
            "qos": 1,
            "state_topic": self.topics.event("sighting"),
            "value_template": template,
        });
        self.add_while_there(key, "binary_sensor", name, keys);
    }

    /// The event with all its keys; its type is the group.
    fn crossing(&mut self) {
        self.add(
            "crossing",
            "event",
            "Crossing",
            json!({
                "device_class": "motion",
                "event_types": Group::ALL.map(Group::as_str),
                "qos": 1,
                "state_topic": self.topics.event("crossing"),
                "value_template": "{% if value_json.replay is not defined %}\
                                   {{ dict(value_json, event_type=value_json.grp) | tojson }}{% endif %}",
            }),
        );
    }

    /// Every still has a topic of its own: the one that came last is shown.
    fn still(&mut self) {
        let topic = self.topics.still("+");
        self.add(
            "still",
            "image",
            "Last still",
            json!({ "content_type": "image/jpeg", "image_topic": topic, "qos": 1 }),
        );
    }
}

/// Of letters, digits, '_' and '-', as a discovery topic wants it, and another one
/// for each prefix and unit.
fn object_id(prefix: &str, unit: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let readable: String =
        format!("{prefix}_{unit}").chars().map(|c| if plain(c) || c == '_' { c } else { '-' }).collect();
    if prefix.chars().all(plain) && unit.chars().all(|c| plain(c) || c == '_') {
        return readable;
    }
    let hash = Sha256::digest(format!("{prefix}/{unit}"));
    let short: String = crate::domain::to_hex(&hash).chars().take(8).collect();
    format!("{readable}-{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_units_are_taken_for_one() {
        assert_eq!(object_id("tawny", "north-gate"), "tawny_north-gate");
        let all = [("a", "b_c"), ("a_b", "c"), ("a/b", "c"), ("a-b", "c"), ("a", "b.c"), ("a", "b-c"), ("a.b", "c")];
        let ids: std::collections::HashSet<String> = all.iter().map(|(prefix, unit)| object_id(prefix, unit)).collect();
        assert_eq!(ids.len(), all.len());
        for id in ids {
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{id}");
        }
    }
}
