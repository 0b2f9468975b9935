//! Running a command that powers a modem up or down: never through a shell, and
//! never for longer than it was given.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Ends with whoever waits for it: a command that is not waited for any more is
/// killed with all that it has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = self.0.wait();
        }
    }
}

/// Runs `command` (program and arguments).
///
/// # Errors
/// In plain words: it cannot be started, fails, or takes too long and is killed.
pub(super) async fn run(command: &[String], timeout: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{program} cannot be started: {e}"))?;
    let mut running = Running(child);
    let deadline = Instant::now() + timeout;
    loop {
        match running.0.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program} failed ({status})")),
            Ok(None) if Instant::now() >= deadline => return Err(format!("{program} took too long and was ended")),
            Ok(None) => sleep(LOOK).await,
            Err(e) => return Err(format!("{program} cannot be waited for: {e}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn outcome(command: &[&str], timeout: Duration) -> Result<(), String> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&command, timeout))
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let script = format!("sleep 100 & echo $! > {}; wait", pid_file.display());
        let told = outcome(&["sh", "-c", &script], Duration::from_millis(500)).unwrap_err();
        assert!(told.contains("took too long"), "{told}");
        let pid = std::fs::read_to_string(pid_file).unwrap();
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !is_gone() {
            assert!(std::time::Instant::now() < deadline, "it lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let patience = Duration::from_secs(20);
        assert_eq!(outcome(&["true"], patience), Ok(()));
        assert!(outcome(&["false"], patience).unwrap_err().contains("failed"));
        assert!(outcome(&["/no/such/program"], patience).unwrap_err().contains("cannot be started"));
    }
}
