//! The stack of all images and masks of a data set, decoded in parallel, each straight to its final place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestrate_engine::stage::{Context, Progress, StageError};
use rayon::prelude::*;

use super::params::Resize;
use super::resize::Grid;

/// Number of images between two progress messages.
const PROGRESS_STEP: u64 = 64;

/// Pixels of all images and of all masks, `[image, height, width]`.
#[derive(Debug, PartialEq)]
pub(super) struct Stack {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) images: Vec<u8>,
    pub(super) masks: Vec<u8>,
}

/// Decodes and resizes every image and its mask, one original a thread at a time.
///
/// - `names`: names of the images, for errors
/// - `size`: height and width of all images after resizing; `None` keeps their sizes, which must then be equal
/// - `load`: the image of that index, and its mask of 0 and 1; an image without a mask has one of all 0
///
/// Errors: all unusable images, by name, at once.
pub(super) fn stack(
    context: &Context<'_>,
    names: &[String],
    size: Option<usize>,
    resize: Resize,
    load: impl Fn(usize) -> Result<(Grid, Option<Grid>), String> + Sync,
) -> Result<Stack, StageError> {
    let first = || (0..names.len()).find_map(|index| Some(load(index).ok()?.0.size()));
    // If no image can be read, the size does not matter, as every image is reported below.
    let (height, width) = size.map(|size| (size, size)).or_else(first).unwrap_or((1, 1));
    let mut images = zeros(names.len(), height * width)?;
    let mut masks = zeros(names.len(), height * width)?;
    let done = AtomicU64::new(0);
    let outcomes: Vec<Result<(usize, usize), String>> = images
        .par_chunks_exact_mut(height * width)
        .zip(masks.par_chunks_exact_mut(height * width))
        .enumerate()
        .map(|(index, (image_out, mask_out))| {
            if (context.cancelled)() {
                return Err(String::new());
            }
            let (mut image, mut mask) = load(index)?;
            let original = image.size();
            if let Some(mask) = mask.as_ref().filter(|mask| mask.size() != original) {
                return Err(format!("the mask is {}, but the image {}", text(mask.size()), text(original)));
            }
            if size.is_some() {
                image = image.resized((height, width), resize.images);
                mask = mask.map(|mask| mask.resized_mask((height, width), resize.masks));
            }
            if image.size() == (height, width) {
                image_out.copy_from_slice(&image.pixels);
                if let Some(mask) = mask {
                    mask_out.copy_from_slice(&mask.pixels);
                }
            }
            report(context, done.fetch_add(1, Ordering::Relaxed) + 1, names.len() as u64);
            Ok(original)
        })
        .collect();
    if (context.cancelled)() {
        return Err(StageError::Cancelled);
    }
    let mut problems = Vec::new();
    let mut sizes: Vec<(&String, (usize, usize))> = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome {
            Ok(size) => sizes.push((name, size)),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    if size.is_none() {
        problems.extend(unequal(&sizes));
    }
    if problems.is_empty() { Ok(Stack { height, width, images, masks }) } else { Err(cannot_use(problems)) }
}

/// Returns one error about one or many files.
pub(super) fn cannot_use(mut problems: Vec<String>) -> StageError {
    match problems.len() {
        1 => StageError::new(problems.remove(0)),
        count => StageError::new(format!("{count} files cannot be used:\n  {}", problems.join("\n  "))),
    }
}

fn zeros(count: usize, size: usize) -> Result<Vec<u8>, StageError> {
    let too_large = || StageError::new(format!("{count} images of {size} pixels do not fit in memory"));
    let length = count.checked_mul(size).ok_or_else(too_large)?;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(length).map_err(|_| too_large())?;
    pixels.resize(length, 0);
    Ok(pixels)
}

fn report(context: &Context<'_>, done: u64, total: u64) {
    if done.is_multiple_of(PROGRESS_STEP) || done == total {
        (context.progress)(Progress { done, total, message: "images".to_owned() });
    }
}

/// Returns a problem for each image of another size than most; of equally frequent sizes, the first one wins.
fn unequal(sizes: &[(&String, (usize, usize))]) -> Vec<String> {
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    sizes.iter().for_each(|(_, size)| *counts.entry(*size).or_default() += 1);
    let most = counts.values().copied().max();
    let Some((_, usual)) = sizes.iter().find(|(_, size)| counts.get(size).copied() == most) else { return Vec::new() };
    let unusual = sizes.iter().filter(|(_, size)| size != usual);
    let problem = |(name, size): &(&String, _)| {
        format!("{name}: the image is {}, but most are {}; set `size` to resize all", text(*size), text(*usual))
    };
    unusual.map(problem).collect()
}

fn text((height, width): (usize, usize)) -> String {
    format!("{width} × {height}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(cancelled: &'a (dyn Fn() -> bool + Sync)) -> Context<'a> {
        Context {
            scratch_dir: std::path::Path::new(""),
            checkpoint_dir: None,
            threads: 1,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|_| (),
            cancelled,
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("{index}.png")).collect()
    }

    fn grid(height: usize, width: usize, level: u8) -> Grid {
        Grid { height, width, pixels: vec![level; height * width] }
    }

    #[test]
    fn images_and_masks_keep_their_places_and_an_image_without_a_mask_has_an_empty_one() {
        let load = |index: usize| Ok((grid(1, 2, index as u8), (index == 1).then(|| grid(1, 2, 1))));
        let stack = stack(&context(&|| false), &names(3), None, Resize::default(), load).unwrap();
        assert_eq!((stack.height, stack.width), (1, 2));
        assert_eq!(stack.images, [0, 0, 1, 1, 2, 2]);
        assert_eq!(stack.masks, [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn all_images_that_do_not_fit_are_named_at_once() {
        let load = |index: usize| match index {
            0 => Ok((grid(2, 3, 0), None)),
            3 => Err("it is broken".to_owned()),
            4 => Ok((grid(1, 1, 0), Some(grid(1, 2, 0)))),
            _ => Ok((grid(1, 1, 0), None)),
        };
        let error = stack(&context(&|| false), &names(5), None, Resize::default(), load).unwrap_err().to_string();
        let expected = "3 files cannot be used:
  3.png: it is broken
  4.png: the mask is 2 × 1, but the image 1 × 1
  0.png: the image is 3 × 2, but most are 1 × 1; set `size` to resize all";
        assert_eq!(error, expected);
        let error = stack(&context(&|| false), &names(5), Some(2), Resize::default(), load).unwrap_err().to_string();
        assert!(error.starts_with("2 files cannot be used:"), "{error}");
        let error =
            stack(&context(&|| false), &names(2), None, Resize::default(), |_| Err("no".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "2 files cannot be used:\n  0.png: no\n  1.png: no");
    }

    #[test]
    fn a_stopped_run_is_no_failure() {
        let load = |_| Ok((grid(1, 1, 0), None));
        let outcome = stack(&context(&|| true), &names(2), Some(1), Resize::default(), load);
        assert_eq!(outcome, Err(StageError::Cancelled));
    }
}
