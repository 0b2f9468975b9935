//! Pictures and clips that operators have sent to them: the real binary as unit and as
//! operator, a real broker between them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::broker::{Broker, Subscriber, Wire, wait_for};
use common::daemon::{Unit, binary};
use common::operator::{Operator, STREET_AGAIN, alice, log, no_camera, signed, unit};
use common::program::{Said, tawny};
use serde_json::{Value, json};
use tawny::control::Keyring;
use tawny::evidence::{Item, Kind, checksum};

/// What the operators' side of the configuration is with alice alone.
fn uplink(broker: &Broker) -> String {
    format!("[uplink]\nbroker = \"{}\"\noperator_keys = [\"{}\"]\n", broker.url(), alice().public())
}

#[test]
fn a_picture_of_now_is_small_and_hidden_and_may_explain_itself() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let unit = unit(&broker, STREET_AGAIN, &[&alice()]);
    let daemon = unit.start();
    unit.wait_event("it watches", |e| e["kind"] == "sighting");
    let log = log(&unit);
    let mut n = 0;
    let mut ask = |what: Value| {
        n += 1;
        (format!("s{n}"), signed(&alice(), &log, &format!("s{n}"), n, what))
    };
    let (id, payload) = ask(json!({"do": "still", "cam": "road"}));
    let (file, plain) = operator.fetch(&id, &payload);
    assert_eq!((&file["type"], &file["from"]), (&json!("image/jpeg"), &json!(0)));
    assert_eq!(
        (file["sha256"].as_str().unwrap(), file["bytes"].as_u64().unwrap()),
        (checksum(&plain).as_str(), plain.len() as u64)
    );
    let size = |jpeg: &[u8]| {
        let picture = image::load_from_memory(jpeg).unwrap();
        (picture.width(), picture.height())
    };
    assert!(plain.len() <= 100_000);
    assert_eq!(size(&plain), (640, 360), "never enlarged");
    assert!(plain.windows(9).any(|w| w == b"unit unit"), "Exif as in stills");

    let (id, payload) = ask(json!({"do": "still", "cam": "road", "draw": true, "width": 320}));
    let (_, drawn) = operator.fetch(&id, &payload);
    assert_eq!(size(&drawn), (320, 180));
    // The tripwire is yellow, as little on the street is.
    let yellow = |jpeg: &[u8]| {
        let picture = image::load_from_memory(jpeg).unwrap().to_rgb8();
        picture.pixels().filter(|p| p.0[0] > 200 && p.0[1] > 180 && p.0[2] < 90).count()
    };
    assert!(yellow(&drawn) > 600 && yellow(&plain) < 300, "{} and {}", yellow(&drawn), yellow(&plain));

    let refused = |(id, payload): (String, String), reason: &str| {
        let reply = operator.send(&id, false, &payload);
        assert_eq!((&reply["ok"], &reply["refused"]), (&false.into(), &reason.into()), "{reply}");
        reply["why"].as_str().unwrap().to_owned()
    };
    refused(ask(json!({"do": "still", "cam": "elsewhere"})), "missing");
    refused(ask(json!({"do": "still", "cam": "road", "width": 100})), "range");
    refused(ask(json!({"do": "still"})), "format");
    let (id, payload) = ask(json!({"do": "pause", "for": "1h"}));
    assert_eq!(operator.send(&id, false, &payload)["ok"], true);
    assert!(refused(ask(json!({"do": "still", "cam": "road"})), "missing").contains("paused"));
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn a_camera_that_is_away_has_no_picture_and_others_do_not_wait_for_it() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let unit = unit(&broker, &no_camera(), &[&alice()]);
    let daemon = unit.start();
    operator.wait_online();
    let log = log(&unit);
    let reply = operator.send("a", false, &signed(&alice(), &log, "a", 1, json!({"do": "still", "cam": "road"})));
    assert_eq!(reply["refused"], "missing", "{reply}");
    assert_eq!(daemon.terminate().code, Some(0));
}

/// A unit that has seen the street, with stills and clips of it, and what it sent
/// meanwhile; then it goes on with `more` in its configuration and no camera.
struct Archive {
    unit: Unit,
    kept: Vec<Value>,
    sent: Vec<(String, Vec<u8>)>,
}

