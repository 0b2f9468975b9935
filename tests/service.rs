//! The systemd unit, as far as it can be checked without a running systemd.
//! Needs `systemd-analyze` (Debian's package `systemd`).

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::broker::wait_for;
use common::daemon::{Daemon, Unit, binary};

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

/// What the unit's filter lets through, groups spelled out by systemd itself.
fn allowed() -> BTreeSet<String> {
    let lines = UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut names: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
    assert!(names.len() > 1 && names.iter().all(|name| !name.starts_with('~')), "{names:?}");
    // Every filter has these.
    names.push("@default".to_owned());
    let mut allowed = BTreeSet::new();
    while let Some(name) = names.pop() {
        if !name.starts_with('@') {
            allowed.insert(name);
            continue;
        }
        let (output, said) = run("systemd-analyze", &["--no-pager", "syscall-filter", &name]);
        assert!(output.status.success(), "{said}");
        let members = said.lines().filter(|line| line.starts_with("    ")).map(str::trim);
        names.extend(members.filter(|member| !member.starts_with('#')).map(str::to_owned));
    }
    allowed
}

#[test]
fn the_filter_lets_the_clock_be_read_and_not_set() {
    let allowed = allowed();
    for needed in ["clock_gettime", "adjtimex", "clock_adjtime", "openat", "connect"] {
        assert!(allowed.contains(needed), "{needed}");
    }
    for setting in ["clock_settime", "settimeofday", "stime"] {
        assert!(!allowed.contains(setting), "{setting}");
    }
    // What could be set by those that are allowed needs CAP_SYS_TIME.
    assert!(UNIT.lines().any(|line| line == "CapabilityBoundingSet="));
}

#[test]
fn the_program_makes_no_system_call_that_the_filter_forbids() {
    let traced = Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status();
    if !traced.is_ok_and(|status| status.success()) {
        println!("left out: nothing can be traced here (strace)");
        return;
    }
    let unit = Unit::new("[[camera]]\nname = \"road\"\nsource = \"STREET\"\nloop = true\n");
    let calls = unit.dir.path().join("calls");
    // The program is the one that is started, strace looks on from beside it.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-c", "-U", "name", "-o"]).arg(&calls).arg(binary());
    command.args(["run", "--config"]).arg(unit.config()).env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    let daemon = Daemon::start(&mut command);
    daemon.wait_log("watching 1 camera");
    unit.wait_event("it is recorded", |event| event["kind"] == "boot");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(daemon.terminate().code, Some(0));
    let mut text = String::new();
    wait_for("the calls are listed", || {
        text = std::fs::read_to_string(&calls).unwrap_or_default();
        text.lines().count() > 20
    });
    let made: BTreeSet<String> = text.lines().skip(2).map(|line| line.trim().to_owned()).collect();
    let allowed = allowed();
    let rest = |name: &&String| !name.starts_with('-') && *name != "total" && !name.is_empty();
    let forbidden: Vec<&String> = made.iter().filter(rest).filter(|name| !allowed.contains(*name)).collect();
    assert!(made.contains("clock_adjtime") || made.contains("adjtimex"), "{text}");
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

/// The log as systemd's journal gets it.
#[test]
fn each_line_for_the_journal_of_systemd_has_its_priority() {
    let unit = Unit::new("[[camera]]\nname = \"road\"\nsource = \"/nowhere/at-all.mp4\"\n");
    let mut command = unit.command();
    command.env("JOURNAL_STREAM", "8:1").env("TAWNY_LOG", "debug");
    let daemon = Daemon::start(&mut command);
    daemon.wait_log("watching 1 camera");
    daemon.wait_log("<4>");
    let log = daemon.terminate().log;
    let priority = |line: &str| match line.get(..3) {
        Some("<3>") => "ERROR",
        Some("<4>") => "WARN",
        Some("<6>") => "INFO",
        Some("<7>") => "DEBUG",
        _ => panic!("{line}"),
    };
    assert!(
        log.lines().count() >= 3 && log.lines().all(|line| line[3..].trim_start().starts_with(priority(line))),
        "{log}"
    );
    // The last word of what fails is an error, in each of its lines.
    let mut command = Command::new(binary());
    let failed = command.args(["run", "--config", "/nowhere"]).env("JOURNAL_STREAM", "8:1").output().expect("it runs");
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(!said.is_empty() && said.lines().all(|line| line.starts_with("<3>")), "{said}");
    // So is a wrong command line, and what is wrong with the variables.
    for arguments in [&["runn"][..], &["run", "--config", "/nowhere"]] {
        let mut command = Command::new(binary());
        command.args(arguments).env("JOURNAL_STREAM", "8:1").env("TAWNY_LOG", "info,=nonsense=");
        let said = String::from_utf8_lossy(&command.output().expect("it runs").stderr).into_owned();
        let has_priority = |line: &str| line.starts_with("<3>") || line.starts_with("<4>");
        assert!(!said.is_empty() && said.lines().all(has_priority), "{said}");
    }
    let plain = Command::new(binary()).args(["run", "--config", "/nowhere"]).env_remove("JOURNAL_STREAM").output();
    assert!(String::from_utf8_lossy(&plain.expect("it runs").stderr).starts_with("tawny: "));
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
