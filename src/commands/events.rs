//! `tawny events`: what the journal holds.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::CommandError;
use crate::config::Config;
use crate::domain::UtcMillis;
use crate::journal::{EventFilter, EventRow, JournalReader};
use crate::report::csv_field;

/// Prints what the journal holds
///
/// Works while the daemon is running. Without filters, every event is printed,
/// in the order of their numbers.
///
/// Times that were found out later are shown beside the reported ones: in the
/// table instead of them and marked ≈ (a reported time that nothing vouched for
/// is marked ?), in jsonl and csv as t_corrected and tu_corrected. The filters
/// go by them.
///
/// Example: tawny events --since 12h --kind crossing --format csv > tonight.csv
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Which configuration; it names the journal.
    #[command(flatten)]
    pub config: super::ConfigFile,
    /// Only events at or after this time, for example 2026-05-01T20:15:00Z,
    /// 2026-05-01 (midnight UTC), or how long ago: 30m, 12h, 7d
    #[arg(long, value_name = "T", value_parser = parse_moment)]
    pub since: Option<Moment>,
    /// Only events before this time; written in the same ways
    #[arg(long, value_name = "T", value_parser = parse_moment)]
    pub until: Option<Moment>,
    /// Only this kind (may be given several times): sighting, crossing, group,
    /// camera, watch, clock, boot, storage, lost, …
    #[arg(long, value_name = "K")]
    pub kind: Vec<String>,
    /// How to print: a table for people, jsonl (the events as sent, and how far
    /// they have come as "state"), or csv for spreadsheets
    #[arg(long, value_enum, default_value = "table")]
    pub format: EventsFormat,
}

/// How to print events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventsFormat {
    /// For people.
    Table,
    /// One JSON object on each line.
    Jsonl,
    /// RFC 4180, with a header.
    Csv,
}

/// A point in time as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// That time.
    At(UtcMillis),
    /// So many milliseconds before now.
    Ago(i64),
}

impl Moment {
    fn resolve(self, now: UtcMillis) -> UtcMillis {
        match self {
            Moment::At(t) => t,
            Moment::Ago(ms) => UtcMillis(now.0.saturating_sub(ms)),
        }
    }
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    let at = UtcMillis::parse(text).or_else(|| UtcMillis::parse(&format!("{text}T00:00:00Z")));
    if let Some(t) = at {
        return Ok(Moment::At(t));
    }
    match text.parse::<crate::config::HumanDuration>() {
        Ok(ago) => Ok(Moment::Ago(i64::try_from(ago.0.as_millis()).unwrap_or(i64::MAX))),
        Err(_) => {
            Err("write a time as 2026-05-01T20:15:00Z, a day as 2026-05-01, or how long ago as 30m, 12h, 7d".into())
        }
    }
}

/// Prints to standard output.
///
/// # Errors
/// Code 2 for a wrong configuration; code 1 when there is no journal or it
/// cannot be read.
pub fn run(args: &EventsArgs) -> Result<(), CommandError> {
    let config = args.config.load()?.config;
    let stdout = io::stdout();
    let width = if stdout.is_terminal() { terminal_width() } else { usize::MAX };
    print(&config, args, BufWriter::new(stdout.lock()), width)
}

fn print(config: &Config, args: &EventsArgs, mut out: impl Write, width: usize) -> Result<(), CommandError> {
    let now = crate::clock::utc_now();
    let filter = EventFilter {
        since: args.since.map(|t| t.resolve(now)),
        until: args.until.map(|t| t.resolve(now)),
        kinds: args.kind.clone(),
    };
    let reader = JournalReader::open(&config.journal.path).map_err(|e| CommandError::Failed(e.to_string()))?;
    let mut written = header(args.format, &mut out);
    reader
        .for_each(&filter, |row| {
            if written.is_ok() {
                written = match args.format {
                    EventsFormat::Jsonl => writeln!(out, "{}", with_state(&row)),
                    EventsFormat::Csv => writeln!(out, "{}", csv_line(&row)),
                    EventsFormat::Table => writeln!(out, "{}", shortened(&table_line(&row), width)),
                };
            }
            written.is_ok()
        })
        .map_err(|e| CommandError::Failed(e.to_string()))?;
    written.and_then(|()| out.flush()).map_err(CommandError::stdout)
}

/// As the terminal says; wide enough otherwise.
fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&w| w > 0)
        .unwrap_or(160)
}

