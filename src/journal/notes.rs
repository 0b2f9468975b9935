//! Notes: what other parts of the unit want to remember, stored in the transaction
//! of the events that belong to it. Rows `note/<key>` of the table `state`.

use rusqlite::{Connection, Transaction};

use super::store::put;

const PREFIX: &str = "note/";

/// One thing to remember, or to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its name; what is noted under the same name later takes its place.
    pub key: String,
    /// Its text; `None` removes it.
    pub value: Option<String>,
}

/// Stores them in order.
pub(super) fn store(tx: &Transaction<'_>, notes: &[Note]) -> rusqlite::Result<()> {
    for note in notes {
        let key = format!("{PREFIX}{}", note.key);
        match &note.value {
            Some(value) => put(tx, &key, value)?,
            None => {
                tx.prepare_cached("DELETE FROM state WHERE key = ?")?.execute([key])?;
            }
        }
    }
    Ok(())
}

/// Those whose keys begin with `prefix`.
pub(super) fn read(db: &Connection, prefix: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let begin = format!("{PREFIX}{prefix}");
    db.prepare_cached("SELECT key, value FROM state WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key")?
        .query_map([begin], |row| {
            let key: String = row.get(0)?;
            Ok((key.strip_prefix(PREFIX).unwrap_or_default().to_owned(), row.get(1)?))
        })?
        .collect()
}
