//! Packets in, frames out. One thread unless more are asked for: frame
//! threading delays every picture by a frame for each thread beyond the first.

use std::sync::Arc;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::discard::Discard;

use super::error::CaptureError;
use super::frame::Frame;
use super::input::StreamInfo;
use super::picture::Rotation;
use super::room::{MostPixels, Room, confine};
use super::told_size::told_size;
use super::units;

/// A decoder for one stream.
pub struct Decoder {
    decoder: ffmpeg::decoder::Video,
    /// Behind the decoder, which refers to it: fields are dropped in order.
    room: Arc<Room>,
    parameters: ffmpeg::codec::Parameters,
    /// The size that was refused, if nothing has been decoded since.
    refused: Option<(u32, u32)>,
    rotation: Rotation,
    /// Packets that could not be decoded, and pictures that came out damaged,
    /// since the beginning.
    pub damaged: u64,
}

impl Decoder {
    /// A decoder for the stream that `info` describes.
    ///
    /// # Errors
    /// When this FFmpeg has no decoder for it or the decoder refuses.
    pub fn open(info: &StreamInfo) -> Result<Decoder, CaptureError> {
        Decoder::with_threads(info, 1)
    }

    /// The same with `threads` threads, at least one.
    ///
    /// # Errors
    /// The same.
    pub fn with_threads(info: &StreamInfo, threads: u16) -> Result<Decoder, CaptureError> {
        let fail = |e: ffmpeg::Error| CaptureError::Decoder(e.to_string());
        let mut context = ffmpeg::codec::context::Context::from_parameters(info.parameters.clone()).map_err(fail)?;
        let count = usize::from(threads.max(1));
        context.set_threading(ffmpeg::codec::threading::Config {
            kind: ffmpeg::codec::threading::Type::Frame,
            count,
            ..Default::default()
        });
        let room = Arc::new(Room::new(threads));
        confine(&mut context, &room);
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(info.time_base);
        let (decoder, parameters) = (decoder.video().map_err(fail)?, info.parameters.clone());
        Ok(Decoder { decoder, room, parameters, refused: None, rotation: info.rotation, damaged: 0 })
    }

    /// Why its last pictures are not decoded, if it is for their size. Damage may
    /// make them look so for a moment.
    pub fn too_large(&self) -> Option<String> {
        self.refused.map(|(width, height)| self.most_pixels().why(width, height))
    }

    fn most_pixels(&self) -> MostPixels {
        MostPixels::of(self.parameters.id())
    }

    /// Why some pictures are not decoded, if it is because too many have to be kept.
    pub fn too_many(&self) -> Option<String> {
        self.room.refusal()
    }

    /// Hands over a packet. A packet that cannot be decoded is counted and
    /// otherwise ignored: cameras and links damage some, and the next
    /// keyframe mends it.
    ///
    /// Its picture comes out with `number`: time stamps cannot be relied on to tell
    /// pictures apart.
    pub fn send(&mut self, packet: &mut ffmpeg::Packet, number: u64) {
        // Empty packets mean "end" to libav; some demuxers pass them on.
        if packet.size() == 0 {
            return;
        }
        if packet.data().is_some_and(|data| units::are_too_many(self.parameters.id(), data)) {
            self.damaged += 1;
            return;
        }
        let stamp = packet.pts();
        packet.set_pts(i64::try_from(number).ok());
        if self.decoder.send_packet(packet).is_err() {
            self.damaged += 1;
            let told = packet.data().and_then(|data| told_size(&self.parameters, data));
            // Most packets do not tell.
            let most = self.most_pixels();
            self.refused = told.filter(|(width, height)| most.is_exceeded(*width, *height)).or(self.refused);
        }
        packet.set_pts(stamp);
    }

    /// No more packets: the frames still inside come out now.
    pub fn send_end(&mut self) {
        // It fails only when it was called before.
        let _ = self.decoder.send_eof();
    }

    /// Forgets everything that went in: the next packet is a keyframe from
    /// elsewhere in the stream, or the first one after [`Decoder::send_end`].
    pub fn flush(&mut self) {
        self.decoder.flush();
    }

    /// From the next packet on: whether to decode only what other pictures
    /// refer to.
    pub fn skip_disposable(&mut self, skip: bool) {
        self.decoder.skip_frame(if skip { Discard::NonReference } else { Discard::Default });
    }

    /// The next finished frame into `frame` and the number of its packet, if the
    /// decoder kept it. `None` when more packets are needed.
    pub fn receive(&mut self, frame: &mut Frame) -> Option<Option<u64>> {
        loop {
            match self.decoder.receive_frame(frame.video_mut()) {
                Ok(()) => {
                    self.damaged += u64::from(frame.is_damaged());
                    self.refused = None;
                    frame.rotation = self.rotation;
                    return Some(frame.number());
                }
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::util::error::EAGAIN => return None,
                Err(ffmpeg::Error::Eof) => return None,
                Err(_) => self.damaged += 1,
            }
        }
    }
}
