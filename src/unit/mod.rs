//! The assembly: threads, channels, start and stop.
