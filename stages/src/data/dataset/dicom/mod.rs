//! DICOM files: images of one or several frames, and segmentations as masks. Source: DICOM 2024, PS3.3, PS3.5 and
//! PS3.10; every number is compared with pydicom.
//!
//! Read: explicit and implicit elements, big endian, deflated; pixels that are plain or compressed by JPEG (8 bits, and
//! lossless), JPEG 2000 or RLE; grey, RGB, YCbCr and palettes; files without the header of PS3.10.
//!
//! No text of a header is in any message, as it may be a name.

mod codec;
mod element;
mod frame;
mod functional;
mod lut;
mod object;
mod pixel;
mod samples;
mod segmentation;
mod syntax;
mod tag;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Read;

use flate2::read::DeflateDecoder;

use super::raster::{Header, Plane, Raster, SIDE_MAX, VOLUME_MAX_BYTES};
use super::window::{FileWindow, Function};

use element::{DataSet, Encoding};
use frame::Frames;
use functional::{Groups, group};
use pixel::Meaning;
use samples::Shape;
use syntax::Syntax;

/// A DICOM file with pixels.
pub(in crate::data::dataset) struct Dicom {
    bytes: Vec<u8>,
    set: DataSet,
    groups: Groups,
    frames: Frames,
    meaning: Meaning,
    is_segmentation: bool,
}

impl Dicom {
    /// True if the bytes begin as a DICOM file does, with its preamble or without.
    pub(in crate::data::dataset) fn is_start_of(bytes: &[u8]) -> bool {
        // Without a preamble, the tag of a first element of group 2 or 8; nothing else that is read begins so.
        let is_first = |bytes: &[u8]| matches!(bytes, [2 | 8, 0, _, 0, ..] | [0, 8, 0, _, ..]);
        has_preamble(bytes) || is_first(bytes) && Encoding::guessed(bytes).is_some()
    }

    /// Reads all but the pixels.
    ///
    /// Errors: a damaged file; one without pixels, which says what it is; pixels of a form that is not read.
    pub(in crate::data::dataset) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let start = if has_preamble(&bytes) { 132 } else { 0 };
        let (header, mut at) = DataSet::read_header(&bytes, start)?;
        let guessed = || Encoding::guessed(&bytes[at..]).map(Syntax::plain);
        let known = header.text(&bytes, tag::TRANSFER_SYNTAX).map(|uid| Syntax::of(&uid));
        let syntax = known.or_else(guessed).ok_or("the file is damaged: its header names no transfer syntax")?;
        let class = header.text(&bytes, tag::MEDIA_CLASS).map(Cow::into_owned);
        let bytes = if syntax.deflated {
            let inflated = inflated(&bytes[at..])?;
            at = 0;
            inflated
        } else {
            bytes
        };
        // Some files name an explicit syntax and are implicit; pydicom looks at the first element too.
        let explicit = Encoding::guessed(&bytes[at..]).map_or(syntax.encoding.explicit, |guess| guess.explicit);
        let encoding = Encoding { explicit, ..syntax.encoding };
        let set = DataSet::read(&bytes, at..bytes.len(), encoding)?;
        let class = set.text(&bytes, tag::SOP_CLASS).map(Cow::into_owned).or(class).unwrap_or_default();
        let modality = set.text(&bytes, tag::MODALITY).unwrap_or_default();
        if !tag::PIXELS.iter().any(|tag| set.has(*tag)) {
            return Err(object::without_pixels(&class, &modality));
        }
        let is_segmentation = object::is_segmentation(&class, &modality);
        let photometric = set.text(&bytes, tag::PHOTOMETRIC).unwrap_or_default();
        let shape = shape(&bytes, &set)?;
        let count = set.decimal(&bytes, tag::FRAMES, "Number of Frames")?.unwrap_or(1.0);
        if !(1.0..=1e9).contains(&count) || count.fract() != 0.0 {
            return Err("its Number of Frames is no number of frames".to_owned());
        }
        let frames = Frames::find(&bytes, &set, shape, count as usize, &photometric, syntax.pixels)?;
        let meaning = Meaning::read(&bytes, &set, shape, &photometric)?;
        let groups = Groups::read(&bytes, &set)?;
        Ok(Self { groups, frames, meaning, is_segmentation, set, bytes })
    }

    /// The number of frames; 1 for a segmentation, whose frames are chosen by the image.
    pub(in crate::data::dataset) const fn parts(&self) -> usize {
        if self.is_segmentation { 1 } else { self.frames.count }
    }

    /// Returns the facts of the header that hold for a frame, or for the first.
    pub(in crate::data::dataset) fn header(&self, part: Option<usize>) -> Result<Header, String> {
        let text = |tag| self.set.text(&self.bytes, tag).map(Cow::into_owned);
        let frame = part.unwrap_or(0);
        let groups = self.groups.of(&self.bytes, &self.set, frame)?;
        Ok(Header {
            patient: text(tag::PATIENT),
            instance: text(tag::SOP_INSTANCE),
            frame: (self.frames.count > 1).then_some(frame + 1),
            series: text(tag::SERIES),
            plane: plane(&self.bytes, &self.set, &groups)?,
            burned_in: text(tag::BURNED_IN).is_some_and(|flag| flag == "YES"),
            window: if self.meaning.is_grey() { window(&self.bytes, &self.set, &groups)? } else { None },
            is_inverted: self.meaning.is_inverted(),
        })
    }

    /// Decodes a frame. Errors: no frame is named and there are several; damaged data.
    pub(in crate::data::dataset) fn image(&self, part: Option<usize>) -> Result<Raster, String> {
        if self.is_segmentation {
            return Err("it is a segmentation (SEG), no image; name it as the mask of its images".to_owned());
        }
        self.raster(self.frame(part)?, false)
    }

    /// Decodes label values: the frames of a segmentation that belong to the image, or a picture's stored values.
    pub(in crate::data::dataset) fn mask(&self, part: Option<usize>, image: &Header) -> Result<Raster, String> {
        if self.is_segmentation {
            return segmentation::mask(self, image);
        }
        self.raster(if self.frames.count == 1 { 0 } else { self.frame(part)? }, true)
    }

    fn frame(&self, part: Option<usize>) -> Result<usize, String> {
        let count = self.frames.count;
        match part {
            None if count == 1 => Ok(0),
            None => Err(format!("it has {count} frames; set `frame` (0 is the first)")),
            Some(frame) if frame < count => Ok(frame),
            Some(frame) => Err(format!("it has no frame {frame}; its frames are 0 to {}", count - 1)),
        }
    }

    fn raster(&self, frame: usize, is_mask: bool) -> Result<Raster, String> {
        let samples = self.frames.samples(&self.bytes, &self.set, frame)?;
        let groups = self.groups.of(&self.bytes, &self.set, frame)?;
        self.meaning.raster(&self.bytes, &self.set, &groups, (&samples, self.frames.shape), is_mask)
    }
}

