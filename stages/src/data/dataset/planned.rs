//! Facts about a data set that follow from its params, for checks of the stages below it.

use orchestrate_engine::stage::PlannedNode;

use super::params::{Format, Params};
use super::{cheng, phantom};
use crate::typed::read;

/// The name of the kind.
pub(crate) const KIND: &str = "dataset";

/// Ports, of all kinds, that lead to the data set with the classes.
const TO_CLASSES: [&str; 5] = ["cams", "predicted", "predictions", "split", "labels"];

/// Returns the classes of the data set behind a node, in the order of their indices, if its params tell them.
pub(crate) fn planned_classes(node: &dyn PlannedNode) -> Option<Vec<String>> {
    if node.kind() == KIND {
        let params = read::<Params>(node.params()).ok()?;
        return match params.format {
            Format::Phantom => Some(phantom::classes()),
            Format::ChengMat => Some(cheng::CLASSES.map(str::to_owned).to_vec()),
            Format::Manifest | Format::Folders => params.classes,
        };
    }
    let items = TO_CLASSES.iter().map(|port| node.items(port)).find(|items| !items.is_empty())?;
    planned_classes(&*items[0].node)
}

/// Returns the height and width of all images of a data set, if its params set them.
pub(crate) fn planned_size(node: &dyn PlannedNode) -> Option<usize> {
    (node.kind() == KIND).then(|| read::<Params>(node.params()).ok()?.size).flatten()
}
