//! Sorts the figures of all inputs into cells, and summarises each cell.

use std::collections::BTreeMap;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::InputProblem;
use rayon::prelude::*;

use super::image_set;
use super::image_units::ImageUnits;
use super::input::{Figure, LabelledFigure, TableInputs};
use super::label::Dimension;
use super::lesion::LESION_SIZE;
use super::query::Query;
use crate::artifact::{ALL, Cell, Collapse, Figures, Levels, Statistic, collapse_remarks, place};
use crate::tables::bootstrap::{Bootstrap, Sample};

/// Coordinates along some dimensions: indices into their labels, `usize::MAX` (last in order) where an input does not
/// vary.
pub(crate) type Coordinates = Vec<usize>;

/// The figures of one cell, by their coordinates along `across`.
pub(crate) type Groups<'a> = BTreeMap<Coordinates, &'a Figure>;

/// The figures of all inputs, sorted into the cells of a table.
pub(crate) struct Gathered<'a> {
    pub(crate) rows: Vec<Levels>,
    pub(crate) columns: Vec<Levels>,
    /// The dimensions over which a cell is summarised, in the order of the study.
    pub(crate) across: Vec<Levels>,
    /// The metric of all figures; `None` if there are several.
    pub(crate) metric: Option<String>,
    /// By the coordinates along rows and columns.
    pub(crate) cells: BTreeMap<Coordinates, Groups<'a>>,
    /// Remarks of the metrics in the cells on collapsed classifiers, a sentence each.
    pub(crate) collapses: Vec<String>,
}

/// Sorts the figures into the cells of a query.
pub(crate) fn gather<'a>(query: &Query, inputs: &'a TableInputs) -> Result<Gathered<'a>, InputProblem> {
    let all = &inputs.dimensions;
    let figures = kept(query, inputs)?;
    let (rows, columns) = (levels(&query.rows, all, &figures), levels(&query.columns, all, &figures));
    let laid_out: Vec<&Levels> = rows.iter().chain(&columns).collect();
    let is_across = |levels: &&Levels| query.across.contains(&levels.name) && !query.lays_out(&levels.name);
    let across: Vec<&Levels> = all.iter().filter(is_across).collect();
    check_accounted(query, all, &across, &figures)?;

    let mut cells: BTreeMap<Coordinates, Groups<'_>> = BTreeMap::new();
    for figure in &figures {
        let groups = cells.entry(coordinates(figure, &laid_out)).or_default();
        if groups.insert(coordinates(figure, &across), &figure.figure).is_some() {
            return Err(ambiguous(figure, laid_out.iter().chain(&across)));
        }
    }
    let metric = figures.iter().find_map(|figure| figure.label("metric")).map(str::to_owned);
    let across = across.into_iter().cloned().collect();
    let collapses = collapses(all, &figures);
    Ok(Gathered { metric: metric.filter(|_| !query.lays_out("metric")), across, cells, rows, columns, collapses })
}

impl Gathered<'_> {
    /// The labels at some coordinates along rows and columns.
    pub(crate) fn labels(&self, coordinates: &Coordinates) -> Vec<String> {
        let label = |(levels, &index): (&Levels, &usize)| levels.values.get(index).cloned().unwrap_or_default();
        self.rows.iter().chain(&self.columns).zip(coordinates).map(label).collect()
    }
}

/// Summarises each cell, with `intervals` on demand.
pub(super) fn summarise(
    query: &Query,
    statistic: Statistic,
    inputs: &TableInputs,
    intervals: Option<(Bootstrap, &ImageUnits)>,
) -> Result<Figures, InputProblem> {
    let gathered = gather(query, inputs)?;
    let bound = query.at_most.unwrap_or_default();
    let cells = gathered.cells.par_iter().map(|(coordinates, groups)| Cell {
        labels: gathered.labels(coordinates),
        interval: intervals
            .and_then(|(bootstrap, units)| bootstrap.interval("table", &sample(statistic, bound, groups, units))),
        ..cell(statistic, groups)
    });
    let cells = cells.collect();
    let of_units = intervals.iter().flat_map(|(_, units)| units.remarks());
    let remarks = gathered.collapses.iter().cloned().chain(of_units).collect();
    Ok(Figures {
        cells,
        remarks,
        metric: gathered.metric,
        statistic,
        at_most: query.at_most,
        across: gathered.across.into_iter().map(|levels| levels.name).collect(),
        synthetic: inputs.synthetic,
        resampling: intervals.map(|(bootstrap, units)| bootstrap.resampling(units.unit)),
        rows: gathered.rows,
        columns: gathered.columns,
        ..Figures::default()
    })
}

