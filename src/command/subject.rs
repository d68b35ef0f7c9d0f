//! The study that a command looks at: a spec as it is now, or a run as it was.
//!
//! Commands that only show what is recorded take either. The plan of a run comes from its log: the texts of the spec,
//! the overrides, and names and digests of external files, so neither the spec nor the data need to be there any more.
//! In the plan of a spec, records stand in for data that are gone, with a warning.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Access, Store, Value};
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::plan::{self, Plan, Recall, Recalled};
use orchestrate_engine::recall::RunRecall;
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::spec::{self, Recorded, Spec};
use orchestrate_engine::stage::Stage;
use serde_json::Value as Json;

use super::study::{self, STORE, nearby_dir};
use crate::Kinds;
use crate::args::StoreArgs;
use crate::outcome::UsageError;

/// The number of runs of a spec that are searched for data that are gone.
const RUNS_RECALLED: usize = 20;

/// The number of newest runs among which those of a spec are searched.
const RUNS_SEARCHED: usize = 1000;

/// A plan, and where it came from.
pub(crate) struct Subject {
    pub(crate) plan: Plan,
    /// The run, if the plan is that of one.
    pub(crate) run: Option<RunId>,
    /// The store: that of the run, or as given.
    pub(crate) store: StoreArgs,
}

impl Subject {
    /// Plans a spec with its overrides, or a run with more overrides after its own.
    pub(crate) fn find(kinds: Kinds, what: &Path, overrides: &[String], store: &StoreArgs) -> anyhow::Result<Self> {
        match what.to_str().filter(|text| is_run_name(text) && !what.exists()) {
            Some(text) => {
                let dir = nearby_dir(store)?;
                let run = find_run(&History::new(dir.join("runs")), text)?;
                Self::of_run(kinds, run, overrides, StoreArgs::at(Some(dir)))
            }
            None => Self::of_spec(kinds, what, overrides, store),
        }
    }

    /// Plans a spec; data that are gone are taken as the latest run had them.
    fn of_spec(kinds: Kinds, path: &Path, overrides: &[String], store: &StoreArgs) -> anyhow::Result<Self> {
        let spec = spec::load(path, overrides)?;
        let dir = store.dir().unwrap_or_else(|| spec.root.join(STORE));
        let recall = LateRecall { kinds, dir, spec: spec.clone(), runs: OnceCell::new() };
        let plan = plan::build_recalling(spec, kinds, Some(&recall))?;
        study::warn(&plan);
        Ok(Self { plan, run: None, store: store.clone() })
    }

    /// Plans a run as it was.
    pub(crate) fn of_run(kinds: Kinds, run: RunId, overrides: &[String], store: StoreArgs) -> anyhow::Result<Self> {
        let opened = Store::open(&nearby_dir(&store)?, Access::ReadOnly)?;
        let started = started(&History::new(opened.runs_dir()), &run)?;
        let spec = spec::load_recorded(&recorded(&run, &started)?, overrides)?;
        let plan = plan::build_recalling(spec, kinds, Some(&RunRecall::of_run(&opened, run.clone())))?;
        Ok(Self { plan, run: Some(run), store })
    }
}

/// Returns the texts of the spec of a run. Errors: a log of an earlier program, which kept none.
pub(crate) fn recorded<'r>(run: &RunId, started: &'r RunStarted) -> Result<Recorded<'r>, UsageError> {
    let RunStarted { spec, overrides, version, .. } = started;
    let Some(origin) = started.origin.as_deref() else {
        return Err(UsageError(format!(
            "run {run} is of orchestrate {version}, which did not record its spec\nhelp: name the spec: {}",
            spec.display()
        )));
    };
    let (root, working_dir) = (&origin.root, &origin.working_dir);
    Ok(Recorded { path: spec, root, working_dir, texts: &origin.texts, overrides })
}

