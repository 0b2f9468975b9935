//! What can go wrong between a camera and its pictures.

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source does not open: no such file, refused, not a video.
    #[error("cannot open {what}: {why}")]
    Open {
        /// The source, without passwords.
        what: String,
        /// libav's or the system's reason.
        why: String,
    },
    /// The source opens but holds no video.
    #[error("{what} holds no video stream")]
    NoVideo {
        /// The source, without passwords.
        what: String,
    },
    /// Nothing came for too long.
    #[error("no data for {seconds} s")]
    Stalled {
        /// How long was waited.
        seconds: u64,
    },
    /// It gave data and then an error.
    #[error("reading failed: {0}")]
    Read(String),
    /// There is no decoder, or it does not start.
    #[error("no decoder for this stream: {0}")]
    Decoder(String),
    /// Pictures in a form that cannot be read.
    #[error("pictures in a form that cannot be read: {0}")]
    PixelFormat(String),
    /// Somebody asked for it to stop.
    #[error("stopped")]
    Stopped,
}
