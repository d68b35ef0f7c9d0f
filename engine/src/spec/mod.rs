//! The spec: text → loose tables with places → a [`Spec`] whose shape is right.
//!
//! What only the kinds of stages can tell (params, ports) is checked when the plan is made.

pub mod axis;
mod limits;
mod load;
mod overrides;
mod parse;
mod publish;
mod reader;
mod sweep;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Diagnostic, Span};
use crate::params::ParamTable;
use crate::resources::Resources;
use crate::source::SourceMap;
use axis::Axis;

pub use limits::StoreLimits;
pub use load::{load, load_swept};
pub(crate) use parse::STAGE_FIELDS;

/// A parsed experiment.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file it was read from.
    pub path: PathBuf,
    /// The nearest folder with an `orchestrate.toml` or a git root, else the file's own; store and publications lie there.
    pub root: PathBuf,
    /// `experiment.name`.
    pub name: String,
    /// `experiment.seed`, default 0, with its place if it was written.
    pub seed: (i64, Option<Span>),
    /// Axes in the order of declaration.
    pub axes: Vec<Axis>,
    /// Partial points that do not exist: axis index and value index of each.
    pub exclude: Vec<Vec<(usize, usize)>>,
    /// Axes, by index, that move together.
    pub zip: Vec<Vec<usize>>,
    /// Stages in the order of declaration.
    pub stages: Vec<StageSpec>,
    /// The texts behind it.
    pub sources: SourceMap,
    /// `--set` overrides as given.
    pub overrides: Vec<String>,
    /// What is wrong or suspicious so far; [`crate::plan::build`] adds to it and reports all at once.
    pub findings: Vec<Diagnostic>,
    /// Axes and stages that could not be read: what refers to them is not wrong as well.
    pub broken: Vec<String>,
}

/// One `[stages.NAME]`.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its kind.
    pub kind: Spanned<String>,
    /// Axes that it varies over, as written.
    pub over: Vec<Spanned<String>>,
    /// Ports with the stages that feed them, as written: `STAGE` or `STAGE.OUTPUT`.
    pub inputs: IndexMap<String, PortSpec>,
    /// Params that an axis of another name binds: param → axis.
    pub with: Vec<(Spanned<String>, Spanned<String>)>,
    /// Everything else: the params of its kind.
    pub params: ParamTable,
    /// Threads, memory and devices that a node takes.
    pub resources: Resources,
    /// How often a failed node is tried again.
    pub retries: u32,
    /// After how long a node is stopped.
    pub timeout_ms: Option<u64>,
    /// Where its artifacts are copied, relative to the spec's root, with the experiment's name filled in.
    pub publish: Option<Spanned<String>>,
}

/// One entry of `inputs`.
#[derive(Clone, Debug)]
pub struct PortSpec {
    /// Place of the port's name.
    pub span: Span,
    /// Stages, at least one.
    pub sources: Vec<Spanned<String>>,
}

/// A value of TOML with its place.
pub type Located = Spanned<DeValue<'static>>;
