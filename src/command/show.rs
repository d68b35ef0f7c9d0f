//! `orchestrate show RUN`: tells everything that the log of a run has, or gives back the spec of then.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;
use orchestrate_cache::Access;
use orchestrate_engine::efficiency::Efficiency;
use orchestrate_engine::event::{Event, Origin, Surroundings, TimedEvent};
use orchestrate_engine::plan::Plan;
use orchestrate_engine::repository::Commit;
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::spec::{self, SpecText};

use super::headline::headline;
use super::output_files::write_files;
use super::runs::Listed;
use super::study::{nearby_store, set_arguments};
use super::subject::{Subject, find_run, recorded, started};
use crate::Kinds;
use crate::args::StoreArgs;
use crate::efficiency;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

const EXAMPLES: &str = "Examples:
  orchestrate show latest
  orchestrate show -1 --spec";

/// Show a run: what was asked for, by whom and where, its nodes by stage, what it published, its warnings
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// The run: its id, the beginning or the end of that, `latest`, or a number: -1 is the newest
    #[arg(value_name = "RUN", allow_negative_numbers = true)]
    run: String,
    /// Print the spec of then as one TOML, with all that it extended, its overrides, and absolute paths
    #[arg(long)]
    spec: bool,
    /// Write the files of that spec to this folder instead, as they were
    #[arg(long, value_name = "DIR", requires = "spec")]
    to: Option<PathBuf>,
    /// Replace existing files that differ
    #[arg(long, requires = "to")]
    overwrite: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn show(kinds: Kinds, args: &ShowArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let run = find_run(&history, &args.run)?;
    if args.spec {
        return spec_of(kinds, &history, &run, args.to.as_deref(), args.overwrite);
    }
    let started = started(&history, &run)?;
    let listed = Listed::read(&history, run.clone())
        .ok_or_else(|| UsageError(format!("the log of run {run} cannot be read")))?;
    let events = history.events(&run)?;
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name:11} {value}\n");
    line("run", format!("{run}, {}", listed.state()));
    line("began", terminal::local_time(run.began_ms()));
    if let Some(finished) = &listed.finished {
        line("took", terminal::duration(finished.elapsed_ms));
    }
    line("experiment", listed.experiment());
    line("spec", format!("{}{}", started.spec.display(), extended(started.origin.as_deref())));
    if let Some(origin) = started.origin.as_deref() {
        line("asked", format!("orchestrate {}", command_line(&origin.arguments)));
        line("in", origin.working_dir.display().to_string());
        line("by", format!("{} on {}", origin.user, origin.host));
    } else if !started.overrides.is_empty() {
        line("overrides", set_arguments(&started.overrides).trim().to_owned());
    }
    line("program", format!("orchestrate {}", started.version));
    let surroundings = events.iter().find_map(|event| match &event.event {
        Event::Surroundings(found) => Some(found),
        _ => None,
    });
    if let Some(origin) = started.origin.as_deref() {
        line("git", git(origin.commit.as_ref(), surroundings));
    }
    if let Some(processor) = surroundings.and_then(|found| found.processor.clone()) {
        line("processor", format!("{processor}, {}", terminal::count(started.jobs, "thread")));
    }
    let used: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Event::DeviceUsed { device } => Some(device.clone()),
            _ => None,
        })
        .collect();
    line("device", if used.is_empty() { device_of(&started.device, &events) } else { used.join(", ") });
    let jobs: Vec<_> = events.iter().filter_map(|event| job(&event.event)).collect();
    if !jobs.is_empty() {
        line("jobs", jobs.join(", "));
    }
    stages(kinds, &history, &run, &args.store, &events, &mut text);
    let efficiency = efficiency::text(&Efficiency::of(&events));
    if !efficiency.is_empty() {
        let _ = write!(text, "\n{efficiency}");
    }
    if let Some(finished) = &listed.finished {
        if let Some(headline) = headline(&store, &finished.made.tables) {
            let _ = writeln!(text, "\n{headline}");
        }
        if !finished.made.published.is_empty() {
            let _ = writeln!(text, "\npublished");
        }
        for folder in &finished.made.published {
            let gone = if folder.0.is_dir() { "" } else { " (no longer there)" };
            let _ = writeln!(text, "  {}{gone}", folder.0.display());
        }
    }
    problems(&events, &mut text);
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Names a job on a cluster.
fn job(event: &Event) -> Option<String> {
    let Event::JobSubmitted { job, tasks, is_adopted, .. } = event else { return None };
    let adopted = if *is_adopted { " of an earlier run" } else { "" };
    Some(format!("{job} ({}{adopted})", terminal::count(*tasks, "task")))
}

