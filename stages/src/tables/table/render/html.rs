//! HTML for the page of a report, with each reference value below our figure.
//!
//! The difference from a reference value is coloured only beyond the precision of that value; a sign and an arrow say
//! its direction too. Figures of synthetic images have none, because the reference is of real images.
//!
//! Tables of many columns are set smaller, with the parts of a figure below each other, to fit a screen of 1280 pixels.

use maud::{Markup, html};

use super::grid::{Grid, GridCell};
use super::notes::{CORRECT, REFERENCE};
use crate::artifact::{Cell, Figures, Statistic};

/// Columns, labels and counts included, up to which a table is set in normal type.
const ROOMY_MAX: usize = 6;
/// Columns up to which it is set in smaller type with figures on one line.
const CLOSE_MAX: usize = 10;

impl Grid<'_> {
    /// The heading of the table: its title, or its description with a capital.
    pub(crate) fn heading(&self) -> String {
        self.figures.title.clone().unwrap_or_else(|| capitalised(&self.description))
    }

    /// Renders the table with its notes.
    ///
    /// - `source`: the output digest by which the script of the page finds the node of the table
    /// - `labels`: the labels of the table's own input, where several inputs have the same title
    pub(crate) fn html(&self, source: &str, labels: &[String]) -> Markup {
        let figures = self.figures;
        let class = match figures.rows.len() + self.columns.len() + 1 + usize::from(self.has_correct) {
            count if count <= ROOMY_MAX => "figures",
            count if count <= CLOSE_MAX => "figures close",
            _ => "figures close stacked",
        };
        html! {
            div class="table" {
                div class="scroll" tabindex="0" {
                    table class=(class) data-source=(source) {
                        caption {
                            span class="title" {
                                (self.heading()) @if !labels.is_empty() { " · " (labels.join(", ")) }
                                @if figures.title.is_some() { span class="quiet" { (self.description) } }
                            }
                        }
                        thead { tr {
                            @for levels in &figures.rows { th scope="col" { (levels.name) } }
                            @for column in &self.columns { th scope="col" { (column) } }
                            th scope="col" { "n" }
                            @if self.has_correct { th scope="col" { (CORRECT) } }
                        } }
                        tbody {
                            @for row in &self.rows {
                                tr {
                                    @for label in &row.labels { th scope="row" { (label) } }
                                    @for cell in &row.cells { (table_cell(figures, cell.as_ref())) }
                                    td class="n" { (row.n()) }
                                    @if self.has_correct { td class="n" { (row.correct_or_dash()) } }
                                }
                            }
                        }
                    }
                }
                ul class="notes" {
                    @if figures.has_references() { li { (reference_note(figures)) } }
                    @for note in &self.notes { li { (note) } }
                }
            }
        }
    }
}

fn table_cell(figures: &Figures, cell: Option<&GridCell<'_>>) -> Markup {
    let Some(cell) = cell else { return html! { td { "–" } } };
    let sd = |sd: &Option<String>| html! { @if let Some(sd) = sd { " " span class="sd" { "(" (sd) ")" } } };
    html! {
        td data-cell=(labels(figures, cell.cell)) title=(tip(figures, cell.cell)) {
            @if let Some(mean) = &cell.mean { b { (plus_minus(mean)) } } @else { "–" }
            (sd(&cell.sd)) (cell.mark)
            @if let Some([low, high]) = &cell.interval {
                span class="published" { "[" (plus_minus(low)) ", " (plus_minus(high)) "]" }
            }
            @if let Some(p) = &cell.p { span class="published" { (p) } }
            @if let Some((mean, reference_sd)) = &cell.reference {
                span class="published" { span class="word" { (REFERENCE) " " } (plus_minus(mean)) (sd(reference_sd)) }
                @if let Some(shown) = cell.difference.as_ref().filter(|_| !figures.synthetic) {
                    (difference(cell.cell, shown))
                }
            }
        }
    }
}

