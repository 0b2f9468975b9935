//! How much memory loading and trying out a model may take. A file of a few hundred
//! bytes can ask for any amount, by a constant that is unfolded while it is loaded; a
//! unit must then say so and not be killed for it.
//!
//! For that time the process's own limit (`RLIMIT_DATA`) is lowered: an allocation
//! beyond it fails, and ONNX Runtime says so.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a detector takes besides its weights: buffers of a large input.
const BUFFERS: u64 = 1 << 30;

/// Copies of the weights while it is loaded: as read, as stored, as the kernels want
/// them, and what optimising makes in between.
const COPIES: u64 = 6;

/// A little is always allowed, whatever seems to be free.
const LEAST: u64 = 256 << 20;

/// While it exists, the process's memory is limited. One at a time.
#[derive(Debug)]
pub struct Room {
    mib: u64,
    before: Option<Rlimit>,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl Room {
    /// For a model of `size` bytes.
    pub fn for_model(size: u64) -> Room {
        static ONE: Mutex<()> = Mutex::new(());
        let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let wanted = allowed(size, kilobytes(&read("/proc/meminfo"), "MemAvailable:"));
        let before = getrlimit(Resource::Data);
        let in_use = kilobytes(&read("/proc/self/status"), "VmData:");
        let before = in_use.and_then(|in_use| {
            let limit = in_use.saturating_add(wanted);
            let limit = before.maximum.map_or(limit, |most| most.min(limit));
            // A stricter one of the system's stands.
            let current = before.current.map_or(limit, |now| now.min(limit));
            let lower = Rlimit { current: Some(current), maximum: before.maximum };
            setrlimit(Resource::Data, lower).ok().map(|()| before)
        });
        Room { mib: wanted >> 20, before, _one_at_a_time: guard }
    }

    /// The allowance in MiB.
    pub fn mib(&self) -> u64 {
        self.mib
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It only grows back to what it was.
            let _ = setrlimit(Resource::Data, Rlimit { current: before.current, maximum: before.maximum });
        }
    }
}

/// Bytes for a model of `size`, with so many free.
fn allowed(size: u64, free: Option<u64>) -> u64 {
    let enough = BUFFERS.saturating_add(size.saturating_mul(COPIES));
    let least = LEAST.saturating_add(size.saturating_mul(3));
    free.map_or(enough, |free| enough.min(free.max(least)))
}

/// The figure of a line `key … kB` of a file in /proc, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether ONNX Runtime's words say that memory was refused.
pub fn is_shortage(words: &str) -> bool {
    let words = words.to_lowercase();
    ["bad_alloc", "bad allocation", "failed to allocate memory", "length_error", "vector::_m_default_append"]
        .iter()
        .any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_take_what_is_free_and_a_gigabyte_besides_its_weights() {
        let (mib, gib) = (1 << 20, 1 << 30);
        assert_eq!(allowed(10 * mib, Some(8 * gib)), gib + 60 * mib);
        assert_eq!(allowed(10 * mib, Some(500 * mib)), 500 * mib);
        assert_eq!(allowed(10 * mib, Some(0)), 286 * mib);
        assert_eq!(allowed(u64::MAX, None), u64::MAX);
        let text = "MemTotal:       24 kB\nMemAvailable:   16 kB\n";
        assert_eq!((kilobytes(text, "MemAvailable:"), kilobytes(text, "VmData:")), (Some(16 * 1024), None));
    }
}
