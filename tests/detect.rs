//! `tawny detect` as a user runs it, with the real program and real models.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use serde_json::Value;

/// Finds one person, at (12, 12) ± 8 of 32 pixels, in bright pictures.
const BRIGHT_PERSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bright_person_raw.onnx");

fn detect(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tawny")).arg("detect").args(arguments).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn white(folder: &Path, name: &str, width: u32, height: u32) -> PathBuf {
    let path = folder.join(name);
    RgbImage::from_pixel(width, height, Rgb([255; 3])).save(&path).unwrap();
    path
}

#[test]
fn a_picture_gives_its_size_and_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let picture = white(folder.path(), "white.png", 64, 64);
    let output = detect(&["--model", BRIGHT_PERSON, picture.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let [line] = &lines(&output)[..] else { panic!("{output:?}") };
    assert_eq!(line["file"], picture.to_str().unwrap());
    assert_eq!((&line["width"], &line["height"]), (&64.into(), &64.into()));
    let [found] = &line["detections"].as_array().unwrap()[..] else { panic!("{line}") };
    assert_eq!((&found["class"], &found["group"]), (&"person".into(), &"person".into()));
    assert_eq!(found["box"], serde_json::json!([8.0, 8.0, 32.0, 32.0]));
    assert!(found["confidence"].as_f64().unwrap() <= 1.0);
}

#[test]
fn boxes_are_those_of_the_exif_upright_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = white(folder.path(), "turned.jpg", 64, 32);
    // Orientation 6: a quarter turn clockwise makes it upright.
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let jpeg = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&jpeg[..2], exif, &jpeg[2..]].concat()).unwrap();
    let output = detect(&["--model", BRIGHT_PERSON, "--min-confidence", "0.01", path.to_str().unwrap()]);
    let line = &lines(&output)[0];
    assert_eq!((&line["width"], &line["height"]), (&32.into(), &64.into()), "{line}");
    for found in line["detections"].as_array().unwrap() {
        let [x, y, w, h] = [0, 1, 2, 3].map(|i| found["box"][i].as_f64().unwrap());
        assert!(x >= 0.0 && y >= 0.0 && x + w <= 32.0 && y + h <= 64.0, "{found}");
    }
}

#[test]
fn unreadable_pictures_are_said_to_be_and_the_others_still_processed() {
    let folder = tempfile::tempdir().unwrap();
    let good = white(folder.path(), "c.PNG", 40, 30);
    std::fs::write(folder.path().join("a.jpg"), b"").unwrap();
    std::fs::write(folder.path().join("b.JPEG"), b"words").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"skipped").unwrap();
    std::fs::create_dir(folder.path().join("within.jpg")).unwrap();
    let missing = folder.path().join("missing.jpg");
    let output = detect(&[missing.to_str().unwrap(), folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = lines(&output);
    let files: Vec<_> = lines.iter().map(|line| Path::new(line["file"].as_str().unwrap()).to_path_buf()).collect();
    assert_eq!(files, [missing, folder.path().join("a.jpg"), folder.path().join("b.JPEG"), good]);
    for broken in &lines[..3] {
        assert!(!broken["error"].as_str().unwrap().is_empty());
        assert!(broken.get("detections").is_none());
    }
    assert_eq!(lines[3]["width"], 40);
    assert_eq!(lines[3]["detections"], serde_json::json!([]));
}

#[test]
fn annotated_copies_never_replace_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let picture = white(folder.path(), "white.png", 64, 64);
    let before = std::fs::read(&picture).unwrap();
    let own = folder.path().to_str().unwrap();
    let output = detect(&["--model", BRIGHT_PERSON, "--annotate", own, picture.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&picture).unwrap(), before);

    let out = folder.path().join("out/deep");
    let output = detect(&["--model", BRIGHT_PERSON, "--annotate", out.to_str().unwrap(), picture.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let copy = image::open(out.join("white.png")).unwrap().to_rgb8();
    assert_eq!(copy.dimensions(), (64, 64));
    assert_ne!(copy.get_pixel(8, 30), &Rgb([255; 3]), "no box was drawn");
}

#[test]
fn wrong_uses_end_with_the_promised_codes() {
    let folder = tempfile::tempdir().unwrap();
    let picture = white(folder.path(), "white.png", 64, 64);
    let picture = picture.to_str().unwrap();
    for arguments in [&[][..], &["--min-confidence", "1.5", picture], &["--min-confidence", "NaN", picture]] {
        assert_eq!(detect(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let no_model = folder.path().join("no.onnx");
    let output = detect(&["--model", no_model.to_str().unwrap(), picture]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("no.onnx") && output.stdout.is_empty(), "{message}");
}

#[test]
fn without_onnx_runtime_it_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let picture = white(folder.path(), "white.png", 64, 64);
    let output = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .env("TAWNY_ONNXRUNTIME", folder.path())
        .args(["detect", picture.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains(&format!("{}: holds no libonnxruntime.so", folder.path().display())), "{message}");
}
