//! JPEG files from crops: as they are for the unit, and within a number of bytes
//! for the wire.

use image::RgbImage;
use jpeg_encoder::{Encoder, EncodingError, SamplingFactor};

use super::crop::Crop;
use super::sheet::Sheet;

/// Quality (1 to 100, the Independent JPEG Group's scale) of what is kept on the
/// unit.
const FULL_QUALITY: u8 = 88;

/// Qualities for the wire: above, bytes are wasted on what nobody sees; below,
/// blocks show more than the object does, and a smaller picture says more.
const BEST: u8 = 84;
const WORST: u8 = 30;
/// What is tried on a part of it, to guess what to try on all of it.
const FIRST: u8 = 66;
/// Bytes of a file besides what the samples take and Exif.
const FRAME: f64 = 620.0;
/// What a further attempt makes the picture smaller by, when even the worst
/// quality is too large.
const SMALLER: f64 = 0.7;
/// Encodings at one size, and sizes.
const ATTEMPTS: usize = 3;
const SIZES: usize = 6;
/// An attempt that uses this share of the bytes is good enough.
const ENOUGH: f64 = 0.72;
/// The share that the first one aims at: in the middle between that and all.
const AIM: f64 = 0.86;

/// Why there is no JPEG.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// The encoder refuses; an empty or absurdly large picture.
    #[error("the picture cannot be encoded: {0}")]
    Encoder(#[from] EncodingError),
    /// It does not fit, however bad it may look.
    #[error("the picture does not fit into {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
}

/// All of `crop` at its own size; `exif` as in [`super::exif`].
///
/// # Errors
/// See [`JpegError`].
pub fn full(crop: &Crop, exif: &[u8]) -> Result<Vec<u8>, JpegError> {
    let most = usize::from(u16::MAX);
    encode(&Sheet::new(crop, most, most), FULL_QUALITY, Tables::Own, exif)
}

/// `crop` at most `max_width` pixels wide (and high as twice that), in at most
/// `max_bytes`, `exif` included: as good as fits in a few attempts.
///
/// # Errors
/// See [`JpegError`].
pub fn small(crop: &Crop, max_width: usize, max_bytes: usize, exif: &[u8]) -> Result<Vec<u8>, JpegError> {
    small_painted(crop, max_width, max_bytes, exif, None)
}

/// Draws on a picture; gives one of the same size.
pub type Paint<'a> = &'a dyn Fn(RgbImage) -> RgbImage;

/// [`small`], with something drawn onto it.
///
/// # Errors
/// See [`JpegError`].
pub fn small_painted(
    crop: &Crop,
    max_width: usize,
    max_bytes: usize,
    exif: &[u8],
    paint: Option<Paint<'_>>,
) -> Result<Vec<u8>, JpegError> {
    let mut width = max_width.min(crop.upright_size().0) as f64;
    for _ in 0..SIZES {
        let plain = Sheet::new(crop, (width as usize).max(1), max_width * 2);
        let sheet = match paint {
            Some(paint) => Sheet::of_rgb(&paint(plain.to_rgb())),
            None => plain,
        };
        if let Some(bytes) = fit(&sheet, max_bytes, exif)? {
            return Ok(bytes);
        }
        width = sheet.size().0 as f64 * SMALLER;
    }
    Err(JpegError::TooLarge { max_bytes })
}

/// The best encoding found of those that fit.
fn fit(sheet: &Sheet, max_bytes: usize, exif: &[u8]) -> Result<Option<Vec<u8>>, JpegError> {
    let (mut low, mut high) = (WORST, BEST);
    let share = first_share(sheet, max_bytes, exif)?;
    let mut quality = share.map_or(FIRST, |share| guess(FIRST, share / AIM)).clamp(low, high);
    let mut lowest = BEST;
    let mut found: Option<Vec<u8>> = None;
    for _ in 0..ATTEMPTS {
        let bytes = encode(sheet, quality, Tables::Usual, exif)?;
        lowest = lowest.min(quality);
        let share = bytes.len() as f64 / max_bytes as f64;
        if share <= 1.0 {
            found = Some(bytes);
            if share >= ENOUGH || quality >= high {
                break;
            }
            low = quality;
        } else {
            high = quality.saturating_sub(1);
        }
        if low > high || quality == WORST && share > 1.0 {
            break;
        }
        quality = guess(quality, share / 0.9).clamp(low, high);
        if found.is_some() && quality == low {
            break;
        }
    }
    if found.is_none() && lowest > WORST {
        found = Some(encode(sheet, WORST, Tables::Usual, exif)?).filter(|bytes| bytes.len() <= max_bytes);
    }
    Ok(found)
}