/// Says how many files the spec extended.
fn extended(origin: Option<&Origin>) -> String {
    match origin.map_or(0, |origin| origin.texts.len()) {
        0 | 1 => String::new(),
        texts => format!(", which extends {}", terminal::count(texts - 1, "file")),
    }
}

/// Joins arguments so that a shell reads them again.
fn command_line(arguments: &[String]) -> String {
    arguments.iter().map(|text| terminal::quoted(text)).collect::<Vec<_>>().join(" ")
}

/// Describes the commit and what differed from it.
fn git(commit: Option<&Commit>, surroundings: Option<&Surroundings>) -> String {
    let Some(Commit { id, branch, .. }) = commit else { return "none: the spec lies in no repository".to_owned() };
    let id = id.as_deref().unwrap_or("no commit that is known");
    let on = branch.as_ref().map_or_else(String::new, |branch| format!(" on {branch}"));
    let state = match surroundings {
        None => "; nothing ran, so changes were not asked for".to_owned(),
        Some(Surroundings { changed: Some(0), untracked: Some(0), .. }) => ", nothing changed".to_owned(),
        Some(Surroundings { changed: Some(changed), untracked: Some(untracked), .. }) => {
            format!(", {} changed, {untracked} untracked", terminal::count(*changed, "file"))
        }
        Some(_) => "; changes are unknown, as git did not tell".to_owned(),
    };
    format!("{id}{on}{state}")
}

/// The nodes of one stage by how they ended.
#[derive(Default)]
struct Tally {
    hit: usize,
    ran: usize,
    failed: usize,
    left: usize,
    elapsed_ms: u64,
}

/// Writes a line a stage: nodes by how they ended, and time.
fn stages(kinds: Kinds, history: &History, run: &RunId, store: &StoreArgs, events: &[TimedEvent], text: &mut String) {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut of = |stage: &str, count: &dyn Fn(&mut Tally)| {
        if !tallies.contains_key(stage) {
            order.push(stage.to_owned());
        }
        count(tallies.entry(stage.to_owned()).or_default());
    };
    let mut listed = 0;
    for event in events {
        match &event.event {
            Event::NodesHit { nodes, .. } => listed += nodes,
            Event::NodeHit { node, .. } => of(node.stage(), &|tally| tally.hit += 1),
            Event::NodeRan { node, elapsed_ms, .. } => of(node.stage(), &|tally| {
                tally.ran += 1;
                tally.elapsed_ms += elapsed_ms;
            }),
            Event::NodeFailed { node, .. } => of(node.stage(), &|tally| tally.failed += 1),
            Event::NodeBlocked { node, .. } | Event::NodeCancelled { node } => {
                of(node.stage(), &|tally| tally.left += 1);
            }
            _ => {}
        }
    }
    if listed > 0 {
        // Lists of hits have digests of names, and the plan of then has the names.
        let plan = Subject::of_run(kinds, run.clone(), &[], store.clone()).map(|subject| subject.plan);
        let Ok(plan) = plan.map(|plan| listed_hits(&plan, history, run, events, &mut of)) else {
            let _ = writeln!(text, "\n{listed} nodes were hits; of which stages cannot be told any more");
            return;
        };
        order.sort_by_key(|stage| plan.iter().position(|known| known == stage));
    }
    let width = order.iter().map(String::len).max().unwrap_or(0);
    let _ = writeln!(text);
    for stage in &order {
        let Tally { hit, ran, failed, left, elapsed_ms } = &tallies[stage];
        let parts = terminal::tally(&[(*hit, "hit"), (*ran, "ran"), (*failed, "failed"), (*left, "not reached")]);
        let took = if *ran > 0 { format!(" in {}", terminal::duration(*elapsed_ms)) } else { String::new() };
        let _ = writeln!(text, "{stage:width$}  {parts}{took}");
    }
}

