//! The interface between the engine, which knows graphs and files, and a kind of stage, which knows their contents.
//!
//! [`Facts`] are the same for all nodes of a kind; the methods of [`Stage`] compute.

mod action;
mod artifact;
mod context;
mod error;
mod facts;
mod file;
mod output;
mod param;
mod planned;

pub use action::{Action, Input, InputFile, Item, Label};
pub use artifact::{ArtifactFacts, ColumnFacts, Dtype, FileFacts, NoteFacts};
pub use context::{Context, LOG_MAX_BYTES, Progress};
pub use error::StageError;
pub use facts::{AddedAxes, DeviceUse, Facts, Port, Weight};
pub use file::{ExternalFile, FileName};
pub use output::{Content, Output};
pub use param::{Choice, ParamFacts};
pub use planned::{InputProblem, PlannedItem, PlannedNode};

use crate::params::{ParamTable, ParamsError};

/// A kind of stage: its inputs, its outputs and its computation.
///
/// A stage sees its params, its inputs and its external files, and nothing else: no environment, no clock, no names of
/// nodes. Everything that it sees is in its key.
pub trait Stage: Send + Sync {
    /// Returns the facts about this kind.
    fn facts(&self) -> &Facts;

    /// Parses the params and fills in their defaults; returns them as JSON, or all problems at once.
    fn check(&self, params: &ParamTable) -> Result<serde_json::Value, ParamsError>;

    /// Returns the names of the outputs, given the params; by default those of [`Facts::outputs`].
    fn outputs(&self, _params: &serde_json::Value) -> Vec<String> {
        self.facts().outputs.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Lists the external files that a run will read, given the checked params with absolute paths.
    ///
    /// Each error is one sentence about one file.
    fn files(&self, _params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        Ok(Vec::new())
    }

    /// Returns one sentence of advice for when [`Stage::files`] fails on the same params.
    fn files_help(&self, _params: &serde_json::Value) -> Option<String> {
        None
    }

    /// Names the environment variables whose values belong to the key, given the params; `command` has `env`.
    fn keyed_env(&self, _params: &serde_json::Value) -> Vec<String> {
        Vec::new()
    }

    /// Returns facts about this machine that belong to the key, as (name, value), given the checked params with
    /// absolute paths; `command` has the output of its `version`, `dataset` the files that it leaves out.
    ///
    /// The engine may ask once a node, so a stage caches slow answers. The error is one sentence.
    fn probe(&self, _params: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
        Ok(Vec::new())
    }

    /// Returns whether a run gets secrets, given the params; `command` has `secret_env`. Its log is then private.
    fn has_secrets(&self, _params: &serde_json::Value) -> bool {
        false
    }

    /// Runs siblings that differ only in params and in the inputs that do not come from shared stages.
    ///
    /// Returns one result for each action, in order. A batch of one is the common case.
    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>>;
}
