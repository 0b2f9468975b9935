//! Opening an input and learning what it holds, both within bounds: in time (by
//! the interrupt), in bytes, in streams, and in the size of what is decoded on
//! the way.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next as ffmpeg;

use ffmpeg::ffi;
use ffmpeg::format::context::{Input, StreamIo};

use super::appetite::Appetite;
pub(super) use super::appetite::{PIECE, UNITS_WITHOUT_END};
use super::interrupt::Interrupt;
use super::program::ProgramOutput;
use super::room::MostPixels;
use super::throttle::Throttle;

/// Bytes of packets that may be read to learn what the streams are.
const PROBE_BYTES: u64 = 2_000_000;
/// Bytes that may be read to tell the format. With what else there is at once, a
/// program may write so much before it counts as writing something else.
const FORMAT_BYTES: u64 = 1 << 20;
/// Bytes that a program may write until its stream is open: a keyframe that
/// comes late in a good one. libav itself counts packets alone, and what is no
/// packet is kept without end.
const PROGRAM_BYTES: u64 = 12 << 20;
/// Packets of a stream that may be read to learn its codec.
const PROBE_PACKETS: u64 = 500;
/// Packets that may be read to learn the first time stamp. A live stream must
/// not wait for more.
const STAMP_PACKETS: u64 = 8;
/// Streams that a source may have: a recorder's video, sound, subtitles and data.
const MOST_STREAMS: u64 = 32;
/// Pixels that are decoded while a stream is probed, at most: 1080p. Twenty such
/// pictures may be kept then, of up to six bytes a pixel; the size of larger ones
/// is read from their parameter sets.
const PROBE_PIXELS: u64 = 1920 * 1088;
/// The largest allocation of libav, in bytes: a picture of 12 megapixels and 32
/// bits, or the index of 30 hours of video.
const MOST_AT_ONCE: usize = 64 << 20;

/// How recordings are packed. Lists that name other files (HLS, concat, DASH,
/// SDP), pictures and scripts are none.
pub(super) const RECORDINGS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,vob,mpegvideo,flv,\
     live_flv,asf,h261,h263,h264,hevc,vvc,m4v,mjpeg,mpjpeg,smjpeg,ivf,obu,av1,ogg,nut,mxf,gxf,dv,vc1,vc1test,rm,wtv,dhav,\
     ifv,ingenient,yuv4mpegpipe,cavsvideo,dirac,amv,r3d,nsv,pva,wav,mp3,aac,flac";
/// What a program may write besides.
const STREAMS_OF_PROGRAMS: &str = "rawvideo,image2pipe,jpeg_pipe,png_pipe,bmp_pipe,v210";

/// Of a program that wrote all it might and is still not understood.
pub(super) const TOO_MUCH: i32 = ffi::AVERROR(ffi::EFBIG);
/// What libav says of a format that is not on the list.
pub(super) const NOT_ON_THE_LIST: i32 = ffi::AVERROR(ffi::EINVAL);

/// Once per process: registers devices, bounds what libav may allocate at once,
/// and silences its own log, whose lines name no camera; what matters comes back
/// as errors and counters.
pub(super) fn initialise() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // It cannot fail: it only registers devices and the network layer.
        let _ = ffmpeg::init();
        ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Quiet);
        // SAFETY: it stores a number, before anything else here uses libav.
        unsafe { ffi::av_max_alloc(MOST_AT_ONCE) };
    });
}

/// Options for every input: how much may be read before it is understood.
pub(super) fn bounded(is_live: bool) -> ffmpeg::Dictionary<'static> {
    let mut options = ffmpeg::Dictionary::new();
    let mut set = |key: &str, value: u64| options.set(key, &value.to_string());
    set("probesize", PROBE_BYTES);
    set("formatprobesize", FORMAT_BYTES);
    set("max_probe_packets", PROBE_PACKETS);
    set("max_streams", MOST_STREAMS);
    if is_live {
        // Its frame rate is what arrives; learning it would take two seconds.
        set("fpsprobesize", 0);
        set("max_ts_probe", STAMP_PACKETS);
    }
    options
}

/// Why an input did not open.
pub(super) struct Failure {
    /// libav's number of the error, if it is one.
    pub code: i32,
    /// In plain words.
    pub why: String,
}

impl From<&str> for Failure {
    fn from(why: &str) -> Failure {
        Failure { code: 0, why: why.to_owned() }
    }
}

