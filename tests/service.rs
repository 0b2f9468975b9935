//! The systemd unit, as far as it can be checked without a running systemd.
//! Needs `systemd-analyze` (Debian's package `systemd`).

use std::path::Path;
use std::process::{Command, Output};

const UNIT: &str = include_str!("../systemd/tawny.service");

/// systemd's rating of what the service could do to the machine, times ten:
/// 100 is everything, "OK" begins below 50.
const MAX_EXPOSURE: &str = "25";

fn run(program: &str, args: &[&str]) -> (Output, String) {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; Debian's package systemd has it"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("tawny.service");
    // The check wants the program to exist.
    let text = UNIT.replace("ExecStart=/usr/bin/tawny ", &format!("ExecStart={} ", env!("CARGO_BIN_EXE_tawny")));
    assert!(text.contains(env!("CARGO_BIN_EXE_tawny")));
    std::fs::write(&copy, text).expect("can write");
    let copy = copy.to_str().expect("UTF-8");

    // A mistyped key is but a warning with exit code 0.
    let (output, said) = run("systemd-analyze", &["verify", "--man=no", copy]);
    assert!(output.status.success() && said.is_empty(), "{said}");

    let threshold = format!("--threshold={MAX_EXPOSURE}");
    let (output, said) = run("systemd-analyze", &["security", "--offline=true", &threshold, copy]);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_unit_lets_cameras_work_and_stops_in_time() {
    let has = |line: &str| UNIT.lines().any(|l| l == line);
    for needed in
        ["Type=notify", "Restart=always", "StartLimitIntervalSec=0", "SupplementaryGroups=video", "UMask=0077"]
    {
        assert!(has(needed), "{needed}");
    }
    // Both make systemd forbid /dev/video*.
    for key in ["PrivateDevices=", "ProtectClock="] {
        assert!(!UNIT.lines().any(|line| line.starts_with(key)), "{key}");
    }
}

#[test]
fn memory_has_an_end_and_one_program_that_takes_it_all_ends_alone() {
    let value = |key: &str| UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    assert_eq!(value("MemoryMax"), Some("1G"));
    // Swapping to a card would hold everything up for minutes.
    assert_eq!(value("MemorySwapMax"), Some("0"));
    assert_eq!((value("OOMPolicy"), value("Restart")), (Some("continue"), Some("always")));
}

#[test]
fn systemd_understands_the_user() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tawny.sysusers");
    let (output, said) = run("systemd-sysusers", &["--dry-run", file.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{said}");
}
