//! An external file, opened: one or several pictures and the facts of its header.

use super::picture::Picture;
use super::raster::{Header, Raster};

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
