//! `orchestrate verify-results RUN|SPEC`: computes a study again in an empty store, and says which numbers moved.
//!
//! It is the check of a new machine, a new version or another device. Nothing is published, and the store with the
//! recorded results gets no new ones: the empty store lies in its folder for unfinished files, and goes at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use orchestrate_cache::{Access, FileDigests, OutputDigest, Store};
use orchestrate_engine::node::NodeId;
use orchestrate_engine::observe::observe;
use orchestrate_engine::plan::{self, Plan};
use orchestrate_engine::run::{Selection, Summary};
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec;
use orchestrate_stages::artifact::{Moved, moved};
use orchestrate_stages::pages::report;
use serde_json::json;

use super::run::{RunRequest, closing, execute, outcome, progress};
use super::side::Side;
use super::study::Study;
use super::subject::{recorded, started};
use crate::Kinds;
use crate::args::{HowArgs, StoreArgs};
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The most differences that are shown for one stage.
const SHOWN: usize = 4;

const EXAMPLES: &str = "Examples:
  orchestrate verify-results latest
  orchestrate verify-results experiments/quickstart.toml --tolerance 1e-6";

/// Compute a study again in an empty store, and say which stages and numbers moved: for a new machine or version
///
/// Exits with 1 if anything moved by more than the tolerance. Without one, every byte must be the same. Nothing is
/// published, and the store stays as it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyResultsArgs {
    /// The run or spec whose recorded results are compared
    #[arg(value_name = "RUN|SPEC", allow_negative_numbers = true)]
    what: PathBuf,
    /// Override a value as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The largest difference that is allowed, relative to numbers above 1
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = tolerance)]
    tolerance: f64,
    /// One JSON object a stage and line, with all columns that moved, instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    store: StoreArgs,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "a number from 0 on is expected, for example 1e-6".to_owned())
}

pub(crate) fn verify_results(kinds: Kinds, args: &VerifyResultsArgs) -> anyhow::Result<Outcome> {
    let side = Side::find(kinds, &args.what, &args.overrides, &args.store)?;
    let plan = plan_again(kinds, &side, args)?;
    let nodes: Vec<_> = plan.ids().filter(|id| recorded_id(&side, &plan, *id).is_some()).collect();
    if nodes.is_empty() {
        let what = args.what.display();
        return Err(UsageError(format!("the store has no result of {what}\nhelp: run it first")).into());
    }
    let devices = args.how.device.find()?;
    let place = Store::open(side.study.store.dir(), Access::ReadWrite)?;
    let scratch = place.scratch()?;
    let store = Store::open(&scratch.path().join("store"), Access::ReadWrite)?;
    let observed = observe(&plan, &FileDigests::open(store.dir()))?;
    let selection = Selection::closure(&plan, &nodes);
    // A remote would answer in place of the computation.
    let study = Study { plan, observed, store, remote: None };
    let request = RunRequest { study, selection, forced: Vec::new(), devices };
    let mut listener = progress(&request);
    execute(&request, &args.how, listener.as_mut(), |summary, efficiency| {
        terminal::complain_as_is(closing(&request.study, summary, efficiency).as_str());
        match outcome(summary) {
            Outcome::Done => {}
            other => return Ok(other),
        }
        let stages = compare(&side, &request.study, summary)?;
        let is_well = stages.iter().all(|stage| !stage.is_beyond(args.tolerance));
        let said = match args.json {
            true => terminal::say_as_is(
                &stages.iter().map(|stage| format!("{}\n", json_line(stage, args.tolerance))).collect::<String>(),
            ),
            false => terminal::say(&shown(&stages, args.tolerance)),
        };
        (if is_well { Outcome::Done } else { Outcome::Failed }).after_saying(said)
    })
}

