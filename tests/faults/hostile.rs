//! Cameras that would fill the memory. The unit says which camera it is and why it
//! is not watched, stays below 400 MB, and a good camera beside works on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::broker::wait_for;
use crate::common::daemon::{Daemon, Unit};
use crate::common::hostile::{Grey, HostileCamera, Script, announcing, sdp};

/// Most memory that the daemon may ever have had, kB.
const MOST_KB: u64 = 400_000;

const GOOD: &str = "[[camera]]\nname = \"good\"\nsource = \"STREET\"\nloop = true\n[[camera.tripwire]]\nname = \"line\"\n\
                    from = [0.45, 1.0]\nto = [0.45, 0.0]\nanchor = \"center\"\n";

/// A unit with a good camera and one with this source, in TOML.
fn unit(source: &str) -> Unit {
    let bad = format!("[[camera]]\nname = \"bad\"\nsource = {source}\n");
    Unit::new(&format!("[evidence]\nmin_free = \"0B\"\n[unit]\nprofile = \"eco\"\n{bad}{GOOD}"))
}

/// The most memory that it ever had, kB.
fn peak_kb(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn is_bad(event: &Value, words: &[&str]) -> bool {
    let why = event["why"].as_str().unwrap_or_default();
    event["kind"] == "camera" && event["cam"] == "bad" && words.iter().any(|word| why.contains(word))
}

/// Watches the bad camera until it is told lost or blind for a reason with one of
/// `words` (if there are any), at least for `span`, until the good one has seen
/// something. Gives the reason.
fn endure(what: &str, source: &str, span: Duration, words: &[&str]) -> String {
    let unit = unit(source);
    let (mut daemon, began) = (unit.start(), Instant::now());
    let mut why = String::new();
    if !words.is_empty() {
        let told = unit.wait_event(&format!("{what} is told"), |e| {
            assert!(peak_kb(&daemon) < MOST_KB, "{what}: {} MB", peak_kb(&daemon) / 1000);
            is_bad(e, words)
        });
        told["why"].as_str().unwrap().clone_into(&mut why);
    }
    wait_for("the time is over", || {
        assert!(peak_kb(&daemon) < MOST_KB, "{what}: {} MB", peak_kb(&daemon) / 1000);
        began.elapsed() >= span
    });
    unit.wait_event("the good camera works on", |e| e["kind"] == "crossing" && e["cam"] == "good");
    assert!(daemon.is_running(), "{what}");
    let peak = peak_kb(&daemon);
    assert!(peak < MOST_KB, "{what}: {} MB", peak / 1000);
    println!("{what}: {} MB at most; {why}", peak / 1000);
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{what}: {}", end.log);
    assert!(!end.log.contains("watchdog is not fed"), "{what}: {}", end.log);
    why
}

/// The same for a network camera.
fn endure_camera(what: &str, script: Script, words: &[&str]) -> String {
    let camera = HostileCamera::start(script);
    let why = endure(what, &format!("\"{}\"", camera.url()), Duration::from_secs(8), words);
    assert!(camera.connections.load(SeqCst) > 0);
    why
}

const HUGE: Grey = Grey { width: 1000, height: 1000, references: 16 };

#[test]
fn pictures_that_are_too_large_are_refused_by_their_size() {
    let (sps, pps) = (HUGE.sps(), HUGE.pps());
    let script = Script::new(sdp(&[&sps, &pps], ""), |rtp| HUGE.play(rtp, 5));
    let why = endure_camera("16000x16000", script, &["16000x16000"]);
    assert!(why.contains("larger than 4096x3072"), "{why}");
    // The session description says something else.
    let small = Grey { width: 20, height: 15, references: 1 };
    let (sps, pps) = (small.sps(), small.pps());
    let script = Script::new(sdp(&[&sps, &pps], ""), move |rtp| {
        small.play_some(rtp, 10, 10)?;
        HUGE.play(rtp, 5)
    });
    endure_camera("grows to 16000x16000", script, &["16000x16000"]);
}

#[test]
fn pictures_that_are_too_many_are_refused() {
    let many = Grey { width: 256, height: 192, references: 16 };
    let (sps, pps) = (many.sps(), many.pps());
    let script = Script::new(sdp(&[&sps, &pps], ""), move |rtp| many.play(rtp, 10));
    endure_camera("16 pictures of 4096x3072", script, &["more than 128 MB"]);
    // Each of another size: what was kept of the others has to go.
    let script = Script::new(sdp(&[&sps, &pps], ""), |rtp| {
        for n in 0.. {
            let other = Grey { width: 200 + n % 56, height: 192, references: 16 };
            rtp.picture(&[other.sps(), other.pps(), other.key()], 10)?;
        }
        Ok(())
    });
    endure_camera("a size for each picture", script, &[]);
}

#[test]
fn what_was_given_up_is_seen_again_once_it_is_set_to_something_smaller() {
    let many = Grey { width: 256, height: 192, references: 16 };
    let small = Grey { width: 20, height: 15, references: 1 };
    // The parameter sets are in the stream alone.
    let is_small = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&is_small);
    let script = Script::new(sdp(&[], ""), move |rtp| match set.load(SeqCst) {
        true => small.play(rtp, 10),
        false => many.play_some(rtp, 10, 100),
    });
    let camera = HostileCamera::start(script);
    let unit = unit(&format!("\"{}\"", camera.url()));
    let daemon = unit.start();
    unit.wait_event("it is given up", |e| is_bad(e, &["more than 128 MB"]));
    is_small.store(true, SeqCst);
    unit.wait_event("it is seen again", |e| e["cam"] == "bad" && e["phase"] == "seeing");
    assert_eq!(daemon.terminate().code, Some(0));
}

