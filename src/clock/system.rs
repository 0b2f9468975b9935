//! The thin part: reading the machine's clocks.

use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

use super::reading::Reading;
use crate::domain::{Mono, UtcMillis};
use crate::event::{Stamp, TimeSource};

/// The kernel's limit (NTP_PHASE_LIMIT): with a greater error it calls its
/// clock unsynchronised, so a greater figure can only be a slip.
const MAX_ERROR_US: i64 = 16_000_000;

/// The kernel's clocks. Costs three system calls without side effects a reading.
#[derive(Debug, Clone)]
pub struct SystemClock {
    boot: u32,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl SystemClock {
    /// Remembers the boot id.
    pub fn new() -> SystemClock {
        SystemClock { boot: boot_id() }
    }

    /// Both clocks now.
    pub fn read(&self) -> Reading {
        let (source, uncertainty_ms) = kernel_sync();
        Reading { mono: boot_time_now(), utc: utc_now(), source, uncertainty_ms, boot: self.boot }
    }

    /// The stamp of this moment.
    pub fn now(&self) -> Stamp {
        let reading = self.read();
        reading.stamp(reading.mono)
    }
}

/// CLOCK_BOOTTIME: grows through suspend, never jumps.
pub fn boot_time_now() -> Mono {
    let t = clock_gettime(ClockId::Boottime);
    let micros = i128::from(t.tv_sec) * 1_000_000 + i128::from(t.tv_nsec) / 1_000;
    Mono::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The kernel's UTC.
pub fn utc_now() -> UtcMillis {
    let t = clock_gettime(ClockId::Realtime);
    UtcMillis(t.tv_sec.saturating_mul(1_000).saturating_add(t.tv_nsec / 1_000_000))
}

/// The first 32 bits of the kernel's boot id; 0 where there is none.
pub fn boot_id() -> u32 {
    static BOOT_ID: OnceLock<u32> = OnceLock::new();
    *BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
    })
}

/// Whether the kernel calls its clock synchronised, and its maximum error.
fn kernel_sync() -> (TimeSource, Option<u32>) {
    // SAFETY: `timex` is plain integers, for which all zero bytes are valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is a valid, exclusively borrowed struct; modes = 0 only reads.
    let state = unsafe { libc::adjtimex(&mut timex) };
    judge_sync(state, timex.status, timex.maxerror)
}

/// What an answer of adjtimex(2) is worth.
fn judge_sync(state: i32, status: i32, max_error_us: i64) -> (TimeSource, Option<u32>) {
    let synchronised = (0..libc::TIME_ERROR).contains(&state) && status & libc::STA_UNSYNC == 0;
    if !synchronised {
        return (TimeSource::None, None);
    }
    // Never claim better than the millisecond that `t` is written with.
    let ms = ((max_error_us.clamp(0, MAX_ERROR_US) + 999) / 1_000).max(1);
    (TimeSource::Ntp, u32::try_from(ms).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsynchronised_kernel_vouches_for_nothing() {
        assert_eq!(judge_sync(libc::TIME_ERROR, 0, 5), (TimeSource::None, None));
        assert_eq!(judge_sync(0, libc::STA_UNSYNC, 5), (TimeSource::None, None));
        assert_eq!(judge_sync(-1, 0, 5), (TimeSource::None, None));
    }

    #[test]
    fn a_synchronised_kernel_gives_its_maximum_error() {
        assert_eq!(judge_sync(0, 0, 12_345), (TimeSource::Ntp, Some(13)));
        assert_eq!(judge_sync(0, 0, 0), (TimeSource::Ntp, Some(1)));
        assert_eq!(judge_sync(0, 0, i64::MAX), (TimeSource::Ntp, Some(16_000)));
    }

    #[test]
    fn the_machine_has_a_boot_id_and_its_time_goes_on() {
        let before = boot_time_now();
        let stamp = SystemClock::new().now();
        assert!(stamp.mono_ms >= before.as_millis());
        assert_eq!(stamp.boot, boot_id());
        assert!(stamp.t > UtcMillis(0));
    }
}
