//! Runs on a cluster, and the jobs that each has there: those it submitted, and those of earlier heads that it adopted.

use std::collections::HashSet;

use clap::Parser;
use orchestrate_engine::cluster::{JobFolder, Pilot};
use orchestrate_engine::event::{Event, RunStarted};
use orchestrate_engine::runlog::{History, RunId};

use super::subject::find_run;
use crate::args::{Cli, Command};
use crate::outcome::UsageError;

/// Finds a run on a cluster: by its name as [`find_run`] does, or the latest. A pilot counts by its own name, as its
/// run begins on the cluster.
pub(super) fn find(history: &History, jobs: &[JobFolder], text: Option<&str>) -> Result<String, UsageError> {
    let pilots = pilots(jobs);
    match text.filter(|text| *text != "latest") {
        Some(text) => {
            let is_named = |run: &&String| run.starts_with(text) || run.ends_with(text) || **run == text;
            match pilots.iter().filter(is_named).collect::<Vec<_>>().as_slice() {
                [only] if text.len() >= 4 => Ok((*only).clone()),
                _ => Ok(find_run(history, text)?.as_str().to_owned()),
            }
        }
        None => latest(history).into_iter().chain(pilots).max().ok_or_else(|| {
            UsageError("no run on a cluster is recorded\nhelp: orchestrate run SPEC --on slurm".to_owned())
        }),
    }
}

/// Returns the names of pilots, each with the number of its job left out.
fn pilots(jobs: &[JobFolder]) -> Vec<String> {
    let pilots = jobs.iter().filter(|job| Pilot::read(job).is_some());
    pilots.filter_map(|job| Some(job.name().rsplit_once('-')?.0.to_owned())).collect()
}

/// Finds the latest run on a cluster.
fn latest(history: &History) -> Option<String> {
    let is_there = |run: &RunId| history.started(run).ok().flatten().is_some_and(|started| is_on_cluster(&started));
    history.runs().into_iter().find(is_there).map(|run| run.as_str().to_owned())
}

/// Returns whether a run was on a cluster.
pub(super) fn is_on_cluster(started: &RunStarted) -> bool {
    let Some(origin) = started.origin.as_deref() else { return false };
    let words = std::iter::once("orchestrate").chain(origin.arguments.iter().map(String::as_str));
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Run(args)) => args.how.on.on.is_some(),
        Ok(Command::Sweep(args)) => args.how.on.on.is_some(),
        Ok(Command::VerifyResults(args)) => args.how.on.on.is_some(),
        _ => false,
    }
}

/// Returns the jobs of a run, among those whose folders are there.
pub(super) fn of_run(history: &History, jobs: Vec<JobFolder>, run: &str) -> Vec<JobFolder> {
    let events = run.parse::<RunId>().ok().and_then(|run| history.events(&run).ok()).unwrap_or_default();
    let adopted = events.into_iter().filter_map(|event| match event.event {
        Event::JobSubmitted { name, .. } => Some(name),
        _ => None,
    });
    let adopted: HashSet<_> = adopted.collect();
    jobs.into_iter().filter(|job| job.is_of(run) || adopted.contains(&job.name())).collect()
}
