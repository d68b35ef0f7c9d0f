//! `orchestrate attach [RUN]`: goes on with a run on a cluster whose head has ended.

use anyhow::Context;
use clap::{Args, Parser};
use orchestrate_cache::Access;
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::runlog::{History, RunId};

use super::run;
use super::study::nearby_store;
use super::subject::{find_run, started};
use crate::Kinds;
use crate::args::{Cli, Command, RunArgs, StoreArgs};
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

pub(crate) fn attach(kinds: Kinds, args: &AttachArgs) -> anyhow::Result<Outcome> {
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
    drop(store);
    let Some(mut command) = run_arguments(&started) else {
        return Err(UsageError(format!("run {run} was not on a cluster\nhelp: orchestrate run SPEC --on slurm")).into());
    };
    let origin = started.origin.as_deref().context("the log of the run has no arguments")?;
    std::env::set_current_dir(&origin.working_dir)
        .with_context(|| format!("cannot change to {}, where the run began", origin.working_dir.display()))?;
    command.attached = true;
    terminal::complain(&format!("attach: orchestrate {}\n", origin.arguments.join(" ")));
    let texts = origin.texts.iter().filter(|text| text.differs_now()).count();
    if texts > 0 {
        terminal::complain(
            "warning: the spec has changed since; nodes that are the same are waited for, and the jobs of the others \
             are left to themselves\n",
        );
    }
    run::run(kinds, command)
}

/// Finds the latest run on a cluster.
fn latest(history: &History) -> Option<(RunId, RunStarted)> {
    let runs = history.runs().into_iter();
    runs.filter_map(|run| history.started(&run).ok()?.map(|started| (run, started)))
        .find(|(_, started)| run_arguments(started).is_some())
}

/// Returns the arguments of a run on a cluster.
fn run_arguments(started: &RunStarted) -> Option<RunArgs> {
    let arguments = &started.origin.as_deref()?.arguments;
    let cli = Cli::try_parse_from(std::iter::once("orchestrate").chain(arguments.iter().map(String::as_str))).ok()?;
    match cli.command {
        Command::Run(args) if args.how.on.on.is_some() => Some(args),
        _ => None,
    }
}
