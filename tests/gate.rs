//! The packet gate on a real stream: what passes is the same with it and without,
//! for less decoding.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::program::{STREET, STREET_LINE, Said, Studio};
use tawny::event::Body;

/// Time, direction and group of every crossing.
fn crossings(said: &Said) -> Vec<(i64, String, String)> {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let crossing = |event: tawny::event::Event| match event.body {
        Body::Crossing { grp, dir, .. } => Some((event.stamp.t.0, dir, grp.to_string())),
        _ => None,
    };
    said.events().into_iter().filter_map(crossing).collect()
}

/// The numbers of the last line: frames and decoded.
fn effort(said: &Said) -> (f64, f64) {
    let mut numbers = said.summary().split(", ").map(|part| part.split(' ').next().unwrap().parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_still_street_is_left_undecoded_and_its_traffic_is_reported_as_without_the_gate() {
    let with = Studio::new(STREET_LINE);
    let without = Studio::new(&STREET_LINE.replace("name = \"road\"", "name = \"road\"\ngate = \"off\""));
    // Two minutes before and twenty seconds after in which nothing but noise moves.
    let padded = "-vf tpad=start_mode=clone:start_duration=120:stop_mode=clone:stop_duration=20,noise=alls=6:allf=t \
                  -c:v libx264 -preset veryfast -crf 26 -g 25";
    let video = with.make(STREET, padded, "padded.mp4");
    let (gated, open) = (with.replay(&[&video]), without.replay(&[&video]));
    let ((frames, decoded), (_, all)) = (effort(&gated), effort(&open));
    assert!(decoded < 0.85 * frames && all > 0.9 * frames, "{}{}", gated.stderr, open.stderr);
    let (gated, open) = (crossings(&gated), crossings(&open));
    assert_eq!(gated.len(), 2, "{gated:?}");
    for (a, b) in gated.iter().zip(&open) {
        assert!((a.0 - b.0).abs() <= 200 && a.1 == b.1 && a.2 == b.2, "{gated:?} {open:?}");
    }
    assert_eq!(gated.len(), open.len());
}

#[test]
fn what_follows_the_last_keyframe_of_a_recording_is_looked_at() {
    let studio = Studio::new(STREET_LINE);
    // Stillness with a keyframe every four seconds; the gate is closed at the end.
    let still = |frames: u32| {
        let options = format!(
            "-vf tpad=start_mode=clone:start_duration=60,noise=alls=6:allf=t -frames:v {frames} \
             -c:v libx264 -preset veryfast -tune zerolatency -crf 26 -g 50"
        );
        studio.replay(&[studio.make(STREET, &options, &format!("still-{frames}.mp4"))])
    };
    let (short, long) = (still(551), still(599));
    assert_eq!((crossings(&short).len(), crossings(&long).len()), (0, 0));
    assert!(long.stderr.contains("closed 1 times, opened 0 times by packets"), "{}", long.stderr);
    let ((_, one), (_, all)) = (effort(&short), effort(&long));
    assert!(
        all - one >= 45.0,
        "one ends with the keyframe, the other 48 pictures later\n{}{}",
        short.stderr,
        long.stderr
    );
}
