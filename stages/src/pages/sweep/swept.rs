//! The outcome of a sweep.

use serde::Serialize;

use super::choice::{Best, Nested, Score};

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
    /// Its name for people: the labels of its point, after the stage where there are several.
    pub name: String,
    /// Name of the stage.
    pub stage: String,
    /// Axis and label.
    pub point: Vec<(String, String)>,
    /// Labels of the folds; one empty label if the study has none.
    pub folds: Vec<String>,
    /// By the values of the axis, without those that the study excludes.
    pub scores: Vec<Score>,
    /// The value with the largest mean; `None` if no image has a score.
    pub best: Option<Best>,
    /// The score of nested choices, if asked for and if more than one fold has scores.
    pub nested: Option<Nested>,
}

impl Swept {
    /// The metric as people write it.
    pub(super) fn metric_word(&self) -> &str {
        match self.metric.as_str() {
            "iou" => "IoU",
            "dice" => "Dice",
            other => other,
        }
    }
}