/// Counts the hits that stand in lists alone; returns the names of all stages in the order of the plan.
fn listed_hits(
    plan: &Plan,
    history: &History,
    run: &RunId,
    events: &[TimedEvent],
    of: &mut impl FnMut(&str, &dyn Fn(&mut Tally)),
) -> Vec<String> {
    let told: HashSet<&str> = events
        .iter()
        .filter_map(|event| match &event.event {
            Event::NodeHit { node, .. } | Event::NodeRan { node, .. } | Event::NodeFailed { node, .. } => {
                Some(node.as_str())
            }
            _ => None,
        })
        .collect();
    let names: Vec<_> = plan.ids().map(|id| (plan.stage(id).name.as_str(), plan.name(id).to_string())).collect();
    let wanted = names.iter().map(|(_, name)| name.as_str()).filter(|name| !told.contains(name)).collect();
    let ended = history.latest_of(&wanted, std::slice::from_ref(run), 1);
    for (stage, _) in names.iter().filter(|(_, name)| ended.get(name).is_some_and(|end| !end.done.is_empty())) {
        of(stage, &|tally| tally.hit += 1);
    }
    plan.stages.iter().map(|stage| stage.name.clone()).collect()
}

/// Returns the devices of a run, given those that were known at its start.
pub(super) fn device_of(started: &str, events: &[TimedEvent]) -> String {
    let found = events.iter().find_map(|event| match &event.event {
        Event::DevicesFound { devices } if devices.is_empty() => Some("cpu".to_owned()),
        Event::DevicesFound { devices } => Some(devices.join(",")),
        _ => None,
    });
    found.unwrap_or_else(|| started.to_owned())
}

/// Writes failures, retries and warnings; equal ones once, with their count.
fn problems(events: &[TimedEvent], text: &mut String) {
    let mut counted: IndexMap<String, usize> = IndexMap::new();
    for event in events {
        let problem = match &event.event {
            Event::NodeFailed { node, cause, log, .. } => {
                let log = log.as_ref().map_or_else(String::new, |log| format!("\n  log: {}", log.display()));
                format!("error: {node} failed: {cause}{log}")
            }
            Event::NodeRetried { node, cause } => format!("again: {node}: {cause}"),
            Event::Warning { message } => format!("warning: {message}"),
            _ => continue,
        };
        *counted.entry(problem).or_default() += 1;
    }
    for (index, (problem, number)) in counted.iter().enumerate() {
        let begin = if index == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{begin}{problem}{}", terminal::times(*number));
    }
}

/// Prints the spec of a run, or writes its files, and says which program would find its results.
fn spec_of(
    kinds: Kinds,
    history: &History,
    run: &RunId,
    to: Option<&Path>,
    overwrites: bool,
) -> anyhow::Result<Outcome> {
    let started = started(history, run)?;
    let recorded = recorded(run, &started)?;
    let origin = started.origin.as_deref();
    for (kind, was) in origin.iter().flat_map(|origin| &origin.kinds) {
        let now = kinds.iter().find(|known| known.facts().kind == kind).map(|known| known.facts().version);
        if now != Some(*was) {
            let now = now.map_or_else(|| "not in this program".to_owned(), |now| format!("version {now} here"));
            terminal::complain(&format!(
                "warning: kind `{kind}` was of version {was} and is {now}: its stages would run again; \
                 orchestrate {} would find their results\n",
                started.version
            ));
        }
    }
    let Some(dir) = to else {
        let header = format!(
            "# The spec of run {run}, of {}: with all that it extended,\n# its overrides, and absolute paths.\n\n",
            terminal::local_time(run.began_ms())
        );
        let text = spec::whole(&recorded, kinds)?;
        return Outcome::Done.after_saying(terminal::say(&(header + &text)));
    };
    // Below the folder that holds all of them, they keep their places, so that `extends` finds them.
    let mut base = recorded.path.parent().unwrap_or(Path::new("/")).to_owned();
    for text in recorded.texts {
        while !text.path.starts_with(&base) {
            base.pop();
        }
    }
    let place = |text: &SpecText| dir.join(text.path.strip_prefix(&base).unwrap_or(&text.path));
    let texts: BTreeMap<PathBuf, &str> = recorded.texts.iter().map(|text| (place(text), text.text.as_str())).collect();
    let paths: Vec<_> = texts.keys().cloned().collect();
    write_files(&paths, |index| Ok(texts[&paths[index]].as_bytes().to_vec()), overwrites)?;
    let spec = recorded.texts.first().map(place).unwrap_or_default();
    let overrides = set_arguments(recorded.overrides);
    let mut said = format!("{} in {}\n", terminal::count(paths.len(), "file"), dir.display());
    let _ = writeln!(said, "run it again with: orchestrate run {}{overrides}", spec.display());
    let _ = writeln!(said, "relative paths in it were relative to {}", recorded.path.parent().unwrap_or(dir).display());
    Outcome::Done.after_saying(terminal::say(&said))
}
