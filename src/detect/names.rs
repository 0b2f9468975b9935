//! What a model's classes are called, and where that was found out: the
//! configuration, a labels file, the model's metadata, or the usual names for
//! their number.

use std::fmt;
use std::path::Path;

use super::family::Numbering;

/// Where class names came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesSource {
    /// `[detector] classes`.
    Configuration,
    /// `[detector] labels`.
    LabelsFile,
    /// The model's metadata.
    Metadata,
    /// Nobody named them; COCO's have their number.
    Coco,
    /// Nobody named them; MegaDetector's have their number.
    MegaDetector,
}

impl fmt::Display for NamesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NamesSource::Configuration => "named by the configuration",
            NamesSource::LabelsFile => "named by the labels file",
            NamesSource::Metadata => "named by the model",
            NamesSource::Coco => "taken for COCO's",
            NamesSource::MegaDetector => "taken for MegaDetector's",
        })
    }
}

/// No labels file is longer.
const MAX_LABELS_BYTES: u64 = 1 << 20;

/// The names in the file `path`: one a line, or in any form that
/// [`parse`] reads.
pub fn read_labels(path: &Path) -> Result<Vec<String>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_LABELS_BYTES {
        return Err(format!("{size} bytes are too many for class names"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let is_structured = text.trim_start().starts_with(['{', '[']);
    let plain = !is_structured && !text.contains(':');
    // Each line counts, also an empty one within: it is the name of a class.
    let names = if plain { Some(lines(text.trim_end())) } else { parse(&text) };
    names.filter(|names| names.iter().any(|name| !name.is_empty())).ok_or_else(|| "it holds no class names".to_owned())
}

/// A JSON list, a JSON object or Python dictionary by index
/// (`{0: 'person', …}`, as Ultralytics writes it), or names divided by lines
/// or commas.
pub fn parse(text: &str) -> Option<Vec<String>> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return (!list.is_empty()).then_some(list);
    }
    let inner = text.trim().trim_start_matches(['{', '[']).trim_end_matches(['}', ']']);
    let divider = if inner.contains('\n') { '\n' } else { ',' };
    let mut names = Vec::new();
    for (index, item) in inner.split(divider).map(str::trim).filter(|item| !item.is_empty()).enumerate() {
        let name = match item.split_once(':') {
            Some((key, name)) if key.trim_matches([' ', '"', '\'']).parse() == Ok(index) => name,
            Some(_) => return None,
            None => item,
        };
        names.push(name.trim_matches([' ', '"', '\'', ',']).to_owned());
    }
    (!names.is_empty()).then_some(names)
}

/// The names by class index, where a model has `classes` of them (if it
/// tells) and somebody gave `given`; the reason if they do not go together.
pub fn resolve(
    given: Option<(Vec<String>, NamesSource)>,
    classes: Option<usize>,
    numbering: Numbering,
) -> Result<(Vec<String>, NamesSource), String> {
    let (names, source) = match (given, numbering, classes) {
        (Some((names, source)), Numbering::FromOne, _) if !has_background(&names) => {
            (std::iter::once(String::new()).chain(names).collect(), source)
        }
        (Some(given), ..) => given,
        (None, Numbering::CocoIds | Numbering::FromOne, _) => (coco_by_id(), NamesSource::Coco),
        (None, Numbering::Dense, Some(3)) => (MEGADETECTOR.map(str::to_owned).to_vec(), NamesSource::MegaDetector),
        (None, Numbering::Dense, _) => (COCO.map(str::to_owned).to_vec(), NamesSource::Coco),
    };
    match classes {
        Some(count) if count != names.len() => Err(format!("it scores {count} classes and names {}", names.len())),
        _ => Ok((names, source)),
    }
}

/// Whether class 0 stands for "nothing", as in TensorFlow's labels files.
fn has_background(names: &[String]) -> bool {
    let first = names.first().map(|name| name.to_lowercase());
    matches!(first.as_deref(), Some("" | "???" | "background" | "__background__" | "n/a"))
}

/// COCO's names by COCO's own ids: 0..=90, empty where there is none.
fn coco_by_id() -> Vec<String> {
    const GAPS: [usize; 11] = [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83];
    let mut dense = COCO.into_iter();
    let name = |id: usize| if GAPS.contains(&id) { "" } else { dense.next().unwrap_or_default() };
    (0..=90).map(name).map(str::to_owned).collect()
}

/// MegaDetector's classes, in its order.
const MEGADETECTOR: [&str; 3] = ["animal", "person", "vehicle"];

/// COCO's 80 classes, in the order without gaps.
#[rustfmt::skip]
const COCO: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn class_names_are_read_in_the_forms_that_exporters_write() {
        let expected = Some(owned(&["person", "traffic light"]));
        for text in [
            r#"["person","traffic light"]"#,
            "{0: 'person', 1: 'traffic light'}",
            r#"{"0": "person", "1": "traffic light"}"#,
            "person, traffic light",
            "person\ntraffic light\n",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in ["", "[]", "{}", "{1: 'person', 0: 'car'}"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_labels_file_has_a_name_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_labels(&path)
        };
        assert_eq!(read("person\r\n\r\ncar, red\r\n").unwrap(), ["person", "", "car, red"]);
        assert_eq!(read("0: person\n1: car\n").unwrap(), ["person", "car"]);
        assert_eq!(read("[\"person\", \"car\"]\n").unwrap(), ["person", "car"]);
        assert!(read("\n \n").is_err());
        assert!(read("one: person\n").is_err());
        assert!(read_labels(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn classes_that_nobody_named_have_the_usual_names() {
        let names = |classes, numbering| resolve(None, classes, numbering).unwrap();
        assert_eq!(names(Some(80), Numbering::Dense), (owned(&COCO), NamesSource::Coco));
        assert_eq!(names(Some(3), Numbering::Dense), (owned(&MEGADETECTOR), NamesSource::MegaDetector));
        let (by_id, _) = names(None, Numbering::FromOne);
        assert_eq!(["person", "stop sign", "bear", "toothbrush"], [1, 13, 23, 90].map(|id: usize| by_id[id].as_str()));
        assert_eq!(names(Some(91), Numbering::CocoIds).0, by_id);
        assert_eq!(by_id.iter().filter(|name| !name.is_empty()).count(), 80);
        assert!(resolve(None, Some(4), Numbering::Dense).unwrap_err().contains("scores 4 classes and names 80"));
    }

    #[test]
    fn names_for_ids_from_one_may_name_the_background() {
        let of = |names: &[&str]| resolve(Some((owned(names), NamesSource::LabelsFile)), None, Numbering::FromOne);
        for names in [&["person", "car"][..], &["", "person", "car"], &["Background", "person", "car"]] {
            assert_eq!(of(names).unwrap().0[1..], ["person", "car"], "{names:?}");
        }
    }
}
