//! What can still be read of a journal that was set aside: its undelivered events
//! go into the new one, with new numbers.
//!
//! They keep the ids of what they are about, so that a receiver who had one of
//! them already (delivered, and not noted before the damage) can tell. The old
//! file is only read.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::marks::WaitingMarks;
use super::store::unsigned;
use crate::event::{Body, Draft, Event};

/// So many are taken over at most: they are held in memory on the way.
const MOST: usize = 50_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Undelivered events, in their order.
    pub drafts: Vec<Draft>,
    /// Undelivered events that are left where they are.
    pub left: u64,
}

/// Reads `file` from its beginning, and past a damaged place from its end.
/// Events that `delivered` knows to be delivered are left out.
pub(super) fn salvage(file: &Path, delivered: &WaitingMarks) -> Salvage {
    let Ok(db) = connect(file) else { return Salvage::default() };
    let mut first: Vec<(u64, Draft)> = Vec::new();
    let mut salvage = Salvage::default();
    let whole = read(&db, "ASC", 0, |seq, draft| first.push((seq, draft))).is_ok();
    if !whole {
        let last = first.last().map_or(0, |(seq, _)| *seq);
        let mut behind = Vec::new();
        // It ends at the damage from the other side.
        let _ = read(&db, "DESC", last, |seq, draft| behind.push((seq, draft)));
        first.extend(behind.into_iter().rev());
    }
    for (seq, draft) in first {
        if delivered.contains(seq) {
            continue;
        }
        match salvage.drafts.len() < MOST {
            true => salvage.drafts.push(draft),
            false => salvage.left += 1,
        }
    }
    salvage
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Hands over undelivered events with numbers above `after` until nothing more
/// can be read. The index of what is queued is not believed.
fn read(db: &Connection, order: &str, after: u64, mut each: impl FnMut(u64, Draft)) -> rusqlite::Result<()> {
    let sql = format!("SELECT seq, body FROM event NOT INDEXED WHERE state = 0 AND seq > ?1 ORDER BY seq {order}");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([super::store::signed(after)])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_bytes().unwrap_or_default();
        let Ok(event) = Event::from_json(&String::from_utf8_lossy(body)) else { continue };
        // These speak of the old journal's numbers.
        if !matches!(event.body, Body::Lost { .. } | Body::Clock { .. }) {
            each(unsigned(row.get(0)?), Draft { stamp: event.stamp, body: event.body, replay: event.replay });
        }
    }
    Ok(())
}
