//! `orchestrate attach [RUN]`: goes on with a run on a cluster whose head has ended.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::{fs, process};

use anyhow::Context;
use clap::Args;
use orchestrate_cache::Access;
use orchestrate_engine::cluster::{JobFolder, Pilot};
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::spec::SpecText;

use super::cluster::this_program;
use super::jobs;
use super::study::nearby_store;
use super::subject::started;
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

const EXAMPLES: &str = "Examples:
  orchestrate attach
  orchestrate attach latest";

/// Go on with a run on a cluster: wait for the jobs it has submitted, and submit what hangs on them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttachArgs {
    /// The run: its id, the beginning or the end of that, or `latest` (default: the latest on a cluster)
    #[arg(value_name = "RUN", allow_negative_numbers = true)]
    run: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn attach(args: &AttachArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let all = JobFolder::list(&store.jobs_dir());
    let run = jobs::find(&history, &all, args.run.as_deref())?;
    let pilot = all.iter().filter(|job| job.is_of(&run)).find_map(Pilot::read);
    let (arguments, working_dir) = match pilot {
        Some(pilot) => (pilot.asked, pilot.working_dir),
        None => of_run(&history, &run)?,
    };
    let arguments = unforced(arguments);
    let command = arguments.iter().map(|word| terminal::quoted(word)).collect::<Vec<_>>().join(" ");
    terminal::complain(&format!("attach to {run}: orchestrate {command}\n"));
    drop(store);
    let error = process::Command::new(this_program()?).args(&arguments).current_dir(&working_dir).exec();
    Err(anyhow::Error::new(error).context(format!("cannot start the run again in {}", working_dir.display())))
}

/// Leaves out `--force`: what ran since is not to run once more.
fn unforced(arguments: Vec<String>) -> Vec<String> {
    let mut words = arguments.into_iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--force" => drop(words.next()),
            _ if word.starts_with("--force=") => {}
            _ => kept.push(word),
        }
    }
    kept
}

/// Returns the arguments and the working folder of a run on a cluster.
fn of_run(history: &History, run: &str) -> anyhow::Result<(Vec<String>, PathBuf)> {
    let id: RunId = run.parse().map_err(anyhow::Error::new)?;
    let started = started(history, &id)?;
    if !jobs::is_on_cluster(&started) {
        return Err(UsageError(format!("run {run} was not on a cluster\nhelp: orchestrate run SPEC --on slurm")).into());
    }
    let origin = started.origin.context("the log of the run has no arguments")?;
    let is_changed = |text: &&SpecText| fs::read_to_string(&text.path).ok().as_deref() != Some(text.text.as_str());
    if origin.texts.iter().any(|text| is_changed(&text)) {
        terminal::complain(
            "warning: the spec has changed since; nodes that are the same are waited for, and the jobs of the others \
             are left to themselves\n",
        );
    }
    Ok((origin.arguments, origin.working_dir))
}
