//! `orchestrate runs`: lists runs with their counts, overrides and headline numbers.
//!
//! Of each run the first and the last line of its log are read, and one table in the store.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use orchestrate_cache::{Access, OutputDigest, Store};
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::runlog::{Finished, History, RunId};
use serde_json::{Value as Json, json};

use super::headline::{self, cell_name, headline};
use super::run::by_end;
use super::study::{nearby_store, set_arguments, store_of};
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal::{self, Colour, Text};

/// The most characters of a line about a run.
const LINE_MAX: usize = 79;

const EXAMPLES: &str = "Examples:
  orchestrate runs experiments/quickstart.toml
  orchestrate runs --limit 3 --json";

/// List runs, the newest last: when, what, counts, time, and the first numbers of the first table
///
/// `orchestrate show RUN` tells everything about one of them. A run is named by its id, by the beginning or the end of
/// that, by `latest`, or by a number: -1 is the newest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunsArgs {
    /// Only runs of this spec, or of the experiment of this name
    #[arg(value_name = "SPEC|EXPERIMENT")]
    spec: Option<String>,
    /// The number of runs to list; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// One JSON object a run a line, with all numbers of its tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// A run with the two lines that tell most about it.
pub(super) struct Listed {
    pub(super) run: RunId,
    pub(super) started: RunStarted,
    pub(super) finished: Option<Finished>,
    pub(super) is_alive: bool,
}

impl Listed {
    /// Reads the first and the last line of a log; `None` if the first is damaged.
    pub(super) fn read(history: &History, run: RunId) -> Option<Self> {
        let started = history.started(&run).ok()??;
        let finished = history.finished(&run).ok().flatten();
        let is_alive = finished.is_none() && history.is_alive(&run);
        Some(Self { run, started, finished, is_alive })
    }

    /// Returns the name of the experiment; of the spec's file in logs of earlier programs.
    pub(super) fn experiment(&self) -> String {
        let name = || self.started.spec.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.started.origin.as_deref().map_or_else(name, |origin| origin.experiment.clone())
    }

    /// Returns whether the run is of a spec, given its absolute path, or of an experiment.
    fn is_of(&self, path: &Path, name: &str) -> bool {
        self.started.spec == path || self.experiment() == name
    }

    /// Returns the tables that the log names.
    pub(super) fn tables(&self) -> &[(String, OutputDigest)] {
        self.finished.as_ref().map_or(&[], |finished| &finished.made.tables)
    }

    /// Returns the state of a run that has not ended well.
    pub(super) fn state(&self) -> &'static str {
        match &self.finished {
            Some(finished) if finished.counts.failed > 0 => "failed",
            Some(finished) if finished.counts.cancelled > 0 => "stopped",
            Some(_) => "done",
            None if self.is_alive => "running",
            None => "killed",
        }
    }
}

pub(crate) fn runs(args: &RunsArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&store_of(&args.store, args.spec.as_deref().map(Path::new)), Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let path = args.spec.as_ref().map(|spec| std::path::absolute(spec).unwrap_or_else(|_| spec.into()));
    let is_wanted =
        |run: &Listed| args.spec.as_ref().zip(path.as_ref()).is_none_or(|(name, path)| run.is_of(path, name));
    let mut damaged = Vec::new();
    let readable = |run: RunId| Listed::read(&history, run.clone()).or_else(|| (damaged.push(run), None).1);
    let mut listed: Vec<_> = history.runs().into_iter().filter_map(readable).filter(is_wanted).take(limit).collect();
    listed.reverse();
    for run in &damaged {
        terminal::complain(&format!("warning: the log of run {run} cannot be read, so it is not listed\n"));
    }
    if args.json {
        let lines: String = listed.iter().map(|run| format!("{}\n", json_line(&store, run))).collect();
        return Outcome::Done.after_saying(terminal::say_as_is(&lines));
    }
    if listed.is_empty() {
        let of = args.spec.as_ref().map_or_else(String::new, |spec| format!(" of `{spec}`"));
        let help = "run a spec first, or name the store with --store DIR";
        return Err(UsageError(format!("no run{of} is recorded in {}\nhelp: {help}", store.dir().display())).into());
    }
    let mut text = Text::new(terminal::colours_on_stdout());
    for run in &listed {
        describe(&store, run, &mut text);
    }
    Outcome::Done.after_saying(terminal::say_as_is(text.as_str()))
}

/// Writes up to three lines about a run.
fn describe(store: &Store, run: &Listed, text: &mut Text) {
    let (date, end) = (terminal::local_time(run.run.began_ms()), &run.run.as_str()[20..]);
    let _ = write!(text, "{date}  ");
    text.paint(end, Colour::Cyan);
    let _ = write!(text, "  {:16}  ", run.experiment());
    match &run.finished {
        Some(finished) => {
            text.tally(&by_end(finished.counts));
            let _ = write!(text, " in {}", terminal::duration(finished.elapsed_ms));
        }
        None => text.paint(run.state(), Colour::Yellow),
    }
    let _ = writeln!(text);
    let overrides = set_arguments(&run.started.overrides);
    for line in [Some(overrides.trim().to_owned()), headline(store, run.tables())].into_iter().flatten() {
        if !line.is_empty() {
            text.paint(&format!("    {}", terminal::shortened(&line, LINE_MAX - 4)), Colour::Dim);
            let _ = writeln!(text);
        }
    }
}

fn json_line(store: &Store, listed: &Listed) -> Json {
    let Listed { run, started, finished, .. } = listed;
    let origin = started.origin.as_deref();
    let table = |(node, output): &(String, OutputDigest)| {
        let figures = headline::figures(store, output)?;
        let cells = figures
            .cells
            .iter()
            .map(|cell| json!({ "cell": cell_name(&figures, cell), "mean": cell.mean, "sd": cell.sd, "n": cell.n }));
        let cells: Vec<_> = cells.collect();
        let (title, metric) = (&figures.title, &figures.metric);
        Some(json!({ "node": node, "output": output, "title": title, "metric": metric, "cells": cells }))
    };
    json!({
        "run": run,
        "at_ms": run.began_ms(),
        "state": listed.state(),
        "spec": started.spec.to_string_lossy(),
        "experiment": listed.experiment(),
        "overrides": started.overrides,
        "arguments": origin.map(|origin| &origin.arguments),
        "counts": finished.as_ref().map(|finished| finished.counts),
        "elapsed_ms": finished.as_ref().map(|finished| finished.elapsed_ms),
        "device": started.device,
        "version": started.version,
        "user": origin.map(|origin| &origin.user),
        "host": origin.map(|origin| &origin.host),
        "commit": origin.and_then(|origin| origin.commit.as_ref()?.id.clone()),
        "tables": listed.tables().iter().filter_map(table).collect::<Vec<_>>(),
    })
}
