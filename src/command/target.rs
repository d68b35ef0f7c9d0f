//! Nodes by name, with or without the spec that declares them: `[SPEC] NODE`.

use std::collections::HashSet;
use std::path::Path;

use orchestrate_cache::Access;
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::runlog::History;

use super::study::{self, nearby_store};
use crate::Kinds;
use crate::args::StoreArgs;
use crate::outcome::UsageError;
use crate::terminal;

/// A plan with the nodes that were named.
pub(crate) struct Target {
    pub(crate) plan: Plan,
    /// At least one.
    pub(crate) nodes: Vec<NodeId>,
}

impl Target {
    /// Finds what `[SPEC] NODE` names.
    ///
    /// Without a spec it is that of the newest run that knows the node, as the spec stands now and with the overrides of that
    /// run, which may be what makes it whole: a path of data for one. `overrides` come after those.
    pub(crate) fn find(
        kinds: Kinds,
        written: &[String],
        overrides: &[String],
        store: &StoreArgs,
    ) -> anyhow::Result<Self> {
        match written {
            [node] => Self::of_a_run(kinds, node, overrides, store),
            [spec, node] => Self::of(kinds, Path::new(spec), overrides, node),
            _ => unreachable!("clap takes one or two"),
        }
    }

    fn of(kinds: Kinds, spec: &Path, overrides: &[String], node: &String) -> anyhow::Result<Self> {
        let plan = study::plan(kinds, spec, overrides)?;
        let nodes = study::select(&plan, [node])?;
        Ok(Self { plan, nodes })
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
            match Self::of(kinds, &spec, &all, node) {
                Ok(found) => {
                    if !given.is_empty() {
                        let given: Vec<_> = given.iter().map(|text| format!(" --set '{text}'")).collect();
                        terminal::complain(&format!("as run {run} had it:{}\n", given.concat()));
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
