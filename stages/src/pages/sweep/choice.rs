//! Which value of the axis is taken, and what it scores where it was not chosen.

use serde::Serialize;

use super::Series;
use crate::tables::table::mean_sd;

/// The value of the axis with the largest mean over folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// Its label.
    pub value: String,
    /// Mean over folds.
    pub mean: f64,
    /// Sample standard deviation (ddof = 1) over folds.
    pub sd: Option<f64>,
    /// Images that have a score, of all folds.
    pub n: u64,
    /// Labels of all values with exactly that mean, in the order of the axis; the first of them is [`Best::value`].
    pub equals: Vec<String>,
    /// Labels of folds none of whose images has a score.
    pub empty_folds: Vec<String>,
}

/// The score of a choice that never saw the fold on which it is scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nested {
    /// Mean over folds.
    pub mean: Option<f64>,
    /// Sample standard deviation (ddof = 1) over folds.
    pub sd: Option<f64>,
    /// One for each fold.
    pub chosen: Vec<Chosen>,
}

/// What was chosen for one fold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// Label of the fold.
    pub fold: String,
    /// Label of the value with the largest mean over the other folds.
    pub value: String,
    /// Its score in the fold; `None` where none of the fold's images has one, and then it is in no mean.
    pub score: Option<f64>,
}

impl Best {
    /// The largest mean, the first one of equals; `None` where no image has a score.
    pub(super) fn of(series: &Series) -> Option<Self> {
        let scores = &series.scores;
        let best = &scores[first_largest(scores.iter().map(|score| score.mean))?];
        let equals = scores.iter().filter(|score| score.mean == best.mean);
        let empty = series.folds.iter().zip(&best.by_fold).filter(|(_, value)| value.is_none());
        Some(Self {
            value: best.value.clone(),
            mean: best.mean?,
            sd: best.sd,
            n: best.n,
            equals: equals.map(|score| score.value.clone()).collect(),
            empty_folds: empty.map(|(fold, _)| fold.clone()).collect(),
        })
    }
}

impl Nested {
    /// Chooses for each fold on the others; `None` where there are no others with scores.
    pub(super) fn of(series: &Series) -> Option<Self> {
        let chosen = series.folds.iter().enumerate().map(|(left_out, fold)| {
            let on_others = series.scores.iter().map(|score| mean_without(&score.by_fold, left_out));
            let chosen = &series.scores[first_largest(on_others)?];
            Some(Chosen { fold: fold.clone(), value: chosen.value.clone(), score: chosen.by_fold[left_out] })
        });
        let chosen: Vec<Chosen> = chosen.collect::<Option<_>>()?;
        let values: Vec<f64> = chosen.iter().filter_map(|chosen| chosen.score).collect();
        let (mean, sd) = mean_sd(&values);
        Some(Self { mean, sd, chosen })
    }
}

fn mean_without(by_fold: &[Option<f64>], left_out: usize) -> Option<f64> {
    let others = by_fold.iter().enumerate().filter(|(fold, _)| *fold != left_out);
    mean_sd(&others.filter_map(|(_, value)| *value).collect::<Vec<_>>()).0
}

/// Where the largest value is, the first of equals.
fn first_largest(values: impl Iterator<Item = Option<f64>>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if best.is_none_or(|(_, largest)| value > largest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}
