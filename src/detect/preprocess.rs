//! From the decoder's planes to the model's input, without an RGB picture of
//! the full size in between.
//!
//! Each plane is resized by itself to the size at which the model sees it
//! (`resample`), then one pass over these small planes converts
//! to RGB, turns the picture upright and writes the samples in the layout and
//! type the model wants. At 1080p this touches a tenth of the pixels that
//! converting first would touch.
//!
//! All buffers are kept between calls.
#![expect(
    clippy::indexing_slicing,
    reason = "kernels: sizes are checked once, where the planes and the tensor are made"
)]

use std::num::Wrapping;

use half::f16;
use multiversion::multiversion;

use super::letterbox::{Fit, Letterbox};
use super::resample::{Crop, Resampler};
use crate::capture::{Colour, Matrix, Picture, Plane, Rotation};
use crate::domain::BBox;

/// What a model's input samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// u8, 0..=255.
    Byte,
    /// f16, scaled.
    Half,
    /// f32, scaled.
    Float,
}

/// How a model's input is stored; always three channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputLayout {
    /// [1, H, W, 3].
    Hwc,
    /// [1, 3, H, W].
    Chw,
}

/// Which channel comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// Red.
    Rgb,
    /// Blue, as OpenCV reads pictures.
    Bgr,
}

/// What is done to samples of 0..=255 that a model takes as floating point:
/// (value − mean) / deviation, for red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// What is subtracted, on the scale 0..=255.
    pub mean: [f32; 3],
    /// What it is then divided by.
    pub deviation: [f32; 3],
}

impl Scaling {
    /// 0..=255 as they are.
    pub const NONE: Scaling = Scaling { mean: [0.0; 3], deviation: [1.0; 3] };
    /// To 0..=1.
    pub const UNIT: Scaling = Scaling { mean: [0.0; 3], deviation: [255.0; 3] };
    /// By ImageNet's statistics.
    pub const IMAGENET: Scaling = Scaling { mean: [123.675, 116.28, 103.53], deviation: [58.395, 57.12, 57.375] };
}

/// A model's input: its size and what a picture must become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSpec {
    /// W, pixels; the most there may be with [`Fit::Native`] and [`Fit::Trimmed`].
    pub width: usize,
    /// H, pixels; the most there may be with [`Fit::Native`] and [`Fit::Trimmed`].
    pub height: usize,
    /// The type of its samples.
    pub sample: Sample,
    /// How they are stored.
    pub layout: InputLayout,
    /// The order of the channels.
    pub channels: Channels,
    /// How they are scaled; bytes never are.
    pub scaling: Scaling,
    /// Where in the input the picture goes.
    pub fit: Fit,
    /// What the bars beside it are filled with, 0..=255.
    pub padding: u8,
}

impl InputSpec {
    /// RGB bytes [1, H, W, 3], centred on black: the built-in model's.
    pub const fn bytes(width: usize, height: usize) -> InputSpec {
        InputSpec {
            width,
            height,
            sample: Sample::Byte,
            layout: InputLayout::Hwc,
            channels: Channels::Rgb,
            scaling: Scaling::NONE,
            fit: Fit::Centred,
            padding: 0,
        }
    }
}

/// The filled input, in the layout of its [`InputSpec`].
#[derive(Debug)]
pub enum Tensor {
    /// Samples of 0..=255.
    Bytes(Vec<u8>),
    /// Scaled samples.
    Halves(Vec<f16>),
    /// Scaled samples.
    Floats(Vec<f32>),
}

/// Why a picture could not be prepared. Neither happens with pictures from a
/// decoder; both name what was wrong.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// The region lies outside the picture or has no area.
    #[error("the region {0:?} shows nothing of the picture")]
    EmptyRegion(BBox),
    /// A plane has fewer bytes than its size says, or no samples.
    #[error("a {width}x{height} plane with {stride} bytes a row does not fit its {bytes} bytes")]
    Plane {
        /// Samples in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes from row to row.
        stride: usize,
        /// Bytes there are.
        bytes: usize,
    },
}

