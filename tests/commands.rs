//! Commands from outside: the real binary as unit and as operator, a real broker
//! between them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::broker::{Broker, Subscriber, publish_as, wait_for};
use common::daemon::{Daemon, Unit};
use common::operator::{Operator, STREET_AGAIN, alice, log, no_camera, signed, signed_for, ten_minutes, unit};
use common::program::{Said, tawny};
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use serde_json::{Value, json};
use tawny::clock::{Beat, ClockSource, KernelTime, RtcTime, SystemClock};
use tawny::config::{UnitConfig, UplinkConfig};
use tawny::control::{Done, Holds, Keyring, LARGEST_PIECE, Order, OutgoingFile, What, Wording, read_boot};
use tawny::domain::{Mono, UtcMillis, from_hex, to_hex};
use tawny::evidence::checksum;
use tawny::journal::{Journal, JournalOptions};
use tawny::uplink::{LinkSettings, Uplink, UplinkSetup};

#[test]
fn only_what_an_operator_signed_for_this_unit_and_journal_is_done_and_only_once() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let (alice, mallory) = (alice(), Keyring::from_secret([2; 32], "alice").unwrap());
    let unit = unit(&broker, &no_camera(), &[&alice]);
    let daemon = unit.start();
    operator.wait_online();
    let log = log(&unit);
    let pause = || json!({"do": "pause", "for": "1h"});
    let resume = || json!({"do": "resume"});

    let refused = |id: &str, payload: &str, reason: &str| {
        let reply = operator.send(id, false, payload);
        assert_eq!((&reply["ok"], &reply["refused"]), (&false.into(), &reason.into()), "{payload}: {reply}");
    };
    refused("a", "{\"id\":\"a\",\"do\":\"pause\",\"for\":\"1h\"}", "unsigned");
    refused("b", &signed(&mallory, &log, "b", 5, pause()), "signature");
    let text = pause().to_string();
    let wording = Wording { log: &log, id: "c", n: 5, holds: Some(ten_minutes()), text: &text };
    let for_another = alice.sign("tawny/other", &wording).unwrap().to_json();
    refused("c", &for_another, "signature");
    refused("d", &signed(&alice, &log, "d", 5, pause()).replace("1h", "2h"), "signature");
    refused("e", &signed(&alice, "other1", "e", 5, pause()), "journal");
    let kept = signed(&alice, &log, "f", 5, pause());
    assert_eq!(operator.send("f", true, &kept)["refused"], "retained");
    refused("g", &signed(&alice, &log, "g", 5, json!({"do": "explode"})), "format");
    refused("h", &signed(&alice, &log, "h", 5, pause()), "replayed");
    refused("i", &signed(&alice, &log, "i", 6, json!({"do": "pause", "for": "25h"})), "range");
    assert!(unit.rows().iter().all(|row| row.event["kind"] != "pause"), "nothing was done");

    let good = signed(&alice, &log, "j", 7, pause());
    let first = operator.send("j", false, &good);
    assert_eq!((&first["ok"], &first["n"], first["until"].is_string()), (&true.into(), &7.into(), true), "{first}");
    assert_eq!(operator.send("j", false, &good), first, "the same reply");
    refused("k", &signed(&alice, &log, "k", 7, resume()), "replayed");
    let signed_ping = signed(&alice, &log, "l", 8, json!({"do": "ping"}));
    let ping = operator.send("l", false, &signed_ping);
    assert_eq!((&ping["ok"], &ping["n"]), (&true.into(), &8.into()));
    assert_eq!(operator.send("m", false, "{\"id\":\"m\",\"do\":\"ping\"}")["ok"], true);

    // Killed and started again: the journal remembers what was done.
    operator.kill(daemon);
    let daemon = unit.start();
    operator.wait_online();
    refused("j", &good, "replayed");
    let last = operator.send("l", false, &signed_ping);
    assert_eq!((&last["ok"], &last["repeated"]), (&true.into(), &true.into()), "{last}");
    assert_eq!(operator.send("n", false, &signed(&alice, &log, "n", 9, resume()))["ok"], true);
    let pauses: Vec<Value> =
        unit.rows().into_iter().map(|row| row.event).filter(|event| event["kind"] == "pause").collect();
    let phases: Vec<_> = pauses.iter().map(|e| (e["phase"].as_str().unwrap(), e["by"].as_str().unwrap())).collect();
    assert_eq!(phases, [("start", "alice"), ("end", "alice")]);
    assert_eq!(pauses[0]["until"], first["until"]);
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn a_paused_unit_watches_nothing_and_says_so_until_it_is_told_otherwise() {
    let broker = Broker::with("allow_anonymous true\nmax_queued_messages 0\n");
    let operator = Operator::new(&broker);
    let alice = alice();
    let unit = unit(&broker, STREET_AGAIN, &[&alice]);
    let daemon = unit.start();
    unit.wait_event("it watches", |e| e["kind"] == "crossing");
    let log = log(&unit);
    let paused = operator.send("p", false, &signed(&alice, &log, "p", 1, json!({"do": "pause", "for": "2h"})));
    assert_eq!(paused["ok"], true, "{paused}");
    let is_paused = |health: &Value| health["paused_s"].as_u64().is_some_and(|left| (7000..=7200).contains(&left));
    let frames = |health: &Value| health["cameras"][0]["frames"].as_u64().unwrap_or(0);
    // What was under way at the moment of the order may still be decoded.
    wait_for("health says so", || is_paused(&operator.last_health()));
    let before = operator.last_health();
    wait_for("three seconds of pictures", || frames(&operator.last_health()) > frames(&before) + 75);
    let after = operator.last_health();
    assert!(is_paused(&after), "{after}");
    let figures = |health: &Value| {
        let camera = &health["cameras"][0];
        (camera["decoded"].as_u64().unwrap(), camera["inferences"].as_u64().unwrap())
    };
    let (decoded, _) = figures(&before);
    assert!(figures(&after).0 <= decoded + 4, "{before} {after}");

    // The pause outlives the program; it begins paused and decodes nothing.
    let crossings = || unit.rows().iter().filter(|row| row.event["kind"] == "crossing").count();
    operator.kill(daemon);
    let known = crossings();
    let heard = operator.subscriber.messages().len();
    let daemon = unit.start();
    let fresh = || {
        let messages = operator.subscriber.messages();
        let health = messages[heard..].iter().rfind(|m| m.topic.ends_with("/health"));
        health.map_or(Value::Null, |m| serde_json::from_str(&m.payload).unwrap())
    };
    wait_for("pictures come", || frames(&fresh()) > 25);
    assert!(is_paused(&fresh()), "{}", fresh());
    assert_eq!(figures(&fresh()), (0, 0), "{}", fresh());
    assert_eq!(crossings(), known);

    let resumed = operator.send("r", false, &signed(&alice, &log, "r", 2, json!({"do": "resume"})));
    assert_eq!(resumed["ok"], true, "{resumed}");
    wait_for("it watches again", || crossings() > known);
    wait_for("health says so", || operator.last_health()["paused_s"].is_null());
    assert_eq!(daemon.terminate().code, Some(0));
    // The last still may be kept after it.
    let watch = unit.rows().into_iter().rfind(|row| row.event["kind"] == "watch").unwrap().event;
    assert!(watch["paused_s"].as_f64().unwrap() > 0.5, "{watch}");
    assert!(watch["blind_s"].as_f64().unwrap() < 5.0, "a pause is no blindness: {watch}");
}

