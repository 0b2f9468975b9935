//! Still pictures from JPEG and PNG files, upright, as planes like a
//! decoder's, so that everything behind sees stills and video alike.

use std::fs::File;
use std::hash::Hasher;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::picture::{Colour, Matrix, Picture, Plane, Rotation};

/// Pictures with more pixels are refused: they are a mistake or an attack. Trail
/// cameras claim up to 48 million.
const MAX_PIXELS: u64 = 50_000_000;

/// No still of a camera is larger; what is behind is not read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What the image decoder may allocate besides.
const MAX_ALLOCATION: u64 = 320 << 20;

/// Why a file is no usable picture.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is not a JPEG or PNG, or a broken one.
    #[error("not a readable JPEG or PNG: {0}")]
    Undecodable(#[from] image::ImageError),
    /// A JPEG that ends in the middle: what is missing cannot be looked at.
    #[error("the JPEG is truncated")]
    Truncated,
    /// It decodes to more than this program is willing to hold.
    #[error("{width}x{height} pixels are too many (at most {} million)", MAX_PIXELS / 1_000_000)]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}

/// A decoded still, turned upright as its EXIF orientation says, in
/// full-range BT.601 (JPEG's own): three planes of equal size, or luma alone
/// for a grey picture.
#[derive(Debug, Clone)]
pub struct Still {
    width: usize,
    height: usize,
    /// Luma, Cb, Cr; the latter two empty for grey.
    planes: [Vec<u8>; 3],
    rgb: RgbImage,
}

impl Still {
    /// Reads a JPEG or PNG, recognised by its content, not by its name.
    ///
    /// # Errors
    /// When it cannot be read or decoded, or is unreasonably large.
    pub fn open(path: &Path) -> Result<Still, StillError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(StillError::Empty);
        }
        let is_jpeg = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?.format() == Some(ImageFormat::Jpeg);
        // The decoder fills what is missing with grey and says nothing.
        if is_jpeg && !has_jpeg_end(&bytes) {
            if !lacks_the_end_alone(&mut bytes)? {
                return Err(StillError::Truncated);
            }
            bytes.extend(JPEG_END);
        }
        Ok(Still::from_image(decode(&bytes)?))
    }

    fn from_image(image: DynamicImage) -> Still {
        let luma = (!image.color().has_color()).then(|| image.to_luma8().into_raw());
        let rgb = image.into_rgb8();
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let planes = match luma {
            Some(luma) => [luma, Vec::new(), Vec::new()],
            None => to_planes(&rgb),
        };
        Still { width, height, planes, rgb }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The planes.
    pub fn picture(&self) -> Picture<'_> {
        let plane = |data| Plane { data, width: self.width, height: self.height, stride: self.width };
        let [y, u, v] = &self.planes;
        Picture {
            y: plane(y),
            chroma: (!u.is_empty()).then(|| (plane(u), plane(v))),
            colour: Colour { matrix: Matrix::Bt601, full_range: true },
            rotation: Rotation::None,
            exposure: 1.0,
        }
    }

    /// The same in RGB, for drawing on.
    pub fn into_rgb(self) -> RgbImage {
        self.rgb
    }
}

/// The upright picture in `bytes`, if its size is sane.
fn decode(bytes: &[u8]) -> Result<DynamicImage, StillError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(StillError::TooLarge { width, height });
    }
    // A broken EXIF block is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

const JPEG_END: [u8; 2] = [0xFF, 0xD9];

/// Whether nothing but its end marker is missing of a JPEG, so that whatever is
/// written behind it changes nothing in the picture. Takes off half a marker.
fn lacks_the_end_alone(bytes: &mut Vec<u8>) -> Result<bool, StillError> {
    /// More than the longest code, so that a block that is missing comes out.
    const TAIL: usize = 64;
    while bytes.last() == Some(&0xFF) {
        bytes.pop();
    }
    let length = bytes.len();
    let mut with_tail = |filling: u8| {
        bytes.truncate(length);
        bytes.extend([filling; TAIL]);
        bytes.extend(JPEG_END);
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(decode(bytes)?.as_bytes());
        Ok::<u64, StillError>(hasher.finish())
    };
    let is_same = with_tail(0x55)? == with_tail(0xA3)?;
    bytes.truncate(length);
    Ok(is_same)
}

