//! The scores of a study, each with its series (a model, say), its fold and its threshold.
//!
//! These follow from the labels of gathered axes. Axes over which means are taken (`fold`) and that of the threshold
//! are set apart; all others together are the series: `model` in the paper's study, `protocol · model` if the protocol
//! varies too.

use std::collections::HashMap;

use orchestrate_engine::stage::{InputProblem, Item, Label, StageError};
use rayon::prelude::*;

use super::params::Params;
use crate::artifact::{Scores, Table, is_synthetic};
use crate::tables::first_seen::{index_or_push, push_once};
use crate::tables::table::mean_sd;

/// The series, the group and the threshold of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeriesPoint {
    /// Labels of all axes but those of groups and of the threshold; `study` if there are none.
    pub(super) series: String,
    /// Labels of the axes over which means are taken; empty if there are none.
    pub(super) group: String,
    /// The label of the threshold; `None` if the input does not vary along it.
    pub(super) threshold: Option<String>,
}

impl SeriesPoint {
    /// Sorts the labels of an input.
    pub(super) fn of(params: &Params, labels: &[Label]) -> Self {
        let is_group = |axis: &str| params.across.0.iter().any(|other| other == axis);
        let joined = |group: bool| {
            let kept = labels.iter().filter(|(axis, _)| **axis != *params.threshold && is_group(axis) == group);
            kept.map(|(_, label)| &**label).collect::<Vec<_>>().join(" · ")
        };
        let series = Some(joined(false)).filter(|series| !series.is_empty());
        Self {
            series: series.unwrap_or_else(|| "study".to_owned()),
            group: joined(true),
            threshold: labels.iter().find(|(axis, _)| **axis == *params.threshold).map(|(_, label)| label.to_string()),
        }
    }
}

/// One input of scores.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scored {
    /// Labels of its gathered axes.
    pub(super) labels: Vec<Label>,
    pub(super) point: SeriesPoint,
    /// Its images, in the order of the input.
    pub(super) images: Vec<ScoredImage>,
}

/// One image of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoredImage {
    /// Index into [`Study::names`].
    pub(super) image: u32,
    /// Index of its class into [`Study::classes`].
    pub(super) class: u32,
    /// Index of the predicted class.
    pub(super) predicted: u32,
    /// Intersection over union; `None` without ground truth.
    pub(super) iou: Option<f64>,
}

/// The scores of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Study {
    /// Class names in the order in which they appear.
    pub(super) classes: Vec<String>,
    /// Names of all scored images.
    pub(super) names: Vec<String>,
    /// Series in gather order.
    pub(super) series: Vec<String>,
    /// Labels of thresholds in gather order.
    pub(super) thresholds: Vec<String>,
    /// All inputs in gather order.
    pub(super) inputs: Vec<Scored>,
    /// The threshold by whose scores cases are ranked; `None` if no input varies along one.
    pub(super) at: Option<String>,
    /// Whether any image is synthetic.
    pub(super) synthetic: bool,
}

/// The columns of one input, before classes and images of all inputs are numbered.
struct ScoreColumns {
    names: Vec<String>,
    labels: Vec<u32>,
    predicted: Vec<u32>,
    classes: Vec<String>,
    iou: Vec<Option<f64>>,
}

impl ScoreColumns {
    fn read(item: &Item) -> Result<Self, StageError> {
        let rows = Scores::open(item)?;
        let classes = rows.classes(&["label", "predicted"])?;
        Ok(Self {
            names: rows.text("image")?,
            labels: rows.class("label", &classes)?,
            predicted: rows.class("predicted", &classes)?,
            iou: rows.optional_float("iou")?,
            classes,
        })
    }
}

impl Study {
    /// Reads the inputs of the port `scores`. Errors: a threshold `at` that no input has.
    pub(super) fn read(params: &Params, items: &[Item]) -> Result<Self, StageError> {
        let inputs: Vec<ScoreColumns> = items.par_iter().map(ScoreColumns::read).collect::<Result<_, _>>()?;
        let mut study = Self::default();
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (item, columns) in items.iter().zip(inputs) {
            let point = SeriesPoint::of(params, &item.labels);
            push_once(&mut study.series, &point.series);
            if let Some(threshold) = &point.threshold {
                push_once(&mut study.thresholds, threshold);
            }
            study.synthetic |= is_synthetic(&columns.names);
            let classes = columns.classes.iter().map(|class| push_once(&mut study.classes, class) as u32);
            let classes: Vec<u32> = classes.collect();
            let rows = columns.names.into_iter().zip(columns.labels).zip(columns.predicted).zip(columns.iou);
            let images = rows.map(|(((name, label), predicted), iou)| {
                let image = *ids.entry(name).or_insert_with_key(|name| {
                    study.names.push(name.clone());
                    study.names.len() as u32 - 1
                });
                let iou = iou.filter(|iou| !iou.is_nan());
                ScoredImage { image, class: classes[label as usize], predicted: classes[predicted as usize], iou }
            });
            let images = images.collect();
            study.inputs.push(Scored { labels: item.labels.clone(), point, images });
        }
        study.at = ranking_threshold(params, &study.thresholds).map_err(InputProblem::failure)?;
        Ok(study)
    }

