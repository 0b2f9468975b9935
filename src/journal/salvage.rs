//! What can still be read of a journal that was set aside: its undelivered events
//! go into the new one, with new numbers.
//!
//! They keep the ids of what they are about, so that a receiver who had one of
//! them already (delivered, and not noted before the damage) can tell. The old
//! file is only read.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::clock_state;
use super::marks::WaitingMarks;
use super::store::unsigned;
use crate::clock::RunningMs;
use crate::event::{Body, Class, Draft, Event};

/// So many are taken over at most.
pub(super) const MOST: usize = 50_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Undelivered events, in their order.
    pub drafts: Vec<Draft>,
    /// Undelivered events that are left where they are.
    pub left: u64,
}

/// Reads `file` from its beginning, and past a damaged place from its end, `most` events
/// altogether. Those that `delivered` knows to be delivered are left out.
pub(super) fn salvage(file: &Path, delivered: &WaitingMarks, most: usize) -> Salvage {
    let Ok(db) = connect(file) else { return Salvage::default() };
    let mut hold = Hold { found: Vec::new(), left: 0, most, delivered };
    for class in Class::ALL {
        let mut last = 0;
        let read_on = |row: &Row<'_>| {
            last = unsigned(row.get(0)?);
            hold.take(last, row)
        };
        if read(&db, class, "ASC", 0, read_on).is_err() {
            // It ends at the damage from the other side.
            let _ = read(&db, class, "DESC", last, |row| hold.take(unsigned(row.get(0)?), row));
        }
    }
    hold.found.sort_by_key(|(seq, _)| *seq);
    Salvage { drafts: hold.found.into_iter().map(|(_, draft)| draft).collect(), left: hold.left }
}

/// How long the unit had run when it last wrote there, as far as that can be read: never
/// too long, since by it things are deleted. So two places have to say it.
pub(super) fn running_of(file: &Path) -> Option<RunningMs> {
    let db = connect(file).ok()?;
    let last =
        db.query_row("SELECT run FROM event NOT INDEXED ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).ok()?;
    let noted = clock_state::saved_clock(&db).ok().flatten()?.running_ms?;
    Some(noted.min(RunningMs(unsigned(last))))
}

/// What was found so far, with the old numbers.
struct Hold<'d> {
    found: Vec<(u64, Draft)>,
    left: u64,
    most: usize,
    delivered: &'d WaitingMarks,
}

impl Hold<'_> {
    fn take(&mut self, seq: u64, row: &Row<'_>) -> rusqlite::Result<()> {
        if self.delivered.contains(seq) {
            return Ok(());
        }
        if self.found.len() >= self.most {
            // Its text is not read.
            self.left += 1;
            return Ok(());
        }
        let body = row.get_ref(1)?.as_bytes().unwrap_or_default();
        let Ok(event) = Event::from_json(&String::from_utf8_lossy(body)) else { return Ok(()) };
        // These speak of the old journal's numbers.
        if !matches!(event.body, Body::Lost { .. } | Body::Clock { .. }) {
            self.found.push((seq, Draft { stamp: event.stamp, body: event.body, replay: event.replay }));
        }
        Ok(())
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Hands over undelivered events of `class` with numbers above `after` until nothing
/// more can be read. The index of what is queued is not believed.
fn read(
    db: &Connection,
    class: Class,
    order: &str,
    after: u64,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT seq, body FROM event NOT INDEXED WHERE state = 0 AND class = ?1 AND seq > ?2 ORDER BY seq {order}"
    );
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(params![class.code(), super::store::signed(after)])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Beat;
    use crate::domain::{BBox, Group};
    use crate::event::{Conf, Phase, Stamp};
    use crate::journal::{Journal, JournalOptions};
    use std::time::Duration;
    use uuid::Uuid;

    fn drafts(options: &JournalOptions) -> Vec<Draft> {
        let now: Stamp = options.clock.now();
        let of = |body| Draft { stamp: now, body, replay: false };
        let each = |n: u128| {
            let (id, cam, grp, cls) = (Uuid::from_u128(n), "road".to_owned(), Group::Vehicle, "car".to_owned());
            let (conf, bbox) = (Conf(0.5), BBox::new(0.1, 0.2, 0.3, 0.4).into());
            let (wire, dir) = ("line".to_owned(), "in".to_owned());
            [
                of(Body::Storage { phase: Phase::Start, value: None, why: n.to_string() }),
                of(Body::Sighting {
                    phase: Phase::Start,
                    id,
                    cam: cam.clone(),
                    grp,
                    cls: cls.clone(),
                    conf,
                    bbox,
                    dur: None,
                    why: None,
                    still: None,
                }),
                of(Body::Crossing { id, cam, grp, cls, conf, bbox, wire, dir, gid: None }),
            ]
        };
        (1..=10).flat_map(each).collect()
    }

    #[test]
    fn what_matters_most_is_taken_first_and_the_rest_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = JournalOptions::new(dir.path().join("journal.db"), "unit");
        options.boot_event = false;
        let (journal, thread) = Journal::open(options.clone(), Beat::unwatched()).unwrap();
        journal.append_and_wait(drafts(&options)).unwrap();
        thread.stop(Duration::from_secs(20)).unwrap();
        let kinds = |most| {
            let salvage = salvage(&options.path, &WaitingMarks::default(), most);
            let of = |kind: &str| salvage.drafts.iter().filter(|draft| draft.body.kind() == kind).count();
            let id = |draft: &Draft| match draft.body {
                Body::Sighting { id, .. } | Body::Crossing { id, .. } => Some(id),
                _ => None,
            };
            assert!(salvage.drafts.iter().filter_map(id).is_sorted(), "in their order");
            (of("crossing"), of("sighting"), of("storage"), salvage.left)
        };
        assert_eq!(kinds(50), (10, 10, 10, 0));
        assert_eq!(kinds(23), (10, 10, 3, 7));
        assert_eq!(kinds(14), (10, 4, 0, 16));
        assert_eq!(kinds(0), (0, 0, 0, 30));
    }
}
