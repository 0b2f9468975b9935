//! A clip on the disk: fragmented MP4, each fragment on the disk before the next
//! one begins.
//!
//! The header (`moov`) comes first and promises nothing; every fragment (`moof`
//! and `mdat`, ISO/IEC 14496-12) says itself what is in it. So a file that ends
//! anywhere plays up to its last whole fragment, whatever ended it. Packets are
//! copied as they came from the camera; nothing is encoded.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ffmpeg_next as ffmpeg;

use ffmpeg::format::context::{Output, StreamIo};
use ffmpeg::rescale::Rescale;
use sha2::{Digest, Sha256};

use super::clip_pace::ClipPace;
use super::shelf::{above, make_folder, new_file, sync_folder};
use crate::domain::{Mono, UtcMillis, to_hex};

const MICROSECONDS: ffmpeg::Rational = ffmpeg::Rational(1, 1_000_000);

/// A fragment is closed when it is this long: what a power cut costs at most.
const FRAGMENT_US: &str = "1000000";

/// Why a clip cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The file system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// This codec does not go into an MP4 file, or a packet is damaged.
    #[error("FFmpeg: {0}")]
    Muxer(#[from] ffmpeg::Error),
}

/// What a stream is, as its packets need it.
#[derive(Clone)]
pub struct ClipStream {
    /// Codec, size, extra data.
    pub parameters: ffmpeg::codec::Parameters,
    /// Unit of the packets' time stamps.
    pub time_base: ffmpeg::Rational,
}

/// A packet, and when it arrived (CLOCK_BOOTTIME) or its place on a recording's time
/// line.
pub struct TimedPacket {
    /// With stamps as the stream has them.
    pub packet: ffmpeg::Packet,
    /// Arrival.
    pub at: Mono,
}

/// What the muxer writes to: counts, and sums up for the checksum.
#[derive(Debug)]
struct Sink {
    file: File,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    bytes: u64,
    synced: u64,
    sum: Sha256,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write_all(data)?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.bytes += data.len() as u64;
        written.sum.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clip that is being written.
pub struct ClipFile {
    output: Output,
    file: File,
    written: Arc<Mutex<Written>>,
    time_base: ffmpeg::Rational,
    pace: ClipPace,
    last_dts: i64,
}

impl ClipFile {
    /// Makes the file (0600) and writes its header; `taken` is when its first
    /// picture was taken.
    ///
    /// # Errors
    /// When the disk or the muxer refuses; an empty file may be left.
    pub fn begin(path: &Path, stream: &ClipStream, taken: UtcMillis) -> Result<ClipFile, ClipError> {
        make_folder(above(path))?;
        let file = new_file(path)?;
        let written = Arc::<Mutex<Written>>::default();
        let sink = Sink { file: file.try_clone()?, written: Arc::clone(&written) };
        let mut output = ffmpeg::format::output_to_stream(StreamIo::from_write(sink)?, None, Some("mp4"))?;
        let mut track = output.add_stream(ffmpeg::encoder::find(ffmpeg::codec::Id::None))?;
        track.set_parameters(stream.parameters.clone());
        track.set_time_base(stream.time_base);
        // The tag is the source container's; this one has its own.
        // SAFETY: the parameters belong to the stream just made, which outlives the
        // pointer's use here.
        unsafe { (*(*track.as_mut_ptr()).codecpar).codec_tag = 0 };
        let mut about = ffmpeg::Dictionary::new();
        about.set("creation_time", &taken.to_string());
        output.set_metadata(about);
        let mut options = ffmpeg::Dictionary::new();
        options.set("movflags", "empty_moov+default_base_moof");
        options.set("frag_duration", FRAGMENT_US);
        // Each fragment reaches the file when it is complete; no program's name in it.
        options.set("flush_packets", "1");
        options.set("fflags", "bitexact");
        drop(output.write_header_with(options)?);
        let time_base = output.stream(0).map_or(stream.time_base, |track| track.time_base());
        let mut clip = ClipFile { output, file, written, time_base, pace: ClipPace::default(), last_dts: -1 };
        clip.sync()?;
        sync_folder(above(path))?;
        Ok(clip)
    }

    /// Appends a packet with stamps in `time_base` that arrived at `at`.
    ///
    /// # Errors
    /// When the disk or the muxer refuses; what was written before stays playable.
    pub fn packet(&mut self, packet: TimedPacket, time_base: ffmpeg::Rational) -> Result<(), ClipError> {
        let TimedPacket { mut packet, at } = packet;
        let own = |stamp: i64| stamp.rescale(time_base, MICROSECONDS);
        let placed = self.pace.place(packet.dts().map(own), packet.pts().map(own), at);
        // Coarser units must not make two times one.
        let dts = placed.dts_us.rescale(MICROSECONDS, self.time_base).max(self.last_dts.saturating_add(1));
        self.last_dts = dts;
        packet.set_dts(Some(dts));
        packet.set_pts(Some(placed.pts_us.rescale(MICROSECONDS, self.time_base).max(dts)));
        // It tells the length of the last picture alone; an absurd one would be the clip's.
        let lasts = Some(packet.duration().rescale(time_base, self.time_base));
        let second = 1_000_000.rescale(MICROSECONDS, self.time_base);
        packet.set_duration(lasts.filter(|units| (0..=second).contains(units)).unwrap_or(0));
        packet.set_stream(0);
        packet.set_position(-1);
        packet.write(&mut self.output)?;
        Ok(self.sync()?)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Writes what is missing; gives the size and the SHA-256 of the file.
    ///
    /// # Errors
    /// As above.
    pub fn finish(mut self) -> Result<(u64, String), ClipError> {
        self.output.write_trailer()?;
        self.sync()?;
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((written.bytes, to_hex(&written.sum.clone().finalize())))
    }

    /// To the disk with what a fragment added.
    fn sync(&mut self) -> io::Result<()> {
        let bytes = self.bytes();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > written.synced {
            self.file.sync_data()?;
            written.synced = bytes;
        }
        Ok(())
    }
}