#[test]
fn a_pause_ends_by_itself() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let alice = alice();
    let unit = unit(&broker, &no_camera(), &[&alice]);
    let daemon = unit.start();
    operator.wait_online();
    let log = log(&unit);
    operator.send("p", false, &signed(&alice, &log, "p", 1, json!({"do": "pause", "for": "1s"})));
    let end = unit.wait_event("its end", |e| e["kind"] == "pause" && e["phase"] == "end");
    let start = unit.wait_event("its start", |e| e["kind"] == "pause" && e["phase"] == "start");
    assert!(end["by"].is_null() && end["why"] == "its time is over", "{end}");
    assert_eq!(end["m"].as_u64().unwrap(), start["m"].as_u64().unwrap() + 1000);
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn what_says_not_until_when_it_holds_is_done_only_where_that_is_wanted() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let alice = alice();
    let unit = unit(&broker, &no_camera(), &[&alice]);
    let daemon = unit.start();
    operator.wait_online();
    let log = log(&unit);
    let resume = || json!({"do": "resume"});
    let endless = |id: &str, n: u64| signed_for(&alice, &log, id, n, None, resume());
    let refusal = |id: &str, payload: &str| {
        let reply = operator.send(id, false, payload);
        assert_eq!(reply["ok"], false, "{payload}: {reply}");
        reply["refused"].as_str().unwrap().to_owned()
    };
    assert_eq!(refusal("a", &endless("a", (1 << 53) - 1)), "undated");
    // Months late; and for a boot that is over, whether this machine knows the time or not.
    let late = Holds { until: UtcMillis(1_777_666_555_123), boot: Some(7) };
    assert_eq!(refusal("b", &signed_for(&alice, &log, "b", 5, Some(late), resume())), "stale");
    // That spent its counter; what had no end spent nothing.
    assert_eq!(refusal("c", &signed(&alice, &log, "c", 5, resume())), "replayed");
    assert_eq!(operator.send("d", false, &signed(&alice, &log, "d", 6, resume()))["ok"], true);
    operator.kill(daemon);

    let check = |config: &Path| tawny(["check", "--config", config.to_str().unwrap()]).stdout;
    assert!(!check(&unit.config()).contains("tawny command v1"));
    let config = std::fs::read_to_string(unit.config()).unwrap();
    std::fs::write(unit.config(), format!("{config}accept_v1_commands = true\n")).unwrap();
    let said = check(&unit.config());
    assert!(said.contains("tawny command v1") && said.contains("remove accept_v1_commands"), "{said}");
    let daemon = unit.start();
    operator.wait_online();
    assert_eq!(operator.send("e", false, &endless("e", 7))["ok"], true);
    assert_eq!(refusal("f", &endless("f", 7)), "replayed");
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn an_old_copy_of_the_journal_makes_no_command_good_again() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let alice = alice();
    let unit = unit(&broker, &no_camera(), &[&alice]);
    let daemon = unit.start();
    operator.wait_online();
    let log = log(&unit);
    let pause = signed(&alice, &log, "p", 7, json!({"do": "pause", "for": "24h"}));
    // The last connection closes it, so that it is one file.
    assert_eq!(daemon.terminate().code, Some(0));
    let old = std::fs::read(unit.journal()).unwrap();
    let daemon = unit.start();
    operator.wait_online();
    assert_eq!(operator.send("p", false, &pause)["ok"], true);
    assert_eq!(operator.send("r", false, &signed(&alice, &log, "r", 8, json!({"do": "resume"})))["ok"], true);
    let beside = unit.dir.path().join("journal.db.counters");
    let kept = std::fs::read_to_string(&beside).unwrap();
    assert!(kept.contains(&format!("{} 8\n", to_hex(&alice.public().key))), "{kept}");
    assert_eq!(std::fs::metadata(&beside).unwrap().permissions().mode() & 0o777, 0o600);

    // Somebody puts the copy back, and the broker brings what it kept.
    assert_eq!(daemon.terminate().code, Some(0));
    let put_back = || {
        for more in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(unit.dir.path().join(format!("journal.db{more}")));
        }
        std::fs::write(unit.journal(), &old).unwrap();
    };
    put_back();
    let daemon = unit.start();
    operator.wait_status("\"online\"");
    let again = |id: &str, n: u64| operator.send(id, false, &signed(&alice, &log, id, n, json!({"do": "ping"})));
    assert_eq!(operator.send("p", false, &pause)["refused"], "replayed");
    assert_eq!(again("s", 8)["refused"], "replayed");
    assert_eq!(again("t", 9)["ok"], true);
    assert!(unit.rows().iter().all(|row| row.event["kind"] != "pause"), "nothing was done");
    assert_eq!(daemon.terminate().code, Some(0));

    // What is damaged is as if it were not there: the journal alone decides.
    std::fs::write(&beside, kept.replace(" 8\n", " 9007199254740991\n")).unwrap();
    let daemon = unit.start();
    operator.wait_status("\"online\"");
    assert_eq!(again("u", 9)["refused"], "replayed");
    assert_eq!(again("v", 10)["ok"], true);
    let end = daemon.terminate();
    assert!(end.log.contains("journal.db.counters is damaged"), "{}", end.log);
    assert!(std::fs::read_to_string(&beside).unwrap().contains(" 10\n"));
}

