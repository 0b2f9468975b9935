//! Turns every other readable pixel format (packed YUYV of webcams, NV12,
//! 10-bit HEVC, RGB) into 8-bit planes, driven by FFmpeg's own description of
//! the format. Rare on cameras of this kind, so plain rather than fast.

use ffmpeg_next as ffmpeg;

use ffmpeg::ffi;

use super::error::CaptureError;
use super::frame::colour;
use super::picture::{Colour, Matrix, Picture, Plane, Rotation};

/// Reused buffers for three planes.
#[derive(Default)]
pub(super) struct Repacked {
    planes: [Vec<u8>; 3],
}

/// Where one component's samples lie.
struct Component {
    plane: usize,
    step: usize,
    offset: usize,
    shift: u32,
    depth: u32,
    width: usize,
    height: usize,
}

impl Repacked {
    /// Copies `video` into planes.
    pub(super) fn fill(
        &mut self,
        video: &ffmpeg::frame::Video,
        rotation: Rotation,
    ) -> Result<Picture<'_>, CaptureError> {
        let format = video.format();
        let unreadable = || CaptureError::PixelFormat(format!("{format:?}"));
        let (components, is_rgb) = describe(video).ok_or_else(unreadable)?;
        for (component, out) in components.iter().zip(&mut self.planes) {
            copy_component(video, component, out).ok_or_else(unreadable)?;
        }
        let mut picture_colour = colour(video, false);
        if is_rgb {
            rgb_to_yuv(&mut self.planes);
            picture_colour = Colour { matrix: Matrix::Bt601, full_range: true };
        }
        let plane = |index: usize| {
            let component = components.get(index)?;
            Plane::new(self.planes.get(index)?, component.width, component.height, component.width)
        };
        Ok(Picture {
            y: plane(0).ok_or_else(unreadable)?,
            chroma: plane(1).zip(plane(2)),
            colour: picture_colour,
            rotation,
            exposure: 1.0,
        })
    }
}

/// The one or three colour components of the frame's format, if it is one
/// whose samples can be read byte by byte.
fn describe(video: &ffmpeg::frame::Video) -> Option<(Vec<Component>, bool)> {
    let format: ffi::AVPixelFormat = video.format().into();
    // SAFETY: returns a pointer to static data, or null for an unknown format.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }?;
    let unreadable = ffi::AV_PIX_FMT_FLAG_BITSTREAM
        | ffi::AV_PIX_FMT_FLAG_HWACCEL
        | ffi::AV_PIX_FMT_FLAG_PAL
        | ffi::AV_PIX_FMT_FLAG_BE
        | ffi::AV_PIX_FMT_FLAG_FLOAT
        | ffi::AV_PIX_FMT_FLAG_BAYER;
    if descriptor.flags & unreadable as u64 != 0 {
        return None;
    }
    let is_rgb = descriptor.flags & ffi::AV_PIX_FMT_FLAG_RGB as u64 != 0;
    let count = if descriptor.nb_components >= 3 { 3 } else { 1 };
    let (width, height) = (video.width() as usize, video.height() as usize);
    let components = descriptor
        .comp
        .iter()
        .take(count)
        .enumerate()
        .map(|(index, c)| {
            let is_chroma = index > 0 && !is_rgb;
            let shrink = |size: usize, log2: u8| if is_chroma { size.div_ceil(1 << log2) } else { size };
            Some(Component {
                plane: usize::try_from(c.plane).ok()?,
                step: usize::try_from(c.step).ok()?,
                offset: usize::try_from(c.offset).ok()?,
                shift: u32::try_from(c.shift).ok()?,
                depth: u32::try_from(c.depth).ok().filter(|depth| (8..=16).contains(depth))?,
                width: shrink(width, descriptor.log2_chroma_w),
                height: shrink(height, descriptor.log2_chroma_h),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some((components, is_rgb))
}

/// The samples of one component, eight bits each, row by row.
fn copy_component(video: &ffmpeg::frame::Video, c: &Component, out: &mut Vec<u8>) -> Option<()> {
    if c.plane >= video.planes() {
        return None;
    }
    let (data, stride) = (video.data(c.plane), video.stride(c.plane));
    let bytes = if c.depth > 8 { 2 } else { 1 };
    out.clear();
    out.reserve(c.width * c.height);
    for y in 0..c.height {
        let start = y * stride + c.offset;
        let row = data.get(start..start + c.step * (c.width - 1) + bytes)?;
        if bytes == 1 {
            out.extend(row.iter().step_by(c.step).map(|value| value >> c.shift));
        } else {
            out.extend(row.chunks(c.step).map(|sample| {
                let value = if let [low, high, ..] = sample { u16::from_le_bytes([*low, *high]) } else { 0 };
                (value >> (c.shift + c.depth - 8)) as u8
            }));
        }
    }
    Some(())
}

/// Full-range BT.601 in place (JFIF 1.02), in 16-bit fixed point.
fn rgb_to_yuv(planes: &mut [Vec<u8>; 3]) {
    let [first, second, third] = planes;
    for ((r, g), b) in first.iter_mut().zip(second).zip(third) {
        let (red, green, blue) = (i32::from(*r), i32::from(*g), i32::from(*b));
        *r = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16) as u8;
        *g = ((-11059 * red - 21709 * green + 32768 * blue + (128 << 16) + 32767) >> 16) as u8;
        *b = ((32768 * red - 27439 * green - 5329 * blue + (128 << 16) + 32767) >> 16) as u8;
    }
}
