//! Decoding of TIFF and BigTIFF files: pages, and samples of all common types.
//!
//! The crate `tiff` undoes compression, predictors, strips, tiles and byte order. It refuses palettes and some colours,
//! so every page is presented to it as plain samples, by its tag of the colours, and the colours are mixed here.

use std::io::{self, Cursor, ErrorKind, Read};

use flate2::read::ZlibDecoder;
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::directory::{Directory, Structure};
use super::orientation::{self, Orientation};
use super::{ALLOC_MAX_BYTES, Pixels, SIDE_MAX, Samples, Values, jpeg, luma, too_large};

const NEW_SUBFILE_TYPE: u16 = 254;
const SUBFILE_TYPE: u16 = 255;
const WIDTH: u16 = 256;
const LENGTH: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const DESCRIPTION: u16 = 270;
const STRIP_OFFSETS: u16 = 273;
const CHANNELS: u16 = 277;
const STRIP_BYTES: u16 = 279;
const PLANAR: u16 = 284;
const COLOUR_MAP: u16 = 320;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_TABLES: u16 = 347;
const SUBSAMPLING: u16 = 530;
const XMP: u16 = 700;
const NO_DATA: u16 = 42_113;

const UNCOMPRESSED: u64 = 1;
const JPEG: u64 = 7;
const DEFLATE: u64 = 8;
const OLD_DEFLATE: u64 = 32_946;

/// A TIFF file, and its pages.
pub(in crate::data::dataset) struct Tiff {
    /// The file, with the colours of each page declared as plain samples.
    bytes: Vec<u8>,
    pages: Vec<Page>,
}

/// A directory that is a picture of its own: no thumbnail and no mask of another.
struct Page {
    /// Its position among all directories.
    index: usize,
    directory: Directory,
    /// The tag of the colours as it was, if there is one.
    photometric: Option<u64>,
}

/// The meaning of a page's samples.
struct Form {
    height: usize,
    width: usize,
    bits: u64,
    kind: Kind,
    colours: Colours,
    /// Channels, those beyond the colours included.
    channels: usize,
    planar: bool,
    has_alpha: bool,
}

/// The type of the samples.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Uint,
    Int,
    Float,
}

/// The meaning of the channels.
enum Colours {
    Grey,
    WhiteIsZero,
    Rgb,
    /// Grey of each index.
    Palette(Vec<u8>),
    Cmyk,
    YCbCr,
}

