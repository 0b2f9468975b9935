//! Every form in which cameras record: the same street must give the same two
//! crossings. The forms are made with Debian's `ffmpeg`.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::program::{STREET, STREET_LINE, Said, Studio};

fn assert_street(said: &Said, what: &str) {
    assert_eq!(said.code, Some(0), "{what}: {}", said.stderr);
    let expected = [("vehicle".to_owned(), "left".to_owned()), ("vehicle".to_owned(), "right".to_owned())];
    assert_eq!(said.crossings(), expected, "{what}");
}

/// The street re-encoded with `options` gives its crossings.
fn same_street(options: &str, name: &str) {
    let studio = Studio::new(STREET_LINE);
    let video = studio.make(STREET, options, name);
    assert_street(&studio.replay(&[video]), options);
}

#[test]
fn h264_with_half_and_full_chroma() {
    same_street("-c:v libx264 -pix_fmt yuv422p", "street.mp4");
    same_street("-c:v libx264 -pix_fmt yuv444p -vf scale=641:361", "street.mkv");
}

#[test]
fn grey_pictures_of_an_infrared_camera() {
    same_street("-c:v libx264 -pix_fmt gray", "street.mp4");
}

#[test]
fn hevc_with_eight_and_ten_bits() {
    same_street("-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p", "street.mp4");
    same_street("-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le", "street.mkv");
}

#[test]
fn old_trail_cameras_avi() {
    same_street("-c:v mjpeg -q:v 4 -pix_fmt yuvj422p", "street.avi");
    same_street("-c:v mpeg4 -q:v 4", "street.avi");
}

#[test]
fn uncompressed_rows_from_the_bottom_up_are_refused_in_words() {
    let studio = Studio::new(STREET_LINE);
    let top_down = studio.make(STREET, "-c:v rawvideo -pix_fmt bgr24 -vf scale=64:36 -t 1", "raw.avi");
    assert_eq!(studio.replay(&[&top_down]).code, Some(0));
    // ffmpeg writes rows from the top down, which a BITMAPINFOHEADER says by a
    // negative height; old programs wrote it positive.
    let mut avi = std::fs::read(&top_down).unwrap();
    let format = avi.windows(4).position(|bytes| bytes == b"strf").unwrap();
    let height = &mut avi[format + 16..format + 20];
    assert_eq!(i32::from_le_bytes(height.try_into().unwrap()), -36);
    height.copy_from_slice(&36i32.to_le_bytes());
    let said = studio.replay(&[studio.file("bottom-up.avi", avi)]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("from the bottom up"), "{}", said.stderr);
}

#[test]
fn full_range_and_odd_sizes() {
    same_street("-c:v libx264 -vf scale=out_range=full -pix_fmt yuvj420p -color_range pc", "street.mp4");
    same_street("-c:v mjpeg -q:v 3 -vf scale=321:181 -pix_fmt yuvj420p", "street.avi");
}

#[test]
fn pictures_stored_sideways_or_upside_down_are_turned_upright() {
    // (filter that turns the samples, quarter turns clockwise that undo it)
    for (turn, quarters) in [("transpose=2", 1), ("hflip,vflip", 2), ("transpose=1", 3)] {
        let studio = Studio::new(STREET_LINE);
        // Nearly lossless: this is about turning, not about what survives a codec.
        let turned = studio.make(STREET, &format!("-c:v libx264 -crf 18 -vf {turn}"), "turned.mp4");
        let video = mark_turned(&studio, &turned, quarters * 90);
        assert_street(&studio.replay(&[video]), turn);
    }
}

/// A copy of `video` that asks to be shown turned clockwise by `degrees`.
fn mark_turned(studio: &Studio, video: &Path, degrees: i32) -> PathBuf {
    // FFmpeg since 6, and before; both count anticlockwise.
    let newer = studio.try_make(&format!("-display_rotation {}", -degrees), video, "-c copy", "marked.mp4");
    let older = || studio.make(video, &format!("-c copy -metadata:s:v rotate={}", 360 - degrees), "marked.mp4");
    newer.unwrap_or_else(|_| older())
}

#[test]
fn a_size_that_changes_in_the_middle() {
    let studio = Studio::new(STREET_LINE);
    // Raw streams carry no times and are taken for 25 frames a second.
    for (format, rest) in [("h264", "-r 25 -f h264"), ("ts", "-muxdelay 0 -f mpegts")] {
        let large = studio.make(STREET, &format!("-to 7 -c:v libx264 {rest}"), "large");
        let offset = if format == "ts" { "-output_ts_offset 7" } else { "" };
        let small = format!("-ss 7 -vf scale=480:270 -c:v libx264 {offset} {rest}");
        let small = studio.make(STREET, &small, "small");
        let bytes = [std::fs::read(large).unwrap(), std::fs::read(small).unwrap()].concat();
        let video = studio.file(&format!("both.{format}"), bytes);
        assert_street(&studio.replay(&[video]), format);
    }
}

/// xorshift64 (Marsaglia 2003): the same damage every time.
struct Damage(u64);

impl Damage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Flips one bit in ten thousand.
    fn spoil(&mut self, bytes: &mut [u8]) {
        let bits = bytes.len() as u64 * 8;
        for _ in 0..bits / 10_000 {
            let bit = self.next() % bits;
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn damaged_streams_never_bring_it_down() {
    let studio = Studio::new(STREET_LINE);
    let good: Vec<PathBuf> = [
        ("-c:v libx264 -f h264", "a.h264"),
        ("-c:v libx264", "b.ts"),
        ("-c copy", "c.mp4"),
        ("-c:v libx265 -x265-params log-level=error", "d.mkv"),
        ("-c:v mjpeg", "e.avi"),
    ]
    .map(|(options, name)| studio.make(STREET, &format!("-t 3 {options}"), name))
    .into();
    for (seed, video) in (1..=2).flat_map(|seed| good.iter().map(move |video| (seed, video))) {
        let mut bytes = std::fs::read(video).unwrap();
        Damage(0x9e37_79b9_7f4a_7c15 ^ seed).spoil(&mut bytes);
        let damaged = studio.file("damaged", bytes);
        let said = studio.replay(&[damaged]);
        match said.code {
            Some(0) => assert!(said.summary().ends_with("s cpu"), "{}", said.stderr),
            Some(1) => assert!(said.stderr.contains("damaged: "), "{}", said.stderr),
            other => panic!("{video:?} with seed {seed}: {other:?}, {}", said.stderr),
        }
        said.events();
    }
}