impl Archive {
    fn fill(broker: &Broker) -> Archive {
        let street = "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nrealtime = false\n[evidence]\nclips = true\n";
        let subscriber = Subscriber::start(broker.port);
        let unit = Unit::new(&format!("{street}{}", uplink(broker)));
        let end = unit.start().wait();
        assert_eq!(end.code, Some(0), "{}", end.log);
        let kept = unit.rows().into_iter().map(|row| row.event).filter(|e| e["kind"] == "kept").collect();
        let still = |topic: &str| topic.strip_prefix("tawny/unit/still/").map(str::to_owned);
        let sent = subscriber.messages().iter().filter_map(|m| Some((still(&m.topic)?, m.bytes.clone()))).collect();
        Archive { unit, kept, sent }
    }

    fn goes_on(&self, broker: &Broker, more: &str) {
        self.unit.configure(&format!("{}{more}{}", no_camera(), uplink(broker)));
    }

    /// Id and content of the kept file of this sort.
    fn kept(&self, what: &str) -> (String, Vec<u8>) {
        let event = self.kept.iter().find(|e| e["what"] == what).unwrap();
        let path = self.folder().join(event["file"].as_str().unwrap());
        (event["id"].as_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.unit.dir.path().join("evidence")
    }
}

#[test]
fn what_is_kept_comes_whole_and_in_the_clear_only_where_that_is_allowed() {
    let broker = Broker::start();
    let archive = Archive::fill(&broker);
    let operator = Operator::new(&broker);
    let log = log(&archive.unit);
    let (full_id, full) = archive.kept("still");
    let (clip_id, clip) = archive.kept("clip");
    let mut n = 0;
    let mut ask = |what: Value| {
        n += 1;
        (format!("k{n}"), signed(&alice(), &log, &format!("k{n}"), n, what))
    };

    archive.goes_on(&broker, "");
    let daemon = archive.unit.start();
    operator.wait_online();
    let (_, small) = archive.sent.iter().find(|(id, _)| *id == full_id).unwrap();
    let (id, payload) = ask(json!({"do": "still", "of": full_id}));
    assert!(operator.fetch(&id, &payload).1 == *small, "the same still again");
    let mut refused = |what: Value| {
        let (id, payload) = ask(what);
        operator.send(&id, false, &payload)["refused"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!({"do": "still", "of": full_id, "full": true})), "privacy");
    assert_eq!(refused(json!({"do": "clip", "of": clip_id})), "privacy");
    assert_eq!(refused(json!({"do": "still", "of": clip_id})), "missing");
    operator.kill(daemon);

    archive.goes_on(&broker, "[privacy]\npeople = \"clear\"\n");
    let daemon = archive.unit.start();
    operator.wait_online();
    let (id, payload) = ask(json!({"do": "still", "of": full_id, "full": true}));
    assert!(operator.fetch(&id, &payload).1 == full);
    let (id, payload) = ask(json!({"do": "clip", "of": clip_id}));
    let (file, whole) = operator.fetch(&id, &payload);
    assert!(whole == clip);
    let expected = json!({"type": "video/mp4", "bytes": clip.len(), "sha256": checksum(&clip), "from": 0});
    assert_eq!(file, expected);
    // The rest of it.
    let (id, payload) = ask(json!({"do": "clip", "of": clip_id, "from": 100_001}));
    let (file, rest) = operator.fetch(&id, &payload);
    assert_eq!((&file["from"], &file["sha256"]), (&json!(100_001), &expected["sha256"]));
    assert!(rest[..] == clip[100_001..]);
    assert_eq!(operator.parts(&id)[0].topic, format!("tawny/unit/part/{id}/100001"));
    let (id, payload) = ask(json!({"do": "clip", "of": clip_id, "from": clip.len() + 1}));
    assert_eq!(operator.send(&id, false, &payload)["refused"], "range");
    let nobodys = "019a0000-0000-7000-8000-000000000001";
    let (id, payload) = ask(json!({"do": "clip", "of": nobodys}));
    assert_eq!(operator.send(&id, false, &payload)["refused"], "missing");
    assert_eq!(daemon.terminate().code, Some(0));
}

/// Alice's key in a file.
fn key_file(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = dir.join("alice.key");
    let public = alice().public().to_string();
    let public = public.split([':', ' ']).nth(1).unwrap();
    std::fs::write(&file, format!("name = \"alice\"\npublic = \"{public}\"\nsecret = \"{}\"\n", "01".repeat(32)))
        .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Keyring::open(&file).unwrap().public(), alice().public());
    file
}

