//! Reading /proc and /sys. What cannot be read is absent; the texts are parsed
//! by pure functions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::clock::boot_time_now;
use crate::domain::Mono;

/// The machine and this process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Seconds since the program started.
    pub up_s: u64,
    /// CPU seconds the program has used.
    pub cpu_s: f64,
    /// Percent of one core it used since the last reading.
    pub cpu_pct: f64,
    /// Resident memory, kB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<u64>,
    /// Load average of the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// The hottest thermal zone, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_c: Option<f64>,
    /// Free space where the journal lies, MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_mb: Option<u64>,
}

/// Reads the machine; remembers the last reading for percentages.
#[derive(Debug)]
pub struct Probes {
    journal: PathBuf,
    started: Mono,
    last: (Mono, Duration),
}

impl Probes {
    /// `journal` is any file on the file system whose space counts.
    pub fn new(journal: impl Into<PathBuf>) -> Probes {
        let now = boot_time_now();
        Probes { journal: journal.into(), started: now, last: (now, cpu_time()) }
    }

    /// Everything now.
    pub fn read(&mut self) -> Machine {
        let (now, cpu) = (boot_time_now(), cpu_time());
        let (last_at, last_cpu) = std::mem::replace(&mut self.last, (now, cpu));
        Machine {
            up_s: now.since(self.started).as_secs(),
            cpu_s: rounded(cpu.as_secs_f64(), 10.0),
            cpu_pct: percent(cpu.saturating_sub(last_cpu), now.since(last_at)),
            rss_kb: fs::read_to_string("/proc/self/status").ok().and_then(|text| rss_kb(&text)),
            load: fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text)),
            temp_c: hottest(Path::new("/sys/class/thermal")),
            disk_free_mb: free_mb(&self.journal),
        }
    }
}

fn cpu_time() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

fn rounded(value: f64, factor: f64) -> f64 {
    (value * factor).round() / factor
}

fn percent(used: Duration, passed: Duration) -> f64 {
    if passed.is_zero() { 0.0 } else { rounded(100.0 * used.as_secs_f64() / passed.as_secs_f64(), 10.0) }
}

/// `VmRSS:     1234 kB` of /proc/self/status.
fn rss_kb(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// The first figure of /proc/loadavg.
fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_ascii_whitespace().next()?.parse().ok()
}

/// Millidegrees of every `thermal_zone*/temp`; the greatest that can be true.
fn hottest(thermal: &Path) -> Option<f64> {
    let zones = fs::read_dir(thermal).ok()?.filter_map(Result::ok);
    zones
        .filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"))
        .filter_map(|zone| fs::read_to_string(zone.path().join("temp")).ok())
        .filter_map(|text| text.trim().parse::<i32>().ok())
        .filter(|millidegrees| (-60_000..200_000).contains(millidegrees))
        .max()
        .map(|millidegrees| rounded(f64::from(millidegrees) / 1000.0, 10.0))
}

fn free_mb(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes_and_nothing_else() {
        assert_eq!(rss_kb("Name:\tx\nVmRSS:\t   14340 kB\n"), Some(14_340));
        assert_eq!(rss_kb("VmRSS:\n"), None);
        assert_eq!(load("0.52 0.58 0.59 1/613 2001\n"), Some(0.52));
        assert_eq!(load(""), None);
        assert_eq!(percent(Duration::from_secs(1), Duration::from_secs(8)), 12.5);
        assert_eq!(percent(Duration::from_secs(1), Duration::ZERO), 0.0);
    }

    #[test]
    fn the_hottest_believable_zone_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (zone, text) in [("thermal_zone0", "48312\n"), ("thermal_zone1", "-274000"), ("thermal_zone2", "x")] {
            fs::create_dir(dir.path().join(zone)).unwrap();
            fs::write(dir.path().join(zone).join("temp"), text).unwrap();
        }
        fs::create_dir(dir.path().join("cooling_device0")).unwrap();
        assert_eq!(hottest(dir.path()), Some(48.3));
        assert_eq!(hottest(Path::new("/nonexistent")), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Probes::new("/tmp/journal.db").read();
        assert!(machine.rss_kb.unwrap() > 100 && machine.disk_free_mb.is_some() && machine.load.is_some());
    }
}