impl Tiff {
    /// Reads the directories. Errors: they are damaged, or lie beyond the end of a cut file.
    pub(super) fn open(mut bytes: Vec<u8>) -> Result<Self, String> {
        let structure = Structure::open(&bytes).ok_or("the file is no PNG, JPEG or TIFF")?;
        let page = |(index, directory): (usize, Directory)| Page {
            index,
            photometric: structure.number(&directory, PHOTOMETRIC),
            directory,
        };
        let mut pages: Vec<Page> = structure.directories()?.into_iter().enumerate().map(page).collect();
        let replaced = pages.iter().filter_map(|page| structure.replacement(&page.directory, PHOTOMETRIC, 1));
        let replaced: Vec<_> = replaced.collect();
        let part_of_another = |page: &Page| {
            // Bit 0 is a picture of lower resolution, bit 2 a mask; 2 is a lower resolution in the older tag.
            structure.number(&page.directory, NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 0b101 != 0)
                || structure.number(&page.directory, SUBFILE_TYPE) == Some(2)
        };
        if !pages.iter().all(part_of_another) {
            pages.retain(|page| !part_of_another(page));
        }
        let first = pages.first().ok_or("it is damaged: it has no page")?;
        if let Some(count) = images_of_imagej(structure.data(&first.directory, DESCRIPTION).unwrap_or_default())
            && count > pages.len()
        {
            return Err(format!("it is a stack of {count} pictures of ImageJ; save it with one page a picture"));
        }
        for (at, value) in replaced {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(&value);
            }
        }
        Ok(Self { bytes, pages })
    }

    /// The number of pages.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Decodes a page. Errors: a kind that is not read, or damaged or cut data.
    pub(super) fn decode(&self, page: usize) -> Result<Pixels, String> {
        let page = &self.pages[page];
        let structure = Structure::open(&self.bytes).ok_or("it is damaged")?;
        let form = Form::of(structure, page)?;
        check_chunks(&self.bytes, structure, &page.directory, &form)?;
        let mut limits = Limits::default();
        limits.decoding_buffer_size = ALLOC_MAX_BYTES;
        limits.intermediate_buffer_size = ALLOC_MAX_BYTES;
        let mut decoder = Decoder::new(Cursor::new(&self.bytes)).map_err(unreadable)?.with_limits(limits);
        decoder.seek_to_image(page.index).map_err(unreadable)?;
        let mut result = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut result).map_err(unreadable)?;
        if result.as_buffer(0).as_bytes().len() < layout.complete_len {
            return Err(too_large(form.height, form.width));
        }
        drop(decoder);
        let no_data = structure.data(&page.directory, NO_DATA).and_then(number_in_text);
        let (values, alpha) = match result {
            DecodingResult::U8(samples) => form.levels(&form.unpacked(samples)),
            DecodingResult::U16(samples) => form.deep(&samples, no_data, Some(u16::MAX.into())),
            DecodingResult::U32(samples) => form.deep(&samples, no_data, Some(u32::MAX.into())),
            DecodingResult::I8(samples) => form.deep(&samples, no_data, None),
            DecodingResult::I16(samples) => form.deep(&samples, no_data, None),
            DecodingResult::I32(samples) => form.deep(&samples, no_data, None),
            DecodingResult::F16(samples) => form.deep(&samples, no_data, None),
            DecodingResult::F32(samples) => form.deep(&samples, no_data, None),
            DecodingResult::F64(samples) => form.deep(&samples, no_data, None),
            DecodingResult::U64(_) | DecodingResult::I64(_) => Err(not_read("integers of 64 bits")),
        }?;
        let orientation = structure.number(&page.directory, orientation::TAG);
        let xmp = structure.data(&page.directory, XMP);
        Ok(Pixels {
            height: form.height,
            width: form.width,
            values,
            alpha,
            samples: Samples { channels: form.colours.channels() + u8::from(form.has_alpha), depth: form.depth() },
            orientation: orientation.map_or_else(|| Orientation::find(None, xmp), Orientation::new),
        })
    }
}

