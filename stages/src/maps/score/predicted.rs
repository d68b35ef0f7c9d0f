//! Scores of masks predicted by a U-Net, beside those of thresholded heatmaps.

use orchestrate_engine::stage::StageError;

use super::matching::{check_size, rows_by_name};
use super::overlap::{Agreement, fill};
use crate::artifact::{MaskReader, PredictedReader, Scores};

/// The reason why ground truth needs the size of the images, after "but".
pub(super) const PREDICTED_SIZE: &str = "the predicted masks have the size of the network's input";

/// Scores the predicted mask of each image against its ground truth.
///
/// - `predicted`: one mask an image, `[height, width]`
/// - `masks`: ground truth of the same size; further images are ignored
/// - returns: one row an image in the order of `predicted`; see [`Scores`]
///
/// The network predicts no class, so every image is scored, whatever [`super::Params::images`] is, and the true class
/// stands for the predicted one. A mask that is empty or full is marked as constant. Images are matched by name.
/// Errors: masks of another size; images missing from `masks`.
pub fn run_predicted(predicted: &PredictedReader, masks: &MaskReader) -> Result<Scores, StageError> {
    let PredictedReader { labels, classes, masks: own } = predicted;
    if !own.names.is_empty() && !masks.names.is_empty() {
        check_size((masks.height, masks.width), (own.height, own.width), PREDICTED_SIZE)?;
    }
    let truths = masks.foregrounds(&rows_by_name("masks", &masks.names, "predicted", &own.names)?)?;
    let all: Vec<usize> = (0..own.names.len()).collect();
    let agreements =
        own.foregrounds(&all)?.into_iter().zip(truths).map(|(mask, truth)| Agreement::of_masks(mask, truth));
    let agreements: Vec<Agreement> = agreements.collect();
    let size = own.height * own.width;
    let is_constant = |agreement: &Agreement| [0, size].contains(&(agreement.mask_pixels as usize));
    let constant: Vec<bool> = agreements.iter().map(is_constant).collect();
    let mut scores = Scores {
        constant: if constant.contains(&true) { constant } else { Vec::new() },
        names: own.names.clone(),
        labels: labels.clone(),
        predicted: labels.clone(),
        classes: classes.clone(),
        ..Scores::default()
    };
    fill(&mut scores, agreements.iter().copied());
    Ok(scores)
}
