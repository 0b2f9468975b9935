//! Small stills that wait to be sent: what the writer puts in and the uplink
//! takes out.
//!
//! A still waits as long as a file with its name lies in `outbox/`, so a restart
//! forgets none. The newest goes first, by the order in which they came, whatever the
//! clock says: what just passed is what people wait for. At most [`MAX_WAITING`] wait; beyond that the oldest stay on the unit
//! unsent, counted. A still that is replaced while it is under way is sent again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::shelf::{Item, Kind, Shelf, above, new_file, sync_folder};

/// Some 24 MB.
const MAX_WAITING: usize = 2000;

/// A still to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Which.
    pub still: StillKey,
    /// The file.
    pub jpeg: Vec<u8>,
}

/// One version of a sighting's still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillKey {
    /// The sighting.
    pub id: Uuid,
    version: u64,
}

/// Both ends of the queue; clones share it.
#[derive(Debug, Clone)]
pub struct StillQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<Item, Entry>,
    /// Of the last one put in.
    version: u64,
    /// Left out because too many waited.
    left_out: u64,
}

#[derive(Debug)]
struct Entry {
    /// Grows with each that comes.
    version: u64,
    under_way: bool,
}

impl StillQueue {
    /// The queue of the evidence folder, with what was left in it; `shelf` knows in which
    /// order that came.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: PathBuf, shelf: &Shelf) -> io::Result<StillQueue> {
        let mut left = Vec::new();
        for file in fs::read_dir(folder.join("outbox"))?.flatten() {
            let name = file.file_name();
            if let Some(id) = name.to_str().and_then(|name| Uuid::try_parse(name).ok()) {
                left.push(Item::new(Kind::Small, id));
            }
        }
        left.sort_unstable_by_key(|item| (shelf.since(item), *item));
        let mut state = State::default();
        for item in left {
            state.version += 1;
            state.waiting.insert(item, Entry { version: state.version, under_way: false });
        }
        Ok(StillQueue(Arc::new(Shared { folder, state: Mutex::new(state), ready: Notify::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values: a panic elsewhere leaves them whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, id: Uuid) -> PathBuf {
        self.0.folder.join("outbox").join(id.to_string())
    }

    /// The small still of sighting `id` has been written and is to be sent.
    ///
    /// # Errors
    /// When that cannot be noted on the disk; it is sent nevertheless, if the
    /// program goes on.
    pub fn put(&self, id: Uuid) -> io::Result<()> {
        // First: once it waits it may be sent, and then its mark is removed.
        let mark = self.mark(id);
        let noted = new_file(&mark).and_then(|file| file.sync_all()).and_then(|()| sync_folder(above(&mark)));
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        state.waiting.insert(Item::new(Kind::Small, id), Entry { version, under_way: false });
        let mut dropped = Vec::new();
        while state.waiting.len() > MAX_WAITING {
            let oldest = state.waiting.iter().min_by_key(|(_, entry)| entry.version).map(|(item, _)| *item);
            let Some(item) = oldest else { break };
            state.waiting.remove(&item);
            state.left_out += 1;
            dropped.push(item.id);
        }
        drop(state);
        self.0.ready.notify_one();
        dropped.into_iter().for_each(|id| self.unmark(id));
        noted
    }

    /// The newest that is not under way, and from now on is.
    pub fn next(&self) -> Option<Outgoing> {
        loop {
            let (item, version) = {
                let mut state = self.state();
                let free = state.waiting.iter_mut().filter(|(_, entry)| !entry.under_way);
                let (item, entry) = free.max_by_key(|(_, entry)| entry.version)?;
                entry.under_way = true;
                (*item, entry.version)
            };
            let still = StillKey { id: item.id, version };
            match fs::read(self.0.folder.join(item.name())) {
                Ok(jpeg) => return Some(Outgoing { still, jpeg }),
                // It had to make room.
                Err(_) => self.done(still),
            }
        }
    }

    /// It was delivered, or never will be.
    pub fn done(&self, still: StillKey) {
        let item = Item::new(Kind::Small, still.id);
        let mut state = self.state();
        match state.waiting.get_mut(&item) {
            Some(entry) if entry.version == still.version => {
                state.waiting.remove(&item);
                drop(state);
                self.unmark(still.id);
            }
            Some(entry) => entry.under_way = false,
            None => {}
        }
    }

    /// It was not delivered, and is to be sent again.
    pub fn came_back(&self, still: StillKey) {
        if let Some(entry) = self.state().waiting.get_mut(&Item::new(Kind::Small, still.id)) {
            entry.under_way = false;
        }
    }

    /// How many wait or are under way.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether none waits or is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stills that were never sent because too many waited.
    pub fn left_out(&self) -> u64 {
        self.state().left_out
    }

    /// Resolves when one was put in; for one waiting task only.
    pub async fn ready(&self) {
        self.0.ready.notified().await;
    }

    fn unmark(&self, id: Uuid) {
        // A mark that stays means that the still is sent once more.
        let _ = fs::remove_file(self.mark(id));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::shelf::tests::id;
    use super::*;
    use crate::clock::RunningMs;

    #[test]
    fn the_newest_goes_first_and_a_restart_forgets_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(dir.path()).unwrap();
        let queue = StillQueue::open(dir.path().to_owned(), &shelf).unwrap();
        shelf.know_ages(RunningMs(0)).unwrap();
        // By the times in their names the second is the newest.
        for (nth, second) in [10, 200, 30].into_iter().enumerate() {
            shelf.write(Item::new(Kind::Small, id(second, 0)), &[second as u8], RunningMs(nth as u64)).unwrap();
            queue.put(id(second, 0)).unwrap();
        }
        let first = queue.next().unwrap();
        assert_eq!(first.jpeg, [30]);
        let second = queue.next().unwrap();
        queue.done(first.still);
        queue.came_back(second.still);
        let queue = StillQueue::open(dir.path().to_owned(), &shelf).unwrap();
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next().unwrap().jpeg, [200]);
        // One that had to make room meanwhile is not waited for.
        shelf.remove(&Item::new(Kind::Small, id(10, 0))).unwrap();
        assert_eq!(queue.next(), None);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_better_still_that_comes_while_the_first_is_under_way_is_sent_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(dir.path()).unwrap();
        let queue = StillQueue::open(dir.path().to_owned(), &shelf).unwrap();
        let item = Item::new(Kind::Small, id(10, 0));
        shelf.write(item, b"early", RunningMs(0)).unwrap();
        queue.put(item.id).unwrap();
        let early = queue.next().unwrap();
        shelf.write(item, b"better", RunningMs(0)).unwrap();
        queue.put(item.id).unwrap();
        queue.done(early.still);
        let better = queue.next().unwrap();
        assert_eq!(better.jpeg, b"better");
        queue.done(better.still);
        assert!(queue.is_empty() && fs::read_dir(dir.path().join("outbox")).unwrap().count() == 0);
    }

    #[test]
    fn only_so_many_wait() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        let most = MAX_WAITING as u64;
        for second in 0..most {
            new_file(&dir.path().join("outbox").join(id(second, 0).to_string())).unwrap();
        }
        let queue = StillQueue::open(dir.path().to_owned(), &shelf).unwrap();
        for second in most..most + 3 {
            queue.put(id(second, 0)).unwrap();
        }
        assert_eq!((queue.len(), queue.left_out()), (MAX_WAITING, 3));
    }
}
