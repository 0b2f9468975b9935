//! Secrets are planted wherever an owner may write one, and nothing that the program
//! says, sends or keeps may hold any of them: at the most talkative level, when
//! things fail, and in what comes of wrong configurations.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::broker::{Broker, Subscriber, wait_for};
use common::camera::{Guard, RtspCamera, Whims};
use common::daemon::{Unit, binary, clip};
use rumqttc::v5::MqttOptions;

/// What every planted secret begins with, and what must not appear anywhere.
const MARK: &str = "Plant3d";

/// Passwords with all that has to be encoded in a URL.
const CAMERA_PASSWORD: &str = "Plant3d#c/a?m@%25";
const CAMERA_ENCODED: &str = "Plant3d%23c%2Fa%3Fm%40%2525";
const BROKER_PASSWORD: &str = "Plant3d-broker";

/// `bytes` without any secret, nor the base64 of one behind "admin:" or "unit:".
#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    // base64 of "admin:Plant3d", of "unit:Plant3d", and of the mark itself, as far as whole groups go.
    for secret in [MARK, "YWRtaW46UGxhbnQz", "dW5pdDpQbGFudDNk", "UGxhbnQz"] {
        let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 60)];
            panic!("{what} shows a secret: {}", String::from_utf8_lossy(around));
        }
    }
}

/// Everything below `folder`, but for what its owner wrote.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn tawny(arguments: &[&str], config: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--config").arg(config).env("TAWNY_LOG", "trace");
    command.output().unwrap()
}

fn assert_clean_output(what: &str, output: &Output) {
    assert_clean(&format!("{what}: its stdout"), &output.stdout);
    assert_clean(&format!("{what}: its stderr"), &output.stderr);
}

/// A broker that asks for a login.
fn guarded_broker(folder: &Path) -> Broker {
    let passwords = folder.join("passwords");
    let mut make = Command::new("mosquitto_passwd");
    make.args(["-b", "-c"]).arg(&passwords).args(["unit", BROKER_PASSWORD]);
    assert!(make.status().expect("mosquitto_passwd is installed").success());
    Broker::with(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()))
}

