//! Somebody sets the machine's clock while the daemon works: by a second, a day,
//! ten years, forwards and backwards. A shim between the daemon and libc shows it
//! what the test wants; the machine's own clock is never touched.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tawny::clock::utc_now;
use tawny::domain::UtcMillis;

use crate::common::broker::{Broker, Subscriber, wait_for};
use crate::common::daemon::{Daemon, Unit};
use crate::watcher::{unit_with_crossings, wait_health};

const S: i64 = 1_000;
const DAY: i64 = 86_400 * S;
const YEAR: i64 = 365 * DAY;

/// The clock of one process: the machine's plus `offset_ms`, synchronised or not.
struct Shim {
    library: PathBuf,
    state: File,
    path: PathBuf,
}

impl Shim {
    fn build(dir: &Path) -> Shim {
        let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
        std::fs::write(&source, include_str!("clock_shim.c")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler is installed").success());
        let path = dir.join("clock");
        let state = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        let shim = Shim { library, state, path };
        shim.set(0, true);
        shim
    }

    fn set(&self, offset_ms: i64, synchronised: bool) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&offset_ms.to_ne_bytes());
        bytes[8] = u8::from(synchronised);
        self.state.write_all_at(&bytes, 0).unwrap();
    }

    fn start(&self, unit: &Unit) -> Daemon {
        Daemon::start(unit.command().env("LD_PRELOAD", &self.library).env("TAWNY_TEST_CLOCK", &self.path))
    }
}

fn time(event: &Value, key: &str) -> UtcMillis {
    UtcMillis::parse(event[key].as_str().unwrap()).unwrap()
}

#[test]
fn steps_of_the_machines_clock_change_no_events_time() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port);
    let dir = tempfile::tempdir().unwrap();
    let shim = Shim::build(dir.path());
    let lines: String = (1..=9)
        .map(|i| format!("[[camera.tripwire]]\nname = \"line{i}\"\nfrom = [0.{i}, 1.0]\nto = [0.{i}, 0.0]\n"))
        .collect();
    let unit = Unit::new(&format!(
        "[[camera]]\nname = \"road\"\nsource = \"STREET\"\nloop = true\n{lines}[uplink]\nbroker = \"{}\"\n[health]\ninterval = \"1s\"\n",
        broker.url()
    ));
    let began = utc_now().0;
    let mut daemon = shim.start(&unit);
    wait_health(&subscriber, "the clock is right", |h| h["clock"]["ts"] == "ntp");
    // In the midst of it: a sighting is open, lines are being crossed, events are on
    // their way. Set by hand (nothing vouches for it), then as if by a time server.
    let steps = [S, -S, DAY, -DAY, 10 * YEAR, -10 * YEAR, 0];
    for (nth, (step, synchronised)) in
        steps.iter().map(|step| (*step, false)).chain([(10 * YEAR, true), (-DAY, true), (0, true)]).enumerate()
    {
        let events = unit.rows().len();
        shim.set(step, synchronised);
        if nth % 2 == 0 {
            wait_for("something happens", || unit.rows().len() > events || !daemon.is_running());
        } else {
            std::thread::sleep(Duration::from_millis(400));
        }
        if step == -10 * YEAR {
            let health = wait_health(&subscriber, "it shows", |h| h["clock"]["ahead_ms"].as_i64() < Some(-9 * YEAR));
            assert_eq!(health["clock"]["ts"], "ntp", "what was vouched for is believed: {health}");
        }
    }
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    let ended = utc_now().0;
    let rows = unit.rows();
    assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64));
    let mut opened: BTreeMap<String, UtcMillis> = BTreeMap::new();
    for event in rows.iter().map(|row| &row.event) {
        let t = time(event, "t").0;
        assert!((began - S..=ended + S).contains(&t), "{event}");
        if event["kind"] == "sighting" && event["phase"] == "start" {
            opened.insert(event["id"].to_string(), time(event, "t"));
        }
        if let Some(seconds) = event["dur"].as_f64() {
            assert!((0.0..30.0).contains(&seconds), "{event}");
            assert!(time(event, "t") >= opened[&event["id"].to_string()], "{event}");
        }
        if event["kind"] == "watch" {
            assert!((0..ended - began + S).contains(&(time(event, "to").0 - time(event, "from").0)), "{event}");
        }
    }
    assert!(rows.iter().filter(|row| row.event["kind"] == "crossing").count() > 5, "{}", rows.len());
    wait_for("all is heard", || subscriber.seqs().len() == rows.len());
}

#[test]
fn a_certificate_that_has_expired_is_said_to_have() {
    let dir = tempfile::tempdir().unwrap();
    crate::network::certificate(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, key) = (file("ca.pem"), file("key.pem"));
    let broker = Broker::with(&format!("certfile {ca}\nkeyfile {key}\nallow_anonymous true\n"));
    let shim = Shim::build(dir.path());
    shim.set(YEAR, true);
    let url = format!("mqtts://localhost:{}", broker.port);
    let unit = unit_with_crossings(5, &url, &format!("ca_file = \"{ca}\""));
    let daemon = shim.start(&unit);
    daemon.wait_log("its certificate has expired");
    assert_eq!(daemon.terminate().code, Some(0));
    let rows = unit.rows();
    assert!(rows.len() > 5 && rows.iter().all(|row| row.state == "queued"));
}

