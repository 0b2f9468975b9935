//! A program's standard output as a video source (`rpicam-vid … -o -`).

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::interrupt::Interrupt;

/// The running program; killed with all it started, and reaped, when dropped.
pub struct Program {
    child: Child,
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
            .stderr(Stdio::null())
            // A group of its own: a script must not leave its camera program behind.
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the program has no output"))?;
        Ok((Program { child, reaped: false }, ProgramOutput { stdout, interrupt: interrupt.clone() }))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        self.reaped = true;
        Some(format!("the program ended ({status})"))
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
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