impl Form {
    fn of(structure: Structure<'_>, page: &Page) -> Result<Self, String> {
        let directory = &page.directory;
        let numbers = |tag| structure.numbers(directory, tag).unwrap_or_default();
        let number = |tag, default| structure.number(directory, tag).unwrap_or(default);
        let side = |tag| usize::try_from(number(tag, 0)).unwrap_or(usize::MAX);
        let (height, width) = (side(LENGTH), side(WIDTH));
        if height == 0 || width == 0 {
            return Err("it is damaged: a page has no pixels".to_owned());
        }
        if height.max(width) > SIDE_MAX as usize {
            return Err(too_large(height, width));
        }
        if number(FILL_ORDER, 1) == 2 {
            return Err(not_read("bits in reverse order (FillOrder 2)"));
        }
        let compression = number(COMPRESSION, UNCOMPRESSED);
        if let Some(name) = unread_compression(compression) {
            return Err(not_read(&format!("compression {name}")));
        }
        let bits = numbers(BITS);
        let depth = *bits.first().unwrap_or(&1);
        if bits.iter().any(|&other| other != depth) {
            return Err(not_read("channels of unequal depth"));
        }
        let formats = numbers(SAMPLE_FORMAT);
        let kind = match (formats.first().unwrap_or(&1), depth) {
            _ if formats.iter().any(|format| Some(format) != formats.first()) => {
                return Err(not_read("channels of unequal types"));
            }
            (1 | 4, 1 | 2 | 4 | 8 | 16 | 32) => Kind::Uint,
            (2, 8 | 16 | 32) => Kind::Int,
            (3, 16 | 32 | 64) => Kind::Float,
            (1 | 4, _) => return Err(not_read(&format!("integers of {depth} bits"))),
            (2, _) => return Err(not_read(&format!("signed integers of {depth} bits"))),
            (3, _) => return Err(not_read(&format!("floats of {depth} bits"))),
            (_, _) => return Err(not_read("complex numbers")),
        };
        let photometric = page.photometric.ok_or("it is damaged: the tag PhotometricInterpretation is missing")?;
        let colours = match photometric {
            0 => Colours::WhiteIsZero,
            1 => Colours::Grey,
            2 => Colours::Rgb,
            3 => Colours::palette(&numbers(COLOUR_MAP), depth)?,
            5 => Colours::Cmyk,
            6 => Colours::YCbCr,
            4 => return Err(not_read("a transparency mask alone")),
            8..=10 => return Err(not_read("colours in CIE L*a*b*")),
            32_803 => return Err(not_read("the raw mosaic of a camera")),
            other => return Err(not_read(&format!("colours of kind {other}"))),
        };
        let subsampled = numbers(SUBSAMPLING) != [1, 1];
        if photometric == 6 && (compression != JPEG && subsampled || number(PLANAR, 1) == 2) {
            return Err(not_read("subsampled YCbCr colours without JPEG"));
        }
        if !matches!(colours, Colours::Grey | Colours::WhiteIsZero | Colours::Rgb)
            && (kind, depth.max(8)) != (Kind::Uint, 8)
        {
            return Err(not_read("palettes, CMYK or YCbCr colours of more than 8 bits"));
        }
        if matches!(colours, Colours::WhiteIsZero) && kind != Kind::Uint {
            return Err(not_read("signed or float values with white as zero"));
        }
        let channels = usize::try_from(number(CHANNELS, 1)).unwrap_or(usize::MAX);
        let extra = channels.checked_sub(usize::from(colours.channels_in_file())).filter(|&extra| extra < 2);
        let Some(extra) = extra else {
            return Err(not_read(&format!("{channels} channels that are not grey or colours, alone or with alpha")));
        };
        let has_alpha = extra == 1 && matches!(numbers(EXTRA_SAMPLES)[..], [1 | 2]);
        Ok(Self { height, width, bits: depth, kind, colours, channels, planar: number(PLANAR, 1) == 2, has_alpha })
    }

