//! All images and masks of a data set, decoded in parallel and written in row groups.
//!
//! While one *window* is decoded, the one before is written. Beside these two, at most a row group is in memory. A
//! window has enough images for all threads, and those of whole files, so that each file is decoded once.

use std::collections::HashMap;
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestrate_engine::alike::grouped_texts;
use orchestrate_engine::stage::{Context, Output, Progress, StageError};
use rayon::prelude::*;

use super::facts::ImageFacts;
use super::load::{Loaded, text};
use super::params::Resize;
use crate::artifact::{GridsWriter, Images, Masks, Table};

/// Number of images between two progress messages.
const PROGRESS_STEP: u64 = 64;

/// Images of a window for each thread: threads seldom wait for the last one, and the two windows are small.
const IMAGES_PER_THREAD: usize = 32;

/// The written images and masks, in the order of the listing.
#[derive(Debug)]
pub(super) struct Stack {
    /// The output `images`.
    pub(super) images: Output,
    /// The output `masks`; an image without a mask has one of all 0.
    pub(super) masks: Output,
    /// Facts about each image.
    pub(super) facts: Vec<ImageFacts>,
}

/// Resizes every image and its mask, one file a thread at a time, and writes them to files.
///
/// - `names`: names of the images
/// - `runs`: the images of each file
/// - `size`: height and width of all images after resizing; `None` keeps their sizes, which must then be equal
/// - `load`: loads the images of a run and passes each on with its index
///
/// Errors: all unusable images, by name, at once.
pub(super) fn stack(
    context: &Context<'_>,
    names: &[String],
    runs: &[Range<usize>],
    size: Option<usize>,
    resize: Resize,
    load: impl Fn(Range<usize>, &mut dyn FnMut(usize, Result<Loaded, String>)) + Sync,
) -> Result<Stack, StageError> {
    let first = || {
        runs.iter().find_map(|run| {
            let mut found = None;
            load(run.start..run.start + 1, &mut |_, loaded| found = loaded.ok().map(|loaded| loaded.image.size()));
            found
        })
    };
    // If no image can be read, the size does not matter, as every image is reported below.
    let final_size = size.map(|size| (size, size)).or_else(first).unwrap_or((1, 1));
    let resized = |loaded: Loaded| loaded.fitted(size.and(Some(final_size)), resize);
    let done = AtomicU64::new(0);
    let load = |run: Range<usize>, each: &mut dyn FnMut(usize, Result<Loaded, String>)| {
        if (context.cancelled)() {
            return;
        }
        load(run, &mut |index, loaded| {
            each(index, loaded.map(resized));
            report(context, done.fetch_add(1, Ordering::Relaxed) + 1, names.len() as u64);
        });
    };

    let path = |output: &str| context.scratch_dir.join(output).with_extension("parquet");
    let mut images = Images::writer(&path(Images::OUTPUT), names, final_size)?;
    let mut masks = Masks::writer(&path(Masks::OUTPUT), names, final_size)?;
    let mut outcomes = Outcomes::default();
    let (mut decoded, mut window) = (Window::default(), Window::default());
    for runs in windows(runs, IMAGES_PER_THREAD * rayon::current_num_threads()) {
        let write = || decoded.write(&mut images, &mut masks);
        let (found, written) = rayon::join(|| window.decode(runs, final_size, load), write);
        written?;
        if (context.cancelled)() {
            return Err(StageError::Cancelled);
        }
        outcomes.add(names, found?);
        mem::swap(&mut decoded, &mut window);
        if !outcomes.problems.is_empty() {
            // The other images are only checked.
            decoded.clear();
        }
    }
    let facts = outcomes.facts(names, size.is_none())?;
    decoded.write(&mut images, &mut masks)?;
    Ok(Stack { images: images.finish()?, masks: masks.finish()?, facts })
}

/// Divides the runs into windows of at least so many images, except the last.
fn windows(runs: &[Range<usize>], count: usize) -> Vec<&[Range<usize>]> {
    let mut windows = Vec::new();
    let mut rest = runs;
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|run| run.end - first.start < count).count() + 1;
        let (window, after) = rest.split_at(length.min(rest.len()));
        windows.push(window);
        rest = after;
    }
    windows
}

/// Pixels of some images in order and of their masks, `[image, height, width]`.
#[derive(Default)]
struct Window {
    images: Vec<u8>,
    masks: Vec<u8>,
}

