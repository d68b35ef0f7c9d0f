//! The scores of a study, and where each belongs: which series (a model, say), which fold, which threshold.
//!
//! The labels of gathered axes tell it. Those over which means are taken (`fold`) and that of the threshold are set apart; all
//! others together are the series: `model` in the paper's study, `protocol · model` where the protocol varies too.

use std::collections::HashMap;

use orchestrate_engine::stage::{Item, Label, StageError};
use rayon::prelude::*;

use super::Params;
use crate::artifact::{Scores, Table, is_synthetic};

/// Where an input belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Labels of all axes but those of groups and of the threshold; `study` where there are none.
    pub(super) series: String,
    /// Labels of the axes over which means are taken; empty where there are none.
    pub(super) group: String,
    /// The label of the threshold; `None` where the input does not vary along it.
    pub(super) threshold: Option<String>,
}

impl Place {
    /// Reads it off the labels of an input.
    pub(super) fn of(params: &Params, labels: &[Label]) -> Self {
        let is_group = |axis: &str| params.across.0.iter().any(|other| other == axis);
        let joined = |group: bool| {
            let kept = labels.iter().filter(|(axis, _)| **axis != *params.threshold && is_group(axis) == group);
            kept.map(|(_, label)| &**label).collect::<Vec<_>>().join(" · ")
        };
        let series = joined(false);
        Self {
            series: if series.is_empty() { "study".to_owned() } else { series },
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
    /// Where it belongs.
    pub(super) place: Place,
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
    /// The threshold by whose scores cases are ranked; `None` where no input varies along one.
    pub(super) at: Option<String>,
    /// Whether any image is synthetic.
    pub(super) synthetic: bool,
}

/// What is read of one input before classes and images of all inputs are numbered.
struct Part {
    names: Vec<String>,
    labels: Vec<u32>,
    predicted: Vec<u32>,
    classes: Vec<String>,
    iou: Vec<Option<f64>>,
}

impl Study {
    /// Reads what the port `scores` received. Errors: a threshold `at` that no input has.
    pub(super) fn read(params: &Params, items: &[Item]) -> Result<Self, StageError> {
        let parts: Vec<Part> = items.par_iter().map(part).collect::<Result<_, _>>()?;
        let mut study = Self::default();
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (item, part) in items.iter().zip(parts) {
            let place = Place::of(params, &item.labels);
            push_once(&mut study.series, &place.series);
            if let Some(threshold) = &place.threshold {
                push_once(&mut study.thresholds, threshold);
            }
            study.synthetic |= is_synthetic(&part.names);
            let classes: Vec<u32> = part.classes.iter().map(|class| push_once(&mut study.classes, class)).collect();
            let rows = part.names.into_iter().zip(part.labels).zip(part.predicted).zip(part.iou);
            let images = rows.map(|(((name, label), predicted), iou)| {
                let image = *ids.entry(name).or_insert_with_key(|name| {
                    study.names.push(name.clone());
                    study.names.len() as u32 - 1
                });
                let iou = iou.filter(|iou| !iou.is_nan());
                ScoredImage { image, class: classes[label as usize], predicted: classes[predicted as usize], iou }
            });
            let images = images.collect();
            study.inputs.push(Scored { labels: item.labels.clone(), place, images });
        }
        study.at = match &params.at {
            None => study.thresholds.first().cloned(),
            Some(at) if study.thresholds.contains(at) => Some(at.clone()),
            Some(at) => {
                let known = study.thresholds.join(", ");
                return Err(StageError::new(format!(
                    "`at = {at}` is a value of `{}` that no input has; there are: {known}",
                    params.threshold
                )));
            }
        };
        Ok(study)
    }

    /// Inputs of a series at a threshold; an input that does not vary along thresholds (a U-Net's) is at all of them.
    pub(super) fn inputs_at<'a>(
        &'a self,
        series: &'a str,
        threshold: Option<&'a str>,
    ) -> impl Iterator<Item = (usize, &'a Scored)> + Clone {
        self.inputs.iter().enumerate().filter(move |(_, input)| {
            let place = &input.place;
            place.series == series && (place.threshold.is_none() || place.threshold.as_deref() == threshold)
        })
    }

    /// Mean of the IoU of a series at a threshold: a value per group first, as tables have it.
    pub(super) fn mean_iou(&self, series: &str, threshold: Option<&str>) -> Option<Mean> {
        let mut groups: Vec<(&str, f64, u64)> = Vec::new();
        for (_, input) in self.inputs_at(series, threshold) {
            let index = groups.iter().position(|(group, ..)| *group == input.place.group).unwrap_or_else(|| {
                groups.push((&input.place.group, 0.0, 0));
                groups.len() - 1
            });
            for iou in input.images.iter().filter_map(|image| image.iou) {
                groups[index].1 += iou;
                groups[index].2 += 1;
            }
        }
        let values: Vec<f64> = groups.iter().filter(|(_, _, n)| *n > 0).map(|(_, sum, n)| sum / *n as f64).collect();
        Mean::of(&values, groups.iter().map(|(_, _, n)| n).sum())
    }
}

/// A mean over groups of the means of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    /// The mean.
    pub(super) mean: f64,
    /// Sample standard deviation (ddof = 1) over groups; `None` for fewer than two.
    pub(super) sd: Option<f64>,
    /// Images.
    pub(super) n: u64,
    /// Groups.
    pub(super) groups: usize,
}