/// Plans the study once more, with the files on disk, and without published folders.
fn plan_again(kinds: Kinds, side: &Side, args: &VerifyResultsArgs) -> anyhow::Result<Plan> {
    let mut spec = match &side.run {
        Some(run) => {
            let started = started(&History::new(side.study.store.runs_dir()), run)?;
            spec::load_recorded(&recorded(run, &started)?, &args.overrides)?
        }
        None => spec::load(&args.what, &args.overrides)?,
    };
    for stage in &mut spec.stages {
        stage.publish = None;
    }
    Ok(plan::build(spec, kinds)?)
}

/// Returns the node of the same name if it has a recorded result.
fn recorded_id(side: &Side, plan: &Plan, id: NodeId) -> Option<NodeId> {
    side.id(plan.name(id).as_str()).filter(|id| side.key(*id).is_some())
}

/// The nodes of one stage, computed again.
#[derive(Default)]
struct Stage {
    name: String,
    same: usize,
    moved: usize,
    /// Nodes whose recorded files are no longer in the store.
    lost: usize,
    /// Nodes without a recorded result, which there is nothing to compare with.
    unrecorded: usize,
    /// Differences by file and column: the largest of all nodes.
    differences: BTreeMap<String, Moved>,
    /// Files without numbers whose bytes differ, with the number of nodes; true if no number tells of them.
    other_bytes: BTreeMap<String, (usize, bool)>,
}

impl Stage {
    fn is_beyond(&self, tolerance: f64) -> bool {
        self.differences.values().any(|moved| moved.is_beyond(tolerance))
            || self.other_bytes.values().any(|(_, alone)| *alone || tolerance == 0.0)
    }
}

fn compare(side: &Side, again: &Study, summary: &Summary) -> anyhow::Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    for id in again.plan.ids() {
        let name = &again.plan.stage(id).name;
        if stages.last().is_none_or(|stage| stage.name != *name) {
            stages.push(Stage { name: name.clone(), ..Stage::default() });
        }
        let stage = stages.last_mut().expect("it was just pushed");
        let Some(was) = recorded_id(side, &again.plan, id) else {
            stage.unrecorded += 1;
            continue;
        };
        let outputs = summary.outputs.named(&again.plan, id).unwrap_or_default();
        let before = side.outputs(was);
        if outputs == before {
            stage.same += 1;
            continue;
        }
        let is_page = again.plan.stage(id).kind.facts().kind == report::KIND;
        let mut is_lost = before.is_empty();
        for ((output, now), (_, was)) in outputs.iter().zip(&before).filter(|((_, now), (_, was))| now != was) {
            is_lost |= !compare_output(side, &again.store, (output, was, now), is_page, stage)?;
        }
        if is_lost { stage.lost += 1 } else { stage.moved += 1 }
    }
    Ok(stages)
}

/// Compares the files of one output; returns false if the store has lost a recorded one.
fn compare_output(
    side: &Side,
    again: &Store,
    (output, was, now): (&str, &OutputDigest, &OutputDigest),
    is_page: bool,
    stage: &mut Stage,
) -> anyhow::Result<bool> {
    let (Some(before), Some(after)) = (side.study.store.artifact(was), again.artifact(now)) else { return Ok(false) };
    let mut others = Vec::new();
    let mut has_numbers = false;
    for file in &after.files {
        let earlier = before.files.iter().find(|earlier| earlier.name == file.name);
        if earlier.is_some_and(|earlier| earlier.digest == file.digest) {
            continue;
        }
        let Some(earlier) = earlier else {
            others.push(file.name.clone());
            continue;
        };
        let Ok(bytes) = side.study.store.read(&earlier.digest) else { return Ok(false) };
        match moved(&file.name, bytes, again.read(&file.digest)?).map_err(|error| anyhow::anyhow!("{error}"))? {
            None => others.push(file.name.clone()),
            Some(columns) => {
                has_numbers = true;
                for column in columns {
                    add(&mut stage.differences, format!("{output} {}", column.name), column);
                }
            }
        }
    }
    let is_gone = |name: &&String| after.files.iter().all(|file| file.name != **name);
    others.extend(before.files.iter().map(|file| &file.name).filter(is_gone).cloned());
    for name in others {
        let (nodes, alone) = stage.other_bytes.entry(name).or_default();
        *nodes += 1;
        *alone |= !has_numbers && !is_page;
    }
    Ok(true)
}

