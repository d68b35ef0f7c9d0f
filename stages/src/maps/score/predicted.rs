//! Scores of masks predicted by a U-Net, beside those of thresholded heatmaps.

use orchestrate_engine::stage::StageError;
use rayon::prelude::*;

use super::matching::{check_size, rows_by_name};
use super::overlap::{Agreement, fill};
use crate::artifact::{Masks, PredictedMasks, Scores};

/// Scores the predicted mask of each image against its ground truth.
///
/// - `predicted`: one mask an image, `[height, width]`
/// - `masks`: ground truth of the same size; further images are ignored
/// - returns: one row an image in the order of `predicted`; see [`Scores`]
///
/// The network predicts no class, so every image is scored, whatever [`super::Params::images`] is, and the true class
/// stands for the predicted one. A mask that is empty or full is marked as constant. Images are matched by name.
/// Errors: masks of another size; images missing from `masks`.
pub fn run_predicted(predicted: &PredictedMasks, masks: &Masks) -> Result<Scores, StageError> {
    let (height, width) = (predicted.height, predicted.width);
    if !predicted.names.is_empty() && !masks.names.is_empty() {
        let why = "the predicted masks have the size of the network's input";
        check_size((masks.height, masks.width), (height, width), why)?;
    }
    let rows = rows_by_name("masks", &masks.names, "predicted", &predicted.names)?;
    let size = height * width;
    let agreements: Vec<Agreement> = (0..predicted.names.len())
        .into_par_iter()
        .map(|row| {
            let mask = &predicted.pixels[row * size..(row + 1) * size];
            Agreement::of_masks(mask, &masks.pixels[rows[row] * size..(rows[row] + 1) * size])
        })
        .collect();
    let is_constant = |agreement: &Agreement| [0, size].contains(&(agreement.mask_pixels as usize));
    let constant: Vec<bool> = agreements.iter().map(is_constant).collect();
    let mut scores = Scores {
        constant: if constant.contains(&true) { constant } else { Vec::new() },
        names: predicted.names.clone(),
        labels: predicted.labels.clone(),
        predicted: predicted.labels.clone(),
        classes: predicted.classes.clone(),
        ..Scores::default()
    };
    fill(&mut scores, agreements.iter().copied());
    Ok(scores)
}
