//! One decoded picture before its intensities become grey levels, and facts of its file's header.

use super::window::FileWindow;

/// Largest height and width, so that a small damaged file cannot allocate all memory.
pub(super) const SIDE_MAX: usize = 8192;
/// Largest size of a compressed volume or data set, decompressed.
pub(super) const VOLUME_MAX_BYTES: u64 = 2 << 30;

/// One picture, `[height, width]`, row by row, upright as a viewer shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raster {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Values,
    pub(super) samples: Samples,
}

/// Intensities, colours already mixed to grey.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Levels 0..=255 of a file with at most 8 bits a sample; they stay as they are.
    Levels(Vec<u8>),
    /// Values of a deeper file, in its own units after rescaling; NaN is padding or background without a value.
    Deep(Vec<f64>),
}

/// The form of a picture's samples in its file, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Samples {
    /// Number of channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
    pub(super) channels: u8,
    /// The type: `1 bit`, `8 bits`, `16 bits`, `int16`, `float32` and so on.
    pub(super) depth: &'static str,
}

/// Facts of a file's header. No text of it may reach an artifact, log or message, but for `patient` as a pseudonym.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header {
    /// Identity of the patient.
    pub(super) patient: Option<String>,
    /// Identity of the picture that masks refer to: the SOP Instance UID of DICOM.
    pub(super) instance: Option<String>,
    /// The number of the picture among several of that identity, counted from 1.
    pub(super) frame: Option<usize>,
    /// Identity of the volume that a slice in a file of its own belongs to: the Series Instance UID of DICOM.
    pub(super) series: Option<String>,
    /// The place of a DICOM picture in the patient.
    pub(super) plane: Option<Plane>,
    /// True if the header says that text is burned into the pixels.
    pub(super) burned_in: bool,
    /// The display window that the header names.
    pub(super) window: Option<FileWindow>,
    /// True if larger deep values are darker, as in MONOCHROME1 of DICOM; the window is applied before the inversion.
    pub(super) is_inverted: bool,
}

/// The place of a picture in the patient, in mm. Source: DICOM PS3.3 2024, C.7.6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plane {
    /// Centre of the first pixel.
    pub(super) position: [f64; 3],
    /// Directions of a row and of a column, as unit vectors.
    pub(super) orientation: [f64; 6],
}

impl Plane {
    /// True if the planes are the same but for rounding: positions up to 0.01 mm, directions up to 0.001.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        let near = |one: &[f64], other: &[f64], most: f64| one.iter().zip(other).all(|(a, b)| (a - b).abs() <= most);
        near(&self.position, &other.position, 0.01) && near(&self.orientation, &other.orientation, 0.001)
    }
}

impl Raster {
    /// Returns height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
}

/// Returns Rec. 601 luma in 16-bit fixed point, rounded, with Pillow's weights.
pub(super) fn luma<T: Copy + Into<u64>>(rgb: &[T]) -> u64 {
    (rgb[0].into() * 19_595 + rgb[1].into() * 38_470 + rgb[2].into() * 7_471 + 0x8000) >> 16
}