fn shortened(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn header(format: EventsFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        EventsFormat::Jsonl => Ok(()),
        EventsFormat::Csv => writeln!(
            out,
            "seq,t,tu,ts,t_corrected,tu_corrected,kind,phase,cam,grp,cls,conf,wire,dir,id,gid,n,why,state"
        ),
        EventsFormat::Table => {
            writeln!(out, "{:>7}   {:<24} {:<9} {:<9} {:<9} WHAT", "SEQ", "TIME (UTC)", "KIND", "PHASE", "STATE")
        }
    }
}

/// The wire object plus `"state"` and the corrected time.
fn with_state(row: &EventRow) -> String {
    // What is stored is an object; the key goes in front of its end, and all
    // the other bytes stay as they were sent.
    match row.json.strip_suffix('}') {
        Some(open) => {
            let corrected = row.corrected.map_or(String::new(), |c| {
                format!(",\"t_corrected\":\"{}\",\"tu_corrected\":{}", c.t, c.uncertainty_ms)
            });
            format!("{open}{corrected},\"state\":\"{}\"}}", row.delivery.as_str())
        }
        None => row.json.clone(),
    }
}

fn object(row: &EventRow) -> Map<String, Value> {
    match serde_json::from_str(&row.json) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// A value as people write it, without quotes.
fn plain(map: &Map<String, Value>, key: &str) -> String {
    match map.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn csv_line(row: &EventRow) -> String {
    let map = object(row);
    let field = |key: &&str| csv_field(plain(&map, key));
    let mut fields: Vec<String> = ["seq", "t", "tu", "ts"].iter().map(field).collect();
    fields.push(row.corrected.map_or(String::new(), |c| c.t.to_string()));
    fields.push(row.corrected.map_or(String::new(), |c| c.uncertainty_ms.to_string()));
    fields.extend(
        ["kind", "phase", "cam", "grp", "cls", "conf", "wire", "dir", "id", "gid", "n", "why"].iter().map(field),
    );
    fields.push(row.delivery.as_str().to_owned());
    fields.join(",")
}

fn table_line(row: &EventRow) -> String {
    let map = object(row);
    let field = |key: &str| plain(&map, key);
    let what = match field("kind").as_str() {
        "crossing" => format!("{}: {} over {}, {}", field("cam"), field("cls"), field("wire"), field("dir")),
        "sighting" => {
            let duration = map.get("dur").map(|d| format!(", {d} s")).unwrap_or_default();
            let why = map.get("why").map(|_| format!(", {}", field("why"))).unwrap_or_default();
            format!("{}: {} ({}){duration}{why}", field("cam"), field("cls"), field("conf"))
        }
        "group" => {
            format!("{}: {} {}s over {}, {}", field("cam"), field("n"), field("grp"), field("wire"), field("dir"))
        }
        "watch" => {
            let offset_ms = row.corrected.map_or(0, |c| c.offset_ms);
            let to = UtcMillis::parse(&field("to")).map(|to| UtcMillis(to.0.saturating_add(offset_ms)).to_string());
            let to = to.unwrap_or_default();
            let paused = map.get("paused_s").map(|s| format!(", {s} s paused")).unwrap_or_default();
            format!("{}: {} frames until {to}, {} s blind{paused}", field("cam"), field("frames"), field("blind_s"))
        }
        "pause" => {
            let until = map.get("until").map(|_| format!(" until {}", field("until"))).unwrap_or_default();
            let by = map.get("by").map(|_| format!(" by {}", field("by"))).unwrap_or_default();
            format!("{}{by}{until}", field("why"))
        }
        "kept" => format!("{}: {} {}, {} bytes", field("cam"), field("what"), field("file"), field("bytes")),
        "lost" if field("from") == "0" => field("why"),
        "lost" => {
            let (n, from, to) = (field("n"), field("from"), field("to"));
            format!("{n} of the events {from} to {to}, up to class {}: {}", field("class"), field("why"))
        }
        _ => {
            let parts = [field("cam"), field("value"), field("why")];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
        }
    };
    // Control characters from a damaged or foreign row must not reach a terminal.
    let what: String = what.chars().filter(|c| !c.is_control()).collect();
    let (mark, time) = match row.corrected {
        Some(corrected) => ('≈', corrected.t.to_string()),
        None if map.get("ts").is_some_and(|ts| ts == "none") => ('?', field("t")),
        None => (' ', field("t")),
    };
    let line = format!(
        "{:>7}  {mark}{time:<24} {:<9} {:<9} {:<9} {what}",
        row.seq,
        field("kind"),
        field("phase"),
        row.delivery.as_str()
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Beat;
    use crate::event::{Body, Draft, Phase, Stamp, TimeSource};
    use crate::journal::{Corrected, Delivery, Journal, JournalOptions};
    use std::time::Duration;

    fn journal(dir: &std::path::Path) -> Config {
        let path = dir.join("journal.db");
        let mut options = JournalOptions::new(&path, "unit");
        options.boot_event = false;
        let (handle, thread) = Journal::open(options, Beat::unwatched()).unwrap();
        let camera = |t: i64, why: &str| Draft {
            stamp: Stamp { t: UtcMillis(t), uncertainty_ms: None, source: TimeSource::None, boot: 1, mono_ms: 5 },
            body: Body::Camera { cam: "road".into(), phase: Phase::Lost, why: Some(why.into()) },
            replay: false,
        };
        let storage = Draft {
            body: Body::Storage { phase: Phase::Start, value: Some("f".into()), why: "=1+1, \"x\"".into() },
            ..camera(2_000, "")
        };
        handle.append_and_wait(vec![camera(1_000, "gone"), storage, camera(3_000, "\u{1b}[31mred")]).unwrap();
        thread.stop(Duration::from_secs(5)).unwrap();
        let mut config = Config::default();
        config.journal.path = path;
        config
    }

    fn printed(config: &Config, format: EventsFormat, change: impl FnOnce(&mut EventsArgs)) -> String {
        let mut args = EventsArgs { config: Default::default(), since: None, until: None, kind: Vec::new(), format };
        change(&mut args);
        let mut out = Vec::new();
        print(config, &args, &mut out, usize::MAX).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_the_same_events_in_three_ways() {
        let dir = tempfile::tempdir().unwrap();
        let config = journal(dir.path());
        let jsonl = printed(&config, EventsFormat::Jsonl, |_| {});
        assert_eq!(jsonl.lines().count(), 3);
        for line in jsonl.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["state"], "queued");
            assert_eq!(value["unit"], "unit");
        }
        let table = printed(&config, EventsFormat::Table, |_| {});
        assert!(table.contains("camera    lost      queued    road: gone"), "{table}");
        assert!(!table.contains('\u{1b}'));
        let csv = printed(&config, EventsFormat::Csv, |_| {});
        assert!(csv.contains(",\"'=1+1, \"\"x\"\"\",queued"), "{csv}");
        assert!(csv.lines().all(|line| line.matches("queued").count() <= 1));
    }

    #[test]
    fn the_command_line_is_sound_and_its_help_speaks_of_this_command() {
        let mut command = EventsArgs::augment_args(clap::Command::new("events"));
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        assert!(help.contains("Prints what the journal holds") && !help.contains("Which configuration"), "{help}");
    }

    #[test]
    fn filters_by_time_and_kind() {
        let dir = tempfile::tempdir().unwrap();
        let config = journal(dir.path());
        let count = |change: fn(&mut EventsArgs)| printed(&config, EventsFormat::Jsonl, change).lines().count();
        assert_eq!(count(|a| a.since = parse_moment("1970-01-01T00:00:02Z").ok()), 2);
        assert_eq!(count(|a| a.until = parse_moment("1970-01-01T00:00:02Z").ok()), 1);
        assert_eq!(count(|a| a.since = parse_moment("1h").ok()), 0);
        assert_eq!(count(|a| a.until = parse_moment("1970-01-02").ok()), 3);
        assert_eq!(count(|a| a.kind = vec!["camera".into()]), 2);
        assert!(parse_moment("yesterday").is_err());
    }

    #[test]
    fn says_clearly_that_there_is_no_journal() {
        let mut config = Config::default();
        config.journal.path = "/nonexistent/journal.db".into();
        let args = EventsArgs {
            config: Default::default(),
            since: None,
            until: None,
            kind: Vec::new(),
            format: EventsFormat::Table,
        };
        let error = print(&config, &args, Vec::new(), usize::MAX).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("/nonexistent/journal.db: there is none"), "{error}");
    }

    #[test]
    fn the_state_is_added_without_touching_the_rest() {
        let row =
            EventRow { seq: 1, json: "{\"v\":1,\"x\":[1.50]}".into(), delivery: Delivery::SetAside, corrected: None };
        assert_eq!(with_state(&row), "{\"v\":1,\"x\":[1.50],\"state\":\"set_aside\"}");
        let corrected = Some(Corrected { t: UtcMillis(1_000), offset_ms: 1, uncertainty_ms: 60 });
        let told = with_state(&EventRow { corrected, ..row });
        assert!(told.contains(",\"t_corrected\":\"1970-01-01T00:00:01.000Z\",\"tu_corrected\":60,"), "{told}");
    }
}