/// A machine whose clock is what the test says.
struct Sim(std::sync::Mutex<KernelTime>);

impl ClockSource for Sim {
    fn kernel(&self) -> KernelTime {
        *self.0.lock().unwrap()
    }

    fn rtc(&self) -> Option<RtcTime> {
        None
    }
}

#[test]
fn what_was_kept_back_is_stale_and_a_unit_that_does_not_know_the_time_asks_for_its_boot() {
    const NOW: i64 = 1_900_000_000_000;
    const BOOT: u32 = 0x0bad_cafe;
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) =
        Journal::open(JournalOptions::new(dir.path().join("journal.db"), "unit"), Beat::unwatched()).unwrap();
    let (orders, inbox) = crossbeam_channel::bounded::<Order>(4);
    let desk = std::thread::spawn(move || {
        let mut spent = Vec::new();
        for order in inbox {
            spent.push(order.what.is_ok());
            order.answer.send(order.what.map(|_| Done::default()));
        }
        spent
    });
    let kernel = KernelTime { mono: Mono::from_micros(1_000_000), utc_us: 5_000_000, max_error_us: None, leap: false };
    let sim = std::sync::Arc::new(Sim(std::sync::Mutex::new(kernel)));
    let clock = SystemClock::with(sim.clone(), BOOT);
    let config = UplinkConfig {
        broker: Some(broker.url()),
        operator_keys: vec![alice().public().clone()],
        ..UplinkConfig::default()
    };
    let settings = LinkSettings::load_with(&UnitConfig::default(), &config, &clock).unwrap_or_else(|e| panic!("{e}"));
    let uplink = Uplink::start(UplinkSetup {
        settings: settings.with_orders(orders),
        journal: journal.clone(),
        announce: true,
        health: None,
        stills: None,
        beat: Beat::unwatched(),
    })
    .unwrap();
    operator.wait_online();
    let log = journal.status().log().0;
    let mut n = 0;
    let mut send = |minutes: i64, boot: Option<u32>| {
        n += 1;
        let (id, holds) = (format!("c{n}"), Holds { until: UtcMillis(NOW + minutes * 60_000), boot });
        let payload = signed_for(&alice(), &log, &id, n, Some(holds), json!({"do": "ping"}));
        let reply = operator.send(&id, false, &payload);
        assert_eq!(reply["n"], n, "{reply}");
        assert_eq!(operator.send(&id, false, &payload), reply, "the same again");
        (reply["refused"].as_str().unwrap_or("done").to_owned(), reply["why"].as_str().unwrap_or("").to_owned())
    };
    // It wakes in 1970, and nothing tells it better.
    assert_eq!(send(10, Some(BOOT)).0, "done");
    assert_eq!(send(10, None).0, "stale");
    let (word, why) = send(10, Some(BOOT ^ 1));
    assert!(word == "stale" && why.contains("0badcafe"), "{word}: {why}");
    // Now it does.
    {
        let mut kernel = sim.0.lock().unwrap();
        (kernel.utc_us, kernel.max_error_us) = (NOW * 1_000, Some(20_000));
    }
    for boot in [None, Some(BOOT), Some(BOOT ^ 1)] {
        assert_eq!(send(10, boot).0, "done", "{boot:?}");
        assert_eq!(send(-1, boot).0, "stale", "{boot:?}");
        // Seven months.
        let (word, why) = send(-210 * 24 * 60, boot);
        assert!(word == "stale" && why.contains("here it is 2030-03-17T17:46:40.000Z"), "{word}: {why}");
        assert_eq!(send(23 * 60, boot).0, "done", "{boot:?}");
    }
    assert_eq!(send(25 * 60, Some(BOOT)).0, "range");
    uplink.stop(Duration::from_secs(3));
    thread.stop(Duration::from_secs(3)).unwrap();
    // What is stale comes to the desk, which stores its counter; what is signed for too
    // long does not.
    let seen = desk.join().unwrap();
    assert_eq!((seen.len(), seen.iter().filter(|done| **done).count()), (15, 7));
}

