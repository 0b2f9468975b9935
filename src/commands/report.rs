//! `tawny report`: what happened, as a document.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::CommandError;
use super::private_file::write_private;
use crate::config::HumanDuration;
use crate::domain::{UtcMillis, to_hex};
use crate::journal::{EventFilter, JournalReader};
use crate::report::{Calendar, Collection, Gallery, Report, Settings, Source, csv, html, json};

/// Makes a document of what was recorded: one page that needs no network
///
/// Reads the configured unit's journal, or others, or files that `tawny receive`
/// or `tawny events --format jsonl` wrote; several units go into one report. The
/// page tells when was watched and when not, who crossed which line, how good the
/// times are, what cannot be known, and the checksums of the pictures. It prints on
/// A4. Works while the daemon is running.
///
/// Times that were found out later are used where there are some, as by `tawny
/// events`.
///
/// Example: tawny report --since 7d --zone Europe/Madrid --place "Forest road" --out week.html
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ReportArgs {
    /// Which configuration; it names the journal and the folder of the pictures.
    #[command(flatten)]
    pub config: super::ConfigFile,
    /// Files of events, one JSON object a line, instead of the configured journal
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub jsonl: Vec<PathBuf>,
    /// Journals instead of the configured one
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub journal: Vec<PathBuf>,
    /// Where the pictures are; the configured folder if the configured journal is
    /// read, else no pictures are shown
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Only what happened at or after this time: 2026-05-01T20:15:00Z, with an
    /// offset or Z; 2026-05-01 or 2026-05-01T20:15, by the clock of --zone; or how
    /// long ago, 12h or 7d
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// Only what happened before this time; written in the same ways
    #[arg(long, value_name = "T")]
    pub until: Option<String>,
    /// In whose time days and hours are told: Europe/Madrid, +02:00
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = Calendar::parse)]
    pub zone: Calendar,
    /// The name of the place, to be printed on top
    #[arg(long, value_name = "TEXT")]
    pub place: Option<String>,
    /// Show the full-size pictures in which people are as the camera saw them; the
    /// report says so
    #[arg(long)]
    pub clear: bool,
    /// html to read and print; csv for spreadsheets, the crossings alone; json with
    /// all figures
    #[arg(long, value_enum, default_value = "html")]
    pub format: ReportFormat,
    /// Write to this file, readable by its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How to write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A page.
    Html,
    /// The crossings, RFC 4180.
    Csv,
    /// The figures.
    Json,
}

/// Makes the report.
///
/// # Errors
/// Code 2 for a wrong configuration or time; code 1 when something named there
/// cannot be read, or the report cannot be written.
pub fn run(args: &ReportArgs) -> Result<(), CommandError> {
    let made = crate::clock::utc_now();
    let since = moment(args.since.as_deref(), &args.zone, made)?;
    let until = moment(args.until.as_deref(), &args.zone, made)?;
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(CommandError::Usage("--since is not before --until".into()));
    }
    let mut inputs = Inputs::default();
    for path in &args.jsonl {
        inputs.lines(path)?;
    }
    for path in &args.journal {
        inputs.journal(path)?;
    }
    let mut evidence = args.evidence.clone();
    if args.jsonl.is_empty() && args.journal.is_empty() {
        let config = args.config.load()?.config;
        inputs.journal(&config.journal.path)?;
        evidence.get_or_insert_with(|| config.evidence_folder());
    }
    let Inputs { all, sources } = inputs;
    let place = args.place.clone();
    let settings = Settings { place, since, until, calendar: args.zone.clone(), made, sources };
    let report = Report::new(all, &settings);
    if report.input.beyond > 0 {
        tracing::warn!("{} events do not fit into memory and are not in the report", report.input.beyond);
    }
    let text = match args.format {
        ReportFormat::Csv => csv(&report),
        ReportFormat::Json => json(&report),
        ReportFormat::Html => {
            let find = |folder: &PathBuf| Gallery::find(folder, &report, args.clear);
            html(&report, &evidence.as_ref().map_or_else(Gallery::default, find))
        }
    };
    match &args.out {
        Some(path) => write_private(path, text.as_bytes()).map_err(|e| failed(path, &e)),
        None => io::stdout().lock().write_all(text.as_bytes()).map_err(CommandError::stdout),
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::Failed(format!("{}: {error}", path.display()))
}

