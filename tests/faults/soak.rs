//! Hours of the real daemon with a network camera and a program as cameras, a real
//! broker, and something going wrong all the time; then the audit. `scripts/soak`
//! runs it.
//!
//! In the first half the daemon is killed too; in the second half it lives on, so
//! that a leak would show: memory and file descriptors have to stay where they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::audit::{Audit, Receiver};
use crate::chance::Chance;
use crate::common::broker::{Broker, Subscriber};
use crate::common::camera::RtspCamera;
use crate::common::daemon::{Daemon, Row, Unit, clip};
use crate::proxy::Proxy;

/// Between two looks at the daemon's memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// What a run has to have behind it before its memory counts.
const WARM_UP: Duration = Duration::from_secs(300);

/// What happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    DaemonKilled,
    DaemonTerminated,
    BothKilled,
    BrokerKilled,
    BrokerForgets,
    BrokerFrozen,
    LinkCut,
    LinkFlaps,
    LinkSilent,
    LinkSlow,
    CameraUnplugged,
}

use Fault::*;

/// While the daemon may die.
const FIRST_HALF: [Fault; 12] = [
    DaemonKilled,
    DaemonKilled,
    DaemonTerminated,
    BothKilled,
    BrokerKilled,
    BrokerForgets,
    BrokerFrozen,
    LinkCut,
    LinkFlaps,
    LinkSilent,
    LinkSlow,
    CameraUnplugged,
];

/// While it lives on.
const SECOND_HALF: [Fault; 8] =
    [BrokerKilled, BrokerForgets, BrokerFrozen, LinkCut, LinkFlaps, LinkSilent, LinkSlow, CameraUnplugged];

/// What was seen of a daemon at one moment.
struct Sample {
    /// How many daemons came before it.
    run: usize,
    up: Duration,
    rss_kb: u64,
    descriptors: u64,
    threads: u64,
}

struct Soak {
    chance: Chance,
    began: Instant,
    unit: Unit,
    broker: Broker,
    proxy: Proxy,
    camera: Option<RtspCamera>,
    camera_port: u16,
    clip: PathBuf,
    daemon: Option<Daemon>,
    started: Instant,
    runs: usize,
    samples: Vec<Sample>,
    next_sample: Instant,
    /// Everything ever seen in the journal.
    committed: BTreeMap<u64, String>,
    faults: BTreeMap<Fault, u32>,
    log: std::fs::File,
}

/// Nine lines, so that one vehicle makes many events.
fn configuration(camera: u16, broker: u16, clip: &Path) -> String {
    let mut text = format!("[[camera]]\nname = \"net\"\nsource = \"rtsp://127.0.0.1:{camera}/stream\"\n");
    for i in 1..=9 {
        let _ = writeln!(text, "[[camera.tripwire]]\nname = \"line{i}\"\nfrom = [0.{i}, 1.0]\nto = [0.{i}, 0.0]");
    }
    let _ = writeln!(
        text,
        "[[camera]]\nname = \"pipe\"\nsource = {{ command = [\"ffmpeg\", \"-v\", \"error\", \"-nostdin\", \"-re\", \
         \"-stream_loop\", \"-1\", \"-i\", \"{}\", \"-c\", \"copy\", \"-f\", \"h264\", \"-\"], format = \"h264\" }}\n\
         [[camera.tripwire]]\nname = \"line\"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]",
        clip.display()
    );
    let _ = writeln!(
        text,
        "[unit]\nprofile = \"eco\"\n[uplink]\nbroker = \"mqtt://127.0.0.1:{broker}\"\nkeep_alive = \"10s\"\n\
         [health]\ninterval = \"5s\""
    );
    text
}

