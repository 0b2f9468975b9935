//! What the journal knows about the time, and the corrections of events that
//! were stored before it was known.
//!
//! State rows: `clock` is the estimate at the last commit; `clock/boot` the boot that
//! runs, where its events begin and whether some of them have times without
//! bounds; `clock/past` the same of earlier boots that ended so. All are written in the
//! transaction of the events they are about. So a correction is due exactly as
//! long as its `clock` event is not committed, whatever happens in between.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::store::{Store, append, from_json, get_text, put, signed, to_json, unsigned};
use crate::clock::{
    BootSpan, Correction, Corrections, Estimate, Retiming, SavedClock, SystemClock, TimeLine, Timed, lines_between,
    source_name,
};
use crate::event::{Body, Draft, TimeSource};

/// Ranges in one `clock` event: some 2 kB.
const RANGES_TOGETHER: usize = 50;

/// Boots that ended without knowing the time and are remembered; beyond it the
/// oldest is given up.
const PAST_BOOTS: usize = 64;

/// A boot and its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    boot: u32,
    /// Its first event has at least this number.
    first: u64,
    /// UTC − CLOCK_BOOTTIME (µs) was at least this at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lowest_us: Option<i64>,
    /// Some of its events have no bounds.
    unsettled: bool,
}

/// A boot that ended without knowing the time, or without saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PastBoot {
    #[serde(flatten)]
    boot: Boot,
    /// Its last event has at most this number.
    last: u64,
    /// The estimate at its last commit.
    clock: SavedClock,
}

/// What the store remembers between transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClockState {
    boot: Option<Boot>,
    past: Vec<PastBoot>,
    /// Events of this boot have no bounds.
    pub unsettled: bool,
    /// The version of the clock by which this boot's events were last looked at.
    looked_at: u64,
}

fn get_json<T: serde::de::DeserializeOwned>(db: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    // One that cannot be read is as good as none: the clock begins anew.
    Ok(get_text(db, key)?.and_then(|text| from_json(&text).ok()))
}

/// The estimate at the last commit.
pub(super) fn saved_clock(db: &Connection) -> rusqlite::Result<Option<SavedClock>> {
    get_json(db, "clock")
}

/// All corrections, or none in a journal from before there were any.
pub(super) fn corrections(db: &Connection) -> rusqlite::Result<Corrections> {
    let known: bool =
        db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'correction'", [], |row| row.get(0))?;
    if !known {
        return Ok(Corrections::default());
    }
    db.prepare("SELECT first, last, offset_ms, tu FROM correction ORDER BY id")?
        .query_map([], |row| {
            Ok(Correction {
                first: unsigned(row.get(0)?),
                last: unsigned(row.get(1)?),
                offset_ms: row.get(2)?,
                uncertainty_ms: row.get(3)?,
            })
        })?
        .collect()
}

/// Whether this event's time has no bounds, and may get some.
fn is_unsure(draft: &Draft, boot: u32) -> bool {
    draft.stamp.uncertainty_ms.is_none() && draft.stamp.boot == boot && draft.stamp.source != TimeSource::File
}

/// A run begins with `drafts`, the last of which has the number `last`.
pub(super) fn begin_run(
    tx: &Transaction<'_>,
    state: &ClockState,
    clock: &SavedClock,
    drafts: &[Draft],
    last: u64,
) -> rusqlite::Result<ClockState> {
    let mut next = state.clone();
    let unsure = drafts.iter().any(|draft| is_unsure(draft, clock.boot));
    match (state.boot, saved_clock(tx)?) {
        (Some(boot), _) if boot.boot == clock.boot => {
            next.boot = Some(Boot { unsettled: boot.unsettled || unsure, ..boot });
        }
        (before, saved) => {
            if let (Some(boot), Some(clock)) = (before, saved)
                && boot.unsettled
                && boot.boot == clock.boot
            {
                // The ends which that boot left out are among `drafts`.
                next.past.push(PastBoot { boot, last, clock });
                let too_many = next.past.len().saturating_sub(PAST_BOOTS);
                next.past.drain(..too_many);
            }
            let first = (last + 1).saturating_sub(drafts.len() as u64);
            next.boot = Some(Boot { boot: clock.boot, first, lowest_us: clock.floor_us, unsettled: unsure });
        }
    }
    next.unsettled = next.boot.is_some_and(|boot| boot.unsettled);
    put(tx, "clock/boot", &to_json(&next.boot)?)?;
    put(tx, "clock/past", &to_json(&next.past)?)?;
    put(tx, "clock", &to_json(clock)?)?;
    Ok(next)
}

