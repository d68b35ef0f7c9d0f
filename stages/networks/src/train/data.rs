//! The images and classes of a training, checked before it starts.

use orchestrate_engine::stage::{InputProblem, PlannedNode, StageError};
use orchestrate_stages::artifact::{ImageReader, Split};
use orchestrate_stages::planned_size::{at_port, planned_size};

use super::features;
use super::params::{ClassWeights, Params};
use crate::model::{ModelName, Normalisation};
use crate::training::{Division, check_names, divide};

/// Finds images that are too small, and features that the training cannot use, before anything runs.
pub(super) fn check_inputs(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let model = node.params().get("model").and_then(|model| ModelName::new(model.as_str()?).ok());
    let planned = planned_size(node, "images").zip(model);
    let mut problems = at_port("images", planned.map_or(Ok(()), |(size, model)| model.check_size(size, size)));
    problems.extend(features::check_inputs(node));
    problems
}

/// Divides the images by the fold; fails unless the model can be trained on them.
pub(super) fn divided(params: &Params, images: &ImageReader, split: &Split) -> Result<Division, StageError> {
    check_names(images, split)?;
    params.model.check_size(images.height, images.width)?;
    divide(split, params.fold)
}

/// Returns the normalisation that pretrained weights of the model expect, or that of the training images.
pub(super) fn normalisation(
    model: ModelName,
    images: &ImageReader,
    train: &[usize],
) -> Result<Normalisation, StageError> {
    let images = train.iter().map(|&image| images.pixels(image));
    model.architecture().normalisation.map_or_else(|| Normalisation::of(images), |expected| Ok(expected()))
}

/// Counts the training images of each class; fails at 0, as the network could never predict that class.
fn count_classes(fold: u32, split: &Split, train: &[usize]) -> Result<Vec<usize>, StageError> {
    let mut counts = vec![0; split.classes.len()];
    train.iter().for_each(|&image| counts[split.labels[image] as usize] += 1);
    let absent: Vec<_> = split.classes.iter().zip(&counts).filter(|(_, count)| **count == 0).collect();
    if absent.is_empty() {
        return Ok(counts);
    }
    let names: Vec<_> = absent.iter().map(|(name, _)| format!("`{name}`")).collect();
    Err(StageError::new(format!(
        "no training image of class {} is left outside fold {fold}; use fewer folds or stratify the split",
        names.join(", ")
    )))
}

/// Returns the weight of each class in the loss; `None` if all are equal.
///
/// Errors: a class without training images; another number of weights than of classes.
pub(super) fn class_weights(params: &Params, split: &Split, train: &[usize]) -> Result<Option<Vec<f32>>, StageError> {
    let counts = count_classes(params.fold, split, train)?;
    match &params.class_weights {
        ClassWeights::None => Ok(None),
        ClassWeights::Balanced => {
            let n: usize = counts.iter().sum();
            let weight = |&count: &usize| (n as f64 / (counts.len() * count) as f64) as f32;
            Ok(Some(counts.iter().map(weight).collect()))
        }
        ClassWeights::Given(weights) if weights.len() == counts.len() => {
            Ok(Some(weights.iter().map(|&weight| weight as f32).collect()))
        }
        ClassWeights::Given(weights) => Err(StageError::new(format!(
            "class_weights has {} numbers, but there are {} classes: {}",
            weights.len(),
            counts.len(),
            split.classes.join(", ")
        ))),
    }
}
