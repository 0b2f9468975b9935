//! Drawing boxes, lines and words on pictures for people to look at.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_7X13_BOLD;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::Primitive;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use image::RgbImage;

use crate::domain::{self, BBox, Group};

/// Height of a line of words, in strokes.
const LINE_HEIGHT: i32 = 14;
/// Width of a letter, in strokes.
const LETTER_WIDTH: i32 = 7;

/// A picture to draw on. Places are fractions of the picture; strokes and
/// letters grow with it, so that they stay readable on a large one.
#[derive(Debug)]
pub struct Canvas {
    image: RgbImage,
    /// Pixels to a stroke's width.
    scale: u32,
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
        Canvas { image, scale }
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
        let width = LETTER_WIDTH * i32::try_from(label.chars().count()).unwrap_or(0) + 2;
        let room = self.size();
        let (right, bottom) = (room.width as i32 - width, room.height as i32 - LINE_HEIGHT);
        let above = if top_left.y >= LINE_HEIGHT { top_left.y - LINE_HEIGHT } else { top_left.y };
        self.words(Point::new(top_left.x.min(right).max(0), above.min(bottom).max(0)), label, colour);
    }

    /// A line from one point to another.
    pub fn line(&mut self, from: domain::Point, to: domain::Point, colour: Rgb888) {
        let style = PrimitiveStyle::with_stroke(colour, 2);
        ignore(Line::new(self.place(from), self.place(to)).into_styled(style).draw(self));
    }

    /// Words whose top left corner is at a point.
    pub fn label(&mut self, at: domain::Point, text: &str, colour: Rgb888) {
        let at = self.place(at);
        self.words(at, text, colour);
    }

    /// Dark words on a bar of the colour: readable on any picture.
    fn words(&mut self, at: Point, text: &str, colour: Rgb888) {
        let width = LETTER_WIDTH as u32 * u32::try_from(text.chars().count()).unwrap_or(0) + 2;
        let bar = Rectangle::new(at, Size::new(width, LINE_HEIGHT as u32));
        ignore(bar.into_styled(PrimitiveStyle::with_fill(colour)).draw(self));
        let style = MonoTextStyle::new(&FONT_7X13_BOLD, Rgb888::BLACK);
        ignore(Text::with_baseline(text, at + Point::new(1, 1), style, Baseline::Top).draw(self));
    }

    fn place(&self, p: domain::Point) -> Point {
        let at = |fraction: f32, pixels: u32| (fraction * pixels as f32 / self.scale as f32).round() as i32;
        Point::new(at(p.x, self.image.width()), at(p.y, self.image.height()))
    }
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
            canvas.line(domain::Point::new(-5.0, 0.5), domain::Point::new(5.0, 0.5), colour);
            let image = canvas.into_image();
            assert_eq!(image.dimensions(), (width, height));
            assert!(image.pixels().any(|pixel| pixel.0 != [0; 3]));
        }
    }
}
