//! The adaptor from a kind with typed params to the engine's [`Stage`], whose params are JSON.
//!
//! Every kind uses it but `command`, whose outputs depend on its params.

use std::marker::PhantomData;

use orchestrate_engine::params::{self, ParamTable, Params, ParamsError};
use orchestrate_engine::stage::{
    Action, Context, Facts, FileName, InputProblem, Output, PlannedNode, Stage, StageError,
};
use serde::de::DeserializeOwned;
use serde_aux::serde_introspection::serde_introspect;

/// A kind of stage with typed params.
pub trait Typed: Send + Sync + 'static {
    /// Facts about the kind; the adaptor adds the names of the params.
    const FACTS: Facts;
    /// The params that `[stages.NAME]` may set.
    type Params: Params;

    /// Lists the external files that a run will read; see [`Stage::files`].
    fn files(_params: &Self::Params) -> Result<Vec<FileName>, Vec<String>> {
        Ok(Vec::new())
    }

    /// Returns advice to print if [`Typed::files`] fails; see [`Stage::files_help`].
    fn files_help(_params: &Self::Params) -> Option<String> {
        None
    }

    /// Returns facts about this machine that belong to the key; see [`Stage::probe`].
    fn probe(_params: &Self::Params) -> Result<Vec<(String, String)>, String> {
        Ok(Vec::new())
    }

    /// Runs a batch; see [`Stage::run`].
    fn run(context: &Context<'_>, batch: &[(Self::Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>>;
}

/// Adapts a [`Typed`] stage to the engine.
pub struct Adaptor<T>(PhantomData<T>);

#[expect(clippy::new_without_default, reason = "an adaptor is made in a `static`, which `default` cannot be")]
impl<T> Adaptor<T> {
    /// Makes the adaptor; `const`, as each kind is registered as a `static`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Typed> Adaptor<T> {
    /// The facts of the kind, with the names of its params.
    const FACTS: &'static Facts =
        &Facts { fields: serde_introspect::<T::Params>, schema: params::schema::<T::Params>, ..T::FACTS };
}

impl<T: Typed> Stage for Adaptor<T> {
    fn facts(&self) -> &'static Facts {
        Self::FACTS
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        params::check::<T::Params>(table, Self::FACTS.fields())
    }

    fn files(&self, params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        T::files(&read::<T::Params>(params).map_err(|error| vec![error.to_string()])?)
    }

    fn files_help(&self, params: &serde_json::Value) -> Option<String> {
        T::files_help(&read::<T::Params>(params).ok()?)
    }

    fn probe(&self, params: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
        T::probe(&read::<T::Params>(params).map_err(|error| error.to_string())?)
    }

    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let actions: Result<Vec<_>, _> =
            batch.iter().map(|action| Ok((read::<T::Params>(&action.params)?, action))).collect();
        match actions {
            Ok(actions) => T::run(context, &actions),
            Err(error) => batch.iter().map(|_| Err(StageError::clone(&error))).collect(),
        }
    }
}

/// Returns the problem of a node before it runs, for [`Facts::check_inputs`].
pub(crate) fn planned_problems<P: DeserializeOwned>(
    node: &dyn PlannedNode,
    check: impl FnOnce(&P, &dyn PlannedNode) -> Result<(), InputProblem>,
) -> Vec<InputProblem> {
    let found = read::<P>(node.params()).ok().and_then(|params| check(&params, node).err());
    found.into_iter().collect()
}

/// Deserializes params that [`Stage::check`] returned.
pub(crate) fn read<P: DeserializeOwned>(params: &serde_json::Value) -> Result<P, StageError> {
    serde_json::from_value(params.clone())
        .map_err(|error| StageError::new(format!("params that passed their check cannot be read again: {error}")))
}
