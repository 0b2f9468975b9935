//! A whole picture in RGB, upright, for people to look at. Slow and plain:
//! the pipeline itself never needs one.

use image::{Rgb, RgbImage};

use super::picture::{Colour, Matrix, Picture, Plane, Rotation};

/// `picture` in RGB, turned upright.
pub fn upright_rgb(picture: &Picture<'_>) -> RgbImage {
    let (width, height) = picture.upright_size();
    let (across, down) = (picture.y.width, picture.y.height);
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    RgbImage::from_fn(side(width), side(height), |x, y| {
        let (x, y) = (x as usize, y as usize);
        let (x, y) = match picture.rotation {
            Rotation::None => (x, y),
            Rotation::Quarter => (y, down - 1 - x),
            Rotation::Half => (across - 1 - x, down - 1 - y),
            Rotation::ThreeQuarters => (across - 1 - y, x),
        };
        let chroma = picture.chroma.map_or([128, 128], |(cb, cr)| {
            [
                sample(&cb, x * cb.width / across, y * cb.height / down),
                sample(&cr, x * cr.width / across, y * cr.height / down),
            ]
        });
        to_rgb(sample(&picture.y, x, y), chroma, picture.colour)
    })
}

/// Neutral outside the plane, which a well-formed picture never asks for.
fn sample(plane: &Plane<'_>, x: usize, y: usize) -> u8 {
    plane.row(y).get(x).copied().unwrap_or(128)
}

/// ITU-R BT.601 and BT.709: R = Y + 2 (1 − Kr) Cr, B = Y + 2 (1 − Kb) Cb, and G
/// from Y = Kr R + Kg G + Kb B.
fn to_rgb(y: u8, [cb, cr]: [u8; 2], colour: Colour) -> Rgb<u8> {
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let (offset, luma, chroma) = if colour.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let y = (f32::from(y) - offset) / luma;
    let [cb, cr] = [cb, cr].map(|value| (f32::from(value) - 128.0) / chroma);
    let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
    let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
    Rgb([r, g, b].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn colours_come_out_as_they_were_meant() {
        let limited = Colour { matrix: Matrix::Bt709, full_range: false };
        assert_eq!(to_rgb(235, [128, 128], limited), Rgb([255; 3]));
        assert_eq!(to_rgb(16, [128, 128], limited), Rgb([0; 3]));
        // JPEG's red.
        let Rgb([r, g, b]) = to_rgb(76, [85, 255], Colour { matrix: Matrix::Bt601, full_range: true });
        assert!(r >= 253 && g <= 2 && b <= 2, "{r} {g} {b}");
    }

    #[test]
    fn the_stored_picture_is_turned_upright() {
        let luma = [0, 50, 100, 150, 200, 250];
        let at = |rotation, x, y| {
            let picture = Picture {
                y: Plane::new(&luma, 3, 2, 3).unwrap(),
                chroma: None,
                colour: Colour { matrix: Matrix::Bt601, full_range: true },
                rotation,
                exposure: 1.0,
            };
            let image = upright_rgb(&picture);
            (image.dimensions(), image.get_pixel(x, y).0[0])
        };
        assert_eq!(at(Rotation::None, 0, 0), ((3, 2), 0));
        // A quarter turn clockwise brings the bottom left corner to the top left.
        assert_eq!(at(Rotation::Quarter, 0, 0), ((2, 3), 150));
        assert_eq!(at(Rotation::Half, 0, 0), ((3, 2), 250));
        assert_eq!(at(Rotation::ThreeQuarters, 0, 0), ((2, 3), 100));
    }
}
