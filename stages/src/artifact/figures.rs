//! What `table` gives: figures by the axes of a study.

use orchestrate_engine::stage::StageError;
use serde::{Deserialize, Serialize};

use super::{Columns, Rows, Table};

/// What a figure says about the values that it summarises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Mean and sample standard deviation (ddof = 1) over folds of the mean over the images of each.
    #[default]
    Mean,
    /// The share of images whose value is at most a bound, all folds pooled.
    Share,
}

impl Statistic {
    /// The word for it in specs and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Share => "share",
        }
    }
}

/// An axis or column by which figures are laid out, with its labels in the order of the study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Name of the axis or column.
    pub name: String,
    /// Labels in order.
    pub values: Vec<String>,
}

/// Figures, one row a cell of the table: tidy data. Cells that no input fills are left out.
///
/// Columns: those of the table's rows and columns (labels; empty where an input does not vary along one), `metric` unless
/// it is one of them, `statistic`, `mean` (missing where no image has a value), `sd` (missing where fewer than two folds have
/// one, and for shares), `n` (images), `excluded` (images without ground truth), `groups` (folds that have a value),
/// `synthetic`. Notes: `rows`, `columns` (names and labels in order, as JSON), `across`, `at_most`.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// What the rows of the table are.
    pub rows: Vec<Levels>,
    /// What the columns of the table are.
    pub columns: Vec<Levels>,
    /// The metric of all figures; `None` where `metric` is among the rows or columns.
    pub metric: Option<String>,
    /// What is said about the metric.
    pub statistic: Statistic,
    /// The bound of a share.
    pub at_most: Option<f64>,
    /// Axes over which mean and standard deviation are taken.
    pub across: Vec<String>,
    /// The figures, row by row.
    pub cells: Vec<Cell>,
    /// Whether the images are synthetic.
    pub synthetic: bool,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Labels along the rows and then the columns of the table; empty where the input does not vary along one.
    pub labels: Vec<String>,
    /// The mean or share; `None` where no image has a value.
    pub mean: Option<f64>,
    /// Sample standard deviation over groups; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Images that have a value.
    pub n: u64,
    /// Images without ground truth.
    pub excluded: u64,
    /// Folds, or other groups of `across`, that have a value.
    pub groups: u64,
}

impl Figures {
    /// Names of the columns that say where a cell lies, in order.
    pub fn dimensions(&self) -> impl Iterator<Item = &Levels> {
        self.rows.iter().chain(&self.columns)
    }
}

impl Table for Figures {
    const OUTPUT: &'static str = "table";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let mut columns = Columns::new();
        for (index, levels) in self.dimensions().enumerate() {
            columns = columns.text(&levels.name, self.cells.iter().map(|cell| &cell.labels[index]));
        }
        if let Some(metric) = &self.metric {
            columns = columns.text("metric", std::iter::repeat_n(metric, self.cells.len()));
        }
        let json = |levels: &[Levels]| serde_json::to_string(levels).expect("texts are JSON");
        columns = columns
            .words("statistic", std::iter::repeat_n(self.statistic.name(), self.cells.len()))
            .optional_float("mean", self.cells.iter().map(|cell| cell.mean))
            .optional_float("sd", self.cells.iter().map(|cell| cell.sd))
            .integer("n", self.cells.iter().map(|cell| cell.n as i64))
            .integer("excluded", self.cells.iter().map(|cell| cell.excluded as i64))
            .integer("groups", self.cells.iter().map(|cell| cell.groups as i64))
            .bool("synthetic", std::iter::repeat_n(self.synthetic, self.cells.len()))
            .note("rows", json(&self.rows))
            .note("columns", json(&self.columns))
            .list_note("across", &self.across);
        Ok(match self.at_most {
            Some(at_most) => columns.note("at_most", at_most.to_string()),
            None => columns,
        })
    }

    fn from_rows(table: &Rows) -> Result<Self, StageError> {
        let levels = |key: &str| -> Result<Vec<Levels>, StageError> {
            serde_json::from_str(table.note(key).unwrap_or("[]"))
                .map_err(|error| table.error(format!("note `{key}` does not list axes and labels: {error}")))
        };
        let (rows, columns) = (levels("rows")?, levels("columns")?);
        let labels: Vec<Vec<String>> =
            rows.iter().chain(&columns).map(|levels| table.text(&levels.name)).collect::<Result<_, _>>()?;
        let metric = match rows.iter().chain(&columns).any(|levels| levels.name == "metric") {
            true => None,
            false => table.text("metric")?.into_iter().next(),
        };
        let share = table.text("statistic")?.first().is_some_and(|name| name == Statistic::Share.name());
        let (means, sds) = (table.optional_float("mean")?, table.optional_float("sd")?);
        let (counts, excluded) = (table.unsigned::<u64>("n")?, table.unsigned::<u64>("excluded")?);
        let groups = table.unsigned::<u64>("groups")?;
        let cell = |row: usize| Cell {
            labels: labels.iter().map(|labels| labels[row].clone()).collect(),
            mean: means[row],
            sd: sds[row],
            n: counts[row],
            excluded: excluded[row],
            groups: groups[row],
        };
        Ok(Self {
            metric,
            statistic: if share { Statistic::Share } else { Statistic::Mean },
            at_most: table.note("at_most").and_then(|bound| bound.parse().ok()),
            across: table.list_note("across")?.unwrap_or_default(),
            cells: (0..table.len()).map(cell).collect(),
            synthetic: table.bool("synthetic")?.contains(&true),
            rows,
            columns,
        })
    }
}
