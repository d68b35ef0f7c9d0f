//! One page about a whole study: tables, figures and cases, for people. Source of what it shows: Kang et al. 2021, Tables 2 to
//! 5, Figures 3 and 4.
//!
//! The page is one file that needs no network; beside it lie the tables (`tables/`) and figures (`figures/`) as files of
//! their own. A stage sees neither names of nodes nor times: the page names its inputs by digest, and [`provenance`] adds
//! to it, outside of any stage, which node each digest came from.

mod case;
pub(crate) mod chart;
mod curve;
mod files;
mod gallery;
mod histogram;
mod page;
mod picture;
pub mod provenance;
mod study;
pub(crate) mod sweep;

use std::collections::BTreeMap;

use orchestrate_cache::{Artifact, FileEntry};
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Item, Output, Port, StageError, Weight};
use serde::{Deserialize, Serialize};

use crate::artifact::{
    Cams, Confusion, Curve, Figures, Images, Labels as ImageLabels, Masks, PredictedMasks, Scores, Table, Thresholds,
    is_synthetic,
};
use crate::data::split::Leakage;
use crate::tables::classify::AxisLabels;
use crate::tables::table::render::Grid;
use crate::tables::table::{self, Labels};
use crate::threads::with_threads;
use crate::typed::{Adaptor, Typed};

use curve::Training;
use gallery::Gallery;
use study::{Place, Study};

/// The word after `kind =`.
pub const KIND: &str = "report";

/// Parameters of `kind = "report"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The heading of the page; default: `"Report"`.
    #[serde(default = "title")]
    pub title: String,
    /// Axes over which means are taken, a text or a list; default: `"fold"`. All other gathered axes but that of the threshold
    /// tell series apart.
    #[serde(default = "fold")]
    pub across: Labels,
    /// The axis along which thresholds vary; default: `"threshold"`.
    #[serde(default = "threshold")]
    pub threshold: String,
    /// The threshold whose IoU ranks cases and fills the histograms; default: the first.
    #[serde(default, deserialize_with = "label")]
    pub at: Option<String>,
    /// Cases of each series and class that are shown beyond best, median and worst, as far as they fit; default 4.
    #[serde(default = "four")]
    pub cases: usize,
}

fn title() -> String {
    "Report".to_owned()
}

fn fold() -> Labels {
    Labels(vec!["fold".to_owned()])
}

fn threshold() -> String {
    "threshold".to_owned()
}

fn four() -> usize {
    4
}

/// A label of an axis, which may be written as a number.
fn label<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let labels = Option::<Labels>::deserialize(deserializer)?;
    match labels.as_ref().map(|labels| labels.0.as_slice()) {
        None => Ok(None),
        Some([label]) => Ok(Some(label.clone())),
        Some(labels) => Err(serde::de::Error::invalid_length(labels.len(), &"one label")),
    }
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.cases > 100 {
            problems.push(("cases", "more than 100 cases a series and class make a page too large to open".to_owned()));
        }
        if self.across.0.contains(&self.threshold) {
            problems.push(("across", format!("`{}` is the axis of the threshold", self.threshold)));
        }
        problems
    }
}

impl Params {
    /// What means are taken over, as people call one of them.
    fn group(&self) -> String {
        if self.across.0 == ["fold"] { "fold".to_owned() } else { format!("value of {}", self.across.0.join(" × ")) }
    }

    /// The same for several.
    fn groups(&self) -> String {
        if self.across.0 == ["fold"] { "folds".to_owned() } else { format!("values of {}", self.across.0.join(" × ")) }
    }
}

/// What the page is made from.
struct Content<'a> {
    params: &'a Params,
    study: Study,
    gallery: Gallery,
    /// Images that have a rank, over all series.
    ranked: usize,
    tables: Vec<TableInput<'a>>,
    trainings: Vec<Training>,
    confusions: Vec<ConfusionMatrix>,
    splits: Vec<(Leakage, &'a Item)>,
    labels: Vec<ImageLabels>,
    /// All series, also those without scores.
    series: Vec<String>,
    synthetic: bool,
    sources: Sources,
}

/// One input of the port `tables`.
struct TableInput<'a> {
    figures: Figures,
    /// Digits after the point.
    digits: u8,
    item: &'a Item,
}

impl<'a> TableInput<'a> {
    fn read(item: &'a Item) -> Result<Self, StageError> {
        let figures = Figures::from_item(item)?;
        Ok(Self { digits: table::digits_of(&figures, item)?, figures, item })
    }

    fn grid(&self) -> Grid<'_> {
        Grid::of(&self.figures, self.digits)
    }
}