    /// Inputs of a series at a threshold; an input that does not vary along thresholds (a U-Net's) is at all of them.
    pub(super) fn inputs_at<'a>(
        &'a self,
        series: &'a str,
        threshold: Option<&'a str>,
    ) -> impl Iterator<Item = (usize, &'a Scored)> + Clone {
        self.inputs.iter().enumerate().filter(move |(_, Scored { point, .. })| {
            point.series == series && (point.threshold.is_none() || point.threshold.as_deref() == threshold)
        })
    }

    /// Mean of the IoU of a series at a threshold: a value per group first, as in tables.
    pub(super) fn mean_iou(&self, series: &str, threshold: Option<&str>) -> Option<Mean> {
        let mut groups: Vec<(&str, f64, u64)> = Vec::new();
        for (_, input) in self.inputs_at(series, threshold) {
            let own = input.point.group.as_str();
            let index = index_or_push(&mut groups, |(group, ..)| *group == own, || (own, 0.0, 0));
            for iou in input.images.iter().filter_map(|image| image.iou) {
                groups[index].1 += iou;
                groups[index].2 += 1;
            }
        }
        let values: Vec<f64> = groups.iter().filter(|(_, _, n)| *n > 0).map(|(_, sum, n)| sum / *n as f64).collect();
        let (mean, sd) = mean_sd(&values);
        Some(Mean { mean: mean?, sd, n: groups.iter().map(|(_, _, n)| n).sum(), groups: values.len() })
    }
}

/// Returns the threshold that ranks: `at`, by default the first. Errors: a threshold that no input has.
pub(super) fn ranking_threshold(params: &Params, thresholds: &[String]) -> Result<Option<String>, InputProblem> {
    match &params.at {
        None => Ok(thresholds.first().cloned()),
        Some(at) if thresholds.contains(at) => Ok(Some(at.clone())),
        Some(at) => {
            let (along, known) = (&params.threshold, thresholds.join(", "));
            let message = format!("`at = {at}` is a value of `{along}` that no input has; there are: {known}");
            Err(InputProblem::param("at", message))
        }
    }
}

/// A mean over groups of the means of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) mean: f64,
    /// Sample standard deviation (ddof = 1) over groups; `None` for fewer than two.
    pub(super) sd: Option<f64>,
    /// Images.
    pub(super) n: u64,
    /// Groups.
    pub(super) groups: usize,
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::{params, scores};
    use super::*;
    use crate::testing::Bench;

    fn study(json: serde_json::Value) -> Result<Study, StageError> {
        let bench = Bench::new();
        let items = [
            bench.item(
                &scores(&[("a", 0, Some(0.2)), ("b", 1, Some(0.4)), ("c", 1, None)]),
                &[("model", "m"), ("fold", "1"), ("threshold", "200")],
            ),
            bench.item(&scores(&[("d", 0, Some(0.6))]), &[("model", "m"), ("fold", "2"), ("threshold", "200")]),
            bench.item(&scores(&[("a", 0, Some(0.9))]), &[("model", "m"), ("fold", "1"), ("threshold", "q90")]),
            bench.item(&scores(&[("a", 0, Some(0.8))]), &[("unet", "u"), ("fold", "1")]),
        ];
        Study::read(&params(json), &items)
    }

    /// Fold 1 has the mean (0.2 + 0.4) / 2 = 0.3 over its images with ground truth, fold 2 has 0.6; their mean is 0.45.
    #[test]
    fn mean_iou_is_a_value_per_fold_first() {
        let study = study(serde_json::json!({})).unwrap();
        assert_eq!(
            (&study.series, &study.thresholds),
            (&vec!["m".into(), "u".into()], &vec!["200".into(), "q90".into()])
        );
        let mean = study.mean_iou("m", Some("200")).unwrap();
        assert!((mean.mean - 0.45).abs() < 1e-12 && (mean.sd.unwrap() - 0.045_f64.sqrt()).abs() < 1e-12, "{mean:?}");
        assert_eq!((mean.n, mean.groups), (3, 2));
        assert_eq!(study.mean_iou("m", Some("otsu")), None);
    }

    #[test]
    fn series_that_does_not_vary_along_thresholds_is_at_all_of_them() {
        let study = study(serde_json::json!({ "at": "q90" })).unwrap();
        assert_eq!(study.at.as_deref(), Some("q90"));
        assert_eq!(study.mean_iou("u", Some("q90")).unwrap().mean, 0.8);
        assert_eq!(study.mean_iou("u", None).unwrap().n, 1);
    }

    #[test]
    fn axes_that_are_no_folds_and_no_thresholds_make_the_series() {
        let labels = [("protocol", "shuffled"), ("model", "m"), ("seed", "7"), ("fold", "1")];
        let labels: Vec<_> = labels.map(|(axis, label)| (axis.into(), label.into())).to_vec();
        let point = |json| SeriesPoint::of(&params(json), &labels);
        assert_eq!(point(serde_json::json!({})).series, "shuffled · m · 7");
        let across_seeds = point(serde_json::json!({ "across": ["fold", "seed"] }));
        assert_eq!((across_seeds.series.as_str(), across_seeds.group.as_str()), ("shuffled · m", "7 · 1"));
        assert_eq!(SeriesPoint::of(&params(serde_json::json!({})), &[]).series, "study");
    }

    #[test]
    fn an_unknown_threshold_is_named_beside_the_known_ones() {
        let error = study(serde_json::json!({ "at": 210 })).unwrap_err().to_string();
        assert_eq!(error, "`at = 210` is a value of `threshold` that no input has; there are: 200, q90");
    }
}
