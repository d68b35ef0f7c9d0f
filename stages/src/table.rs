//! Rows × columns × statistic of a whole study. Source: Kang et al. 2021, Tables 2 to 5.
//!
//! A value per fold first (its mean over images), then mean and sample standard deviation (ddof = 1) over folds; shares are
//! those of the images of all folds together. Images without ground truth are counted, and in no mean.

mod params;
mod render;
mod source;
mod summary;

use orchestrate_engine::stage::{Action, Content, Context, Item, Output, Port, StageError};

use crate::artifact::{Figures, Metrics, Scores, Table as _};
use crate::typed::{Adaptor, Typed};

pub use params::{Labels, Params};

/// Makes the table of what a port received: inputs with the labels of gathered axes.
///
/// Rows and columns are in the order of the study. Errors: a name along which no input varies, inputs that differ along a
/// name of which the table says nothing, an unknown metric or value.
pub fn run(params: &Params, items: &[Item]) -> Result<Figures, StageError> {
    summary::summarise(params, &source::read(params, items)?)
}

/// The files of a table: `table.parquet` and `table.csv` for programs, `table.md` and `table.txt` for people.
pub fn output(figures: &Figures, digits: u8) -> Result<Output, StageError> {
    let grid = render::Grid::of(figures, digits);
    let mut output = figures.output()?;
    let files = [
        ("table.csv", render::csv(figures)?),
        ("table.md", grid.markdown().into_bytes()),
        ("table.txt", grid.text().into_bytes()),
    ];
    output.files.extend(files.map(|(name, bytes)| (name.to_owned(), Content::Bytes(bytes))));
    Ok(output)
}

pub(crate) struct Table;

pub(crate) static STAGE: Adaptor<Table> = Adaptor::new();

impl Typed for Table {
    const KIND: &'static str = "table";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "lays out means, standard deviations or shares by the axes of the study";
    const PORTS: &'static [Port] =
        &[Port { name: "scores", reads: &[Scores::OUTPUT, Metrics::OUTPUT], optional: false, many: true }];
    const OUTPUTS: &'static [&'static str] = &[Figures::OUTPUT];
    type Params = Params;

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let outcome = |(params, action): &(Params, &Action)| {
            let input = action.input("scores").ok_or_else(|| StageError::input("scores", "nothing is connected"))?;
            Ok(vec![output(&run(params, &input.items)?, params.digits)?])
        };
        batch.iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests;
