//! Which inputs go where: what `table` and `compare` have in common.

use std::collections::BTreeMap;

use super::label::{Dimension, Labels};

/// The rows and columns of a table, and what of the inputs is kept for them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
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
}

impl Layout {
    /// What the rows and then the columns are.
    pub(crate) fn dimensions(&self) -> impl Iterator<Item = &Dimension> {
        self.rows.iter().chain(&self.columns)
    }

    /// Whether a name is that of a dimension of the rows or columns.
    pub(crate) fn lays_out(&self, name: &str) -> bool {
        self.dimensions().any(|dimension| dimension.name() == name)
    }

    /// Whether a column of the input matters to the table at all.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.lays_out(name) || self.only.contains_key(name)
    }
}