/// `tawny command` to the unit named "unit", or as `args` say.
fn command(broker: &Broker, args: &[&str]) -> Said {
    let url = broker.url();
    let unit: &[&str] = if args.contains(&"--unit") { &[] } else { &["--unit", "unit"] };
    tawny([&["command", "--broker", &url], unit, args].concat())
}

fn new_key(dir: &Path, name: &str) -> (PathBuf, Said) {
    let file = dir.join(name);
    let said = tawny(["key", "new", "--name", "alice", file.to_str().unwrap()]);
    (file, said)
}

#[test]
fn an_operator_makes_a_key_and_commands_with_it() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let (file, made) = new_key(dir.path(), "alice.key");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = file.to_str().unwrap();
    let shown = tawny(["key", "show", key]);
    assert_eq!((shown.code, &shown.stdout), (Some(0), &made.stdout));
    let secret = std::fs::read_to_string(&file).unwrap();
    let secret = secret.lines().find_map(|line| line.strip_prefix("secret = \"")).unwrap().trim_end_matches('"');
    assert!(!made.stdout.contains(secret) && !made.stderr.contains(secret));
    assert_eq!(new_key(dir.path(), "alice.key").1.code, Some(1), "a key is never overwritten");

    let online = Operator::new(&broker);
    // The line as it was printed.
    let unit = Unit::new(&format!("{}[uplink]\nbroker = \"{}\"\n{}", no_camera(), broker.url(), made.stdout));
    let daemon = unit.start();
    online.wait_online();
    // With nobody who hears everything the broker knows that nobody hears a command.
    drop(online);
    let done = |args: &[&str]| {
        let said = command(&broker, args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.stdout, said.stderr);
        serde_json::from_str::<Value>(&said.stdout).unwrap()
    };
    let failed = |args: &[&str], code: i32, word: &str| {
        let said = command(&broker, args);
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains(word), "{args:?}: {}", said.stderr);
    };
    assert!(done(&["ping"])["n"].is_null());
    assert_eq!(done(&["resend", "1", "1"])["to"], 1);
    let numbers: Vec<u64> = [&["--key", key, "ping"][..], &["--key", key, "pause", "90m"], &["--key", key, "resume"]]
        .into_iter()
        .map(|args| done(args)["n"].as_u64().unwrap())
        .collect();
    assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2], "{numbers:?}");
    unit.wait_event("the pause", |e| e["kind"] == "pause" && e["phase"] == "end" && e["by"] == "alice");

    failed(&["pause", "1h"], 2, "--key");
    failed(&["--key", key, "pause", "soon"], 2, "duration");
    failed(&["--key", key, "pause", "25h"], 1, "refused (range)");
    failed(&["--key", key, "--within", "25h", "resume"], 2, "--within");
    failed(&["--key", key, "--v1", "resume"], 1, "refused (undated)");
    assert!(done(&["--key", key, "--within", "24h", "resume"])["ok"] == true);
    let (other, _) = new_key(dir.path(), "other.key");
    failed(&["--key", other.to_str().unwrap(), "resume"], 1, "refused (signature)");
    failed(&["--unit", "nobody", "--key", key, "resume"], 1, "knows no unit nobody");
    failed(&["--unit", "nobody", "ping"], 1, "nobody takes commands");
    daemon.terminate();
    failed(&["--timeout", "10s", "--key", key, "resume"], 1, "no answer within 10 s");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    failed(&["--key", key, "resume"], 1, "others may read this key");
}

