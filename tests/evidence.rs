//! Stills and clips from outside: the real binary with a real broker and real video.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::broker::{Broker, Subscriber, wait_for};
use common::daemon::Unit;
use serde_json::Value;
use tawny::evidence::checksum;

const STREET: &str = r#"
[[camera]]
name = "road"
source = "STREET"
realtime = false
"#;

fn with_broker(port: u16, more: &str) -> String {
    format!("{STREET}[uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\n{more}")
}

/// The ends of sightings.
fn ends(unit: &Unit) -> Vec<Value> {
    let rows = unit.rows().into_iter().map(|row| row.event);
    rows.filter(|event| event["kind"] == "sighting" && event["phase"] == "end").collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

#[test]
fn each_sighting_brings_a_small_still_after_its_event_and_keeps_a_large_one() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let unit = Unit::new(&with_broker(broker.port, ""));
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let ends = ends(&unit);
    assert!(ends.len() >= 2, "a car and a bus: {ends:?}");
    let messages = subscriber.messages();
    let folder = unit.dir.path().join("evidence");
    for end in &ends {
        let id = end["id"].as_str().unwrap();
        let still = messages.iter().position(|m| m.topic == format!("tawny/unit/still/{id}")).unwrap();
        let told = messages.iter().position(|m| m.topic.ends_with("event/sighting") && m.payload.contains(id)).unwrap();
        assert!(told < still, "the event comes first");
        let jpeg = &messages[still].bytes;
        assert_eq!(end["still"], checksum(jpeg), "the event names it");
        assert!(jpeg.len() <= 12_000 && !messages[still].retained);
        let picture = image::load_from_memory(jpeg).unwrap();
        assert!(picture.width() <= 480 && picture.width() > 40, "{}", picture.width());
        // Exif says when and by whom; nothing in it says where.
        assert_eq!(&jpeg[24..28], b"Exif");
        assert!(jpeg.windows(9).any(|w| w == b"unit unit"));
    }
    let kept: Vec<Value> = unit.rows().into_iter().map(|row| row.event).filter(|e| e["kind"] == "kept").collect();
    assert_eq!(kept.len(), ends.len());
    for event in kept {
        let path = folder.join(event["file"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            (event["sha256"].as_str().unwrap(), event["bytes"].as_u64().unwrap()),
            (checksum(&bytes).as_str(), bytes.len() as u64)
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(files(&folder.join("outbox")), Vec::<PathBuf>::new(), "all were delivered");
    assert_eq!(files(&folder.join("stills")).len(), 2 * ends.len());
}

#[test]
fn stills_that_found_no_broker_are_sent_by_the_next_start() {
    let port = common::broker::refusing_port();
    let unit = Unit::new(&with_broker(port, ""));
    assert_eq!(unit.start().wait().code, Some(0));
    let waiting = files(&unit.dir.path().join("evidence/outbox")).len();
    assert_eq!(waiting, ends(&unit).len());
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    // Another camera, which shows nothing for long.
    let quiet = format!("[[camera]]\nname = \"road\"\n[uplink]\nbroker = \"{}\"\n", broker.url());
    unit.configure(
        &quiet.replace(
            "name = \"road\"",
            "name = \"road\"\nsource = \"STREET\"\nloop = true\n[evidence]\nkeep = \"30d\"",
        ),
    );
    let daemon = unit.start();
    wait_for("the stills of the first run", || {
        subscriber.messages().iter().filter(|m| m.topic.contains("/still/")).count() >= waiting
    });
    drop(daemon);
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
    let unit = Unit::new(&format!("{STREET}[evidence]\nclips = true\n"));
    let end = unit.start().wait();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let kept = named_clips(&unit);
    assert_eq!(kept.len(), 1, "the rolls of the two overlap: {kept:?}");
    let clip = &kept[0];
    let ids: Vec<&Value> = clip["of"].as_array().unwrap().iter().collect();
    let ends = ends(&unit);
    assert!(ids.len() == ends.len() && ends.iter().all(|end| ids.contains(&&end["id"])), "{clip}");
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

#[test]
fn a_clip_that_is_cut_off_by_a_kill_plays_up_to_its_last_fragment() {
    let street = STREET.replace("realtime = false", "realtime = true\nloop = true");
    let unit = Unit::new(&format!("{street}[evidence]\nclips = true\n"));
    let daemon = unit.start();
    let clips = unit.dir.path().join("evidence/clips");
    // Their names grow.
    let newest = || files(&clips).into_iter().max();
    let mut sizes = BTreeMap::<PathBuf, BTreeSet<u64>>::new();
    wait_for("the clip has some fragments and goes on", || {
        let Some(path) = newest() else { return false };
        let size = std::fs::metadata(&path).unwrap().len();
        let sizes = sizes.entry(path).or_default();
        sizes.insert(size);
        sizes.len() > 4
    });
    daemon.kill();
    let path = newest().unwrap();
    let id = path.file_stem().unwrap().to_str().unwrap();
    assert!(named_clips(&unit).iter().all(|clip| clip["id"] != id), "it was cut off");
    let bytes = std::fs::read(&path).unwrap();
    let whole = in_whole_fragments(&bytes);
    assert!(whole >= 75, "{whole} pictures");
    assert_eq!(played(&path).0, whole);
    // Cut anywhere else, too.
    let cut = unit.dir.path().join("cut.mp4");
    for share in [0.4, 0.7, 0.95] {
        let part = &bytes[..(bytes.len() as f64 * share) as usize];
        std::fs::write(&cut, part).unwrap();
        assert!(played(&cut).0 >= in_whole_fragments(part), "{share}");
    }
    // The next start counts it, and it goes when there is no room.
    unit.configure(&format!("{street}[evidence]\nclips = true\nmin_free = \"1024GiB\"\n"));
    let daemon = unit.start();
    wait_for("it is gone", || !path.exists());
    let lost = unit.wait_event("it is told", |event| event["kind"] == "lost");
    assert!(lost["why"].as_str().unwrap().contains("clips"), "{lost}");
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

#[test]
fn a_camera_with_a_private_zone_has_no_clips() {
    let zone =
        "[[camera.zone]]\nname = \"house\"\nmode = \"private\"\npolygon = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]\n";
    let unit = Unit::new(&format!("{STREET}{zone}[evidence]\nclips = true\n"));
    let end = unit.start().wait();
    assert_eq!((end.code, files(&unit.dir.path().join("evidence/clips"))), (Some(0), Vec::new()));
    assert!(end.log.contains("private zone"), "{}", end.log);
}
