//! From the figures of all inputs to those of the cells: which inputs fall into a cell, and what is said about them.

use std::collections::BTreeMap;

use orchestrate_engine::stage::StageError;
use rayon::prelude::*;

use super::image_units::ImageUnits;
use super::input::{Entry, Figure, Source};
use super::label::Dimension;
use super::lesion::LESION_SIZE;
use super::query::Query;
use crate::artifact::{ALL, Cell, Figures, Levels, Statistic};
use crate::tables::bootstrap::{Bootstrap, Sample};

/// Places along some names: indices into their labels, `usize::MAX` (last in order) where an input does not vary.
pub(crate) type Place = Vec<usize>;

/// The figures of one cell, by the place along `across`.
pub(crate) type Groups<'a> = BTreeMap<Place, &'a Figure>;

/// The figures of all inputs, sorted into the cells of a table.
pub(crate) struct Gathered<'a> {
    pub(crate) rows: Vec<Levels>,
    pub(crate) columns: Vec<Levels>,
    /// The dimensions over which a cell is summarised, in the order of the study.
    pub(crate) across: Vec<Levels>,
    /// The metric of all figures; `None` where there are several.
    pub(crate) metric: Option<String>,
    /// By the place along rows and columns.
    pub(crate) cells: BTreeMap<Place, Groups<'a>>,
}

/// Sorts the figures into cells as the layout says.
pub(crate) fn gather<'a>(query: &Query, source: &'a Source) -> Result<Gathered<'a>, StageError> {
    let all = &source.dimensions;
    let entries = kept(query, source)?;
    let (rows, columns) = (levels(&query.rows, all, &entries), levels(&query.columns, all, &entries));
    let laid_out: Vec<&Levels> = rows.iter().chain(&columns).collect();
    let is_across = |levels: &&Levels| query.across.contains(&levels.name) && !query.lays_out(&levels.name);
    let across: Vec<&Levels> = all.iter().filter(is_across).collect();
    check_accounted(query, all, &across, &entries)?;

    let mut cells: BTreeMap<Place, Groups<'_>> = BTreeMap::new();
    for entry in &entries {
        let groups = cells.entry(place(entry, &laid_out)).or_default();
        if groups.insert(place(entry, &across), &entry.figure).is_some() {
            return Err(ambiguous(entry, &laid_out, &across));
        }
    }
    let metric = entries.iter().find_map(|entry| entry.label("metric")).map(str::to_owned);
    let across = across.into_iter().cloned().collect();
    Ok(Gathered { metric: metric.filter(|_| !query.lays_out("metric")), across, cells, rows, columns })
}

impl Gathered<'_> {
    /// The labels at a place along rows and columns.
    pub(crate) fn labels(&self, place: &Place) -> Vec<String> {
        let label = |(levels, &index): (&Levels, &usize)| levels.values.get(index).cloned().unwrap_or_default();
        self.rows.iter().chain(&self.columns).zip(place).map(label).collect()
    }
}

/// Lays the figures out as the params say; `intervals` are found where they are asked for.
pub(super) fn summarise(
    query: &Query,
    statistic: Statistic,
    source: &Source,
    intervals: Option<(Bootstrap, &ImageUnits)>,
) -> Result<Figures, StageError> {
    let gathered = gather(query, source)?;
    let bound = query.at_most.unwrap_or_default();
    let cells: Vec<(&Place, &Groups<'_>)> = gathered.cells.iter().collect();
    let cells = cells.into_par_iter().map(|(place, groups)| Cell {
        labels: gathered.labels(place),
        interval: intervals
            .and_then(|(bootstrap, units)| bootstrap.interval("table", &sample(statistic, bound, groups, units))),
        ..cell(statistic, groups)
    });
    let cells = cells.collect();
    Ok(Figures {
        cells,
        metric: gathered.metric,
        statistic,
        at_most: query.at_most,
        across: gathered.across.into_iter().map(|levels| levels.name).collect(),
        synthetic: source.synthetic,
        resampling: intervals.map(|(bootstrap, units)| bootstrap.resampling(units.unit)),
        remarks: intervals.and_then(|(_, units)| units.remark()).into_iter().collect(),
        rows: gathered.rows,
        columns: gathered.columns,
        ..Figures::default()
    })
}

/// The values of a cell by unit, in the groups whose means are averaged; shares are pooled, so that there is one group.
fn sample(statistic: Statistic, bound: f64, groups: &Groups<'_>, units: &ImageUnits) -> Sample {
    let values =
        |figure: &&Figure| figure.images.iter().map(|&(image, value)| (units.of_image(image), value)).collect();
    let groups: Vec<Vec<(u32, f64)>> = groups.values().map(values).collect();
    match statistic {
        Statistic::Share => {
            let pooled = groups.into_iter().flatten().map(|(unit, value)| (unit, f64::from(u8::from(value <= bound))));
            Sample::of([pooled].into_iter())
        }
        Statistic::Mean | Statistic::Difference => Sample::of(groups.into_iter().map(Vec::into_iter)),
    }
}

/// A value per group first (it is one already: the mean over the images of a fold, or of a fold and seed), then mean and sample standard deviation over groups; shares are pooled.
pub(crate) fn cell(statistic: Statistic, groups: &Groups<'_>) -> Cell {
    let total = |count: fn(&Figure) -> u64| groups.values().map(|&figure| count(figure)).sum::<u64>();
    let values: Vec<f64> = groups.values().filter_map(|figure| figure.value).collect();
    let n = total(|figure| figure.n);
    let (mean, sd) = match statistic {
        Statistic::Share => ((n > 0).then(|| total(|figure| figure.at_most) as f64 / n as f64), None),
        Statistic::Mean | Statistic::Difference => mean_sd(&values),
    };
    let excluded = total(|figure| figure.excluded);
    Cell { mean, sd, n, excluded, groups: values.len() as u64, ..Cell::default() }
}

/// Mean of one value a group, and sample standard deviation (ddof = 1); nothing of too few values.
pub(crate) fn mean_sd(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let k = values.len() as f64;
    let mean = values.iter().sum::<f64>() / k;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (k - 1.0)).sqrt()))
}

