//! What looking at one picture costs, stage by stage:
//! `cargo bench --bench detect`. Prints the median of many runs in
//! milliseconds of this thread's CPU time: other processes do not count.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tawny::capture::{Colour, Matrix, Picture, Plane, Rotation};
use tawny::config::DetectorConfig;
use tawny::detect::{Classes, Detection, Detector, GroupColumns, InputLayout, InputSpec, Preprocessor};
use tawny::detect::{MAX_OVERLAP, suppress_overlaps};
use tawny::domain::{BBox, Group};

fn main() {
    let picture = TestPicture::new(1920, 1080);
    let bytes = InputSpec { width: 416, height: 416, layout: InputLayout::BytesHwc };
    let floats = InputLayout::FloatsChw { mean: [120.0; 3], deviation: [58.0; 3] };
    let turned = Picture { rotation: Rotation::Quarter, ..picture.picture() };
    let third = BBox::new(0.3, 0.3, 0.33, 0.5);

    let mut preprocessor = Preprocessor::new(bytes);
    report("preprocess 1080p 4:2:0 -> u8 416", || preprocessor.fill(&picture.picture(), None));
    report("preprocess 1080p 4:2:0 turned", || preprocessor.fill(&turned, None));
    report("preprocess a third of 1080p", || preprocessor.fill(&picture.picture(), Some(third)));
    let mut preprocessor = Preprocessor::new(InputSpec { layout: floats, ..bytes });
    report("preprocess 1080p 4:2:0 -> f32 416", || preprocessor.fill(&picture.picture(), None));

    let scores: Vec<f32> = (0..3549 * 80).map(|i| noise(i) * 0.12).collect();
    let columns = GroupColumns::new(&Classes::new((0..80).map(|i| class_name(i).to_owned()).collect()));
    report("evidence of 3549 anchors x 80 classes", || {
        scores.chunks_exact(80).map(|row| columns.combine(row, 0.15).count()).sum::<usize>()
    });

    let crowd: Vec<Detection> = (0..300).map(detection).collect();
    let mut found = Vec::with_capacity(crowd.len());
    report("suppression of 300 boxes", || {
        found.clear();
        found.extend_from_slice(&crowd);
        suppress_overlaps(&mut found, MAX_OVERLAP);
    });

    match Detector::open(&DetectorConfig::default()) {
        Err(error) => println!("no inference: {error}"),
        Ok(mut detector) => {
            let mut found = Vec::new();
            report("all of it, with inference, 1 thread", || {
                detector.detect(&picture.picture(), None, 0.15, &mut found).map_err(|error| error.to_string())
            });
        }
    }
}

/// Runs `work` for about a second, at least five times.
fn report<T>(title: &str, mut work: impl FnMut() -> T) {
    let mut runs = Vec::new();
    let begin = Instant::now();
    while runs.len() < 5 || begin.elapsed() < Duration::from_secs(1) {
        let start = cpu_ms();
        black_box(work());
        runs.push(cpu_ms() - start);
    }
    runs.sort_by(f64::total_cmp);
    println!("{title:40} {:8.3} ms", runs[runs.len() / 2]);
}

fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

/// A number in 0..1 that depends on nothing but `i`.
fn noise(i: u32) -> f32 {
    (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32
}

fn class_name(index: u32) -> &'static str {
    match index {
        0 => "person",
        1 => "bicycle",
        2 => "car",
        3 => "motorcycle",
        5 => "bus",
        7 => "truck",
        14..24 => "animal",
        _ => "thing",
    }
}

fn detection(i: u32) -> Detection {
    let at = |salt| noise(i * 5 + salt);
    let bbox = BBox::new(at(0) * 0.8, at(1) * 0.8, 0.05 + at(2) * 0.15, 0.05 + at(3) * 0.15);
    Detection { bbox, group: Group::Person, confidence: at(4), class: 0, class_score: at(4) }
}

struct TestPicture {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

impl TestPicture {
    fn new(width: usize, height: usize) -> TestPicture {
        let fill = |samples: usize| (0..samples as u32).map(|i| (noise(i) * 255.0) as u8).collect::<Vec<_>>();
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        TestPicture { width, height, planes: [fill(width * height), fill(chroma), fill(chroma)] }
    }

    fn picture(&self) -> Picture<'_> {
        let plane = |data, width, height| Plane { data, width, height, stride: width };
        let [y, u, v] = &self.planes;
        let (cw, ch) = (self.width.div_ceil(2), self.height.div_ceil(2));
        Picture {
            y: plane(y, self.width, self.height),
            chroma: Some((plane(u, cw, ch), plane(v, cw, ch))),
            colour: Colour { matrix: Matrix::Bt709, full_range: false },
            rotation: Rotation::None,
            exposure: 1.0,
        }
    }
}
