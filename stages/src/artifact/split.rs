//! The table of `split`: the fold of each image.

use orchestrate_engine::stage::{ArtifactFacts, StageError};

use super::{Columns, Rows, Table, described};

/// The validation fold of each image, in data set order.
///
/// Columns: `image`, `label` (class name), `patient` (may be missing), `fold`. Notes: `classes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Names of the images.
    pub names: Vec<String>,
    /// Class index of each image.
    pub labels: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Patient of each image; `None` if unknown.
    pub patients: Vec<Option<String>>,
    /// The fold, 1..=k, in which the image is in the validation set.
    pub folds: Vec<u32>,
}

impl Table for Split {
    const FACTS: &'static ArtifactFacts = &described::SPLIT;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        Columns::new()
            .text("image", &self.names)
            .class("label", &self.labels, &self.classes)?
            .optional_text("patient", &self.patients)
            .integer("fold", self.folds.iter().map(|&fold| i64::from(fold)))
            .classes(&self.classes)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let classes = rows.classes(&["label"])?;
        let folds = rows.unsigned::<u32>("fold")?;
        if folds.contains(&0) {
            return Err(rows.error("column `fold` has the value 0; folds count from 1"));
        }
        Ok(Self {
            names: rows.text("image")?,
            labels: rows.class("label", &classes)?,
            patients: rows.optional_text("patient")?,
            folds,
            classes,
        })
    }
}