#[test]
fn nothing_is_signed_for_a_unit_whose_status_cannot_be_its_own() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = new_key(dir.path(), "alice.key");
    let listener = Operator::new(&broker);
    let log = "k3v7qa";
    for (i, (log, boot, word)) in [
        // What is signed would also be the text of another command, with the last
        // counter there is.
        (format!("{log}\nx\n9007199254740991\n"), json!("00000000"), "'log'"),
        (String::new(), json!("00000000"), "'log'"),
        (log.to_owned(), json!("0badcafe\n"), "boot"),
        (log.to_owned(), json!("0BADCAFE"), "boot"),
    ]
    .into_iter()
    .enumerate()
    {
        let unit = format!("forged{i}");
        let status = json!({"v": 1, "state": "online", "log": log, "seq": 1, "low": 1, "boot": boot,
            "t": "2026-01-01T00:00:00.000Z", "version": "0"});
        publish_as(None, broker.port, &format!("tawny/{unit}/status"), true, &status.to_string());
        for (more, what) in [(&[][..], "ping"), (&[][..], "resume"), (&["--v1"][..], "resume")] {
            if more.contains(&"--v1") && word == "boot" {
                continue;
            }
            let args = [&["--unit", unit.as_str(), "--key", file.to_str().unwrap()][..], more, &[what]].concat();
            let said = command(&broker, &args);
            assert_eq!(said.code, Some(1), "{}", said.stderr);
            assert!(said.stderr.contains("not signed") && said.stderr.contains(word), "{}", said.stderr);
        }
        let fetch = ["--unit", &unit, "--key", file.to_str().unwrap(), "clip", "--of", &uuid::Uuid::nil().to_string()];
        let said = command(&broker, &fetch);
        assert!(said.code == Some(1) && said.stderr.contains("not signed"), "{}", said.stderr);
    }
    // When the last has come, all that could come has.
    publish_as(None, broker.port, "tawny/last/cmd", false, "{}");
    wait_for("the last message", || listener.subscriber.messages().iter().any(|m| m.topic == "tawny/last/cmd"));
    assert!(!listener.subscriber.messages().iter().any(|m| m.topic.contains("forged") && m.topic.ends_with("/cmd")));
    assert!(!dir.path().join("alice.key.counter").exists(), "no counter was used up");
}

