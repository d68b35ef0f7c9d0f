//! Rows × columns × statistic of a whole study. Source: Kang et al. 2021, Tables 2 to 5.
//!
//! A value per fold first (its mean over images), then mean and sample standard deviation (ddof = 1) over folds; shares are
//! those of the images of all folds together. Images without ground truth are counted, and in no mean.
//!
//! Over `across = ["fold", "seed"]` there is one value for each fold and seed, and the standard deviation is that of all of them: it
//! has in it how folds differ and how trainings of one fold differ, and does not tell them apart. An interval resamples
//! patients, or images, in all folds and seeds at once, and so says nothing of other trainings; see `bootstrap.rs`.

mod image;
mod label;
mod layout;
mod lesion;
mod params;
mod published;
pub(crate) mod render;
mod source;
mod summary;
mod unit;

use std::path::Path;

use orchestrate_cache::external;
use orchestrate_engine::stage::{Action, Content, Context, Facts, FileName, Input, Item, Output, Port, StageError};

use crate::artifact::{self, Figures, Metrics, Scores, Table as _};
use crate::typed::{Adaptor, Typed};

pub use label::{Dimension, Labels};
pub(crate) use layout::Layout;
pub use lesion::LesionSizes;
pub use params::{IntervalMethod, Params};
pub(crate) use params::{digits_problem, fold, three};
pub use published::Reference;
pub(crate) use source::{Figure, read};
pub(crate) use summary::{Groups, cell, gather, mean_sd};
pub(crate) use unit::Units;

/// Makes the table of what a port received: inputs with the labels of gathered axes.
///
/// `labels` knows the patients of the images, for intervals. Rows and columns are in the order of the study. Errors: a name
/// along which no input varies, inputs that differ along a name of which the table says nothing, an unknown metric or
/// value, images that `labels` lacks.
pub fn run(params: &Params, items: &[Item], labels: Option<&Input>) -> Result<Figures, StageError> {
    let layout = params.layout();
    let source = source::read(&layout, items)?;
    let bootstrap = params.bootstrap();
    let units = bootstrap.map(|_| Units::of(&source.images, labels)).transpose()?;
    let figures = summary::summarise(&layout, params.statistic, &source, bootstrap.zip(units.as_ref()))?;
    Ok(Figures { title: params.title.clone(), ..figures })
}

/// The files of a table: `table.parquet` and `table.csv` for programs, `table.md`, `table.tex` and `table.txt` for people.
pub fn output(figures: &Figures, digits: u8) -> Result<Output, StageError> {
    let grid = render::Grid::of(figures, digits);
    let mut output = figures.output()?;
    let files = [
        ("table.csv", render::csv(figures)?),
        ("table.md", grid.markdown().into_bytes()),
        ("table.tex", grid.latex().into_bytes()),
        ("table.txt", grid.text().into_bytes()),
    ];
    output.files.extend(files.map(|(name, bytes)| (name.to_owned(), Content::Bytes(bytes))));
    Ok(output)
}

/// A larger file of published values is none.
const REFERENCE_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Table;

pub(crate) static STAGE: Adaptor<Table> = Adaptor::new();

impl Typed for Table {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "scores", reads: &[Scores::OUTPUT, Metrics::OUTPUT], optional: false, many: true },
            Port { name: "labels", reads: &[artifact::Labels::OUTPUT], optional: true, many: true },
        ],
        outputs: &[Figures::OUTPUT],
        path_fields: &["reference"],
        ..Facts::new("table", 2, "lays out means, standard deviations or shares by the axes of the study")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        let Some(path) = &params.reference else { return Ok(Vec::new()) };
        let about = |problem: String| format!("{}: {problem}", path.display());
        let bytes = external::read(path, REFERENCE_BYTES_MAX)
            .map_err(|error| vec![format!("cannot read {}: {error}", path.display())])?;
        // What is wrong with the file is told before anything runs.
        Reference::read(&bytes, &params.layout())
            .map_err(|problems| problems.into_iter().map(about).collect::<Vec<_>>())?;
        Ok(vec![FileName::new(file_name(path), path)])
    }

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let outcome = |(params, action): &(Params, &Action)| {
            let input = action.input("scores").ok_or_else(|| StageError::input("scores", "nothing is connected"))?;
            let mut figures = run(params, &input.items, action.input("labels"))?;
            if let Some(file) = action.files.first() {
                let reference = Reference::read(&file.read()?, &params.layout());
                reference.map_err(|problems| StageError::new(problems.join("\n")))?.attach(&mut figures, &file.name);
            }
            Ok(vec![output(&figures, params.digits)?])
        };
        batch.iter().map(outcome).collect()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
