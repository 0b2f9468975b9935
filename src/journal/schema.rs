//! The tables, and how older ones become the present ones.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// "Tawn": marks the file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x5461_776e;

/// Each entry takes a journal from version *index* to *index + 1*
/// (`PRAGMA user_version`). Entries are never changed once released.
const MIGRATIONS: [&str; 4] = [
    "
    -- What the unit remembers: 'unit', 'log', 'last_seq', 'format', 'version', 'boot',
    -- 'alive' (UTC ms), 'clean_stop' (0|1), 'clock…' (clock_state.rs) and
    -- 'open/<uuid>' as JSON.
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
",
    "
    -- What `clock` events said, kept beyond them: add offset_ms to the t of the
    -- events first..=last. A later row holds where two overlap.
    CREATE TABLE correction (
        id        INTEGER PRIMARY KEY,
        first     INTEGER NOT NULL,
        last      INTEGER NOT NULL,
        offset_ms INTEGER NOT NULL,
        tu        INTEGER NOT NULL           -- ± ms
    );
",
    "
    -- class is now that of `event::Class`: 0 alert, 1 sighting, 2 telemetry; what
    -- waits is read class by class. State has a row 'bytes' more: what all
    -- events take, by `ROW_OVERHEAD`.
    UPDATE event SET class = CASE
        WHEN kind IN ('crossing', 'lost') THEN 0 WHEN kind IN ('sighting', 'group', 'clock') THEN 1 ELSE 2 END;
    DROP INDEX event_queued;
    CREATE INDEX event_queued ON event (class, seq) WHERE state = 0;
    INSERT INTO state (key, value) SELECT 'bytes', coalesce(sum(octet_length(body) + 64), 0) FROM event;
",
    "
    -- run: the unit's running time, ms, at which the event was stored, or left state 0:
    -- its age counts from there. What is here already counts from now on.
    ALTER TABLE event ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
",
];

/// Bytes that a row takes beside its text, about: what 'bytes' counts.
pub(super) const ROW_OVERHEAD: u64 = 64;

/// Bytes of a page of a new database. A lone event changes three pages, each of
/// which goes into the write-ahead log whole: half the size of SQLite's usual
/// page halves what an SD card has to write. An event still fits one page.
const PAGE_BYTES: i64 = 2048;

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
    /// A journal whose header contradicts what is in it.
    Damaged(String),
}

fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// What `db` is, without changing it; an empty database is [`Kind::Ours`].
///
/// The header says it, and so do the tables: a single bit of the header must not
/// turn a journal into one that is refused.
pub(super) fn identify(db: &Connection) -> rusqlite::Result<Kind> {
    // All of it at one moment: it may just be made.
    let _moment = db.unchecked_transaction()?;
    let (id, version) = (pragma(db, "application_id")?, pragma(db, "user_version")?);
    let count = |names: &str| -> rusqlite::Result<i64> {
        db.query_row(&format!("SELECT count(*) FROM sqlite_schema {names}"), [], |row| row.get(0))
    };
    if id == 0 && count("")? == 0 {
        return Ok(Kind::Ours);
    }
    let has_tables = count("WHERE type = 'table' AND name IN ('event', 'state')")? == 2;
    // In journals from before there is none.
    let noted = if has_tables { noted_version(db)? } else { None };
    let contradiction = || Kind::Damaged(format!("its header says version {version}, application {id}"));
    Ok(match (id, has_tables) {
        (APPLICATION_ID, true) if noted.is_some_and(|noted| noted != version) => contradiction(),
        (APPLICATION_ID, _) if version > VERSION => Kind::Newer(version),
        (APPLICATION_ID, true) if version > 0 => Kind::Ours,
        (APPLICATION_ID, _) => contradiction(),
        (_, true) if has_log(db)? => contradiction(),
        _ => Kind::Foreign,
    })
}

/// The version that stands among the rows.
fn noted_version(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT value FROM state WHERE key = 'format' AND typeof(value) = 'integer'", [], |row| row.get(0))
        .optional()
}

fn has_log(db: &Connection) -> rusqlite::Result<bool> {
    // Another program's table of that name may have other columns.
    let columns = "SELECT count(*) FROM pragma_table_info('state') WHERE name IN ('key', 'value')";
    let columns: i64 = db.query_row(columns, [], |row| row.get(0))?;
    Ok(columns == 2
        && db
            .query_row("SELECT count(*) FROM state WHERE key IN ('log', 'last_seq')", [], |row| row.get::<_, i64>(0))?
            == 2)
}

/// The first version that overwrites what it deletes.
pub(super) const ERASES: i64 = 4;

/// Makes the file anew, without what was deleted from it before.
pub(super) fn erase_what_was_deleted(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("VACUUM")?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Brings `db` to [`VERSION`], each step in a transaction of its own; returns what it was.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<i64> {
    let version = pragma(db, "user_version")?;
    // Without effect on a database that exists: it keeps its pages.
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    for (from, statements) in (0..).zip(MIGRATIONS).skip_while(|(from, _)| *from < version) {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(statements)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", from + 1)?;
        note_version(&tx, from + 1)?;
        tx.commit()?;
    }
    // For journals from before it was noted.
    if noted_version(db)? != Some(VERSION) {
        note_version(db, VERSION)?;
    }
    Ok(version)
}

fn note_version(db: &Connection, version: i64) -> rusqlite::Result<()> {
    db.execute("INSERT OR REPLACE INTO state (key, value) VALUES ('format', ?)", [version]).map(drop)
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
    fn a_journal_of_version_1_gets_classes_and_its_bytes_counted() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(MIGRATIONS[0]).unwrap();
        db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        for (seq, kind) in [(1, "boot"), (2, "sighting"), (3, "crossing")] {
            db.execute(
                "INSERT INTO event (seq, kind, class, t, mono, boot, body) VALUES (?1, ?2, 0, 0, 0, 0, 'four')",
                rusqlite::params![seq, kind],
            )
            .unwrap();
        }
        migrate(&mut db).unwrap();
        let classes: Vec<i64> = db
            .prepare("SELECT class FROM event WHERE state = 0 ORDER BY class, seq")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(classes, [0, 1, 2]);
        let bytes: i64 = db.query_row("SELECT value FROM state WHERE key = 'bytes'", [], |row| row.get(0)).unwrap();
        assert_eq!(bytes, 3 * (4 + 64));
    }

    #[test]
    fn other_peoples_databases_and_later_versions_are_told_apart() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Foreign);
        db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        db.execute("UPDATE state SET value = ? WHERE key = 'format'", [VERSION + 1]).unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Newer(VERSION + 1));
        db.execute("DELETE FROM state WHERE key = 'format'", []).unwrap();
        assert_eq!(identify(&db).unwrap(), Kind::Newer(VERSION + 1), "from before it was noted");
    }

    #[test]
    fn a_flipped_bit_of_the_header_is_damage_and_no_reason_to_refuse() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        db.execute_batch("INSERT INTO state (key, value) VALUES ('log', 'abc'), ('last_seq', 0)").unwrap();
        for bit in 0..31 {
            db.pragma_update(None, "user_version", VERSION ^ (1 << bit)).unwrap();
            assert!(matches!(identify(&db).unwrap(), Kind::Damaged(_)), "bit {bit} of the version");
            db.pragma_update(None, "user_version", VERSION).unwrap();
            db.pragma_update(None, "application_id", APPLICATION_ID ^ (1 << bit)).unwrap();
            assert!(matches!(identify(&db).unwrap(), Kind::Damaged(_)), "bit {bit} of the application");
            db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        }
        assert_eq!(identify(&db).unwrap(), Kind::Ours);
    }
}
