//! Stills and clips from outside: the real binary with a real broker and real video.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::broker::{Broker, Subscriber, wait_for};
use common::camera::{RtspCamera, Whims};
use common::daemon::Unit;
use serde_json::Value;
use tawny::evidence::checksum;

const STREET: &str = r#"
[[camera]]
name = "road"
source = "STREET"
realtime = false
"#;

/// The ends of sightings.
fn ends(unit: &Unit) -> Vec<Value> {
    let rows = unit.rows().into_iter().map(|row| row.event);
    rows.filter(|event| event["kind"] == "sighting" && event["phase"] == "end").collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

/// The street again and again, so that nothing has to be done within the time that a
/// stop leaves.
fn street_again() -> String {
    STREET.replace("realtime = false", "realtime = false\nloop = true")
}

fn events(unit: &Unit, kind: &str) -> Vec<Value> {
    unit.rows().into_iter().map(|row| row.event).filter(|event| event["kind"] == kind).collect()
}

fn outbox(unit: &Unit) -> BTreeSet<String> {
    let names = files(&unit.dir.path().join("evidence/outbox")).into_iter();
    names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn each_sighting_brings_a_small_still_after_its_event_and_keeps_a_large_one() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::new(&format!("{}[uplink]\nbroker = \"{}\"\n", street_again(), broker.url()));
    let daemon = unit.start();
    wait_for("a car and a bus are kept", || events(&unit, "kept").len() >= 2);
    let kept = events(&unit, "kept");
    let topic = |id: &str| format!("tawny/unit/still/{id}");
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    wait_for("their small stills are sent", || {
        let messages = subscriber.messages();
        kept.iter().all(|event| messages.iter().any(|m| m.topic == topic(&id(event))))
    });
    wait_for("nothing is known of them as waiting", || !kept.iter().any(|event| outbox(&unit).contains(&id(event))));
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let (ends, messages) = (ends(&unit), subscriber.messages());
    for event in kept {
        let id = id(&event);
        let end = ends.iter().find(|end| end["id"] == event["id"]).unwrap();
        let still = messages.iter().position(|m| m.topic == topic(&id)).unwrap();
        let told =
            messages.iter().position(|m| m.topic.ends_with("event/sighting") && m.payload.contains(&id)).unwrap();
        assert!(told < still, "the event comes first");
        let jpeg = &messages[still].bytes;
        assert_eq!(end["still"], checksum(jpeg), "the event names it");
        assert!(jpeg.len() <= 12_000 && !messages[still].retained);
        let picture = image::load_from_memory(jpeg).unwrap();
        assert!(picture.width() <= 480 && picture.width() > 40, "{}", picture.width());
        // Exif says when and by whom; nothing in it says where.
        assert_eq!(&jpeg[24..28], b"Exif");
        assert!(jpeg.windows(9).any(|w| w == b"unit unit"));
        let path = unit.dir.path().join("evidence").join(event["file"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            (event["sha256"].as_str().unwrap(), event["bytes"].as_u64().unwrap()),
            (checksum(&bytes).as_str(), bytes.len() as u64)
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(path.with_file_name(format!("{id}-small.jpg")).exists());
    }
}

#[test]
fn stills_that_found_no_broker_are_sent_by_the_next_start() {
    let port = common::broker::refusing_port();
    let unit = Unit::new(&format!("{}[uplink]\nbroker = \"mqtt://127.0.0.1:{}\"\n", street_again(), port));
    let daemon = unit.start();
    wait_for("two stills wait", || outbox(&unit).len() >= 2);
    assert_eq!(daemon.terminate().code, Some(0));
    let waiting = outbox(&unit);
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    unit.configure(&format!("{}[uplink]\nbroker = \"{}\"\n", street_again(), broker.url()));
    let daemon = unit.start();
    wait_for("the stills of the first run", || {
        let messages = subscriber.messages();
        waiting.iter().all(|id| messages.iter().any(|m| m.topic.ends_with(&format!("/still/{id}"))))
    });
    drop(daemon);
}

#[test]
fn stills_made_while_people_were_shown_are_not_sent_once_they_are_to_be_hidden() {
    let unit = Unit::new(&format!("{}[privacy]\npeople = \"clear\"\n", street_again()));
    let daemon = unit.start();
    wait_for("two stills wait", || outbox(&unit).len() >= 2);
    assert_eq!(daemon.terminate().code, Some(0));
    let clear = outbox(&unit);
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    unit.configure(&format!("{}[uplink]\nbroker = \"{}\"\n", street_again(), broker.url()));
    let daemon = unit.start();
    wait_for("a new still", || subscriber.messages().iter().any(|m| m.topic.contains("/still/")));
    // The oldest is sent last.
    wait_for("nothing waits", || outbox(&unit).is_empty());
    let messages = subscriber.messages();
    assert!(!messages.iter().any(|m| clear.iter().any(|id| m.topic.ends_with(id))));
    let lost = unit.wait_event("it is told", |event| event["kind"] == "lost");
    assert!(lost["why"].as_str().unwrap().contains("small stills"), "{lost}");
    let left = files(&unit.dir.path().join("evidence/stills"));
    let named = |id: &String, small: &str| left.iter().any(|path| path.ends_with(format!("{id}{small}.jpg")));
    assert!(clear.iter().all(|id| !named(id, "-small") && named(id, "")), "{left:?}");
    drop(daemon);
}

#[test]
fn a_disk_that_is_slow_at_the_stop_is_waited_for() {
    let unit = Unit::new(&format!("{}[evidence]\nfull_size = false\n", street_again()));
    let daemon = unit.start();
    unit.wait_event("a sighting", |event| event["kind"] == "sighting");
    // Nothing can be committed for a while: the last still has to wait for its event.
    let other = rusqlite::Connection::open(unit.journal()).unwrap();
    other.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let slow = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(1500));
        drop(other);
    });
    let end = daemon.terminate();
    slow.join().unwrap();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(!end.log.contains("stills are not written"), "{}", end.log);
    assert!(end.took < std::time::Duration::from_secs(5), "{:?}", end.took);
    let ends = ends(&unit);
    let last = ends.iter().rev().find(|end| end["still"].is_string()).unwrap();
    let name = format!("{}-small.jpg", last["id"].as_str().unwrap());
    assert!(files(&unit.dir.path().join("evidence/stills")).iter().any(|path| path.ends_with(&name)), "{}", end.log);
}

