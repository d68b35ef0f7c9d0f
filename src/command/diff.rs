//! `orchestrate diff A B`: compares two runs, two specs, or a run and a spec: params, nodes, and the numbers of tables.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;
use orchestrate_cache::OutputDigest;
use orchestrate_engine::explain::changes_between;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use serde_json::json;

use super::headline::{cell_name, figures};
use super::side::Side;
use super::study::store_of;
use crate::Kinds;
use crate::args::StoreArgs;
use crate::outcome::Outcome;
use crate::terminal;

/// The most reasons that are shown for one stage.
const REASONS_SHOWN: usize = 4;

/// The name of the output of stages that make tables of figures.
const TABLE: &str = "table";

const EXAMPLES: &str = "Examples:
  orchestrate diff -2 -1
  orchestrate diff latest experiments/quickstart.toml --set experiment.seed=1";

/// Compare two runs, two specs, or a run with a spec: what was set, which nodes changed and why, and the numbers
///
/// A run is named by its id, by the beginning or the end of that, by `latest`, or by a number: -1 is the newest. What a
/// run used is in its log, so neither its spec nor its data need to be there any more.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// The earlier run or spec
    #[arg(value_name = "RUN|SPEC", allow_negative_numbers = true)]
    a: PathBuf,
    /// The later run or spec
    #[arg(value_name = "RUN|SPEC", allow_negative_numbers = true)]
    b: PathBuf,
    /// Override a value of the second one as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// One JSON object a line: `reason` is `stage` or `number`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn diff(kinds: Kinds, args: &DiffArgs) -> anyhow::Result<Outcome> {
    // A run beside a spec is one of its project.
    let store_of = |what: &Path| {
        let is_spec = what.is_file();
        if is_spec { args.store.clone() } else { store_of(&args.store, [args.a.as_path(), &args.b]) }
    };
    let a = Side::find(kinds, &args.a, &[], &store_of(&args.a))?;
    let b = Side::find(kinds, &args.b, &args.overrides, &store_of(&args.b))?;
    let stages = stages(&a, &b);
    let tables = tables(&a, &b);
    if args.json {
        return Outcome::Done.after_saying(terminal::say_as_is(&json_lines(&stages, &tables)));
    }
    let mut text = format!("A  {}\nB  {}\n\n", title(&a, &args.a), title(&b, &args.b));
    axes(&a.study.plan, &b.study.plan, &mut text);
    show_stages(&stages, &mut text);
    for table in &tables {
        show_table(table, &mut text);
    }
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Names a side: its run with the time, or its spec.
fn title(side: &Side, what: &Path) -> String {
    let spec = &side.study.plan.spec;
    match &side.run {
        Some(run) => format!("run {run} of {}, {}", spec.name, terminal::local_time(run.began_ms())),
        None => format!("spec {}", what.display()),
    }
}

