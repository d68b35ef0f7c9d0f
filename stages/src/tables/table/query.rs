//! Which inputs go where: what `table` and `compare` have in common.

use std::collections::{BTreeMap, HashSet};

use super::label::{Dimension, Labels};
use super::lesion::{LESION_SIZE, LesionSizes};

/// The rows and columns of a table, and what of the inputs is kept for them.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) rows: Vec<Dimension>,
    pub(crate) columns: Vec<Dimension>,
    /// Names over which a cell is summarised.
    pub(crate) across: Vec<String>,
    /// Values to keep, by name.
    pub(crate) only: BTreeMap<String, Labels>,
    /// The one metric that is asked for, if it is one.
    pub(crate) metric: Option<String>,
    /// The bound of a share.
    pub(crate) at_most: Option<f64>,
    /// How images are divided by the size of their lesion, if they are.
    pub(crate) lesion_sizes: Option<LesionSizes>,
    /// Whether the value of each image is kept.
    pub(crate) keeps_images: bool,
    /// The dimension along which inputs are compared.
    pub(crate) axis: Option<Dimension>,
}

impl Query {
    /// What the rows and then the columns are.
    pub(crate) fn dimensions(&self) -> impl Iterator<Item = &Dimension> {
        self.rows.iter().chain(&self.columns)
    }

    /// All dimensions that several names may make.
    pub(crate) fn merged(&self) -> impl Iterator<Item = &Dimension> {
        self.dimensions().chain(&self.axis)
    }

    /// Whether a name is that of a dimension of the rows or columns.
    pub(crate) fn lays_out(&self, name: &str) -> bool {
        self.dimensions().any(|dimension| dimension.name() == name)
    }

    /// What is wrong with it, by the param: names that occur twice, `only` that keeps nothing, sizes without effect.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        for (field, dimensions) in
            [("axis", self.axis.as_slice()), ("rows", self.rows.as_slice()), ("columns", self.columns.as_slice())]
        {
            for dimension in dimensions {
                if dimension.0.is_empty() {
                    problems.push((field, "a dimension without names; name at least one".to_owned()));
                }
                for name in dimension.0.iter().filter(|name| !seen.insert(name.as_str())) {
                    let fields =
                        if self.axis.is_some() { "`axis`, `rows` and `columns`" } else { "`rows` and `columns`" };
                    problems.push((field, format!("`{name}` is in {fields} more than once")));
                }
            }
        }
        if self.metric.is_some() && self.lays_out("metric") {
            let message = "`value` is one metric, but `metric` in `rows` or `columns` shows them all; leave one out, or keep \
                           some metrics with `only = { metric = [\"…\"] }`";
            problems.push(("value", message.to_owned()));
        }
        for (name, labels) in &self.only {
            if labels.0.is_empty() {
                problems.push(("only", format!("`{name}` keeps no value; name at least one")));
            }
        }
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

    /// Whether a column of the input matters to the table at all.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.lays_out(name) || self.only.contains_key(name)
    }
}
