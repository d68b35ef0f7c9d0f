//! Tables for people (plain text, Markdown) and for programs (CSV).

use std::collections::HashMap;

use orchestrate_engine::stage::StageError;
use unicode_width::UnicodeWidthStr;

use crate::artifact::{Cell, Figures, Levels, Statistic};

/// A table as texts: a title, a header, rows, notes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
    /// Columns at the left that hold labels and are aligned to the left.
    labels: usize,
}

impl Grid {
    /// Lays out the figures with so many digits after the point.
    pub(super) fn of(figures: &Figures, digits: u8) -> Self {
        let cells: HashMap<(&[String], &[String]), &Cell> =
            figures.cells.iter().map(|cell| (cell.labels.split_at(figures.rows.len()), cell)).collect();
        let rows = places(&figures.rows, figures.cells.iter().map(|cell| &cell.labels[..figures.rows.len()]));
        let columns = places(&figures.columns, figures.cells.iter().map(|cell| &cell.labels[figures.rows.len()..]));
        let style = Style::of(figures, digits);

        let mut header: Vec<String> = figures.rows.iter().map(|levels| levels.name.clone()).collect();
        header.extend(columns.iter().map(|column| match column.is_empty() {
            true => figures.statistic.name().to_owned(),
            false => joined(column),
        }));
        header.push("n".to_owned());
        let line = |row: &&[String]| {
            let found: Vec<_> = columns.iter().map(|column| cells.get(&(*row, *column)).copied()).collect();
            let labels = row.iter().map(|label| if label.is_empty() { "–".to_owned() } else { label.clone() });
            let figures = found.iter().map(|cell| style.text(*cell));
            let n = range(found.iter().flatten().map(|cell| cell.n));
            labels.chain(figures).chain([n]).collect()
        };
        Self {
            title: title(figures, style.shows_sd),
            header,
            rows: rows.iter().map(line).collect(),
            notes: notes(figures, &style),
            labels: figures.rows.len(),
        }
    }

    /// As plain text, aligned for a font of fixed width.
    pub(super) fn text(&self) -> String {
        let mut grid: Vec<Vec<String>> = std::iter::once(&self.header).chain(&self.rows).cloned().collect();
        for column in self.labels..self.header.len() {
            // Digits stay below each other where some figures carry a star.
            if grid.iter().any(|line| line[column].ends_with('*')) {
                let unstarred = grid.iter_mut().map(|line| &mut line[column]).filter(|cell| !cell.ends_with('*'));
                unstarred.for_each(|cell| cell.push(' '));
            }
        }
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| grid.iter().map(|line| line[column].width()).max().unwrap_or(0))
            .collect();
        let show = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let space = " ".repeat(width - cell.width());
                if column < self.labels { format!("{cell}{space}") } else { format!("{space}{cell}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        let mut text = vec![self.title.clone(), String::new(), show(&grid[0]), rule];
        text.extend(grid[1..].iter().map(show));
        if !self.notes.is_empty() {
            text.push(String::new());
            text.extend(self.notes.iter().cloned());
        }
        text.join("\n") + "\n"
    }

    /// As Markdown.
    pub(super) fn markdown(&self) -> String {
        let show = |line: &Vec<String>| {
            let cells: Vec<_> = line.iter().map(|cell| escaped(cell)).collect();
            format!("| {} |", cells.join(" | "))
        };
        let rule: Vec<_> =
            (0..self.header.len()).map(|column| if column < self.labels { ":---" } else { "---:" }).collect();
        let mut text = vec![format!("**{}**", escaped(&self.title)), String::new(), show(&self.header)];
        text.push(format!("| {} |", rule.join(" | ")));
        text.extend(self.rows.iter().map(show));
        for note in &self.notes {
            text.extend([String::new(), escaped(note)]);
        }
        text.join("\n") + "\n"
    }
}

/// As CSV: tidy, one line a figure, numbers in full.
pub(super) fn csv(figures: &Figures) -> Result<Vec<u8>, StageError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<&str> = figures.dimensions().map(|levels| levels.name.as_str()).collect();
    header.extend(figures.metric.as_ref().map(|_| "metric"));
    header.extend(["statistic", "mean", "sd", "n", "excluded", "groups", "synthetic"]);
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let write = |writer: &mut csv::Writer<Vec<u8>>| -> csv::Result<()> {
        writer.write_record(&header)?;
        for cell in &figures.cells {
            let mut record = cell.labels.clone();
            record.extend(figures.metric.clone());
            record.extend([figures.statistic.name().to_owned(), number(cell.mean), number(cell.sd)]);
            record.extend([cell.n, cell.excluded, cell.groups].map(|count| count.to_string()));
            record.push(figures.synthetic.to_string());
            writer.write_record(&record)?;
        }
        Ok(())
    };
    let failed = |error: String| StageError::new(format!("cannot write CSV: {error}"));
    write(&mut writer).map_err(|error| failed(error.to_string()))?;
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// What all cells have in common.
struct Style {
    digits: usize,
    shows_sd: bool,
    groups_max: u64,
}

impl Style {
    fn of(figures: &Figures, digits: u8) -> Self {
        Self {
            digits: usize::from(digits),
            shows_sd: figures.cells.iter().any(|cell| cell.sd.is_some()),
            groups_max: figures.cells.iter().map(|cell| cell.groups).max().unwrap_or(0),
        }
    }

