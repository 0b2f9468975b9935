//! What was received, what is missing, and when to ask for it: a pure state
//! machine. Time is passed in.
//!
//! A number that is missing at or below a unit's `low` is a gap: the unit is done
//! with it. One above is merely late. Gaps are asked for after a moment
//! ([`GRACE`]), then again with growing pauses, and given up after
//! [`TRIES`] requests that brought nothing. An answer, or the unit's connecting
//! anew, begins that from the beginning.
//!
//! A unit's word that it has lost some is not enough: a number is excused only when the
//! unit was asked for it in its present connection, and has answered that it does not
//! hold it. Then, or when it was given up, it is not asked for any more; should it come
//! after all, it is as new as any other. Only what came can come twice.

use std::collections::BTreeMap;
use std::time::Duration;

/// From the first sight of a gap to the first request: what is on its way may
/// still come.
pub const GRACE: Duration = Duration::from_secs(3);

/// Pause after the first request, doubled after each that brings nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// Requests that bring nothing before the missing numbers are given up.
const TRIES: u32 = 8;

/// Numbers asked for at once.
const SPAN: u64 = 5_000;

/// Journals remembered; beyond it, events of further ones are not told apart
/// from repeated ones, so all are taken as new.
const LOGS: usize = 100_000;

/// Disjoint, not adjacent ranges of numbers, by their first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn contains(&self, n: u64) -> bool {
        self.0.range(..=n).next_back().is_some_and(|(_, &last)| last >= n)
    }

    /// Its pieces in `from..=to`.
    fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        if from > to {
            return Vec::new();
        }
        let before = self.0.range(..from).next_back().map(|(_, &last)| (from, last)).filter(|(_, last)| *last >= from);
        let after = self.0.range(from..=to).map(|(&first, &last)| (first, last));
        before.into_iter().chain(after).map(|(first, last)| (first, last.min(to))).collect()
    }

    fn add(&mut self, mut first: u64, mut last: u64) {
        // One that begins before and reaches into it or touches it, and all
        // that begin within.
        if let Some((&f, &l)) = self.0.range(..first).next_back()
            && l.saturating_add(1) >= first
        {
            first = f;
            last = last.max(l);
        }
        let within: Vec<u64> = self.0.range(first..=last.saturating_add(1)).map(|(&f, _)| f).collect();
        for f in within {
            last = last.max(self.0.remove(&f).unwrap_or(last));
        }
        self.0.insert(first, last);
    }

    /// The ranges of `from..=to` that are not in it.
    fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = from;
        if let Some((_, &last)) = self.0.range(..=from).next_back() {
            next = next.max(last.saturating_add(1));
        }
        for (&first, &last) in self.0.range(from.saturating_add(1)..) {
            if next > to || first > to {
                break;
            }
            if first > next {
                gaps.push((next, first - 1));
            }
            next = next.max(last.saturating_add(1));
        }
        if next <= to {
            gaps.push((next, to));
        }
        gaps
    }
}

/// One journal of one unit.
#[derive(Debug, Default)]
struct Log {
    /// What came.
    have: Ranges,
    /// The unit says that some of it will not come.
    reported: Ranges,
    /// It was asked for these since it has connected,
    asked: Ranges,
    /// and has answered that it does not hold these.
    denied: Ranges,
    /// Both reported and denied: not missed, but welcome.
    excused: Ranges,
    /// Asked for in vain: missed, and not asked for again until the unit comes back.
    given_up: Ranges,
    /// What is below is of no interest: it was before this receiver's time.
    begin: u64,
    low: u64,
    /// When to ask next; `None` while nothing is missing.
    due: Option<Duration>,
    /// Requests since something missing came.
    tries: u32,
}

impl Log {
    /// What the unit is done with and neither sent nor excused.
    fn missing(&self) -> Vec<(u64, u64)> {
        let absent = self.have.missing(self.begin, self.low).into_iter();
        absent.flat_map(|(from, to)| self.excused.missing(from, to)).collect()
    }

    /// Of these, what there is hope for.
    fn wanted(&self) -> Vec<(u64, u64)> {
        self.missing().into_iter().flat_map(|(from, to)| self.given_up.missing(from, to)).collect()
    }
}

/// A range of missing numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The unit's id.
    pub unit: String,
    /// The journal's id.
    pub log: String,
    /// The first missing number.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// What to do about a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Ask the unit to send it again.
    Ask(Gap),
    /// It did not come, and is not asked for any more while the unit stays connected.
    GiveUp(Gap),
}

/// Everything that was received.
#[derive(Debug, Default)]
pub struct Ledger {
    logs: BTreeMap<(String, String), Log>,
    /// The journal that each unit writes at present.
    current: BTreeMap<String, String>,
    /// Whether what was before this receiver's time is wanted too.
    history: bool,
}

