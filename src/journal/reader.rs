//! Reading beside the writer: the uplink and the `events` command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params, params_from_iter, types::Value};

use super::clock_state;
use super::error::JournalError;
use super::files::beside;
use super::marks::Delivery;
use super::notes;
use super::schema;
use super::store::text;
use crate::clock::{Corrections, SavedClock};
use crate::domain::UtcMillis;
use crate::event::{Class, LogId};

/// A connection of one's own that cannot write.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    db: Connection,
}

/// An event that waits for its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// Its number.
    pub seq: u64,
    /// How much it matters.
    pub class: Class,
    /// Its kind, the last part of the topic.
    pub kind: String,
    /// The JSON for the wire.
    pub json: String,
}

/// Which events to read; everything if empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// At or after, by the time as known now.
    pub since: Option<UtcMillis>,
    /// Before.
    pub until: Option<UtcMillis>,
    /// One of these kinds; any if empty.
    pub kinds: Vec<String>,
}

/// An event as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// Its kind, the last part of the topic.
    pub kind: String,
    /// The JSON for the wire.
    pub json: String,
}

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number.
    pub seq: u64,
    /// The JSON as it goes over the wire.
    pub json: String,
    /// How far it has come.
    pub delivery: Delivery,
    /// When it happened as known now, if that is not what was reported.
    pub corrected: Option<Corrected>,
}

/// A time that was found out after the event was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrected {
    /// UTC.
    pub t: UtcMillis,
    /// What was added to the reported time.
    pub offset_ms: i64,
    /// ± milliseconds.
    pub uncertainty_ms: u32,
}

