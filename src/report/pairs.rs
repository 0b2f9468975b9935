//! Out-and-back pairs: something of a class passes a line, and hours later
//! something of the same class passes it the other way. Nothing tells that it was
//! the same one; [`Pair::among`] is how many others could as well have been it.
//! Pure. The dashboard pairs by the same rule.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::Crossing;

/// Sooner is a turn, not a return.
pub const SHORTEST_MS: i64 = 10 * 60_000;

/// Later says nothing any more.
pub const LONGEST_MS: i64 = 36 * 3_600_000;

/// With more of the same class in between a pair says nothing.
pub const MOST_AMONG: usize = 4;

/// No pair is looked for further than this: it would be too crowded by far.
const FURTHEST: usize = 200;

/// Two crossings, as indices into the report's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The first.
    pub out: usize,
    /// The one the other way.
    pub back: usize,
    /// Others of this class at this line between the two.
    pub among: usize,
}

/// The pairs of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pairs {
    /// In the order of their beginnings.
    pub pairs: Vec<Pair>,
    /// How many more there were with too many others in between.
    pub crowded: u64,
}

/// Finds the pairs in `crossings`, which are in the order of time.
pub fn pairs(crossings: &[Crossing]) -> Pairs {
    let mut places: BTreeMap<_, Vec<(usize, &Crossing)>> = BTreeMap::new();
    for (i, c) in crossings.iter().enumerate() {
        places.entry((c.unit.as_str(), c.cam.as_str(), c.wire.as_str(), c.cls.as_str())).or_default().push((i, c));
    }
    let mut found = Pairs::default();
    for list in places.values() {
        of_one_place(list, &mut found);
    }
    found.pairs.sort_by_key(|pair| pair.out);
    found
}

fn of_one_place(list: &[(usize, &Crossing)], found: &mut Pairs) {
    let mut taken = vec![false; list.len()];
    for i in 0..list.len() {
        let (Some(&(out, first)), Some(false)) = (list.get(i), taken.get(i)) else { continue };
        let ahead = list.iter().enumerate().skip(i + 1).take(FURTHEST);
        for (j, &(back, second)) in ahead {
            let between = second.t.0.saturating_sub(first.t.0);
            if between > LONGEST_MS {
                break;
            }
            if between < SHORTEST_MS || taken.get(j) != Some(&false) || second.dir == first.dir {
                continue;
            }
            if let Some(taken) = taken.get_mut(j) {
                *taken = true;
            }
            match j - i - 1 {
                among if among <= MOST_AMONG => found.pairs.push(Pair { out, back, among }),
                _ => found.crowded += 1,
            }
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::facts::testing::crossing;

    const HOUR: i64 = 3_600_000;

    fn found(list: &[(i64, &str, &str)]) -> Pairs {
        let list: Vec<Crossing> = list.iter().map(|&(t, cls, dir)| crossing(t, cls, dir)).collect();
        pairs(&list)
    }

    #[test]
    fn the_same_class_the_other_way_hours_later_is_a_pair() {
        let all =
            found(&[(0, "car", "in"), (HOUR, "truck", "in"), (2 * HOUR, "car", "out"), (9 * HOUR, "truck", "out")]);
        let pair = |out, back, among| Pair { out, back, among };
        assert_eq!(all, Pairs { pairs: vec![pair(0, 2, 0), pair(1, 3, 0)], crowded: 0 });
    }

    #[test]
    fn a_turn_a_day_and_a_half_and_the_same_way_are_none() {
        assert_eq!(found(&[(0, "car", "in"), (60_000, "car", "out")]), Pairs::default());
        assert_eq!(found(&[(0, "car", "in"), (37 * HOUR, "car", "out")]), Pairs::default());
        assert_eq!(found(&[(0, "car", "in"), (HOUR, "car", "in")]), Pairs::default());
    }

    #[test]
    fn others_in_between_are_counted_and_a_crowd_says_nothing() {
        let all = found(&[(0, "car", "in"), (HOUR, "car", "in"), (2 * HOUR, "car", "out")]);
        assert_eq!(all.pairs, [Pair { out: 0, back: 2, among: 1 }]);
        let mut busy: Vec<(i64, &str, &str)> = (0..8).map(|i| (i * 1000, "car", "in")).collect();
        busy.push((HOUR, "car", "out"));
        assert_eq!(found(&busy), Pairs { pairs: vec![], crowded: 1 });
    }
}