    /// The name of the type, for the audit.
    fn depth(&self) -> &'static str {
        match (self.kind, self.bits) {
            (Kind::Uint, 1) => "1 bit",
            (Kind::Uint, 2) => "2 bits",
            (Kind::Uint, 4) => "4 bits",
            (Kind::Uint, 8) => "8 bits",
            (Kind::Uint, 16) => "16 bits",
            (Kind::Uint, _) => "uint32",
            (Kind::Int, 8) => "int8",
            (Kind::Int, 16) => "int16",
            (Kind::Int, _) => "int32",
            (Kind::Float, 16) => "float16",
            (Kind::Float, 32) => "float32",
            (Kind::Float, _) => "float64",
        }
    }

    /// Bytes of a row of samples; a row starts at a byte.
    fn row_bytes(&self, width: usize) -> usize {
        let channels = if self.planar { 1 } else { self.channels };
        (width * channels * self.bits as usize).div_ceil(8)
    }

    /// Returns samples of fewer than 8 bits as one byte each, and others as they are.
    fn unpacked(&self, packed: Vec<u8>) -> Vec<u8> {
        if self.bits == 8 {
            return packed;
        }
        let bits = self.bits as usize;
        let samples = self.width * if self.planar { 1 } else { self.channels };
        let sample = |row: &[u8], at: usize| row[at * bits / 8] >> (8 - bits - at * bits % 8) & ((1 << bits) - 1);
        let rows = packed.chunks_exact(self.row_bytes(self.width));
        rows.flat_map(|row| (0..samples).map(move |at| sample(row, at))).collect()
    }

    /// Mixes samples of at most 8 bits to grey levels.
    fn levels(&self, samples: &[u8]) -> Result<(Values, Option<Vec<u8>>), String> {
        let scale = (255 / ((1_u32 << self.bits) - 1)) as u8;
        let at = |pixel: usize, channel: usize| samples[self.place(pixel, channel)];
        let scaled = |pixel: usize, channel: usize| at(pixel, channel) * scale;
        let level = |pixel: usize| match &self.colours {
            Colours::Grey => scaled(pixel, 0),
            Colours::WhiteIsZero => 255 - scaled(pixel, 0),
            Colours::Rgb => luma(&[scaled(pixel, 0), scaled(pixel, 1), scaled(pixel, 2)]) as u8,
            Colours::Palette(greys) => greys[usize::from(at(pixel, 0))],
            Colours::Cmyk => {
                let ink = |channel| u32::from(at(pixel, channel));
                let light = 255 - ink(3);
                let colour = |channel| light.saturating_sub(rounded_share(ink(channel), light));
                luma(&[colour(0), colour(1), colour(2)]) as u8
            }
            Colours::YCbCr => luma(&rgb([at(pixel, 0), at(pixel, 1), at(pixel, 2)])) as u8,
        };
        let pixels = self.height * self.width;
        let alpha = self.has_alpha.then(|| (0..pixels).map(|pixel| at(pixel, self.channels - 1)).collect());
        Ok((Values::Levels((0..pixels).map(level).collect()), alpha))
    }

    /// Mixes deeper samples to values. `white` is the largest value of the type, where 0 may be white.
    fn deep<T: Copy + Into<f64>>(
        &self,
        samples: &[T],
        no_data: Option<f64>,
        white: Option<f64>,
    ) -> Result<(Values, Option<Vec<u8>>), String> {
        let at = |pixel: usize, channel: usize| samples[self.place(pixel, channel)].into();
        // The text names a float32 by more or fewer digits than it has.
        let is_missing =
            |value: f64| no_data.is_some_and(|no_data| value == no_data || value == f64::from(no_data as f32));
        let value = |pixel: usize| match (&self.colours, white) {
            (Colours::Rgb, Some(white)) if white == f64::from(u16::MAX) => {
                luma(&[0, 1, 2].map(|channel| at(pixel, channel) as u32)) as f64
            }
            (Colours::Rgb, _) => 0.299 * at(pixel, 0) + 0.587 * at(pixel, 1) + 0.114 * at(pixel, 2),
            _ if is_missing(at(pixel, 0)) => f64::NAN,
            (Colours::WhiteIsZero, Some(white)) => white - at(pixel, 0),
            _ => at(pixel, 0),
        };
        let pixels = self.height * self.width;
        let opacity = |pixel| u8::from(at(pixel, self.channels - 1) > 0.0);
        let alpha = self.has_alpha.then(|| (0..pixels).map(opacity).collect());
        Ok((Values::Deep((0..pixels).map(value).collect()), alpha))
    }

    /// The index of a pixel's sample.
    fn place(&self, pixel: usize, channel: usize) -> usize {
        if self.planar { channel * self.height * self.width + pixel } else { pixel * self.channels + channel }
    }
}

impl Colours {
    fn palette(map: &[u64], bits: u64) -> Result<Self, String> {
        let size = 1_usize << bits.min(8);
        if map.len() != 3 * size {
            return Err("it is damaged: its palette has another size".to_owned());
        }
        // Reds, greens and blues of 16 bits, one after another; Pillow takes the upper 8.
        let colour = |index: usize| luma(&[0, 1, 2].map(|part| (map[part * size + index] >> 8) as u32 & 255)) as u8;
        Ok(Self::Palette((0..size).map(colour).collect()))
    }

