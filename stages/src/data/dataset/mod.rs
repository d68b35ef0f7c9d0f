//! Images with their classes, patients and masks, from four formats. Source of the paper's data: Kang et al. 2021,
//! section 3.1; Cheng's brain tumour set, figshare 1512427.
//!
//! Whatever the format, `dataset` first makes a listing (which images there are), then decodes on all threads of the run, one
//! picture a thread at a time, resized and put among the others at once. Image names are relative to the manifest or folder, so that a
//! moved folder gives the same bytes.

mod census;
mod cheng;
mod folders;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listing;
mod manifest;
mod natural;
mod params;
mod phantom;
mod picture;
mod resize;
mod scale;
mod stack;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use orchestrate_engine::stage::{Action, Context, ExternalFile, Facts, FileName, Output, StageError};
use rayon::prelude::*;

use crate::artifact::{Images, Labels, Masks, Table};
use crate::typed::{Adaptor, Typed};

use listing::{Entry, Listing};
use phantom::Slice;
use resize::Grid;
use stack::{Stack, cannot_use, stack};

pub use census::{Census, census};
pub use params::{Format, Params, Resize};
pub use resize::{Filter, MaskFilter};

pub(crate) struct Dataset;

pub(crate) static STAGE: Adaptor<Dataset> = Adaptor::new();

impl Typed for Dataset {
    const FACTS: Facts = Facts {
        outputs: &[Images::OUTPUT, Labels::OUTPUT, Masks::OUTPUT],
        path_fields: &["path"],
        ..Facts::new("dataset", 2, "reads images, classes, patients and masks, or draws synthetic ones")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        let path = params.path.as_deref().unwrap_or(Path::new(""));
        match params.format {
            Format::Phantom => Ok(Vec::new()),
            Format::Manifest => manifest::files(params, path),
            Format::Folders => folders::files(params, path),
            Format::ChengMat => cheng::files(path),
        }
    }

    fn files_help(params: &Params) -> Option<String> {
        let path = params.path.as_deref().filter(|_| params.format == Format::ChengMat)?;
        Some(cheng::how_to_fetch(path))
    }

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| outputs(run(params, &action.files, context)?, context);
        batch.iter().map(one).collect()
    }
}

/// Reads or draws the data set.
///
/// - `files`: what `files` of the stage lists, in the same order
/// - returns: images and masks of one size and the classes of each, in the order of the manifest, of the names or of
///   the generator
///
/// Errors: all files that cannot be used, by name, at once.
fn run(params: &Params, files: &[ExternalFile], context: &Context<'_>) -> Result<(Listing, Stack), StageError> {
    let by_name: HashMap<&str, &ExternalFile> = files.iter().map(|file| (file.name.as_str(), file)).collect();
    let bytes = |name: &str| match by_name.get(name) {
        Some(file) => file.read().map_err(|error| error.to_string()),
        None => Err("the file came after the key was made; run again".to_owned()),
    };
    let listing = listing(params, files, context)?.limited(params.limit);
    if params.format == Format::Phantom {
        return drawn(params, listing, context);
    }
    let picture = |entry: &Entry| {
        let image = picture::decode_image(&bytes(&entry.name)?)?;
        let mask = entry
            .mask
            .as_ref()
            .map(|mask| picture::decode_mask(&bytes(mask)?).map_err(|problem| format!("mask {mask}: {problem}")));
        Ok((image, mask.transpose()?))
    };
    let load = |index: usize| -> Result<(Grid, Option<Grid>), String> {
        let entry = &listing.entries[index];
        if params.format == Format::ChengMat {
            let (image, mask) = cheng::read_slice(bytes(&entry.name)?)?;
            return Ok((image, Some(mask)));
        }
        picture(entry)
    };
    let stack = stack(context, &listing.names(), params.size, params.resize.unwrap_or_default(), load)?;
    Ok((listing, stack))
}

/// Draws the slices of a phantom.
fn drawn(params: &Params, listing: Listing, context: &Context<'_>) -> Result<(Listing, Stack), StageError> {
    let (size, seed) = (params.size.unwrap_or_default(), params.seed.unwrap_or_default());
    let slices: HashMap<String, Slice> =
        phantom::slices(params.count.unwrap_or_default()).into_iter().map(|slice| (slice.name(), slice)).collect();
    let load = |index: usize| {
        let slice = slices.get(&listing.entries[index].name).ok_or("no such slice")?;
        let (image, mask) = phantom::draw(seed, *slice, size);
        Ok((image, Some(mask)))
    };
    let stack = stack(context, &listing.names(), Some(size), Resize::default(), load)?;
    Ok((listing, stack))
}

/// Which images there are.
fn listing(params: &Params, files: &[ExternalFile], context: &Context<'_>) -> Result<Listing, StageError> {
    let problems = |problems: Vec<String>| cannot_use(&problems);
    match params.format {
        Format::Phantom => Ok(phantom::listing(&phantom::slices(params.count.unwrap_or_default()))),
        Format::Manifest => {
            let csv = files.first().ok_or_else(|| StageError::new("no manifest was given"))?;
            manifest::read(params, &csv.read()?).map_err(problems)
        }
        Format::Folders => {
            let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
            folders::read(params, &names).map_err(problems)
        }
        Format::ChengMat => {
            let card = |file: &ExternalFile| {
                if (context.cancelled)() {
                    return Err(String::new());
                }
                let bytes = file.read().map_err(|error| error.to_string())?;
                let card = cheng::read_card(bytes).map_err(|problem| format!("{}: {problem}", file.name))?;
                Ok((file.name.clone(), card))
            };
            let cards: Vec<Result<_, String>> = files.par_iter().map(card).collect();
            if (context.cancelled)() {
                return Err(StageError::Cancelled);
            }
            let errors: Vec<String> = cards.iter().filter_map(|card| card.as_ref().err().cloned()).collect();
            if errors.is_empty() {
                Ok(cheng::listing(cards.into_iter().flatten().collect()))
            } else {
                Err(cannot_use(&errors))
            }
        }
    }
}

/// Images go to a file; masks, which are packed to a hundredth, stay in memory.
fn outputs((listing, stack): (Listing, Stack), context: &Context<'_>) -> Result<Vec<Output>, StageError> {
    let Stack { height, width, images, masks } = stack;
    let images = Images { names: listing.names(), height, width, pixels: images }.saved(context.scratch_dir)?;
    let masks = Masks { names: listing.names(), height, width, pixels: masks }.output()?;
    Ok(vec![images, listing.labels().output()?, masks])
}
