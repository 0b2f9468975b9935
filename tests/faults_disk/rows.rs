//! What a journal holds, and what it may hold after an accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tawny::clock::Beat;
use tawny::event::{Body, Event};
use tawny::journal::{EventFilter, Journal, JournalHandle, JournalOptions, JournalReader, JournalThread};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// The journal in `folder`.
pub fn journal_in(folder: &Path) -> PathBuf {
    folder.join("journal.db")
}

pub fn options(folder: &Path) -> JournalOptions {
    JournalOptions { reserve_bytes: 0, ..JournalOptions::new(journal_in(folder), "unit") }
}

pub fn open(folder: &Path) -> (JournalHandle, JournalThread) {
    Journal::open(options(folder), Beat::unwatched()).unwrap_or_else(|e| panic!("{e}"))
}

/// Number and text of all events.
pub fn rows(folder: &Path) -> BTreeMap<u64, String> {
    let mut rows = BTreeMap::new();
    JournalReader::open(&journal_in(folder))
        .unwrap()
        .for_each(&EventFilter::default(), |row| {
            rows.insert(row.seq, row.json);
            true
        })
        .unwrap();
    rows
}

/// All events that can be read.
pub fn events(folder: &Path) -> Vec<Event> {
    rows(folder).values().filter_map(|json| Event::from_json(json).ok()).collect()
}

/// Databases beside the journal that were set aside.
pub fn set_aside(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".damaged-") && name.ends_with('Z')).collect()
}

/// What a journal is known to have held.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub log: Option<String>,
    pub events: BTreeMap<u64, String>,
    /// Delivered: they may be removed.
    pub delivered: BTreeSet<u64>,
    /// What `lost` events covered that were delivered.
    told: Vec<(u64, u64)>,
}

impl Truth {
    /// Takes in what is new in `folder`.
    pub fn learn(&mut self, folder: &Path, journal: &JournalHandle) {
        self.log = Some(journal.status().log().0);
        let known = self.events.keys().last().copied().unwrap_or(0);
        let reader = JournalReader::open(&journal_in(folder)).unwrap();
        let new = reader.events_between(known + 1, u64::MAX, usize::MAX >> 1).unwrap();
        self.events.extend(new.into_iter().map(|event| (event.seq, event.json)));
    }

    /// Judges what is in `folder` after an accident: each event up to `confirmed`
    /// is as it was or accounted for, later ones are as they were or absent from
    /// some number on, and the rest is what a start adds. Returns what is true now.
    pub fn judge(&self, folder: &Path, journal: &JournalHandle, confirmed: u64) -> Truth {
        assert_eq!(set_aside(folder), Vec::<String>::new(), "a power cut is no damage");
        let log = journal.status().log().0;
        assert!(confirmed == 0 || self.log.as_ref() == Some(&log), "the journal is another one");
        let (found, last) = (rows(folder), journal.status().last_seq());
        let mut begun = false;
        let known = self.events.keys().last().copied().unwrap_or(0);
        for (seq, json) in &found {
            begun |= match self.events.get(seq) {
                Some(own) => own != json,
                // What was removed before it could be read here.
                None => *seq > known,
            };
            if begun {
                assert!(*seq > confirmed, "{seq} was confirmed up to {confirmed}, and is now {json}");
                assert!(is_of_a_start(json), "{seq} is invented: {json}");
            }
        }
        let delivered = self.events.iter().filter(|(seq, _)| self.delivered.contains(seq));
        let told: Vec<_> = delivered.filter_map(|(_, json)| covered(json)).chain(self.told.iter().copied()).collect();
        let lost: Vec<_> = found.values().filter_map(|json| covered(json)).chain(told.iter().copied()).collect();
        for seq in (1..=last).filter(|seq| !found.contains_key(seq)) {
            let accounted = self.delivered.contains(&seq) || lost.iter().any(|(from, to)| (*from..=*to).contains(&seq));
            assert!(accounted, "{seq} of {last} is missing; confirmed up to {confirmed}");
        }
        assert!(last >= confirmed, "{confirmed} events were confirmed, {last} are there");
        Truth { log: Some(log), events: found, delivered: self.delivered.clone(), told }
    }
}

/// What the journal adds by itself when it is opened.
fn is_of_a_start(json: &str) -> bool {
    match Event::from_json(json).unwrap().body {
        Body::Boot { .. } | Body::Lost { .. } => true,
        Body::Sighting { why, .. } => why.is_some(),
        _ => false,
    }
}

fn covered(json: &str) -> Option<(u64, u64)> {
    match Event::from_json(json).unwrap().body {
        Body::Lost { from, to, .. } => Some((from, to)),
        _ => None,
    }
}
