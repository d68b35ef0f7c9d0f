//! The best value of an axis for each model: scores along a swept axis, and what choosing among them is worth.
//!
//! Scores are summarised as tables have them: a value per fold first (its mean over images), then mean and sample standard
//! deviation (ddof = 1) over folds. The best value has the largest mean. A value that is chosen on the images that it is scored on
//! is optimistic; *nested* chooses it for each fold on the other folds, and scores it on the fold that was left out
//! (Cawley and Talbot 2010, "On over-fitting in model selection").

mod choice;
mod plot;
mod text;

use orchestrate_engine::stage::{Item, StageError};
use serde::Serialize;

use crate::artifact::{Levels, Scores, Statistic};
use crate::tables::table::{Dimension, Labels, Query, cell, gather, read};

pub use choice::{Best, Chosen, Nested};
pub use plot::svg;
pub use text::text;

/// The kind of stages whose scores are swept.
pub const KIND: &str = "score";

/// The metrics of scores: the larger, the better.
pub const METRICS: [&str; 4] = Scores::METRICS;

/// What is asked of the scores.
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

/// Scores along an axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// The axis.
    pub axis: String,
    /// The metric.
    pub metric: String,
    /// Labels of the values of the axis, in its order.
    pub values: Vec<String>,
    /// One for each stage and point of the axes that are neither swept nor folds.
    pub series: Vec<Series>,
    /// Whether any image is synthetic.
    pub synthetic: bool,
}

/// One line of the chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// What people call it: the labels of its point, after the stage where there are several.
    pub name: String,
    /// Name of the stage.
    pub stage: String,
    /// Axis and label.
    pub point: Vec<(String, String)>,
    /// Labels of the folds; one that is empty where the study has none.
    pub folds: Vec<String>,
    /// By the values of the axis; where the study excludes one, it is left out.
    pub scores: Vec<Score>,
    /// The value with the largest mean; `None` where no image has a score.
    pub best: Option<Best>,
    /// The same with the value chosen on the other folds, where that was asked for and more than one fold has scores.
    pub nested: Option<Nested>,
}

/// The score at one value of the axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Label of the value.
    pub value: String,
    /// Mean over folds of the means over images; `None` where no image has a score.
    pub mean: Option<f64>,
    /// Sample standard deviation (ddof = 1) over folds; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Images that have a score, of all folds.
    pub n: u64,
    /// Mean of each of [`Series::folds`]; `None` where none of its images has a score.
    pub by_fold: Vec<Option<f64>>,
}

/// Summarises what score stages gave along an axis.
///
/// Errors: scores that cannot be read, a metric that they lack.
pub fn sweep(question: &Question<'_>, inputs: &[Input]) -> Result<Swept, StageError> {
    let mut swept = Swept {
        axis: question.axis.to_owned(),
        metric: question.metric.to_owned(),
        values: Vec::new(),
        series: Vec::new(),
        synthetic: false,
    };
    for input in inputs {
        add(&mut swept, question, input, inputs.len() > 1)?;
    }
    Ok(swept)
}

fn add(swept: &mut Swept, question: &Question<'_>, input: &Input, several: bool) -> Result<(), StageError> {
    let Some(first) = input.items.first() else { return Ok(()) };
    let axes: Vec<&str> = first.labels.iter().map(|(axis, _)| &**axis).collect();
    let (folds, others): (Vec<&str>, Vec<&str>) = axes
        .into_iter()
        .filter(|axis| *axis != question.axis)
        .partition(|axis| question.folds.iter().any(|fold| fold == axis));
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let query = Query {
        rows: owned(&others).into_iter().map(|axis| Dimension(vec![axis])).collect(),
        columns: vec![Dimension(vec![question.axis.to_owned()])],
        across: Labels(owned(&folds)).0,
        only: Default::default(),
        metric: Some(question.metric.to_owned()),
        at_most: None,
        lesion_sizes: None,
        keeps_images: false,
        axis: None,
    };
    let source = read(&query, &input.items)?;
    swept.synthetic |= source.synthetic;
    let gathered = gather(&query, &source)?;
    let values = &gathered.columns[0].values;
    for value in values.iter().filter(|value| !swept.values.contains(value)).cloned().collect::<Vec<_>>() {
        swept.values.push(value);
    }
    let folds = combinations(&gathered.across);
    let mut series: Vec<(Vec<usize>, Series)> = Vec::new();
    for (place, groups) in &gathered.cells {
        let (at, point) = place.split_last().expect("the swept axis is the last one");
        if series.last().is_none_or(|(last, _)| last != point) {
            let labels = gathered.labels(place);
            let labels = others.iter().map(|axis| (*axis).to_owned()).zip(labels).collect();
            series.push((point.to_vec(), Series::new(&input.stage, labels, &folds, several)));
        }
        let cell = cell(Statistic::Mean, groups);
        let by_fold = folds.iter().map(|(fold, _)| groups.get(fold)?.value).collect();
        let score = Score { value: values[*at].clone(), mean: cell.mean, sd: cell.sd, n: cell.n, by_fold };
        series.last_mut().expect("one was pushed").1.scores.push(score);
    }
    swept.series.extend(series.into_iter().map(|(_, mut series)| {
        series.best = Best::of(&series);
        series.nested = question.nested.then(|| Nested::of(&series)).flatten();
        series
    }));
    Ok(())
}

impl Series {
    fn new(stage: &str, point: Vec<(String, String)>, folds: &[(Vec<usize>, String)], several: bool) -> Self {
        let labels = point.iter().map(|(_, label)| label.as_str());
        let name: Vec<&str> = Some(stage).filter(|_| several || point.is_empty()).into_iter().chain(labels).collect();
        Self {
            name: name.join(" · "),
            stage: stage.to_owned(),
            folds: folds.iter().map(|(_, label)| label.clone()).collect(),
            scores: Vec::new(),
            best: None,
            nested: None,
            point,
        }
    }
}

/// Every place along some dimensions with its labels, the first dimension slowest; one place without labels where there are none.
fn combinations(across: &[Levels]) -> Vec<(Vec<usize>, String)> {
    across.iter().fold(vec![(Vec::new(), String::new())], |places, levels| {
        let longer = |(place, label): &(Vec<usize>, String)| {
            let (place, label) = (place.clone(), label.clone());
            levels.values.iter().enumerate().map(move |(index, value)| {
                let label = if label.is_empty() { value.clone() } else { format!("{label} · {value}") };
                (place.iter().copied().chain([index]).collect(), label)
            })
        };
        places.iter().flat_map(|place| longer(place).collect::<Vec<_>>()).collect()
    })
}

/// The metric as people write it.
fn word(metric: &str) -> &str {
    match metric {
        "iou" => "IoU",
        "dice" => "Dice",
        other => other,
    }
}

#[cfg(test)]
mod tests;
