//! Opening the database: making it, judging it, setting it aside.

use std::path::PathBuf;

use tracing::error;

use super::error::JournalError;
use super::files;
use super::schema;
use super::startup;
use super::store::{self, Store};
use crate::clock::SystemClock;
use crate::event::{Draft, LogId};

/// A journal that was stopped cleanly and is larger than this is not checked
/// page by page at the start: an SD card reads some 20 MB a second.
const CHECK_ALWAYS_BELOW: u64 = 32 << 20;

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The database file.
    pub path: PathBuf,
    /// The unit's id, written into every event.
    pub unit: String,
    /// The `log` of a new file; a random one if `None`. An existing file keeps its own.
    pub log: Option<LogId>,
    /// Whether the start is an event (not so for a published replay).
    pub boot_event: bool,
    /// The program's version, to tell an update from a restart.
    pub version: String,
}

impl JournalOptions {
    /// The daemon's own journal.
    pub fn new(path: impl Into<PathBuf>, unit: impl Into<String>) -> JournalOptions {
        JournalOptions {
            path: path.into(),
            unit: unit.into(),
            log: None,
            boot_event: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// (last seq, low, queued)
pub(super) type Counts = (u64, u64, u64);

/// Why the database is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The daemon starts.
    Start,
    /// It was found damaged while running: what is open is still open.
    Repair,
}

/// Opens the database, sets it aside if it is damaged, and begins a run.
pub(super) fn open_store(options: &JournalOptions, occasion: Occasion) -> Result<(Store, Counts), JournalError> {
    let path = &options.path;
    let now = SystemClock::new().now();
    let mut events = Vec::new();
    let mut damaged = files::has_orphan_wal(path).then(|| "its write-ahead log is there without it".to_owned());
    let mut attempts = 0;
    let (mut store, last_run, ends) = loop {
        if let Some(why) = damaged.take() {
            let name = files::set_aside(path, now.t)?;
            error!("journal {} is damaged ({why}): set aside as {name}, a new one is begun", path.display());
            events.push(startup::set_aside_event(&name, &why, now));
        }
        match open_existing(options) {
            Ok(opened) => break opened,
            Err(JournalError::Damaged { why, .. }) if attempts == 0 => {
                attempts += 1;
                damaged = Some(why);
            }
            Err(e) => return Err(e),
        }
    };
    if occasion == Occasion::Start {
        if options.boot_event {
            events.push(startup::boot_event(last_run.as_ref(), now, &options.version));
        }
        events.extend(ends);
    }
    let failed = |e| JournalError::from_sqlite(path, e);
    let last = store.begin_run(&events, now, &options.version).map_err(failed)?;
    let (queued, low) = store.queued_and_low().map_err(failed)?;
    Ok((store, (last, low, queued)))
}

type Opened = (Store, Option<startup::LastRun>, Vec<Draft>);

fn open_existing(options: &JournalOptions) -> Result<Opened, JournalError> {
    let path = &options.path;
    files::make_file(path)?;
    let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    let failed = |e| JournalError::from_sqlite(path, e);
    let mut db = store::connect(path).map_err(failed)?;
    match schema::identify(&db).map_err(failed)? {
        schema::Kind::Ours => {}
        schema::Kind::Newer(found) => {
            return Err(JournalError::Newer { path: path.clone(), found, known: schema::VERSION });
        }
        schema::Kind::Foreign => return Err(JournalError::Foreign { path: path.clone() }),
    }
    schema::migrate(&mut db).map_err(failed)?;
    let new_log = match &options.log {
        Some(log) => log.clone(),
        None => random_log_id().map_err(|e| JournalError::from_io(path, "no random numbers for its id", &e))?,
    };
    let store = Store::new(db, &options.unit, &new_log).map_err(failed)?;
    let last_run = store.last_run().map_err(failed)?;
    if size < CHECK_ALWAYS_BELOW || !last_run.as_ref().is_some_and(|run| run.clean_stop) {
        store
            .quick_check()
            .map_err(failed)?
            .map_or(Ok(()), |why| Err(JournalError::Damaged { path: path.clone(), why }))?;
    }
    let ends = store.interrupted_ends().map_err(failed)?;
    Ok((store, last_run, ends))
}

/// Six characters of lower-case base 32 (RFC 4648): 30 random bits.
fn random_log_id() -> std::io::Result<LogId> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(LogId(bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b % 32))).map(|&c| char::from(c)).collect()))
}
