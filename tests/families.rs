//! Each family of detectors against its upstream's own software: the same
//! pictures, the same raw outputs, the same boxes.
//!
//! The models replay what real networks with random weights gave; the
//! expected boxes are what upstream's post-processing made of that, and the
//! expected inputs what its pre-processing showed the network. Upstream was
//! told to keep overlaps; Tawny's own suppression is applied to both sides.
//! How all of it was made is in tests/data/families/make.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tawny::capture::Still;
use tawny::config::{DetectorConfig, InputSize, ModelFamily};
use tawny::detect::{Channels, Classes, Detection, Detector, Fit, InputLayout, InputSpec, Preprocessor, Tensor};
use tawny::detect::{MAX_OVERLAP, suppress_overlaps};
use tawny::domain::BBox;

const CLIPS: [&str; 2] = ["people", "street"];
const NAMES: [&str; 3] = ["animal", "person", "vehicle"];

/// Fixtures, the name that Tawny gives the family, the picture's place, and
/// whether the model leaves no doubles.
const FAMILIES: [(&str, &str, Fit, bool); 14] = [
    ("yolox_raw", "YOLOX", Fit::TopLeft, false),
    ("yolox_decoded", "YOLOX, decoded", Fit::TopLeft, false),
    ("yolov5", "YOLOv5", Fit::Centred, false),
    ("yolov8", "YOLOv8", Fit::Centred, false),
    ("yolov8_rows", "YOLOv8", Fit::Centred, false),
    ("yolo11", "YOLOv8", Fit::Centred, false),
    ("yolov10", "YOLO, end to end", Fit::Centred, true),
    ("yolo26", "YOLO, end to end", Fit::Centred, true),
    ("nms", "YOLO, end to end", Fit::Centred, true),
    ("rtdetr_rows", "RT-DETR, Ultralytics", Fit::Stretched, true),
    ("rtdetr_hf", "RT-DETR, logits", Fit::Stretched, true),
    ("rtdetr_authors", "RT-DETR", Fit::Stretched, true),
    ("dfine_hf", "RT-DETR, logits", Fit::Stretched, true),
    ("dfine_authors", "RT-DETR", Fit::Stretched, true),
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/families").join(name)
}

