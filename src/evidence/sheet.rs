//! From a crop's planes to what a JPEG file holds: upright, at the wanted size,
//! full-range BT.601 (ITU-T T.871), chroma halved both ways.

use image::{Rgb, RgbImage};
use jpeg_encoder::{ImageBuffer, JpegColorType};

use super::crop::{Crop, Samples};
use crate::capture::{Colour, Matrix, Rotation};
use crate::detect::{PlaneCrop, Resampler};

/// Rows that an encoder takes at a time, chroma halved.
const BAND: usize = 16;
/// Fewer bands say nothing about the rest.
const LEAST_BANDS: usize = 2;

/// A picture ready for encoding. Chroma has half the luma's width and height,
/// rounded up; none for a grey picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    y: Samples,
    chroma: Option<[Samples; 2]>,
}

impl Sheet {
    /// `crop`, upright, at most `max_width` pixels wide and `max_height` high;
    /// never enlarged.
    pub fn new(crop: &Crop, max_width: usize, max_height: usize) -> Sheet {
        let (width, height) = crop.upright_size();
        let scale = (max_width as f64 / width as f64).min(max_height as f64 / height as f64).min(1.0);
        let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).clamp(1, usize::from(u16::MAX));
        let (width, height) = (side(width), side(height));
        let (w, h) = if crop.rotation.is_sideways() { (height, width) } else { (width, height) };
        let mut resampler = Resampler::default();
        let mut y = resized(&mut resampler, &crop.y, w, h);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let mut chroma =
            crop.chroma.as_ref().map(|planes| planes.each_ref().map(|p| resized(&mut resampler, p, cw, ch)));
        to_jpeg_colours(&mut y, chroma.as_mut(), crop.colour);
        let turned = |plane| turned(plane, crop.rotation);
        Sheet { y: turned(y), chroma: chroma.map(|planes| planes.map(turned)) }
    }

    /// In RGB, to be drawn on.
    pub fn to_rgb(&self) -> RgbImage {
        let (width, height) = self.size();
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let half = width.div_ceil(2);
        RgbImage::from_fn(side(width), side(height), |x, y| {
            let (x, y) = (x as usize, y as usize);
            let sample = |plane: &Samples, at: usize| f32::from(plane.data.get(at).copied().unwrap_or(128));
            let luma = sample(&self.y, y * width + x);
            let [cb, cr] = match &self.chroma {
                Some(planes) => planes.each_ref().map(|plane| sample(plane, y / 2 * half + x / 2) - 128.0),
                None => [0.0; 2],
            };
            // ITU-T T.871, section 7.
            Rgb([luma + 1.402 * cr, luma - 0.344_136 * cb - 0.714_136 * cr, luma + 1.772 * cb].map(to_u8))
        })
    }

    /// From RGB, in colour.
    pub fn of_rgb(image: &RgbImage) -> Sheet {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let luma = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        let y = image.pixels().map(|Rgb(pixel)| to_u8(luma(pixel.map(f32::from)))).collect();
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let mut chroma = [half_width, half_width].map(|width| Samples {
            data: Vec::with_capacity(width * half_height),
            width,
            height: half_height,
        });
        for (x, y) in (0..half_height).flat_map(|y| (0..half_width).map(move |x| (2 * x, 2 * y))) {
            let mean = mean_of_four(image, x, y);
            let (luma, [r, _, b], [cb, cr]) = (luma(mean), mean, &mut chroma);
            cb.data.push(to_u8(128.0 + (b - luma) / 1.772));
            cr.data.push(to_u8(128.0 + (r - luma) / 1.402));
        }
        Sheet { y: Samples { data: y, width, height }, chroma: Some(chroma) }
    }

    /// Every fourth band of [`BAND`] rows, and how many times as many rows there are;
    /// `None` if they are too few to stand for the others.
    pub fn bands(&self) -> Option<(Sheet, f64)> {
        let y = banded(&self.y, BAND);
        if y.height < LEAST_BANDS * BAND {
            return None;
        }
        let times = self.y.height as f64 / y.height as f64;
        let chroma = self.chroma.as_ref().map(|planes| planes.each_ref().map(|plane| banded(plane, BAND / 2)));
        Some((Sheet { y, chroma }, times))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.y.width, self.y.height)
    }
}

fn to_u8(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Of the pixels at `x`, `y` and to the right and below, as far as there are any.
fn mean_of_four(image: &RgbImage, x: usize, y: usize) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for (right, down) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        if let Some(Rgb(pixel)) = image.get_pixel_checked((x + right) as u32, (y + down) as u32) {
            sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f32::from(*value));
            count += 1.0;
        }
    }
    sum.map(|value| value / f32::max(count, 1.0))
}