/// `tawny command` with alice's key over this port.
fn command(port: u16, key: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["command", "--broker", &format!("mqtt://127.0.0.1:{port}"), "--unit", "unit", "--key"]).arg(key);
    command.env_remove("TAWNY_LOG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

#[test]
fn an_operator_fetches_files_at_the_command_line() {
    let broker = Broker::start();
    let archive = Archive::fill(&broker);
    archive.goes_on(&broker, "");
    let (id, _) = archive.kept("still");
    let (_, small) = archive.sent.iter().find(|(sent, _)| *sent == id).unwrap();
    let operator = Operator::new(&broker);
    let daemon = archive.unit.start();
    operator.wait_online();
    drop(operator);
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path());
    let said = |args: &[&str]| {
        let output = command(broker.port, &key).args(args).current_dir(dir.path()).output().unwrap();
        (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    let (code, stdout, stderr) = said(&["still", "--of", &id]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(String::from_utf8(stdout).unwrap(), format!("{id}.jpg\n"));
    assert!(std::fs::read(dir.path().join(format!("{id}.jpg"))).unwrap() == *small);
    let (code, stdout, _) = said(&["still", "--of", &id, "--output", "-"]);
    assert!(code == Some(0) && stdout == *small);
    let (code, stdout, stderr) = said(&["clip", "--of", &id]);
    assert_eq!((code, stdout.len()), (Some(1), 0));
    assert!(stderr.contains("refused (privacy)") && stderr.lines().count() == 1, "{stderr}");
    let (code, _, stderr) = said(&["still", "--camera", "road", "--output", "no/such/folder.jpg"]);
    assert!(code == Some(1) && stderr.contains("cannot write no/such/folder.jpg"), "{stderr}");
    let (code, _, stderr) = said(&["still", "--camera", "road"]);
    assert!(code == Some(1) && stderr.contains("refused (missing)"), "{stderr}");
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [format!("{id}.jpg").as_str(), "alice.key", "alice.key.counter"]);
    let unsigned: Said = tawny(["command", "--broker", &broker.url(), "--unit", "unit", "still", "--of", &id]);
    assert_eq!(unsigned.code, Some(2));
    daemon.terminate();
}

#[test]
fn a_connection_that_breaks_on_the_way_is_made_again_and_the_rest_comes() {
    let mut broker = Broker::start();
    // The unit's own wire is slow: the file is under way for seconds.
    let slow = Wire::slow(broker.port);
    let through = uplink(&broker).replace(&broker.port.to_string(), &slow.port.to_string());
    let unit = Unit::new(&format!("{}[privacy]\npeople = \"clear\"\n{through}", no_camera()));
    let id = "019a0000-0000-7000-8000-000000000001";
    let file = unit.dir.path().join("evidence").join(Item::new(Kind::Clip, id.parse().unwrap()).name());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let clip: Vec<u8> = (0..6_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&file, &clip).unwrap();
    let operator = Operator::new(&broker);
    let daemon = unit.start();
    operator.wait_online();
    drop(operator);
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path());
    let wire = Wire::to(broker.port);
    let (path, part) = (dir.path().join("clip.mp4"), dir.path().join("clip.mp4.part"));
    let mut child = command(wire.port, &key)
        .args(["clip", "--of", id, "--output"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let arrived = || std::fs::metadata(&part).map_or(0, |meta| meta.len());
    wait_for("a piece of it", || arrived() > 100_000);
    wire.cut();
    let before = arrived();
    wait_for("more of it", || arrived() > before + 500_000);
    assert!(!path.exists());
    // Now the unit loses the connection as well.
    broker.kill();
    let before = arrived();
    assert!(before < clip.len() as u64, "it is not over yet");
    broker.run();
    let status = child.wait().unwrap();
    let mut complaint = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut complaint).unwrap();
    assert!(status.success(), "{complaint}");
    assert!(std::fs::read(&path).unwrap() == clip);
    assert!(!part.exists());
    let end = daemon.terminate();
    let orders = end.log.matches("clip was ordered by alice").count();
    assert!(orders >= 3, "each time for the rest: {}", end.log);
}