/// The share of `max_bytes` that all of it will take at quality [`FIRST`], by some of
/// its rows: an attempt for a quarter of the time. `None` if it is so low that it may
/// as well be tried.
fn first_share(sheet: &Sheet, max_bytes: usize, exif: &[u8]) -> Result<Option<f64>, JpegError> {
    let Some((bands, times)) = sheet.bands() else { return Ok(None) };
    let samples = (encode(&bands, FIRST, Tables::Usual, &[])?.len() as f64 - FRAME).max(0.0);
    Ok(Some((samples * times + FRAME + exif.len() as f64) / max_bytes as f64))
}

/// The quality at which about `1 / share` of the bytes come out. Bytes go about
/// with the inverse square root of the quantiser, which the quality sets by the
/// Independent JPEG Group's formula.
fn guess(quality: u8, share: f64) -> u8 {
    let quality = f64::from(quality.clamp(1, 99));
    let quantiser = if quality < 50.0 { 50.0 / quality } else { 2.0 - quality / 50.0 };
    let wanted = (quantiser * share.powf(1.6)).max(0.02);
    let quality = if wanted > 1.0 { 50.0 / wanted } else { 100.0 - 50.0 * wanted };
    quality.clamp(1.0, 100.0) as u8
}

/// The Huffman tables of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tables {
    /// Those that the standard gives (ITU-T T.81, Annex K.3).
    Usual,
    /// Made for this picture: some 6 % fewer bytes for some 40 % more time.
    Own,
}

