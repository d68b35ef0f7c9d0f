//! The layout of a table for people: labels, cells with formatted numbers and marks, and notes.
//!
//! Text, Markdown, LaTeX and HTML are rendered from it, so a number has the same digits and marks in all four.

use std::collections::{BTreeMap, HashMap};

use super::notes::{CORRECT, PARTIAL, REFERENCE, correct, notes, percent, range};
use crate::artifact::{Cell, Figures, Levels, Statistic};

/// A table with formatted numbers.
#[derive(Clone, Debug)]
pub(crate) struct Grid<'a> {
    pub(super) figures: &'a Figures,
    /// The statistic, the metric and the dimensions, as a fragment of a sentence.
    pub(super) description: String,
    /// The heading of each column of figures.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row<'a>>,
    /// Whether a column says which share of the images of each row counts; a share that all rows have is in the notes.
    pub(super) has_correct: bool,
    /// Sentences that a reader needs beside the figures.
    pub(super) notes: Vec<String>,
    style: Style,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    /// Labels along the dimensions of the rows.
    pub(super) labels: Vec<&'a str>,
    /// One cell per column; `None` where no input fills it.
    pub(super) cells: Vec<Option<GridCell<'a>>>,
}

/// One cell of a table, with its numbers as text.
#[derive(Clone, Debug)]
pub(super) struct GridCell<'a> {
    pub(super) cell: &'a Cell,
    pub(super) mean: Option<String>,
    pub(super) sd: Option<String>,
    /// The lower and the upper end.
    pub(super) interval: Option<[String; 2]>,
    /// `p = 0.012` or `p < 0.001`.
    pub(super) p: Option<String>,
    /// The mark of a note, or nothing.
    pub(super) mark: &'static str,
    /// Mean and standard deviation of the reference value.
    pub(super) reference: Option<(String, Option<String>)>,
    /// Our mean minus the reference value, with its sign.
    pub(super) difference: Option<String>,
}

/// One line of a table in text or LaTeX, where a cell has no markup inside.
pub(super) struct Line {
    pub(super) cells: Vec<String>,
    /// True if it holds the reference values of the line above.
    pub(super) is_reference: bool,
}