fn moment(text: Option<&str>, zone: &Calendar, now: UtcMillis) -> Result<Option<UtcMillis>, CommandError> {
    let Some(text) = text else { return Ok(None) };
    let ago = || {
        let ago = text.parse::<HumanDuration>().ok()?;
        Some(UtcMillis(now.0.saturating_sub(i64::try_from(ago.0.as_millis()).unwrap_or(i64::MAX))))
    };
    match UtcMillis::parse(text).or_else(|| zone.read(text)).or_else(ago) {
        Some(t) => Ok(Some(t)),
        None => Err(CommandError::Usage(format!(
            "'{text}' is no time: write 2026-05-01T20:15:00Z, or 2026-05-01 (by the clock of --zone), or how long ago as 12h, 7d"
        ))),
    }
}

/// No event is longer: a line beyond it is none.
const LONGEST_LINE: u64 = 1 << 20;

/// A file and the checksum of what was read of it.
struct Summed {
    file: File,
    sum: Sha256,
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.sum.update(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}

#[derive(Default)]
struct Inputs {
    all: Collection,
    sources: Vec<Source>,
}

impl Inputs {
    fn journal(&mut self, path: &Path) -> Result<(), CommandError> {
        let failed = |e: crate::journal::JournalError| CommandError::Failed(e.to_string());
        let reader = JournalReader::open(path).map_err(failed)?;
        reader
            .for_each(&EventFilter::default(), |row| {
                self.all.add(&row.json, row.corrected.map(|c| (c.offset_ms, c.uncertainty_ms)));
                true
            })
            .map_err(failed)?;
        let name = format!("{} (a unit's journal)", file_name(path));
        self.sources.push(Source { name, sha256: None });
        Ok(())
    }

    fn lines(&mut self, path: &Path) -> Result<(), CommandError> {
        let file = File::open(path).map_err(|e| failed(path, &e))?;
        let mut file = BufReader::new(Summed { file, sum: Sha256::new() });
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|e| failed(path, &e))?;
            if n == 0 {
                break;
            }
            if n as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
                file.skip_until(b'\n').map_err(|e| failed(path, &e))?;
                self.all.add_unreadable();
                continue;
            }
            match std::str::from_utf8(&line).map(str::trim) {
                Ok("") => {}
                Ok(text) => self.all.add(text, None),
                Err(_) => self.all.add_unreadable(),
            }
        }
        let sum = file.into_inner().sum;
        self.sources.push(Source { name: file_name(path), sha256: Some(to_hex(&sum.finalize())) });
        Ok(())
    }
}

/// Without the folder: a report tells nothing about whoever made it.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_speaks_of_this_command() {
        let mut command = ReportArgs::augment_args(clap::Command::new("report"));
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        assert!(help.contains("Makes a document") && !help.contains("Which configuration"), "{help}");
    }

    #[test]
    fn a_time_is_written_with_its_zone_or_by_the_clock_of_the_report() {
        let zone = Calendar::parse("+02:00").unwrap();
        let read = |text: &str| moment(Some(text), &zone, UtcMillis(86_400_000)).map(|t| t.unwrap().to_string());
        assert_eq!(read("2026-05-01T20:15:00Z").unwrap(), "2026-05-01T20:15:00.000Z");
        assert_eq!(read("2026-05-01").unwrap(), "2026-04-30T22:00:00.000Z");
        assert_eq!(read("2026-05-01T20:15").unwrap(), "2026-05-01T18:15:00.000Z");
        assert_eq!(read("1h").unwrap(), "1970-01-01T23:00:00.000Z");
        assert_eq!(read("yesterday").unwrap_err().exit_code(), 2);
    }
}
