//! What somebody sees who writes a configuration file: the real program's
//! messages and exit codes, and the files that Tawny brings along.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use serde_json::Value;
use tawny::config::{self, CameraConfig, Config, Source};
use tempfile::TempDir;

fn tawny(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tawny")).args(args).output().expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("results are UTF-8")
}

/// A folder with `content` as its `tawny.toml`.
struct Written {
    folder: TempDir,
    path: PathBuf,
}

fn written(content: impl AsRef<[u8]>) -> Written {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tawny.toml");
    std::fs::write(&path, content).expect("can write");
    Written { folder, path }
}

fn show(path: &Path) -> Output {
    tawny(&["config", "show", "--config", path.to_str().expect("UTF-8")])
}

/// The message for a file that must be refused for what it says.
fn refused(content: impl AsRef<[u8]>) -> String {
    let file = written(content);
    let output = show(&file.path);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    message.replace(&file.path.display().to_string(), "FILE")
}

fn accepted(content: &str) -> String {
    let file = written(content);
    let output = show(&file.path);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn an_unknown_key_is_shown_with_its_place_and_the_nearest_known_one() {
    assert_eq!(
        refused("[uplink]\nbroker = \"mqtt://localhost\"\nwndow = 5\n"),
        "tawny: FILE:3:1: unknown key 'wndow' in [uplink]; did you mean 'window'?\n     3 | wndow = 5\n       | ^^^^^\n"
    );
    assert!(
        refused("[[camera]]\n[[camera.tripwire]]\nname='a'\nfrom=[0,0]\nto=[1,1]\nforwards='x'")
            .contains("FILE:6:1: unknown key 'forwards' in [[camera.tripwire]]; did you mean 'forward'?")
    );
    assert!(refused("[camra]\n").contains("unknown key 'camra' at the top level; did you mean 'camera'?"));
    assert!(refused("[[camera]]\nsource = { command = ['x'], formt = 'h264' }").contains("did you mean 'format'?"));
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    assert!(refused("broker = 'mqtt://h'").contains("unknown key 'broker' at the top level; it belongs in [uplink]"));
    assert!(refused("[unit]\nsource = 'a.mp4'").contains("it belongs in [[camera]]"));
}

#[test]
fn garbage_is_one_clear_message() {
    for garbage in ["%PDF-1.4 \u{1}\u{2}", "{\"unit\": 1}", "unit = ", "[unit", "[unit]\n[unit]\n", "a = 'b", "\u{0}"] {
        let message = refused(garbage);
        assert!(message.starts_with("tawny: FILE:"), "{message}");
        assert_eq!(message.matches("FILE").count(), 1, "{message}");
    }
    assert!(refused([0x61, 0x3d, 0x31, 0x0a, 0xff, 0xfe]).contains("FILE:2:1: this is not UTF-8 text"));
    assert!(refused(vec![b'\n'; (1 << 20) + 1]).contains("larger than 1 MiB"));
}

#[test]
fn wrong_types_say_what_is_wanted() {
    for (text, wanted) in [
        ("[uplink]\nwindow = 'many'", "FILE:2:10: 'uplink.window' must be a whole number, not a string"),
        ("[uplink]\nkeep_alive = 60", "must be a duration in quotes such as"),
        ("[uplink]\nmax_packet = true", "must be a size in quotes such as"),
        ("[unit]\nid = 7", "'unit.id' must be a string in quotes, not a whole number"),
        ("unit = 1", "'unit' must be a table, not a whole number"),
        ("[camera]\nname = 'a'", "'camera' must be a list, not a table; write [[camera]] with two brackets"),
        ("[[camera]]\nsource = 1", "'camera.source' must be a string in quotes or a table, not a whole number"),
        ("[[camera]]\nloop = 'yes'", "'camera.loop' must be true or false, not a string"),
        ("[[camera]]\nsource = { command = 'rpicam-vid', format = 'h264' }", "'camera.source.command' must be a list"),
        ("[[camera]]\nsource = { command = ['a'] }", "the key 'format' is missing in [camera.source]"),
        ("[[camera]]\n[[camera.zone]]\nname = 'a'", "the key 'polygon' is missing in [[camera.zone]]"),
        ("[unit]\nid = 1979-05-27", "not a date or time"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{text}:\n{message}");
    }
}

#[test]
fn values_out_of_range_say_the_range() {
    for (text, wanted) in [
        ("[uplink]\nwindow = 0", "'uplink.window' must be from 1 to 4096"),
        ("[uplink]\nwindow = 99999999999999999999", "'uplink.window' must be from 1 to 4096"),
        ("[detector]\nthreads = -1", "'detector.threads' must be from 0 to 64"),
        ("[detector]\nactive_rate = nan", "'detector.active_rate' must be from 0.1 to 60"),
        ("[detector]\nactive_rate = inf", "'detector.active_rate' must be from 0.1 to 60"),
        ("[detector]\nidle_interval = '1ms'", "'detector.idle_interval' must be from \"100ms\" to \"1h\""),
        ("[detector]\nidle_interval = '10 parsecs'", "'detector.idle_interval' must be a duration"),
        ("[uplink]\nmax_packet = '1GiB'", "'uplink.max_packet' must be from \"4KiB\" to \"64MiB\""),
        ("[unit]\nid = 'a/b'", "'unit.id' must be 1 to 32 letters"),
        ("[unit]\nid = ''", "'unit.id' must be 1 to 32 letters"),
        ("[unit]\nprefix = 'a/+/b'", "'unit.prefix' must be 1 to 64 letters"),
        ("[unit]\nprefix = '/a'", "'unit.prefix' must be 1 to 64 letters"),
        ("[unit]\nprefix = \"a\\u0000\"", "'unit.prefix' must be 1 to 64 letters"),
        ("[detector]\nmodel = \"a\\u0000\"", "'detector.model' cannot contain NUL"),
        ("[[camera]]\nname = 'on the road'", "'camera.name' must be 1 to 32 letters"),
        ("[[camera]]\nsource = { command = [], format = 'h264' }", "needs at least 1 element, it has 0"),
        ("[[camera]]\nsource = { command = ['a'], format = 'H.264' }", "must be the name of an FFmpeg format"),
        ("[tracking]\nlow_confidence = 0.6", "'low_confidence' (0.6) must not be above 'confidence' (0.35)"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{text}:\n{message}");
    }
}

#[test]
fn tripwires_and_zones_must_make_sense() {
    let tripwire = |keys: &str| format!("[[camera]]\n[[camera.tripwire]]\nname = 'a'\n{keys}");
    let zone =
        |polygon: &str| format!("[[camera]]\n[[camera.zone]]\nname = 'a'\nmode = 'exclude'\npolygon = {polygon}");
    for (text, wanted) in [
        (tripwire("from = [0, 0]\nto = [0, 0]"), "FILE:5:6: 'from' and 'to' are the same point"),
        (tripwire("from = [0, 0]\nto = [0, 1.1]"), "'camera.tripwire.to' must be from 0 to 1"),
        (tripwire("from = [0, nan]\nto = [0, 1]"), "'camera.tripwire.from' must be from 0 to 1"),
        (tripwire("from = [0]\nto = [0, 1]"), "'camera.tripwire.from' needs exactly 2 elements, it has 1"),
        (
            tripwire("from = [0, 0]\nto = [0, 1]\nforward = 'x'\nbackward = 'x'"),
            "FILE:7:12: both directions are called 'x'",
        ),
        (tripwire("from = [0, 0]\nto = [0, 1]\ngroups = []"), "'camera.tripwire.groups' needs at least 1 element"),
        (tripwire("from = [0, 0]\nto = [0, 1]\ngroups = ['person', 'person']"), "FILE:6:21: \"person\" is named twice"),
        (tripwire("from = [0, 0]\nto = [0, 1]\ngroups = ['persons']"), "did you mean \"person\"?"),
        (tripwire("from = [0, 0]\nto = [0, 1]\nanchor = 'centre'"), "did you mean \"center\"?"),
        (zone("[[0, 0], [1, 1]]"), "'camera.zone.polygon' needs at least 3 elements, it has 2"),
        (zone("[[0, 0], [0.5, 0.5], [1, 1]]"), "the corners of this polygon enclose no area"),
        (zone("[[0, 0], [0, 2], [1, 1]]"), "'camera.zone.polygon' must be from 0 to 1"),
        ("[[camera]]\n[[camera]]".into(), "FILE:2:1: two cameras have the name 'camera'"),
        (
            format!(
                "{}\n[[camera.tripwire]]\nname = 'a'\nfrom = [0, 0]\nto = [1, 1]",
                tripwire("from = [0, 0]\nto = [0, 1]")
            ),
            "FILE:7:8: two tripwires of this camera have the name 'a'",
        ),
    ] {
        let message = refused(&text);
        assert!(message.contains(wanted), "{text}:\n{message}");
    }
}

#[test]
fn sources_and_brokers_must_have_a_known_form() {
    for (text, wanted) in [
        ("[[camera]]\nsource = ''", "FILE:2:10: this source is empty"),
        ("[[camera]]\nsource = 'http://cam/'", "'http://' is not supported"),
        ("[[camera]]\nsource = 'rtsp:///1'", "this URL names no host"),
        ("[[camera]]\nsource = { command = [''], format = 'h264' }", "the command is empty"),
        ("[[camera]]\nsource = '/dev/video0'\nrealtime = true", "FILE:3:12: 'realtime' is for video files only"),
        ("[[camera]]\nsource = 'a.mp4'\nallow_basic = true", "FILE:3:15: 'allow_basic' is for network cameras only"),
        ("[[camera]]\nsource = 'rtsp://u:a/b@cam/1'", "FILE:2:10: this URL can be misread"),
        (
            "[[camera]]\nsource = 'rtsp://u:a%b@cam/1'",
            "write %2F for '/', %3F for '?', %23 for '#', %40 for '@' and %25",
        ),
        ("[[camera]]\nsource = 'rtsp://cam/1'\nloop = false", "FILE:3:8: 'loop' is for video files only"),
        ("[[camera]]\nsource = '/dev/video0'\ntransport = 'udp'", "FILE:3:13: 'transport' is for network cameras only"),
        ("[[camera]]\nsource = 'rtsps://cam/1'\ntransport = 'udp'", "FILE:3:13: rtsps:// comes over TCP alone"),
        ("[uplink]\nbroker = 'localhost'", "the broker's URL must begin with mqtt:// or"),
        ("[uplink]\nbroker = 'mqtt://h:0'", "must have a port from 1 to 65535"),
        ("[uplink]\nclient_key_file = 'a'", "'client_key_file' needs 'client_cert_file' too"),
        ("[uplink]\nclient_cert_file = 'a'", "'client_cert_file' needs 'client_key_file' too"),
        ("[uplink]\npassword_file = 'a'", "'password_file' needs 'username' too"),
        (
            "[uplink]\nformat = 'cbor'\n[uplink.home_assistant]\nenabled = true",
            "FILE:4:11: Home Assistant cannot read CBOR",
        ),
        ("[uplink]\nconnect = 'on_event'", "FILE:2:11: 'connect = \"on_event\"' never connects"),
        ("[uplink]\nconnect = 'schedule'", "needs 'connect_windows' or 'connect_every' too"),
        ("[uplink]\nconnect_windows = ['6-7']", "must be a part of the day (UTC) such as \"06:00-06:30\""),
        ("[uplink]\nbroker = 'mqtt://h'\nca_file = 'a'", "'ca_file' has no effect on mqtt://"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{text}:\n{message}");
    }
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let message = refused("[unit]\nid = 7\n[uplink]\nwindow = 0\n[health]\ninterval = 'x'\n");
    let lines: Vec<usize> = ["FILE:2:6:", "FILE:4:10:", "FILE:6:12:"].map(|at| message.find(at).expect(at)).to_vec();
    assert!(lines.is_sorted(), "{message}");
}

#[test]
fn no_message_and_no_output_repeats_a_password() {
    for text in [
        "[uplink]\nbroker = 'mqtt://me:hunter2@h'",
        "[uplink]\npassword = 'hunter2'",
        "[uplink]\npassword = hunter2",
        "[[camera]]\nsource = 'http://me:hunter2@cam/'",
        "[[camera]]\nsource = 'rtsp://me:hunter2@cam/1'\nloop = true",
        "[[camera]]\nsource = 'rtsp://me:hunter2@cam/1' 'rtsp://me:hunter2@cam/1'",
        "[[camera]]\nsource = \"rtsp://me:hunter2\\q@cam/1\"",
    ] {
        let message = refused(text);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let shown = accepted("[[camera]]\nsource = 'rtsp://me:hunter2@cam/1'");
    assert!(!shown.contains("hunter2") && shown.contains("rtsp://***"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_exits_with_1() {
    let file = written("");
    let missing = file.folder.path().join("missing.toml");
    let folder = file.folder.path();
    for path in [&missing, folder] {
        let output = show(path);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.starts_with(&format!("tawny: cannot read the configuration {}: ", path.display())),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for args in [&["fly"][..], &["config"], &["config", "shw"], &["config", "show", "--config"], &["--bogus"], &[]] {
        let output = tawny(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["config", "--help"]] {
        assert_eq!(tawny(args).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_closed_or_full_stdout_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .args(["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .args(["config", "defaults"])
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let file =
        written("[[camera]]\nsource = 'clip.mp4'\n[detector]\nmodel = 'm.onnx'\n[journal]\npath = '/var/j.db'\n");
    let loaded = config::load(Some(&file.path)).expect("a good file");
    let folder = file.folder.path();
    assert_eq!(loaded.config.detector.model, Some(folder.join("m.onnx")));
    assert_eq!(loaded.config.journal.path, Path::new("/var/j.db"));
    let clip = folder.join("clip.mp4").to_str().expect("UTF-8").to_owned();
    assert_eq!(loaded.config.camera[0].source, Some(Source::Location(clip)));
    assert!(loaded.require_sources().is_ok());
}

#[test]
fn every_path_in_the_schema_is_resolved() {
    let mut config = parsed(&usable()).expect("the default file with everything in it");
    config.resolve_paths(Path::new("/folder"));
    let values = serde_json::to_value(&config).expect("JSON");
    let mut checked = 0;
    each_key(config::schema(), "", &mut |path, key| {
        if key["x-kind"] == "path" {
            let value = values.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str);
            let value = value.unwrap_or_else(|| panic!("{path} is not set"));
            assert!(
                value.starts_with("/folder/") || value.starts_with("/usr/") || value.starts_with("/var/"),
                "{path}: {value}"
            );
            checked += 1;
        }
    });
    assert!(checked >= 7);
}

#[test]
fn without_sources_run_is_refused_with_a_reason() {
    for (text, wanted) in
        [("", "no camera; add a [[camera]]"), ("[[camera]]\nname = 'a'", "the camera 'a' has no source")]
    {
        let file = written(text);
        let loaded = config::load(Some(&file.path)).expect("a good file");
        let message = loaded.require_sources().expect_err("no source").to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn show_prints_a_file_that_means_the_same() {
    let text = usable();
    let again = accepted(&accepted(&text));
    let shown = parsed(&again).expect("what it shows is a configuration");
    assert_eq!(shown.uplink.window, Config::default().uplink.window);
    assert_eq!(shown.camera.len(), 1);
}

// --- The files that Tawny brings along ---

fn parsed(text: &str) -> Result<Config, String> {
    config::parse(text, Path::new("FILE")).map_err(|error| error.to_string())
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn defaults() -> String {
    let output = tawny(&["config", "defaults"]);
    assert_eq!(output.status.code(), Some(0));
    stdout(&output)
}

/// The same but for 'classes', which excludes 'labels'.
fn usable() -> String {
    uncommented().lines().filter(|line| !line.starts_with("classes =")).collect::<Vec<_>>().join("\n")
}

/// The default file with every setting switched on: '#key = …' and '#[[…]]',
/// but not '# prose'.
fn uncommented() -> String {
    let lines = defaults();
    let lines: Vec<&str> = lines
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()).unwrap_or(line))
        .collect();
    lines.join("\n")
}

/// Calls `visit` with the path and the schema of every key that is not itself
/// a section; elements of lists stand at index 0.
fn each_key(table: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    for (name, key) in table["properties"].as_object().expect("a table") {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if key["properties"].is_object() {
            each_key(key, &path, visit);
        } else if key["items"]["properties"].is_object() {
            each_key(&key["items"], &format!("{path}.0"), visit);
        } else {
            visit(&path, key);
        }
    }
}

#[test]
fn the_default_file_is_the_one_in_the_repository_and_changes_nothing() {
    let text = defaults();
    assert_eq!(text, std::fs::read_to_string(project("config/tawny.toml")).expect("the file"));
    assert_eq!(parsed(&text), Ok(Config::default()));
}

#[test]
fn the_default_file_has_every_key_at_its_default() {
    let mut table: toml::Table = toml::from_str(&uncommented()).expect("TOML");
    // What has no default is there as an example.
    each_key(config::schema(), "", &mut |path, key| {
        let mut parts: Vec<&str> = path.split('.').filter(|part| *part != "0").collect();
        let name = parts.pop().expect("a name");
        let mut section = Some(&mut table);
        for part in parts {
            section = section.and_then(|table| table.get_mut(part)).and_then(|value| match value {
                toml::Value::Table(table) => Some(table),
                toml::Value::Array(list) => list.first_mut()?.as_table_mut(),
                _ => None,
            });
        }
        let section = section.unwrap_or_else(|| panic!("the section of {path} is missing"));
        assert!(section.contains_key(name), "{path} is missing");
        if key.get("default").is_none() && !path.starts_with("camera.0.tripwire") && !path.starts_with("camera.0.zone")
        {
            section.remove(name);
        }
    });
    let mut config = parsed(&toml::to_string(&table).expect("TOML")).expect("a good configuration");
    let camera = config.camera.remove(0);
    // What the profile decides is written there too.
    let mut expected = Config::default();
    expected.settle(1);
    assert_eq!(config, expected);
    let [wire] = camera.tripwire.as_slice() else { panic!("one tripwire") };
    assert_eq!((wire.forward.as_str(), wire.backward.as_str()), ("forward", "backward"));
    let expected = CameraConfig {
        realtime: Some(true),
        looped: Some(false),
        transport: Some(config::Transport::Auto),
        tripwire: camera.tripwire.clone(),
        zone: camera.zone.clone(),
        ..CameraConfig::default()
    };
    assert_eq!(camera, expected);
    assert_eq!(
        (camera.realtime(), camera.looped()),
        (CameraConfig::default().realtime(), CameraConfig::default().looped())
    );
}

#[test]
fn every_key_has_a_description_and_limits() {
    each_key(config::schema(), "", &mut |path, key| {
        assert!(key["description"].as_str().is_some_and(|text| text.len() > 10), "{path} has no description");
        let limits = match (key["x-kind"].as_str(), key["type"].as_str()) {
            (Some("duration" | "size"), _) => ["x-min", "x-max"],
            (_, Some("integer" | "number")) => ["minimum", "maximum"],
            _ => return,
        };
        for limit in limits {
            assert!(!key[limit].is_null(), "{path} has no {limit}");
        }
    });
}

#[test]
fn the_schema_is_json() {
    let output = tawny(&["config", "schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(&schema, config::schema());
    assert_eq!(schema["properties"]["uplink"]["properties"]["window"]["default"], 64);
}

#[test]
fn the_examples_are_good_files() {
    let mut n = 0;
    for entry in std::fs::read_dir(project("config/examples")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let loaded = config::load(Some(&path)).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.require_sources().is_ok(), "{}", path.display());
        assert!(loaded.config.camera.iter().all(|camera| !camera.tripwire.is_empty()), "{}", path.display());
        n += 1;
    }
    assert!(n >= 3);
}

// --- Whatever the text is, there is an answer ---

/// Text made of what configurations are made of, often in the wrong place.
/// The indented blocks of a Markdown text, without their indentation.
fn indented_blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(code), Some(block)) => *block += &format!("{code}\n"),
            (None, Some(block)) if line.is_empty() && !block.is_empty() => block.push('\n'),
            (_, _) => blocks.push(String::new()),
        }
    }
    blocks
}

#[test]
fn what_the_guides_have_you_write_is_a_good_file() {
    let guides =
        std::fs::read_dir(project("docs/guide")).expect("the folder").map(|entry| entry.expect("entry").path());
    let pages = guides.chain([project("README.md")]).filter(|path| path.extension().is_some_and(|e| e == "md"));
    let mut seen = 0;
    for page in pages {
        for block in indented_blocks(&std::fs::read_to_string(&page).expect("text")) {
            // [Service] and [Manager] are systemd's.
            if !block.starts_with('[') || block.starts_with("[S") || block.starts_with("[M") {
                continue;
            }
            let camera = if block.starts_with("[[camera.") { "[[camera]]\n" } else { "" };
            assert_eq!(parsed(&format!("{camera}{block}")).err(), None, "{}: {block}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 7, "only {seen} were found");
}

fn toml_like() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[[camera]]\n",
        "[[camera.tripwire]]\n",
        "[[camera.zone]]\n",
        "[uplink]\n",
        "[unit]\n",
        "[camera]\n",
        "name",
        "source",
        "from",
        "to",
        "polygon",
        "groups",
        "forward",
        "broker",
        "window",
        "keep_alive",
        "command",
        "format",
        " = ",
        "=",
        ".",
        "\"a\"",
        "\"rtsp://u:p@h\"",
        "\"mqtts://h\"",
        "\"30s\"",
        "'",
        "\"",
        "\"\"\"",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        " ",
        "\t",
        "#",
        "0",
        "1",
        "0.5",
        "nan",
        "-inf",
        "1e999",
        "0xff",
        "true",
        "1979-05-27T07:32:00Z",
        "\\",
        "é",
        "\u{0}",
        "\u{feff}",
        "\r\n",
    ]);
    prop::collection::vec(prop_oneof![9 => words.prop_map(str::to_owned), 1 => "\\PC{0,4}"], 0..60)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in toml_like()) {
        if let Err(message) = parsed(&text) {
            prop_assert!(message.starts_with("FILE:"), "{}", message);
        }
    }

    #[test]
    fn a_cut_default_file_never_makes_it_panic(at in 0usize..8000) {
        let text = uncommented_once();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let _ = parsed(&text[..at]);
    }
}

fn uncommented_once() -> &'static str {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(uncommented);
    &TEXT
}

#[test]
fn deep_nesting_is_refused() {
    assert!(parsed(&format!("a = {}", "[".repeat(100_000))).is_err());
    assert!(parsed(&format!("{} = 1", vec!["a"; 100_000].join("."))).is_err());
}
