//! The question that `table`, `compare` and a sweep put to their inputs: rows, columns, and the inputs to keep.

use std::collections::{BTreeMap, HashSet};

use orchestrate_engine::stage::InputProblem;

use super::label::{Dimension, Labels};
use super::lesion::{LESION_SIZE, LesionSizes};

/// The rows and columns of a table, and the selection of inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) rows: Vec<Dimension>,
    pub(crate) columns: Vec<Dimension>,
    /// Names over which a cell is summarised.
    pub(crate) across: Vec<String>,
    /// Values to keep, by name.
    pub(crate) only: BTreeMap<String, Labels>,
    /// The metric, if only one is wanted.
    pub(crate) metric: Option<String>,
    /// The bound of a share.
    pub(crate) at_most: Option<f64>,
    /// The division of images by the size of their lesion.
    pub(crate) lesion_sizes: Option<LesionSizes>,
    /// Whether to keep the value of each image.
    pub(crate) keeps_images: bool,
    /// The dimension along which inputs are compared.
    pub(crate) axis: Option<Dimension>,
}

impl Query {
    /// The dimensions of the rows and then of the columns.
    pub(crate) fn dimensions(&self) -> impl Iterator<Item = &Dimension> {
        self.rows.iter().chain(&self.columns)
    }

    /// All dimensions, each of which may consist of several names.
    pub(crate) fn merged(&self) -> impl Iterator<Item = &Dimension> {
        self.dimensions().chain(&self.axis)
    }

    /// All dimensions with the params that list them.
    pub(super) fn by_field(&self) -> impl Iterator<Item = (&'static str, &Dimension)> {
        let of = |field, dimensions| std::iter::repeat(field).zip(dimensions);
        of("axis", self.axis.as_slice()).chain(of("rows", &self.rows)).chain(of("columns", &self.columns))
    }

    /// Returns whether the name is a dimension of the rows or columns.
    pub(crate) fn lays_out(&self, name: &str) -> bool {
        self.dimensions().any(|dimension| dimension.name() == name)
    }

    /// Returns whether the table depends on a column of the input.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.lays_out(name) || self.only.contains_key(name)
    }

    /// Refuses an axis that is named as the dimension of `lesion_sizes`, given one of its labels.
    pub(super) fn check_lesion_axis(&self, label: Option<&str>) -> Result<(), InputProblem> {
        let Some(label) = label.filter(|_| self.lesion_sizes.is_some()) else { return Ok(()) };
        let message = format!(
            "an axis is named `{LESION_SIZE}` (`{label}` for one), as the dimension that `lesion_sizes` makes; rename \
             it"
        );
        Err(InputProblem::port("scores", message))
    }

    /// Returns the problems by param: names that occur twice, `only` that keeps nothing, sizes without effect.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        let fields = if self.axis.is_some() { "`axis`, `rows` and `columns`" } else { "`rows` and `columns`" };
        for (field, Dimension(names)) in self.by_field() {
            if names.is_empty() {
                problems.push((field, "a dimension without names; name at least one".to_owned()));
            }
            let again = names.iter().filter(|name| !seen.insert(name.as_str()));
            problems.extend(again.map(|name| (field, format!("`{name}` is in {fields} more than once"))));
        }
        if self.metric.is_some() && self.lays_out("metric") {
            let message = "`value` is one metric, but `metric` in `rows` or `columns` shows them all; leave one \
                           out, or keep some metrics with `only = { metric = [\"…\"] }`";
            problems.push(("value", message.to_owned()));
        }
        let empty = self.only.iter().filter(|(_, labels)| labels.0.is_empty());
        problems.extend(empty.map(|(name, _)| ("only", format!("`{name}` keeps no value; name at least one"))));
        if let Some(sizes) = &self.lesion_sizes {
            problems.extend(sizes.problem().map(|problem| ("lesion_sizes", problem)));
            if !self.uses(LESION_SIZE) {
                let message =
                    format!("`lesion_sizes` has no effect without `{LESION_SIZE}` in `rows`, `columns` or `only`");
                problems.push(("lesion_sizes", message));
            }
        }
        problems
    }
}
