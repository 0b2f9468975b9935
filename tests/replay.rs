//! `tawny replay` as its users meet it: the same result every time, times that
//! follow the recording, and a clear word about what cannot be played.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::program::{STREET, STREET_LINE, Said, Studio, tawny, tawny_with};
use common::transport::restamp;

fn street() -> Studio {
    Studio::new(STREET_LINE)
}

/// `N frames, N decoded, N inferences, N events, S s video, S s wall, S s cpu`
fn figures(summary: &str) -> Vec<f64> {
    let names = ["frames", "decoded", "inferences", "events", "s video", "s wall", "s cpu"];
    let parts: Vec<&str> = summary.split(", ").collect();
    assert_eq!(parts.len(), names.len(), "{summary:?}");
    let figure = |(part, name): (&&str, &&str)| {
        let value = part.strip_suffix(name).and_then(|part| part.strip_suffix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{part:?} is no {name} in {summary:?}"))
    };
    parts.iter().zip(&names).map(figure).collect()
}

fn assert_failed(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "no {word:?} in {}", said.stderr);
    }
}

#[test]
fn twice_the_same_recording_is_byte_for_byte_the_same_and_every_line_an_event() {
    let studio = street();
    let (first, second) = (studio.replay(&[STREET]), studio.replay(&[STREET]));
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}", first.stderr);
    assert_eq!(first.stdout, second.stdout);
    let events = first.events();
    assert!(events.iter().map(|e| e.seq).eq(1..=events.len() as u64));
    assert!(events.iter().all(|e| e.log.0 == "replay" && e.unit == "unit" && !e.replay));
    assert_eq!(first.crossings(), [("vehicle".into(), "left".into()), ("vehicle".into(), "right".into())]);

    let numbers = figures(first.summary());
    let [frames, decoded, inferences, told, video_s, ..] = numbers[..] else { unreachable!() };
    assert!(decoded <= frames && decoded > 0.8 * frames, "pictures that nobody would look at may be left out");
    assert!(inferences > 0.0 && inferences <= decoded);
    assert_eq!(told, events.len() as f64);
    assert!((video_s - frames / 12.5).abs() < 0.1, "{video_s} s for {frames} frames");
}

#[test]
fn start_moves_times_and_nothing_else() {
    let studio = street();
    let plain = studio.replay(&[STREET]).events();
    let moved = studio.replay_with(&["--start", "2026-05-01T20:00:00Z"], &[STREET]).events();
    assert_eq!(plain.len(), moved.len());
    assert!(plain[0].stamp.t.0 >= 0 && plain[0].stamp.t.0 < 60_000, "without it time counts from 1970");
    let start_ms = tawny::domain::UtcMillis::parse("2026-05-01T20:00:00Z").unwrap().0;
    for (plain, moved) in plain.iter().zip(&moved) {
        assert_eq!(moved.stamp.t.0 - plain.stamp.t.0, start_ms);
        assert_eq!((moved.stamp.mono_ms, moved.body.kind()), (plain.stamp.mono_ms, plain.body.kind()));
    }
    let said = studio.replay_with(&["--start", "yesterday"], &[STREET]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("2026-05-01T20:15:00Z"), "it shows how to write a time: {}", said.stderr);
}

#[test]
fn recordings_follow_one_another_and_do_not_mix() {
    let studio = street();
    let once = studio.replay(&[STREET]);
    let twice = studio.replay(&[STREET, STREET]);
    let length_ms = figures(once.summary())[0] as u64 * 80;
    let (once, both) = (once.events(), twice.events());
    assert_eq!(both.len(), 2 * once.len());
    assert!(both.iter().map(|e| e.seq).eq(1..=both.len() as u64));
    for (again, first) in both[once.len()..].iter().zip(&once) {
        // The end of a group or sighting says which recording it belongs to.
        assert_eq!(again.body.kind(), first.body.kind());
        assert_eq!(again.stamp.mono_ms - first.stamp.mono_ms, length_ms);
    }
}

