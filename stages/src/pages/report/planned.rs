//! Checks of a report against its inputs, before anything runs.

use orchestrate_engine::stage::{InputProblem, PlannedNode};

use super::params::Params;
use super::study::ranking_threshold;
use crate::data::dataset;
use crate::tables::first_seen::push_once;

/// Finds a threshold `at` that no input has, and data sets of several sizes.
pub(super) fn check(params: &Params, node: &dyn PlannedNode) -> Result<(), InputProblem> {
    let scores = node.items("scores");
    let mut thresholds = Vec::new();
    for (_, label) in scores.iter().flat_map(|item| &item.labels).filter(|(axis, _)| *axis == params.threshold) {
        push_once(&mut thresholds, label);
    }
    ranking_threshold(params, &thresholds)?;
    let sizes = |port: &'static str| -> Result<Option<usize>, InputProblem> {
        let items = node.items(port);
        let mut sizes = items.iter().filter_map(|item| dataset::planned_size(&*item.node));
        let first = sizes.next();
        match sizes.find(|size| Some(*size) != first) {
            None => Ok(first),
            Some(_) => {
                let message = "the inputs have images of several sizes; a report shows one";
                Err(InputProblem::port(port, message))
            }
        }
    };
    match (sizes("images")?, sizes("masks")?) {
        (Some(images), Some(masks)) if images != masks => {
            let message = "the masks are not as large as the images; connect one data set";
            Err(InputProblem::port("masks", message))
        }
        _ => Ok(()),
    }
}
