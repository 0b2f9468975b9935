//! What is logged, and in which form: for people to stderr, with colours on a terminal;
//! for systemd's journal without times, which it has of its own, and with the priority
//! that it wants before each line (sd-daemon(3)), so that `journalctl -p warning` shows
//! what it should.

use std::backtrace::BacktraceStatus;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins to log to stderr.
pub fn start() {
    say_panics();
    let filter = ["TAWNY_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok());
    let filter = filter.filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder().parse(filter.as_deref().unwrap_or("info")).unwrap_or_else(|_| {
        // Whatever it is may have got there by mistake.
        say(&Level::WARN, "TAWNY_LOG is not understood: \"info\" is taken\n");
        EnvFilter::builder().parse_lossy("info")
    });
    let logging = tracing_subscriber::registry().with(filter).with(filter_fn(is_ours_to_tell));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    if is_journal() {
        let lines = tracing_subscriber::fmt::format().without_time().with_ansi(false);
        logging.with(layer.with_ansi(false).event_format(WithPriority(lines))).init();
    } else {
        logging.with(layer.with_ansi(io::stderr().is_terminal())).init();
    }
}

/// Whether a line may be logged, whatever the level that was asked for. Libraries
/// print at "debug" and "trace" what they send, passwords included; the runtime of
/// the detector has none.
fn is_ours_to_tell(line: &Metadata<'_>) -> bool {
    let from = line.target().split("::").next().unwrap_or_default();
    matches!(from, "tawny" | "ort") || *line.level() <= Level::INFO
}

/// The last word of a command that failed.
pub fn say_failed(error: &str) {
    say(&Level::ERROR, &format!("tawny: {error}\n"));
}

/// What does not go through the log: it has a priority all the same.
pub fn say(level: &Level, text: &str) {
    let with_priority = is_journal().then(|| prioritised(priority(level), text));
    // Nobody is left to tell if stderr is closed.
    let _ = io::stderr().write_all(with_priority.as_deref().unwrap_or(text).as_bytes());
}

/// A panic is shown by `journalctl -p warning`, too.
fn say_panics() {
    if !is_journal() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { trace.to_string() } else { String::new() };
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        say(&Level::ERROR, &format!("thread '{name}' {panic}\n{trace}"));
    }));
}

/// Whether stderr goes to systemd's journal.
fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal()
}

/// syslog(3)
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Every line of `text` behind its priority: what comes from outside can begin a line, but
/// not with a priority of its own choice. Other control characters are spelled out.
fn prioritised(priority: u8, text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + 4);
    for line in text.lines() {
        let _ = write!(lines, "<{priority}>");
        for c in line.chars() {
            if c.is_control() && c != '\t' { lines.extend(c.escape_default()) } else { lines.push(c) }
        }
        lines.push('\n');
    }
    lines
}

struct WithPriority(Format<Full, ()>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, DefaultFields> for WithPriority {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        writer.write_str(&prioritised(priority(event.metadata().level()), &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_priority_and_none_brings_its_own() {
        assert_eq!(
            prioritised(6, "one\n<0>two\r\n\x1b[31mthree\tfour\n"),
            "<6>one\n<6><0>two\n<6>\\u{1b}[31mthree\tfour\n"
        );
        assert_eq!(prioritised(priority(&Level::WARN), "a\rb\0"), "<4>a\\rb\\u{0}\n");
        assert_eq!(prioritised(3, ""), "");
    }
}
