//! A table as texts, before it becomes plain text, Markdown or LaTeX.

use std::collections::{BTreeMap, HashMap};

use crate::artifact::{Cell, Figures, Levels, Statistic};

/// A table as texts: titles, a header, rows, notes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    /// What people call it.
    pub(super) title: Option<String>,
    /// What its figures are.
    pub(super) description: String,
    pub(super) header: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) notes: Vec<String>,
    /// Columns at the left that hold labels and are aligned to the left.
    pub(super) labels: usize,
    pub(super) style: Style,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) cells: Vec<String>,
    /// Whether it holds the published values that belong to the line above.
    pub(super) is_published: bool,
}

/// The label of a line of published values.
pub(super) const PUBLISHED: &str = "published";

impl Grid {
    /// Lays out the figures with so many digits after the point.
    pub(crate) fn of(figures: &Figures, digits: u8) -> Self {
        let (row_count, published) = (figures.rows.len(), figures.has_published());
        let cells: HashMap<(&[String], &[String]), &Cell> =
            figures.cells.iter().map(|cell| (cell.labels.split_at(row_count), cell)).collect();
        let rows = places(&figures.rows, figures.cells.iter().map(|cell| &cell.labels[..row_count]));
        let columns = places(&figures.columns, figures.cells.iter().map(|cell| &cell.labels[row_count..]));
        let style = Style::of(figures, digits);
        // Published values need a label, also where the table's rows have none.
        let nameless = usize::from(published && row_count == 0);
        let labels = row_count + nameless;

        let mut header = vec![String::new(); nameless];
        header.extend(figures.rows.iter().map(|levels| levels.name.clone()));
        header.extend(columns.iter().map(|column| match column.is_empty() {
            true => figures.statistic.name().to_owned(),
            false => column.iter().map(|label| dash(label)).collect::<Vec<_>>().join(" · "),
        }));
        header.push("n".to_owned());
        if figures.has_tests() {
            header.push("left out".to_owned());
        }

        let mut lines = Vec::new();
        for row in rows {
            let found: Vec<_> = columns.iter().map(|column| cells.get(&(row, *column)).copied()).collect();
            let mut line = vec![String::new(); nameless];
            line.extend(row.iter().map(|label| dash(label)));
            line.extend(found.iter().map(|cell| style.text(*cell)));
            line.push(range(found.iter().flatten().map(|cell| cell.n)));
            if figures.has_tests() {
                line.push(range(found.iter().flatten().filter_map(|cell| Some(cell.test?.left_out))));
            }
            let width = line.len();
            lines.push(Line { cells: line, is_published: false });
            if found.iter().flatten().any(|cell| cell.published.is_some()) {
                let mut line = vec![String::new(); labels];
                line[0] = PUBLISHED.to_owned();
                line.extend(found.iter().map(|cell| style.published(*cell)));
                line.resize(width, String::new());
                lines.push(Line { cells: line, is_published: true });
            }
        }
        Self {
            title: figures.title.clone(),
            description: description(figures, style.shows_sd),
            header,
            lines,
            notes: notes(figures, &style),
            labels,
            style,
        }
    }

    /// What the figures are, as a fragment.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// Whether a cell has a star, which a note explains.
    pub(crate) fn is_partial(&self, cell: &Cell) -> bool {
        self.style.is_partial(cell)
    }

    /// What readers must know beside the figures, a sentence each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// What all cells have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Style {
    digits: usize,
    statistic: Statistic,
    shows_sd: bool,
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

    fn text(&self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else { return "–".to_owned() };
        let Some(mean) = cell.mean else { return format!("– (n = {})", cell.n) };
        let mut text = self.signed(mean);
        match cell.sd {
            Some(sd) => text += &format!(" ({})", self.number(sd)),
            None if self.shows_sd => text += " (–)",
            None => {}
        }
        if let Some(interval) = cell.interval {
            text += &format!(" [{}, {}]", self.signed(interval.low), self.signed(interval.high));
        }
        if let Some(p) = cell.test.and_then(|test| test.p) {
            text += &if p < 0.001 { ", p < 0.001".to_owned() } else { format!(", p = {p:.3}") };
        }
        if self.is_partial(cell) {
            text.push('*');
        }
        text
    }

    fn published(&self, cell: Option<&Cell>) -> String {
        match cell.and_then(|cell| cell.published) {
            Some(value) => {
                let sd = value.sd.map(|sd| format!(" ({})", self.number(sd))).unwrap_or_default();
                self.signed(value.mean) + &sd
            }
            None => String::new(),
        }
    }

