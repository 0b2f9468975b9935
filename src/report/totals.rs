//! Crossings by line, class and direction. Names come from units and may be any
//! number: a line's rarest directions and classes are counted together, and of very
//! many lines those with the most crossings are told. No crossing is left uncounted.
//! Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::Crossing;
use crate::domain::Group;

/// Lines told.
const MOST_LINES: usize = 200;

/// Directions of a line, the others together among them. A line has two.
const MOST_DIRECTIONS: usize = 8;

/// Classes of a line, besides the others of each group.
const MOST_CLASSES: usize = 40;

/// Crossings of one line by class and direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineTotals {
    /// The unit.
    pub unit: String,
    /// The camera.
    pub cam: String,
    /// The line.
    pub wire: String,
    /// The names of the directions; the last stands for all others if there are many.
    pub directions: Vec<String>,
    /// For each group and class, how many in each direction; the last of each group
    /// stand for all others if there are many.
    pub rows: Vec<(Group, String, Vec<u64>)>,
    /// All of them.
    pub total: u64,
}

/// The lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// By unit, camera and line.
    #[serde(rename = "totals")]
    pub lines: Vec<LineTotals>,
    /// Lines that are not told because there are so many.
    #[serde(rename = "lines_left_out")]
    pub left_out: u64,
    /// The crossings of those.
    #[serde(rename = "crossings_of_lines_left_out")]
    pub crossings_left_out: u64,
}

/// How often each direction was taken, by class.
#[derive(Default)]
struct Counts<'a> {
    cells: BTreeMap<(Group, &'a str, &'a str), u64>,
    total: u64,
}

/// Counts `crossings`.
pub fn totals(crossings: &[Crossing]) -> Totals {
    let mut lines: BTreeMap<(&str, &str, &str), Counts<'_>> = BTreeMap::new();
    for c in crossings {
        let line = lines.entry((&c.unit, &c.cam, &c.wire)).or_default();
        *line.cells.entry((c.grp, &c.cls, &c.dir)).or_default() += 1;
        line.total += 1;
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(_, counts)| Reverse(counts.total));
    let others = lines.split_off(lines.len().min(MOST_LINES));
    lines.sort_by_key(|(name, _)| *name);
    Totals {
        left_out: others.len() as u64,
        crossings_left_out: others.iter().map(|(_, counts)| counts.total).sum(),
        lines: lines.iter().map(|(name, counts)| one(*name, counts)).collect(),
    }
}

fn one((unit, cam, wire): (&str, &str, &str), counts: &Counts<'_>) -> LineTotals {
    let (directions, other_directions) =
        commonest(counts.cells.iter().map(|(&(.., dir), n)| (dir, *n)), MOST_DIRECTIONS, MOST_DIRECTIONS - 1);
    let (classes, other_classes) =
        commonest(counts.cells.iter().map(|(&(grp, cls, _), n)| ((grp, cls), *n)), MOST_CLASSES, MOST_CLASSES);
    let columns = directions.len() + usize::from(other_directions > 0);
    // Other classes come last in their group.
    let mut rows: BTreeMap<(Group, bool, &str), Vec<u64>> = BTreeMap::new();
    for (&(grp, cls, dir), n) in &counts.cells {
        let row = if classes.contains(&(grp, cls)) { (grp, false, cls) } else { (grp, true, "") };
        let column = directions.iter().position(|known| *known == dir).unwrap_or(directions.len());
        if let Some(cell) = rows.entry(row).or_insert_with(|| vec![0; columns]).get_mut(column) {
            *cell += n;
        }
    }
    let name = |(grp, is_others, cls): (Group, bool, &str)| match is_others {
        false => (grp, cls.to_owned()),
        true => (grp, format!("others of {other_classes}")),
    };
    let mut names: Vec<String> = directions.iter().map(|&dir| dir.to_owned()).collect();
    if other_directions > 0 {
        names.push(format!("{other_directions} others"));
    }
    let rows = rows.into_iter().map(|(row, counts)| {
        let (grp, cls) = name(row);
        (grp, cls, counts)
    });
    LineTotals {
        unit: unit.to_owned(),
        cam: cam.to_owned(),
        wire: wire.to_owned(),
        directions: names,
        rows: rows.collect(),
        total: counts.total,
    }
}

/// All names if they are no more than `most`, else the `few` with the largest counts;
/// and how many others there are.
fn commonest<K: Ord + Copy>(all: impl Iterator<Item = (K, u64)>, most: usize, few: usize) -> (BTreeSet<K>, usize) {
    let mut sums: BTreeMap<K, u64> = BTreeMap::new();
    for (name, n) in all {
        *sums.entry(name).or_default() += n;
    }
    let mut names: Vec<(K, u64)> = sums.into_iter().collect();
    let others = if names.len() > most { names.len() - few } else { 0 };
    if others > 0 {
        names.sort_by_key(|(_, n)| Reverse(*n));
        names.truncate(few);
    }
    (names.into_iter().map(|(name, _)| name).collect(), others)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::facts::testing::crossing;

    #[test]
    fn names_without_end_are_counted_together_and_every_crossing_once() {
        let mut all = Vec::new();
        for i in 0..3_000 {
            all.push(crossing(i, &format!("c{i}"), &format!("d{i}")));
            all.push(crossing(i, "car", "in"));
        }
        let totals = totals(&all);
        let [line] = totals.lines.as_slice() else { panic!("{}", totals.lines.len()) };
        assert_eq!((line.directions.len(), line.rows.len()), (MOST_DIRECTIONS, MOST_CLASSES + 1));
        assert_eq!(line.directions.last().unwrap(), "2994 others");
        assert!(line.rows.iter().all(|(.., counts)| counts.len() == MOST_DIRECTIONS));
        assert_eq!((line.total, line.rows.iter().flat_map(|(.., n)| n).sum::<u64>()), (6_000, 6_000));
        let car = line.rows.iter().find(|(_, cls, _)| cls == "car").unwrap();
        assert_eq!(car.2.iter().sum::<u64>(), 3_000);
    }

    #[test]
    fn of_lines_without_end_those_with_the_most_crossings_are_told() {
        let mut all = Vec::new();
        for i in 0..1_000 {
            let mut one = crossing(i, "car", "in");
            one.wire = format!("w{i}");
            all.push(one);
        }
        all.extend((0..5).map(|i| crossing(i, "car", "in")));
        let totals = totals(&all);
        assert_eq!((totals.lines.len(), totals.left_out, totals.crossings_left_out), (MOST_LINES, 801, 801));
        assert_eq!(totals.lines.iter().find(|line| line.wire == "gate").unwrap().total, 5);
    }
}
