//! One detector for several cameras, in the order in which they ask.
//!
//! A plain mutex goes to whoever is quickest: that is the camera which has
//! just looked, and the others starve. Here the lock is handed to whoever has
//! waited longest.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Something that several threads use in turn. Clones share it.
#[derive(Debug)]
pub struct InTurn<T>(Arc<Mutex<T>>);

impl<T> Clone for InTurn<T> {
    fn clone(&self) -> InTurn<T> {
        InTurn(Arc::clone(&self.0))
    }
}

impl<T> InTurn<T> {
    /// Nobody uses it yet.
    pub fn new(shared: T) -> InTurn<T> {
        InTurn(Arc::new(Mutex::new(shared)))
    }

    /// Waits for its turn, then uses it. A panic in `work` leaves it to the
    /// others as it then is.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut shared = self.0.lock();
        let result = work(&mut shared);
        // To the head of the queue, not to whoever comes by.
        MutexGuard::unlock_fair(shared);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn a_greedy_user_lets_the_others_have_their_turn() {
        let shared = InTurn::new(());
        let greedy_turns = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Asks again at once, and works long.
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    shared.with(|()| std::thread::sleep(Duration::from_millis(2)));
                    greedy_turns.fetch_add(1, Relaxed);
                }
            });
            scope.spawn(|| {
                while greedy_turns.load(Relaxed) == 0 {
                    std::thread::yield_now();
                }
                let before = greedy_turns.load(Relaxed);
                for _ in 0..10 {
                    shared.with(|()| {});
                }
                let passed = greedy_turns.load(Relaxed) - before;
                over.store(true, Relaxed);
                // About one turn of the other's for each of its own, more where
                // the machine kept this thread from asking. Starved, it is
                // thousands.
                assert!(passed <= 500, "{passed} turns of the other one for 10 of its own");
            });
        });
    }
}