/// Notes the time beside `drafts`; whether some of them have none with bounds.
pub(super) fn note<'a>(
    tx: &Transaction<'_>,
    state: &ClockState,
    clock: &SavedClock,
    drafts: impl IntoIterator<Item = &'a Draft>,
) -> rusqlite::Result<bool> {
    put(tx, "clock", &to_json(clock)?)?;
    let unsure = drafts.into_iter().any(|draft| is_unsure(draft, clock.boot));
    if unsure && !state.unsettled {
        put(tx, "clock/boot", &to_json(&state.boot.map(|boot| Boot { unsettled: true, ..boot }))?)?;
    }
    Ok(unsure)
}

impl ClockState {
    pub fn load(db: &Connection) -> rusqlite::Result<ClockState> {
        let boot: Option<Boot> = get_json::<Option<Boot>>(db, "clock/boot")?.flatten();
        let past = get_json(db, "clock/past")?.unwrap_or_default();
        Ok(ClockState { boot, past, unsettled: boot.is_some_and(|boot| boot.unsettled), looked_at: 0 })
    }
}

/// The highest UTC (µs) at which a boot with this line may have begun.
fn latest_beginning(line: &TimeLine) -> i64 {
    line.offset_us.saturating_add(line.bound_us)
}

fn line(at_us: u64, offset_us: i64, bound_us: Option<i64>) -> Option<TimeLine> {
    Some(TimeLine { at_ms: at_us / 1_000, offset_us, bound_us: bound_us? })
}

impl Store {
    /// [`saved_clock`] of this journal.
    pub fn saved_clock(&self) -> rusqlite::Result<Option<SavedClock>> {
        saved_clock(&self.db)
    }

    /// If the time is known: corrects the events that were stored without
    /// knowing it, in one transaction. Returns how many events that made.
    pub fn retime(&mut self, clock: &SystemClock) -> rusqlite::Result<u64> {
        let Some(boot) = self.clock_state.boot else { return Ok(0) };
        let (mono, estimate, version) = clock.estimate();
        let looked_at = std::mem::replace(&mut self.clock_state.looked_at, version);
        let news = looked_at != version;
        let Some(now) = line(mono.as_micros(), estimate.offset_us, estimate.bound_us) else { return Ok(0) };
        if !news && !self.clock_state.unsettled && self.clock_state.past.is_empty() {
            return Ok(0);
        }
        let done = self.correct(boot, &now, estimate, news, clock);
        if done.is_err() {
            self.clock_state.looked_at = looked_at;
        }
        done
    }

    fn correct(
        &mut self,
        boot: Boot,
        now: &TimeLine,
        estimate: Estimate,
        news: bool,
        clock: &SystemClock,
    ) -> rusqlite::Result<u64> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = corrections(&tx)?;
        let mut events = 0;
        let settled = Boot { unsettled: false, ..boot };
        if news || self.clock_state.unsettled {
            let found = retimed(&tx, &known, (boot.boot, boot.first, u64::MAX), *now)?;
            let what = if self.clock_state.unsettled { "the clock was set by" } else { "the clock was corrected by" };
            events +=
                store(&tx, (&self.unit, &self.log), &found, format!("{what} {}", source_name(estimate.source)), clock)?;
            put(&tx, "clock/boot", &to_json(&Some(settled))?)?;
        }
        if !self.clock_state.past.is_empty() {
            let mut found = Vec::new();
            for (past, line) in self.clock_state.past.iter().zip(past_lines(&self.clock_state.past, now)) {
                if let Some(line) = line {
                    found.extend(retimed(&tx, &known, (past.boot.boot, past.boot.first, past.last), line)?);
                }
            }
            let why = "earlier starts lie between known times".to_owned();
            events += store(&tx, (&self.unit, &self.log), &found, why, clock)?;
            put(&tx, "clock/past", &"[]")?;
        }
        tx.commit()?;
        self.clock_state.past.clear();
        self.clock_state.boot = Some(settled);
        self.clock_state.unsettled = false;
        Ok(events)
    }
}