/// The entries that `only` keeps; an input that does not vary along a name is kept. Without a choice, all classes together.
fn kept<'a>(query: &Query, source: &'a Source) -> Result<Vec<&'a Entry>, StageError> {
    for (name, wanted) in &query.only {
        let known = source.dimensions.iter().find(|levels| levels.name == *name);
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
            return Err(StageError::new(format!("{problem}; there are: {}", known.join(", "))));
        }
    }
    let is_kept = |entry: &&Entry| {
        entry.labels.iter().all(|(name, label)| match query.only.get(name) {
            Some(wanted) => wanted.0.contains(label),
            None => {
                let has_all = name == "label" || name == LESION_SIZE && query.lesion_sizes.is_some();
                !has_all || query.lays_out(name) || label == ALL
            }
        })
    };
    let entries: Vec<_> = source.entries.iter().filter(is_kept).collect();
    if entries.is_empty() {
        return Err(StageError::new("`only` keeps no input; no input has all of those values at once"));
    }
    Ok(entries)
}

/// The named dimensions with the labels that are left.
fn levels(dimensions: &[Dimension], all: &[Levels], entries: &[&Entry]) -> Vec<Levels> {
    let left = |levels: &Levels| {
        let is_left = |value: &&String| entries.iter().any(|entry| entry.label(&levels.name) == Some(value.as_str()));
        Levels { name: levels.name.clone(), values: levels.values.iter().filter(is_left).cloned().collect() }
    };
    let named = |dimension: &Dimension| all.iter().find(|levels| levels.name == dimension.name());
    dimensions.iter().filter_map(named).map(left).collect()
}

fn place(entry: &Entry, dimensions: &[&Levels]) -> Place {
    let index = |levels: &&Levels| {
        let label = entry.label(&levels.name)?;
        levels.values.iter().position(|value| value == label)
    };
    dimensions.iter().map(|levels| index(levels).unwrap_or(usize::MAX)).collect()
}

/// Refuses to mix inputs that differ along a name of which the table says nothing.
fn check_accounted(query: &Query, all: &[Levels], across: &[&Levels], entries: &[&Entry]) -> Result<(), StageError> {
    for name in all.iter().map(|levels| &levels.name) {
        if query.lays_out(name) || across.iter().any(|levels| levels.name == *name) {
            continue;
        }
        let values = levels(&[Dimension(vec![name.clone()])], all, entries).remove(0).values;
        if values.len() > 1 {
            let one = if name == "metric" {
                format!("`value = \"{}\"`", values[0])
            } else {
                format!("`only = {{ {name} = \"{}\" }}`", values[0])
            };
            let shown = values.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if values.len() > 8 { ", …" } else { "" };
            return Err(StageError::new(format!(
                "the inputs differ along `{name}` ({shown}{more}), which is in neither `rows` nor `columns`; add it to one of \
                 them or to `across`, or keep one with {one}"
            )));
        }
    }
    Ok(())
}

fn ambiguous(entry: &Entry, laid_out: &[&Levels], across: &[&Levels]) -> StageError {
    let describe = |levels: &&&Levels| Some(format!("{} = {}", levels.name, entry.label(&levels.name)?));
    let place: Vec<_> = laid_out.iter().chain(across).filter_map(|levels| describe(&levels)).collect();
    StageError::new(format!(
        "several inputs fall into one cell ({}) and no axis tells them apart; give them to tables of their own",
        place.join(", ")
    ))
}
