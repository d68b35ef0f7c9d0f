//! Decoding of PNG, JPEG and TIFF files to intensities and label values.

mod directory;
mod jpeg;
mod orientation;
mod png;
#[cfg(test)]
mod tests;
mod tiff;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::raster::{Raster, Samples, Values, luma};
use orientation::Orientation;
use tiff::Tiff;

/// Largest height and width, so that a small damaged file cannot allocate all memory.
const SIDE_MAX: u32 = 8192;
/// Most memory that one decoder may allocate.
const ALLOC_MAX_BYTES: usize = 512 << 20;

/// A PNG, JPEG or TIFF file.
pub(super) struct Picture(Format);

enum Format {
    Png(Vec<u8>),
    Jpeg(Vec<u8>),
    Tiff(Tiff),
}

/// A decoded picture as it is stored.
struct Pixels {
    height: usize,
    width: usize,
    values: Values,
    /// Alpha by pixel, if there is any: 0 is transparent.
    alpha: Option<Vec<u8>>,
    samples: Samples,
    orientation: Orientation,
}

impl Picture {
    /// Recognizes the format by the contents.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        match &bytes[..] {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self(Format::Png(bytes))),
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self(Format::Jpeg(bytes))),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self(Format::Tiff(Tiff::open(bytes)?))),
            bytes => Err(other_format(bytes)),
        }
    }

    /// The number of pages; more than one only for TIFF.
    pub(super) fn pages(&self) -> usize {
        match &self.0 {
            Format::Png(_) | Format::Jpeg(_) => 1,
            Format::Tiff(tiff) => tiff.pages(),
        }
    }

    /// Decodes a page as an image: grey levels or deep values, upright.
    ///
    /// Colours become grey as in Pillow's mode `L` (Rec. 601: 0.299 red + 0.587 green + 0.114 blue); transparency is
    /// ignored. Errors: `page` is `None` and there are several, or there is no such page; damaged or cut data; all
    /// colours are one, and only the alpha channel varies.
    pub(super) fn image(&self, page: Option<usize>) -> Result<Raster, String> {
        self.upright(page, "picture", "save it without transparency")
    }

    /// Decodes a page as label values of a mask; a mask of one page has it for every `page`. Errors: as for images.
    pub(super) fn mask(&self, page: Option<usize>) -> Result<Raster, String> {
        let page = if self.pages() == 1 { None } else { page };
        self.upright(page, "mask", "save it as black and white")
    }

    fn upright(&self, page: Option<usize>, what: &str, remedy: &str) -> Result<Raster, String> {
        let page = match (page, self.pages()) {
            (None, 1) => 0,
            (None, pages) => return Err(format!("it has {pages} pages; set `page` (0 is the first)")),
            (Some(page), pages) if page < pages => page,
            (Some(page), 1) => return Err(format!("it has one page, 0; page {page} was asked for")),
            (Some(page), pages) => {
                return Err(format!("it has {pages} pages, 0 to {}; page {page} was asked for", pages - 1));
            }
        };
        let decode = || match &self.0 {
            Format::Png(bytes) => png::decode(bytes),
            Format::Jpeg(bytes) => jpeg::decode(bytes),
            Format::Tiff(tiff) => tiff.decode(page),
        };
        // png 0.18 panics if a palette ends within a colour.
        let pixels = catch_unwind(AssertUnwindSafe(decode))
            .map_err(|_| "cannot decode it: the file is damaged".to_owned())??;
        if pixels.is_drawn_in_alpha() {
            return Err(format!("the {what} is in the alpha channel alone; {remedy}"));
        }
        Ok(pixels.upright())
    }
}

impl Pixels {
    /// True if the alpha channel varies, and the colours do not show the same: all have one level, or the visible ones
    /// have, and the transparent ones are not all one darker level.
    fn is_drawn_in_alpha(&self) -> bool {
        let Some(alpha) = &self.alpha else { return false };
        match &self.values {
            Values::Levels(levels) => drawn_in_alpha(levels, alpha),
            Values::Deep(values) => drawn_in_alpha(values, alpha),
        }
    }

