//! What pictures may show, remembered: so that those made under a laxer rule do not go
//! out under a stricter one.
//!
//! `policy.json` in the evidence folder holds the rule of the last run. When a start
//! finds that its own is stricter, small stills and the outbox are emptied, and what
//! else is there stays on the unit for good: [`Upheld::withheld`] says what, by name.
//! Nothing here goes by the clock, which may have been wrong when any of it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::checksum;
use super::shelf::{Kind, Shelf, write_whole};
use crate::domain::{Point, UtcMillis};

const FILE: &str = "policy.json";

/// Names of files that are gone are remembered too, since who puts back a copy of the
/// folder brings them back: up to twice what is there, and so many.
const SUPERFLUOUS: usize = 1024;

/// The rule of this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Nobody is hidden.
    pub clear: bool,
    /// The private areas of every camera, also of those that have none.
    pub private: BTreeMap<String, Vec<Vec<Point>>>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upheld {
    /// What must not leave the unit.
    pub withheld: Withheld,
    /// Small stills that were removed just now, and the span of their times.
    pub removed: Option<(u64, UtcMillis, UtcMillis)>,
}

/// Files that must not leave the unit, because pictures might show more when they were
/// made than they may now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// Those about these sightings, and these clips.
    These(BTreeSet<Uuid>),
    /// Whatever is there.
    All,
}

impl Default for Withheld {
    fn default() -> Self {
        Withheld::These(BTreeSet::new())
    }
}

impl Withheld {
    /// Whether the files of `id` are among them.
    pub fn holds(&self, id: Uuid) -> bool {
        match self {
            Withheld::These(ids) => ids.contains(&id),
            Withheld::All => true,
        }
    }
}

/// The rule of a run as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Policy {
    clear: bool,
    /// By camera; those without private areas are not in it.
    private: BTreeMap<String, String>,
    /// What stays on the unit.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    withheld: BTreeSet<Uuid>,
    /// As earlier versions said it: what was before this, by the times in names.
    #[serde(default, skip_serializing)]
    before: Option<UtcMillis>,
}

impl Policy {
    /// Of nothing it is known how it was made.
    fn unknown() -> Policy {
        Policy { clear: true, private: BTreeMap::new(), withheld: BTreeSet::new(), before: None }
    }

    /// What `rules` make of the one before. A camera that is not configured keeps its
    /// areas: it may come back.
    fn follow(&self, rules: &Rules) -> Policy {
        let mut private = self.private.clone();
        for (camera, areas) in &rules.private {
            private.remove(camera);
            if !areas.is_empty() {
                private.insert(camera.clone(), fingerprint(areas));
            }
        }
        Policy { clear: rules.clear, private, withheld: self.withheld.clone(), before: None }
    }

    /// Whether it may hide something that `earlier` did not: people, or areas other
    /// than before (whether they are larger is not asked).
    fn is_stricter_than(&self, earlier: &Policy) -> bool {
        let is_new = |(camera, areas): (&String, &String)| earlier.private.get(camera) != Some(areas);
        (earlier.clear && !self.clear) || self.private.iter().any(is_new)
    }
}

/// The same for the same areas in any order.
fn fingerprint(areas: &[Vec<Point>]) -> String {
    let corner = |p: &Point| format!("{:08x}{:08x}", p.x.to_bits(), p.y.to_bits());
    let mut texts: Vec<String> = areas.iter().map(|area| area.iter().map(corner).collect()).collect();
    texts.sort_unstable();
    checksum(texts.join(",").as_bytes())
}

