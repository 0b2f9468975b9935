//! Resizes one plane of 8-bit samples, or a part of it.
//!
//! Rows are blended first, straight from the decoder's memory, into one line of
//! 16-bit sums; the line is then sampled. Shrinking to less than half averages
//! the area that falls together (what OpenCV calls INTER_AREA), or fine texture
//! would turn into noise that flickers from frame to frame; above that samples
//! are interpolated between neighbours (bilinear, middles on middles), as in
//! the models' training.
//!
//! Everything is fixed point that SIMD units of any processor handle without
//! being addressed by name: the loops are written so that the compiler finds
//! them (NEON, SSE2, and AVX2 where the processor has it). Weights down add up to 2⁷, so that sums of bytes stay
//! within i16, those across to 2¹⁴. Nothing is allocated once the buffers have
//! their sizes.

use multiversion::multiversion;

use crate::capture::Plane;

/// The weights of one output sample add up to this, down and across.
const DOWN_ONE: f64 = 128.0;
const ACROSS_ONE: f64 = 16384.0;
/// The product of both, as a shift, and a half of it.
const SHIFT: u32 = 21;
const HALF: i32 = 1 << (SHIFT - 1);

/// Shrinking by more than this averages areas.
const AREA_FROM: f64 = 2.0;

/// Resizes planes; keeps its tables and its line between calls.
#[derive(Debug, Default)]
pub struct Resampler {
    down: Taps,
    across: Taps,
    line: Vec<i16>,
}

/// A rectangle of a plane, in samples; need not fall on whole ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// Where it begins.
    pub left: f64,
    /// The same, from the top.
    pub top: f64,
    /// More than zero.
    pub width: f64,
    /// More than zero.
    pub height: f64,
}

impl Resampler {
    /// Fills `out` with `crop` of `plane` at `size` (width, height), row by row.
    pub fn resize(&mut self, plane: &Plane<'_>, crop: Crop, size: (usize, usize), out: &mut Vec<u8>) {
        self.down
            .prepare(Axis { from: crop.top, length: crop.height, samples: plane.height, outputs: size.1 }, DOWN_ONE);
        self.across
            .prepare(Axis { from: crop.left, length: crop.width, samples: plane.width, outputs: size.0 }, ACROSS_ONE);
        out.resize(size.0 * size.1, 0);
        let columns = self.across.span();
        // Behind the line, zeros: taps are a fixed number of samples, and the
        // last ones may have fewer to look at.
        self.line.clear();
        self.line.resize(columns.len() + self.across.width, 0);
        let line_taps = self.down.starts.iter().zip(self.down.weights.chunks_exact(self.down.width.max(1)));
        for (row, (first, weights)) in out.chunks_exact_mut(size.0.max(1)).zip(line_taps) {
            blend_rows(plane, *first, weights, columns.clone(), &mut self.line);
            self.across.sample(&self.line, columns.start, row);
        }
    }
}

/// The weighted sum of rows `first`, `first + 1`, …, of `columns`, into `line`.
fn blend_rows(plane: &Plane<'_>, first: usize, weights: &[i16], columns: std::ops::Range<usize>, line: &mut [i16]) {
    let samples = |row: usize| plane.row(row.min(plane.height - 1)).get(columns.clone()).unwrap_or(&[]);
    for (pair, weights) in weights.as_chunks::<2>().0.iter().enumerate() {
        blend_pair(samples(first + pair * 2), samples(first + pair * 2 + 1), *weights, pair == 0, line);
    }
}

/// The weighted sum of two rows, instead of what is in `line` if it is the
/// `first` of an output, added to it if not.
#[multiversion(targets("x86_64+avx2"))]
fn blend_pair(upper: &[u8], lower: &[u8], [above, below]: [i16; 2], first: bool, line: &mut [i16]) {
    let sums = line.iter_mut().zip(upper.iter().zip(lower));
    // At most 255 × 128: nothing wraps. Saying so lets the compiler use SIMD.
    let blend = |a: u8, b: u8| i16::from(a).wrapping_mul(above).wrapping_add(i16::from(b).wrapping_mul(below));
    if first {
        sums.for_each(|(sum, (a, b))| *sum = blend(*a, *b));
    } else {
        sums.for_each(|(sum, (a, b))| *sum = sum.wrapping_add(blend(*a, *b)));
    }
}

/// One direction of a resize.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    from: f64,
    length: f64,
    samples: usize,
    outputs: usize,
}

/// For every output sample the input samples it is made of.
#[derive(Debug, Default)]
struct Taps {
    axis: Option<(Axis, f64)>,
    /// Weights for each output: a multiple of two.
    width: usize,
    /// The first input sample of each output.
    starts: Vec<usize>,
    /// `width` for each output, zero where fewer are needed.
    weights: Vec<i16>,
    /// Scratch.
    shares: Vec<f64>,
}

