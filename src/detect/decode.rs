//! Reading a model's outputs: boxes and scores by model family.

/// A model family whose outputs Tawny can read.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    /// NanoDet (RangiLyu) with the decoding in its graph: `boxes` [1, N, 4],
    /// corners in input pixels; `scores` [1, N, C], 0..=1.
    NanoDetDecoded,
    /// NanoDet as upstream exports it: `scores` [1, N, C], 0..=1; `dist`
    /// [1, N, 4 × bins], for each side a distribution of its distance from
    /// the anchor's centre (Generalized Focal Loss, Li et al. 2020).
    NanoDetRaw(Anchors),
}

impl Family {
    /// The name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Family::NanoDetDecoded => "NanoDet",
            Family::NanoDetRaw(_) => "NanoDet, raw heads",
        }
    }

    /// Names of the outputs that carry boxes and scores.
    pub fn outputs(&self) -> (&'static str, &'static str) {
        match self {
            Family::NanoDetDecoded => ("boxes", "scores"),
            Family::NanoDetRaw(_) => ("dist", "scores"),
        }
    }

    /// The box of anchor `index`: left, top, right, bottom in input pixels,
    /// unclipped. `values` is the whole output that carries the boxes. `None`
    /// where the output has no such anchor or the numbers are not finite.
    pub fn corners(&self, values: &[f32], index: usize) -> Option<[f32; 4]> {
        let corners = match self {
            Family::NanoDetDecoded => *values.as_chunks::<4>().0.get(index)?,
            Family::NanoDetRaw(anchors) => anchors.corners(values, index)?,
        };
        corners.iter().all(|value| value.is_finite()).then_some(corners)
    }
}

/// NanoDet's grid of anchors: strides 8, 16 and 32 concatenated, row-major,
/// centres at ((column + ½) stride, (row + ½) stride).
#[derive(Debug, Clone, PartialEq)]
pub struct Anchors {
    bins: usize,
    /// Centre x, centre y, stride, in input pixels.
    cells: Vec<[f32; 3]>,
}

/// Strides of the three levels.
pub const STRIDES: [usize; 3] = [8, 16, 32];

impl Anchors {
    /// For an input of `width` × `height` pixels and distributions of `bins`
    /// bins a side.
    pub fn new(width: usize, height: usize, bins: usize) -> Anchors {
        let mut cells = Vec::with_capacity(Anchors::count(width, height));
        for stride in STRIDES {
            for row in 0..height / stride {
                for column in 0..width / stride {
                    let s = stride as f32;
                    cells.push([(column as f32 + 0.5) * s, (row as f32 + 0.5) * s, s]);
                }
            }
        }
        Anchors { bins, cells }
    }

    /// How many anchors an input of this size has.
    pub fn count(width: usize, height: usize) -> usize {
        STRIDES.iter().map(|stride| (width / stride) * (height / stride)).sum()
    }

    fn corners(&self, dist: &[f32], index: usize) -> Option<[f32; 4]> {
        let &[x, y, stride] = self.cells.get(index)?;
        let row = self.bins * 4;
        let sides = dist.get(index * row..(index + 1) * row)?;
        let mut distance = [0.0; 4];
        for (distance, bins) in distance.iter_mut().zip(sides.chunks_exact(self.bins)) {
            *distance = expected_bin(bins) * stride;
        }
        let [left, top, right, bottom] = distance;
        Some([x - left, y - top, x + right, y + bottom])
    }
}

/// The expectation over 0..bins of the softmax of `logits`.
fn expected_bin(logits: &[f32]) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let weight = (logit - highest).exp();
        sum += weight;
        weighted += weight * bin as f32;
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn raw_heads_decode_as_the_reference_does() {
        // Made by a numpy decode of the same numbers.
        let expected: [(usize, [f32; 4]); 5] = [
            (0, [-30.183, -67.836, 11.052, 45.612]),
            (53, [5.342, -25.711, 84.811, 19.946]),
            (2704, [-19.357, -104.92, 111.166, 46.475]),
            (3380, [-252.211, -17.887, 142.844, 299.624]),
            (3548, [272.957, 116.294, 426.862, 556.632]),
        ];
        assert_eq!(Anchors::count(416, 416), 3549);
        let dist: Vec<f32> = (0..3549 * 44).map(|i| (f64::from(i) * 0.37).sin() as f32 * 3.0).collect();
        let family = Family::NanoDetRaw(Anchors::new(416, 416, 11));
        for (anchor, corners) in expected {
            let decoded = family.corners(&dist, anchor).unwrap();
            assert!(decoded.iter().zip(corners).all(|(a, b)| (a - b).abs() < 0.01), "{anchor}: {decoded:?}");
        }
    }

    #[test]
    fn what_is_no_box_is_none() {
        let decoded = Family::NanoDetDecoded;
        assert_eq!(decoded.corners(&[1.0, 2.0, 3.0, 4.0], 0), Some([1.0, 2.0, 3.0, 4.0]));
        assert_eq!(decoded.corners(&[1.0, 2.0, 3.0, 4.0], 1), None);
        assert_eq!(decoded.corners(&[1.0, f32::NAN, 3.0, 4.0], 0), None);
        assert_eq!(decoded.corners(&[1.0, f32::INFINITY, 3.0, 4.0], 0), None);
        let raw = Family::NanoDetRaw(Anchors::new(32, 32, 11));
        assert_eq!(raw.corners(&[0.0; 44], 1), None);
        assert_eq!(raw.corners(&[f32::NAN; 44], 0), None);
        assert_eq!(raw.corners(&[f32::INFINITY; 44], 0), None);
    }
}
