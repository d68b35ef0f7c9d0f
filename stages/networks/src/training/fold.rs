//! The division of images by the fold that a training leaves out.

use orchestrate_engine::stage::StageError;
use orchestrate_stages::artifact::{ImageReader, Split};

/// Indices of images in data set order.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    /// Images outside the fold.
    pub(crate) train: Vec<usize>,
    /// Images of the fold, at least one.
    pub(crate) validation: Vec<usize>,
}

/// Divides the images of a split by a fold; fails if no image is in the fold.
pub(crate) fn divide(split: &Split, fold: u32) -> Result<Division, StageError> {
    let (validation, train): (Vec<usize>, Vec<usize>) =
        (0..split.folds.len()).partition(|&image| split.folds[image] == fold);
    if validation.is_empty() {
        let last = split.folds.iter().max().copied().unwrap_or(0);
        return Err(StageError::new(format!("fold {fold} does not exist: the split has folds 1 to {last}")));
    }
    Ok(Division { train, validation })
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
