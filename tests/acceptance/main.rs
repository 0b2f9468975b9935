//! Does it find who crossed, which way and when? Labelled clips through the
//! real program with the default configuration; only the lines differ.
//!
//! The bundled clips are always played. Further folders: `TAWNY_CLIPS=DIR`, and
//! `shared/clips` beside the checkout if it is there. docs/guide/labelled-clips.md
//! describes what belongs into such a folder.
#![allow(missing_docs, clippy::unwrap_used)]

mod judge;
mod play;
mod truth;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use judge::{Score, judge};
use play::{ANCHORS, Played, play};
use truth::{Clip, GROUPS};

/// What all clips of a folder came to.
struct Verdict {
    /// By anchor, in the order of [`ANCHORS`].
    scores: [Score; 2],
    /// What is wrong apart from crossings.
    faults: Vec<String>,
    table: String,
}

fn try_folder(folder: &Path) -> Verdict {
    let clips = truth::read(folder);
    let played = play_all(&clips);
    let mut verdict =
        Verdict { scores: Default::default(), faults: Vec::new(), table: format!("{}\n", folder.display()) };
    for (clip, played) in clips.iter().zip(&played) {
        verdict.add(folder, clip, played);
    }
    for (anchor, score) in ANCHORS.iter().zip(verdict.scores) {
        let Score { hits, extra, missed } = score;
        writeln!(verdict.table, "{anchor:>8}: {hits} right, {extra} false, {missed} missed, F1 {:.3}", score.f1())
            .unwrap();
    }
    for fault in &verdict.faults {
        writeln!(verdict.table, "   wrong: {fault}").unwrap();
    }
    println!("{}", verdict.table);
    verdict
}

/// As many clips at a time as there are cores.
fn play_all(clips: &[Clip]) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((i, clip)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, clips.get(i)?)))
                {
                    let played = play(clip);
                    results.lock().unwrap().push((i, played));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, played)| played).collect()
}

impl Verdict {
    fn add(&mut self, folder: &Path, clip: &Clip, played: &Played) {
        let name = clip.path.strip_prefix(folder).unwrap_or(&clip.path).display();
        writeln!(self.table, "{name}   ({})", played.summary).unwrap();
        for line in &clip.lines {
            for (anchor, total) in ANCHORS.iter().zip(&mut self.scores) {
                let wire = format!("{}-{anchor}", line.name);
                let reported: Vec<_> =
                    played.crossings.iter().filter(|(of, _)| *of == wire).map(|(_, c)| c.clone()).collect();
                let (score, remarks) = judge(line, &reported, *anchor == "center");
                total.add(score);
                let got: Vec<_> =
                    reported.iter().map(|c| format!("{} {} {:.1}", c.group, c.direction, c.at_s)).collect();
                writeln!(
                    self.table,
                    "{:>14}: expected {}, got {} [{}]",
                    wire,
                    line.expected(),
                    reported.len(),
                    got.join(", ")
                )
                .unwrap();
                for remark in remarks {
                    writeln!(self.table, "                {remark}").unwrap();
                }
            }
        }
        self.add_sightings(&name.to_string(), clip, played);
    }

    fn add_sightings(&mut self, name: &str, clip: &Clip, played: &Played) {
        for group in GROUPS {
            let seen: Vec<f64> = played.sightings.iter().filter(|(g, _)| g == group).map(|(_, t)| *t).collect();
            let distinct = clip.distinct.get(group).copied();
            if !seen.is_empty() || distinct.is_some_and(|n| n > 0) {
                let counted = distinct.map_or("not counted".to_owned(), |n| n.to_string());
                writeln!(self.table, "     {group:>9}: {counted} in it, {} seen {seen:.1?}", seen.len()).unwrap();
            }
            // One object that is alone in view is one, or broken in two.
            if clip.lines.is_empty() && clip.in_view && distinct == Some(1) && !(1..=2).contains(&seen.len()) {
                self.faults.push(format!("{name}: one {group} in view, {} seen", seen.len()));
            }
        }
        let empty = clip.lines.is_empty() && GROUPS.iter().all(|g| clip.distinct.get(*g) == Some(&0));
        if empty && played.person_or_vehicle_events > 0 {
            self.faults.push(format!("{name}: nobody in it, {} events", played.person_or_vehicle_events));
        }
    }

    /// F1 is 1 with the middle of the box as its anchor, the one that was counted
    /// by, and at least so much with its foot.
    fn assert_at_least(&self, at_the_foot: f64) {
        let enough = |anchor: &str| if anchor == "center" { 1.0 } else { at_the_foot };
        let crossings = ANCHORS.iter().zip(self.scores).all(|(anchor, score)| score.f1() >= enough(anchor));
        let good = crossings && self.faults.is_empty();
        assert!(good, "F1 must be 1 at the middle, {at_the_foot} at the foot, and nothing else wrong\n{}", self.table);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn bundled_clips_without_a_mistake() {
    try_folder(&root().join("tests/data/clips")).assert_at_least(1.0);
}

#[test]
fn further_clips_with_few_mistakes() {
    let named = std::env::var_os("TAWNY_CLIPS").map(PathBuf::from);
    let beside = Some(root().join("../shared/clips")).filter(|folder| folder.join("ground_truth.toml").exists());
    let mut folders: Vec<PathBuf> = named.into_iter().chain(beside).collect();
    folders.dedup_by_key(|folder| folder.canonicalize().ok());
    if folders.is_empty() {
        println!("no further clips: TAWNY_CLIPS names no folder, and there is none beside the checkout");
    }
    for folder in folders {
        try_folder(&folder).assert_at_least(0.95);
    }
}
