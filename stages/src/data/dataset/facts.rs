//! ImageFacts about each image, noted while it is read, for the audit.

use orchestrate_cache::Digest;

use super::raster::Samples;
use super::resize::Grid;

/// ImageFacts about one image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImageFacts {
    /// Height and width in the file.
    pub(super) size: (usize, usize),
    /// Form of the samples in the file; `None` if the format has only one.
    pub(super) samples: Option<Samples>,
    /// Smallest and largest value, of files of more than 8 bits.
    pub(super) range: Option<(f64, f64)>,
    /// Pixels without a value: padding and NaN.
    pub(super) excluded: usize,
    /// Digest of size and grey levels, before resizing.
    pub(super) digest: Digest,
    /// Files of masks.
    pub(super) masks: usize,
    /// Foreground pixels of the mask in the file, and after resizing; `None` without a mask.
    pub(super) foreground: Option<(usize, usize)>,
    /// The patient of the header, as a pseudonym.
    pub(super) patient: Option<String>,
    /// True if the header says that text is burned into the pixels.
    pub(super) burned_in: bool,
}

impl ImageFacts {
    /// Returns the facts that grey levels show.
    pub(super) fn of(image: &Grid, masks: usize) -> Self {
        let mut bytes = Vec::with_capacity(16 + image.pixels.len());
        bytes.extend((image.height as u64).to_le_bytes());
        bytes.extend((image.width as u64).to_le_bytes());
        bytes.extend(&image.pixels);
        Self {
            size: image.size(),
            samples: None,
            range: None,
            excluded: 0,
            digest: Digest::of(&bytes),
            masks,
            foreground: None,
            patient: None,
            burned_in: false,
        }
    }
}