impl Ledger {
    /// Empty; with `history`, everything from number 1 is wanted.
    pub fn new(history: bool) -> Ledger {
        Ledger { history, ..Ledger::default() }
    }

    fn log(&mut self, unit: &str, log: &str, begin: u64) -> Option<&mut Log> {
        let key = (unit.to_owned(), log.to_owned());
        if !self.logs.contains_key(&key) && self.logs.len() >= LOGS {
            return None;
        }
        let begin = if self.history { 1 } else { begin };
        Some(self.logs.entry(key).or_insert_with(|| Log { begin, ..Log::default() }))
    }

    /// An event came; whether it is new.
    pub fn event(&mut self, unit: &str, log: &str, seq: u64) -> bool {
        let Some(log) = self.log(unit, log, seq) else { return true };
        if log.have.contains(seq) {
            return false;
        }
        log.have.add(seq, seq);
        log.begin = log.begin.min(seq);
        if seq <= log.low {
            // What was asked for comes; the rest is asked for when it ceases.
            (log.due, log.tries) = (None, 0);
        }
        true
    }

    /// The unit says that it will not send some of `from..=to`; the others may still
    /// come.
    pub fn lost(&mut self, unit: &str, log: &str, from: u64, to: u64) {
        if from > to {
            return;
        }
        if let Some(log) = self.log(unit, log, from) {
            log.reported.add(from, to);
            log.denied.within(from, to).into_iter().for_each(|(from, to)| log.excused.add(from, to));
        }
    }

    /// The unit answers that it does not hold these numbers, or can never send them. What
    /// it was not asked for does not count.
    pub fn denied(&mut self, unit: &str, log: &str, without: &[(u64, u64)]) {
        let Some(log) = self.logs.get_mut(&(unit.to_owned(), log.to_owned())) else { return };
        let asked = without.iter().flat_map(|(from, to)| log.asked.within(*from, *to)).collect::<Vec<_>>();
        for (from, to) in asked {
            log.denied.add(from, to);
            log.reported.within(from, to).into_iter().for_each(|(from, to)| log.excused.add(from, to));
        }
    }

    /// The unit says that it is done with everything up to `low` of its present
    /// journal.
    pub fn status(&mut self, unit: &str, log: &str, low: u64) {
        self.current.insert(unit.to_owned(), log.to_owned());
        if let Some(log) = self.log(unit, log, low.saturating_add(1)) {
            log.low = log.low.max(low);
        }
    }

    /// The unit has connected: what it was asked before may have been lost on the
    /// way, so it is soon asked again, also for what was given up or excused.
    pub fn online(&mut self, unit: &str) {
        let Some(name) = self.current.get(unit) else { return };
        if let Some(log) = self.logs.get_mut(&(unit.to_owned(), name.clone())) {
            (log.due, log.tries) = (None, 0);
            log.given_up = Ranges::default();
            (log.asked, log.denied, log.excused) = Default::default();
        }
    }

    /// All gaps, those given up among them.
    pub fn gaps(&self) -> Vec<Gap> {
        let all = self.logs.iter().flat_map(|((unit, name), log)| {
            log.missing().into_iter().map(move |(from, to)| Gap { unit: unit.clone(), log: name.clone(), from, to })
        });
        all.collect()
    }

    /// Numbers that are not missed: the unit has said that it lost them, and when asked
    /// that it does not hold them.
    pub fn excused(&self) -> Vec<Gap> {
        let all = self.logs.iter().flat_map(|((unit, name), log)| {
            let absent = log.have.missing(log.begin, log.low).into_iter();
            let pieces = absent.flat_map(|(from, to)| log.excused.within(from, to));
            pieces.map(move |(from, to)| Gap { unit: unit.clone(), log: name.clone(), from, to })
        });
        all.collect()
    }

    /// Whether the unit has said of some number of `gap` that it will not come.
    pub fn is_reported(&self, gap: &Gap) -> bool {
        let log = self.logs.get(&(gap.unit.clone(), gap.log.clone()));
        log.is_some_and(|log| !log.reported.within(gap.from, gap.to).is_empty())
    }

