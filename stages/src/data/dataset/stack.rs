//! The stack of all images and masks of a data set, decoded in parallel, each straight to its final place.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestrate_engine::stage::{Context, Progress, StageError};
use rayon::prelude::*;

use super::facts::ImageFacts;
use super::load::{Loaded, text};
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

/// Resizes every image and its mask, one file a thread at a time.
///
/// - `names`: names of the images, for errors
/// - `runs`: the images of each file
/// - `size`: height and width of all images after resizing; `None` keeps their sizes, which must then be equal
/// - `load`: loads the images of a run and passes each on with its index; an image without a mask has one of all 0
/// - returns: the stack, and the facts about each image
///
/// Errors: all unusable images, by name, at once.
pub(super) fn stack(
    context: &Context<'_>,
    names: &[String],
    runs: &[Range<usize>],
    size: Option<usize>,
    resize: Resize,
    load: impl Fn(Range<usize>, &mut dyn FnMut(usize, Result<Loaded, String>)) + Sync,
) -> Result<(Stack, Vec<ImageFacts>), StageError> {
    let first = || {
        runs.iter().find_map(|run| {
            let mut found = None;
            load(run.start..run.start + 1, &mut |_, loaded| found = loaded.ok().map(|loaded| loaded.image.size()));
            found
        })
    };
    // If no image can be read, the size does not matter, as every image is reported below.
    let (height, width) = size.map(|size| (size, size)).or_else(first).unwrap_or((1, 1));
    let mut images = zeros(names.len(), height * width)?;
    let mut masks = zeros(names.len(), height * width)?;
    let done = AtomicU64::new(0);
    let outcomes: Vec<Vec<Result<ImageFacts, String>>> = split(&mut images, runs, height * width)
        .into_par_iter()
        .zip(split(&mut masks, runs, height * width))
        .zip(runs)
        .map(|((images, masks), run)| {
            let mut outcomes = Vec::with_capacity(run.len());
            if (context.cancelled)() {
                return vec![Err(String::new())];
            }
            load(run.clone(), &mut |index, loaded| {
                let place = (index - run.start) * height * width..(index - run.start + 1) * height * width;
                let (image_out, mask_out) = (&mut images[place.clone()], &mut masks[place]);
                outcomes.push(loaded.map(|loaded| {
                    let Loaded { image, mask, facts } = loaded.fitted(size.and(Some((height, width))), resize);
                    if image.size() == (height, width) {
                        image_out.copy_from_slice(&image.pixels);
                        if let Some(mask) = mask {
                            mask_out.copy_from_slice(&mask.pixels);
                        }
                    }
                    facts
                }));
                report(context, done.fetch_add(1, Ordering::Relaxed) + 1, names.len() as u64);
            });
            outcomes
        })
        .collect();
    if (context.cancelled)() {
        return Err(StageError::Cancelled);
    }
    let mut problems = Vec::new();
    let mut facts: Vec<ImageFacts> = Vec::with_capacity(names.len());
    let mut sizes: Vec<(&String, (usize, usize))> = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes.into_iter().flatten()) {
        match outcome {
            Ok(found) => {
                sizes.push((name, found.size));
                facts.push(found);
            }
            // The problem of the file is told once.
            Err(problem) if problem.is_empty() => {}
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    if size.is_none() {
        problems.extend(unequal(&sizes));
    }
    if problems.is_empty() { Ok((Stack { height, width, images, masks }, facts)) } else { Err(cannot_use(problems)) }
}

/// Divides the pixels of all images among the runs.
fn split<'a>(mut pixels: &'a mut [u8], runs: &[Range<usize>], size: usize) -> Vec<&'a mut [u8]> {
    let mut parts = Vec::with_capacity(runs.len());
    for run in runs {
        let (part, rest) = pixels.split_at_mut(run.len() * size);
        parts.push(part);
        pixels = rest;
    }
    parts
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

    fn each(count: usize) -> Vec<Range<usize>> {
        (0..count).map(|index| index..index + 1).collect()
    }

    fn stack_of(
        cancelled: &(dyn Fn() -> bool + Sync),
        count: usize,
        runs: &[Range<usize>],
        size: Option<usize>,
        load: impl Fn(usize) -> Result<(Grid, Option<Grid>), String> + Sync,
    ) -> Result<(Stack, Vec<ImageFacts>), StageError> {
        let load = |run: Range<usize>, each: &mut dyn FnMut(usize, Result<Loaded, String>)| {
            run.for_each(|index| {
                let loaded = |(image, mask)| Loaded { facts: ImageFacts::of(&image, 0), image, mask };
                each(index, load(index).map(loaded));
            });
        };
        stack(&context(cancelled), &names(count), runs, size, Resize::default(), load)
    }

    fn grid(height: usize, width: usize, level: u8) -> Grid {
        Grid { height, width, pixels: vec![level; height * width] }
    }

    #[test]
    fn images_and_masks_keep_their_order_and_an_image_without_a_mask_has_an_empty_one() {
        let load = |index: usize| Ok((grid(1, 2, index as u8), (index == 1).then(|| grid(1, 2, 1))));
        let (stack, facts) = stack_of(&|| false, 3, &[0..1, 1..3], None, load).unwrap();
        assert_eq!(facts.iter().map(|facts| facts.foreground).collect::<Vec<_>>(), [None, Some((2, 2)), None]);
        assert_eq!((stack.height, stack.width), (1, 2));
        assert_eq!(stack.images, [0, 0, 1, 1, 2, 2]);
        assert_eq!(stack.masks, [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn all_unusable_images_are_named_at_once() {
        let load = |index: usize| match index {
            0 => Ok((grid(2, 3, 0), None)),
            3 => Err("it is broken".to_owned()),
            4 => Err(String::new()),
            _ => Ok((grid(1, 1, 0), None)),
        };
        let error = stack_of(&|| false, 5, &each(5), None, load).unwrap_err().to_string();
        let expected = "2 files cannot be used:
  3.png: it is broken
  0.png: the image is 3 × 2, but most are 1 × 1; set `size` to resize all";
        assert_eq!(error, expected);
        let error = stack_of(&|| false, 5, &each(5), Some(2), load).unwrap_err().to_string();
        assert_eq!(error, "3.png: it is broken");
        let error = stack_of(&|| false, 2, &each(2), None, |_| Err("no".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "2 files cannot be used:\n  0.png: no\n  1.png: no");
    }

    #[test]
    fn a_cancelled_run_is_no_failure() {
        let load = |_| Ok((grid(1, 1, 0), None));
        let outcome = stack_of(&|| true, 2, &each(2), Some(1), load);
        assert_eq!(outcome, Err(StageError::Cancelled));
    }
}
