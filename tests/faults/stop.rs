//! SIGTERM in the middle of everything: it ends within five seconds with code 0, and
//! what it held is committed.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::chance::Chance;
use crate::common::broker::{Broker, Subscriber, wait_for};
use crate::common::daemon::{Daemon, End, Unit};
use crate::proxy::Proxy;
use crate::watcher::unit_with_crossings;

const STOP_LIMIT: Duration = Duration::from_secs(5);

fn assert_stopped_well(end: &End) {
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.took < STOP_LIMIT, "took {:?}\n{}", end.took, end.log);
}

/// The journal is whole, and its last word is what was watched until then.
fn assert_committed(unit: &Unit) {
    let rows = unit.rows();
    assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64));
    // The pictures' own thread says when it has written one.
    let mut scene = rows.iter().filter(|row| row.event["kind"] != "kept");
    assert_eq!(scene.next_back().unwrap().event["kind"], "watch");
    let with =
        |phase: &str| rows.iter().filter(|row| row.event["kind"] == "sighting" && row.event["phase"] == phase).count();
    assert_eq!(with("start"), with("end"));
}

#[test]
fn sigterm_ends_it_in_time_whatever_hangs() {
    // Two at once: more would measure the machine.
    let pairs: [[fn(); 2]; 2] = [[on_a_dead_link, on_a_slow_link], [before_a_frozen_broker, behind_a_modem_that_hangs]];
    for pair in pairs {
        std::thread::scope(|scope| pair.map(|one| scope.spawn(one)).map(|one| one.join().unwrap()));
    }
}

fn generous() -> (Broker, Subscriber) {
    let broker = Broker::with("allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n");
    let subscriber = Subscriber::start(broker.port);
    (broker, subscriber)
}

/// Ends it, and looks whether everything is there and something is still to be sent.
fn end(unit: &Unit, daemon: Daemon) {
    assert_stopped_well(&daemon.terminate());
    assert_committed(unit);
    assert!(unit.rows().iter().any(|row| row.state == "queued"));
}

/// Half of the events are under way.
fn on_a_dead_link() {
    let (broker, subscriber) = generous();
    let proxy = Proxy::to(broker.port);
    let unit = unit_with_crossings(500, &proxy.url(), "backlog_rate = 100");
    let daemon = unit.start();
    wait_for("some arrive", || subscriber.seqs().len() > 100);
    proxy.go_silent();
    end(&unit, daemon);
}

/// The time does not suffice for all.
fn on_a_slow_link() {
    let (broker, subscriber) = generous();
    let proxy = Proxy::to(broker.port);
    proxy.slow(Duration::from_millis(500), 2_000);
    let unit = unit_with_crossings(500, &proxy.url(), "");
    let daemon = unit.start();
    wait_for("one arrives", || !subscriber.seqs().is_empty());
    end(&unit, daemon);
}

fn before_a_frozen_broker() {
    let (broker, subscriber) = generous();
    let unit = unit_with_crossings(500, &broker.url(), "backlog_rate = 100");
    let daemon = unit.start();
    wait_for("some arrive", || subscriber.seqs().len() > 100);
    let pid = Pid::from_raw(broker.pid().unwrap() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    end(&unit, daemon);
    kill_process(pid, Signal::CONT).unwrap();
}

fn behind_a_modem_that_hangs() {
    let (broker, _subscriber) = generous();
    let unit = unit_with_crossings(5, &broker.url(), "link_up = [\"sleep\", \"60\"]");
    let daemon = unit.start();
    daemon.wait_log("watching 1 camera");
    end(&unit, daemon);
}

/// At any moment of a busy street: while it starts, looks, commits, sends.
#[test]
fn sigterm_at_any_moment_leaves_a_whole_journal() {
    let mut chance = Chance::new();
    let broker = Broker::with("allow_anonymous true\nmax_queued_messages 0\n");
    let lines: String = (1..=9)
        .map(|i| format!("[[camera.tripwire]]\nname = \"line{i}\"\nfrom = [0.{i}, 1.0]\nto = [0.{i}, 0.0]\n"))
        .collect();
    let unit = Unit::new(&format!(
        "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nrealtime = false\nloop = true\n{lines}\
         [uplink]\nbroker = \"{}\"\n",
        broker.url()
    ));
    for _ in 0..6 {
        let before = unit.rows().len();
        let daemon = unit.start();
        // It is told from the journal that it has begun; before that the signal just
        // kills it.
        wait_for("its first event", || unit.rows().len() > before);
        std::thread::sleep(chance.ms(0, 1500));
        assert_stopped_well(&daemon.terminate());
    }
    let rows = unit.rows();
    assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64));
    let boots: Vec<_> = rows.iter().filter(|row| row.event["kind"] == "boot").map(|row| &row.event["why"]).collect();
    assert!(boots.len() == 6 && boots[1..].iter().all(|why| *why == "restart"), "{boots:?}");
    assert_committed(&unit);
}
