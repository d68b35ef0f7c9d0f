//! The inputs of a table, each reduced to one figure for each metric and class, with the labels of its cell.
//!
//! A study has thousands of inputs with hundreds of images each, so nothing else of them is held.

use std::collections::HashMap;
use std::sync::Arc;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::{InputProblem, Item, StageError};
use rayon::prelude::*;

use super::image_list::ImageList;
use super::image_set::{ImageNumbers, ImageSet};
use super::label::Dimension;
use super::lesion::LESION_SIZE;
use super::query::Query;
use crate::artifact::{ALL, Collapse, Levels, Metrics, Scores, Table, is_synthetic};
use crate::tables::first_seen::{index_or_push, push_once};

/// A figure of one input.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    /// Mean over the images, or the metric itself; `None` if no image has a value.
    pub(crate) value: Option<f64>,
    /// Images that have a value.
    pub(crate) n: u64,
    /// Images without ground truth.
    pub(crate) excluded: u64,
    /// Images whose value is at most the bound.
    pub(super) at_most: u64,
    /// Images, as indices into the list of all, with their values; empty unless the query keeps them.
    pub(crate) images: Vec<(u32, f64)>,
    /// Images of which those classified correctly count; `None` if all count, or if their number is not known.
    pub(super) classified: Option<u64>,
    /// Images, with or without a value, whose map has one value everywhere.
    pub(super) constant: u64,
    /// The set of the images that have a value.
    pub(super) set: ImageSet,
}

/// A figure with a label for each name along which it varies.
pub(crate) struct LabelledFigure {
    pub(super) labels: Vec<(String, String)>,
    pub(super) figure: Figure,
    /// Collapsed classifiers among the predictions that were measured.
    pub(super) collapse: Option<Arc<Collapse>>,
}

impl LabelledFigure {
    /// A figure of an input, with labels beside those of its gathered axes.
    pub(super) fn new(outer: &[(&str, &str)], inner: &[(&str, &str)], figure: Figure) -> Self {
        let labels = outer.iter().chain(inner).filter(|(_, label)| !label.is_empty());
        Self {
            labels: labels.map(|&(name, label)| (name.to_owned(), label.to_owned())).collect(),
            figure,
            collapse: None,
        }
    }

    /// The name of an axis that is also a column.
    fn repeated(&self) -> Option<&str> {
        let names = || self.labels.iter().map(|(name, _)| name.as_str());
        names().enumerate().find(|(index, name)| names().take(*index).any(|other| other == *name)).map(|(_, name)| name)
    }

    /// The label along an axis or column, if the input varies along it.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(other, _)| other == name).map(|(_, label)| label.as_str())
    }
}

/// The figures of all inputs.
pub(crate) struct TableInputs {
    /// In gather order.
    pub(super) figures: Vec<LabelledFigure>,
    /// All axes and columns with their labels: gathered axes first, labels in the order in which they appear.
    pub(super) dimensions: Vec<Levels>,
    /// Whether any image is synthetic.
    pub(crate) synthetic: bool,
    /// Names of all images, sorted; empty unless the query keeps images.
    pub(crate) images: Vec<String>,
}

/// The figures of one input.
struct ItemFigures {
    figures: Vec<LabelledFigure>,
    is_scores: bool,
    synthetic: bool,
}

/// The names of the images of the last input that a thread has read; the next one often has the same.
#[derive(Default)]
struct ReadNames {
    names: Vec<String>,
    /// Numbers, by which images in several inputs are found.
    numbers: Vec<u32>,
    /// Indices into the list of all images, if the query keeps them.
    ids: Vec<Option<u32>>,
    synthetic: bool,
}

/// Reads the inputs of the port `scores`.
pub(crate) fn read(query: &Query, items: &[Item]) -> Result<TableInputs, StageError> {
    let images = ImageList::of(query, items)?;
    let numbers = ImageNumbers::default();
    let read_item = |last: &mut ReadNames, item| read_item(query, &images, &numbers, last, item);
    let read: Vec<ItemFigures> = items.par_iter().map_init(ReadNames::default, read_item).collect::<Result<_, _>>()?;
    check_outputs(read.iter().map(|item| item.is_scores)).map_err(InputProblem::failure)?;
    let synthetic = read.iter().any(|item| item.synthetic);
    let figures = read.into_iter().flat_map(|item| item.figures).collect();
    let inputs = TableInputs::of(query, figures).map_err(InputProblem::failure)?;
    Ok(TableInputs { synthetic, images: images.names, ..inputs })
}

