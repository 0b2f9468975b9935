//! What a camera's configuration means and what was seen, drawn onto a frame.

use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use image::RgbImage;

use super::canvas::{Canvas, group_colour};
use crate::config::{Anchor, CameraConfig, TripwireConfig, ZoneConfig, ZoneMode};
use crate::detect::{Classes, Detection};
use crate::domain::{BBox, Point};
use crate::scene::Zones;

/// The height, in pixels of the model's input, from which on a person is found.
///
/// Measured with the built-in model on 55 standing people of COCO's photographs
/// that it finds at some size: shrunk to this height four of five are still
/// found with a confidence of 0.4 in a single picture (two of five at 32
/// pixels, one in twenty at 20, 91 % at 64). `models/eval/smallest_person.py` measures it
/// again.
const SMALLEST_PERSON_PX: f32 = 40.0;

const WIRE: Rgb888 = Rgb888::new(255, 230, 0);
const FORWARD: Rgb888 = Rgb888::new(0, 230, 230);
const BACKWARD: Rgb888 = Rgb888::new(255, 150, 220);
const EXCLUDE: Rgb888 = Rgb888::new(255, 80, 64);
const INCLUDE: Rgb888 = Rgb888::new(80, 220, 80);
const PRIVATE: Rgb888 = Rgb888::new(20, 20, 20);
const MOVING: Rgb888 = Rgb888::new(255, 0, 255);
const IGNORED: Rgb888 = Rgb888::new(176, 176, 176);

/// What was seen.
pub struct Sight<'a> {
    /// Moving regions in fractions of the picture.
    pub moving: &'a [BBox],
    /// Objects, most confident first.
    pub detections: &'a [Detection],
    /// What their classes are called.
    pub classes: &'a Classes,
    /// Width and height of the model's input, which the whole picture has to
    /// fit into.
    pub input_px: (usize, usize),
}

/// `image`, upright, with what `camera`'s configuration means and what was
/// seen.
pub fn draw(image: RgbImage, camera: &CameraConfig, sight: &Sight<'_>) -> RgbImage {
    let (width, height) = image.dimensions();
    let mut canvas = Canvas::new(image);
    for zone in &camera.zone {
        tint_zone(&mut canvas, zone);
    }
    for region in sight.moving {
        canvas.thin_box(region, MOVING);
    }
    let zones = Zones::new(&camera.zone);
    // The most confident last, so that nothing hides it.
    for found in sight.detections.iter().rev() {
        let label = format!("{} {:.2}", sight.classes.name(found.class), found.confidence);
        if zones.admits(&found.bbox) {
            canvas.labelled_box(&found.bbox, &label, group_colour(found.group));
        } else {
            canvas.labelled_box(&found.bbox, &format!("{label} ignored"), IGNORED);
        }
    }
    let person = smallest_person((width, height), sight.input_px);
    for wire in &camera.tripwire {
        draw_wire(&mut canvas, wire, person);
    }
    for wire in &camera.tripwire {
        name_wire(&mut canvas, wire, person);
    }
    for zone in &camera.zone {
        name_zone(&mut canvas, zone);
    }
    canvas.note(Point::new(0.0, 1.0), &caption(camera, (width, height), sight, person), Rgb888::WHITE);
    canvas.into_image()
}

/// Height of the smallest person that is found in a look at the whole picture, as
/// a fraction of its height: it is scaled to fit into the model's input. Who moves
/// is looked at in crops, too, and may be smaller.
fn smallest_person((width, height): (u32, u32), (input_width, input_height): (usize, usize)) -> f32 {
    let scale = (input_width as f32 / width as f32).min(input_height as f32 / height as f32);
    SMALLEST_PERSON_PX / (height as f32 * scale)
}

fn caption(camera: &CameraConfig, (width, height): (u32, u32), sight: &Sight<'_>, person: f32) -> String {
    let moving = if sight.moving.is_empty() { "nothing moves" } else { "purple: moving" };
    let smallest = if camera.tripwire.is_empty() {
        format!(", smallest person: {:.0} % of the height", person * 100.0)
    } else {
        String::new()
    };
    format!("{}: {width}x{height}, {moving}{smallest}", camera.name)
}

fn zone_colour(zone: &ZoneConfig) -> Rgb888 {
    match zone.mode {
        ZoneMode::Exclude => EXCLUDE,
        ZoneMode::Include => INCLUDE,
        ZoneMode::Private => PRIVATE,
    }
}

fn tint_zone(canvas: &mut Canvas, zone: &ZoneConfig) {
    match zone.mode {
        // As it is in every picture: not to be seen at all.
        ZoneMode::Private => canvas.tint(&zone.polygon, Rgb888::BLACK, 1.0),
        ZoneMode::Exclude | ZoneMode::Include => canvas.tint(&zone.polygon, zone_colour(zone), 0.22),
    }
    canvas.outline(&zone.polygon, zone_colour(zone), 2);
}

