//! Tables of figures.

use std::collections::HashMap;

use maud::{Markup, html};
use orchestrate_engine::stage::Item;

use super::super::digest;
use crate::artifact::{Cell, Figures, Levels, Statistic};

/// Digits after the point.
const DIGITS: usize = 3;

/// All tables.
pub(super) fn tables(tables: &[(Figures, &Item)]) -> Markup {
    html! {
        @for (figures, item) in tables { (one(figures, item)) }
    }
}

/// What a table is called.
pub(in crate::report) fn title(figures: &Figures) -> String {
    let names = |levels: &[Levels]| levels.iter().map(|levels| levels.name.clone()).collect::<Vec<_>>().join(" and ");
    let by: Vec<_> = [names(&figures.rows), names(&figures.columns)].into_iter().filter(|it| !it.is_empty()).collect();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(" and ")) };
    let metric = figures.metric.as_deref().unwrap_or("metrics");
    match figures.statistic {
        Statistic::Mean => format!("{metric}{by}"),
        Statistic::Share => {
            format!("Share of images with {metric} ≤ {}{by}", figures.at_most.unwrap_or_default())
        }
    }
}

fn one(figures: &Figures, item: &Item) -> Markup {
    let split = figures.rows.len();
    let cells: HashMap<(&[String], &[String]), &Cell> =
        figures.cells.iter().map(|cell| (cell.labels.split_at(split), cell)).collect();
    let rows = places(&figures.rows, figures.cells.iter().map(|cell| &cell.labels[..split]));
    let columns = places(&figures.columns, figures.cells.iter().map(|cell| &cell.labels[split..]));
    let over: Vec<String> = item.labels.iter().map(|(axis, label)| format!("{axis} {label}")).collect();
    html! {
        div class="scroll" tabindex="0" {
            table class="figures" data-source=(digest(item)) {
                caption {
                    (title(figures)) @if !over.is_empty() { " · " (over.join(", ")) }
                    span class="quiet" { (explained(figures)) }
                }
                thead { tr {
                    @for levels in &figures.rows { th scope="col" { (levels.name) } }
                    @for column in &columns { th scope="col" { (heading(figures, column)) } }
                    th scope="col" { "n" }
                } }
                tbody {
                    @for row in &rows {
                        tr {
                            @for label in *row { th scope="row" { (shown(label)) } }
                            @for column in &columns { (cell(figures, row, column, cells.get(&(*row, *column)).copied())) }
                            td class="n" { (range(columns.iter().filter_map(|column| Some(cells.get(&(*row, *column))?.n)))) }
                        }
                    }
                }
            }
        }
    }
}

/// What stands in the cells.
fn explained(figures: &Figures) -> String {
    let sd = figures.cells.iter().any(|cell| cell.sd.is_some());
    match figures.statistic {
        Statistic::Mean if sd => format!(" mean (sd over {}); n images", figures.across.join(" × ")),
        Statistic::Mean => " mean; n images".to_owned(),
        Statistic::Share => " share of all images; n images".to_owned(),
    }
}

fn heading(figures: &Figures, column: &[String]) -> String {
    match column {
        [] => figures.statistic.name().to_owned(),
        labels => labels.iter().map(|label| shown(label)).collect::<Vec<_>>().join(" · "),
    }
}

fn shown(label: &str) -> &str {
    if label.is_empty() { "–" } else { label }
}

/// The labels by which the inputs of a cell are found: axis or column, and label.
fn labels(figures: &Figures, labels: &[&[String]]) -> String {
    let pairs: Vec<(&str, &str)> = figures
        .dimensions()
        .zip(labels.iter().copied().flatten())
        .filter(|(_, label)| !label.is_empty())
        .map(|(levels, label)| (levels.name.as_str(), label.as_str()))
        .collect();
    serde_json::to_string(&pairs).expect("texts are JSON")
}

fn cell(figures: &Figures, row: &[String], column: &[String], cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell else { return html! { td { "–" } } };
    let number = |value: f64| format!("{value:.DIGITS$}");
    html! {
        td data-cell=(labels(figures, &[row, column])) title=(tip(cell)) {
            @match cell.mean {
                Some(mean) => {
                    b { (number(mean)) }
                    @if let Some(sd) = cell.sd { " (" (number(sd)) ")" }
                },
                None => { "–" },
            }
        }
    }
}

fn tip(cell: &Cell) -> String {
    let excluded = if cell.excluded > 0 { format!(", {} without ground truth", cell.excluded) } else { String::new() };
    let full = cell.mean.map(|mean| format!("{mean}, ")).unwrap_or_default();
    format!("{full}n = {} images{excluded}, {} folds or groups", cell.n, cell.groups)
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

/// `287`, or `83–142` where the numbers differ.
fn range(counts: impl Iterator<Item = u64> + Clone) -> String {
    match (counts.clone().min(), counts.max()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) => format!("{min}–{max}"),
        _ => "–".to_owned(),
    }
}
