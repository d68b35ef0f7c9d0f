//! The content of a page, read from the inputs of all ports.

use std::collections::BTreeMap;

use orchestrate_engine::stage::{Action, Item, Port, StageError};

use super::case;
use super::curve::Training;
use super::gallery::Gallery;
use super::inputs::digests;
use super::params::Params;
use super::study::{SeriesPoint, Study};
use crate::artifact::{Audit, Confusion, Figures, Labels, Table, is_synthetic};
use crate::data::split::Leakage;
use crate::pages::chart::Look;
use crate::tables::classify::AxisLabels;
use crate::tables::first_seen::{index_or_push, push_once};
use crate::tables::table;
use crate::tables::table::render::Grid;

/// The content of a page.
pub(super) struct Content<'a> {
    pub(super) params: &'a Params,
    pub(super) study: Study,
    pub(super) gallery: Gallery,
    /// Images that have a rank, over all series.
    pub(super) ranked: usize,
    pub(super) tables: Vec<TableInput<'a>>,
    pub(super) trainings: Vec<Training>,
    pub(super) confusions: Vec<ConfusionMatrix>,
    pub(super) splits: Vec<(Leakage, &'a Item)>,
    pub(super) labels: Vec<Labels>,
    pub(super) audits: Vec<(Audit, &'a Item)>,
    /// All series, those without scores included.
    pub(super) series: Vec<String>,
    pub(super) synthetic: bool,
    /// Digests of the inputs of each port, in order.
    pub(super) digests: BTreeMap<&'static str, Vec<String>>,
}

/// One input of the port `tables`.
pub(super) struct TableInput<'a> {
    figures: Figures,
    /// Digits after the point.
    digits: u8,
    pub(super) item: &'a Item,
}

/// Counts of images by true and predicted class, over all groups of a series.
pub(super) struct ConfusionMatrix {
    pub(super) series: String,
    pub(super) classes: Vec<String>,
    /// `[true class][predicted class]`.
    pub(super) counts: Vec<Vec<u64>>,
}

impl<'a> Content<'a> {
    /// Reads all inputs, and draws the cases.
    pub(super) fn read(params: &'a Params, action: &'a Action, ports: &[Port]) -> Result<Self, StageError> {
        let study = Study::read(params, action.items("scores"))?;
        let gallery = Gallery::draw(params, action, &study, &case::choose(&study, params.cases))?;
        let read = |port| action.items(port).iter();
        let tables = read("tables").map(TableInput::read).collect::<Result<Vec<_>, _>>()?;
        let trainings = read("curves").map(|item| Training::read(params, item)).collect::<Result<Vec<_>, _>>()?;
        let confusions = confusions(params, action.items("confusions"))?;
        let splits = read("splits").map(|item| Ok((Leakage::from_item(item)?, item)));
        let splits = splits.collect::<Result<_, StageError>>()?;
        let labels = read("labels").map(Labels::from_item).collect::<Result<Vec<_>, _>>()?;
        let audits = read("audits").map(|item| Ok((Audit::from_item(item)?, item)));
        let audits = audits.collect::<Result<_, StageError>>()?;
        let mut series = study.series.clone();
        for name in trainings.iter().map(|it| &it.point.series).chain(confusions.iter().map(|it| &it.series)) {
            push_once(&mut series, name);
        }
        Ok(Self {
            params,
            gallery,
            ranked: case::ranked(&study),
            series,
            synthetic: study.synthetic
                || tables.iter().any(|table| table.figures.synthetic)
                || labels.iter().any(|labels| is_synthetic(&labels.names)),
            digests: ports.iter().map(|port| (port.name, digests(action.items(port.name)))).collect(),
            study,
            tables,
            trainings,
            confusions,
            splits,
            labels,
            audits,
        })
    }

    /// Digests at a port, for the attribute by which the script finds the nodes of a number.
    pub(super) fn digests_of(&self, port: &str) -> String {
        self.digests.get(port).map(|digests| digests.join(" ")).unwrap_or_default()
    }

    /// The look of a series in all charts.
    pub(super) fn look(&self, series: &str) -> Look {
        Look(self.series.iter().position(|other| other == series).unwrap_or_default())
    }
}

impl<'a> TableInput<'a> {
    fn read(item: &'a Item) -> Result<Self, StageError> {
        let figures = Figures::from_item(item)?;
        Ok(Self { digits: table::digits_of(&figures, item)?, figures, item })
    }

    /// The table with the digits that its own files show.
    pub(super) fn grid(&self) -> Grid<'_> {
        Grid::of(&self.figures, self.digits)
    }
}

/// Sums confusion matrices over groups: one a series.
fn confusions(params: &Params, items: &[Item]) -> Result<Vec<ConfusionMatrix>, StageError> {
    let mut matrices: Vec<ConfusionMatrix> = Vec::new();
    for item in items {
        let Confusion { axes, labels, predicted, counts, classes } = Confusion::from_item(item)?;
        for row in 0..counts.len() {
            let inner = axes.iter().map(|(axis, labels)| (axis.as_str().into(), labels[row].as_str().into()));
            let axis_labels: AxisLabels = item.labels.iter().cloned().chain(inner).collect();
            let series = SeriesPoint::of(params, &axis_labels).series;
            let new = || ConfusionMatrix {
                series: series.clone(),
                counts: vec![vec![0; classes.len()]; classes.len()],
                classes: classes.clone(),
            };
            let index = index_or_push(&mut matrices, |matrix| matrix.series == series, new);
            let matrix = &mut matrices[index];
            if matrix.classes != classes {
                return Err(StageError::input("confusions", "the inputs of one series have other classes"));
            }
            matrix.counts[labels[row] as usize][predicted[row] as usize] += counts[row];
        }
    }
    Ok(matrices)
}
