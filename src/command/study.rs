//! The beginning of most commands: spec → plan, its store, and its external files.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_cache::{Access, FileDigests, Store, StoreError, Trust};
use orchestrate_engine::diagnostic::{Severity, SpecError};
use orchestrate_engine::node::NodeId;
use orchestrate_engine::observe::{Observed, observe};
use orchestrate_engine::plan::{self, Plan, Selector};
use orchestrate_engine::run::{Selection, passed_over};
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec::{self, ProjectStore, RemoteSettings, Spec, grid, project_root};
use orchestrate_engine::survey::{Survey, survey};

use super::keygen;
use crate::Kinds;
use crate::args::{SelectArgs, StoreArgs};
use crate::outcome::UsageError;
use crate::{diagnostic, terminal};

/// Name of the store's folder below the project's root.
pub(super) const STORE: &str = ".orchestrate";

/// A plan with its store and the digests of its external files.
pub(crate) struct Study {
    pub(crate) plan: Plan,
    pub(crate) observed: Observed,
    pub(crate) store: Store,
    /// The bucket or folder behind the store, if the project names one.
    pub(crate) remote: Option<RemoteSettings>,
}

/// Plans a spec with its overrides; writes nothing.
pub(crate) fn plan(kinds: Kinds, path: &Path, overrides: &[String]) -> anyhow::Result<Plan> {
    of_spec(kinds, spec::load(path, overrides)?)
}

/// Plans a spec.
pub(super) fn of_spec(kinds: Kinds, spec: Spec) -> anyhow::Result<Plan> {
    let plan = plan::build(spec, kinds)?;
    warn(&plan);
    Ok(plan)
}

/// The nodes selected by `--only` and `--until`.
pub(crate) fn selection(plan: &Plan, args: &SelectArgs) -> anyhow::Result<Selection> {
    selection_of(plan, &args.only, args.until.as_ref())
}

/// The nodes that these selectors name, and their inputs; all without any.
pub(crate) fn selection_of(plan: &Plan, only: &[String], until: Option<&String>) -> anyhow::Result<Selection> {
    if only.is_empty() && until.is_none() {
        return Ok(Selection::all(plan));
    }
    Ok(Selection::closure(plan, &select(plan, only.iter().chain(until))?))
}

impl Study {
    /// Opens the store of a plan, and digests external files.
    pub(crate) fn open(plan: Plan, store: &StoreArgs, access: Access) -> anyhow::Result<Self> {
        let dir = store.dir().unwrap_or_else(|| plan.spec.root.join(STORE));
        if access == Access::ReadWrite && store.dir().is_none() && !dir.is_dir() {
            tell_of_others(&plan.spec.root, &dir);
        }
        plan::check_store(&plan, &dir)?;
        let project = ProjectStore::read(&plan.spec.root)?;
        let store = open(&dir, access, || trust(&project))?;
        let digests = FileDigests::open_trusting(store.dir(), store.trust().stamps());
        let observed = observe(&plan, &digests)?;
        if access == Access::ReadWrite
            && let Err(error) = digests.save()
        {
            tracing::warn!("digests of external files cannot be kept: {error}; the next run reads the files again");
        }
        Ok(Self { plan, observed, store, remote: project.remote })
    }

    /// The same for a store that must exist: nothing is to be made where nothing can be found.
    pub(crate) fn open_existing(plan: Plan, store: &StoreArgs, access: Access) -> anyhow::Result<Self> {
        let dir = store.dir().unwrap_or_else(|| plan.spec.root.join(STORE));
        if !dir.is_dir() {
            let help = format!("run `orchestrate run {}` first", plan.spec.path.display());
            return Err(UsageError(format!("there is no store at {}\nhelp: {help}", dir.display())).into());
        }
        Self::open(plan, store, access)
    }

    /// The logs of earlier runs.
    pub(crate) fn history(&self) -> History {
        History::new(self.store.runs_dir())
    }

    /// Looks up every node; forced nodes count as misses.
    pub(crate) fn survey(&self, forced: &HashSet<NodeId>) -> Survey {
        let survey = survey(&self.plan, &self.observed, &self.store, &self.history(), forced);
        if let Some(note) = passed_over(&self.store) {
            terminal::complain(&format!("warning: {note}\n"));
        }
        survey
    }
}

/// Says where a new store is made if another one lies above or below the project's root: its results would be missed.
fn tell_of_others(root: &Path, dir: &Path) {
    let below = std::fs::read_dir(root).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut others: Vec<_> = root.ancestors().skip(1).map(Path::to_owned).chain(below).collect();
    others.retain(|other| other.join(STORE).join("runs").is_dir());
    others.sort();
    let Some(first) = others.first() else { return };
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(", and {} more", terminal::count(more, "other")),
    };
    terminal::complain(&format!(
        "notice: a new store is made at {}, as the project's root is {}: the nearest folder with an orchestrate.toml \
         or a git repository, or else that of the spec. There is another store at {}{more}; --store names the one \
         to use\n",
        dir.display(),
        root.display(),
        first.join(STORE).display()
    ));
}

/// The command that runs some nodes of a plan.
pub(super) fn run_command(plan: &Plan, nodes: &str) -> String {
    format!("orchestrate run {}{} --only '{nodes}'", plan.spec.path.display(), set_arguments(&plan.spec.overrides))
}

