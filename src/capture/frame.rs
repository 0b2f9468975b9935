//! A decoded frame, and the view of it as 8-bit planes.

use ffmpeg_next as ffmpeg;

use ffmpeg::format::Pixel;
use ffmpeg::util::color;

use super::error::CaptureError;
use super::picture::{Colour, Matrix, Picture, Plane, Rotation};
use super::repack::Repacked;
use crate::domain::Mono;

/// Pictures from this height on are BT.709 where the stream does not say.
const HD_HEIGHT: u32 = 720;

/// A decoded frame with its time.
pub struct Frame {
    video: ffmpeg::frame::Video,
    repacked: Repacked,
    /// When it was taken, on the pipeline's time line.
    pub at: Mono,
    /// How to turn it upright.
    pub rotation: Rotation,
}

impl Frame {
    /// An empty frame, to be filled by a decoder again and again.
    pub fn empty() -> Frame {
        Frame {
            video: ffmpeg::frame::Video::empty(),
            repacked: Repacked::default(),
            at: Mono::ZERO,
            rotation: Rotation::None,
        }
    }

    /// What the decoder writes into.
    pub(super) fn video_mut(&mut self) -> &mut ffmpeg::frame::Video {
        &mut self.video
    }

    /// Whether its rows follow each other in memory. Those of an uncompressed AVI
    /// may run backwards, and slices cannot.
    fn is_top_down(&self) -> bool {
        // SAFETY: the pointer is that of a frame that lives as long as `self`.
        let strides = unsafe { (*self.video.as_ptr()).linesize };
        strides.iter().take(self.video.planes()).all(|stride| *stride > 0)
    }

    /// The number of the packet that it comes from.
    pub(super) fn number(&self) -> Option<u64> {
        self.video.pts().and_then(|number| u64::try_from(number).ok())
    }

    /// The decoder knows that parts of it are made up.
    pub(super) fn is_damaged(&self) -> bool {
        self.video.is_corrupt() || !self.video.decode_error_flags().is_empty()
    }

    /// FFmpeg's name of the form that the samples are in, for people.
    pub fn pixel_format(&self) -> &'static str {
        self.video.format().descriptor().map_or("unknown", |descriptor| descriptor.name())
    }

    /// The planes: the decoder's own memory for planar 8-bit formats, a
    /// repacked copy for the others (packed, semi-planar, 10-bit, RGB).
    ///
    /// # Errors
    /// For formats that hold no readable samples, such as hardware surfaces.
    pub fn picture(&mut self) -> Result<Picture<'_>, CaptureError> {
        let format = self.video.format();
        if !self.is_top_down() {
            return Err(CaptureError::PixelFormat(format!("{format:?}, stored from the bottom up")));
        }
        let shared = match format {
            Pixel::YUV420P | Pixel::YUV422P | Pixel::YUV444P | Pixel::YUV440P | Pixel::YUV411P | Pixel::YUV410P => {
                Some((true, false))
            }
            Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P => {
                Some((true, true))
            }
            Pixel::GRAY8 => Some((false, true)),
            _ => None,
        };
        let Some((has_chroma, implied_full)) = shared else {
            return self.repacked.fill(&self.video, self.rotation);
        };
        let unreadable = || CaptureError::PixelFormat(format!("{format:?}, planes too short"));
        let y = plane(&self.video, 0).ok_or_else(unreadable)?;
        let chroma = match has_chroma {
            true => {
                Some((plane(&self.video, 1).ok_or_else(unreadable)?, plane(&self.video, 2).ok_or_else(unreadable)?))
            }
            false => None,
        };
        Ok(Picture { y, chroma, colour: colour(&self.video, implied_full), rotation: self.rotation, exposure: 1.0 })
    }
}

#[cfg(test)]
impl Frame {
    /// All of one shade, for tests.
    pub(crate) fn grey((width, height): (u32, u32), shade: u8, at: Mono) -> Frame {
        let mut video = ffmpeg::frame::Video::new(Pixel::GRAY8, width, height);
        video.data_mut(0).fill(shade);
        Frame { video, at, ..Frame::empty() }
    }
}

fn plane(video: &ffmpeg::frame::Video, index: usize) -> Option<Plane<'_>> {
    if index >= video.planes() {
        return None;
    }
    let (width, height) = (video.plane_width(index) as usize, video.plane_height(index) as usize);
    Plane::new(video.data(index), width, height, video.stride(index))
}

/// What the stream says of its colours, and the usual meaning where it is
/// silent.
pub(super) fn colour(video: &ffmpeg::frame::Video, implied_full: bool) -> Colour {
    let full_range = match video.color_range() {
        color::Range::JPEG => true,
        color::Range::MPEG => false,
        _ => implied_full,
    };
    let matrix = match video.color_space() {
        color::Space::BT709 => Matrix::Bt709,
        color::Space::Unspecified if !implied_full && video.height() >= HD_HEIGHT => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    Colour { matrix, full_range }
}
