//! The choice of a value of the axis, and its score where it was not chosen.

use serde::Serialize;

use crate::tables::table::mean_sd;

/// The score at one value of the axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Label of the value.
    pub value: String,
    /// Mean over folds of the means over images; `None` if no image has a score.
    pub mean: Option<f64>,
    /// Sample standard deviation (ddof = 1) over folds; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Images that have a score, of all folds.
    pub n: u64,
    /// Mean of each of [`Series::folds`](super::Series::folds); `None` if none of its images has a score.
    pub by_fold: Vec<Option<f64>>,
}

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
    /// Labels of all values with exactly that mean, in the order of the axis; the first is [`Best::value`].
    pub equals: Vec<String>,
    /// Labels of folds without a scored image.
    pub empty_folds: Vec<String>,
}

/// The score of a choice made without the fold on which it is scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nested {
    /// Mean over folds.
    pub mean: Option<f64>,
    /// Sample standard deviation (ddof = 1) over folds.
    pub sd: Option<f64>,
    /// One for each fold.
    pub chosen: Vec<Chosen>,
}

/// The value chosen for one fold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// Label of the fold.
    pub fold: String,
    /// Label of the value with the largest mean over the other folds.
    pub value: String,
    /// Its score in the fold; `None`, and in no mean, if none of the fold's images has one.
    pub score: Option<f64>,
}

impl Best {
    /// Returns the largest mean, the first of equals; `None` if no image has a score.
    pub(super) fn of(scores: &[Score], folds: &[String]) -> Option<Self> {
        let best = &scores[first_largest(scores.iter().map(|score| score.mean))?];
        let equals = scores.iter().filter(|score| score.mean == best.mean);
        let empty = folds.iter().zip(&best.by_fold).filter(|(_, value)| value.is_none());
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
    /// Chooses for each fold on the others; `None` if there are no others with scores.
    pub(super) fn of(scores: &[Score], folds: &[String]) -> Option<Self> {
        let chosen = folds.iter().enumerate().map(|(left_out, fold)| {
            let on_others = scores.iter().map(|score| mean_without(&score.by_fold, left_out));
            let chosen = &scores[first_largest(on_others)?];
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

/// Returns the index of the largest value, the first of equals.
fn first_largest(values: impl Iterator<Item = Option<f64>>) -> Option<usize> {
    let values = values.enumerate().filter_map(|(index, value)| Some((index, value?)));
    values.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(index, _)| index)
}
