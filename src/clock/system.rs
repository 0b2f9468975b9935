//! The thin part: reading the machine's clocks.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::keeper::{Change, Estimate, GpsTime, KernelTime, RtcTime, SavedClock, Timekeeper};
use super::reading::Reading;
use super::running::RunningMs;
use crate::domain::{Mono, UtcMillis};
use crate::event::{Stamp, TimeSource};

/// The kernel's limit (NTP_PHASE_LIMIT): with a greater error it calls its
/// clock unsynchronised, so a greater figure can only be a slip.
const MAX_ERROR_US: i64 = 16_000_000;

/// Both clocks are read again when something came between them.
const READING_TAKES_US: i64 = 500;

/// Where readings come from: the machine, or a test.
pub trait ClockSource: Send + Sync {
    /// CLOCK_BOOTTIME and UTC at one moment.
    fn kernel(&self) -> KernelTime;
    /// The battery clock, if there is one.
    fn rtc(&self) -> Option<RtcTime>;
}

/// The machine this runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl ClockSource for Machine {
    fn kernel(&self) -> KernelTime {
        let (max_error_us, leap) = kernel_sync();
        let (mono, utc_us) = both_clocks();
        KernelTime { mono, utc_us, max_error_us, leap }
    }

    fn rtc(&self) -> Option<RtcTime> {
        read_rtc(Path::new("/sys/class/rtc/rtc0"))
    }
}

/// What is known about the time, for health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockFigures {
    /// Now.
    pub reading: Reading,
    /// Milliseconds by which the kernel's UTC is ahead of the estimate; `None`
    /// while the estimate is none.
    pub kernel_ahead_ms: Option<i64>,
    /// Seconds since something last vouched for the time.
    pub vouched_s: Option<u64>,
    /// How often a time that was vouched for turned out to be wrong.
    pub steps: u64,
}

/// The unit's estimate of UTC, fed by the kernel's clocks at each use. Clones
/// share one estimate. A reading costs four system calls without side effects.
#[derive(Clone)]
pub struct SystemClock {
    boot: u32,
    source: Arc<dyn ClockSource>,
    keeper: Arc<Mutex<Timekeeper>>,
}