/// The street at eight pictures a second, then a still scene.
fn quiet_street(folder: &Path) -> PathBuf {
    let path = folder.join("quiet.ts");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-i"])
        .arg(clip("street.mp4"))
        .args(["-vf", "fps=8,scale=480:270,tpad=stop_mode=clone:stop_duration=12", "-c:v", "libx264"])
        .args(["-preset", "veryfast", "-g", "16", "-pix_fmt", "yuv420p"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    path
}

impl Soak {
    fn start(folder: &Path) -> Soak {
        let chance = Chance::new();
        let broker = Broker::with(
            "allow_anonymous true\nmax_queued_messages 0\npersistence true\npersistence_location {dir}/\n\
             autosave_interval 10\n",
        );
        let proxy = Proxy::to(broker.port);
        let unit = Unit::new("");
        let clip = quiet_street(unit.dir.path());
        let camera = RtspCamera::start(&clip);
        let camera_port = camera.port;
        unit.configure(&configuration(camera_port, proxy.port, &clip));
        let now = Instant::now();
        let mut soak = Soak {
            chance,
            began: now,
            broker,
            proxy,
            camera: Some(camera),
            camera_port,
            clip,
            daemon: None,
            started: now,
            runs: 0,
            samples: Vec::new(),
            next_sample: now,
            committed: BTreeMap::new(),
            faults: BTreeMap::new(),
            log: std::fs::File::create(folder.join("soak.log")).unwrap(),
            unit,
        };
        soak.start_daemon();
        soak
    }

    fn note(&mut self, text: &str) {
        let line = format!("{:8.1} {text}\n", self.began.elapsed().as_secs_f64());
        self.log.write_all(line.as_bytes()).unwrap();
    }

    fn start_daemon(&mut self) {
        self.daemon = Some(self.unit.start());
        self.started = Instant::now();
        self.runs += 1;
    }

    fn kill_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.check_rows();
    }

    /// What was once committed is there, unchanged.
    fn check_rows(&mut self) -> Vec<Row> {
        let rows = self.unit.rows();
        let kept: BTreeMap<u64, &String> = rows.iter().map(|row| (row.seq, &row.json)).collect();
        for (seq, json) in &self.committed {
            assert_eq!(kept.get(seq), Some(&json), "event {seq} has changed");
        }
        self.committed = rows.iter().map(|row| (row.seq, row.json.clone())).collect();
        rows
    }

    /// Waits, and looks at the daemon meanwhile.
    fn pass(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100).min(span));
            let Some(daemon) = &mut self.daemon else { continue };
            assert!(daemon.is_running(), "the daemon ended:\n{}", daemon.log());
            if Instant::now() >= self.next_sample {
                self.next_sample = Instant::now() + SAMPLE_EVERY;
                let sample = sample(daemon.pid(), self.runs, self.started.elapsed());
                self.samples.push(sample);
            }
        }
    }

    fn signal_broker(&self, signal: Signal) {
        let pid = self.broker.pid().and_then(|pid| Pid::from_raw(pid as i32)).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn suffer(&mut self, fault: Fault) {
        let span = self.chance.ms(100, 30_000);
        self.note(&format!("{fault:?}, {:.1} s", span.as_secs_f64()));
        *self.faults.entry(fault).or_default() += 1;
        match fault {
            DaemonKilled | BothKilled => {
                self.kill_daemon();
                if fault == BothKilled {
                    self.broker.kill();
                    self.broker.run();
                }
                self.pass(span / 10);
                self.start_daemon();
            }
            DaemonTerminated => {
                let end = self.daemon.take().unwrap().terminate();
                assert_eq!(end.code, Some(0), "{}", end.log);
                assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
                self.check_rows();
                self.start_daemon();
            }
            BrokerKilled | BrokerForgets => {
                self.broker.kill();
                if fault == BrokerForgets {
                    self.broker.forget();
                }
                self.pass(span);
                self.broker.run();
            }
            BrokerFrozen => {
                self.signal_broker(Signal::STOP);
                self.pass(span);
                self.signal_broker(Signal::CONT);
            }
            LinkCut => {
                self.proxy.refuse(true);
                self.proxy.cut();
                self.pass(span);
                self.proxy.refuse(false);
            }
            LinkFlaps => {
                for _ in 0..10 {
                    self.proxy.cut();
                    self.pass(span / 20);
                }
            }
            LinkSilent => self.proxy.go_silent(),
            LinkSlow => {
                self.proxy.slow(Duration::from_millis(700), 2000);
                self.pass(span);
                self.proxy.slow(Duration::ZERO, 0);
            }
            CameraUnplugged => {
                drop(self.camera.take());
                self.pass(span);
                self.camera = Some(RtspCamera::on(self.camera_port, &self.clip));
            }
        }
    }

    /// Half an hour takes two halves of a quarter each.
    fn run(&mut self, half: Duration, faults: &[Fault]) {
        let until = Instant::now() + half;
        while Instant::now() < until {
            let pause = self.chance.ms(500, 40_000);
            self.pass(pause);
            let fault = *self.chance.of(faults);
            self.suffer(fault);
        }
    }

    fn report(&self, hours: f64, audit: &Audit, received: &str) -> String {
        let mut text = format!("| what | figure |\n|---|---|\n| hours | {hours:.2} |\n");
        let faults: u32 = self.faults.values().sum();
        let kinds: Vec<String> = self.faults.iter().map(|(fault, n)| format!("{fault:?} {n}")).collect();
        let _ = writeln!(text, "| faults | {faults}: {} |", kinds.join(", "));
        let _ = writeln!(text, "| starts of the daemon | {} |", self.runs);
        let _ = writeln!(text, "| events committed | {} |", audit.committed);
        let _ = writeln!(text, "| lost | {} |", audit.lost.len());
        let _ = writeln!(text, "| gaps | {} |", audit.gaps);
        let _ = writeln!(text, "| given up with a `lost` event | {} |", audit.declared);
        let _ = writeln!(text, "| not acknowledged at the end | {} |", audit.queued);
        let _ = writeln!(text, "| arrived once more than needed | {} |", audit.duplicates);
        let _ = writeln!(text, "| asked for again by the receiver | {} |", audit.asked_for);
        let _ = writeln!(text, "| the receiver | {received} |");
        if let Some([first, last]) = self.ends_of_the_last_run() {
            let _ =
                writeln!(text, "| memory, first and last tenth of the last run | {} and {} kB |", first[0], last[0]);
            let _ = writeln!(text, "| file descriptors | {} and {} |", first[1], last[1]);
            let _ = writeln!(text, "| threads | {} and {} |", first[2], last[2]);
        }
        text
    }

    /// Medians of memory, descriptors and threads in the first and the last tenth
    /// of the last run, its warm-up left out.
    fn ends_of_the_last_run(&self) -> Option<[[u64; 3]; 2]> {
        let warm: Vec<&Sample> = self.samples.iter().filter(|s| s.run == self.runs && s.up > WARM_UP).collect();
        let tenth = (warm.len() / 10).max(1);
        let medians = |samples: &[&Sample]| {
            [|s: &Sample| s.rss_kb, |s: &Sample| s.descriptors, |s: &Sample| s.threads].map(|field| {
                let mut values: Vec<u64> = samples.iter().map(|s| field(s)).collect();
                values.sort_unstable();
                values[values.len() / 2]
            })
        };
        (warm.len() >= 20).then(|| [medians(&warm[..tenth]), medians(&warm[warm.len() - tenth..])])
    }
}

