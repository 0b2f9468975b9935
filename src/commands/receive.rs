//! `tawny receive`: the other end of the wire.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use sha2::{Digest, Sha256};

use super::{BrokerArgs, CommandError};
use crate::config::HumanDuration;
use crate::domain::to_hex;
use crate::receive::{Advice, Archive, Beyond, Gap, Ledger, Message, note_event};
use crate::uplink::{LinkSettings, Listener, listen};

/// Receives what units send: each event once, and none missing
///
/// Subscribes to everything below the prefix and writes each event as one line of
/// JSON, also what comes as CBOR. What comes twice is dropped. A number that is missing although its
/// unit is done with it is asked for again ("resend"), also when the unit says that it
/// is lost, and reported when it does not come. With --out the file is continued after a restart, and the broker keeps
/// what comes meanwhile for six hours; what is missing then is asked for too.
///
/// Ends with Ctrl-C, and says on stderr what was received and what is missing.
///
/// Example: tawny receive --broker mqtt://broker.local --out events.jsonl
#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Where they come from.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Append the events to this file instead of printing them
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Ask for everything that the units still hold, not only for what was sent
    /// since this receiver began
    #[arg(long)]
    pub history: bool,
    /// Never ask for anything: only listen
    #[arg(long)]
    pub silent: bool,
    /// End when no event has come for this long, for example 10s
    #[arg(long, value_name = "DURATION")]
    pub idle: Option<HumanDuration>,
}

/// Receives until told to end.
///
/// # Errors
/// Code 2 for an address that is none; code 1 when the file cannot be written or
/// a file that is named cannot be read.
pub fn run(args: &ReceiveArgs) -> Result<(), CommandError> {
    let mut ledger = Ledger::new(args.history);
    let archive = match &args.out {
        Some(path) => {
            let failed = |e: io::Error| CommandError::Failed(format!("{}: {e}", path.display()));
            Some(Archive::open(path, &mut ledger).map_err(failed)?)
        }
        None => None,
    };
    let settings = settings(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|e| CommandError::Failed(format!("no signal handler: {e}")))?;
    }
    let now = Instant::now();
    let mut receiving = Receiving {
        ledger,
        archive,
        began: now,
        last_event: now,
        idle: args.idle.map(|idle| idle.0),
        silent: args.silent,
        counts: Counts::default(),
        asked: BTreeMap::new(),
        stdout_closed: false,
    };
    let ended = listen(&settings, args.out.is_some(), &stop, &mut receiving);
    receiving.say_goodbye();
    if receiving.stdout_closed {
        return Err(CommandError::OutputClosed);
    }
    ended.map_err(|e| CommandError::Failed(e.to_string()))
}

fn settings(args: &ReceiveArgs) -> Result<LinkSettings, CommandError> {
    // The same file, the same name at the broker: it knows what was not received.
    let name = match &args.out {
        Some(path) => place_of(path),
        None => format!("{:08x}", getrandom::u32().unwrap_or(std::process::id())),
    };
    args.broker.settings(&format!("receive-{name}"))
}

/// Eight characters that stand for this file on this machine.
fn place_of(path: &Path) -> String {
    let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let digest = Sha256::new().chain_update(host.trim()).chain_update(path.as_os_str().as_encoded_bytes()).finalize();
    to_hex(&digest).chars().take(8).collect()
}

#[derive(Debug, Default)]
struct Counts {
    events: u64,
    repeated: u64,
    asked: u64,
    /// Messages where events and states are expected that are none.
    strange: u64,
}

/// Gaps named at the end; the others are counted.
const GAPS_NAMED: usize = 100;

struct Receiving {
    ledger: Ledger,
    archive: Option<Archive>,
    began: Instant,
    last_event: Instant,
    idle: Option<Duration>,
    silent: bool,
    counts: Counts,
    /// The last request to each unit; one runs at a time.
    asked: BTreeMap<String, String>,
    stdout_closed: bool,
}

impl Receiving {
    fn write(&mut self, json: &str) -> io::Result<()> {
        match &mut self.archive {
            Some(archive) => archive.write(json),
            None => {
                let mut stdout = io::stdout().lock();
                let written = writeln!(stdout, "{json}").and_then(|()| stdout.flush());
                self.stdout_closed = written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
                written
            }
        }
    }

