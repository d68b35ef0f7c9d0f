//! Decompression of one frame. Source: DICOM PS3.5 2024, annexes A.4 and G.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use super::samples::{Samples, Shape};
use super::syntax::Pixels;

/// Most tiles of a JPEG 2000 picture: their numbers have 16 bits.
const TILES_MAX: u32 = 1 << 16;

/// Decodes a frame as samples in little endian, colour by pixel.
///
/// - `is_ybr`: the header says that colours are YCbCr; those of JPEG and JPEG 2000 become RGB
///
/// Errors: damaged data, a codec that is not read, a picture of another size than the header says.
pub(super) fn decode<'a>(bytes: &[u8], pixels: Pixels, shape: Shape, is_ybr: bool) -> Result<Samples<'a>, String> {
    let decode = || match pixels {
        Pixels::Plain => Err("its pixels are compressed, but the header says that they are not".to_owned()),
        Pixels::Jpeg => jpeg(bytes, shape, is_ybr),
        Pixels::Jpeg2000 => jpeg2000(bytes, shape),
        Pixels::Rle => rle(bytes, shape),
        Pixels::Unread(codec) => Err(unread(codec)),
    };
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(damaged("")))
}

/// The message for a codec that is not read.
pub(super) fn unread(codec: &str) -> String {
    format!(
        "its pixels are compressed by {codec}, which is not read; \
         decompress it, for example with `gdcmconv --raw IN OUT`"
    )
}

fn damaged(detail: &str) -> String {
    let colon = if detail.is_empty() { "" } else { ": " };
    format!("cannot decode its pixels; the file is damaged{colon}{detail}")
}

/// Returns a message if a codec's picture has another size than the header says. Checked before memory is taken.
fn check_size(found: (usize, usize, usize), shape: Shape) -> Result<(), String> {
    let (rows, columns, samples) = found;
    if found == (shape.rows, shape.columns, shape.samples) {
        return Ok(());
    }
    Err(format!(
        "the file is damaged: its compressed picture is {rows} × {columns} with {samples} samples a pixel, but its \
         header says {} × {} with {}",
        shape.rows, shape.columns, shape.samples
    ))
}

/// The start of frame of a JPEG picture, and the hints at its colours.
struct JpegFrame {
    precision: u8,
    size: (usize, usize, usize),
    is_lossless: bool,
    is_rgb: bool,
    is_jfif: bool,
}

