//! The table of `predict-masks`: the mask that a segmentation network predicts for each image.

use std::ops::Range;
use std::path::Path;

use orchestrate_engine::stage::{ArtifactFacts, Item, StageError};

use super::grids::{GridsWriter, mask_columns, mask_grids};
use super::{Columns, MaskReader, Rows, Table, constant_maps, described, is_constant};

/// Predicted masks of validation images, in data set order.
///
/// Columns: `image`, `height`, `width`, `pixels` (bytes 0 or 1, `[height, width]`, row by row), `label` (class name).
/// Notes: `classes`.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedMasks {
    /// Names of the images.
    pub names: Vec<String>,
    /// True class index of each image; the network does not predict it.
    pub labels: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Height of every mask, that of the network's input.
    pub height: usize,
    /// Width of every mask.
    pub width: usize,
    /// 1 = foreground, 0 = background, `[image, height, width]`.
    pub pixels: Vec<u8>,
}

impl PredictedMasks {
    /// Starts the table in a new file with everything but the pixels, which follow some images at a time.
    pub fn writer<'a>(&'a self, path: &Path) -> Result<GridsWriter<'a>, StageError> {
        GridsWriter::create::<Self>(path, (self.names.len(), self.height * self.width), |rows, pixels| {
            self.columns_of(rows, pixels)
        })
    }

    fn columns_of<'p>(&self, rows: Range<usize>, pixels: &'p [u8]) -> Result<Columns<'p>, StageError> {
        mask_columns(&self.names[rows.clone()], (self.height, self.width), pixels)?
            .class("label", &self.labels[rows], &self.classes)?
            .classes(&self.classes)
    }
}

/// [`PredictedMasks`] whose foreground is read when asked for.
pub struct PredictedReader {
    /// Class index of each image.
    pub labels: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// The masks, with the names of the images.
    pub masks: MaskReader,
}

impl PredictedReader {
    /// Opens an item of a port, and reads all columns but the pixels.
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        let rows = PredictedMasks::open(item)?;
        let classes = rows.classes(&["label"])?;
        Ok(Self { labels: rows.class("label", &classes)?, classes, masks: MaskReader::open(rows)? })
    }
}

impl From<PredictedMasks> for PredictedReader {
    fn from(predicted: PredictedMasks) -> Self {
        let size = (predicted.height, predicted.width);
        let masks = MaskReader::held(&predicted.names, size, &predicted.pixels);
        Self { labels: predicted.labels, classes: predicted.classes, masks }
    }
}

impl Table for PredictedMasks {
    const FACTS: &'static ArtifactFacts = &described::PREDICTED_MASKS;

    fn warning(&self) -> Option<String> {
        let masks = self.pixels.chunks(self.height.saturating_mul(self.width).max(1));
        constant_maps("predicted masks", &self.names, masks.map(is_constant))
    }

    fn open(item: &Item) -> Result<Rows, StageError> {
        Self::open_stored(item)
    }

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        self.columns_of(0..self.names.len(), &self.pixels)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let classes = rows.classes(&["label"])?;
        let (names, height, width, pixels) = mask_grids(rows, |_| true)?;
        Ok(Self { names, labels: rows.class("label", &classes)?, classes, height, width, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks() -> PredictedMasks {
        PredictedMasks {
            names: ["b.png", "a.png"].map(str::to_owned).to_vec(),
            labels: vec![1, 0],
            classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
            height: 1,
            width: 3,
            pixels: vec![0, 1, 1, 0, 0, 0],
        }
    }

    #[test]
    fn predicted_masks_survive_parquet() {
        let bytes = masks().encode().expect("they fit");
        assert_eq!(PredictedMasks::decode(&bytes).expect("they were just written"), masks());
    }

    #[test]
    fn pixels_that_are_no_mask_are_refused() {
        let grey = PredictedMasks { pixels: vec![0, 2, 0, 0, 0, 0], ..masks() };
        let error = PredictedMasks::decode(&grey.encode().expect("bytes are bytes")).expect_err("2 is no mask");
        assert!(error.to_string().contains("other than 0 and 1"), "{error}");
    }
}