impl Taps {
    /// Works out the table, unless it is the one it holds. `one` is what each
    /// output's weights add up to.
    fn prepare(&mut self, axis: Axis, one: f64) {
        if self.axis == Some((axis, one)) {
            return;
        }
        let step = axis.length / axis.outputs.max(1) as f64;
        let most = if step > AREA_FROM { step.ceil() as usize + 1 } else { 2 };
        self.width = match most {
            0..=2 => 2,
            3..=4 => 4,
            n => n.next_multiple_of(8),
        };
        self.starts.clear();
        self.weights.clear();
        self.weights.resize(self.width * axis.outputs, 0);
        for (output, weights) in self.weights.chunks_exact_mut(self.width).enumerate() {
            self.shares.clear();
            let middle = axis.from + (output as f64 + 0.5) * step;
            let start = if step > AREA_FROM {
                cover(middle - step / 2.0, middle + step / 2.0, axis.samples, &mut self.shares)
            } else {
                between(middle - 0.5, axis.samples, &mut self.shares)
            };
            self.starts.push(start);
            quantise(&self.shares, one, weights);
        }
        self.axis = Some((axis, one));
    }

    /// The input samples that are looked at.
    fn span(&self) -> std::ops::Range<usize> {
        let samples = self.axis.map_or(0, |(axis, _)| axis.samples);
        let first = self.starts.first().copied().unwrap_or(0);
        let last = self.starts.last().map_or(0, |start| start + self.width);
        first..last.clamp(first, samples.max(first))
    }

    /// Samples `line`, whose first value belongs to input sample `offset`.
    fn sample(&self, line: &[i16], offset: usize, out: &mut [u8]) {
        match self.width {
            2 => sample_by_two(&self.starts, &self.weights, line, offset, out),
            4 => sample_by_four(&self.starts, &self.weights, line, offset, out),
            8 => sample_by_eight(&self.starts, &self.weights, line, offset, out),
            16 => sample_by_sixteen(&self.starts, &self.weights, line, offset, out),
            width => {
                for ((out, start), weights) in out.iter_mut().zip(&self.starts).zip(self.weights.chunks_exact(width)) {
                    let samples = line.get(start - offset..).unwrap_or(&[]);
                    *out = dot(samples.iter().zip(weights));
                }
            }
        }
    }
}