/// Refuses a mixture of scores and metrics.
pub(super) fn check_outputs(mut is_scores: impl Iterator<Item = bool>) -> Result<(), InputProblem> {
    let first = is_scores.next();
    match is_scores.all(|is_scores| Some(is_scores) == first) {
        true => Ok(()),
        false => Err(InputProblem::port("scores", "some inputs are scores and some metrics; a table takes either")),
    }
}

impl TableInputs {
    /// Makes dimensions of the labels of all figures, as the query wants them.
    pub(super) fn of(query: &Query, mut figures: Vec<LabelledFigure>) -> Result<Self, InputProblem> {
        check_names(query, &dimensions(&figures))?;
        if let Some(name) = figures.iter().find_map(LabelledFigure::repeated) {
            let message = format!("an axis is named `{name}`, as a column of the input is; rename the axis");
            return Err(InputProblem::port("scores", message));
        }
        for dimension in query.merged() {
            merge(&mut figures, dimension)?;
        }
        Ok(Self { dimensions: dimensions(&figures), figures, synthetic: false, images: Vec::new() })
    }
}

/// Turns labels along any of several names into labels along the first of them.
fn merge(figures: &mut [LabelledFigure], dimension: &Dimension) -> Result<(), InputProblem> {
    let mut origins: HashMap<String, &str> = HashMap::new();
    for LabelledFigure { labels, .. } in figures {
        let index = |name: &String| labels.iter().position(|(other, _)| other == name);
        let found = dimension.0.iter().find_map(|name| Some((name, index(name)?)));
        let Some((name, index)) = found else { continue };
        let (along, label) = &mut labels[index];
        dimension.name().clone_into(along);
        if let Some(other) = origins.insert(label.clone(), name).filter(|other| other != name) {
            let message = format!(
                "`{label}` is a label along both `{other}` and `{name}`, which make one dimension; give one of them \
                 another name: `{{ name = \"…\" }}`"
            );
            return Err(InputProblem::param("rows", message).written(name));
        }
    }
    Ok(())
}

