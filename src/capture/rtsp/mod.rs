//! Network cameras: a relay of our own between FFmpeg and the camera.
//!
//! FFmpeg gives a password to whoever asks for it with Basic, and to the host that
//! a redirect names; it has no switch for either. So it never gets one: it connects
//! to the loopback, and what stands there connects to the camera, answers its
//! demand for a login (`login`, `exchange`) and hands everything else through
//! (`message`, `relay`).

mod dial;
mod exchange;
mod login;
mod message;
mod relay;
mod tls;

pub(super) use relay::Relay;

/// Any bytes as what a camera sends, for fuzzing.
pub(super) fn fuzz(data: &[u8]) {
    exchange::fuzz(data);
}