#[test]
fn a_unit_without_operators_answers_and_sends_again_and_does_nothing_else() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let unit = unit(&broker, &no_camera(), &[]);
    let daemon = unit.start();
    operator.wait_online();
    let payload = signed(&alice(), &log(&unit), "a", 1, json!({"do": "ping"}));
    assert_eq!(operator.send("a", false, &payload)["refused"], "signature");
    assert_eq!(operator.send("b", false, "{\"id\":\"b\",\"do\":\"resume\"}")["refused"], "unsigned");
    assert_eq!(operator.send("c", false, "{\"id\":\"c\",\"do\":\"ping\"}")["ok"], true);
    assert_eq!(operator.send("d", false, "{\"id\":\"d\",\"do\":\"resend\",\"from\":1,\"to\":1}")["ok"], true);
    daemon.terminate();
}

#[test]
fn a_file_follows_the_reply_piece_by_piece_in_order() {
    let broker = Broker::start();
    let operator = Operator::new(&broker);
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) =
        Journal::open(JournalOptions::new(dir.path().join("journal.db"), "unit"), Beat::unwatched()).unwrap();
    let (orders, inbox) = crossbeam_channel::bounded::<Order>(4);
    let content: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sent = content.clone();
    let archive = std::thread::spawn(move || {
        for order in inbox {
            assert_eq!((order.what, order.by.as_str()), (Ok(What::Ping), "alice"));
            let file = OutgoingFile::in_memory(sent.clone(), "video/mp4");
            order.answer.send(file.map(|file| Done { until: None, file: Some(file) }));
        }
    });
    let config = UplinkConfig {
        broker: Some(broker.url()),
        operator_keys: vec![alice().public().clone()],
        ..UplinkConfig::default()
    };
    let uplink = Uplink::start(UplinkSetup {
        settings: LinkSettings::load(&UnitConfig::default(), &config)
            .unwrap_or_else(|e| panic!("{e}"))
            .with_orders(orders),
        journal: journal.clone(),
        announce: true,
        health: None,
        stills: None,
        beat: Beat::unwatched(),
    })
    .unwrap();
    operator.wait_online();
    let payload = signed(&alice(), &journal.status().log().0, "a", 1, json!({"do": "ping"}));
    let reply = operator.send("a", false, &payload);
    let expected = json!({"type": "video/mp4", "bytes": 200_000, "sha256": checksum(&content), "from": 0});
    assert_eq!((&reply["ok"], &reply["file"]), (&true.into(), &expected));
    wait_for("every part", || operator.file("a").len() == content.len());
    assert!(operator.file("a") == content);
    let parts = operator.parts("a");
    assert!(parts.iter().all(|part| part.bytes.len() <= LARGEST_PIECE && !part.retained));
    uplink.stop(Duration::from_secs(3));
    thread.stop(Duration::from_secs(3)).unwrap();
    archive.join().unwrap();
}

