//! Reported crossings against counted ones, one to one.

use std::collections::BTreeMap;

use super::play::Crossing;
use super::truth::Line;

/// Hits, false reports and misses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    pub hits: u32,
    pub extra: u32,
    pub missed: u32,
}

impl Score {
    /// 2 hits / (2 hits + false reports + misses); 1 if there was nothing to
    /// find and nothing was reported.
    pub fn f1(self) -> f64 {
        let wrong = self.extra + self.missed;
        if wrong == 0 { 1.0 } else { f64::from(2 * self.hits) / f64::from(2 * self.hits + wrong) }
    }

    pub fn add(&mut self, other: Score) {
        self.hits += other.hits;
        self.extra += other.extra;
        self.missed += other.missed;
    }
}

/// The score at one line, and a remark for each crossing that is not right.
/// The counted times are the middle's: `timed` is false for another anchor.
pub fn judge(line: &Line, reported: &[Crossing], timed: bool) -> (Score, Vec<String>) {
    let mut remarks = Vec::new();
    let mut left = line.counts.clone();
    let mut hit = vec![false; reported.len()];
    let order = if timed { Vec::new() } else { counted_order(line) };
    for direction in [line.forward, line.backward] {
        let times = line.times.get(direction).filter(|_| timed);
        for i in candidates(reported, direction, times.map_or(&[], Vec::as_slice), times.is_some()) {
            let of_kind = left.get_mut(&(reported[i].group.clone(), direction.to_owned()));
            if let Some(n) = of_kind.filter(|n| **n > 0) {
                *n -= 1;
                hit[i] = true;
            }
        }
    }
    let hits: Vec<&str> =
        reported.iter().zip(&hit).filter(|(_, hit)| **hit).map(|(c, _)| c.direction.as_str()).collect();
    let out_of_order = if order.is_empty() { 0 } else { hits.len() - in_common(&hits, &order) };
    if out_of_order > 0 {
        remarks.push(format!("order {hits:?}, counted {order:?}"));
    }
    for (crossing, _) in reported.iter().zip(&hit).filter(|(_, hit)| !**hit) {
        remarks.push(format!("false: {} {} at {:.1} s", crossing.group, crossing.direction, crossing.at_s));
    }
    for ((group, direction), n) in left.iter().filter(|(_, n)| **n > 0) {
        remarks.push(format!("missed: {n} {group} {direction}, counted at {:?}", line.times.get(direction)));
    }
    let hits = (hits.len() - out_of_order) as u32;
    (Score { hits, extra: reported.len() as u32 - hits, missed: line.expected() - hits }, remarks)
}

/// The reports in `direction` that are within the tolerance of a counted time,
/// the nearest first, each time used once; all of them where no time was
/// counted.
fn candidates(reported: &[Crossing], direction: &str, times: &[(f64, f64)], timed: bool) -> Vec<usize> {
    let here: Vec<usize> = (0..reported.len()).filter(|i| reported[*i].direction == direction).collect();
    if !timed {
        return here;
    }
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for &i in &here {
        for (t, (counted, tolerance)) in times.iter().enumerate() {
            let off = (reported[i].at_s - counted).abs();
            if off <= *tolerance {
                pairs.push((off, i, t));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut taken = BTreeMap::new();
    for (_, i, t) in pairs {
        if !taken.contains_key(&i) && taken.values().all(|used| *used != t) {
            taken.insert(i, t);
        }
    }
    taken.into_keys().collect()
}

/// The directions in the order of the counted times; empty if not all were.
fn counted_order(line: &Line) -> Vec<&str> {
    let mut timed: Vec<(f64, &str)> =
        line.times.iter().flat_map(|(d, list)| list.iter().map(move |(t, _)| (*t, d.as_str()))).collect();
    if timed.len() as u32 != line.expected() {
        return Vec::new();
    }
    timed.sort_by(|a, b| a.0.total_cmp(&b.0));
    timed.into_iter().map(|(_, d)| d).collect()
}

/// Length of the longest common subsequence.
fn in_common(a: &[&str], b: &[&str]) -> usize {
    let mut best = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = best[j + 1];
            best[j + 1] = if x == y { diagonal + 1 } else { above.max(best[j]) };
            diagonal = above;
        }
    }
    best[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let key = |group: &str, direction: &str| (group.to_owned(), direction.to_owned());
        Line {
            name: "line",
            from: [0.0, 0.5],
            to: [1.0, 0.5],
            forward: "down",
            backward: "up",
            counts: BTreeMap::from([(key("person", "down"), 2), (key("vehicle", "up"), 1)]),
            times: BTreeMap::from([("down".into(), vec![(1.0, 0.5), (2.0, 0.5)]), ("up".into(), vec![(5.0, 0.5)])]),
        }
    }

    fn crossing(group: &str, direction: &str, at_s: f64) -> Crossing {
        Crossing { group: group.into(), direction: direction.into(), at_s }
    }

    fn score(reported: &[Crossing], timed: bool) -> (u32, u32, u32) {
        let score = judge(&line(), reported, timed).0;
        (score.hits, score.extra, score.missed)
    }

    #[test]
    fn every_counted_crossing_reported_once_is_right() {
        let all = [crossing("person", "down", 1.4), crossing("person", "down", 1.8), crossing("vehicle", "up", 5.0)];
        assert_eq!(score(&all, true), (3, 0, 0));
        assert_eq!(score(&[], true), (0, 0, 3));
    }

    #[test]
    fn twice_late_or_of_another_kind_is_wrong() {
        let twice = [crossing("vehicle", "up", 5.0), crossing("vehicle", "up", 5.1)];
        assert_eq!(score(&twice, true), (1, 1, 2));
        assert_eq!(score(&[crossing("vehicle", "up", 5.6)], true), (0, 1, 3));
        assert_eq!(score(&[crossing("vehicle", "up", 5.6)], false), (1, 0, 2));
        assert_eq!(score(&[crossing("person", "up", 5.0)], true), (0, 1, 3));
        assert_eq!(score(&[crossing("vehicle", "down", 1.0)], true), (0, 1, 3));
    }

    #[test]
    fn without_times_the_order_counts() {
        let swapped =
            [crossing("vehicle", "up", 1.0), crossing("person", "down", 2.0), crossing("person", "down", 3.0)];
        assert_eq!(score(&swapped, false), (2, 1, 1));
        assert_eq!(Score { hits: 2, extra: 1, missed: 1 }.f1(), 2.0 / 3.0);
        assert_eq!(Score::default().f1(), 1.0);
    }
}
