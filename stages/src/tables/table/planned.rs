//! The inputs of a table before they are made: as [`read`](super::read) will return them, without values.
//!
//! So a contradiction between a query and its inputs is found by the same code when a spec is planned and when it runs.

use orchestrate_engine::stage::{InputProblem, PlannedItem, PlannedNode};

use super::input::{Figure, LabelledFigure, TableInputs, check_outputs, figures_of_metrics, metrics_of_scores};
use super::label::Labels;
use super::lesion::{LESION_SIZE, LesionSizes};
use super::query::Query;
use crate::artifact::{ALL, Metrics};
use crate::data::dataset;
use crate::tables::classify;

/// Returns the inputs of the port `scores`; `None` if a program or a later kind makes one, whose contents are not
/// known.
pub(crate) fn planned(query: &Query, node: &dyn PlannedNode) -> Result<Option<TableInputs>, InputProblem> {
    let items = node.items("scores");
    let is_known = |item: &PlannedItem<'_>| [SCORE, classify::KIND].contains(&item.node.kind());
    if items.is_empty() || !items.iter().all(is_known) {
        return Ok(None);
    }
    check_outputs(items.iter().map(|item| item.node.kind() == SCORE))?;
    let lesion_label = items.iter().flat_map(|item| &item.labels).find(|(axis, _)| *axis == LESION_SIZE);
    query.check_lesion_axis(lesion_label.map(|(_, label)| *label))?;
    // Thousands of inputs come from one data set.
    let mut classes = None;
    let mut figures = Vec::new();
    for item in &items {
        let classes = classes.get_or_insert_with(|| classes_of(query, &*item.node));
        figures.extend(match item.node.kind() {
            SCORE => scores(query, item, classes)?,
            _ => metrics(query, item, classes)?,
        });
    }
    TableInputs::of(query, figures).map(Some)
}

/// The kind whose output is scores.
const SCORE: &str = "score";

/// Returns the names of the classes, if the table needs them: those of the data set, or, if these are not known yet,
/// those that the query names.
fn classes_of(query: &Query, node: &dyn PlannedNode) -> Vec<String> {
    if !query.uses("label") {
        return Vec::new();
    }
    let wanted = || query.only.get("label").into_iter().flat_map(|Labels(labels)| labels.iter().cloned());
    dataset::planned_classes(node).unwrap_or_else(|| wanted().filter(|label| label != ALL).collect())
}

fn scores(query: &Query, item: &PlannedItem<'_>, classes: &[String]) -> Result<Vec<LabelledFigure>, InputProblem> {
    let labels = || std::iter::once(ALL).chain(classes.iter().map(String::as_str));
    let sizes = query.lesion_sizes.as_ref().map(|sizes| match sizes {
        LesionSizes::Edges(_) => sizes.bins(&Default::default()).labels(),
        LesionSizes::Tertiles => query.only.get(LESION_SIZE).map(|Labels(labels)| labels.clone()).unwrap_or_default(),
    });
    let mut figures = Vec::new();
    for metric in metrics_of_scores(query)? {
        for label in labels() {
            let mut push = |inner: &[(&str, &str)]| {
                figures.push(LabelledFigure::new(&item.labels, inner, Figure::default()));
            };
            match &sizes {
                None => push(&[("metric", metric), ("label", label)]),
                Some(sizes) => std::iter::once(ALL)
                    .chain(sizes.iter().map(String::as_str).filter(|size| *size != ALL))
                    .for_each(|size| push(&[("metric", metric), ("label", label), (LESION_SIZE, size)])),
            }
        }
    }
    Ok(figures)
}

fn metrics(query: &Query, item: &PlannedItem<'_>, classes: &[String]) -> Result<Vec<LabelledFigure>, InputProblem> {
    let metrics: Metrics = classify::planned(&*item.node, classes)?;
    figures_of_metrics(query, &item.labels, metrics)
}
