//! `tawny run` from outside: the real binary, a real broker, real video, and
//! all that cameras, brokers, disks and systemd do to a daemon.
//!
//! Nothing here waits for a time to pass; only the five seconds that stopping
//! may take are a promise and are held to it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::broker::{Broker, Subscriber, refusing_port, wait_for};
use common::camera::RtspCamera;
use common::daemon::{Daemon, End, Row, Unit, clip};
use serde_json::Value;

/// The pictures' own thread says when it has written one, and a still of what has just
/// passed may be too late to be sent: of no interest where events are counted.
const NO_STILLS: &str = "[evidence]\nstills = false\n";

/// What stopping may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Pictures in the street's clip.
const FRAMES: u64 = 188;

/// The street's line, as `ground_truth.toml` has it.
const LINE: &str = r#"
  [[camera.tripwire]]
  name = "line"
  from = [0.45, 1.0]
  to = [0.45, 0.0]
  forward = "right"
  backward = "left"
  anchor = "center"
"#;

/// A street that is played for ever as fast as it goes, with nine lines, so
/// that much happens.
fn busy_street() -> String {
    let lines = (1..=9).map(|i| LINE.replace("0.45", &format!("0.{i}")).replace("\"line\"", &format!("\"line{i}\"")));
    let camera = "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nrealtime = false\nloop = true\n";
    format!("{camera}{}[detector]\nactive_rate = 4.0\n", lines.collect::<String>())
}

/// The street at its own speed, once.
fn street() -> String {
    format!("[[camera]]\nname = \"road\"\nsource = \"STREET\"\n{LINE}")
}

fn with_broker(camera: &str, port: u16) -> String {
    format!("{camera}[uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\n")
}

fn unlimited_broker() -> Broker {
    Broker::with("allow_anonymous true\nmax_queued_messages 0\n")
}

fn is(event: &Value, kind: &str, phase: &str) -> bool {
    event["kind"] == kind && event["phase"] == phase
}

fn assert_gap_free(rows: &[Row]) {
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=rows.len() as u64).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row.event["seq"] == row.seq));
}

fn assert_stopped_well(end: &End) {
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < STOP_LIMIT, "took {:?}\n{}", end.took, end.log);
}

/// Every row was heard word for word.
fn assert_all_heard(rows: &[Row], subscriber: &Subscriber) {
    let heard: BTreeSet<String> = subscriber.messages().iter().map(|m| m.payload.clone()).collect();
    let missing: Vec<u64> = rows.iter().filter(|row| !heard.contains(&row.json)).map(|row| row.seq).collect();
    assert!(missing.is_empty(), "never heard: {missing:?} of {}", rows.len());
}

