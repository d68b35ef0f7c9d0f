//! The spec: text → tables with spans → a well-formed [`Spec`].
//!
//! The plan checks params and ports, as only the kinds of stages know them.

pub mod axis;
mod cluster;
pub mod grid;
mod json_schema;
mod limits;
mod load;
mod overrides;
mod parse;
mod placeholder;
mod project_schema;
mod reader;
mod remote;
mod sweep;
mod texts;
mod toml_error;
pub(crate) mod toml_text;
mod trust;
mod values;
mod whole;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::diagnostic::Diagnostic;
use crate::params::ParamTable;
use crate::resources::Resources;
use crate::source::{SourceMap, Span};
use axis::Axis;

pub use cluster::{Ask, CANCEL, Cluster, ClusterKind, Commands, GPU, SUBMIT, cluster};
pub use json_schema::spec_schema;
pub use limits::{ProjectStore, StoreLimits};
pub use load::{load, load_recorded, load_swept, project_root};
pub use placeholder::{Misfit, fill};
pub use project_schema::project_schema;
pub use remote::RemoteSettings;
pub use texts::{Recorded, SpecText};
pub use whole::whole;

/// A parsed experiment.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The absolute path of its file.
    pub path: PathBuf,
    /// The nearest folder above with an `orchestrate.toml` or a git root, else the file's own. Holds the store and
    /// published folders.
    pub root: PathBuf,
    /// `experiment.name`.
    pub name: String,
    /// `experiment.seed`, default 0, with its span if it was written.
    pub seed: (i64, Option<Span>),
    /// Axes in the order of declaration.
    pub axes: Vec<Axis>,
    /// Excluded partial points.
    pub exclude: Vec<Excluded>,
    /// Groups of zipped axes, by index.
    pub zip: Vec<Vec<usize>>,
    /// Stages in the order of declaration.
    pub stages: Vec<StageSpec>,
    /// Its source texts.
    pub sources: SourceMap,
    /// True if only a part of it is to run, as in a sweep: kinds do not check the inputs of the other stages.
    pub is_partial: bool,
    /// `--set` overrides as given.
    pub overrides: Vec<String>,
    /// Errors and warnings so far; [`crate::plan::build`] adds to them and reports all at once.
    pub findings: Vec<Diagnostic>,
    /// Axes and stages that could not be read: a reference to one of them is no second error.
    pub broken: Vec<String>,
}

impl Spec {
    /// Makes a path relative to the project's root; a path outside the project stays as it is.
    pub fn in_project<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// A partial point that `exclude` removes: pairs of axis index and value index.
pub type Excluded = Spanned<Vec<(usize, usize)>>;

/// One `[stages.NAME]`.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its kind.
    pub kind: Spanned<String>,
    /// Names of the axes that it lists; it may inherit more, see [`crate::stage::Facts::inherits_axes`].
    pub over: Vec<Spanned<String>>,
    /// Ports, each with the stages that feed it: `STAGE` or `STAGE.OUTPUT`.
    pub inputs: IndexMap<String, PortSpec>,
    /// Params bound to an axis of another name: param → axis.
    pub with: Vec<(Spanned<String>, Spanned<String>)>,
    /// All other fields: the params of its kind.
    pub params: ParamTable,
    /// Threads, memory and devices of one node.
    pub resources: Resources,
    /// The number of retries of a failed node.
    pub retries: u32,
    /// The time after which a node is stopped.
    pub timeout_ms: Option<u64>,
    /// The folder for copies of its artifacts: relative to the project's root, the experiment's name filled in.
    pub publish: Option<Spanned<String>>,
    /// The same folder, if it is kept back: a run that adds axes publishes nothing, as the folder has the spec's own
    /// points.
    pub kept_back: Option<Spanned<String>>,
}

/// One entry of `inputs`.
#[derive(Clone, Debug)]
pub struct PortSpec {
    /// Location of the port's name.
    pub span: Span,
    /// Stages that feed it, at least one.
    pub stages: Vec<Spanned<String>>,
}

/// A TOML value with its span.
pub type Located = Spanned<DeValue<'static>>;
