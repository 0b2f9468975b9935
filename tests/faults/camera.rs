//! Cameras that deny, stall, hang up, or send what is not right. The daemon lives, the
//! operator is told which camera and why, and a good camera beside them works on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tawny::domain::UtcMillis;

use crate::common::broker::{Broker, Subscriber, wait_for};
use crate::common::camera::{RtspCamera, Whims};
use crate::common::daemon::{Unit, clip};
use crate::watcher::wait_health;

const LINE: &str = "[[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]\n\
                    forward = \"right\"\nbackward = \"left\"\nanchor = \"center\"\n";

fn camera(name: &str, source: &str) -> String {
    format!("[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\n{LINE}")
}

fn network(name: &str, camera_with: &RtspCamera) -> String {
    camera(name, &camera_with.url())
}

fn street(whims: Whims) -> RtspCamera {
    RtspCamera::with(0, &clip("street.mp4"), whims)
}

fn rest(broker: &Broker) -> String {
    format!("[unit]\nprofile = \"eco\"\n[uplink]\nbroker = \"{}\"\n[health]\ninterval = \"1s\"\n", broker.url())
}

/// What health says of one camera.
fn of<'a>(health: &'a Value, name: &str) -> &'a Value {
    health["cameras"].as_array().unwrap().iter().find(|camera| camera["name"] == name).unwrap()
}

fn is(event: &Value, cam: &str, phase: &str) -> bool {
    event["kind"] == "camera" && event["cam"] == cam && event["phase"] == phase
}

fn events(unit: &Unit, cam: &str, phase: &str) -> usize {
    unit.rows().iter().filter(|row| is(&row.event, cam, phase)).count()
}

#[test]
fn cameras_that_deny_stall_or_hang_up_are_told_apart() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let denying = street(Whims { denies: true, ..Whims::default() });
    let stalling = street(Whims::default());
    // Some eight pictures, then it hangs up; and one that hangs up before the first.
    let flapping = street(Whims { hangs_up_after: Some(80), ..Whims::default() });
    let slamming = street(Whims { hangs_up_after: Some(0), ..Whims::default() });
    let unit = Unit::new(&format!(
        "{}{}{}{}{}{}",
        camera("good", "STREET").replace("[[camera.tripwire]]", "loop = true\n[[camera.tripwire]]"),
        camera("denying", &format!("rtsp://joe:Zmhunter2Q@127.0.0.1:{}/stream", denying.port)),
        network("stalling", &stalling),
        network("flapping", &flapping),
        network("slamming", &slamming),
        rest(&broker)
    ));
    let (mut daemon, began) = (unit.start(), Instant::now());
    let denied = unit.wait_event("the password is refused", |e| is(e, "denying", "lost"));
    assert!(denied["why"].as_str().unwrap().contains("401"), "{denied}");
    unit.wait_event("one hangs up", |e| is(e, "flapping", "lost"));
    unit.wait_event("one hangs up at once", |e| is(e, "slamming", "lost"));
    wait_health(&subscriber, "pictures come", |h| of(h, "stalling")["decoded"].as_u64() > Some(5));
    stalling.whims.silent.store(true, SeqCst);
    unit.wait_event("nothing comes", |e| is(e, "stalling", "lost") && e["why"] == "no data for 10 s");
    let health = wait_health(&subscriber, "health shows it", |h| {
        of(h, "stalling")["up"] == false && of(h, "stalling")["age_s"].as_f64() > Some(9.0)
    });
    assert!(of(&health, "good")["up"] == true && of(&health, "denying")["up"] == false, "{health}");
    stalling.whims.silent.store(false, SeqCst);
    unit.wait_event("pictures come again", |e| is(e, "stalling", "back"));
    unit.wait_event("the good one works", |e| e["kind"] == "crossing" && e["cam"] == "good");
    // No storm, neither of connections nor of events.
    for camera in [&denying, &flapping, &slamming] {
        let tries = || camera.whims.connections.load(SeqCst);
        wait_for("a second attempt", || tries() > 1);
        // Half of 1, 2, 4 … 30 s between them at the least.
        let most = 7 + began.elapsed().as_secs() / 15;
        assert!(tries() <= most, "{} connections", tries());
    }
    assert_eq!((events(&unit, "denying", "lost"), events(&unit, "slamming", "lost")), (1, 1));
    assert!(daemon.is_running());
    let log = daemon.log();
    assert!(!log.contains("Zmhunter2Q"), "{log}");
    for (name, why) in [("denying", "401"), ("stalling", "no data for 10 s")] {
        let told = |line: &str| line.contains("WARN") && line.contains(name) && line.contains(why);
        assert!(log.lines().any(told), "{name}: {log}");
    }
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
}

