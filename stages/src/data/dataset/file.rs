//! An external file, opened: one or several pictures and the facts of its header.

use std::io::Read;
use std::path::Path;

use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};

use super::picture::Picture;
use super::raster::{Header, Raster, Values};
use super::window::range;

/// Endings of the names of files that are read, in lower case.
pub(super) const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "tif", "tiff", "dcm", "dicom", "nii", "nii.gz"];

/// The formats, for people.
pub(super) const FORMATS: &str = "PNG, JPEG, TIFF, DICOM and NIfTI";

/// Returns whether a file begins as DICOM does: `DICM` after 128 bytes.
pub(super) fn is_dicom(path: &Path) -> bool {
    let mut head = [0; 132];
    let read = external::open(path, EXTERNAL_BYTES_MAX).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.ends_with(b"DICM")
}

/// A decoder's state for one file. Pictures, also called parts, are counted from 0: pages, frames or slices.
pub(super) enum SourceFile {
    Picture(Picture),
}

impl SourceFile {
    /// Recognizes the format by the contents.
    ///
    /// Errors: no known format, or a damaged header; one sentence without the name of the file.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        Picture::open(bytes).map(Self::Picture)
    }

    /// The number of pictures.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Picture(picture) => picture.pages(),
        }
    }

    /// Returns the smallest and the largest value of all pictures, NaN left out; `None` of a file of at most 8 bits.
    pub(super) fn range(&self) -> Result<Option<(f64, f64)>, String> {
        let mut whole: Option<(f64, f64)> = None;
        for part in 0..self.parts() {
            if let Values::Deep(values) = self.image(Some(part))?.values
                && let Some(range) = range(&values)?
            {
                whole = Some(whole.map_or(range, |whole| (whole.0.min(range.0), whole.1.max(range.1))));
            }
        }
        Ok(whole)
    }

    /// Returns the facts of the header.
    pub(super) fn header(&self) -> Header {
        Header::default()
    }

    /// Decodes a picture. Errors: `part` is `None` and there are several, or there is no such part; damaged data.
    pub(super) fn image(&self, part: Option<usize>) -> Result<Raster, String> {
        match self {
            Self::Picture(picture) => picture.image(part),
        }
    }

    /// Decodes the mask of the image with that header: label values, not yet told apart by the param `foreground`.
    ///
    /// A mask of one picture has it for every `part`.
    pub(super) fn mask(&self, part: Option<usize>, _image: &Header) -> Result<Raster, String> {
        match self {
            Self::Picture(picture) => picture.mask(part),
        }
    }
}
