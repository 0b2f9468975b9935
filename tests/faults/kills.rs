//! SIGKILL at random moments: of the process that writes and sends, of the broker,
//! of both. The real journal and uplink in a process of their own, a real broker
//! that sometimes remembers and sometimes forgets, and `tawny receive`, which asks
//! for what did not come.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tawny::clock::Beat;
use tawny::config::{UnitConfig, UplinkConfig};
use tawny::journal::{Journal, JournalOptions};
use tawny::uplink::{HealthFeed, LinkSettings, Uplink, UplinkSetup};
use uuid::Uuid;

use crate::audit::{Audit, Receiver};
use crate::chance::Chance;
use crate::common::broker::{Broker, Subscriber, wait_for};
use crate::common::daemon::{Row, Unit};
use crate::common::drafts::crossing;

/// Broker of the producer; also tells it that it is one.
const BROKER: &str = "TAWNY_PRODUCER_BROKER";
/// Its folder: the journal, the promises, and what the test wants of it.
const FOLDER: &str = "TAWNY_PRODUCER_FOLDER";

/// In the folder: no more events, or no more at all.
const ENOUGH: &str = "enough";
const STOP: &str = "stop";

/// Not a test: the process that the others start and kill. It commits bursts of
/// events as fast as a busy road brings them, notes each burst once the journal
/// has said that it is committed, and sends everything.
#[test]
#[ignore = "a part of the others"]
fn producer() {
    let (Ok(broker), Ok(folder)) = (std::env::var(BROKER), std::env::var(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let (journal, thread) =
        Journal::open(JournalOptions::new(folder.join("journal.db"), "unit"), Beat::unwatched()).unwrap();
    let config = UplinkConfig { broker: Some(broker), ..UplinkConfig::default() };
    let figures = journal.clone();
    let render = move || {
        let figures = figures.figures();
        format!("{{\"v\":1,\"log\":\"{}\",\"low\":{}}}", figures.log, figures.low)
    };
    let uplink = Uplink::start(UplinkSetup {
        settings: LinkSettings::load(&UnitConfig::default(), &config).unwrap_or_else(|e| panic!("{e}")),
        journal: journal.clone(),
        announce: true,
        health: Some(HealthFeed { interval: Duration::from_secs(1), render: Box::new(render) }),
        stills: None,
        beat: Beat::unwatched(),
    })
    .unwrap();
    let mut promises = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("promises")).unwrap();
    let run = u128::from(getrandom::u64().unwrap()) << 64;
    let mut chance = getrandom::u32().unwrap();
    let mut next = 0u64;
    while !folder.join(STOP).exists() {
        if folder.join(ENOUGH).exists() {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let n = u64::from(chance >> 16) % 12 + 1;
        let burst = (next..next + n).map(|i| crossing(run | u128::from(i), i, None)).collect();
        let last = journal.append_and_wait(burst).unwrap();
        // In one write, which no kill tears apart.
        promises.write_all(format!("{last} {n} {:032x}\n", run | u128::from(next)).as_bytes()).unwrap();
        next += n;
        std::thread::sleep(Duration::from_millis(10 + u64::from(chance >> 24) % 20));
    }
    uplink.stop(Duration::from_secs(3));
    thread.stop(Duration::from_secs(3)).unwrap();
}

/// The process, killed with the value that holds it.
struct Producer(Child);

impl Drop for Producer {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_producer(folder: &Path, broker: &str) -> Producer {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kills::producer"])
        .env(BROKER, broker)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn();
    Producer(child.unwrap())
}

/// Every burst that was said to be committed is in the journal under its numbers.
fn assert_promises_are_kept(folder: &Path, rows: &[Row]) -> usize {
    let rows: BTreeMap<u64, &Value> = rows.iter().map(|row| (row.seq, &row.event)).collect();
    let promises = std::fs::read_to_string(folder.join("promises")).unwrap();
    let mut promised = 0;
    for line in promises.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (last, n): (u64, u64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        let first = u128::from_str_radix(words[2], 16).unwrap();
        for i in 0..n {
            let id = Uuid::from_u128(first + u128::from(i)).to_string();
            let seq = last - n + 1 + i;
            assert_eq!(rows.get(&seq).map(|event| &event["id"]), Some(&id.into()), "event {seq}");
        }
        promised += n as usize;
    }
    promised
}

/// Kills so many times, goes on until so many events are there, waits until
/// everything has arrived, and says what became of it.
fn kill_again_and_again(kills: u64, events: usize) {
    let began = Instant::now();
    let mut chance = Chance::new();
    let mut broker = Broker::with(
        "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\npersistence true\n\
         persistence_location {dir}/\nautosave_interval 1\n",
    );
    // Only for its folder.
    let unit = Unit::new("");
    let folder = unit.dir.path();
    let subscriber = Subscriber::start(broker.port);
    let receiver = Receiver::start(&broker.url(), &folder.join("events.jsonl"));
    let mut producer = Some(start_producer(folder, &broker.url()));
    let (mut of_producer, mut of_broker, mut of_both) = (0, 0, 0);
    for _ in 0..kills {
        std::thread::sleep(chance.ms(20, 900));
        let (kills_producer, kills_broker) = *chance.of(&[(true, false), (false, true), (true, true)]);
        *match (kills_producer, kills_broker) {
            (true, false) => &mut of_producer,
            (false, _) => &mut of_broker,
            (true, true) => &mut of_both,
        } += 1;
        if kills_producer {
            drop(producer.take());
        }
        if kills_broker {
            broker.kill();
            if chance.one_in(2) {
                broker.forget();
            }
        }
        std::thread::sleep(chance.ms(0, 300));
        if kills_producer {
            producer = Some(start_producer(folder, &broker.url()));
            std::thread::sleep(chance.ms(0, 100));
        }
        if kills_broker {
            broker.run();
        }
    }
    let journal_rows = || unit.rows().len();
    let patience = Instant::now() + Duration::from_secs(60 + events as u64 / 20);
    while journal_rows() < events {
        assert!(Instant::now() < patience && producer.as_mut().unwrap().0.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(500));
    }
    std::fs::write(folder.join(ENOUGH), "").unwrap();
    let killing_took = began.elapsed();
    // What a broker took with it into its grave is asked for again.
    let patience = Instant::now() + Duration::from_secs(120 + events as u64 / 50);
    while receiver.received().len() < journal_rows() {
        assert!(Instant::now() < patience, "{} of {} arrived", receiver.received().len(), journal_rows());
        std::thread::sleep(Duration::from_millis(200));
    }
    std::fs::write(folder.join(STOP), "").unwrap();
    let mut last = producer.take().unwrap();
    wait_for("the producer ends", || last.0.try_wait().unwrap().is_some());

    let rows = unit.rows();
    let promised = assert_promises_are_kept(folder, &rows);
    let audit = Audit::of(&rows, &receiver.received(), &subscriber.messages());
    println!(
        "{kills} kills ({of_producer} of the unit, {of_broker} of the broker, {of_both} of both) in {:.0} s",
        killing_took.as_secs_f64()
    );
    println!("{promised} events were promised to be committed\n{audit}");
    println!("the receiver: {}", receiver.stop());
    audit.assert_nothing_is_lost();
}

#[test]
fn twenty_kills_lose_nothing() {
    kill_again_and_again(20, 500);
}

/// `scripts/kills` runs it.
#[test]
#[ignore = "takes as long as it is told to"]
fn as_many_kills_as_told() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    kill_again_and_again(number("TAWNY_KILLS").unwrap_or(500), number("TAWNY_EVENTS").unwrap_or(50_000) as usize);
}