/// Formats overrides as arguments, each with a blank before it.
pub(crate) fn set_arguments(overrides: &[String]) -> String {
    let argument = |text: &String| match text.strip_prefix(grid::PREFIX) {
        Some(text) => format!(" --grid '{text}'"),
        None => format!(" --set '{text}'"),
    };
    overrides.iter().map(argument).collect()
}

/// The nodes that selectors name.
pub(crate) fn select<'s>(plan: &Plan, selectors: impl IntoIterator<Item = &'s String>) -> anyhow::Result<Vec<NodeId>> {
    let mut nodes = Vec::new();
    for text in selectors {
        let found = Selector::parse(text).and_then(|selector| selector.nodes(plan));
        nodes.extend(found.map_err(|error| UsageError(error.to_string()))?);
    }
    Ok(nodes)
}

/// Shows the warnings about a spec.
pub(super) fn warn(plan: &Plan) {
    let diagnostics: Vec<_> =
        plan.spec.findings.iter().filter(|finding| finding.severity == Severity::Warning).cloned().collect();
    if !diagnostics.is_empty() {
        let warnings = SpecError { sources: plan.spec.sources.clone(), diagnostics };
        terminal::complain_as_is(&diagnostic::render(&warnings, terminal::colours_on_stderr()));
    }
}

/// Opens a store. A store that cannot be written is opened read-only, as its hits are still useful.
pub(super) fn open(dir: &Path, access: Access, trust: impl Fn() -> anyhow::Result<Trust>) -> anyhow::Result<Store> {
    match Store::open_trusting(dir, access, trust()?) {
        Err(error @ StoreError::Io { .. }) if access == Access::ReadWrite && is_read_only(&error) => {
            let shown = dir.display();
            terminal::complain(&format!("warning: {shown} cannot be written: only what it holds is used ({error})\n"));
            Ok(Store::open_trusting(dir, Access::ReadOnly, trust()?)?)
        }
        opened => Ok(opened?),
    }
}

/// The signers that a project believes, and the key of this user.
pub(super) fn trust(project: &ProjectStore) -> anyhow::Result<Trust> {
    Ok(Trust::new(project.signers.clone(), keygen::own_key()?))
}

/// The trust of the project around the working directory.
pub(super) fn nearby_trust() -> anyhow::Result<Trust> {
    trust(&nearby_project()?)
}

/// What the project around the working directory says of its store.
pub(super) fn nearby_project() -> anyhow::Result<ProjectStore> {
    let working_dir = std::env::current_dir().context("cannot tell the working directory")?;
    Ok(ProjectStore::read(&project_root(&working_dir))?)
}

fn is_read_only(error: &StoreError) -> bool {
    let StoreError::Io { source, .. } = error else { return false };
    matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Opens the store of a command without a spec: `--store`, or the store of the project around the working directory.
/// Such commands keep house, and so see all results, whoever signed them.
pub(crate) fn nearby_store(args: &StoreArgs, access: Access) -> anyhow::Result<Store> {
    open(&nearby_dir(args)?, access, || Ok(Trust::default()))
}

/// The same with lookups that pass over untrusted results, for reading.
pub(super) fn trusting_store(args: &StoreArgs, trust: Trust) -> anyhow::Result<Store> {
    Ok(Store::open_trusting(&nearby_dir(args)?, Access::ReadOnly, trust)?)
}

/// The folder of that store, existing or not.
pub(crate) fn dir_for_store(args: &StoreArgs) -> anyhow::Result<PathBuf> {
    args.dir().map_or_else(nearby, Ok)
}

/// The folder of that store.
pub(crate) fn nearby_dir(args: &StoreArgs) -> anyhow::Result<PathBuf> {
    let dir = dir_for_store(args)?;
    if !dir.is_dir() {
        let below = std::env::current_dir().ok().and_then(|folder| stores_below(&folder).into_iter().next());
        let help = match (args.dir(), below) {
            (Some(_), _) => "run a spec first, or name the store with --store DIR".to_owned(),
            (None, Some(below)) => {
                let below = below.display();
                format!("change to the folder of the study, or name the store with --store {below}")
            }
            (None, None) => "change to the folder of the study, or name the store with --store DIR".to_owned(),
        };
        return Err(UsageError(format!("there is no store at {}\nhelp: {help}", dir.display())).into());
    }
    Ok(dir)
}

/// Returns the stores of projects in the folders just below one, relative to it.
fn stores_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut stores: Vec<PathBuf> = entries.map(|entry| Path::new(&entry.file_name()).join(STORE)).collect();
    stores.retain(|store| folder.join(store).join("runs").is_dir());
    stores.sort();
    stores
}

/// Returns the store as given, else that of the project of the first spec among some arguments.
pub(super) fn store_of<'a>(args: &StoreArgs, what: impl IntoIterator<Item = &'a Path>) -> StoreArgs {
    let spec = what.into_iter().find(|what| what.is_file());
    let absolute = spec.and_then(|spec| std::path::absolute(spec).ok());
    match absolute.as_deref().and_then(Path::parent).filter(|_| args.dir().is_none()) {
        Some(folder) => StoreArgs::at(Some(project_root(folder).join(STORE))),
        None => args.clone(),
    }
}

fn nearby() -> anyhow::Result<PathBuf> {
    let working_dir = std::env::current_dir().context("cannot tell the working directory")?;
    let with_store = working_dir.ancestors().find(|dir| dir.join(STORE).is_dir());
    Ok(with_store.unwrap_or(&working_dir).join(STORE))
}
