//! Every kind of stage that the program offers.

use std::sync::LazyLock;

use crate::Kinds;

/// Kinds in the order of a study, which is the order of help text and error messages.
const ORDER: [&str; 14] = [
    "dataset",
    "split",
    "features",
    "train",
    "cam",
    "threshold",
    "segment",
    "predict-masks",
    "score",
    "classify",
    "table",
    "compare",
    "report",
    "command",
];

/// Joins the kinds with and without networks.
pub fn stages() -> Kinds {
    static STAGES: LazyLock<Vec<&'static dyn orchestrate_engine::stage::Stage>> = LazyLock::new(|| {
        let mut stages = [orchestrate_stages::STAGES, orchestrate_networks::STAGES].concat();
        stages.sort_by_key(|stage| ORDER.iter().position(|kind| *kind == stage.facts().kind));
        stages
    });
    &STAGES
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_has_its_place_in_a_study() {
        assert_eq!(super::stages().iter().map(|stage| stage.facts().kind).collect::<Vec<_>>(), super::ORDER);
    }
}