fn encode(sheet: &Sheet, quality: u8, tables: Tables, exif: &[u8]) -> Result<Vec<u8>, JpegError> {
    let (w, h) = sheet.size();
    let mut bytes = Vec::with_capacity(w * h / 8);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(tables == Tables::Own);
    encoder.add_app_segment(1, exif.to_vec())?;
    encoder.encode_image(sheet)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::cover::Hide;
    use super::super::crop::tests::Owned;
    use super::super::mosaic::average;
    use super::*;
    use crate::capture::{Colour, Matrix, Rotation};
    use crate::domain::BBox;
    use proptest::prelude::*;

    const WHOLE: BBox = BBox::new(0.0, 0.0, 1.0, 1.0);

    fn decoded(bytes: &[u8]) -> image::RgbImage {
        image::load_from_memory(bytes).unwrap().to_rgb8()
    }

    #[test]
    fn noise_fits_too_and_the_picture_is_no_wider_than_asked() {
        let crop = Crop::take(&Owned::noise(900, 500, 5).picture(), &WHOLE).unwrap();
        let bytes = small(&crop, 480, 12_000, b"Exif\0\0").unwrap();
        assert!(bytes.len() <= 12_000);
        assert!(decoded(&bytes).width() <= 480);
        assert!(matches!(small(&crop, 480, 300, b""), Err(JpegError::TooLarge { .. })));
    }

    #[test]
    fn some_rows_tell_how_many_bytes_all_of_them_take() {
        for (width, height, seed) in [(480, 288, 1), (480, 300, 2), (200, 131, 3)] {
            // Finer towards the bottom, as a road is.
            let mut owned = Owned::noise(width, height, seed);
            for (at, sample) in owned.y.iter_mut().enumerate() {
                *sample = (100 + usize::from(*sample) * (at / width) / height / 4) as u8;
            }
            let sheet = Sheet::new(&Crop::take(&owned.picture(), &WHOLE).unwrap(), 480, 480);
            let exif = [b'e'; 200];
            let told = first_share(&sheet, 10_000, &exif).unwrap().unwrap() * 10_000.0;
            let all = encode(&sheet, FIRST, Tables::Usual, &exif).unwrap().len() as f64;
            assert!((told / all - 1.0).abs() < 0.15, "{told} of {all}");
        }
        let low = Sheet::new(&Crop::take(&Owned::noise(300, 60, 4).picture(), &WHOLE).unwrap(), 480, 480);
        assert_eq!(first_share(&low, 10_000, b"").unwrap(), None);
    }

    #[test]
    fn what_is_easy_is_as_large_as_asked_and_not_enlarged() {
        let plain = Owned {
            y: vec![90; 700 * 300],
            cb: vec![128; 350 * 150],
            cr: vec![128; 350 * 150],
            width: 700,
            height: 300,
            rotation: Rotation::Quarter,
        };
        let crop = Crop::take(&plain.picture(), &WHOLE).unwrap();
        assert_eq!(decoded(&small(&crop, 480, 12_000, b"").unwrap()).dimensions(), (300, 700));
        assert_eq!(decoded(&small(&crop, 150, 12_000, b"").unwrap()).dimensions(), (129, 300));
    }

    #[test]
    fn colours_of_every_kind_of_video_come_out_right() {
        // The red of bricks (200, 60, 60), as each matrix and range writes it.
        let kinds = [
            (Matrix::Bt601, true, [102, 104, 198]),
            (Matrix::Bt601, false, [103, 107, 190]),
            (Matrix::Bt709, false, [93, 114, 190]),
            (Matrix::Bt709, true, [90, 112, 198]),
        ];
        for (matrix, full_range, [y, cb, cr]) in kinds {
            let owned = Owned {
                y: vec![y; 64 * 64],
                cb: vec![cb; 32 * 32],
                cr: vec![cr; 32 * 32],
                width: 64,
                height: 64,
                rotation: Rotation::None,
            };
            let mut crop = Crop::take(&owned.picture(), &WHOLE).unwrap();
            crop.colour = Colour { matrix, full_range };
            let image::Rgb([r, g, b]) = *decoded(&small(&crop, 64, 12_000, b"").unwrap()).get_pixel(30, 30);
            let off = |is: u8, should: u8| is.abs_diff(should) <= 5;
            assert!(off(r, 200) && off(g, 60) && off(b, 60), "{matrix:?} {full_range}: {r} {g} {b}");
        }
    }

    #[test]
    fn what_is_drawn_on_is_seen_and_the_rest_is_as_it_was() {
        let shades = |step: usize| (0..120 * 91).map(|i| (40 + i % 120 / step) as u8).collect::<Vec<u8>>();
        let owned = Owned {
            y: shades(1),
            cb: vec![110; 60 * 46],
            cr: vec![150; 60 * 46],
            width: 120,
            height: 91,
            rotation: Rotation::None,
        };
        let crop = Crop::take(&owned.picture(), &WHOLE).unwrap();
        let plain = decoded(&small(&crop, 120, 50_000, b"").unwrap());
        let paint = |mut image: image::RgbImage| {
            (0..40).for_each(|i| image.put_pixel(i % 20, i / 20, image::Rgb([255; 3])));
            image
        };
        let painted = decoded(&small_painted(&crop, 120, 50_000, b"", Some(&paint)).unwrap());
        assert_eq!(painted.dimensions(), (120, 91));
        assert!(painted.get_pixel(4, 0).0.iter().all(|value| *value > 180), "{:?}", painted.get_pixel(4, 0));
        for (x, y) in [(60, 50), (119, 90), (20, 80)] {
            let (is, was) = (painted.get_pixel(x, y).0, plain.get_pixel(x, y).0);
            assert!(is.iter().zip(was).all(|(is, was)| is.abs_diff(was) <= 6), "{x} {y}: {is:?} {was:?}");
        }
    }

    #[test]
    fn a_grey_picture_is_a_grey_jpeg() {
        let owned = Owned::noise(64, 48, 2);
        let picture = crate::capture::Picture { chroma: None, ..owned.picture() };
        let crop = Crop::take(&picture, &WHOLE).unwrap();
        let image = image::load_from_memory(&small(&crop, 480, 12_000, b"").unwrap()).unwrap();
        assert!(!image.color().has_color());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// What is hidden leaves no trace in the file: two pictures that differ
        /// only inside a block, with the same average, are the same bytes.
        #[test]
        fn pictures_that_differ_inside_a_block_are_the_same_file(
            seed in any::<u32>(), x in 0f32..0.6, y in 0f32..0.6, w in 0.2f32..0.5, h in 0.2f32..0.5,
        ) {
            let b = BBox::new(x, y, w, h);
            let mut one = Crop::take(&Owned::noise(160, 120, seed).picture(), &WHOLE).unwrap();
            average(&mut one, &Hide::whole(b));
            // Any other detail with the same averages: the average of the average is itself.
            let mut other = one.clone();
            let (left, top) = ((x * 160.0).ceil() as usize, (y * 120.0).ceil() as usize);
            let block = &mut other.y.data;
            let (p, q) = (top * 160 + left, top * 160 + left + 1);
            prop_assume!(block[p] == block[q] && (1..255).contains(&block[p]));
            block[p] += 1;
            block[q] -= 1;
            prop_assert_ne!(&one, &other);
            average(&mut other, &Hide::whole(b));
            prop_assert_eq!(small(&one, 120, 12_000, b"").unwrap(), small(&other, 120, 12_000, b"").unwrap());
        }
    }
}