fn name_zone(canvas: &mut Canvas, zone: &ZoneConfig) {
    let count = zone.polygon.len().max(1) as f32;
    let sum = zone.polygon.iter().fold(Point::default(), |sum, p| Point::new(sum.x + p.x, sum.y + p.y));
    let middle = Point::new(sum.x / count, sum.y / count);
    let corner = zone.polygon.iter().copied().min_by(|a, b| (a.x + a.y).total_cmp(&(b.x + b.y))).unwrap_or(middle);
    // Near the upper left corner, where it hides least.
    let at = Point::new(corner.x + (middle.x - corner.x) * 0.15, corner.y + (middle.y - corner.y) * 0.15);
    let meaning = match zone.mode {
        ZoneMode::Exclude => "exclude",
        ZoneMode::Include => "include",
        ZoneMode::Private => "private",
    };
    canvas.note(at, &format!("{}: {meaning}", zone.name), zone_colour(zone));
}

/// The point at `share` (0..=1) of the way from the line's beginning.
fn along(wire: &TripwireConfig, share: f32) -> Point {
    let between = |from: f32, to: f32| from + (to - from) * share;
    Point::new(between(wire.from.x, wire.to.x), between(wire.from.y, wire.to.y))
}

fn draw_wire(canvas: &mut Canvas, wire: &TripwireConfig, person: f32) {
    canvas.line(wire.from, wire.to, Rgb888::BLACK, 5);
    canvas.line(wire.from, wire.to, WIRE, 3);
    canvas.disc(wire.from, 9, WIRE);
    for (share, sign, colour) in [(FORWARD_AT, 1.0, FORWARD), (BACKWARD_AT, -1.0, BACKWARD)] {
        let (tail, head) = arrow(canvas, wire, share, sign);
        draw_arrow(canvas, tail, head, colour);
    }
    draw_person(canvas, wire, person);
}

/// Where along the line the directions' arrows stand: on either side of the
/// person in the middle.
const FORWARD_AT: f32 = 0.25;
const BACKWARD_AT: f32 = 0.75;
/// Length of an arrow as a share of the picture's smaller side.
const ARROW: f32 = 0.14;

/// Tail and head of an arrow across the line at `share` of it; to its right
/// (forward) with `sign` 1, to its left with −1.
fn arrow(canvas: &Canvas, wire: &TripwireConfig, share: f32, sign: f32) -> (Point, Point) {
    let (right, down) = canvas.pixels_between(wire.from, wire.to);
    let length = right.hypot(down).max(1.0);
    let (width, height) = canvas.size_px();
    let half = ARROW * width.min(height) / 2.0 * sign / length;
    // With y down, the right of (right, down) is (−down, right).
    let middle = along(wire, share);
    (canvas.moved(middle, down * half, -right * half), canvas.moved(middle, -down * half, right * half))
}

fn draw_arrow(canvas: &mut Canvas, tail: Point, head: Point, colour: Rgb888) {
    let (right, down) = canvas.pixels_between(tail, head);
    // Two strokes of 30 % of the length, turned back by some 35 degrees.
    let barbs = [0.7_f32, -0.7].map(|turn| {
        let (x, y) = (-right * 0.3, -down * 0.3);
        canvas.moved(head, x - turn * y, y + turn * x)
    });
    for (strokes, colour) in [(5, Rgb888::BLACK), (3, colour)] {
        canvas.line(tail, head, colour, strokes);
        for barb in barbs {
            canvas.line(barb, head, colour, strokes);
        }
    }
}

/// A standing person in heights: x from the middle, y from the top.
const BODY: [(f32, f32); 11] = [
    (-0.13, 0.17),
    (0.13, 0.17),
    (0.15, 0.52),
    (0.09, 0.52),
    (0.09, 1.0),
    (0.015, 1.0),
    (0.0, 0.6),
    (-0.015, 1.0),
    (-0.09, 1.0),
    (-0.09, 0.52),
    (-0.15, 0.52),
];

/// Middle and radius of the head, in heights from the top.
const HEAD: f32 = 0.08;