fn add(differences: &mut BTreeMap<String, Moved>, name: String, found: Moved) {
    match differences.get_mut(&name) {
        None => drop(differences.insert(name, found)),
        Some(known) => {
            known.count += found.count;
            known.of += found.of;
            known.largest = known.largest.zip(found.largest).map(|(a, b)| a.max(b));
        }
    }
}

fn json_line(stage: &Stage, tolerance: f64) -> serde_json::Value {
    let column = |(name, moved): (&String, &Moved)| {
        let Moved { count, of, largest, .. } = moved;
        json!({ "name": name, "moved": count, "of": of, "largest": largest })
    };
    let file = |(name, (nodes, _)): (&String, &(usize, bool))| json!({ "name": name, "nodes": nodes });
    json!({
        "stage": stage.name,
        "same": stage.same,
        "moved": stage.moved,
        "beyond_tolerance": stage.is_beyond(tolerance),
        "lost": stage.lost,
        "unrecorded": stage.unrecorded,
        "columns": stage.differences.iter().map(column).collect::<Vec<_>>(),
        "other_bytes": stage.other_bytes.iter().map(file).collect::<Vec<_>>(),
    })
}

/// Writes a line a stage, with the differences below it.
fn shown(stages: &[Stage], tolerance: f64) -> String {
    let mut text = String::new();
    let width = stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    for stage in stages {
        let parts = terminal::tally(&[
            (stage.same, "the same"),
            (stage.moved, "moved"),
            (stage.lost, "no longer in the store"),
            (stage.unrecorded, "not compared: no recorded result"),
        ]);
        let more = if tolerance > 0.0 && stage.is_beyond(tolerance) { ", by more than the tolerance" } else { "" };
        let _ = writeln!(text, "{:width$}  {parts}{more}", stage.name);
        for (name, Moved { count, of, largest, .. }) in stage.differences.iter().take(SHOWN) {
            let by = largest.map_or_else(|| "differ".to_owned(), |largest| format!("moved, by up to {largest:.3e}"));
            let _ = writeln!(text, "{:width$}    {name}: {count} of {of} {by}", "");
        }
        if let more @ 1.. = stage.differences.len().saturating_sub(SHOWN) {
            let _ = writeln!(text, "{:width$}    and {more} more columns", "");
        }
        for (name, (nodes, _)) in stage.other_bytes.iter().take(SHOWN) {
            let _ = writeln!(text, "{:width$}    {name}: other bytes in {}", "", terminal::count(*nodes, "node"));
        }
    }
    let beyond = stages.iter().filter(|stage| stage.is_beyond(tolerance)).count();
    let moved = stages.iter().filter(|stage| stage.moved > 0).count();
    let compared: usize = stages.iter().map(|stage| stage.same).sum();
    let all: usize = stages.iter().map(|stage| stage.same + stage.lost + stage.unrecorded).sum();
    let _ = match (moved, beyond) {
        (0, _) if compared < all => {
            writeln!(text, "{compared} of {all} results are the same, to the last byte; the others were not compared")
        }
        (0, _) => writeln!(text, "all results are the same, to the last byte"),
        (_, 0) => writeln!(text, "{} moved, by no more than {tolerance:e}", terminal::count(moved, "stage")),
        _ if tolerance == 0.0 => writeln!(text, "{} moved", terminal::count(beyond, "stage")),
        _ => writeln!(text, "{} moved by more than {tolerance:e}", terminal::count(beyond, "stage")),
    };
    text
}
