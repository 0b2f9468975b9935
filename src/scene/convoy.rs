//! Groups: several objects of one kind that pass a line the same way, close
//! together in time.

use std::time::Duration;

use uuid::Uuid;

use super::tripwire::Direction;
use crate::domain::{Group, Mono};

/// What a group is a group of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The tripwire's index.
    pub wire: usize,
    /// The way they went.
    pub direction: Direction,
    /// Vehicles, people or animals.
    pub group: Group,
}

/// A group, or a single object that may become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convoy {
    /// What it is a group of.
    pub key: Key,
    /// Its id, once it has two members.
    pub gid: Option<Uuid>,
    /// Members so far.
    pub n: u32,
    /// When the first member passed.
    pub first: Mono,
    /// When the last one did.
    pub last: Mono,
}

/// All current groups of one camera: at most one for each key.
#[derive(Debug, Default)]
pub struct Convoys {
    open: Vec<Convoy>,
}

impl Convoys {
    /// Somebody passed. Gives the group as it is then; it has just started if
    /// `n` is 2.
    pub fn pass(&mut self, key: Key, at: Mono, make_id: impl FnOnce() -> Uuid) -> Convoy {
        let Some(convoy) = self.open.iter_mut().find(|c| c.key == key) else {
            let convoy = Convoy { key, gid: None, n: 1, first: at, last: at };
            self.open.push(convoy);
            return convoy;
        };
        convoy.n += 1;
        convoy.first = convoy.first.min(at);
        convoy.last = convoy.last.max(at);
        convoy.gid.get_or_insert_with(make_id);
        *convoy
    }

    /// The groups that are over at `now`: nobody came for `gap`.
    pub fn expire(&mut self, now: Mono, gap: Duration) -> Vec<Convoy> {
        self.remove(|c| now.since(c.last) > gap)
    }

    /// All groups, for a stop.
    pub fn end_all(&mut self) -> Vec<Convoy> {
        self.remove(|_| true)
    }

    fn remove(&mut self, over: impl Fn(&Convoy) -> bool) -> Vec<Convoy> {
        let (ended, open) = std::mem::take(&mut self.open).into_iter().partition(over);
        self.open = open;
        let mut ended: Vec<Convoy> = ended;
        ended.retain(|c| c.gid.is_some());
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { wire: 0, direction: Direction::Forward, group: Group::Vehicle };

    #[test]
    fn a_group_begins_with_its_second_member_and_ends_after_the_gap() {
        let (mut convoys, gap) = (Convoys::default(), Duration::from_secs(60));
        let at = Mono::from_secs_f64;
        assert_eq!(convoys.pass(KEY, at(10.0), || Uuid::from_u128(1)).gid, None);
        let second = convoys.pass(KEY, at(50.0), || Uuid::from_u128(1));
        assert_eq!((second.gid, second.n), (Some(Uuid::from_u128(1)), 2));
        assert_eq!(convoys.pass(KEY, at(100.0), || Uuid::from_u128(2)).gid, Some(Uuid::from_u128(1)));
        assert_eq!(convoys.expire(at(160.0), gap), []);
        let ended = convoys.expire(at(161.0), gap);
        assert_eq!((ended[0].n, ended[0].first, ended[0].last), (3, at(10.0), at(100.0)));
        assert_eq!(convoys.end_all(), []);
    }

    #[test]
    fn loners_and_other_directions_are_no_group() {
        let mut convoys = Convoys::default();
        convoys.pass(KEY, Mono::ZERO, Uuid::nil);
        convoys.pass(Key { direction: Direction::Backward, ..KEY }, Mono::ZERO, Uuid::nil);
        convoys.pass(Key { group: Group::Person, ..KEY }, Mono::ZERO, Uuid::nil);
        assert_eq!(convoys.end_all(), []);
    }
}
