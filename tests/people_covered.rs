//! How many of the people in labelled pictures are hidden by what a still hides.
//!
//! ```sh
//! TAWNY_LABELLED=FOLDER cargo test --test people_covered -- --ignored --nocapture
//! ```
//!
//! FOLDER holds pictures (`.jpg`) and beside each a text file of the same name
//! with a line `class x y w h` for every object: class 0 is a person, the rest
//! fractions of the picture, (x, y) the middle (the YOLO form of COCO's labels).
//! A person counts as hidden when nine tenths of the labelled box, or all of its
//! upper third, are covered.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use tawny::capture::Still;
use tawny::config::DetectorConfig;
use tawny::detect::{Detection, Detector, Looker, WHOLE};
use tawny::domain::BBox;
use tawny::evidence::{FAINTEST_PERSON, person_cover};

/// Points across and down at which a box is looked at.
const POINTS: usize = 40;

fn labelled(folder: &Path) -> Vec<(PathBuf, Vec<BBox>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|e| e == "jpg") && path.with_extension("txt").exists())
        .map(|path| {
            let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            let people = text.lines().filter_map(|line| {
                let values: Vec<f32> = line.split_whitespace().map(|v| v.parse().unwrap()).collect();
                let [0.0, x, y, w, h] = values[..] else { return None };
                Some(BBox::new(x - w / 2.0, y - h / 2.0, w, h).clipped())
            });
            (path.clone(), people.collect())
        })
        .collect();
    found.sort_by(|a: &(PathBuf, _), b| a.0.cmp(&b.0));
    found
}

/// The share of `b` that lies within any of `covers`.
fn share_covered(b: &BBox, covers: &[BBox]) -> f32 {
    let inside =
        |x: f32, y: f32| covers.iter().any(|c| (c.x..=c.right()).contains(&x) && (c.y..=c.bottom()).contains(&y));
    let at = |from: f32, length: f32, i: usize| from + length * (i as f32 + 0.5) / POINTS as f32;
    let points = (0..POINTS * POINTS).map(|i| (at(b.x, b.w, i % POINTS), at(b.y, b.h, i / POINTS)));
    points.filter(|(x, y)| inside(*x, *y)).count() as f32 / (POINTS * POINTS) as f32
}

fn is_hidden(person: &BBox, covers: &[BBox]) -> bool {
    let head = BBox::new(person.x, person.y, person.w, person.h / 3.0);
    share_covered(person, covers) >= 0.9 || share_covered(&head, covers) >= 0.999
}

#[test]
#[ignore = "a measurement; needs labelled pictures"]
fn people_covered() {
    let folder = std::env::var_os("TAWNY_LABELLED").expect("TAWNY_LABELLED names a folder");
    let mut detector = Detector::open(&DetectorConfig::default()).unwrap();
    let (mut looker, mut found) = (Looker::with_people_from(FAINTEST_PERSON), Vec::<Detection>::new());
    // By height of the labelled box in the model's input, pixels.
    let classes = [(0.0, 20.0), (20.0, 40.0), (40.0, f32::INFINITY)];
    let (mut people, mut hidden) = ([0; 3], [0; 3]);
    let (mut boxes, mut pictures) = (0, 0);
    for (path, labels) in labelled(Path::new(&folder)) {
        let still = Still::open(&path).unwrap();
        let picture = still.picture();
        looker.look(&mut detector, &picture, &[WHOLE], 0.15, &mut found).unwrap();
        let covers: Vec<BBox> = looker.people().iter().map(person_cover).collect();
        (boxes, pictures) = (boxes + covers.len(), pictures + 1);
        let input = detector.input();
        let (w, h) = still.size();
        let scale = (input.width as f32 / w as f32).min(input.height as f32 / h as f32);
        for person in &labels {
            let height_px = person.h * h as f32 * scale;
            let class = classes.iter().position(|(from, to)| (*from..*to).contains(&height_px)).unwrap();
            people[class] += 1;
            if is_hidden(person, &covers) {
                hidden[class] += 1;
            } else {
                println!("not hidden: {} of {height_px:.0} px in {}", person.h * h as f32, path.display());
            }
        }
    }
    println!("{pictures} pictures, {boxes} boxes hidden");
    for ((from, to), (people, hidden)) in classes.iter().zip(people.iter().zip(&hidden)) {
        println!("{from:>3} to {to:>3} px high in the model's input: {hidden} of {people} people hidden");
    }
    println!("all: {} of {}", hidden.iter().sum::<i32>(), people.iter().sum::<i32>());
}
