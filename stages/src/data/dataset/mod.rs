//! Images with their classes, patients and masks, from four formats. Source of the paper's data: Kang et al. 2021,
//! section 3.1; Cheng's brain tumour set, figshare 1512427.
//!
//! Every format first gives a listing of its images. Then all threads of the run decode, one picture a thread at a
//! time, and each picture is resized and put among the others at once. Image names are relative to the manifest or
//! folder, so a moved folder gives the same bytes.

#[cfg(test)]
mod bundled;
mod census;
mod cheng;
mod dicom;
mod file;
mod folders;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listing;
mod manifest;
mod min_max;
mod natural;
mod nifti;
mod params;
mod phantom;
mod picture;
mod pseudonym;
mod raster;
mod resize;
mod stack;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::path::Path;

use orchestrate_engine::stage::{Action, Context, ExternalFile, Facts, FileName, Output, StageError};
use rayon::prelude::*;

use crate::artifact::{Images, Labels, Masks, Table};
use crate::problems::all_or_problems;
use crate::typed::{Adaptor, Typed};

use listing::{ListedImage, Listing};
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
/// - `files`: the files that the stage listed, in the same order
/// - returns: images and masks of one size and the class of each, in the order of the manifest, of the names or of the
///   generator
///
/// Errors: all unusable files, by name, at once.
fn run(params: &Params, files: &[ExternalFile], context: &Context<'_>) -> Result<(Listing, Stack), StageError> {
    let by_name: HashMap<&str, &ExternalFile> = files.iter().map(|file| (file.name.as_str(), file)).collect();
    let bytes = |name: &str| match by_name.get(name) {
        Some(file) => file.read().map_err(|error| error.to_string()),
        None => Err("the file came after the key was made; run again".to_owned()),
    };
    let listing = listing(params, files, context)?.limited(params.limit);
    let slices = phantom::slices(params.count.unwrap_or_default());
    let slices: HashMap<String, Slice> = slices.into_iter().map(|slice| (slice.name(), slice)).collect();
    let masked = |(image, mask): (Grid, Grid)| (image, Some(mask));
    let load = |index: usize| -> Result<(Grid, Option<Grid>), String> {
        let ListedImage { name, mask, .. } = &listing.images[index];
        match params.format {
            Format::Phantom => {
                let slice = slices.get(name).ok_or("no such slice")?;
                let (seed, size) = (params.seed.unwrap_or_default(), params.size.unwrap_or_default());
                Ok(masked(phantom::draw(seed, *slice, size)))
            }
            Format::ChengMat => cheng::read_slice(bytes(name)?).map(masked),
            Format::Manifest | Format::Folders => {
                let image = picture::decode_image(&bytes(name)?)?;
                let decode = |mask: &String| {
                    picture::decode_mask(&bytes(mask)?).map_err(|problem| format!("mask {mask}: {problem}"))
                };
                Ok((image, mask.as_ref().map(decode).transpose()?))
            }
        }
    };
    let stack = stack(context, &listing.names(), params.size, params.resize.unwrap_or_default(), load)?;
    Ok((listing, stack))
}

/// Lists the images, before the limit is applied.
fn listing(params: &Params, files: &[ExternalFile], context: &Context<'_>) -> Result<Listing, StageError> {
    match params.format {
        Format::Phantom => Ok(phantom::listing(&phantom::slices(params.count.unwrap_or_default()))),
        Format::Manifest => {
            let csv = files.first().ok_or_else(|| StageError::new("no manifest was given"))?;
            manifest::read(params, &csv.read()?).map_err(cannot_use)
        }
        Format::Folders => {
            folders::read(params, files.iter().map(|file| file.name.as_str()).collect()).map_err(cannot_use)
        }
        Format::ChengMat => {
            let annotation = |file: &ExternalFile| {
                if (context.cancelled)() {
                    return Err(String::new());
                }
                let bytes = file.read().map_err(|error| error.to_string())?;
                let annotation = cheng::read_annotation(bytes);
                annotation.map(|it| (file.name.clone(), it)).map_err(|problem| format!("{}: {problem}", file.name))
            };
            let annotations: Vec<_> = files.par_iter().map(annotation).collect();
            if (context.cancelled)() {
                return Err(StageError::Cancelled);
            }
            Ok(cheng::listing(all_or_problems(annotations).map_err(cannot_use)?))
        }
    }
}

/// Makes the outputs. Images go to a file; masks, packed to a hundredth, stay in memory.
fn outputs((listing, stack): (Listing, Stack), context: &Context<'_>) -> Result<Vec<Output>, StageError> {
    let Stack { height, width, images, masks } = stack;
    let images = Images { names: listing.names(), height, width, pixels: images }.saved(context.scratch_dir)?;
    let masks = Masks { names: listing.names(), height, width, pixels: masks }.output()?;
    Ok(vec![images, listing.labels().output()?, masks])
}