/// Opens `url` with the interrupt set first, as `format` if given.
pub(super) fn open_url(
    url: &str,
    format: Option<&CStr>,
    options: ffmpeg::Dictionary,
    is_live: bool,
    interrupt: &Interrupt,
) -> Result<Input, Failure> {
    let url = CString::new(url).map_err(|_| "the name holds a NUL character")?;
    let watcher = interrupt.clone();
    let mut throttle = is_live.then(Throttle::new);
    let appetite = Appetite::new();
    let looked_at = appetite.clone();
    // libav asks before each read.
    let callback = ffmpeg::util::interrupt::new(Box::new(move || {
        throttle.iter_mut().for_each(Throttle::rest);
        // A network camera announces nothing that unfolds, and beside it others begin.
        watcher.is_due() || (!is_live && looked_at.is_too_large())
    }));
    // SAFETY: the context is allocated here and owned by the returned Input or
    // freed by libav when opening fails; the callback's closure lives in the
    // guard, which the Input keeps until after it is closed; the options
    // dictionary is taken back whatever happens.
    unsafe {
        let format = find_format(format)?;
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err("out of memory".into());
        }
        (*context).interrupt_callback = callback.interrupt;
        let mut options = options.disown();
        let result = ffi::avformat_open_input(&raw mut context, url.as_ptr(), format, &raw mut options);
        drop(ffmpeg::Dictionary::own(options));
        let opened = check(result)
            .and_then(|()| probe(&mut context, is_live))
            .map(|()| Input::wrap_with_interrupt(context, callback.guard));
        if let Some(why) = appetite.why() {
            return Err(Failure { code: TOO_MUCH, why });
        }
        let mut input = opened?;
        appetite.over();
        read_in_pieces(&mut input, i64::from(i32::MAX));
        sizes_are_possible(&input)?;
        Ok(input)
    }
}

/// Opens a program's output as `format`; the reader itself obeys the interrupt.
pub(super) fn open_program(output: ProgramOutput, format: &str, interrupt: &Interrupt) -> Result<Input, Failure> {
    let format = CString::new(format).map_err(|_| "the format holds a NUL character")?;
    let allowance = output.allow(PROGRAM_BYTES);
    let mut io = StreamIo::from_read(output).map_err(|e| Failure::from(e.to_string().as_str()))?;
    let watcher = interrupt.clone();
    let callback = ffmpeg::util::interrupt::new(Box::new(move || watcher.is_due()));
    let mut options = bounded(true);
    options.set("format_whitelist", &format!("{RECORDINGS},{STREAMS_OF_PROGRAMS}"));
    // What it writes must not make anything else be read.
    options.set("protocol_whitelist", "none");
    // SAFETY: as in `open_url`; in addition the context reads through `io`,
    // which the returned Input owns, and on failure libav leaves a custom
    // `pb` to its owner, `io`, which is dropped here afterwards.
    let opened = unsafe {
        let format = find_format(Some(&format))?;
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err("out of memory".into());
        }
        (*context).interrupt_callback = callback.interrupt;
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        let mut options = options.disown();
        let result = ffi::avformat_open_input(&raw mut context, ptr::null(), format, &raw mut options);
        drop(ffmpeg::Dictionary::own(options));
        check(result)
            .and_then(|()| probe(&mut context, true))
            .map(|()| Input::wrap_with_custom_io_and_interrupt(context, io, callback.guard))
    };
    if let Some(why) = allowance.why() {
        return Err(Failure { code: TOO_MUCH, why });
    }
    if allowance.is_used_up() {
        let why = format!(
            "in {} MB that it wrote there is no video of this format; does 'format' say what the program writes?",
            PROGRAM_BYTES >> 20
        );
        return Err(Failure { code: TOO_MUCH, why });
    }
    let input = opened?;
    allowance.lift();
    sizes_are_possible(&input)?;
    Ok(input)
}

/// How many bytes of a file are read at once, from now on.
fn read_in_pieces(input: &mut Input, bytes: i64) {
    // SAFETY: an open input has a context for reading unless its format reads by
    // itself, with the options of what it reads below it. Others than files have no
    // such option, which is an error without consequence.
    unsafe {
        let io = (*input.as_mut_ptr()).pb;
        if !io.is_null() {
            ffi::av_opt_set_int(io.cast(), c"blocksize".as_ptr(), bytes, ffi::AV_OPT_SEARCH_CHILDREN);
        }
    }
}

fn find_format(name: Option<&CStr>) -> Result<*const ffi::AVInputFormat, Failure> {
    let Some(name) = name else { return Ok(ptr::null()) };
    // SAFETY: `name` is a NUL-terminated string; the result is static or null.
    let format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    if format.is_null() {
        return Err(Failure::from(format!("this FFmpeg knows no format '{}'", name.to_string_lossy()).as_str()));
    }
    Ok(format)
}

