//! `tawny report` on what `tawny replay` finds in a bundled clip, against `tawny
//! events`, and on anything that could be handed to it.
#![allow(missing_docs, dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tawny::clock::Beat;
use tawny::domain::{BBox, Group, UtcMillis, to_hex};
use tawny::event::{Body, Conf, Draft, Keepsake, Phase, Seconds, Stamp, TimeSource};
use tawny::evidence::{Item, Kind};
use tawny::journal::{Journal, JournalOptions};
use tawny::report::{Calendar, Collection, Gallery, Report, Settings, csv, html, json};
use uuid::Uuid;

#[path = "common/any_event.rs"]
mod any_event;
#[allow(dead_code)]
#[path = "common/program.rs"]
mod program;

use any_event::any_event;
use program::{STREET, STREET_LINE, Said, Studio, tawny};

/// The rows of a CSV without quoted fields, by column.
fn rows(csv: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| header.iter().copied().zip(line.split(',')).collect()).collect()
}

fn ok(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

#[test]
fn the_report_of_a_clip_tells_what_was_counted_by_eye() {
    let studio = Studio::new(STREET_LINE);
    let events = studio.file("street.jsonl", ok(studio.replay_with(&["--start", "2026-05-01T17:20:00Z"], &[STREET])));
    let out = studio.path("street.html");
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let args =
        ["report", "--jsonl", &path(&events), "--zone", "+02:00", "--place", "Main <street>", "--out", &path(&out)];
    assert_eq!(ok(tawny(args)), "");
    let page = fs::read_to_string(&out).unwrap();
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(page.contains("<h1>Main &lt;street&gt;</h1>") && page.contains("2026-05-01 19:20:0"), "{page}");
    assert!(page.contains(&to_hex(&Sha256::digest(fs::read(&events).unwrap()))));
    let table = ok(tawny(["report", "--jsonl", &path(&events), "--format", "csv"]));
    let crossings: Vec<_> = rows(&table).iter().map(|row| format!("{} {}", row["cls"], row["dir"])).collect();
    assert_eq!(crossings, ["car left", "bus right"]);
}

fn stamp(t: i64, source: TimeSource) -> Stamp {
    let uncertainty_ms = (source == TimeSource::Ntp).then_some(40);
    Stamp { t: UtcMillis(t), uncertainty_ms, source, boot: 1, mono_ms: t.unsigned_abs() }
}

fn crossing(id: Uuid, t: i64, cls: &str, dir: &str, source: TimeSource) -> Draft {
    let body = Body::Crossing {
        id,
        cam: "road".into(),
        grp: Group::Vehicle,
        cls: cls.into(),
        conf: Conf(0.87),
        bbox: BBox::new(0.1, 0.1, 0.2, 0.2).into(),
        wire: "gate".into(),
        dir: dir.into(),
        gid: None,
    };
    Draft { stamp: stamp(t, source), body, replay: false }
}

fn end(id: Uuid, t: i64, still: &[u8]) -> Draft {
    let body = Body::Sighting {
        phase: Phase::End,
        id,
        cam: "road".into(),
        grp: Group::Vehicle,
        cls: "car".into(),
        conf: Conf(0.9),
        bbox: BBox::new(0.1, 0.1, 0.2, 0.2).into(),
        dur: Some(Seconds(4.0)),
        why: Some("left".into()),
        still: Some(to_hex(&Sha256::digest(still))),
    };
    Draft { stamp: stamp(t, TimeSource::Ntp), body, replay: false }
}

const HOUR: i64 = 3_600_000;
/// 2026-05-01T00:00:00Z.
const DAY: i64 = 1_777_593_600_000;

fn journal(path: &Path, drafts: Vec<Draft>) {
    let mut options = JournalOptions::new(path, "ranger-1");
    options.boot_event = false;
    let (handle, thread) = Journal::open(options, Beat::unwatched()).unwrap();
    handle.append_and_wait(drafts).unwrap();
    thread.stop(Duration::from_secs(5)).unwrap();
}

/// Two crossings whose times were found out later, and others on two days.
fn drafts() -> Vec<Draft> {
    let id = Uuid::from_u128;
    let clock = Body::Clock { ranges: vec![(1, 2, DAY, 900)], why: "satellite".into() };
    let watch = Body::Watch {
        cam: "road".into(),
        from: UtcMillis(DAY),
        to: UtcMillis(DAY + 30 * HOUR),
        frames: 1000,
        blind_s: Seconds(60.0),
        paused_s: None,
    };
    vec![
        crossing(id(1), 5 * HOUR, "car", "in", TimeSource::None),
        crossing(id(2), 6 * HOUR, "truck", "in", TimeSource::None),
        Draft { stamp: stamp(DAY + 7 * HOUR, TimeSource::Gps), body: clock, replay: false },
        crossing(id(3), DAY + 9 * HOUR, "car", "out", TimeSource::Ntp),
        crossing(id(4), DAY + 29 * HOUR, "bus", "in", TimeSource::Ntp),
        Draft { stamp: stamp(DAY + 30 * HOUR, TimeSource::Ntp), body: watch, replay: false },
    ]
}

/// Runs it in so little room that nothing may grow with the square of its input.
fn report_in_a_gigabyte(events: &Path, format: &str) -> Said {
    let program = env!("CARGO_BIN_EXE_tawny");
    let script = "ulimit -v 1000000; exec \"$0\" \"$@\"";
    let output = std::process::Command::new("sh")
        .args(["-c", script, program, "report", "--format", format, "--jsonl"])
        .arg(events)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn names_files_and_units_without_end_make_no_endless_report() {
    let studio = Studio::new(STREET_LINE);
    let line = |unit: &str, seq: u64, rest: String| {
        format!(
            "{{\"v\":1,\"unit\":\"{unit}\",\"log\":\"a\",\"seq\":{seq},{rest},\
             \"t\":\"2026-05-01T00:00:00.000Z\",\"tu\":40,\"ts\":\"ntp\",\"boot\":\"00000001\",\"m\":5}}\n"
        )
    };
    let crossing = |id: u64, name: u64| {
        format!(
            "\"kind\":\"crossing\",\"id\":\"{}\",\"cam\":\"road\",\"grp\":\"vehicle\",\"cls\":\"c{name}\",\"conf\":0.9,\
             \"box\":[0.1,0.1,0.2,0.2],\"wire\":\"gate\",\"dir\":\"d{name}\"",
            Uuid::from_u128(id.into())
        )
    };
    let kept = |n: u64| {
        let one = Uuid::from_u128(1);
        format!(
            "\"kind\":\"kept\",\"id\":\"{}\",\"cam\":\"road\",\"what\":\"clip\",\"file\":\"f\",\"bytes\":9,\
             \"sha256\":\"{n:064x}\",\"to\":\"2026-05-01T00:00:00.000Z\",\"of\":[\"{one}\"]",
            Uuid::from_u128((1000 + n).into())
        )
    };
    let watch = "\"kind\":\"watch\",\"cam\":\"road\",\"from\":\"2026-02-01T00:00:00.000Z\",\"to\":\"2026-04-30T00:00:00.000Z\",\
                 \"frames\":1,\"blind_s\":0.0";
    let names: String = (1..=6_000).map(|n| line("u", n, crossing(n, n))).collect();
    let files: String = (1..=8_000).map(|n| line("u", n, if n % 2 == 0 { kept(n) } else { crossing(1, 0) })).collect();
    let units: String = (1..=4_000).map(|n| line(&format!("u{n}"), 1, watch.to_owned())).collect();
    // What is said of what is not shown, and how many crossings there are.
    for (name, text, said, crossings) in [
        ("names", names, "<th scope=\"col\" class=\"n\">→ 5993 others</th>", 6_000),
        ("files", files, "4000 crossings have more files in the records than are named here.", 4_000),
        ("units", units, "The units with the most crossings; 3950 more are not shown.", 0),
    ] {
        assert!(text.len() < 3_200_000, "{name}: {}", text.len());
        let file = studio.file(&format!("{name}.jsonl"), text);
        let page = ok(report_in_a_gigabyte(&file, "html"));
        assert!(page.len() < 30_000_000, "{name}: {}", page.len());
        assert!(page.contains(said), "{name}");
        let facts = ok(report_in_a_gigabyte(&file, "json"));
        assert!(facts.len() < 60_000_000, "{name}: {}", facts.len());
        let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
        let groups = facts["groups"]["vehicle"].as_u64().unwrap_or(0);
        assert_eq!((facts["crossings"].as_array().unwrap().len(), groups), (crossings, crossings as u64), "{name}");
    }
}

#[test]
fn its_numbers_are_those_of_tawny_events() {
    let studio = Studio::new("[journal]\npath = \"journal.db\"\n");
    journal(&studio.path("journal.db"), drafts());
    // As the daemon notes beside the `clock` event.
    let db = rusqlite::Connection::open(studio.path("journal.db")).unwrap();
    db.execute("INSERT INTO correction (first, last, offset_ms, tu) VALUES (1, 2, ?1, 900)", [DAY]).unwrap();
    drop(db);
    let config = studio.path("tawny.toml");
    let config = config.to_str().unwrap();
    for period in [&[][..], &["--since", "2026-05-01T06:00:00Z"], &["--until", "2026-05-01T09:00:00Z"]] {
        let run = |command: &[&str]| ok(tawny(command.iter().chain(&["--config", config]).chain(period)));
        let events = run(&["events", "--kind", "crossing", "--format", "csv"]);
        let report = run(&["report", "--format", "csv"]);
        let known = |row: &BTreeMap<&str, &str>| match row["t_corrected"] {
            "" => (row["t"].to_owned(), row["tu"].to_owned()),
            t => (t.to_owned(), row["tu_corrected"].to_owned()),
        };
        let what = |row: &BTreeMap<&str, &str>| {
            ["seq", "cam", "grp", "cls", "conf", "wire", "dir", "id"].map(|key| row[key].to_owned())
        };
        let mut expected: Vec<_> = rows(&events).iter().map(|row| (known(row), what(row))).collect();
        expected.sort();
        let told = |row: &BTreeMap<&str, &str>| ((row["t"].to_owned(), row["tu"].to_owned()), what(row));
        let found: Vec<_> = rows(&report).iter().map(told).collect();
        assert_eq!(found, expected, "{period:?}");
        let figures: serde_json::Value = serde_json::from_str(&run(&["report", "--format", "json"])).unwrap();
        let totals = figures["totals"].as_array().unwrap().iter().map(|line| line["total"].as_u64().unwrap());
        assert_eq!(totals.sum::<u64>(), expected.len() as u64);
    }
    // The same from the lines, as a receiver has them.
    let lines = studio.file("events.jsonl", ok(tawny(["events", "--config", config, "--format", "jsonl"])));
    let from_lines = ok(tawny(["report", "--jsonl", lines.to_str().unwrap(), "--format", "csv"]));
    assert_eq!(from_lines, ok(tawny(["report", "--config", config, "--format", "csv"])));
    let page = ok(tawny(["report", "--config", config]));
    assert!(page.contains("possibly the same, returning") && page.contains("2 times were corrected"), "{page}");
}

#[test]
fn a_picture_is_shown_only_if_it_is_the_one_that_was_recorded() {
    let studio = Studio::new("[journal]\npath = \"journal.db\"\n");
    let (mine, forged) = (Uuid::now_v7(), Uuid::now_v7());
    let jpeg = b"\xff\xd8\xff\xe0 a picture".to_vec();
    let all = [mine, forged].map(|id| [crossing(id, DAY, "car", "in", TimeSource::Ntp), end(id, DAY + 1, &jpeg)]);
    journal(&studio.path("journal.db"), all.into_iter().flatten().collect());
    for (id, bytes) in [(mine, &jpeg[..]), (forged, b"\xff\xd8\xff\xe0 another one")] {
        let path = studio.path("evidence").join(Item::new(Kind::Small, id).name());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let page = ok(tawny(["report", "--config", studio.path("tawny.toml").to_str().unwrap()]));
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 1, "{page}");
    assert!(page.contains("yes, it agrees") && page.contains("another file: not shown"), "{page}");
}

#[test]
fn a_clip_is_named_with_its_checksum_once_for_all_that_it_shows() {
    let studio = Studio::new("[journal]\npath = \"journal.db\"\n");
    let (one, two, clip) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    // Larger than any still.
    let video = vec![7; 17 << 20];
    let sha256 = to_hex(&Sha256::digest(&video));
    let body = Body::Kept {
        id: clip,
        cam: "road".into(),
        what: Keepsake::Clip,
        file: Item::new(Kind::Clip, clip).name(),
        bytes: video.len() as u64,
        sha256: sha256.clone(),
        to: Some(UtcMillis(DAY + 9_000)),
        of: vec![one, two],
    };
    let kept = Draft { stamp: stamp(DAY, TimeSource::Ntp), body, replay: false };
    let crossings = [one, two].map(|id| crossing(id, DAY + 1, "car", "in", TimeSource::Ntp));
    journal(&studio.path("journal.db"), crossings.into_iter().chain([kept]).collect());
    let config = studio.path("tawny.toml").to_str().unwrap().to_owned();
    let table = ok(tawny(["report", "--config", &config, "--format", "csv"]));
    assert_eq!(rows(&table).iter().map(|row| row["kept"]).collect::<Vec<_>>(), [&sha256, &sha256]);
    let page = || ok(tawny(["report", "--config", &config]));
    assert!(page().contains("1, 2") && page().matches(&sha256).count() == 1, "{}", page());
    assert!(page().contains(&clip.to_string()) && !page().contains("yes, it agrees"));
    let path = studio.path("evidence").join(Item::new(Kind::Clip, clip).name());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &video).unwrap();
    assert!(page().contains("yes, it agrees"));
    fs::write(&path, &video[1..]).unwrap();
    assert!(page().contains("another file"));
}

#[test]
fn what_cannot_be_read_is_said_in_one_sentence() {
    let said = tawny(["report", "--jsonl", "/nonexistent/events.jsonl"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.contains("/nonexistent/events.jsonl"), "{}", said.stderr);
    assert_eq!(tawny(["report", "--zone", "Atlantis/Harbour"]).code, Some(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_handed_in_becomes_a_report(
        events in prop::collection::vec(any_event(), 0..30),
        noise in "\\PC{0,60}",
        since in prop::option::of(any::<i64>()),
        until in prop::option::of(any::<i64>()),
    ) {
        let mut all = Collection::default();
        all.add(&noise, None);
        // The same unit and journal, so that clock events reach others.
        for (seq, mut event) in (1..).zip(events) {
            (event.unit, event.log.0, event.seq) = ("u".into(), "a".into(), seq);
            all.add(&event.to_json(), None);
        }
        let calendar = Calendar::parse("-03:30").unwrap();
        let (since, until) = (since.map(UtcMillis), until.map(UtcMillis));
        let settings = Settings { place: None, since, until, calendar, made: UtcMillis(0), sources: Vec::new() };
        let report = Report::new(all, &settings);
        let total = report.total();
        let lines = report.totals.lines.iter().map(|line| line.total).sum::<u64>();
        prop_assert_eq!(lines + report.totals.crossings_left_out, total);
        prop_assert!(html(&report, &Gallery::default()).ends_with("</html>"));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json(&report)).is_ok());
        prop_assert!(csv(&report).lines().count() as u64 > total);
    }
}