#[test]
fn a_street_becomes_crossings_at_a_subscriber() {
    let broker = unlimited_broker();
    let subscriber = Subscriber::persistent(broker.port);
    let unit = Unit::new(&format!("{}{NO_STILLS}[health]\ninterval = \"1s\"\n", with_broker(&street(), broker.port)));
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    wait_for("the goodbye", || subscriber.messages().iter().any(|m| m.payload.contains("\"offline\"")));

    let rows = unit.rows();
    assert_gap_free(&rows);
    assert_all_heard(&rows, &subscriber);
    assert!(rows.iter().all(|row| row.state == "delivered"), "{rows:?}");
    let crossings: Vec<_> = rows.iter().filter(|row| row.event["kind"] == "crossing").map(|row| &row.event).collect();
    let passed: Vec<_> = crossings.iter().map(|e| (e["dir"].as_str().unwrap(), e["grp"].as_str().unwrap())).collect();
    assert_eq!(passed, [("left", "vehicle"), ("right", "vehicle")]);
    assert!(crossings.iter().all(|e| e["cam"] == "road" && e["wire"] == "line" && e["ts"] != "file"));
    let kinds: Vec<_> = rows.iter().map(|row| row.event["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"boot"), Some(&"watch")));
    let camera: Vec<_> = rows.iter().filter(|row| row.event["kind"] == "camera").map(|row| &row.event["why"]).collect();
    assert_eq!(camera, ["end of file"]);
    let watch = &rows.last().unwrap().event;
    assert_eq!(watch["frames"], FRAMES, "{watch}");

    let messages = subscriber.messages();
    let status: Vec<Value> = messages
        .iter()
        .filter(|m| m.topic == "tawny/unit/status")
        .map(|m| serde_json::from_str(&m.payload).unwrap())
        .collect();
    assert_eq!((&status[0]["state"], &status[1]["state"]), (&"online".into(), &"offline".into()));
    assert_eq!((&status[1]["seq"], &status[1]["low"]), (&rows.len().into(), &rows.len().into()));
    let health: Vec<Value> = messages
        .iter()
        .filter(|m| m.topic == "tawny/unit/health")
        .map(|m| serde_json::from_str(&m.payload).unwrap())
        .collect();
    let documented = include_str!("../docs/reference/health.md");
    for key in health.last().unwrap().as_object().unwrap().keys() {
        let known = [format!("| `{key}` |"), format!("`{key}."), format!("`{key}[].")];
        assert!(known.iter().any(|k| documented.contains(k)), "{key} is not documented");
    }
    let camera = &health.last().unwrap()["cameras"][0];
    assert!(camera["up"] == true && camera["decoded"].as_u64() > Some(0) && camera["inferences"].as_u64() > Some(0));
    // Who comes later still learns that the unit is off.
    let later = Subscriber::start(broker.port);
    wait_for("the retained status", || later.messages().iter().any(|m| m.retained && m.payload.contains("offline")));
}

#[test]
fn killed_twenty_times_it_loses_nothing() {
    let broker = unlimited_broker();
    let subscriber = Subscriber::persistent(broker.port);
    let unit = Unit::new(&with_broker(&(busy_street() + NO_STILLS), broker.port));
    let seed = getrandom::u32().unwrap();
    let mut random = seed;
    let mut below = |limit: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % limit
    };
    let mut committed: BTreeMap<u64, String> = BTreeMap::new();
    for kill in 0..20 {
        let before = subscriber.seqs().len();
        let daemon = unit.start();
        // Every fourth time anywhere in its start, else while it works.
        if kill % 4 != 0 {
            let some = 1 + below(12) as usize;
            wait_for("events come", || subscriber.seqs().len() >= before + some);
            std::thread::sleep(Duration::from_millis(below(200).into()));
        } else {
            std::thread::sleep(Duration::from_millis(below(700).into()));
        }
        daemon.kill();
        committed.extend(unit.rows().into_iter().map(|row| (row.seq, row.json)));
    }
    let last = unit.start();
    wait_for("something new comes", || subscriber.seqs().last() > committed.keys().last());
    assert_stopped_well(&last.terminate());

    let rows = unit.rows();
    assert_gap_free(&rows);
    let kept: BTreeMap<u64, String> = rows.iter().map(|row| (row.seq, row.json.clone())).collect();
    assert!(committed.iter().all(|(seq, json)| kept.get(seq) == Some(json)), "what was committed has changed");
    assert!(rows.iter().all(|row| row.state == "delivered"));
    wait_for("all is heard", || subscriber.seqs().len() >= rows.len());
    assert_all_heard(&rows, &subscriber);

    let with = |phase| rows.iter().filter(move |row| is(&row.event, "sighting", phase));
    let started: BTreeSet<_> = with("start").map(|row| row.event["id"].as_str().unwrap()).collect();
    let ends: Vec<_> = with("end").map(|row| row.event["id"].as_str().unwrap()).collect();
    assert_eq!(ends.iter().copied().collect::<BTreeSet<_>>(), started, "each start has its end");
    assert_eq!(ends.len(), started.len(), "and only one");
    let interrupted = with("end").filter(|row| row.event["why"] == "interrupted").count();
    let boots = rows.iter().filter(|row| row.event["kind"] == "boot").count();
    let heard = subscriber.messages().iter().filter(|m| m.topic.contains("/event/")).count();
    println!(
        "seed {seed}: {} committed, {heard} heard, {boots} boots, {} sightings, {interrupted} interrupted",
        rows.len(),
        started.len()
    );
    assert!(interrupted > 0, "seed {seed}: no sighting was cut off; is the clip too quiet?");
}

#[test]
fn sigterm_under_load_delivers_everything() {
    let broker = unlimited_broker();
    let subscriber = Subscriber::persistent(broker.port);
    // First a heap of events that no broker took.
    let busy = busy_street() + NO_STILLS;
    let unit = Unit::new(&busy);
    let daemon = unit.start();
    wait_for("a heap of events", || unit.rows().len() > 15);
    assert_stopped_well(&daemon.terminate());
    let heap = unit.rows().len();
    unit.configure(&with_broker(&busy, broker.port));
    let daemon = unit.start();
    wait_for("new events come", || subscriber.seqs().len() > heap + 10);
    assert_stopped_well(&daemon.terminate());
    let rows = unit.rows();
    assert_gap_free(&rows);
    assert!(rows.iter().all(|row| row.state == "delivered"));
    wait_for("all is heard", || subscriber.seqs().len() >= rows.len());
    assert_all_heard(&rows, &subscriber);
    let starts = rows.iter().filter(|row| is(&row.event, "sighting", "start")).count();
    let ends = rows.iter().filter(|row| is(&row.event, "sighting", "end")).count();
    assert_eq!(starts, ends);
}

#[test]
fn sigterm_ends_it_in_time_whatever_the_broker_does() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [refusing_port(), silent.local_addr().unwrap().port()] {
        let unit = Unit::new(&with_broker(&(busy_street() + NO_STILLS), port));
        let daemon = unit.start();
        wait_for("events happen", || unit.rows().iter().any(|row| row.event["kind"] == "sighting"));
        assert_stopped_well(&daemon.terminate());
        let rows = unit.rows();
        assert_gap_free(&rows);
        assert!(rows.iter().all(|row| row.state == "queued"));
        assert_eq!(rows.last().unwrap().event["kind"], "watch");
    }
}

