//! Decoding of PNG, JPEG and TIFF files to grey levels and masks.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{ImageError, ImageReader, Limits};

use super::min_max::min_max;
use super::raster::{Raster, Samples, Values};
use super::resize::Grid;

/// Largest height and width, so that a small damaged file cannot allocate all memory.
const SIDE_MAX: u32 = 8192;
/// Most memory that one decoder may allocate.
const ALLOC_MAX_BYTES: u64 = 512 << 20;

/// File name extensions of the formats, in lower case.
pub(super) const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "tif", "tiff"];

/// A PNG, JPEG or TIFF file.
pub(super) struct Picture {
    bytes: Vec<u8>,
}

impl Picture {
    /// Recognizes the format by the contents.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        Ok(Self { bytes })
    }

    /// The number of pages; more than one only for TIFF.
    pub(super) fn pages(&self) -> usize {
        1
    }

    /// Decodes a page as grey levels or deep values.
    pub(super) fn image(&self, _page: Option<usize>) -> Result<Raster, String> {
        let (height, width, levels) = decode(&self.bytes)?;
        let (values, depth) = match levels {
            Levels::Eight(levels) => (Values::Levels(levels), "8 bits"),
            Levels::Sixteen(levels) => (Values::Deep(levels.into_iter().map(f64::from).collect()), "16 bits"),
        };
        Ok(Raster { height, width, values, samples: Samples { channels: 1, depth } })
    }

    /// Decodes a page as label values of a mask.
    pub(super) fn mask(&self, page: Option<usize>) -> Result<Raster, String> {
        self.image(page)
    }
}

/// Decodes a grey image.
///
/// Colours become grey as in Pillow's mode `L` (Rec. 601: 0.299 red + 0.587 green + 0.114 blue); transparency is
/// ignored. A file of 16 bits becomes 8 bits by min-max over the picture, because scanners seldom use all 16 bits. A
/// file of at most 8 bits keeps its levels.
pub(super) fn decode_image(bytes: &[u8]) -> Result<Grid, String> {
    let (height, width, levels) = decode(bytes)?;
    let pixels = match levels {
        Levels::Eight(levels) => levels,
        Levels::Sixteen(levels) => min_max(levels.iter().map(|&level| f64::from(level)))?,
    };
    Ok(Grid { height, width, pixels })
}

/// Decodes a mask: 1 where the grey level is above half of white (127 of 255, 32,767 of 65,535), as in a mask of 0 and
/// 255 or of 1 bit. If no level is above 1, level 1 is foreground.
///
/// Errors: a mask with levels above 1 but none above half of white, as their meaning is ambiguous.
pub(super) fn decode_mask(bytes: &[u8]) -> Result<Grid, String> {
    let (height, width, levels) = decode(bytes)?;
    let (levels, white): (Vec<u16>, u16) = match levels {
        Levels::Eight(levels) => (levels.into_iter().map(u16::from).collect(), 255),
        Levels::Sixteen(levels) => (levels, u16::MAX),
    };
    let half = white / 2;
    let above = match levels.iter().copied().max().unwrap_or(0) {
        0 | 1 => 0,
        largest if largest > half => half,
        largest => {
            return Err(format!("the mask's levels end at {largest}; foreground is expected to be 1 or above {half}"));
        }
    };
    Ok(Grid { height, width, pixels: levels.into_iter().map(|level| u8::from(level > above)).collect() })
}

/// Grey levels of 8 or 16 bits.
enum Levels {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// Returns height, width and grey levels.
fn decode(bytes: &[u8]) -> Result<(usize, usize, Levels), String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err("the file is no PNG, JPEG or TIFF".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(ALLOC_MAX_BYTES);
    reader.limits(limits);
    // png 0.18 panics if a palette ends within a colour.
    let decoded = catch_unwind(AssertUnwindSafe(|| reader.decode()))
        .map_err(|_| "cannot decode it: the file is damaged".to_owned())?;
    let picture = decoded.map_err(|error| match error {
        ImageError::Limits(error) => {
            format!("the picture is too large ({error}); at most {SIDE_MAX} × {SIDE_MAX} is read")
        }
        ImageError::Unsupported(error) => format!("{error}; PNG, JPEG and TIFF are read"),
        error => format!("cannot decode it: {error}"),
    })?;
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    if height == 0 || width == 0 {
        return Err("the picture has no pixels".to_owned());
    }
    let channels = picture.color().channel_count().into();
    let levels = match (picture.as_flat_samples_u8(), picture.as_flat_samples_u16()) {
        (Some(flat), _) => Levels::Eight(grey(flat.samples, channels, |level| level as u8)),
        (_, Some(flat)) => Levels::Sixteen(grey(flat.samples, channels, |level| level as u16)),
        _ => return Err("its pixels are floats; 8 and 16 bits are read".to_owned()),
    };
    Ok((height, width, levels))
}

/// Converts pixels of grey, grey and alpha, RGB or RGBA to grey; the conversions of `image` have other weights.
fn grey<T: Copy + Into<u32>>(samples: &[T], channels: usize, narrow: impl Fn(u32) -> T) -> Vec<T> {
    let pixels = samples.chunks_exact(channels);
    pixels.map(|pixel| if channels < 3 { pixel[0] } else { narrow(luma(pixel)) }).collect()
}

/// Rec. 601 luma in 16-bit fixed point, rounded, with Pillow's weights.
fn luma<T: Copy + Into<u32>>(rgb: &[T]) -> u32 {
    (rgb[0].into() * 19_595 + rgb[1].into() * 38_470 + rgb[2].into() * 7_471 + 0x8000) >> 16
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        files: Vec<File>,
    }

