//! Who has what: the journal against what arrived.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::broker::Message;
use crate::common::daemon::Row;

/// What became of every event.
#[derive(Debug, Default)]
pub struct Audit {
    /// Rows in the journal.
    pub committed: usize,
    /// Numbers missing in the journal.
    pub gaps: usize,
    /// Rows in the journal that neither arrived, word for word, nor were set
    /// aside or declared lost.
    pub lost: Vec<u64>,
    /// Rows that the journal does not call acknowledged.
    pub queued: usize,
    /// Rows that the journal itself gave up, with a `lost` event.
    pub declared: usize,
    /// Arrivals that another had preceded: MQTT's "at least once".
    pub duplicates: usize,
    /// Events sent again because the receiver asked for them.
    pub asked_for: u64,
}

impl Audit {
    /// `received` is what the receiver kept, `heard` what a plain subscriber heard.
    pub fn of(rows: &[Row], received: &BTreeMap<u64, String>, heard: &[Arc<Message>]) -> Audit {
        let declared = |row: &&Row| matches!(row.state, "set_aside" | "dropped");
        let arrived = |row: &&Row| received.get(&row.seq) == Some(&row.json);
        let last = rows.last().map_or(0, |row| row.seq) as usize;
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for message in heard.iter().filter(|m| m.topic.contains("/event/")) {
            *times.entry(message.payload.as_str()).or_default() += 1;
        }
        Audit {
            committed: rows.len(),
            gaps: last - rows.len(),
            lost: rows.iter().filter(|row| !arrived(row) && !declared(row)).map(|row| row.seq).collect(),
            queued: rows.iter().filter(|row| row.state == "queued").count(),
            declared: rows.iter().filter(declared).count(),
            duplicates: times.values().map(|n| n - 1).sum(),
            asked_for: heard.iter().filter_map(range_asked_for).sum(),
        }
    }

    pub fn assert_nothing_is_lost(&self) {
        assert_eq!((self.gaps, self.lost.len(), self.declared, self.queued), (0, 0, 0, 0), "{self}: {:?}", self.lost);
    }
}

/// How many events the answer to a `resend` promises.
fn range_asked_for(message: &Arc<Message>) -> Option<u64> {
    let reply: Value = serde_json::from_str(&message.payload).ok().filter(|_| message.topic.contains("/reply/"))?;
    Some(reply["to"].as_u64()? + 1 - reply["from"].as_u64()?)
}

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Audit { committed, gaps, lost, queued, declared, duplicates, asked_for } = self;
        let lost = lost.len();
        write!(
            f,
            "{committed} events committed, {lost} lost, {gaps} gaps, {declared} given up, {queued} unacknowledged, \
             {duplicates} heard once more than needed, {asked_for} asked for again"
        )
    }
}

/// `tawny receive`, writing into a file.
pub struct Receiver {
    child: Child,
    file: std::path::PathBuf,
}

impl Receiver {
    pub fn start(url: &str, file: &Path) -> Receiver {
        let mut command = Command::new(crate::common::daemon::binary());
        command.args(["receive", "--history", "--broker", url, "--out"]).arg(file);
        let said = std::fs::File::create(file.with_extension("log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(said).spawn().unwrap();
        Receiver { child, file: file.to_owned() }
    }

    /// What it keeps, by number.
    pub fn received(&self) -> BTreeMap<u64, String> {
        received(&self.file)
    }

    /// How many lines it keeps.
    pub fn count(&self) -> usize {
        std::fs::read(&self.file).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
    }

    /// Ends it; gives its last words.
    pub fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        let said = std::fs::read_to_string(self.file.with_extension("log")).unwrap();
        said.lines().rfind(|line| line.contains(" repeated, ")).unwrap_or(&said).to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn received(file: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let seq = |line: &str| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64();
    text.lines().filter_map(|line| Some((seq(line)?, line.to_owned()))).collect()
}
