//! Which images a training sees, checked before it starts.

use orchestrate_engine::stage::StageError;

use super::params::{ClassWeights, Params};
use crate::model::Normalisation;
use orchestrate_stages::artifact::{ImageReader, Split};

/// The images of one training.
pub(super) struct Data<'a> {
    pub(super) images: &'a ImageReader,
    /// Class index of each image.
    pub(super) labels: &'a [u32],
    pub(super) classes: usize,
    /// Indices of the images outside the fold, in data set order.
    pub(super) train: Vec<usize>,
    /// Indices of the images of the fold, in data set order.
    pub(super) validation: Vec<usize>,
    pub(super) normalisation: Normalisation,
    /// Weight of each class in the loss, if they differ.
    pub(super) class_weights: Option<Vec<f32>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(params: &Params, images: &'a ImageReader, split: &'a Split) -> Result<Self, StageError> {
        check_names(images, split)?;
        check_size(params, images)?;
        let (train, validation) = divide(split, params.fold)?;
        let counts = count_classes(params.fold, split, &train)?;
        let architecture = params.model.architecture();
        let normalisation = match architecture.normalisation {
            Some(published) => published(),
            None => Normalisation::of(train.iter().map(|&image| images.pixels(image)))?,
        };
        Ok(Self {
            images,
            labels: &split.labels,
            classes: split.classes.len(),
            class_weights: class_weights(&params.class_weights, split, &counts)?,
            train,
            validation,
            normalisation,
        })
    }
}

/// Indices of the images outside and inside a fold, in data set order; fails where the fold has none.
pub(crate) fn divide(split: &Split, fold: u32) -> Result<(Vec<usize>, Vec<usize>), StageError> {
    let (validation, train): (Vec<usize>, Vec<usize>) =
        (0..split.folds.len()).partition(|&image| split.folds[image] == fold);
    if validation.is_empty() {
        let last = split.folds.iter().max().copied().unwrap_or(0);
        return Err(StageError::new(format!("fold {fold} does not exist: the split has folds 1 to {last}")));
    }
    Ok((train, validation))
}

/// Fails unless the split is of these images.
pub(crate) fn check_names(images: &ImageReader, split: &Split) -> Result<(), StageError> {
    if images.names == split.names {
        return Ok(());
    }
    let (ours, theirs) = (images.names.len(), split.names.len());
    let differ = images.names.iter().zip(&split.names).find(|(ours, theirs)| ours != theirs);
    Err(StageError::input(
        "split",
        match differ {
            Some((ours, theirs)) => format!(
                "it was made for other images: `{theirs}` stands where the images have `{ours}`; \
                 connect `images` and `split` to the same data set"
            ),
            None => format!(
                "it has {theirs} images, but there are {ours}; connect `images` and `split` to the same data set"
            ),
        },
    ))
}

fn check_size(params: &Params, images: &ImageReader) -> Result<(), StageError> {
    let architecture = params.model.architecture();
    let (height, width, min) = (images.height, images.width, architecture.size_min);
    if height.min(width) >= min {
        return Ok(());
    }
    Err(StageError::input(
        "images",
        format!("they are {height}×{width} pixels, but `{}` needs at least {min}×{min}; raise `size`", params.model),
    ))
}

/// Training images of each class; none may be 0, or the network could never predict the class.
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

fn class_weights(rule: &ClassWeights, split: &Split, counts: &[usize]) -> Result<Option<Vec<f32>>, StageError> {
    match rule {
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
