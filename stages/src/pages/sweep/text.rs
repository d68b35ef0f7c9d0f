//! The outcome of a sweep as plain text, aligned for a font of fixed width.

use super::choice::Best;
use super::swept::{Series, Swept};
use crate::tables::table::render::aligned;

/// The most equally good values that are named; more are counted.
const EQUALS_SHOWN: usize = 4;

/// Renders one line a series, and below them the remarks needed to read them.
pub fn text(swept: &Swept) -> String {
    let metric = swept.metric_word();
    let nested = swept.series.iter().any(|series| series.nested.is_some());
    let mut header = vec!["series".to_owned(), format!("best {}", swept.axis), metric.to_owned(), "n".to_owned()];
    if nested {
        header.extend([format!("nested {metric}"), "chosen, by fold".to_owned()]);
    }
    let mut lines = vec![header];
    lines.extend(swept.series.iter().map(|series| line(series, nested)));
    let values = match swept.values.as_slice() {
        [] => "no values".to_owned(),
        [one] => one.clone(),
        [first, .., last] => format!("{} values from {first} to {last}", swept.values.len()),
    };
    let folds = swept.series.iter().map(|series| series.folds.len()).max().unwrap_or(0);
    let spread = if folds > 1 { format!(", mean (sd) over {folds} folds") } else { String::new() };
    let remarks: String = remarks(swept, nested).into_iter().map(|remark| remark + "\n").collect();
    format!("{metric} by {}, {values}{spread}\n\n{}\n{remarks}", swept.axis, aligned(&lines, 1))
}

fn line(series: &Series, nested: bool) -> Vec<String> {
    let none = || "–".to_owned();
    let mut cells = vec![series.name.clone()];
    cells.extend(match &series.best {
        Some(Best { value, mean, sd, n, .. }) => [value.clone(), figure(Some(*mean), *sd), n.to_string()],
        None => [none(), none(), "0".to_owned()],
    });
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

/// The remarks that a reader needs, one sentence a line.
fn remarks(swept: &Swept, nested: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if swept.values.len() > 1 {
        let (axis, metric) = (&swept.axis, swept.metric_word());
        remarks.push(format!(
            "The best {axis} is chosen on the very images that it is scored on: its {metric} is optimistic."
        ));
        remarks.push(match nested {
            true => "Nested: chosen for each fold on the other folds, scored on the fold that was left out.".to_owned(),
            false => "With --nested it is chosen on other folds than it is scored on.".to_owned(),
        });
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
    remarks.extend(swept.synthetic.then(|| "synthetic phantom data".to_owned()));
    remarks
}