impl ImageBuffer for &Sheet {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.chroma.is_some() { JpegColorType::Ycbcr } else { JpegColorType::Luma }
    }

    fn width(&self) -> u16 {
        u16::try_from(self.y.width).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.y.height).unwrap_or(u16::MAX)
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let y = usize::from(y);
        let [luma, cb, cr, _] = buffers;
        luma.extend_from_slice(row(&self.y, y));
        for (buffer, plane) in [cb, cr].into_iter().zip(self.chroma.iter().flatten()) {
            // The encoder halves it again, to the same values.
            let doubled = row(plane, y / 2).iter().flat_map(|sample| [*sample; 2]);
            buffer.extend(doubled.take(self.y.width));
        }
    }
}

/// Every fourth `rows` rows, beginning with the second ones; only whole ones.
fn banded(plane: &Samples, rows: usize) -> Samples {
    let band = plane.width * rows;
    let chosen = plane.data.chunks_exact(band.max(1)).skip(1).step_by(4);
    let data: Vec<u8> = chosen.flatten().copied().collect();
    let height = data.len() / plane.width.max(1);
    Samples { data, width: plane.width, height }
}

fn row(plane: &Samples, y: usize) -> &[u8] {
    plane.data.get(y * plane.width..(y + 1) * plane.width).unwrap_or(&[])
}

fn resized(resampler: &mut Resampler, plane: &Samples, width: usize, height: usize) -> Samples {
    let mut data = Vec::new();
    match plane.plane() {
        Some(_) if (width, height) == (plane.width, plane.height) => data.clone_from(&plane.data),
        Some(source) => {
            let whole = PlaneCrop { left: 0.0, top: 0.0, width: plane.width as f64, height: plane.height as f64 };
            resampler.resize(&source, whole, (width, height), &mut data);
        }
        None => data.resize(width * height, 128),
    }
    Samples { data, width, height }
}

/// Fixed point: 16.16.
const ONE: f64 = 65_536.0;

/// Limited range is stretched, and BT.709 becomes BT.601. With both chroma
/// values relative to their middle, the second matrix is
/// `R'G'B' → Y'CbCr (BT.601)` times `Y'CbCr (BT.709) → R'G'B'`, from the Kr and
/// Kb of ITU-R BT.601 and BT.709.
fn to_jpeg_colours(y: &mut Samples, chroma: Option<&mut [Samples; 2]>, colour: Colour) {
    let (black, luma, chroma_scale) =
        if colour.full_range { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
    let hd = colour.matrix == Matrix::Bt709;
    if colour.full_range && (!hd || chroma.is_none()) {
        return;
    }
    let fixed = |factor: f64| (factor * ONE).round() as i32;
    let clamp = |value: i32| ((value + (1 << 15)) >> 16).clamp(0, 255) as u8;
    let luma = fixed(luma);
    let scaled = |sample: u8| (i32::from(sample) - black) * luma;
    let Some([cb, cr]) = chroma else {
        y.data.iter_mut().for_each(|sample| *sample = clamp(scaled(*sample)));
        return;
    };
    if !hd {
        let stretch = fixed(chroma_scale);
        y.data.iter_mut().for_each(|sample| *sample = clamp(scaled(*sample)));
        for sample in cb.data.iter_mut().chain(&mut cr.data) {
            *sample = clamp((i32::from(*sample) - 128) * stretch + (128 << 16));
        }
        return;
    }
    let by = [0.101_579, 0.196_076].map(|factor| fixed(factor * chroma_scale));
    let to_cb = [0.989_854, -0.110_653].map(|factor| fixed(factor * chroma_scale));
    let to_cr = [-0.072_453, 0.983_398].map(|factor| fixed(factor * chroma_scale));
    let width = y.width.max(1);
    for (index, line) in y.data.chunks_exact_mut(width).enumerate() {
        let (cb, cr) = (row(cb, index / 2), row(cr, index / 2));
        for (pair, (cb, cr)) in line.chunks_mut(2).zip(cb.iter().zip(cr)) {
            let more = by[0] * (i32::from(*cb) - 128) + by[1] * (i32::from(*cr) - 128);
            pair.iter_mut().for_each(|sample| *sample = clamp(scaled(*sample) + more));
        }
    }
    for (cb, cr) in cb.data.iter_mut().zip(&mut cr.data) {
        let (b, r) = (i32::from(*cb) - 128, i32::from(*cr) - 128);
        *cb = clamp(to_cb[0] * b + to_cb[1] * r + (128 << 16));
        *cr = clamp(to_cr[0] * b + to_cr[1] * r + (128 << 16));
    }
}

fn turned(plane: Samples, rotation: Rotation) -> Samples {
    let (w, h) = (plane.width, plane.height);
    let at = |x: usize, y: usize| plane.data.get(y * w + x).copied().unwrap_or(128);
    let (width, height) = if rotation.is_sideways() { (h, w) } else { (w, h) };
    let data = match rotation {
        Rotation::None => return plane,
        Rotation::Half => plane.data.iter().rev().copied().collect(),
        Rotation::Quarter => {
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(y, h - 1 - x)).collect()
        }
        Rotation::ThreeQuarters => {
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(w - 1 - y, x)).collect()
        }
    };
    Samples { data, width, height }
}
