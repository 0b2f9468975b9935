//! The statements: everything that reads or changes the database on behalf of
//! the writer. Each public function is one transaction or part of one; after an
//! `Err` nothing of it has happened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::clock_state::{self, ClockState};
use super::lost::{self, GivenUp};
use super::marks::{Delivery, Mark, WaitingMarks};
use super::notes::{self, Note};
use super::open_things::{Change, OpenThing, changes};
use super::schema::ROW_OVERHEAD;
use super::startup::LastRun;
use crate::clock::{RunningMs, SavedClock, SystemClock};
use crate::domain::UtcMillis;
use crate::event::{Body, Class, Draft, Event, LogId, Stamp};

/// What a transaction has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Committed {
    /// The last number given so far.
    pub last: u64,
    /// Events stored, those that the journal added by itself included.
    pub appended: u64,
    /// Events that left the queue.
    pub settled: u64,
}

/// Now, for what is stored and for what is deleted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// For events.
    pub stamp: Stamp,
    /// What ages count in.
    pub running: RunningMs,
}

impl Moment {
    /// By `clock`.
    pub fn of(clock: &SystemClock) -> Moment {
        Moment { stamp: clock.now(), running: clock.running() }
    }
}

/// `why` of events that the unit may not send.
const TOO_LARGE: &str = "larger than uplink.max_packet allows; kept in the unit's journal";

/// `why` of events that were damaged on the disk.
const UNREADABLE: &str = "it cannot be read any more; what is left of it is kept in the unit's journal";

/// Bytes of the largest event that could be sent at the last start.
const SENDABLE: &str = "sendable";

/// How many crossings before a group's start are searched for its first member.
const FIRST_MEMBER_SEARCH: i64 = 200;

/// The opened database.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) db: Connection,
    pub(super) unit: String,
    pub(super) log: LogId,
    pub(super) clock_state: ClockState,
}

/// For another process's checkpoint or recovery.
pub(super) const BUSY_PATIENCE: Duration = Duration::from_secs(10);

/// SQLite has signed integers only.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Opens `path` for reading and writing, without looking inside.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Readers never block a writer in WAL mode; only another process's
    // checkpoint or recovery can.
    db.busy_timeout(BUSY_PATIENCE)?;
    keep_wal_on_close(&db, true)?;
    Ok(db)
}

/// Whether closing leaves the write-ahead log as it is. So it must be until the
/// file is known to be sound: the log is part of what is set aside otherwise.
fn keep_wal_on_close(db: &Connection, keep: bool) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

