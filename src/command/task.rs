//! `orchestrate task FOLDER INDEX`: one task of a job, started by the queueing system of a cluster.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use orchestrate_cache::Access;
use orchestrate_engine::cluster::{JobFolder, Site, run_task};
use orchestrate_engine::executor::WorkerCommand;
use orchestrate_engine::run::Stop;
use orchestrate_engine::spec::ProjectStore;
use orchestrate_networks::device::Backend;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use super::study;
use crate::Kinds;
use crate::device::automatic;
use crate::outcome::Outcome;

/// Run one task of a job (started by the queueing system of a cluster)
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The folder of the job
    folder: PathBuf,
    /// The index of the task, as the queueing system numbers it; anything but a number stands for the first
    index: String,
    /// The index of the first task
    #[arg(long, default_value_t = 0)]
    first: usize,
}

pub(crate) fn task(kinds: Kinds, args: &TaskArgs) -> anyhow::Result<Outcome> {
    let folder = JobFolder::new(&args.folder);
    let index = args.index.parse::<usize>().map_or(0, |index| index.saturating_sub(args.first));
    if !folder.is_own() {
        anyhow::bail!("{} is not this user's alone, so its work is not run", args.folder.display());
    }
    let root = folder.root().with_context(|| format!("cannot read the job in {}", args.folder.display()))?;
    let dir = args.folder.parent().and_then(|jobs| jobs.parent()).context("a job lies in the folder of a store")?;
    let project = ProjectStore::read(&root)?;
    let store = study::open(dir, Access::ReadWrite, || study::trust(&project))?;
    let (told, near_limit) = (Stop::default(), Stop::default());
    for (signal, stop) in [(SIGTERM, &told), (SIGINT, &told), (SIGUSR1, &near_limit)] {
        flag::register(signal, stop.flag()).context("cannot listen for signals")?;
    }
    let site = Site {
        kinds,
        worker: WorkerCommand::this_program(["worker"]),
        gpus: || automatic(Backend::gpus),
        gpus_given: variable(["CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"]).map(|list| list.split(',').count()),
        cpus_given: cpus_given(),
        memory_given: variable(["SLURM_MEM_PER_NODE"]).and_then(|text| text.parse::<u64>().ok()).map(|mib| mib << 20),
        told: &told,
        near_limit: &near_limit,
    };
    run_task(&store, &folder, index, &site).with_context(|| format!("task {index} of {}", args.folder.display()))?;
    Ok(Outcome::Done)
}

/// Returns the number of CPUs that the queueing system has given to this process.
pub(crate) fn cpus_given() -> Option<usize> {
    variable(["SLURM_CPUS_ON_NODE", "NSLOTS", "LSB_DJOB_NUMPROC"])?.parse().ok()
}

/// Returns the first of these environment variables that is set.
fn variable<const N: usize>(names: [&str; N]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}
