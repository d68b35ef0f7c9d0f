//! Sizes of images before anything runs, where the spec tells them.

use orchestrate_engine::stage::{InputProblem, PlannedNode, StageError};

/// Returns the side of the square images from which the only artifact at a port is made: `size` of a data set, also
/// that of the images of maps, masks, features and networks. `None` if only the data tell.
pub fn planned_size(node: &dyn PlannedNode, port: &str) -> Option<usize> {
    let items = node.items(port);
    let [item] = items.as_slice() else { return None };
    match item.node.kind() {
        "dataset" => usize::try_from(item.node.params().get("size")?.as_u64()?).ok(),
        "train" | "segment" | "cam" | "predict-masks" | "features" => planned_size(&*item.node, "images"),
        _ => None,
    }
}

/// Makes problems of the failure that a node would end with, at one of its ports.
pub fn at_port(port: &'static str, found: Result<(), StageError>) -> Vec<InputProblem> {
    found.err().map(|error| InputProblem::param(port, error.to_string())).into_iter().collect()
}