/// The smallest person, with the anchor on the line's middle.
fn draw_person(canvas: &mut Canvas, wire: &TripwireConfig, person: f32) {
    let height = person * canvas.size_px().1;
    let middle = along(wire, 0.5);
    let top = canvas.moved(middle, 0.0, -height * anchor_height(wire));
    let (width, _) = canvas.size_px();
    let half = height * 0.16 / width;
    canvas.keep_free(&BBox::new(top.x - half, top.y, half * 2.0, person));
    let body = BODY.map(|(x, y)| canvas.moved(top, x * height, y * height));
    let head: Vec<Point> = (0..16)
        .map(|step| (step as f32 * std::f32::consts::TAU / 16.0).sin_cos())
        .map(|(sin, cos)| canvas.moved(top, cos * HEAD * height, (1.0 + sin) * HEAD * height))
        .collect();
    for (strokes, colour) in [(4, Rgb888::BLACK), (2, Rgb888::WHITE)] {
        canvas.outline(&body, colour, strokes);
        canvas.outline(&head, colour, strokes);
    }
    canvas.disc(middle, 9, Rgb888::BLACK);
    canvas.disc(middle, 7, Rgb888::WHITE);
}

/// The anchor's distance from the person's top, in heights.
fn anchor_height(wire: &TripwireConfig) -> f32 {
    match wire.anchor {
        Anchor::Bottom => 1.0,
        Anchor::Center => 0.5,
    }
}

fn name_wire(canvas: &mut Canvas, wire: &TripwireConfig, person: f32) {
    for (share, sign, name, colour) in
        [(FORWARD_AT, 1.0, &wire.forward, FORWARD), (BACKWARD_AT, -1.0, &wire.backward, BACKWARD)]
    {
        let (tail, head) = arrow(canvas, wire, share, sign);
        let (right, down) = canvas.pixels_between(tail, head);
        canvas.note(canvas.moved(head, right * 0.25, down * 0.25), name, colour);
    }
    let anchor = match wire.anchor {
        Anchor::Bottom => "bottom",
        Anchor::Center => "center",
    };
    let (_, height) = canvas.size_px();
    let below = (1.0 - anchor_height(wire)) * person * height;
    let feet = canvas.moved(along(wire, 0.5), 0.0, below + height * 0.035);
    canvas.note(feet, &format!("{}, anchor {anchor}", wire.name), WIRE);
    let size = format!("smallest person: {:.0} % of the picture's height", person * 100.0);
    canvas.note(canvas.moved(feet, 0.0, height * 0.04), &size, Rgb888::WHITE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(from: (f32, f32), to: (f32, f32)) -> TripwireConfig {
        TripwireConfig {
            name: "line".into(),
            from: Point::new(from.0, from.1),
            to: Point::new(to.0, to.1),
            forward: "down".into(),
            backward: "up".into(),
            anchor: Anchor::Bottom,
            groups: crate::domain::Group::ALL.to_vec(),
            alert: false,
        }
    }

    #[test]
    fn the_forward_arrow_leads_from_the_left_of_the_line_to_its_right() {
        let canvas = Canvas::new(RgbImage::new(640, 360));
        for (from, to) in [((0.0, 0.6), (1.0, 0.6)), ((0.5, 1.0), (0.5, 0.0)), ((0.9, 0.2), (0.1, 0.7))] {
            let wire = wire(from, to);
            let segment = crate::domain::Segment { from: wire.from, to: wire.to };
            let (tail, head) = arrow(&canvas, &wire, 0.5, 1.0);
            assert!(segment.side(tail) < 0.0 && segment.side(head) > 0.0, "{wire:?}: {tail:?} to {head:?}");
            let (tail, head) = arrow(&canvas, &wire, 0.5, -1.0);
            assert!(segment.side(tail) > 0.0 && segment.side(head) < 0.0, "{wire:?}: {tail:?} to {head:?}");
        }
    }

    #[test]
    fn nothing_of_a_private_zone_is_seen() {
        let corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)].map(|(x, y)| Point::new(x, y));
        let zone = |mode| ZoneConfig { name: "yard".into(), mode, polygon: corners.to_vec() };
        let camera =
            CameraConfig { zone: vec![zone(ZoneMode::Private), zone(ZoneMode::Include)], ..CameraConfig::default() };
        let classes = Classes::new(Vec::new());
        let sight = Sight { moving: &[], detections: &[], classes: &classes, input_px: (416, 416) };
        let pixel = |shade: u8| {
            let image = RgbImage::from_pixel(640, 360, image::Rgb([shade; 3]));
            *draw(image, &camera, &sight).get_pixel(400, 200)
        };
        assert_eq!(pixel(255), pixel(90), "what the camera saw makes no difference");
    }

    #[test]
    fn the_smallest_person_is_larger_where_the_picture_is_shrunk_more() {
        // 1920 to 416 pixels: 1080 becomes 234.
        assert!((smallest_person((1920, 1080), (416, 416)) - 40.0 / 234.0).abs() < 1e-4);
        assert!((smallest_person((416, 416), (416, 416)) - 40.0 / 416.0).abs() < 1e-4);
    }
}