/// Digests of what each port received, in order.
struct Sources(BTreeMap<&'static str, Vec<String>>);

/// How often each class was predicted for images of each class, over all groups of a series.
struct ConfusionMatrix {
    series: String,
    classes: Vec<String>,
    /// `[true class][predicted class]`.
    counts: Vec<Vec<u64>>,
}

/// Makes the report.
///
/// - `tables`, `confusions`, `curves`, `splits`, `labels`: shown as they are
/// - `scores`: one IoU an image, series, fold and threshold; histograms, sweep and ranking
/// - `images`, `masks`, `cams`, `thresholds`, `predicted`: pictures of the cases; masks are `heatmap > threshold`, as `score` has
///   them, or those that a network predicted
/// - returns: `report.html`, `tables/`, `figures/`
///
/// A part whose inputs are not connected is left out. Errors: images that are scored but not connected, by name; sizes that
/// differ; a threshold `at` that no input has.
pub fn run(params: &Params, action: &Action) -> Result<Output, StageError> {
    let study = Study::read(params, items(action, "scores"))?;
    let cases = case::choose(&study, params.cases);
    let gallery = Gallery::draw(params, action, &study, &cases)?;
    let read = |port| items(action, port).iter();
    let tables = read("tables").map(TableInput::read).collect::<Result<Vec<_>, _>>()?;
    let trainings = read("curves").map(|item| Training::read(params, item)).collect::<Result<Vec<_>, _>>()?;
    let confusions = confusions(params, items(action, "confusions"))?;
    let splits = read("splits").map(|item| Ok((Leakage::from_item(item)?, item))).collect::<Result<_, StageError>>()?;
    let labels = read("labels").map(ImageLabels::from_item).collect::<Result<Vec<_>, _>>()?;
    let mut series = study.series.clone();
    for name in trainings.iter().map(|training| &training.place.series).chain(confusions.iter().map(|it| &it.series)) {
        study::push_once(&mut series, name);
    }
    let synthetic = study.synthetic
        || tables.iter().any(|table| table.figures.synthetic)
        || labels.iter().any(|labels| is_synthetic(&labels.names));
    let ranked = case::ranked(&study);
    let sources =
        Sources(Report::FACTS.ports.iter().map(|port| (port.name, digests(items(action, port.name)))).collect());
    let content = Content {
        params,
        study,
        gallery,
        ranked,
        tables,
        trainings,
        confusions,
        splits,
        labels,
        series,
        synthetic,
        sources,
    };
    files::output(&content)
}

/// What a port received; nothing where it is not connected.
fn items<'a>(action: &'a Action, port: &str) -> &'a [Item] {
    action.input(port).map(|input| input.items.as_slice()).unwrap_or_default()
}

/// The output digest of an input, as runs and stores name it.
fn digest(item: &Item) -> String {
    let file = |file: &orchestrate_engine::stage::InputFile| FileEntry {
        name: file.name.clone(),
        digest: file.digest,
        size_bytes: file.size_bytes,
    };
    Artifact::new(item.files.iter().map(file).collect()).digest().0.to_string()
}

fn digests(items: &[Item]) -> Vec<String> {
    let mut digests: Vec<String> = items.iter().map(digest).collect();
    let mut seen = std::collections::HashSet::new();
    digests.retain(|digest| seen.insert(digest.clone()));
    digests
}

/// Sums confusion matrices over groups: one a series.
fn confusions(params: &Params, items: &[Item]) -> Result<Vec<ConfusionMatrix>, StageError> {
    let mut matrices: Vec<ConfusionMatrix> = Vec::new();
    for item in items {
        let confusion = Confusion::from_item(item)?;
        for row in 0..confusion.counts.len() {
            let inner = confusion.axes.iter().map(|(axis, labels)| (axis.as_str().into(), labels[row].as_str().into()));
            let labels: AxisLabels = item.labels.iter().cloned().chain(inner).collect();
            let series = Place::of(params, &labels).series;
            let index = matrices.iter().position(|matrix| matrix.series == series).unwrap_or_else(|| {
                let k = confusion.classes.len();
                let (classes, counts) = (confusion.classes.clone(), vec![vec![0; k]; k]);
                matrices.push(ConfusionMatrix { series, classes, counts });
                matrices.len() - 1
            });
            let matrix = &mut matrices[index];
            if matrix.classes != confusion.classes {
                return Err(StageError::input("confusions", "the inputs of one series have other classes"));
            }
            matrix.counts[confusion.labels[row] as usize][confusion.predicted[row] as usize] += confusion.counts[row];
        }
    }
    Ok(matrices)
}

pub(crate) struct Report;

pub(crate) static STAGE: Adaptor<Report> = Adaptor::new();

impl Report {
    const OUTPUT: &'static str = "report";
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
        ],
        outputs: &[Self::OUTPUT],
        // Reading a study of thousands of inputs and drawing hundreds of pictures takes seconds and its own memory.
        weight: Weight::Heavy,
        ..Facts::new(
            KIND,
            3,
            "makes one page of tables, figures and cases; `orchestrate report` adds where they came from",
        )
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| {
            with_threads(context.threads, || run(params, action)).map(|output| vec![output])
        };
        batch.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests;
