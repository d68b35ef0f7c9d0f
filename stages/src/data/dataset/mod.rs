//! Images with their classes, patients and masks, from four formats. Source of the paper's data: Kang et al. 2021,
//! section 3.1; Cheng's brain tumour set, figshare 1512427.
//!
//! Every format first gives a listing of its images. Then all threads of the run decode, one picture a thread at a
//! time, and each picture is resized and put among those of its row group, which is soon written. Image names are
//! relative to the manifest or folder, so a moved folder gives the same bytes.

mod census;
mod cheng;
mod facts;
mod file;
mod folders;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod left_out;
mod listing;
mod load;
mod manifest;
mod mask_pattern;
mod min_max;
mod natural;
mod params;
mod part;
mod phantom;
mod picture;
mod raster;
mod resize;
mod stack;
#[cfg(test)]
mod tests;
mod window;

use std::path::Path;

use orchestrate_engine::stage::{Action, Context, ExternalFile, Facts, FileName, Output, StageError};
use rayon::prelude::*;

use crate::artifact::{Images, Labels, Masks, Table};
use crate::problems::all_or_problems;
use crate::typed::{Adaptor, Typed};

use listing::Listing;
use load::{Files, Loaded, Loader};
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
        let one = |(params, action): &(Params, &Action)| outputs(run(params, &action.files, context)?);
        batch.iter().map(one).collect()
    }
}

/// Reads or draws the data set.
///
/// - `files`: the files that the stage listed, in the same order
/// - returns: the listing and, in its order, written images and masks of one size and facts about each image; the order
///   is that of the manifest, of the names or of the generator
///
/// Errors: all unusable files, by name, at once.
fn run(params: &Params, files: &[ExternalFile], context: &Context<'_>) -> Result<(Listing, Stack), StageError> {
    let mut listing = listing(params, files, context)?.limited(params.limit);
    let opener = Files::new(files);
    let loader = Loader::new(params, &listing, &opener).map_err(cannot_use)?;
    let (size, resize) = (params.size, params.resize.unwrap_or_default());
    let load = |run, each: &mut dyn FnMut(usize, Result<Loaded, String>)| loader.load(run, each);
    let stack = stack(context, &listing.names(), &listing.runs(), size, resize, load)?;
    for (image, facts) in listing.images.iter_mut().zip(&stack.facts) {
        if image.patient.is_none() {
            image.patient.clone_from(&facts.patient);
        }
    }
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

/// Collects the outputs.
fn outputs((listing, stack): (Listing, Stack)) -> Result<Vec<Output>, StageError> {
    let Stack { images, masks, facts: _ } = stack;
    Ok(vec![images, listing.labels().output()?, masks])
}
