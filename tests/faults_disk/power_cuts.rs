//! Power cuts at any write: what was confirmed is there, in order, and nothing
//! else is.

use std::path::Path;

use super::common::drafts::{crossings, sighting};
use super::common::random::{Random, setting};
use super::disk::{Disk, Remains};
use super::rows::{PATIENCE, Truth, open, options};
use tawny::clock::Beat;
use tawny::domain::UtcMillis;
use tawny::event::{Draft, Phase};
use tawny::journal::{Delivery, Journal, JournalHandle, JournalThread, Mark};

/// A life: what came before, and what happens in it.
struct Life {
    truth: Truth,
    confirmed: u64,
    random: Random,
}

#[test]
fn after_any_power_cut_all_that_was_confirmed_is_there_and_nothing_else() {
    let seed = setting("TAWNY_FAULT_SEED", 1);
    let wanted = setting("TAWNY_FAULT_CUTS", 200);
    let mut random = Random::new(seed);
    let (mut before, mut truth) = (None::<Remains>, Truth::default());
    let (mut life, mut cuts, mut confirmed) = (0, 0, 0);
    while cuts < wanted {
        println!("TAWNY_FAULT_SEED={seed}, life {life}");
        // Now and then another unit.
        if life % 8 == 0 {
            (before, truth) = (None, Truth::default());
        }
        life += 1;
        let folder = tempfile::tempdir().unwrap();
        if let Some(before) = &before {
            before.lay(folder.path());
        }
        let known = before.as_ref().map_or(0, |before| before.confirmed);
        let mut now = Life { truth, confirmed: known, random: random.fork() };
        let remains = now.run(folder.path());
        for (i, remains) in remains.iter().enumerate() {
            println!("  cut {i} during {}, {} confirmed", remains.during, remains.confirmed);
            let folder = tempfile::tempdir().unwrap();
            remains.lay(folder.path());
            let _disk = Disk::watch(folder.path(), &[], remains.confirmed, random.fork());
            let (journal, thread) = open(folder.path());
            now.truth.judge(folder.path(), &journal, remains.confirmed);
            thread.stop(PATIENCE).unwrap();
            cuts += 1;
            confirmed += remains.confirmed;
        }
        let chosen = random.below(remains.len() as u64) as usize;
        (before, truth) = (remains.into_iter().nth(chosen), now.truth);
    }
    println!("{cuts} power cuts, {confirmed} confirmed events looked for");
}

impl Life {
    fn run(&mut self, folder: &Path) -> Vec<Remains> {
        let mut cuts: Vec<u64> = (0..3).map(|_| 1 + self.random.below(300)).collect();
        cuts.push(1 + self.random.below(40));
        let disk = Disk::watch(folder, &cuts, self.confirmed, self.random.fork());
        let mut options = options(folder);
        if self.random.chance(3) {
            options.limits.max_bytes = 40_000;
        }
        let (journal, thread) = Journal::open(options, Beat::unwatched()).unwrap_or_else(|e| panic!("{e}"));
        disk.ask(&journal);
        let mut truth = self.truth.judge(folder, &journal, self.confirmed);
        let bursts = self.random.chance(5);
        for step in 0..10 + self.random.below(30) {
            self.append(&journal, step, bursts);
            truth.learn(folder, &journal);
            self.acknowledge(&journal, &mut truth);
        }
        let mut remains = self.end(&disk, thread);
        // What was under way at a cut is known only now.
        truth.learn(folder, &journal);
        self.truth = truth;
        remains.append(&mut disk.take_remains());
        remains
    }

    fn append(&mut self, journal: &JournalHandle, step: u64, bursts: bool) {
        let drafts = self.drafts(step, bursts);
        if self.random.chance(3) {
            journal.append(drafts).unwrap();
        } else {
            journal.append_and_wait(drafts).unwrap();
        }
    }

    /// Some of the events that were read are delivered.
    fn acknowledge(&mut self, journal: &JournalHandle, truth: &mut Truth) {
        if self.random.chance(4) {
            let last = truth.events.keys().last().copied().unwrap_or(1);
            let from = self.random.below(last) + 1;
            let seqs: Vec<u64> = (from..=last.min(from + 20)).collect();
            let at = UtcMillis(7);
            let marks = seqs.iter().map(|seq| Mark { seq: *seq, delivery: Delivery::Delivered, at }).collect();
            truth.delivered.extend(seqs);
            assert!(journal.mark_and_wait(&journal.status().log(), marks, PATIENCE));
        }
    }

    fn drafts(&mut self, step: u64, bursts: bool) -> Vec<Draft> {
        if bursts && self.random.chance(4) {
            return crossings(step * 1000, 700);
        }
        let id = u128::from(self.random.next());
        match self.random.below(3) {
            0 => vec![sighting(id, step * 1000, Phase::Start)],
            1 => vec![sighting(id, step * 1000, Phase::Start), sighting(id, step * 1000 + 9, Phase::End)],
            _ => crossings(step * 1000, 1 + self.random.below(12)),
        }
    }

    /// The power goes while it works, or after or during a stop.
    fn end(&mut self, disk: &Disk, thread: JournalThread) -> Vec<Remains> {
        if self.random.chance(2) {
            let remains = disk.cut();
            thread.stop(PATIENCE).unwrap();
            return vec![remains];
        }
        thread.stop(PATIENCE).unwrap();
        vec![disk.cut()]
    }
}
