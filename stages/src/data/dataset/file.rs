//! An external file, opened: one or several pictures and the facts of its header.

use std::io::Read;
use std::path::Path;

use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};

use super::dicom::Dicom;
use super::nifti::{Axis, Nifti};
use super::picture::Picture;
use super::raster::{Header, Raster, Values};
use super::window::range;

/// Endings of the names of files that are read, in lower case.
const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "tif", "tiff", "dcm", "dicom", "nii", "nii.gz"];

/// The formats, for people.
pub(super) const FORMATS: &str = "PNG, JPEG, TIFF, DICOM and NIfTI";

/// Returns whether a file is read as an image: by its ending, or, without one, as it begins as DICOM does.
pub(super) fn is_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let has_ending = ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')));
    has_ending || !name.contains('.') && is_dicom(path)
}

/// Returns whether a file begins as DICOM does: `DICM` after 128 bytes.
fn is_dicom(path: &Path) -> bool {
    let mut head = [0; 132];
    let read = external::open(path, EXTERNAL_BYTES_MAX).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.ends_with(b"DICM")
}

/// A decoder's state for one file. Pictures, also called parts, are counted from 0: pages, frames or slices.
pub(super) enum SourceFile {
    Picture(Picture),
    Dicom(Box<Dicom>),
    Nifti(Box<Nifti>),
}

impl SourceFile {
    /// Recognizes the format by the contents.
    ///
    /// - `axis`: the direction in which slices of a NIfTI volume follow each other
    ///
    /// Errors: no known format, or a damaged header; one sentence without the name of the file.
    pub(super) fn open(bytes: Vec<u8>, axis: Axis) -> Result<Self, String> {
        if Dicom::is_start_of(&bytes) {
            Dicom::open(bytes).map(Box::new).map(Self::Dicom)
        } else if Nifti::is_start_of(&bytes) {
            Nifti::open(bytes, axis).map(Box::new).map(Self::Nifti)
        } else {
            Picture::open(bytes).map(Self::Picture)
        }
    }

    /// The number of pictures.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Picture(picture) => picture.pages(),
            Self::Dicom(dicom) => dicom.parts(),
            Self::Nifti(nifti) => nifti.parts(),
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

    /// Returns the facts of the header; those of a DICOM file hold for a frame, or for the first.
    pub(super) fn header(&self, part: Option<usize>) -> Result<Header, String> {
        match self {
            Self::Picture(_) => Ok(Header::default()),
            Self::Dicom(dicom) => dicom.header(part),
            Self::Nifti(nifti) => Ok(nifti.header()),
        }
    }

    /// Decodes a picture. Errors: `part` is `None` and there are several, or there is no such part; damaged data.
    pub(super) fn image(&self, part: Option<usize>) -> Result<Raster, String> {
        match self {
            Self::Picture(picture) => picture.image(part),
            Self::Dicom(dicom) => dicom.image(part),
            Self::Nifti(nifti) => nifti.image(part),
        }
    }

    /// Decodes the mask of the image with that header: label values, not yet told apart by the param `foreground`.
    ///
    /// A mask of one picture has it for every `part`.
    pub(super) fn mask(&self, part: Option<usize>, image: &Header) -> Result<Raster, String> {
        match self {
            Self::Picture(picture) => picture.mask(part),
            Self::Dicom(dicom) => dicom.mask(part, image),
            Self::Nifti(nifti) => nifti.mask(part),
        }
    }

    /// Checks that a mask's voxels lie where those of its image do; only two volumes can differ.
    pub(super) fn check_geometry(&self, image: &Self) -> Result<(), String> {
        match (self, image) {
            (Self::Nifti(mask), Self::Nifti(image)) => mask.check_geometry(image),
            _ => Ok(()),
        }
    }

    /// Lists the pictures of a mask whose label values `is_wanted` accepts, such as those with foreground.
    pub(super) fn parts_where(
        &self,
        is_wanted: impl Fn(&Raster) -> Result<bool, String>,
    ) -> Result<Vec<usize>, String> {
        let mut wanted = Vec::new();
        for part in 0..self.parts() {
            if is_wanted(&self.mask(Some(part), &Header::default())?)? {
                wanted.push(part);
            }
        }
        Ok(wanted)
    }
}
