//! Notes below a table: the images that count, and figures that mean little.

use crate::artifact::{Cell, Figures, Resampling};

/// The mark of a mean over fewer values than the means of other cells; a note explains it.
pub(super) const PARTIAL: &str = "*";

/// The label of a line of reference values.
pub(super) const REFERENCE: &str = "published";

/// The heading of a column about the images that count, and the opening of a note about them.
pub(crate) const CORRECT: &str = "correctly classified";

/// Returns the sentences that a reader needs beside the figures.
///
/// - `groups_max`: the most groups of a mean, if some means are over fewer
/// - `correct`: the share of images that count, if it is one share for all rows
pub(super) fn notes(figures: &Figures, groups_max: Option<u64>, correct: Option<String>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(groups_max) = groups_max {
        let across = figures.across.join(" × ");
        notes.push(format!("{PARTIAL} over fewer values of {across} than the other {groups_max}"));
    }
    notes.extend(correct.map(|correct| format!("{CORRECT}: {correct}")));
    notes.extend(repeats(figures));
    if figures.has(|cell| cell.excluded > 0) {
        let counts = range(figures.cells.iter().map(|cell| cell.excluded));
        notes.push(format!("{counts} images a cell have no ground truth and are left out"));
    }
    notes.extend(constant(figures.cells.iter()));
    notes.extend(figures.resampling.iter().flat_map(|resampling| intervals(figures, resampling)));
    if figures.has_tests() {
        notes.push("p: Wilcoxon signed-rank test, two-sided, over the images that both sides have".to_owned());
        if figures.has(|cell| cell.n > 0 && cell.test.is_some_and(|test| test.p.is_none())) {
            notes.push("no p where all differences are 0".to_owned());
        }
    }
    if let Some(citation) = figures.citation.as_ref().filter(|_| figures.has_references()) {
        notes.push(format!("{REFERENCE}: {citation}"));
    }
    notes.extend(figures.remarks.iter().cloned());
    notes.extend(figures.synthetic.then(|| "synthetic phantom data".to_owned()));
    notes
}

/// Returns `40 of 99`: the images of some cells that count, of all that were classified; `None` if all count.
pub(crate) fn correct<'a>(cells: impl Iterator<Item = &'a Cell> + Clone) -> Option<String> {
    let cells = cells.filter(|cell| cell.classified.is_some());
    cells.clone().next()?;
    Some(share(cells.clone().map(Cell::counted), cells.filter_map(|cell| cell.classified)))
}

/// Explains the numbers of images in brackets beside n.
fn repeats(figures: &Figures) -> Option<String> {
    let times = figures.cells.iter().filter_map(|cell| Some(cell.repeats?.times)).max()?;
    let each = match figures.cells.iter().all(|cell| cell.n == times * cell.images()) {
        true => "each image",
        false => "an image up to",
    };
    Some(format!("n counts {each} {times} times; the number of images is in brackets"))
}

/// Counts the constant heatmaps, or predicted masks, of some cells; `None` if there are none.
pub(crate) fn constant<'a>(cells: impl Iterator<Item = &'a Cell> + Clone) -> Option<String> {
    let constant = cells.clone().map(|cell| cell.constant);
    let counted = cells.clone().map(Cell::counted);
    constant.clone().find(|&count| count > 0)?;
    // A predicted mask has no class that could be wrong.
    let are_heatmaps = cells.filter(|cell| cell.constant > 0).all(|cell| cell.classified.is_some());
    let maps = if are_heatmaps { "heatmaps" } else { "heatmaps or masks" };
    let share = share(constant, counted);
    let each = if share.contains('–') { " a cell" } else { "" };
    Some(format!("{share} {maps}{each} are constant: one value everywhere"))
}

fn intervals(figures: &Figures, resampling: &Resampling) -> Vec<String> {
    let units = range(figures.cells.iter().filter_map(|cell| Some(cell.interval?.units)));
    let (level, unit) = (percent(resampling.level), resampling.unit.name());
    let mut notes = vec![format!(
        "{level} % percentile interval of {} bootstrap resamples by {unit}, of {units}",
        resampling.resamples
    )];
    if figures.has(|cell| cell.mean.is_some() && cell.interval.is_none()) {
        notes.push(format!("no interval of one {unit} alone"));
    }
    if figures.has(|cell| cell.interval.is_some_and(|interval| interval.low == interval.high)) {
        notes.push("an interval without width: all values are equal".to_owned());
    }
    notes
}

/// Returns 95 for 0.95 and 99.9 for 0.999.
pub(super) fn percent(level: f64) -> f64 {
    (level * 1e6).round() / 1e4
}

/// Returns `40 of 99`, or `4–18 of 9–40` if the numbers differ.
fn share(parts: impl Iterator<Item = u64> + Clone, wholes: impl Iterator<Item = u64> + Clone) -> String {
    format!("{} of {}", range(parts), range(wholes))
}

/// Returns `287`, or `83–142` if the numbers differ.
pub(super) fn range(counts: impl Iterator<Item = u64> + Clone) -> String {
    match (counts.clone().min(), counts.max()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) => format!("{min}–{max}"),
        _ => "–".to_owned(),
    }
}
