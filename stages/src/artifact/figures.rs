//! What `table` and `compare` give: figures by the axes of a study.

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
    /// Mean and sample standard deviation over images of the difference of two values of the same image; of `compare` only.
    #[serde(skip_deserializing)]
    Difference,
}

impl Statistic {
    /// The word for it in specs and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Share => "share",
            Self::Difference => "difference",
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
/// one, and for shares), `n` (images, each once a value of `across`), `excluded` (images without ground truth), `groups`
/// (folds that have a value), `synthetic`; where there are such figures also `published_mean`, `published_sd`,
/// `published_precision`, `low`, `high`, `units` (see [`Interval`]), `w`, `p`, `left_out` (see [`PairedTest`]). Notes: `rows`,
/// `columns` (names and labels in order, as JSON), `across`, `at_most`, `title`, `source`, `resampling` (JSON), `remarks`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What people call the table.
    pub title: Option<String>,
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
    /// Where the reference values come from.
    pub citation: Option<String>,
    /// How the intervals were found.
    pub resampling: Option<Resampling>,
    /// What people must know beside the figures, a sentence each.
    pub remarks: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Labels along the rows and then the columns of the table; empty where the input does not vary along one.
    pub labels: Vec<String>,
    /// The mean or share; `None` where no image has a value.
    pub mean: Option<f64>,
    /// Sample standard deviation over groups; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Images that have a value, each once a group in which it has one.
    pub n: u64,
    /// Images without ground truth.
    pub excluded: u64,
    /// Folds, or other groups of `across`, that have a value.
    pub groups: u64,
    /// The value that a paper printed, to compare with.
    pub reference: Option<ReferenceValue>,
    /// Where the mean or share lies if patients or images were drawn again.
    pub interval: Option<Interval>,
    /// Whether the difference could be chance.
    pub test: Option<PairedTest>,
}

/// A value printed in a paper, to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceValue {
    /// The mean or share.
    pub mean: f64,
    /// The standard deviation, if there is one.
    pub sd: Option<f64>,
    /// How far the mean may be from the unrounded one, ±; smaller differences say nothing.
    pub precision: f64,
}

/// A bootstrap percentile interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Patients, or images, that were resampled.
    pub units: u64,
}

/// How the intervals of a table were found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Share of the resamples that lies in the interval.
    pub level: f64,
    /// Number of resamples.
    pub resamples: u32,
    /// What was drawn.
    pub unit: ResamplingUnit,
}

/// What a bootstrap draws with replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResamplingUnit {
    /// Patients with all their images, which depend on each other.
    Patient,
    /// Images, where no patients are known.
    Image,
}

impl ResamplingUnit {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Image => "image",
        }
    }
}

/// Wilcoxon's signed-rank test of paired differences, two-sided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// The smaller of the sums of ranks of positive and of negative differences; `None` where all differences are zero.
    pub w: Option<f64>,
    /// Probability of a `w` at most as large if differences are symmetric about zero; `None` where all are zero.
    pub p: Option<f64>,
    /// Images that have a value on one side only and are left out.
    pub left_out: u64,
}

impl Figures {
    /// What says where a cell lies, in order.
    pub fn dimensions(&self) -> impl Iterator<Item = &Levels> {
        self.rows.iter().chain(&self.columns)
    }

    /// Returns whether any cell has a reference value.
    pub fn has_references(&self) -> bool {
        self.cells.iter().any(|cell| cell.reference.is_some())
    }

    /// Whether the figures are those of a paired comparison.
    pub fn has_tests(&self) -> bool {
        self.cells.iter().any(|cell| cell.test.is_some())
    }
}