/// Returns the values of a cell by unit, in the groups whose means are averaged; shares are pooled into one group.
fn sample(statistic: Statistic, bound: f64, groups: &Groups<'_>, units: &ImageUnits) -> Sample {
    let images = groups.values().map(|figure| figure.images.iter());
    match statistic {
        Statistic::Share => {
            let is_at_most = |value: f64| f64::from(u8::from(value <= bound));
            Sample::of([images.flatten().map(|&(image, value)| (units.of_image(image), is_at_most(value)))].into_iter())
        }
        Statistic::Mean | Statistic::Difference => {
            Sample::of(images.map(|images| images.map(|&(image, value)| (units.of_image(image), value))))
        }
    }
}

/// Summarises one cell: mean and sample standard deviation over groups, of which each has one value, or a pooled share.
pub(crate) fn cell(statistic: Statistic, groups: &Groups<'_>) -> Cell {
    let total = |count: fn(&Figure) -> u64| groups.values().map(|&figure| count(figure)).sum::<u64>();
    let values: Vec<f64> = groups.values().filter_map(|figure| figure.value).collect();
    let n = total(|figure| figure.n);
    let (mean, sd) = match statistic {
        Statistic::Share => ((n > 0).then(|| total(|figure| figure.at_most) as f64 / n as f64), None),
        Statistic::Mean | Statistic::Difference => mean_sd(&values),
    };
    let sets = groups.iter().map(|(coordinates, figure)| (&coordinates[..], figure.n, &figure.set));
    Cell {
        mean,
        sd,
        n,
        excluded: total(|figure| figure.excluded),
        groups: values.len() as u64,
        classified: groups.values().map(|figure| figure.classified).sum(),
        constant: total(|figure| figure.constant),
        repeats: image_set::repeats(sets).filter(|repeats| repeats.images < n),
        ..Cell::default()
    }
}

/// Returns remarks on the collapsed classifiers among the inputs of some figures, each with its places.
fn collapses(all: &[Levels], figures: &[&LabelledFigure]) -> Vec<String> {
    let varies = |name: &str| all.iter().any(|levels| levels.name == name && levels.values.len() > 1);
    let is_axis = |name: &str| !["metric", "label"].contains(&name) && varies(name);
    let mut found: Vec<(Collapse, String)> = Vec::new();
    for figure in figures {
        let Some(collapse) = &figure.collapse else { continue };
        let axes = figure.labels.iter().filter(|(name, _)| is_axis(name));
        let place = place(axes.map(|(name, label)| (name.as_str(), label.as_str())));
        // The number of predictions is a divisor of these alone.
        let is_divided = figure.label("metric").is_some_and(|metric| ["precision", "f1"].contains(&metric));
        let never = if is_divided { collapse.never.clone() } else { Vec::new() };
        let shown = (Collapse { never, ..(**collapse).clone() }, place);
        if !found.contains(&shown) {
            found.push(shown);
        }
    }
    collapse_remarks(&found.iter().map(|(collapse, place)| (collapse, place.clone())).collect::<Vec<_>>())
}

/// Returns the mean and the sample standard deviation (ddof = 1); `None` for too few values.
pub(crate) fn mean_sd(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let k = values.len() as f64;
    let mean = values.iter().sum::<f64>() / k;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (k - 1.0)).sqrt()))
}