/// Has `rules` hold for what is in `folder` already. To be done before anything is
/// sent from it.
///
/// # Errors
/// When that cannot be made sure of: then nothing of it must be sent.
pub fn uphold(folder: &Path, rules: &Rules) -> io::Result<Upheld> {
    let mut shelf = Shelf::open(folder)?;
    let path = folder.join(FILE);
    let (known, damaged): (Option<Policy>, bool) = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_or((None, true), |known| (Some(known), false)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (None, false),
        Err(e) => return Err(e),
    };
    let earlier = known.clone().unwrap_or_else(Policy::unknown);
    let mut policy = earlier.follow(rules);
    let mut removed = None;
    if let Some(before) = earlier.before {
        policy.withheld.extend(shelf.items().filter(|(item, _)| item.taken < before).map(|(item, _)| item.id));
    }
    // A damaged one may have held something back.
    if damaged || policy.is_stricter_than(&earlier) {
        empty_outbox(&folder.join("outbox"))?;
        policy.withheld.extend(shelf.items().map(|(item, _)| item.id));
        removed = remove_small(&mut shelf)?;
        // All of it is gone for good before the new rule is written down.
        rustix::fs::syncfs(File::open(folder)?)?;
    }
    let there: BTreeSet<Uuid> = shelf.items().map(|(item, _)| item.id).collect();
    if policy.withheld.len() > there.len().saturating_mul(2).saturating_add(SUPERFLUOUS) {
        policy.withheld.retain(|id| there.contains(id));
    }
    if known.as_ref() != Some(&policy) {
        write_whole(&path, &serde_json::to_vec(&policy).map_err(io::Error::other)?)?;
    }
    Ok(Upheld { withheld: Withheld::These(policy.withheld), removed })
}

fn empty_outbox(outbox: &Path) -> io::Result<()> {
    for mark in fs::read_dir(outbox)? {
        let mark = mark?;
        if mark.file_name().to_str().is_some_and(|name| Uuid::try_parse(name).is_ok()) {
            fs::remove_file(mark.path())?;
        }
    }
    Ok(())
}

