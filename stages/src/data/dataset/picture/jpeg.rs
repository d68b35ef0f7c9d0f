//! Decoding of JPEG files, baseline and progressive, which must be complete.
//!
//! Decoders draw the missing part of a cut file in flat grey. So the markers are walked first: the file must reach its
//! end of image, and its scans must hold every coefficient. A hole within the last scan of a baseline file shows in
//! decoding: before each marker in the scan eight bytes of ones are inserted. They are no Huffman code, so a decoder
//! that needs more data than there is fails in place of inventing zeros.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::orientation::Orientation;
use super::{Pixels, SIDE_MAX, Samples, Values, grey, too_large};

/// Eight bytes of ones; a zero after each says that it is no marker.
const NO_CODE: [u8; 16] = [0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0];

/// Decodes a file to grey levels.
pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, String> {
    let walk = Walk::of(bytes)?;
    let (height, width, channels, samples) = walk.pixels(bytes)?;
    Ok(Pixels {
        height,
        width,
        values: Values::Levels(grey(samples, channels, |level| level as u8)),
        alpha: None,
        samples: Samples { channels: channels as u8, depth: "8 bits" },
        orientation: Orientation::find(walk.exif.as_deref(), walk.xmp.as_deref()),
    })
}

/// Checks that a file, such as a strip of a TIFF file, is complete.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    Walk::of(bytes)?.pixels(bytes).map(drop)
}

/// Facts of a file's markers.
#[derive(Default)]
struct Walk {
    /// The marker of the frame, with its components.
    frame: Option<(u8, Vec<Component>)>,
    /// Places of the markers that end a piece of the last scan.
    pieces: Vec<usize>,
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// A component, and for each of its 64 coefficients the lowest bit that a scan has brought.
struct Component {
    id: u8,
    bits: [Option<u8>; 64],
}

impl Walk {
    /// Walks from marker to marker. Errors: the file ends early, a scan is missing, or its kind is not read.
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "the JPEG file is cut short: its end of image is missing".to_owned();
        let mut walk = Self::default();
        let mut at = 2;
        loop {
            at += bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)).ok_or_else(cut)?;
            let marker = *bytes.get(at + 1).ok_or_else(cut)?;
            at += if marker == 0xFF { 1 } else { 2 };
            if marker == 0xD9 {
                break;
            }
            // Fill bytes, stuffed bytes, and markers without a segment.
            if matches!(marker, 0 | 1 | 0xD0..=0xD8 | 0xFF) {
                continue;
            }
            let length = bytes.get(at..at + 2).ok_or_else(cut)?;
            let end = at + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            let segment = bytes.get(at + 2..end).ok_or_else(cut)?;
            walk.segment(marker, segment)?;
            at = end;
            if marker == 0xDA {
                at = walk.scan(bytes, at).ok_or_else(cut)?;
            }
        }
        walk.complete()?;
        Ok(walk)
    }

    fn segment(&mut self, marker: u8, segment: &[u8]) -> Result<(), String> {
        match marker {
            0xC0..=0xC2 => {
                if segment.first().is_some_and(|&precision| precision != 8) {
                    return Err(format!("it is a JPEG file of {} bits; save it as PNG or TIFF of 16 bits", segment[0]));
                }
                let ids = segment.get(6..).unwrap_or_default().chunks_exact(3).map(|component| component[0]);
                self.frame = Some((marker, ids.map(|id| Component { id, bits: [None; 64] }).collect()));
            }
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                let kind = match marker {
                    0xC3 => "lossless",
                    0xC9..=0xCB => "arithmetic",
                    _ => "hierarchical",
                };
                return Err(format!("it is a JPEG file with {kind} coding; save it as PNG"));
            }
            0xE1 => {
                if let Some(block) = segment.strip_prefix(b"Exif\0\0") {
                    self.exif.get_or_insert_default().extend_from_slice(block);
                } else if let Some(packet) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    self.xmp = Some(packet.to_vec());
                }
            }
            0xDA => self.start_of_scan(segment),
            _ => {}
        }
        Ok(())
    }

    /// Notes the coefficients that a scan brings.
    fn start_of_scan(&mut self, segment: &[u8]) {
        self.pieces.clear();
        let Some((frame, components)) = &mut self.frame else { return };
        let count = usize::from(*segment.first().unwrap_or(&0));
        let (Some(pairs), Some([first, last, bit])) = (segment.get(1..1 + 2 * count), segment.get(1 + 2 * count..))
        else {
            return;
        };
        let (coefficients, bit) = if *frame == 0xC2 { (*first..=*last, bit & 15) } else { (0..=63, 0) };
        for pair in pairs.chunks_exact(2) {
            let found = components.iter_mut().filter(|component| component.id == pair[0]);
            found.for_each(|it| coefficients.clone().for_each(|at| it.bits[usize::from(at & 63)] = Some(bit)));
        }
    }

    /// Passes the entropy-coded data; returns the place of the marker after it.
    fn scan(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
            match *bytes.get(at + 1)? {
                0 => at += 2,
                0xFF => at += 1,
                0xD0..=0xD7 => {
                    self.pieces.push(at);
                    at += 2;
                }
                _ => {
                    self.pieces.push(at);
                    return Some(at);
                }
            }
        }
    }

    /// Checks that every coefficient has come, to its last bit.
    fn complete(&self) -> Result<(), String> {
        let (_, components) = self.frame.as_ref().ok_or("the JPEG file is damaged: it has no start of frame")?;
        if components.iter().any(|component| component.bits.iter().any(|&bit| bit != Some(0))) {
            return Err("the JPEG file is cut short: some of its scans are missing".to_owned());
        }
        Ok(())
    }

    /// Decodes to grey or RGB: height, width, channels and samples.
    fn pixels(&self, bytes: &[u8]) -> Result<(usize, usize, usize, Vec<u8>), String> {
        let progressive = self.frame.as_ref().is_some_and(|(marker, _)| *marker == 0xC2);
        let marked;
        let bytes = if progressive {
            bytes
        } else {
            marked = self.marked(bytes);
            &marked
        };
        // Strict from the scan on only: some writers leave bytes between the headers.
        let options = DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(damaged)?;
        let (width, height) = decoder.dimensions().ok_or("the JPEG file is damaged: it has no size")?;
        if width.max(height) > SIDE_MAX as usize {
            return Err(too_large(height, width));
        }
        let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
        let (colours, channels) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
        decoder.set_options(options.jpeg_set_out_colorspace(colours).set_strict_mode(true));
        let samples = decoder.decode().map_err(damaged)?;
        if samples.len() != height * width * channels {
            return Err("the JPEG file has channels that are neither grey nor colours; save it as PNG".to_owned());
        }
        Ok((height, width, channels, samples))
    }

    /// Inserts ones before each marker that ends a piece of the last scan.
    fn marked(&self, bytes: &[u8]) -> Vec<u8> {
        let mut marked = Vec::with_capacity(bytes.len() + self.pieces.len() * NO_CODE.len());
        let mut from = 0;
        for &to in &self.pieces {
            marked.extend_from_slice(&bytes[from..to]);
            marked.extend_from_slice(&NO_CODE);
            from = to;
        }
        marked.extend_from_slice(&bytes[from..]);
        marked
    }
}

fn damaged(error: DecodeErrors) -> String {
    let reason = match error {
        DecodeErrors::Format(reason) => reason,
        DecodeErrors::FormatStatic(reason) => reason.to_owned(),
        error => error.to_string(),
    };
    format!("the JPEG file is damaged, or part of it is missing ({reason})")
}