fn check_names(query: &Query, all: &[Levels]) -> Result<(), InputProblem> {
    let names: Vec<&str> = all.iter().map(|levels| levels.name.as_str()).collect();
    let of_dimensions =
        query.by_field().flat_map(|(field, dimension)| dimension.0.iter().map(move |name| (field, name)));
    // `fold` is the default of `across`; a study without folds has no standard deviation.
    let across = query.across.iter().filter(|name| *name != "fold").map(|name| ("across", name));
    let written = of_dimensions.chain(across).chain(query.only.keys().map(|name| ("only", name)));
    for (field, name) in written {
        if !names.contains(&name.as_str()) {
            let near = nearest(name, names.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let names = names.join(", ");
            let message =
                format!("`{field}` names `{name}`, along which no input varies; the inputs vary along: {names}{near}");
            return Err(InputProblem::param(field, message).written(name));
        }
    }
    for dimension in query.merged().filter(|dimension| dimension.0.len() > 1) {
        if let Some(name) = dimension.0[1..].iter().find(|name| query.only.contains_key(*name)) {
            let first = dimension.name();
            let message = format!(
                "`only` names `{name}`, but its labels are those of `{first}` here; write them under `{first}`"
            );
            return Err(InputProblem::param("only", message).written(name));
        }
    }
    Ok(())
}

fn read_item(
    query: &Query,
    images: &ImageList,
    numbers: &ImageNumbers,
    last: &mut ReadNames,
    item: &Item,
) -> Result<ItemFigures, StageError> {
    let has = |name: &str| item.files.iter().any(|file| file.name == name);
    if has("scores.parquet") {
        scores(query, images, numbers, last, item)
    } else if has("metrics.parquet") {
        metrics(query, item)
    } else {
        let names: Vec<_> = item.files.iter().map(|file| file.name.as_str()).collect();
        let message =
            format!("neither `scores.parquet` nor `metrics.parquet` is among its files: {}", names.join(", "));
        Err(StageError::input("scores", message))
    }
}

/// Makes a figure for each wanted metric: of all images, and of those of each class and each size of lesion.
fn scores(
    query: &Query,
    images: &ImageList,
    numbers: &ImageNumbers,
    last: &mut ReadNames,
    item: &Item,
) -> Result<ItemFigures, StageError> {
    let rows = Scores::open(item)?;
    let classes = rows.classes(&["label"])?;
    if classes.iter().any(|class| class == ALL) {
        return Err(rows.error("a class is named `all`, which stands for all classes together; rename it"));
    }
    // Columns that no cell needs are not read: a sweep has thousands of inputs.
    let classes_of_rows = if query.uses("label") { rows.class("label", &classes)? } else { vec![0; rows.len()] };
    // Comparing costs less than reading the names once more for each of hundreds of thresholds.
    if !rows.has_texts("image", &last.names)? {
        let names = rows.text("image")?;
        *last = ReadNames {
            numbers: numbers.of(&names),
            ids: names.iter().map(|name| images.id(name)).collect(),
            synthetic: is_synthetic(&names),
            names,
        };
    }
    let (classified, constant) = (Scores::classified(&rows, &classes)?, Scores::constant(&rows)?);
    let sizes_of_rows: Vec<Option<usize>> = match &images.bins {
        Some(bins) => rows.unsigned::<u32>("truth_pixels")?.into_iter().map(|pixels| bins.bin(pixels)).collect(),
        None => vec![None; rows.len()],
    };
    let all = || std::iter::once(ALL.to_owned());
    let labels: Vec<String> = all().chain(classes.into_iter().filter(|_| query.uses("label"))).collect();
    let sizes: Vec<String> = all().chain(images.bins.iter().flat_map(|bins| bins.labels())).collect();

    let outer = outer_labels(item);
    let mut figures = Vec::new();
    for metric in metrics_of_scores(query).map_err(InputProblem::failure)? {
        let mut sums = vec![(Figure::default(), Vec::new()); labels.len() * sizes.len()];
        for (row, value) in rows.optional_float(metric)?.into_iter().enumerate() {
            let own_label = Some(classes_of_rows[row] as usize + 1).filter(|_| query.uses("label"));
            let own_size = sizes_of_rows[row].map(|bin| bin + 1);
            for label in std::iter::once(0).chain(own_label) {
                for size in std::iter::once(0).chain(own_size) {
                    let (figure, of_figure) = &mut sums[label * sizes.len() + size];
                    of_figure.extend(figure.add(last.ids[row], value, query.at_most).then_some(last.numbers[row]));
                    figure.constant += u64::from(constant.get(row) == Some(&true));
                }
            }
        }
        let names = labels.iter().enumerate().flat_map(|label| sizes.iter().map(move |size| (label, size)));
        for (((index, label), size), (mut figure, of_figure)) in names.zip(sums) {
            figure.value = figure.value.map(|sum| sum / figure.n as f64);
            figure.set = numbers.set(of_figure);
            // The lesions of images that are not scored are not known.
            figure.classified = classified.as_ref().filter(|_| size == ALL).map(|counts| match index {
                0 => counts.iter().sum(),
                _ => counts[index - 1],
            });
            let mut inner = vec![("metric", metric), ("label", label.as_str())];
            inner.extend(images.bins.as_ref().map(|_| (LESION_SIZE, size.as_str())));
            figures.push(LabelledFigure::new(&outer, &inner, figure));
        }
    }
    Ok(ItemFigures { figures, is_scores: true, synthetic: last.synthetic })
}

impl Figure {
    /// Adds an image, and returns whether it has a value; until all are added, `value` is the sum.
    fn add(&mut self, image: Option<u32>, value: Option<f64>, bound: Option<f64>) -> bool {
        let Some(value) = value.filter(|value| !value.is_nan()) else {
            self.excluded += 1;
            return false;
        };
        *self.value.get_or_insert(0.0) += value;
        self.n += 1;
        self.at_most += u64::from(bound.is_some_and(|bound| value <= bound));
        self.images.extend(image.map(|image| (image, value)));
        true
    }
}

/// Returns the metrics that the table may show, so that no other column is read.
pub(super) fn metrics_of_scores(query: &Query) -> Result<Vec<&'static str>, InputProblem> {
    if query.lays_out("metric") || query.only.contains_key("metric") && query.metric.is_none() {
        return Ok(Scores::METRICS.to_vec());
    }
    let wanted = query.metric.as_deref().unwrap_or("iou");
    match Scores::METRICS.into_iter().find(|metric| *metric == wanted) {
        Some(metric) => Ok(vec![metric]),
        None => Err(no_such_metric(wanted, &Scores::METRICS.join(", "))),
    }
}

