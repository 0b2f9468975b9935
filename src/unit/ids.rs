//! Ids of sightings and groups: UUIDv7 (RFC 9562), whose first 48 bits are
//! the time.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::domain::UtcMillis;

/// Where the 74 bits beside the time come from.
#[derive(Debug)]
pub enum IdMaker {
    /// Chance.
    Random,
    /// The same for every run over the same recording.
    Derived {
        /// The camera's name.
        camera: String,
        /// The journal's id.
        log: String,
        /// Ids made so far.
        counter: u64,
    },
}

impl IdMaker {
    /// Ids that are the same whenever the same recording is looked at again.
    pub fn derived(camera: &str, log: &str) -> IdMaker {
        IdMaker::Derived { camera: camera.to_owned(), log: log.to_owned(), counter: 0 }
    }

    /// An id for something that began at `t`.
    pub fn make(&mut self, t: UtcMillis) -> Uuid {
        let mut bytes = [0u8; 10];
        match self {
            IdMaker::Random => {
                if getrandom::fill(&mut bytes).is_err() {
                    // Uuid's own generator has a fallback of its own.
                    return Uuid::now_v7();
                }
            }
            IdMaker::Derived { camera, log, counter } => {
                let mut hash = Sha256::new();
                for part in [camera.as_bytes(), &[0], log.as_bytes(), &[0], &counter.to_be_bytes()] {
                    hash.update(part);
                }
                for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
                    *byte = hashed;
                }
                *counter += 1;
            }
        }
        Builder::from_unix_timestamp_millis(u64::try_from(t.0).unwrap_or(0), &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_repeat_and_differ_among_each_other() {
        let make = || {
            let mut ids = IdMaker::derived("road", "replay");
            [ids.make(UtcMillis(5)), ids.make(UtcMillis(5))]
        };
        let [a, b] = make();
        assert_eq!(make(), [a, b]);
        assert_ne!(a, b);
        assert_eq!(a.get_version_num(), 7);
        assert_ne!(IdMaker::derived("gate", "replay").make(UtcMillis(5)), a);
        assert_ne!(IdMaker::Random.make(UtcMillis(5)), IdMaker::Random.make(UtcMillis(5)));
    }
}
