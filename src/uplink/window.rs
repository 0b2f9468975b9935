//! Which message a PUBACK is about.
//!
//! The client library takes messages without telling their packet ids, announces
//! each packet id when it puts the packet on the wire, and reports PUBACKs by
//! packet id. It keeps the order in which messages were handed over. So:
//!
//! * handed over: behind the others in `waiting`;
//! * packet id announced: if it is known, the library repeats a packet on a
//!   resumed session; otherwise it belongs to the head of `waiting`;
//! * PUBACK: whatever is known under that id.
//!
//! Pure; `T` is whatever the owner wants back.

use std::collections::{BTreeMap, VecDeque};

/// Messages handed over and not yet acknowledged.
#[derive(Debug)]
pub(super) struct Window<T> {
    waiting: VecDeque<T>,
    /// With the order in which they were put there.
    on_wire: BTreeMap<u16, (u64, T)>,
    put: u64,
}

/// What an announced packet id meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// The next message handed over.
    First,
    /// A packet sent before.
    Repeated,
    /// A packet that nobody handed over: the join is broken.
    Unknown,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Window { waiting: VecDeque::new(), on_wire: BTreeMap::new(), put: 0 }
    }
}

impl<T> Window<T> {
    /// How many are not acknowledged.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.on_wire.len()
    }

    /// Whether one of those that are not acknowledged is such.
    pub fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.waiting.iter().chain(self.on_wire.values().map(|(_, message)| message)).any(is)
    }

    /// Those that are on the wire.
    pub fn on_wire(&self) -> impl Iterator<Item = &T> {
        self.on_wire.values().map(|(_, message)| message)
    }

    /// A QoS 1 message was given to the library.
    pub fn handed_over(&mut self, message: T) {
        self.waiting.push_back(message);
    }

    /// The library put packet `id` on the wire.
    pub fn announced(&mut self, id: u16) -> Announced {
        if let Some((put, _)) = self.on_wire.get_mut(&id) {
            // It lies behind those that were repeated before it.
            self.put += 1;
            *put = self.put;
            return Announced::Repeated;
        }
        match self.waiting.pop_front() {
            Some(message) => {
                self.put += 1;
                self.on_wire.insert(id, (self.put, message));
                Announced::First
            }
            None => Announced::Unknown,
        }
    }

    /// The broker answered for packet `id`; `None` if it is not known.
    pub fn answered(&mut self, id: u16) -> Option<T> {
        self.on_wire.remove(&id).map(|(_, message)| message)
    }

    /// Takes out what was put on the wire first of all that is not answered.
    pub fn take_oldest(&mut self) -> Option<T> {
        self.answered(self.on_wire.iter().min_by_key(|(_, (put, _))| *put).map(|(id, _)| *id)?)
    }

    fn largest_id(&self, size: impl Fn(&T) -> u64) -> Option<u16> {
        self.on_wire.iter().max_by_key(|(_, (_, message))| size(message)).map(|(id, _)| *id)
    }

    /// The largest that is on the wire; whether no other one there is `large`.
    pub fn largest(&self, size: impl Fn(&T) -> u64, large: impl Fn(u64) -> bool) -> Option<(&T, bool)> {
        let (_, message) = self.on_wire.get(&self.largest_id(&size)?)?;
        let others = self.on_wire.values().filter(|(_, one)| large(size(one))).count();
        Some((message, others <= 1))
    }

    /// Takes out the largest that is on the wire.
    pub fn take_largest(&mut self, size: impl Fn(&T) -> u64) -> Option<T> {
        self.answered(self.largest_id(size)?)
    }

    /// All that is not acknowledged; the window is empty afterwards.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        std::mem::take(&mut self.on_wire).into_values().map(|(_, message)| message).chain(self.waiting.drain(..))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_acknowledgement_is_for_its_own_message() {
        let mut window = Window::default();
        window.handed_over("a");
        window.handed_over("b");
        assert_eq!(window.announced(7), Announced::First);
        assert_eq!(window.announced(8), Announced::First);
        assert_eq!(window.announced(9), Announced::Unknown);
        assert_eq!(window.answered(8), Some("b"));
        assert_eq!(window.answered(8), None);
        assert_eq!(window.announced(7), Announced::Repeated);
        window.handed_over("c");
        // The library counts anew.
        assert_eq!(window.announced(1), Announced::First);
        assert_eq!(window.take_oldest(), Some("a"));
        window.handed_over("a");
        window.handed_over("waiting");
        assert_eq!(window.announced(2), Announced::First);
        let size = |message: &&str| message.len() as u64 + u64::from(*message == "a");
        assert_eq!(window.largest(size, |_| true), Some((&"a", false)));
        assert_eq!(window.largest(size, |bytes| bytes > 1), Some((&"a", true)));
        assert_eq!(window.take_largest(size), Some("a"));
        assert_eq!(window.largest(size, |_| true), Some((&"c", true)));
        assert_eq!(window.take_all().collect::<Vec<_>>(), ["c", "waiting"]);
        assert_eq!(window.len(), 0);
    }

    /// A model of the library and the broker: packet ids go round, errors make
    /// the library repeat (session kept) or forget (session lost).
    #[derive(Debug, Clone)]
    enum Step {
        Hand,
        Send,
        Ack(usize),
        ErrorKept,
        ErrorLost,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Hand),
            4 => Just(Step::Send),
            4 => any::<prop::sample::Index>().prop_map(|i| Step::Ack(i.index(64))),
            1 => Just(Step::ErrorKept),
            1 => Just(Step::ErrorLost),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_ever_acknowledged_for_another(steps in prop::collection::vec(step(), 0..200)) {
            const IDS: u16 = 64;
            let mut window = Window::default();
            let (mut next, mut id) = (0u32, 0u16);
            // (packet id, or none before its first sending; message)
            let mut pending: VecDeque<(Option<u16>, u32)> = VecDeque::new();
            let mut flying: Vec<(u16, u32)> = Vec::new();
            for step in steps {
                match step {
                    Step::Hand if window.len() < usize::from(IDS) / 2 => {
                        window.handed_over(next);
                        pending.push_back((None, next));
                        next += 1;
                    }
                    Step::Send => {
                        if let Some((given, message)) = pending.pop_front() {
                            let used = given.unwrap_or_else(|| { id = id % IDS + 1; id });
                            let announced = window.announced(used);
                            prop_assert_eq!(announced, if given.is_some() { Announced::Repeated } else { Announced::First });
                            flying.push((used, message));
                        }
                    }
                    Step::Ack(i) if !flying.is_empty() => {
                        // Brokers answer in the order of arrival.
                        let _ = i;
                        let (id, message) = flying.remove(0);
                        prop_assert_eq!(window.answered(id), Some(message));
                    }
                    Step::ErrorKept => {
                        let unsent = std::mem::take(&mut pending);
                        let mut again = std::mem::take(&mut flying);
                        again.sort();
                        // As the library does it: what it had not repeated yet goes first.
                        pending.extend(unsent.iter().filter(|(id, _)| id.is_some()));
                        pending.extend(again.into_iter().map(|(id, m)| (Some(id), m)));
                        pending.extend(unsent.iter().filter(|(id, _)| id.is_none()));
                    }
                    Step::ErrorLost => {
                        let mut back: Vec<u32> = window.take_all().collect();
                        back.sort_unstable();
                        let mut expected: Vec<u32> = pending.drain(..).chain(flying.drain(..).map(|(i, m)| (Some(i), m))).map(|(_, m)| m).collect();
                        expected.sort_unstable();
                        prop_assert_eq!(back, expected);
                    }
                    _ => {}
                }
            }
        }
    }
}