    fn upright(self) -> Raster {
        let Self { height, width, values, samples, orientation, .. } = self;
        let (height, width, values) = match values {
            Values::Levels(levels) => {
                let (height, width, levels) = orientation.applied(height, width, levels);
                (height, width, Values::Levels(levels))
            }
            Values::Deep(values) => {
                let (height, width, values) = orientation.applied(height, width, values);
                (height, width, Values::Deep(values))
            }
        };
        Raster { height, width, values, samples }
    }
}

fn drawn_in_alpha<T: Copy + PartialOrd>(levels: &[T], alpha: &[u8]) -> bool {
    /// The level of all pixels, if they are one.
    fn only<T: Copy + PartialEq>(mut levels: impl Iterator<Item = T>) -> Option<T> {
        let first = levels.next()?;
        levels.all(|level| level == first).then_some(first)
    }
    if only(alpha.iter()).is_some() {
        return false;
    }
    let visible = |wanted| move |(level, alpha): (&T, &u8)| ((*alpha > 0) == wanted).then_some(*level);
    let Some(shown) = only(levels.iter().zip(alpha).filter_map(visible(true))) else { return false };
    match only(levels.iter().zip(alpha).filter_map(visible(false))) {
        Some(hidden) => hidden >= shown,
        None => true,
    }
}

/// Converts pixels of grey, grey and alpha, RGB or RGBA to grey.
fn grey<T: Copy + Into<u64>>(samples: Vec<T>, channels: usize, narrow: impl Fn(u64) -> T) -> Vec<T> {
    if channels == 1 {
        return samples;
    }
    let pixels = samples.chunks_exact(channels);
    pixels.map(|pixel| if channels < 3 { pixel[0] } else { narrow(luma(pixel)) }).collect()
}

/// Returns the last of 2 or 4 channels.
fn alpha_of<T: Copy>(samples: &[T], channels: usize, narrow: impl Fn(T) -> u8) -> Option<Vec<u8>> {
    let alpha = samples.chunks_exact(channels).map(|pixel| narrow(pixel[channels - 1]));
    channels.is_multiple_of(2).then(|| alpha.collect())
}

fn too_large(height: usize, width: usize) -> String {
    format!("the picture is too large ({width} × {height}); at most {SIDE_MAX} × {SIDE_MAX} is read")
}

/// Names the format of a file that is no picture.
fn other_format(bytes: &[u8]) -> String {
    const REMEDY: &str = "save it as PNG, JPEG or TIFF";
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let found = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
    let text = String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).trim_start().to_lowercase();
    let (name, remedy) = if bytes.is_empty() {
        return "the file is empty; PNG, JPEG and TIFF are read".to_owned();
    } else if text.starts_with("version https://git-lfs") {
        ("a pointer of Git LFS", "fetch the file by `git lfs pull`")
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        ("a web page", "download the file again")
    } else if starts(b"BM") {
        ("BMP", REMEDY)
    } else if starts(b"GIF8") {
        ("GIF", REMEDY)
    } else if starts(b"RIFF") && found(8, b"WEBP") {
        ("WebP", REMEDY)
    } else if starts(b"\0\0\0\x0cjP  ") || starts(b"\xFF\x4F\xFF\x51") {
        ("JPEG 2000", REMEDY)
    } else if found(4, b"ftyp") {
        ("HEIF, AVIF or a film", REMEDY)
    } else if matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..]) {
        ("PNM", REMEDY)
    } else if bytes.iter().all(|&byte| byte == 0) {
        ("only zeros", "copy the file again")
    } else {
        return "the file is no PNG, JPEG or TIFF".to_owned();
    };
    format!("the file is {name}; {remedy}")
}
