//! `orchestrate attach [RUN]`: goes on with a run on a cluster whose head has ended.

use std::os::unix::process::CommandExt;
use std::{fs, process};

use anyhow::Context;
use clap::{Args, Parser};
use orchestrate_cache::Access;
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::spec::SpecText;

use super::study::nearby_store;
use super::subject::{find_run, started};
use crate::args::{Cli, Command, StoreArgs};
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
    let (run, started) = match &args.run {
        Some(name) => {
            let run = find_run(&history, name)?;
            let started = started(&history, &run)?;
            (run, started)
        }
        None => latest(&history).ok_or_else(|| {
            UsageError("no run on a cluster is recorded\nhelp: orchestrate run SPEC --on slurm".to_owned())
        })?,
    };
    if !is_on_cluster(&started) {
        return Err(UsageError(format!("run {run} was not on a cluster\nhelp: orchestrate run SPEC --on slurm")).into());
    }
    let origin = started.origin.as_deref().context("the log of the run has no arguments")?;
    let command = origin.arguments.iter().map(|word| terminal::quoted(word)).collect::<Vec<_>>().join(" ");
    terminal::complain(&format!("attach to {run}: orchestrate {command}\n"));
    let is_changed = |text: &&SpecText| fs::read_to_string(&text.path).ok().as_deref() != Some(text.text.as_str());
    if origin.texts.iter().any(|text| is_changed(&text)) {
        terminal::complain(
            "warning: the spec has changed since; nodes that are the same are waited for, and the jobs of the others \
             are left to themselves\n",
        );
    }
    drop(store);
    let program = std::env::current_exe().context("cannot tell the path of this program")?;
    let error = process::Command::new(program).args(&origin.arguments).current_dir(&origin.working_dir).exec();
    let dir = origin.working_dir.display();
    Err(anyhow::Error::new(error).context(format!("cannot start the run again in {dir}")))
}

/// Finds the latest run on a cluster.
fn latest(history: &History) -> Option<(RunId, RunStarted)> {
    let runs = history.runs().into_iter();
    let mut runs = runs.filter_map(|run| history.started(&run).ok()?.map(|started| (run, started)));
    runs.find(|(_, started)| is_on_cluster(started))
}

/// Returns whether a run was on a cluster.
fn is_on_cluster(started: &RunStarted) -> bool {
    let Some(origin) = started.origin.as_deref() else { return false };
    let words = std::iter::once("orchestrate").chain(origin.arguments.iter().map(String::as_str));
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Run(args)) => args.how.on.on.is_some(),
        Ok(Command::Sweep(args)) => args.how.on.on.is_some(),
        _ => false,
    }
}