fn config(name: &str) -> DetectorConfig {
    // Exports of RT-DETR's authors neither name their classes nor tell how
    // many there are.
    let classes = if name.contains("_authors") { NAMES.map(str::to_owned).to_vec() } else { Vec::new() };
    DetectorConfig { model: Some(data(&format!("{name}.onnx"))), classes, ..DetectorConfig::default() }
}

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(data("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].take()
}

/// What upstream found, as Tawny's detections; its class names are those of
/// the fixtures.
fn upstream(expected: &Value, classes: &Classes, still: &Still) -> Vec<Detection> {
    let picture = still.picture();
    let (width, height) = picture.upright_size();
    let detection = |row: &Value| {
        let score = row["score"].as_f64().unwrap() as f32;
        let name = row["class"].as_str().unwrap();
        let group = |class: &u16| classes.group(*class).unwrap().to_string() == name;
        let class = (0..classes.len() as u16).find(|class| classes.group(*class).is_some() && group(class)).unwrap();
        let side = |i: usize, size: usize| (row["corners"][i].as_f64().unwrap() / size as f64) as f32;
        let bbox = BBox::from_corners(side(0, width), side(1, height), side(2, width), side(3, height)).clipped();
        Detection { bbox, group: classes.group(class).unwrap(), confidence: score, class, class_score: score }
    };
    let all = expected["boxes"].as_array().unwrap().iter().map(detection);
    all.filter(|detection| detection.bbox.area() > 0.0).collect()
}

/// Both lists have the same boxes; a score on the threshold may fall on
/// either side.
fn compare(name: &str, ours: &[Detection], theirs: &[Detection], threshold: f32) {
    let same = |a: &Detection, b: &Detection| {
        let near = |a: f32, b: f32| (a - b).abs() < 0.008;
        let sides = [(a.bbox.x, b.bbox.x), (a.bbox.y, b.bbox.y), (a.bbox.w, b.bbox.w), (a.bbox.h, b.bbox.h)];
        a.group == b.group && (a.confidence - b.confidence).abs() < 1e-3 && sides.iter().all(|&(a, b)| near(a, b))
    };
    assert!(theirs.len() >= 3, "{name}: {} boxes prove little", theirs.len());
    for (some, others, whose) in [(ours, theirs, "Tawny's"), (theirs, ours, "upstream's")] {
        for one in some.iter().filter(|one| one.confidence > threshold + 1e-3) {
            assert!(others.iter().any(|other| same(one, other)), "{name}: only {whose} {one:?}\n{others:#?}");
        }
    }
}

#[test]
fn every_family_finds_what_upstream_finds() {
    for (family, title, fit, is_free_of_doubles) in FAMILIES {
        for clip in CLIPS {
            let name = format!("{family}_{clip}");
            let expected = expected(&name);
            let mut detector = Detector::open(&config(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((detector.model_family(), detector.input().fit), (title, fit), "{name}");
            let threshold = expected["threshold"].as_f64().unwrap() as f32;
            let still = Still::open(&data(expected["picture"].as_str().unwrap())).unwrap();

            let mut ours = Vec::new();
            detector.detect_parts(&still.picture(), None, threshold, &mut ours).unwrap();
            let mut theirs = upstream(&expected, detector.classes(), &still);
            // Hugging Face keeps only as many answers as there are queries.
            let least = theirs.iter().map(|found| found.confidence).fold(1.0, f32::min);
            let threshold = if family.ends_with("_hf") { threshold.max(least) } else { threshold };
            suppress_overlaps(&mut theirs, if is_free_of_doubles { 0.7 } else { MAX_OVERLAP });
            compare(&name, &ours, &theirs, threshold);
        }
    }
}

#[test]
fn tensorflow_models_find_what_their_signature_says() {
    for clip in CLIPS {
        let name = format!("ssd_{clip}");
        let expected = expected(&name);
        let mut detector = Detector::open(&config(&name)).unwrap();
        assert_eq!((detector.model_family(), detector.input().fit), ("TensorFlow SSD", Fit::Native));
        assert_eq!(["person", "car", "sheep"], [1, 3, 20].map(|id| detector.classes().name(id)));
        let still = Still::open(&data(expected["picture"].as_str().unwrap())).unwrap();
        let mut ours = Vec::new();
        detector.detect_parts(&still.picture(), None, 0.3, &mut ours).unwrap();
        let mut theirs = upstream(&expected, detector.classes(), &still);
        suppress_overlaps(&mut theirs, 0.7);
        compare(&name, &ours, &theirs, 0.3);
    }
}

/// Red, green and blue of every pixel, from whatever the model takes, on the
/// scale 0..=255.
fn pixels(preprocessor: &Preprocessor, spec: &InputSpec) -> Vec<[f32; 3]> {
    let values: Vec<f32> = match preprocessor.tensor() {
        Tensor::Bytes(bytes) => bytes.iter().map(|&byte| f32::from(byte)).collect(),
        Tensor::Halves(halves) => halves.iter().map(|half| half.to_f32()).collect(),
        Tensor::Floats(floats) => floats.clone(),
    };
    let area = values.len() / 3;
    let pixel = |at: usize| {
        [0, 1, 2].map(|colour| {
            let channel = if spec.channels == Channels::Bgr { 2 - colour } else { colour };
            let value = match spec.layout {
                InputLayout::Hwc => values[at * 3 + channel],
                InputLayout::Chw => values[channel * area + at],
            };
            value * spec.scaling.deviation[colour] + spec.scaling.mean[colour]
        })
    };
    (0..area).map(pixel).collect()
}

#[test]
fn every_family_is_shown_what_upstream_shows() {
    let with_ssd = FAMILIES.iter().map(|family| family.0).chain(["ssd"]);
    for family in with_ssd.filter(|family| !family.ends_with("_authors")) {
        for clip in CLIPS {
            let name = format!("{family}_{clip}");
            let spec = Detector::open(&config(&name)).unwrap().input();
            let still = Still::open(&data(&format!("{clip}.png"))).unwrap();
            let mut preprocessor = Preprocessor::new(spec);
            preprocessor.fill(&still.picture(), None).unwrap();
            let ours = pixels(&preprocessor, &spec);
            let theirs = image::open(data(&format!("{name}_input.png"))).unwrap().to_rgb8();
            assert_eq!(ours.len(), theirs.pixels().count(), "{name}");
            let mut difference = 0.0;
            for (ours, theirs) in ours.iter().zip(theirs.pixels()) {
                difference += ours.iter().zip(theirs.0).map(|(a, b)| (a - f32::from(b)).abs()).sum::<f32>();
            }
            // Bilinear filters differ in where they put the samples.
            let mean = difference / ours.len() as f32 / 3.0;
            assert!(mean < 4.0, "{name}: {mean} levels on average");
        }
    }
}

#[test]
fn boxes_of_a_region_lie_in_that_region() {
    let region = BBox::new(0.5, 0.25, 0.4, 0.5);
    let all = FAMILIES.iter().map(|family| family.0).chain(["ssd"]);
    for name in all.map(|family| format!("{family}_street")) {
        let mut detector = Detector::open(&config(&name)).unwrap();
        let still = Still::open(&data("street.png")).unwrap();
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        detector.detect_parts(&still.picture(), None, 0.3, &mut whole).unwrap();
        detector.detect_parts(&still.picture(), Some(region), 0.3, &mut part).unwrap();
        assert!(!part.is_empty(), "{name}");
        // Stretched and native ones fill the region as they fill the picture:
        // the graphs replay the same fractions for both.
        if matches!(detector.input().fit, Fit::Stretched | Fit::Native) {
            let placed = |found: &Detection| {
                let BBox { x, y, w, h } = found.bbox;
                let bbox = BBox::new(region.x + x * region.w, region.y + y * region.h, w * region.w, h * region.h);
                Detection { bbox, ..*found }
            };
            let clipped =
                |d: &&Detection| d.bbox.x > 0.01 && d.bbox.y > 0.01 && d.bbox.right() < 0.99 && d.bbox.bottom() < 0.99;
            for inside in whole.iter().filter(clipped).map(placed) {
                let near = |found: &Detection| found.class == inside.class && found.bbox.iou(&inside.bbox) > 0.95;
                assert!(part.iter().any(near), "{name}: {inside:?}\n{part:#?}");
            }
        }
    }
}

#[test]
fn names_come_from_where_they_were_given_first() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.txt");
    std::fs::write(&labels, "deer\nhuman\nvan\n").unwrap();
    let names = |config: &DetectorConfig| {
        let detector = Detector::open(config).unwrap();
        let names = [0, 1, 2].map(|class| detector.classes().name(class).to_owned());
        (names, detector.names_source().to_string())
    };
    let owned = |names: [&str; 3]| names.map(str::to_owned);
    let by_model = config("yolov8_people");
    assert_eq!(names(&by_model), (owned(NAMES), "named by the model".to_owned()));
    // Without names, three classes are MegaDetector's.
    assert_eq!(names(&config("yolov5_people")), (owned(NAMES), "taken for MegaDetector's".to_owned()));
    let by_file = DetectorConfig { labels: Some(labels), ..by_model };
    assert_eq!(names(&by_file), (owned(["deer", "human", "van"]), "named by the labels file".to_owned()));
    let classes = owned(["cow", "man", "bus"]).to_vec();
    let by_config = DetectorConfig { classes, labels: None, ..by_file };
    assert_eq!(names(&by_config), (owned(["cow", "man", "bus"]), "named by the configuration".to_owned()));
}

#[test]
fn models_and_settings_that_do_not_go_together_are_refused() {
    let refuse = |config: DetectorConfig| Detector::open(&config).unwrap_err().to_string();
    let model = || config("yolov8_people");
    let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();

    let message = refuse(DetectorConfig { classes: named(&["deer", "human"]), ..model() });
    assert!(message.contains("2 class names") && message.contains("output0"), "{message}");
    let message = refuse(DetectorConfig { classes: named(&["chair", "table", "lamp"]), ..model() });
    assert!(message.contains("no person, vehicle or animal") && message.contains("chair, table, lamp"), "{message}");
    let message = refuse(DetectorConfig { family: Some(ModelFamily::Ssd), ..model() });
    assert!(message.contains("detection_boxes") && message.contains("[1, 7, 189]"), "{message}");
    let size = Some(InputSize { width: 640, height: 384 });
    let message = refuse(DetectorConfig { input_size: size, ..model() });
    assert!(message.contains("fixed at 96x96"), "{message}");
    let message = refuse(DetectorConfig { labels: Some("missing.txt".into()), ..model() });
    assert!(message.contains("cannot use the labels file missing.txt"), "{message}");
}

#[test]
fn an_open_input_takes_the_configured_size() {
    let size = Some(InputSize { width: 320, height: 192 });
    let detector = Detector::open(&DetectorConfig { input_size: size, ..config("ssd_street") }).unwrap();
    assert_eq!((detector.input().width, detector.input().height), (320, 192));
    let detector = Detector::open(&config("ssd_street")).unwrap();
    assert_eq!((detector.input().width, detector.input().height), (640, 640));
}

#[test]
fn check_says_what_the_model_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tawny.toml");
    let check = |detector: &str| {
        let journal = folder.path().join("journal.db");
        let camera = "[[camera]]\nname = \"gate\"\nsource = \"missing.mp4\"";
        std::fs::write(&file, format!("{camera}\n[detector]\n{detector}\n[journal]\npath = {journal:?}\n")).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_tawny")).arg("check").arg("--config").arg(&file).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = check(&format!("model = {:?}", data("yolov8_people.onnx")));
    for part in ["YOLOv8", "96x96", "3 classes named by the model"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = check(&format!("model = {:?}\nfamily = \"ssd\"", data("yolov8_people.onnx")));
    for part in ["input images", "output output0", "detection_boxes", "yolox", "end_to_end"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
