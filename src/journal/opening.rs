//! Opening the database: making it, judging it, setting it aside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{error, info, warn};

use super::error::JournalError;
use super::files;
use super::given::Given;
use super::marks::WaitingMarks;
use super::retention::Limits;
use super::salvage::{MOST, running_of, salvage};
use super::schema;
use super::startup;
use super::store::{self, Store};
use crate::clock::SystemClock;
use crate::event::{Body, Class, Draft, LogId, Stamp};

/// A journal that was stopped cleanly and is larger than this is not checked
/// page by page at the start: an SD card reads some 20 MB a second.
const CHECK_ALWAYS_BELOW: u64 = 32 << 20;

/// Some two thousand events, one commit each.
const RESERVE_BYTES: u64 = 1 << 20;

/// Before a journal that the disk does not give back counts as damaged.
const UNREADABLE_ATTEMPTS: u32 = 3;
const UNREADABLE_PAUSE: Duration = Duration::from_millis(200);

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
    /// How much is kept, and for how long.
    pub limits: Limits,
    /// Bytes held back for a full disk; 0 for none.
    pub reserve_bytes: u64,
    /// Events up to so many bytes that were set aside wait to be sent again: earlier
    /// versions set aside what a broker refused, and a limit may have been raised since.
    /// `None` for a journal that sends nothing.
    pub sendable_bytes: Option<u64>,
    /// The program's version, to tell an update from a restart.
    pub version: String,
    /// What time it is; goes on from what the journal knows.
    pub clock: SystemClock,
}

impl JournalOptions {
    /// The daemon's own journal.
    pub fn new(path: impl Into<PathBuf>, unit: impl Into<String>) -> JournalOptions {
        JournalOptions {
            path: path.into(),
            unit: unit.into(),
            log: None,
            boot_event: true,
            limits: Limits::default(),
            reserve_bytes: RESERVE_BYTES,
            sendable_bytes: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: SystemClock::new(),
        }
    }
}

/// A journal that is open.
pub(super) struct Opening {
    /// For the writer.
    pub store: Store,
    /// The last number given.
    pub last: u64,
    /// Events that wait for their delivery.
    pub queued: u64,
    /// It takes the place of a damaged one.
    pub replaces: bool,
    /// Of the numbers that were given; `None` for a journal that others number.
    pub given: Option<Given>,
}

/// Why the database is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The daemon starts.
    Start,
    /// It was found damaged while running: what is open is still open.
    Repair {
        /// The disk has long not given it back: then that is damage too. Otherwise it is
        /// tried again.
        hopeless: bool,
    },
}

/// Opens the database, sets it aside if it is damaged, and begins a run. What can be
/// read of a damaged one is taken over, but for what `delivered` knows, in the
/// transaction that begins it: until then the next attempt finds it again.
pub(super) fn open_store(
    options: &JournalOptions,
    occasion: Occasion,
    delivered: &WaitingMarks,
) -> Result<Opening, JournalError> {
    let path = &options.path;
    let mut set_aside = None;
    let mut damaged = files::has_orphan_wal(path).then(|| "its write-ahead log is there without it".to_owned());
    let mut unreadable = 0;
    let (mut store, last_run, ends) = loop {
        if let Some(why) = damaged.take() {
            let name = files::set_aside(path, options.clock.now().t)?;
            error!("journal {} is damaged ({why}): set aside as {name}, a new one is begun", path.display());
            set_aside = Some((name, why));
        }
        match open_existing(options) {
            Ok(opened) => break opened,
            Err(JournalError::Damaged { why, .. }) if set_aside.is_none() => damaged = Some(why),
            // A place that stays unreadable is damage too: nobody will come to mend it.
            Err(e) if e.is_unreadable() && set_aside.is_none() => {
                unreadable += 1;
                match occasion {
                    // A new one that the disk does not take either is not worth keeping.
                    _ if files::is_empty(path) => return Err(e),
                    Occasion::Start if unreadable < UNREADABLE_ATTEMPTS => std::thread::sleep(UNREADABLE_PAUSE),
                    Occasion::Repair { hopeless: false } => return Err(e),
                    _ => damaged = Some(e.to_string()),
                }
            }
            Err(e) => return Err(e),
        }
    };
    let failed = |e| JournalError::from_sqlite(path, e);
    if occasion == Occasion::Start {
        match store.saved_clock().map_err(failed)? {
            Some(saved) => options.clock.resume(&saved),
            // What ages were counted in goes on.
            None => {
                let aside = set_aside.as_ref().map(|(name, _)| name.clone()).or_else(|| files::untaken(path).pop());
                let of_aside = || running_of(&path.with_file_name(aside?));
                let before = store.running_at_the_last_event().map_err(failed)?.or_else(of_aside);
                options.clock.resume_running(before.unwrap_or_default());
            }
        }
    }
    let now = options.clock.now();
    let mut events: Vec<Draft> = Vec::new();
    if last_run.is_none() {
        take_over(path, set_aside, delivered, now, &mut events);
    }
    let replaces = !events.is_empty();
    // A journal with a `log` of the caller's is made anew under the same one.
    let mut given = options.log.is_none().then(|| Given::beside(path));
    if let Some(given) = &given {
        events.extend(above_what_was_given(path, &store, given, now).map_err(failed)?);
    }
    if occasion == Occasion::Start {
        if options.boot_event {
            events.push(startup::boot_event(last_run.as_ref(), now, &options.version));
        }
        events.extend(ends);
    }
    let last = store.begin_run(&events, now, &options.version, &options.clock.saved()).map_err(failed)?;
    if let Err(e) = files::mark_taken(path, options.clock.running()) {
        warn!("journal {}: what was taken over is not noted: {e}", path.display());
    }
    if let Some(bytes) = options.sendable_bytes {
        match store.queue_again(bytes) {
            Ok(0) => {}
            Ok(n) => info!("{n} events that had been set aside are to be sent after all"),
            // At the next start, then.
            Err(e) => warn!("journal {}: what was set aside stays so for now: {e}", path.display()),
        }
    }
    if let Some(Err(e)) = given.as_mut().map(|given| given.note(store.log(), last, true)) {
        warn!("journal {}: which numbers were given is not noted beside it: {e}", path.display());
    }
    let queued = store.queued().map_err(failed)?;
    Ok(Opening { store, last, queued, replaces, given })
}

