//! `tawny detect`: the detector on still pictures, one JSON line for each.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{CommandError, media_files};
use crate::capture::Still;
use crate::config::Config;
use crate::detect::{Classes, Detection, Detector, Looker, View, WHOLE, tiles};
use crate::drawing::{Canvas, group_colour};

/// What `tawny detect` may be asked.
#[derive(Debug, Clone, clap::Args)]
pub struct DetectArgs {
    /// ONNX model to use instead of the configured or built-in one
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Lowest confidence to report, 0 to 1; what an object must reach if not given
    /// (`[tracking]` sure_confidence)
    #[arg(long, value_name = "X", value_parser = parse_confidence)]
    pub min_confidence: Option<f32>,
    /// Look at overlapping tiles as well as at the whole picture: finds what is
    /// far and small, in up to forty times the time
    #[arg(long)]
    pub tile: bool,
    /// Folder for copies of the pictures with boxes and labels drawn in; made
    /// if absent
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
    /// Pictures (JPEG or PNG), or folders, of which every *.jpg, *.jpeg and
    /// *.png is taken in the order of their names, with those of the folders within
    /// (a card's DCIM); names that begin with a dot are left out
    #[arg(required = true, value_name = "IMAGE|DIR")]
    pub inputs: Vec<PathBuf>,
}

fn parse_confidence(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Pictures from which on a progress bar is worth its line.
const MANY: usize = 10;

/// Looks at every picture named and prints what is there.
///
/// # Errors
/// A detector that cannot be opened ends it at once; pictures that cannot be
/// read are reported in their own line and counted in the error at the end.
pub fn run(config: &Config, args: &DetectArgs) -> Result<(), CommandError> {
    let mut settings = config.detector.clone();
    if let Some(model) = &args.model {
        settings.model = Some(model.clone());
    }
    let detector = Detector::open(&settings).map_err(failed)?;
    if let Some(folder) = &args.annotate {
        std::fs::create_dir_all(folder)
            .map_err(|error| CommandError::Failed(format!("cannot make {}: {error}", folder.display())))?;
    }
    let inputs: Vec<Input> = args.inputs.iter().flat_map(|path| expand(path)).collect();
    let bar = progress_bar(inputs.len());
    let mut look = Look {
        detector,
        min_confidence: args.min_confidence.unwrap_or(config.tracking.sure_confidence),
        annotate: args.annotate.as_deref(),
        annotated: HashSet::new(),
        tile: args.tile,
        looker: Looker::default(),
        found: Vec::new(),
    };
    let mut failures = 0;
    for input in &inputs {
        let file = input.path.to_string_lossy();
        let line = match input.found.clone().and_then(|()| look.at(&input.path)) {
            Ok(Seen { width, height, detections }) => {
                serde_json::to_string(&Line::Seen { file, width, height, detections })
            }
            Err(error) => {
                failures += 1;
                serde_json::to_string(&Line::Failed { file: media_files::shown(&input.path).into(), error })
            }
        };
        let printed = bar.suspend(|| writeln!(std::io::stdout().lock(), "{}", line.map_err(std::io::Error::other)?));
        match printed {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Err(CommandError::OutputClosed),
            Err(error) => return Err(CommandError::Failed(format!("cannot write the result: {error}"))),
            Ok(()) => bar.inc(1),
        }
    }
    bar.finish_and_clear();
    match failures {
        0 => Ok(()),
        _ => Err(CommandError::Failed(format!("{failures} of {} pictures failed", inputs.len()))),
    }
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::Failed(error.to_string())
}

/// One picture to look at, or what stands for a path that is none.
struct Input {
    path: PathBuf,
    found: Result<(), String>,
}

/// A file is itself; a folder its pictures and those of the folders within, sorted.
fn expand(path: &Path) -> Vec<Input> {
    let one = |found| vec![Input { path: path.to_path_buf(), found }];
    match std::fs::metadata(path) {
        Err(error) => return one(Err(error.to_string())),
        Ok(kind) if !kind.is_dir() => return one(Ok(())),
        Ok(_) => {}
    }
    let pictures = match media_files::below(path, &["jpg", "jpeg", "png"]) {
        Ok(pictures) => pictures,
        Err(error) => return one(Err(error)),
    };
    if pictures.is_empty() {
        tracing::warn!(folder = %path.display(), "no *.jpg, *.jpeg or *.png in this folder");
    }
    pictures.into_iter().map(|path| Input { path, found: Ok(()) }).collect()
}

/// A bar on a terminal's stderr when there is much to do, otherwise nothing.
fn progress_bar(pictures: usize) -> ProgressBar {
    if pictures < MANY || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(pictures as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// The detector and what one picture after the other is asked of it.
struct Look<'a> {
    detector: Detector,
    min_confidence: f32,
    annotate: Option<&'a Path>,
    /// Copies written so far, so that none is overwritten by a namesake.
    annotated: HashSet<PathBuf>,
    tile: bool,
    looker: Looker,
    found: Vec<Detection>,
}

struct Seen {
    width: usize,
    height: usize,
    detections: Vec<Found>,
}

impl Look<'_> {
    fn at(&mut self, path: &Path) -> Result<Seen, String> {
        let still = Still::open(path).map_err(|error| error.to_string())?;
        let (width, height) = still.size();
        let input = self.detector.input();
        let regions = match self.tile {
            true => tiles(&View::new((width, height), (input.width, input.height))),
            false => vec![WHOLE],
        };
        self.looker
            .look_for_parts(&mut self.detector, &still.picture(), &regions, self.min_confidence, &mut self.found)
            .map_err(|error| error.to_string())?;
        let classes = self.detector.classes();
        let detections = self.found.iter().map(|found| Found::new(found, classes, (width, height))).collect();
        if let Some(folder) = self.annotate {
            let copy = copy_path(folder, path, &self.annotated);
            draw(still, &self.found, classes, &copy, path)?;
            self.annotated.insert(copy);
        }
        Ok(Seen { width, height, detections })
    }
}

/// Where the copy of `path` goes: its name, numbered if that is taken.
fn copy_path(folder: &Path, path: &Path, taken: &HashSet<PathBuf>) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    let extension = if is_png { "png" } else { "jpg" };
    let numbers = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
    let mut names = numbers.map(|number| folder.join(format!("{stem}{number}.{extension}")));
    names.find(|name| !taken.contains(name)).unwrap_or_else(|| folder.join(format!("{stem}.{extension}")))
}