pub(super) fn get<T: rusqlite::types::FromSql>(db: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    db.prepare_cached("SELECT value FROM state WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()
}

/// The same for a text, as far as it is one.
pub(super) fn get_text(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM state WHERE key = ?")?.query_row([key], |row| text(row, 0)).optional()
}

pub(super) fn put(db: &Connection, key: &str, value: &dyn ToSql) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO state (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
        .execute(params![key, value])?;
    Ok(())
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

impl Store {
    /// Takes over a migrated connection; `new_log` names the journal if it is new.
    pub fn new(mut db: Connection, unit: &str, new_log: &LogId) -> rusqlite::Result<Store> {
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        // What is deleted is overwritten, whole pages too ("fast" leaves those).
        db.pragma_update(None, "secure_delete", true)?;
        // What a burst leaves behind is given back at the next checkpoint.
        db.pragma_update(None, "journal_size_limit", 4 << 20)?;
        db.set_prepared_statement_cache_capacity(32);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let log = match get::<String>(&tx, "log")? {
            Some(log) => LogId(log),
            None => {
                put(&tx, "log", &new_log.0)?;
                put(&tx, "last_seq", &0)?;
                new_log.clone()
            }
        };
        put(&tx, "unit", &unit)?;
        tx.commit()?;
        let clock_state = ClockState::load(&db)?;
        Ok(Store { db, unit: unit.to_owned(), log, clock_state })
    }

    /// The journal's id.
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// Number of queued events.
    pub fn queued(&self) -> rusqlite::Result<u64> {
        let count: i64 =
            self.db.prepare_cached("SELECT count(*) FROM event WHERE state = 0")?.query_row([], |row| row.get(0))?;
        Ok(unsigned(count))
    }

    /// The first queued event of `class` with a number above `after` that is
    /// not among `settled`, or `None`.
    pub fn first_queued(&self, class: Class, after: u64, settled: &WaitingMarks) -> rusqlite::Result<Option<u64>> {
        let mut statement =
            self.db.prepare_cached("SELECT seq FROM event WHERE state = 0 AND class = ?1 AND seq > ?2 ORDER BY seq")?;
        let mut rows = statement.query(params![class.code(), signed(after)])?;
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?);
            if !settled.contains(seq) {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// What is wrong with the file: its structure, or numbers that contradict each
    /// other. Reads all of it.
    pub fn check(&self) -> rusqlite::Result<Option<String>> {
        let answer: String = self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if answer != "ok" {
            return Ok(Some(answer));
        }
        let number = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, i64>(0));
        // The index of what waits is not part of the quick check.
        let (indexed, waiting) = (
            number("SELECT count(*) FROM event WHERE state = 0")?,
            number("SELECT count(*) FROM event NOT INDEXED WHERE state = 0")?,
        );
        if indexed != waiting {
            return Ok(Some(format!("{waiting} events wait, its index says {indexed}")));
        }
        // Numbers that were given must not be given again.
        let (given, highest) = (get::<i64>(&self.db, "last_seq")?, number("SELECT coalesce(max(seq), 0) FROM event")?);
        Ok(given.is_none_or(|given| given < highest).then(|| format!("it has event {highest}, and gave {given:?}")))
    }

    /// How the last run ended, if there was one.
    pub fn last_run(&self) -> rusqlite::Result<Option<LastRun>> {
        let Some(alive) = get::<i64>(&self.db, "alive")? else { return Ok(None) };
        Ok(Some(LastRun {
            boot: get::<i64>(&self.db, "boot")?.and_then(|boot| u32::try_from(boot).ok()).unwrap_or(0),
            version: get(&self.db, "version")?.unwrap_or_default(),
            alive: UtcMillis(alive),
            clean_stop: get::<i64>(&self.db, "clean_stop")? == Some(1),
        }))
    }

    /// How long the unit had run when it stored the last event that is still here.
    pub fn running_at_the_last_event(&self) -> rusqlite::Result<Option<RunningMs>> {
        let sql = "SELECT run FROM event ORDER BY seq DESC LIMIT 1";
        self.db.query_row(sql, [], |row| row.get(0)).optional().map(|run| run.map(|run| RunningMs(unsigned(run))))
    }

    /// The last number that was given.
    pub fn last_seq(&self) -> rusqlite::Result<u64> {
        Ok(unsigned(get::<i64>(&self.db, "last_seq")?.unwrap_or(0)))
    }

    /// The next number is the one after `last`.
    pub fn go_on_after(&self, last: u64) -> rusqlite::Result<()> {
        put(&self.db, "last_seq", &signed(last))
    }

    /// Begins a run: stores `drafts` and notes that no goodbye was said yet.
    pub fn begin_run(
        &mut self,
        drafts: &[Draft],
        now: Stamp,
        version: &str,
        clock: &SavedClock,
    ) -> rusqlite::Result<u64> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let running = clock.running_ms.unwrap_or_default();
        let last = append(&tx, (&self.unit, &self.log), drafts, running)?;
        let state = clock_state::begin_run(&tx, &self.clock_state, clock, drafts, last)?;
        put(&tx, "version", &version)?;
        put(&tx, "boot", &i64::from(now.boot))?;
        put(&tx, "alive", &now.t.0)?;
        put(&tx, "clean_stop", &0)?;
        tx.commit()?;
        self.clock_state = state;
        Ok(last)
    }

    /// Stores `drafts`, `notes` and `marks` and notes the time.
    ///
    /// Events that are set aside are reported as lost in the same transaction:
    /// whoever misses their numbers finds out why.
    pub fn commit(
        &mut self,
        drafts: &[Draft],
        notes: &[Note],
        marks: &[Mark],
        clock: &SystemClock,
    ) -> rusqlite::Result<Committed> {
        let (now, saved) = (clock.now(), clock.saved());
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let running = saved.running_ms.unwrap_or_default();
        append(&tx, (&self.unit, &self.log), drafts, running)?;
        notes::store(&tx, notes)?;
        let mut settled = 0;
        let mut unsendable = Vec::new();
        for mark in marks {
            let changed = tx
                .prepare_cached("UPDATE event SET state = ?2, settled = ?3, run = ?4 WHERE seq = ?1 AND state = 0")?
                .execute(params![signed(mark.seq), mark.delivery.code(), mark.at.0, signed(running.0)])?;
            settled += changed as u64;
            if changed > 0 && mark.delivery == Delivery::SetAside {
                unsendable.push(GivenUp::stored(mark.seq, &stored(&tx, mark.seq)?));
            }
        }
        unsendable.sort_by_key(|one| one.seq);
        let why = |run: &lost::Tally| if run.is_readable() { TOO_LARGE } else { UNREADABLE };
        let reports: Vec<Draft> = lost::runs(&unsendable).iter().map(|run| run.event(why(run), now)).collect();
        let last = append(&tx, (&self.unit, &self.log), &reports, running)?;
        put(&tx, "alive", &now.t.0)?;
        let unsettled = clock_state::note(&tx, &self.clock_state, &saved, drafts.iter().chain(&reports))?;
        tx.commit()?;
        self.clock_state.unsettled |= unsettled;
        Ok(Committed { last, appended: (drafts.len() + reports.len()) as u64, settled })
    }

    /// Events of up to `largest` bytes that were set aside, and can be read, wait again;
    /// returns how many. It looks for them only when more may be sent than the last time:
    /// that reads all of the journal.
    pub fn queue_again(&mut self, largest: u64) -> rusqlite::Result<u64> {
        let before = get::<i64>(&self.db, SENDABLE)?;
        if before == Some(signed(largest)) {
            return Ok(0);
        }
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut again = 0;
        if before.is_none_or(|before| before < signed(largest)) {
            let aside: Vec<i64> = {
                let mut rows =
                    tx.prepare("SELECT seq, body FROM event WHERE state = ?1 AND octet_length(body) <= ?2")?;
                let rows = rows.query_map(params![Delivery::SetAside.code(), signed(largest)], |row| {
                    Ok((row.get(0)?, text(row, 1)?))
                })?;
                // What was damaged on the disk stays where it is.
                rows.filter(|row| {
                    row.as_ref().map_or(true, |(_, json)| serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok())
                })
                .map(|row| row.map(|(seq, _)| seq))
                .collect::<rusqlite::Result<_>>()?
            };
            for seq in aside {
                again += tx.execute("UPDATE event SET state = 0, settled = NULL WHERE seq = ?", [seq])? as u64;
            }
        }
        put(&tx, SENDABLE, &signed(largest))?;
        tx.commit()?;
        Ok(again)
    }

    /// The last transaction of a run: the goodbye.
    pub fn end_run(&mut self, clock: &SavedClock) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put(&tx, "alive", &clock.utc().0)?;
        clock_state::note(&tx, &self.clock_state, clock, [])?;
        put(&tx, "clean_stop", &1)?;
        tx.commit()?;
        keep_wal_on_close(&self.db, false)
    }

    /// The ends that the last run left out, oldest start first.
    pub fn interrupted_ends(&self) -> rusqlite::Result<Vec<Draft>> {
        let mut open: Vec<OpenThing> = self
            .db
            .prepare("SELECT value FROM state WHERE key GLOB 'open/*'")?
            .query_map([], |row| row.get::<_, String>(0))?
            // One that cannot be read has no end; the others have.
            .filter_map(|text| from_json(&text.ok()?).ok())
            .collect();
        open.sort_by_key(|thing| thing.seq);
        let mut ends = Vec::new();
        for thing in open {
            let first = self.first_member(&thing)?;
            ends.extend(thing.interrupted(first));
        }
        Ok(ends)
    }

    /// When the first member of a group passed: the last matching crossing
    /// before the second one's.
    fn first_member(&self, group: &OpenThing) -> rusqlite::Result<Option<Stamp>> {
        if !matches!(group.body, Body::Group { t0: None, .. }) {
            return Ok(None);
        }
        let mut found: Option<Stamp> = None;
        let mut statement = self
            .db
            .prepare("SELECT body FROM event WHERE kind = 'crossing' AND seq < ?1 ORDER BY seq DESC LIMIT ?2")?;
        let mut rows = statement.query(params![signed(group.seq), FIRST_MEMBER_SEARCH])?;
        while let Some(row) = rows.next()? {
            let Ok(crossing) = row.get::<_, String>(0).and_then(|text| from_json::<Event>(&text)) else { continue };
            let later = found.is_none_or(|stamp| stamp.mono_ms < crossing.stamp.mono_ms);
            if group.preceded_by(&crossing) && later {
                found = Some(crossing.stamp);
            }
        }
        Ok(found)
    }
}