/// Fills one model's input, again and again.
#[derive(Debug)]
pub struct Preprocessor {
    spec: InputSpec,
    tensor: Tensor,
    /// Where the picture stands in `tensor`; outside is padding.
    filled: Option<Letterbox>,
    resampler: Resampler,
    small: [Vec<u8>; 3],
    row: Vec<[u8; 3]>,
    levels: Levels,
}

impl Preprocessor {
    /// For a model with this input.
    pub fn new(spec: InputSpec) -> Preprocessor {
        let size = spec.width * spec.height * 3;
        let tensor = match spec.sample {
            Sample::Byte => Tensor::Bytes(vec![0; size]),
            Sample::Half => Tensor::Halves(vec![f16::ZERO; size]),
            Sample::Float => Tensor::Floats(vec![0.0; size]),
        };
        Preprocessor {
            spec,
            tensor,
            filled: None,
            resampler: Resampler::default(),
            small: Default::default(),
            row: Vec::new(),
            levels: Levels::new(&spec.scaling),
        }
    }

    /// The input as last filled.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Shows the model `region` of `picture` (fractions of the upright
    /// picture; the whole if absent) and says where in the input it stands.
    ///
    /// # Errors
    /// When the region shows nothing of the picture; the input is then as it
    /// was before.
    pub fn fill(&mut self, picture: &Picture, region: Option<BBox>) -> Result<Letterbox, PreprocessError> {
        let upright = picture.upright_size();
        let region = visible_region(region, upright)?;
        let fit = Letterbox::fitted(self.spec.fit, region, upright, (self.spec.width, self.spec.height));
        let stored = picture.rotation.inverse().turn(&region);
        let size = if picture.rotation.is_sideways() { (fit.height, fit.width) } else { (fit.width, fit.height) };
        self.resize_planes(picture, stored, size)?;
        self.pad_around(&fit);
        self.convert(picture, &fit, size);
        Ok(fit)
    }

    fn resize_planes(&mut self, picture: &Picture, stored: BBox, size: (usize, usize)) -> Result<(), PreprocessError> {
        let luma = &picture.y;
        check(luma)?;
        let [small_y, small_u, small_v] = &mut self.small;
        let mut resize = |plane: &Plane, small: &mut Vec<u8>| -> Result<(), PreprocessError> {
            check(plane)?;
            let (across, down) = (subsampling(luma.width, plane.width), subsampling(luma.height, plane.height));
            let crop = crop_of(plane, stored, luma.width as f64 / across, luma.height as f64 / down);
            self.resampler.resize(plane, crop, size, small);
            Ok(())
        };
        resize(luma, small_y)?;
        if let Some((u, v)) = &picture.chroma {
            resize(u, small_u)?;
            resize(v, small_v)?;
        }
        Ok(())
    }

    /// Paints the bars, unless they are where they were. Where the input has no
    /// fixed size the tensor takes this look's here.
    fn pad_around(&mut self, fit: &Letterbox) {
        let place = |fit: &Letterbox| (fit.input, fit.left, fit.top, fit.width, fit.height);
        if self.filled.as_ref().map(place) == Some(place(fit)) {
            return;
        }
        let (spec, size) = (&self.spec, fit.input.0 * fit.input.1 * 3);
        match &mut self.tensor {
            Tensor::Bytes(bytes) => {
                bytes.clear();
                bytes.resize(size, spec.padding);
            }
            Tensor::Halves(halves) => {
                halves.resize(size, f16::ZERO);
                paint(halves, spec, |channel| self.levels.halves[channel][usize::from(spec.padding)]);
            }
            Tensor::Floats(floats) => {
                floats.resize(size, 0.0);
                paint(floats, spec, |channel| self.levels.floats[channel][usize::from(spec.padding)]);
            }
        }
        self.filled = Some(*fit);
    }

