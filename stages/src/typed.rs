//! From a stage with typed params to the engine's [`Stage`], once for all stages.

use std::marker::PhantomData;

use orchestrate_engine::params::{self, ParamTable, Params, ParamsError};
use orchestrate_engine::stage::{Action, Context, FileName, Output, Port, Stage, StageError, Weight};
use serde_aux::serde_introspection::serde_introspect;

/// A kind of stage with typed params.
pub trait Typed: Send + Sync + 'static {
    /// The word after `kind =`.
    const KIND: &'static str;
    /// Raised when the same inputs would give other numbers.
    const VERSION: u32;
    /// One sentence for the list of kinds.
    const ABOUT: &'static str;
    /// Named inputs.
    const PORTS: &'static [Port];
    /// Named outputs.
    const OUTPUTS: &'static [&'static str];
    /// Where it runs.
    const WEIGHT: Weight = Weight::Light;
    /// Whether it computes on a GPU where there is one; see [`Stage::uses_device`].
    const USES_DEVICE: bool = false;
    /// Whether siblings that share inputs are worth running together.
    const BATCHES: bool = false;
    /// Whether a killed run can go on from checkpoints.
    const CHECKPOINTS: bool = false;
    /// Params that hold paths.
    const PATHS: &'static [&'static str] = &[];
    /// What `[stages.NAME]` may set.
    type Params: Params;

    /// Whether those ports together make sense; see [`Stage::check_ports`].
    fn check_ports(_connected: &[&str]) -> Result<(), String> {
        Ok(())
    }

    /// Environment variables of a process that computes on a device; see [`Stage::device_env`].
    fn device_env(_device: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Make and driver of a device beside its name; see [`Stage::describe_device`].
    fn describe_device(device: &str) -> String {
        device.to_owned()
    }

    /// External files that a run will read.
    fn files(_params: &Self::Params) -> Result<Vec<FileName>, Vec<String>> {
        Ok(Vec::new())
    }

    /// What to do where [`Typed::files`] fails.
    fn files_help(_params: &Self::Params) -> Option<String> {
        None
    }

    /// Runs a batch; see [`Stage::run`].
    fn run(context: &Context<'_>, batch: &[(Self::Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>>;
}

/// Gives a [`Typed`] stage to the engine.
pub struct Adaptor<T>(PhantomData<T>);

impl<T> Adaptor<T> {
    /// The adaptor of a kind, for its `static`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Typed> Stage for Adaptor<T> {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn version(&self) -> u32 {
        T::VERSION
    }

    fn about(&self) -> &'static str {
        T::ABOUT
    }

    fn weight(&self) -> Weight {
        T::WEIGHT
    }

    fn ports(&self) -> &'static [Port] {
        T::PORTS
    }

    fn check_ports(&self, connected: &[&str]) -> Result<(), String> {
        T::check_ports(connected)
    }

    fn outputs(&self, _params: &serde_json::Value) -> Vec<String> {
        T::OUTPUTS.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fields(&self) -> &'static [&'static str] {
        serde_introspect::<T::Params>()
    }

    fn path_fields(&self) -> &'static [&'static str] {
        T::PATHS
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        params::check::<T::Params>(table, self.fields())
    }

    fn files(&self, params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        T::files(&read::<T>(params).map_err(|error| vec![error.to_string()])?)
    }

    fn uses_device(&self) -> bool {
        T::USES_DEVICE
    }

    fn device_env(&self, device: &str) -> Vec<(&'static str, String)> {
        T::device_env(device)
    }

    fn describe_device(&self, device: &str) -> String {
        T::describe_device(device)
    }

    fn files_help(&self, params: &serde_json::Value) -> Option<String> {
        T::files_help(&read::<T>(params).ok()?)
    }

    fn batches(&self) -> bool {
        T::BATCHES
    }

    fn checkpoints(&self) -> bool {
        T::CHECKPOINTS
    }

    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let actions: Result<Vec<_>, _> = batch.iter().map(|action| Ok((read::<T>(&action.params)?, action))).collect();
        match actions {
            Ok(actions) => T::run(context, &actions),
            Err(error) => batch.iter().map(|_| Err(StageError::clone(&error))).collect(),
        }
    }
}

fn read<T: Typed>(params: &serde_json::Value) -> Result<T::Params, StageError> {
    serde_json::from_value(params.clone())
        .map_err(|error| StageError::new(format!("params that passed their check cannot be read again: {error}")))
}