#[test]
fn nothing_that_is_said_sent_or_kept_holds_a_secret() {
    let outside = tempfile::tempdir().unwrap();
    let broker = guarded_broker(outside.path());
    let mut options = MqttOptions::new("listener", "127.0.0.1", broker.port);
    options.set_credentials("unit", BROKER_PASSWORD).set_max_packet_size(Some(1 << 20));
    let subscriber = Subscriber::with(options);
    let guard = Guard::md5("admin", CAMERA_PASSWORD);
    let good = RtspCamera::with(0, &clip("street.mp4"), Whims { guard: Some(guard), ..Whims::default() });
    let denying = RtspCamera::with(0, &clip("street.mp4"), Whims { denies: true, ..Whims::default() });
    let unit = Unit::new(&format!(
        r#"
[[camera]]
name = "good"
source = "rtsp://admin:{CAMERA_ENCODED}@127.0.0.1:{}/admin_Plant3d-path/?user=admin&password=Plant3d-query&token=Plant3d-token"
  [[camera.tripwire]]
  name = "line"
  from = [0.45, 1.0]
  to = [0.45, 0.0]
[[camera]]
name = "denying"
source = "rtsp://Plant3d-user:Plant3d-x@127.0.0.1:{}/Plant3d-path"
[[camera]]
name = "dead"
source = "rtsps://admin:{CAMERA_ENCODED}@127.0.0.1:1/Plant3d-path?token=Plant3d-token"
[[camera]]
name = "nobody"
source = "rtsp://admin:{CAMERA_ENCODED}@Plant3d-host.invalid/"
[[camera]]
name = "program"
source = {{ command = ["/bin/false", "--password=Plant3d-argument"], format = "h264" }}
[[camera]]
name = "clip"
source = "missing.mp4"
[uplink]
broker = "mqtt://127.0.0.1:{}"
username = "unit"
password_file = "password"
link_up = ["/bin/true", "Plant3d-pin"]
[health]
interval = "1s"
"#,
        good.port, denying.port, broker.port
    ));
    std::fs::write(unit.dir.path().join("password"), format!("{BROKER_PASSWORD}\n")).unwrap();
    let daemon = common::daemon::Daemon::start(unit.command().env("TAWNY_LOG", "trace"));
    for name in ["denying", "dead", "nobody", "program", "clip"] {
        let lost = unit.wait_event(&format!("{name} is lost"), |e| e["cam"] == name && e["phase"] == "lost");
        let why = lost["why"].as_str().unwrap();
        assert!(
            !["127.0.0.1", "invalid", ":1", "://", " /", "missing.mp4"].iter().any(|part| why.contains(part)),
            "{lost}"
        );
    }
    unit.wait_event("the good one sees a crossing", |e| e["kind"] == "crossing");
    wait_for("events and health are heard", || {
        let heard = |topic: &str| subscriber.messages().iter().any(|message| message.topic.contains(topic));
        heard("/event/crossing") && heard("/event/camera") && heard("/health")
    });

    let config = unit.config();
    for arguments in [
        &["check"][..],
        &["config", "show"],
        &["events"],
        &["events", "--format", "jsonl"],
        &["events", "--format", "csv"],
        &["aim", "--camera", "dead", "--out", "/dev/null"],
        &["aim", "--camera", "Plant3", "--out", "/dev/null"],
    ] {
        assert_clean_output(&format!("{arguments:?}"), &tawny(arguments, &config));
    }
    let mut replay = Command::new(binary());
    replay.args(["replay", &format!("rtsp://admin:{CAMERA_ENCODED}@127.0.0.1:1/Plant3d-path")]);
    assert_clean_output("replay", &replay.env("TAWNY_LOG", "trace").output().unwrap());

    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.log.contains("DEBUG"), "the level is the most talkative: {}", end.log);
    assert_clean("the log", end.log.as_bytes());
    for message in subscriber.messages() {
        assert_clean(&message.topic, &message.bytes);
    }
    let mut kept = Vec::new();
    files(unit.dir.path(), &mut kept);
    kept.retain(|path| !["tawny.toml", "password"].iter().any(|own| path.ends_with(own)));
    assert!(kept.iter().any(|path| path.ends_with("journal.db")), "{kept:?}");
    for path in kept {
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let configuration = tawny::config::load(Some(&config)).unwrap();
    assert_clean("a panic that prints all of the configuration", format!("{configuration:?}").as_bytes());
}