/// When the camera sent the picture that is so far into the clip, each time it did.
fn sent_at(camera: &RtspCamera, seconds: f64) -> Vec<UtcMillis> {
    const LENGTH: f64 = 15.04;
    let sent = camera.whims.sent.lock().unwrap();
    let rounds = (0..5).map(|round| ((seconds + f64::from(round) * LENGTH) * 90_000.0) as u32);
    let of_round = |ticks: u32| sent.iter().find(|(at, _)| *at >= ticks).map(|(_, at)| *at);
    let utc = |at: SystemTime| UtcMillis(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64);
    rounds.filter_map(of_round).map(utc).collect()
}

/// Constant stamps; half the pace, as of a camera that stamps for 25 pictures a second
/// and gives 12.5 at night; 21 for 25; and such as stand still for three seconds of six.
#[test]
fn stamps_that_do_not_keep_real_time_give_way_to_arrival() {
    const SECOND: u32 = 90_000;
    let standing = |ticks: u32| ticks - (ticks % (6 * SECOND)).saturating_sub(3 * SECOND);
    type Stamp = fn(u32) -> u32;
    let kinds: [(&str, Stamp, &str); 4] = [
        ("constant", |_| 90_000, "stand still"),
        ("half", |ticks| ticks / 2, "run at 0.5"),
        ("slow", |ticks| ticks / 25 * 21, "run at 0.8"),
        ("standing", standing, "stand still"),
    ];
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let cameras =
        kinds.map(|(name, stamps, why)| (name, street(Whims { stamps: Some(stamps), ..Whims::default() }), why));
    let honest = street(Whims::default());
    let text: String = cameras.iter().map(|(name, camera, _)| network(name, camera)).collect();
    let unit = Unit::new(&(text + &network("honest", &honest) + &rest(&broker)));
    let daemon = unit.start();
    let all = cameras.iter().map(|(name, camera, _)| (*name, camera)).chain([("honest", &honest)]);
    for (name, camera) in all {
        for (dir, seconds) in [("left", 4.2), ("right", 9.8)] {
            let what = format!("{name} sees what goes {dir}");
            let event = unit.wait_event(&what, |e| e["kind"] == "crossing" && e["cam"] == name && e["dir"] == dir);
            let t = UtcMillis::parse(event["t"].as_str().unwrap()).unwrap();
            let off = sent_at(camera, seconds).into_iter().map(|sent| (t.0 - sent.0).abs()).min();
            assert!(off < Some(1_500), "{what} at {t}, {off:?} ms off");
        }
    }
    for (name, _, why) in &cameras {
        let event = unit.wait_event(&format!("{name} is told"), |e| is(e, name, "untimed"));
        // On a loaded machine there may be too little to tell a pace by.
        let (told, is_pace) = (event["why"].as_str().unwrap(), why.starts_with("run"));
        assert!(told.contains(why) || (is_pace && told.contains("do not keep real time")), "{event}");
    }
    let health = wait_health(&subscriber, "health names them", |h| of(h, "constant")["time"]["by"] == "arrival");
    assert!(of(&health, "slow")["time"]["why"].as_str().unwrap().contains("real time"), "{health}");
    assert_eq!(of(&health, "honest")["time"]["by"], "stamps", "{health}");
    assert_eq!(events(&unit, "honest", "untimed") + events(&unit, "honest", "timed"), 0);
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.log.lines().any(|line| line.contains("WARN") && line.contains("its time stamps stand still")));
}

/// For six seconds of fifteen nothing comes, then all of it at once: with the camera's
/// stamps, and with such as say nothing.
#[test]
fn what_a_network_holds_back_is_seen_with_its_own_times() {
    const SECOND: u32 = 90_000;
    let held_back = Some((1_353_600, 2 * SECOND, 6 * SECOND));
    let broker = Broker::start();
    let honest = street(Whims { held_back, ..Whims::default() });
    let constant = street(Whims { held_back, stamps: Some(|_| 90_000), ..Whims::default() });
    let text = network("honest", &honest) + &network("constant", &constant);
    let unit = Unit::new(&(text + &rest(&broker)));
    let daemon = unit.start();
    for (name, camera) in [("honest", &honest), ("constant", &constant)] {
        for (dir, seconds) in [("left", 4.2), ("right", 9.8)] {
            let what = format!("{name} sees what goes {dir}");
            let event = unit.wait_event(&what, |e| e["kind"] == "crossing" && e["cam"] == name && e["dir"] == dir);
            let t = UtcMillis::parse(event["t"].as_str().unwrap()).unwrap();
            let off = sent_at(camera, seconds).into_iter().map(|sent| (t.0 - sent.0).abs()).min();
            assert!(off < Some(1_500), "{what} at {t}, {off:?} ms off");
        }
    }
    assert_eq!(events(&unit, "honest", "untimed") + events(&unit, "honest", "lost"), 0);
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    // Waiting is not blindness if all of it is looked at in the end.
    let blind = |name: &str| {
        let watch = unit.rows().into_iter().map(|row| row.event).find(|e| e["kind"] == "watch" && e["cam"] == name);
        watch.unwrap()["blind_s"].as_f64().unwrap()
    };
    assert!(blind("honest") < 6.0, "{}", blind("honest"));
}