/// The compiler unrolls a fixed number of weights.
#[inline(always)]
fn sample_fixed<const WIDTH: usize>(starts: &[usize], weights: &[i16], line: &[i16], offset: usize, out: &mut [u8]) {
    let weights = weights.as_chunks::<WIDTH>().0;
    for ((out, start), weights) in out.iter_mut().zip(starts).zip(weights) {
        if let Some(samples) = line.get(start - offset..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
            *out = dot(samples.iter().zip(weights));
        }
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn sample_by_two(starts: &[usize], weights: &[i16], line: &[i16], offset: usize, out: &mut [u8]) {
    sample_fixed::<2>(starts, weights, line, offset, out);
}

#[multiversion(targets("x86_64+avx2"))]
fn sample_by_four(starts: &[usize], weights: &[i16], line: &[i16], offset: usize, out: &mut [u8]) {
    sample_fixed::<4>(starts, weights, line, offset, out);
}

#[multiversion(targets("x86_64+avx2"))]
fn sample_by_eight(starts: &[usize], weights: &[i16], line: &[i16], offset: usize, out: &mut [u8]) {
    sample_fixed::<8>(starts, weights, line, offset, out);
}

#[multiversion(targets("x86_64+avx2"))]
fn sample_by_sixteen(starts: &[usize], weights: &[i16], line: &[i16], offset: usize, out: &mut [u8]) {
    sample_fixed::<16>(starts, weights, line, offset, out);
}

#[inline(always)]
fn dot<'a>(terms: impl Iterator<Item = (&'a i16, &'a i16)>) -> u8 {
    // At most 255 × 2²¹.
    let sum =
        terms.fold(HALF, |sum, (sample, weight)| sum.wrapping_add(i32::from(*sample).wrapping_mul(i32::from(*weight))));
    (sum >> SHIFT) as u8
}

/// How much of each sample lies between `from` and `to`; gives the first one.
fn cover(from: f64, to: f64, samples: usize, shares: &mut Vec<f64>) -> usize {
    let limit = samples as f64;
    let (from, to) = (from.clamp(0.0, limit - 1e-6), to.clamp(1e-6, limit));
    let (first, last) = (from.floor() as usize, (to.ceil() as usize).clamp(1, samples));
    let share = |sample: usize| (to.min(sample as f64 + 1.0) - from.max(sample as f64)).max(0.0);
    shares.extend((first..last).map(share));
    first
}

/// Linear interpolation at `at`, where whole numbers are the samples' middles;
/// the outermost samples go on for ever.
fn between(at: f64, samples: usize, shares: &mut Vec<f64>) -> usize {
    let last = samples.saturating_sub(1);
    let at = at.clamp(0.0, last as f64);
    let first = (at.floor() as usize).min(last.saturating_sub(1));
    let below = at - first as f64;
    shares.extend([1.0 - below, below]);
    first
}

/// Whole weights in proportion to `shares` that add up to exactly `one`.
fn quantise(shares: &[f64], one: f64, weights: &mut [i16]) {
    let total: f64 = shares.iter().sum();
    let (mut sum, mut given) = (0.0, 0.0);
    for (weight, share) in weights.iter_mut().zip(shares) {
        sum += share;
        let due = (sum / total * one).round();
        *weight = (due - given) as i16;
        given = due;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn resize(data: &[u8], (width, height): (usize, usize), crop: Crop, size: (usize, usize)) -> Vec<u8> {
        let mut out = Vec::new();
        Resampler::default().resize(&Plane::new(data, width, height, width).unwrap(), crop, size, &mut out);
        out
    }

    /// The same in floating point, sample by sample.
    fn exact(data: &[u8], (width, height): (usize, usize), crop: Crop, (w, h): (usize, usize)) -> Vec<f64> {
        let taps = |from: f64, length: f64, samples, outputs: usize, output: usize| {
            let (step, mut shares) = (length / outputs as f64, Vec::new());
            let middle = from + (output as f64 + 0.5) * step;
            let start = match step > AREA_FROM {
                true => cover(middle - step / 2.0, middle + step / 2.0, samples, &mut shares),
                false => between(middle - 0.5, samples, &mut shares),
            };
            let total: f64 = shares.iter().sum();
            shares
                .into_iter()
                .enumerate()
                .map(move |(i, s)| ((start + i).min(samples - 1), s / total))
                .collect::<Vec<_>>()
        };
        let mut out = Vec::new();
        for y in 0..h {
            let down = taps(crop.top, crop.height, height, h, y);
            for x in 0..w {
                let across = taps(crop.left, crop.width, width, w, x);
                let row = |y: usize| across.iter().map(|(x, s)| f64::from(data[y * width + x]) * s).sum::<f64>();
                out.push(down.iter().map(|(y, s)| row(*y) * s).sum());
            }
        }
        out
    }

    #[test]
    fn shrinking_averages_and_enlarging_interpolates() {
        let whole = |w, h| Crop { left: 0.0, top: 0.0, width: w, height: h };
        let rows = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110];
        assert_eq!(resize(&rows, (6, 2), whole(6.0, 2.0), (2, 1)), [40, 70]);
        assert_eq!(resize(&[0, 100], (2, 1), whole(2.0, 1.0), (4, 1)), [0, 25, 75, 100]);
        assert_eq!(resize(&[7], (1, 1), whole(1.0, 1.0), (3, 2)), [7; 6]);
    }

    proptest! {
        #[test]
        fn every_size_and_crop_is_what_the_arithmetic_says(
            width in 1usize..90, height in 1usize..60, w in 1usize..40, h in 1usize..40,
            x in 0f64..0.9, y in 0f64..0.9, part_w in 0.01f64..1.0, part_h in 0.01f64..1.0, seed in any::<u32>(),
        ) {
            let noise = |i: usize| ((i as u32 ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8;
            let data: Vec<u8> = (0..width * height).map(noise).collect();
            let (left, top) = (x * width as f64, y * height as f64);
            let crop = Crop {
                left,
                top,
                width: (part_w * width as f64).min(width as f64 - left),
                height: (part_h * height as f64).min(height as f64 - top),
            };
            let out = resize(&data, (width, height), crop, (w, h));
            let expected = exact(&data, (width, height), crop, (w, h));
            prop_assert_eq!(out.len(), expected.len());
            // Weights are rounded to a 128th; the more there are, the further off
            // their sum over noise may be.
            let weights = (crop.width / w as f64).max(1.0) + (crop.height / h as f64).max(1.0);
            let most = 1.5 + 0.8 * weights.sqrt();
            for (out, expected) in out.iter().zip(&expected) {
                prop_assert!((f64::from(*out) - expected).abs() <= most, "{out} for {expected}");
            }
        }

        #[test]
        fn one_colour_stays_that_colour(
            value in any::<u8>(), width in 1usize..300, height in 1usize..40, w in 1usize..70, h in 1usize..20,
        ) {
            let crop = Crop { left: 0.0, top: 0.0, width: width as f64, height: height as f64 };
            let out = resize(&vec![value; width * height], (width, height), crop, (w, h));
            prop_assert!(out.iter().all(|v| *v == value));
        }
    }
}