#[test]
fn what_never_becomes_a_picture_is_not_kept() {
    let small = Grey { width: 20, height: 15, references: 1 };
    let description = || sdp(&[&small.sps(), &small.pps()], "");
    // One picture, in fragments that never end; as fast as it goes.
    let endless = Script::new(description(), |rtp| {
        rtp.packet(&[&[0x7c, 0x85], &[0x55; 60_000][..]].concat(), false)?;
        loop {
            rtp.packet(&[&[0x7c, 0x05], &[0x55; 60_000][..]].concat(), false)?;
        }
    });
    endure_camera("an endless picture", endless, &[]);
    // Filler data between pictures, and nothing but filler.
    let filler = Script::new(description(), |rtp| {
        loop {
            rtp.packet(&[&[0x0c], &[0xff; 60_000][..]].concat(), false)?;
        }
    });
    endure_camera("filler", filler, &[]);
    let between = Script::new(description(), move |rtp| {
        for number in 0.. {
            let key = [small.sps(), small.pps(), small.key()];
            rtp.picture(if number == 0 { &key } else { &key[2..] }, 100)?;
            for _ in 0..400 {
                rtp.packet(&[&[0x0c], &[0xff; 60_000][..]].concat(), false)?;
            }
        }
        Ok(())
    });
    endure_camera("pictures with filler", between, &[]);
}

#[test]
fn sessions_without_end_are_given_up() {
    let media =
        |kind: &str| format!("m=video 0 RTP/AVP 96\r\na=rtpmap:96 {kind}/90000\r\na=control:more\r\n").repeat(1000);
    for kind in ["H264", "MP2T"] {
        endure_camera(kind, Script::new(sdp(&[], &media(kind)), |_| Ok(())), &[]);
    }
    let long = format!("a=x:{}\r\n", "y".repeat(20_000_000));
    endure_camera("a long description", Script::new(sdp(&[], &long), |_| Ok(())), &[]);
    let headers = Script { endless_headers: true, ..Script::new("", |_| Ok(())) };
    endure_camera("endless headers", headers, &[]);
}

#[test]
fn units_without_end_are_refused() {
    let small = Grey { width: 20, height: 15, references: 1 };
    let description = || sdp(&[&small.sps(), &small.pps()], "");
    // Delimiters of two bytes, thousands in each network packet.
    let flood = || [&[0x78][..], &[0, 2, 0x09, 0xf0].repeat(14_000)].concat();
    let from_the_start = Script::new(description(), move |rtp| {
        let flood = flood();
        loop {
            rtp.packet(&flood, true)?;
        }
    });
    endure_camera("units from the start", from_the_start, &["NAL units"]);
    let later = Script::new(description(), move |rtp| {
        small.play_some(rtp, 10, 30)?;
        let flood = flood();
        loop {
            rtp.packet(&flood, true)?;
        }
    });
    endure_camera("units behind good pictures", later, &[]);
}

