//! What size a packet says its picture has, without decoding it: a decoder that
//! refuses a picture does not say so.

use std::ptr;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::Id;
use ffmpeg::ffi;

/// Width and height, if the packet tells.
pub(super) fn told_size(parameters: &ffmpeg::codec::Parameters, packet: &[u8]) -> Option<(u32, u32)> {
    match parameters.id() {
        Id::MJPEG => jpeg_size(packet),
        _ => parsed_size(parameters, packet),
    }
}

/// By libav's parser for the codec, which knows the parameter sets.
fn parsed_size(parameters: &ffmpeg::codec::Parameters, packet: &[u8]) -> Option<(u32, u32)> {
    // Parsers read some bytes beyond the end, which have to be zero.
    let mut padded = packet.to_vec();
    padded.resize(packet.len() + usize::try_from(ffi::AV_INPUT_BUFFER_PADDING_SIZE).ok()?, 0);
    let length = i32::try_from(packet.len()).ok()?;
    let mut context = ffmpeg::codec::context::Context::from_parameters(parameters.clone()).ok()?;
    // SAFETY: the parser is made and closed here; the data is padded as libav
    // asks and outlives the call, whose output is not looked at.
    unsafe {
        let id: ffi::AVCodecID = parameters.id().into();
        let parser = ffi::av_parser_init(id as i32);
        if parser.is_null() {
            return None;
        }
        (*parser).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES;
        let (mut out, mut out_length) = (ptr::null_mut(), 0);
        let (data, none) = (padded.as_ptr(), ffi::AV_NOPTS_VALUE);
        ffi::av_parser_parse2(
            parser,
            context.as_mut_ptr(),
            &raw mut out,
            &raw mut out_length,
            data,
            length,
            none,
            none,
            0,
        );
        let size = ((*parser).width, (*parser).height);
        ffi::av_parser_close(parser);
        let (width, height) = (u32::try_from(size.0).ok()?, u32::try_from(size.1).ok()?);
        (width > 0 && height > 0).then_some((width, height))
    }
}

/// By the frame header (ITU-T T.81, B.2.2).
pub(super) fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        match *bytes.get(at..at + 2)? {
            [0xFF, 0xFF] => at += 1,
            [0xFF, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF] => {
                let Some(&[h1, h0, w1, w0]) = bytes.get(at + 5..at + 9) else { return None };
                return Some((u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0]))));
            }
            [0xFF, 0x01 | 0xD0..=0xD8] => at += 2,
            // The scan or the end: no header came before it.
            [0xFF, 0xD9 | 0xDA] => return None,
            [0xFF, _] => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return None };
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpegs_size_is_read_from_its_frame_header_alone() {
        let head = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC0, 0, 17, 8, 0x75, 0x30, 0xEA, 0x60, 3];
        assert_eq!(jpeg_size(&head), Some((60_000, 30_000)));
        for length in 0..head.len() - 1 {
            assert_eq!(jpeg_size(&head[..length]), None);
        }
        assert_eq!(jpeg_size(&[0xFF, 0xD8, 0xFF, 0xDA, 0, 4, 1, 2]), None);
    }
}
