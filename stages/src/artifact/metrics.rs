//! The tables of `classify`: quality of the predicted classes.

use orchestrate_engine::stage::StageError;

use super::{Columns, Rows, Table};

/// The label of all classes together, in a column of class names.
pub const ALL: &str = "all";

/// The gathered axes of several inputs: one column an axis, one label a row.
pub type AxisColumns = Vec<(String, Vec<String>)>;

/// Metrics of a classification in tidy form, one row a value.
///
/// Columns: one for each gathered axis (labels), `metric` (`accuracy`, `precision`, `recall`, `f1`), `label` (class
/// name or `all`), `value` (0..=1; missing for a class without images that is never predicted), `n` (images). Notes:
/// `classes`, `axes`, `synthetic` (`true` for images of the phantom).
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Labels of the gathered axes.
    pub axes: AxisColumns,
    /// Name of each metric.
    pub metrics: Vec<String>,
    /// Class name, or `all`.
    pub labels: Vec<String>,
    /// The values.
    pub values: Vec<Option<f64>>,
    /// Images of that class.
    pub counts: Vec<u64>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Whether the images are synthetic.
    pub synthetic: bool,
}

/// A confusion matrix in tidy form: counts of each predicted class for the images of each class.
///
/// Columns: one for each gathered axis (labels), `label`, `predicted` (class names), `n` (images). Notes: `classes`,
/// `axes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    /// Labels of the gathered axes.
    pub axes: AxisColumns,
    /// True class index.
    pub labels: Vec<u32>,
    /// Predicted class index.
    pub predicted: Vec<u32>,
    /// Number of images.
    pub counts: Vec<u64>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
}

impl Table for Metrics {
    const OUTPUT: &'static str = "metrics";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        Ok(axis_columns(&self.axes)
            .text("metric", &self.metrics)
            .text("label", &self.labels)
            .optional_float("value", self.values.iter().copied())
            .integer("n", self.counts.iter().map(|&count| count as i64))
            .classes(&self.classes)?
            .note("synthetic", self.synthetic.to_string()))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        Ok(Self {
            axes: axes(rows)?,
            metrics: rows.text("metric")?,
            labels: rows.text("label")?,
            values: rows.optional_float("value")?,
            counts: rows.unsigned("n")?,
            classes: rows.list_note("classes")?.unwrap_or_default(),
            synthetic: rows.note("synthetic") == Some("true"),
        })
    }
}

impl Table for Confusion {
    const OUTPUT: &'static str = "confusion";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        axis_columns(&self.axes)
            .class("label", &self.labels, &self.classes)?
            .class("predicted", &self.predicted, &self.classes)?
            .integer("n", self.counts.iter().map(|&count| count as i64))
            .classes(&self.classes)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let classes = rows.classes(&["label", "predicted"])?;
        Ok(Self {
            axes: axes(rows)?,
            labels: rows.class("label", &classes)?,
            predicted: rows.class("predicted", &classes)?,
            counts: rows.unsigned("n")?,
            classes,
        })
    }
}

/// Whether images are of the phantom, by their names.
pub fn is_synthetic(names: &[String]) -> bool {
    names.iter().any(|name| is_synthetic_name(name))
}

/// Whether an image is of the phantom, by its name.
pub(crate) fn is_synthetic_name(name: &str) -> bool {
    name.starts_with("phantom-")
}

fn axis_columns(axes: &AxisColumns) -> Columns<'_> {
    let names: Vec<_> = axes.iter().map(|(name, _)| name.clone()).collect();
    let columns = axes.iter().fold(Columns::new(), |columns, (name, labels)| columns.text(name, labels));
    columns.list_note("axes", &names)
}

fn axes(rows: &Rows) -> Result<AxisColumns, StageError> {
    let names = rows.list_note("axes")?.unwrap_or_default();
    names.into_iter().map(|name| Ok((name.clone(), rows.text(&name)?))).collect()
}
