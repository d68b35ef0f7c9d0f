//! Compares two models, or two values of any axis, over the same images: mean difference with a bootstrap interval, and
//! Wilcoxon's signed-rank test. Sources: those of `bootstrap.rs` and `compare/wilcoxon.rs`.
//!
//! Two values are a pair if they are of the same image with the same fold, seed and other labels along `across`. An
//! image with several pairs counts once, by the mean of their differences. An image that only one side has scored, for
//! example because of its predicted class, is left out and counted. The test takes images as independent; the interval
//! is by patient if patients are known. So look at both if a patient has many images.

mod params;
mod wilcoxon;

use std::collections::{BTreeMap, BTreeSet};

use orchestrate_engine::stage::{
    Action, AddedAxes, Context, Facts, Input, InputProblem, Item, Output, PlannedNode, Port, StageError,
};
use rayon::prelude::*;

use crate::artifact::{Cell, Figures, Labels, Levels, PairedTest, Scores, Statistic, Table as _};
use crate::tables::bootstrap::{Bootstrap, Sample};
use crate::tables::table::{
    CORRECT, Figure, Gathered, Groups, ImageUnits, cell, constant, correct, gather, mean_sd, output, planned, read,
};
use crate::typed::{Adaptor, Typed, planned_problems};

pub use params::Params;

/// Compares the inputs of a port, pair by pair: the second value of each pair minus the first.
///
/// `labels` gives the patients of the images. Each pair has one row for each row of the query. Errors: those of a
/// table; a value that no input has; a pair whose sides share no cell.
pub fn run(params: &Params, items: &[Item], labels: Option<&Input>) -> Result<Figures, StageError> {
    let query = params.query();
    let inputs = read(&query, items)?;
    let units = ImageUnits::of(&inputs.images, labels)?;
    let gathered = gather(&query, &inputs).map_err(InputProblem::failure)?;
    let axis = axis_of(params, &gathered).map_err(InputProblem::failure)?;

    let mut cells = Vec::new();
    let mut names = Vec::new();
    let mut remarks = images_of_sides(&gathered, axis);
    for pair in params.pairs() {
        let sides = sides_of(&pair, axis, &gathered).map_err(InputProblem::failure)?;
        let [first, second] = &pair;
        let name = format!("{second} − {first}");
        let compared = gathered.cells.par_iter().map(|(coordinates, groups)| {
            let cell = compare(params.bootstrap(), &units, &Sides::of(groups, axis, sides)?);
            let labels = std::iter::once(name.clone()).chain(gathered.labels(coordinates)).collect();
            Some(Cell { labels, ..cell })
        });
        let compared: Vec<Option<Cell>> = compared.collect();
        cells.extend(compared.into_iter().flatten());
        names.push(name);
    }
    let mut rows = vec![Levels { name: params.axis.name().to_owned(), values: names }];
    rows.extend(gathered.rows);
    remarks.extend(units.remarks());
    Ok(Figures {
        title: params.title.clone(),
        rows,
        columns: gathered.columns,
        metric: gathered.metric,
        statistic: Statistic::Difference,
        across: vec!["image".to_owned()],
        cells,
        synthetic: inputs.synthetic,
        resampling: Some(params.bootstrap().resampling(units.unit)),
        remarks,
        ..Figures::default()
    })
}

/// Returns the position among `across` of the axis along which inputs are compared.
fn axis_of(params: &Params, gathered: &Gathered<'_>) -> Result<usize, InputProblem> {
    let axis = gathered.across.iter().position(|levels| levels.name == params.axis.name());
    axis.ok_or_else(|| InputProblem::param("axis", "`axis` is along no input that is kept"))
}

/// Returns the coordinates of both sides of a pair along the axis. Errors: they share no cell.
fn sides_of(pair: &[String; 2], axis: usize, gathered: &Gathered<'_>) -> Result<[usize; 2], InputProblem> {
    let values = &gathered.across[axis].values;
    let index = |label: &String| values.iter().position(|value| value == label).expect("labels were kept by name");
    let sides = pair.each_ref().map(index);
    let has = |groups: &Groups<'_>, side: usize| groups.keys().any(|coordinates| coordinates[axis] == side);
    if gathered.cells.values().any(|groups| sides.iter().all(|side| has(groups, *side))) {
        return Ok(sides);
    }
    let [first, second] = pair;
    let message = format!(
        "`{first}` and `{second}` are never in the same cell; an input that does not vary along a row or column can be \
         compared if that is kept to one value with `only` instead"
    );
    Err(InputProblem::param("between", message).written(second))
}

/// Finds the contradictions between params and inputs that [`run`] would find.
fn check(params: &Params, node: &dyn PlannedNode) -> Result<(), InputProblem> {
    let query = params.query();
    let Some(inputs) = planned(&query, node)? else { return Ok(()) };
    let gathered = gather(&query, &inputs)?;
    let axis = axis_of(params, &gathered)?;
    for pair in params.pairs() {
        sides_of(&pair, axis, &gathered)?;
    }
    let Gathered { mut rows, columns, metric, .. } = gathered;
    rows.insert(0, Levels { name: params.axis.name().to_owned(), values: Vec::new() });
    Figures { rows, columns, metric, statistic: Statistic::Difference, ..Figures::default() }.check_names(true)
}

