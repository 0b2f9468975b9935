//! The receiver's file: one event a line, in JSON, appended and never
//! rewritten.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::ledger::Ledger;
use super::message::{EventKey, note_event};

/// An open file that receives lines.
#[derive(Debug)]
pub struct Archive {
    file: File,
}

impl Archive {
    /// Opens or makes `path` (mode 0600) and tells `ledger` what is in it. A last line
    /// that was cut by a crash is removed; its event will come again.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(path: &Path, ledger: &mut Ledger) -> io::Result<Archive> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut reader = BufReader::new(&mut file);
        let (mut line, mut whole) = (Vec::new(), 0u64);
        loop {
            line.clear();
            let n = reader.read_until(b'\n', &mut line)?;
            if n == 0 || line.last() != Some(&b'\n') {
                break;
            }
            whole += n as u64;
            if let Some(key) = EventKey::read(&line) {
                note_event(ledger, &key);
            }
        }
        drop(reader);
        if file.metadata()?.len() > whole {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Archive { file })
    }

    /// Appends one event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, json: &str) -> io::Result<()> {
        // One call for the whole line: a kill leaves all of it or none.
        self.file.write_all(format!("{json}\n").as_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_continued_and_a_cut_line_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let line = |seq: u64| format!("{{\"unit\":\"u\",\"log\":\"a\",\"seq\":{seq},\"kind\":\"boot\"}}");
        let mut archive = Archive::open(&path, &mut Ledger::new(false)).unwrap();
        archive.write(&line(1)).unwrap();
        archive.write(&line(2)).unwrap();
        archive.file.write_all(b"{\"unit\":\"u\",\"lo").unwrap();
        let mut ledger = Ledger::new(false);
        let mut archive = Archive::open(&path, &mut ledger).unwrap();
        assert!(!ledger.event("u", "a", 1) && !ledger.event("u", "a", 2) && ledger.event("u", "a", 3));
        archive.write(&line(3)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n{}\n{}\n", line(1), line(2), line(3)));
    }
}
