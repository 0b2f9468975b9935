//! `tawny detect`: the detector on still pictures, one JSON line for each.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use image::{ImageDecoder, ImageReader, RgbImage};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::CommandError;
use crate::capture::{Colour, Matrix, Picture, Plane, Rotation};
use crate::config::{Config, DetectorConfig};
use crate::detect::{Detection, Detector};

/// What `tawny detect` may be asked.
#[derive(Debug, Clone, clap::Args)]
pub struct DetectArgs {
    /// ONNX model to use instead of the configured or built-in one.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Lowest confidence to report, 0 to 1.
    #[arg(long, value_name = "X", default_value_t = 0.4, value_parser = confidence)]
    pub min_confidence: f32,
    /// Folder for copies of the pictures with boxes and labels drawn in; made
    /// if absent.
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
    /// Pictures (JPEG or PNG), or folders of which every *.jpg, *.jpeg and
    /// *.png is taken, in the order of their names.
    #[arg(required = true, value_name = "IMAGE|DIR")]
    pub inputs: Vec<PathBuf>,
}

fn confidence(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Looks at every picture named and prints what is there.
///
/// # Errors
/// Usage errors and a detector that cannot be opened end at once; pictures
/// that cannot be read are reported in their line, and at the end.
pub fn run(config: &Config, args: &DetectArgs) -> Result<(), CommandError> {
    let mut settings: DetectorConfig = config.detector.clone();
    if let Some(model) = &args.model {
        settings.model = Some(model.clone());
    }
    let mut detector = Detector::open(&settings).map_err(|error| CommandError::Failed(error.to_string()))?;
    let mut found = Vec::new();
    for file in &args.inputs {
        let rgb = image::open(file).map_err(|error| CommandError::Failed(error.to_string()))?.to_rgb8();
        let planes = Planes::new(&rgb);
        detector.detect(&planes.picture(), None, args.min_confidence, &mut found).map_err(|e| CommandError::Failed(e.to_string()))?;
        println!("{}", file.display());
        for d in &found {
            println!("  {} {:.3} ({:.3}) {:?}", detector.classes().name(d.class), d.confidence, d.class_score, d.bbox);
        }
    }
    Ok(())
}

/// A picture as full-range BT.601 planes (JPEG's own), 4:4:4.
struct Planes {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

impl Planes {
    fn new(rgb: &RgbImage) -> Planes {
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let mut planes = [(); 3].map(|()| Vec::with_capacity(width * height));
        for image::Rgb([r, g, b]) in rgb.pixels() {
            let [r, g, b] = [*r, *g, *b].map(i32::from);
            // ITU-T T.871 (JFIF), 16.16 fixed point.
            let round = |fixed: i32| ((fixed + 0x8000) >> 16).clamp(0, 255) as u8;
            planes[0].push(round(19_595 * r + 38_470 * g + 7_471 * b));
            planes[1].push(round(-11_059 * r - 21_709 * g + 32_768 * b + (128 << 16)));
            planes[2].push(round(32_768 * r - 27_439 * g - 5_329 * b + (128 << 16)));
        }
        Planes { width, height, planes }
    }

    fn picture(&self) -> Picture<'_> {
        let plane = |data| Plane { data, width: self.width, height: self.height, stride: self.width };
        let [y, u, v] = &self.planes;
        Picture {
            y: plane(y),
            chroma: Some((plane(u), plane(v))),
            colour: Colour { matrix: Matrix::Bt601, full_range: true },
            rotation: Rotation::None,
            exposure: 1.0,
        }
    }
}
