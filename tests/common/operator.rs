//! An operator's end: signs commands, sends them, and hears what is answered.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tawny::clock::{boot_id, utc_now};
use tawny::control::{Holds, Keyring, Wording};
use tawny::journal::JournalReader;

use super::broker::{Broker, Message, Subscriber, publish_as, refusing_port, wait_for};
use super::daemon::{Daemon, Unit};

/// A camera that is never there: costs nothing.
pub fn no_camera() -> String {
    format!("[[camera]]\nname = \"road\"\nsource = \"rtsp://127.0.0.1:{}/\"\n", refusing_port())
}

/// The street at its own speed, again and again.
pub const STREET_AGAIN: &str = "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nloop = true\n\
    [[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]\nanchor = \"center\"\n\
    [detector]\nactive_rate = 4.0\n[health]\ninterval = \"1s\"\n";

/// A unit with `more` in its configuration that trusts `keys`.
pub fn unit(broker: &Broker, more: &str, keys: &[&Keyring]) -> Unit {
    let keys: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.public())).collect();
    Unit::new(&format!("{more}[uplink]\nbroker = \"{}\"\noperator_keys = [{}]\n", broker.url(), keys.join(", ")))
}

pub fn alice() -> Keyring {
    Keyring::from_secret([1; 32], "alice").unwrap()
}

pub fn log(unit: &Unit) -> String {
    JournalReader::open(&unit.journal()).unwrap().log().unwrap().0
}

/// The other end: sends payloads and sees replies.
pub struct Operator {
    port: u16,
    pub subscriber: Subscriber,
}

impl Operator {
    pub fn new(broker: &Broker) -> Operator {
        Operator { port: broker.port, subscriber: Subscriber::start(broker.port) }
    }

    pub fn wait_online(&self) {
        self.wait_status("\"online\"");
    }

    pub fn wait_status(&self, state: &str) {
        wait_for(&format!("the unit is {state}"), || {
            let messages = self.subscriber.messages();
            messages.iter().rfind(|m| m.topic.ends_with("/status")).is_some_and(|m| m.payload.contains(state))
        });
    }

    /// Kills it, and waits until the broker has noticed: what comes later is not
    /// from it.
    pub fn kill(&self, daemon: Daemon) {
        daemon.kill();
        self.wait_status("\"offline\"");
    }

    pub fn replies(&self, id: &str) -> Vec<Value> {
        let topic = format!("tawny/unit/reply/{id}");
        let messages = self.subscriber.messages();
        let found = messages.iter().filter(|m| m.topic == topic);
        found.map(|m| serde_json::from_str(&m.payload).unwrap()).collect()
    }

    /// Sends it and waits for one more reply to `id` than there were.
    pub fn send(&self, id: &str, retain: bool, payload: &str) -> Value {
        let before = self.replies(id).len();
        publish_as(None, self.port, "tawny/unit/cmd", retain, payload);
        wait_for("a reply", || self.replies(id).len() > before);
        self.replies(id).pop().unwrap()
    }

    pub fn last_health(&self) -> Value {
        let messages = self.subscriber.messages();
        let health = messages.iter().rfind(|m| m.topic.ends_with("/health"));
        health.map_or(Value::Null, |m| serde_json::from_str(&m.payload).unwrap())
    }
}

/// From now on, on this machine.
pub fn ten_minutes() -> Holds {
    Holds { until: utc_now().plus(Duration::from_secs(600)), boot: Some(boot_id()) }
}

pub fn signed(key: &Keyring, log: &str, id: &str, n: u64, what: Value) -> String {
    signed_for(key, log, id, n, Some(ten_minutes()), what)
}

pub fn signed_for(key: &Keyring, log: &str, id: &str, n: u64, holds: Option<Holds>, what: Value) -> String {
    key.sign("tawny/unit", &Wording { log, id, n, holds, text: &what.to_string() }).unwrap().to_json()
}

impl Operator {
    /// What follows the reply to `id`.
    pub fn parts(&self, id: &str) -> Vec<Arc<Message>> {
        let (reply, parts) = (format!("tawny/unit/reply/{id}"), format!("tawny/unit/part/{id}/"));
        let answer = self.subscriber.messages().into_iter().skip_while(|m| m.topic != reply);
        answer.filter(|m| m.topic.starts_with(&parts)).collect()
    }

    /// The file that they are so far, from where they begin.
    pub fn file(&self, id: &str) -> Vec<u8> {
        let parts = self.parts(id);
        let offset = |part: &Arc<Message>| part.topic.rsplit('/').next().unwrap().parse::<usize>().unwrap();
        let from = parts.first().map_or(0, offset);
        let mut file = Vec::new();
        for part in &parts {
            assert_eq!(offset(part), from + file.len(), "each follows the one before");
            file.extend_from_slice(&part.bytes);
        }
        file
    }

    /// Sends a signed command and waits for the file that answers it.
    pub fn fetch(&self, id: &str, payload: &str) -> (Value, Vec<u8>) {
        let reply = self.send(id, false, payload);
        assert_eq!(reply["ok"], true, "{reply}");
        let number = |key: &str| reply["file"][key].as_u64().unwrap() as usize;
        let wanted = number("bytes") - number("from");
        wait_for("all of the file", || self.file(id).len() >= wanted);
        (reply["file"].clone(), self.file(id))
    }
}
