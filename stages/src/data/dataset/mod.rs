//! Images with their classes, patients and masks, from four formats. Source of the paper's data: Kang et al. 2021,
//! section 3.1; Cheng's brain tumour set, figshare 1512427.
//!
//! Every format first gives a listing of its images. Then all threads of the run decode, one picture a thread at a
//! time, and each picture is resized and put among those of its row group, which is soon written. Image names are
//! relative to the manifest or folder, so a moved folder gives the same bytes.

mod audit;
#[cfg(test)]
mod bundled;
mod census;
mod cheng;
mod columns;
mod dicom;
mod doubtful;
mod facts;
mod file;
mod files;
mod folders;
mod foreground;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guess;
mod left_out;
mod listing;
mod load;
mod look;
mod manifest;
mod mask_pattern;
mod name_pattern;
mod natural;
mod nifti;
mod params;
mod part;
mod patient_pattern;
mod phantom;
mod picture;
mod planned;
mod pseudonym;
mod raster;
mod resize;
mod stack;
#[cfg(test)]
mod tests;
mod window;

use std::path::Path;

use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, StageError};
use rayon::prelude::*;

use crate::artifact::{Audit, Images, Labels, Masks, Table};
use crate::data::alike;
use crate::problems::all_or_problems;
use crate::typed::{Adaptor, Typed};

use audit::Audited;
use files::Files;
use left_out::LeftOut;
use listing::Listing;
use load::{Loaded, Loader};
use stack::{Stack, cannot_use, stack};

pub use census::{Census, census};
pub use guess::{Guess, guess};
pub use look::{Look, Looked, look};
pub use nifti::Axis;
pub use params::{Format, Params, Resize};
pub(crate) use planned::{planned_classes, planned_size};
pub use resize::{Filter, MaskFilter};

pub(crate) struct Dataset;

pub(crate) static STAGE: Adaptor<Dataset> = Adaptor::new();

impl Typed for Dataset {
    const FACTS: Facts = Facts {
        outputs: &[Images::OUTPUT, Labels::OUTPUT, Masks::OUTPUT, Audit::OUTPUT],
        artifacts: &[Images::FACTS, Labels::FACTS, Masks::FACTS, Audit::FACTS],
        path_fields: &["path"],
        ..Facts::new(planned::KIND, 3, "reads images, classes, patients and masks, or draws synthetic ones")
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

    fn probe(params: &Params) -> Result<Vec<(String, String)>, String> {
        Ok(left_out(params).map_err(|problems| problems.join("\n"))?.facts())
    }

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| run(params, action, context);
        batch.iter().map(one).collect()
    }
}

/// Reads or draws the data set.
///
/// Returns images and masks of one size; class, patient and hash of each image; the audit. Errors: all unusable files,
/// by name, at once.
fn run(params: &Params, action: &Action, context: &Context<'_>) -> Result<Vec<Output>, StageError> {
    let files = Files::keyed(&action.files);
    let mut listing = listing(params, &files, context.cancelled)?;
    let (size, resize) = (params.size, params.resize.unwrap_or_default());
    let (names, runs) = (listing.names(), listing.runs());
    let Stack { images, masks, facts } = {
        let loader = Loader::new(params, &listing, &files).map_err(cannot_use)?;
        let load = |run, each: &mut dyn FnMut(usize, Result<Loaded, String>)| loader.load(run, each);
        stack(context, &names, &runs, size, resize, load)?
    };
    listing.complete(&facts);
    let left_out = LeftOut::of_facts(&action.probes);
    let audit = Audited { params, listing: &listing, names: &names, facts: &facts, left_out }.audit();
    let mut labels = listing.labels();
    if params.format != Format::Phantom && labels.columns.iter().all(|(name, _)| name != alike::COLUMN) {
        let hashes = facts.iter().map(|facts| alike::text(facts.hash)).collect();
        labels.columns.push((alike::COLUMN.to_owned(), hashes));
    }
    Ok(vec![images, labels.output()?, masks, audit.reported()?])
}

/// Lists the files that the key says are left out.
fn left_out(params: &Params) -> Result<LeftOut, Vec<String>> {
    let path = params.path.as_deref().unwrap_or(Path::new(""));
    match params.format {
        Format::Folders => Ok(folders::scan(path, folders::is_deep(params))?.left_out),
        Format::ChengMat => cheng::left_out(path),
        // The folder of a manifest may hold anything; `check` looks into it.
        Format::Manifest | Format::Phantom => Ok(LeftOut::default()),
    }
}

/// Lists the images within the limit; of volumes, slices.
fn listing(params: &Params, files: &Files<'_>, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Listing, StageError> {
    match params.format {
        Format::Phantom => {
            Ok(phantom::listing(&phantom::slices(params.count.unwrap_or_default())).limited(params.limit))
        }
        Format::Manifest => {
            let csv = files.names().next().ok_or_else(|| StageError::new("no manifest was given"))?;
            let listing = manifest::read(params, &files.read(csv).map_err(StageError::new)?).map_err(cannot_use)?;
            // Files beyond the limit are in no key.
            let listing = Loader::expanded(params, listing.limited(params.limit), files).map_err(cannot_use)?;
            Ok(listing.limited(params.limit))
        }
        Format::Folders => {
            let listing = folders::read(params, files.names().collect());
            let listing = Loader::expanded(params, listing.map_err(cannot_use)?, files).map_err(cannot_use)?;
            Ok(listing.limited(params.limit))
        }
        Format::ChengMat => {
            let annotation = |name: &str| {
                if cancelled() {
                    return Err(String::new());
                }
                let annotation = files.read(name).and_then(cheng::read_annotation);
                annotation.map(|it| (name.to_owned(), it)).map_err(|problem| format!("{name}: {problem}"))
            };
            let annotations: Vec<_> = files.names().collect::<Vec<_>>().into_par_iter().map(annotation).collect();
            if cancelled() {
                return Err(StageError::Cancelled);
            }
            Ok(cheng::listing(all_or_problems(annotations).map_err(cannot_use)?).limited(params.limit))
        }
    }
}
