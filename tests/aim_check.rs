//! `tawny aim`, `tawny check` and `tawny --version` as a user runs them, with
//! the real program, the real model and a real broker.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::broker::{Broker, refusing_port};
use image::RgbImage;

const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clips/street.mp4");
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clips/people.mp4");

fn tawny(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tawny")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A folder with a configuration in it.
struct Unit {
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl Unit {
    fn new(text: &str) -> Unit {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("tawny.toml");
        std::fs::write(&config, text).unwrap();
        Unit { dir, config }
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        let arguments = [&[command, "--config", self.config.to_str().unwrap()], more].concat();
        tawny(&arguments)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn street() -> String {
    format!(
        r#"
[[camera]]
name = "street"
source = "{STREET}"
  [[camera.tripwire]]
  name = "gate"
  from = [0.45, 1.0]
  to = [0.45, 0.0]
  forward = "right"
  backward = "left"
  [[camera.zone]]
  name = "sky"
  polygon = [[0, 0], [1, 0], [1, 0.25], [0, 0.2]]
  mode = "exclude"
"#
    )
}

/// A configuration with the camera, these lines for `[uplink]`, and its journal
/// beside it.
fn with_uplink(uplink: &str) -> String {
    format!("{}\n[journal]\npath = \"journal.db\"\n[uplink]\n{uplink}\n", street())
}

fn open_png(path: &Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

#[test]
fn aim_draws_onto_an_upright_frame_of_the_camera() {
    let bare = Unit::new(&format!("[[camera]]\nname = \"street\"\nsource = \"{STREET}\"\n"));
    let drawn = Unit::new(&street());
    for unit in [&bare, &drawn] {
        let output = unit.run("aim", &["--out", unit.path("frame.png").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(stdout(&output), "");
    }
    let (bare, drawn) = (open_png(&bare.path("frame.png")), open_png(&drawn.path("frame.png")));
    assert_eq!((bare.dimensions(), drawn.dimensions()), ((640, 360), (640, 360)));
    // The line, at the beginning of which nothing else is drawn; and the zone's tint.
    let yellow = drawn.get_pixel(288, 330).0;
    assert!(yellow[0] > 200 && yellow[1] > 180 && yellow[2] < 80, "{yellow:?}");
    let redder = |image: &RgbImage| i32::from(image.get_pixel(560, 40).0[0]) - i32::from(image.get_pixel(560, 40).0[2]);
    assert!(redder(&drawn) > redder(&bare) + 20);
    // The grass is green: colours are right.
    let grass = bare.get_pixel(100, 260).0;
    assert!(grass[1] > grass[0] && grass[1] > grass[2] + 30, "{grass:?}");
}

#[test]
fn aim_takes_the_camera_it_is_told_and_can_write_to_standard_output() {
    let unit = Unit::new(&format!("{}[[camera]]\nname = \"people\"\nsource = \"{PEOPLE}\"\n", street()));
    let output = unit.run("aim", &["--camera", "people", "--out", "-"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let image = image::load_from_memory_with_format(&output.stdout, image::ImageFormat::Png).unwrap();
    assert_eq!((image.width(), image.height()), (576, 432));
}

#[test]
fn aim_says_what_is_wrong() {
    let unit = Unit::new(&street());
    let out = unit.path("frame.png");
    let out = out.to_str().unwrap();
    let unknown = unit.run("aim", &["--camera", "gate", "--out", out]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("'gate'") && stderr(&unknown).contains("street"), "{unknown:?}");
    assert_eq!(unit.run("aim", &["--out", "frame.jpg"]).status.code(), Some(2));

    let no_source = Unit::new("[[camera]]\nname = \"street\"\n").run("aim", &["--out", out]);
    assert_eq!(no_source.status.code(), Some(2));
    assert!(stderr(&no_source).contains("no source"), "{no_source:?}");

    let missing = Unit::new("[[camera]]\nname = \"street\"\nsource = \"missing.mp4\"\n").run("aim", &["--out", out]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("there is no such file") && stderr(&missing).contains("street"), "{missing:?}");
    assert!(!Path::new(out).exists());

    let nowhere = unit.run("aim", &["--out", unit.path("no/such/folder.png").to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("folder.png"), "{nowhere:?}");
}

/// The line of the table that begins with `item`.
fn line<'a>(output: &'a Output, item: &str) -> &'a str {
    let found = stdout(output).lines().find(|line| line.starts_with(item));
    found.unwrap_or_else(|| panic!("no line for {item}: {output:?}"))
}

/// Only this item has failed.
fn assert_one_failed(output: &Output, item: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed: Vec<&str> = stdout(output).lines().filter(|line| line.contains("  failed  ")).collect();
    assert_eq!(failed, [line(output, item)], "{output:?}");
    assert!(stderr(output).contains(&format!("failed: {item}")), "{output:?}");
}

#[test]
fn check_finds_everything_in_order_and_leaves_nothing_behind() {
    let broker = Broker::start();
    let unit = Unit::new(&with_uplink(&format!("broker = \"{}\"", broker.url())));
    let output = unit.run("check", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!stdout(&output).contains("failed"), "{output:?}");
    for item in ["configuration", "ONNX Runtime", "model", "camera street", "journal", "broker", "clock"] {
        line(&output, item);
    }
    let camera = line(&output, "camera street");
    assert!(camera.contains("640x360") && camera.contains("h264") && camera.contains("12.5 frames"), "{camera}");
    assert!(line(&output, "model").contains("416x416"));
    assert!(line(&output, "broker").contains(&broker.port.to_string()));
    let left: Vec<_> = std::fs::read_dir(unit.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tawny.toml"]);
}

#[test]
fn check_without_a_broker_says_that_events_stay() {
    let output = Unit::new(&with_uplink("")).run("check", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(line(&output, "broker").contains("events stay on the unit"));
}

#[test]
fn check_names_what_fails_and_goes_on() {
    let camera = with_uplink("").replace("street.mp4", "missing.mp4");
    assert_one_failed(&Unit::new(&camera).run("check", &[]), "camera street");

    let unit = Unit::new(&(with_uplink("") + "[detector]\nmodel = \"model.onnx\"\n"));
    std::fs::write(unit.path("model.onnx"), "this is no model").unwrap();
    assert_one_failed(&unit.run("check", &[]), "model");

    let journal = with_uplink("").replace("\"journal.db\"", "\"tawny.toml/journal.db\"");
    assert_one_failed(&Unit::new(&journal).run("check", &[]), "journal");

    let everything = format!("broker = \"mqtt://127.0.0.1:{}\"", refusing_port());
    assert_one_failed(&Unit::new(&with_uplink(&everything)).run("check", &[]), "broker");
}

#[test]
fn check_tells_a_refused_login_and_shows_no_password() {
    let broker = Broker::with("allow_anonymous false\npassword_file /dev/null\n");
    let uplink = format!("broker = \"{}\"\nusername = \"joe\"\npassword_file = \"password\"", broker.url());
    let unit = Unit::new(&with_uplink(&uplink));
    std::fs::write(unit.path("password"), "hunter2\n").unwrap();
    let output = unit.run("check", &[]);
    assert_one_failed(&output, "broker");
    assert!(line(&output, "broker").contains("refuses the login"), "{output:?}");
    assert!(!stdout(&output).contains("hunter2") && !stderr(&output).contains("hunter2"));
}

#[test]
fn check_without_onnx_runtime_still_checks_the_rest() {
    let unit = Unit::new(&(with_uplink("") + "[detector]\nruntime = \"missing.so\"\n"));
    let output = unit.run("check", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(line(&output, "ONNX Runtime").contains("failed") && stdout(&output).contains("missing.so"), "{output:?}");
    assert!(line(&output, "camera street").contains("ok"));
}

#[test]
fn check_of_a_wrong_file_is_a_wrong_command_line() {
    for text in ["[[camera]]\nsuorce = \"clip.mp4\"\n", "", "[[camera]]\nname = \"street\"\n"] {
        let output = Unit::new(text).run("check", &[]);
        assert_eq!(output.status.code(), Some(2), "{text}: {output:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_long_version_names_what_was_found_even_if_that_is_nothing() {
    let output = tawny(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("ONNX Runtime 1.") && stdout(&output).contains("libavcodec"), "{output:?}");
    let without = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .arg("--version")
        .env("TAWNY_ONNXRUNTIME", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(0));
    assert!(stdout(&without).contains("ONNX Runtime not found"), "{without:?}");
    let model = |output: &Output| line(output, "model ").to_owned();
    assert_eq!(model(&output), model(&without));
    assert_eq!(stdout(&tawny(&["-V"])).lines().count(), 1);
}
