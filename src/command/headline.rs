//! The numbers of a recorded table: in one line for lists of runs, and cell by cell for comparisons.

use orchestrate_cache::{OutputDigest, Store};
use orchestrate_stages::artifact::{Cell, Figures};

use super::tables;

/// The file of a table with its numbers.
const NUMBERS: &str = "table.parquet";

/// Reads the numbers of a recorded output; `None` if it is no table of figures, or the store has lost it.
pub(super) fn figures(store: &Store, output: &OutputDigest) -> Option<Figures> {
    let bytes = tables::read(store, output, NUMBERS)?.ok()?;
    Figures::read(bytes).ok()
}

/// Returns the first column of the first of some tables in one line: `iou, threshold=200: tiny 0.060, vgg16 0.091`.
pub(super) fn headline(store: &Store, outputs: &[(String, OutputDigest)]) -> Option<String> {
    outputs.iter().find_map(|(node, output)| {
        let figures = figures(store, output)?;
        let rows = figures.rows.len();
        let first = figures.cells.first()?.labels.get(rows..)?.to_vec();
        let column = figures.columns.iter().zip(&first);
        let column = column.map(|(levels, label)| match levels.name.as_str() {
            "metric" => label.clone(),
            name => format!("{name}={label}"),
        });
        let metric = figures.metric.iter().cloned();
        let what: Vec<_> = metric.chain(column).filter(|part| part != node).collect();
        let cells = figures.cells.iter().filter(|cell| cell.labels[rows..] == first);
        let values: Vec<_> = cells.map(|cell| format!("{} {}", cell.labels[..rows].join(" "), number(cell))).collect();
        let what = if what.is_empty() { node.clone() } else { format!("{node}, {}", what.join(", ")) };
        Some(format!("{what}: {}", values.iter().map(|value| value.trim()).collect::<Vec<_>>().join(", ")))
    })
}

/// Formats the mean or share of a cell.
pub(super) fn number(cell: &Cell) -> String {
    cell.mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.3}"))
}

/// Names a cell by its labels: `model=tiny, metric=f1`.
pub(super) fn cell_name(figures: &Figures, cell: &Cell) -> String {
    let labels = figures.dimensions().zip(&cell.labels).filter(|(_, label)| !label.is_empty());
    labels.map(|(levels, label)| format!("{}={label}", levels.name)).collect::<Vec<_>>().join(", ")
}