/// A broker with the rules that ship with Tawny, and these logins; the password is
/// "secret".
fn ruled_broker(dir: &Path, users: &[&str]) -> Broker {
    let passwords = dir.join("passwords");
    std::fs::write(&passwords, "").unwrap();
    for user in users {
        let made = Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args([user, "secret"]).status();
        assert!(made.unwrap().success());
    }
    let acl = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto/tawny.acl");
    std::fs::copy(acl, dir.join("acl")).unwrap();
    Broker::with(&format!(
        "allow_anonymous false\npassword_file {}\nacl_file {}\n",
        passwords.display(),
        dir.join("acl").display()
    ))
}

fn subscriber_as(broker: &Broker, user: &str) -> Subscriber {
    let mut options = MqttOptions::new(format!("{user}-listens"), "127.0.0.1", broker.port);
    options.set_credentials(user, "secret").set_clean_start(true).set_max_packet_size(Some(1 << 20));
    Subscriber::with(options)
}

#[test]
fn by_the_rules_for_the_broker_a_units_login_reaches_nobody_but_itself() {
    let dir = tempfile::tempdir().unwrap();
    let broker = ruled_broker(dir.path(), &["gate", "other", "receiver"]);
    let receiver = subscriber_as(&broker, "receiver");
    // Its thief asks for everything.
    let thief = subscriber_as(&broker, "gate");
    let unit = Unit::new("");
    std::fs::write(unit.dir.path().join("password"), "secret\n").unwrap();
    unit.configure(&format!(
        "[unit]\nid = \"gate\"\n{}[uplink]\nbroker = \"{}\"\nusername = \"gate\"\npassword_file = \"password\"\n",
        no_camera(),
        broker.url(),
    ));
    let daemon: Daemon = unit.start();
    let heard = |subscriber: &Subscriber, part: &str| subscriber.messages().iter().any(|m| m.topic.contains(part));
    wait_for("events, status and health", || {
        ["tawny/gate/event/boot", "tawny/gate/status", "tawny/gate/health"].iter().all(|topic| heard(&receiver, topic))
    });
    let url = broker.url();
    let password = dir.path().join("secret");
    std::fs::write(&password, "secret\n").unwrap();
    let command = |user: &str| {
        let password = password.to_str().unwrap();
        let login = ["--broker", &url, "--username", user, "--password-file", password, "--timeout", "10s"];
        tawny([&["command"][..], &login, &["--unit", "gate", "ping"]].concat())
    };
    let said = command("receiver");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = command("other");
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("may not command the unit"), "{}", said.stderr);

    let as_gate = |topic: &str| publish_as(Some(("gate", "secret")), broker.port, topic, false, "{}");
    for topic in ["tawny/other/event/crossing", "tawny/other/cmd", "tawny/other/status", "tawny/x", "elsewhere"] {
        assert_eq!(as_gate(topic), PubAckReason::NotAuthorized, "{topic}");
    }
    assert_ne!(as_gate("tawny/gate/event/end"), PubAckReason::NotAuthorized);
    // When the last has come, all that could come has.
    wait_for("its own", || heard(&receiver, "tawny/gate/event/end"));
    publish_as(Some(("receiver", "secret")), broker.port, "tawny/other/cmd", false, "{\"id\":\"a\",\"do\":\"ping\"}");
    publish_as(Some(("receiver", "secret")), broker.port, "tawny/gate/cmd", false, "{\"id\":\"b\",\"do\":\"ping\"}");
    wait_for("a reply to the second", || heard(&receiver, "tawny/gate/reply/b"));
    wait_for("its own commands", || thief.messages().iter().any(|m| m.payload.contains("\"b\"")));
    let topics: Vec<String> = thief.messages().iter().map(|m| m.topic.clone()).collect();
    assert!(topics.iter().all(|topic| topic == "tawny/gate/cmd"), "{topics:?}");
    assert!(!receiver.messages().iter().any(|m| m.topic.starts_with("tawny/other/") && !m.topic.ends_with("/cmd")));
    daemon.terminate();
}