impl<'a> Grid<'a> {
    /// Lays out the figures, with `digits` digits after the decimal point.
    pub(crate) fn of(figures: &'a Figures, digits: u8) -> Self {
        let split = figures.rows.len();
        let cells: HashMap<(&[String], &[String]), &Cell> =
            figures.cells.iter().map(|cell| (cell.labels.split_at(split), cell)).collect();
        let rows = occurring(&figures.rows, figures.cells.iter().map(|cell| &cell.labels[..split]));
        let columns = occurring(&figures.columns, figures.cells.iter().map(|cell| &cell.labels[split..]));
        let style = Style::of(figures, digits);
        let row = |row: &'a [String]| Row {
            labels: row.iter().map(|label| label_or_dash(label)).collect(),
            cells: columns.iter().map(|column| cells.get(&(row, *column)).map(|cell| style.cell(cell))).collect(),
        };
        let heading = |column: &&[String]| match column.is_empty() {
            true => figures.statistic.name().to_owned(),
            false => column.iter().map(|label| label_or_dash(label)).collect::<Vec<_>>().join(" · "),
        };
        let rows: Vec<Row<'_>> = rows.into_iter().map(row).collect();
        let shares: Vec<Option<String>> = rows.iter().map(Row::correct).collect();
        let has_correct = shares.windows(2).any(|pair| pair[0] != pair[1]);
        let correct = shares.into_iter().next().flatten().filter(|_| !has_correct);
        let is_partial = figures.has(|cell| style.is_partial(cell));
        Self {
            figures,
            description: description(figures, style.shows_sd),
            columns: columns.iter().map(heading).collect(),
            rows,
            has_correct,
            notes: notes(figures, is_partial.then_some(style.groups_max), correct),
            style,
        }
    }

    /// Returns the number of columns at the left for labels: reference values need one even if the rows have none.
    pub(super) fn label_columns(&self) -> usize {
        self.figures.rows.len().max(usize::from(self.figures.has_references()))
    }

    /// Returns the header of [`Grid::lines`].
    pub(super) fn header(&self) -> Vec<String> {
        let mut header: Vec<String> = self.figures.rows.iter().map(|levels| levels.name.clone()).collect();
        header.resize(self.label_columns(), String::new());
        header.extend(self.columns.iter().cloned().chain(["n".to_owned()]));
        header.extend(self.has_correct.then(|| CORRECT.to_owned()));
        header.extend(self.figures.has_tests().then(|| "left out".to_owned()));
        header
    }

    /// Returns each row as a line, and below it a line of its reference values if it has any.
    pub(super) fn lines(&self) -> Vec<Line> {
        let labels = self.label_columns();
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut cells: Vec<String> = row.labels.iter().map(|label| (*label).to_owned()).collect();
            cells.resize(labels, String::new());
            cells.extend(row.cells.iter().map(|cell| self.style.line(cell.as_ref())));
            cells.push(row.n());
            cells.extend(self.has_correct.then(|| row.correct_or_dash()));
            if self.figures.has_tests() {
                cells.push(range(row.filled().filter_map(|cell| Some(cell.test?.left_out))));
            }
            let width = cells.len();
            lines.push(Line { cells, is_reference: false });
            if row.filled().any(|cell| cell.reference.is_some()) {
                let mut cells = vec![String::new(); labels];
                REFERENCE.clone_into(&mut cells[0]);
                cells.extend(row.cells.iter().map(|cell| match cell {
                    Some(GridCell { reference: Some((mean, sd)), .. }) => mean.clone() + &in_brackets(sd.as_deref()),
                    _ => String::new(),
                }));
                cells.resize(width, String::new());
                lines.push(Line { cells, is_reference: true });
            }
        }
        lines
    }
}

impl<'a> Row<'a> {
    /// Returns the cells that some input fills.
    fn filled(&self) -> impl Iterator<Item = &'a Cell> + Clone {
        self.cells.iter().flatten().map(|cell| cell.cell)
    }

    /// Returns the number of images in each cell of the row, or the range of these numbers; in brackets that of
    /// distinct images, if some count several times.
    pub(super) fn n(&self) -> String {
        let n = range(self.filled().map(|cell| cell.n));
        match self.filled().any(|cell| cell.repeats.is_some()) {
            true => format!("{n} ({})", range(self.filled().map(Cell::images))),
            false => n,
        }
    }

    /// Returns the share of the images of the row that count, as they were classified correctly.
    fn correct(&self) -> Option<String> {
        correct(self.filled())
    }

    /// Returns the share of the images of the row that count, or a dash if all count.
    pub(super) fn correct_or_dash(&self) -> String {
        self.correct().unwrap_or_else(|| "–".to_owned())
    }
}

/// The formatting that all cells share.
#[derive(Clone, Debug)]
struct Style {
    digits: usize,
    statistic: Statistic,
    shows_sd: bool,
    /// The most groups, such as folds, that a mean of the table is over.
    groups_max: u64,
}

impl Style {
    fn of(figures: &Figures, digits: u8) -> Self {
        Self {
            digits: usize::from(digits),
            statistic: figures.statistic,
            shows_sd: figures.cells.iter().any(|cell| cell.sd.is_some()),
            groups_max: figures.cells.iter().map(|cell| cell.groups).max().unwrap_or(0),
        }
    }

