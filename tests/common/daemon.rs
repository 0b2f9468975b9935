//! `tawny run` as a person or systemd starts it: the real binary, its log, its
//! journal and its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tawny::journal::{EventFilter, JournalError, JournalReader};

use super::broker::wait_for;

/// A clip that comes with the project.
pub fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clips").join(name)
}

/// The program: the one that was built with the tests, or `TAWNY_BINARY`.
pub fn binary() -> PathBuf {
    std::env::var_os("TAWNY_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_tawny").into(), PathBuf::from)
}

/// `text` with these placeholders filled in: `STREET` (the clip's path).
fn filled(text: &str) -> String {
    text.replace("STREET", &clip("street.mp4").display().to_string())
}

/// A folder with a configuration and a journal of its own.
pub struct Unit {
    pub dir: tempfile::TempDir,
}

impl Unit {
    /// With this configuration; the journal is `journal.db` beside it. What is
    /// for `[journal]` comes first in `text`, before any other section.
    pub fn new(text: &str) -> Unit {
        let unit = Unit { dir: tempfile::tempdir().unwrap() };
        unit.configure(text);
        unit
    }

    pub fn configure(&self, text: &str) {
        let text = format!("[journal]\npath = \"journal.db\"\n{}", filled(text));
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("tawny.toml")
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.path().join("journal.db")
    }

    /// `tawny run` with this configuration.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(self.config()).env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command
    }

    pub fn start(&self) -> Daemon {
        Daemon::start(&mut self.command())
    }

    /// What the journal holds: number, event and delivery state of each row, in
    /// order. Nothing before there is a journal.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let reader = match JournalReader::open(&self.journal()) {
            Ok(reader) => reader,
            Err(JournalError::Missing { .. }) => return rows,
            Err(e) => panic!("{e}"),
        };
        reader
            .for_each(&EventFilter::default(), |row| {
                let event = serde_json::from_str(&row.json).unwrap();
                rows.push(Row { seq: row.seq, json: row.json.clone(), event, state: row.delivery.as_str() });
                true
            })
            .unwrap();
        rows
    }

    /// Waits for an event of which `is` is true, and gives it back.
    pub fn wait_event(&self, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        let mut found = None;
        wait_for(what, || {
            found = self.rows().into_iter().map(|row| row.event).find(&mut is);
            if found.is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
            found.is_some()
        });
        found.unwrap()
    }
}

/// One row of the journal.
#[derive(Debug, Clone)]
pub struct Row {
    pub seq: u64,
    pub json: String,
    pub event: Value,
    pub state: &'static str,
}

/// A running `tawny run`; killed with the value that holds it.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How it ended.
pub struct End {
    pub code: Option<i32>,
    pub took: Duration,
    pub log: String,
}

impl Daemon {
    pub fn start(command: &mut Command) -> Daemon {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Daemon { child, log, reader: Some(reader) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("the log says '{text}'"), || self.log().contains(text));
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(self) -> End {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> End {
        let began = Instant::now();
        let mut status = None;
        let child = &mut self.child;
        wait_for("the daemon ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let took = began.elapsed();
        // A program left behind may still hold the pipe; then the log is what
        // came so far.
        let reader = self.reader.take().unwrap();
        let patience = Instant::now() + Duration::from_secs(2);
        while !reader.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        End { code: status.unwrap().code(), took, log: self.log() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log:\n{}---", self.log());
        }
    }
}