/// Finds the start of frame. Source: ITU-T T.81, B.2.
fn jpeg_frame(bytes: &[u8]) -> Option<JpegFrame> {
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
                return Some(JpegFrame {
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

fn jpeg<'a>(bytes: &[u8], shape: Shape, is_ybr: bool) -> Result<Samples<'a>, String> {
    let frame = jpeg_frame(bytes).ok_or_else(|| damaged("it has no JPEG start of frame"))?;
    check_size(frame.size, shape)?;
    if frame.precision > 8 && !frame.is_lossless {
        return Err(unread("JPEG with 12 bits a sample"));
    }
    let mut decoder = Decoder::new(Cursor::new(bytes));
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

fn jpeg2000<'a>(bytes: &[u8], shape: Shape) -> Result<Samples<'a>, String> {
    // The codestream alone, as the boxes of a JP2 file may name another colour space than the header.
    let code = bytes.windows(4).position(|window| window == [0xFF, 0x4F, 0xFF, 0x51]);
    let code = &bytes[code.ok_or_else(|| damaged("it has no JPEG 2000 codestream"))?..];
    let size = jpeg2000_size(code).ok_or_else(|| damaged("its JPEG 2000 header is cut short"))?;
    check_size(size.shape, shape)?;
    if size.tiles > TILES_MAX || size.bits > 24 {
        return Err(damaged("it claims too many tiles or bits"));
    }
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Image::new(code, &settings).map_err(|error| damaged(&error.to_string()))?;
    let mut context = DecoderContext::default();
    let image = image.decode(&mut context).map_err(|error| damaged(&error.to_string()))?;
    let each = if size.bits <= 8 { 1 } else { usize::from(size.bits).div_ceil(16) * 2 };
    let mut decoded = vec![0; shape.rows * shape.columns * shape.samples * each];
    // The decoder adds half of the range to signed samples as to unsigned ones.
    let half = 1_i64 << (size.bits - 1);
    let (min, max) = if size.is_signed { (-half, half - 1) } else { (0, 2 * half - 1) };
    for (index, component) in image.components().iter().enumerate().take(shape.samples) {
        for (pixel, &sample) in decoded.chunks_exact_mut(each * shape.samples).zip(component.samples()) {
            let sample = sample.round_ties_even() as i64 + if size.is_signed { -half } else { 0 };
            let sample = sample.clamp(min, max).to_le_bytes();
            pixel[index * each..][..each].copy_from_slice(&sample[..each]);
        }
    }
    Samples::decoded(decoded, shape, size.bits, true)
}

/// Facts of a JPEG 2000 picture.
struct Jpeg2000Size {
    /// Rows, columns and components.
    shape: (usize, usize, usize),
    tiles: u32,
    bits: u8,
    is_signed: bool,
}

/// Reads the segment SIZ. Source: ITU-T T.800, A.5.1. Components of different depths are `None`.
fn jpeg2000_size(code: &[u8]) -> Option<Jpeg2000Size> {
    let number = |index: usize| Some(u32::from_be_bytes(*code.get(8 + 4 * index..)?.first_chunk()?));
    let [right, bottom, left, top] = [number(0)?, number(1)?, number(2)?, number(3)?];
    let [tile_width, tile_height, tile_left, tile_top] = [number(4)?, number(5)?, number(6)?, number(7)?];
    let components = usize::from(u16::from_be_bytes(*code.get(40..)?.first_chunk()?));
    let depths = code.get(42..42 + 3 * components)?;
    let depth = *depths.first()?;
    if depths.iter().step_by(3).any(|other| *other != depth) || tile_width == 0 || tile_height == 0 {
        return None;
    }
    let across = right.checked_sub(tile_left)?.div_ceil(tile_width);
    let tiles = across.saturating_mul(bottom.checked_sub(tile_top)?.div_ceil(tile_height));
    let shape = (bottom.checked_sub(top)? as usize, right.checked_sub(left)? as usize, components);
    Some(Jpeg2000Size { shape, tiles, bits: (depth & 0x7F) + 1, is_signed: depth & 0x80 != 0 })
}

/// Decodes byte planes of PackBits, the highest byte of a sample first.
fn rle<'a>(bytes: &[u8], shape: Shape) -> Result<Samples<'a>, String> {
    let number = |index: usize| {
        let bytes = bytes.get(4 * index..).and_then(<[u8]>::first_chunk).copied();
        bytes.map(|bytes| u32::from_le_bytes(bytes) as usize).ok_or_else(|| damaged("its RLE header is cut short"))
    };
    let (count, each, pixels) = (number(0)?, usize::from(shape.allocated) / 8, shape.rows * shape.columns);
    if count != each * shape.samples || count > 15 || each == 0 {
        return Err(damaged("it has another number of RLE segments than the header says"));
    }
    let mut decoded = vec![0; pixels * count];
    for segment in 0..count {
        let end = if segment + 1 < count { number(segment + 2)? } else { bytes.len() };
        let packed = bytes.get(number(segment + 1)?..end).ok_or_else(|| damaged("an RLE segment lies outside"))?;
        let offset = segment / each * each + (each - 1 - segment % each);
        let mut out = decoded.iter_mut().skip(offset).step_by(count);
        if unpack(packed, &mut out).is_none() {
            return Err(damaged("an RLE segment is too short"));
        }
    }
    Samples::decoded(decoded, shape, shape.allocated, false)
}

/// Fills `out`; `None` if the packed bytes end first. What follows is padding.
fn unpack<'a>(packed: &[u8], out: &mut impl Iterator<Item = &'a mut u8>) -> Option<()> {
    let (mut packed, mut out) = (packed.iter().copied(), out.peekable());
    while out.peek().is_some() {
        let control = packed.next()?;
        match control {
            0..=127 => {
                for _ in 0..=control {
                    let Some(place) = out.next() else { break };
                    *place = packed.next()?;
                }
            }
            128 => {}
            129.. => {
                let byte = packed.next()?;
                for place in out.by_ref().take(257 - usize::from(control)) {
                    *place = byte;
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bytes_are_runs_and_literals() {
        let mut out = [0; 7];
        // Three literals, then 7 four times; 128 does nothing.
        assert_eq!(unpack(&[2, 1, 2, 3, 128, 253, 7], &mut out.iter_mut()), Some(()));
        assert_eq!(out, [1, 2, 3, 7, 7, 7, 7]);
        assert_eq!(unpack(&[253, 7], &mut out.iter_mut()), None);
    }
}