    /// The small planes, upright, as RGB into the tensor.
    fn convert(&mut self, picture: &Picture, fit: &Letterbox, size: (usize, usize)) {
        let convert = Converter::new(picture.colour, picture.exposure);
        let [y, u, v] = &self.small;
        let grey = picture.chroma.is_none();
        let mut row = std::mem::take(&mut self.row);
        row.resize(fit.width, [0; 3]);
        for line in 0..fit.height {
            let steps = Steps::of(picture.rotation, line, size);
            if grey {
                for (pixel, at) in row.iter_mut().zip(steps) {
                    *pixel = convert.grey(y[at]);
                }
            } else if picture.rotation == Rotation::None {
                let span = line * size.0..(line + 1) * size.0;
                convert_row(&convert, &y[span.clone()], &u[span.clone()], &v[span], &mut row);
            } else {
                for (pixel, at) in row.iter_mut().zip(steps) {
                    *pixel = convert.rgb(y[at], u[at], v[at]);
                }
            }
            let start = (fit.top + line) * fit.input.0 + fit.left;
            let place = RowPlace { start, area: fit.input.0 * fit.input.1, spec: &self.spec };
            match &mut self.tensor {
                Tensor::Bytes(bytes) if self.spec.layout == InputLayout::Hwc && self.spec.channels == Channels::Rgb => {
                    bytes[start * 3..(start + fit.width) * 3].copy_from_slice(row.as_flattened());
                }
                Tensor::Bytes(bytes) => place.write(bytes, &row, |_, value| value),
                Tensor::Halves(halves) => {
                    place.write(halves, &row, |channel, value| self.levels.halves[channel][usize::from(value)])
                }
                Tensor::Floats(floats) => {
                    place.write(floats, &row, |channel, value| self.levels.floats[channel][usize::from(value)])
                }
            }
        }
        self.row = row;
    }
}

/// One line of samples as it is stored, converted.
#[multiversion(targets("x86_64+avx2"))]
fn convert_row(convert: &Converter, y: &[u8], u: &[u8], v: &[u8], row: &mut [[u8; 3]]) {
    for (pixel, ((&y, &u), &v)) in row.iter_mut().zip(y.iter().zip(u).zip(v)) {
        *pixel = convert.rgb(y, u, v);
    }
}

/// What each of the 256 values becomes, for red, green and blue.
#[derive(Debug)]
struct Levels {
    halves: Box<[[f16; 256]; 3]>,
    floats: Box<[[f32; 256]; 3]>,
}

impl Levels {
    fn new(scaling: &Scaling) -> Levels {
        let mut levels = Levels { halves: Box::new([[f16::ZERO; 256]; 3]), floats: Box::new([[0.0; 256]; 3]) };
        for channel in 0..3 {
            for value in 0..256 {
                let level = (value as f32 - scaling.mean[channel]) / scaling.deviation[channel];
                levels.floats[channel][value] = level;
                levels.halves[channel][value] = f16::from_f32(level);
            }
        }
        levels
    }
}

impl Channels {
    /// Which of red, green and blue a model's channel `index` is.
    #[inline(always)]
    fn source(self, index: usize) -> usize {
        match self {
            Channels::Rgb => index,
            Channels::Bgr => 2 - index,
        }
    }
}

/// Fills the whole tensor with one value for each of red, green and blue.
fn paint<T: Copy>(tensor: &mut [T], spec: &InputSpec, value: impl Fn(usize) -> T) {
    let values = [0, 1, 2].map(|channel| value(spec.channels.source(channel)));
    match spec.layout {
        InputLayout::Hwc => tensor.as_chunks_mut::<3>().0.fill(values),
        InputLayout::Chw => {
            let area = (tensor.len() / 3).max(1);
            for (plane, value) in tensor.chunks_exact_mut(area).zip(values) {
                plane.fill(value);
            }
        }
    }
}

