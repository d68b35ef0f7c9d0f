//! The table of `score`: agreement of each mask with the ground truth.

use orchestrate_engine::stage::{ArtifactFacts, StageError};

use super::{Columns, Rows, Table, described};

/// Agreement of mask and ground truth, one row a scored image, in the order of [`super::Cams`].
///
/// Columns: `image`, `label` and `predicted` (class names), `correct`, `iou`, `dice`, `precision`, `recall` (0..=1;
/// missing if the ground truth is empty, so means leave such images out), `mask_pixels`, `truth_pixels`; `constant`
/// (whether the map has one value everywhere), left out if no map has. Notes: `classes`; `classified` (JSON list of
/// the classified images of each class), if only those classified correctly are scored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Names of the images.
    pub names: Vec<String>,
    /// True class index of each image.
    pub labels: Vec<u32>,
    /// Predicted class index of each image.
    pub predicted: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Intersection over union of each image; `None` if the ground truth is empty.
    pub iou: Vec<Option<f64>>,
    /// Dice coefficient of each image; `None` if the ground truth is empty.
    pub dice: Vec<Option<f64>>,
    /// Share of the mask that is foreground; 0 if the mask is empty, `None` if the ground truth is.
    pub precision: Vec<Option<f64>>,
    /// Share of the foreground that is in the mask; `None` if the ground truth is empty.
    pub recall: Vec<Option<f64>>,
    /// Pixels in the mask of each image.
    pub mask_pixels: Vec<u32>,
    /// Pixels in the ground truth of each image.
    pub truth_pixels: Vec<u32>,
    /// Whether the heatmap or predicted mask of each image has one value everywhere; empty if none has.
    pub constant: Vec<bool>,
    /// Images of each class of which those classified correctly are scored; `None` if all are scored.
    pub classified: Option<Vec<u64>>,
}

impl Scores {
    /// Names of the metrics, each a column.
    pub const METRICS: [&'static str; 4] = ["iou", "dice", "precision", "recall"];

    /// Reads whether the map of each image is constant; empty if none is.
    pub(crate) fn constant(rows: &Rows) -> Result<Vec<bool>, StageError> {
        rows.optional("constant", Rows::bool)
    }

    /// Reads the number of classified images of each class; `None` if all images are scored.
    pub(crate) fn classified(rows: &Rows, classes: &[String]) -> Result<Option<Vec<u64>>, StageError> {
        let Some(note) = rows.note("classified") else { return Ok(None) };
        let counts: Option<Vec<u64>> = serde_json::from_str(note).ok();
        let counts = counts.filter(|counts| counts.len() == classes.len());
        let wrong = || rows.error(format!("note `classified` must list a number of images for each class, not {note}"));
        counts.map(Some).ok_or_else(wrong)
    }
}

impl Table for Scores {
    const FACTS: &'static ArtifactFacts = &described::SCORES;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let correct = self.labels.iter().zip(&self.predicted).map(|(label, predicted)| label == predicted);
        let mut columns = Columns::new()
            .many()
            .text("image", &self.names)
            .class("label", &self.labels, &self.classes)?
            .class("predicted", &self.predicted, &self.classes)?
            .bool("correct", correct)
            .optional_float("iou", self.iou.iter().copied())
            .optional_float("dice", self.dice.iter().copied())
            .optional_float("precision", self.precision.iter().copied())
            .optional_float("recall", self.recall.iter().copied())
            .integer("mask_pixels", self.mask_pixels.iter().map(|&pixels| i64::from(pixels)))
            .integer("truth_pixels", self.truth_pixels.iter().map(|&pixels| i64::from(pixels)))
            .classes(&self.classes)?;
        if !self.constant.is_empty() {
            columns = columns.bool("constant", self.constant.iter().copied());
        }
        if let Some(classified) = &self.classified {
            columns = columns.note("classified", serde_json::to_string(classified).expect("numbers are JSON"));
        }
        Ok(columns)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let classes = rows.classes(&["label", "predicted"])?;
        Ok(Self {
            names: rows.text("image")?,
            labels: rows.class("label", &classes)?,
            predicted: rows.class("predicted", &classes)?,
            iou: rows.optional_float("iou")?,
            dice: rows.optional_float("dice")?,
            precision: rows.optional_float("precision")?,
            recall: rows.optional_float("recall")?,
            mask_pixels: rows.unsigned("mask_pixels")?,
            truth_pixels: rows.unsigned("truth_pixels")?,
            constant: Self::constant(rows)?,
            classified: Self::classified(rows, &classes)?,
            classes,
        })
    }
}
