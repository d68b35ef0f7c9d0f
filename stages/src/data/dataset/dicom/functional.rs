//! Attributes of one frame: in its functional groups, in those that all frames share, or of the whole file. Source:
//! DICOM PS3.3 2024, C.7.6.16.

use std::ops::Range;

use super::element::DataSet;
use super::tag::{self, Tag};

/// Functional groups of an enhanced multi-frame file.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    shared: Option<DataSet>,
    frames: Vec<Range<usize>>,
}

impl Groups {
    pub(super) fn read(bytes: &[u8], set: &DataSet) -> Result<Self, String> {
        let shared = set.item(bytes, tag::SHARED_GROUPS)?;
        Ok(Self { shared, frames: set.item_places(bytes, tag::FRAME_GROUPS)? })
    }

    /// Finds the groups of a frame, its own first.
    pub(super) fn of(&self, bytes: &[u8], set: &DataSet, frame: usize) -> Result<Vec<DataSet>, String> {
        let own =
            self.frames.get(frame).map(|place| DataSet::read(bytes, place.clone(), set.encoding())).transpose()?;
        Ok(own.into_iter().chain(self.shared.clone()).collect())
    }
}

/// Returns the first item of a sequence in the first group that has it; else the data set itself.
pub(super) fn group(bytes: &[u8], groups: &[DataSet], set: &DataSet, sequence: Tag) -> Result<DataSet, String> {
    for group in groups {
        if let Some(item) = group.item(bytes, sequence)? {
            return Ok(item);
        }
    }
    Ok(set.clone())
}