impl Mean {
    /// Of one value a group; `None` of nothing.
    fn of(values: &[f64], n: u64) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let k = values.len() as f64;
        let mean = values.iter().sum::<f64>() / k;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (values.len() > 1).then(|| (squares / (k - 1.0)).sqrt());
        Some(Self { mean, sd, n, groups: values.len() })
    }
}

fn part(item: &Item) -> Result<Part, StageError> {
    let rows = Scores::open(item)?;
    let classes = rows.classes(&["label", "predicted"])?;
    Ok(Part {
        names: rows.text("image")?,
        labels: rows.class("label", &classes)?,
        predicted: rows.class("predicted", &classes)?,
        iou: rows.optional_float("iou")?,
        classes,
    })
}

/// Adds a text unless it is there; gives its index.
pub(super) fn push_once(texts: &mut Vec<String>, text: &str) -> u32 {
    let index = texts.iter().position(|other| other == text).unwrap_or_else(|| {
        texts.push(text.to_owned());
        texts.len() - 1
    });
    index as u32
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::Bench;

    pub(in crate::pages::report) fn params(json: serde_json::Value) -> Params {
        serde_json::from_value(json).expect("the test's params are right")
    }

    /// Scores of images `NAME`, with class index and IoU.
    pub(in crate::pages::report) fn scores(images: &[(&str, u32, Option<f64>)]) -> Scores {
        let column = || images.iter().map(|(.., iou)| *iou).collect::<Vec<_>>();
        let labels: Vec<u32> = images.iter().map(|(_, label, _)| *label).collect();
        Scores {
            names: images.iter().map(|(name, ..)| (*name).to_owned()).collect(),
            predicted: labels.clone(),
            labels,
            classes: vec!["x".to_owned(), "<y>".to_owned()],
            iou: column(),
            dice: column(),
            precision: column(),
            recall: column(),
            mask_pixels: vec![1; images.len()],
            truth_pixels: vec![1; images.len()],
        }
    }

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
        let place = |json| Place::of(&params(json), &labels);
        assert_eq!(place(serde_json::json!({})).series, "shuffled · m · 7");
        let across_seeds = place(serde_json::json!({ "across": ["fold", "seed"] }));
        assert_eq!((across_seeds.series.as_str(), across_seeds.group.as_str()), ("shuffled · m", "7 · 1"));
        assert_eq!(Place::of(&params(serde_json::json!({})), &[]).series, "study");
    }

    #[test]
    fn threshold_that_no_input_has_is_named_beside_those_that_there_are() {
        let error = study(serde_json::json!({ "at": 210 })).unwrap_err().to_string();
        assert_eq!(error, "`at = 210` is a value of `threshold` that no input has; there are: 200, q90");
    }
}