fn has_preamble(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Decompresses a data set. Errors: damage; more than [`VOLUME_MAX_BYTES`].
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let mut reader = DeflateDecoder::new(bytes).take(VOLUME_MAX_BYTES + 1);
    reader.read_to_end(&mut inflated).map_err(|_| "the file is damaged: it cannot be decompressed")?;
    if inflated.len() as u64 > VOLUME_MAX_BYTES {
        return Err(format!("it is larger than {} GiB when decompressed", VOLUME_MAX_BYTES >> 30));
    }
    Ok(inflated)
}

/// Reads the size of a frame. Errors: none, or one that is not read.
fn shape(bytes: &[u8], set: &DataSet) -> Result<Shape, String> {
    let number = |tag| set.word(bytes, tag).map(usize::from);
    let (rows, columns) = number(tag::ROWS).zip(number(tag::COLUMNS)).ok_or("its header has no Rows or no Columns")?;
    if rows == 0 || columns == 0 {
        return Err("the picture has no pixels".to_owned());
    }
    if rows > SIDE_MAX || columns > SIDE_MAX {
        return Err(format!("the picture is too large ({rows} × {columns}); at most {SIDE_MAX} × {SIDE_MAX} is read"));
    }
    let samples = number(tag::SAMPLES).unwrap_or(1);
    if !matches!(samples, 1 | 3) {
        return Err(format!("it has {samples} samples a pixel; 1 and 3 are read"));
    }
    let allocated = match number(tag::BITS_ALLOCATED) {
        _ if set.has(tag::FLOAT_PIXELS) => 32,
        _ if set.has(tag::DOUBLE_PIXELS) => 64,
        Some(allocated @ (1 | 8 | 16 | 32)) => allocated as u8,
        Some(other) => return Err(format!("its samples lie in {other} bits; 1, 8, 16 and 32 are read")),
        None => return Err("its header has no Bits Allocated".to_owned()),
    };
    if allocated == 1 && samples != 1 {
        return Err("it has colours of one bit".to_owned());
    }
    Ok(Shape { rows, columns, samples, allocated })
}

/// Reads the first window, PS3.3 C.11.2. A width that is not positive is none.
fn window(bytes: &[u8], set: &DataSet, groups: &[DataSet]) -> Result<Option<FileWindow>, String> {
    let set = group(bytes, groups, set, tag::FRAME_WINDOW)?;
    let centre = set.decimal(bytes, tag::WINDOW_CENTER, "Window Center")?;
    let width = set.decimal(bytes, tag::WINDOW_WIDTH, "Window Width")?;
    let function = match set.text(bytes, tag::WINDOW_FUNCTION).as_deref() {
        Some("LINEAR_EXACT") => Function::LinearExact,
        Some("SIGMOID") => Function::Sigmoid,
        _ => Function::Linear,
    };
    let window = centre.zip(width).filter(|(_, width)| *width > 0.0);
    Ok(window.map(|(centre, width)| FileWindow { centre, width, function }))
}

/// Reads where a frame lies in the patient; `None` if its header does not say.
fn plane(bytes: &[u8], set: &DataSet, groups: &[DataSet]) -> Result<Option<Plane>, String> {
    let read = |sequence, tag, name| -> Result<Vec<f64>, String> {
        group(bytes, groups, set, sequence)?.decimals(bytes, tag, name)
    };
    let position = read(tag::PLANE_POSITION, tag::POSITION, "Image Position")?;
    let orientation = read(tag::PLANE_ORIENTATION, tag::ORIENTATION, "Image Orientation")?;
    let (position, orientation) = (position.try_into().ok(), orientation.try_into().ok());
    Ok(position.zip(orientation).map(|(position, orientation)| Plane { position, orientation }))
}
