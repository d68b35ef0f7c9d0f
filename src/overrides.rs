//! `--set` and `--grid`: the overrides of a spec. A grid is one too, so that a recorded run can be planned again.

use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use orchestrate_engine::spec::grid;

/// Overrides as typed.
#[derive(Debug, Args)]
struct Typed {
    /// Override a value, for example `stages.train.epochs=3` or 'axes.threshold=[180, 200]' (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Try several values of one param, for example `stages.train.learning_rate=1e-3,1e-4` (repeatable)
    ///
    /// Adds an axis for this run, named by the path: `train[train.learning_rate=0.001]`. What reads the stage varies
    /// over it too, and tables get a row for each value. Nothing is published.
    #[arg(long, value_name = "PARAM=VALUES")]
    grid: Vec<String>,
}

/// All overrides, those of `--grid` last.
#[derive(Clone, Debug)]
pub(crate) struct Overrides(Vec<String>);

impl Overrides {
    /// Returns whether an override adds an axis.
    pub(crate) fn have_grid(&self) -> bool {
        self.iter().any(|text| text.starts_with(grid::PREFIX))
    }
}

impl Deref for Overrides {
    type Target = Vec<String>;

    fn deref(&self) -> &Vec<String> {
        &self.0
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let Typed { mut set, grid } = Typed::from_arg_matches(matches)?;
        set.extend(grid.into_iter().map(|text| format!("{}{text}", grid::PREFIX)));
        Ok(Self(set))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Overrides {
    fn augment_args(command: Command) -> Command {
        Typed::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Typed::augment_args_for_update(command)
    }
}
