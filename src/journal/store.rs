//! The statements: everything that reads or changes the database on behalf of
//! the writer. Each public function is one transaction or part of one; after an
//! `Err` nothing of it has happened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::open_things::{Change, OpenThing, changes};
use super::startup::LastRun;
use crate::domain::UtcMillis;
use crate::event::{Body, Draft, Event, LogId, Stamp};

/// How far an event has come on its way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Waits to be sent, or for its acknowledgement.
    Queued,
    /// The broker has acknowledged it.
    Delivered,
    /// The broker has acknowledged it and said that nobody listens.
    Unheard,
    /// Cannot be sent to this broker (too large); kept here.
    SetAside,
    /// Given up to make room; declared lost.
    Dropped,
}

impl Delivery {
    /// As stored in `event.state`.
    pub(super) fn code(self) -> i64 {
        match self {
            Delivery::Queued => 0,
            Delivery::Delivered => 1,
            Delivery::Unheard => 2,
            Delivery::SetAside => 3,
            Delivery::Dropped => 4,
        }
    }

    /// From `event.state`.
    pub(super) fn from_code(code: i64) -> Option<Delivery> {
        [Delivery::Queued, Delivery::Delivered, Delivery::Unheard, Delivery::SetAside, Delivery::Dropped]
            .into_iter()
            .find(|state| state.code() == code)
    }

    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::Queued => "queued",
            Delivery::Delivered => "delivered",
            Delivery::Unheard => "unheard",
            Delivery::SetAside => "set_aside",
            Delivery::Dropped => "dropped",
        }
    }
}

/// "Event `seq` has come this far."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which event.
    pub seq: u64,
    /// How far.
    pub delivery: Delivery,
    /// When that was known.
    pub at: UtcMillis,
}

/// How many crossings before a group's start are searched for its first member.
const FIRST_MEMBER_SEARCH: i64 = 200;

/// The opened database.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    unit: String,
    log: LogId,
}

/// SQLite has signed integers only.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Opens `path` for reading and writing, without looking inside.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Readers never block a writer in WAL mode; only another process's
    // checkpoint or recovery can.
    db.busy_timeout(Duration::from_secs(10))?;
    keep_wal_on_close(&db, true)?;
    Ok(db)
}

/// Whether closing leaves the write-ahead log as it is. So it must be until the
/// file is known to be sound: the log is part of what is set aside otherwise.
fn keep_wal_on_close(db: &Connection, keep: bool) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// What the journal keeps longest when space runs out.
fn class(body: &Body) -> i64 {
    match body {
        Body::Sighting { .. } | Body::Crossing { .. } | Body::Group { .. } => 0,
        Body::Camera { .. } | Body::Watch { .. } | Body::Boot { .. } | Body::Storage { .. } => 1,
    }
}

fn get<T: rusqlite::types::FromSql>(db: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    db.prepare_cached("SELECT value FROM state WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()
}

fn put(db: &Connection, key: &str, value: &dyn ToSql) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO state (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
        .execute(params![key, value])?;
    Ok(())
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
}

fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

impl Store {
    /// Takes over a migrated connection; `new_log` names the journal if it is new.
    pub fn new(mut db: Connection, unit: &str, new_log: &LogId) -> rusqlite::Result<Store> {
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
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
        Ok(Store { db, unit: unit.to_owned(), log })
    }

    /// The journal's id.
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// The last number given, 0 for none.
    pub fn last_seq(&self) -> rusqlite::Result<u64> {
        Ok(unsigned(get::<i64>(&self.db, "last_seq")?.unwrap_or(0)))
    }

    /// (number of queued events, the highest number up to which none is queued)
    pub fn queued_and_low(&self) -> rusqlite::Result<(u64, u64)> {
        let count: i64 =
            self.db.prepare_cached("SELECT count(*) FROM event WHERE state = 0")?.query_row([], |row| row.get(0))?;
        Ok((unsigned(count), self.low()?))
    }

    /// The highest number up to which no event is queued.
    pub fn low(&self) -> rusqlite::Result<u64> {
        let first: Option<i64> =
            self.db.prepare_cached("SELECT min(seq) FROM event WHERE state = 0")?.query_row([], |row| row.get(0))?;
        match first {
            Some(first) => Ok(unsigned(first - 1)),
            None => self.last_seq(),
        }
    }

    /// What SQLite finds wrong with the file's structure.
    pub fn quick_check(&self) -> rusqlite::Result<Option<String>> {
        let answer: String = self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((answer != "ok").then_some(answer))
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

    /// Begins a run: stores `drafts` and notes that no goodbye was said yet.
    pub fn begin_run(&mut self, drafts: &[Draft], now: Stamp, version: &str) -> rusqlite::Result<u64> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last = append(&tx, &self.unit, &self.log, drafts)?;
        put(&tx, "version", &version)?;
        put(&tx, "boot", &i64::from(now.boot))?;
        put(&tx, "alive", &now.t.0)?;
        put(&tx, "clean_stop", &0)?;
        tx.commit()?;
        Ok(last)
    }

    /// Stores `drafts` and `marks` and notes the time; returns the last number
    /// given so far and how many marks changed something.
    pub fn commit(&mut self, drafts: &[Draft], marks: &[Mark], alive: UtcMillis) -> rusqlite::Result<(u64, u64)> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last = append(&tx, &self.unit, &self.log, drafts)?;
        let mut marked = 0;
        for mark in marks {
            marked += tx
                .prepare_cached("UPDATE event SET state = ?2, settled = ?3 WHERE seq = ?1 AND state = 0")?
                .execute(params![signed(mark.seq), mark.delivery.code(), mark.at.0])?;
        }
        put(&tx, "alive", &alive.0)?;
        tx.commit()?;
        Ok((last, marked as u64))
    }

    /// The last transaction of a run: the goodbye.
    pub fn end_run(&mut self, alive: UtcMillis) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put(&tx, "alive", &alive.0)?;
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
            .map(|text| from_json(&text?))
            .collect::<Result<_, _>>()?;
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
            let crossing: Event = from_json(&row.get::<_, String>(0)?)?;
            let later = found.is_none_or(|stamp| stamp.mono_ms < crossing.stamp.mono_ms);
            if group.preceded_by(&crossing) && later {
                found = Some(crossing.stamp);
            }
        }
        Ok(found)
    }
}

/// Gives each draft its number and stores it; returns the last number.
fn append(tx: &Transaction<'_>, unit: &str, log: &LogId, drafts: &[Draft]) -> rusqlite::Result<u64> {
    let mut seq = unsigned(get::<i64>(tx, "last_seq")?.unwrap_or(0));
    if drafts.is_empty() {
        return Ok(seq);
    }
    for draft in drafts {
        seq += 1;
        let event = Event::new(unit, log, seq, draft.clone());
        tx.prepare_cached(
            "INSERT INTO event (seq, kind, class, t, mono, boot, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            signed(seq),
            event.body.kind(),
            class(&event.body),
            event.stamp.t.0,
            signed(event.stamp.mono_ms),
            event.stamp.boot,
            event.to_json(),
        ])?;
        for change in changes(&event) {
            apply(tx, &event, change)?;
        }
    }
    put(tx, "last_seq", &signed(seq))?;
    Ok(seq)
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
            let Some(text) = get::<String>(tx, &open_key(id))? else { return Ok(()) };
            let mut thing: OpenThing = from_json(&text)?;
            thing.crossed(event);
            put(tx, &open_key(id), &to_json(&thing)?)
        }
    }
}
