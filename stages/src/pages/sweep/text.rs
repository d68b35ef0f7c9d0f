//! The outcome of a sweep as plain text, aligned for a font of fixed width.

use unicode_width::UnicodeWidthStr;

use super::{Best, Series, Swept, word};

/// More equally good values than this are counted, not named.
const EQUALS_SHOWN: usize = 4;

/// One line a series, and below what must be known to read it.
pub fn text(swept: &Swept) -> String {
    let metric = word(&swept.metric);
    let nested = swept.series.iter().any(|series| series.nested.is_some());
    let mut grid = vec![header(swept, nested)];
    grid.extend(swept.series.iter().map(|series| line(series, nested)));
    let values = match swept.values.as_slice() {
        [] => "no values".to_owned(),
        [one] => one.clone(),
        [first, .., last] => format!("{} values from {first} to {last}", swept.values.len()),
    };
    let folds = swept.series.iter().map(|series| series.folds.len()).max().unwrap_or(0);
    let spread = if folds > 1 { format!(", mean (sd) over {folds} folds") } else { String::new() };
    let mut text = format!("{metric} by {}, {values}{spread}\n\n", swept.axis);
    text += &aligned(&grid);
    text.push('\n');
    for remark in remarks(swept, nested) {
        text += &remark;
        text.push('\n');
    }
    text
}

fn header(swept: &Swept, nested: bool) -> Vec<String> {
    let metric = word(&swept.metric);
    let mut cells = vec!["series".to_owned(), format!("best {}", swept.axis), metric.to_owned(), "n".to_owned()];
    if nested {
        cells.extend([format!("nested {metric}"), "chosen, by fold".to_owned()]);
    }
    cells
}

fn line(series: &Series, nested: bool) -> Vec<String> {
    let none = || "–".to_owned();
    let mut cells = vec![series.name.clone()];
    match &series.best {
        Some(Best { value, mean, sd, n, .. }) => {
            cells.extend([value.clone(), figure(Some(*mean), *sd), n.to_string()]);
        }
        None => cells.extend([none(), none(), "0".to_owned()]),
    }
    if nested {
        cells.extend(match &series.nested {
            Some(nested) => [
                figure(nested.mean, nested.sd),
                nested.chosen.iter().map(|chosen| chosen.value.as_str()).collect::<Vec<_>>().join(" "),
            ],
            None => [none(), none()],
        });
    }
    cells
}

fn figure(mean: Option<f64>, sd: Option<f64>) -> String {
    match (mean, sd) {
        (None, _) => "–".to_owned(),
        (Some(mean), None) => format!("{mean:.3}"),
        (Some(mean), Some(sd)) => format!("{mean:.3} ({sd:.3})"),
    }
}

/// What a reader must know, one sentence a line.
fn remarks(swept: &Swept, nested: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if swept.values.len() > 1 {
        let optimistic = format!(
            "The best {} is chosen on the very images that it is scored on: its {} is optimistic.",
            swept.axis,
            word(&swept.metric)
        );
        let remedy = if nested {
            "Nested: chosen for each fold on the other folds, scored on the fold that was left out."
        } else {
            "With --nested it is chosen on other folds than it is scored on."
        };
        remarks.extend([optimistic, remedy.to_owned()]);
    }
    for Series { name, best, nested, .. } in &swept.series {
        if let Some(Best { value, equals, empty_folds, .. }) = best {
            match equals.len() {
                0 | 1 => {}
                2..=EQUALS_SHOWN => {
                    remarks.push(format!("{name}: {} are equally good; {value} comes first.", equals.join(", ")));
                }
                count => remarks.push(format!("{name}: {count} values are equally good; {value} comes first.")),
            }
            if !empty_folds.is_empty() {
                let fold = if empty_folds.len() == 1 { "fold" } else { "folds" };
                remarks.push(format!(
                    "{name}: no image of {fold} {} has a score at {value}; the mean is over the others.",
                    empty_folds.join(", ")
                ));
            }
        } else {
            remarks.push(format!("{name}: no image has a score."));
        }
        let unscored = nested.iter().flat_map(|nested| &nested.chosen).filter(|chosen| chosen.score.is_none());
        let unscored: Vec<_> = unscored.map(|chosen| chosen.fold.as_str()).collect();
        if !unscored.is_empty() {
            remarks.push(format!("{name}: fold {} has no score and is in no nested mean.", unscored.join(", ")));
        }
    }
    if swept.synthetic {
        remarks.push("synthetic phantom data".to_owned());
    }
    remarks
}

/// Columns below each other: the first to the left, the others to the right, a rule below the first line.
fn aligned(grid: &[Vec<String>]) -> String {
    let columns = grid[0].len();
    let width = |column: usize| grid.iter().map(|line| line[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let show = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let space = " ".repeat(width - cell.width());
            if column == 0 { format!("{cell}{space}") } else { format!("{space}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)) + "\n";
    let (first, rest) = grid.split_first().expect("there is a header");
    [show(first), rule].into_iter().chain(rest.iter().map(show)).collect()
}
