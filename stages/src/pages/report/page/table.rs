//! Tables of figures, each with the published value below ours where there is one.
//!
//! A difference from a published value is coloured only where it is larger than the precision of that value, and says its
//! direction by a sign and an arrow too. Figures of synthetic images have none: they are not of what was published.
//!
//! Many columns are set smaller, and the parts of a figure below each other, so that they fit on a screen of 1280 pixels.

use std::collections::HashMap;

use maud::{Markup, html};
use orchestrate_engine::stage::Item;

use super::super::digest;
use crate::artifact::{Cell, Figures, Statistic};
use crate::tables::table::render::{Grid, places, range};

/// Digits after the point.
const DIGITS: u8 = 3;

/// Columns, labels and counts among them, up to which a table has room as it is, and up to which in smaller type.
const ROOMY_MAX: usize = 6;
const CLOSE_MAX: usize = 10;

/// All tables.
pub(super) fn tables(tables: &[(Figures, &Item)]) -> Markup {
    html! {
        p class="quiet" { "Numbers in full are in " code { "tables/" } " as CSV; there are Markdown and LaTeX beside them." }
        @for (figures, item) in tables { (one(figures, item)) }
    }
}

/// What a table is called.
pub(in crate::pages::report) fn title(figures: &Figures) -> String {
    figures.title.clone().unwrap_or_else(|| capitalised(Grid::of(figures, DIGITS).description()))
}

fn one(figures: &Figures, item: &Item) -> Markup {
    let grid = Grid::of(figures, DIGITS);
    let split = figures.rows.len();
    let cells: HashMap<(&[String], &[String]), &Cell> =
        figures.cells.iter().map(|cell| (cell.labels.split_at(split), cell)).collect();
    let rows = places(&figures.rows, figures.cells.iter().map(|cell| &cell.labels[..split]));
    let columns = places(&figures.columns, figures.cells.iter().map(|cell| &cell.labels[split..]));
    let class = match figures.rows.len() + columns.len() + 1 {
        count if count <= ROOMY_MAX => "figures",
        count if count <= CLOSE_MAX => "figures close",
        _ => "figures close stacked",
    };
    let over: Vec<String> = item.labels.iter().map(|(axis, label)| format!("{axis} {label}")).collect();
    html! {
        div class="table" {
            div class="scroll" tabindex="0" {
                table class=(class) data-source=(digest(item)) {
                    caption {
                        span class="title" {
                            (title(figures)) @if !over.is_empty() { " · " (over.join(", ")) }
                            @if figures.title.is_some() { span class="quiet" { (grid.description()) } }
                        }
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
                                @for column in &columns { (cell(figures, &grid, row, column, cells.get(&(*row, *column)).copied())) }
                                td class="n" { (range(columns.iter().filter_map(|column| Some(cells.get(&(*row, *column))?.n)))) }
                            }
                        }
                    }
                }
            }
            (notes(figures, &grid))
        }
    }
}

fn notes(figures: &Figures, grid: &Grid) -> Markup {
    let precisions = || figures.cells.iter().filter_map(|cell| Some(cell.published?.precision));
    let (least, most) = (precisions().fold(f64::INFINITY, f64::min), precisions().fold(0.0, f64::max));
    html! {
        ul class="notes" {
            @if figures.has_published() && figures.synthetic {
                li { "Below each figure: the published one, of real images. These are synthetic, so a difference would say nothing." }
            } @else if figures.has_published() {
                li { "Below each figure: the published one, and how far ours is from it. The difference is coloured only where "
                    "it exceeds the precision of the published value, ±" (least) @if most > least { " to ±" (most) } "." }
            }
            @for note in grid.notes() { li { (note) } }
        }
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

fn cell(figures: &Figures, grid: &Grid, row: &[String], column: &[String], cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell else { return html! { td { "–" } } };
    let number = |value: f64| match figures.statistic {
        Statistic::Difference => signed(value),
        Statistic::Mean | Statistic::Share => format!("{value:.*}", usize::from(DIGITS)),
    };
    html! {
        td data-cell=(labels(figures, &[row, column])) title=(tip(figures, cell)) {
            @if let Some(mean) = cell.mean { b { (number(mean)) } } @else { "–" }
            @if let Some(sd) = cell.sd { " " span class="sd" { "(" (format!("{sd:.*}", usize::from(DIGITS))) ")" } }
            @if grid.is_partial(cell) { "*" }
            @if let Some(interval) = cell.interval {
                span class="published" { "[" (number(interval.low)) ", " (number(interval.high)) "]" }
            }
            @if let Some(p) = cell.test.and_then(|test| test.p) {
                span class="published" { @if p < 0.001 { "p < 0.001" } @else { (format!("p = {p:.3}")) } }
            }
            @if let Some(published) = cell.published {
                span class="published" {
                    span class="word" { "published " } (number(published.mean))
                    @if let Some(sd) = published.sd { " " span class="sd" { "(" (format!("{sd:.*}", usize::from(DIGITS))) ")" } }
                }
                @if let Some(mean) = cell.mean.filter(|_| !figures.synthetic) {
                    (difference(mean - published.mean, published.precision))
                }
            }
        }
    }
}

/// A difference from a published value; one within its precision says nothing and has no colour.
fn difference(difference: f64, precision: f64) -> Markup {
    // A difference as large as the precision is within it, whatever floats make of it.
    let (class, arrow) = match difference.abs() > precision + 1e-9 {
        true if difference > 0.0 => ("difference more", "▲ "),
        true => ("difference less", "▼ "),
        false => ("difference", ""),
    };
    html! { span class=(class) { (arrow) (signed(difference)) } }
}

/// With its sign, a minus and not a hyphen.
fn signed(value: f64) -> String {
    let text = format!("{value:+.*}", usize::from(DIGITS));
    if text.trim_start_matches(['+', '-']).chars().all(|c| "0.".contains(c)) {
        return format!("±{}", &text[1..]);
    }
    text.replace('-', "−")
}

fn tip(figures: &Figures, cell: &Cell) -> String {
    let excluded = if cell.excluded > 0 { format!(", {} without ground truth", cell.excluded) } else { String::new() };
    // The groups of a comparison are its images.
    let groups = match (figures.statistic, figures.across.as_slice()) {
        (Statistic::Difference, _) | (_, []) => String::new(),
        (_, [fold]) if fold == "fold" => format!(", {} folds", cell.groups),
        (_, across) => format!(", {} values of {}", cell.groups, across.join(" × ")),
    };
    let full = cell.mean.map(|mean| format!("{mean}, ")).unwrap_or_default();
    format!("{full}n = {} images{excluded}{groups}", cell.n)
}

fn capitalised(text: &str) -> String {
    // An abbreviation has its own capitals.
    if let Some(rest) = text.strip_prefix("iou") {
        return format!("IoU{rest}");
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published precision is ±0.005: 0.095 − 0.090 = 0.005 is within it, 0.0051 is not.
    #[test]
    fn only_differences_beyond_the_published_precision_are_coloured() {
        let class = |value: f64| difference(value, 0.005).into_string();
        assert_eq!(class(0.095 - 0.09), "<span class=\"difference\">+0.005</span>");
        assert_eq!(class(0.0051), "<span class=\"difference more\">▲ +0.005</span>");
        assert_eq!(class(-0.02), "<span class=\"difference less\">▼ −0.020</span>");
        assert_eq!(class(-0.0004), "<span class=\"difference\">±0.000</span>");
    }
}
