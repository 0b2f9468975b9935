//! `tawny aim`: one picture that shows what a camera's configuration means.

use std::io::{Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::ImageFormat;

use super::private_file::write_private;
use super::{CommandError, ConfigFile};
use crate::capture::{CaptureError, Frame, upright_rgb, watch};
use crate::config::{CameraConfig, Config, Loaded, Source};
use crate::detect::Detector;
use crate::drawing::{Sight, draw};
use crate::motion::Motion;

/// How long a camera is watched, so that what moves stands out.
const WATCH: Duration = Duration::from_secs(5);

/// Draws tripwires, zones, motion and detections onto one frame of a camera
///
/// Watches the camera for five seconds (of a video file the first five) and
/// draws onto the last frame: the tripwires with the names of their directions,
/// the zones, what moves, what the detector finds, and at each tripwire the
/// smallest person that it would find there. People are not hidden in it; private
/// zones are black.
///
/// Examples:
///   tawny aim --out frame.png
///   ssh camera-box tawny aim --camera track --out - > frame.png
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AimArgs {
    /// Which configuration; it names the cameras.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Which camera, by its name in the configuration; the first if not given
    #[arg(long, value_name = "NAME")]
    pub camera: Option<String>,
    /// The picture to write, a PNG that its owner alone can read; - for standard output
    #[arg(long, value_name = "FILE.png|-", value_parser = parse_out)]
    pub out: PathBuf,
}

fn parse_out(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if text == "-" || is_png { Ok(path) } else { Err("the picture is a PNG: name it *.png".to_owned()) }
}

/// Watches, draws and writes.
///
/// # Errors
/// Code 2 for a wrong configuration or an unknown camera; code 1 when the
/// camera or the detector does not open, or the picture cannot be written.
pub fn run(args: &AimArgs) -> Result<(), CommandError> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && std::io::stdout().is_terminal() {
        let message = "a terminal cannot show the picture: use --out FILE.png, or redirect standard output";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let loaded = args.config.load()?;
    loaded.require_sources()?;
    let (camera, source) = choose(&loaded, args.camera.as_deref())?;
    let png = picture(&loaded.config, camera, source)?;
    if to_stdout {
        let mut stdout = std::io::stdout().lock();
        return stdout.write_all(&png).and_then(|()| stdout.flush()).map_err(CommandError::stdout);
    }
    let unwritable = |error| CommandError::Failed(format!("cannot write {}: {error}", args.out.display()));
    // Whoever was there is in it as the camera saw them.
    write_private(&args.out, &png).map_err(unwritable)
}

/// The camera called `name`, or the first.
fn choose<'a>(loaded: &'a Loaded, name: Option<&str>) -> Result<(&'a CameraConfig, &'a Source), CommandError> {
    let cameras = &loaded.config.camera;
    let chosen = cameras.iter().find(|camera| name.is_none_or(|name| camera.name == name));
    chosen.and_then(|camera| Some((camera, camera.source.as_ref()?))).ok_or_else(|| {
        let known: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
        CommandError::Usage(format!(
            "no camera is called '{}'; {} has: {}",
            name.unwrap_or_default(),
            loaded.name(),
            known.join(", ")
        ))
    })
}

/// The last frame of a short watch with everything drawn, as PNG.
fn picture(config: &Config, camera: &CameraConfig, source: &Source) -> Result<Vec<u8>, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(format!("camera '{}': {error}", camera.name));
    let mut detector = Detector::open(&config.detector).map_err(|error| CommandError::Failed(error.to_string()))?;
    tracing::info!("watching the camera '{}' for {} s", camera.name, WATCH.as_secs());
    let (mut motion, mut last) = (Motion::new(&config.motion), Frame::empty());
    watch(source, camera.into(), WATCH, &mut |frame: &mut Frame| -> Result<(), CaptureError> {
        let at = frame.at;
        motion.update(&frame.picture()?, at);
        std::mem::swap(frame, &mut last);
        Ok(())
    })
    .map_err(|error| failed(&error))?;

    let mut shown = last.picture().map_err(|error| failed(&error))?;
    let image = upright_rgb(&shown);
    let mut detections = Vec::new();
    shown.exposure = motion.exposure_gain();
    detector
        .detect(&shown, None, config.tracking.confidence, &mut detections)
        .map_err(|error| CommandError::Failed(error.to_string()))?;
    let input = detector.input();
    let sight = Sight {
        moving: motion.regions(),
        detections: &detections,
        classes: detector.classes(),
        input_px: (input.width, input.height),
    };
    let drawn = draw(image, camera, &sight);
    let mut png = Cursor::new(Vec::new());
    drawn.write_to(&mut png, ImageFormat::Png).map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(png.into_inner())
}