/// Where one row of pixels goes.
struct RowPlace<'a> {
    /// The first pixel's index among all of the input.
    start: usize,
    /// Pixels of the input.
    area: usize,
    spec: &'a InputSpec,
}

impl RowPlace<'_> {
    /// Writes `row` (red, green, blue) into `tensor`; `level` turns the value
    /// of a channel of these into a sample.
    #[inline(always)]
    fn write<T: Copy>(&self, tensor: &mut [T], row: &[[u8; 3]], level: impl Fn(usize, u8) -> T) {
        let channels = self.spec.channels;
        match self.spec.layout {
            InputLayout::Hwc => {
                let target = &mut tensor.as_chunks_mut::<3>().0[self.start..self.start + row.len()];
                for (sample, pixel) in target.iter_mut().zip(row) {
                    *sample = [0, 1, 2].map(|channel| {
                        let source = channels.source(channel);
                        level(source, pixel[source])
                    });
                }
            }
            InputLayout::Chw => {
                for channel in 0..3 {
                    let (at, source) = (channel * self.area + self.start, channels.source(channel));
                    for (sample, pixel) in tensor[at..at + row.len()].iter_mut().zip(row) {
                        *sample = level(source, pixel[source]);
                    }
                }
            }
        }
    }
}

/// Refuses planes that would be read past their end: their fields are public.
fn check(plane: &Plane) -> Result<(), PreprocessError> {
    let &Plane { data, width, height, stride } = plane;
    match Plane::new(data, width, height, stride) {
        Some(_) if width.max(height) <= u32::MAX as usize => Ok(()),
        _ => Err(PreprocessError::Plane { width, height, stride, bytes: data.len() }),
    }
}

/// The part of `region` inside the picture, at least about a pixel large.
fn visible_region(region: Option<BBox>, (width, height): (usize, usize)) -> Result<BBox, PreprocessError> {
    let whole = BBox::new(0.0, 0.0, 1.0, 1.0);
    let Some(region) = region else { return Ok(whole) };
    // Clipping would make something of what is no number.
    let finite = [region.x, region.y, region.w, region.h].iter().all(|value| value.is_finite());
    let visible = region.clipped();
    let enough = finite && visible.w * width as f32 >= 0.99 && visible.h * height as f32 >= 0.99;
    if enough { Ok(visible) } else { Err(PreprocessError::EmptyRegion(region)) }
}

/// How many luma samples one chroma sample stands for. Chroma planes are
/// rounded up: 5 luma columns at 4:2:0 have 3 of chroma, which reach over 6.
fn subsampling(luma: usize, chroma: usize) -> f64 {
    let exact = [1, 2, 4].into_iter().find(|&factor| luma.div_ceil(factor) == chroma);
    exact.map_or(luma as f64 / chroma as f64, |factor| factor as f64)
}

/// `stored` (fractions) as left, top, width, height in samples of `plane`,
/// of which the picture covers `across` × `down`, kept inside the plane.
fn crop_of(plane: &Plane, stored: BBox, across: f64, down: f64) -> Crop {
    let side = |start: f32, length: f32, covered: f64, limit: usize| {
        let limit = limit as f64;
        let from = (f64::from(start) * covered).clamp(0.0, limit);
        let to = (f64::from(start + length) * covered).clamp(0.0, limit);
        // A thousandth of a sample at the very edge still has a value.
        let from = from.min(limit - 1e-3);
        (from, (to - from).max(1e-3).min(limit - from))
    };
    let (left, width) = side(stored.x, stored.w, across, plane.width);
    let (top, height) = side(stored.y, stored.h, down, plane.height);
    Crop { left, top, width, height }
}

/// The samples of one upright line, in order, as indices into a stored plane.
struct Steps {
    at: isize,
    step: isize,
}

