//! `orchestrate run`: runs a spec, for people or, with `--json`, for programs.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use indexmap::IndexMap;
use orchestrate_cache::{Access, StoreError};
use orchestrate_engine::cluster::stop_after;
use orchestrate_engine::efficiency::Efficiency;
use orchestrate_engine::event::{Counts, Reporter};
use orchestrate_engine::executor::WorkerCommand;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::{self, Devices, Invocation, NodeFailure, RunError, RunOptions, Selection, Stop, Summary};
use orchestrate_engine::spec::{self, StoreLimits, grid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::study::{self, Study};
use super::{gc, pilot, pin, remote, tables};
use crate::Kinds;
use crate::args::{HowArgs, RunArgs};
use crate::efficiency;
use crate::estimate::Estimate;
use crate::outcome::{Outcome, sentence};
use crate::progress::Bars;
use crate::reporter::{Json, Plain};
use crate::terminal::{self, Colour, Text};

/// The time that workers get after the first Ctrl-C, so that a training can finish its batch.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn run(kinds: Kinds, args: RunArgs) -> anyhow::Result<Outcome> {
    if args.pilot {
        return pilot::pilot(kinds, args);
    }
    if !args.json {
        return for_people(kinds, &args);
    }
    let mut json = Json::new(io::BufWriter::new(io::stdout()));
    let ended = for_programs(kinds, &args, &mut json);
    json.end(ended)
}

fn for_people(kinds: Kinds, args: &RunArgs) -> anyhow::Result<Outcome> {
    let plan = plan(kinds, args)?;
    let request = request(plan, args)?;
    let mut listener = progress(&request);
    execute(&request, &args.how, listener.as_mut(), |summary, efficiency| {
        let text = |(node, text): &(String, String)| format!("{node}\n{text}\n");
        let said = tables::texts(&request.study, &summary.tables)
            .map_err(anyhow::Error::from)
            .and_then(|tables| terminal::say(&tables.iter().map(text).collect::<String>()));
        terminal::complain_as_is(closing(&request.study, summary, efficiency).as_str());
        outcome(summary).after_saying(said)
    })
}

fn for_programs<W: io::Write>(kinds: Kinds, args: &RunArgs, json: &mut Json<W>) -> anyhow::Result<Outcome> {
    let plan = plan(kinds, args)?;
    json.findings(&plan.spec.sources, &plan.spec.findings);
    let request = request(plan, args)?;
    let mut unpublished = Vec::new();
    let mut printed = Vec::new();
    let mut lines = Vec::new();
    let ended = execute(&request, &args.how, json, |summary, efficiency| {
        lines = efficiency::json_lines(efficiency);
        unpublished.clone_from(&summary.unpublished);
        printed = tables::texts(&request.study, &summary.tables)?;
        Ok(outcome(summary))
    });
    lines.iter().for_each(|line| json.line(line));
    printed.iter().for_each(|(node, text)| json.text(node, text));
    unpublished.iter().for_each(|message| json.error(message));
    ended
}

pub(super) fn plan(kinds: Kinds, args: &RunArgs) -> anyhow::Result<Plan> {
    let mut spec = spec::load(&args.spec.spec, &args.spec.overrides)?;
    if let Some(dir) = &args.publish {
        grid::publish_below(&mut spec, dir)?;
    }
    let plan = study::of_spec(kinds, spec)?;
    args.how.on.warn(&plan, kinds)?;
    Ok(plan)
}

/// The inputs of a run.
pub(super) struct RunRequest {
    pub(super) study: Study,
    pub(super) selection: Selection,
    /// Nodes that run even if the store has their results.
    pub(super) forced: Vec<NodeId>,
    pub(super) devices: Devices,
}

fn request(plan: Plan, args: &RunArgs) -> anyhow::Result<RunRequest> {
    let selection = study::selection(&plan, &args.select)?;
    let forced = study::select(&plan, &args.select.force)?;
    let devices = args.how.device.find()?;
    Ok(RunRequest { study: Study::open(plan, &args.spec.store, Access::ReadWrite)?, selection, forced, devices })
}

/// Shows people the progress of a run: bars on a terminal, lines elsewhere.
pub(super) fn progress(request: &RunRequest) -> Box<dyn Reporter + '_> {
    let (plan, selection, history) = (&request.study.plan, &request.selection, request.study.history());
    if io::stderr().is_terminal() {
        Box::new(Bars::new(plan, selection, history))
    } else {
        Box::new(Plain::new(Estimate::new(plan, selection, history)))
    }
}