fn sample(pid: u32, run: usize, up: Duration) -> Sample {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |dir| dir.count() as u64);
    Sample { run, up, rss_kb: field("VmRSS:"), descriptors, threads: field("Threads:") }
}

#[test]
#[ignore = "takes hours"]
fn hours_of_trouble() {
    let hours: f64 = std::env::var("TAWNY_SOAK_HOURS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.05);
    let folder = PathBuf::from(std::env::var("TAWNY_SOAK_FOLDER").unwrap_or_else(|_| "target/soak".into()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut soak = Soak::start(&folder);
    let subscriber = Subscriber::start(soak.broker.port);
    let receiver = Receiver::start(&soak.broker.url(), &folder.join("events.jsonl"));
    let half = Duration::from_secs_f64(hours * 1800.0);
    soak.run(half, &FIRST_HALF);
    soak.run(half, &SECOND_HALF);
    // All is well again; what is missing is sent, or asked for.
    soak.note("all is well again");
    let patience = Instant::now() + Duration::from_secs(600);
    loop {
        soak.pass(Duration::from_secs(2));
        let rows = soak.unit.rows().len();
        // The last ones may be on their way.
        if receiver.count() + 100 >= rows || Instant::now() > patience {
            break;
        }
    }
    soak.pass(Duration::from_secs(60));
    let end = soak.daemon.take().unwrap().terminate();
    assert_eq!(end.code, Some(0), "{}", end.log);
    std::fs::write(folder.join("last-daemon.log"), &end.log).unwrap();
    let rows = soak.check_rows();
    let patience = Instant::now() + Duration::from_secs(60);
    while receiver.received().len() < rows.len() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(200));
    }
    std::fs::copy(soak.unit.journal(), folder.join("journal.db")).unwrap();
    let audit = Audit::of(&rows, &receiver.received(), &subscriber.messages());
    let report = soak.report(hours, &audit, &receiver.stop());
    println!("{report}");
    std::fs::write(folder.join("report.md"), &report).unwrap();
    let mut samples = String::from("run,up_s,rss_kb,descriptors,threads\n");
    for Sample { run, up, rss_kb, descriptors, threads } in &soak.samples {
        let _ = writeln!(samples, "{run},{},{rss_kb},{descriptors},{threads}", up.as_secs());
    }
    std::fs::write(folder.join("samples.csv"), samples).unwrap();
    audit.assert_nothing_is_lost();
    if let Some([first, last]) = soak.ends_of_the_last_run() {
        assert!(last[0] <= first[0] + first[0] / 10, "memory grows: {report}");
        assert!(last[1] <= first[1] + 3 && last[2] <= first[2] + 3, "descriptors or threads grow: {report}");
    }
}