fn remove_small(shelf: &mut Shelf) -> io::Result<Option<(u64, UtcMillis, UtcMillis)>> {
    let mut removed: Option<(u64, UtcMillis, UtcMillis)> = None;
    while let Some((item, _)) = shelf.oldest(Kind::Small) {
        shelf.remove(&item)?;
        let (n, first, last) = removed.unwrap_or((0, item.taken, item.taken));
        removed = Some((n.saturating_add(1), first.min(item.taken), last.max(item.taken)));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::outbox::StillQueue;
    use super::super::shelf::Item;
    use super::super::shelf::tests::id;
    use super::*;
    use crate::clock::RunningMs;
    use std::os::unix::fs::PermissionsExt;

    fn rules(clear: bool, cameras: &[(&str, &[f32])]) -> Rules {
        let area = |x: &f32| [(0.0, 0.0), (*x, 0.0), (*x, 0.5)].map(|(x, y)| Point::new(x, y)).to_vec();
        let private = cameras.iter().map(|(name, areas)| ((*name).to_owned(), areas.iter().map(area).collect()));
        Rules { clear, private: private.collect() }
    }

    /// With a small still that waits, its full-size one, and a clip.
    fn fill(folder: &Path, seconds: u64) {
        let mut shelf = Shelf::open(folder).unwrap();
        for kind in Kind::ALL {
            shelf.write(Item::new(kind, id(seconds, 0)), b"picture", RunningMs(0)).unwrap();
        }
        StillQueue::open(folder.to_owned(), &shelf).unwrap().put(id(seconds, 0)).unwrap();
    }

    fn these(seconds: &[u64]) -> Withheld {
        Withheld::These(seconds.iter().map(|seconds| id(*seconds, 0)).collect())
    }

    fn waiting(folder: &Path) -> usize {
        StillQueue::open(folder.to_owned(), &Shelf::open(folder).unwrap()).unwrap().len()
    }

    #[test]
    fn what_a_laxer_rule_made_does_not_wait_any_more_and_stays_on_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("evidence");
        let lax = rules(true, &[("road", &[])]);
        assert_eq!(uphold(&folder, &lax).unwrap(), Upheld::default());
        assert_eq!(fs::metadata(folder.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        fill(&folder, 100);
        assert_eq!(uphold(&folder, &lax).unwrap(), Upheld::default());
        assert_eq!(waiting(&folder), 1);
        let strict = rules(false, &[("road", &[])]);
        let upheld = uphold(&folder, &strict).unwrap();
        let (first, withheld) = (UtcMillis(100_000), these(&[100]));
        assert_eq!(upheld, Upheld { withheld: withheld.clone(), removed: Some((1, first, first)) });
        assert_eq!(waiting(&folder), 0);
        let kinds: Vec<Kind> = Shelf::open(&folder).unwrap().items().map(|(item, _)| item.kind).collect();
        assert_eq!(kinds, [Kind::Clip, Kind::Full]);
        // Once; and for what is old it holds on, also when the rule is lax again.
        fill(&folder, 200);
        for rules in [&strict, &lax, &lax] {
            assert_eq!(uphold(&folder, rules).unwrap(), Upheld { withheld: withheld.clone(), removed: None });
            assert_eq!(waiting(&folder), 1);
        }
    }

    #[test]
    fn other_private_areas_count_as_stricter_and_fewer_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        uphold(folder, &rules(false, &[("road", &[0.1, 0.2]), ("yard", &[])])).unwrap();
        fill(folder, 100);
        for same in [&[0.2, 0.1], &[0.1, 0.2]] {
            assert_eq!(uphold(folder, &rules(false, &[("road", same), ("yard", &[])])).unwrap(), Upheld::default());
        }
        // Gone for a while.
        assert_eq!(uphold(folder, &rules(false, &[("yard", &[])])).unwrap(), Upheld::default());
        assert_eq!(uphold(folder, &rules(false, &[("road", &[0.1, 0.2])])).unwrap(), Upheld::default());
        assert!(uphold(folder, &rules(false, &[("road", &[0.1, 0.2]), ("yard", &[0.3])])).unwrap().removed.is_some());
        fill(folder, 200);
        assert_eq!(uphold(folder, &rules(false, &[("road", &[])])).unwrap().removed, None);
        assert!(uphold(folder, &rules(false, &[("road", &[0.1])])).unwrap().removed.is_some());
    }

    #[test]
    fn of_what_is_not_known_the_worst_is_thought() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 100);
        assert!(uphold(dir.path(), &rules(false, &[])).unwrap().removed.is_some());
        fill(dir.path(), 200);
        fs::write(dir.path().join(FILE), "{\"clear\":fal").unwrap();
        let upheld = uphold(dir.path(), &rules(true, &[])).unwrap();
        assert_eq!((upheld.withheld, upheld.removed.is_some()), (these(&[100, 200]), true));
    }

    /// A still of a time server's lie says that it is from later than what comes after it.
    #[test]
    fn what_is_withheld_is_what_was_there_whatever_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let (lax, strict) = (rules(true, &[]), rules(false, &[]));
        uphold(dir.path(), &lax).unwrap();
        fill(dir.path(), 100);
        fill(dir.path(), 9_000_000_000);
        uphold(dir.path(), &strict).unwrap();
        fill(dir.path(), 200);
        let withheld = uphold(dir.path(), &strict).unwrap().withheld;
        let held = [100, 200, 9_000_000_000].map(|seconds| withheld.holds(id(seconds, 0)));
        assert_eq!(held, [true, false, true]);
        // What an earlier version held back by its time is held back by its name from now on.
        fs::write(dir.path().join(FILE), "{\"clear\":false,\"private\":{},\"before\":\"1970-01-01T00:02:30.000Z\"}")
            .unwrap();
        for _ in 0..2 {
            assert_eq!(uphold(dir.path(), &strict).unwrap(), Upheld { withheld: these(&[100]), removed: None });
            fill(dir.path(), 50);
        }
    }

    #[test]
    fn what_is_withheld_comes_back_withheld_and_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        uphold(dir.path(), &rules(true, &[])).unwrap();
        for round in 0..3u64 {
            let mut shelf = Shelf::open(dir.path()).unwrap();
            for n in 0..600 {
                shelf.write(Item::new(Kind::Full, id(round * 1000 + n, 0)), b"picture", RunningMs(0)).unwrap();
            }
            let Withheld::These(ids) = uphold(dir.path(), &rules(false, &[])).unwrap().withheld else { panic!() };
            assert!(ids.len() <= 1200 + SUPERFLUOUS && ids.contains(&id(round * 1000, 0)), "{}", ids.len());
            let items: Vec<Item> = shelf.items().map(|(item, _)| *item).collect();
            items.iter().for_each(|item| shelf.remove(item).unwrap());
            let again = uphold(dir.path(), &rules(true, &[])).unwrap().withheld;
            assert_eq!(again.holds(id(round * 1000, 0)), ids.len() <= SUPERFLUOUS);
        }
    }
}
