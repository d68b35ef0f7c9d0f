//! Nodes named on the command line, with or without their spec: `[SPEC] NODE`.

use std::collections::HashSet;
use std::path::Path;

use orchestrate_cache::Access;
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::runlog::History;

use super::study::{self, nearby_store, set_arguments};
use super::subject::Subject;
use crate::Kinds;
use crate::args::{NodeArgs, StoreArgs};
use crate::outcome::UsageError;
use crate::terminal;

/// A plan with the named nodes.
pub(crate) struct NamedNodes {
    pub(crate) plan: Plan,
    /// At least one.
    pub(crate) nodes: Vec<NodeId>,
    /// The store: as given, or that of the run that was named in place of the spec.
    pub(crate) store: StoreArgs,
}

impl NamedNodes {
    /// Resolves `[SPEC|RUN] NODE`.
    ///
    /// Without a spec, takes the spec of the newest run that has the node, in its present version. It gets the
    /// overrides of that run too, as they may be essential, such as a path of data; `--set` values come after them.
    pub(crate) fn find(kinds: Kinds, args: &NodeArgs) -> anyhow::Result<Self> {
        match args.target.as_slice() {
            [node] => Self::of_a_run(kinds, node, &args.overrides, &args.store),
            [spec, node] => Self::of(kinds, Path::new(spec), &args.overrides, node, &args.store),
            _ => unreachable!("clap takes one or two"),
        }
    }

    fn of(kinds: Kinds, spec: &Path, overrides: &[String], node: &String, store: &StoreArgs) -> anyhow::Result<Self> {
        let Subject { plan, store, .. } = Subject::find(kinds, spec, overrides, store)?;
        let nodes = study::select(&plan, [node])?;
        Ok(Self { plan, nodes, store })
    }

    fn of_a_run(kinds: Kinds, node: &String, overrides: &[String], store: &StoreArgs) -> anyhow::Result<Self> {
        let history = History::new(nearby_store(store, Access::ReadOnly)?.runs_dir());
        let mut tried = HashSet::new();
        let mut problem = None;
        for run in history.runs() {
            let Ok(Some(RunStarted { spec, overrides: given, .. })) = history.started(&run) else { continue };
            if !tried.insert((spec.clone(), given.clone())) {
                continue;
            }
            let all: Vec<_> = given.iter().chain(overrides).cloned().collect();
            match Self::of(kinds, &spec, &all, node, store) {
                Ok(found) => {
                    if !given.is_empty() {
                        terminal::complain(&format!("as run {run} had it:{}\n", set_arguments(&given)));
                    }
                    return Ok(found);
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem
            .unwrap_or_else(|| UsageError("no run is recorded; name the spec before the node".to_owned()).into()))
    }
}