    fn channels_in_file(&self) -> u8 {
        match self {
            Self::Grey | Self::WhiteIsZero | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }

    /// Channels for the audit: 1 grey or 3 colour.
    fn channels(&self) -> u8 {
        if matches!(self, Self::Grey | Self::WhiteIsZero) { 1 } else { 3 }
    }
}

/// Checks the strips or tiles: that those without compression have all their bytes, and that JPEG data are complete.
fn check_chunks(bytes: &[u8], structure: Structure<'_>, directory: &Directory, form: &Form) -> Result<(), String> {
    let compression = structure.number(directory, COMPRESSION).unwrap_or(UNCOMPRESSED);
    let numbers = |strip, tile| structure.numbers(directory, strip).or_else(|| structure.numbers(directory, tile));
    let (offsets, counts) = (numbers(STRIP_OFFSETS, TILE_OFFSETS), numbers(STRIP_BYTES, TILE_BYTES));
    let (Some(offsets), Some(counts)) = (offsets, counts) else {
        return Err("it is damaged: a page does not say where its pixels are".to_owned());
    };
    let cut = "the TIFF file is cut short: pixels lie beyond its end";
    if compression == UNCOMPRESSED {
        let planes = if form.planar { form.channels } else { 1 };
        let size = (form.row_bytes(form.width) * form.height * planes) as u64;
        if counts.iter().fold(0, |sum: u64, &count| sum.saturating_add(count)) < size {
            return Err("it lacks pixels: its strips or tiles are smaller than the picture".to_owned());
        }
    }
    for (offset, count) in offsets.into_iter().zip(counts) {
        let end = usize::try_from(offset.saturating_add(count)).unwrap_or(usize::MAX);
        let chunk = bytes.get(offset as usize..end).ok_or(cut)?;
        if chunk.is_empty() {
            return Err("it lacks pixels: a strip or tile is empty".to_owned());
        }
        if compression == DEFLATE || compression == OLD_DEFLATE {
            // The crate stops at the last pixel, before the checksum.
            io::copy(&mut ZlibDecoder::new(chunk).take(ALLOC_MAX_BYTES as u64), &mut io::sink())
                .map_err(|_| "the TIFF file is damaged: a strip or tile cannot be decompressed".to_owned())?;
        }
        if compression == JPEG {
            let tables = structure.data(directory, JPEG_TABLES).and_then(|tables| tables.strip_suffix(&[0xFF, 0xD9]));
            let whole = match (tables, chunk.get(2..)) {
                (Some(tables), Some(rest)) => [tables, rest].concat(),
                _ => chunk.to_vec(),
            };
            jpeg::check(&whole)?;
        }
    }
    Ok(())
}

/// Converts YCbCr to RGB as JFIF does.
fn rgb([y, cb, cr]: [u8; 3]) -> [u32; 3] {
    let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|level| level.round() as u8 as u32)
}

/// Returns a × b / 255, rounded as Pillow does.
const fn rounded_share(a: u32, b: u32) -> u32 {
    let product = a * b + 128;
    ((product >> 8) + product) >> 8
}

/// Reads the value that marks a pixel without one, as GDAL writes it.
fn number_in_text(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim_end_matches('\0').trim().parse().ok()
}

/// Returns the number of pictures that ImageJ names in the description; it may store them without pages.
fn images_of_imagej(description: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(description);
    let lines = text.strip_prefix("ImageJ=")?.lines();
    lines.filter_map(|line| line.strip_prefix("images=")).next()?.trim_end_matches('\0').trim().parse().ok()
}

/// Names a compression that is not read.
fn unread_compression(compression: u64) -> Option<String> {
    let name = match compression {
        // None, CCITT group 4, LZW, JPEG, deflate in both numbers, PackBits and zstd.
        UNCOMPRESSED | 4 | 5 | JPEG | 8 | 32_773 | 32_946 | 50_000 => return None,
        2 => "CCITT RLE",
        3 => "CCITT group 3",
        6 => "old-style JPEG",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_887 => "LERC",
        34_892 => "lossy JPEG of DNG",
        34_925 => "LZMA",
        34_933 => "PNG",
        34_927 | 50_001 => "WebP",
        50_002 | 52_546 => "JPEG XL",
        other => return Some(other.to_string()),
    };
    Some(name.to_owned())
}

fn not_read(what: &str) -> String {
    format!("it is a TIFF file with {what}, which is not read; save it with grey or RGB of 8 or 16 bits, e.g. as PNG")
}

fn unreadable(error: TiffError) -> String {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "the TIFF file is cut short, or a strip or tile lacks pixels".to_owned()
        }
        TiffError::LimitsExceeded => "the picture is too large for 512 MiB of memory".to_owned(),
        error => format!("cannot decode it: {error}"),
    }
}
