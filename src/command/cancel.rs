//! `orchestrate cancel [RUN]`: cancels the jobs of a run on a cluster, whether or not its head lives.

use anyhow::Context;
use clap::Args;
use orchestrate_cache::Access;
use orchestrate_engine::cluster::{self, JobFolder};
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec;

use super::jobs;
use super::study::nearby_store;
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

const EXAMPLES: &str = "Examples:
  orchestrate cancel
  orchestrate cancel 9f02ac";

/// Cancel the jobs that a run has on a cluster, those included that it took over from an earlier run
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CancelArgs {
    /// The run: its id, the beginning or the end of that, or the name of a pilot (default: the latest on a cluster)
    #[arg(value_name = "RUN", allow_negative_numbers = true)]
    run: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn cancel(args: &CancelArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let all = JobFolder::list(&store.jobs_dir());
    let run = jobs::find(&history, &all, args.run.as_deref())?;
    let (mut cancelled, mut failed) = (Vec::new(), Vec::new());
    for job in jobs::of_run(&history, all, &run) {
        match cancel_job(&job) {
            Ok(id) => {
                job.remove();
                cancelled.extend(id);
            }
            Err(error) => failed.push(format!("{}: {error:#}", job.name())),
        }
    }
    match cancelled.as_slice() {
        [] if failed.is_empty() => terminal::say(&format!("run {run} has no jobs on a cluster any more\n"))?,
        [] => {}
        ids => terminal::say(&format!("cancelled {}: {}\n", terminal::count(ids.len(), "job"), ids.join(", ")))?,
    }
    failed.iter().for_each(|problem| terminal::complain(&format!("error: cannot cancel {problem}\n")));
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Cancels a job; returns its id, if it was ever submitted.
fn cancel_job(job: &JobFolder) -> anyhow::Result<Option<String>> {
    // Its work may be damaged; then it is of the project around the working directory.
    let nearby = || std::env::current_dir().map(|dir| spec::project_root(&dir));
    let root = job.root().or_else(|_| nearby()).context("cannot tell its project")?;
    let Some(cluster) = spec::cluster(&root)? else {
        let file = root.join("orchestrate.toml");
        return Err(UsageError(format!("{} has no section [cluster] any more", file.display())).into());
    };
    let queue = cluster::open(&cluster);
    let id = match job.id() {
        Some(id) => Some(id),
        None => queue.find(&job.name())?,
    };
    id.map(|id| queue.cancel(&id).map(|()| id)).transpose().map_err(anyhow::Error::from)
}