/// Returns the figures that `only` keeps; an input that does not vary along a name is kept.
///
/// Without a choice of classes or sizes, those of all together are kept.
fn kept<'a>(query: &Query, inputs: &'a TableInputs) -> Result<Vec<&'a LabelledFigure>, InputProblem> {
    for (name, wanted) in &query.only {
        let known = inputs.dimensions.iter().find(|levels| levels.name == *name);
        let known = known.map(|levels| levels.values.as_slice()).unwrap_or_default();
        let unknown: Vec<_> = wanted.0.iter().filter(|label| !known.contains(label)).collect();
        if let Some(first) = unknown.first() {
            let is_axis = query.axis.as_ref().is_some_and(|axis| axis.name() == name);
            let problem = if is_axis {
                let unknown: Vec<_> = unknown.iter().map(|label| format!("`{label}`")).collect();
                format!("`between` names {}, which no input has along `{name}`", unknown.join(" and "))
            } else {
                format!("`only` keeps `{name} = {first}`, which no input has")
            };
            let is_number = first.parse::<f64>().is_ok();
            let near = nearest(first, known.iter().map(String::as_str)).filter(|_| !is_number);
            let near = near.map(|near| format!("; did you mean `{near}`?"));
            let message = format!("{problem}; there are: {}{}", known.join(", "), near.unwrap_or_default());
            return Err(InputProblem::param(if is_axis { "between" } else { "only" }, message).written(*first));
        }
    }
    let is_kept = |figure: &&LabelledFigure| {
        figure.labels.iter().all(|(name, label)| match query.only.get(name) {
            Some(wanted) => wanted.0.contains(label),
            None => {
                let has_all = name == "label" || name == LESION_SIZE && query.lesion_sizes.is_some();
                !has_all || query.lays_out(name) || label == ALL
            }
        })
    };
    let figures: Vec<_> = inputs.figures.iter().filter(is_kept).collect();
    if figures.is_empty() {
        let message = "`only` keeps no input; no input has all of those values at once";
        return Err(InputProblem::param("only", message));
    }
    Ok(figures)
}

/// Returns the named dimensions with the labels that occur in the figures.
fn levels(dimensions: &[Dimension], all: &[Levels], figures: &[&LabelledFigure]) -> Vec<Levels> {
    let named = dimensions.iter().filter_map(|dimension| all.iter().find(|levels| levels.name == dimension.name()));
    let occurring = |Levels { name, values }: &Levels| {
        let occurs = |value: &&String| figures.iter().any(|figure| figure.label(name) == Some(value.as_str()));
        Levels { name: name.clone(), values: values.iter().filter(occurs).cloned().collect() }
    };
    named.map(occurring).collect()
}

fn coordinates(figure: &LabelledFigure, dimensions: &[&Levels]) -> Coordinates {
    let index = |levels: &&Levels| {
        let label = figure.label(&levels.name)?;
        levels.values.iter().position(|value| value == label)
    };
    dimensions.iter().map(|levels| index(levels).unwrap_or(usize::MAX)).collect()
}

/// Refuses to mix inputs that differ along a name outside the query.
fn check_accounted(
    query: &Query,
    all: &[Levels],
    across: &[&Levels],
    figures: &[&LabelledFigure],
) -> Result<(), InputProblem> {
    let is_free = |name: &String| !query.lays_out(name) && !across.iter().any(|levels| levels.name == *name);
    for name in all.iter().map(|levels| &levels.name).filter(|name| is_free(name)) {
        let values = levels(&[Dimension(vec![name.clone()])], all, figures).remove(0).values;
        if let [first, _, ..] = values.as_slice() {
            let one = match name.as_str() {
                "metric" => format!("`value = \"{first}\"`"),
                _ => format!("`only = {{ {name} = \"{first}\" }}`"),
            };
            let shown = values.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if values.len() > 8 { ", …" } else { "" };
            let message = format!(
                "the inputs differ along `{name}` ({shown}{more}), which is in neither `rows` nor `columns`; \
                 add it to one of them or to `across`, or keep one with {one}"
            );
            return Err(InputProblem::param("rows", message));
        }
    }
    Ok(())
}

fn ambiguous<'a>(figure: &LabelledFigure, dimensions: impl Iterator<Item = &'a &'a Levels>) -> InputProblem {
    let described = dimensions.filter_map(|Levels { name, .. }| Some(format!("{name} = {}", figure.label(name)?)));
    let message = format!(
        "several inputs fall into one cell ({}) and no axis tells them apart; give them to tables of their own",
        described.collect::<Vec<_>>().join(", ")
    );
    InputProblem::param("scores", message)
}
