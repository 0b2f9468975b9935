//! Keeps the allocator from holding more memory than the daemon needs.
//!
//! glibc gives each thread an arena of its own, which keeps what the thread
//! once used; and what loading a model took stays in the heap. Both together
//! are a tenth of the daemon's memory. Other C libraries need nothing of this.

/// One arena for all threads: they allocate little and seldom at the same time.
/// To be called before the first thread starts.
pub fn one_arena() {
    // SAFETY: mallopt takes two numbers and is thread-safe; it only refuses.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives what is free back to the system, for example after loading a model.
pub fn give_back() {
    // SAFETY: malloc_trim takes a number and is thread-safe.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
