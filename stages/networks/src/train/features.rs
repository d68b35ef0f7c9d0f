//! Features at the port `features`, in place of those that a training with a frozen trunk computes itself.
//!
//! A training gives the same bytes either way. So whatever features follow from is compared: params where the plan
//! knows them; images and weights, by digest, when the training starts.

use orchestrate_engine::stage::{Action, InputProblem, PlannedNode, StageError};
use orchestrate_stages::artifact::{Features, Origin, Table};
use orchestrate_stages::planned_size::planned_size;

use super::params::{Freeze, Params};
use crate::features::{self, Pooled};
use crate::model::{StateDict, digest};
use crate::training::Augment;

/// The name of the port.
pub(super) const PORT: &str = Features::OUTPUT;

const OTHER_IMAGES: &str = "they are of other images than those at `images`; connect both stages to the same data set";

/// Finds features that a training cannot use, as far as params tell, before anything runs.
pub(super) fn check_inputs(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let items = node.items(PORT);
    let [item] = items.as_slice() else { return Vec::new() };
    let Ok(params) = serde_json::from_value::<Params>(node.params().clone()) else { return Vec::new() };
    let mut problems = unusable(&params);
    if item.node.kind() == "features"
        && let Ok(theirs) = serde_json::from_value::<features::Params>(item.node.params().clone())
    {
        problems.extend(different(&params, &theirs.model.to_string(), &theirs.precision.to_string()));
    }
    if planned_size(node, PORT).zip(planned_size(node, "images")).is_some_and(|(theirs, ours)| theirs != ours) {
        problems.push(OTHER_IMAGES.to_owned());
    }
    problems.into_iter().map(|problem| InputProblem::port(PORT, problem)).collect()
}

/// Reads the features at the port; `None` if nothing is connected.
///
/// - `names`: the images of the training
/// - `trunk`: its pretrained weights
pub(super) fn given(
    params: &Params,
    action: &Action,
    names: &[String],
    trunk: Option<&StateDict>,
) -> Result<Option<Pooled>, StageError> {
    if action.input(PORT).is_none() {
        return Ok(None);
    }
    let Features { names: theirs, values, width, origin } = Features::from_item(action.one(PORT)?)?;
    let mut problems = unusable(params);
    problems.extend(different(params, &origin.model, &origin.precision));
    if origin.images != Origin::images_of(action.one("images")?)? || theirs != names {
        problems.push(OTHER_IMAGES.to_owned());
    }
    if trunk.is_none_or(|trunk| origin.trunk != digest(&trunk.tensors).to_string()) {
        let problem = "they were made with other weights of the trunk; give both stages the same `init.weights`";
        problems.push(problem.to_owned());
    }
    let expected = params.model.architecture().features;
    if width != expected && !names.is_empty() {
        problems.push(format!("they are {width} an image, but `{}` has {expected}; make them anew", params.model));
    }
    match problems.first() {
        Some(problem) => Err(StageError::input(PORT, problem)),
        None => Ok(Some(Pooled { values, width })),
    }
}

/// Says what keeps a training from using any features.
fn unusable(params: &Params) -> Vec<String> {
    let mut problems = Vec::new();
    if params.freeze == Freeze::None {
        let problem =
            "the training changes the trunk, and so its features; set `freeze = \"trunk\"`, or leave them out";
        problems.push(problem.to_owned());
    }
    if params.augment != Augment::default() {
        let problem = "`augment` changes images at random, and they are of the images as they are; leave out either";
        problems.push(problem.to_owned());
    }
    problems
}

/// Says which params of the features are others than those of the training.
fn different(params: &Params, model: &str, precision: &str) -> Vec<String> {
    let pairs = [("model", model, params.model.to_string()), ("precision", precision, params.precision.to_string())];
    let others = pairs.iter().filter(|(_, theirs, ours)| theirs != ours).map(|(param, theirs, ours)| {
        format!(
            "they were made with {param} = \"{theirs}\", but the training has \"{ours}\"; give both stages the same"
        )
    });
    others.collect()
}
