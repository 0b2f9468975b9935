//! A model of what is really on a disk: for each file its content at the last
//! fsync and what was written since; for the folder the names as of its last
//! fsync. A power cut keeps of the rest whatever it likes, in pieces of 512 bytes.
//!
//! A failed fsync is modelled as Linux has it ("fsyncgate", Rebello et al., USENIX
//! ATC 2020): what it should have written is taken for clean, can still be read,
//! and never reaches the disk unless it is written again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tawny::journal::JournalHandle;

use super::common::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

type FileId = usize;

/// One change of a file's content.
#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Truncate(u64),
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What survives for certain.
    durable: Vec<u8>,
    /// What came since.
    pending: Vec<Change>,
    /// SQLite syncs the folder with the first sync of a file that it made.
    sync_folder: bool,
}

/// What a power cut left, and what the unit had claimed before it.
#[derive(Debug, Clone)]
pub struct Remains {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The last number that was confirmed.
    pub confirmed: u64,
    /// Which operation was under way.
    pub during: String,
}

impl Remains {
    /// Lays the files into `folder`.
    pub fn lay(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// Which operations fail, and how.
#[derive(Debug, Clone)]
pub struct Fault {
    /// On files whose names end so.
    pub file: &'static str,
    pub operation: Operation,
    /// SQLite's result code.
    pub code: i32,
    /// How many times.
    pub times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    /// Writes beyond the end of the file.
    Grow,
    Sync,
}

#[derive(Debug)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    operations: u64,
    cuts: Vec<u64>,
    remains: Vec<Remains>,
    confirmed: u64,
    journal: Option<JournalHandle>,
    random: Random,
    faults: Vec<Fault>,
}

/// The disk under one folder. What another program than SQLite does to its files
/// is not seen, so it must not matter.
#[derive(Debug)]
pub struct Disk {
    pub folder: PathBuf,
    on: AtomicBool,
    state: Mutex<State>,
}

static DISKS: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

impl Disk {
    /// Watches `folder`; what is there is on the disk. The power goes at the
    /// operations with the numbers `cuts`, counted from now.
    pub fn watch(folder: &Path, cuts: &[u64], confirmed: u64, random: Random) -> Arc<Disk> {
        super::vfs::install();
        let mut state = State {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            operations: 0,
            cuts: cuts.to_vec(),
            remains: Vec::new(),
            confirmed,
            journal: None,
            random,
            faults: Vec::new(),
        };
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_str().unwrap().to_owned();
            state.names.insert(name, state.files.len());
            state.files.push(File { durable: std::fs::read(entry.path()).unwrap(), ..File::default() });
        }
        state.durable_names = state.names.clone();
        let disk = Arc::new(Disk { folder: folder.to_owned(), on: AtomicBool::new(true), state: Mutex::new(state) });
        DISKS.lock().unwrap().push(Arc::clone(&disk));
        disk
    }

