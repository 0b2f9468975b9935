//! Boxes, lines, areas and words on a picture.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_7X13_BOLD;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::Primitive;
use embedded_graphics::primitives::{Circle, Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use image::RgbImage;

use crate::domain::{self, BBox, Group, polygon_contains};

/// Height of a line of words, in strokes.
const LINE_HEIGHT: i32 = 14;
/// Width of a letter, in strokes.
const LETTER_WIDTH: u32 = 7;

/// A picture to draw on. Places are fractions of the picture; strokes and
/// letters grow with it, so that they stay readable on a large one.
#[derive(Debug)]
pub struct Canvas {
    image: RgbImage,
    /// Pixels to a stroke's width.
    scale: u32,
    /// Where notes have been put and where none may be, in strokes.
    notes: Vec<Rectangle>,
}

/// The colour that stands for a group.
pub fn group_colour(group: Group) -> Rgb888 {
    match group {
        Group::Vehicle => Rgb888::new(255, 176, 0),
        Group::Person => Rgb888::new(64, 224, 96),
        Group::Animal => Rgb888::new(96, 176, 255),
    }
}

impl Canvas {
    /// Draws on `image`.
    pub fn new(image: RgbImage) -> Canvas {
        let scale = (image.width().max(image.height()) / 900).max(1);
        Canvas { image, scale, notes: Vec::new() }
    }

    /// The picture with everything drawn.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// A box with a label above it, or inside it where there is no room.
    pub fn labelled_box(&mut self, bbox: &BBox, label: &str, colour: Rgb888) {
        let top_left = self.place(domain::Point::new(bbox.x, bbox.y));
        let bottom_right = self.place(domain::Point::new(bbox.right(), bbox.bottom()));
        let outline = PrimitiveStyle::with_stroke(colour, 2);
        ignore(Rectangle::with_corners(top_left, bottom_right).into_styled(outline).draw(self));
        let above = if top_left.y >= LINE_HEIGHT { top_left.y - LINE_HEIGHT } else { top_left.y };
        self.words(Point::new(top_left.x, above), label, colour);
    }

    /// The outline of a box, thinner than [`Canvas::labelled_box`]'s.
    pub fn thin_box(&mut self, bbox: &BBox, colour: Rgb888) {
        let top_left = self.place(domain::Point::new(bbox.x, bbox.y));
        let bottom_right = self.place(domain::Point::new(bbox.right(), bbox.bottom()));
        let outline = PrimitiveStyle::with_stroke(colour, 1);
        ignore(Rectangle::with_corners(top_left, bottom_right).into_styled(outline).draw(self));
    }

    /// A line from one point to another, `strokes` wide.
    pub fn line(&mut self, from: domain::Point, to: domain::Point, colour: Rgb888, strokes: u32) {
        let style = PrimitiveStyle::with_stroke(colour, strokes);
        ignore(Line::new(self.place(from), self.place(to)).into_styled(style).draw(self));
    }

    /// The outline of an area.
    pub fn outline(&mut self, corners: &[domain::Point], colour: Rgb888, strokes: u32) {
        let next = corners.iter().cycle().skip(1);
        for (from, to) in corners.iter().zip(next) {
            self.line(*from, *to, colour, strokes);
        }
    }

    /// Tints an area: `share` (0..=1) of the colour, the rest as it was.
    pub fn tint(&mut self, corners: &[domain::Point], colour: Rgb888, share: f32) {
        let (width, height) = (self.image.width() as f32, self.image.height() as f32);
        let colour = [colour.r(), colour.g(), colour.b()];
        for (x, y, image::Rgb(pixel)) in self.image.enumerate_pixels_mut() {
            let middle = domain::Point::new((x as f32 + 0.5) / width, (y as f32 + 0.5) / height);
            if polygon_contains(corners, middle) {
                for (old, new) in pixel.iter_mut().zip(colour) {
                    *old = (f32::from(*old) * (1.0 - share) + f32::from(new) * share).round() as u8;
                }
            }
        }
    }

    /// A filled disc.
    pub fn disc(&mut self, middle: domain::Point, strokes: u32, colour: Rgb888) {
        let disc = Circle::with_center(self.place(middle), strokes);
        ignore(disc.into_styled(PrimitiveStyle::with_fill(colour)).draw(self));
    }

    /// The point `right` and `down` pixels away from `from`.
    pub fn moved(&self, from: domain::Point, right: f32, down: f32) -> domain::Point {
        domain::Point::new(from.x + right / self.image.width() as f32, from.y + down / self.image.height() as f32)
    }

    /// From one point to another in pixels, to the right and down.
    pub fn pixels_between(&self, from: domain::Point, to: domain::Point) -> (f32, f32) {
        ((to.x - from.x) * self.image.width() as f32, (to.y - from.y) * self.image.height() as f32)
    }

    /// Width and height in pixels.
    pub fn size_px(&self) -> (f32, f32) {
        (self.image.width() as f32, self.image.height() as f32)
    }

    /// Words around a point, or as near to it as they fit into the picture
    /// without hiding other notes.
    pub fn note(&mut self, around: domain::Point, text: &str, colour: Rgb888) {
        let size = words_size(text);
        let around = self.place(around);
        let first = around - Point::new(size.width as i32 / 2, LINE_HEIGHT / 2);
        let steps = std::iter::once(0).chain((1..20).flat_map(|step| [step, -step]));
        let place = |step: i32| self.inside(first + Point::new(0, step * (LINE_HEIGHT + 1)), size);
        let is_free = |at: &Point| {
            let wanted = Rectangle::new(*at, size);
            self.notes.iter().all(|taken| taken.intersection(&wanted).is_zero_sized())
        };
        let at = steps.map(place).find(is_free).unwrap_or_else(|| place(0));
        self.notes.push(Rectangle::new(at, size));
        self.words(at, text, colour);
    }

    /// Lets no [`Canvas::note`] cover the area of this box.
    pub fn keep_free(&mut self, bbox: &BBox) {
        let top_left = self.place(domain::Point::new(bbox.x, bbox.y));
        let bottom_right = self.place(domain::Point::new(bbox.right(), bbox.bottom()));
        self.notes.push(Rectangle::with_corners(top_left, bottom_right));
    }

    /// `at`, moved so that something of this size lies inside the picture.
    fn inside(&self, at: Point, size: Size) -> Point {
        let room = self.size().saturating_sub(size);
        Point::new(at.x.min(room.width as i32).max(0), at.y.min(room.height as i32).max(0))
    }

    /// Dark words on a bar of the colour: readable on any picture.
    fn words(&mut self, at: Point, text: &str, colour: Rgb888) {
        let at = self.inside(at, words_size(text));
        let bar = Rectangle::new(at, words_size(text));
        ignore(bar.into_styled(PrimitiveStyle::with_fill(colour)).draw(self));
        let style = MonoTextStyle::new(&FONT_7X13_BOLD, Rgb888::BLACK);
        ignore(Text::with_baseline(text, at + Point::new(1, 1), style, Baseline::Top).draw(self));
    }

    fn place(&self, p: domain::Point) -> Point {
        let at = |fraction: f32, pixels: u32| (fraction * pixels as f32 / self.scale as f32).round() as i32;
        Point::new(at(p.x, self.image.width()), at(p.y, self.image.height()))
    }
}

/// The size of a bar of words, in strokes.
fn words_size(text: &str) -> Size {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    Size::new(letters.saturating_mul(LETTER_WIDTH).saturating_add(2), LINE_HEIGHT as u32)
}

/// Drawing into memory cannot fail; its error type has no values.
fn ignore<T>(result: Result<T, Infallible>) {
    let Ok(_) = result;
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.image.width() / self.scale, self.image.height() / self.scale)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = embedded_graphics::Pixel<Rgb888>>,
    {
        for embedded_graphics::Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y)) else { continue };
            let (left, top) = (x.saturating_mul(self.scale), y.saturating_mul(self.scale));
            for y in top..top.saturating_add(self.scale).min(self.image.height()) {
                for x in left..left.saturating_add(self.scale).min(self.image.width()) {
                    self.image.put_pixel(x, y, image::Rgb([colour.r(), colour.g(), colour.b()]));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_beyond_the_picture_is_harmless() {
        let colour = group_colour(Group::Person);
        for (width, height) in [(1, 1), (7, 3000), (640, 480)] {
            let mut canvas = Canvas::new(RgbImage::new(width, height));
            canvas.labelled_box(&BBox::new(-1.0, -1.0, 3.0, 3.0), "person 0.87", colour);
            canvas.labelled_box(&BBox::new(0.95, 0.95, 0.05, 0.05), "person 0.87", colour);
            canvas.line(domain::Point::new(-5.0, 0.5), domain::Point::new(5.0, 0.5), colour, 2);
            let corners = [(-1.0, -1.0), (2.0, 0.5), (0.0, 3.0)].map(|(x, y)| domain::Point::new(x, y));
            canvas.tint(&corners, colour, 0.2);
            canvas.outline(&corners, colour, 1);
            for _ in 0..50 {
                canvas.note(domain::Point::new(0.5, 0.5), "smallest person: 17 % of the picture's height", colour);
            }
            let image = canvas.into_image();
            assert_eq!(image.dimensions(), (width, height));
            assert!(image.pixels().any(|pixel| pixel.0 != [0; 3]));
        }
    }
}
