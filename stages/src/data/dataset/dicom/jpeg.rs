//! JPEG pictures with 8 bits, and lossless ones with up to 16. Source: ITU-T T.81.
//!
//! Decoders fill the missing part of a picture with zeros. So bytes of ones are inserted before each marker that ends a
//! piece of entropy-coded data. They are no Huffman code: a decoder that needs more data than there is fails.

use std::io::Cursor;

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use super::codec::{check_size, damaged, unread};
use super::samples::{Samples, Shape};

/// Six bytes of ones; a zero after each says that it is no marker. They are more than the rest of a code and its value,
/// and few enough for the decoder to see the marker behind them.
const NO_CODE: [u8; 12] = [0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0];

/// The start of frame, and the hints at the colours.
struct Frame {
    precision: u8,
    size: (usize, usize, usize),
    is_lossless: bool,
    is_rgb: bool,
    is_jfif: bool,
}

/// Finds the start of frame. Source: ITU-T T.81, B.2.
fn frame(bytes: &[u8]) -> Option<Frame> {
    let (mut at, mut is_jfif) = (2, false);
    loop {
        let marker = *bytes.get(at + 1).filter(|_| bytes[at] == 0xFF)?;
        if marker == 0xFF {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match marker {
            0xE0 => is_jfif |= segment.starts_with(b"JFIF"),
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                let &[precision, r0, r1, c0, c1, count] = segment.first_chunk()?;
                let number = |high, low| usize::from(u16::from_be_bytes([high, low]));
                let names: Vec<u8> = segment.get(6..)?.iter().step_by(3).copied().collect();
                return Some(Frame {
                    precision,
                    size: (number(r0, r1), number(c0, c1), count.into()),
                    is_lossless: marker == 0xC3,
                    is_rgb: names == *b"RGB" || names == *b"rgb",
                    is_jfif,
                });
            }
            _ => {}
        }
        at += 2 + length;
    }
}

/// Decodes a picture that must be complete.
pub(super) fn decode<'a>(bytes: &[u8], shape: Shape, is_ybr: bool) -> Result<Samples<'a>, String> {
    let frame = self::frame(bytes).ok_or_else(|| damaged("it has no JPEG start of frame"))?;
    check_size(frame.size, shape)?;
    if frame.precision > 8 && !frame.is_lossless {
        return Err(unread("JPEG with 12 bits a sample"));
    }
    let marked = marked(bytes);
    let mut decoder = Decoder::new(Cursor::new(&marked));
    // As pydicom: names of components go before JFIF, and that before the header.
    let is_ybr = !frame.is_rgb && (frame.is_jfif || is_ybr);
    if shape.samples == 3 {
        decoder.set_color_transform(if is_ybr { ColorTransform::YCbCr } else { ColorTransform::RGB });
    }
    let pixels = decoder.decode().map_err(|error| damaged(&error.to_string()))?;
    let format = decoder.info().map(|info| info.pixel_format);
    // The decoder writes samples of 16 bits in the order of this machine.
    let bytes = match format {
        Some(PixelFormat::L16) => {
            pixels.as_chunks().0.iter().flat_map(|&pair| u16::from_ne_bytes(pair).to_le_bytes()).collect()
        }
        _ => pixels,
    };
    Samples::decoded(bytes, shape, frame.precision, is_ybr)
}

/// Inserts ones before the markers that end pieces of entropy-coded data.
fn marked(bytes: &[u8]) -> Vec<u8> {
    let (mut marked, mut at, mut in_scan) = (Vec::with_capacity(bytes.len() + 64), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        // Stuffed zeros and fill bytes are no markers.
        if byte != 0xFF || matches!(next, 0 | 0xFF) {
            marked.push(byte);
            at += 1;
            continue;
        }
        if in_scan {
            marked.extend_from_slice(&NO_CODE);
        }
        in_scan = matches!(next, 0xD0..=0xD7 | 0xDA);
        let has_segment = !matches!(next, 1 | 0xD0..=0xD9);
        let length = bytes
            .get(at + 2..at + 4)
            .filter(|_| has_segment)
            .map_or(0, |pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
        let end = (at + 2 + length).min(bytes.len());
        marked.extend_from_slice(&bytes[at..end]);
        at = end;
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_come_before_the_markers_that_end_data() {
        let scan = [0xFF, 0xDA, 0, 3, 9];
        let joined = |parts: &[&[u8]]| parts.concat();
        let data = joined(&[&[0xFF, 0xD8], &scan, &[1, 0xFF, 0, 2], &[0xFF, 0xD0], &[3], &[0xFF, 0xD9]]);
        let expected =
            joined(&[&[0xFF, 0xD8], &scan, &[1, 0xFF, 0, 2], &NO_CODE, &[0xFF, 0xD0], &[3], &NO_CODE, &[0xFF, 0xD9]]);
        assert_eq!(marked(&data), expected);
    }
}