/// Whether a program with `mark` in its command line runs.
fn runs(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|argument| argument == mark)
    })
}

#[test]
fn sigterm_ends_it_and_its_programs_when_a_camera_hangs() {
    let mark = format!("1000.{}", getrandom::u32().unwrap());
    // The shell does not stand aside for the program it started.
    let unit = Unit::new(&format!(
        "[[camera]]\nname = \"direct\"\nsource = {{ command = [\"sleep\", \"{mark}1\"], format = \"h264\" }}\n\
         [[camera]]\nname = \"script\"\n\
         source = {{ command = [\"sh\", \"-c\", \"sleep {mark}2; true\"], format = \"h264\" }}\n"
    ));
    let daemon = unit.start();
    for n in 1..=2 {
        wait_for("the program runs", || runs(&format!("{mark}{n}")));
    }
    assert_stopped_well(&daemon.terminate());
    for n in 1..=2 {
        assert!(!runs(&format!("{mark}{n}")), "program {n} was left behind");
    }
}

#[test]
fn a_program_that_ends_is_a_camera_lost_and_back() {
    let unit = Unit::new(
        "[[camera]]\nname = \"road\"\nsource = { command = [\"ffmpeg\", \"-v\", \"error\", \"-i\", \"STREET\", \
         \"-t\", \"4\", \"-c\", \"copy\", \"-bsf:v\", \"h264_mp4toannexb\", \"-f\", \"h264\", \"-\"], \
         format = \"h264\" }\n",
    );
    let mut daemon = unit.start();
    let lost = unit.wait_event("the camera is lost", |e| is(e, "camera", "lost"));
    assert!(lost["why"].as_str().unwrap().contains("ended"), "{lost}");
    unit.wait_event("the camera is back", |e| is(e, "camera", "back"));
    wait_for("it is lost again", || unit.rows().iter().filter(|r| is(&r.event, "camera", "lost")).count() == 2);
    assert!(daemon.is_running());
    assert_stopped_well(&daemon.terminate());
}