/// An authority, and certificates of it for `localhost` that are valid from and until so
/// many minutes from now.
struct Authority(PathBuf);

impl Authority {
    fn new(dir: &Path) -> Authority {
        std::fs::create_dir(dir.join("new")).unwrap();
        std::fs::write(dir.join("index"), "").unwrap();
        let config = format!(
            "[ca]\ndefault_ca = one\n[one]\ndir = {}\ndatabase = $dir/index\nnew_certs_dir = $dir/new\n\
             rand_serial = yes\nunique_subject = no\ncertificate = $dir/ca.pem\nprivate_key = $dir/ca.key\n\
             default_md = sha256\npolicy = any\nx509_extensions = leaf\n[any]\ncommonName = supplied\n\
             [leaf]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical,CA:FALSE\n",
            dir.display()
        );
        std::fs::write(dir.join("ca.cnf"), config).unwrap();
        let authority = Authority(dir.to_owned());
        authority.openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority \
             -addext basicConstraints=critical,CA:TRUE",
        );
        authority
    }

    fn openssl(&self, arguments: &str) {
        let arguments = arguments.split_whitespace();
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A broker with such a certificate.
    fn broker(&self, name: &str, from_min: i64, until_min: i64) -> Broker {
        let time = |minutes: i64| {
            let text: String = UtcMillis(utc_now().0 + minutes * 60 * S).to_string();
            text[2..19].chars().filter(char::is_ascii_digit).collect::<String>()
        };
        let (from, until) = (time(from_min), time(until_min));
        self.openssl(&format!("req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -in {name}.csr -out {name}.pem -startdate {from}Z -enddate {until}Z"
        ));
        let file = |end: &str| self.0.join(format!("{name}.{end}")).display().to_string();
        Broker::with(&format!("certfile {}\nkeyfile {}\nallow_anonymous true\n", file("pem"), file("key")))
    }

    /// What a unit needs for it.
    fn config(&self, broker: &Broker) -> String {
        let camera = "[[camera]]\nname = \"mute\"\nsource = { command = [\"sleep\", \"1000\"], format = \"h264\" }\n";
        let ca = self.0.join("ca.pem").display().to_string();
        format!("{camera}[uplink]\nbroker = \"mqtts://localhost:{}\"\nca_file = \"{ca}\"\n", broker.port)
    }
}

const MINUTE: i64 = 60 * S;

const CONNECTED: &str = "connected to mqtts://";

#[test]
fn an_expired_certificate_stays_expired_when_the_time_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let shim = Shim::build(dir.path());
    let authority = Authority::new(dir.path());
    // The stolen one ended before the one that the broker has now was made.
    let stolen = authority.broker("stolen", -24 * 60, -20);
    let present = authority.broker("present", -10, 24 * 60);
    // Nothing vouches for the time yet, so nothing is there that a time server would have
    // to contradict for a while.
    shim.set(0, false);
    let unit = Unit::new(&authority.config(&present));
    let daemon = shim.start(&unit);
    daemon.wait_log(CONNECTED);
    assert_eq!(daemon.terminate().code, Some(0));
    shim.set(-40 * MINUTE, true);
    unit.configure(&authority.config(&stolen));
    let daemon = shim.start(&unit);
    daemon.wait_log("its certificate has expired");
    assert_eq!(daemon.terminate().code, Some(0));
    // The right one is none of the future, whatever the time server says.
    unit.configure(&authority.config(&present));
    let daemon = shim.start(&unit);
    daemon.wait_log(CONNECTED);
    assert_eq!(daemon.terminate().code, Some(0));
    // Whoever has never met it has but the time server to go by: so it is that which refuses.
    let other = Unit::new(&authority.config(&stolen));
    let daemon = shim.start(&other);
    daemon.wait_log(CONNECTED);
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn a_lie_about_the_time_keeps_a_unit_from_its_broker_no_longer_than_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let shim = Shim::build(dir.path());
    let authority = Authority::new(dir.path());
    let broker = authority.broker("present", -10, 24 * 60);
    shim.set(100 * DAY, true);
    let unit = Unit::new(&authority.config(&broker));
    let daemon = shim.start(&unit);
    daemon.wait_log("its certificate has expired");
    // Not even after a start in the midst of it.
    assert_eq!(daemon.terminate().code, Some(0));
    let daemon = shim.start(&unit);
    daemon.wait_log("its certificate has expired");
    assert!(!daemon.log().contains(CONNECTED));
    shim.set(0, true);
    // Within a minute: nothing is waited for longer than that.
    daemon.wait_log(CONNECTED);
    assert_eq!(daemon.terminate().code, Some(0));
}
