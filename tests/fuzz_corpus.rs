//! What fuzzing has found, and variations of it: nothing from outside makes the
//! program panic. `fuzz/` does the same for longer, led by coverage.
//!
//! `TAWNY_FUZZ_SEED=N` repeats a run, `TAWNY_FUZZ_RUNS=N` asks for more of them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::random::{Random, setting};
use tawny::fuzzing::ENTRANCES;

/// Variations for each entrance; decoding video takes longer.
fn runs(entrance: &str) -> u64 {
    setting("TAWNY_FUZZ_RUNS", if entrance == "video" { 60 } else { 3000 })
}

/// The files of an entrance's corpus, in the order of their names.
fn corpus(entrance: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(entrance);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Some bytes or bits other, gone, twice, from elsewhere, or of a telling value.
fn vary(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len() as u64) as usize].clone();
    for _ in 0..1 + random.below(6) {
        let length = data.len() as u64;
        let at = random.below(length + 1) as usize;
        let some = random.below(9) as usize;
        match random.below(7) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'-', b'9'][random.below(8) as usize],
            2 => drop(data.drain(at..data.len().min(at + some))),
            3 => {
                let piece: Vec<u8> = data.iter().skip(at).take(some * 4).copied().collect();
                data.splice(at..at, piece);
            }
            4 => data.truncate(at),
            5 => {
                let other = &corpus[random.below(corpus.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => {
                let bytes = random.next().to_le_bytes();
                data.splice(at..at, bytes.iter().copied().take(some));
            }
        }
    }
    data.truncate(1 << 16);
    data
}

fn run(entrance: &str) {
    let seed = setting("TAWNY_FUZZ_SEED", 1);
    let (_, fuzz) = ENTRANCES.iter().find(|(name, _)| *name == entrance).unwrap();
    let corpus = corpus(entrance);
    let mut random = Random::new(seed);
    let try_one = |data: &[u8], what: &str| {
        if catch_unwind(AssertUnwindSafe(|| fuzz(data))).is_err() {
            let path = std::env::temp_dir().join(format!("tawny-fuzz-found-{entrance}"));
            std::fs::write(&path, data).unwrap();
            panic!("TAWNY_FUZZ_SEED={seed}, {what}: it panics; the bytes are in {}", path.display());
        }
    };
    corpus.iter().enumerate().for_each(|(i, data)| try_one(data, &format!("file {i} of the corpus")));
    for run in 0..runs(entrance) {
        try_one(&vary(&corpus, &mut random), &format!("variation {run}"));
    }
}

#[test]
fn configurations() {
    run("config");
}

#[test]
fn cameras() {
    run("camera");
}

#[test]
fn videos() {
    run("video");
}

#[test]
fn packets() {
    run("packets");
}

#[test]
fn model_outputs_and_class_names() {
    run("outputs");
    run("names");
}

#[test]
fn events_and_messages() {
    run("event");
    run("message");
}

#[test]
fn commands() {
    run("command");
}