/// Learns what the streams are; closes the input on failure.
///
/// # Safety
/// `context` is an open input that nothing else refers to.
unsafe fn probe(context: &mut *mut ffi::AVFormatContext, is_live: bool) -> Result<(), Failure> {
    // SAFETY: libav keeps `nb_streams` pointers to streams in `streams`; there is
    // a dictionary for each of those that exist, as libav asks, taken back below.
    unsafe {
        let input = &mut **context;
        let streams = match input.nb_streams {
            0 => &mut [],
            count => std::slice::from_raw_parts_mut(input.streams, count as usize),
        };
        // While it is probed, a decoder forgets what size it refuses.
        let told = ffi::av_find_best_stream(*context, ffi::AVMediaType::AVMEDIA_TYPE_VIDEO, -1, -1, ptr::null_mut(), 0);
        let told = usize::try_from(told).ok().and_then(|index| streams.get(index));
        if let Some(why) = told.and_then(|stream| size_is_impossible(&*(**stream).codecpar)) {
            ffi::avformat_close_input(context);
            return Err(Failure::from(why.as_str()));
        }
        let is = |stream: &ffi::AVStream, kind| (*stream.codecpar).codec_type == kind;
        let has_video = streams.iter().any(|stream| is(&**stream, ffi::AVMediaType::AVMEDIA_TYPE_VIDEO));
        // A transport stream is never complete by its header, and would be read for
        // five seconds in case that more streams come, or until its sound has told
        // what it is.
        if is_live && has_video && CStr::from_ptr((*input.iformat).name) == c"mpegts" {
            input.ctx_flags &= !ffi::AVFMTCTX_NOHEADER;
            let sound = [ffi::AVMediaType::AVMEDIA_TYPE_AUDIO, ffi::AVMediaType::AVMEDIA_TYPE_SUBTITLE];
            for stream in streams.iter_mut().filter(|stream| sound.iter().any(|kind| is(&***stream, *kind))) {
                (*(**stream).codecpar).codec_type = ffi::AVMediaType::AVMEDIA_TYPE_DATA;
                (**stream).discard = ffi::AVDiscard::AVDISCARD_ALL;
            }
        }
        // Streams that turn up later are opened without the bound of the others,
        // so not at all: their parameter sets tell enough.
        if input.ctx_flags & ffi::AVFMTCTX_NOHEADER != 0 {
            ffi::av_opt_set((*context).cast(), c"codec_whitelist".as_ptr(), c"none".as_ptr(), 0);
        }
        let mut options: Vec<*mut ffi::AVDictionary> = vec![ptr::null_mut(); streams.len()];
        for options in &mut options {
            let pixels = i64::try_from(PROBE_PIXELS).unwrap_or(i64::MAX);
            ffi::av_dict_set_int(options, c"max_pixels".as_ptr(), pixels, 0);
        }
        let found = match options.is_empty() {
            true => ffi::avformat_find_stream_info(*context, ptr::null_mut()),
            false => ffi::avformat_find_stream_info(*context, options.as_mut_ptr()),
        };
        options.iter_mut().for_each(|options| ffi::av_dict_free(options));
        if found < 0 {
            ffi::avformat_close_input(context);
        }
        check(found)?;
        take_video_only(&mut **context);
        Ok(())
    }
}

/// Packets of all other streams are thrown away where they are read.
///
/// # Safety
/// `input` is an open input.
unsafe fn take_video_only(input: &mut ffi::AVFormatContext) {
    // SAFETY: see `probe`; the number of streams may have grown since.
    unsafe {
        for index in 0..input.nb_streams as usize {
            let stream = &mut **input.streams.add(index);
            if (*stream.codecpar).codec_type != ffi::AVMediaType::AVMEDIA_TYPE_VIDEO {
                stream.discard = ffi::AVDiscard::AVDISCARD_ALL;
            }
        }
    }
}

/// Refuses what no decoder would be allowed to decode, with the reason.
fn sizes_are_possible(input: &Input) -> Result<(), Failure> {
    let video = input.streams().best(ffmpeg::media::Type::Video);
    let Some(parameters) = video.map(|stream| stream.parameters().clone()) else { return Ok(()) };
    // SAFETY: the parameters are allocated and live as long as the clone.
    match size_is_impossible(unsafe { &*parameters.as_ptr() }) {
        Some(why) => Err(Failure::from(why.as_str())),
        None => Ok(()),
    }
}

/// Why pictures of this size are refused, if they are.
fn size_is_impossible(parameters: &ffi::AVCodecParameters) -> Option<String> {
    let (width, height) = (u32::try_from(parameters.width).ok()?, u32::try_from(parameters.height).ok()?);
    let most = MostPixels::of(parameters.codec_id.into());
    most.is_exceeded(width, height).then(|| most.why(width, height))
}

fn check(result: i32) -> Result<(), Failure> {
    if result < 0 { Err(Failure { code: result, why: ffmpeg::Error::from(result).to_string() }) } else { Ok(()) }
}
