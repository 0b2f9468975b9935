//! What a folder of labelled clips says: `ground_truth.toml` and the files it
//! names. The format is described in docs/guide/labelled-clips.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// How far a crossing may be from its counted time where the label does not
/// say it: as written with a fraction, and as written in whole seconds, which
/// is as exact as a person is who reads them off a player.
const TOLERANCE_S: f64 = 0.5;
const TOLERANCE_WHOLE_S: f64 = 1.5;

pub const GROUPS: [&str; 2] = ["person", "vehicle"];
const DIRECTIONS: [&str; 4] = ["up", "down", "left", "right"];

/// One clip and what was counted in it.
#[derive(Debug)]
pub struct Clip {
    pub path: PathBuf,
    pub lines: Vec<Line>,
    /// Different objects by group, where they were counted.
    pub distinct: BTreeMap<String, u32>,
    /// The one object of the clip is in view from and to, seconds.
    pub in_view: bool,
}

/// A line and who passed it.
#[derive(Debug)]
pub struct Line {
    pub name: &'static str,
    pub from: [f64; 2],
    pub to: [f64; 2],
    pub forward: &'static str,
    pub backward: &'static str,
    /// How many by group and direction.
    pub counts: BTreeMap<(String, String), u32>,
    /// When, by direction: seconds and tolerance. Empty where not counted.
    pub times: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Line {
    pub fn expected(&self) -> u32 {
        self.counts.values().sum()
    }
}

#[derive(Debug, Deserialize)]
struct File {
    clip: Vec<Label>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Label {
    file: String,
    line: Option<String>,
    line2: Option<String>,
    person: BTreeMap<String, u32>,
    vehicle: BTreeMap<String, u32>,
    person2: BTreeMap<String, u32>,
    vehicle2: BTreeMap<String, u32>,
    times_s: BTreeMap<String, Vec<toml::Value>>,
    times2_s: BTreeMap<String, Vec<toml::Value>>,
    tolerance_s: Option<f64>,
    in_view_s: Option<Vec<f64>>,
}

/// All clips of `folder`, in the order of the file.
pub fn read(folder: &Path) -> Vec<Clip> {
    let path = folder.join("ground_truth.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file.clip
        .iter()
        .flat_map(|label| {
            let files = files(folder, &label.file);
            assert!(!files.is_empty(), "{}: there is no {}", path.display(), label.file);
            files.into_iter().map(|file| clip(label, file))
        })
        .collect()
}

/// The files that `pattern` names; `*` in its last part stands for anything.
fn files(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = folder.join(pattern);
    let Some((before, after)) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('*'))
    else {
        return path.exists().then_some(path).into_iter().collect();
    };
    let entries = std::fs::read_dir(path.parent().unwrap_or(folder)).map(Iterator::collect::<Vec<_>>);
    let mut files: Vec<PathBuf> = entries.unwrap_or_default().into_iter().flatten().map(|e| e.path()).collect();
    files.retain(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
    });
    files.sort();
    files
}

fn clip(label: &Label, path: PathBuf) -> Clip {
    let mut lines = Vec::new();
    for (name, spec, groups, times) in [
        ("line", &label.line, [&label.person, &label.vehicle], &label.times_s),
        ("line2", &label.line2, [&label.person2, &label.vehicle2], &label.times2_s),
    ] {
        if let Some(spec) = spec {
            lines.push(line(name, spec, groups, times, label.tolerance_s));
        }
    }
    let mut distinct = BTreeMap::new();
    for (group, table) in GROUPS.iter().zip([&label.person, &label.vehicle]) {
        let known = |key: &str| DIRECTIONS.contains(&key) || key == "distinct" || key == "distinct_min";
        let strange: Vec<_> = table.keys().filter(|key| !known(key)).collect();
        assert!(strange.is_empty(), "{}: {group} has no {strange:?}", label.file);
        distinct.extend(table.get("distinct").map(|n| ((*group).to_owned(), *n)));
    }
    Clip { path, lines, distinct, in_view: label.in_view_s.is_some() }
}

fn line(
    name: &'static str,
    spec: &str,
    groups: [&BTreeMap<String, u32>; 2],
    times: &BTreeMap<String, Vec<toml::Value>>,
    tolerance_s: Option<f64>,
) -> Line {
    let place = spec.split_once('=').and_then(|(axis, v)| Some((axis.trim(), v.trim().parse::<f64>().ok()?)));
    let (from, to, forward, backward) = match place {
        Some(("x", v)) => ([v, 1.0], [v, 0.0], "right", "left"),
        Some(("y", v)) => ([0.0, v], [1.0, v], "down", "up"),
        _ => panic!("a line is \"x=0.5\" or \"y=0.5\", not {spec:?}"),
    };
    let mut counts = BTreeMap::new();
    for (group, table) in GROUPS.iter().zip(groups) {
        for direction in [forward, backward] {
            let n = table.get(direction).copied().unwrap_or(0);
            counts.insert(((*group).to_owned(), direction.to_owned()), n);
        }
    }
    let with_tolerance = |value: &toml::Value| {
        let whole = value.as_integer().map(|s| (s as f64, TOLERANCE_WHOLE_S));
        let (seconds, usual) = whole.or(value.as_float().map(|s| (s, TOLERANCE_S))).expect("times are numbers");
        (seconds, tolerance_s.unwrap_or(usual))
    };
    let times = times.iter().map(|(d, list)| (d.clone(), list.iter().map(with_tolerance).collect())).collect();
    Line { name, from, to, forward, backward, counts, times }
}
