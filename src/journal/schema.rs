//! The tables, and how older ones become the present ones.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// "Tawn": marks the file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x5461_776e;

/// Each entry takes a journal from version *index* to *index + 1*
/// (`PRAGMA user_version`). Entries are never changed once released.
const MIGRATIONS: [&str; 1] = ["
    -- What the unit remembers: 'unit', 'log', 'last_seq', 'version', 'boot',
    -- 'alive' (UTC ms), 'clean_stop' (0|1), and 'open/<uuid>' as JSON.
    CREATE TABLE state (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE event (
        seq     INTEGER PRIMARY KEY,
        kind    TEXT    NOT NULL,
        class   INTEGER NOT NULL,            -- 0 what happened, 1 the unit's own condition
        t       INTEGER NOT NULL,            -- UTC ms as reported
        mono    INTEGER NOT NULL,            -- CLOCK_BOOTTIME ms
        boot    INTEGER NOT NULL,            -- first 32 bits of the boot id
        body    TEXT    NOT NULL,            -- the wire's JSON
        state   INTEGER NOT NULL DEFAULT 0,  -- 0 queued, 1 delivered, 2 unheard, 3 set aside, 4 dropped
        settled INTEGER                      -- UTC ms at which it left state 0
    );
    CREATE INDEX event_queued ON event (seq) WHERE state = 0;
"];

/// The version this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A journal of this version, or one that was brought to it.
    Ours,
    /// A journal of a later version.
    Newer(i64),
    /// A database of another program.
    Foreign,
}

fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// What `db` is, without changing it; an empty database is [`Kind::Ours`].
pub(super) fn identify(db: &Connection) -> rusqlite::Result<Kind> {
    let (id, version) = (pragma(db, "application_id")?, pragma(db, "user_version")?);
    let tables: Option<i64> = db.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0)).optional()?;
    Ok(match (id, tables) {
        (APPLICATION_ID, _) if version > VERSION => Kind::Newer(version),
        (APPLICATION_ID, _) | (0, None) => Kind::Ours,
        _ => Kind::Foreign,
    })
}

/// Brings `db` to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let version = pragma(db, "user_version")?;
    for (from, statements) in (0..).zip(MIGRATIONS).skip_while(|(from, _)| *from < version) {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(statements)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", from + 1)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_becomes_a_journal_and_stays_one() {
        let mut db = Connection::open_in_memory().unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Ours);
        migrate(&mut db).unwrap();
        migrate(&mut db).unwrap();
        assert_eq!((identify(&db).unwrap(), pragma(&db, "user_version").unwrap()), (Kind::Ours, VERSION));
    }

    #[test]
    fn other_peoples_databases_and_later_versions_are_told_apart() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Foreign);
        db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Newer(VERSION + 1));
    }
}
