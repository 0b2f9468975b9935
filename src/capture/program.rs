//! A program's standard output as a video source (`rpicam-vid … -o -`).

use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};

use super::interrupt::Interrupt;

/// The running program; killed and reaped when dropped.
pub struct Program {
    child: Child,
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
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the program has no output"))?;
        Ok((Program { child }, ProgramOutput { stdout, interrupt: interrupt.clone() }))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| format!("the program ended ({status})"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when the program has already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