/// Two seconds of the street, then all of it in another size.
fn changing_size(folder: &Path) -> PathBuf {
    let make = |name: &str, options: &[&str]| {
        let path = folder.join(name);
        let done = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-i"])
            .arg(clip("street.mp4"))
            .args(options)
            .args(["-an", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0", "-f", "mpegts"])
            .arg(&path)
            .status();
        assert!(done.unwrap().success());
        std::fs::read(path).unwrap()
    };
    let mut all = make("small.ts", &["-t", "2", "-vf", "scale=320:180"]);
    all.extend(make("large.ts", &["-vf", "scale=768:432", "-output_ts_offset", "2"]));
    let path = folder.join("changing.ts");
    std::fs::write(&path, all).unwrap();
    path
}

/// All of them at once: a network that spoils bits, a camera without a clock, and
/// one that changes the size of its pictures.
#[test]
fn what_cameras_send_may_be_wrong() {
    const RATES: [(&str, u64); 4] = [("e5", 100_000), ("e4", 10_000), ("e3", 1_000), ("e2", 100)];
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let folder = tempfile::tempdir().unwrap();
    let spoilt = RATES.map(|(name, of)| (name, street(Whims { wrong_bit_in: Some(of), ..Whims::default() })));
    let clockless = street(Whims { stamps_are_garbage: true, ..Whims::default() });
    let resizing = RtspCamera::start(&changing_size(folder.path()));
    let mut text: String = spoilt.iter().map(|(name, camera)| network(name, camera)).collect();
    text += &(network("clockless", &clockless) + &network("resizing", &resizing) + &rest(&broker));
    let unit = Unit::new(&text);
    let mut daemon = unit.start();
    let before = UtcMillis(tawny::clock::utc_now().0);
    for name in ["clockless", "resizing", "e5"] {
        let what = format!("{name} sees a crossing");
        let crossing = unit.wait_event(&what, |e| e["kind"] == "crossing" && e["cam"] == name);
        // The car to the left, or what comes first after a slow start.
        assert_eq!(crossing["grp"], "vehicle", "{crossing}");
        let t = UtcMillis::parse(crossing["t"].as_str().unwrap()).unwrap();
        let now = tawny::clock::utc_now();
        assert!(before.0 - 1_000 <= t.0 && t.0 <= now.0 + 1_000, "{crossing} is not from {before} to {now}");
    }
    let enough = |h: &Value| {
        let all = ["e5", "e4", "e3", "e2"].iter().all(|name| of(h, name)["frames"].as_u64() > Some(40));
        all && of(h, "e3")["damaged"].as_u64() > Some(0) && of(h, "e2")["damaged"].as_u64() > Some(20)
    };
    let health = wait_health(&subscriber, "damage is counted", enough);
    // On a busy machine ffmpeg's packets may be lost on the way to the camera.
    assert!(of(&health, "clockless")["damaged"].as_u64() < Some(5), "{health}");
    assert!(daemon.is_running());
    // A camera of which next to nothing can be decoded may be blind, but not in silence.
    for (name, camera) in &spoilt {
        let silent = of(&health, name)["decoded"] == 0;
        assert!(!silent || events(&unit, name, "blind") + events(&unit, name, "lost") > 0, "{name}: {health}");
        assert!(camera.whims.connections.load(SeqCst) < 10, "{name}");
    }
    assert!(health["rss_kb"].as_u64().unwrap() < 350_000, "{health}");
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(!end.log.contains("panicked"), "{}", end.log);
    let seqs = unit.rows().iter().map(|row| row.seq).collect::<Vec<_>>();
    wait_for("all is heard", || subscriber.seqs() == seqs);
}
