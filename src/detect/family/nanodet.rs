//! NanoDet (RangiLyu): class scores for every cell of a grid, boxes decoded in
//! the graph or as distributions of the four sides' distances (Generalized
//! Focal Loss, Li et al. 2020). Takes RGB in the middle of black, bytes or
//! normalised with ImageNet's statistics.

use super::super::letterbox::Fit;
use super::super::preprocess::{InputSpec, Scaling};
use super::grid::{self, Cell};
use super::{Finds, Fitting, Head, Misfit, Numbering, Recognised, Signature, finite};

/// `scores` [1, N, C] with `boxes` [1, N, 4] or `dist` [1, N, 4 × bins].
pub fn recognise(model: &Signature, _named: bool) -> Fitting {
    let is_table = |shape: &[i64]| shape.len() == 3;
    let table = |name: &str| model.output(name).filter(|(_, tensor)| is_table(&tensor.shape));
    let (boxes, dist) = (table("boxes"), table("dist"));
    let Some((scores, rows_of_scores)) = table("scores").filter(|_| boxes.is_some() || dist.is_some()) else {
        let reason = "NanoDet has scores [1, N, C] and boxes [1, N, 4] or dist [1, N, 4 x bins]";
        return Err(Misfit::Other(format!("{reason}; {}", model.describe_outputs())));
    };
    let wrong = |reason: String| Misfit::Wrong(format!("{reason}; {}", model.describe_outputs()));
    grid::check(model.size).map_err(Misfit::Wrong)?;
    // A graph that was not tried out leaves their number open with its size.
    let is_open = model.image.width.is_none() && model.image.height.is_none();
    let cells = if is_open && rows_of_scores.shape.get(1) == Some(&-1) { -1 } else { grid::count(model.size) as i64 };
    let classes = match *rows_of_scores.shape.as_slice() {
        [1, rows, classes] if rows == cells && (1..=10_000).contains(&classes) => classes as usize,
        _ => {
            let (width, height) = model.size;
            return Err(wrong(format!("scores is not [1, {cells}, classes] for a {width}x{height} input")));
        }
    };
    let neither = || wrong(format!("neither boxes [1, {cells}, 4] nor dist [1, {cells}, 4 x bins]"));
    // Corners that the graph has decoded are right at whatever size it was shown.
    let mut fit = Fit::Centred;
    let (box_output, head): (usize, Box<dyn Head>) = match (boxes, dist) {
        (Some((index, boxes)), _) if boxes.shape == [1, cells, 4] => {
            if is_open {
                fit = Fit::Trimmed;
            }
            (index, Box::new(Decoded { classes }))
        }
        (None, Some((index, dist))) => match *dist.shape.as_slice() {
            [1, rows, numbers] if rows == cells && (8..=4000).contains(&numbers) && numbers % 4 == 0 => {
                (index, Box::new(Raw { classes, bins: numbers as usize / 4, cells: grid::cells(model.size) }))
            }
            _ => return Err(neither()),
        },
        _ => return Err(neither()),
    };
    Ok(Recognised {
        head,
        outputs: vec![box_output, scores],
        input: InputSpec { scaling: Scaling::IMAGENET, padding: 0, fit, ..model.input() },
        classes: Some(classes),
        numbering: Numbering::Dense,
    })
}

/// `boxes` [1, N, 4], corners in input pixels; `scores` [1, N, C], 0..=1.
#[derive(Debug)]
struct Decoded {
    classes: usize,
}

impl Head for Decoded {
    fn name(&self) -> &'static str {
        "NanoDet"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let &[boxes, scores] = outputs else { return };
        let boxes = boxes.as_chunks::<4>().0;
        for (index, row) in scores.chunks_exact(self.classes).enumerate() {
            finds.scored(1.0, row, || finite(*boxes.get(index)?));
        }
    }
}

/// `dist` [1, N, 4 × bins], for each side a distribution of its distance from
/// the cell's centre; `scores` as above.
#[derive(Debug)]
struct Raw {
    classes: usize,
    bins: usize,
    cells: Vec<Cell>,
}

impl Head for Raw {
    fn name(&self) -> &'static str {
        "NanoDet, raw heads"
    }

    fn read(&mut self, outputs: &[&[f32]], finds: &mut Finds) {
        let &[dist, scores] = outputs else { return };
        for (index, row) in scores.chunks_exact(self.classes).enumerate() {
            finds.scored(1.0, row, || self.corners(dist, index));
        }
    }
}

impl Raw {
    /// The box of cell `index`: left, top, right, bottom in input pixels,
    /// unclipped.
    fn corners(&self, dist: &[f32], index: usize) -> Option<[f32; 4]> {
        let &Cell { column, row, stride } = self.cells.get(index)?;
        let (x, y) = ((column + 0.5) * stride, (row + 0.5) * stride);
        let length = self.bins * 4;
        let sides = dist.get(index * length..(index + 1) * length)?;
        let mut distance = [0.0; 4];
        for (distance, bins) in distance.iter_mut().zip(sides.chunks_exact(self.bins)) {
            *distance = expected_bin(bins) * stride;
        }
        let [left, top, right, bottom] = distance;
        finite([x - left, y - top, x + right, y + bottom])
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
        assert_eq!(grid::count((416, 416)), 3549);
        let dist: Vec<f32> = (0..3549 * 44).map(|i| (f64::from(i) * 0.37).sin() as f32 * 3.0).collect();
        let raw = Raw { classes: 80, bins: 11, cells: grid::cells((416, 416)) };
        for (anchor, corners) in expected {
            let decoded = raw.corners(&dist, anchor).unwrap();
            assert!(decoded.iter().zip(corners).all(|(a, b)| (a - b).abs() < 0.01), "{anchor}: {decoded:?}");
        }
    }

    #[test]
    fn what_is_no_box_is_none() {
        let raw = Raw { classes: 1, bins: 11, cells: grid::cells((32, 32)) };
        assert_eq!(raw.corners(&[0.0; 44], 1), None);
        assert_eq!(raw.corners(&[f32::NAN; 44], 0), None);
        assert_eq!(raw.corners(&[f32::INFINITY; 44], 0), None);
    }
}