    /// The disk under `path`, if it is watched, and the file's name on it.
    pub fn under(path: &Path) -> Option<(Arc<Disk>, String)> {
        let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
        let disk = DISKS.lock().unwrap().iter().find(|disk| disk.folder == folder).cloned()?;
        Some((disk, name.to_owned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on, what `journal` says is confirmed.
    pub fn ask(&self, journal: &JournalHandle) {
        self.state().journal = Some(journal.clone());
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The power goes now.
    pub fn cut(&self) -> Remains {
        self.state().cut("the end of the run")
    }

    /// All that the power cuts so far have left; no more is watched.
    pub fn take_remains(&self) -> Vec<Remains> {
        self.on.store(false, Ordering::SeqCst);
        DISKS.lock().unwrap().retain(|disk| disk.folder != self.folder);
        std::mem::take(&mut self.state().remains)
    }

    pub fn opened(&self, name: &str, made_by_sqlite: bool) -> FileId {
        let mut state = self.state();
        if let Some(&id) = state.names.get(name) {
            return id;
        }
        let id = state.files.len();
        state.files.push(File { sync_folder: made_by_sqlite, ..File::default() });
        state.names.insert(name.to_owned(), id);
        id
    }

    pub fn deleted(&self, name: &str, sync_folder: bool) {
        let mut state = self.state();
        state.names.remove(name);
        state.step(&format!("delete {name}"));
        if sync_folder {
            state.durable_names = state.names.clone();
        }
    }

    pub fn written(&self, id: FileId, at: u64, bytes: &[u8]) {
        let mut state = self.state();
        state.files[id].pending.push(Change::Write { at, bytes: bytes.to_vec() });
        state.step(&format!("write {id}+{at}"));
    }

    pub fn truncated(&self, id: FileId, size: u64) {
        let mut state = self.state();
        state.files[id].pending.push(Change::Truncate(size));
        state.step(&format!("truncate {id}"));
    }

    pub fn synced(&self, id: FileId) {
        let mut state = self.state();
        // The power may go while it syncs.
        state.step(&format!("sync {id}"));
        let file = &mut state.files[id];
        for change in std::mem::take(&mut file.pending) {
            apply(&mut file.durable, &change);
        }
        if std::mem::take(&mut file.sync_folder) {
            state.durable_names = state.names.clone();
        }
    }

    /// The code with which an operation fails, if it does.
    pub fn fault(&self, id: FileId, operation: Operation) -> Option<i32> {
        let mut state = self.state();
        let name = state.names.iter().find(|(_, own)| **own == id)?.0.clone();
        let due = |fault: &&mut Fault| fault.operation == operation && fault.times > 0 && name.ends_with(fault.file);
        let fault = state.faults.iter_mut().find(due)?;
        fault.times -= 1;
        let code = fault.code;
        if operation == Operation::Sync {
            state.files[id].pending.clear();
        }
        Some(code)
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }
}

impl State {
    fn step(&mut self, what: &str) {
        self.operations += 1;
        if self.cuts.contains(&self.operations) {
            let remains = self.cut(what);
            self.remains.push(remains);
        }
    }

    fn cut(&mut self, during: &str) -> Remains {
        if let Some(journal) = &self.journal {
            self.confirmed = self.confirmed.max(journal.status().last_seq());
        }
        let mut names = self.durable_names.clone();
        let either = self.names.iter().chain(&self.durable_names).map(|(name, _)| name.clone()).collect::<Vec<_>>();
        for name in either {
            let now = self.names.get(&name).copied();
            if names.get(&name).copied() != now && self.random.chance(2) {
                match now {
                    Some(id) => drop(names.insert(name, id)),
                    None => drop(names.remove(&name)),
                }
            }
        }
        let how = self.random.below(4);
        let files = names.into_iter().map(|(name, id)| (name, self.files[id].after_cut(how, &mut self.random)));
        Remains { files: files.collect(), confirmed: self.confirmed, during: during.to_owned() }
    }
}

impl File {
    /// `how`: 0 all that is not synced is gone, 1 all is there, 2 it ends somewhere,
    /// 3 any sector may be there or not.
    fn after_cut(&self, how: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let until = match how {
            0 => 0,
            2 => random.below(self.pending.len() as u64 + 1) as usize,
            _ => self.pending.len(),
        };
        for change in &self.pending[..until] {
            match change {
                Change::Write { at, bytes: new } if how == 3 => {
                    for (at, sector) in sectors(*at, new).filter(|_| random.chance(2)) {
                        apply(&mut bytes, &Change::Write { at, bytes: sector.to_vec() });
                    }
                }
                Change::Truncate(_) if how == 3 && random.chance(2) => {}
                change => apply(&mut bytes, change),
            }
        }
        if let (2, Some(Change::Write { at, bytes: new })) = (how, self.pending.get(until)) {
            // The one under way is torn.
            let torn = random.below(new.len() as u64 / SECTOR + 1) as usize;
            for (at, sector) in sectors(*at, new).take(torn) {
                apply(&mut bytes, &Change::Write { at, bytes: sector.to_vec() });
            }
        }
        bytes
    }
}

/// The pieces of a write that the disk's sectors make of it.
fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = &bytes[from..];
        let length = (SECTOR - (at + from as u64) % SECTOR).min(rest.len() as u64) as usize;
        let piece = (at + from as u64, &rest[..length]);
        from += length;
        (length > 0).then_some(piece)
    })
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes: new } => {
            let (from, to) = (*at as usize, *at as usize + new.len());
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(new);
        }
        Change::Truncate(size) => bytes.resize(*size as usize, 0),
    }
}
