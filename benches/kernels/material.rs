//! Pictures and detections that depend on nothing but their number.

use tawny::capture::{Colour, Matrix, Picture, Plane, Rotation};
use tawny::detect::Detection;
use tawny::domain::{BBox, Group};

/// A number in 0..1 that depends on nothing but `i`.
pub fn noise(i: u32) -> f32 {
    (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32
}

/// The names of COCO's classes, as far as groups go.
pub fn class_name(index: u32) -> &'static str {
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

/// Something, somewhere.
pub fn detection(i: u32) -> Detection {
    let at = |salt| noise(i * 5 + salt);
    let bbox = BBox::new(at(0) * 0.8, at(1) * 0.8, 0.05 + at(2) * 0.15, 0.05 + at(3) * 0.15);
    Detection { bbox, group: Group::Person, confidence: at(4), class: 0, class_score: at(4) }
}

/// `n` people in rows who have all walked `steps` steps.
pub fn walkers(n: u32, steps: u32) -> impl Iterator<Item = Detection> {
    (0..n).map(move |i| {
        let (column, row) = (i % 10, i / 10);
        let x = (0.09 * column as f32 + 0.004 * steps as f32) % 0.9;
        let jitter = 0.002 * noise(i * 7919 + steps);
        let bbox = BBox::new(x + jitter, 0.05 + 0.3 * row as f32 + jitter, 0.04, 0.2);
        Detection { bbox, group: Group::Person, confidence: 0.6, class: 0, class_score: 0.6 }
    })
}

/// Owns the planes of a 4:2:0 picture of noise.
pub struct TestPicture {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

impl TestPicture {
    /// `salt` makes it different from others.
    pub fn new(width: usize, height: usize, salt: u32) -> TestPicture {
        let fill = |samples: usize| {
            (0..samples as u32).map(|i| (noise(i.wrapping_add(salt)) * 255.0) as u8).collect::<Vec<_>>()
        };
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        TestPicture { width, height, planes: [fill(width * height), fill(chroma), fill(chroma)] }
    }

    /// As the decoder would hand it over.
    pub fn picture(&self) -> Picture<'_> {
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