impl JournalReader {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// When there is no journal, it cannot be read, or is none of ours.
    pub fn open(path: &Path) -> Result<JournalReader, JournalError> {
        match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(JournalError::Missing { path: path.to_owned() });
            }
            Err(e) => return Err(JournalError::from_io(path, "cannot be read", &e)),
            Ok(meta) if !meta.is_file() => {
                return Err(JournalError::Unusable { path: path.to_owned(), why: "is not a file".into() });
            }
            Ok(_) => {}
        }
        let failed = |e| JournalError::from_sqlite(path, e);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(failed)?;
        let mut kind = schema::identify(&db);
        if let Err(e) = &kind
            && matches!(e.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
            && wal_is_empty(path)
        {
            // WAL needs a shared-memory file beside the database, which a mere
            // reader of a closed journal may not be allowed to make. Nobody
            // writes to it then, and all is in the database itself.
            db =
                Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI).map_err(failed)?;
            kind = schema::identify(&db);
        }
        db.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        // A reader leaves the write-ahead log alone, even as the last to close.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        match kind.map_err(failed)? {
            schema::Kind::Ours if is_empty(&db).map_err(failed)? => {
                Err(JournalError::Missing { path: path.to_owned() })
            }
            schema::Kind::Ours => Ok(JournalReader { path: path.to_owned(), db }),
            schema::Kind::Newer(found) => {
                Err(JournalError::Newer { path: path.to_owned(), found, known: schema::VERSION })
            }
            schema::Kind::Foreign => Err(JournalError::Foreign { path: path.to_owned() }),
            schema::Kind::Damaged(why) => Err(JournalError::Damaged { path: path.to_owned(), why }),
        }
    }

    fn failed(&self, e: rusqlite::Error) -> JournalError {
        JournalError::from_sqlite(&self.path, e)
    }

    /// The journal's id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<LogId, JournalError> {
        self.db
            .query_row("SELECT value FROM state WHERE key = 'log'", [], |row| row.get(0))
            .map(LogId)
            .map_err(|e| self.failed(e))
    }

    /// Events of `class` that wait for their delivery, numbers above `after` and
    /// up to `to`, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn undelivered(
        &self,
        class: Class,
        after: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Undelivered>, JournalError> {
        let read = || {
            self.db
                .prepare_cached(
                    "SELECT seq, kind, body FROM event \
                     WHERE state = 0 AND class = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
                )?
                .query_map(params![class.code(), signed(after), signed(to), limit as i64], |row| {
                    Ok(Undelivered { seq: unsigned(row.get(0)?), class, kind: text(row, 1)?, json: text(row, 2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.failed(e))
    }

    /// Events with numbers from `from` to `to`, in order, however far they have
    /// come.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events_between(&self, from: u64, to: u64, limit: usize) -> Result<Vec<StoredEvent>, JournalError> {
        let read = || {
            self.db
                .prepare_cached("SELECT seq, kind, body FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3")?
                .query_map([signed(from), signed(to), limit as i64], |row| {
                    Ok(StoredEvent { seq: unsigned(row.get(0)?), kind: text(row, 1)?, json: text(row, 2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.failed(e))
    }

    /// Numbers from `from` to `to` that are not there, or are set aside: the first and last
    /// of each run, in order, `most` runs at most.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn without(&self, from: u64, to: u64, most: usize) -> Result<Vec<(u64, u64)>, JournalError> {
        let read = || -> rusqlite::Result<Vec<(u64, u64)>> {
            let mut statement = self
                .db
                .prepare_cached("SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2 AND state <> ?3 ORDER BY seq")?;
            let mut rows = statement.query(params![signed(from), signed(to), Delivery::SetAside.code()])?;
            let (mut runs, mut next) = (Vec::new(), from);
            while let Some(row) = rows.next()? {
                let seq = unsigned(row.get(0)?);
                if seq > next {
                    runs.push((next, seq - 1));
                }
                next = seq.saturating_add(1);
                if runs.len() >= most {
                    return Ok(runs);
                }
            }
            if next <= to {
                runs.push((next, to));
            }
            Ok(runs)
        };
        read().map_err(|e| self.failed(e))
    }

    /// The notes whose keys begin with `prefix`: key and value, in order of keys.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn notes(&self, prefix: &str) -> Result<Vec<(String, String)>, JournalError> {
        notes::read(&self.db, prefix).map_err(|e| self.failed(e))
    }

    /// What `clock` events said about the times of others.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn corrections(&self) -> Result<Corrections, JournalError> {
        clock_state::corrections(&self.db).map_err(|e| self.failed(e))
    }

    /// The estimate of the time that the daemon last noted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn saved_clock(&self) -> Result<Option<SavedClock>, JournalError> {
        clock_state::saved_clock(&self.db).map_err(|e| self.failed(e))
    }

    /// Calls `each` for every event that passes `filter`, in order of numbers,
    /// until it says `false`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn for_each(&self, filter: &EventFilter, mut each: impl FnMut(EventRow) -> bool) -> Result<(), JournalError> {
        let corrections = self.corrections()?;
        // Where times were corrected, the stored ones cannot choose.
        let by_stored_time = corrections.is_empty();
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        if let Some(since) = filter.since.filter(|_| by_stored_time) {
            conditions.push("t >= ?".into());
            values.push(since.0.into());
        }
        if let Some(until) = filter.until.filter(|_| by_stored_time) {
            conditions.push("t < ?".into());
            values.push(until.0.into());
        }
        if !filter.kinds.is_empty() {
            conditions.push(format!("kind IN ({})", vec!["?"; filter.kinds.len()].join(", ")));
            values.extend(filter.kinds.iter().cloned().map(Value::from));
        }
        let sql = format!("SELECT seq, body, state, t FROM event WHERE {} ORDER BY seq", conditions.join(" AND "));
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                let code = row.get(2)?;
                let delivery = Delivery::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, code))?;
                let (seq, reported): (u64, i64) = (unsigned(row.get(0)?), row.get(3)?);
                let corrected = corrections.of(seq).map(|c| Corrected {
                    t: UtcMillis(reported.saturating_add(c.offset_ms)),
                    offset_ms: c.offset_ms,
                    uncertainty_ms: c.uncertainty_ms,
                });
                let t = corrected.map_or(UtcMillis(reported), |c| c.t);
                if filter.since.is_some_and(|since| t < since) || filter.until.is_some_and(|until| t >= until) {
                    continue;
                }
                if !each(EventRow { seq, json: text(row, 1)?, delivery, corrected }) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|e| self.failed(e))
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'event'", [], |row| row.get(0))
}

fn wal_is_empty(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).map_or(true, |meta| meta.len() == 0)
}

/// SQLite's URI for a file that nobody changes meanwhile.
fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}
