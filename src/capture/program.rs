//! A program's standard output as a video source (`rpicam-vid … -o -`).

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::appetite::{Appetite, PIECE};
use super::interrupt::Interrupt;
use super::last_words::LastWords;
use super::throttle::Throttle;
use super::units::StartCodes;

/// How long a program that has closed its output may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The running program; killed with all it started, and reaped, when dropped.
pub struct Program {
    child: Child,
    words: LastWords,
    reaped: bool,
}

impl Program {
    /// Starts `argv` (no shell) with its standard output in a pipe.
    ///
    /// # Errors
    /// When there is no such program or it may not be run.
    pub fn start(argv: &[String], interrupt: &Interrupt) -> io::Result<(Program, ProgramOutput)> {
        let (name, arguments) =
            argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program named"))?;
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a script must not leave its camera program behind.
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the program has no output"))?;
        let words = LastWords::listen(child.stderr.take(), argv)?;
        let output = ProgramOutput {
            stdout,
            interrupt: interrupt.clone(),
            left: Arc::new(AtomicU64::new(u64::MAX)),
            throttle: Throttle::new(),
            appetite: Appetite::new(),
            units: StartCodes::default(),
        };
        Ok((Program { child, words, reaped: false }, output))
    }

    /// How it ended, if it has, and what it said last. The system closes a program's
    /// files before it is known how it ended, so that is waited for, shortly.
    pub fn ended(&mut self) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) | Err(_) => return None,
            }
        };
        self.reaped = true;
        Some(self.with_last_words(format!("the program ended ({status})")))
    }

    /// `why`, and what the program said last, if it said anything.
    pub fn with_last_words(&self, why: String) -> String {
        match self.words.told() {
            Some(words) => format!("{why}; it said: {words}"),
            None => why,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Once reaped, its number may be somebody else's.
        if !self.reaped {
            // Both fail only when the program has already gone.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Reads what the program writes, and gives up when the interrupt says so.
pub struct ProgramOutput {
    stdout: ChildStdout,
    interrupt: Interrupt,
    /// Bytes that may still be read.
    left: Arc<AtomicU64>,
    throttle: Throttle,
    appetite: Appetite,
    units: StartCodes,
}

impl ProgramOutput {
    /// From now on no more than `bytes` are read, until that is lifted.
    pub fn allow(&self, bytes: u64) -> Allowance {
        self.left.store(bytes, Ordering::Relaxed);
        Allowance { left: Arc::clone(&self.left), appetite: self.appetite.clone() }
    }
}

/// How much a program may still write.
pub struct Allowance {
    left: Arc<AtomicU64>,
    appetite: Appetite,
}

impl Allowance {
    /// Whether it wrote all it might.
    pub fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Why it is given up for what reading it takes, if it is.
    pub fn why(&self) -> Option<String> {
        self.appetite.why()
    }

    /// It may write on without end.
    pub fn lift(&self) {
        self.appetite.over();
        self.left.store(u64::MAX, Ordering::Relaxed);
    }
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.throttle.rest();
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other("it wrote more than it may"));
        }
        if left == u64::MAX {
            return self.wait_and_read(buffer);
        }
        if self.appetite.is_too_large() {
            return Err(io::Error::other("it takes more memory than it may"));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)).min(PIECE);
        let Some(buffer) = buffer.get_mut(..length) else { return Ok(0) };
        let count = self.wait_and_read(buffer)?;
        self.left.store(left - count as u64, Ordering::Relaxed);
        self.appetite.units(self.units.count(buffer.get(..count).unwrap_or_default()));
        Ok(count)
    }
}

impl ProgramOutput {
    fn wait_and_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.interrupt.is_due() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "interrupted"));
            }
            let mut fds = [PollFd::new(&self.stdout, PollFlags::IN)];
            let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            match poll(&mut fds, Some(&wait)) {
                Ok(0) => {}
                Ok(_) => return self.stdout.read(buffer),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `script` until its output is closed; how it ended.
    fn end_of(script: &str) -> (Program, Option<String>) {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let (mut program, mut output) = Program::start(&argv, &Interrupt::default()).unwrap();
        assert_eq!(output.read(&mut [0; 16]).unwrap(), 0);
        let ended = program.ended();
        (program, ended)
    }

    #[test]
    fn a_program_that_closes_its_output_a_moment_before_it_ends_has_ended() {
        let (_, ended) = end_of("echo bro\"\"ken >&2; exec >&-; sleep 0.1; exit 3");
        assert_eq!(ended.as_deref(), Some("the program ended (exit status: 3); it said: broken"));
    }

    #[test]
    fn a_program_that_closes_its_output_and_runs_on_has_not_ended() {
        let (program, ended) = end_of("echo ti\"\"red >&2; exec >&- 2>&-; sleep 60");
        assert_eq!(ended, None);
        assert_eq!(program.with_last_words("closed".into()), "closed; it said: tired");
    }
}