/// In the first line that is wrong, beside what is wrong, and behind it.
#[test]
fn no_message_about_a_wrong_configuration_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tawny.toml");
    let camera = |source: &str| format!("[[camera]]\nname = \"a\"\nsource = {source}\n");
    for (i, text) in [
        camera("'rtsp://admin:Plant3d/x@cam/s'"),
        camera("'rtsp://admin:Plant3d?x@cam/s'"),
        camera("'rtsp://admin:Plant3d#x@cam/s'"),
        camera("'rtsp://admin:Plant3d@x@cam/s'"),
        camera("'rtsp://admin:Plant3d%x@cam/s'"),
        camera("'rtsp://admin:Plant3d/x'"),
        camera("'rtsp:/admin:Plant3d@cam/s'"),
        camera("'Plant3d://cam'"),
        camera("'http://cam/Plant3d'"),
        camera("rtsp://admin:Plant3d@cam/s"),
        camera("'rtsp://admin:Plant3d@cam/s"),
        camera("\"rtsp://admin:Plant3d\\q@cam/s\""),
        camera("\"\"\"\nrtsp://admin:Plant3d\\q@cam/s\"\"\""),
        camera("'''\nrtsp://admin:Plant3d@cam/s"),
        camera("'rtsp://cam/Plant3d' 'rtsp://cam/Plant3d'"),
        camera("'rtsp://cam/?token=Plant3d'\nloop = true"),
        camera("'rtsp://cam/?token=Plant3d'\nsource = 'Plant3d'"),
        camera("['rtsp://admin:Plant3d@cam/s']"),
        camera("{ command = ['a', 'Plant3d'], format = 'h264', password = 'Plant3d' }"),
        camera("{ command = ['a', 'Plant3d'] }"),
        camera("{ command = ['a', 'Plant3d', format = 'h264' }"),
        "camera = [{ name = 'a', source = 'rtsp://u:Plant3d@cam/', nmae = 'Plant3d' }]\n".into(),
        "camera = [\n  { name = 'a', source = 'rtsp://u:Plant3d@cam/', nmae = 'Plant3d' },\n]\n".into(),
        "[[camera]]\nname = 'a', source = 'rtsp://u:Plant3d@cam/'\n".into(),
        "[[camera]]\nname = 'a' # 'rtsp://u:Plant3d@cam/'\nnmae = 1 # Plant3d\n".into(),
        "[[camera]]\nsource 'rtsp://u:Plant3d@cam/'\n".into(),
        "[[camera]]\n'rtsp://u:Plant3d@cam/' = 1\n".into(),
        "[uplink]\nbroker = 'mqtt://joe:Plant3d/x@h'\n".into(),
        "[uplink]\nbroker = 'mqtt://h?token=Plant3d'\n".into(),
        "[uplink]\nbroker = 'Plant3d://h'\n".into(),
        "[uplink]\nbroker = mqtt://joe:Plant3d@h\n".into(),
        "[uplink]\npassword = 'Plant3d'\npasword = 'Plant3d'\n".into(),
        "[uplink]\nusername = 'unit'\npassword_file = { text = 'Plant3d' }\n".into(),
        "[uplink]\nwindow = 0\noperator_keys = ['Plant3d']\n".into(),
        "[uplink.'Plant3d@h']\nwindow = 0\n".into(),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&path, &text).unwrap();
        let output = tawny(&["config", "show"], &path);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{i}: {text}{message}");
        assert_clean_output(&text, &output);
    }
    // What belongs to the broker, in the wrong files.
    let key = folder.path().join("key.pem");
    std::fs::write(&key, "-----BEGIN Plant3d\nPlant3d\n-----END PRIVATE KEY-----\n").unwrap();
    for keys in ["ca_file = 'key.pem'", "client_key_file = 'key.pem'\nclient_cert_file = 'key.pem'"] {
        let text = format!("[[camera]]\nsource = '/dev/null'\n[uplink]\nbroker = 'mqtts://localhost'\n{keys}\n");
        std::fs::write(&path, text).unwrap();
        for arguments in [&["check"][..], &["run"]] {
            let output = tawny(arguments, &path);
            assert_ne!(output.status.code(), Some(0));
            assert_clean_output(keys, &output);
        }
    }
}

/// Where another argument belongs, and in the variables that the program reads.
#[test]
fn what_is_typed_in_the_wrong_place_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tawny.toml");
    std::fs::write(&config, "[[camera]]\nname = 'c'\nsource = 'x.mp4'\n").unwrap();
    let config = config.to_str().unwrap();
    for address in [
        "rtsp://admin:Plant3d@127.0.0.1:1/s",
        "rtsp://admin:Plant3d/x@127.0.0.1/",
        "http://127.0.0.1:1/?token=Plant3d",
        "mqtt://unit:Plant3d@127.0.0.1:1",
        "https://127.0.0.1/Plant3d",
        "admin:Plant3d@127.0.0.1",
    ] {
        let option = format!("--config={address}");
        for arguments in [
            &[address][..],
            &["check", address],
            &["check", "--config", address],
            &["check", &option],
            &["config", "show", "--config", address],
            &["replay", "x.mp4", "--fps", address],
            &["replay", address],
            &["detect", "--config", config, address],
            &["aim", "--config", config, "--camera", "c", "--out", address],
            &["events", "--config", config, "--since", address],
            &["report", "--journal", address, "--out", "/dev/null"],
            &["receive", address],
            &["receive", "--broker", address],
            &["receive", "--broker", "mqtt://127.0.0.1:1", "--password-file", address],
            &["command", "--broker", address, "--unit", "u", "ping"],
            &["command", "--broker", "mqtt://127.0.0.1:1", "--unit", "u", "--key", address, "ping"],
            &["key", "show", address],
        ] {
            let output = Command::new(binary()).args(arguments).output().unwrap();
            assert_ne!(output.status.code(), Some(0), "{arguments:?}");
            assert_clean_output(&format!("{arguments:?}"), &output);
        }
        let mut check = Command::new(binary());
        let output = check.args(["check", "--config", config]).env("TAWNY_LOG", format!("info,{address}")).output();
        assert_clean_output("TAWNY_LOG", &output.unwrap());
    }
}
