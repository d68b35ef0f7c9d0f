//! The table of `table` and `compare`: figures by the axes of a study.

use std::collections::BTreeMap;

use orchestrate_engine::stage::{ArtifactFacts, InputProblem, StageError};
use orchestrate_engine::words::of_reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Columns, Rows, Table, described};

/// The statistic of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Mean and sample standard deviation (ddof = 1), over folds, of the means over their images.
    #[default]
    Mean,
    /// Share of images with a value up to a bound, all folds pooled.
    Share,
    /// Mean and sample standard deviation, over images, of the difference of two values of an image; of `compare` only.
    #[serde(skip_deserializing)]
    Difference,
}

impl Statistic {
    /// Its name in specs and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Share => "share",
            Self::Difference => "difference",
        }
    }
}

/// An axis or column of the layout, with its labels in the order of the study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Name of the axis or column.
    pub name: String,
    /// Labels in order.
    pub values: Vec<String>,
}

/// Figures in tidy form, one row a cell of the table; cells without an input are left out.
///
/// Columns:
/// - one for each row and column of the layout: labels, empty if an input does not vary along it;
/// - `metric`, unless the layout has it; `statistic`;
/// - `mean`, missing if no image has a value; `sd`, missing for shares and for fewer than two folds with a value;
/// - `n` (images, each once a value of `across`), `excluded` (images without ground truth), `groups` (folds with a
///   value);
/// - `synthetic`;
/// - if there are such figures: `classified`, `constant`; `images`, `times` (see [`Repeats`]); `published_mean`,
///   `published_sd`, `published_precision`; `low`, `high`, `units` (see [`Interval`]); `w`, `p`, `left_out` (see
///   [`PairedTest`]).
///
/// Notes: `rows`, `columns` (names and labels in order, as JSON), `across`, `at_most`, `title`, `source`, `resampling`
/// (JSON), `remarks`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The title of the table, for people.
    pub title: Option<String>,
    /// The rows of the layout, outermost first.
    pub rows: Vec<Levels>,
    /// The columns of the layout, outermost first.
    pub columns: Vec<Levels>,
    /// The metric of all figures; `None` if `metric` is among the rows or columns.
    pub metric: Option<String>,
    /// The statistic of the metric.
    pub statistic: Statistic,
    /// The bound of a share.
    pub at_most: Option<f64>,
    /// Axes over which mean and standard deviation are taken.
    pub across: Vec<String>,
    /// The figures, row by row.
    pub cells: Vec<Cell>,
    /// True if the images are synthetic.
    pub synthetic: bool,
    /// The source of the reference values.
    pub citation: Option<String>,
    /// The bootstrap of the intervals.
    pub resampling: Option<Resampling>,
    /// Remarks for people, a sentence each.
    pub remarks: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Labels along the rows and then the columns of the layout; empty if the input does not vary along one.
    pub labels: Vec<String>,
    /// The mean or share; `None` where no image has a value.
    pub mean: Option<f64>,
    /// Sample standard deviation over groups; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Images with a value, each once a group.
    pub n: u64,
    /// Images without ground truth.
    pub excluded: u64,
    /// Folds, or other groups of `across`, with a value.
    pub groups: u64,
    /// Images of which those classified correctly count, `n + excluded`; `None` if all count.
    pub classified: Option<u64>,
    /// Images among `n + excluded` whose heatmap or predicted mask has one value everywhere.
    pub constant: u64,
    /// The images in `n`, if it counts any more than once.
    pub repeats: Option<Repeats>,
    /// The reference value, printed in a paper.
    pub reference: Option<ReferenceValue>,
    /// The bootstrap interval of the mean or share.
    pub interval: Option<Interval>,
    /// The test of the difference.
    pub test: Option<PairedTest>,
}

/// The images of a cell that counts some of them several times, once a seed for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Number of distinct images.
    pub images: u64,
    /// The most times that one image is counted.
    pub times: u64,
}

/// A reference value, printed in a paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceValue {
    /// The mean or share.
    pub mean: f64,
    /// The standard deviation, if there is one.
    pub sd: Option<f64>,
    /// Largest distance of the printed mean from the unrounded one; smaller differences mean nothing.
    pub precision: f64,
}

/// A bootstrap percentile interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of patients, or images, that were resampled.
    pub units: u64,
}

/// The bootstrap of the intervals of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Share of the resamples inside the interval.
    pub level: f64,
    /// Number of resamples.
    pub resamples: u32,
    /// The unit that was drawn.
    pub unit: ResamplingUnit,
}

/// The unit that a bootstrap draws with replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResamplingUnit {
    /// Patients with all their images, as images of a patient depend on each other.
    Patient,
    /// Images, if no patients are known.
    Image,
}

impl ResamplingUnit {
    /// Its name.
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
    /// The smaller of the rank sums of positive and negative differences; `None` if all differences are zero.
    pub w: Option<f64>,
    /// Probability of such a `w` or a smaller one if differences are symmetric about zero; `None` if all are zero.
    pub p: Option<f64>,
    /// Images left out, as only one side has a value.
    pub left_out: u64,
}

impl Figures {
    /// Reads a stored `table.parquet`.
    pub fn read(bytes: Vec<u8>) -> Result<Self, StageError> {
        Self::from_rows(&Rows::open("table.parquet", bytes.into())?)
    }

    /// The rows and columns of the layout, in the order of [`Cell::labels`].
    pub fn dimensions(&self) -> impl Iterator<Item = &Levels> {
        self.rows.iter().chain(&self.columns)
    }

