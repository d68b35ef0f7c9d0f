//! The stage `table`: one statistic of a whole study, laid out in rows and columns. Source: Kang et al. 2021, Tables 2
//! to 5.
//!
//! Each fold has one value, its mean over images; mean and sample standard deviation (ddof = 1) are over folds. A share
//! is of the images of all folds together. Images without ground truth are counted, but enter no mean. Constant maps
//! are counted too, and so are the images that were not scored, as their class was predicted wrongly.
//!
//! With `across = ["fold", "seed"]` each pair of fold and seed has one value. Their standard deviation contains both
//! the differences between folds and those between trainings of one fold, and does not separate them. An interval
//! resamples patients, or images, in all folds and seeds at once, so it says nothing about other trainings; see
//! `bootstrap.rs`.

mod image_list;
mod image_set;
mod image_units;
mod input;
mod label;
mod lesion;
mod params;
mod planned;
mod query;
mod reference;
pub(crate) mod render;
mod summary;

use orchestrate_cache::external;
use orchestrate_engine::stage::{
    Action, AddedAxes, Content, Context, Facts, FileName, Input, InputProblem, Item, Output, PlannedNode, Port,
    StageError,
};

use crate::artifact::{self, Figures, Metrics, Scores, TEXT, Table as _};
use crate::typed::{Adaptor, Typed, planned_problems};

pub(crate) use image_units::ImageUnits;
pub(crate) use input::{Figure, read};
pub use label::{Dimension, Labels};
pub use lesion::LesionSizes;
pub(crate) use params::{DIGITS, DIGITS_MAX, RANGES, digits, fold};
pub use params::{IntervalMethod, Params};
pub(crate) use planned::planned;
pub(crate) use query::Query;
pub use reference::ReferenceTable;
pub(crate) use render::{CORRECT, constant, correct};
pub(crate) use summary::{Gathered, Groups, cell, gather, mean_sd};

/// Makes a table of scores or metrics.
///
/// - `items`: the inputs of the port `scores`, each with its labels along the gathered axes
/// - `labels`: the patients of the images, for intervals
/// - returns: the figures, with rows and columns in the order of the study
///
/// Errors: a name along which no input varies; inputs that differ along a name missing from the params; an unknown
/// metric or value; images missing from `labels`.
pub fn run(params: &Params, items: &[Item], labels: Option<&Input>) -> Result<Figures, StageError> {
    let query = params.query();
    let inputs = input::read(&query, items)?;
    let bootstrap = params.bootstrap();
    let units = bootstrap.map(|_| ImageUnits::of(&inputs.images, labels)).transpose()?;
    let figures = summary::summarise(&query, params.statistic, &inputs, bootstrap.zip(units.as_ref()));
    let figures = figures.map_err(InputProblem::failure)?;
    Ok(Figures { title: params.title.clone(), ..figures })
}

/// Finds the contradictions between params and inputs that [`run`] would find.
fn check(params: &Params, node: &dyn PlannedNode) -> Result<(), InputProblem> {
    let query = params.query();
    let Some(inputs) = planned(&query, node)? else { return Ok(()) };
    let Gathered { rows, columns, metric, .. } = gather(&query, &inputs)?;
    let citation = params.reference.as_ref().map(|_| String::new());
    let figures = Figures { rows, columns, metric, statistic: params.statistic, citation, ..Figures::default() };
    figures.check_names(params.interval.is_some())
}

/// Returns the files of a table: `table.parquet` and `table.csv` for programs; `table.md`, `table.tex` and `table.txt`
/// for people.
pub fn output(figures: &Figures, digits: u8) -> Result<Output, StageError> {
    let grid = render::Grid::of(figures, digits);
    let mut output = figures.output()?;
    let files = [
        ("table.csv", render::csv(figures)?),
        ("table.md", grid.markdown().into_bytes()),
        ("table.tex", grid.latex().into_bytes()),
        (TEXT, grid.text().into_bytes()),
    ];
    output.files.extend(files.map(|(name, bytes)| (name.to_owned(), Content::Bytes(bytes))));
    Ok(output)
}

/// Returns the digits after the point that a stored table shows.
///
/// `table.parquet` does not record the number of digits; to add it would change the bytes of every stored table. So
/// this renders the text with each possible number of digits and compares it with the stored text.
pub(crate) fn digits_of(figures: &Figures, item: &Item) -> Result<u8, StageError> {
    if item.files.iter().all(|file| file.name != TEXT) {
        return Ok(DIGITS);
    }
    let text = item.read(TEXT)?;
    let shows = |digits: &u8| render::Grid::of(figures, *digits).text().as_bytes() == text;
    Ok(std::iter::once(DIGITS).chain(0..=DIGITS_MAX).find(shows).unwrap_or(DIGITS))
}

/// Largest size of a file of reference values.
const REFERENCE_BYTES_MAX: u64 = 16 << 20;

/// The kind `table`.
pub(crate) struct Table;

pub(crate) static STAGE: Adaptor<Table> = Adaptor::new();

impl Typed for Table {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "scores", reads: &[Scores::OUTPUT, Metrics::OUTPUT], optional: false, many: true },
            Port { name: "labels", reads: &[artifact::Labels::OUTPUT], optional: true, many: true },
        ],
        outputs: &[Figures::OUTPUT],
        artifacts: &[Figures::FACTS],
        path_fields: &["reference"],
        check_inputs: Some(|node| planned_problems(node, check)),
        added_axes: AddedAxes::Listed("rows"),
        ..Facts::new("table", 3, "lays out means, standard deviations or shares by the axes of the study")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        let Some(path) = &params.reference else { return Ok(Vec::new()) };
        let with_path = |problem: String| format!("{}: {problem}", path.display());
        let bytes = external::read(path, REFERENCE_BYTES_MAX)
            .map_err(|error| vec![format!("cannot read {}: {error}", path.display())])?;
        // Reports the problems of the file before anything runs.
        ReferenceTable::read(&bytes, &params.query())
            .map_err(|problems| problems.into_iter().map(with_path).collect::<Vec<_>>())?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(vec![FileName::new(name.unwrap_or_default(), path)])
    }

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let outcome = |(params, action): &(Params, &Action)| {
            let input = action.input("scores").ok_or_else(|| StageError::input("scores", "nothing is connected"))?;
            let mut figures = run(params, &input.items, action.input("labels"))?;
            if let Some(file) = action.files.first() {
                let reference = ReferenceTable::read(&file.read()?, &params.query());
                reference.map_err(|problems| StageError::new(problems.join("\n")))?.attach(&mut figures, &file.name);
            }
            Ok(vec![output(&figures, params.digits)?])
        };
        batch.iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests;