    /// What to do at `now`. A unit can only be asked about its present journal.
    pub fn advise(&mut self, now: Duration) -> Vec<Advice> {
        let mut advice = Vec::new();
        for (unit, name) in &self.current {
            let Some(log) = self.logs.get_mut(&(unit.clone(), name.clone())) else { continue };
            let missing = log.wanted();
            let Some(&(from, end)) = missing.first() else {
                (log.due, log.tries) = (None, 0);
                continue;
            };
            if now < *log.due.get_or_insert(now + GRACE) {
                continue;
            }
            // Small gaps close together are asked for together; what is there
            // already comes twice and is dropped.
            let to = missing.iter().map(|gap| gap.1).take_while(|to| *to < from.saturating_add(SPAN)).last();
            let to = to.unwrap_or(end.min(from.saturating_add(SPAN - 1)));
            let gap = |from, to| Gap { unit: unit.clone(), log: name.clone(), from, to };
            if log.tries >= TRIES {
                for (first, last) in missing.into_iter().take_while(|(first, _)| *first <= to) {
                    let last = last.min(to);
                    log.given_up.add(first, last);
                    advice.push(Advice::GiveUp(gap(first, last)));
                }
                (log.due, log.tries) = (None, 0);
                continue;
            }
            log.due = Some(now + PAUSE * 2u32.pow(log.tries));
            log.tries += 1;
            log.asked.add(from, to);
            advice.push(Advice::Ask(gap(from, to)));
        }
        advice
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asked(ledger: &mut Ledger, seconds: u64) -> Vec<(u64, u64)> {
        let range = |advice| match advice {
            Advice::Ask(gap) => Some((gap.from, gap.to)),
            Advice::GiveUp(_) => None,
        };
        ledger.advise(at(seconds)).into_iter().filter_map(range).collect()
    }

    #[test]
    fn a_gap_is_asked_for_and_lateness_is_not() {
        let mut ledger = Ledger::new(false);
        ledger.status("u", "a", 0);
        for seq in [1, 2, 5, 9] {
            assert!(ledger.event("u", "a", seq));
            assert!(!ledger.event("u", "a", seq));
        }
        assert_eq!(ledger.gaps(), []);
        ledger.status("u", "a", 5);
        assert_eq!(ledger.gaps(), [Gap { unit: "u".into(), log: "a".into(), from: 3, to: 4 }]);
        assert_eq!(asked(&mut ledger, 0), []);
        assert_eq!(asked(&mut ledger, 3), [(3, 4)]);
        assert_eq!(asked(&mut ledger, 4), []);
        ledger.event("u", "a", 3);
        assert_eq!(asked(&mut ledger, 5), [], "it comes");
        assert_eq!(asked(&mut ledger, 8), [(4, 4)]);
        ledger.lost("u", "a", 4, 4);
        ledger.denied("u", "a", &[(4, 4)]);
        assert_eq!((ledger.gaps(), asked(&mut ledger, 60)), (vec![], vec![]));
    }

    #[test]
    fn what_the_unit_says_it_lost_is_missing_until_it_was_asked_in_this_connection() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 9);
        ledger.lost("u", "a", 3, 6);
        ledger.status("u", "a", 9);
        let gap = |from, to| Gap { unit: "u".into(), log: "a".into(), from, to };
        assert_eq!(ledger.gaps(), [gap(1, 8)]);
        assert!(ledger.is_reported(&gap(1, 3)) && !ledger.is_reported(&gap(1, 2)) && !ledger.is_reported(&gap(7, 8)));
        ledger.denied("u", "a", &[(1, 8)]);
        assert_eq!(ledger.gaps(), [gap(1, 8)], "nobody asked");
        asked(&mut ledger, 0);
        assert_eq!(asked(&mut ledger, 3), [(1, 8)]);
        // It holds 4, and has more to say about 7 and 8 than that it lost them: nothing.
        ledger.denied("u", "a", &[(1, 3), (5, u64::MAX)]);
        assert_eq!(ledger.gaps(), [gap(1, 2), gap(4, 4), gap(7, 8)]);
        assert_eq!(ledger.excused(), [gap(3, 3), gap(5, 6)]);
        ledger.lost("u", "a", 1, 2);
        assert!(ledger.event("u", "a", 4) && ledger.event("u", "a", 5), "it has 5 after all");
        assert_eq!((ledger.gaps(), ledger.excused()), (vec![gap(7, 8)], vec![gap(1, 3), gap(6, 6)]));
        // In the next connection it has to say so again.
        ledger.online("u");
        assert_eq!(ledger.gaps(), [gap(1, 3), gap(6, 8)]);
        asked(&mut ledger, 20);
        assert_eq!(asked(&mut ledger, 23), [(1, 8)]);
        ledger.denied("u", "a", &[(1, 3), (6, 6)]);
        assert_eq!(ledger.gaps(), [gap(7, 8)]);
    }

    #[test]
    fn what_never_comes_is_given_up_in_the_end_and_said_once() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 3);
        ledger.status("u", "a", 3);
        let mut given_up = Vec::new();
        let mut requests = 0;
        for minute in 0..120 {
            for advice in ledger.advise(at(60 * minute)) {
                match advice {
                    Advice::Ask(_) => requests += 1,
                    Advice::GiveUp(gap) => given_up.push((gap.from, gap.to)),
                }
            }
        }
        assert_eq!((requests, given_up), (TRIES, vec![(1, 2)]));
        let gap = |from, to| Gap { unit: "u".into(), log: "a".into(), from, to };
        assert_eq!(ledger.gaps(), [gap(1, 2)], "it is still missing");
        assert!(ledger.event("u", "a", 2), "it came after all, and for the first time");
        assert_eq!((ledger.gaps(), asked(&mut ledger, 9000)), (vec![gap(1, 1)], vec![]));
        ledger.online("u");
        assert_eq!(asked(&mut ledger, 9001), []);
        assert_eq!(asked(&mut ledger, 9004), [(1, 1)], "a unit that was mended may have it");
    }

    #[test]
    fn what_a_lost_event_spans_may_still_come() {
        let mut ledger = Ledger::new(false);
        ledger.event("u", "a", 1);
        // The lowest class between 2 and 9 had to go; alerts between them wait.
        ledger.lost("u", "a", 2, 9);
        assert!(ledger.event("u", "a", 5));
        assert!(!ledger.event("u", "a", 5));
        ledger.status("u", "a", 9);
        asked(&mut ledger, 60);
        assert_eq!(asked(&mut ledger, 63), [(2, 9)]);
        ledger.denied("u", "a", &[(2, 4), (6, 9)]);
        assert_eq!((ledger.gaps(), asked(&mut ledger, 99)), (vec![], vec![]));
    }

    #[test]
    fn a_unit_that_comes_back_is_asked_again_at_once() {
        let mut ledger = Ledger::new(true);
        ledger.event("u", "a", 3);
        ledger.status("u", "a", 3);
        // Killed again and again before it could answer.
        let requests = (0..300).filter(|second| !asked(&mut ledger, *second).is_empty()).count();
        assert!((3..8).contains(&requests), "{requests}");
        ledger.online("u");
        ledger.online("nobody");
        assert_eq!(asked(&mut ledger, 300), []);
        assert_eq!(asked(&mut ledger, 303), [(1, 2)]);
    }

    #[test]
    fn what_was_before_ones_time_is_not_missed_and_other_journals_are_their_own() {
        let mut ledger = Ledger::new(false);
        ledger.status("u", "a", 5_000);
        assert_eq!(ledger.gaps(), []);
        assert!(ledger.event("u", "b", 7));
        assert!(ledger.event("other", "b", 7));
        assert!(ledger.event("u", "a", 7));
    }

    proptest! {
        #[test]
        fn all_that_comes_is_new_once_and_all_that_is_missing_is_known(
            seqs in prop::collection::vec(1..80u64, 0..120), late in prop::collection::vec(1..80u64, 0..40),
            lost in prop::collection::vec((1..80u64, 0..5u64), 0..4), low in 0..90u64, answers in any::<bool>(),
        ) {
            let mut ledger = Ledger::new(true);
            let (mut seen, mut excused) = (BTreeSet::new(), BTreeSet::new());
            for (from, n) in lost {
                ledger.lost("u", "a", from, from + n);
                excused.extend(from..=from + n);
            }
            for seq in seqs {
                prop_assert_eq!(ledger.event("u", "a", seq), seen.insert(seq));
            }
            ledger.status("u", "a", low);
            let missing = |seen: &BTreeSet<u64>, excused: &BTreeSet<u64>| {
                (1..=low).filter(|n| !seen.contains(n) && !excused.contains(n)).collect::<Vec<_>>()
            };
            let gaps = |ledger: &Ledger| ledger.gaps().iter().flat_map(|gap| gap.from..=gap.to).collect::<Vec<_>>();
            // Before it is asked, the unit's word excuses nothing.
            ledger.denied("u", "a", &[(1, 90)]);
            prop_assert_eq!(gaps(&ledger), missing(&seen, &BTreeSet::new()));
            let mut requests = 0;
            for second in 0..4_000 {
                for range in asked(&mut ledger, second) {
                    requests += 1;
                    if answers {
                        ledger.denied("u", "a", &[range]);
                    }
                }
            }
            prop_assert!(requests <= TRIES as usize);
            if !answers {
                excused.clear();
            }
            // Nobody hopes for them any more, and they come.
            for seq in late {
                prop_assert_eq!(ledger.event("u", "a", seq), seen.insert(seq));
            }
            prop_assert_eq!(gaps(&ledger), missing(&seen, &excused));
        }
    }
}
