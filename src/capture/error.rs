//! What can go wrong between a camera and its pictures.

use crate::config::SourceLabel;

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source does not open: no such file, refused, not a video.
    #[error("cannot open the source ({what}): {why}")]
    Open {
        /// What may be said of the source.
        what: SourceLabel,
        /// libav's or the system's reason.
        why: String,
    },
    /// The source opens but holds no video.
    #[error("the source ({what}) holds no video stream")]
    NoVideo {
        /// What may be said of the source.
        what: SourceLabel,
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