#[test]
fn what_is_no_video_is_named_and_the_others_are_played() {
    let studio = street();
    let empty = studio.file("empty.mp4", "");
    let text = studio.file("notes.mp4", "These are no pictures.\n".repeat(100));
    let folder = studio.path("folder.mp4");
    std::fs::create_dir(&folder).unwrap();
    let sound = studio.path("sound.wav");
    let tone = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "sine=duration=1"])
        .arg(&sound)
        .status();
    assert!(tone.unwrap().success());
    let missing = studio.path("missing.mp4");
    let bad = [&empty, &text, &folder, &sound, &missing];
    let mut videos: Vec<_> = bad.iter().map(|path| path.to_path_buf()).collect();
    videos.insert(2, STREET.into());
    let said = studio.replay(&videos);
    assert_failed(
        &said,
        &["5 of 6 videos", "no such file", "no video in this folder", "the file is empty", "holds no video stream"],
    );
    for path in bad {
        let name = path.display().to_string();
        let lines = said.stderr.lines().filter(|line| line.contains(&name)).count();
        assert_eq!(lines, 1, "one message about {name}: {}", said.stderr);
    }
    assert_eq!(said.crossings().len(), 2);
}

#[test]
fn a_recording_that_breaks_off_is_played_as_far_as_it_goes_and_reported() {
    let studio = street();
    let whole = std::fs::read(studio.make(STREET, "-c copy -movflags +faststart", "whole.mp4")).unwrap();
    let cut = studio.file("cut.mp4", &whole[..whole.len() * 6 / 10]);
    let said = studio.replay(&[&cut]);
    assert_failed(&said, &["breaks off", "1 of 1 videos"]);
    assert_eq!(said.crossings(), [("vehicle".into(), "left".into())]);

    // The usual layout has its index at the end: nothing can be played.
    let whole = std::fs::read(studio.make(STREET, "-c copy -movflags -faststart", "late.mp4")).unwrap();
    let headless = studio.file("headless.mp4", &whole[..whole.len() * 6 / 10]);
    let said = studio.replay(&[&headless]);
    assert_failed(&said, &["headless.mp4: ", "no index (moov)"]);
    assert_eq!(said.stdout, "");
}

#[test]
fn lists_that_name_other_files_are_no_recordings() {
    let studio = street();
    studio.make(STREET, "-t 1 -c copy -muxdelay 0 -f mpegts", "street.ts");
    let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nstreet.ts\n#EXT-X-ENDLIST\n";
    let concat = "ffconcat version 1.0\nfile street.ts\n";
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 49170 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let dash = "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"></MPD>\n";
    // By their content, whatever they are called.
    for (name, list) in
        [("a.m3u8", hls), ("b.mp4", hls), ("c.ffconcat", concat), ("d.avi", concat), ("e.sdp", sdp), ("f.mpd", dash)]
    {
        let said = studio.replay(&[studio.file(name, list)]);
        assert_failed(&said, &[name, "1 of 1 videos"]);
        assert_eq!(said.stdout, "", "{name}");
        assert!(
            said.stderr.contains("no recording in a known form") || said.stderr.contains("nvalid data"),
            "{}",
            said.stderr
        );
    }
    assert_eq!(studio.replay(&[studio.path("street.ts")]).code, Some(0), "the file itself is one");
}

