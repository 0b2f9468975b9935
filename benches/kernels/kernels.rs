//! The kernels, each with material of its own. To measure another one, add it
//! to [`all`].

use std::hint::black_box;
use std::time::Duration;

use tawny::capture::{Activity, Gate, GateSettings, PacketFacts, Picture, PictureKind, Rotation, Verdict};
use tawny::config::{MotionConfig, TrackingConfig};
use tawny::detect::{Classes, Detection, GroupColumns, InputLayout, InputSpec, MAX_OVERLAP, Preprocessor};
use tawny::detect::{Sample, Scaling, suppress_overlaps};
use tawny::domain::{BBox, Mono};
use tawny::motion::Motion;
use tawny::track::Tracker;

use crate::material::{TestPicture, class_name, detection, noise, walkers};

/// One thing to measure.
pub struct Kernel {
    /// Its name in tables and on the command line.
    pub name: &'static str,
    /// One run.
    pub run: Box<dyn FnMut()>,
}

const BYTES: InputSpec = InputSpec::bytes(416, 416);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Every kernel, in the order of the data.
pub fn all() -> Vec<Kernel> {
    let floats = InputSpec { sample: Sample::Float, layout: InputLayout::Chw, scaling: Scaling::IMAGENET, ..BYTES };
    vec![
        gate(),
        motion("motion-1080p", 1920, 1080),
        motion("motion-360p", 640, 360),
        preprocess("preprocess-1080p-u8", BYTES, |picture| (picture, None)),
        preprocess("preprocess-1080p-f32", floats, |picture| (picture, None)),
        preprocess("preprocess-1080p-turned", BYTES, |picture| {
            (Picture { rotation: Rotation::Quarter, ..picture }, None)
        }),
        preprocess("preprocess-1080p-crop", BYTES, |picture| (picture, Some(BBox::new(0.3, 0.3, 0.22, 0.39)))),
        evidence(),
        suppression(),
        association(),
    ]
}

fn kernel(name: &'static str, run: impl FnMut() + 'static) -> Kernel {
    Kernel { name, run: Box::new(run) }
}

/// Luma grid, background and regions of a noisy picture with a little noise
/// of its own in every frame.
fn motion(name: &'static str, width: usize, height: usize) -> Kernel {
    let pictures = [1, 2, 3].map(|salt| TestPicture::new(width, height, salt * 77));
    let mut model = Motion::new(&MotionConfig::default());
    let mut frames = 0u32;
    let mut at = Mono::ZERO;
    let mut run = move || {
        frames += 1;
        at = at.plus(LOOK);
        black_box(model.update(&pictures[frames as usize % pictures.len()].picture(), at));
    };
    (0..40).for_each(|_| run());
    kernel(name, run)
}

/// Forty seconds of a still scene's packets through the gate.
fn gate() -> Kernel {
    const GROUP: u64 = 50;
    let mut gate = Gate::new(&GateSettings { enabled: true, idle_interval: Duration::from_secs(10) });
    let pause = Duration::from_millis(40);
    let (mut number, mut at) = (0u64, Mono::ZERO);
    kernel("gate-1000", move || {
        for _ in 0..1000 {
            let position = (number % GROUP) as u32;
            let (kind, usual) =
                if position == 0 { (PictureKind::Key, 90_000.0) } else { (PictureKind::Reference, 3000.0) };
            let size = (usual * (1.0 + 0.05 * noise(number as u32))) as usize;
            (number, at) = (number + 1, at.plus(pause));
            match gate.packet(&PacketFacts { at, size, kind, position, pause: Some(pause) }) {
                Verdict::Decode { .. } => _ = black_box(gate.seen(at, Activity::default())),
                Verdict::Probe => _ = black_box(gate.probed(Some(false))),
                Verdict::Skip => {}
            }
        }
    })
}

/// The whole picture or a part of it into the model's input.
fn preprocess(
    name: &'static str,
    spec: InputSpec,
    show: impl for<'p> Fn(Picture<'p>) -> (Picture<'p>, Option<BBox>) + 'static,
) -> Kernel {
    let picture = TestPicture::new(1920, 1080, 0);
    let mut preprocessor = Preprocessor::new(spec);
    kernel(name, move || {
        let (picture, region) = show(picture.picture());
        let _ = black_box(preprocessor.fill(&picture, region));
    })
}

/// From 80 class scores of each of NanoDet's 3549 anchors to groups.
fn evidence() -> Kernel {
    let scores: Vec<f32> = (0..3549 * 80).map(|i| noise(i) * 0.12).collect();
    let columns = GroupColumns::new(&Classes::new((0..80).map(|i| class_name(i).to_owned()).collect()));
    kernel("evidence-3549x80", move || {
        black_box(scores.chunks_exact(80).map(|row| columns.combine(row, 0.15).count()).sum::<usize>());
    })
}

/// Non-maximum suppression.
fn suppression() -> Kernel {
    let crowd: Vec<Detection> = (0..300).map(detection).collect();
    let mut found = Vec::with_capacity(crowd.len());
    kernel("suppression-300", move || {
        found.clear();
        found.extend_from_slice(&crowd);
        suppress_overlaps(&mut found, MAX_OVERLAP);
        black_box(found.len());
    })
}

/// Prediction, association and life cycle of thirty people, for one look.
fn association() -> Kernel {
    let mut tracker = Tracker::new(&TrackingConfig::default());
    let mut found = Vec::new();
    let (mut steps, mut at) = (0, Mono::ZERO);
    let mut run = move || {
        (steps, at) = (steps + 1, at.plus(LOOK));
        found.clear();
        found.extend(walkers(30, steps));
        tracker.update(at, &found, &[0.5; 30], |_| true);
        black_box(tracker.tracks().len());
    };
    (0..30).for_each(|_| run());
    kernel("association-30", run)
}