/// Gives each draft its number and stores it, `running` ms into the unit's life; returns
/// the last number.
pub(super) fn append(
    tx: &Transaction<'_>,
    (unit, log): (&str, &LogId),
    drafts: &[Draft],
    running: RunningMs,
) -> rusqlite::Result<u64> {
    let mut seq = unsigned(get::<i64>(tx, "last_seq")?.unwrap_or(0));
    if drafts.is_empty() {
        return Ok(seq);
    }
    let mut bytes = unsigned(get::<i64>(tx, "bytes")?.unwrap_or(0));
    for draft in drafts {
        seq += 1;
        let event = Event::new(unit, log, seq, draft.clone());
        let json = event.to_json();
        bytes += json.len() as u64 + ROW_OVERHEAD;
        tx.prepare_cached(
            "INSERT INTO event (seq, kind, class, t, mono, boot, body, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            signed(seq),
            event.body.kind(),
            event.body.class().code(),
            event.stamp.t.0,
            signed(event.stamp.mono_ms),
            event.stamp.boot,
            json,
            signed(running.0),
        ])?;
        for change in changes(&event) {
            apply(tx, &event, change)?;
        }
    }
    put(tx, "last_seq", &signed(seq))?;
    put(tx, "bytes", &signed(bytes))?;
    Ok(seq)
}

/// The text of the event with that number.
pub(super) fn stored(tx: &Transaction<'_>, seq: u64) -> rusqlite::Result<String> {
    tx.prepare_cached("SELECT body FROM event WHERE seq = ?")?.query_row([signed(seq)], |row| text(row, 0))
}

/// A text as far as it is one: a damaged event must not be in the way of others.
pub(super) fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_bytes().unwrap_or_default()).into_owned())
}

fn open_key(id: Uuid) -> String {
    format!("open/{id}")
}

fn apply(tx: &Transaction<'_>, event: &Event, change: Change) -> rusqlite::Result<()> {
    match change {
        Change::Begin(id, thing) => put(tx, &open_key(id), &to_json(&thing)?),
        Change::End(id) => {
            tx.prepare_cached("DELETE FROM state WHERE key = ?")?.execute([open_key(id)])?;
            Ok(())
        }
        Change::Crossed(id) => {
            let Some(text) = get_text(tx, &open_key(id))? else { return Ok(()) };
            // One that was damaged has no end any more.
            let Ok(mut thing) = from_json::<OpenThing>(&text) else { return Ok(()) };
            thing.crossed(event);
            put(tx, &open_key(id), &to_json(&thing)?)
        }
    }
}