/// The difference from the reference value, coloured only beyond the precision of that value.
fn difference(cell: &Cell, shown: &str) -> Markup {
    let (difference, precision) = cell
        .mean
        .zip(cell.reference)
        .map_or((0.0, 0.0), |(mean, reference)| (mean - reference.mean, reference.precision));
    // The margin keeps a difference equal to the precision within it despite the rounding of floats.
    let (class, arrow) = match difference.abs() > precision + 1e-9 {
        true if difference > 0.0 => ("difference more", "▲ "),
        true => ("difference less", "▼ "),
        false => ("difference", ""),
    };
    html! { span class=(class) { (arrow) (plus_minus(shown)) } }
}

/// Replaces the sign of a number that rounds to zero by `±`.
fn plus_minus(number: &str) -> String {
    match number.strip_prefix(['+', '−']) {
        Some(digits) if digits.chars().all(|c| "0.".contains(c)) => format!("±{digits}"),
        _ => number.to_owned(),
    }
}

fn reference_note(figures: &Figures) -> Markup {
    let precisions = || figures.cells.iter().filter_map(|cell| Some(cell.reference?.precision));
    let (least, most) = (precisions().fold(f64::INFINITY, f64::min), precisions().fold(0.0, f64::max));
    html! {
        @if figures.synthetic {
            "Below each figure: the published one, of real images. These are synthetic, so a difference would say "
            "nothing."
        } @else {
            "Below each figure: the published one, and how far ours is from it. The difference is coloured only where "
            "it exceeds the precision of the published value, ±" (least) @if most > least { " to ±" (most) } "."
        }
    }
}

/// The labels of a cell, as JSON pairs of dimension and label, by which the script of the page finds its inputs.
fn labels(figures: &Figures, cell: &Cell) -> String {
    let pairs = figures.dimensions().map(|levels| levels.name.as_str()).zip(cell.labels.iter().map(String::as_str));
    let pairs: Vec<(&str, &str)> = pairs.filter(|(_, label)| !label.is_empty()).collect();
    serde_json::to_string(&pairs).expect("texts are JSON")
}

fn tip(figures: &Figures, cell: &Cell) -> String {
    let excluded = if cell.excluded > 0 { format!(", {} without ground truth", cell.excluded) } else { String::new() };
    let constant = if cell.constant > 0 { format!(", {} of a constant map", cell.constant) } else { String::new() };
    let correct = cell.classified.map(|all| format!(", {CORRECT}: {} of {all}", cell.counted())).unwrap_or_default();
    // The groups of a comparison are its images.
    let groups = match (figures.statistic, figures.across.as_slice()) {
        (Statistic::Difference, _) | (_, []) => String::new(),
        (_, [fold]) if fold == "fold" => format!(", {} folds", cell.groups),
        (_, across) => format!(", {} values of {}", cell.groups, across.join(" × ")),
    };
    let full = cell.mean.map(|mean| format!("{mean}, ")).unwrap_or_default();
    format!("{full}n = {} images{excluded}{constant}{correct}{groups}", cell.n)
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
    use crate::artifact::ReferenceValue;

    /// The reference has the precision ±0.005: 0.095 − 0.090 = 0.005 is within it, 0.0051 is not.
    #[test]
    fn only_differences_beyond_the_precision_of_the_reference_are_coloured() {
        let shown = |mean: f64, reference: f64| {
            let reference = Some(ReferenceValue { mean: reference, sd: None, precision: 0.005 });
            let cell = Cell { mean: Some(mean), reference, ..Cell::default() };
            let figures = Figures { cells: vec![cell], ..Figures::default() };
            let page = Grid::of(&figures, 3).html("", &[]).into_string();
            let (_, rest) = page.split_once("<span class=\"difference").expect("it has a difference");
            rest.split("</span>").next().unwrap_or_default().to_owned()
        };
        assert_eq!(shown(0.095, 0.09), "\">+0.005");
        assert_eq!(shown(0.0051, 0.0), " more\">▲ +0.005");
        assert_eq!(shown(-0.02, 0.0), " less\">▼ −0.020");
        assert_eq!(shown(-0.0004, 0.0), "\">±0.000");
    }
}