#[test]
fn without_room_nothing_is_kept_and_events_go_on() {
    let unit = Unit::new(&format!("{STREET}[evidence]\nmin_free = \"1024GiB\"\n"));
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(ends(&unit).len() >= 2);
    assert_eq!(files(&unit.dir.path().join("evidence/stills")), Vec::<PathBuf>::new());
    assert!(end.log.contains("evidence.min_free"), "{}", end.log);
}

#[test]
fn those_who_want_no_stills_get_none() {
    let unit = Unit::new(&format!("{STREET}[evidence]\nstills = false\n"));
    assert_eq!(unit.start().wait().code, Some(0));
    assert!(ends(&unit).iter().all(|end| end.get("still").is_none()));
    assert!(!unit.dir.path().join("evidence").exists());
}

/// Pictures that ffmpeg can decode of a file, and what it complains about.
fn played(path: &Path) -> (u64, String) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames"])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe is installed");
    let frames = String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').parse().unwrap_or(0);
    (frames, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn sightings_that_overlap_share_a_clip_that_begins_before_them() {
    let unit = Unit::new(&format!("{}[evidence]\nclips = true\n", street_again()));
    let daemon = unit.start();
    // With the end of the file ends its clip.
    wait_for("the street was seen once", || !named_clips(&unit).is_empty());
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let kept = named_clips(&unit);
    let clip = &kept[0];
    let ids: BTreeSet<&str> = clip["of"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let ends = ends(&unit);
    assert!(ids.len() >= 2, "the rolls of the two overlap: {clip}");
    // Those of the first time come first.
    assert_eq!(ends.iter().take(ids.len()).map(|end| end["id"].as_str().unwrap()).collect::<BTreeSet<_>>(), ids);
    let path = unit.dir.path().join("evidence").join(clip["file"].as_str().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(
        (clip["sha256"].as_str().unwrap(), clip["bytes"].as_u64().unwrap()),
        (checksum(&bytes).as_str(), bytes.len() as u64)
    );
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // All of the street: five seconds before the first and five after the last are
    // more than there is.
    assert_eq!(played(&path), (188, String::new()));
    assert!(!bytes.windows(4).any(|w| w == b"Lavf"), "no program's name");
}

/// Pictures in the fragments that are all there (ISO/IEC 14496-12: boxes of a size
/// and a name; a `moof` says in its `trun` how many, and the `mdat` behind it holds
/// them).
fn in_whole_fragments(bytes: &[u8]) -> u64 {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut announced, mut whole) = (0, 0, 0);
    while at + 8 <= bytes.len() && at + number(at) as usize <= bytes.len() {
        let end = at + number(at) as usize;
        match &bytes[at + 4..at + 8] {
            b"moof" => {
                let trun = (at..end).find(|i| &bytes[*i..*i + 4] == b"trun").unwrap();
                announced = u64::from(number(trun + 8));
            }
            b"mdat" => whole += announced,
            _ => {}
        }
        at = end;
    }
    whole
}

/// The clips that events name.
fn named_clips(unit: &Unit) -> Vec<Value> {
    unit.rows().into_iter().map(|row| row.event).filter(|event| event["what"] == "clip").collect()
}

/// Milliseconds.
fn time(event: &Value, key: &str) -> i64 {
    tawny::domain::UtcMillis::parse(event[key].as_str().unwrap()).unwrap().0
}

#[test]
fn a_clip_that_is_cut_off_by_a_kill_plays_up_to_its_last_fragment() {
    let street = STREET.replace("realtime = false", "realtime = true\nloop = true");
    let with_clips = format!("{street}[evidence]\nclips = true\nclip_max = \"1h\"\n");
    let unit = Unit::new(&with_clips);
    let daemon = unit.start();
    let clips = unit.dir.path().join("evidence/clips");
    let mut found = None;
    wait_for("a clip has some fragments and goes on", || {
        // Their names grow.
        found = files(&clips).into_iter().max().filter(|path| in_whole_fragments(&std::fs::read(path).unwrap()) >= 75);
        found.is_some()
    });
    daemon.kill();
    let path = found.unwrap();
    let id = path.file_stem().unwrap().to_str().unwrap();
    assert!(named_clips(&unit).iter().all(|clip| clip["id"] != id), "it was cut off");
    let bytes = std::fs::read(&path).unwrap();
    let whole = in_whole_fragments(&bytes);
    assert_eq!(played(&path).0, whole);
    // Cut anywhere else, too.
    let cut = unit.dir.path().join("cut.mp4");
    for share in [0.4, 0.7, 0.95] {
        let part = &bytes[..(bytes.len() as f64 * share) as usize];
        std::fs::write(&cut, part).unwrap();
        assert!(played(&cut).0 >= in_whole_fragments(part), "{share}");
    }
    // The next start says what the kill kept this one from saying.
    let daemon = unit.start();
    let kept = unit.wait_event("it is told", |event| event["kind"] == "kept" && event["id"] == id);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(
        (&kept["what"], &kept["cam"], &kept["sha256"]),
        (&"clip".into(), &"road".into(), &checksum(&bytes).into())
    );
    assert_eq!(kept["bytes"].as_u64().unwrap(), bytes.len() as u64);
    assert_eq!(played(&path), (whole, String::new()));
    // 12.5 pictures a second.
    let span = time(&kept, "to") - time(&kept, "t");
    assert!((span - (whole as i64 - 1) * 80).abs() < 200, "{span} ms of {whole} pictures");
    let seen: Vec<Value> = events(&unit, "sighting").into_iter().map(|event| event["id"].clone()).collect();
    let of = kept["of"].as_array().unwrap();
    assert!(!of.is_empty() && of.iter().all(|id| seen.contains(id)), "{kept}");
    daemon.kill();
    // Only once; and it goes when there is no room.
    unit.configure(&format!("{with_clips}min_free = \"1024GiB\"\n"));
    let daemon = unit.start();
    wait_for("it is gone", || !path.exists());
    let lost = unit.wait_event("it is told", |event| event["kind"] == "lost");
    assert!(lost["why"].as_str().unwrap().contains("clips"), "{lost}");
    assert_eq!(named_clips(&unit).iter().filter(|clip| clip["id"] == id).count(), 1);
    drop(daemon);
}

#[test]
fn a_stop_ends_a_clip_in_order() {
    let street = STREET.replace("realtime = false", "realtime = true");
    let unit = Unit::new(&format!("{street}[evidence]\nclips = true\n"));
    let daemon = unit.start();
    unit.wait_event("a sighting", |event| event["kind"] == "sighting");
    assert_eq!(daemon.terminate().code, Some(0));
    let clips = named_clips(&unit);
    let [clip] = &clips[..] else { panic!("{clips:?}") };
    let bytes = std::fs::read(unit.dir.path().join("evidence").join(clip["file"].as_str().unwrap())).unwrap();
    assert_eq!(clip["sha256"], checksum(&bytes));
    assert!(clip["to"].as_str() > clip["t"].as_str());
}

/// How long ffmpeg says that a file plays, in seconds.
fn plays_for(path: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe is installed");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0.0)
}

#[test]
fn a_clip_has_the_time_of_its_arrival_whatever_the_cameras_stamps_do() {
    let whims = Whims { stamps_are_garbage: true, ..Whims::default() };
    let camera = RtspCamera::with(0, &common::daemon::clip("street.mp4"), whims);
    let unit = Unit::new(&format!(
        "[[camera]]\nname = \"road\"\nsource = \"{}\"\n[evidence]\nclips = true\nclip_max = \"6s\"\n",
        camera.url()
    ));
    let daemon = unit.start();
    wait_for("two clips", || named_clips(&unit).len() >= 2);
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let starts: Vec<Value> = events(&unit, "sighting").into_iter().filter(|e| e["phase"] == "start").collect();
    for clip in named_clips(&unit).iter().take(2) {
        let (from, to) = (time(clip, "t"), time(clip, "to"));
        let path = unit.dir.path().join("evidence").join(clip["file"].as_str().unwrap());
        let (frames, span) = (played(&path).0 as f64, (to - from) as f64 / 1000.0);
        assert!((plays_for(&path) - span).abs() < 1.0, "{} s of {clip}", plays_for(&path));
        // Of 12.5 pictures a second a loaded machine may give up some.
        assert!(frames > span * 6.0, "{frames} pictures in {span} s");
        // It shows what it is about, but for those that began before an earlier clip ended.
        let of = clip["of"].as_array().unwrap();
        let shown = starts.iter().filter(|start| of.contains(&start["id"]));
        assert!(shown.clone().any(|start| (from - 500..=to).contains(&time(start, "t"))), "{clip}: {starts:?}");
        assert!(shown.clone().all(|start| time(start, "t") <= to), "{clip}: {starts:?}");
    }
}

/// The street as one group of pictures of about so many bits a second.
fn street_in_one_group(unit: &Unit, bits: &str) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(common::daemon::clip("street.mp4"))
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", bits, "-bf", "0"])
        .args(["-g", "1000", "-keyint_min", "1000", "-sc_threshold", "0"])
        .arg(unit.dir.path().join("long.mp4"))
        .status();
    assert!(made.expect("ffmpeg is installed").success());
}

const LONG_GROUP: &str = r#"
[[camera]]
name = "road"
source = "long.mp4"
realtime = false
[evidence]
clips = true
pre_roll = "1s"
[capture]
ring_time = "1s"
"#;

#[test]
fn a_clip_of_a_long_group_begins_with_the_keyframe_that_is_kept() {
    let unit = Unit::new(LONG_GROUP);
    street_in_one_group(&unit, "500k");
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let of: Vec<Value> = named_clips(&unit).iter().flat_map(|clip| clip["of"].as_array().unwrap().clone()).collect();
    let ends = ends(&unit);
    assert!(ends.len() >= 2 && ends.iter().all(|end| of.contains(&end["id"])), "{of:?}: {}", end.log);
    assert!(!end.log.contains("keyframes"), "{}", end.log);
}

#[test]
fn what_no_clip_can_show_is_told() {
    let unit = Unit::new(&format!("{LONG_GROUP}ring_size = \"256KiB\"\n"));
    street_in_one_group(&unit, "4M");
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert_eq!(named_clips(&unit), Vec::<Value>::new());
    let told = events(&unit, "lost");
    let why = told.first().and_then(|event| event["why"].as_str()).unwrap_or_default();
    assert!(why.starts_with("no clip of") && why.contains("ring_size"), "{told:?}: {}", end.log);
    let told: u64 = told.iter().map(|event| event["n"].as_u64().unwrap()).sum();
    assert_eq!(told, ends(&unit).len() as u64, "each of them");
    let check = Command::new(common::daemon::binary()).args(["check", "--config"]).arg(unit.config()).output();
    let said = String::from_utf8(check.unwrap().stdout).unwrap();
    assert!(said.contains("clips will begin late or be missing"), "{said}");
}

#[test]
fn a_camera_with_a_private_zone_has_no_clips() {
    let zone =
        "[[camera.zone]]\nname = \"house\"\nmode = \"private\"\npolygon = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]\n";
    let unit = Unit::new(&format!("{STREET}{zone}[evidence]\nclips = true\n"));
    let end = unit.start().wait();
    assert_eq!((end.code, files(&unit.dir.path().join("evidence/clips"))), (Some(0), Vec::new()));
    assert!(end.log.contains("private zone"), "{}", end.log);
}
