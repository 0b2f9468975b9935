//! What no pipeline can do without: decoding every frame of a clip in one
//! thread, and one `session.run` of the detector, on a filled input, in a
//! session of the same settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use ffmpeg_next as ffmpeg;
use rustix::time::ClockId;
use tawny::capture::{Decoder, Frame, Interrupt, OpenSettings, VideoInput};
use tawny::config::{DetectorConfig, Source};
use tawny::detect::Detector;

use crate::cpu_ms;
use crate::material::TestPicture;

/// Inferences that are timed.
const INFERENCES: u32 = 60;

/// Prints a line of JSON for each clip, with the cost of one inference for each of
/// `sizes` ("416x256,416x416"); fails when one cannot be measured.
pub fn report(sizes: &str, clips: &[&str]) -> ExitCode {
    let costs: Result<BTreeMap<&str, f64>, String> =
        sizes.split(',').map(|size| Ok((size, inference_ms(size)?))).collect();
    let inference_ms = match costs {
        Ok(costs) => costs,
        Err(why) => {
            eprintln!("no inference: {why}");
            return ExitCode::FAILURE;
        }
    };
    for clip in clips {
        match decode(clip) {
            Ok((frames, decode_s)) => println!(
                "{}",
                serde_json::json!({"clip": clip, "frames": frames, "decode_s": decode_s, "inference_ms": inference_ms})
            ),
            Err(why) => {
                eprintln!("{clip}: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The mean CPU time of one inference on an input of this size, all its threads
/// together.
fn inference_ms(size: &str) -> Result<f64, String> {
    let sides = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let (width, height): (usize, usize) = sides.ok_or_else(|| format!("{size} is no size"))?;
    let mut detector = Detector::open(&DetectorConfig::default()).map_err(|e| e.to_string())?;
    let picture = TestPicture::new(width, height, 0);
    let picture = picture.picture();
    detector.infer_only(&picture, 5).map_err(|e| e.to_string())?;
    let start = cpu_ms(ClockId::ProcessCPUTime);
    detector.infer_only(&picture, INFERENCES).map_err(|e| e.to_string())?;
    Ok((cpu_ms(ClockId::ProcessCPUTime) - start) / f64::from(INFERENCES))
}

/// Frames in `clip` and the CPU seconds of opening and decoding it.
fn decode(clip: &str) -> Result<(u64, f64), String> {
    let path = Path::new(clip).to_str().ok_or("the name is not UTF-8")?;
    let start = cpu_ms(ClockId::ProcessCPUTime);
    let mut input =
        VideoInput::open(&Source::Location(path.to_owned()), OpenSettings::default(), &Interrupt::default())
            .map_err(|e| e.to_string())?;
    let mut decoder = Decoder::open(input.info()).map_err(|e| e.to_string())?;
    let (mut packet, mut frame, mut frames) = (ffmpeg::Packet::empty(), Frame::empty(), 0);
    loop {
        let more = input.read(&mut packet).map_err(|e| e.to_string())?;
        if more {
            decoder.send(&packet)
        } else {
            decoder.send_end()
        }
        while decoder.receive(&mut frame).is_some() {
            frames += 1;
        }
        if !more {
            return Ok((frames, (cpu_ms(ClockId::ProcessCPUTime) - start) / 1e3));
        }
    }
}
