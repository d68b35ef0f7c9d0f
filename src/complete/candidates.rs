//! Names that a spec, its plan and the store give for a word.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use orchestrate_cache::Access;
use orchestrate_engine::plan::{self, Plan, PlannedStage};
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec;

use crate::Kinds;
use crate::args::StoreArgs;
use crate::command::study::nearby_store;

/// A command line, with the plan of its spec.
pub(super) struct Asked {
    kinds: Kinds,
    words: Vec<OsString>,
    plan: OnceCell<Option<Plan>>,
}

impl Asked {
    pub(super) fn new(kinds: Kinds, words: Vec<OsString>) -> Self {
        Self { kinds, words, plan: OnceCell::new() }
    }

    /// Names of stages.
    pub(super) fn stages(&self) -> Vec<String> {
        self.plan().iter().flat_map(|plan| &plan.stages).map(|stage| stage.name.clone()).collect()
    }

    /// Axes with `=`.
    pub(super) fn axes(&self) -> Vec<String> {
        let axes = self.plan().into_iter().flat_map(|plan| &plan.spec.axes);
        axes.map(|axis| format!("{}=", axis.name.get_ref())).collect()
    }

    /// Keys of values that `--set` can override, with `=`.
    pub(super) fn keys(&self) -> Vec<String> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let params = plan.stages.iter().flat_map(|stage| {
            let fields = stage.kind.facts().fields().iter();
            fields.map(|field| format!("stages.{}.{field}=", stage.name))
        });
        self.axes().iter().map(|axis| format!("axes.{axis}")).chain(params).collect()
    }

    /// Continuations of a selector of nodes: `score`, `score[model=`, `score[model=tiny]`, `score[model=tiny,fold=`.
    pub(super) fn nodes(&self, current: &str) -> Vec<String> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let Some((stage, point)) = current.split_once('[') else {
            return plan.stages.iter().flat_map(|stage| beginnings(plan, stage)).collect();
        };
        let Some(stage) = plan.stages.iter().find(|planned| planned.name == stage) else { return Vec::new() };
        continuations(plan, stage, current, point)
    }

    /// Ids of runs, the newest first.
    pub(super) fn runs(&self) -> Vec<String> {
        let store = nearby_store(&self.store(), Access::ReadOnly);
        let runs = store.map(|store| History::new(store.runs_dir()).runs()).unwrap_or_default();
        runs.iter().map(ToString::to_string).collect()
    }

    fn store(&self) -> StoreArgs {
        StoreArgs::at(self.after("--store").next().map(PathBuf::from))
    }

    /// The words that follow an option.
    fn after<'w>(&'w self, option: &'w str) -> impl Iterator<Item = &'w OsString> {
        self.words.windows(2).filter(move |pair| pair[0] == option).map(|pair| &pair[1])
    }

    /// The plan of the spec on the command line, else of the latest run.
    fn plan(&self) -> Option<&Plan> {
        let plan = || {
            let (path, mut overrides) = self.spec().or_else(|| self.latest())?;
            let given = self.after("--set").filter_map(|text| text.to_str());
            overrides.extend(given.filter(|text| text.contains('=')).map(ToOwned::to_owned));
            let grids = self.after("--grid").filter_map(|text| text.to_str()).filter(|text| text.contains('='));
            overrides.extend(grids.map(|text| format!("{}{text}", spec::grid::PREFIX)));
            plan::build(spec::load(&path, &overrides).ok()?, self.kinds).ok()
        };
        self.plan.get_or_init(plan).as_ref()
    }

    fn spec(&self) -> Option<(PathBuf, Vec<String>)> {
        let is_spec = |path: &&Path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file();
        let path = self.words.iter().skip(1).map(Path::new).find(is_spec)?;
        Some((path.to_owned(), Vec::new()))
    }

    fn latest(&self) -> Option<(PathBuf, Vec<String>)> {
        let history = History::new(nearby_store(&self.store(), Access::ReadOnly).ok()?.runs_dir());
        let started = history.runs().into_iter().find_map(|run| history.started(&run).ok().flatten())?;
        Some((started.spec, started.overrides))
    }
}

fn beginnings(plan: &Plan, stage: &PlannedStage) -> Vec<String> {
    let first = plan.axes(stage).next().map(|axis| format!("{}[{}=", stage.name, axis.name.get_ref()));
    [stage.name.clone()].into_iter().chain(first).collect()
}

/// Continues `current`, whose part after the bracket is `point`.
fn continuations(plan: &Plan, stage: &PlannedStage, current: &str, point: &str) -> Vec<String> {
    let (given, last) = point.rsplit_once(',').unwrap_or(("", point));
    let given: Vec<_> = given.split(',').filter_map(|pair| pair.split_once('=')).map(|(axis, _)| axis).collect();
    let before = &current[..current.len() - last.len()];
    let missing = |own: &str| {
        plan.axes(stage).find(|axis| {
            let name = axis.name.get_ref().as_str();
            name != own && !given.contains(&name)
        })
    };
    let Some((name, _)) = last.split_once('=') else {
        let axes = plan.axes(stage).map(|axis| axis.name.get_ref());
        return axes.filter(|axis| !given.contains(&axis.as_str())).map(|axis| format!("{before}{axis}=")).collect();
    };
    let Some(axis) = plan.axes(stage).find(|axis| axis.name.get_ref() == name) else { return Vec::new() };
    let next = missing(name).map(|axis| format!(",{}=", axis.name.get_ref()));
    let ends: Vec<_> = ["]".to_owned()].into_iter().chain(next).collect();
    let labels = axis.values.iter().map(|value| format!("{before}{name}={}", value.label));
    labels.flat_map(|label| ends.iter().map(move |end| format!("{label}{end}"))).collect()
}