fn no_such_metric(wanted: &str, names: &str) -> InputProblem {
    let near = nearest(wanted, names.split(", ")).map(|near| format!("; did you mean `{near}`?"));
    let near = near.unwrap_or_default();
    let message = format!("`value = \"{wanted}\"` is no metric of the input; its metrics: {names}{near}");
    InputProblem::param("value", message)
}

fn outer_labels(item: &Item) -> Vec<(&str, &str)> {
    item.labels.iter().map(|(axis, label)| (&**axis, &**label)).collect()
}

/// Reads the figures that `classify` made.
fn metrics(query: &Query, item: &Item) -> Result<ItemFigures, StageError> {
    let table = Metrics::from_item(item)?;
    let synthetic = table.synthetic;
    let figures = figures_of_metrics(query, &outer_labels(item), table).map_err(InputProblem::failure)?;
    Ok(ItemFigures { figures, is_scores: false, synthetic })
}

/// Makes a figure of each wanted metric; `outer` are the labels of the input.
pub(super) fn figures_of_metrics(
    query: &Query,
    outer: &[(&str, &str)],
    table: Metrics,
) -> Result<Vec<LabelledFigure>, InputProblem> {
    if query.at_most.is_some() {
        let message = "a share is one of images, but the input is metrics, not scores";
        return Err(InputProblem::port("scores", message));
    }
    if query.keeps_images || query.lesion_sizes.is_some() {
        let message = "a value an image is needed, but the input is metrics, not scores";
        return Err(InputProblem::port("scores", message));
    }
    let collapses: Vec<Arc<Collapse>> = table.collapses().into_iter().map(Arc::new).collect();
    let Metrics { axes, metrics, labels, values, counts, image_hashes, .. } = table;
    let is_wanted = |metric: &String| query.metric.as_ref().is_none_or(|wanted| wanted == metric);
    if let Some(wanted) = query.metric.as_ref().filter(|_| !metrics.iter().any(is_wanted)) {
        let mut names = Vec::new();
        for metric in &metrics {
            push_once(&mut names, metric);
        }
        return Err(no_such_metric(wanted, &names.join(", ")));
    }
    let mut figures = Vec::new();
    for (row, (metric, label)) in metrics.iter().zip(&labels).enumerate() {
        if is_wanted(metric) && (label == ALL || query.uses("label")) {
            let gathered = axes.iter().map(|(axis, labels)| (axis.as_str(), labels[row].as_str()));
            let inner: Vec<_> = gathered.chain([("metric", metric.as_str()), ("label", label.as_str())]).collect();
            let set = image_hashes.get(row).map_or(ImageSet::Unknown, |&hash| ImageSet::Hash(hash));
            let figure = Figure { value: values[row], n: counts[row], set, ..Figure::default() };
            let collapse = collapses.iter().find(|collapse| collapse.rows.contains(&row)).map(Arc::clone);
            figures.push(LabelledFigure { collapse, ..LabelledFigure::new(outer, &inner, figure) });
        }
    }
    Ok(figures)
}

fn dimensions(figures: &[LabelledFigure]) -> Vec<Levels> {
    let mut dimensions: Vec<Levels> = Vec::new();
    for (name, label) in figures.iter().flat_map(|figure| &figure.labels) {
        let new = || Levels { name: name.clone(), values: Vec::new() };
        let index = index_or_push(&mut dimensions, |levels| levels.name == *name, new);
        push_once(&mut dimensions[index].values, label);
    }
    dimensions
}
