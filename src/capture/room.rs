//! How much memory pictures may take while they are decoded.
//!
//! A stream says itself how large its pictures are and how many of them the
//! decoder has to keep (16 in H.264 and HEVC), and libav believes it. So every
//! picture that a decoder asks memory for is counted, and what would exceed the
//! room is refused: the decoder then fails as it does on damage.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ffmpeg_next as ffmpeg;

use ffmpeg::ffi;

/// The largest picture: that of a 12-megapixel camera. 4K has 8.3 million pixels.
const MOST_PIXELS: (u32, u32) = (4096, 3072);
/// The largest of AV1, whose decoder keeps nine pictures and has memory of its own:
/// 4K.
const MOST_PIXELS_OF_AV1: (u32, u32) = (4096, 2176);
/// All pictures of one decoder together: ten of 4K, eight bits deep.
const MOST_BYTES: usize = 128 << 20;
/// For each decoding thread beyond the first, which keeps one more.
const BYTES_OF_A_THREAD: usize = 24 << 20;

/// How many pixels pictures of a codec may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MostPixels(u32, u32);

impl MostPixels {
    pub fn of(codec: ffmpeg::codec::Id) -> MostPixels {
        let (width, height) = if codec == ffmpeg::codec::Id::AV1 { MOST_PIXELS_OF_AV1 } else { MOST_PIXELS };
        MostPixels(width, height)
    }

    /// The number.
    pub fn count(self) -> u64 {
        u64::from(self.0) * u64::from(self.1)
    }

    /// Whether a picture has more.
    pub fn is_exceeded(self, width: u32, height: u32) -> bool {
        u64::from(width) * u64::from(height) > self.count()
    }

    /// Why pictures of this size are refused, in plain words.
    pub fn why(self, width: u32, height: u32) -> String {
        let MostPixels(most_width, most_height) = self;
        format!(
            "pictures of {width}x{height} are larger than {most_width}x{most_height}; set the camera to a smaller size"
        )
    }
}

/// Bytes of the pictures of all decoders.
static OF_ALL: AtomicUsize = AtomicUsize::new(0);

/// What the pictures of all decoders take.
pub(super) fn of_all_pictures() -> usize {
    OF_ALL.load(Ordering::Relaxed)
}

/// The room of one decoder.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    used: AtomicUsize,
    /// Width and height of the last picture that was refused.
    refused: AtomicU64,
}

impl Room {
    /// For a decoder of so many threads.
    pub fn new(threads: u16) -> Room {
        let more = usize::from(threads.saturating_sub(1)) * BYTES_OF_A_THREAD;
        Room { most: MOST_BYTES + more, used: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    /// Why a picture was refused, if one was.
    pub fn refusal(&self) -> Option<String> {
        let size = self.refused.load(Ordering::Relaxed);
        let (width, height) = (size >> 32, size & 0xffff_ffff);
        (size != 0).then(|| {
            format!(
                "it keeps so many pictures of {width}x{height} that they take more than {} MB; set the camera to a smaller \
                 size or fewer reference pictures",
                self.most >> 20
            )
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most);
        let fits = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok();
        if fits {
            OF_ALL.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        OF_ALL.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Makes the decoder that `context` will become take its pictures from `room`,
/// which has to live as long as the context.
pub(super) fn confine(context: &mut ffmpeg::codec::context::Context, room: &Arc<Room>) {
    // SAFETY: the context is allocated and not yet open; `opaque` is the user's
    // own, and the caller keeps the room for longer than the context.
    unsafe {
        let context = context.as_mut_ptr();
        let most = MostPixels::of((*context).codec_id.into());
        (*context).max_pixels = i64::try_from(most.count()).unwrap_or(i64::MAX);
        (*context).opaque = Arc::as_ptr(room).cast_mut().cast();
        (*context).get_buffer2 = Some(get_buffer);
    }
}

/// One picture's memory, for as long as anybody refers to it.
struct Lent {
    buffer: *mut ffi::AVBufferRef,
    bytes: usize,
    room: Arc<Room>,
}

/// What libav calls for each picture, on any of the decoder's threads.
unsafe extern "C" fn get_buffer(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    // SAFETY: libav calls it with a context that `confine` prepared, so that
    // `opaque` is an `Arc`'s pointer whose owner lives (the count is raised
    // before it is shared), and with a frame that is filled here by libav's own
    // function. On failure the buffers are let go, as libav does itself.
    unsafe {
        let room: *const Room = (*context).opaque.cast_const().cast();
        if room.is_null() {
            return ffi::AVERROR(ffi::EINVAL);
        }
        let result = ffi::avcodec_default_get_buffer2(context, frame, flags);
        if result < 0 {
            return result;
        }
        Arc::increment_strong_count(room);
        let room = Arc::from_raw(room);
        let buffers = &mut (*frame).buf;
        let bytes = buffers.iter().filter_map(|buffer| buffer.as_ref()).map(|buffer| buffer.size).sum();
        let [first, ..] = buffers;
        if room.take(bytes) {
            let Some(original) = first.as_ref() else { return ffi::AVERROR(ffi::ENOMEM) };
            let (data, size) = (original.data, original.size);
            let lent = Box::into_raw(Box::new(Lent { buffer: *first, bytes, room }));
            let wrapped = ffi::av_buffer_create(data, size, Some(give_back), lent.cast(), 0);
            if !wrapped.is_null() {
                *first = wrapped;
                return 0;
            }
            let lent = Box::from_raw(lent);
            lent.room.give_back(lent.bytes);
        } else {
            let side = |length: c_int| u64::from(u32::try_from(length).unwrap_or(0));
            room.refused.store(side((*frame).width) << 32 | side((*frame).height), Ordering::Relaxed);
        }
        buffers.iter_mut().for_each(|buffer| ffi::av_buffer_unref(buffer));
        (*frame).data = [ptr::null_mut(); 8];
        ffi::AVERROR(ffi::ENOMEM)
    }
}

/// Nobody refers to the picture any more.
unsafe extern "C" fn give_back(lent: *mut c_void, _data: *mut u8) {
    // SAFETY: `get_buffer` made it from a box, and libav calls this once.
    let mut lent = unsafe { Box::from_raw(lent.cast::<Lent>()) };
    // SAFETY: the reference is this value's own.
    unsafe { ffi::av_buffer_unref(&raw mut lent.buffer) };
    lent.room.give_back(lent.bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ten_pictures_of_4k_fit_and_none_of_8k_does() {
        let most = MostPixels::of(ffmpeg::codec::Id::H264);
        assert!([(3840, 2160), (4000, 3000), (2160, 3840)].iter().all(|(w, h)| !most.is_exceeded(*w, *h)));
        assert!(most.is_exceeded(7680, 4320) && most.is_exceeded(u32::MAX, u32::MAX));
        let of_av1 = MostPixels::of(ffmpeg::codec::Id::AV1);
        assert!(!of_av1.is_exceeded(3840, 2160) && of_av1.is_exceeded(4000, 3000));
        let room = Room::new(1);
        let of_4k = 3840 * 2160 * 3 / 2;
        assert!((0..10).all(|_| room.take(of_4k)));
        assert!(!room.take(of_4k) && !room.take(usize::MAX));
        room.give_back(of_4k);
        assert!(room.take(of_4k));
        // Each thread more may keep one more.
        let of_two = Room::new(2);
        assert!((0..11).all(|_| of_two.take(of_4k)));
    }
}