/// Returns remarks on the images of each value of the axis: the share classified correctly, as only those count, and
/// the number of constant maps.
fn images_of_sides(gathered: &Gathered<'_>, axis: usize) -> Vec<String> {
    let mut shares = Vec::new();
    let mut remarks = Vec::new();
    for (index, value) in gathered.across[axis].values.iter().enumerate() {
        let of_side = |groups: &Groups<'_>| -> Option<Cell> {
            let own = groups.iter().filter(|(coordinates, _)| coordinates[axis] == index);
            let own: Groups<'_> = own.map(|(coordinates, figure)| (coordinates.clone(), *figure)).collect();
            (!own.is_empty()).then(|| cell(Statistic::Mean, &own))
        };
        let cells: Vec<Cell> = gathered.cells.values().filter_map(of_side).collect();
        shares.extend(correct(cells.iter()).map(|share| format!("{value} {share}")));
        remarks.extend(constant(cells.iter()).map(|constant| format!("{value}: {constant}")));
    }
    let shares = (!shares.is_empty()).then(|| format!("{CORRECT}: {}", shares.join(", ")));
    shares.into_iter().chain(remarks).collect()
}

/// The figures of both sides, by their coordinates along `across` without the axis.
struct Sides<'a>([BTreeMap<Vec<usize>, &'a Figure>; 2]);

impl<'a> Sides<'a> {
    /// Splits the groups of a cell; `None` if a side has none.
    fn of(groups: &Groups<'a>, axis: usize, sides: [usize; 2]) -> Option<Self> {
        let side = |side: usize| -> BTreeMap<Vec<usize>, &'a Figure> {
            let own = groups.iter().filter(|(coordinates, _)| coordinates[axis] == side);
            own.map(|(coordinates, figure)| {
                let mut coordinates = coordinates.clone();
                coordinates.remove(axis);
                (coordinates, *figure)
            })
            .collect()
        };
        let both = sides.map(side);
        both.iter().all(|side| !side.is_empty()).then_some(Self(both))
    }

    /// Returns the mean difference of each image that both sides have, and the number of images of one side only.
    fn differences(&self) -> (BTreeMap<u32, f64>, usize) {
        let [first, second] = &self.0;
        let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for (coordinates, first) in first {
            let Some(second) = second.get(coordinates) else { continue };
            let values: BTreeMap<u32, f64> = first.images.iter().copied().collect();
            for (image, value) in &second.images {
                if let Some(other) = values.get(image) {
                    let (sum, count) = sums.entry(*image).or_insert((0.0, 0.0));
                    *sum += value - other;
                    *count += 1.0;
                }
            }
        }
        let figures = first.values().chain(second.values());
        let seen: BTreeSet<u32> = figures.flat_map(|figure| figure.images.iter().map(|(image, _)| *image)).collect();
        let left_out = seen.len() - sums.len();
        (sums.into_iter().map(|(image, (sum, count))| (image, sum / count)).collect(), left_out)
    }

    /// Number of images of some kind, of the side that has more.
    fn most(&self, count: fn(&Figure) -> u64) -> u64 {
        self.0.iter().map(|side| side.values().map(|&figure| count(figure)).sum()).max().unwrap_or(0)
    }
}

fn compare(bootstrap: Bootstrap, units: &ImageUnits, sides: &Sides<'_>) -> Cell {
    let (by_image, left_out) = sides.differences();
    let differences: Vec<f64> = by_image.values().copied().collect();
    let (mean, sd) = mean_sd(&differences);
    let drawn = by_image.iter().map(|(&image, &difference)| (units.of_image(image), difference));
    let interval = bootstrap.interval("compare", &Sample::of([drawn].into_iter()));
    let test = wilcoxon::wilcoxon(&differences);
    Cell {
        mean,
        sd,
        n: by_image.len() as u64,
        excluded: sides.most(|figure| figure.excluded),
        groups: by_image.len() as u64,
        interval,
        test: Some(PairedTest { w: test.map(|(w, _)| w), p: test.map(|(_, p)| p), left_out: left_out as u64 }),
        ..Cell::default()
    }
}

pub(crate) struct Compare;

pub(crate) static STAGE: Adaptor<Compare> = Adaptor::new();

impl Typed for Compare {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "scores", reads: &[Scores::OUTPUT], optional: false, many: true },
            Port { name: "labels", reads: &[Labels::OUTPUT], optional: true, many: true },
        ],
        outputs: &[Figures::OUTPUT],
        artifacts: &[Figures::FACTS],
        check_inputs: Some(|node| planned_problems(node, check)),
        added_axes: AddedAxes::Listed("rows"),
        ..Facts::new(
            "compare",
            2,
            "compares two models over the same images: mean difference, bootstrap interval, Wilcoxon test",
        )
    };
    type Params = Params;

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let outcome = |(params, action): &(Params, &Action)| {
            let input = action.input("scores").ok_or_else(|| StageError::input("scores", "nothing is connected"))?;
            Ok(vec![output(&run(params, &input.items, action.input("labels"))?, params.digits)?])
        };
        batch.iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests;
