//! Decoding of PNG files.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::orientation::Orientation;
use super::{ALLOC_MAX_BYTES, Pixels, SIDE_MAX, Samples, Values, alpha_of, grey, too_large};

/// Decodes a file. Palettes become their colours, and fewer than 8 bits are scaled to 0..=255, as in Pillow's mode `L`.
///
/// Chunks on gamma and colour spaces are ignored, as Pillow ignores them.
pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: ALLOC_MAX_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let (width, height) = decoder.read_header_info().map_err(unreadable)?.size();
    if width.max(height) > SIDE_MAX {
        return Err(too_large(height as usize, width as usize));
    }
    let mut reader = decoder.read_info().map_err(unreadable)?;
    if let Some(animation) = reader.info().animation_control.filter(|animation| animation.num_frames > 1) {
        return Err(format!("it is an animation of {} frames; save the frame as a PNG file", animation.num_frames));
    }
    let size = reader.output_buffer_size().filter(|&size| size <= ALLOC_MAX_BYTES);
    let mut samples = vec![0; size.ok_or_else(|| too_large(height as usize, width as usize))?];
    let output = reader.next_frame(&mut samples).map_err(unreadable)?;
    // Text and Exif may follow the picture. They may be damaged, as Pillow allows, but not cut off.
    if let Err(error) = reader.finish()
        && matches!(&error, DecodingError::IoError(_))
    {
        return Err(unreadable(error));
    }
    let info = reader.info();
    let channels = output.color_type.samples();
    let deep = output.bit_depth == BitDepth::Sixteen;
    let (values, alpha) = if deep {
        let samples: Vec<u16> = samples.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let alpha = alpha_of(&samples, channels, |alpha| (alpha >> 8) as u8 | u8::from(alpha > 0));
        let values = grey(samples, channels, |level| level as u16).into_iter().map(f64::from).collect();
        (Values::Deep(values), alpha)
    } else {
        let alpha = alpha_of(&samples, channels, |alpha| alpha);
        (Values::Levels(grey(samples, channels, |level| level as u8)), alpha)
    };
    let grey_palette = |palette: &[u8]| palette.chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]);
    let is_grey = info.color_type == ColorType::Indexed && info.palette.as_deref().is_some_and(grey_palette);
    let depth = match info.bit_depth {
        _ if info.color_type == ColorType::Indexed => "8 bits",
        BitDepth::One => "1 bit",
        BitDepth::Two => "2 bits",
        BitDepth::Four => "4 bits",
        BitDepth::Eight => "8 bits",
        BitDepth::Sixteen => "16 bits",
    };
    Ok(Pixels {
        height: height as usize,
        width: width as usize,
        values,
        alpha,
        samples: Samples { channels: channels as u8 - if is_grey { 2 } else { 0 }, depth },
        orientation: Orientation::find(exif(info).as_deref(), xmp(info).as_deref()),
    })
}

/// Returns the Exif block: of its own chunk, or in hexadecimal digits in a text.
fn exif(info: &png::Info<'_>) -> Option<Vec<u8>> {
    const KEYWORD: &str = "Raw profile type exif";
    if let Some(block) = &info.exif_metadata {
        return Some(block.to_vec());
    }
    let plain = info.uncompressed_latin1_text.iter().find(|it| it.keyword == KEYWORD).map(|it| it.text.clone());
    let text = plain.or_else(|| {
        let text = info.compressed_latin1_text.iter().find(|it| it.keyword == KEYWORD)?;
        text.get_text().ok()
    })?;
    // A line that is empty, the name, the length, and the digits.
    let digits: Vec<u8> = text.lines().skip(3).flat_map(str::bytes).filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}

/// Returns the XMP packet.
fn xmp(info: &png::Info<'_>) -> Option<Vec<u8>> {
    let text = info.utf8_text.iter().find(|it| it.keyword == "XML:com.adobe.xmp")?;
    text.get_text().ok().map(String::into_bytes)
}

fn unreadable(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the PNG file is cut short".to_owned()
        }
        DecodingError::LimitsExceeded => "the picture is too large for 512 MiB of memory".to_owned(),
        error => format!("cannot decode it: {error}"),
    }
}
