//! What a table is made from: every input cut down to one figure for each metric and class, with the labels that tell where
//! it belongs. A study has thousands of inputs with hundreds of images each; no more than this is held of them.

use std::collections::HashMap;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::{Item, StageError};
use rayon::prelude::*;

use super::label::Dimension;
use super::layout::Layout;
use crate::artifact::{ALL, Levels, Metrics, Rows, Scores, Table, is_synthetic};

/// A figure of one input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// Mean over the images, or the metric itself; `None` where no image has a value.
    pub(super) value: Option<f64>,
    /// Images that have a value.
    pub(super) n: u64,
    /// Images without ground truth.
    pub(super) excluded: u64,
    /// Images whose value is at most the bound.
    pub(super) at_most: u64,
}

/// A figure with a label for each name that it varies along.
pub(super) struct Entry {
    pub(super) labels: Vec<(String, String)>,
    pub(super) figure: Figure,
}

impl Entry {
    /// The label along an axis or column, if the input varies along it.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.place(name).map(|index| self.labels[index].1.as_str())
    }

    /// Where that label stands.
    fn place(&self, name: &str) -> Option<usize> {
        self.labels.iter().position(|(other, _)| other == name)
    }
}

/// The figures of all inputs.
pub(super) struct Source {
    /// In gather order.
    pub(super) entries: Vec<Entry>,
    /// All axes and columns with their labels: gathered axes first, labels in the order in which they appear.
    pub(super) dimensions: Vec<Levels>,
    /// Whether any image is synthetic.
    pub(super) synthetic: bool,
}

/// What one input gives.
struct Part {
    entries: Vec<Entry>,
    is_scores: bool,
    synthetic: bool,
}

/// Reads what the port received.
pub(super) fn read(layout: &Layout, items: &[Item]) -> Result<Source, StageError> {
    let parts: Vec<Part> = items.par_iter().map(|item| part(layout, item)).collect::<Result<_, _>>()?;
    if parts.iter().any(|part| part.is_scores) && !parts.iter().all(|part| part.is_scores) {
        return Err(StageError::input("scores", "some inputs are scores and some metrics; a table takes either"));
    }
    let synthetic = parts.iter().any(|part| part.synthetic);
    let mut entries: Vec<Entry> = parts.into_iter().flat_map(|part| part.entries).collect();
    check_names(layout, &dimensions(&entries))?;
    for dimension in layout.dimensions() {
        merge(&mut entries, dimension)?;
    }
    Ok(Source { dimensions: dimensions(&entries), entries, synthetic })
}

/// Labels along any of several names become labels along the first of them.
fn merge(entries: &mut [Entry], dimension: &Dimension) -> Result<(), StageError> {
    let mut origins: HashMap<String, &str> = HashMap::new();
    for entry in entries {
        let found = dimension.0.iter().find_map(|name| Some((name, entry.place(name)?)));
        let Some((name, index)) = found else { continue };
        let (along, label) = &mut entry.labels[index];
        dimension.name().clone_into(along);
        if let Some(other) = origins.insert(label.clone(), name).filter(|other| other != name) {
            return Err(StageError::new(format!(
                "`{label}` is a label along both `{other}` and `{name}`, which make one dimension; give one of them another \
                 name: `{{ name = \"…\" }}`"
            )));
        }
    }
    Ok(())
}

fn check_names(layout: &Layout, all: &[Levels]) -> Result<(), StageError> {
    let names: Vec<&str> = all.iter().map(|levels| levels.name.as_str()).collect();
    let field = |field, dimensions: &[Dimension]| -> Vec<(&str, String)> {
        dimensions.iter().flat_map(|dimension| &dimension.0).map(|name| (field, name.clone())).collect()
    };
    // `fold` is the default: a study without folds has nothing to take a standard deviation over.
    let across = layout.across.iter().filter(|name| *name != "fold").map(|name| ("across", name.clone()));
    let written = field("rows", &layout.rows).into_iter().chain(field("columns", &layout.columns)).chain(across);
    for (field, name) in written.chain(layout.only.keys().map(|name| ("only", name.clone()))) {
        if !names.contains(&name.as_str()) {
            let near = nearest(&name, names.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(StageError::new(format!(
                "`{field}` names `{name}`, along which no input varies; the inputs vary along: {}{near}",
                names.join(", ")
            )));
        }
    }
    for dimension in layout.dimensions().filter(|dimension| dimension.0.len() > 1) {
        if let Some(name) = dimension.0[1..].iter().find(|name| layout.only.contains_key(*name)) {
            let first = dimension.name();
            return Err(StageError::new(format!(
                "`only` names `{name}`, but its labels are those of `{first}` here; write them under `{first}`"
            )));
        }
    }
    Ok(())
}

fn part(layout: &Layout, item: &Item) -> Result<Part, StageError> {
    let has = |name: &str| item.files.iter().any(|file| file.name == name);
    if has("scores.parquet") {
        scores(layout, item)
    } else if has("metrics.parquet") {
        metrics(layout, item)
    } else {
        let names: Vec<_> = item.files.iter().map(|file| file.name.as_str()).collect();
        let message =
            format!("neither `scores.parquet` nor `metrics.parquet` is among its files: {}", names.join(", "));
        Err(StageError::input("scores", message))
    }
}

/// One figure for each wanted metric, of all images and of those of each class.
fn scores(layout: &Layout, item: &Item) -> Result<Part, StageError> {
    let rows = Scores::open(item)?;
    let classes = rows.classes(&["label"])?;
    if classes.iter().any(|class| class == ALL) {
        return Err(rows.error("a class is named `all`, which stands for all classes together; rename it"));
    }
    let labels = rows.class("label", &classes)?;
    let mut entries = Vec::new();
    for metric in metrics_of_scores(layout)? {
        let values = rows.optional_float(metric)?;
        let mut figures = vec![Sums::default(); classes.len() + 1];
        for (&label, value) in labels.iter().zip(values) {
            for place in [0, label as usize + 1] {
                figures[place].add(value, layout.at_most);
            }
        }
        let by_class = layout.uses("label");
        let names = std::iter::once(ALL).chain(classes.iter().map(String::as_str));
        for (name, sums) in names.zip(figures).take(if by_class { usize::MAX } else { 1 }) {
            entries.push(entry(item, &[("metric", metric), ("label", name)], sums.figure()));
        }
    }
    Ok(Part { entries, is_scores: true, synthetic: synthetic(&rows)? })
}

fn synthetic(rows: &Rows) -> Result<bool, StageError> {
    Ok(is_synthetic(&rows.text("image")?))
}

/// The metrics that the table may show, so that no other column is read.
fn metrics_of_scores(layout: &Layout) -> Result<Vec<&'static str>, StageError> {
    if layout.lays_out("metric") || layout.only.contains_key("metric") && layout.metric.is_none() {
        return Ok(Scores::METRICS.to_vec());
    }
    let wanted = layout.metric.as_deref().unwrap_or("iou");
    match Scores::METRICS.into_iter().find(|metric| *metric == wanted) {
        Some(metric) => Ok(vec![metric]),
        None => Err(no_such_metric(wanted, Scores::METRICS.into_iter())),
    }
}