/// A line for each past boot: its own, if it had come to know the time, else
/// from what lies before and after it.
fn past_lines(past: &[PastBoot], now: &TimeLine) -> Vec<Option<TimeLine>> {
    let mut lines = vec![None; past.len()];
    let mut next_us = latest_beginning(now);
    let mut end = past.len();
    // From the newest to the oldest, in stretches of boots that know nothing.
    while end > 0 {
        let own = |p: &PastBoot| line(p.clock.mono_us, p.clock.offset_us, p.clock.bound_us);
        let known = past.iter().take(end).rposition(|p| own(p).is_some());
        let begin = known.map_or(0, |i| i + 1);
        let spans: Vec<BootSpan> = past
            .iter()
            .take(end)
            .skip(begin)
            .map(|p| BootSpan { lowest_us: p.boot.lowest_us, last_ms: p.clock.mono_us / 1_000 })
            .collect();
        for (line, found) in lines.iter_mut().skip(begin).zip(lines_between(&spans, next_us)) {
            *line = found;
        }
        let Some(known) = known else { break };
        end = known;
        if let Some(line) = lines.get_mut(known) {
            *line = past.get(known).and_then(own);
            next_us = line.as_ref().map_or(next_us, latest_beginning);
        }
    }
    lines
}

#[derive(Deserialize)]
struct Uncertainty {
    tu: Option<u32>,
}

/// Corrections for the events of one boot among the numbers `first..=last`.
fn retimed(
    tx: &Transaction<'_>,
    known: &Corrections,
    (boot, first, last): (u32, u64, u64),
    line: TimeLine,
) -> rusqlite::Result<Vec<Correction>> {
    let mut retiming = Retiming::new(line);
    let mut statement = tx.prepare(
        "SELECT seq, t, mono, body FROM event
         WHERE seq BETWEEN ?1 AND ?2 AND boot = ?3 AND kind <> 'clock' ORDER BY seq",
    )?;
    let mut rows = statement.query(params![signed(first), signed(last), boot])?;
    while let Some(row) = rows.next()? {
        let (seq, reported): (u64, i64) = (unsigned(row.get(0)?), row.get(1)?);
        let correction = known.of(seq);
        let uncertainty_ms = match correction {
            Some(correction) => Some(correction.uncertainty_ms),
            // A row that cannot be read must not keep the others from theirs.
            None => match serde_json::from_str::<Uncertainty>(row.get_ref(3)?.as_str()?) {
                Ok(stored) => stored.tu,
                Err(_) => continue,
            },
        };
        retiming.event(Timed {
            seq,
            mono_ms: unsigned(row.get(2)?),
            reported,
            known: reported.saturating_add(correction.map_or(0, |c| c.offset_ms)),
            uncertainty_ms,
        });
    }
    Ok(retiming.finish())
}

/// Stores `found` as `clock` events and as rows; returns the number of events.
fn store(
    tx: &Transaction<'_>,
    (unit, log): (&str, &crate::event::LogId),
    found: &[Correction],
    why: String,
    clock: &SystemClock,
) -> rusqlite::Result<u64> {
    let stamp = clock.now();
    let drafts: Vec<Draft> = found
        .chunks(RANGES_TOGETHER)
        .map(|some| Draft {
            stamp,
            body: Body::Clock {
                ranges: some.iter().map(|c| (c.first, c.last, c.offset_ms, c.uncertainty_ms)).collect(),
                why: why.clone(),
            },
            replay: false,
        })
        .collect();
    append(tx, (unit, log), &drafts, clock.running())?;
    for c in found {
        tx.prepare_cached("INSERT INTO correction (first, last, offset_ms, tu) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![signed(c.first), signed(c.last), c.offset_ms, c.uncertainty_ms])?;
    }
    Ok(drafts.len() as u64)
}