fn draw(still: Still, found: &[Detection], classes: &Classes, copy: &Path, original: &Path) -> Result<(), String> {
    // An annotated copy must never replace a picture.
    if let (Ok(there), Ok(here)) = (copy.canonicalize(), original.canonicalize())
        && there == here
    {
        return Err(format!("the annotated copy would overwrite {}: choose another folder", here.display()));
    }
    let mut canvas = Canvas::new(still.into_rgb());
    // The most confident last, so that nothing hides it.
    for detection in found.iter().rev() {
        let label = format!("{} {:.2}", classes.name(detection.class), detection.confidence);
        canvas.labelled_box(&detection.bbox, &label, group_colour(detection.group));
    }
    canvas.into_image().save(copy).map_err(|error| format!("cannot write {}: {error}", copy.display()))
}

/// A line of the output.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Seen { file: std::borrow::Cow<'a, str>, width: usize, height: usize, detections: Vec<Found> },
    Failed { file: std::borrow::Cow<'a, str>, error: String },
}

/// An object in a line of the output.
#[derive(Debug, PartialEq, Serialize)]
struct Found {
    class: String,
    group: &'static str,
    confidence: f64,
    /// x, y, width, height in pixels.
    #[serde(rename = "box")]
    bbox: [f64; 4],
}

impl Found {
    fn new(detection: &Detection, classes: &Classes, (width, height): (usize, usize)) -> Found {
        let edge = |fraction: f32, pixels: usize| round(f64::from(fraction) * pixels as f64, 10.0).min(pixels as f64);
        let bbox = &detection.bbox;
        let (left, right) = (edge(bbox.x, width), edge(bbox.right(), width));
        let (top, bottom) = (edge(bbox.y, height), edge(bbox.bottom(), height));
        Found {
            class: classes.name(detection.class).to_owned(),
            group: detection.group.as_str(),
            confidence: round(f64::from(detection.confidence), 1000.0),
            bbox: [left, top, round(right - left, 10.0), round(bottom - top, 10.0)],
        }
    }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BBox, Group};

    #[test]
    fn a_line_has_the_promised_keys_and_clipped_pixels() {
        let classes = Classes::new(vec!["person".into(), "car".into()]);
        let detection = Detection {
            bbox: BBox::new(0.25, 0.5, 0.75, 0.5),
            group: Group::Vehicle,
            confidence: 0.8714,
            class: 1,
            class_score: 0.6,
        };
        let found = Found::new(&detection, &classes, (810, 1081));
        let line = Line::Seen { file: "a.jpg".into(), width: 810, height: 1081, detections: vec![found] };
        assert_eq!(
            serde_json::to_string(&line).ok().as_deref(),
            Some(
                r#"{"file":"a.jpg","width":810,"height":1081,"detections":[{"class":"car","group":"vehicle","confidence":0.871,"box":[202.5,540.5,607.5,540.5]}]}"#
            )
        );
    }

    #[test]
    fn namesakes_from_different_folders_do_not_overwrite_each_other() {
        let mut taken = HashSet::new();
        let out = Path::new("out");
        assert_eq!(copy_path(out, Path::new("a/x.JPEG"), &taken), out.join("x.jpg"));
        taken.insert(out.join("x.jpg"));
        assert_eq!(copy_path(out, Path::new("b/x.jpg"), &taken), out.join("x-2.jpg"));
        assert_eq!(copy_path(out, Path::new("b/x.PNG"), &taken), out.join("x.png"));
    }
}
