//! The tables of `classify`: quality of the predicted classes.

use orchestrate_engine::stage::{ArtifactFacts, StageError};

use super::collapse::{Collapse, collapse_remarks, place};
use super::{Columns, Rows, Table, described};

/// The label of all classes together, in a column of class names.
pub const ALL: &str = "all";

/// The gathered axes of several inputs: one column an axis, one label a row.
pub type AxisColumns = Vec<(String, Vec<String>)>;

/// Metrics of a classification in tidy form, one row a value.
///
/// Columns: one for each gathered axis (labels), `metric` (`accuracy`, `precision`, `recall`, `f1`), `label` (class
/// name or `all`), `value` (0..=1; missing for a class without images that is never predicted), `n` (images),
/// `predicted` (images predicted as that class), `image_hash` (see [`Metrics::image_hashes`]). Notes: `classes`,
/// `axes`, `synthetic` (`true` for images of the phantom).
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Images predicted as that class; empty if a table does not say.
    pub predicted: Vec<u64>,
    /// Sum of the hashes of the names of all images of the same input, modulo 2^63; empty if a table does not say.
    ///
    /// Sets of images are equal if their sums are, and the sum of a union is that of its parts.
    pub image_hashes: Vec<u64>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// True if the images are synthetic.
    pub synthetic: bool,
}

/// A confusion matrix in tidy form: counts of each predicted class for the images of each class.
///
/// Columns: one for each gathered axis (labels), `label`, `predicted` (class names), `n` (images). Notes: `classes`,
/// `axes`.
#[derive(Clone, Debug, Default, PartialEq)]
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

impl Metrics {
    /// Returns what collapsed in each input, in order; nothing for a table without numbers of predictions.
    pub(crate) fn collapses(&self) -> Vec<Collapse> {
        if self.predicted.is_empty() {
            return Vec::new();
        }
        let rows: Vec<usize> = (0..self.metrics.len()).collect();
        let is_same = |a: &usize, b: &usize| self.axes.iter().all(|(_, labels)| labels[*a] == labels[*b]);
        rows.chunk_by(is_same)
            .map(|rows| {
                let range = rows[0]..rows[0] + rows.len();
                // Each metric repeats the counts of the classes.
                let classes = range.clone().filter(|&row| self.metrics[row] == "recall" && self.labels[row] != ALL);
                Collapse::of(range, classes.map(|row| (&*self.labels[row], self.counts[row], self.predicted[row])))
            })
            .collect()
    }
}

impl Table for Metrics {
    const FACTS: &'static ArtifactFacts = &described::METRICS;

    fn warning(&self) -> Option<String> {
        let collapses = self.collapses();
        let place_of = |collapse: &Collapse| {
            let row = collapse.rows.start;
            place(self.axes.iter().map(|(axis, labels)| (axis.as_str(), labels[row].as_str())))
        };
        let placed: Vec<_> = collapses.iter().map(|collapse| (collapse, place_of(collapse))).collect();
        let remarks = collapse_remarks(&placed);
        (!remarks.is_empty()).then(|| remarks.join("\nwarning: "))
    }

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let mut columns = axis_columns(&self.axes)
            .text("metric", &self.metrics)
            .text("label", &self.labels)
            .optional_float("value", self.values.iter().copied())
            .integer("n", self.counts.iter().map(|&count| count as i64));
        for (name, values) in [("predicted", &self.predicted), ("image_hash", &self.image_hashes)] {
            if !values.is_empty() {
                columns = columns.integer(name, values.iter().map(|&value| value as i64));
            }
        }
        Ok(columns.classes(&self.classes)?.note("synthetic", self.synthetic.to_string()))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        Ok(Self {
            axes: axes(rows)?,
            metrics: rows.text("metric")?,
            labels: rows.text("label")?,
            values: rows.optional_float("value")?,
            counts: rows.unsigned("n")?,
            predicted: rows.optional("predicted", Rows::unsigned)?,
            image_hashes: rows.optional("image_hash", Rows::unsigned)?,
            classes: rows.list_note("classes")?.unwrap_or_default(),
            synthetic: rows.note("synthetic") == Some("true"),
        })
    }
}

impl Table for Confusion {
    const FACTS: &'static ArtifactFacts = &described::CONFUSION;

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

/// Returns whether images are of the phantom, by their names.
pub fn is_synthetic(names: &[String]) -> bool {
    names.iter().any(|name| is_synthetic_name(name))
}

/// Returns whether an image is of the phantom, by its name.
fn is_synthetic_name(name: &str) -> bool {
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
