//! Who has the login of one stolen unit, at a mosquitto with the configuration that
//! ships with Tawny.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions};

use crate::common::broker::{Broker, Subscriber, wait_for};
use crate::common::daemon::{Unit, binary};
use crate::watcher::{health, states, wait_health};

const PASSWORD: &str = "secret";

/// Two listeners as shipped, but for ports, certificates and places of files.
fn shipped_broker(folder: &Path) -> (Broker, u16) {
    for (file, users) in [("passwords", &["node7", "node8"][..]), ("receivers", &["receiver"])] {
        let path = folder.join(file);
        std::fs::write(&path, "").unwrap();
        for user in users {
            let made = Command::new("mosquitto_passwd").arg("-b").arg(&path).args([user, PASSWORD]).status();
            assert!(made.unwrap().success());
        }
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto");
    std::fs::copy(shipped.join("tawny.acl"), folder.join("acl")).unwrap();
    let text = std::fs::read_to_string(shipped.join("tawny.conf")).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let (passwords, receivers, acl) = (at("passwords"), at("receivers"), at("acl"));
    Broker::whole(|units, others| {
        let text = text
            .replace("\nlistener 8883\n", &format!("\nlistener {units} 127.0.0.1\n"))
            .replace("\nlistener 8884\n", &format!("\nlistener {others} 127.0.0.1\n"))
            .replace("\ncertfile ", "\n#certfile ")
            .replace("\nkeyfile ", "\n#keyfile ")
            .replace("/etc/mosquitto/tawny.passwords", &passwords)
            .replace("/etc/mosquitto/tawny.receivers", &receivers)
            .replace("/etc/mosquitto/tawny.acl", &acl);
        assert_eq!(text.matches(" 127.0.0.1\n").count(), 2, "both listeners are found");
        format!("{text}\npersistence_location {{dir}}/\n")
    })
}

fn options(user: &str, id: &str, port: u16) -> MqttOptions {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_credentials(user, PASSWORD).set_clean_start(true).set_max_packet_size(Some(1 << 20));
    options
}

/// Logs in as these ids, again and again, each as soon as it is thrown out.
struct Thief {
    stop: Arc<AtomicBool>,
    logins: Vec<JoinHandle<usize>>,
}

impl Thief {
    fn with(user: &'static str, port: u16, ids: &[&str]) -> Thief {
        let stop = Arc::new(AtomicBool::new(false));
        let logins = ids.iter().map(|id| {
            let (id, stop) = ((*id).to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || again_and_again(user, &id, port, &stop))
        });
        Thief { logins: logins.collect(), stop }
    }

    /// How often it was let in.
    fn end(self) -> usize {
        self.stop.store(true, SeqCst);
        self.logins.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

fn again_and_again(user: &str, id: &str, port: u16, stop: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_client, mut events) = AsyncClient::new(options(user, id, port), 10);
        let mut let_in = 0;
        while !stop.load(SeqCst) {
            match tokio::time::timeout(Duration::from_millis(100), events.poll()).await {
                Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => let_in += 1,
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => {}
            }
        }
        let_in
    })
}

fn may_log_in(user: &str, port: u16) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_client, mut events) = AsyncClient::new(options(user, "somebody", port), 10);
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => true,
            Err(ConnectionError::ConnectionRefused(_)) => false,
            other => panic!("{other:?}"),
        }
    })
}

fn node8(port: u16) -> Unit {
    let unit = Unit::new(&format!(
        "[[camera]]\nname = \"mute\"\nsource = \"missing.mp4\"\n[health]\ninterval = \"1s\"\n[unit]\nid = \"node8\"\n\
         [uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\nusername = \"node8\"\npassword_file = \"password\"\n"
    ));
    std::fs::write(unit.dir.path().join("password"), PASSWORD).unwrap();
    unit
}

fn run(unit: &Unit, args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(unit.dir.path()).output().unwrap()
}

/// What `tawny check` says of the broker.
fn check(unit: &Unit) -> String {
    let output = run(unit, &["check", "--config", "tawny.toml"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find(|line| line.starts_with("broker")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_stolen_login_silences_nobody_else_and_check_does_not_either() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, others) = shipped_broker(folder.path());
    assert!(may_log_in("node7", broker.port) && may_log_in("receiver", others));
    assert!(!may_log_in("node7", others), "a unit's login is one for units");
    let receiver = Subscriber::with(options("receiver", "listens", others));
    let unit = node8(broker.port);
    let daemon = unit.start();
    wait_health(&receiver, "it is there", |h| h["uplink"]["connections"] == 1);

    let thief = Thief::with("node7", broker.port, &["tawny-node8", "node8", "tawny-node8-check", "tawny-node8-"]);
    let before = health(&receiver).len();
    let said = check(&unit);
    assert!(said.contains("no login, because the running daemon"), "{said}");
    wait_for("it goes on", || health(&receiver).len() > before + 5);
    let url = format!("mqtt://127.0.0.1:{others}");
    let login = ["--broker", &url, "--username", "receiver", "--password-file", "password"];
    let asked = run(&unit, &[&["command"][..], &login, &["--unit", "node8", "ping"]].concat());
    assert!(asked.status.success(), "{asked:?}");
    // Another program with the unit's own login would throw it out, too.
    let replay = run(&unit, &["replay", "--config", "tawny.toml", "--publish", "missing.mp4"]);
    let refused = String::from_utf8_lossy(&replay.stderr).into_owned();
    assert!(!replay.status.success() && refused.contains("the running daemon is logged in as node8"), "{refused}");
    assert!(thief.end() > 0);
    wait_health(&receiver, "it was never thrown out", |h| h["uplink"]["connections"] == 1);
    assert_eq!(states(&receiver), ["online"], "{}", daemon.log());
    assert_eq!(daemon.terminate().code, Some(0));

    // A command waits for it: `check` leaves it alone.
    let ask = "{\"id\":\"waits\",\"do\":\"ping\"}".to_owned();
    publish(options("receiver", "asks", others), "tawny/node8/cmd", ask);
    let said = check(&unit);
    assert!(said.contains("logged in after"), "{said}");
    let daemon = unit.start();
    wait_for("it is answered", || receiver.messages().iter().any(|m| m.topic == "tawny/node8/reply/waits"));
    assert_eq!(daemon.terminate().code, Some(0));
}

fn publish(options: MqttOptions, topic: &str, payload: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options, 10);
        client.try_publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Incoming::PubAck(_))) {}
    });
}