    fn text(&self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else { return "–".to_owned() };
        let Some(mean) = cell.mean else { return format!("– (n = {})", cell.n) };
        let number = |value: f64| format!("{value:.*}", self.digits);
        let star = if self.is_partial(cell) { "*" } else { "" };
        match (cell.sd, self.shows_sd) {
            (Some(sd), _) => format!("{} ({}){star}", number(mean), number(sd)),
            (None, true) => format!("{} (–){star}", number(mean)),
            (None, false) => format!("{}{star}", number(mean)),
        }
    }

    /// Whether a mean rests on fewer groups than others do.
    fn is_partial(&self, cell: &Cell) -> bool {
        self.shows_sd && cell.mean.is_some() && cell.groups < self.groups_max
    }
}

fn title(figures: &Figures, shows_sd: bool) -> String {
    let metric = figures.metric.as_deref();
    let mut title = match (figures.statistic, metric) {
        (Statistic::Mean, Some(metric)) => format!("{metric}: mean"),
        (Statistic::Mean, None) => "mean".to_owned(),
        (Statistic::Share, metric) => {
            let bound = figures.at_most.unwrap_or_default();
            format!("share of images with {} ≤ {bound}", metric.unwrap_or("the metric"))
        }
    };
    if shows_sd {
        title += &format!(" (sd over {})", figures.across.join(" and "));
    }
    let names = |levels: &[Levels]| levels.iter().map(|levels| levels.name.clone()).collect::<Vec<_>>().join(" and ");
    let by = [names(&figures.rows), names(&figures.columns)];
    let by: Vec<_> = by.into_iter().filter(|names| !names.is_empty()).collect();
    if !by.is_empty() {
        title += &format!(", by {}", by.join(" × "));
    }
    title
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
    if figures.synthetic {
        notes.push("synthetic phantom data".to_owned());
    }
    notes
}

/// The places that occur along some dimensions, in the order of their labels.
fn places<'a>(levels: &[Levels], occurring: impl Iterator<Item = &'a [String]>) -> Vec<&'a [String]> {
    let rank = |place: &[String]| -> Vec<usize> {
        let index = |(levels, label): (&Levels, &String)| levels.values.iter().position(|value| value == label);
        levels.iter().zip(place).map(|pair| index(pair).unwrap_or(usize::MAX)).collect()
    };
    let ranked: std::collections::BTreeMap<_, _> = occurring.map(|place| (rank(place), place)).collect();
    ranked.into_values().collect()
}

fn joined(labels: &[String]) -> String {
    let labels: Vec<_> = labels.iter().map(|label| if label.is_empty() { "–" } else { label }).collect();
    labels.join(" · ")
}

/// `287`, or `83–142` where the numbers differ.
fn range(counts: impl Iterator<Item = u64> + Clone) -> String {
    match (counts.clone().min(), counts.max()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) => format!("{min}–{max}"),
        _ => "–".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| r"\|*<`".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
