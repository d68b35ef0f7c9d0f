//! `orchestrate cancel RUN`: cancels the jobs of a run on a cluster, whether or not its head lives.

use clap::Args;
use orchestrate_cache::Access;
use orchestrate_engine::cluster::{self, JobFolder, Pilot};
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec;

use super::study::nearby_store;
use super::subject::find_run;
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

const EXAMPLES: &str = "Examples:
  orchestrate cancel latest
  orchestrate cancel 9f02ac";

/// Cancel the jobs that a run has submitted to a cluster
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CancelArgs {
    /// The run: its id, the beginning or the end of that, or `latest`; or the name of a pilot
    #[arg(value_name = "RUN", allow_negative_numbers = true)]
    run: String,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn cancel(args: &CancelArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let all = JobFolder::list(&store.jobs_dir());
    // A pilot has a name of its own, as its run begins on the cluster.
    let is_named = |job: &JobFolder| job.name().starts_with(&args.run) && Pilot::read(job).is_some();
    let run = match all.iter().any(is_named) {
        true => args.run.clone(),
        false => find_run(&History::new(store.runs_dir()), &args.run)?.as_str().to_owned(),
    };
    let jobs = all.into_iter().filter(|job| job.is_of(&run) || is_named(job));
    let (mut cancelled, mut failed) = (Vec::new(), Vec::new());
    for job in jobs {
        let root = job.root()?;
        let Some(cluster) = spec::cluster(&root)? else {
            return Err(UsageError(format!(
                "{} has no section [cluster] any more",
                root.join("orchestrate.toml").display()
            ))
            .into());
        };
        let queue = cluster::open(&cluster);
        let id = match job.id() {
            Some(id) => Ok(Some(id)),
            None => queue.find(&job.name()),
        };
        match id.and_then(|id| id.map(|id| queue.cancel(&id).map(|()| id)).transpose()) {
            Ok(id) => {
                job.remove();
                cancelled.extend(id);
            }
            Err(error) => failed.push(format!("{}: {error}", job.name())),
        }
    }
    match cancelled.as_slice() {
        [] if failed.is_empty() => terminal::say(&format!("run {run} has no jobs on a cluster\n"))?,
        [] => {}
        ids => terminal::say(&format!("cancelled {}: {}\n", terminal::count(ids.len(), "job"), ids.join(", ")))?,
    }
    failed.iter().for_each(|problem| terminal::complain(&format!("error: cannot cancel {problem}\n")));
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Failed })
}