#[test]
fn a_bad_camera_says_why_and_does_not_hinder_the_good_one() {
    let unit = Unit::new(&format!(
        "{}\
         [[camera]]\nname = \"missing\"\nsource = \"later.mp4\"\nloop = true\n\
         [[camera]]\nname = \"text\"\nsource = \"tawny.toml\"\n\
         [[camera]]\nname = \"empty\"\nsource = \"empty.mp4\"\n\
         [[camera]]\nname = \"device\"\nsource = \"/dev/video97\"\n\
         [[camera]]\nname = \"refused\"\nsource = \"rtsp://127.0.0.1:{}/stream\"\n\
         [[camera]]\nname = \"no-program\"\nsource = {{ command = [\"tawny-no-such-program\"], format = \"h264\" }}\n\
         [[camera]]\nname = \"garbage\"\n\
         source = {{ command = [\"head\", \"-c\", \"300000\", \"/dev/urandom\"], format = \"h264\" }}\n\
         [[camera]]\nname = \"format\"\nsource = {{ command = [\"sleep\", \"9\"], format = \"nonesuch\" }}\n",
        street(),
        refusing_port(),
    ));
    std::fs::write(unit.dir.path().join("empty.mp4"), "").unwrap();
    let mut daemon = unit.start();
    for (camera, why) in [
        ("missing", "there is no such file"),
        ("text", "no recording in a known form"),
        ("empty", "the file is empty"),
        ("device", "No such file or directory"),
        ("refused", "refused"),
        ("no-program", "tawny-no-such-program"),
        ("format", "nonesuch"),
    ] {
        let lost = unit.wait_event(&format!("{camera} is lost"), |e| is(e, "camera", "lost") && e["cam"] == camera);
        assert!(lost["why"].as_str().unwrap().contains(why), "{lost}");
    }
    let trouble = unit.wait_event("garbage is no camera", |e| e["kind"] == "camera" && e["cam"] == "garbage");
    assert!(trouble["phase"] == "lost" || trouble["phase"] == "blind", "{trouble}");
    // A file that comes later is a camera that comes back.
    std::fs::copy(clip("street.mp4"), unit.dir.path().join("later.mp4")).unwrap();
    unit.wait_event("the file is found", |e| is(e, "camera", "back") && e["cam"] == "missing");
    unit.wait_event("the good one works", |e| e["kind"] == "crossing" && e["cam"] == "road");
    assert!(daemon.is_running());
    assert_stopped_well(&daemon.terminate());
    for row in unit.rows() {
        assert!(row.event["kind"] != "camera" || row.event["cam"] != "road", "{}", row.json);
    }
}

#[test]
fn a_network_camera_is_watched_lost_and_found_again() {
    let camera = RtspCamera::start(&clip("street.mp4"));
    let port = camera.port;
    let unit = Unit::new(&format!("[[camera]]\nname = \"road\"\nsource = \"{}\"\n{LINE}", camera.url()));
    let daemon = unit.start();
    let crossing = unit.wait_event("a crossing", |e| e["kind"] == "crossing");
    assert_eq!((&crossing["dir"], &crossing["grp"]), (&"left".into(), &"vehicle".into()));
    drop(camera);
    unit.wait_event("the camera is lost", |e| is(e, "camera", "lost"));
    let camera = RtspCamera::on(port, &clip("street.mp4"));
    unit.wait_event("the camera is back", |e| is(e, "camera", "back"));
    assert_stopped_well(&daemon.terminate());
    drop(camera);
}

#[test]
fn systemd_is_told_of_start_life_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = move || {
        let mut buffer = [0; 4096];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    let unit = Unit::new(&busy_street());
    let mut command = unit.command();
    let daemon = Daemon::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000"));
    assert!(heard().contains("READY=1"));
    let began = Instant::now();
    for _ in 0..4 {
        assert!(heard().contains("WATCHDOG=1"));
    }
    assert!(began.elapsed() < Duration::from_secs(4 * 3), "slower than systemd wants it");
    let end = std::thread::spawn(move || daemon.terminate());
    while !heard().contains("STOPPING=1") {}
    assert_stopped_well(&end.join().unwrap());
}