impl std::fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemClock").field("boot", &self.boot).finish_non_exhaustive()
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl SystemClock {
    /// The machine's; knows nothing but what the kernel says yet.
    pub fn new() -> SystemClock {
        SystemClock::with(Arc::new(Machine), boot_id())
    }

    /// With readings from elsewhere.
    pub fn with(source: Arc<dyn ClockSource>, boot: u32) -> SystemClock {
        let keeper = Arc::new(Mutex::new(Timekeeper::new(boot, program_made())));
        SystemClock { boot, source, keeper }
    }

    fn keeper(&self) -> MutexGuard<'_, Timekeeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the kernel's clocks and takes them in.
    fn observed(&self) -> (Mono, MutexGuard<'_, Timekeeper>, Option<Change>) {
        let mut keeper = self.keeper();
        // Under the lock: readings are taken in in their order.
        let kernel = self.source.kernel();
        let change = keeper.kernel(kernel);
        (kernel.mono, keeper, change)
    }

    fn reading(&self, mono: Mono, keeper: &Timekeeper) -> Reading {
        let estimate = keeper.estimate(mono);
        Reading {
            mono,
            utc: keeper.utc(mono),
            source: estimate.source,
            uncertainty_ms: estimate.bound_us.map(bound_ms),
            boot: self.boot,
        }
    }

    /// CLOCK_BOOTTIME and UTC now.
    pub fn read(&self) -> Reading {
        let (mono, keeper, _) = self.observed();
        self.reading(mono, &keeper)
    }

    /// The stamp of this moment.
    pub fn now(&self) -> Stamp {
        let reading = self.read();
        reading.stamp(reading.mono)
    }

    /// Goes on from what an earlier run left in the journal; before the first
    /// reading.
    pub fn resume(&self, saved: &SavedClock) {
        let mut keeper = self.keeper();
        let now = self.source.kernel().mono;
        keeper.resume(saved, now);
    }

    /// What the journal keeps.
    pub fn saved(&self) -> SavedClock {
        let (mono, keeper, _) = self.observed();
        keeper.saved(mono)
    }

    /// Looks at the kernel and at the battery clock; says what that changed.
    pub fn poll(&self) -> Option<Change> {
        let rtc = self.source.rtc();
        let (_, mut keeper, change) = self.observed();
        change.or(rtc.and_then(|rtc| keeper.rtc(rtc)))
    }

    /// A satellite receiver gave a time.
    pub fn gps(&self, fix: GpsTime) -> Option<Change> {
        self.keeper().gps(fix)
    }

    /// The estimate and its version ([`Timekeeper::version`]) at one moment.
    pub fn estimate(&self) -> (Mono, Estimate, u64) {
        let (mono, keeper, _) = self.observed();
        (mono, keeper.estimate(mono), keeper.version())
    }

    /// Whether something vouches for the time, within known bounds.
    pub fn is_right(&self) -> bool {
        self.estimate().1.bound_us.is_some()
    }

    /// UTC − CLOCK_BOOTTIME in microseconds is proven to be at least this.
    pub fn floor_us(&self) -> Option<i64> {
        self.keeper().floor_us()
    }

    /// The unit's own running time: what the age of everything is counted in.
    pub fn running(&self) -> RunningMs {
        let (mono, keeper, _) = self.observed();
        keeper.running(mono)
    }

    /// Goes on with a running time that a damaged journal had noted.
    pub fn resume_running(&self, was: RunningMs) {
        let mut keeper = self.keeper();
        let now = self.source.kernel().mono;
        keeper.resume_running(was, now);
    }

    /// The time by which certificates are judged ([`Timekeeper::utc_for_certificates`]).
    pub fn utc_for_certificates(&self) -> UtcMillis {
        let (mono, keeper, _) = self.observed();
        keeper.utc_for_certificates(mono)
    }

    /// [`Timekeeper::may_be_over`], now.
    pub fn may_be_over(&self, t: UtcMillis) -> bool {
        let (mono, keeper, _) = self.observed();
        keeper.may_be_over(t, mono)
    }

    /// A certificate was verified that is valid from `t` on.
    pub fn certificate_from(&self, t: UtcMillis) {
        let (mono, mut keeper, _) = self.observed();
        keeper.certificate_from(t, mono);
    }

    /// All of it, for health.
    pub fn figures(&self) -> ClockFigures {
        let (mono, keeper, _) = self.observed();
        let right = keeper.estimate(mono).bound_us.is_some();
        ClockFigures {
            reading: self.reading(mono, &keeper),
            kernel_ahead_ms: keeper.kernel_off_us(mono).filter(|_| right).map(|off| off / 1_000),
            vouched_s: keeper.vouched_at().map(|at| mono.since(at).as_secs()),
            steps: keeper.steps(),
        }
    }
}

/// Microseconds as the milliseconds that `tu` is written with, rounded up.
pub fn bound_ms(bound_us: i64) -> u32 {
    u32::try_from((bound_us.max(0).saturating_add(999) / 1_000).max(1)).unwrap_or(u32::MAX)
}

/// When this program was made, UTC: midnight of the day before, because builders' clocks
/// are not exact either.
pub fn program_made() -> UtcMillis {
    let seconds: i64 = env!("TAWNY_MADE_S").parse().unwrap_or(0);
    UtcMillis((seconds.div_euclid(86_400) - 1).max(0) * 86_400_000)
}

/// CLOCK_BOOTTIME: grows through suspend, never jumps.
pub fn boot_time_now() -> Mono {
    Mono::from_micros(u64::try_from(micros(ClockId::Boottime)).unwrap_or(0))
}

fn micros(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec.saturating_mul(1_000_000).saturating_add(t.tv_nsec / 1_000)
}

/// The kernel's UTC, µs. By way of std, hence of libc, so that tests can step it
/// for one process; rustix reads the kernel's clocks past libc.
fn utc_micros() -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    SystemTime::now().duration_since(UNIX_EPOCH).map_or_else(|before| -micros(before.duration()), micros)
}

/// CLOCK_BOOTTIME and UTC (µs) at one moment, as nearly as can be.
fn both_clocks() -> (Mono, i64) {
    let mut best = (i64::MAX, Mono::ZERO, 0);
    for _ in 0..3 {
        let before = micros(ClockId::Boottime);
        let utc = utc_micros();
        let took = micros(ClockId::Boottime).saturating_sub(before);
        if took < best.0 {
            let middle = before.saturating_add(took / 2);
            best = (took, Mono::from_micros(u64::try_from(middle).unwrap_or(0)), utc);
        }
        if took <= READING_TAKES_US {
            break;
        }
    }
    (best.1, best.2)
}