    fn cell<'a>(&self, cell: &'a Cell) -> GridCell<'a> {
        let p = |p: f64| if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") };
        GridCell {
            cell,
            mean: cell.mean.map(|mean| self.value(mean)),
            sd: cell.sd.map(|sd| self.unsigned(sd)),
            interval: cell.interval.map(|interval| [interval.low, interval.high].map(|end| self.value(end))),
            p: cell.test.and_then(|test| test.p).map(p),
            mark: if self.is_partial(cell) { PARTIAL } else { "" },
            reference: cell.reference.map(|paper| (self.value(paper.mean), paper.sd.map(|sd| self.unsigned(sd)))),
            difference: cell.mean.zip(cell.reference).map(|(mean, paper)| self.signed(mean - paper.mean)),
        }
    }

    /// Formats a cell without markup.
    fn line(&self, cell: Option<&GridCell<'_>>) -> String {
        let Some(cell) = cell else { return "–".to_owned() };
        let Some(mean) = &cell.mean else { return format!("– (n = {})", cell.cell.n) };
        let sd = in_brackets(cell.sd.as_deref().or(self.shows_sd.then_some("–")));
        let interval = cell.interval.as_ref().map(|[low, high]| format!(" [{low}, {high}]")).unwrap_or_default();
        let p = cell.p.as_ref().map(|p| format!(", {p}")).unwrap_or_default();
        [mean, sd.as_str(), &interval, &p, cell.mark].concat()
    }

    /// Formats a mean or a share, or a mean difference with its sign.
    fn value(&self, value: f64) -> String {
        if self.statistic == Statistic::Difference { self.signed(value) } else { self.unsigned(value) }
    }

    /// Formats a number without a plus.
    fn unsigned(&self, value: f64) -> String {
        format!("{value:.*}", self.digits)
    }

    /// Formats a number with its sign, plus or minus; the minus is U+2212, not a hyphen.
    fn signed(&self, value: f64) -> String {
        format!("{value:+.*}", self.digits).replace('-', "−")
    }

    /// Returns true if the mean of a cell is over fewer groups than that of another cell.
    ///
    /// Always false for a difference: its groups are images, and their number may differ between cells.
    fn is_partial(&self, cell: &Cell) -> bool {
        self.shows_sd && self.statistic != Statistic::Difference && cell.mean.is_some() && cell.groups < self.groups_max
    }
}

fn description(figures: &Figures, shows_sd: bool) -> String {
    let metric = figures.metric.as_deref();
    let of_metric = |text: &str| metric.map_or_else(|| text.to_owned(), |metric| format!("{metric}: {text}"));
    let mut text = match figures.statistic {
        Statistic::Share => {
            let bound = figures.at_most.unwrap_or_default();
            format!("share of images with {} ≤ {bound}", metric.unwrap_or("the metric"))
        }
        Statistic::Mean => of_metric("mean"),
        Statistic::Difference => of_metric("mean difference"),
    };
    if shows_sd {
        text += &format!(" (sd over {})", figures.across.join(" and "));
    }
    if let Some(resampling) = figures.resampling {
        text += &format!(" [{} % interval]", percent(resampling.level));
    }
    let names = |levels: &[Levels]| levels.iter().map(|levels| levels.name.as_str()).collect::<Vec<_>>().join(" and ");
    let by = [names(&figures.rows), names(&figures.columns)].into_iter().filter(|names| !names.is_empty());
    let by = by.collect::<Vec<_>>().join(" × ");
    if by.is_empty() { text } else { format!("{text}, by {by}") }
}

fn in_brackets(sd: Option<&str>) -> String {
    sd.map(|sd| format!(" ({sd})")).unwrap_or_default()
}

/// Returns the combinations of labels that occur along some dimensions, in the order of `levels`.
fn occurring<'a>(levels: &[Levels], labels: impl Iterator<Item = &'a [String]>) -> Vec<&'a [String]> {
    let rank = |labels: &[String]| -> Vec<usize> {
        let index = |(levels, label): (&Levels, &String)| levels.values.iter().position(|value| value == label);
        levels.iter().zip(labels).map(|pair| index(pair).unwrap_or(usize::MAX)).collect()
    };
    let ranked: BTreeMap<_, _> = labels.map(|labels| (rank(labels), labels)).collect();
    ranked.into_values().collect()
}

/// Returns the label, or a dash if the input does not vary along the dimension.
fn label_or_dash(label: &str) -> &str {
    if label.is_empty() { "–" } else { label }
}
