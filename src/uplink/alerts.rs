//! Which events bring the link up: crossings of tripwires marked `alert`, and
//! what is lost. Pure: the journal's rows come through a closure.

use std::collections::{BTreeSet, HashSet};

use super::lanes::{BATCH, Wanted};
use crate::config::CameraConfig;
use crate::event::{Body, Class, Event};
use crate::journal::Undelivered;

/// Alerts that wait for their delivery.
#[derive(Debug)]
pub(super) struct Alerts {
    /// Camera and tripwire.
    wires: HashSet<(String, String)>,
    /// Some of them; no more are looked for while there are any.
    waiting: BTreeSet<u64>,
    /// All up to it has been looked at.
    read: u64,
}

/// (camera, tripwire) of those that are marked.
pub(super) fn marked(cameras: &[CameraConfig]) -> HashSet<(String, String)> {
    let of = |camera: &CameraConfig| {
        let name = camera.name.clone();
        let marked = camera.tripwire.iter().filter(|wire| wire.alert);
        marked.map(move |wire| (name.clone(), wire.name.clone())).collect::<Vec<_>>()
    };
    cameras.iter().flat_map(of).collect()
}

impl Alerts {
    /// Nothing has been looked at yet.
    pub fn new(wires: HashSet<(String, String)>) -> Alerts {
        Alerts { wires, waiting: BTreeSet::new(), read: 0 }
    }

    /// Begins anew.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.read = 0;
    }

    /// Whether one waits, now that `last` is the journal's last number.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn look<E>(
        &mut self,
        last: u64,
        mut read: impl FnMut(Wanted) -> Result<Vec<Undelivered>, E>,
    ) -> Result<bool, E> {
        while self.waiting.is_empty() && self.read < last {
            let rows = read(Wanted { class: Class::Alert, after: self.read, to: last })?;
            self.read = if rows.len() < BATCH { last } else { rows.last().map_or(last, |row| row.seq) };
            self.waiting.extend(rows.iter().filter(|row| is_alert(&row.json, &self.wires)).map(|row| row.seq));
        }
        Ok(!self.waiting.is_empty())
    }

    /// Event `seq` is delivered, or cannot be.
    pub fn settled(&mut self, seq: u64) {
        self.waiting.remove(&seq);
    }

    /// Everything is delivered: what still seems to wait was given up meanwhile.
    pub fn all_settled(&mut self) {
        self.waiting.clear();
    }
}

fn is_alert(json: &str, wires: &HashSet<(String, String)>) -> bool {
    match Event::from_json(json).map(|event| event.body) {
        Ok(Body::Crossing { cam, wire, .. }) => wires.contains(&(cam, wire)),
        Ok(_) => true,
        Err(_) => false,
    }
}
