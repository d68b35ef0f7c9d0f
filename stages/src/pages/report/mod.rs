//! The stage `report`: one HTML page about a whole study, with tables, figures and cases. Source of its contents: Kang
//! et al. 2021, Tables 2 to 5, Figures 3 and 4.
//!
//! The page is one file that needs no network access; tables (`tables/`) and figures (`figures/`) also lie beside it as
//! files of their own. A stage sees neither the names of nodes nor times, so the page names its inputs by digest.
//! Outside of any stage, [`provenance`] adds the node that each digest came from.

mod case;
mod content;
mod curve;
mod files;
mod gallery;
mod histogram;
mod inputs;
mod page;
mod params;
mod picture;
mod planned;
pub mod provenance;
mod study;
mod threshold_chart;

use orchestrate_engine::stage::{Action, AddedAxes, Context, Facts, Output, Port, StageError, Weight};

use crate::artifact::{
    Audit, Cams, Confusion, Curve, Figures, Images, Labels as ImageLabels, Masks, PredictedMasks, REPORT, Scores,
    Table, Thresholds,
};
use crate::data::split::Leakage;
use crate::threads::with_threads;
use crate::typed::{Adaptor, Typed, planned_problems};

pub use params::Params;

use content::Content;

/// The name of the kind.
pub const KIND: &str = "report";

/// Makes the report.
///
/// - `tables`, `confusions`, `curves`, `splits`, `labels`, `audits`: shown as they are
/// - `scores`: one IoU per image, series, fold and threshold; for histograms, the chart by threshold, and the ranks of
///   cases
/// - `images`, `masks`, `cams`, `thresholds`, `predicted`: pictures of the cases; masks are `heatmap > threshold`, as
///   in `score`, or the predictions of a network
/// - returns: `report.html`, `tables/`, `figures/`
///
/// A section without connected inputs is left out. Errors: scored images that are missing from `images`, by name; sizes
/// that differ; a threshold `at` that no input has.
pub fn run(params: &Params, action: &Action) -> Result<Output, StageError> {
    let files = files::files(&Content::read(params, action, Report::FACTS.ports)?)?;
    Ok(Output { name: Report::OUTPUT.to_owned(), files })
}

/// The kind `report`.
pub(crate) struct Report;

pub(crate) static STAGE: Adaptor<Report> = Adaptor::new();

impl Report {
    const OUTPUT: &'static str = REPORT.name;
}

impl Typed for Report {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "tables", reads: &[Figures::OUTPUT], optional: true, many: true },
            Port { name: "scores", reads: &[Scores::OUTPUT], optional: true, many: true },
            Port { name: "cams", reads: &[Cams::OUTPUT], optional: true, many: true },
            Port { name: "thresholds", reads: &[Thresholds::OUTPUT], optional: true, many: true },
            Port { name: "predicted", reads: &[PredictedMasks::OUTPUT], optional: true, many: true },
            Port { name: "images", reads: &[Images::OUTPUT], optional: true, many: true },
            Port { name: "masks", reads: &[Masks::OUTPUT], optional: true, many: true },
            Port { name: "confusions", reads: &[Confusion::OUTPUT], optional: true, many: true },
            Port { name: "curves", reads: &[Curve::OUTPUT], optional: true, many: true },
            Port { name: "splits", reads: &[Leakage::OUTPUT], optional: true, many: true },
            Port { name: "labels", reads: &[ImageLabels::OUTPUT], optional: true, many: true },
            Port { name: "audits", reads: &[Audit::OUTPUT], optional: true, many: true },
        ],
        outputs: &[Self::OUTPUT],
        artifacts: &[&REPORT],
        check_inputs: Some(|node| planned_problems(node, planned::check)),
        added_axes: AddedAxes::Gathered,
        // Reading thousands of inputs and drawing hundreds of pictures takes seconds and much memory.
        weight: Weight::Heavy,
        ..Facts::new(
            KIND,
            4,
            "makes one page of tables, figures and cases; `orchestrate report` adds where they came from",
        )
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let report = |(params, action): &(Params, &Action)| {
            with_threads(context.threads, || run(params, action)).map(|output| vec![output])
        };
        batch.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests;