#[test]
fn a_bad_start_ends_with_one_message_and_the_right_code() {
    let one_message = |unit: &Unit, code: i32, parts: &[&str]| {
        let end = Daemon::start(unit.command().env("TAWNY_LOG", "error")).wait();
        assert_eq!(end.code, Some(code), "{}", end.log);
        let messages = end.log.lines().filter(|line| line.starts_with("tawny: ")).count();
        assert!(end.log.starts_with("tawny: ") && messages == 1, "one message: {}", end.log);
        assert!(parts.iter().all(|part| end.log.contains(part)), "{parts:?} in {}", end.log);
    };
    one_message(&Unit::new(""), 2, &["camera"]);

    let unit = Unit::new(&street());
    std::fs::create_dir(unit.journal()).unwrap();
    one_message(&unit, 1, &["journal.db"]);

    let unit = Unit::new(&format!("{}[detector]\nmodel = \"garbage.onnx\"\n", street()));
    std::fs::write(unit.dir.path().join("garbage.onnx"), "no model at all").unwrap();
    one_message(&unit, 1, &["garbage.onnx"]);

    let unit = Unit::new(&format!("{}[detector]\nruntime = \"libnone.so\"\n", street()));
    one_message(&unit, 1, &["libnone.so"]);

    let unit = Unit::new(
        &with_broker(&street(), 1883).replace("[uplink]", "[uplink]\nusername = \"unit\"\npassword_file = \"none\""),
    );
    one_message(&unit, 1, &["none"]);

    let unit = Unit::new(&street());
    let first = unit.start();
    first.wait_log("watching");
    one_message(&unit, 1, &["journal.db", "another"]);
    assert_stopped_well(&first.terminate());
}

/// A broker that wants a password.
fn guarded_broker(dir: &Path, password: &str) -> Broker {
    let passwords = dir.join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["unit", password]).status();
    assert!(made.unwrap().success());
    Broker::with(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()))
}

fn with_login(config: &str, unit: &Unit, password: &str) {
    std::fs::write(unit.dir.path().join("mqtt-password"), format!("{password}\n")).unwrap();
    unit.configure(&format!("{config}username = \"unit\"\npassword_file = \"mqtt-password\"\n"));
}

#[test]
fn a_refused_login_is_said_once_and_the_unit_watches_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = guarded_broker(dir.path(), "right");
    let unit = Unit::new("");
    with_login(&with_broker(&busy_street(), broker.port), &unit, "wrong");
    let mut daemon = unit.start();
    unit.wait_event("it watches", |e| e["kind"] == "crossing");
    daemon.wait_log("password");
    assert!(daemon.is_running());
    let end = daemon.terminate();
    assert_stopped_well(&end);
    let said = end.log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert_eq!(said, 1, "{}", end.log);
}

#[test]
fn no_secret_is_logged_and_files_are_the_owners_alone() {
    let (camera_secret, broker_secret) = ("Zmhunter2Q", "Xkswordfish7");
    let dir = tempfile::tempdir().unwrap();
    let broker = guarded_broker(dir.path(), broker_secret);
    let camera = RtspCamera::start(&clip("street.mp4"));
    let unit = Unit::new("");
    let login = format!("unit:{camera_secret}@");
    let cameras = format!(
        "[[camera]]\nname = \"road\"\nsource = \"rtsp://{login}127.0.0.1:{}/stream\"\n\
         [[camera]]\nname = \"off\"\nsource = \"rtsp://{login}127.0.0.1:{}/stream?password={camera_secret}\"\n",
        camera.port,
        refusing_port(),
    );
    with_login(&with_broker(&cameras, broker.port), &unit, broker_secret);
    let daemon = Daemon::start(unit.command().env("TAWNY_LOG", "trace"));
    unit.wait_event("a camera is lost", |e| is(e, "camera", "lost"));
    drop(camera);
    unit.wait_event("the other, too", |e| is(e, "camera", "lost") && e["cam"] == "road");
    let end = daemon.terminate();
    assert_stopped_well(&end);
    assert!(end.log.contains("TRACE") || end.log.contains("DEBUG"), "the log is not at its finest");
    assert!(unit.rows().iter().any(|row| row.state != "queued"), "the broker took nothing");
    let told = unit.rows().iter().map(|row| row.json.as_str()).chain([end.log.as_str()]).collect::<String>();
    for secret in [camera_secret, broker_secret] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    for file in std::fs::read_dir(unit.dir.path()).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().starts_with("journal") {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }
}

#[test]
fn memory_stays_small() {
    // Not the measurement, which docs/performance.md has, but a guard.
    let unit = Unit::new(&busy_street());
    let daemon = unit.start();
    unit.wait_event("it works", |e| e["kind"] == "crossing");
    let mut status = String::new();
    std::fs::File::open(format!("/proc/{}/status", daemon.pid())).unwrap().read_to_string(&mut status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kb < 200_000, "{peak_kb} kB");
    assert_stopped_well(&daemon.terminate());
}