/// A file that holds this.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[test]
fn recordings_that_announce_more_than_fits_are_refused() {
    let (_folder, path) = file("bomb.mp4", &announcing(30, 2_700_000));
    let words = ["more than 160 MB"];
    endure("a recording", &format!("\"{path}\""), Duration::ZERO, &words);
    let program = format!("{{ command = [\"sh\", \"-c\", 'cat {path}; exec cat /dev/zero'], format = \"mp4\" }}");
    endure("a program", &program, Duration::ZERO, &words);
}

#[test]
fn recordings_without_a_picture_that_are_repeated_are_told() {
    let (_folder, path) = file("empty.mp4", &announcing(1, 0));
    endure("no packets", &format!("\"{path}\"\nloop = true"), Duration::ZERO, &["holds no pictures"]);
    let (_folder, path) = file("garbage.mp4", &announcing(1, 20));
    endure("no pictures", &format!("\"{path}\"\nloop = true"), Duration::ZERO, &["no pictures in what arrives"]);
}

#[test]
fn programs_that_write_something_else_are_told_so() {
    let program =
        |script: &str, format: &str| format!("{{ command = [\"sh\", \"-c\", '{script}'], format = \"{format}\" }}");
    let seconds = Duration::from_secs(8);
    // Words of a program's arguments are not repeated.
    let why = endure("yes", &program("echo sta\"\"rt\"\"ed >&2; exec yes hello", "h264"), seconds, &["'format'"]);
    assert!(why.contains("it said: started"), "{why}");
    endure("zeros", &program("exec cat /dev/zero", "hevc"), seconds, &["'format'"]);
    endure("noise", &program("exec cat /dev/urandom", "mpegts"), seconds, &["'format'", "nvalid"]);
    let said = "ERROR: *** no cameras available ***";
    let octal: String = said.bytes().map(|byte| format!("\\\\{byte:03o}")).collect();
    let silent = program(&format!("printf \"{octal}\" >&2; exit 255"), "h264");
    let why = endure("no cameras", &silent, Duration::ZERO, &["the program ended"]);
    assert!(why.contains("it said: ERROR: *** no cameras available ***"), "{why}");
}

/// A camera of a grey picture that refuses one transport or the other.
fn choosy(refuses_tcp: Option<&'static str>, refuses_udp: bool) -> HostileCamera {
    let small = Grey { width: 20, height: 15, references: 1 };
    let script = Script::new(sdp(&[&small.sps(), &small.pps()], ""), move |rtp| small.play(rtp, 10));
    HostileCamera::start(Script { refuses_tcp, refuses_udp, ..script })
}

#[test]
fn cameras_that_offer_udp_alone_are_watched() {
    let udp_alone = choosy(Some("461 Unsupported Transport"), false);
    let vague = choosy(Some("400 Bad Request"), false);
    let tcp_alone = choosy(None, true);
    let neither = choosy(Some("461 Unsupported Transport"), true);
    let mut text = String::new();
    for (name, camera, transport) in [
        ("auto461", &udp_alone, ""),
        ("auto400", &vague, ""),
        ("udp", &udp_alone, "transport = \"udp\""),
        ("tcp", &tcp_alone, "transport = \"tcp\""),
        ("notcp", &udp_alone, "transport = \"tcp\""),
        ("noudp", &tcp_alone, "transport = \"udp\""),
        ("none", &neither, "transport = \"auto\""),
    ] {
        text += &format!("[[camera]]\nname = \"{name}\"\nsource = \"{}\"\n{transport}\n", camera.url());
    }
    let unit = Unit::new(&text);
    let daemon = unit.start();
    for name in ["auto461", "auto400", "udp", "tcp"] {
        let seen = |line: &str| line.contains(&format!("\"{name}\"")) && line.contains("first picture");
        wait_for(&format!("{name} is watched"), || daemon.log().lines().any(seen));
    }
    for (name, why) in [("notcp", "does not offer TCP"), ("noudp", "does not offer UDP"), ("none", "neither over TCP")]
    {
        let lost = unit.wait_event(name, |e| e["kind"] == "camera" && e["cam"] == name);
        assert!(lost["why"].as_str().unwrap().contains(why), "{lost}");
    }
    assert_eq!(daemon.terminate().code, Some(0));
}