    fn number(&self, value: f64) -> String {
        format!("{value:.*}", self.digits)
    }

    /// A difference says its sign, as a minus and not as a hyphen.
    fn signed(&self, value: f64) -> String {
        match self.statistic {
            Statistic::Difference => format!("{value:+.*}", self.digits).replace('-', "−"),
            Statistic::Mean | Statistic::Share => self.number(value),
        }
    }

    /// Whether a mean rests on fewer groups than others do; images are no such groups.
    fn is_partial(&self, cell: &Cell) -> bool {
        self.shows_sd && self.statistic != Statistic::Difference && cell.mean.is_some() && cell.groups < self.groups_max
    }
}

fn description(figures: &Figures, shows_sd: bool) -> String {
    let metric = figures.metric.as_deref();
    let mut text = match (figures.statistic, metric) {
        (Statistic::Share, metric) => {
            let bound = figures.at_most.unwrap_or_default();
            format!("share of images with {} ≤ {bound}", metric.unwrap_or("the metric"))
        }
        (Statistic::Mean, Some(metric)) => format!("{metric}: mean"),
        (Statistic::Mean, None) => "mean".to_owned(),
        (Statistic::Difference, Some(metric)) => format!("{metric}: mean difference"),
        (Statistic::Difference, None) => "mean difference".to_owned(),
    };
    if shows_sd {
        text += &format!(" (sd over {})", figures.across.join(" and "));
    }
    if let Some(resampling) = figures.resampling {
        text += &format!(" [{} % interval]", percent(resampling.level));
    }
    let names = |levels: &[Levels]| levels.iter().map(|levels| levels.name.clone()).collect::<Vec<_>>().join(" and ");
    let by = [names(&figures.rows), names(&figures.columns)];
    let by: Vec<_> = by.into_iter().filter(|names| !names.is_empty()).collect();
    if !by.is_empty() {
        text += &format!(", by {}", by.join(" × "));
    }
    text
}

fn notes(figures: &Figures, style: &Style) -> Vec<String> {
    let mut notes = Vec::new();
    let across = figures.across.join(" × ");
    if figures.cells.iter().any(|cell| style.is_partial(cell)) {
        notes.push(format!("* over fewer values of {across} than the other {}", style.groups_max));
    }
    if figures.cells.iter().any(|cell| cell.excluded > 0) {
        let counts = range(figures.cells.iter().map(|cell| cell.excluded));
        notes.push(format!("{counts} images a cell have no ground truth and are left out"));
    }
    if let Some(resampling) = figures.resampling {
        let units = range(figures.cells.iter().filter_map(|cell| Some(cell.interval?.units)));
        let (level, unit) = (percent(resampling.level), resampling.unit.name());
        notes.push(format!(
            "{level} % percentile interval of {} bootstrap resamples by {unit}, of {units}",
            resampling.resamples
        ));
    }
    if figures.has_tests() {
        notes.push("p: Wilcoxon signed-rank test, two-sided, over the images that both sides have".to_owned());
    }
    if let Some(source) = figures.source.as_ref().filter(|_| figures.has_published()) {
        notes.push(format!("{PUBLISHED}: {source}"));
    }
    notes.extend(figures.remarks.iter().cloned());
    if figures.synthetic {
        notes.push("synthetic phantom data".to_owned());
    }
    notes
}

/// 95 of 0.95, 99.9 of 0.999.
fn percent(level: f64) -> f64 {
    (level * 1e6).round() / 1e4
}

/// The places that occur along some dimensions, in the order of their labels.
pub(crate) fn places<'a>(levels: &[Levels], occurring: impl Iterator<Item = &'a [String]>) -> Vec<&'a [String]> {
    let rank = |place: &[String]| -> Vec<usize> {
        let index = |(levels, label): (&Levels, &String)| levels.values.iter().position(|value| value == label);
        levels.iter().zip(place).map(|pair| index(pair).unwrap_or(usize::MAX)).collect()
    };
    let ranked: BTreeMap<_, _> = occurring.map(|place| (rank(place), place)).collect();
    ranked.into_values().collect()
}

/// A label, or a dash where an input does not vary.
fn dash(label: &str) -> String {
    if label.is_empty() { "–".to_owned() } else { label.to_owned() }
}

/// `287`, or `83–142` where the numbers differ.
pub(crate) fn range(counts: impl Iterator<Item = u64> + Clone) -> String {
    match (counts.clone().min(), counts.max()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) => format!("{min}–{max}"),
        _ => "–".to_owned(),
    }
}