/// Runs the selected nodes, lets the caller report the summary, and then updates pins and collects garbage.
pub(super) fn execute(
    request: &RunRequest,
    how: &HowArgs,
    listener: &mut dyn Reporter,
    tell: impl FnOnce(&Summary, &Efficiency) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    let RunRequest { study, selection, forced, devices } = request;
    // Read before anything runs, as the file may have errors.
    let limits = StoreLimits::of_store(study.store.dir(), Some(&study.plan.spec.root))?;
    let worker = WorkerCommand::this_program(["worker"]);
    let stop = Stop::default();
    let mut efficiency = Efficiency::default();
    let options = RunOptions {
        jobs: how.jobs.map(usize::from),
        devices: devices.clone(),
        fail_fast: how.fail_fast,
        forced: forced.clone(),
        worker,
        grace: GRACE,
        log_max_bytes: limits.log_max_bytes(),
        merge_tables: Some(orchestrate_stages::tables::tidy::merge),
        find_tables: Some(tables::find),
        invocation: Invocation { arguments: arguments(), working_dir: std::env::current_dir().unwrap_or_default() },
        remote: study.remote.as_ref().map(|settings| Arc::new(remote::of(settings, &stop.flag()))),
        cluster: how.on.options(&study.plan.spec.root, &how.device)?,
    };
    stop_on_signals(&stop)?;
    if let Some(deadline) = how.deadline {
        let flag = stop.flag();
        std::thread::spawn(move || {
            std::thread::sleep(stop_after(deadline));
            flag.store(true, Ordering::SeqCst);
        });
    }
    let mut listeners: Vec<&mut dyn Reporter> = vec![&mut *listener];
    if options.cluster.is_some() {
        listeners.push(&mut efficiency);
    }
    let ran = run::run(&study.plan, &study.observed, &study.store, selection, &options, &mut listeners, &stop);
    let summary = match ran {
        // Stopped while it waited for a lock: nothing is lost.
        Err(RunError::Store(StoreError::Io { source, .. }))
            if stop.asked() && source.kind() == io::ErrorKind::Interrupted =>
        {
            return Ok(Outcome::Interrupted);
        }
        Err(RunError::Spec(error)) => return Err(error.into()),
        Err(RunError::Store(error)) => return Err(error.into()),
        Ok(summary) => summary,
    };
    // Nothing runs any more. From here on a signal ends the program at once, which the store survives.
    stop.flag().store(true, Ordering::SeqCst);
    listener.tick();
    let told = tell(&summary, &efficiency);
    keep(study, &limits, &summary);
    told
}

/// The arguments of this program, as given.
pub(super) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect()
}

/// Adds the results of a run to the pin of its spec, and once a day deletes results beyond the store's limits.
fn keep(study: &Study, limits: &StoreLimits, summary: &Summary) {
    if let Err(error) = pin::follow(&study.store, &study.plan, &summary.run) {
        terminal::complain(&format!(
            "warning: the pin of this spec does not hold what this run made: {}\n",
            sentence(&error)
        ));
    } else if !summary.interrupted {
        terminal::complain(&gc::after_run(&study.store, limits).unwrap_or_default());
    }
}

/// The outcome of a run.
pub(super) fn outcome(summary: &Summary) -> Outcome {
    let failed = summary.counts.failed > 0 || !summary.unpublished.is_empty();
    match summary.interrupted {
        true => Outcome::Interrupted,
        false if failed => Outcome::Failed,
        false => Outcome::Done,
    }
}

/// Makes the first Ctrl-C (or SIGTERM, SIGHUP) stop the run cleanly, and a second one at once: workers end with their
/// engine.
///
/// Before this call nothing runs, so the first signal ends the program, which the store survives.
pub(super) fn stop_on_signals(stop: &Stop) -> anyhow::Result<()> {
    let listen = |signal| {
        // The order matters: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, Outcome::Interrupted.code().into(), stop.flag())?;
        flag::register(signal, stop.flag())
    };
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        listen(signal).context("cannot listen for Ctrl-C")?;
    }
    orchestrate_cache::stop_waiting_on(stop.flag());
    Ok(())
}

/// Returns the numbers of nodes by how they ended, each with its word and colour.
pub(super) fn by_end(counts: Counts) -> [(usize, &'static str, Colour); 5] {
    [
        (counts.hit, "hit", Colour::Green),
        (counts.ran, "ran", Colour::Bold),
        (counts.failed, "failed", Colour::Red),
        (counts.blocked, "blocked", Colour::Yellow),
        (counts.cancelled, "cancelled", Colour::Yellow),
    ]
}

/// The last lines of a run: failures and counts, and the efficiency on a cluster.
pub(super) fn closing(study: &Study, summary: &Summary, efficiency: &Efficiency) -> Text {
    let mut text = Text::new(terminal::colours_on_stderr());
    let mut told = IndexMap::<&str, Vec<&NodeFailure>>::new();
    let mut failures: Vec<_> = summary.failures.iter().collect();
    failures.sort_by_key(|failure| failure.node);
    for failure in failures {
        told.entry(&failure.cause).or_default().push(failure);
    }
    for (cause, failures) in told {
        let failure = failures[0];
        let node = study.plan.name(failure.node);
        text.paint("error:", Colour::Red);
        let _ = writeln!(text, " {node} failed: {cause}");
        let others = failures[1..].iter().map(|failure| study.plan.name(failure.node).to_string()).collect::<Vec<_>>();
        if !others.is_empty() {
            let _ = writeln!(text, "  = so did {}: {}", terminal::count(others.len(), "other node"), others.join(", "));
        }
        let blocked: usize = failures.iter().map(|failure| failure.blocked).sum();
        if blocked > 0 {
            let it = if others.is_empty() { "it blocks" } else { "they block" };
            let _ = writeln!(text, "  = {it} {}", terminal::count(blocked, "node"));
        }
        if let Some(log) = &failure.log {
            let _ = writeln!(text, "  = log: {} (or: orchestrate logs '{node}')", log.display());
        }
    }
    for message in &summary.unpublished {
        text.paint("error:", Colour::Red);
        let _ = writeln!(text, " {message}");
    }
    let counts = summary.counts;
    let _ = write!(text, "{}: ", terminal::count(counts.nodes, "node"));
    match counts.nodes {
        0 => drop(text.write_str("nothing to run")),
        _ => text.tally(&by_end(counts)),
    }
    let _ = writeln!(text, " in {}", terminal::duration(summary.elapsed_ms));
    if let Some(counts) = summary.remote {
        let _ = writeln!(text, "{}", remote::closing(&counts));
    }
    let working_dir = std::env::current_dir().unwrap_or_default();
    for folder in &summary.published {
        let _ = writeln!(text, "  → {}", folder.strip_prefix(&working_dir).unwrap_or(folder).display());
    }
    let _ = text.write_str(&efficiency::text(efficiency));
    text
}