/// Writes the axes whose values differ.
fn axes(a: &Plan, b: &Plan, text: &mut String) {
    let labels = |plan: &Plan, name: &str| -> Option<String> {
        let axis = plan.spec.axes.iter().find(|axis| axis.name.get_ref() == name)?;
        Some(axis.values.iter().map(|value| value.label.as_str()).collect::<Vec<_>>().join(", "))
    };
    let mut names: Vec<&String> = a.spec.axes.iter().chain(&b.spec.axes).map(|axis| axis.name.get_ref()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let before = text.len();
    for name in names {
        let (was, now) = (labels(a, name), labels(b, name));
        if was != now {
            let shown = |labels: Option<String>| labels.unwrap_or_else(|| "none".to_owned());
            let _ = writeln!(text, "axis {name}: {} → {}", shown(was), shown(now));
        }
    }
    if text.len() > before {
        text.push('\n');
    }
}

/// The nodes of one stage on both sides.
#[derive(Default)]
struct StageDiff {
    name: String,
    same: usize,
    changed: usize,
    /// Changed nodes whose outputs have the same bytes all the same.
    same_outputs: usize,
    only_a: usize,
    only_b: usize,
    /// Nodes with the same params that have no result on a side, so that their inputs may differ.
    unknown: usize,
    /// Sentences about changes, each with the number of nodes.
    reasons: IndexMap<String, usize>,
}

/// Compares nodes of the same name, stage by stage: in the order of B, then stages that only A has.
fn stages(a: &Side, b: &Side) -> Vec<StageDiff> {
    let (plan_a, plan_b) = (&a.study.plan, &b.study.plan);
    let mut stages = Vec::new();
    for (index, stage) in plan_b.stages.iter().enumerate() {
        let mut diff = StageDiff { name: stage.name.clone(), ..StageDiff::default() };
        for id in plan_b.stage_nodes(index) {
            match a.id(plan_b.name(id).as_str()) {
                Some(was) => compare(a, was, b, id, &mut diff),
                None => diff.only_b += 1,
            }
        }
        diff.only_a = only(plan_a, &stage.name, b);
        stages.push(diff);
    }
    for stage in plan_a.stages.iter().filter(|stage| plan_b.stages.iter().all(|other| other.name != stage.name)) {
        stages.push(StageDiff { name: stage.name.clone(), only_a: stage.len(), ..StageDiff::default() });
    }
    stages
}

/// Counts the nodes of a stage that the other side lacks.
fn only(plan: &Plan, stage: &str, other: &Side) -> usize {
    let index = plan.stages.iter().position(|planned| planned.name == stage);
    let nodes = index.into_iter().flat_map(|index| plan.stage_nodes(index));
    nodes.filter(|id| other.id(plan.name(*id).as_str()).is_none()).count()
}

fn compare(a: &Side, was: NodeId, b: &Side, now: NodeId, diff: &mut StageDiff) {
    let keys = (a.key(was), b.key(now));
    if keys.0.is_some() && keys.0 == keys.1 {
        diff.same += 1;
        return;
    }
    let is_known = a.knows(was) && b.knows(now);
    let (before, after) = if is_known { (a.preimage(was), b.preimage(now)) } else { (a.params(was), b.params(now)) };
    let changes = changes_between(&b.study.plan, now, &before, &after);
    if changes.is_empty() && is_known {
        diff.same += 1;
        return;
    }
    if changes.is_empty() {
        diff.unknown += 1;
        return;
    }
    diff.changed += 1;
    let outputs = (a.outputs(was), b.outputs(now));
    if keys.0.is_some() && keys.1.is_some() && outputs.0 == outputs.1 {
        diff.same_outputs += 1;
    }
    let mut reasons: Vec<_> = changes.iter().map(|change| without_labels(&change.sentence)).collect();
    reasons.dedup();
    for reason in reasons {
        *diff.reasons.entry(reason).or_default() += 1;
    }
}

/// Leaves the labels of gathered inputs out: `input scores[fold=1] changed` is said of all folds at once.
fn without_labels(sentence: &str) -> String {
    match (sentence.starts_with("input "), sentence.find('['), sentence.rfind(']')) {
        (true, Some(start), Some(end)) if start < end => format!("{}{}", &sentence[..start], &sentence[end + 1..]),
        _ => sentence.to_owned(),
    }
}

fn show_stages(stages: &[StageDiff], text: &mut String) {
    let width = stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    for stage in stages {
        let parts = terminal::tally(&[
            (stage.same, "same"),
            (stage.changed, "changed"),
            (stage.only_a, "only in A"),
            (stage.only_b, "only in B"),
            (stage.unknown, "without a result to compare"),
        ]);
        let equal = match stage.same_outputs {
            0 => String::new(),
            number if number == stage.changed => " (to the same bytes)".to_owned(),
            number => format!(" ({number} of them to the same bytes)"),
        };
        let _ = writeln!(text, "{:width$}  {parts}{equal}", stage.name);
        for (reason, number) in stage.reasons.iter().take(REASONS_SHOWN) {
            let times = terminal::times(*number);
            let _ = writeln!(text, "{:width$}    {reason}{times}", "");
        }
        if let more @ 1.. = stage.reasons.len().saturating_sub(REASONS_SHOWN) {
            let _ = writeln!(text, "{:width$}    and {more} more", "");
        }
    }
}

/// One number of a table on both sides.
struct NumberDiff {
    cell: String,
    a: Option<f64>,
    b: Option<f64>,
}

/// A table on both sides.
struct TableDiff {
    node: String,
    title: Option<String>,
    /// True if the outputs have the same bytes.
    same: bool,
    numbers: Vec<NumberDiff>,
}

/// Compares the tables that both sides have, in the order of B.
fn tables(a: &Side, b: &Side) -> Vec<TableDiff> {
    let plan = &b.study.plan;
    let mut nodes: Vec<_> = plan.ids().filter(|id| plan.stage(*id).kind.facts().outputs == [TABLE]).collect();
    nodes.sort_by_key(|id| (plan.stage(*id).declared, *id));
    let output = |side: &Side, id| -> Option<OutputDigest> { side.outputs(id).first().map(|(_, digest)| *digest) };
    let table = |id: NodeId| {
        let node = plan.name(id).to_string();
        let (was, now) = (output(a, a.id(&node)?)?, output(b, id)?);
        let (before, after) = (figures(&a.study.store, &was)?, figures(&b.study.store, &now)?);
        let named = |figures: &orchestrate_stages::artifact::Figures| -> Vec<(String, Option<f64>)> {
            figures.cells.iter().map(|cell| (cell_name(figures, cell), cell.mean)).collect()
        };
        let (before, title) = (named(&before), after.title.clone());
        let after = named(&after);
        let find = |cells: &[(String, Option<f64>)], name: &str| cells.iter().find(|(cell, _)| cell == name)?.1;
        let gone = before.iter().filter(|(name, _)| after.iter().all(|(other, _)| other != name));
        let names = after.iter().chain(gone).map(|(name, _)| name);
        let numbers =
            names.map(|name| NumberDiff { cell: name.clone(), a: find(&before, name), b: find(&after, name) });
        Some(TableDiff { node, title, same: was == now, numbers: numbers.collect() })
    };
    nodes.into_iter().filter_map(table).collect()
}

fn show_table(table: &TableDiff, text: &mut String) {
    let title = table.title.as_ref().map_or_else(String::new, |title| format!(": {title}"));
    if table.same {
        let _ = writeln!(text, "\n{}{title}\nall numbers are the same", table.node);
        return;
    }
    let width = table.numbers.iter().map(|number| number.cell.chars().count()).max().unwrap_or(0).max(4);
    let _ = writeln!(text, "\n{}{title}\n{:width$}  {:>8}  {:>8}  {:>10}", table.node, "", "A", "B", "difference");
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    for NumberDiff { cell, a, b } in &table.numbers {
        let difference = match a.zip(*b) {
            Some((a, b)) if a == b => "=".to_owned(),
            Some((a, b)) => format!("{:+.3}", b - a),
            None => String::new(),
        };
        let line = format!("{cell:width$}  {:>8}  {:>8}  {difference:>10}", shown(*a), shown(*b));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn json_lines(stages: &[StageDiff], tables: &[TableDiff]) -> String {
    let mut text = String::new();
    for stage in stages {
        let reasons: Vec<_> = stage.reasons.iter().map(|(why, nodes)| json!({ "why": why, "nodes": nodes })).collect();
        let line = json!({
            "reason": "stage", "stage": stage.name, "same": stage.same, "changed": stage.changed,
            "same_outputs": stage.same_outputs, "only_a": stage.only_a, "only_b": stage.only_b,
            "unknown": stage.unknown, "changes": reasons,
        });
        let _ = writeln!(text, "{line}");
    }
    for table in tables {
        for NumberDiff { cell, a, b } in &table.numbers {
            let difference = a.zip(*b).map(|(a, b)| b - a);
            let line = json!({
                "reason": "number", "node": table.node, "cell": cell, "a": a, "b": b, "difference": difference,
            });
            let _ = writeln!(text, "{line}");
        }
    }
    text
}