fn no_such_metric<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> StageError {
    let names: Vec<_> = names.collect();
    StageError::new(format!("`value = \"{wanted}\"` is no metric of the input; its metrics: {}", names.join(", ")))
}

/// The figures that `classify` made.
fn metrics(layout: &Layout, item: &Item) -> Result<Part, StageError> {
    if layout.at_most.is_some() {
        return Err(StageError::input("scores", "a share is one of images, but the input is metrics, not scores"));
    }
    let table = Metrics::from_item(item)?;
    if let Some(wanted) = &layout.metric
        && !table.metrics.iter().any(|metric| metric == wanted)
    {
        let mut names: Vec<&str> = Vec::new();
        for metric in &table.metrics {
            if !names.contains(&metric.as_str()) {
                names.push(metric);
            }
        }
        return Err(no_such_metric(wanted, names.into_iter()));
    }
    let mut entries = Vec::new();
    for row in 0..table.metrics.len() {
        let (metric, label) = (table.metrics[row].as_str(), table.labels[row].as_str());
        let is_wanted = layout.metric.as_ref().is_none_or(|wanted| wanted == metric);
        if !is_wanted || label != ALL && !layout.uses("label") {
            continue;
        }
        let gathered = table.axes.iter().map(|(axis, labels)| (axis.as_str(), labels[row].as_str()));
        let labels: Vec<_> = gathered.chain([("metric", metric), ("label", label)]).collect();
        let figure = Figure { value: table.values[row], n: table.counts[row], excluded: 0, at_most: 0 };
        entries.push(entry(item, &labels, figure));
    }
    Ok(Part { entries, is_scores: false, synthetic: table.synthetic })
}

fn entry(item: &Item, inner: &[(&str, &str)], figure: Figure) -> Entry {
    let outer = item.labels.iter().map(|(axis, label)| (axis.as_str(), label.as_str()));
    let labels = outer.chain(inner.iter().copied()).filter(|(_, label)| !label.is_empty());
    Entry { labels: labels.map(|(name, label)| (name.to_owned(), label.to_owned())).collect(), figure }
}

fn dimensions(entries: &[Entry]) -> Vec<Levels> {
    let mut dimensions: Vec<Levels> = Vec::new();
    for (name, label) in entries.iter().flat_map(|entry| &entry.labels) {
        let index = dimensions.iter().position(|levels| levels.name == *name).unwrap_or_else(|| {
            dimensions.push(Levels { name: name.clone(), values: Vec::new() });
            dimensions.len() - 1
        });
        let values = &mut dimensions[index].values;
        if !values.contains(label) {
            values.push(label.clone());
        }
    }
    dimensions
}

/// Running sums over the images of one input.
#[derive(Clone, Default)]
struct Sums {
    sum: f64,
    n: u64,
    excluded: u64,
    at_most: u64,
}

impl Sums {
    fn add(&mut self, value: Option<f64>, bound: Option<f64>) {
        match value.filter(|value| !value.is_nan()) {
            Some(value) => {
                self.sum += value;
                self.n += 1;
                self.at_most += u64::from(bound.is_some_and(|bound| value <= bound));
            }
            None => self.excluded += 1,
        }
    }

    fn figure(&self) -> Figure {
        Figure {
            value: (self.n > 0).then(|| self.sum / self.n as f64),
            n: self.n,
            excluded: self.excluded,
            at_most: self.at_most,
        }
    }
}
