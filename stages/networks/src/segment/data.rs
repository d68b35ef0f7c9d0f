//! The images and masks of a training, checked before it starts.

use std::collections::HashSet;

use orchestrate_engine::stage::{InputProblem, PlannedNode, StageError};
use orchestrate_stages::artifact::{ImageReader, MaskReader, Split};
use orchestrate_stages::planned_size::{at_port, planned_size};

use super::params::Params;
use crate::model::Unet;
use crate::training::{Division, check_names, divide};

/// Divides the images by the fold; fails unless a U-Net can be trained on them.
pub(super) fn divided(
    params: &Params,
    images: &ImageReader,
    masks: &MaskReader,
    split: &Split,
) -> Result<Division, StageError> {
    check_names(images, split)?;
    check_size(images.height, images.width)?;
    check_masks(images, masks)?;
    let division = divide(split, params.fold)?;
    check_training(params, masks, &division.train)?;
    Ok(division)
}

fn check_training(params: &Params, masks: &MaskReader, train: &[usize]) -> Result<(), StageError> {
    let fold = params.fold;
    if train.is_empty() {
        return Err(StageError::new(format!("no training image is left outside fold {fold}; use more folds")));
    }
    let has_foreground = train.iter().map(|&image| masks.has_foreground(image));
    if !has_foreground.collect::<Result<Vec<_>, _>>()?.contains(&true) {
        return Err(StageError::input(
            "masks",
            format!("no image outside fold {fold} has a mask, so there is nothing to learn"),
        ));
    }
    let last = (train.len() - 1) % params.batch_size + 1;
    let least = Unet::SIZE_MULTIPLE;
    if last == 1 && (masks.height, masks.width) == (least, least) {
        return Err(StageError::new(format!(
            "a batch of one image of {least}×{least} pixels has one value a channel at the bottom of the U-Net, which \
             batch normalisation cannot scale: {} training images in batches of {} leave one; change `batch_size`, or \
             raise `size` in the `dataset` stage",
            train.len(),
            params.batch_size
        )));
    }
    Ok(())
}

/// Fails unless a U-Net can take images of this size.
pub(crate) fn check_size(height: usize, width: usize) -> Result<(), StageError> {
    let multiple = Unet::SIZE_MULTIPLE;
    if height > 0 && width > 0 && height.is_multiple_of(multiple) && width.is_multiple_of(multiple) {
        return Ok(());
    }
    let next = |size: usize| size.next_multiple_of(multiple).max(multiple);
    let (next_height, next_width) = (next(height), next(width));
    let size =
        if next_height == next_width { next_height.to_string() } else { format!("[{next_height}, {next_width}]") };
    Err(StageError::input(
        "images",
        format!(
            "they are {height}×{width} pixels, but a U-Net halves them {} times, so both must be multiples of \
             {multiple}; set `size = {size}` in the `dataset` stage",
            multiple.ilog2()
        ),
    ))
}

/// Finds images and masks whose sizes do not fit before anything runs.
pub(super) fn check_inputs(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let Some(size) = planned_size(node, "images") else { return Vec::new() };
    let mut problems = at_port("images", check_size(size, size));
    if let Some(masks) = planned_size(node, "masks") {
        problems.extend(at_port("masks", check_mask_size((size, size), (masks, masks))));
    }
    problems
}

fn check_masks(images: &ImageReader, masks: &MaskReader) -> Result<(), StageError> {
    if images.names != masks.names {
        let with_masks: HashSet<&String> = masks.names.iter().collect();
        let first = images.names.iter().find(|name| !with_masks.contains(name));
        return Err(StageError::input(
            "masks",
            match first {
                Some(name) => {
                    format!("there is none of image `{name}`; connect `images` and `masks` to the same data set")
                }
                None => "they are not in the order of the images; connect `images` and `masks` to the same data set"
                    .to_owned(),
            },
        ));
    }
    check_mask_size((images.height, images.width), (masks.height, masks.width))
}

fn check_mask_size(images: (usize, usize), masks: (usize, usize)) -> Result<(), StageError> {
    if images == masks {
        return Ok(());
    }
    Err(StageError::input(
        "masks",
        format!(
            "they are {}×{} pixels, but the images are {}×{}; connect both to the same data set",
            masks.0, masks.1, images.0, images.1
        ),
    ))
}