impl Steps {
    fn of(rotation: Rotation, line: usize, (width, height): (usize, usize)) -> Steps {
        let (w, h, line) = (width as isize, height as isize, line as isize);
        match rotation {
            Rotation::None => Steps { at: line * w, step: 1 },
            // Stored bottom row becomes the upright left column.
            Rotation::Quarter => Steps { at: (h - 1) * w + line, step: -w },
            Rotation::Half => Steps { at: (h - line) * w - 1, step: -1 },
            Rotation::ThreeQuarters => Steps { at: w - 1 - line, step: w },
        }
    }
}

impl Iterator for Steps {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.at as usize;
        self.at += self.step;
        Some(at)
    }
}

/// YCbCr to RGB in 16.16 fixed point (ITU-R BT.601-7, BT.709-6).
///
/// No product or sum comes near 2³¹ (at an exposure of 16 the largest is
/// 0.7 × 10⁹); `Wrapping` says so to the compiler, whose overflow checks would
/// otherwise keep it from using SIMD.
struct Converter {
    black: i32,
    luma: Wrapping<i32>,
    red: Wrapping<i32>,
    green: (Wrapping<i32>, Wrapping<i32>),
    blue: Wrapping<i32>,
}

impl Converter {
    fn new(colour: Colour, exposure: f32) -> Converter {
        // Far above what anybody asks for, and far from overflow.
        let exposure = f64::from(exposure).clamp(0.1, 16.0);
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (luma, chroma) = if colour.full_range { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        let fixed = |value: f64| Wrapping((value * exposure * 65536.0).round() as i32);
        Converter {
            black: if colour.full_range { 0 } else { 16 },
            luma: fixed(luma),
            red: fixed(2.0 * (1.0 - kr) * chroma),
            green: (fixed(-2.0 * kb * (1.0 - kb) / kg * chroma), fixed(-2.0 * kr * (1.0 - kr) / kg * chroma)),
            blue: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }

    #[inline(always)]
    fn light(&self, y: u8) -> Wrapping<i32> {
        self.luma * Wrapping(i32::from(y) - self.black)
    }

    #[inline(always)]
    fn grey(&self, y: u8) -> [u8; 3] {
        [to_byte(self.light(y)); 3]
    }

    #[inline(always)]
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let light = self.light(y);
        let (u, v) = (Wrapping(i32::from(u) - 128), Wrapping(i32::from(v) - 128));
        [
            to_byte(light + self.red * v),
            to_byte(light + self.green.0 * u + self.green.1 * v),
            to_byte(light + self.blue * u),
        ]
    }
}

/// A 16.16 number, rounded and kept within 0..=255.
#[inline(always)]
fn to_byte(fixed: Wrapping<i32>) -> u8 {
    ((fixed + Wrapping(0x8000)).0 >> 16).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const BYTES: InputSpec = InputSpec::bytes(64, 32);
    const JPEG: Colour = Colour { matrix: Matrix::Bt601, full_range: true };

    fn grey<'a>(data: &'a [u8], width: usize, height: usize, stride: usize) -> Picture<'a> {
        let y = Plane { data, width, height, stride };
        Picture { y, chroma: None, colour: JPEG, rotation: Rotation::None, exposure: 1.0 }
    }

    fn bytes(preprocessor: &Preprocessor) -> &[u8] {
        match preprocessor.tensor() {
            Tensor::Bytes(bytes) => bytes,
            _ => panic!("not bytes"),
        }
    }

    fn pixel(preprocessor: &Preprocessor, x: usize, y: usize) -> [u8; 3] {
        bytes(preprocessor).as_chunks::<3>().0[y * preprocessor.spec.width + x]
    }

    /// The middle pixel of a picture that is one colour all over.
    fn uniform(yuv: [u8; 3], matrix: Matrix, full_range: bool) -> [u8; 3] {
        let planes = yuv.map(|value| vec![value; 16 * 8]);
        let plane = |i: usize, width, height| Plane::new(&planes[i], width, height, width).unwrap();
        let picture = Picture {
            y: plane(0, 16, 8),
            chroma: Some((plane(1, 8, 4), plane(2, 8, 4))),
            colour: Colour { matrix, full_range },
            rotation: Rotation::None,
            exposure: 1.0,
        };
        let mut preprocessor = Preprocessor::new(BYTES);
        preprocessor.fill(&picture, None).unwrap();
        pixel(&preprocessor, 32, 16)
    }

    #[test]
    fn colours_are_those_of_the_standards() {
        // Black, white and the primaries of BT.601 and BT.709 at 8 bits.
        assert_eq!(uniform([16, 128, 128], Matrix::Bt709, false), [0, 0, 0]);
        assert_eq!(uniform([235, 128, 128], Matrix::Bt601, false), [255, 255, 255]);
        let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(near(uniform([63, 102, 240], Matrix::Bt709, false), [255, 0, 0]));
        assert!(near(uniform([173, 42, 26], Matrix::Bt709, false), [0, 255, 0]));
        assert!(near(uniform([81, 90, 240], Matrix::Bt601, false), [255, 0, 0]));
        assert!(near(uniform([41, 240, 110], Matrix::Bt601, false), [0, 0, 255]));
        assert!(near(uniform([76, 85, 255], Matrix::Bt601, true), [255, 0, 0]));
    }

    #[test]
    fn what_lies_behind_the_rows_never_shows() {
        let tight: Vec<u8> = (0..13 * 7).map(|i| (i * 2) as u8).collect();
        let mut padded = vec![255; 32 * 6 + 13];
        for (row, line) in tight.chunks(13).enumerate() {
            padded[row * 32..row * 32 + 13].copy_from_slice(line);
        }
        for region in [None, Some(BBox::new(0.4, 0.3, 0.6, 0.7))] {
            let (mut one, mut other) = (Preprocessor::new(BYTES), Preprocessor::new(BYTES));
            one.fill(&grey(&tight, 13, 7, 13), region).unwrap();
            other.fill(&grey(&padded, 13, 7, 32), region).unwrap();
            assert_eq!(bytes(&one), bytes(&other));
        }
    }

    #[test]
    fn the_picture_is_turned_upright() {
        // Bright at the stored top left corner only.
        let mut data = vec![0; 64 * 64];
        for row in 0..16 {
            data[row * 64..row * 64 + 16].fill(255);
        }
        let spec = InputSpec { width: 64, height: 64, ..BYTES };
        let corners = [(4, 4), (59, 4), (59, 59), (4, 59)];
        let turns = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
        for (turn, bright) in turns.into_iter().zip(corners) {
            let picture = Picture { rotation: turn, ..grey(&data, 64, 64, 64) };
            let mut preprocessor = Preprocessor::new(spec);
            preprocessor.fill(&picture, None).unwrap();
            for corner in corners {
                let expected = if corner == bright { [255; 3] } else { [0; 3] };
                assert_eq!(pixel(&preprocessor, corner.0, corner.1), expected, "{turn:?} {corner:?}");
            }
            // And a region is one of the upright picture.
            let (x, y) = (bright.0 as f32 / 64.0 - 0.05, bright.1 as f32 / 64.0 - 0.05);
            preprocessor.fill(&picture, Some(BBox::new(x, y, 0.1, 0.1))).unwrap();
            assert_eq!(pixel(&preprocessor, 32, 32), [255; 3], "{turn:?}");
        }
    }

    #[test]
    fn colour_and_turned_pictures_take_the_same_way() {
        let luma: Vec<u8> = (0..32 * 32).map(|i| (i % 251) as u8).collect();
        let chroma: Vec<u8> = (0..16 * 16).map(|i| (i % 255) as u8).collect();
        let spec = InputSpec { width: 32, height: 32, ..BYTES };
        let seen = [Rotation::None, Rotation::Half].map(|rotation| {
            let plane = |data, side| Plane::new(data, side, side, side).unwrap();
            let chroma = Some((plane(&chroma, 16), plane(&chroma, 16)));
            let picture = Picture { y: plane(&luma, 32), chroma, colour: JPEG, rotation, exposure: 1.0 };
            let mut preprocessor = Preprocessor::new(spec);
            preprocessor.fill(&picture, None).unwrap();
            preprocessor
        });
        for (x, y) in [(0, 0), (5, 9), (31, 30)] {
            assert_eq!(pixel(&seen[0], x, y), pixel(&seen[1], 31 - x, 31 - y));
        }
    }

    #[test]
    fn the_bars_are_clean_after_a_picture_of_another_shape() {
        let white = vec![255; 64 * 64];
        let mut preprocessor = Preprocessor::new(BYTES);
        preprocessor.fill(&grey(&white, 64, 32, 64), None).unwrap();
        assert_eq!(pixel(&preprocessor, 0, 16), [255; 3]);
        preprocessor.fill(&grey(&white, 32, 64, 32), None).unwrap();
        assert_eq!(pixel(&preprocessor, 0, 16), [0; 3]);
        assert_eq!(pixel(&preprocessor, 32, 16), [255; 3]);
    }

    #[test]
    fn floats_are_the_normalised_bytes_by_channel() {
        let data: Vec<u8> = (0..64 * 32).map(|i| (i % 256) as u8).collect();
        let scaling = Scaling { mean: [100.0, 110.0, 120.0], deviation: [50.0, 51.0, 52.0] };
        let spec = InputSpec { sample: Sample::Float, layout: InputLayout::Chw, scaling, ..BYTES };
        let mut floats = Preprocessor::new(spec);
        let mut raw = Preprocessor::new(BYTES);
        floats.fill(&grey(&data, 64, 30, 64), None).unwrap();
        raw.fill(&grey(&data, 64, 30, 64), None).unwrap();
        let Tensor::Floats(values) = floats.tensor() else { panic!("not floats") };
        for (at, pixel) in bytes(&raw).as_chunks::<3>().0.iter().enumerate() {
            for channel in 0..3 {
                let expected = (f32::from(pixel[channel]) - (100.0 + 10.0 * channel as f32)) / (50.0 + channel as f32);
                assert!((values[channel * 64 * 32 + at] - expected).abs() < 1e-5);
            }
        }
    }

    /// The input as numbers, whatever it is stored as.
    fn values(preprocessor: &Preprocessor) -> Vec<f32> {
        match preprocessor.tensor() {
            Tensor::Bytes(bytes) => bytes.iter().map(|&value| f32::from(value)).collect(),
            Tensor::Halves(halves) => halves.iter().map(|value| value.to_f32()).collect(),
            Tensor::Floats(floats) => floats.clone(),
        }
    }

    #[test]
    fn every_kind_of_input_holds_the_same_picture() {
        let luma: Vec<u8> = (0..64 * 20).map(|i| (i % 251) as u8).collect();
        let chroma: Vec<u8> = (0..32 * 10).map(|i| (i * 7 % 255) as u8).collect();
        let plane = |data, w, h| Plane::new(data, w, h, w).unwrap();
        let chroma = Some((plane(&chroma, 32, 10), plane(&chroma[..], 32, 10)));
        let picture = Picture { y: plane(&luma, 64, 20), chroma, ..grey(&luma, 64, 20, 64) };
        for fit in [Fit::Centred, Fit::Trimmed, Fit::TopLeft, Fit::Stretched, Fit::Native] {
            let of = |sample, layout, channels| {
                let spec = InputSpec { sample, layout, channels, fit, padding: 114, scaling: Scaling::NONE, ..BYTES };
                let mut preprocessor = Preprocessor::new(spec);
                let fit = preprocessor.fill(&picture, None).unwrap();
                (values(&preprocessor), fit.input)
            };
            let (plain, (width, height)) = of(Sample::Byte, InputLayout::Hwc, Channels::Rgb);
            let area = width * height;
            assert_eq!(plain.len(), area * 3);
            assert_eq!(plain[..3] == [114.0; 3], matches!(fit, Fit::Centred | Fit::Trimmed));
            assert_eq!(
                plain[(area - 1) * 3..] == [114.0; 3],
                matches!(fit, Fit::Centred | Fit::Trimmed | Fit::TopLeft)
            );
            for sample in [Sample::Byte, Sample::Half, Sample::Float] {
                for layout in [InputLayout::Hwc, InputLayout::Chw] {
                    for channels in [Channels::Rgb, Channels::Bgr] {
                        let (other, _) = of(sample, layout, channels);
                        for (at, &value) in plain.iter().enumerate() {
                            let channel = if channels == Channels::Rgb { at % 3 } else { 2 - at % 3 };
                            let there = match layout {
                                InputLayout::Hwc => at / 3 * 3 + channel,
                                InputLayout::Chw => channel * area + at / 3,
                            };
                            assert_eq!(other[there], value, "{fit:?} {sample:?} {layout:?} {channels:?} {at}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_planes_are_rounded_up() {
        assert_eq!([subsampling(5, 3), subsampling(6, 3), subsampling(5, 5), subsampling(5, 2)], [2.0, 2.0, 1.0, 4.0]);
        assert_eq!(subsampling(1, 1), 1.0);
    }

    #[test]
    fn planes_that_are_too_short_are_refused() {
        let picture = grey(&[0; 10], 4, 4, 4);
        assert!(matches!(Preprocessor::new(BYTES).fill(&picture, None), Err(PreprocessError::Plane { .. })));
        assert!(Preprocessor::new(BYTES).fill(&grey(&[0; 16], 4, 4, 0), None).is_err());
    }

    #[test]
    fn a_region_that_shows_nothing_is_refused() {
        let data = [0; 64];
        for region in [(1.5, 0.0, 0.5, 0.5), (0.0, 0.0, 0.0, 1.0), (f32::NAN, 0.0, 0.5, 0.5), (0.5, 0.5, 1e-9, 1e-9)] {
            let region = BBox::new(region.0, region.1, region.2, region.3);
            let result = Preprocessor::new(BYTES).fill(&grey(&data, 8, 8, 8), Some(region));
            assert!(matches!(result, Err(PreprocessError::EmptyRegion(_))), "{region:?}");
        }
    }

    proptest! {
        #[test]
        fn pictures_of_every_size_and_kind_fit(
            width in 1usize..300, height in 1usize..300, extra in 0usize..9, across in 1usize..3, down in 1usize..3,
            turn in 0usize..4, x in 0f32..1., y in 0f32..1., w in 0f32..1., h in 0f32..1., value in any::<u8>(),
        ) {
            let luma = vec![value; (width + extra) * height];
            let (cw, ch) = (width.div_ceil(across), height.div_ceil(down));
            let chroma = vec![128; (cw + extra) * ch];
            let rotation = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters][turn];
            let plane = |data, w, h| Plane::new(data, w, h, w + extra).unwrap();
            let picture = Picture {
                y: plane(&luma, width, height),
                chroma: Some((plane(&chroma, cw, ch), plane(&chroma, cw, ch))),
                colour: JPEG,
                rotation,
                exposure: 1.0,
            };
            let mut preprocessor = Preprocessor::new(BYTES);
            for region in [None, Some(BBox::new(x, y, w, h))] {
                if let Ok(fit) = preprocessor.fill(&picture, region) {
                    prop_assert!(fit.left + fit.width <= 64 && fit.top + fit.height <= 32);
                    // Every pixel inside is the colour, every one outside a bar.
                    for at in 0..64 * 32 {
                        let (px, py) = (at % 64, at / 64);
                        let inside = (fit.left..fit.left + fit.width).contains(&px)
                            && (fit.top..fit.top + fit.height).contains(&py);
                        let expected = if inside { value } else { 0 };
                        prop_assert_eq!(pixel(&preprocessor, px, py), [expected; 3]);
                    }
                } else {
                    prop_assert!(region.is_some());
                }
            }
        }
    }
}