    /// Refuses rows and columns with the name of another column of the table, or of one that its cells may bring.
    pub(crate) fn check_names(&self, has_intervals: bool) -> Result<(), InputProblem> {
        let unit = ResamplingUnit::Image;
        let resampling = has_intervals.then_some(Resampling { level: 0.0, resamples: 0, unit });
        let labels = vec![String::new(); self.dimensions().count()];
        let repeats = Some(Repeats { images: 0, times: 0 });
        let cells = vec![Cell { labels, classified: Some(0), constant: 1, repeats, ..Cell::default() }];
        let names = Self { cells, resampling, ..self.clone() };
        let problem = |error: StageError| InputProblem::param("rows", format!("the table has a problem: {error}"));
        names.columns().and_then(|columns| columns.check()).map(|_| ()).map_err(problem)
    }

    /// Returns whether any cell is such.
    pub(crate) fn has(&self, is_such: impl Fn(&Cell) -> bool) -> bool {
        self.cells.iter().any(is_such)
    }

    /// Returns whether any cell has a reference value.
    pub fn has_references(&self) -> bool {
        self.has(|cell| cell.reference.is_some())
    }

    /// Returns whether the figures are those of a paired comparison.
    pub fn has_tests(&self) -> bool {
        self.has(|cell| cell.test.is_some())
    }
}

impl Cell {
    /// Number of distinct images with a value.
    pub fn images(&self) -> u64 {
        self.repeats.map_or(self.n, |repeats| repeats.images)
    }

    /// Images that count, with or without ground truth.
    pub fn counted(&self) -> u64 {
        self.n + self.excluded
    }
}

impl Table for Figures {
    const FACTS: &'static ArtifactFacts = &described::TABLE;

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
            serde_json::from_str(table.note(key).unwrap_or("[]")).map_err(|error| {
                table.error(format!("note `{key}` does not list axes and labels: {}", of_reader(&error.to_string())))
            })
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
        let present = OPTIONAL.iter().map(|(name, ..)| *name).filter(|name| names.iter().any(|other| other == name));
        let further: BTreeMap<_, _> =
            present.map(|name| Ok((name, table.optional_float(name)?))).collect::<Result<_, StageError>>()?;
        let value = |name: &str, row: usize| further.get(name)?[row];
        let published = |row| {
            let (mean, precision) = (value("published_mean", row)?, value("published_precision", row)?);
            Some(ReferenceValue { mean, sd: value("published_sd", row), precision })
        };
        let count = |name: &str, row| value(name, row).map(|count| count as u64);
        let repeats = |row| Some(Repeats { images: count("images", row)?, times: count("times", row)? });
        let interval = |row| {
            let (low, high, units) = (value("low", row)?, value("high", row)?, value("units", row)? as u64);
            Some(Interval { low, high, units })
        };
        let test =
            |row| Some(PairedTest { w: value("w", row), p: value("p", row), left_out: value("left_out", row)? as u64 });
        let cell = |row: usize| Cell {
            labels: labels.iter().map(|labels| labels[row].clone()).collect(),
            mean: means[row],
            sd: sds[row],
            n: counts[row],
            excluded: excluded[row],
            groups: groups[row],
            classified: count("classified", row),
            constant: count("constant", row).unwrap_or(0),
            repeats: repeats(row),
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
            resampling: resampling
                .map_err(|error| table.error(format!("note `resampling`: {}", of_reader(&error.to_string()))))?,
            remarks: table.list_note("remarks")?.unwrap_or_default(),
            rows,
            columns,
        })
    }
}

/// A column that not every table has: its name, whether a table has it, and its value.
type OptionalColumn = (&'static str, fn(&Figures) -> bool, fn(&Cell) -> Option<f64>);

const OPTIONAL: [OptionalColumn; 13] = [
    ("classified", |figures| figures.has(|cell| cell.classified.is_some()), |cell| Some(cell.classified? as f64)),
    ("constant", |figures| figures.has(|cell| cell.constant > 0), |cell| Some(cell.constant as f64)),
    ("images", |figures| figures.has(|cell| cell.repeats.is_some()), |cell| Some(cell.images() as f64)),
    ("times", |figures| figures.has(|cell| cell.repeats.is_some()), |cell| Some(cell.repeats?.times as f64)),
    ("published_mean", |figures| figures.citation.is_some(), |cell| Some(cell.reference?.mean)),
    ("published_sd", |figures| figures.citation.is_some(), |cell| cell.reference?.sd),
    ("published_precision", |figures| figures.citation.is_some(), |cell| Some(cell.reference?.precision)),
    ("low", |figures| figures.resampling.is_some(), |cell| Some(cell.interval?.low)),
    ("high", |figures| figures.resampling.is_some(), |cell| Some(cell.interval?.high)),
    ("units", |figures| figures.resampling.is_some(), |cell| Some(cell.interval?.units as f64)),
    ("w", |figures| figures.statistic == Statistic::Difference, |cell| cell.test?.w),
    ("p", |figures| figures.statistic == Statistic::Difference, |cell| cell.test?.p),
    ("left_out", |figures| figures.statistic == Statistic::Difference, |cell| Some(cell.test?.left_out as f64)),
];

impl Figures {
    /// The columns that not every table has, by name.
    pub(crate) fn further(&self) -> Vec<(&'static str, Vec<Option<f64>>)> {
        let present = OPTIONAL.iter().filter(|(_, is_present, _)| is_present(self));
        present.map(|(name, _, value)| (*name, self.cells.iter().map(value).collect())).collect()
    }
}