/// What a new journal begins with: for each that was set aside, a word about it and what
/// can be read of its undelivered events. Mostly that is the one that was set aside just
/// now (its name, and why); there are others where the power went, or the disk
/// failed, before the new one could say so.
fn take_over(
    path: &Path,
    set_aside: Option<(String, String)>,
    delivered: &WaitingMarks,
    now: Stamp,
    events: &mut Vec<Draft>,
) {
    let mut names = files::untaken(path);
    names.extend(
        set_aside.iter().map(|(name, _)| name.clone()).filter(|name| !names.contains(name)).collect::<Vec<_>>(),
    );
    let mut room = MOST;
    for name in names {
        let why = set_aside.as_ref().filter(|(own, _)| *own == name).map_or("found so at the start", |(_, why)| why);
        let salvage = salvage(&path.with_file_name(&name), delivered, room);
        room -= salvage.drafts.len().min(room);
        if !salvage.drafts.is_empty() {
            info!("{} undelivered events are taken over from {name}", salvage.drafts.len());
        }
        if salvage.left > 0 {
            error!("{} undelivered events are left in {name}: too many to be taken over", salvage.left);
        }
        events.push(startup::set_aside_event(&name, why, (salvage.drafts.len() as u64, salvage.left), now));
        events.extend(salvage.drafts);
    }
}

/// Where `store` is an old copy, its numbers go on above those that were given; what is
/// to be said about those that it lacks.
fn above_what_was_given(path: &Path, store: &Store, given: &Given, now: Stamp) -> rusqlite::Result<Option<Draft>> {
    let last = store.last_seq()?;
    let Some(above) = given.goes_on_after(store.log(), last) else { return Ok(None) };
    store.go_on_after(above)?;
    let from = last.saturating_add(1);
    let why = "an old copy of the journal was put back, which does not have them".to_owned();
    warn!("journal {}: {why}: the numbers {from} to {above} are not used again", path.display());
    let body = Body::Lost { from, to: above, n: above - last, class: Class::Alert, why };
    Ok(Some(Draft { stamp: now, body, replay: false }))
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
        schema::Kind::Damaged(why) => return Err(JournalError::Damaged { path: path.clone(), why }),
    }
    let before = schema::migrate(&mut db).map_err(failed)?;
    if (1..schema::ERASES).contains(&before) && size < CHECK_ALWAYS_BELOW {
        schema::erase_what_was_deleted(&db)
            .unwrap_or_else(|e| warn!("journal {}: what was deleted before stays readable: {e}", path.display()));
    }
    let new_log = match &options.log {
        Some(log) => log.clone(),
        None => random_log_id().map_err(|e| JournalError::from_io(path, "no random numbers for its id", &e))?,
    };
    let store = Store::new(db, &options.unit, &new_log).map_err(failed)?;
    let last_run = store.last_run().map_err(failed)?;
    if size < CHECK_ALWAYS_BELOW || !last_run.as_ref().is_some_and(|run| run.clean_stop) {
        store.check().map_err(failed)?.map_or(Ok(()), |why| Err(JournalError::Damaged { path: path.clone(), why }))?;
    }
    // What can be read may not be on the disk: after a failed fsync the system
    // takes its pages for written. Moved into the database, they are written again.
    if let Err(e) = store.checkpoint() {
        warn!("journal {}: what the last run left is not secured yet: {e}", path.display());
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