/// The words behind `name` in the example of the reference.
fn example<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix("    ")?.strip_prefix(name)?.strip_prefix("  "));
    line.unwrap_or_else(|| panic!("no '{name}' in the example")).trim()
}

#[test]
fn the_references_example_is_what_the_program_signs() {
    let text = include_str!("../docs/reference/commands.md");
    let secret = from_hex(example(text, "secret key")).unwrap();
    let keyring = Keyring::from_secret(secret, "alice").unwrap();
    assert_eq!(to_hex(&keyring.public().key), example(text, "public key"));
    let (unit, log, id) = (example(text, "unit"), example(text, "log"), example(text, "id"));
    let (n, cmd) = (example(text, "n").parse().unwrap(), example(text, "cmd"));
    let until = UtcMillis::parse(example(text, "until")).unwrap();
    let holds = Holds { until, boot: read_boot(example(text, "boot")) };
    assert!(holds.boot.is_some());
    let whole = Wording { log, id, n, holds: Some(holds), text: cmd };
    for (wording, lines, signature) in [
        (whole, "signed text", "signature"),
        (Wording { holds: Some(Holds { boot: None, ..holds }), ..whole }, "text unbound", "signature unbound"),
        (Wording { holds: None, ..whole }, "text v1", "signature v1"),
    ] {
        let bytes = wording.lines(unit).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().replace('\n', "\\n"), example(text, lines));
        let signed = keyring.sign(unit, &wording).unwrap();
        assert_eq!(to_hex(&signed.signature), example(text, signature));
    }
    let payload = example(text, "payload");
    let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
    assert_eq!(value(payload), value(&keyring.sign(unit, &whole).unwrap().to_json()));
}
