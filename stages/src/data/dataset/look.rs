//! A look at a data set before anything runs: its audit, and what a first spec needs to know.

use std::ops::Range;

use rayon::prelude::*;

use super::audit::Audited;
use super::facts::ImageFacts;
use super::files::Files;
use super::load::Loader;
use super::params::{Format, Params};
use super::{Dataset, left_out, listing, manifest};
use crate::artifact::{Audit, Labels};
use crate::problems::all_or_problems;
use crate::typed::Typed;

/// A data set as a run would read it.
#[derive(Clone, Debug)]
pub struct Look {
    /// Everything that is odd about it.
    pub audit: Audit,
    /// Class and patient of each image.
    pub labels: Labels,
    /// The pictures in the same order.
    pub pictures: Vec<Looked>,
}

/// A picture as its file has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looked {
    /// Height and width in pixels.
    pub size: (usize, usize),
    /// True if it has colours.
    pub in_colour: bool,
    /// Foreground pixels of its mask; `None` without a mask.
    pub lesion: Option<usize>,
    /// True if the file names the patient, as DICOM does.
    pub patient_of_file: bool,
}

/// Reads a data set as a run would.
///
/// - `params`: checked params of the kind `dataset`, with absolute paths
///
/// Errors: all unusable files, one sentence each.
pub fn look(params: &serde_json::Value) -> Result<Look, Vec<String>> {
    let params: Params = serde_json::from_value(params.clone()).map_err(|error| vec![error.to_string()])?;
    let names = Dataset::files(&params)?;
    let files = Files::listed(&names);
    let mut listing = listing(&params, &files, &|| false).map_err(|error| vec![error.to_string()])?;
    let (names, runs) = (listing.names(), listing.runs());
    let size = params.size.map(|size| (size, size));
    let loader = Loader::new(&params, &listing, &files)?;
    let facts = runs.into_par_iter().flat_map_iter(|run: Range<usize>| {
        let mut found = Vec::with_capacity(run.len());
        loader.load(run, |index, loaded| {
            let facts = loaded.map(|loaded| loaded.fitted(size, params.resize.unwrap_or_default()).facts);
            found.push(facts.map_err(|problem| (index, problem)));
        });
        found
    });
    let told = |(index, problem): (usize, String)| format!("{}: {problem}", names[index]);
    let facts = all_or_problems(facts.collect::<Vec<_>>())
        .map_err(|problems| problems.into_iter().filter(|(_, it)| !it.is_empty()).map(told).collect::<Vec<_>>())?;
    listing.complete(&facts);
    let left_out = match params.format {
        Format::Manifest => manifest::left_out(&params, &files)?,
        _ => left_out(&params)?,
    };
    let audit = Audited { params: &params, listing: &listing, names: &names, facts: &facts, left_out }.audit();
    Ok(Look { audit, labels: listing.labels(), pictures: facts.iter().map(looked).collect() })
}

fn looked(facts: &ImageFacts) -> Looked {
    Looked {
        size: facts.size,
        in_colour: facts.samples.is_some_and(|samples| samples.channels > 2),
        lesion: facts.foreground.map(|(before, _)| before),
        patient_of_file: facts.patient.is_some(),
    }
}