impl Table for Figures {
    const OUTPUT: &'static str = "table";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let cells = || self.cells.iter();
        let mut columns = Columns::new();
        for (index, levels) in self.dimensions().enumerate() {
            columns = columns.text(&levels.name, cells().map(|cell| &cell.labels[index]));
        }
        if let Some(metric) = &self.metric {
            columns = columns.text("metric", std::iter::repeat_n(metric, self.cells.len()));
        }
        columns = columns
            .words("statistic", std::iter::repeat_n(self.statistic.name(), self.cells.len()))
            .optional_float("mean", cells().map(|cell| cell.mean))
            .optional_float("sd", cells().map(|cell| cell.sd))
            .integer("n", cells().map(|cell| cell.n as i64))
            .integer("excluded", cells().map(|cell| cell.excluded as i64))
            .integer("groups", cells().map(|cell| cell.groups as i64))
            .bool("synthetic", std::iter::repeat_n(self.synthetic, self.cells.len()));
        for (name, values) in self.further() {
            columns = columns.optional_float(name, values);
        }
        let levels = |levels: &[Levels]| serde_json::to_string(levels).expect("texts are JSON");
        columns = columns
            .note("rows", levels(&self.rows))
            .note("columns", levels(&self.columns))
            .list_note("across", &self.across)
            .list_note("remarks", &self.remarks);
        let resampling = self.resampling.map(|it| serde_json::to_string(&it).expect("finite numbers are JSON"));
        let at_most = self.at_most.map(|at_most| at_most.to_string());
        let notes = [
            ("title", self.title.clone()),
            ("source", self.citation.clone()),
            ("resampling", resampling),
            ("at_most", at_most),
        ];
        let present = notes.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(present.fold(columns, |columns, (key, value)| columns.note(key, value)))
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
        let statistics = table.text("statistic")?;
        let is = |statistic: &Statistic| statistics.first().is_some_and(|name| name == statistic.name());
        let statistic = [Statistic::Share, Statistic::Difference].into_iter().find(is).unwrap_or_default();
        let (means, sds) = (table.optional_float("mean")?, table.optional_float("sd")?);
        let (counts, excluded) = (table.unsigned::<u64>("n")?, table.unsigned::<u64>("excluded")?);
        let groups = table.unsigned::<u64>("groups")?;
        let names = table.names();
        let further = |name: &str| match names.iter().any(|other| other == name) {
            true => table.optional_float(name),
            false => Ok(vec![None; table.len()]),
        };
        let [published, published_sds, precisions] =
            [further(PUBLISHED[0])?, further(PUBLISHED[1])?, further(PUBLISHED[2])?];
        let [lows, highs, units] = [further(INTERVAL[0])?, further(INTERVAL[1])?, further(INTERVAL[2])?];
        let [ws, ps, left_out] = [further(TEST[0])?, further(TEST[1])?, further(TEST[2])?];
        let published = |row: usize| {
            Some(ReferenceValue { mean: published[row]?, sd: published_sds[row], precision: precisions[row]? })
        };
        let interval = |row: usize| Some(Interval { low: lows[row]?, high: highs[row]?, units: units[row]? as u64 });
        let test = |row: usize| Some(PairedTest { w: ws[row], p: ps[row], left_out: left_out[row]? as u64 });
        let cell = |row: usize| Cell {
            labels: labels.iter().map(|labels| labels[row].clone()).collect(),
            mean: means[row],
            sd: sds[row],
            n: counts[row],
            excluded: excluded[row],
            groups: groups[row],
            reference: published(row),
            interval: interval(row),
            test: test(row),
        };
        let resampling = table.note("resampling").map(serde_json::from_str).transpose();
        Ok(Self {
            title: table.note("title").map(str::to_owned),
            metric,
            statistic,
            at_most: table.note("at_most").and_then(|bound| bound.parse().ok()),
            across: table.list_note("across")?.unwrap_or_default(),
            cells: (0..table.len()).map(cell).collect(),
            synthetic: table.bool("synthetic")?.contains(&true),
            citation: table.note("source").map(str::to_owned),
            resampling: resampling.map_err(|error| table.error(format!("note `resampling`: {error}")))?,
            remarks: table.list_note("remarks")?.unwrap_or_default(),
            rows,
            columns,
        })
    }
}

const PUBLISHED: [&str; 3] = ["published_mean", "published_sd", "published_precision"];
const INTERVAL: [&str; 3] = ["low", "high", "units"];
const TEST: [&str; 3] = ["w", "p", "left_out"];

impl Figures {
    /// Columns of figures that not every table has, by name.
    pub(crate) fn further(&self) -> Vec<(&'static str, Vec<Option<f64>>)> {
        let column =
            |value: &dyn Fn(&Cell) -> Option<f64>| -> Vec<Option<f64>> { self.cells.iter().map(value).collect() };
        let mut columns = Vec::new();
        if self.citation.is_some() {
            columns.push((PUBLISHED[0], column(&|cell| Some(cell.reference?.mean))));
            columns.push((PUBLISHED[1], column(&|cell| cell.reference?.sd)));
            columns.push((PUBLISHED[2], column(&|cell| Some(cell.reference?.precision))));
        }
        if self.resampling.is_some() {
            columns.push((INTERVAL[0], column(&|cell| Some(cell.interval?.low))));
            columns.push((INTERVAL[1], column(&|cell| Some(cell.interval?.high))));
            columns.push((INTERVAL[2], column(&|cell| Some(cell.interval?.units as f64))));
        }
        if self.statistic == Statistic::Difference {
            columns.push((TEST[0], column(&|cell| cell.test?.w)));
            columns.push((TEST[1], column(&|cell| cell.test?.p)));
            columns.push((TEST[2], column(&|cell| Some(cell.test?.left_out as f64))));
        }
        columns
    }
}
