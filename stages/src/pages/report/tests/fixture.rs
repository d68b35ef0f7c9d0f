//! Scores and params for tests of the report.

use super::super::params::Params;
use crate::artifact::Scores;

pub(crate) fn params(json: serde_json::Value) -> Params {
    serde_json::from_value(json).expect("the test's params are right")
}

/// Scores of images `NAME`, with class index and IoU.
pub(crate) fn scores(images: &[(&str, u32, Option<f64>)]) -> Scores {
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
        ..Scores::default()
    }
}