/// The kernel's UTC.
pub fn utc_now() -> UtcMillis {
    UtcMillis(utc_micros().div_euclid(1_000))
}

/// The first 32 bits of the kernel's boot id; 0 where there is none.
pub fn boot_id() -> u32 {
    static BOOT_ID: OnceLock<u32> = OnceLock::new();
    *BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
    })
}

/// The kernel's maximum error if it calls its clock synchronised, and whether a
/// leap second is being dealt with.
fn kernel_sync() -> (Option<i64>, bool) {
    // SAFETY: `timex` is plain integers, for which all zero bytes are valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is a valid, exclusively borrowed struct; modes = 0 only reads.
    let state = unsafe { libc::adjtimex(&mut timex) };
    judge_sync(state, timex.status, timex.maxerror)
}

/// What an answer of adjtimex(2) is worth.
fn judge_sync(state: i32, status: i32, max_error_us: i64) -> (Option<i64>, bool) {
    let leap = matches!(state, libc::TIME_INS | libc::TIME_DEL | libc::TIME_OOP | libc::TIME_WAIT);
    let synchronised = (0..libc::TIME_ERROR).contains(&state) && status & libc::STA_UNSYNC == 0;
    (synchronised.then(|| max_error_us.clamp(0, MAX_ERROR_US)), leap)
}

/// What `/sys/class/rtc/rtcN` says.
fn read_rtc(folder: &Path) -> Option<RtcTime> {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let seconds: i64 = text("since_epoch")?.trim().parse().ok()?;
    Some(RtcTime {
        mono: boot_time_now(),
        utc_us: seconds.checked_mul(1_000_000)?,
        set_kernel: text("hctosys").is_some_and(|flag| flag.trim() == "1"),
    })
}

/// The name of a source in sentences for people.
pub fn source_name(source: TimeSource) -> &'static str {
    match source {
        TimeSource::Gps => "satellites",
        TimeSource::Ntp => "the network (NTP)",
        TimeSource::Rtc => "the battery clock",
        TimeSource::None => "nothing",
        TimeSource::File => "the recording",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_unsynchronised_kernel_vouches_for_nothing() {
        assert_eq!(judge_sync(libc::TIME_ERROR, 0, 5), (None, false));
        assert_eq!(judge_sync(0, libc::STA_UNSYNC, 5), (None, false));
        assert_eq!(judge_sync(-1, 0, 5), (None, false));
    }

    #[test]
    fn a_synchronised_kernel_gives_its_maximum_error() {
        assert_eq!(judge_sync(0, 0, 12_345), (Some(12_345), false));
        assert_eq!(judge_sync(libc::TIME_INS, 0, i64::MAX), (Some(MAX_ERROR_US), true));
        assert_eq!((bound_ms(0), bound_ms(12_345), bound_ms(i64::MAX)), (1, 13, u32::MAX));
    }

    #[test]
    fn the_machine_has_a_boot_id_and_its_time_goes_on() {
        let before = boot_time_now();
        let clock = SystemClock::new();
        let stamp = clock.now();
        assert!(stamp.mono_ms >= before.as_millis());
        assert_eq!(stamp.boot, boot_id());
        assert!(stamp.t >= program_made() && clock.utc_for_certificates() >= program_made());
        assert!(program_made() > UtcMillis::parse("2026-01-01T00:00:00Z").unwrap());
    }

    #[test]
    fn a_battery_clock_is_read_from_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_rtc(dir.path()), None);
        std::fs::write(dir.path().join("since_epoch"), "1767312000\n").unwrap();
        assert_eq!(read_rtc(dir.path()).map(|r| (r.utc_us, r.set_kernel)), Some((1_767_312_000_000_000, false)));
        std::fs::write(dir.path().join("hctosys"), "1\n").unwrap();
        assert!(read_rtc(dir.path()).unwrap().set_kernel);
        std::fs::write(dir.path().join("since_epoch"), "9223372036854775807\n").unwrap();
        assert_eq!(read_rtc(dir.path()), None);
    }
}
