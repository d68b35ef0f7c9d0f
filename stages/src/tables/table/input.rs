//! What a table is made from: every input cut down to one figure for each metric and class, with the labels that tell where
//! it belongs. A study has thousands of inputs with hundreds of images each; no more than this is held of them.

use std::collections::HashMap;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::{Item, StageError};
use rayon::prelude::*;

use super::image_list::Images;
use super::label::Dimension;
use super::lesion::LESION_SIZE;
use super::query::Query;
use crate::artifact::{ALL, Levels, Metrics, Scores, Table, is_synthetic_name};

/// A figure of one input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// Mean over the images, or the metric itself; `None` where no image has a value.
    pub(crate) value: Option<f64>,
    /// Images that have a value.
    pub(crate) n: u64,
    /// Images without ground truth.
    pub(crate) excluded: u64,
    /// Images whose value is at most the bound.
    pub(super) at_most: u64,
    /// Images, as places in the list of all, with their values; empty unless the layout keeps them.
    pub(crate) images: Vec<(u32, f64)>,
}

/// A figure with a label for each name that it varies along.
pub(crate) struct Entry {
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
pub(crate) struct Source {
    /// In gather order.
    pub(super) entries: Vec<Entry>,
    /// All axes and columns with their labels: gathered axes first, labels in the order in which they appear.
    pub(super) dimensions: Vec<Levels>,
    /// Whether any image is synthetic.
    pub(crate) synthetic: bool,
    /// Names of all images, sorted; empty unless the layout keeps images.
    pub(crate) images: Vec<String>,
}

/// What one input gives.
struct Part {
    entries: Vec<Entry>,
    is_scores: bool,
    synthetic: bool,
}

/// Reads what the port received.
pub(crate) fn read(query: &Query, items: &[Item]) -> Result<Source, StageError> {
    let images = Images::of(query, items)?;
    let parts: Vec<Part> = items.par_iter().map(|item| part(query, &images, item)).collect::<Result<_, _>>()?;
    if parts.iter().any(|part| part.is_scores) && !parts.iter().all(|part| part.is_scores) {
        return Err(StageError::input("scores", "some inputs are scores and some metrics; a table takes either"));
    }
    let synthetic = parts.iter().any(|part| part.synthetic);
    let mut entries: Vec<Entry> = parts.into_iter().flat_map(|part| part.entries).collect();
    check_names(query, &dimensions(&entries))?;
    for dimension in query.merged() {
        merge(&mut entries, dimension)?;
    }
    Ok(Source { dimensions: dimensions(&entries), entries, synthetic, images: images.names })
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

fn check_names(query: &Query, all: &[Levels]) -> Result<(), StageError> {
    let names: Vec<&str> = all.iter().map(|levels| levels.name.as_str()).collect();
    let field = |field, dimensions: &[Dimension]| -> Vec<(&str, String)> {
        dimensions.iter().flat_map(|dimension| &dimension.0).map(|name| (field, name.clone())).collect()
    };
    // `fold` is the default: a study without folds has nothing to take a standard deviation over.
    let across = query.across.iter().filter(|name| *name != "fold").map(|name| ("across", name.clone()));
    let axis = field("axis", query.axis.as_slice());
    let written =
        field("rows", &query.rows).into_iter().chain(field("columns", &query.columns)).chain(axis).chain(across);
    for (field, name) in written.chain(query.only.keys().map(|name| ("only", name.clone()))) {
        if !names.contains(&name.as_str()) {
            let near = nearest(&name, names.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(StageError::new(format!(
                "`{field}` names `{name}`, along which no input varies; the inputs vary along: {}{near}",
                names.join(", ")
            )));
        }
    }
    for dimension in query.merged().filter(|dimension| dimension.0.len() > 1) {
        if let Some(name) = dimension.0[1..].iter().find(|name| query.only.contains_key(*name)) {
            let first = dimension.name();
            return Err(StageError::new(format!(
                "`only` names `{name}`, but its labels are those of `{first}` here; write them under `{first}`"
            )));
        }
    }
    Ok(())
}

fn part(query: &Query, images: &Images, item: &Item) -> Result<Part, StageError> {
    let has = |name: &str| item.files.iter().any(|file| file.name == name);
    if has("scores.parquet") {
        scores(query, images, item)
    } else if has("metrics.parquet") {
        metrics(query, item)
    } else {
        let names: Vec<_> = item.files.iter().map(|file| file.name.as_str()).collect();
        let message =
            format!("neither `scores.parquet` nor `metrics.parquet` is among its files: {}", names.join(", "));
        Err(StageError::input("scores", message))
    }
}

/// One figure for each wanted metric, of all images and of those of each class and of each size of lesion.
fn scores(query: &Query, images: &Images, item: &Item) -> Result<Part, StageError> {
    let rows = Scores::open(item)?;
    let classes = rows.classes(&["label"])?;
    if classes.iter().any(|class| class == ALL) {
        return Err(rows.error("a class is named `all`, which stands for all classes together; rename it"));
    }
    // Of what no cell asks for nothing is read: a sweep has thousands of inputs.
    let classes_of_rows = if query.uses("label") { rows.class("label", &classes)? } else { vec![0; rows.len()] };
    let ids: Vec<Option<u32>> = match images.names.is_empty() {
        true => vec![None; rows.len()],
        false => rows.text("image")?.iter().map(|name| images.id(name)).collect(),
    };
    let sizes_of_rows: Vec<Option<usize>> = match &images.parts {
        Some(parts) => rows.unsigned::<u32>("truth_pixels")?.into_iter().map(|pixels| parts.part(pixels)).collect(),
        None => vec![None; rows.len()],
    };
    let all = || std::iter::once(ALL.to_owned());
    let labels: Vec<String> = all().chain(classes.into_iter().filter(|_| query.uses("label"))).collect();
    let sizes: Vec<String> = all().chain(images.parts.iter().flat_map(|parts| parts.labels())).collect();

    let mut entries = Vec::new();
    for metric in metrics_of_scores(query)? {
        let mut figures = vec![Sums::default(); labels.len() * sizes.len()];
        for (row, value) in rows.optional_float(metric)?.into_iter().enumerate() {
            let own_label = Some(classes_of_rows[row] as usize + 1).filter(|_| query.uses("label"));
            let own_size = sizes_of_rows[row].map(|part| part + 1);
            for label in std::iter::once(0).chain(own_label) {
                for size in std::iter::once(0).chain(own_size) {
                    figures[label * sizes.len() + size].add(ids[row], value, query.at_most);
                }
            }
        }
        let places = labels.iter().flat_map(|label| sizes.iter().map(move |size| (label, size)));
        for ((label, size), sums) in places.zip(figures) {
            let mut inner = vec![("metric", metric), ("label", label.as_str())];
            inner.extend(images.parts.as_ref().map(|_| (LESION_SIZE, size.as_str())));
            entries.push(entry(item, &inner, sums.figure()));
        }
    }
    Ok(Part { entries, is_scores: true, synthetic: rows.any_text("image", is_synthetic_name)? })
}

/// The metrics that the table may show, so that no other column is read.
fn metrics_of_scores(query: &Query) -> Result<Vec<&'static str>, StageError> {
    if query.lays_out("metric") || query.only.contains_key("metric") && query.metric.is_none() {
        return Ok(Scores::METRICS.to_vec());
    }
    let wanted = query.metric.as_deref().unwrap_or("iou");
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
fn metrics(query: &Query, item: &Item) -> Result<Part, StageError> {
    if query.at_most.is_some() {
        return Err(StageError::input("scores", "a share is one of images, but the input is metrics, not scores"));
    }
    if query.keeps_images || query.lesion_sizes.is_some() {
        let message = "a value an image is needed, but the input is metrics, not scores";
        return Err(StageError::input("scores", message));
    }
    let table = Metrics::from_item(item)?;
    if let Some(wanted) = &query.metric
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
        let is_wanted = query.metric.as_ref().is_none_or(|wanted| wanted == metric);
        if !is_wanted || label != ALL && !query.uses("label") {
            continue;
        }
        let gathered = table.axes.iter().map(|(axis, labels)| (axis.as_str(), labels[row].as_str()));
        let labels: Vec<_> = gathered.chain([("metric", metric), ("label", label)]).collect();
        let figure =
            Figure { value: table.values[row], n: table.counts[row], excluded: 0, at_most: 0, images: Vec::new() };
        entries.push(entry(item, &labels, figure));
    }
    Ok(Part { entries, is_scores: false, synthetic: table.synthetic })
}

fn entry(item: &Item, inner: &[(&str, &str)], figure: Figure) -> Entry {
    let outer = item.labels.iter().map(|(axis, label)| (&**axis, &**label));
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
    images: Vec<(u32, f64)>,
}

impl Sums {
    fn add(&mut self, image: Option<u32>, value: Option<f64>, bound: Option<f64>) {
        match value.filter(|value| !value.is_nan()) {
            Some(value) => {
                self.sum += value;
                self.n += 1;
                self.at_most += u64::from(bound.is_some_and(|bound| value <= bound));
                self.images.extend(image.map(|image| (image, value)));
            }
            None => self.excluded += 1,
        }
    }

    fn figure(self) -> Figure {
        Figure {
            value: (self.n > 0).then(|| self.sum / self.n as f64),
            n: self.n,
            excluded: self.excluded,
            at_most: self.at_most,
            images: self.images,
        }
    }
}