impl Window {
    /// Decodes the images of successive runs in parallel, each straight to its place.
    ///
    /// An image of another size than `(height, width)` leaves its place as it was.
    fn decode(
        &mut self,
        runs: &[Range<usize>],
        (height, width): (usize, usize),
        load: impl Fn(Range<usize>, &mut dyn FnMut(usize, Result<Loaded, String>)) + Sync,
    ) -> Result<Vec<Result<ImageFacts, String>>, StageError> {
        let size = height * width;
        let count = runs.iter().map(Range::len).sum();
        self.clear();
        resize_zeroed(&mut self.images, count, size)?;
        resize_zeroed(&mut self.masks, count, size)?;
        let decode = |((images, masks), run): ((&mut [u8], &mut [u8]), &Range<usize>)| {
            let mut outcomes = Vec::with_capacity(run.len());
            load(run.clone(), &mut |index, loaded| {
                let place = (index - run.start) * size..(index - run.start + 1) * size;
                outcomes.push(loaded.map(|Loaded { image, mask, facts }| {
                    if image.size() == (height, width) {
                        images[place.clone()].copy_from_slice(&image.pixels);
                        if let Some(mask) = mask {
                            masks[place].copy_from_slice(&mask.pixels);
                        }
                    }
                    facts
                }));
            });
            outcomes
        };
        let places = split(&mut self.images, runs, size).into_par_iter().zip(split(&mut self.masks, runs, size));
        let outcomes: Vec<Vec<_>> = places.zip(runs).map(decode).collect();
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn write(&self, images: &mut GridsWriter<'_>, masks: &mut GridsWriter<'_>) -> Result<(), StageError> {
        images.push(&self.images)?;
        masks.push(&self.masks)
    }

    fn clear(&mut self) {
        self.images.clear();
        self.masks.clear();
    }
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

fn resize_zeroed(pixels: &mut Vec<u8>, count: usize, size: usize) -> Result<(), StageError> {
    let too_large = || StageError::new(format!("{count} images of {size} pixels do not fit in memory"));
    let length = count.checked_mul(size).ok_or_else(too_large)?;
    pixels.try_reserve_exact(length).map_err(|_| too_large())?;
    pixels.resize(length, 0);
    Ok(())
}

/// The images so far: facts of those that can be used, problems of the others.
#[derive(Default)]
struct Outcomes {
    /// Number of images, usable or not.
    count: usize,
    /// Indices of the usable ones.
    usable: Vec<usize>,
    facts: Vec<ImageFacts>,
    problems: Vec<String>,
}

impl Outcomes {
    /// Adds the next images.
    fn add(&mut self, names: &[String], found: Vec<Result<ImageFacts, String>>) {
        for found in found {
            match found {
                Ok(facts) => {
                    self.usable.push(self.count);
                    self.facts.push(facts);
                }
                // The problem of the file is told once.
                Err(problem) if problem.is_empty() => {}
                Err(problem) => self.problems.push(format!("{}: {problem}", names[self.count])),
            }
            self.count += 1;
        }
    }

    /// Returns the facts of all images, or all problems; other sizes than the usual one are among them, if asked for.
    fn facts(mut self, names: &[String], sizes_must_agree: bool) -> Result<Vec<ImageFacts>, StageError> {
        if sizes_must_agree {
            let sizes = self.usable.iter().zip(&self.facts).map(|(&index, facts)| (&names[index], facts.size));
            self.problems.extend(unequal(&sizes.collect::<Vec<_>>()));
        }
        if self.problems.is_empty() { Ok(self.facts) } else { Err(cannot_use(self.problems)) }
    }
}

/// Returns one error about one or many files.
pub(super) fn cannot_use(mut problems: Vec<String>) -> StageError {
    match problems.len() {
        1 => StageError::new(problems.remove(0)),
        count => {
            let shown = grouped_texts(&problems).join("\n  ");
            StageError::new(format!("{count} files cannot be used:\n  {shown}"))
        }
    }
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
    use std::path::Path;

    use orchestrate_engine::stage::Content;

    use super::*;
    use crate::data::dataset::resize::Grid;

    fn context<'a>(dir: &'a Path, cancelled: &'a (dyn Fn() -> bool + Sync)) -> Context<'a> {
        Context {
            scratch_dir: dir,
            checkpoint_dir: None,
            checkpoint_stamp: None,
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
    ) -> Result<(Images, Masks, Vec<ImageFacts>), StageError> {
        let load = |run: Range<usize>, each: &mut dyn FnMut(usize, Result<Loaded, String>)| {
            run.for_each(|index| {
                let loaded = |(image, mask)| Loaded { facts: ImageFacts::of(&image, 0), image, mask };
                each(index, load(index).map(loaded));
            });
        };
        let dir = tempfile::tempdir().unwrap();
        let stack = stack(&context(dir.path(), cancelled), &names(count), runs, size, Resize::default(), load)?;
        let bytes = |output: &Output| {
            let Content::File(path) = &output.files[0].1 else { panic!("it is a file") };
            std::fs::read(path).unwrap()
        };
        let images = Images::decode(&bytes(&stack.images)).unwrap();
        Ok((images, Masks::decode(&bytes(&stack.masks)).unwrap(), stack.facts))
    }

    fn grid(height: usize, width: usize, level: u8) -> Grid {
        Grid { height, width, pixels: vec![level; height * width] }
    }

    #[test]
    fn images_and_masks_keep_their_order_and_an_image_without_a_mask_has_an_empty_one() {
        let load = |index: usize| Ok((grid(1, 2, index as u8), (index == 1).then(|| grid(1, 2, 1))));
        let (images, masks, facts) = stack_of(&|| false, 3, &[0..1, 1..3], None, load).unwrap();
        assert_eq!(facts.iter().map(|facts| facts.foreground).collect::<Vec<_>>(), [None, Some((2, 2)), None]);
        assert_eq!((images.height, images.width), (1, 2));
        assert_eq!((images.names, images.pixels), (names(3), vec![0, 0, 1, 1, 2, 2]));
        assert_eq!((masks.names, masks.pixels), (names(3), vec![0, 0, 1, 1, 0, 0]));
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
        assert_eq!(outcome.err(), Some(StageError::Cancelled));
    }

    #[test]
    fn windows_hold_whole_runs_and_at_least_so_many_images() {
        let runs = [0..1, 1..2, 2..7, 7..8, 8..9];
        assert_eq!(windows(&runs, 3), [&runs[..3], &runs[3..]]);
        assert_eq!(windows(&runs, 1), runs.chunks(1).collect::<Vec<_>>());
        assert_eq!(windows(&runs, 100), [&runs[..]]);
        assert!(windows(&[], 3).is_empty());
    }

    #[test]
    fn images_of_many_windows_and_of_files_with_many_are_those_of_the_whole() {
        // Eight images a row group, as each has 4 MB; files of 1, 2 and 9 images.
        let (count, side) = (37, 2048);
        let level = |index: usize| (index * 5 + 1) as u8;
        let load = |index: usize| Ok((grid(side, side, level(index)), (index % 3 == 1).then(|| grid(side, side, 1))));
        let runs = [0..9, 9..11, 11..12, 12..13, 13..22, 22..31, 31..37];
        let (images, masks, facts) = stack_of(&|| false, count, &runs, None, load).unwrap();
        assert_eq!(facts.len(), count);
        let is_all = |pixels: &[u8], value: u8| pixels.iter().all(|&pixel| pixel == value);
        for (index, (image, mask)) in
            images.pixels.chunks(side * side).zip(masks.pixels.chunks(side * side)).enumerate()
        {
            assert!(is_all(image, level(index)) && is_all(mask, u8::from(index % 3 == 1)), "image {index}");
        }
        let each = each(count);
        assert!(stack_of(&|| false, count, &each, None, load).unwrap().0 == images, "of one file each");
    }

    #[test]
    fn problems_of_all_windows_are_told_together() {
        let load = |index: usize| match index {
            0 | 19 => Err("it is broken".to_owned()),
            18 => Ok((grid(9, 9, 0), None)),
            _ => Ok((grid(2048, 2048, 0), None)),
        };
        let error = stack_of(&|| false, 20, &each(20), None, load).unwrap_err().to_string();
        let expected = "3 files cannot be used:
  0.png: it is broken
  19.png: it is broken
  18.png: the image is 9 × 9, but most are 2048 × 2048; set `size` to resize all";
        assert_eq!(error, expected);
    }
}