    #[derive(Deserialize)]
    struct File {
        file: String,
        height: usize,
        width: usize,
        mask: bool,
        tolerance: u8,
        pixels: Vec<u8>,
    }

    fn read(file: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture").join(file)).unwrap()
    }

    /// `tests/reference/picture.py` made the files and values.
    #[test]
    fn every_kind_of_file_gives_the_levels_that_pillow_reads() {
        let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/picture.json")).unwrap();
        for expected in reference.files {
            let file = &expected.file;
            let decoded = if expected.mask { decode_mask(&read(file)) } else { decode_image(&read(file)) };
            let decoded = decoded.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(decoded.size(), (expected.height, expected.width), "{file}");
            let worst = decoded.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= expected.tolerance, "{file}: {worst} levels off");
        }
    }

    #[test]
    fn an_undecodable_file_is_refused_with_a_reason() {
        let cut = &read("grey.png")[..60];
        assert!(decode_image(cut).unwrap_err().starts_with("cannot decode it: "));
        assert_eq!(decode_image(b"not a picture").unwrap_err(), "the file is no PNG, JPEG or TIFF");
        assert_eq!(decode_image(b"").unwrap_err(), "the file is no PNG, JPEG or TIFF");
        let error = decode_mask(&read("mask-0-100.png")).unwrap_err();
        assert_eq!(error, "the mask's levels end at 100; foreground is expected to be 1 or above 127");
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let mut bytes = read("grey.png");
        // Width and height in the header, and its checksum, which the decoder checks first.
        bytes[16..20].copy_from_slice(&200_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&200_000_u32.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode_image(&bytes).unwrap_err();
        assert!(error.starts_with("the picture is too large"), "{error}");
    }

    /// Found by fuzzing: a PNG file with a palette of one byte.
    #[test]
    fn a_palette_that_ends_within_a_colour_is_an_error() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found/picture-palette-of-a-byte");
        let error = decode_image(&std::fs::read(path).unwrap()).unwrap_err();
        assert!(error.starts_with("cannot decode it: "), "{error}");
    }

    /// Sets rows and columns in the start of frame of a JPEG file.
    fn enlarged(mut jpeg: Vec<u8>, side: u16) -> Vec<u8> {
        let frame = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0..=0xC2])).unwrap();
        jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
        jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
        jpeg
    }

    #[test]
    fn a_jpeg_or_tiff_that_claims_to_be_huge_is_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jpg") {
                let error = decode_image(&enlarged(std::fs::read(&path).unwrap(), 60_000)).unwrap_err();
                assert!(error.starts_with("the picture is too large"), "{}: {error}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 0);
        // Width and length, tags 256 and 257, each of type 3 or 4 with one value in the tag itself.
        let mut tiff = read(&tiff_name());
        for tag in [[0, 1], [1, 1]] {
            let offsets: Vec<_> = (0..tiff.len() - 12)
                .filter(|&at| tiff[at..at + 2] == tag && matches!(tiff[at + 2..at + 8], [3 | 4, 0, 1, 0, 0, 0]))
                .collect();
            for at in offsets {
                tiff[at + 2..at + 12].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0x60, 0xEA, 0, 0]);
            }
        }
        // The decoder may check the size or the lengths of the strips first.
        let error = decode_image(&tiff).unwrap_err();
        assert!(error.starts_with("the picture is too large") || error.starts_with("cannot decode it"), "{error}");
    }

    fn tiff_name() -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".tif")).collect();
        names.sort();
        names.remove(0)
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |mut crc, &byte| {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
            crc
        })
    }
}
