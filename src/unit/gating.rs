//! A camera's gated decoder, made from the configuration.

use crate::capture::{CaptureError, GateSettings, GatedDecoder, RingBounds, StreamInfo};
use crate::config::{CameraConfig, Config, GateChoice};

/// How the streams of one camera are gated.
#[derive(Debug, Clone)]
pub struct Gating {
    settings: GateSettings,
    bounds: RingBounds,
    threads: u16,
}

impl Gating {
    /// For `camera`.
    pub fn new(config: &Config, camera: &CameraConfig) -> Gating {
        Gating {
            settings: GateSettings {
                enabled: camera.gate == GateChoice::Auto,
                idle_interval: config.detector.idle_interval.0,
            },
            bounds: RingBounds {
                span: config.capture.ring_time.0,
                bytes: usize::try_from(config.capture.ring_size.0).unwrap_or(usize::MAX),
            },
            threads: config.unit.decode_threads(),
        }
    }

    /// A decoder for a stream that has just been opened.
    ///
    /// # Errors
    /// When there is no decoder for it.
    pub fn decoder(&self, info: &StreamInfo) -> Result<GatedDecoder, CaptureError> {
        GatedDecoder::open(info, self.threads, &self.settings, self.bounds)
    }
}
