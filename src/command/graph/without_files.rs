//! Kinds that need no external files, to draw a spec whose data lie elsewhere.

use orchestrate_engine::params::{ParamTable, ParamsError};
use orchestrate_engine::stage::{Action, Context, Facts, Output, Stage, StageError};

use crate::Kinds;

/// A kind whose nodes read no files, and cannot run.
struct WithoutFiles(&'static dyn Stage);

/// Returns the same kinds without their files. They live as long as the process, as kinds do.
pub(super) fn kinds(kinds: Kinds) -> Kinds {
    let without = |kind: &&'static dyn Stage| -> &'static dyn Stage { Box::leak(Box::new(WithoutFiles(*kind))) };
    kinds.iter().map(without).collect::<Vec<_>>().leak()
}

impl Stage for WithoutFiles {
    fn facts(&self) -> &Facts {
        self.0.facts()
    }

    fn check(&self, params: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        self.0.check(params)
    }

    fn outputs(&self, params: &serde_json::Value) -> Vec<String> {
        self.0.outputs(params)
    }

    fn run(&self, _context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|_| Err(StageError::new("it has no files"))).collect()
    }
}