/// Whether a JPEG's segments lead to its end marker (ITU-T T.81, B.1). What
/// cameras write behind it does not matter, nor the thumbnail within EXIF.
fn has_jpeg_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match (first, marker) {
            (0xFF, 0xD9) => return true,
            // Between segments only fill bytes; within a scan, data: stuffed
            // 0xFF and restart markers included.
            (0xFF, 0x00..=0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, 0xFF) | (0..0xFF, _) => at += 1,
            (0xFF, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
        }
    }
    false
}

/// RGB to full-range BT.601 as JPEG defines it (ITU-T T.871), 16.16 fixed
/// point.
fn to_planes(rgb: &RgbImage) -> [Vec<u8>; 3] {
    let mut planes = [(); 3].map(|()| Vec::with_capacity(rgb.as_raw().len() / 3));
    let round = |fixed: i32| ((fixed + 0x8000) >> 16).clamp(0, 255) as u8;
    for image::Rgb(pixel) in rgb.pixels() {
        let [r, g, b] = pixel.map(i32::from);
        planes[0].push(round(19_595 * r + 38_470 * g + 7_471 * b));
        planes[1].push(round(-11_059 * r - 21_709 * g + 32_768 * b + (128 << 16)));
        planes[2].push(round(32_768 * r - 27_439 * g - 5_329 * b + (128 << 16)));
    }
    planes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn grey_has_no_chroma_and_colours_have_jpegs_values() {
        let grey = Still::from_image(DynamicImage::new_luma8(3, 2));
        assert!(grey.picture().chroma.is_none());

        let red = RgbImage::from_pixel(2, 1, image::Rgb([255, 0, 0]));
        let still = Still::from_image(DynamicImage::ImageRgb8(red));
        assert_eq!(still.planes, [vec![76, 76], vec![85, 85], vec![255, 255]]);
        assert_eq!(still.size(), (2, 1));
    }

    #[test]
    fn what_is_no_picture_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.jpg");
        std::fs::write(&empty, b"").unwrap();
        assert_eq!(Still::open(&empty).unwrap_err().to_string(), "the file is empty");
        let text = folder.path().join("text.jpg");
        std::fs::write(&text, b"just words").unwrap();
        assert!(Still::open(&text).unwrap_err().to_string().starts_with("not a readable JPEG or PNG"));
    }

    #[test]
    fn a_jpeg_that_ends_in_the_middle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let picture = RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        picture.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(Still::open(&path).is_ok());
        std::fs::write(&path, [&whole[..], b"what the camera adds"].concat()).unwrap();
        assert!(Still::open(&path).is_ok());
        for length in [whole.len() / 2, whole.len() - whole.len() / 20, whole.len() - 16] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Still::open(&path).unwrap_err().to_string(), "the JPEG is truncated");
        }
    }

    #[test]
    fn a_jpeg_that_lacks_its_end_marker_alone_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let coloured = RgbImage::from_fn(333, 250, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        for picture in [coloured.clone().into(), DynamicImage::ImageRgb8(coloured).grayscale()] {
            let picture: DynamicImage = picture;
            picture.save(&path).unwrap();
            let whole = std::fs::read(&path).unwrap();
            let good = Still::open(&path).unwrap();
            for missing in [1, 2] {
                std::fs::write(&path, &whole[..whole.len() - missing]).unwrap();
                assert_eq!(Still::open(&path).unwrap().planes, good.planes, "without the last {missing}");
            }
        }
    }

    #[test]
    fn a_small_file_of_a_huge_picture_is_refused_before_it_is_decoded() {
        // A PNG header that promises 60000 x 60000 pixels.
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(60_000_u32.to_be_bytes().repeat(2));
        bytes.extend([8, 2, 0, 0, 0]);
        bytes.extend(crc32(&bytes[12..]).to_be_bytes());
        bytes.extend(b"\0\0\0\x01IDAT\0");
        bytes.extend(crc32(b"IDAT\0").to_be_bytes());
        let folder = tempfile::tempdir().unwrap();
        let bomb = folder.path().join("bomb.png");
        std::fs::write(&bomb, bytes).unwrap();
        let error = Still::open(&bomb).unwrap_err().to_string();
        assert!(error.contains("too many") || error.contains("imit"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
