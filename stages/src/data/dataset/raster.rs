//! One decoded picture before its intensities become grey levels, and facts of its file's header.

use super::window::FileWindow;

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
    /// Identity of the volume that a slice in a file of its own belongs to: the Series Instance UID of DICOM.
    pub(super) series: Option<String>,
    /// True if the header says that text is burned into the pixels.
    pub(super) burned_in: bool,
    /// The display window that the header names.
    pub(super) window: Option<FileWindow>,
}

impl Raster {
    /// Returns height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
}
