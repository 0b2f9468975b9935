//! Figures of journal and uplink: what a card has to write, how fast a backlog
//! goes, and what a new alert waits for. They are printed, and held to the limits
//! that docs/performance.md states; run them alone, on a disk:
//!
//!     cargo test --test outbox -- --ignored --nocapture --test-threads=1
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::broker::{Broker, Subscriber, wait_for};
use common::drafts::{crossing, crossings, draft, sighting};
use tawny::clock::Beat;
use tawny::config::{UnitConfig, UplinkConfig};
use tawny::domain::UtcMillis;
use tawny::event::{Body, Draft, Phase, Seconds};
use tawny::journal::{Delivery, Journal, JournalHandle, JournalOptions, JournalThread, Mark};
use tawny::uplink::{LinkSettings, Uplink, UplinkSetup};

const PATIENCE: Duration = Duration::from_secs(60);

fn open(dir: &Path) -> (JournalHandle, JournalThread) {
    let mut options = JournalOptions::new(dir.join("journal.db"), "unit");
    options.boot_event = false;
    Journal::open(options, Beat::unwatched()).unwrap()
}

/// (bytes handed to the system, bytes of pages that the disk has to write)
fn written() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().parse::<u64>().unwrap();
    (field("wchar:"), field("write_bytes:"))
}

fn cost_of(what: &str, n: u64, act: impl FnOnce()) -> f64 {
    let before = written();
    act();
    let after = written();
    let each = |before: u64, after: u64| (after - before) as f64 / n as f64;
    let (handed, disk) = (each(before.0, after.0), each(before.1, after.1));
    println!("{what}: {handed:.0} bytes handed over, {disk:.0} bytes of the disk's pages");
    disk
}

/// What one object causes: it comes, crosses, goes.
fn visit(i: u64) -> [Draft; 3] {
    let id = u128::from(i) << 64 | 7;
    [sighting(id, i * 10, Phase::Start), crossing(id, i * 10 + 1, None), sighting(id, i * 10 + 2, Phase::End)]
}

/// What is written a quarter of an hour apart shares no page of the cache.
fn flush_to_disk(dir: &Path) {
    rustix::fs::syncfs(std::fs::File::open(dir).unwrap()).unwrap();
}

fn delivered(seq: u64) -> Vec<Mark> {
    vec![Mark { seq, delivery: Delivery::Delivered, at: UtcMillis(0) }]
}

#[test]
#[ignore = "measures"]
fn bytes_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) = open(dir.path());
    let log = journal.status().log();
    let single = cost_of("one event at a time, each acknowledged", 3000, || {
        for draft in (0..1000).flat_map(visit) {
            let seq = journal.append_and_wait(vec![draft]).unwrap();
            journal.try_mark(&log, delivered(seq)).unwrap();
        }
    });
    let burst = cost_of("in bursts of 30", 3000, || {
        for i in 0..100 {
            let drafts: Vec<Draft> = (0..10).flat_map(|k| visit(5000 + i * 10 + k)).collect();
            let last = journal.append_and_wait(drafts).unwrap();
            let marks = (last - 29..=last).flat_map(delivered).collect();
            journal.try_mark(&log, marks).unwrap();
        }
    });
    let hour = cost_of("an idle hour with one camera", 1, || {
        for _ in 0..3 {
            assert!(journal.mark_and_wait(&log, Vec::new(), PATIENCE));
            flush_to_disk(dir.path());
        }
        let t = UtcMillis(1_747_000_000_000);
        let watch =
            Body::Watch { cam: "road".into(), from: t, to: t, frames: 36_000, blind_s: Seconds(0.0), paused_s: None };
        let seq = journal.append_and_wait(vec![draft(1, watch)]).unwrap();
        journal.try_mark(&log, delivered(seq)).unwrap();
        flush_to_disk(dir.path());
    });
    thread.stop(PATIENCE).unwrap();
    assert!(single <= 12_000.0 && burst <= 2_000.0 && hour <= 100_000.0);
}

#[test]
#[ignore = "measures"]
fn a_commit_costs_the_same_with_20000_undelivered() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) = open(dir.path());
    let hundred = |journal: &JournalHandle, from: u64| {
        let mut times: Vec<Duration> = (from..from + 100)
            .map(|i| {
                let start = Instant::now();
                journal.append_and_wait(crossings(i, 1)).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[50]
    };
    let (mut none, mut many) = (hundred(&journal, 0), Duration::ZERO);
    let bytes_none = cost_of("a commit with none undelivered", 100, || none = hundred(&journal, 100));
    for i in 0..200 {
        journal.append(crossings(1000 + i * 100, 100)).unwrap();
    }
    journal.flush().unwrap();
    let bytes_many = cost_of("a commit with 20,000 undelivered", 100, || many = hundred(&journal, 30_000));
    println!("median: {none:?} with none, {many:?} with 20,000 undelivered");
    thread.stop(PATIENCE).unwrap();
    assert!(bytes_many < bytes_none * 1.2);
}

#[test]
#[ignore = "measures"]
fn a_backlog_of_100000() {
    const N: u64 = 100_000;
    let broker = Broker::with("allow_anonymous true\nmax_queued_messages 0\n");
    let subscriber = Subscriber::start(broker.port);
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) = open(dir.path());
    for i in 0..N / 1000 {
        journal.append(crossings(i * 1000, 1000)).unwrap();
    }
    journal.flush().unwrap();
    let config = UplinkConfig { broker: Some(broker.url()), ..UplinkConfig::default() };
    let start = Instant::now();
    let uplink = Uplink::start(UplinkSetup {
        settings: LinkSettings::load(&UnitConfig::default(), &config).unwrap_or_else(|e| panic!("{e}")),
        journal: journal.clone(),
        announce: true,
        health: None,
        stills: None,
        beat: Beat::unwatched(),
    })
    .unwrap();
    wait_for("it moves", || uplink.figures().delivered > N / 10);
    let asked = Instant::now();
    let alert = journal.append_and_wait(crossings(N + 1, 1)).unwrap();
    let committed = asked.elapsed();
    let needle = format!("\"seq\":{alert},");
    wait_for("the alert", || subscriber.messages().iter().rev().take(5000).any(|m| m.payload.contains(&needle)));
    let arrived = asked.elapsed();
    wait_for("all is delivered", || journal.figures().queued == 0);
    let took = start.elapsed();
    let rate = (N + 1) as f64 / took.as_secs_f64();
    println!("{N} events in {took:?}: {rate:.0} a second, capped at {}", config.backlog_rate);
    println!("an alert in the middle: committed after {committed:?}, with the subscriber after {arrived:?}");
    uplink.stop(PATIENCE);
    thread.stop(PATIENCE).unwrap();
    assert!(rate >= 2_000.0 && arrived < Duration::from_secs(1));
}