/// Reads the first line of the log of a run.
pub(crate) fn started(history: &History, run: &RunId) -> Result<RunStarted, UsageError> {
    let unreadable = |why: &dyn std::fmt::Display| UsageError(format!("the log of run {run} cannot be read: {why}"));
    match history.started(run) {
        Ok(Some(started)) => Ok(started),
        Ok(None) => Err(unreadable(&"its first line is damaged, or the run was killed before it wrote one")),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Returns whether a text can name a run: `latest`, `-1`, its id, or the beginning or the end of one.
pub(crate) fn is_run_name(text: &str) -> bool {
    let is_number = text.strip_prefix('-').is_some_and(|number| number.parse::<usize>().is_ok());
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    text == "latest" || is_number || (text.len() >= 4 && text.len() <= 26 && is_digits(text))
}

/// Finds a run by `latest`, by a number (`-1` is the newest), by its id, or by the beginning or the end of that.
pub(crate) fn find_run(history: &History, text: &str) -> Result<RunId, UsageError> {
    let runs = history.runs();
    let Some(newest) = runs.first() else {
        return Err(UsageError(
            "no run is recorded\nhelp: run a spec first, or name the store with --store DIR".into(),
        ));
    };
    if text == "latest" {
        return Ok(newest.clone());
    }
    if let Some(number) = text.strip_prefix('-').and_then(|number| number.parse::<usize>().ok()) {
        let found = number.checked_sub(1).and_then(|index| runs.get(index));
        let known = format!("there is no run {text}: -1 is the newest of {}, -{} the oldest", runs.len(), runs.len());
        return found.cloned().ok_or(UsageError(known));
    }
    let is_named = |run: &&RunId| run.as_str().starts_with(text) || run.as_str().ends_with(text);
    let named: Vec<_> = runs.iter().filter(is_named).collect();
    match named.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(UsageError(format!(
            "no run is named `{text}`\nhelp: the newest run is {newest}; `orchestrate runs` lists them"
        ))),
        several => {
            let names: Vec<_> = several.iter().take(5).map(|run| run.as_str()).collect();
            let more = if several.len() > names.len() { ", …" } else { "" };
            Err(UsageError(format!("`{text}` could be any of {} runs: {}{more}", several.len(), names.join(", "))))
        }
    }
}

/// Recalls data that are gone from the runs of a spec. Opens the store once something is gone.
struct LateRecall {
    kinds: Kinds,
    dir: PathBuf,
    spec: Spec,
    /// The runs, the newest first, each with its plan once it was needed; `None` if it cannot be planned any more.
    runs: OnceCell<Vec<(RunId, OnceCell<Option<Plan>>)>>,
}

impl LateRecall {
    fn runs(&self) -> Vec<(RunId, OnceCell<Option<Plan>>)> {
        let Some(store) = self.store() else { return Vec::new() };
        let Spec { path, root, name, .. } = &self.spec;
        let runs = History::new(store.runs_dir()).runs_of(path, root, name, RUNS_SEARCHED);
        runs.into_iter().take(RUNS_RECALLED).map(|run| (run, OnceCell::new())).collect()
    }

    fn store(&self) -> Option<Store> {
        self.dir.is_dir().then(|| Store::open(&self.dir, Access::ReadOnly).ok()).flatten()
    }

    fn plan(&self, run: &RunId) -> Option<Plan> {
        Subject::of_run(self.kinds, run.clone(), &[], StoreArgs::at(Some(self.dir.clone()))).ok().map(|it| it.plan)
    }
}

impl Recall for LateRecall {
    fn comes_first(&self) -> bool {
        false
    }

    fn recall(&self, kind: &dyn Stage, keyed: &Value, params: &Json) -> Option<Recalled> {
        self.runs.get_or_init(|| self.runs()).iter().find_map(|(run, plan)| {
            let stages = &plan.get_or_init(|| self.plan(run)).as_ref()?.stages;
            let of_kind = stages.iter().filter(|stage| stage.kind.facts().kind == kind.facts().kind);
            let mut sets = of_kind.flat_map(|stage| &stage.param_sets);
            sets.find(|set| set.keyed == *keyed && plan::reads_same_paths(kind, &set.params, params))?.recalled.clone()
        })
    }
}