    fn say_goodbye(&self) {
        let gaps = self.ledger.gaps();
        let missing = self.ledger.missing();
        let Counts { events, repeated, asked, strange } = self.counts;
        // Nobody is left to tell if stderr is closed.
        let mut stderr = io::stderr();
        let _ = writeln!(stderr, "{events} events, {repeated} repeated, {asked} requests, {missing} missing");
        for gap in gaps.iter().take(GAPS_NAMED) {
            let lost = if self.ledger.is_reported(gap) { "; of some the unit says that they are lost" } else { "" };
            let _ = writeln!(stderr, "missing: {}{lost}", described(gap));
        }
        if let Some(more) = gaps.len().checked_sub(GAPS_NAMED).filter(|more| *more > 0) {
            let _ = writeln!(stderr, "missing: {more} more gaps");
        }
        let excused = self.ledger.excused();
        for gap in excused.iter().take(GAPS_NAMED) {
            let _ = writeln!(stderr, "lost: {}; the unit says so and does not hold them", described(gap));
        }
        if let Some(more) = excused.len().checked_sub(GAPS_NAMED).filter(|more| *more > 0) {
            let _ = writeln!(stderr, "lost: {more} more ranges");
        }
        let Beyond { events, logs, excuses } = self.ledger.beyond();
        for (n, what) in [
            (strange, "messages were no events or states of a unit's, and are left out"),
            (events, "events were too scattered to be remembered: they were taken as new and may be there twice"),
            (logs, "journals were forgotten, because one unit had too many: their gaps are not known any more"),
            (excuses, "'lost' events were too many to be remembered: what they name counts as missing"),
        ] {
            if n > 0 {
                let _ = writeln!(stderr, "{n} {what}");
            }
        }
    }
}

/// Whether events or states are published on this topic below the prefix.
fn is_a_units_word(topic: &str) -> bool {
    let what = topic.split('/').nth(1);
    matches!(what, Some("event" | "status" | "health"))
}

fn described(gap: &Gap) -> String {
    // What units call themselves is not to be trusted on a terminal.
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
    format!("{}, journal {}, {} to {}", plain(&gap.unit), plain(&gap.log), gap.from, gap.to)
}

impl Listener for Receiving {
    fn message(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        match Message::read(topic, payload) {
            Message::Event { key, line } => {
                self.last_event = Instant::now();
                if note_event(&mut self.ledger, &key) {
                    self.counts.events += 1;
                    self.write(&line)?;
                } else {
                    self.counts.repeated += 1;
                }
            }
            Message::Progress { unit, progress } => {
                self.ledger.status(&unit, &progress.log, progress.low);
                if progress.is_online() {
                    self.ledger.online(&unit);
                }
            }
            Message::Reply { unit, id, answer: Some((log, without)) } if self.asked.get(&unit) == Some(&id) => {
                self.ledger.denied(&unit, &log, &without);
            }
            Message::Reply { .. } => {}
            Message::Other => self.counts.strange += u64::from(is_a_units_word(topic)),
        }
        Ok(())
    }

    fn tick(&mut self) -> Option<Vec<(String, String)>> {
        if self.idle.is_some_and(|idle| self.last_event.elapsed() >= idle) {
            return None;
        }
        if self.silent {
            return Some(Vec::new());
        }
        let mut commands = Vec::new();
        for advice in self.ledger.advise(self.began.elapsed()) {
            match advice {
                Advice::Ask(gap) => {
                    tracing::info!("missing: {}; asked for again", described(&gap));
                    self.counts.asked += 1;
                    let id = format!("receive-{:08x}", getrandom::u32().unwrap_or_default());
                    self.asked.insert(gap.unit.clone(), id.clone());
                    let Gap { unit, log, from, to } = gap;
                    let command = serde_json::json!({"id": id, "do": "resend", "log": log, "from": from, "to": to});
                    commands.push((format!("{unit}/cmd"), command.to_string()));
                }
                Advice::GiveUp(gap) => {
                    tracing::warn!("missing, and not sent when asked: {}", described(&gap));
                }
            }
        }
        Some(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        ReceiveArgs::augment_args(clap::Command::new("receive")).debug_assert();
    }
}
