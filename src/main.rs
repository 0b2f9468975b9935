//! The `tawny` program: reads the command line, sets up logging, runs one
//! command and turns its outcome into an exit code.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unreachable)]

mod logging;
mod typed;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tawny::commands::{
    CommandError, WithConfig, aim, check, command, config, detect, events, key, receive, replay, report, run, versions,
};

/// Finds out who crossed, which way and when: an edge video-analytics daemon
/// for trail cameras.
///
/// Tawny watches cameras for vehicles, people and animals, reports what passes
/// the tripwires you draw, keeps every event in a journal on the unit and sends
/// it to an MQTT broker. Settings come from one file, see `tawny config`.
#[derive(Parser)]
#[command(name = "tawny", version, propagate_version = true, arg_required_else_help = true, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  something named there failed or could not be read
  2  the command line or the configuration's text is wrong

Environment:
  TAWNY_LOG  what is logged to stderr: error, warn, info (default), debug, trace,
             or by module, for example \"info,tawny::uplink=debug\"; libraries
             say no more than info: they would print passwords";

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Aim(aim::AimArgs),
    Replay(replay::ReplayArgs),
    /// Finds vehicles, people and animals in still pictures
    ///
    /// Prints one JSON line for each picture: its size, and for each object class,
    /// group, confidence and box [x, y, width, height] in pixels of the upright
    /// picture; or "error" for a picture that cannot be read, with exit code 1 in
    /// the end.
    ///
    /// Example: tawny detect --annotate /tmp/boxes ~/trailcam/2026-05/
    #[command(verbatim_doc_comment)]
    Detect(WithConfig<detect::DetectArgs>),
    Events(events::EventsArgs),
    Receive(receive::ReceiveArgs),
    Report(report::ReportArgs),
    #[command(name = "command")]
    Tell(command::CommandArgs),
    Key(key::KeyArgs),
    /// Shows what can be configured, and what is
    Config(config::ConfigArgs),
}

impl Command {
    fn run(&self) -> Result<(), CommandError> {
        match self {
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::run(args),
            Command::Aim(args) => aim::run(args),
            Command::Replay(args) => replay::run(args),
            Command::Detect(command) => detect::run(&command.file.load()?.config, &command.args),
            Command::Events(args) => events::run(args),
            Command::Receive(args) => receive::run(args),
            Command::Report(args) => report::run(args),
            Command::Tell(args) => command::run(args),
            Command::Key(args) => key::run(args),
            Command::Config(args) => config::run(args),
        }
    }
}

fn main() -> ExitCode {
    let cli = parse();
    logging::start();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.exit_code() != 0 {
                logging::say_failed(&typed::without_secrets(&error.to_string()));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Reads the command line. What `--version` tells has to be looked for on the
/// disk, so only who asks for it waits for that.
fn parse() -> Cli {
    let mut command = Cli::command();
    if std::env::args_os().any(|argument| argument == "--version") {
        command = command.long_version(&*versions::long().leak());
    }
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).unwrap_or_else(|error| refuse(&error))
}

/// Says what is wrong with the command line, or what was asked for: help, the version.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.render();
    let text = if io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    logging::say(&tracing::Level::ERROR, &typed::without_secrets(&text));
    std::process::exit(error.exit_code());
}