#[test]
fn the_videos_of_a_card_are_played_in_order() {
    let studio = street();
    for folder in ["card/DCIM/100", "card/DCIM/101"] {
        std::fs::create_dir_all(studio.path(folder)).unwrap();
    }
    studio.make(STREET, "-t 1 -c copy", "card/DCIM/101/b.MP4");
    studio.make(STREET, "-t 2 -c copy", "card/DCIM/100/a.mov");
    studio.file("card/DCIM/100/._a.mov", "\0\x05\x16\x07Mac OS X");
    let said = studio.replay(&[studio.path("card")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let one_by_one = studio.replay(&[studio.path("card/DCIM/100/a.mov"), studio.path("card/DCIM/101/b.MP4")]);
    assert_eq!(said.stdout, one_by_one.stdout, "both, in this order, and once");
    assert_eq!(figures(said.summary())[0], figures(one_by_one.summary())[0]);
}

#[test]
fn a_detector_that_cannot_be_had_is_explained() {
    let studio = street();
    let missing = Studio::new("[detector]\nmodel = \"none.onnx\"\n");
    assert_failed(&missing.replay(&[STREET]), &["none.onnx"]);
    let garbage = Studio::new("[detector]\nmodel = \"garbage.onnx\"\n");
    garbage.file("garbage.onnx", [0x5a; 4096]);
    assert_failed(&garbage.replay(&[STREET]), &["garbage.onnx"]);

    let config = studio.path("tawny.toml").display().to_string();
    let args = ["replay", "--config", &config, STREET];
    let said = tawny_with(args, &[("TAWNY_ONNXRUNTIME", "/nonexistent/libonnxruntime.so")]);
    assert_failed(&said, &["/nonexistent/libonnxruntime.so: does not exist", "scripts/setup"]);
}

#[test]
fn a_command_line_that_cannot_work_is_code_2() {
    assert_eq!(tawny(["replay"]).code, Some(2));
    let wrong = Studio::new("[detector]\nthread = 1\n").replay(&[STREET]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("threads"), "{}", wrong.stderr);
}

/// When what goes left and what goes right crosses the line, milliseconds.
fn crossed(said: &Said) -> Vec<i64> {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let crossing = |event: &tawny::event::Event| matches!(event.body, tawny::event::Body::Crossing { .. });
    said.events().iter().filter(|event| crossing(event)).map(|event| event.stamp.t.0).collect()
}

fn assert_street(said: &Said, tolerance_ms: i64) {
    let times = crossed(said);
    let right = [4200, 9800].iter().zip(&times).all(|(right, t)| (t - right).abs() <= tolerance_ms);
    assert!(times.len() == 2 && right, "{times:?}: {}", said.stderr);
    let length = figures(said.summary())[4];
    assert!((14.5..16.0).contains(&length), "{}", said.stderr);
}

#[test]
fn stamps_that_are_equal_or_astray_change_no_picture_and_no_time() {
    let studio = street();
    let honest = std::fs::read(studio.make(STREET, "-c copy", "honest.ts")).unwrap();
    let spoilt = |name: &str, stamps: &dyn Fn(u64, u64) -> u64| {
        let mut stream = honest.clone();
        restamp(&mut stream, stamps);
        studio.replay(&[studio.file(name, stream)])
    };
    // Bidirectional pictures are shown out of the order in which they come.
    let equal = spoilt("equal.ts", &|_, _| 90_000);
    assert_street(&equal, 300);
    assert_eq!(figures(equal.summary())[1], 188.0, "every one is decoded: {}", equal.stderr);
    // One in twenty-five is 25 minutes ahead; or three in a row are.
    let ahead = |strays: u64| move |n: u64, stamp| stamp + if n % 25 >= 25 - strays { 25 * 60 * 90_000 } else { 0 };
    assert_street(&spoilt("stray.ts", &ahead(1)), 200);
    assert_street(&spoilt("strays.ts", &ahead(3)), 200);
}

#[test]
fn a_stream_without_times_says_so_and_takes_a_rate() {
    let studio = street();
    let raw = studio.make(STREET, "-vf fps=5 -c:v mjpeg -q:v 3 -f mjpeg", "pi.mjpeg");
    let guessed = studio.replay(&[&raw]);
    assert!(guessed.stderr.contains("WARN") && guessed.stderr.contains("set fps"), "{}", guessed.stderr);
    let told = studio.replay_with(&["--fps", "5"], &[&raw]);
    assert_street(&told, 400);
    assert!(!told.stderr.contains("WARN"), "{}", told.stderr);
    let configured = Studio::new(&STREET_LINE.replace("name = \"road\"", "name = \"road\"\nfps = 5.0"));
    assert_eq!(crossed(&configured.replay(&[&raw])), crossed(&told));
    // A file with times keeps them.
    let kept = configured.replay(&[STREET]);
    assert_street(&kept, 200);
    assert!(kept.stderr.contains("times of its own"), "{}", kept.stderr);
}
