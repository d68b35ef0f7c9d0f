//! Pictures inside a file: pages of TIFF, frames of DICOM, slices of NIfTI, all counted from 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The picture to take from files with several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number from 0, or the name of a column of the manifest, is expected")]
pub enum Part {
    /// The same number for every file.
    Index(usize),
    /// A column of the manifest with a number for each row; an empty cell is a file with one picture.
    Column(String),
}

/// The parts that the files of a format have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Page,
    Frame,
    Slice,
}

impl PartKind {
    pub(super) const ALL: [Self; 3] = [Self::Page, Self::Frame, Self::Slice];

    /// Returns the param that chooses a part, which is also the default name of the column.
    pub(super) const fn param(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Frame => "frame",
            Self::Slice => "slice",
        }
    }

    /// Returns the parts of a file by its name: `.nii` and `.nii.gz` have slices, `.tif` and `.tiff` pages, and other
    /// files, which may be DICOM under any name, frames.
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match () {
            () if ends(&[".nii", ".nii.gz"]) => Self::Slice,
            () if ends(&[".tif", ".tiff"]) => Self::Page,
            () => Self::Frame,
        }
    }
}
