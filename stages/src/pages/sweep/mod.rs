//! The best value of an axis for each model, from scores along a swept axis.
//!
//! Scores are summarised as in tables: each fold has one value, its mean over images; mean and sample standard
//! deviation (ddof = 1) are over folds. The best value has the largest mean. A value chosen on the images on which it
//! is scored is optimistic; a *nested* choice is made for each fold on the other folds, and scored on the fold left out
//! (Cawley and Talbot 2010, "On over-fitting in model selection").

mod choice;
mod plot;
mod swept;
mod text;

use orchestrate_engine::stage::{InputProblem, Item, StageError};

use crate::artifact::{Levels, Scores, Statistic};
use crate::tables::first_seen::push_once;
use crate::tables::table::{Dimension, Query, cell, gather, read};

pub use choice::{Best, Chosen, Nested, Score};
pub use plot::svg;
pub use swept::{Series, Swept};
pub use text::text;

/// The kind of stages whose scores are swept.
pub const KIND: &str = "score";

/// The metrics of scores: the larger, the better.
pub const METRICS: [&str; 4] = Scores::METRICS;

/// A question about the scores.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The axis that was swept.
    pub axis: &'a str,
    /// Axes over which means are taken: the folds.
    pub folds: &'a [String],
    /// One of [`METRICS`].
    pub metric: &'a str,
    /// Whether the value of each fold is also chosen on the other folds.
    pub nested: bool,
}

/// Scores of one stage, with the labels of all axes of each node.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name of the stage.
    pub stage: String,
    /// One item a node.
    pub items: Vec<Item>,
}

/// Summarises the outputs of score stages along an axis.
///
/// Errors: scores that cannot be read, or that lack the metric.
pub fn sweep(question: &Question<'_>, inputs: &[Input]) -> Result<Swept, StageError> {
    let (axis, metric) = (question.axis.to_owned(), question.metric.to_owned());
    let mut swept = Swept { axis, metric, values: Vec::new(), series: Vec::new(), synthetic: false };
    for input in inputs {
        add(&mut swept, question, input, inputs.len() > 1)?;
    }
    Ok(swept)
}

fn add(swept: &mut Swept, question: &Question<'_>, input: &Input, several: bool) -> Result<(), StageError> {
    let Some(first) = input.items.first() else { return Ok(()) };
    let axes = first.labels.iter().map(|(axis, _)| axis.to_string()).filter(|axis| axis != question.axis);
    let (folds, others): (Vec<String>, Vec<String>) = axes.partition(|axis| question.folds.contains(axis));
    let dimension = |axis: &str| Dimension(vec![axis.to_owned()]);
    let query = Query {
        rows: others.iter().map(|axis| dimension(axis)).collect(),
        columns: vec![dimension(question.axis)],
        across: folds,
        metric: Some(question.metric.to_owned()),
        ..Query::default()
    };
    let inputs = read(&query, &input.items)?;
    swept.synthetic |= inputs.synthetic;
    let gathered = gather(&query, &inputs).map_err(InputProblem::failure)?;
    let values = &gathered.columns[0].values;
    for value in values {
        push_once(&mut swept.values, value);
    }
    let folds = combinations(&gathered.across);
    let mut series: Vec<(&[usize], Series)> = Vec::new();
    for (coordinates, groups) in &gathered.cells {
        let (value, point) = coordinates.split_last().expect("the swept axis is the last one");
        if series.last().is_none_or(|(last, _)| *last != point) {
            let labels = others.iter().cloned().zip(gathered.labels(coordinates)).collect();
            series.push((point, empty_series(&input.stage, labels, &folds, several)));
        }
        let cell = cell(Statistic::Mean, groups);
        let by_fold = folds.iter().map(|(fold, _)| groups.get(fold)?.value).collect();
        let score = Score { value: values[*value].clone(), mean: cell.mean, sd: cell.sd, n: cell.n, by_fold };
        series.last_mut().expect("one was pushed").1.scores.push(score);
    }
    swept.series.extend(series.into_iter().map(|(_, series)| {
        let nested = question.nested.then(|| Nested::of(&series.scores, &series.folds)).flatten();
        Series { best: Best::of(&series.scores, &series.folds), nested, ..series }
    }));
    Ok(())
}

fn empty_series(stage: &str, point: Vec<(String, String)>, folds: &[(Vec<usize>, String)], several: bool) -> Series {
    let labels = point.iter().map(|(_, label)| label.as_str());
    let name: Vec<&str> = Some(stage).filter(|_| several || point.is_empty()).into_iter().chain(labels).collect();
    Series {
        name: name.join(" · "),
        stage: stage.to_owned(),
        folds: folds.iter().map(|(_, label)| label.clone()).collect(),
        scores: Vec::new(),
        best: None,
        nested: None,
        point,
    }
}

/// Returns all coordinates along some dimensions with their labels, the first dimension slowest; without dimensions,
/// one without labels.
fn combinations(across: &[Levels]) -> Vec<(Vec<usize>, String)> {
    across.iter().fold(vec![(Vec::new(), String::new())], |shorter, levels| {
        let longer = |(coordinates, label): &(Vec<usize>, String)| {
            let (coordinates, label) = (coordinates.clone(), label.clone());
            levels.values.iter().enumerate().map(move |(index, value)| {
                let label = if label.is_empty() { value.clone() } else { format!("{label} · {value}") };
                (coordinates.iter().copied().chain([index]).collect(), label)
            })
        };
        shorter.iter().flat_map(|shorter| longer(shorter).collect::<Vec<_>>()).collect()
    })
}

#[cfg(test)]
mod tests;
